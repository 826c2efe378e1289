"""`EventOrder`: which sockets a turn of the reactor serves, if more are ready than it can serve.

A thousand clients may send at the same moment. In the order of the kernel, the bytes of the mount and of the
holder of command would wait behind all of them. So the sockets have groups. A turn reads from all sockets
that go first, and then for `READ_TIME` from the others. The other groups have shares of these reads, and each
group has lanes that take turns (`LANES`):

* The fair lane: a client with few messages goes before a crowd that sends on and on, also if the client sends
  ten messages a second.
* The lane of new connections, for their first `NEW_READS`.
* The lane of all: the socket that was read least lately goes first. So each one waits for a round of this
  lane at most, whatever its peer sends.

Output never waits behind input: before these reads, a turn writes to `MOST_WRITES` sockets without reading
from them.

It counts the messages in the bytes of a socket without reading them. Next to read: `reactors`, which polls;
`halves`, ``frontends.tcp.ports`` and ``frontends.web.http.site``, whose sockets have groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from heapq import heapify, heappop, heappush
from socket import MSG_DONTWAIT, MSG_PEEK
from typing import Any, TypeAlias

MOST_EVENTS = 32
"""The largest number of sockets from which a turn of the reactor reads, besides those that go first. Some of
the work of these reads waits for timers, so short reads need a bound as well."""

LEAST_EVENTS = 4
"""The number of these sockets from which a turn reads, however long that takes: one for each of `LANES`, if
only one group waits."""

READ_TIME = 0.003
"""The time for which a turn reads from these sockets, in seconds. It leaves a part of `turn_time.LONGEST` to
the work that timers begin."""

MOST_LOOKED_AT = 512
"""The largest number of sockets that the kernel reports as ready in a turn. It reports the others in the next
turns, in their order (``epoll(7)``). To give each its place takes some microseconds."""

MOST_WRITES = 32
"""The largest number of sockets to which a turn only writes. The reply to a stop may be among this output. A
write takes 20 µs."""

MOST_COST = 32
"""The largest cost of a read in the fair lane, the largest lead of a client after a rest, and the largest
debt of a client that the lane of all has served beyond its share.

The cost is a quarter of the square of the number of messages, and at least 1. A client that is served as fast
as it sends has one or two messages at a read, which cost 1. In a crowd that saturates this process a client
has more: 12 of them cost the most. But no read counts as more than the average one: a client with still more
messages is read as often as the others."""

NEW_READS, NEW_TURNS = 4, 256
"""The number of reads for which a connection is new: they suffice for a TLS handshake and a stop. And the
number of turns since its last read after which it is not new any more. Of new ones, those with fewer reads go
first."""

LONG_AFTER = 1 << 50
"""A number of turns that no process reaches."""

AVERAGED = 32
"""The number of reads over which the moving average of the costs is taken, roughly."""

LOOKED_AT, MESSAGE_SIZE = 2048, 128
"""The largest number of bytes of a socket in which messages are counted; and the number of bytes that counts
as one message, also where no line ends, as under TLS."""

_IN, _OUT, _ENDED = 0x1, 0x4, 0x8 | 0x10
"""``EPOLLIN``; ``EPOLLOUT``; ``EPOLLERR`` and ``EPOLLHUP`` (``sys/epoll.h``)."""

_Event: TypeAlias = tuple[int, int]
"""A file number, and its events, such as ``EPOLLIN``."""


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


FIRST, USERS, PAGE, CROWD = Group

SHARES: Mapping[Group, int] = {USERS: 4, PAGE: 1, CROWD: 4}
"""The number of a group's reads in nine reads, and of its writes in nine writes, if sockets of all groups
wait. If no socket of a group waits, the other groups share its part."""

FAIR, NEW, ALL = range(3)
LANES = (FAIR, NEW, ALL, NEW)
"""The lane of each of four reads of a group. If no socket waits in the lane, the fair one has the read, or
else the lane of new connections."""

_Lane: TypeAlias = list[tuple[float, int, _Event]]
"""A heap of sockets that wait for a read: the least number goes first, and of equal ones the first that came.

