"""`EventOrder`: which sockets a turn of the reactor serves, if more are ready than it can serve.

A thousand clients may send at the same moment. In the order of the kernel, the bytes of the mount and of the
holder of command would wait behind all of them. So the sockets have groups. A turn reads from all sockets
that go first, and then from the others until the turn has lasted for `READ_TIME`. The other groups have
shares of these reads, and each group has lanes that take turns (`LANES`):

* The fair lane: a client with few messages goes before a crowd that sends on and on, also if it sends ten
  messages a second.
* The lane of new connections, for their first `NEW_READS`.
* The lane of all: the socket that was read least lately goes first. So each one waits for a round at most,
  whatever it sends.

What this side has to send never waits behind what others have sent: a turn also writes to `MOST_WRITES`
sockets, from which it does not read.

It looks at the bytes of a socket without reading them. Next to read: `reactors`, which polls; `halves`,
``frontends.tcp.ports`` and ``frontends.web.http.site``, whose sockets have groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from heapq import heapify, heappop, heappush
from socket import MSG_DONTWAIT, MSG_PEEK
from typing import Any, TypeAlias

MOST_EVENTS = 32
"""The most sockets from which a turn of the reactor reads, but for those that go first. The end of a TLS
connection takes 0.3 ms."""

LEAST_EVENTS = 4
"""The number of these sockets from which a turn reads, however long it has lasted."""

READ_TIME = 0.003
"""The time for which a turn goes on to read from them, in seconds. The rest of the time of `turn_time` is
left for the work that timers begin."""

MOST_LOOKED_AT = 512
"""The most sockets of which the kernel tells in a turn that they are ready. It tells of the others in the
next turns, in their order (``epoll(7)``). To give each its place takes a microsecond or two."""

MOST_WRITES = 32
"""The most sockets to which a turn only writes. The reply to a stop may be there. A write takes 20 µs."""

MOST_COST = 32
"""The largest cost of a read in the fair lane, and the lead that a client has after a rest. The cost is a
quarter of the square of the number of messages, and at least 1: a client that is served as fast as it sends
has one or two of them, and a client of a crowd that saturates this process has more. But no read costs more
than the average one: a client with still more messages is read as often as the others."""

NEW_READS, NEW_TURNS = 4, 256
"""The number of reads for which a connection is a new one: a TLS handshake and a stop; and the number of
turns of a rest after which it is a new one no more. Of new ones, those with fewer reads go first."""

LONG_AFTER = 1 << 50
"""A number of turns that no process lives to."""

AVERAGED = 32
"""The number of reads over which the average cost is taken, roughly."""

LOOKED_AT, MESSAGE_SIZE = 2048, 128
"""The most bytes of a socket in which messages are counted, and the size of a message if its bytes have no
ends of lines, as under TLS, and at the page."""

_IN, _OUT, _ENDED = 0x1, 0x4, 0x8 | 0x10
"""``EPOLLIN``; ``EPOLLOUT``; ``EPOLLERR`` and ``EPOLLHUP`` (``sys/epoll.h``)."""

_Event: TypeAlias = tuple[int, int]
"""A file number, and what it is ready for."""


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
"""How many of nine reads and of nine writes a group has, if sockets of all groups wait. The others have
those of a group of which none waits."""

FAIR, NEW, ALL = range(3)
LANES = (FAIR, NEW, ALL, NEW)
"""The lane of each of four reads of a group. If no socket waits in the lane, the fair one has the read."""

_Lane: TypeAlias = list[tuple[float, int, _Event]]
"""A heap of sockets that wait for a read: the least number goes first, and of equal ones the first that came.
A socket is in two lanes; so some in a lane wait no more: at most as many as wait, and `MOST_LEFT`."""

MOST_LEFT = 64
"""The number of sockets in a lane that wait no more and need not be removed from it."""


def set_group(transport: object, group: Callable[[], Group]) -> None:
    """Name the group of a connection's socket.

    :param transport: its transport, maybe above TLS.
    :param group: returns its present group. If that becomes `FIRST`, `note_first` must be called.
    """
    setattr(_lowest(transport), "event_group", group)


def note_first(transport: object) -> None:
    """Note that a connection's socket goes first from now on. It may be waiting behind others already.

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

    The fair lane has the order of start-time fair queueing (Goyal, Vin, Cheng, 1996): the read of a socket
    starts at the end of its last one, but at most `MOST_COST` before the start of the latest read in its
    group. Its end is its cost later. The socket with the earliest start goes first.

    The transport of an accepted connection has the attributes ``event_reads``, the number of reads from it;
    ``event_turn``, the turn of the latest one, or of the first wait for one; ``event_end``, the end of this
    read if the connection is no new one; and ``event_order``, this object.

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
        self._first: dict[int, int] = {}  # what those that go first are ready for, by file number
        self._held: dict[int, int] = {}  # for what the others wait
        self._unread = set[int]()  # those of them that wait for their first read
        self._reads: dict[Group, dict[int, _Event]] = {group: {} for group in SHARES}
        self._lanes: dict[Group, tuple[_Lane, _Lane, _Lane]] = {group: ([], [], []) for group in SHARES}
        self._writes: dict[Group, dict[int, None]] = {group: {} for group in SHARES}
        self._latest = dict.fromkeys(Group, 0.0)  # the start of the latest read in the fair lane
        self._average = dict.fromkeys(Group, 1.0)  # of the costs of the last reads
        self._served = dict.fromkeys(Group, 0)  # the number of reads
        self._ends = dict.fromkeys(SHARES, 0.0)  # of the latest read of each group, for the shares
        self._start = 0.0  # of the latest read
        self._turn = 0
        self._count = 0  # of the waits so far

    @property
    def waits(self) -> bool:
        """True while a socket waits."""
        return bool(self._first or self._held)

    @property
    def unread(self) -> int:
        """The number of connections that wait for their first read."""
        return len(self._unread)

    def held(self, file: int) -> int:
        """Return for what a socket waits here: the kernel need not tell of that again."""
        return self._held.get(file, 0) | self._first.get(file, 0) & (_IN | _OUT)

    def keep(self, file: int, wanted: int) -> None:
        """Let a socket wait for nothing but this. The kernel tells of the rest again when it is wanted."""
        if file in self._first:
            self._first[file] &= wanted | _ENDED
            if not self._first[file] & wanted:
                del self._first[file]
        if file in self._held:
            self._drop(file, self._held[file] & ~wanted)

    def _drop(self, file: int, ready: int) -> None:
        """Let a socket wait for this no more."""
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
        """Let a socket that may wait go first from now on."""
        file = selectable.fileno()
        for reads in self._reads.values():
            if file in reads:
                self._first[file] = reads[file][1]
        if file in self._held:
            self._drop(file, _IN)

    def choose(self, events: Iterable[_Event]) -> Iterator[_Event]:
        """Yield the events that this turn serves, which begins now. The others wait.

        :param events: those of which the kernel has told now.
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
            group = min(groups, key=self._ends.__getitem__)
            self._start = self._ends[group]
            self._ends[group] += 1 / SHARES[group]
            file, ready = self._next_read(group)
            yield file, self._note_read(self._selectables.get(file), group, ready)

    def _next_read(self, group: Group) -> _Event:
        """Remove the one that has its turn."""
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
                    self._latest[group] = max(self._latest[group], place)
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
        if not self._reads[group]:  # it has no claim to the reads that the others had meanwhile
            self._ends[group] = max(self._ends[group], self._start)
        self._reads[group][event[0]] = event
        self._held[event[0]] = self._held.get(event[0], 0) | _IN
        self._count += 1
        turn: int | None = getattr(selectable, "event_turn", None)
        if turn is None:
            turn = self._turn
            setattr(selectable, "event_turn", turn)
            setattr(selectable, "event_order", self)
        end = self._end_of(selectable, group)
        if end is None and self._turn - turn > NEW_TURNS:
            end = self._latest[group] - MOST_COST
            setattr(selectable, "event_end", end)
        for lane in self._lanes[group]:
            if len(lane) > MOST_LEFT + 2 * len(self._reads[group]):
                lane[:] = [place for place in lane if self._reads[group].get(place[2][0]) is place[2]]
                heapify(lane)
        fair, new, all_ = self._lanes[group]
        heappush(all_, (turn, self._count, event))
        if end is None:
            reads: int = getattr(selectable, "event_reads", 0)
            if not reads:
                self._unread.add(event[0])
            heappush(new, (reads * LONG_AFTER + turn, self._count, event))
        else:
            heappush(fair, (end, self._count, event))

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

    def _end_of(self, selectable: Any, group: Group) -> float | None:
        """Return the end of the last read of a socket; None of a new connection."""
        end: float | None = getattr(selectable, "event_end", None)
        latest = self._latest[group]
        if end is not None:
            return end if end <= latest + MOST_COST else latest  # it was in another group
        return None

    def _note_read(self, selectable: Any, group: Group, ready: int) -> int:
        """Note that a socket is read from, and return what it is ready for."""
        setattr(selectable, "event_turn", self._turn)
        reads = getattr(selectable, "event_reads", 0) + 1
        setattr(selectable, "event_reads", reads)
        cost = None if ready & _ENDED else _cost(selectable, group)
        if cost is None:
            return ready if ready & _ENDED else _ENDED
        self._average[group] += (cost - self._average[group]) / AVERAGED
        latest, end = self._latest[group], self._end_of(selectable, group)
        if end is None and reads < NEW_READS:
            return ready
        start = latest if end is None else max(latest - MOST_COST, end)
        setattr(selectable, "event_end", start + min(cost, max(1.0, self._average[group])))
        return ready


def _cost(selectable: Any, group: Group) -> int | None:
    """Return the cost of the next read from a socket. A line of a request to the page is no message.

    :returns: None if its connection is lost. The look took the error from the socket (tcp(7), SO_ERROR): so
        the reactor must hear of it, or it would find a connection that was closed in good order.
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
