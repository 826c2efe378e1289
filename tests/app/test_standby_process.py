"""Two daemons with a real broker: the standby takes over from a killed one, and gives way at its own end."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

from twisted.internet import reactor

from mtmount_twisted import commands as c
from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.replies import AckReply, DoneReply
from mtmount_twisted.simulator.service import SimulatorService
from tests.support.broker import Broker
from tests.support.folders import scratch_path
from tests.support.programs import HOST, Program, ProgramCase

QUIET = logging.getLogger("mtmount_twisted.tests.standby_process")
QUIET.propagate = False

CONFIG = """
[controller]
host = "{host}"
command_port = {mount}
reply_port = {replies}
[[pair]]
name = "csc"
command_port = 0
reply_port = {reply_port}
[station]
mount = "t1"
node = "{node}"
one_peer = true
take_over_after = 1.0
hook = "{hook}"
[station.broker]
servers = ["{url}"]
"""

HOOK = """#!/bin/sh
echo "{node} $1" >>{log}
"""


class StandbyProcessTests(ProgramCase):
    """Two daemons, their children, a broker and a mount."""

    timeout = 180
    """Seconds: the test starts six processes, on a machine that may be loaded."""

    async def mount(self) -> tuple[int, int]:
        """Start a mount of tma2020; its port for commands, and the port to which it replies."""
        replies = self.free_port()
        running: Any = reactor
        simulator = SimulatorService(
            host=HOST, command_port=0, reply_port=replies, log=QUIET, reactor=running
        )
        simulator.startService()
        self.addCleanup(simulator.stopService)
        return await simulator.communicator.wait_server_port(), replies

    def bridge(self, node: str, **places: Any) -> Program:
        """Start a daemon."""
        hook = scratch_path(self)
        hook.write_text(HOOK.format(node=node, log=self.hooks))
        hook.chmod(0o700)
        config = self.file(CONFIG.format(host=HOST, node=node, hook=hook, **places))
        state = {"XDG_STATE_HOME": str(scratch_path(self))}
        return self.twistd("-n", "mtmount-bridge", "--config", config, more=state)

    async def test_take_over(self) -> None:
        """The standby commands the mount after ``kill -9`` of the first, and gives way at its own end."""
        broker = Broker()
        self.addCleanup(broker.close)
        mount, replies = await self.mount()
        self.hooks = Path(scratch_path(self))
        commander = await self.communicator()
        places = {
            "mount": mount,
            "replies": replies,
            "reply_port": commander.server_port,
            "url": broker.url,
        }
        first = self.bridge("a", **places)
        await first.line("active: epoch 1")
        second = self.bridge("b", **places)
        await second.line("serving no commander: this bridge stands by")
        await second.line("the broker is connected")
        self.assertNotIn("taking over", second.output)
        os.kill(first.transport.pid, signal.SIGKILL)
        port = int((await second.line(rf"now serving .*csc on {HOST}:(\d+)")).group(1))
        await commander.connect(port)
        asking = c.AskForCommand(commander=Commander.CSC, source=Source.CSC, sequence_id=1)
        self.assertEqual(await self.ask(commander, asking), [AckReply, DoneReply])
        enable = c.Enable(source=Source.CSC, sequence_id=2)
        self.assertEqual(await self.ask(commander, enable), [AckReply, DoneReply])
        third = self.bridge("a", **places)
        await third.line("the broker is connected")
        commander.close_client()
        await self.assert_ends(second)
        await third.line("active: epoch 3")
        await self.assert_ends(third)
        self.assertEqual(
            self.hooks.read_text().split("\n"), ["a take", "b take", "b give", "a take", "a give", ""]
        )
