"""`EventOrder`: which sockets a turn of the reactor serves, if more are ready than it can serve.

A thousand clients may send at the same moment. In the order of the kernel, the bytes of the mount and of the
holder of command would wait behind all of them. So the sockets have groups. A turn reads from all sockets
that go first, some of the page, most of these of users, and from so many others that they are `MOST_EVENTS`;
after turns that took long, they are fewer. In a group, the sockets that were read least lately go first: the
stop of a quiet client goes before a crowd that sends on and on, and so does the next message of a new client.
What this side has to send never waits behind what others have sent: a turn also writes to `MOST_WRITES`
sockets, from which it does not read.

Values only: no Twisted. Next to read: `reactors`, which polls; `halves`, ``frontends.tcp.ports`` and
``frontends.web.http.site``, whose sockets have groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, TypeAlias

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
"""A stranger at the page has one of so many of these sockets while connections to other ports wait, and one
of so many of the page's while connections of users wait."""

MOST_WRITES = 32
"""The most sockets to which a turn only writes. The reply to a stop may be there. A write takes 20 µs."""

HALF_LIFE = 0.5
"""The time after which a read from a socket counts half, in seconds. If 900 sockets are always ready, a
second has some two reads of each."""

MOST_USE = 2.0
"""The largest count of reads: the former holder of command, which tracked, waits no longer for a crowd than
the others do."""

_OUT, _ENDED = 0x4, 0x8 | 0x10
"""``EPOLLOUT``; ``EPOLLERR`` and ``EPOLLHUP`` (``sys/epoll.h``)."""

_Use: TypeAlias = tuple[float, int, int]
"""How much was read from a socket lately, its file number, and its event."""


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

    The transport of each accepted connection has the attribute ``event_use``: a count of the reads from it,
    and the time of the last one. The count halves in `HALF_LIFE`. ``event_written`` is the time of the last
    turn that only wrote to it.

    :param selectables: the objects of the reactor by file number.
    :param crowd: the class of accepted connections; those that have named no group are in the crowd.
    """

    def __init__(self, selectables: Mapping[int, Any], crowd: type | tuple[type, ...]) -> None:
        self._selectables = selectables
        self._crowd = crowd
        self._most = MOST_EVENTS

    def choose(self, events: list[tuple[int, int]], was_long: bool, now: float) -> list[tuple[int, int]]:
        """Return the events that this turn serves.

        The kernel returns the others again: ``epoll(7)``, level-triggered.

        :param events: all that are ready, each with its file number.
        :param was_long: True if the last turn was used up.
        :param now: the monotonic clock, in seconds.
        """
        most = max(LEAST_EVENTS, self._most // 2) if was_long else min(MOST_EVENTS, self._most * 2)
        self._most = most
        if len(events) > most:
            events = self._some_of(events, most, now)
        for file, event in events:
            selectable = self._selectables.get(file)
            if not isinstance(selectable, self._crowd):
                continue
            if event == _OUT:
                setattr(selectable, "event_written", now)
            else:
                setattr(selectable, "event_use", (min(MOST_USE, 1.0 + _use_of(selectable, now)), now))
        return events

    def _some_of(self, events: list[tuple[int, int]], most: int, now: float) -> list[tuple[int, int]]:
        lists = [list[_Use]() for _ in Group]
        writes: list[tuple[Group, float, int]] = []
        for file, event in events:
            selectable = self._selectables.get(file)
            group = self._group_of(selectable)
            if group is not Group.FIRST and event & _OUT and not event & _ENDED:
                writes.append((group, getattr(selectable, "event_written", 0.0), file))
            if group is Group.FIRST or event != _OUT:
                lists[group].append((_use_of(selectable, now), file, event))
        first, users, page, crowd = lists
        of_page = max(most // PAGE_SHARE, most - len(crowd))
        of_users = min(len(users), max(of_page - of_page // STRANGERS_SHARE, of_page - len(page)))
        most_strangers = max(most // STRANGERS_SHARE, most - of_users - len(crowd))
        of_strangers = min(len(page), of_page - of_users, most_strangers)
        others: list[_Use] = []
        of_crowd = most - of_users - of_strangers
        for waiting, count in ((users, of_users), (page, of_strangers), (crowd, of_crowd)):
            waiting.sort()
            others += waiting[:count]
        read = {file: event for _, file, event in others}
        writes = sorted(each for each in writes if each[2] not in read)[:MOST_WRITES]
        return [
            *((file, event) for _, file, event in first),
            *((file, _OUT) for *_, file in writes),
            *read.items(),
        ]

    def _group_of(self, selectable: object) -> Group:
        group: Callable[[], Group] | None = getattr(selectable, "event_group", None)
        if group is not None:
            return group()
        return Group.CROWD if isinstance(selectable, self._crowd) else Group.FIRST


def _use_of(selectable: object, now: float) -> float:
    count, at = getattr(selectable, "event_use", (0.0, now))
    return float(count * 2.0 ** min(0.0, (at - now) / HALF_LIFE))  # a clock may go back
