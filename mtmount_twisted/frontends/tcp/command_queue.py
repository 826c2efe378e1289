"""`CommandQueue`: the commands of one commander in the order of arrival. Commands that the bridge will refuse
take turns.

The bridge refuses the commands of a commander that does not have command. A refusal takes the bridge as long
as a command, so a commander that sends moves without end would delay the holder. The queue therefore
dispatches such commands in turns (`net.turns`). The commands of the holder and the first stops of any
commander in a second never wait for these turns. A commander's first asks in a second go before all refusals.
If a commander has not asked for `QUIET_TIME`, its ask goes before other asks, so that it waits for no crowd
that asks without end. If several such asks wait, the newest goes first.

The bridge looks at each command that waits to find the stops. The looks take turns, too, because a crowd of
commanders may send at the same moment. The look at the newest commands of a commander goes first. A turn of
the reactor has one for each socket that it serves, so that a stop waits for no crowd as soon as it is
received. So the connection receives on while many commands wait: the queue refuses the oldest as ``busy``, in
the turns of the looks, or drops them.

It pauses its connection's reader, and does no other I/O. Next to read: `commanders` and `ports`, in which
each client has a queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, repeat
from typing import TypeAlias

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.dialects.dialect import CommandEnvelope, CommandKind, Translator
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.allowances import Allowance
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.net.turns import LEAST, Rank, Turns

_log = Logger()

STOPS_AT_ONCE = 16
"""The number of stops of one commander without command that wait for no turn, in `ALLOWANCE_TIME`."""

FREE_COUNTS = 4
"""The number of refusals that a further stop counts as, or a question for the state or the settings, or a
translated command. A stop goes to the mount, and all clients get its reply. The answer to a question has up
to 56 KiB. A translation takes 0.3 ms."""

ASK_COUNTS = 8
"""The number of refusals that an ask counts as: a grant ends a lease, is eight rows of the journal, and tells
other clients. It takes 2 ms."""

ASKS_FIRST = 2
"""The number of asks or heartbeats of one commander that go before all refusals, in `ALLOWANCE_TIME`."""

LOOKED_FIRST = 2
"""The number of the newest commands of a commander that have turns of their own to be looked at."""

MORE_LOOKS, MORE_AT_ONCE = 128, 16
"""The number of older commands of one commander that are looked at together with its newest ones, in
`ALLOWANCE_TIME`, and at once. So a stop with a few commands behind it waits for no crowd, either."""

FEW_ARRIVE = 40
"""If at most so many commands arrive while there is no room for more, all older ones are looked at, up to
`MAX_LINES`. Then the oldest can be dropped, and the connection of a tracker is never paused. That makes room
for 64 commands, so each command is looked at once."""

PAUSED_TIME = 0.2
"""The time for which a connection may be paused for want of room, before all its commands are looked at and
the oldest are dropped, in seconds."""

LOOKED_BYTES = 512
"""The largest number of bytes of a command that a look reads: the header is at the start. So a look at any
line takes as long as at a short one."""

LOOKED_AT_END = 16
"""The largest number of commands that are looked at, at the end of a connection without a stop at its end."""

LOOKED_BEFORE_STOP = 64
"""The same, if a stop was found behind them."""

MAX_LINES, MAX_BYTES = 128, 8192
"""The number of commands that wait, and of their bytes, beyond which the oldest ones are ``busy``. It is more
than a commander may have in flight by default. With half as many more, the queue drops the oldest that were
looked at, without an answer: in a crowd their refusals would not have turns in time. The connection receives
no more only while so many commands were not looked at."""

MOST_APART = MAX_LINES * 3 // 2 + 160
"""The largest number of lines that are kept one by one, and that the looks search: those with which the
connection still receives, and a chunk. A chunk (`protocol.RECEIVED_AT_ONCE`) has 160 whole commands at most;
one with more lines has malformed ones."""

ALLOWANCE_TIME = 1.0
"""Time after which a commander has these allowances again, in seconds."""

QUIET_TIME = 10.0
"""Time without an ask of a commander after which its next ask goes before those of others, in seconds."""


def line_cost(translator: Translator | None) -> int:
    """Return the number of bytes that the refusal of a client's short line counts as."""
    return LEAST if translator is None else FREE_COUNTS * LEAST


class _Look:
    """The look at the commands of one queue, which has turns of its own; see `turns.Reader`."""

    def __init__(self, read_slice: Callable[[int], int]) -> None:
        self.read_slice = read_slice


