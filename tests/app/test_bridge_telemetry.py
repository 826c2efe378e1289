"""The telemetry of a tma2022 mount through the bridge: in memory, and with daemons."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import attrs
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from mtmount_twisted import TelemetryClient
from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, TelemetryReaders
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.telemetry import Azimuth, Topics
from mtmount_twisted.motion import sky
from mtmount_twisted.simulator.tma2022.service import SimulatorService
from tests.support.bridges import TCP, PortEnd
from tests.support.bridges_tma2022 import BridgeTma2022Case
from tests.support.certificates import Authority
from tests.support.commanders import LOG
from tests.support.folders import scratch_folder, scratch_path
from tests.support.programs import HOST, ProgramCase
from tests.support.simulated_tma2022 import QUIET
from tests.support.telemetry import TAI
from tests.tcp.test_tls import LostOnes

from .test_bridge_service import Collector
from .test_simulator_options import SERVING, TMA2022

READERS = TelemetryReaders(name="readers", endpoint=TCP)
SLOWEST = 6.0
"""Longer than the longest period of a topic, in seconds."""


class SkyTests(TestCase):
    """The numbers of the sky."""

    async def test_no_numbers(self) -> None:
        """If the numbers of the sky can't be loaded, the log says once why there are none."""
        controller = Controller(host=HOST, command_port=1, telemetry_port=1, dialect="tma2022")
        service = BridgeService(Config(controller=controller), LOG)
        service.startService()
        await deferLater(reactor, 0)
        self.patch(sky, "position", Mock(side_effect=ImportError("no erfa")))
        with self.assertLogs(LOG, logging.WARNING) as logged:
            await service.load_numbers()
        await service.stopService()
        said = [line for line in logged.output if "no positions on the sky" in line]
        self.assertEqual(len(said), 1)
        self.assertIn("their numbers can't be loaded: no erfa", said[0])


