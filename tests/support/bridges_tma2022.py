"""A `BridgeService` in memory between commanders and the simulated tma2022 mount."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.protocol import ClientFactory
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, PairCommander, PortCommanders
from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.dialects.tma2022.sending import tai_now
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.simulator.tma2022.service import SimulatorService
from mtmount_twisted.testing import HOST, MemoryReactor
from tests.support.bridges import TCP, PortEnd
from tests.support.commanders import LOG, RecordingJournal
from tests.support.simulated_tma2022 import QUIET

ANSWERS = {1: "acknowledged", 2: "rejected", 3: "succeeded", 4: "failed", 5: "superseded"}


class CommanderEnd(PortEnd):
    """A commander with one connection, on a pair or on a port, as the test plays it.

    :ivar source: the source of its commands.
    """

    source = Source.CSC

    def send(self, sequence_id: int, command: commands.Command) -> None:
        """Send a command."""
        line = command.replaced(sequence_id=sequence_id, source=self.source).encode()
        self.say(line.removesuffix(b"\r\n"))

    def ask(self, sequence_id: int) -> None:
        """Ask for command for its own source."""
        self.send(sequence_id, commands.AskForCommand(commander=self.source))

    def messages(self) -> list[Any]:
        """The replies and events that came since the last call."""
        return [json.loads(line) for line in self.heard()]

    def answers(self) -> list[tuple[str, int, int]]:
        """The answers that came since the last call: meaning, sequence id and commander."""
        return [
            (ANSWERS[each["id"]], each["parameters"]["sequenceId"], each["parameters"]["commander"])
            for each in self.messages()
            if each["id"] in ANSWERS
        ]

    def explanations(self) -> list[str]:
        """The reasons of the refusals and failures that came since the last call."""
        return [
            each["parameters"]["explanation"]
            for each in self.messages()
            if "explanation" in each["parameters"]
        ]


class BridgeTma2022Case(SynchronousTestCase):
    """A bridge; `csc` is a pair; `desk` is a port for commanders of source EUI, `hall` one for observers.

    :cvar heartbeat_timeout: the time after which the mount misses a heartbeat (s); 0 for none.
    """

    heartbeat_timeout = 0.0

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.simulator = self.make_simulator(0)
        port, _ = self.simulator.port_numbers()
        self.journal = RecordingJournal()
        self.config = self.configured(Controller(host=HOST, command_port=port, dialect="tma2022"))
        self.start()

    def configured(self, controller: Controller) -> Config:
        """The configuration before this controller."""
        return Config(
            controller=controller,
            pairs=(PairCommander(name="csc", command_port=0),),
            ports=(
                PortCommanders(name="desk", endpoint=TCP, source="EUI", role="commander"),
                PortCommanders(name="hall", endpoint=TCP),
            ),
        )

    def start(self) -> None:
        """Start the service, which connects to the mount."""
        self.bus = EventBus(self.reactor, self.journal)
        self.service = BridgeService(self.config, LOG, self.bus, self.reactor)
        self.service.startService()
        self.pass_time(2 * SETTLE_TIME)

    def restart(self, **changes: Any) -> None:
        """Start the service anew, with these changes to the settings of the pair."""
        self.stop()
        (pair,) = self.config.pairs
        self.config = attrs.evolve(self.config, pairs=(attrs.evolve(pair, **changes),))
        self.start()

    def stop(self) -> None:
        """Stop the service, and see that it has stopped before long."""
        stopped = self.service.stopService()
        self.pass_time(1.5)
        if len(self.service.bridge.pending):
            self.pass_time(5)
        self.successResultOf(stopped)

    def tearDown(self) -> None:
        self.stop()
        self.simulator.stopService()
        self.pass_time(1)
        self.assertEqual((self.reactor.ports, self.reactor.getDelayedCalls()), ({}, []))

    def make_simulator(self, port: int) -> SimulatorService:
        """Start a mount on this port, with all systems ready."""
        simulator = SimulatorService(
            host=HOST,
            command_port=port,
            telemetry_port=0,
            heartbeat_timeout=self.heartbeat_timeout,
            ready=True,
            tai=self.tai,
            log=QUIET,
            reactor=self.reactor,
        )
        simulator.startService()
        return simulator

    def tai(self) -> float:
        """The mount's clock: TAI seconds since the unix epoch."""
        return tai_now()

    def join(self, port: int, source: Source = Source.CSC) -> CommanderEnd:
        """A new connection to a port of the bridge."""
        client = CommanderEnd()
        client.source = source
        factory: Any = ClientFactory.forProtocol(lambda: client)
        self.reactor.connectTCP(HOST, port, factory)
        self.reactor.advance(0)
        return client

    def join_pair(self) -> CommanderEnd:
        """A new connection to the pair."""
        (pair,) = self.service.pairs
        return self.join(pair.server_port)

    def join_port(self, number: int = 0) -> CommanderEnd:
        """A new client of a port: 0 of the desk, 1 of the hall."""
        listening: Any = self.service.ports[number].getHost()
        return self.join(listening.port, Source.EUI)

    def grant(self, commander: CommanderEnd) -> None:
        """Give command to a commander, and discard the replies."""
        commander.ask(900)
        self.pass_time(0.2)
        self.assertEqual(
            commander.answers(),
            [("acknowledged", 900, commander.source), ("succeeded", 900, commander.source)],
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in steps short enough for all that repeats."""
        self.reactor.advance(0)
        for _ in range(round(seconds * 20)):
            self.reactor.advance(0.05)
        self.reactor.advance(0)