_Waiting: TypeAlias = tuple[bytes, int, CommandKind | None, CommandEnvelope | None]
"""A command that waits; a plain tuple, because many are made at once.

* The line.
* The bridge's number of stops when the command came.
* The facts about the client's own command once they are read; else None.
* Its envelope once it is read, so that a line is read once; else None.
"""


class CommandQueue:
    """The commands of one commander that the bridge has not processed yet.

    :param turns: the turns of all commanders that do not have command.
    :param first_looks: the turns for the looks at the newest commands, which find stops among them.
    :param looks: the turns of the other looks.
    :param clock: measures the time in which a commander's first stops and asks have precedence.
    :ivar drained: called in a turn that leaves no command waiting.
    """

    def __init__(
        self,
        client: IClient,
        bridge: Bridge,
        turns: Turns,
        first_looks: Turns,
        looks: Turns,
        clock: IReactorTime,
    ) -> None:
        self._client = client
        self._bridge = bridge
        self._turns = turns
        self._first_looks = first_looks
        self._looks = looks
        self._first_look = _Look(self._look_at_newest)
        self._look = _Look(self._look_for_stops)
        self._catch_up = _Look(self._look_at_all)
        self._paused: Deadline | None = None  # runs while the reader is paused for want of room
        self.drained: Callable[[], object] = lambda: None
        self._reader: LineReader | None = None
        self._refused = 0  # bytes of this slice that were refused
        self._behind_asks = 0  # bytes of this slice that wait behind an ask, or followed it at once
        self._looked = 0  # bytes of this slice that were looked at
        self._arrived = 0  # commands since the last look at the newest
        self._has_more = False  # commands behind this slice were not looked at
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0  # of these lines
        self._rest: deque[tuple[list[bytes], int]] = deque()  # lines behind them, with the number of stops
        self._seen = 0  # the number of commands at the front whose look is over
        self._stops_at_once = Allowance(clock.seconds, STOPS_AT_ONCE, ALLOWANCE_TIME)
        self._asks_first = Allowance(clock.seconds, ASKS_FIRST, ALLOWANCE_TIME)
        self._more_looks = Allowance(clock.seconds, MORE_LOOKS, ALLOWANCE_TIME)
        self._asked_at = -QUIET_TIME  # in seconds
        self._clock = clock
        self._rank = Rank.USUAL  # a higher rank: the next turn is for the ask at the front

    def open(self, reader: LineReader) -> None:
        """Accept commands from now on, from this reader."""
        self._reader = reader

    def close(self) -> None:
        """Drop the commands that wait, and accept no more: the client is being disconnected."""
        if self._waiting:
            left = [line for line, *_ in self._waiting]
            self._bridge.leave_out(self._client, left + [line for lines, _ in self._rest for line in lines])
        self._end_pause()
        self._waiting.clear()
        self._rest.clear()
        self._bytes = self._seen = 0
        self._turns.discard(self)
        self._first_looks.discard(self._first_look)
        self._first_looks.discard(self._catch_up)
        self._looks.discard(self._look)
        self._rank = Rank.USUAL
        self._reader = None

    def let_go(self) -> None:
        """Give up the references by which the closed queue and its client keep each other: it is not opened
        again."""
        self.drained = lambda: None
        del self._client, self._first_look, self._look, self._catch_up

    def add(self, lines: list[bytes]) -> None:
        """Dispatch commands, or let them wait for a turn."""
        if len(lines) == 1 and not self._waiting and self._has_command:
            # The usual case. The rules below come to the same: the holder waits for no turn, and no stop can
            # overtake a command that stands alone.
            self._bridge.commanded(self._client, lines[0])
            return
        self._rest.append((lines, self._bridge.stops))
        self._arrived += len(lines)
        self._refill()
        if self._has_command:
            self._dispatch(0)
        if self._waiting:
            self._request_turn()
        if self._waiting:
            # A stop may be among them: other work in the turn does not delay this look (`turn_time`).
            self._first_looks.add(self._first_look, Rank.SECOND)
        if self._waiting:
            self._looks.add(self._look)
        if self._reader is not None and not self._has_room:
            self._reader.pause()
            if self._paused is None:
                self._paused = Deadline(self._clock, PAUSED_TIME, self._has_paused_long)

    def _refill(self) -> None:
        """Keep more of the received lines one by one: a chunk may have 2,000 lines."""
        while self._rest and len(self._waiting) < MOST_APART:
            lines, stops = self._rest[0]
            room = MOST_APART - len(self._waiting)
            if len(lines) <= room:
                self._rest.popleft()
                taken = lines
            else:
                taken = lines[:room]
                del lines[:room]
            self._waiting += zip(taken, repeat(stops), repeat(None), repeat(None))
            self._bytes += sum(map(len, taken))

    def finish(self) -> None:
        """Dispatch the stops that wait: the client has ended its connection behind them.

        Hundreds of connections may end at once. So few commands are looked at that were not looked at before,
        unless a stop was found behind them, and the journal only counts the commands that are no stops
        (`close`).
        """
        if self._waiting and self._has_command:
            self._guarded(self._dispatch, 0)
        if self._waiting:
            self._looked = 0
            self._guarded(self._dispatch_newest, 0)
            most = LOOKED_BEFORE_STOP if self._has_stop else LOOKED_AT_END
            self._guarded(self._dispatch_stops, self._looked + most * LEAST)
        self.close()

    @property
    def waits(self) -> bool:
        """True while a command waits."""
        return bool(self._waiting)

    @property
    def _has_room(self) -> bool:
        count, size = len(self._waiting), self._bytes
        return not self._rest and count <= MAX_LINES * 3 // 2 and size <= MAX_BYTES * 3 // 2

    @property
    def _has_too_many(self) -> bool:
        return len(self._waiting) > MAX_LINES or (self._bytes > MAX_BYTES and len(self._waiting) > 1)

    def _has_paused_long(self) -> None:
        self._paused = None
        if self._waiting and not self._has_room:
            self._first_looks.add(self._catch_up)

    def _end_pause(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None

    def _went_on(self) -> None:
        if self._reader is not None and self._has_room:
            self._end_pause()
            self._reader.resume()
        if not self._waiting:
            self.drained()

    def read_slice(self, most: int) -> int:
        """Dispatch commands in this commander's turn; see `turns.Reader`."""
        if self._rank is not Rank.USUAL and self._waiting:
            # The ask, the commands that it lets through, and at most one refusal.
            most = max(LEAST, len(self._waiting[0][0])) + 1
        self._rank = Rank.USUAL
        self._guarded(self._dispatch, most)
        used = self._refused + self._behind_asks
        if self._waiting:
            self._request_turn()
        self._went_on()
        return used

    def _guarded(self, dispatch: Callable[[int], None], most: int) -> None:
        """Dispatch commands. An error ends this connection; else it would end the one that the reactor just
        reads."""
        reader = self._reader
        try:
            dispatch(most)
        except Exception:
            _log.failure("failed to dispatch a command")
            self.close()
            if reader is not None:
                reader.read_no_more()
                reader.transport.abortConnection()

    def _request_turn(self) -> None:
        """Request a turn: before all refusals for an ask or a heartbeat, unless there were many lately."""
        if self._rank is Rank.USUAL:
            self._waiting[0] = first = self._look_at(self._waiting[0])
            kind = first[2]
            if kind is not None and (kind.is_ask or kind.is_heartbeat):
                self._rank = self._rank_of(kind)
        self._turns.add(self, self._rank)

    def _rank_of(self, kind: CommandKind) -> Rank:
        """Return the rank of an ask or a heartbeat, and note it."""
        was_quiet = False
        if kind.is_ask:
            now = self._clock.seconds()
            was_quiet, self._asked_at = now - self._asked_at >= QUIET_TIME, now
        if not self._asks_first.take():
            return Rank.USUAL
        return Rank.FIRST if was_quiet else Rank.SECOND

    @property
    def _has_command(self) -> bool:
        return self._bridge.lease.holder is self._client

    def _dispatch(self, most: int) -> None:
        """Dispatch commands until refusals have used up a slice. Commands of the holder use up nothing.

        :param most: the size of the slice, in bytes; 0 to dispatch while the client has command.
        """
        self._refused = self._behind_asks = 0
        while self._waiting and self._may_go_on(most):
            line, stops, _, header = self._waiting[0]
            if stops == self._bridge.stops:
                self._bridge.all_read(self._client, self._on_time(most))
            else:
                self._take_first()
                header = header or self._read(line)
                self._bridge.commanded_late(self._client, line, header)
                self._refused += self._cost(line, header)

    def _take_first(self) -> _Waiting:
        first = self._waiting.popleft()
        self._bytes -= len(first[0])
        self._seen = max(0, self._seen - 1)
        if self._rest and len(self._waiting) <= MAX_LINES:
            self._refill()
        return first

    def _may_go_on(self, most: int) -> bool:
        return self._has_command or self._refused < most

    def _on_time(self, most: int) -> Iterator[tuple[bytes, CommandEnvelope | None]]:
        """Yield the commands of a slice that no stop has overtaken, and count the refused ones."""
        client, bridge, waiting = self._client, self._bridge, self._waiting
        while waiting and self._may_go_on(most) and waiting[0][1] == bridge.stops:
            line, _, _, header = self._take_first()
            header = header or self._read(line)
            in_flight = client.in_flight
            yield line, header
            if not self._has_command and (client.in_flight <= in_flight or self._counts(header)):
                self._refused += self._cost(line, header)
            else:  # these commands do not wait for a turn, but the commanders behind them do
                self._behind_asks += self._cost(line, header)

    def _counts(self, header: CommandEnvelope | None) -> bool:
        """Return True if a command uses up a slice even if the bridge accepts it."""
        return header is not None and (header.kind.is_ask or _is_free(header))

    def _cost(self, line: bytes, header: CommandEnvelope | None) -> int:
        """Return the number of bytes that a command counts as."""
        cost = max(line_cost(self._client.translator), len(line))
        if header is None:
            return cost
        return cost * (ASK_COUNTS if header.kind.is_ask else FREE_COUNTS if _is_free(header) else 1)

    def _read(self, line: bytes) -> CommandEnvelope | None:
        try:
            return self._bridge.spoken_by(self._client).read_command(line)
        except LineError:
            return None

    def _look_at(self, waiting: _Waiting) -> _Waiting:
        """Return a command with its facts in the client's own dialect.

        Nothing is translated before its turn: a translation takes ten times as long as a look.
        """
        line, stops, kind, header = waiting
        if kind is not None:
            return waiting
        translator = self._client.translator
        if translator is None and len(line) <= LOOKED_BYTES:
            header = self._read(line)
            return line, stops, None if header is None else header.kind, header
        dialect = self._bridge.dialect if translator is None else translator.dialect
        is_long = len(line) > LOOKED_BYTES
        looked_at = line[:LOOKED_BYTES].rpartition(b"\n")[0] if is_long else line  # whole fields
        with suppress(LineError):
            kind = dialect.read_command(looked_at).kind
        return line, stops, kind, header

    def _look_for_stops(self, most: int) -> int:
        """Look at the next commands in the turn for that; see `turns.Reader`.

        :returns: the number of bytes that the commands count as.
        """
        self._looked = 0
        if self._has_command:
            self._guarded(self._dispatch, 0)
        self._guarded(self._dispatch_stops, most)
        self._guarded(self._refuse_oldest, most)
        looked = self._looked
        if self._has_more and self._reader is not None:
            self._looks.add(self._look, Rank.SECOND if self._has_stop else Rank.USUAL)
        self._went_on()
        return looked

    @property
    def _has_stop(self) -> bool:
        """True if a stop that was found waits for the looks at the commands in front of it."""
        return any(
            each[2] is not None and each[2].is_stop for each in islice(self._waiting, self._seen, None)
        )

    def _look_at_newest(self, most: int) -> int:
        """Look at the newest commands, in the turn for that; see `turns.Reader`.

        The commands in front of a stop must be looked at before, because one may be malformed. If these are
        many, the stop waits for the other looks, before those at commands of others.
        """
        self._looked = 0
        self._has_more = False
        self._guarded(self._dispatch_newest, most)
        looked = self._looked  # the others have an allowance of their own
        has_more = self._has_more
        self._guarded(self._look_at_oldest, most)
        self._has_more = has_more
        if not self._has_room:
            self._drop_oldest()
        if self._has_more and self._reader is not None:
            # Before the commanders that have no stop among their commands.
            self._looks.add(self._look, Rank.SECOND)
        self._went_on()
        return looked

    def _look_at_all(self, most: int) -> int:
        """Look at the commands of a connection that was paused for `PAUSED_TIME`, and make room; see
        `turns.Reader`.

        Without these turns, the stop behind them would wait in the system for the other looks of a crowd.
        """
        self._looked = 0
        if self._has_command:
            self._guarded(self._dispatch, 0)
        seen = self._seen
        self._guarded(self._dispatch_stops, MAX_LINES * LEAST)
        if not self._has_room:
            self._drop_oldest()
        looked = self._looked
        if not self._has_room and self._seen > seen and self._reader is not None:
            self._first_looks.add(self._catch_up)
        self._went_on()
        return looked

    def _dispatch_newest(self, most: int) -> None:
        waiting = self._waiting
        for place in range(len(waiting) - 1, max(self._seen, len(waiting) - LOOKED_FIRST) - 1, -1):
            if waiting[place][2] is None:
                self._looked += LEAST
                waiting[place] = self._look_at(waiting[place])
            kind = waiting[place][2]
            if kind is not None and kind.is_stop:
                not_seen = sum(each[2] is None for each in islice(waiting, self._seen, place))
                if not_seen <= LOOKED_FIRST:
                    self._dispatch_stops(self._looked + 3 * LOOKED_FIRST * LEAST)
                else:
                    self._has_more = True
                break

    def _look_at_oldest(self, most: int) -> None:
        """Look at the commands in front of the newest ones, at a few of them."""
        arrived, self._arrived = self._arrived, 0
        if arrived > FEW_ARRIVE:
            return
        not_looked_at = sum(each[2] is None for each in islice(self._waiting, self._seen, None))
        if self._has_room:
            count = self._more_looks.take(min(not_looked_at, MORE_AT_ONCE))
        else:
            count = min(not_looked_at, MAX_LINES)
        if count or not not_looked_at:
            self._dispatch_stops(self._looked + count * LEAST + (count == not_looked_at))

    def _refuse_oldest(self, most: int) -> None:
        """Refuse the oldest commands beyond the bounds, but no stop, no ask and no malformed line."""
        refused: list[bytes] = []
        while self._has_too_many:
            if self._looked >= most:
                self._has_more = True
                break
            line = self._take_oldest()
            if line is None:
                break
            refused.append(line)
            self._looked += FREE_COUNTS * LEAST
            self._refill()
        if refused:
            why = f"more than {MAX_LINES} commands or {MAX_BYTES} bytes of {self._client.name} wait"
            self._bridge.refuse_busy(self._client, refused, LOOKED_BYTES, why)

    def _take_oldest(self) -> bytes | None:
        """Remove the oldest command that was looked at and is no stop and no ask; None if there is none."""
        places = range(min(self._seen, len(self._waiting)))
        place = next((each for each in places if _may_be_busy(self._waiting[each][2])), None)
        if place is None:
            return None
        line = self._waiting[place][0]
        del self._waiting[place]
        self._bytes -= len(line)
        self._seen -= 1
        return line

    def _drop_oldest(self) -> None:
        """Drop the oldest commands beyond the bounds, but no stop and no ask, if all were looked at."""
        while self._seen < len(self._waiting) and _may_be_busy(self._waiting[self._seen][2]):
            self._seen += 1
        if self._seen < len(self._waiting) or self._rest:
            return
        dropped: list[bytes] = []
        while self._has_too_many and (line := self._take_oldest()) is not None:
            dropped.append(line)
        if dropped:
            self._bridge.leave_out(self._client, dropped)

    def _dispatch_stops(self, most: int) -> None:
        """Dispatch the first stops, but no stop behind a malformed line.

        A stop goes before the asks of its sender, too, unless an ask decides on it: if only the holder may
        stop. Such a stop waits no longer than its ask, because the holder waits for no turn.

        :param most: the number of bytes at which the look ends, to go on in a later turn.
        """
        asks_decide = not self._bridge.anyone_may_stop
        waiting = self._waiting
        self._has_more = False
        while self._seen < len(waiting):
            if self._looked >= most:
                self._has_more = True
                break
            each = waiting[self._seen]
            if each[2] is None:
                self._looked += LEAST
                waiting[self._seen] = each = self._look_at(each)
            line, _, kind, header = each
            is_stop = kind is not None and kind.is_stop
            if is_stop and self._stops_at_once.take():
                self._bytes -= len(line)
                del waiting[self._seen]
                self._refill()
                self._bridge.commanded(self._client, line, header)
            elif is_stop or kind is None or (kind.is_ask and asks_decide):
                break
            else:
                self._seen += 1


def _may_be_busy(kind: CommandKind | None) -> bool:
    return kind is not None and not (kind.is_stop or kind.is_ask)


def _is_free(header: CommandEnvelope) -> bool:
    """Return True for a command that the bridge may accept of a client without command."""
    return header.kind.is_stop or header.kind.recalls is not None