class BridgeTelemetryTests(BridgeTma2022Case):
    """A bridge with a ``[[telemetry]]`` before the simulated mount."""

    def tai(self) -> float:
        """The mount's clock goes with the reactor's, so that its topics come in the test's time."""
        return TAI + self.reactor.seconds()

    def start(self) -> None:
        """Start the service, which connects to both ports of the mount."""
        _, port = self.simulator.port_numbers()
        controller: Any = self.config.controller
        self.config = attrs.evolve(
            self.config, controller=attrs.evolve(controller, telemetry_port=port), telemetry=(READERS,)
        )
        super().start()

    def join_telemetry(self, number: int = -1) -> PortEnd:
        """A new reader of a telemetry port: the last one that was opened."""
        listening: Any = self.service.ports[number].getHost()
        reader = PortEnd()
        factory: Any = ClientFactory.forProtocol(lambda: reader)
        self.reactor.connectTCP(HOST, listening.port, factory)
        self.reactor.advance(0)
        return reader

    def topics(self, reader: PortEnd) -> list[Any]:
        """The topics that came since the last call."""
        return [tma2022.decode_telemetry(line) for line in reader.heard()]

    def reload(self, config: Config) -> None:
        """Let the service take over a configuration."""
        reloaded = self.service.reload(config)
        self.pass_time(1.5)
        self.successResultOf(reloaded)

    def test_all_topics(self) -> None:
        """Readers receive every topic; the bridge knows the positions, with their ages."""
        readers = [self.join_telemetry() for _ in range(2)]
        self.pass_time(SLOWEST)
        first, second = (self.topics(reader) for reader in readers)
        self.assertEqual({type(topic) for topic in first}, set(Topics))
        self.assertEqual(first, second)
        telemetry = self.service.telemetry
        assert telemetry is not None
        value = telemetry.latest(Azimuth.topic_id)
        assert value is not None
        self.assertEqual(value.decoded(), [topic for topic in first if type(topic) is Azimuth][-1])
        self.assertLess(value.age, 0.1)
        self.assertEqual([port.readers for port in self.service.telemetry_ports], [2])

    def test_beside_commands(self) -> None:
        """A move through the bridge is seen in its telemetry."""
        reader, csc = self.join_telemetry(), self.join_pair()
        self.grant(csc)
        csc.send(1, commands.AzimuthMove(position=5.0))
        self.pass_time(SLOWEST)
        last = [topic for topic in self.topics(reader) if type(topic) is Azimuth][-1]
        self.assertEqual(last.demand_position, 5.0)

    def test_slew(self) -> None:
        """A new target of a tracking mount makes a slew, with the error after it; the limits are there."""
        csc = self.join_pair()
        self.grant(csc)
        csc.send(1, commands.AzimuthEnableTracking(on=True))
        self.pass_time(0.2)
        for number in range(600):  # 30 s
            target = 1.0 if number < 100 else 3.0
            csc.send(
                2 + number, commands.AzimuthTrackTarget(position=target, velocity=0, tai=self.tai() + 0.1)
            )
            self.pass_time(0.05)
        motion = self.service.motion
        assert motion is not None
        _, slew = motion.slews[-1]
        self.assertAlmostEqual(slew.azimuth, 2.0, 1)
        self.assertIsNotNone(slew.in_position_after)
        self.assertIsNotNone(slew.rms)
        now = motion.present()
        azimuth = now.axes["azimuth"]
        assert azimuth.rms is not None
        self.assertLess(azimuth.rms, 0.01)
        self.assertTrue(azimuth.limits_are_mounts)
        self.assertIn(("azimuth", "+"), {(limit.axis, limit.direction) for limit in now.limits})

    def test_lives_without_the_other(self) -> None:
        """Telemetry goes on while the commands' link is lost, and commands while telemetry is."""
        reader, csc = self.join_telemetry(), self.join_pair()
        self.service.link.drop_connections()
        self.pass_time(0.1)
        self.topics(reader)
        self.assertGreater(self.service.bridge.epoch, 0)
        self.pass_time(0.2)
        self.assertIn(Azimuth, map(type, self.topics(reader)))
        self.pass_time(1)
        telemetry = self.service.telemetry
        assert telemetry is not None
        self.simulator.telemetry.close_readers()
        self.pass_time(0)
        self.assertFalse(telemetry.connected)
        csc = self.join_pair() if not csc.is_connected else csc
        self.grant(csc)
        self.pass_time(1)
        self.assertTrue(telemetry.connected)
        self.topics(reader)
        self.pass_time(0.2)
        self.assertIn(Azimuth, map(type, self.topics(reader)))

    def test_silence_in_the_journal(self) -> None:
        """The journal has when telemetry fell silent, and why."""
        self.pass_time(0.5)
        self.simulator.stopService()
        self.pass_time(3)
        [(kind, peer, _, why)] = [event for event in self.journal.events if event[0].startswith("telemetry")]
        self.assertEqual((kind, peer), ("telemetry_silent", "controller"))
        self.assertIn("no telemetry server on 127.0.0.1", why)

    def test_reload(self) -> None:
        """A reload opens and closes telemetry ports; the readers of one that stays notice nothing."""
        reader = self.join_telemetry()
        more = TelemetryReaders(name="more", endpoint=TCP)
        self.reload(attrs.evolve(self.config, telemetry=(READERS, more)))
        newcomer = self.join_telemetry()
        self.pass_time(0.2)
        for each in (reader, newcomer):
            self.assertIn(Azimuth, map(type, self.topics(each)))
        with self.assertLogs(LOG, logging.INFO) as caught:
            self.reload(attrs.evolve(self.config, telemetry=(READERS,)))
        self.assertIn(
            "more/1: closed: it is not in the configuration any more",
            [record.getMessage() for record in caught.records],
        )
        self.assertEqual([reader.is_connected, newcomer.is_connected], [True, False])
        self.assertEqual([port.name for port in self.service.telemetry_ports], ["readers"])


