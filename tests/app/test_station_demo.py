"""``mtmount-bridge --station-demo``: two bridges that take over from each other, on real processes."""

from __future__ import annotations

import json
import logging
import os
import signal
from typing import Any

from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, ResponseFailed, readBody

from mtmount_twisted.app.station_demo import HOST, Ports, StationDemo, processes
from mtmount_twisted.config.loading import load_file
from tests.support.broker import program
from tests.support.folders import scratch_folder
from tests.support.ports import free_port

LOG = logging.getLogger("tests.app.test_station_demo")


class FilesTests(SynchronousTestCase):
    """The configurations of the demonstration."""

    def test_bridges(self) -> None:
        """Each bridge has its own name, journal and page, and both have the same mount, port and broker."""
        folder = scratch_folder(self)
        words = processes(folder, "nats-server", Ports())
        self.assertEqual(sorted(words), ["a", "b", "mount", "nats"])
        a, b = (load_file(str(folder / f"{node}.toml")) for node in "ab")
        for each in ("controller", "ports", "broker", "users"):
            self.assertEqual(getattr(a, each), getattr(b, each))
        assert a.station is not None and b.station is not None
        self.assertEqual((a.station.node, b.station.node), ("a", "b"))
        self.assertEqual((a.station.preferred, b.station.preferred), (True, False))
        self.assertNotEqual(a.journal.path, b.journal.path)
        self.assertNotEqual(a.web.endpoint, b.web.endpoint)


class TakeOverTests(TestCase):
    """The demonstration runs."""

    timeout = 240

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.agent = Agent(self.reactor)
        self.ports = Ports(*(free_port(self) for _ in Ports()))
        self.service = StationDemo(program(), LOG, self.reactor, self.ports)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def number(self, name: str) -> int:
        """The number of a process."""
        numbers = dict(each.split() for each in self.service.describe().split(", "))
        return int(numbers.get(name, 0))

    async def state(self, node: str) -> str:
        """The state of a bridge; empty if its page is not served."""
        url = f"http://{HOST}:{getattr(self.ports, node)}/readyz"
        try:
            body = await readBody(await self.agent.request(b"GET", url.encode()))
        except (ConnectError, ResponseFailed):
            return ""
        return str(json.loads(body)["station"]["state"])

    async def until(self, a: str, b: str) -> None:
        """Wait for the states of both bridges."""
        while (await self.state("a"), await self.state("b")) != (a, b):
            await deferLater(self.reactor, 0.1)

    async def test_kill_and_upgrade(self) -> None:
        """The standby takes over from a bridge that is killed. Both are replaced, one after the other, as in
        an upgrade: one of them is always active or about to be.
        """
        while "active" not in (await self.state("a"), await self.state("b")):
            await deferLater(self.reactor, 0.1)
        active, standby = ("a", "b") if await self.state("a") == "active" else ("b", "a")
        wanted = {active: "standby", standby: "active"}
        os.kill(self.number(active), signal.SIGKILL)
        await self.until(wanted["a"], wanted["b"])
        active, standby = standby, active
        for node in (standby, active):  # the order of an upgrade: docs/howto/upgrade.rst
            before = self.number(node)
            os.kill(before, signal.SIGTERM)
            if node == active:
                wanted = {active: "standby", standby: "active"}
            while self.number(node) in (0, before):
                await deferLater(self.reactor, 0.1)
            await self.until(wanted["a"], wanted["b"])
        numbers = [self.number(name) for name in ("a", "b", "mount", "nats")]
        await self.service.stopService()
        for number in numbers:
            self.assertRaises(ProcessLookupError, os.kill, number, 0)
