"""The vectors of ``tests/data/tma2022``: what the original wrote, read and refused."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.errors import LineError
from tests.support.strategies import rows, table

from .strategies import line_of

BROKEN = ("no parameters", "parameters is a list", "id is a string")
"""The labels of the replies that the original ignored because the envelope is broken."""


def number(value: Any) -> Any:
    """A value of a vector: JSON has no ``nan``, so that is a text there."""
    return float(value) if value in ("nan", "inf", "-inf") else value


class MessageVectors(SynchronousTestCase):
    """``messages.jsonl``."""

    def test_commands(self) -> None:
        """Each command that the original wrote is read, has the same fields, and is written the same."""
        for row in rows("tma2022/messages.jsonl"):
            if row["kind"] == "command":
                command = tma2022.decode_command(line_of(row))
                self.assertEqual(type(command).__name__, row["message"])
                self.assertEqual(command.fields(), row["fields"])
                self.assertEqual(command.encode(), row["wire"].encode())

    def test_commands_that_a_program_makes(self) -> None:
        """A command that is made of the fields of a vector is the one that its line is."""
        for row in rows("tma2022/messages.jsonl"):
            if row["kind"] == "command":
                cls = getattr(tma2022.commands, row["message"])
                enums = {info.name: info.dtype for info in cls.field_infos if info.kind.name == "enum"}
                given = {name: enums.get(name, lambda it: it)(value) for name, value in row["fields"].items()}
                self.assertEqual(cls(**given), tma2022.decode_command(line_of(row)))

    def test_commands_that_are_written_otherwise(self) -> None:
        """Each line that the original reads is read, and is written as the original writes it."""
        seen = 0
        for row in rows("tma2022/messages.jsonl"):
            if row["kind"] == "command-accepted":
                command = tma2022.decode_command(line_of(row))
                self.assertEqual(type(command).__name__, row["message"])
                expected = {name: number(value) for name, value in row["fields"].items()}
                self.assertEqual(str(command.fields()), str(expected))
                self.assertEqual(command.encode(), row["rewrites_as"].encode())
                seen += 1
        self.assertEqual(seen, 14)

    def test_replies(self) -> None:
        """Each reply is read as its class, has the same fields, and is the same JSON when it is written."""
        for row in rows("tma2022/messages.jsonl"):
            if row["kind"] == "reply":
                reply = tma2022.decode_reply(line_of(row))
                self.assertEqual(type(reply), tma2022.replies.ReplyDict[row["fields"]["id"]])
                self.assertEqual(reply.id, tma2022.enums.ReplyId[row["message"]])
                self.assertEqual(reply.fields(), row["fields"])
                self.assertEqual(json.loads(reply.encode()), row["fields"])
                self.assertTrue(reply.encode().endswith(b"}\r\n"))

    def test_replies_that_a_program_makes(self) -> None:
        """A reply that is made of the attributes of another one equals it."""
        for row in rows("tma2022/messages.jsonl"):
            if row["kind"] == "reply":
                reply = tma2022.decode_reply(line_of(row))
                values = {info.name: getattr(reply, info.name) for info in type(reply).field_infos}
                self.assertEqual(type(reply)(**values), reply)

    def test_every_class_has_a_vector(self) -> None:
        """Each command class is in the vectors, and each reply class but those of the vendor's documents."""
        named = {row["message"] for row in rows("tma2022/messages.jsonl")}
        self.assertEqual({cls.__name__ for cls in tma2022.commands.Commands} - named, set())
        ids = {cls.reply_id.name for cls in tma2022.replies.Replies}
        self.assertEqual(ids - named, {"STATE_INFO", "VERSION_INFO", "ETHERCAT_MANAGEMENT_STATUS"})


