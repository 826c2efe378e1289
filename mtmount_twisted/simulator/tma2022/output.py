"""The way of the mount's replies to the wire: at once, delayed, or with a fault.

`ReplyOutput` gets the pieces for each reply from `simulator.faults`. It sends each piece after the delay of
the piece. If a piece says so, it then closes the connection, or begins an alarm or another trouble in the
mount.

It touches the clock, and the command port through `Wire`. Next to read: `service`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import CommandCode, System
from mtmount_twisted.dialects.tma2022.replies import (
    Answer,
    CmdAcknowledgedReply,
    CmdSucceededReply,
    Reply,
    StateInfoReply,
)

from ..faults import Alarm, Close, Fault, Faults, Generation, Piece, Trouble
from .alarms import DEVICES
from .catalogue import ALARM, WARNING, Entry, find, first
from .mount import CONNECTING, ENABLED, SimulatedMount
from .safety import check_bit

KIND_OF_ANSWER: dict[type[Answer], str] = {CmdAcknowledgedReply: "ack", CmdSucceededReply: "done"}
"""The value of `Fault.reply` for each class of answers; "noack" for the classes that are not here."""


def _kind_of(reply: Any) -> str | None:
    return KIND_OF_ANSWER.get(type(reply), "noack") if isinstance(reply, Answer) else None


def _key_of(message: Any) -> tuple[int, int]:
    source: Any = message.commander if isinstance(message, Answer) else message.source
    return int(source), int(message.sequence_id)


def _check(fault: Fault) -> None:
    if fault.kind == "interlock":
        check_bit(fault.mask, fault.bit)
    elif fault.subsystem is not None:
        entry_of(fault)


def entry_of(fault: Fault) -> Entry:
    """Return the entry of the catalogue that an alarm or a warning names.

    :raises ValueError: if there is none, or more than one.
    """
    assert fault.subsystem is not None and fault.number is not None
    return find(fault.kind, fault.subsystem, fault.number, fault.name)


TMA2022 = Generation(
    DIALECT,
    {name: int(code) for name, code in CommandCode.__members__.items()},
    _key_of,
    _kind_of,
    lambda text: StateInfoReply(state=text).encode(),
    _check,
)
"""The protocol tma2022, for faults."""


class Wire(Protocol):
    """The command port, as far as the output needs it."""

    def send(self, data: bytes) -> bool:
        """Send bytes. Return False if they are dropped."""

    def close_client(self) -> object:
        """Close the connection of the client."""


class ReplyOutput:
    """Sends the replies to the client, and begins the faults of the mount itself.

    :param faults: the faults in force.
    :param wire: the command port.
    :ivar mount: the mount.
    """

    mount: SimulatedMount

    def __init__(self, faults: Faults, wire: Wire, clock: IReactorTime, log: logging.Logger) -> None:
        self._faults = faults
        self._wire = wire
        self._clock = clock
        self._log = log
        self._later: set[IDelayedCall] = set()

    def say(self, reply: Reply) -> None:
        """Send a reply, with its faults. A reply that can't be delivered is dropped."""
        if self._faults.are_none:
            self._send(reply.encode())
            return
        later = []
        for piece in self._faults.pieces_of(reply):
            # A trouble must not come in the middle of the mount's work on the command.
            if piece.delay or isinstance(piece.then, Alarm | Trouble):
                later.append(piece)
            else:
                self._act(piece)
        if later:
            pieces = deque(sorted(later, key=lambda piece: piece.delay))
            self._act_in_turn(pieces, self._clock.seconds())

    def _act_in_turn(self, pieces: deque[Piece], since: float) -> None:
        """Send delayed pieces, with one timer for all pieces, because a flood has many."""

        def due() -> None:
            self._act(pieces.popleft())
            if pieces:
                self._act_in_turn(pieces, since)

        self._call_later(max(0.0, since + pieces[0].delay - self._clock.seconds()), due)

    def begin_fault(self, fault: Fault) -> None:
        """Begin a fault of the mount itself, after its delay."""
        self._call_later(fault.seconds, self._begin, fault)

    def _act(self, piece: Piece) -> None:
        if piece.data:
            self._send(piece.data)
        if isinstance(piece.then, Close):
            self._wire.close_client()
        elif isinstance(piece.then, Trouble):
            self._begin(piece.then.fault)
        elif isinstance(piece.then, Alarm) and self._faults.is_due(piece.then):
            severity = WARNING if piece.then.is_warning else ALARM
            self._condition(first(severity, subsystem_of(piece.then.command)), 0.0)

    def _send(self, data: bytes) -> None:
        if not self._wire.send(data):
            self._log.debug("dropped %d bytes of replies: there is no client, or it does not read", len(data))

    def _begin(self, fault: Fault) -> None:
        self._faults.injected[fault.kind] += 1
        if fault.kind == "interlock":
            self.mount.set_interlock(fault.mask, fault.bit, True)
            self._call_later(fault.lasts, self.mount.set_interlock, fault.mask, fault.bit, False)
        elif fault.kind == "pxi_lost":
            self.mount.set_operation_manager(CONNECTING)
            self._call_later(fault.lasts, self.mount.set_operation_manager, ENABLED)
        else:
            self._condition(entry_of(fault), fault.lasts)

    def _condition(self, entry: Entry, lasts: float) -> None:
        self.mount.alarms.begin_alarm(entry)
        self._call_later(lasts, self.mount.alarms.end, entry)

    def _call_later(self, delay: float, function: Callable[..., object], *args: Any) -> None:
        def call() -> None:
            self._later.discard(timer)
            function(*args)

        timer = self._clock.callLater(delay, call)
        self._later.add(timer)

    def close(self) -> None:
        """Drop all delayed pieces, and all faults that have not begun or ended."""
        for timer in self._later:
            timer.cancel()
        self._later.clear()


def subsystem_of(command: str) -> int:
    """Return the number of the subsystem of a command's device; that of azimuth if the command has no device.

    :param command: the name of the command's class, which begins with the name of the device.
    """
    prefixes = {"".join(word.capitalize() for word in system.name.split("_")): system for system in System}
    fitting = [prefix for prefix in prefixes if command.startswith(prefix)]
    system = prefixes[max(fitting, key=len)] if fitting else System.AZIMUTH
    return next((number for number, device in DEVICES.items() if device is system), next(iter(DEVICES)))
