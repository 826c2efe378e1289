"""``examples/sockets_*``: clients that do not use this package, against the simulated mounts."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase

from mtmount_twisted.dialects.sources import Commander
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.simulator.tma2022.service import SimulatorService as Tma2022Service
from tests.support.pages import ROOT
from tests.support.ports import HOST, free_port

ENDS = ["command 1 (code {0}): done", "command 2 (code 101): done", "command 3 (code 103): done"]


def node() -> str:
    """Return the path of Node.js; skip the test if there is none."""
    program = shutil.which("node")
    if program is None:
        raise SkipTest("there is no Node.js here")
    return program


class ExampleCase(TestCase):
    """Runs a client beside a simulated mount."""

    async def run_client(self, program: str, name: str, *arguments: object) -> tuple[list[str], str, int]:
        """Return the lines that a client prints, its errors and its exit status."""
        words = [str(ROOT / "examples" / name), *map(str, arguments)]
        out, err, status = await getProcessOutputAndValue(program, words, {})
        return out.decode().splitlines(), err.decode(), status

    def assert_done(self, outcome: tuple[list[str], str, int], ask: int) -> None:
        """Assert that the client took command, moved the axis and gave command up."""
        lines, err, status = outcome
        self.assertEqual((err, status), ("", 0))
        ends = [line for line in lines if line.endswith(": done")]
        self.assertEqual(ends, [*(end.format(ask) for end in ENDS), f"command 4 (code {ask}): done"])
        self.assertIn("command 1 (code", "".join(line for line in lines if "acknowledged" in line))


class Tma2020Tests(ExampleCase):
    """The client of the protocol tma2020."""

    async def start(self, **options: Any) -> tuple[int, int]:
        """Start the simulator, and return its port for commands and the client's port for replies."""
        reply_port = free_port(self)
        simulator = SimulatorService(command_port=0, reply_port=reply_port, speed=100.0, **options)
        simulator.startService()
        self.addCleanup(simulator.stopService)
        return await simulator.wait_command_port(), reply_port

    async def test_moves(self) -> None:
        """Each of its commands is done."""
        ports = await self.start()
        outcome = await self.run_client(sys.executable, "sockets_tma2020.py", *ports, HOST)
        self.assert_done(outcome, 2101)

    async def test_refused(self) -> None:
        """If the mount refuses it command, its last line is the reason."""
        ports = await self.start(initial_commander=Commander.HHD)
        lines, err, status = await self.run_client(sys.executable, "sockets_tma2020.py", *ports, HOST)
        self.assertEqual(status, 1)
        self.assertRegex(err, r"\Acommand 1 \(code 2101\): .*HHD")
        self.assertFalse([line for line in lines if line.endswith(": done")])


class Tma2022Tests(ExampleCase):
    """The two clients of the protocol tma2022."""

    def start(self, **options: Any) -> int:
        """Start the simulator, and return its port for commands."""
        simulator = Tma2022Service(host=HOST, command_port=0, telemetry_port=0, speed=100.0, **options)
        simulator.startService()
        self.addCleanup(simulator.stopService)
        return simulator.port_numbers()[0]

    async def test_moves(self) -> None:
        """Each command of the client in Python is done."""
        outcome = await self.run_client(sys.executable, "sockets_tma2022.py", self.start(ready=True), HOST)
        self.assert_done(outcome, 2103)

    async def test_javascript_moves(self) -> None:
        """Each command of the client in JavaScript is done."""
        outcome = await self.run_client(node(), "sockets_tma2022.mjs", self.start(ready=True), HOST)
        self.assert_done(outcome, 2103)

    async def test_refused(self) -> None:
        """If the main power supply is off, the last line is the mount's reason; command is given up."""
        outcome = await self.run_client(sys.executable, "sockets_tma2022.py", self.start(), HOST)
        self.assert_refused(outcome)

    async def test_javascript_refused(self) -> None:
        """The same holds in JavaScript."""
        outcome = await self.run_client(node(), "sockets_tma2022.mjs", self.start(), HOST)
        self.assert_refused(outcome)

    def assert_refused(self, outcome: tuple[list[str], str, int]) -> None:
        """Assert that the command for the power of the axis was refused, and command given up."""
        lines, err, status = outcome
        self.assertEqual(status, 1)
        self.assertRegex(err, r"\Acommand 2 \(code 101\): .+")
        self.assertIn("command 3 (code 2103): done", lines)

    async def test_no_mount(self) -> None:
        """Without a mount, each client says so in one line."""
        port = free_port(self)
        for program, name in ((sys.executable, "sockets_tma2022.py"), (node(), "sockets_tma2022.mjs")):
            _, err, status = await self.run_client(program, name, port, HOST)
            self.assertEqual((status, len(err.splitlines())), (1, 1))
