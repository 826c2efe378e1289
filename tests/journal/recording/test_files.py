"""Recordings as any MCAP reader sees them: names, schemas, times and counts."""

from __future__ import annotations

import json
import stat

import jsonschema
from mcap.reader import NonSeekingReader, make_reader
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2022 import telemetry
from tests.support.folders import scratch_path
from tests.support.recordings import (
    START,
    TMA2022,
    Writing,
    event,
    item,
    messages_of,
    nanoseconds,
    topic_line,
)


class AnyReaderTests(SynchronousTestCase):
    """A finished recording, read by the reader of the package ``mcap``."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)

    def test_every_topic(self) -> None:
        """Each topic has its channel, whose schema is valid and describes its lines."""
        writing = Writing(self.folder)
        lines = []
        for topic in telemetry.Topics:
            values = {
                info.name: info.dtype(1) if info.count == 1 else [info.dtype(1)] * info.count
                for info in topic.field_infos
            }
            lines.append(topic(timestamp=START + 37, **values).encode().removesuffix(TMA2022.terminator))
        writing.turn(item(START + 0.5, *lines))
        writing.finish()
        with open(writing.files[0], "rb") as file:
            summary = make_reader(file).get_summary()
        assert summary is not None
        names = {channel.topic for channel in summary.channels.values()}
        self.assertEqual(names, {topic.topic for topic in telemetry.Topics})
        for channel in summary.channels.values():
            schema = summary.schemas[channel.schema_id]
            self.assertEqual((channel.message_encoding, schema.encoding), ("json", "jsonschema"))
            self.assertEqual(schema.name, channel.topic)
            jsonschema.Draft202012Validator.check_schema(json.loads(schema.data))
        for topic_name, message in messages_of(writing.files[0]):
            schema = next(each for each in summary.schemas.values() if each.name == topic_name)
            content = json.loads(message.data)
            jsonschema.Draft202012Validator(json.loads(schema.data)).validate(content)
            self.assertEqual(set(content), set(json.loads(schema.data)["properties"]))

    def test_times_and_counts(self) -> None:
        """The log time is that of arrival, the publish time the mount's time stamp in UTC."""
        writing = Writing(self.folder)
        tai = TMA2022.telemetry.tai() if TMA2022.telemetry else 0.0
        ahead = round(tai - START)
        writing.turn(item(START + 0.25, topic_line("azimuth", START + ahead + 0.125, actualPosition=1.5)))
        writing.turn(event(START + 1.5, b'{"id":2}'))
        writing.finish()
        found = dict(messages_of(writing.files[0]))
        azimuth, sent = found["azimuth"], found["events"]
        self.assertEqual(azimuth.log_time, nanoseconds(0.25))
        self.assertLess(abs(azimuth.publish_time - nanoseconds(0.125)), 2e9)
        self.assertEqual((sent.log_time, sent.data), (nanoseconds(1.5), b'{"id":2}'))
        self.assertEqual([message.sequence for message in found.values()], [1, 1])

    def test_statistics(self) -> None:
        """The summary has the number of messages of each channel, and the span of all."""
        writing = Writing(self.folder)
        writing.record(150, ("azimuth", "elevation"), every=10)
        writing.finish()
        with open(writing.files[0], "rb") as file:
            reader = make_reader(file, validate_crcs=True)
            summary = reader.get_summary()
            about = {record.name: record.metadata for record in reader.iter_metadata()}
        assert summary is not None and summary.statistics is not None
        counts = summary.statistics.channel_message_counts
        named = {summary.channels[number].topic: count for number, count in counts.items()}
        self.assertEqual(named, {"azimuth": 300, "elevation": 300})
        self.assertEqual(summary.statistics.message_start_time, nanoseconds(0.25))
        self.assertEqual(summary.statistics.message_end_time, nanoseconds(149.75))
        self.assertEqual(about["mtmount"]["dialect"], "tma2022")
        self.assertEqual(len(list(messages_of(writing.files[0]))), 600)

    def test_chunk_has_one_channel(self) -> None:
        """A reader that wants one topic decompresses no other: each chunk has one channel."""
        writing = Writing(self.folder)
        writing.record(70, ("azimuth", "elevation"), every=5)
        writing.finish()
        with open(writing.files[0], "rb") as file:
            summary = make_reader(file).get_summary()
        assert summary is not None
        self.assertEqual({len(chunk.message_index_offsets) for chunk in summary.chunk_indexes}, {1})
        self.assertEqual(len(summary.chunk_indexes), 4)

    def test_without_summary(self) -> None:
        """A reader that reads from the start to the end finds the same messages."""
        writing = Writing(self.folder)
        writing.record(70, ("azimuth", "elevation"), every=5)
        writing.finish()
        with open(writing.files[0], "rb") as file:
            found = sum(1 for _ in NonSeekingReader(file, validate_crcs=True).iter_messages())
        self.assertEqual(found, 280)

    def test_private(self) -> None:
        """Only the owner can read a recording, its tail file and its folder."""
        writing = Writing(self.folder / "deep" / "er")
        writing.record(2)
        self.assertEqual(len(writing.names), 2)
        for name in writing.names:
            self.assertEqual(stat.S_IMODE((writing.folder / name).stat().st_mode), 0o600)
        for folder in (writing.folder, writing.folder.parent):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        writing.finish()

    def test_unknown_topic(self) -> None:
        """A topic that this version does not know has a channel of its number."""
        writing = Writing(self.folder)
        writing.turn(item(START, b'{"topicID":77,"timestamp":1.5,"new":3}'))
        writing.finish()
        self.assertEqual([topic for topic, _ in messages_of(writing.files[0])], ["topic77"])

    def test_password_is_masked(self) -> None:
        """The password in the mount's settings is not in a recording."""
        writing = Writing(self.folder)
        line = b'{"id":41,"timestamp":1.5,"parameters":{"BoschSystem":{"Password":"hidden"}}}'
        writing.turn(event(START, line))
        writing.finish()
        [(_, message)] = messages_of(writing.files[0])
        self.assertNotIn(b"hidden", message.data)
