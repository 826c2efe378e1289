"""``examples/web_events.py``, over real sockets."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import DeferredQueue
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.api.history import History, Shelf
from mtmount_twisted.frontends.web.http.calls import User
from mtmount_twisted.frontends.web.http.guard import ANYONE, Guard, HostPolicy
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.frontends.web.http.tokens import Tokens
from mtmount_twisted.testing import HOST, ChaosProxy
from tests.support.feeds import World
from tests.support.programs import Program

reactor: Any = _reactor
LOG = logging.getLogger("tests.web.test_events_example")
EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "web_events.py"


class EventsExampleTests(TestCase):
    """A daemon whose memory holds three rows, and the example as its reader."""

    timeout = 30

    async def start(self, tokens: Tokens | None = None) -> None:
        """Start both."""
        self.world = world = World(self, clock=reactor, max_rows=3)
        world.write()
        self.addCleanup(world.stop)
        shelf = Shelf(world.path, reactor)
        self.addCleanup(shelf.close)
        history = History(shelf, world.turns, world.wall_clock, DIALECT)
        guard = Guard(HostPolicy(), tokens, User(ANYONE, frozenset(["observe"]), Source.CSC))
        routes = [*world.streams.routes(), *history.routes()]
        site = make_site(routes, guard, LOG, reactor, WebSettings())
        self.addCleanup(site.close)
        port = await serverFromString(reactor, f"tcp:0:interface={HOST}").listen(site)
        self.addCleanup(port.stopListening)
        self.way = ChaosProxy(reactor, port.getHost().port)
        self.addCleanup(self.way.stop)
        self.held: DeferredQueue[None] = DeferredQueue()
        hold = world.presence.hold

        def note(user: User) -> Any:
            self.held.put(None)
            return hold(user)

        world.presence.hold = note  # type: ignore[method-assign]
        self.program = Program()
        script = EXAMPLE.read_text(encoding="utf-8").replace("PAUSE = 1", "PAUSE = 0.05")
        process = reactor.spawnProcess(
            self.program,
            sys.executable,
            [sys.executable, "-c", script, f"http://{HOST}:{self.way.port}"],
            env={**os.environ, "no_proxy": HOST},
        )

        def end() -> Any:
            if not self.program.ended.called:
                process.signalProcess("INT")
            return self.program.ended

        self.addCleanup(end)

    async def connected(self) -> None:
        """The program has a stream."""
        await self.held.get()
        await deferLater(reactor, 0)

    async def printed(self, number: int) -> None:
        """The program has printed the entry of a row."""
        await self.program.line(rf" {re.escape(self.world.id_of(number))} .*\n")

    async def test_misses_nothing(self) -> None:
        """Every entry is printed once and in order, over a loss that lasts for more than memory holds."""
        await self.start()
        world = self.world
        await self.connected()
        world.record(2)
        await self.printed(2)
        self.way.reset()
        world.record(10)
        world.write()
        await self.program.line("not connected")
        await self.printed(12)
        world.record()
        await self.printed(13)
        printed = re.findall(r"^\S+Z (\S+) csc ", self.program.output, re.MULTILINE)
        self.assertEqual(printed, [world.id_of(number) for number in range(1, 14)])
        self.assertNotIn("missing", self.program.output)

    async def test_without_access(self) -> None:
        """Where a token is needed, the program ends with what the daemon says."""
        await self.start(Tokens(()))
        self.assertEqual(await self.program.ended, 1)
        self.assertIn("401", self.program.output)
        self.assertIn("a token is needed", self.program.output)
        self.assertEqual(self.program.output.count("\n"), 1)
