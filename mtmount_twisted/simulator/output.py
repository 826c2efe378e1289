"""Output of the simulated mount's replies: at once, delayed, or with a fault.

`ReplyOutput` gets the pieces for each reply from `faults`. It writes, waits, closes and raises alarms as
these pieces require.

It touches the reply connection and the clock. Next to read: `faults`, `service`.
"""

from __future__ import annotations

import logging
from collections import deque

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.dialects.tma2020.replies import Reply, WarningReply
from mtmount_twisted.errors import BacklogError, MTMountError

from .faults import Alarm, Close, Faults, Piece
from .mount import SimulatedMount

ANY_DEVICE = "AzimuthAxis"
"""The device that raises the alarm for a command without a device of its own."""


class ReplyOutput:
    """Sender of replies to the commander.

    :param faults: the faults in force.
    :param clock: clock for delayed pieces.
    :ivar written: a Deferred that fires when the connection has room for more bytes.
    :ivar mount: the mount, for alarms.
    :ivar communicator: the connections to the commander.
    """

    mount: SimulatedMount
    communicator: Communicator

    def __init__(self, faults: Faults, clock: IReactorTime, log: logging.Logger) -> None:
        self._faults = faults
        self._clock = clock
        self._log = log
        self._later: set[IDelayedCall] = set()
        self.written: Deferred[None] = succeed(None)

    def say(self, reply: Reply) -> None:
        """Send a reply, with its faults. A reply that can't be delivered is dropped."""
        if self._faults.are_none:
            self.written = self.communicator.write(reply).addErrback(self._dropped, repr(reply))
            return
        later = []
        for piece in self._faults.pieces_of(reply):
            if piece.delay or piece.then is not None:
                later.append(piece)
            else:
                self.write(piece.data)
        if later:
            self._say_later(deque(sorted(later, key=lambda piece: piece.delay)), self._clock.seconds())

    def _say_later(self, pieces: deque[Piece], since: float) -> None:
        """Send these pieces in turn, with one timer for all pieces, because a flood has many."""

        def due() -> None:
            self._later.discard(call)
            self._say_now(pieces.popleft())
            if pieces:
                self._say_later(pieces, since)

        call = self._clock.callLater(max(0.0, since + pieces[0].delay - self._clock.seconds()), due)
        self._later.add(call)

    def _say_now(self, piece: Piece) -> None:
        if piece.data:
            self.write(piece.data)
        writer = self.communicator.writer
        if isinstance(piece.then, Close) and writer is not None:
            writer.close()
        elif isinstance(piece.then, Alarm) and self._faults.is_due(piece.then):
            self._raise(piece.then)

    def write(self, data: bytes) -> None:
        """Send bytes, whole lines or not."""
        writer, what = self.communicator.writer, f"{len(data)} bytes"
        self.written = succeed(None)
        if writer is None:
            self._log.debug("%s: dropped %s: not connected", self.communicator.name, what)
            return
        try:
            writer.send(data)
        except BacklogError as error:
            self._log.debug("%s: dropped %s: %s", self.communicator.name, what, error)
        if not writer.has_room:
            self.written = writer.room().addErrback(self._dropped, what)

    def _dropped(self, failure: Failure, what: str) -> None:
        failure.trap(MTMountError)
        self._log.debug("%s: dropped %s: %s", self.communicator.name, what, failure.getErrorMessage())

    def _raise(self, alarm: Alarm) -> None:
        devices = self.mount.devices
        prefix = next((name for name in devices if alarm.command.startswith(name)), ANY_DEVICE)
        if alarm.is_warning:
            code = devices[prefix].subsystem
            subsystem = f"{int(code)}. Simulator/{prefix}"
            self.say(WarningReply(active=True, code=code + 2, subsystem=subsystem, extra_data=(_WHY,)))
        else:
            self.mount.raise_alarm(prefix, _WHY)

    def close(self) -> None:
        """Drop all delayed pieces."""
        for call in self._later:
            call.cancel()
        self._later.clear()


_WHY = "simulated fault"
