"""``twistd mtmount-simulator --dialect tma2022``: its options, and one run of it."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app import daemon
from mtmount_twisted.app import simulator as simulator_tap
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022.enums import PowerState, Source, System
from mtmount_twisted.simulator.faults import Fault
from tests.support.programs import HOST, LOG, ROOT, ProgramCase
from tests.support.simulated_tma2022 import Lines

TMA2022 = "--dialect=tma2022"
SERVING = rf"serving a commander of tma2022 on {HOST}:(\d+), telemetry on {HOST}:(\d+)"
FREE = ("--command-port=0", "--telemetry-port=0")


class OptionTests(SynchronousTestCase):
    """The options by themselves."""

    def line(self, *words: str) -> str:
        """The one line with which the options are refused."""
        error = self.assertRaises(SystemExit, simulator_tap.Options().parseOptions, words)
        self.assertEqual(len(str(error.code).splitlines()), 1)
        return str(error.code)

    def test_every_bad_value(self) -> None:
        """Each option names itself, the value and what is expected."""
        for option, value in (
            ("dialect", "tma2021"),
            ("telemetry-port", "65536"),
            ("heartbeat-timeout", "-1"),
            ("heartbeat-timeout", "nan"),
            ("event-period", "61"),
            ("noise", "-1"),
            ("commander", "PXI"),
        ):
            line = self.line(TMA2022, f"--{option}={value}")
            self.assertIn(f"mtmount-simulator: --{option}: expected ", line)
            self.assertIn(f"got {value!r}", line)

    def test_options_of_the_other_dialect(self) -> None:
        """An option that the simulator of the dialect does not have is refused, not ignored."""
        for word in ("--reply-port=5", "--reply-host=127.0.0.1"):
            self.assertIn("the simulator of tma2022 has no such option", self.line(TMA2022, word))
        for word in (
            "--telemetry-port=5",
            "--heartbeat-timeout=0",
            "--event-period=0",
            "--noise=0",
            "--ready",
        ):
            self.assertIn("the simulator of tma2020 has no such option", self.line(word))
        self.assertIn("--no-operation-manager: the simulator", self.line("--no-operation-manager"))

    def test_page(self) -> None:
        """The page has each option that this simulator has, and no other."""
        page = (ROOT / "docs" / "reference" / "simulator-tma2022.rst").read_text(encoding="utf-8")
        on_page = set(re.findall(r"^``--([\w-]+)", page, re.MULTILINE)) - {"reply-host"}
        own = {*simulator_tap.Options().keys(), "fault"} - {"dialect", *simulator_tap.ONLY_TMA2020}
        self.assertEqual(on_page, own)

    def test_faults_by_dialect(self) -> None:
        """A fault is read with the codes of the dialect, wherever the option stands."""
        options = simulator_tap.Options()
        options.parseOptions(["--fault", "missing:code=AZIMUTH_MOVE", TMA2022])
        self.assertEqual(options["faults"], [Fault("missing", code=103)])
        self.assertIn(
            "--fault: 'alarm:subsystem=1,number=1': subsystem: expected",
            self.line(TMA2022, "--fault", "alarm:subsystem=1,number=1"),
        )
        self.assertIn("--dialect tma2022", self.line("--fault", "interlock"))


class ServiceTests(ProgramCase):
    """What `makeService` makes, in this process."""

    def service(self, *words: str) -> Any:
        """A daemon's service that has started; its log and this reactor's clock are left alone."""
        options = simulator_tap.Options()
        options.parseOptions([TMA2022, *FREE, *words])
        self.patch(daemon, "begin_log", lambda reactor, verbose: LOG)
        service = simulator_tap.makeService(options)
        self.addCleanup(service.stopService)
        service.startService()
        return service

    async def client(self, service: Any) -> Lines:
        """A client of the command port."""
        port, _ = service.port_numbers()
        client = await connectProtocol(TCP4ClientEndpoint(reactor, HOST, port), Lines())
        self.addCleanup(self.leave, client)
        return client

    async def leave(self, client: Lines) -> None:
        """Close a connection."""
        if client.transport is not None:
            client.transport.loseConnection()
        await client.ended

    async def test_ready_and_commander(self) -> None:
        """With both a client moves the mount at once."""
        service = self.service("--ready", "--commander=csc", "--no-operation-manager")
        client = await self.client(service)
        client.sendLine(c.AzimuthMove(sequence_id=1, position=0.1).encode()[:-2])
        self.assertEqual(await client.id(), 1)
        self.assertEqual(service.mount.power_state(System.OIL_SUPPLY_SYSTEM), PowerState.ON)

    async def test_event_period(self) -> None:
        """With a period, events come with the next look."""
        service = self.service("--event-period=0.01", "--commander=csc", "--no-operation-manager")
        client = await self.client(service)
        client.sendLine(c.MainAxesPowerSupplyPower(sequence_id=1, on=True).encode()[:-2])
        self.assertEqual([await client.id() for _ in range(3)], [1, 3, 100])

    async def test_heartbeat_timeout(self) -> None:
        """Its time is the option's."""
        service = self.service("--heartbeat-timeout=0.01", "--commander=eui")
        client = await self.client(service)
        while await client.id() != 20:
            pass
        self.assertEqual(service.mount.commander, Source.NONE)

    async def test_nothing_comes_at_first(self) -> None:
        """Without the options nothing is on, nobody has command, and only the state of 50 comes."""
        service = self.service()
        client = await self.client(service)
        self.assertEqual(await client.id(), 50)
        client.sendLine(c.AzimuthStop(sequence_id=1).encode()[:-2])
        self.assertIn("Source.NONE", json.loads(await client.line())["parameters"]["explanation"])


class ProgramTests(ProgramCase):
    """The program."""

    async def test_run(self) -> None:
        """It says where it serves, answers a command, sends telemetry, survives SIGHUP, and ends cleanly."""
        program = self.twistd("-n", "mtmount-simulator", TMA2022, *FREE, "--fault", "missing:code=DISABLE")
        command, telemetry = map(int, (await program.line(SERVING)).groups())
        client = await connectProtocol(TCP4ClientEndpoint(reactor, HOST, command), Lines())
        self.assertEqual(await client.id(), 50)
        client.sendLine(c.AskForCommand(sequence_id=1).encode()[:-2])
        self.assertEqual([await client.id() for _ in range(3)], [1, 20, 3])
        reader = await connectProtocol(TCP4ClientEndpoint(reactor, HOST, telemetry), Lines())
        self.assertIn("topicID", json.loads(await reader.line()))
        program.transport.signalProcess("HUP")
        await program.line("ignored SIGHUP")
        await self.assert_ends(program)
        await client.ended
        await reader.ended

    async def test_port_in_use(self) -> None:
        """A port in use is one line, which names the option."""
        taken = self.twistd("-n", "mtmount-simulator", TMA2022, *FREE)
        port = (await taken.line(SERVING))[2]
        program = self.twistd(
            "-n", "mtmount-simulator", TMA2022, "--command-port=0", "--telemetry-port", port
        )
        self.assertEqual(await program.ended, 1, program.output)
        self.assertIn(f"mtmount-simulator: --telemetry-port: can't listen on {HOST}:{port}", program.output)
        await self.assert_ends(taken)
