"""Two daemons with a real broker: the standby takes over from a killed one, and gives way at its own end; its
page shows the events of the active one meanwhile."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.web.client import Agent, readBody

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


class Reader(LineOnlyReceiver):
    """A reader of the live events: each event, as its id and its data."""

    delimiter = b"\n"
    MAX_LENGTH = 2**20

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self._wanted: list[tuple[Callable[[Any], bool], Deferred[str]]] = []
        self._id = ""

    def connectionMade(self) -> None:
        self.transport.write(b"GET /api/v1/events HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")

    def lineReceived(self, line: bytes) -> None:
        name, _, value = line.decode().partition(": ")
        if name == "id":
            self._id = value
        elif name == "data":
            self.events.append((self._id, json.loads(value)))
            self._id = ""
            self._look()

    def _look(self) -> None:
        for wanted in self._wanted[:]:
            found = [id for id, data in self.events if wanted[0](data)]
            if found:
                self._wanted.remove(wanted)
                wanted[1].callback(found[0])

    def event(self, is_wanted: Callable[[Any], bool]) -> Deferred[str]:
        """The id of the first event that is wanted."""
        found: Deferred[str] = Deferred()
        self._wanted.append((is_wanted, found))
        self._look()
        return found


def ends(number: int) -> Callable[[Any], bool]:
    """Whether an event is the end of the commander's command."""
    wanted = {"type": "step", "step": "done", "peer": "csc", "sequence_id": number}
    return lambda data: wanted.items() <= data.items()


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

    def bridge(self, node: str, web: str = "none", **places: Any) -> Program:
        """Start a daemon."""
        hook = scratch_path(self)
        hook.write_text(HOOK.format(node=node, log=self.hooks))
        hook.chmod(0o700)
        config = self.file(CONFIG.format(host=HOST, node=node, hook=hook, **places))
        state = {"XDG_STATE_HOME": str(scratch_path(self))}
        return self.twistd("-n", "mtmount-bridge", "--config", config, "--web", web, more=state)

    async def places(self) -> tuple[Any, dict[str, Any]]:
        """A commander, and the places of everything for two bridges."""
        self.broker = Broker()
        self.addCleanup(self.broker.close)
        mount, replies = await self.mount()
        self.hooks = Path(scratch_path(self))
        commander = await self.communicator()
        places = {
            "mount": mount,
            "replies": replies,
            "reply_port": commander.server_port,
            "url": self.broker.url,
        }
        return commander, places

    async def page(self, program: Program) -> tuple[str, Reader]:
        """The address of a daemon's page, and a reader of its live events."""
        port = int((await program.line(rf"page on http://{HOST}:(\d+)")).group(1))
        reader: Reader = await HostnameEndpoint(reactor, HOST, port).connect(Factory.forProtocol(Reader))
        self.addCleanup(reader.transport.abortConnection)
        return f"http://{HOST}:{port}/api/v1/", reader

    async def ask_page(self, address: str, status: int = 200) -> Any:
        """What a page answers."""
        response = await Agent(reactor).request(b"GET", address.encode())
        answer = json.loads(await readBody(response))
        self.assertEqual(response.code, status, answer)
        return answer

    async def test_take_over(self) -> None:
        """The standby commands the mount after ``kill -9`` of the first, and gives way at its own end."""
        commander, places = await self.places()
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

    async def test_events_of_the_active(self) -> None:
        """The page of a standby shows the events of the active bridge, live and past, then its own."""
        commander, places = await self.places()
        first = self.bridge("a", **places)
        port = int((await first.line(rf"now serving .*csc on {HOST}:(\d+)")).group(1))
        second = self.bridge("b", f"tcp:0:interface={HOST}", **places)
        address, reader = await self.page(second)
        await second.line("the broker is connected")
        await commander.connect(port)
        asking = c.AskForCommand(commander=Commander.CSC, source=Source.CSC, sequence_id=1)
        self.assertEqual(await self.ask(commander, asking), [AckReply, DoneReply])
        enable = c.Enable(source=Source.CSC, sequence_id=2)
        self.assertEqual(await self.ask(commander, enable), [AckReply, DoneReply])
        id = await reader.event(ends(2))
        self.assertRegex(id, r"^a\.1\.\d+\.\d+$")
        page = await self.ask_page(f"{address}messages?kind=step&limit=1")
        [entry] = page["entries"]
        self.assertEqual((entry["id"], entry["sequence_id"]), (id, 2))
        older = await self.ask_page(f"{address}messages?before={page['next']}")
        self.assertIn("link_up", [entry.get("kind") for entry in older["entries"]])
        own = await self.ask_page(f"{address}messages?where=journal")
        self.assertEqual({entry["type"] for entry in own["entries"]}, {"change"})
        self.broker.kill()
        await second.line("the broker is not connected")
        problem = await self.ask_page(f"{address}messages", 503)
        self.assertIn("the broker is not connected", problem["error"])
        enable = c.Enable(source=Source.CSC, sequence_id=3)
        self.assertEqual(await self.ask(commander, enable), [AckReply, DoneReply])
        self.broker.start()
        await reader.event(ends(3))
        os.kill(first.transport.pid, signal.SIGKILL)
        serves = {"kind": "tenure", "detail": "active: epoch 2"}
        own_id = await reader.event(lambda data: serves.items() <= data.items())
        self.assertRegex(own_id, r"^1\.\d+$")
        page = await self.ask_page(f"{address}messages?limit=1")
        self.assertRegex(page["entries"][0]["id"], r"^1\.\d+$")
        page = await self.ask_page(f"{address}messages?after={id}")
        self.assertIn(3, [each["sequence_id"] for each in page["entries"] if each.get("step") == "done"])
        ids = [id for id, _ in reader.events if id]
        self.assertEqual(len(set(ids)), len(ids))
        commander.close_client()
        await self.assert_ends(second)
