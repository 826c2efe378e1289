"""`EventOrder`: which sockets a turn of the reactor serves, if more are ready than it can serve.

A thousand clients may send at the same moment. In the order of the kernel, the bytes of the mount and of the
holder of command would wait behind all of them. So the sockets have groups. A turn serves all sockets that go
first, some of the page, most of these of users, and of the others so many that they are `MOST_EVENTS`; after
turns that took long, they are fewer. In a group, the sockets that were not served for longest go first: the
stop of a quiet client goes before a crowd that sends on and on.

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

MOST_LOOKED_AT = 512
"""The most sockets that are ready and looked at in a turn. The kernel returns the others in the next turns,
and those that were returned behind them (``epoll(7)``)."""

LEAST_EVENTS = 16
"""The most of these sockets in a turn after several that were used up (`turn_time`)."""

PAGE_SHARE = 2
"""The page has one of so many of these sockets while connections to other ports wait."""

STRANGERS_SHARE = 4
"""Of the sockets of the page, one of so many is a stranger's while connections of users wait."""


class Group(IntEnum):
    """The groups of sockets."""

    FIRST = 0
    """The mount, the pairs, the holder of command, the process for the broker, and each socket that is not an
    accepted connection, such as a listening one. They are few."""
    USERS = 1
    """Connections to the page from addresses of its users."""
    PAGE = 2
    """Other connections to the page."""
    CROWD = 3
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
        self._served: dict[int, int] = {}  # the number of the last turn that served a file number
        self._turn = 0
        self._most = MOST_EVENTS

    def choose(self, events: list[tuple[int, int]], was_long: bool) -> list[tuple[int, int]]:
        """Return the events that this turn serves.

        The kernel returns the others again: ``epoll(7)``, level-triggered.

        :param events: all that are ready, each with its file number.
        :param was_long: True if the last turn was used up.
        """
        most = max(LEAST_EVENTS, self._most // 2) if was_long else min(MOST_EVENTS, self._most * 2)
        self._most = most
        self._turn += 1
        if len(events) > most:
            events = self._some_of(events, most)
        self._served.update((file, self._turn) for file, _ in events)
        if len(self._served) > 2 * len(self._selectables) + MOST_LOOKED_AT:
            self._served = {file: turn for file, turn in self._served.items() if file in self._selectables}
        return events

    def _some_of(self, events: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
        ready = dict(events)
        chosen, users, page, crowd = lists = [list[int]() for _ in Group]
        served = self._served
        for file in sorted(ready, key=lambda file: served.get(file, 0)):
            lists[self._group_of(file)].append(file)
        of_page = max(most // PAGE_SHARE, most - len(crowd))
        of_users = min(len(users), max(of_page - of_page // STRANGERS_SHARE, of_page - len(page)))
        of_strangers = min(len(page), of_page - of_users)
        chosen += users[:of_users] + page[:of_strangers] + crowd[: most - of_users - of_strangers]
        return [(file, ready[file]) for file in chosen]

    def _group_of(self, file: int) -> Group:
        selectable = self._selectables.get(file)
        group: Callable[[], Group] | None = getattr(selectable, "event_group", None)
        if group is not None:
            return group()
        return Group.CROWD if isinstance(selectable, self._crowd) else Group.FIRST
