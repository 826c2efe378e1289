"""What the README and ``examples/`` show a newcomer runs as it stands."""

from __future__ import annotations

import os
import sys

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.config.loading import load
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.simulator.tma2022.service import SimulatorService as Tma2022Service
from tests.support.pages import DOCS, README, marked
from tests.support.ports import HOST, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def example(name: str) -> str:
    """A file of ``examples/``, as text."""
    with open(os.path.join(ROOT, "examples", name), encoding="utf-8") as file:
        return file.read()


class BridgeSetUp(SynchronousTestCase):
    """The set-up of ``docs/explanation/bridge.rst``."""

    def test_three_commanders(self) -> None:
        """The file that is shown is right, and serves who the text says."""
        config = load(marked(DOCS / "explanation" / "bridge.rst", "bridge-three-commanders"))
        self.assertEqual(
            [(pair.name, pair.source, pair.command_port, pair.reply_port) for pair in config.pairs],
            [("csc", "CSC", 30005, 30006), ("eui", "EUI", 60005, 60006), ("hhd", "HHD", 40005, 40006)],
        )
        self.assertEqual([port.role for port in config.ports], ["observer"])


class RunBesideSimulator(TestCase):
    """Runs what is shown to a newcomer against the simulator."""

    async def run_beside_simulator(self, script: str, *arguments: str) -> list[str]:
        """The lines that a script prints that commands the mount on ports 30005 and 30006."""
        reply_port = free_port(self)
        simulator = SimulatorService(command_port=0, reply_port=reply_port, speed=100.0)
        simulator.startService()
        self.addCleanup(simulator.stopService)
        script = script.replace("30005", str(await simulator.wait_command_port()))
        script = script.replace("30006", str(reply_port))
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-c", script, *arguments], env=os.environ | {"PYTHONPATH": ROOT}
        )
        self.assertEqual((err, status), (b"", 0))
        return out.decode().splitlines()


class Examples(RunBesideSimulator):
    """What the README and ``examples/`` show."""

    async def test_readme(self) -> None:
        """The README's ten lines take command, power the axis and move it, and end."""
        self.assertEqual(
            await self.run_beside_simulator(marked(README, "readme-library")),
            [f"{name} is done" for name in ("AskForCommand", "AzimuthAxisPower", "AzimuthAxisMove")],
        )

    async def test_await_replies(self) -> None:
        """Each command is acknowledged, and done."""
        lines = await self.run_beside_simulator(example("await_replies.py"))
        self.assertEqual(len(lines), 6)
        self.assertEqual(lines[-1], "AzimuthAxisMove: done")

    async def test_move_today(self) -> None:
        """Each command to a mount of today is acknowledged, and done."""
        simulator = Tma2022Service(host=HOST, command_port=0, telemetry_port=0, ready=True, speed=100.0)
        simulator.startService()
        self.addCleanup(simulator.stopService)
        port, _ = simulator.port_numbers()
        out, err, status = await getProcessOutputAndValue(
            sys.executable,
            ["-c", example("move_today.py"), HOST, str(port)],
            env=os.environ | {"PYTHONPATH": ROOT},
        )
        self.assertEqual((err, status), (b"", 0))
        lines = out.decode().splitlines()
        self.assertEqual((len(lines), lines[-1]), (6, "AzimuthMove: done"))

    async def test_watch_replies_under_asyncio(self) -> None:
        """On asyncio's reactor too, replies come one by one until Done."""
        lines = await self.run_beside_simulator(example("watch_replies.py"), "--asyncio")
        kinds = [line.split("(")[0] for line in lines]
        self.assertEqual(
            [kinds[:3], kinds[-1]], [["InPositionReply", "InPositionReply", "AckReply"], "DoneReply"]
        )
