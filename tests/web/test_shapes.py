"""Rows as JSON: `mtmount_twisted.frontends.web.events.shapes`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.commands import AzimuthAxisMove
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as TMA2022
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.dialects.tma2022.replies import CmdRejectedReply, DetailedSettingsAppliedReply
from mtmount_twisted.frontends.web.events.shapes import (
    UNREADABLE,
    Message,
    event_id,
    iso,
    row_of,
    shape,
)
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.journal.reading import Entry
from mtmount_twisted.wire.lines import SHOWN_BYTES
from tests.support.journals import STAMP, START
from tests.support.web import as_read


def row(table: str, **values: Any) -> Entry:
    """A row of a table, with what a test does not care about."""
    usual: dict[str, Any] = dict.fromkeys(("key", "sequence_id", "code", "lease"), 0)
    usual |= {"id": 7, "run": 3, "table": table, "time": START + 0.1234, "peer": "csc", "epoch": 2}
    usual |= {"what": "", "text": "", "line": None, "dialect": DIALECT}
    return Entry(**(usual | values))


def told(entry: Entry) -> dict[str, Any]:
    """A row as a reader of the API has it."""
    read: dict[str, Any] = as_read(shape(row_of(entry)))
    return read


def said(line: bytes, peer: str = "controller", direction: str = "from") -> dict[str, Any]:
    """The shape of a message."""
    return told(row("message", peer=peer, what=direction, line=line))


class ShapeTests(SynchronousTestCase):
    """What a reader of the API sees of a row."""

    def test_time(self) -> None:
        """Times are ISO 8601 in UTC with milliseconds and a Z."""
        self.assertEqual(iso(START + 0.1234), "2026-11-22T16:04:03.123Z")

    def test_command(self) -> None:
        """A command has its kind, its sequence id, and its parameters by name."""
        command = AzimuthAxisMove(sequence_id=12, timestamp="2026-11-22T16:04:03.000", position=10)
        got = said(command.encode().removesuffix(b"\r\n"), "csc")
        fields = {"sequence_id": 12, "source": "CSC", "timestamp": "2026-11-22T16:04:03.000Z"}
        numbers = {"position": 10.0, "velocity": 0.0, "acceleration": 0.0, "jerk": 0.0}
        self.assertEqual(
            got,
            {
                "id": "3.7",
                "time": "2026-11-22T16:04:03.123Z",
                "type": "message",
                "peer": "csc",
                "epoch": 2,
                "direction": "from",
                "dialect": "tma2020",
                "kind": "AZIMUTH_AXIS_MOVE",
                "is_command": True,
                "sequence_id": 12,
                "fields": fields | numbers,
                "text": "12 | 103 | 1 | 2026-11-22T16:04:03.000 | 10.0 | 0.0 | 0.0 | 0.0",
                "truncated": False,
            },
        )

    def test_long_reply(self) -> None:
        """A line of JSON longer than what is shown of it still has its kind; its fields are left out."""
        settings = DetailedSettingsAppliedReply(
            set_name="Default",
            all_settings_match_set=True,
            oss={f"Value{number}": 1 for number in range(2800)},
        )
        line = settings.encode().removesuffix(b"\r\n")
        self.assertGreater(len(line), 38_000)
        got = told(row("message", peer="controller", what="from", line=line, dialect=TMA2022))
        self.assertEqual((got["kind"], got["sequence_id"]), ("DETAILED_SETTINGS_APPLIED", None))
        self.assertEqual((got["truncated"], len(got["text"])), (True, SHOWN_BYTES))

    def test_long_answer(self) -> None:
        """So has a long refusal, which also has its sequence id."""
        reply = CmdRejectedReply(sequence_id=12, commander=Source.CSC, explanation="x" * 20_000)
        line = reply.encode().removesuffix(b"\r\n")
        got = told(row("message", peer="csc", what="to", line=line, dialect=TMA2022))
        self.assertEqual((got["kind"], got["sequence_id"]), ("CMD_REJECTED", 12))

    def test_reply(self) -> None:
        """A reply is told from a command by who said it to whom, and has what the mount added."""
        got = said(b"4\n1\n903\n900. Covers\n" + STAMP + b"\nmore\nand more")
        self.assertEqual((got["kind"], got["is_command"], got["sequence_id"]), ("WARNING", False, None))
        self.assertEqual(got["fields"]["extra_data"], ["more", "and more"])
        self.assertEqual((got["fields"]["active"], got["fields"]["code"]), (True, 903))
        self.assertTrue(said(b"4\n103\n1\n" + STAMP, "controller", "to")["is_command"])

    def test_what_can_not_be_decoded(self) -> None:
        """A message that we have no class for, or that is none, has its text and no fields."""
        unknown = said(b"5\n4711\n1\n" + STAMP, "csc")
        self.assertEqual((unknown["kind"], unknown["sequence_id"], unknown["fields"]), ("code 4711", 5, None))
        self.assertEqual(said(b"99\nx")["kind"], "code 99")
        rubbish = said(b"\xff\x00\nrubbish")
        self.assertEqual((rubbish["kind"], rubbish["fields"]), (UNREADABLE, None))
        self.assertEqual(rubbish["text"], r"\xff\x00 | rubbish")

    def test_long_text_is_cut(self) -> None:
        """The text of a message has a bound, and says if it was cut."""
        exact, long, bytes_ = (said(data) for data in (b"x" * SHOWN_BYTES, b"x" * 5000, b"\xff" * 2000))
        self.assertEqual((len(exact["text"]), exact["truncated"]), (SHOWN_BYTES, False))
        self.assertEqual((len(long["text"]), long["truncated"]), (SHOWN_BYTES, True))
        self.assertEqual((len(bytes_["text"]), bytes_["truncated"]), (SHOWN_BYTES, True))

    def test_step(self) -> None:
        """A step says of which command it is, and why it ended so."""
        step = row("step", what="refused", key=9, sequence_id=4, code=103, lease=2, text="busy")
        got = told(step)
        wanted = {"type": "step", "command": "AzimuthAxisMove", "code": 103, "key": 9, "sequence_id": 4}
        wanted |= {"step": "refused", "lease": 2, "explanation": "busy"}
        self.assertEqual({name: got[name] for name in wanted}, wanted)

    def test_change(self) -> None:
        """An event of the journal is a change, with its kind and detail."""
        got = told(row("event", what="link_down", text="lost"))
        self.assertEqual((got["type"], got["kind"], got["detail"]), ("change", "link_down", "lost"))

    def test_command_names(self) -> None:
        """A command without a class has the name of its code, and one without a name its number."""
        names = [told(row("step", code=code))["command"] for code in (32, 7, 4711)]
        self.assertEqual(names, ["BothAxesStop", "STOP_MOUNT", "code 4711"])

    def test_no_id(self) -> None:
        """What is not in the file has no id."""
        self.assertEqual((event_id(3, 0), event_id(3, 9)), (None, "3.9"))
        self.assertIsNone(shape(row_of(row("event", id=0))).id)

    @given(st.binary(max_size=300), st.sampled_from([("csc", "from"), ("controller", "from")]))
    def test_any_line(self, line: bytes, way: tuple[str, str]) -> None:
        """Whatever a line holds, its shape is one line of ASCII in JSON, and its text is printable."""
        peer, direction = way
        got = shape(row_of(row("message", peer=peer, what=direction, line=line)))
        assert isinstance(got, Message)
        encoded = as_json(got).decode()
        self.assertTrue(encoded.isascii() and encoded.isprintable())
        self.assertTrue(got.text.isascii() and got.text.isprintable())
