"""A `BridgeService` in memory, between commanders and a controller that do as the test says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import attrs
from twisted.internet.protocol import ClientFactory
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import ClientLimits, Controller, PairCommander, PortCommanders
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.testing import HOST, FarEnd, FarProtocol, MemoryReactor

from .commanders import ASK, LOG, STAMP, RecordingJournal, ask, command

TCP = f"tcp:0:interface={HOST}"


def reply(code: int, asked: bytes, *more: bytes) -> bytes:
    """The controller's answer to a command that it read."""
    sequence_id, _, source, *_ = asked.split(b"\n")
    return b"\n".join([b"%d" % code, sequence_id, source, STAMP, *more])


def explanation(line: bytes) -> str:
    """Why a NoAck says no."""
    code, *_, text = line.decode().split("\n")
    assert code == "1", line
    return text


class PortEnd(FarProtocol):
    """A client of a port, as the test plays it."""

    def say(self, *lines: bytes) -> None:
        """Send lines in one chunk."""
        self.transport.write(b"".join(line + TERMINATOR for line in lines))
        self.settle()

    def heard(self) -> list[bytes]:
        """The lines that came since the last call."""
        self.settle()
        *lines, self.received = self.received.split(TERMINATOR)
        return lines

    def leave(self) -> None:
        """Close."""
        self.transport.loseConnection()
        self.settle()

    def settle(self) -> None:
        """Let all happen that waits for no time to pass."""
        self.transport.reactor.advance(0)


class PairEnd(FarEnd):
    """A commander's pair, or the controller's, as the test plays it.

    :ivar grants: as the controller: whether it gives the bridge command whenever that is asked for, so
        that a test need not; it hears nothing of it then.
    """

    grants = False

    def __init__(self, reactor: MemoryReactor) -> None:
        super().__init__(cast(Any, SimpleNamespace(reactor=reactor)))

    def say(self, *lines: bytes) -> None:
        """Send lines in one chunk."""
        self.feed(b"".join(line + TERMINATOR for line in lines))

    def heard(self) -> list[bytes]:
        """The lines that came since the last call."""
        lines = self.written_lines()
        if not self.grants:
            return lines
        asks = [line for line in lines if line.split(b"\n")[1] == b"%d" % ASK]
        self.say(*(answer for line in asks for answer in (reply(0, line, b"1000"), reply(2, line))))
        return [line for line in lines if line not in asks] + (self.heard() if asks else [])

    def come_back_at_once(self) -> FarProtocol:
        """Close the server connection and connect it anew, both before the bridge hears of either."""
        old, self.server = self.server, FarProtocol()
        factory: Any = ClientFactory.forProtocol(lambda: self.server)
        old.transport.loseConnection()
        self.reactor.connectTCP(HOST, self.communicator.server_port, factory)
        self.settle()
        return self.server

    @property
    def is_connected(self) -> bool:
        """True if anything is."""
        return self.client.is_connected or self.server.is_connected

    def serve(self) -> list[bytes]:
        """As the controller: finish all received commands, and return their lines."""
        lines = self.heard()
        for line in lines:
            self.say(reply(0, line, b"1000"), reply(2, line))
        return lines


class BridgeCase(SynchronousTestCase):
    """A bridge; `csc` and `eui` have a pair each, `desk` is a port for commanders, `hall` one for observers.

    :cvar limits: how far a client may be behind.
    """

    limits = ClientLimits()

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.csc, self.eui, self.controller = (PairEnd(self.reactor) for _ in range(3))
        self.journal = RecordingJournal()
        self.config = Config(
            controller=Controller(
                host=HOST, command_port=self.controller.port, reply_host=HOST, reply_port=0
            ),
            pairs=(
                PairCommander(name="csc", command_port=0, reply_port=self.csc.port),
                PairCommander(name="eui", source="EUI", command_port=0, reply_port=self.eui.port),
            ),
            ports=(
                PortCommanders(name="desk", endpoint=TCP, source="EUI", role="commander"),
                PortCommanders(name="hall", endpoint=TCP),
            ),
            clients=self.limits,
        )
        self.make()

    def make(self, **changes: Any) -> None:
        """Make the service, with these changes to the configuration."""
        self.config = attrs.evolve(self.config, **changes)
        self.service = BridgeService(self.config, LOG, EventBus(self.reactor, self.journal), self.reactor)

    def start(self, *connected: PairEnd) -> None:
        """Start the service; these pairs connect to it, and to the others it does not get through."""
        self.service.startService()
        pairs = dict(zip((self.controller, self.csc, self.eui), self.service.all_pairs, strict=False))
        for far_end, pair in pairs.items():
            far_end.communicator = cast(Any, pair)
            if far_end not in connected:
                far_end.stop_listening()
        self.reactor.advance(0)
        for far_end in connected:
            self.assertTrue(far_end.connect_server())

    def start_all(self) -> None:
        """Start the service with everyone connected."""
        self.start(self.controller, self.csc, self.eui)

    def join(self, port: int = 0) -> PortEnd:
        """A new client of a port: 0 of the desk, 1 of the hall."""
        client = PortEnd()
        factory: Any = ClientFactory.forProtocol(lambda: client)
        self.reactor.connectTCP(HOST, self.service.ports[port].getHost().port, factory)  # type: ignore[attr-defined]
        self.reactor.advance(0)
        self.assertTrue(client.is_connected)
        return client

    def grant(self, commander: Any, source: int = 1) -> None:
        """Give command to a commander, and discard the replies."""
        commander.say(ask(900, source, source))
        self.controller.serve()
        *_, acked, done = commander.heard()
        self.assertEqual((acked[:6], done[:6]), (b"0\n900\n", b"2\n900\n"))

    def stop(self) -> None:
        """Stop the service, and see that it has stopped before long."""
        stopped = self.service.stopService()
        self.pass_time(1.5)
        if len(self.service.bridge.pending if hasattr(self.service, "bridge") else ()):
            self.pass_time(5)
        self.successResultOf(stopped)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in steps short enough for all that repeats."""
        self.reactor.advance(0)
        for _ in range(round(seconds * 20)):
            self.reactor.advance(0.05)

    def assert_nothing_left(self) -> None:
        """Only the far ends' own ports are there still, and no timer is."""
        own = {far_end.port for far_end in (self.controller, self.csc, self.eui)}
        self.assertLessEqual(set(self.reactor.ports), own)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


__all__ = [
    "LOG",
    "STAMP",
    "BridgeCase",
    "PairEnd",
    "PortEnd",
    "ask",
    "command",
    "explanation",
    "reply",
]
