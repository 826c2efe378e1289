"""What strangers do to ports and pairs, and the simulator's: a few lines in the log, whatever they do."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from attrs import evolve
from twisted.internet.protocol import ClientFactory

from mtmount_twisted.net.rate_limited_log import A_FEW, INTERVAL
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor
from tests.support.bridges import LOG, BridgeCase
from tests.support.commanders import STAMP

TIMES = 100

MALFORMED = b"nonsense\r\n"
OVERLONG = b"x" * 70_000
UNFINISHED = b"1\n32"


class StrangerTests(BridgeCase):
    """Each thing that a stranger can do, a hundred times within a minute."""

    def come(self, port: int, said: bytes = b"") -> None:
        """A stranger connects, says something and leaves."""
        peer = FarProtocol()
        factory: Any = ClientFactory.forProtocol(lambda: peer)
        self.reactor.connectTCP(HOST, port, factory)
        self.reactor.advance(0)
        if said and peer.is_connected:
            peer.transport.write(said)  # type: ignore[union-attr]
            self.reactor.advance(0)
        if peer.is_connected:
            peer.transport.loseConnection()  # type: ignore[union-attr]
        for _ in range(3):
            self.reactor.advance(0)

    def assert_few(self, logged: Any) -> None:
        """No kind of line is there more often than a few times, and afterwards the number is told."""
        kinds = Counter(record.msg for record in logged.records)
        self.assertGreater(len(kinds), 0)
        self.assertLessEqual(max(kinds.values()), A_FEW, kinds)

    def flood(self, port: int, *said: bytes) -> None:
        """Many strangers, and one a minute later."""
        for each in said:
            with self.assertLogs(LOG, logging.INFO) as logged:
                for _ in range(TIMES):
                    self.come(port, each)
            self.assert_few(logged)
            self.reactor.advance(INTERVAL)
            with self.assertLogs(LOG, logging.INFO) as logged:
                self.come(port, each)
            self.assertTrue(any(" such lines since" in line for line in logged.output), logged.output)
            self.reactor.advance(INTERVAL)

    def tearDown(self) -> None:
        self.stop()

    def test_port(self) -> None:
        """Connections to a port that say nothing, nonsense, too much, or half a line; and refused ones."""
        port = evolve(self.config.ports[0], allow=("192.0.2.1",))
        self.make(ports=(port, self.config.ports[1]))
        self.start()
        listed, hall = (at.getHost().port for at in self.service.ports)  # type: ignore[attr-defined]
        self.flood(hall, b"", MALFORMED, OVERLONG, UNFINISHED)
        self.flood(listed, b"")

    def test_pair(self) -> None:
        """Peers that a pair takes and that leave at once, and those that it refuses."""
        controller: Any = self.config.controller
        self.make(controller=evolve(controller, host="192.0.2.1"))
        self.start()
        link, pair = (each.server_port for each in self.service.all_pairs[:2])
        self.flood(pair, b"", MALFORMED, OVERLONG, UNFINISHED)
        self.flood(link, b"")

    def test_simulator(self) -> None:
        """Commanders of the simulator that say nothing, nonsense, too much, or half a line."""
        self.reactor = MemoryReactor()
        service = SimulatorService(command_port=0, reply_port=0, log=LOG, reactor=self.reactor)
        service.startService()
        self.addCleanup(service.stopService)
        port = self.successResultOf(service.wait_command_port())
        unknown = b"1\n9999\n1\n" + STAMP + b"\r\n"
        for said in (b"", MALFORMED * TIMES, unknown * TIMES, OVERLONG, UNFINISHED):
            with self.assertLogs(LOG, logging.INFO) as logged:
                for _ in range(TIMES):
                    self.come(port, said)
            self.assert_few(logged)
            self.reactor.advance(INTERVAL)
