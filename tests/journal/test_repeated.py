"""The events ``repeated`` in the journal's file: what each of its readers has of them."""

from __future__ import annotations

import io
import json
from contextlib import closing, redirect_stdout
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.cli.journal import main
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import System
from mtmount_twisted.frontends.web.api.history import History, Shelf
from mtmount_twisted.frontends.web.events.ring import Turns
from mtmount_twisted.frontends.web.http.calls import Call
from mtmount_twisted.interfaces import IJournal
from mtmount_twisted.journal.reading import Wanted, open_journal, rows
from mtmount_twisted.records import Record
from tests.data.previous_journal import reading as previous_reading
from tests.support.commanders import LOG, RecordingClient, RecordingLink
from tests.support.feeds import NIGHT
from tests.support.journals import JournalCase

COUNT = (
    "CHILLER_STATE OIL_SUPPLY_SYSTEM: 600 lines that changed nothing, "
    "from 2026-11-22T16:04:03.100Z to 2026-11-22T16:05:03.000Z"
)


class RepeatedTests(JournalCase):
    """A minute of a mount that sends an event ten times a second, and then a change."""

    def setUp(self) -> None:
        super().setUp()
        self.keeper.close()
        self.open(dialect="tma2022")
        clock, waiting = Clock(), self.waiting

        @implementer(IJournal)
        class Keeper:
            def keep(self, record: Record) -> int:
                return waiting.keep(record)

        bridge = Bridge(
            clock, LOG, EventBus(clock, Keeper(), lambda: round(self.now, 3)), CommandRules(), DIALECT
        )
        link = RecordingLink(bridge)
        bridge.link_up(link)
        RecordingClient(bridge, "csc", Source.CSC).come()
        for number in range(601):
            link.say(self.line(10.0, number))
            if number < 600:
                self.now += 0.1
        link.say(self.line(11.0, 601))
        self.writer.turn()

    def line(self, temperature: float, number: int) -> bytes:
        """The event."""
        event = replies.ChillerStateReply(
            timestamp=float(number),
            system=System.OIL_SUPPLY_SYSTEM,
            temperature=(temperature,),
            track_ambient=(False,),
        )
        return event.encode()[:-2]

    def program(self, *words: str) -> list[str]:
        """The lines of the program's output."""
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(main([words[0], "--journal", str(self.path), *words[1:]]), 0)
        return out.getvalue().splitlines()

    def test_rows(self) -> None:
        """The file has the first line, the count and the change, each line from the mount and to everyone."""
        events = [line for (line,) in self.rows("SELECT line FROM message") if b"temperature" in line]
        first, changed = self.line(10.0, 0), self.line(11.0, 601)
        self.assertEqual(events, [first, first, changed, changed])
        self.assertEqual(
            self.rows("SELECT kind, peer, epoch, detail FROM event WHERE kind = 'repeated'"),
            [("repeated", "controller", 1, COUNT)],
        )

    def test_show(self) -> None:
        """``mtmount-journal show`` tells the count between the two lines, and as no failure."""
        shown = [line for line in self.program("show", "--peer", "controller") if "CHILLER" in line.upper()]
        self.assertEqual(len(shown), 3)
        self.assertEqual(
            shown[1].split(maxsplit=2)[2],
            f"controller              repeated    {COUNT}; epoch 1",
        )

    def test_export(self) -> None:
        """``export`` has it as a row of the table ``event``."""
        exported = [json.loads(line) for line in self.program("export", "--only", "event")]
        [row] = [row for row in exported if row["what"] == "repeated"]
        self.assertEqual((row["table"], row["peer"], row["text"]), ("event", "controller", COUNT))

    def test_page(self) -> None:
        """``/api/v1/messages`` has it as a change."""
        clock = Clock()
        shelf = Shelf(self.path, clock, maybeDeferred, clock.seconds)
        (route,) = History(shelf, Turns(clock), lambda: self.now, DIALECT).routes()
        call = Call(NIGHT, query={"kind": "change"}, headers={})
        answering: Any = Deferred.fromCoroutine(route.respond(call))  # type: ignore[arg-type]
        clock.advance(0)
        entries = json.loads(self.successResultOf(answering).body)["entries"]
        [change] = [entry for entry in entries if entry["kind"] == "repeated"]
        self.assertEqual((change["type"], change["peer"], change["detail"]), ("change", "controller", COUNT))

    def test_previous_version(self) -> None:
        """The previous version reads the same entries."""
        with closing(open_journal(self.path)) as db:
            present = [tuple(entry)[:-1] for entry in rows(db, Wanted())]
        with closing(previous_reading.open_journal(self.path)) as db:
            previous = [tuple(entry) for entry in previous_reading.rows(db, previous_reading.Wanted())]
        self.assertEqual(present, previous)
        self.assertIn(COUNT, repr(previous))