class DaemonTests(ProgramCase):
    """The bridge and the simulator, each a process of its own."""

    timeout = 60

    async def test_daemon(self) -> None:
        """A program reads topics from a bridge; a second reader comes with SIGHUP; both daemons end well."""
        simulator = self.twistd(
            "-n", "mtmount-simulator", TMA2022, "--command-port", "0", "--telemetry-port", "0"
        )
        command_port, telemetry_port = (await simulator.line(SERVING)).groups()
        ports = [self.free_port() for _ in range(2)]
        sections = [
            f'[[telemetry]]\nname = "t{port}"\nendpoint = "tcp:{port}:interface={HOST}"\n' for port in ports
        ]
        path: Path = scratch_path(self)
        start = (
            f'[controller]\nhost = "{HOST}"\ncommand_port = {command_port}\ndialect = "tma2022"\n'
            f'telemetry_port = {telemetry_port}\n[[pair]]\nname = "csc"\ncommand_port = 0\n'
        )
        path.write_text(start + sections[0], encoding="utf-8")
        bridge = self.twistd("-n", "mtmount-bridge", "--config", str(path))
        await bridge.line(f"telemetry t{ports[0]} on tcp:{ports[0]}")
        client = TelemetryClient("test", HOST, ports[0], LOG, topics=[Azimuth], reactor=reactor)
        self.addCleanup(client.close)
        await client.wait_connected(10)
        self.assertIsInstance(await client.read(), Azimuth)
        path.write_text(start + sections[1], encoding="utf-8")
        bridge.transport.signalProcess("HUP")
        await bridge.line(f"now serving .*telemetry t{ports[1]} on tcp:{ports[1]}")
        reader = await self.observer(TCP4ClientEndpoint(reactor, HOST, ports[1]))
        await reader.line(b'{"topicID":15,')
        for program in (bridge, simulator):
            await self.assert_ends(program)


class CertifiedTests(TestCase):
    """A telemetry port that asks for certificates, on sockets."""

    async def test_certificate(self) -> None:
        """A reader with a certificate of the authority receives telemetry; one without is refused."""
        try:
            from twisted.internet import ssl
        except ImportError:
            raise SkipTest("mtmount_twisted[tls] is not installed") from None
        authority = Authority(scratch_folder(self))
        simulator = SimulatorService(command_port=0, telemetry_port=0, log=QUIET)
        simulator.startService()
        self.addCleanup(simulator.stopService)
        command_port, telemetry_port = simulator.port_numbers()
        readers = TelemetryReaders(
            name="readers",
            endpoint=TCP,
            certificate=str(authority.issue("bridge")),
            client_ca=str(authority.ca),
        )
        controller = Controller(
            host=HOST, command_port=command_port, dialect="tma2022", telemetry_port=telemetry_port
        )
        service = BridgeService(Config(controller=controller, telemetry=(readers,)), LOG)
        service.startService()
        self.addCleanup(service.stopService)
        listening: Any = service.ports[0].getHost()

        async def connect(own: Any) -> Any:
            trust = ssl.Certificate.loadPEM(authority.ca.read_bytes())
            options: Any = ssl.optionsForClientTLS(HOST, trustRoot=trust, clientCertificate=own)
            endpoint = wrapClientTLS(options, TCP4ClientEndpoint(reactor, HOST, listening.port))
            return await connectProtocol(endpoint, Collector())

        lost_ones = LostOnes(self)
        ann = await connect(ssl.PrivateCertificate.loadPEM(authority.issue("ann").read_bytes()))
        await ann.lines(1)
        self.assertTrue(ann.heard()[0].startswith(b'{"topicID":'))
        with self.assertLogs(LOG, "WARNING") as logged:
            stranger = await connect(None)
            await stranger.lost
            await lost_ones.next()
        self.assertIn("readers: refused", logged.output[0])
        self.assertEqual([port.readers for port in service.telemetry_ports], [1])
        ann.transport.abortConnection()
        await lost_ones.next()
        self.assertEqual([port.readers for port in service.telemetry_ports], [0])
