"""The AsyncAPI document: it has each event of the stream, and the events are as it says."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.api import asyncapi
from mtmount_twisted.frontends.web.events.signals import SignalValues
from mtmount_twisted.frontends.web.http.answers import LeaseRequest
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.journal.times import iso
from mtmount_twisted.records import ChangeRecord
from tests.support.feeds import World
from tests.support.pages import DOCS


class DocumentTests(SynchronousTestCase):
    """The document."""

    def setUp(self) -> None:
        self.world = World(self, max_rows=2)
        self.addCleanup(self.world.stop)
        (stream,) = self.world.streams.routes()
        self.document = json.loads(json.dumps(asyncapi.document(stream, "1.2", "/mount"), allow_nan=False))

    def faults(self, name: str, data: Any) -> list[str]:
        """Return what is wrong with the data of an event, by the document."""
        payload = self.document["components"]["messages"][name]["payload"]
        whole = {**payload, "components": self.document["components"]}
        validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        return [f"{name}{error.json_path}: {error.message}" for error in validator.iter_errors(data)]

    def test_each_event(self) -> None:
        """The document has the events of the page, and no others."""
        page = (DOCS / "reference" / "web_events.rst").read_text(encoding="utf-8")
        table = page.partition("The stream has these events:")[2].partition("``kind=``")[0]
        named = re.findall(r"``([a-z]+)``", "\n".join(line[:31] for line in table.splitlines()))
        self.assertEqual(sorted(self.document["channels"]["events"]["messages"]), sorted(named))

    def test_references(self) -> None:
        """Each reference leads to a part of the document, and each schema is one."""
        for target in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(self.document)):
            part = self.document
            for key in target.split("/"):
                part = part[key]
        for schema in self.document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)

    def test_parameters(self) -> None:
        """The parameters of the stream are in the document, and the prefix of its paths."""
        query = self.document["operations"]["sendEvents"]["bindings"]["http"]["query"]["properties"]
        self.assertEqual(set(query), {"kind", "peer", "signals", "rate", "last_event_id"})
        self.assertEqual(self.document["servers"]["daemon"]["pathname"], "/mount")

    def test_events_are_valid(self) -> None:
        """What a reader receives is as the document says, also what the stream omits."""
        self.world.record(3)
        self.world.write()
        first = self.world.id_of(1)
        self.world.record(3)
        reader = self.world.read(last=first)
        self.world.bus.publish(ChangeRecord(self.world.bus.now(), 4, "controller", "link_up", "x"))
        self.world.record(1, b"no message")
        self.world.wait()
        seen = {event.name for event in reader.events}
        self.assertEqual(seen, {"hello", "gone", "message", "change"})
        self.assertEqual(
            [fault for event in reader.events for fault in self.faults(event.name, event.data)], []
        )

    def test_further_events(self) -> None:
        """The events that are no entries are as the document says; other data is not."""
        request = LeaseRequest(by="web/night", time=iso(1.8e9))
        signals = SignalValues(at=1.8e9, values={"azimuth.actualPosition": 1.5, "motion.azimuth.error": None})
        for name, value in (("request", request), ("signals", signals)):
            self.assertEqual(self.faults(name, msgspec.json.decode(as_json(value))), [])
        self.assertEqual(len(self.faults("signals", {"at": "now"})), 2)