class MalformedVectors(SynchronousTestCase):
    """``malformed.jsonl``."""

    def test_commands(self) -> None:
        """Each command that the original refused is a LineError that holds the line."""
        for row in rows("tma2022/malformed.jsonl"):
            if row["kind"] == "command":
                line = line_of(row)
                error = self.assertRaises(LineError, tma2022.decode_command, line)
                self.assertEqual(error.line, line)

    def test_constructors(self) -> None:
        """Each call that the original refused is a ValueError that names the class."""
        for row in rows("tma2022/malformed.jsonl"):
            if row["kind"] == "constructor":
                make = getattr(tma2022.commands, row["message"])
                error = self.assertRaises(ValueError, make, **row["fields"])
                self.assertIn(row["message"], str(error))

    def test_replies_that_are_refused(self) -> None:
        """What made the original client stop, or has no envelope, is a LineError that holds the line."""
        seen = set()
        for row in rows("tma2022/malformed.jsonl"):
            if row["kind"] == "reply" and (row["verdict"] == "FAULT" or row["label"] in BROKEN):
                line = line_of(row)
                error = self.assertRaises(LineError, tma2022.decode_reply, line)
                self.assertEqual(error.line, line)
                self.assertRaises(LineError, tma2022.envelope.read_reply_header, line)
                seen.add(row["label"])
        self.assertEqual(len(seen), 5)

    def test_replies_that_are_read(self) -> None:
        """What the original took, or ignored because it knew no such id, is read, and says the same."""
        seen = 0
        for row in rows("tma2022/malformed.jsonl"):
            if row["kind"] == "reply" and row["verdict"] != "FAULT" and row["label"] not in BROKEN:
                reply, content = tma2022.decode_reply(line_of(row)), json.loads(row["wire"])
                self.assertEqual((reply.id, reply.timestamp), (content["id"], content["timestamp"]))
                expected = {**content["parameters"]}
                expected.pop("new", None)
                said = reply.fields()["parameters"]  # compared as text, since NaN equals nothing
                self.assertEqual(json.dumps(said, sort_keys=True), json.dumps(expected, sort_keys=True))
                header = tma2022.envelope.read_reply_header(line_of(row))
                self.assertEqual(header.id, content["id"])
                seen += 1
        self.assertEqual(seen, 11)


class TelemetryVectors(SynchronousTestCase):
    """``telemetry.jsonl`` and ``telemetry-topics.json``."""

    def test_lines(self) -> None:
        """Each line is read as its topic, has the same fields, and is the same JSON when it is written."""
        for row in rows("tma2022/telemetry.jsonl"):
            line = line_of(row)
            topic = tma2022.decode_telemetry(line)
            self.assertEqual((topic.topic, topic.topic_id), (row["topic"], row["topicID"]))
            if "fields" in row:
                self.assertEqual(topic.fields(), row["fields"])
                self.assertEqual(json.loads(topic.encode()), json.loads(line))
            content = json.loads(line)
            written = json.loads(topic.encode())
            self.assertEqual(written, {name: content[name] for name in written})
            self.assertTrue(topic.encode().endswith(b"}\r\n"))
            header = tma2022.envelope.read_telemetry_header(line)
            self.assertEqual(header, (row["topicID"], topic.timestamp))

    def test_every_topic_has_a_vector(self) -> None:
        """All 26 topics are in the vectors."""
        named = {row["topicID"] for row in rows("tma2022/telemetry.jsonl")}
        self.assertEqual({cls.topic_id for cls in tma2022.telemetry.Topics}, named)

    def test_map(self) -> None:
        """Each topic has the name, the period, and the quantities, with unit, type and number, of the map."""
        topics = json.loads("".join(table("tma2022/telemetry-topics.json")))
        units = {"°C": "deg_C", "deg/s²": "deg/s^2", "deg/s³": "deg/s^3", "µm": "um", "": "unitless"}
        types = {float: "double", int: "long long", bool: "boolean"}
        for number_text, expected in topics.items():
            topic = tma2022.telemetry.TopicDict[int(number_text)]
            self.assertEqual((topic.topic, topic.period), (expected["name"], expected["period_s"]))
            declared = [
                {
                    "name": info.wire_name,
                    "count": info.count,
                    "type": types[info.dtype],
                    "unit": units.get(info.unit, info.unit),
                }
                for info in topic.field_infos
                if not info.measured
            ]
            self.assertEqual(declared, expected["fields"])
        self.assertEqual(len(topics), len(tma2022.telemetry.Topics))
