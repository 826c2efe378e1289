"""`EventOrder`: which sockets a turn of the reactor serves, if more are ready than it can serve.

A thousand clients may send at the same moment. In the order of the kernel, the bytes of the mount and of the
holder of command would wait behind all of them. So the sockets have groups. A turn serves all sockets that go
first, some of the page, and of the others so many that they are `MOST_EVENTS`; after turns that took long,
they are fewer. In a group, the sockets that have waited longest go first.

Values only: no Twisted. Next to read: `reactors`, which polls; `halves`, ``frontends.tcp.ports`` and
``frontends.web.http.site``, whose sockets have groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

MOST_EVENTS = 32
"""The most sockets that are served in one turn of the reactor, but for those that go first. The end of a TLS
connection takes 0.3 ms."""

LEAST_EVENTS = 8
"""The most of these sockets in a turn after several that were used up (`turn_time`)."""

PAGE_SHARE = 2
"""The page has one of so many of these sockets while connections to other ports wait."""


class Group(IntEnum):
    """The groups of sockets."""

    FIRST = 0
    """The mount, the pairs, the holder of command, the connections to the page from addresses of its users,
    and what is no accepted connection, such as a listening socket. They are few."""
    PAGE = 1
    CROWD = 2
    """Clients of ports, and accepted connections that have named no group."""


def set_group(transport: object, group: Callable[[], Group]) -> None:
    """Name the group of a connection's socket.

    :param transport: its transport, maybe above TLS.
    :param group: returns its present group.
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    setattr(transport, "event_group", group)


class EventOrder:
    """The sockets that are ready and wait for their turn.

    :param selectables: the objects of the reactor by file number.
    :param crowd: the class of accepted connections that have named no group.
    """

    def __init__(self, selectables: Mapping[int, Any], crowd: type | tuple[type, ...]) -> None:
        self._selectables = selectables
        self._crowd = crowd
        self._waiting: dict[int, None] = {}  # the file numbers, in the order in which they became ready
        self._most = MOST_EVENTS

    def choose(self, events: list[tuple[int, int]], was_long: bool) -> list[tuple[int, int]]:
        """Return the events that this turn serves.

        The kernel returns the others again: ``epoll(7)``, level-triggered.

        :param events: all that are ready, each with its file number.
        :param was_long: True if the last turn was used up.
        """
        most = max(LEAST_EVENTS, self._most // 2) if was_long else min(MOST_EVENTS, self._most * 2)
        self._most = most
        if len(events) <= most:
            self._waiting.clear()
            return events
        ready = dict(events)
        self._waiting = {file: None for file in self._waiting if file in ready} | dict.fromkeys(ready)
        first: list[int] = []
        page: list[int] = []
        crowd: list[int] = []
        lists = first, page, crowd
        for file in self._waiting:
            lists[self._group_of(file)].append(file)
        chosen_of_page = page[: max(most // PAGE_SHARE, most - len(crowd))]
        chosen = first + chosen_of_page + crowd[: most - len(chosen_of_page)]
        for file in chosen:
            del self._waiting[file]
        return [(file, ready[file]) for file in chosen]

    def _group_of(self, file: int) -> Group:
        selectable = self._selectables.get(file)
        group: Callable[[], Group] | None = getattr(selectable, "event_group", None)
        if group is not None:
            return group()
        return Group.CROWD if isinstance(selectable, self._crowd) else Group.FIRST