A socket is in two lanes. After a read by one of them, its entry in the other one is stale. A lane with more
than `MOST_LEFT` entries beyond two for each socket that waits is rebuilt."""

MOST_LEFT = 64
"""The number of entries for which no lane is rebuilt, however few sockets wait."""


def set_group(transport: object, group: Callable[[], Group]) -> None:
    """Name the group of a connection's socket.

    :param transport: its transport, maybe above TLS.
    :param group: returns its present group. If that becomes `FIRST`, `note_first` must be called.
    """
    setattr(_lowest(transport), "event_group", group)


def note_first(transport: object) -> None:
    """Note that a connection's socket goes first from now on, also if it waits behind others already.

    :param transport: its transport, maybe above TLS.
    """
    lowest = _lowest(transport)
    order: EventOrder | None = getattr(lowest, "event_order", None)
    if order is not None:
        order.note_first(lowest)


def _lowest(transport: object) -> object:
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport


class EventOrder:
    """The sockets that are ready and wait for their turn.

    The fair lane has the order of start-time fair queueing (Goyal, Vin, Cheng, 1996). The virtual time of a
    group is the highest start tag of its reads by the fair lane. The start tag of a socket's read is the
    finish tag of its last read, but at most `MOST_COST` below or above the virtual time; in another group
    than that read, it is the virtual time. The finish tag is the start tag plus the cost. The socket with the
    lowest start tag goes first.

    The transport of an accepted connection has the attributes ``event_reads``, the number of reads from it;
    ``event_turn``, the turn of the last read, or of the first wait for one; ``event_finish``, the group and
    the finish tag of its last read, if the connection is not new; and ``event_order``, this object.

    :param selectables: the objects of the reactor by file number.
    :param crowd: the class of accepted connections; those that have named no group are in the crowd.
    :param seconds: returns the monotonic clock, in seconds.
    """

    def __init__(
        self,
        selectables: Mapping[int, Any],
        crowd: type | tuple[type, ...],
        seconds: Callable[[], float],
    ) -> None:
        self._selectables = selectables
        self._crowd = crowd
        self._seconds = seconds
        self._first: dict[int, int] = {}  # events of the group FIRST, by file number
        self._held: dict[int, int] = {}  # events of the others that wait, by file number
        self._unread = set[int]()  # the file numbers of those that wait for their first read
        self._reads: dict[Group, dict[int, _Event]] = {group: {} for group in SHARES}
        self._lanes: dict[Group, tuple[_Lane, _Lane, _Lane]] = {group: ([], [], []) for group in SHARES}
        self._writes: dict[Group, dict[int, None]] = {group: {} for group in SHARES}
        self._virtual_time = dict.fromkeys(Group, 0.0)
        self._average = dict.fromkeys(Group, 1.0)  # of the costs of the last reads
        self._served = dict.fromkeys(Group, 0)  # the number of reads
        self._finishes = dict.fromkeys(SHARES, 0.0)  # for the shares: the finish tag of a group's last read
        self._start = 0.0  # for the shares: the start tag of the last read
        self._turn = 0
        self._count = 0  # the number of waits so far

    @property
    def waits(self) -> bool:
        """True while a socket waits."""
        return bool(self._first or self._held)

    @property
    def unread(self) -> int:
        """The number of connections that wait for their first read."""
        return len(self._unread)

    def held(self, file: int) -> int:
        """Return the events for which a socket waits here: the kernel need not report these again."""
        return self._held.get(file, 0) | self._first.get(file, 0) & (_IN | _OUT)

    def keep(self, file: int, wanted: int) -> None:
        """Drop the events of a socket that are not wanted now. The kernel reports them again later."""
        if file in self._first:
            self._first[file] &= wanted | _ENDED
            if not self._first[file] & wanted:
                del self._first[file]
        if file in self._held:
            self._drop(file, self._held[file] & ~wanted)

    def _drop(self, file: int, ready: int) -> None:
        """Drop these events of a socket that waits."""
        if ready & _IN:
            self._unread.discard(file)
        for group in SHARES:
            if ready & _IN:
                self._reads[group].pop(file, None)
            if ready & _OUT:
                self._writes[group].pop(file, None)
        self._held[file] &= ~ready
        if not self._held[file]:
            del self._held[file]

    def note_first(self, selectable: Any) -> None:
        """Move a socket to the group `FIRST`, if it waits for a read."""
        file = selectable.fileno()
        for reads in self._reads.values():
            if file in reads:
                self._first[file] = reads[file][1]
        if file in self._held:
            self._drop(file, _IN)

    def choose(self, events: Iterable[_Event]) -> Iterator[_Event]:
        """Begin a turn, and yield the events that it serves. The others wait.

        :param events: those that the kernel reports now.
        """
        self._turn += 1
        self._put_in_places(events)
        while self._first:
            file = next(iter(self._first))
            yield file, self._first.pop(file)
        yield from self._next_writes()
        began = self._seconds()
        for count in range(MOST_EVENTS):
            groups = [group for group in SHARES if self._reads[group]]
            if not groups or (count >= LEAST_EVENTS and self._seconds() - began >= READ_TIME):
                return
            group = min(groups, key=self._finishes.__getitem__)
            self._start = self._finishes[group]
            self._finishes[group] += 1 / SHARES[group]
            file, ready = self._next_read(group)
            yield file, self._note_read(self._selectables.get(file), group, ready)

    def _next_read(self, group: Group) -> _Event:
        """Remove and return the event of the socket that has its turn."""
        lanes, reads = self._lanes[group], self._reads[group]
        preferred = LANES[self._served[group] % len(LANES)]
        self._served[group] += 1
        for number in (preferred, FAIR, NEW):
            while lanes[number]:
                place, _, event = heappop(lanes[number])
                if reads.get(event[0]) is not event:
                    continue
                self._drop(event[0], _IN)
                if number == FAIR:
                    self._virtual_time[group] = max(self._virtual_time[group], place)
                if not reads:
                    for lane in lanes:
                        lane.clear()
                return event
        raise AssertionError("each socket that waits has places")

    def _put_in_places(self, events: Iterable[_Event]) -> None:
        for file, ready in events:
            selectable = self._selectables.get(file)
            group = self._group_of(selectable)
            if group is FIRST:
                self._first[file] = self._first.get(file, 0) | ready
                continue
            if ready & _OUT and not ready & _ENDED:
                self._writes[group][file] = None
                self._held[file] = self._held.get(file, 0) | _OUT
                ready &= ~_OUT
            if ready and not self._held.get(file, 0) & _IN:
                self._add_read(group, selectable, (file, ready))

    def _add_read(self, group: Group, selectable: Any, event: _Event) -> None:
        if not self._reads[group]:  # the group has no claim to the reads that the others had meanwhile
            self._finishes[group] = max(self._finishes[group], self._start)
        self._reads[group][event[0]] = event
        self._held[event[0]] = self._held.get(event[0], 0) | _IN
        self._count += 1
        turn: int | None = getattr(selectable, "event_turn", None)
        if turn is None:
            turn = self._turn
            setattr(selectable, "event_turn", turn)
            setattr(selectable, "event_order", self)
        finish = self._finish_of(selectable, group)
        if finish is None and self._turn - turn > NEW_TURNS:
            finish = self._virtual_time[group] - MOST_COST
            setattr(selectable, "event_finish", (group, finish))
        for lane in self._lanes[group]:
            if len(lane) > MOST_LEFT + 2 * len(self._reads[group]):
                lane[:] = [place for place in lane if self._reads[group].get(place[2][0]) is place[2]]
                heapify(lane)
        fair, new, all_ = self._lanes[group]
        heappush(all_, (turn, self._count, event))
        if finish is None:
            reads: int = getattr(selectable, "event_reads", 0)
            if not reads:
                self._unread.add(event[0])
            heappush(new, (reads * LONG_AFTER + turn, self._count, event))
        else:
            heappush(fair, (finish, self._count, event))

    def _group_of(self, selectable: object) -> Group:
        group: Callable[[], Group] | None = getattr(selectable, "event_group", None)
        if group is not None:
            return group()
        return CROWD if isinstance(selectable, self._crowd) else FIRST

    def _next_writes(self) -> Iterator[_Event]:
        """Yield the events of sockets to which the turn only writes."""
        served = dict.fromkeys(SHARES, 0)
        for _ in range(MOST_WRITES):
            groups = [group for group in SHARES if self._writes[group]]
            if not groups:
                return
            group = min(groups, key=lambda each: served[each] / SHARES[each])
            served[group] += 1
            file = next(iter(self._writes[group]))
            self._drop(file, _OUT)
            yield file, _OUT

    def _finish_of(self, selectable: Any, group: Group) -> float | None:
        """Return the finish tag of a socket's last read; None of a new connection."""
        last: tuple[Group, float] | None = getattr(selectable, "event_finish", None)
        now = self._virtual_time[group]
        if last is None:
            return None
        return min(last[1], now + MOST_COST) if last[0] is group else now

    def _note_read(self, selectable: Any, group: Group, ready: int) -> int:
        """Note that a socket is read from, and return its events."""
        setattr(selectable, "event_turn", self._turn)
        reads = getattr(selectable, "event_reads", 0) + 1
        setattr(selectable, "event_reads", reads)
        cost = None if ready & _ENDED else _cost(selectable, group)
        if cost is None:
            return ready if ready & _ENDED else _ENDED
        self._average[group] += (cost - self._average[group]) / AVERAGED
        now, finish = self._virtual_time[group], self._finish_of(selectable, group)
        if finish is None and reads < NEW_READS:
            return ready
        start = now if finish is None else max(now - MOST_COST, finish)
        setattr(selectable, "event_finish", (group, start + min(cost, max(1.0, self._average[group]))))
        return ready


def _cost(selectable: Any, group: Group) -> int | None:
    """Return the cost of the next read from a socket. A line of a request to the page is no message.

    :returns: None if its connection is lost. This look has taken the error from the socket (``tcp(7)``,
        SO_ERROR), so the reactor must hear of the loss: it would find a connection that was closed in good
        order.
    """
    try:
        waiting: bytes = selectable.socket.recv(LOOKED_AT, MSG_PEEK | MSG_DONTWAIT)
    except (AttributeError, BlockingIOError):  # no socket, or nothing to read
        return 1
    except OSError:
        return None
    ends = waiting.count(b"\r\n") if group is CROWD else 0
    messages = max(1, ends, len(waiting) // MESSAGE_SIZE)
    return min(MOST_COST, max(1, messages * messages // 4))
