"""The password in the settings of a tma2022 mount is in nothing that the daemon writes or serves."""

from __future__ import annotations

import io
import json
import logging
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred, maybeDeferred

from mtmount_twisted.app.bridge import show_traffic
from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.cli.journal import main
from mtmount_twisted.config.settings import ClientLimits, CommandRules, WebSettings
from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.frontends.web.api import history
from mtmount_twisted.frontends.web.api.history import History, Shelf
from mtmount_twisted.frontends.web.events.ring import Turns
from mtmount_twisted.frontends.web.http.calls import Answer, Call, RequestError, Route
from mtmount_twisted.frontends.web.http.encoding import as_body
from mtmount_twisted.frontends.web.service import Areas, Parts
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.records import LineRecord
from mtmount_twisted.simulator.tma2022 import settings
from mtmount_twisted.station.events import Source, event_of
from mtmount_twisted.station.journal_file import JournalFile
from tests.support.bridges_tma2022 import BridgeTma2022Case, CommanderEnd
from tests.support.commanders import LOG
from tests.support.feeds import Notebook, Request
from tests.support.folders import scratch_folder
from tests.support.web_houses import user

PASSWORD = "not-a-real-password"
MASK = "*" * len(PASSWORD)


class Written(Notebook):
    """A journal that keeps up."""

    lag = 0.0
    left_unknown = 0


class PasswordTests(BridgeTma2022Case):
    """A daemon that passes the password on to the pair, with its journal, its page and its log."""

    max_waiting = 2**25

    def setUp(self) -> None:
        self.path: Path = scratch_folder(self) / "journal.sqlite"
        self.log = io.StringIO()
        handler = logging.StreamHandler(self.log)
        LOG.addHandler(handler)
        self.addCleanup(LOG.removeHandler, handler)
        self.addCleanup(LOG.setLevel, LOG.level)
        LOG.setLevel(logging.DEBUG)
        super().setUp()

    @property
    def clock(self) -> Any:
        """As `Notebook` wants it."""
        return self.reactor

    def wall_clock(self) -> float:
        """Unix time."""
        return 1_800_000_000.0 + self.reactor.seconds()

    def start(self) -> None:
        """Start the service with a journal that has a file, and the page."""
        rules = CommandRules(pass_settings_password=True)
        self.config = attrs.evolve(self.config, command=rules)
        self.notebook = Written(cast(Any, self))
        bus = EventBus(self.reactor, self.notebook, self.wall_clock, LOG)
        show_traffic(bus, LOG, DIALECT)
        self.service = BridgeService(self.config, LOG, bus, self.reactor)
        self.service.startService()
        self.patch(history, "in_daemon_thread", lambda reactor, work, name: maybeDeferred(work))
        parts = Parts(self.service, bus, cast(Any, self.notebook), ClientLimits())
        self.areas = Areas(parts, WebSettings(), LOG, self.reactor, self.wall_clock, lambda: 0)
        self.bus = bus
        self.pass_time(2 * SETTLE_TIME)

    def tearDown(self) -> None:
        self.areas.close()
        super().tearDown()
        self.notebook.keeper.close()

    def settings_of(self, client: CommanderEnd) -> str:
        """The settings that a commander reads when it asks for them."""
        client.heard()
        client.send(5, commands.GetActualSettings())
        self.pass_time(1)
        (line,) = [line for line in client.heard() if json.loads(line)["id"] == 40]
        return line.decode()

    def route(self, path: str) -> Route:
        """The route that answers a GET of a path."""
        (route,) = [each for each in self.areas.routes if (each.method, each.path) == ("GET", path)]
        return route

    def history(self) -> str:
        """The whole journal as the page's history has it."""
        shelf = Shelf(self.path, self.reactor, maybeDeferred, self.reactor.seconds)
        area = History(shelf, Turns(self.reactor), self.wall_clock, self.service.bridge.dialect)
        (route,) = area.routes()
        return self.answer(route, {"limit": "1000"})

    def answer(self, route: Route, query: dict[str, str], request: Request | None = None) -> str:
        """All bytes of the answer to a request, its headers included."""
        call = Call(user(), query=query, parts={"id": "1", "name": "main.js"}, request=cast(Any, request))
        answering: Any = maybeDeferred(lambda: Deferred.fromCoroutine(cast(Any, route.respond(call))))
        answers: list[Any] = []
        answering.addBoth(answers.append)
        self.pass_time(0.2)
        if request is not None:
            return ""
        [answer] = answers
        if not isinstance(answer, Answer):
            self.assertIsInstance(answer.value, RequestError)
            return str(answer.getTraceback())
        body = answer.body if isinstance(answer.body, bytes) else as_body(answer.body)
        return body.decode(errors="replace") + repr(answer.headers)

    def test_nowhere(self) -> None:
        """The journal, its programs, log, broker, each route of the page, live events, fault reports."""
        self.assertIn(PASSWORD, Path(settings.__file__).read_text(encoding="utf-8"))
        csc, desk, hall = self.join_pair(), self.join_port(), self.join_port(1)
        stream = Request()
        self.answer(self.route("/api/v1/events"), {}, stream)
        self.assertIn(PASSWORD, self.settings_of(csc))
        self.assertIn(MASK, self.settings_of(desk))
        self.grant(csc)
        csc.send(7, commands.RestoreDefaultSettings())
        self.pass_time(3)
        csc.send(8, commands.GetActualSettings())
        self.pass_time(1)

        def fail(record: LineRecord, number: int) -> None:
            if record.code == 40:
                raise ValueError(record)

        self.bus.subscribe(fail, LineRecord)
        settings_line = self.settings_of(csc).encode()
        self.service.bridge.process_replies([settings_line, settings_line[:20_000], settings_line[:-1]])
        mount = self.simulator.commands.client
        assert mount is not None
        mount.transport.write(b'{"id":40,"parameters":{"BoschSystem":{"Password":"%b"' % PASSWORD.encode())
        mount.transport.write(b"x" * 70_000)
        self.pass_time(1)
        self.assertIn("a line of more than 65536 bytes", self.log.getvalue())
        for client in (desk, hall):
            self.assertNotIn(PASSWORD.encode(), b"".join(client.heard()))
        self.notebook.writer.turn()
        found = {
            f"{route.method} {route.path}": self.answer(route, {})
            for route in self.areas.routes
            if route.method == "GET" and route.path not in ("/api/v1/events", "/api/v1/messages")
        }
        self.assertIn("GET /api/v1/state", found)
        self.assertIn("GET /metrics", found)
        found |= {"history": self.history(), "stream": stream.read.decode()}
        out = io.StringIO()
        with redirect_stdout(out):
            for word in ("show", "export"):
                self.assertEqual(main([word, "--journal", str(self.path)]), 0)
        found |= {"programs": out.getvalue(), "log": self.log.getvalue()}
        last = self.notebook.writer.settled.number
        events = [event_of(entry, Source("t1", "a")) for entry in JournalFile(self.path).rows(0, last)]
        found["broker"] = "".join(f"{event.subject} {event.id} {event.body.decode()}" for event in events)
        found["known"] = repr(self.service.bridge.known.current_apart)
        self.service.bridge.close()
        self.notebook.writer.turn()
        for file in self.path.parent.iterdir():
            found[file.name] = file.read_bytes().decode("latin-1")
        self.assertEqual([name for name, text in found.items() if PASSWORD in text], [])
        for name in ("programs", "log", "journal.sqlite-wal", "history", "stream", "broker"):
            self.assertIn(MASK, found[name], name)
