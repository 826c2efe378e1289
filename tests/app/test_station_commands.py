"""Commands by a real broker to a real daemon, whose mount is a simulator in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mtmount_twisted.errors import EngineUnreachable
from mtmount_twisted.station.requester import Requester
from tests.support.broker import Broker, in_time
from tests.support.programs import Program, ProgramCase

CONFIG = """
[controller]
host = "127.0.0.1"
command_port = {mount}
telemetry_port = {telemetry}
dialect = "tma2022"
[[pair]]
name = "csc"
command_port = 0
[command]
lease_grace = 0.5
[web]
enabled = false
absent_after = 3
[station]
mount = "t1"
node = "a"
one_peer = true
take_over_after = 10
[station.broker]
servers = ["{url}"]
commands = true
[[station.user]]
name = "night"
role = "command"
expires = 60
"""


class CommandTests(ProgramCase):
    """A daemon, its child, a broker, a simulator, and requesters."""

    timeout = 120

    async def begin(self) -> Program:
        """Start all of them; the daemon is the active bridge then."""
        self.broker = Broker()
        self.addCleanup(self.broker.close)
        ports = [self.free_port(), self.free_port()]
        words = ["--dialect", "tma2022", "--ready", "--command-port", str(ports[0])]
        simulator = self.twistd("-n", "mtmount-simulator", *words, "--telemetry-port", str(ports[1]))
        await simulator.line("serving a commander of tma2022")
        config = self.file(CONFIG.format(url=self.broker.url, mount=ports[0], telemetry=ports[1]))
        daemon = self.twistd("-n", "mtmount-bridge", "--config", config)
        await daemon.line("the controller is connected")
        return daemon

    def by(self, user: str, talk: Callable[[Requester], Awaitable[Any]]) -> Any:
        """Let a user talk, and return what it gets."""

        async def run() -> Any:
            async with Requester([self.broker.url], "t1", user) as requester:
                await requester.wait_connected(30.0)
                return await talk(requester)

        return in_time(run())

    def child_of(self, program: Program) -> int:
        """The number of the child's process."""
        children = Path(f"/proc/{program.transport.pid}/task/{program.transport.pid}/children")
        return int(children.read_text().split()[0])

    async def test_commands(self) -> None:
        """A user takes command and moves the mount; no stream takes the stop of an unknown user; what is too
        old is not sent.

        After the death of the child it goes on.
        """
        daemon = await self.begin()

        async def moves(requester: Requester) -> list[str]:
            asks = [
                ("AskForCommand", {"commander": "CSC"}, None),
                ("AzimuthMove", {"position": 1}, None),
                ("AzimuthMove", {"position": 2}, 0.000001),
                ("BothAxesStop", {}, None),
            ]
            outcomes = [await requester.command(*ask) for ask in asks]
            return [outcome.state for outcome in outcomes]

        self.assertEqual(self.by("night", moves), ["done", "done", "not_sent", "done"])

        async def stops(requester: Requester) -> tuple[str, str]:
            outcome = await requester.command("BothAxesStop")
            return outcome.state, outcome.explanation

        async def stops_in_vain(requester: Requester) -> str:
            try:
                outcome = await requester.command("BothAxesStop", timeout=1.0)
            except EngineUnreachable as error:
                return str(error)
            return outcome.state

        self.assertIn("no outcome of the request", self.by("other", stops_in_vain))
        os.kill(self.child_of(daemon), signal.SIGKILL)
        self.assertEqual(self.by("night", stops), ("done", ""))
        await self.assert_ends(daemon)

    async def test_presence(self) -> None:
        """While the holder's keep-alives come, it has command; then come the time of grace and the stop."""
        daemon = await self.begin()

        async def takes(requester: Requester) -> str:
            outcome = await requester.command("AskForCommand", {"commander": "CSC"})
            return str(outcome.state)

        self.assertEqual(self.by("night", takes), "done")
        await daemon.line("broker/night: is gone: no request for 3 s")
        await daemon.line("broker/night did not return in time: stop")
        await self.assert_ends(daemon)
