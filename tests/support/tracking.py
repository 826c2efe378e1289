"""A commander beside the page that tracks: a client of the house's port ``desk``."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall

from mtmount_twisted.commands import (
    AskForCommand,
    AzimuthAxisEnableTracking,
    AzimuthAxisPower,
    AzimuthAxisTrack,
    Command,
    ElevationAxisEnableTracking,
    ElevationAxisPower,
    ElevationAxisTrack,
)
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.enums import Commander
from mtmount_twisted.testing import HOST
from mtmount_twisted.wire.tai import current_tai

reactor: Any = _reactor

RATE = 20.0
"""How many targets per second each axis gets."""

SIDEREAL = 15.041 / 3600
"""The velocity of the targets, in deg/s."""


class Tracker(Protocol):
    """Sends commands and counts their final answers: Done, NoAck, or the Ack of a track command.

    :ivar sent: the number of commands that were sent.
    :ivar refused: the number of NoAcks.
    """

    def __init__(self) -> None:
        self.sent = self.refused = 0
        self._ended = 0
        self._rest = b""
        self._track_ids: set[int] = set()
        self._waiting: Deferred[None] | None = None
        self._wanted = 0
        self._targets = LoopingCall(self._send_targets)

    def dataReceived(self, data: bytes) -> None:
        """Count the final answers."""
        *lines, self._rest = (self._rest + data).split(TERMINATOR)
        for line in lines:
            code, key = (*line.split(b"\n", 2), b"")[:2]
            self.refused += code == b"1"
            self._ended += code in (b"1", b"2") or (code == b"0" and int(key) in self._track_ids)
        if self._waiting is not None and self._ended >= self._wanted:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def send(self, *commands: type[Command], **values: Any) -> None:
        """Send commands of these classes, each with the same values."""
        for command in commands:
            self.sent += 1
            made = command(sequence_id=self.sent, **values)
            if command.ack_only:
                self._track_ids.add(self.sent)
            self.transport.write(made.encode())  # type: ignore[union-attr]

    async def all_answered(self, but: int = 0) -> None:
        """Return once all commands, or all but so many, have their final answers."""
        self._wanted = self.sent - but
        if self._ended < self._wanted:
            self._waiting = Deferred()
            await self._waiting

    async def enable(self) -> None:
        """Take command, power both axes and enable their tracking."""
        self.send(AskForCommand, commander=Commander.CSC)
        await self.all_answered()
        self.send(AzimuthAxisPower, ElevationAxisPower, on=True)
        await self.all_answered()
        self.send(AzimuthAxisEnableTracking, ElevationAxisEnableTracking, on=True)
        await self.all_answered()

    def send_target(self, axis: type[Command] = AzimuthAxisTrack) -> None:
        """Send one target to an axis."""
        position = {AzimuthAxisTrack: 1.0, ElevationAxisTrack: 80.0}[axis]
        self.send(axis, position=position, velocity=SIDEREAL, tai=current_tai() + 0.05)

    def _send_targets(self) -> None:
        self.send_target(AzimuthAxisTrack)
        self.send_target(ElevationAxisTrack)

    def start(self) -> None:
        """Send targets to both axes at `RATE` until `stop`."""
        self._targets.start(1 / RATE)

    async def stop(self) -> None:
        """Send no more targets; return once all that were sent are answered."""
        if self._targets.running:
            self._targets.stop()
        await self.all_answered()


async def connect_tracker(port: int) -> Tracker:
    """Return a tracker that is connected to a port of commanders."""
    tracker = Tracker()
    await connectProtocol(TCP4ClientEndpoint(reactor, HOST, port), tracker)
    return tracker
