"""`Heartbeat`: the sign of life that a tma2022 mount expects every second from its commander.

If the commander that has command sends none for 5 s, the mount faults (protocol-tma2022.rst, "Command").
`mount.Mount` reports its commands and replies to `Heartbeat`, which writes to the same `Communicator`. The
dialect makes the bytes.

Next to read: `mount`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.wire.messages import CommandMessage

from .communicator import Communicator

INTERVAL = 1.0
"""Time between two heartbeats in seconds (protocol-tma2022.rst, "Command")."""


class Heartbeat:
    """The heartbeat of one commander. It does nothing if the dialect has none.

    :param clock: clock for the interval, an ``IReactorTime``.
    """

    def __init__(self, communicator: Communicator, clock: IReactorTime) -> None:
        self._communicator = communicator
        self._make = communicator.dialect.heartbeat
        self._source = Source.CSC
        self._waiting: Deferred[None] | None = None  # a heartbeat that waits for the peer to read
        self._loop = LoopingCall(self._beat)
        self._loop.clock = clock

    @property
    def is_on(self) -> bool:
        """True while the heartbeat is sent."""
        return bool(self._loop.running)

    def asking(self, ask: CommandMessage) -> None:
        """Note that an ``AskForCommand`` is sent. If it names another commander, the heartbeat ends."""
        if self.is_on and _wanted(ask) != self._source:
            self.stop()

    def asked(self, ask: CommandMessage) -> None:
        """Note that an ``AskForCommand`` succeeded. The heartbeat begins if its sender has command now."""
        if self._make is not None and _wanted(ask) == int(ask.source) and not self.is_on:
            self._source = Source(int(ask.source))
            self._loop.start(INTERVAL, now=True).addErrback(self._failed)

    def heard(self, commander: int | None) -> None:
        """Note that an event names the commander that has command; None for another event."""
        if commander is not None and self.is_on and commander != self._source:
            self._communicator.log.warning(
                "%s: %s no longer has command: the mount names %s",
                self._communicator.name,
                self._source.name,
                _name(commander),
            )
            self.stop()

    def stop(self) -> None:
        """End the heartbeat."""
        if self.is_on:
            self._loop.stop()

    def _beat(self) -> None:
        if self._make is None or not self._communicator.client_connected or self._waiting is not None:
            return
        written = self._waiting = self._communicator.write(self._make(self._source))
        written.addErrback(
            lambda reason: None
        )  # a lost connection; the next heartbeat goes over the next one
        written.addCallback(lambda _: self._written())

    def _written(self) -> None:
        self._waiting = None

    def _failed(self, reason: Any) -> None:
        name = self._communicator.name
        self._communicator.log.error("%s: the heartbeat failed:\n%s", name, reason.getTraceback())


def _wanted(ask: Any) -> int:
    return int(ask.commander)


def _name(number: int) -> str:
    if number == 0:
        return "nobody"
    return Source(number).name if number in Source.__members__.values() else f"source {number}"
