"""Lines of tens of thousands of fields: bounded in what they become, and in what is done in one turn."""

from __future__ import annotations

import json
import logging
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.bridge import show_traffic
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.bridge.last_values import LastValueCache
from mtmount_twisted.cli.commander import report
from mtmount_twisted.cli.journal.text import Teller
from mtmount_twisted.dialects.dialect import EventEnvelope
from mtmount_twisted.dialects.tma2020.codec import (
    SHOWN_FIELDS,
    decode_reply,
    decode_to_show,
    read_explanation,
    start_of,
)
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2020.envelope import new_answer, read_command, read_wanted, subject_of
from mtmount_twisted.enums import ReplyCode
from mtmount_twisted.errors import FieldCountError, LineError
from mtmount_twisted.frontends.web.api.state import Said
from mtmount_twisted.frontends.web.events.ring import BYTES_PER_TURN, ROWS_PER_TURN, Feed, Turns, slices
from mtmount_twisted.frontends.web.events.selection import Selection
from mtmount_twisted.frontends.web.events.shapes import row_of, shape
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.journal.reading import Entry
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.wire.lines import SHOWN_BYTES
from tests.support.commanders import LOG, STAMP
from tests.support.records import RecordMaker
from tests.support.web import as_read

FIELDS = 60_000
WARNING = b"5\n1\n905\n900.1\n" + STAMP + b"\n" * FIELDS
SMALL_WARNING = b"4\n" + b"1\n905\n900.1\n" + STAMP
COMMAND = b"7\n103\n1\n" + STAMP + b"\n" * FIELDS
LONGEST = 6 * SHOWN_BYTES
"""What a line may become, in characters: JSON writes some bytes as six."""


def message(line: bytes | None, peer: str = "controller", text: str = "") -> Entry:
    """A row of the journal."""
    return Entry(7, 3, "message", 1_800_000_000.0, peer, 2, "from", 0, 0, 0, 0, text, line, DIALECT)


class Ear:
    """A reader of events."""

    selection = Selection()

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def send(self, data: bytes) -> None:
        """Something is told."""
        self.sizes.append(len(data))


