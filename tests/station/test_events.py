"""The messages for the broker: subjects, bodies, identities."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.journal.reading import Entry
from mtmount_twisted.station.events import MAX_BODY, Source, event_of, kind_word, row_in, telemetry_of
from mtmount_twisted.station.streams import differences, events_stream, telemetry_stream
from mtmount_twisted.testing.broker import matches

SOURCE = Source("t1", "a")
TIME = 1795363443.25


def entry(table: str, **values: Any) -> Entry:
    """A row of the journal."""
    usual: dict[str, Any] = {"id": 7, "run": 1, "table": table, "time": TIME, "peer": "csc", "epoch": 3}
    rest = dict.fromkeys(("key", "sequence_id", "code", "lease"), 0)
    dialect = dialect_named("tma2020")
    return Entry(**{**usual, "what": "", **rest, "text": "", "line": None, "dialect": dialect, **values})


class EventTests(SynchronousTestCase):
    """A row of the journal."""

    def test_subjects(self) -> None:
        """The subject has the type and the kind, in characters that a subject may have."""
        for row, subject in (
            (entry("message", what="from", line=b"1\n101\n1\nx"), "message.AZIMUTH_AXIS_POWER"),
            (entry("message", what="from", line=b"\xff"), "message.unreadable"),
            (entry("step", what="sent", code=9999), "step.code_9999"),
            (entry("event", what="link_up"), "change.link_up"),
            (entry("event", what="odd > * kind."), "change.odd_____kind_"),
        ):
            event = event_of(row, SOURCE)
            self.assertEqual(event.subject, f"mt.t1.a.ev.{subject}")
            self.assertTrue(matches(SOURCE.events, event.subject))
        self.assertEqual((kind_word(""), len(kind_word("x" * 200))), ("_", 64))

    def test_body(self) -> None:
        """The body is a CloudEvent; what is no peer is no subject, and odd names are escaped."""
        body = json.loads(event_of(entry("event", what="link_up", peer='a"b'), SOURCE).body)
        self.assertEqual((body["subject"], body["epoch"], body["id"]), ('a"b', 3, "1.7"))
        self.assertEqual(body["time"], body["data"]["time"])
        self.assertNotIn("subject", json.loads(event_of(entry("event", peer=""), SOURCE).body))

    def test_longest(self) -> None:
        """A body has at most 64 KiB, whatever the mount sends: the decoded fields go first."""
        line = b'{"id":%d,"parameters":{"a":"%b"}}' % (40, "\N{GREEK SMALL LETTER ALPHA}".encode() * 30_000)
        row = entry("message", what="from", peer="controller", line=line, dialect=dialect_named("tma2022"))
        self.assertLess(len(event_of(row, SOURCE).body), MAX_BODY)

    def test_identity(self) -> None:
        """Another time, another node or another row makes another event: the broker stores both."""
        rows = entry("event"), entry("event", time=TIME + 0.001), entry("event", id=8)
        found = {event_of(row, SOURCE).id for row in rows} | {event_of(rows[0], Source("t1", "b")).id}
        self.assertEqual(len(found), 4)

    def test_row_in(self) -> None:
        """The row and its time are read from a body of this bridge; other bodies have none."""
        body = event_of(entry("event"), SOURCE).body
        self.assertEqual(row_in(body, SOURCE), (7, json.loads(body)["time"]))
        self.assertIsNone(row_in(body, Source("t1", "b")))
        deep = b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"
        for other in (b"", b"[]", b'{"source":"/mount/t1/node/a","id":"x","time":""}', deep):
            self.assertIsNone(row_in(other, SOURCE))

    def test_telemetry(self) -> None:
        """Telemetry has its topic in the subject, and the mount's line as its data."""
        event = telemetry_of(
            "azimuth", 5, b'{"topicID":6,"timestamp":1.0}', "2026-11-22T18:20:00.123Z", SOURCE
        )
        body = json.loads(event.body)
        self.assertEqual(event.subject, "mt.t1.a.tel.azimuth")
        self.assertEqual((body["type"], body["data"]["topicID"]), ("mtmount.telemetry", 6))

    def test_streams(self) -> None:
        """Each subject is in one stream."""
        event = event_of(entry("event"), SOURCE)
        streams = [events_stream(1), telemetry_stream()]
        self.assertEqual([stream.has(event.subject) for stream in streams], [True, False])
        self.assertEqual([stream.has("mt.t1.a.tel.azimuth") for stream in streams], [False, True])
        self.assertEqual([stream.has("mt.t1.lease") for stream in streams], [False, False])
        self.assertEqual([list(differences(stream, stream.as_json())) for stream in streams], [[], []])
