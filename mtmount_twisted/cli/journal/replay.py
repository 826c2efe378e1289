"""Replay of a commander's recorded commands to a simulator or a mount.

Each line is sent as it was recorded, byte for byte, except three fields: the sequence id and the time of
sending are new, and the ``tai`` of a track command is shifted by the same time as the line.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater

from mtmount_twisted.client.communicator import ClientServerPair
from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.dialects.tma2020.codec import read_command_header, read_reply_header
from mtmount_twisted.dialects.tma2020.commands import CommandDict
from mtmount_twisted.dialects.tma2020.enums import ReplyCode
from mtmount_twisted.errors import (
    ConnectionLostError,
    LineError,
    MTMountError,
    NotConnectedError,
    PairClosedError,
)
from mtmount_twisted.journal.reading import Entry, is_command
from mtmount_twisted.journal.schema import is_end
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.wire.fields import utc_now, write_timestamp

FIRST_SEQUENCE_ID = 1

_TAKEN = ("sent", "local")
"""The steps of a command that had an effect on the mount or on the holder of command."""

_LOST = (ConnectionLostError, NotConnectedError, PairClosedError)

_TAI_FIELD = {
    int(code): [info.name for info in command.field_infos].index("tai")
    for code, command in CommandDict.items()
    if any(info.name == "tai" for info in command.field_infos)
}


class Recorded(NamedTuple):
    """A command that a commander once sent."""

    time: float
    code: int
    line: bytes


def recorded_commands(entries: Iterable[Entry], *, also_refused: bool = False) -> list[Recorded]:
    """Return the commands in the entries, as their commanders sent them.

    :param entries: lines and steps.
    :param also_refused: True to include commands that the bridge neither passed on nor carried out itself.
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
            header = read_command_header(entry.line)
        except LineError:
            continue  # the bridge rejected it, too
        commands[entry.id] = Recorded(entry.time, header.code, entry.line)
        last[entry.run, entry.peer, header.sequence_id] = entry.id
    return [command for number, command in commands.items() if also_refused or number in taken]


def renewed(command: Recorded, sequence_id: int, now: float, *, keep_tai: bool = False) -> bytes:
    """Return the line of a recorded command, to be sent now.

    :param sequence_id: its new sequence id.
    :param now: the current time (s, Unix time).
    :param keep_tai: True to leave ``tai`` as recorded.
    """
    fields = command.line.split(b"\n")
    fields[0] = b"%d" % sequence_id
    fields[3] = write_timestamp(utc_now()).encode()
    place = _TAI_FIELD.get(command.code)
    if place is not None and place < len(fields) and not keep_tai:
        with contextlib.suppress(ValueError):  # a malformed number goes to the receiver unchanged
            fields[place] = str(float(fields[place]) + (now - command.time)).encode()
    return b"\n".join(fields)


class Replay:
    """One replay.

    :param pair: connected to the receiver of the commands.
    :param speed: factor by which the replay is faster than the recording.
    :param patience: longest wait for answers after the last command, in seconds.
    :param show: called with a direction (``"to"`` or ``"from"``) and each line.
    """

    def __init__(
        self,
        reactor: Any,
        pair: ClientServerPair[bytes],
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
        self._show = show
        self._wall_clock = wall_clock
        self._speed = speed
        self._patience = patience
        self._keep_tai = keep_tai
        self._open: dict[int, int] = {}  # code by sequence id
        self._all_sent = False
        self._over: Deferred[None] = Deferred()

    async def run(self, commands: list[Recorded]) -> Counter[str]:
        """Send the commands at their pace, and wait for their answers.

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
            self._open[sequence_id] = command.code
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
            header = read_reply_header(line)
        except LineError:
            return
        code = self._open.get(header.sequence_id or 0)
        if code is None:
            return
        step = ReplyCode(header.code).name.lower()
        if not is_end(step, code, dialect_named("tma2020")):
            return
        del self._open[header.sequence_id or 0]
        self.outcomes[step] += 1
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._all_sent and not self._open and not self._over.called:
            self._over.callback(None)