class BoundedTests(SynchronousTestCase):
    """What becomes of a warning, a command and a refusal."""

    def warning(self) -> bytes:
        """A warning of the controller's that can be read, but for its length."""
        from mtmount_twisted.replies import WarningReply

        made = WarningReply(active=True, code=905, subsystem="900.1.2", extra_data=("hot",) + ("",) * FIELDS)
        line = made.encode().removesuffix(b"\r\n")
        self.assertEqual(len(decode_reply(line).extra_data), FIELDS + 1)  # type: ignore[attr-defined]
        return line

    def test_start(self) -> None:
        """What is shown is the beginning, of so many fields and bytes; all of a line that is no longer."""
        for line in (b"", b"1", b"1\n2", b"x" * SHOWN_BYTES, b"\n" * (SHOWN_FIELDS - 1)):
            self.assertEqual(start_of(line), line)
        self.assertEqual(start_of(b"x" * 70_000), b"x" * SHOWN_BYTES)
        self.assertEqual(start_of(b"\n" * 70_000), b"\n" * (SHOWN_FIELDS - 1))

    def test_command(self) -> None:
        """A command that is longer than any is none; nothing is shown as if it were all of it."""
        with self.assertRaises(LineError):
            decode_to_show(COMMAND, True)
        self.assertIsNone(as_read(shape(row_of(message(COMMAND, "desk/1"))))["fields"])

    def test_event(self) -> None:
        """The event has the warning's first fields, and says that there are more."""
        for line in (self.warning(), COMMAND):
            told = as_json(shape(row_of(message(line))))
            self.assertTrue(json.loads(told)["truncated"])
            self.assertLess(len(told), LONGEST)
        shaped = as_read(shape(row_of(message(self.warning()))))
        self.assertEqual((shaped["kind"], shaped["fields"]["code"]), ("WARNING", 905))
        self.assertEqual(shaped["fields"]["extra_data"][0], "hot")
        self.assertLess(len(shaped["fields"]["extra_data"]), SHOWN_FIELDS)

    def test_state(self) -> None:
        """So has the state, which the page shows."""
        line = self.warning()[:50_000]
        known, event = LastValueCache(), EventEnvelope(ReplyCode.WARNING, line)
        subject = subject_of(event)
        assert subject is not None
        self.assertEqual(known.learn(event, subject), 0)
        state = Said(DIALECT, Stamps(Clock(), lambda: 0.0), lambda: 0.0).shape(known.entries())
        self.assertEqual(state.warnings[0].code, 905)
        self.assertLess(len(as_json(state.warnings)), LONGEST)

    def test_journal_text(self) -> None:
        """A line for an engineer is no longer than a page."""
        for line in (self.warning(), COMMAND, b"\xff" * 65_000):
            for peer in ("controller", "desk/1"):
                self.assertLess(len(Teller().line(message(line, peer))), LONGEST)
        self.assertIn("code 905", Teller().line(message(self.warning())))

    def test_prompt(self) -> None:
        """Nor is what a commander at the prompt reads."""
        line = self.warning()
        label, text = report.event(decode_reply(line), DIALECT.facts_of(line), DIALECT.subsystems)
        self.assertEqual(label, "WARNING")
        self.assertLess(len(text), LONGEST)

    def test_log(self) -> None:
        """Nor is what the log says of it, also where it logs all traffic."""
        bus = EventBus(Clock())
        show_traffic(bus, LOG, DIALECT)
        records = RecordMaker(bus.publish, bus.now)
        with self.assertLogs(LOG, logging.DEBUG) as logged:
            for line in (self.warning(), COMMAND):
                records.line("controller", "from", 1, line)
        for record in logged.records:
            self.assertLess(len(record.getMessage()), LONGEST)
        for error in (
            LineError(b"x", str(FieldCountError("reply", None, COMMAND.split(b"\n"), "5 fields"))),
            self.assertRaises(LineError, read_wanted, COMMAND),
        ):
            self.assertLess(len(str(error)), 1000)

    def test_explanation(self) -> None:
        """The explanation of a refusal of the controller's is no longer than is shown."""
        answer = new_answer(ReplyCode.NOACK, *[b"why"] * 16_000)
        self.assertTrue(read_explanation(answer.rest).startswith("why why"))
        self.assertLessEqual(len(read_explanation(answer.rest)), SHOWN_BYTES)
        self.assertEqual(read_command(COMMAND).code, 103)


class TurnTests(SynchronousTestCase):
    """How much is made into JSON in one turn of the reactor."""

    def test_slices(self) -> None:
        """So many rows at once, or so many bytes, and one at the least. Each byte of a line counts, because
        the whole line may be read."""
        short, long = row_of(message(b"6\n" + STAMP + b"\n0\n1")), row_of(message(COMMAND))
        self.assertEqual([len(each) for each in slices([short] * 50)], [ROWS_PER_TURN, ROWS_PER_TURN, 10])
        most = BYTES_PER_TURN // SHOWN_BYTES
        shown = row_of(message(COMMAND[:SHOWN_BYTES]))
        self.assertEqual([len(each) for each in slices([shown] * (most + 1))], [most, 1])
        self.assertGreater(len(COMMAND), BYTES_PER_TURN)
        self.assertEqual([len(each) for each in slices([long] * 3)], [1, 1, 1])
        self.assertEqual([n for each in slices([long, short] * 30) for n in each], list(range(60)))
        self.assertEqual(list(slices([])), [])
        text = row_of(message(None, text="x" * 10 * BYTES_PER_TURN))
        self.assertEqual([len(each) for each in slices([text, short])], [1, 1])

    def test_events(self) -> None:
        """Long lines are told in pieces, with turns for others between them."""
        clock: Any = Clock()
        bus = EventBus(clock)
        records = RecordMaker(bus.publish, bus.now)
        feed = Feed(bus, DIALECT, JournalOff(), clock, Turns(clock))
        ear = Ear()
        feed.attach(ear)
        for _ in range(40):
            records.line("desk/1", "from", 1, COMMAND)
        for _ in range(40):
            clock.advance(0.1)
        self.assertLess(max(ear.sizes), 40 * LONGEST / 2)
        self.assertGreater(len(ear.sizes), 2)
        feed.close()
