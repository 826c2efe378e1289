"""Replay of a commander's recorded commands to a simulator or a mount.

It sends each line in the dialect of the recording, byte for byte, except for three fields: the sequence id
and the time of sending are new, and the ``tai`` of a track command is shifted by as much time as the line
itself.

Next to read: `program`, which makes the connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.errors import (
    ConnectionLostError,
    LineError,
    MTMountError,
    NotConnectedError,
    PairClosedError,
)
from mtmount_twisted.journal.reading import Entry, is_command
from mtmount_twisted.journal.schema import STEPS, is_end
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.pair import ConnectionPair

FIRST_SEQUENCE_ID = 1

_TAKEN = ("sent", "local")
"""The steps of a command that had an effect on the mount or on the holder of command."""

_LOST = (ConnectionLostError, NotConnectedError, PairClosedError)


class Recorded(NamedTuple):
    """A command that a commander once sent."""

    time: float
    code: int
    line: bytes
    dialect: Dialect


def recorded_commands(entries: Iterable[Entry], *, also_refused: bool = False) -> list[Recorded]:
    """Return the commands in the entries, as their commanders sent them.

    :param entries: lines and steps.
    :param also_refused: True to include commands that the bridge refused, or could not send.
    """
    commands: dict[int, Recorded] = {}
    last: dict[tuple[int, str, int], int] = {}  # the line's id by run, peer and sequence id
    taken: set[int] = set()
    for entry in entries:
        if entry.what in _TAKEN and entry.table == "step":
            taken.add(last.get((entry.run, entry.peer, entry.sequence_id), 0))
        if entry.line is None or entry.what != "from" or not is_command(entry):
            continue
        try:
            header = entry.dialect.read_header(entry.line, True)
        except LineError:
            continue  # the bridge rejected this line, too
        commands[entry.id] = Recorded(entry.time, header.code, entry.line, entry.dialect)
        last[entry.run, entry.peer, header.sequence_id or 0] = entry.id
    return [command for number, command in commands.items() if also_refused or number in taken]


def renewed(command: Recorded, sequence_id: int, now: float, *, keep_tai: bool = False) -> bytes:
    """Return the line of a recorded command, renewed so that it can be sent now.

    :param sequence_id: the new sequence id of the command.
    :param now: the current time (s, Unix time).
    :param keep_tai: True to leave ``tai`` as recorded.
    """
    return command.dialect.renewed(command.line, sequence_id, 0.0 if keep_tai else now - command.time)


class Replay:
    """One replay.

    :param pair: the connections to the receiver of the commands, which are up.
    :param dialect: the dialect of all commands and of their answers.
    :param speed: factor by which the replay is faster than the recording.
    :param patience: longest wait for answers after the last command, in seconds.
    :param show: called with a direction (``"to"`` or ``"from"``) and each line.
    """

    def __init__(
        self,
        reactor: Any,
        pair: ConnectionPair[bytes],
        dialect: Dialect,
        show: Callable[[str, bytes], None],
        wall_clock: Callable[[], float],
        *,
        speed: float = 1.0,
        patience: float = 60.0,
        keep_tai: bool = False,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._reactor = reactor
        self._pair = pair
        self._dialect = dialect
        self._show = show
        self._wall_clock = wall_clock
        self._speed = speed
        self._patience = patience
        self._keep_tai = keep_tai
        self._open: dict[int, Recorded] = {}  # by sequence id
        self._all_sent = False
        self._over: Deferred[None] = Deferred()

    async def run(self, commands: list[Recorded]) -> Counter[str]:
        """Send the commands at the recorded pace times `speed`, and wait for their answers.

        :returns: number of commands by outcome: ``done``, ``ack`` (of track commands), ``noack``,
            ``unanswered``.
        """
        reading = Deferred.fromCoroutine(self._read())
        try:
            await self._send(commands)
            self._all_sent = True
            self._look_whether_over()
            await self._over.addTimeout(self._patience, FairClock(self._reactor))
        except (TimeoutError, *_LOST):
            pass  # open commands are counted below
        finally:
            reading.addErrback(lambda reason: reason.trap(CancelledError))
            self._reactor.callLater(0, reading.cancel)  # not at once: this code may run inside the reading
        self.outcomes["unanswered"] += len(commands) - self.outcomes.total()
        return +self.outcomes

    async def _send(self, commands: list[Recorded]) -> None:
        begun = self._reactor.seconds()
        for sequence_id, command in enumerate(commands, FIRST_SEQUENCE_ID):
            due = begun + max(0.0, command.time - commands[0].time) / self._speed
            await deferLater(self._reactor, max(0.0, due - self._reactor.seconds()))
            line = renewed(command, sequence_id, self._wall_clock(), keep_tai=self._keep_tai)
            self._open[sequence_id] = command
            self._show("to", line)
            await self._pair.write(line)

    async def _read(self) -> None:
        try:
            while True:
                line = await self._pair.read()
                self._show("from", line)
                self._answered(line)
        except MTMountError:
            if not self._over.called:
                self._over.callback(None)

    def _answered(self, line: bytes) -> None:
        try:
            reply = self._dialect.read_reply(line)
        except LineError:
            return
        command = self._open.get(reply.sequence_id or 0)
        if command is None or reply.sequence_id is None:
            return
        step = STEPS[reply.meaning]
        if not is_end(step, command.code, self._dialect):
            return
        del self._open[reply.sequence_id]
        self.outcomes[step] += 1
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._all_sent and not self._open and not self._over.called:
            self._over.callback(None)
