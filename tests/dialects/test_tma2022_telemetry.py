"""The telemetry topics of the protocol tma2022."""

from __future__ import annotations

import inspect
import json
import math
import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import telemetry
from mtmount_twisted.errors import FieldError, LineError, PositionalFieldError, UnknownFieldError

from .strategies import damaged, topics

WHOLE = "encoderHeadReadReferenceAZ1"
"""A quantity that is a whole number."""


def read(topic_id: Any, quantities: str = "", timestamp: str = "1.5") -> Any:
    """The topic of this number, with these quantities as JSON."""
    comma = "," if quantities else ""
    return tma2022.decode_telemetry(
        f'{{"topicID":{topic_id},"timestamp":{timestamp}{comma}{quantities}}}'.encode()
    )


class Declared(SynchronousTestCase):
    """What the classes say."""

    def test_number_of_values(self) -> None:
        """There are 26 topics with 1114 values, time stamps included."""
        infos = [info for topic in telemetry.Topics for info in topic.field_infos]
        self.assertEqual((len(telemetry.Topics), len(infos) + 26), (26, 746))
        self.assertEqual(sum(info.count for info in infos) + 26, 1114)

    def test_time_stamps(self) -> None:
        """Each quantity has its time stamps, as many as it has values, in seconds."""
        for topic in telemetry.Topics:
            quantities = [info for info in topic.field_infos if not info.measured]
            stamps = [info for info in topic.field_infos if info.measured]
            self.assertEqual([info.measured for info in stamps], [info.name for info in quantities])
            self.assertEqual([info.count for info in stamps], [info.count for info in quantities])
            self.assertEqual({info.unit for info in stamps}, {"s"})
            for info in topic.field_infos:
                self.assertTrue(info.doc.endswith("."), info)

    def test_help(self) -> None:
        """`help` says how a topic is made, and what each quantity is."""
        topic = telemetry.AzimuthDrives
        self.assertEqual(
            list(inspect.signature(topic).parameters), ["timestamp", "current", "current_timestamp"]
        )
        self.assertIn(
            "* current (a sequence of 16 float in A): Current of each drive.", inspect.getdoc(topic)
        )


class Made(SynchronousTestCase):
    """What a program makes."""

    def test_flat(self) -> None:
        """An array is numbered on the wire, its time stamps too; what was not given is left out."""
        topic = telemetry.AzimuthCableWrap(
            timestamp=2, actual_position_drive=[1.5, 2], actual_position_drive_timestamp=(3.5, 4)
        )
        self.assertEqual(
            topic.encode(),
            b'{"topicID":3,"timestamp":2.0,"actualPositionDrive1":1.5,"actualPositionDrive2":2.0,'
            b'"actualPositionDrive1Timestamp":3.5,"actualPositionDrive2Timestamp":4.0}\r\n',
        )
        self.assertEqual(topic.actual_position_drive, (1.5, 2.0))
        self.assertEqual(repr(topic), "AzimuthCableWrap(timestamp=2.0, actual_position_drive=(1.5, 2.0))")

    def test_wrong(self) -> None:
        """A wrong value, or too many or too few, is refused by its name; so is an unknown name."""
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"actual_position_drive": [1]}, "actual_position_drive"),
            ({"actual_position_drive": 1}, "actual_position_drive"),
            ({"actual_position_drive": "12"}, "actual_position_drive"),
            ({"actual_position_drive": [1, "2"]}, "actual_position_drive"),
            ({"timestamp": "now"}, "timestamp"),
            ({"timestamp": None}, "timestamp"),
        ]
        for values, field in wrong:
            error = self.assertRaises(FieldError, telemetry.AzimuthCableWrap, **{"timestamp": 1, **values})
            self.assertEqual(error.field, field)
        self.assertRaises(UnknownFieldError, telemetry.Azimuth, timestamp=1, position=1)
        self.assertRaises(PositionalFieldError, telemetry.Azimuth, 1)

    def test_frozen(self) -> None:
        """A topic can't be changed."""
        topic = telemetry.Azimuth(timestamp=1, actual_position=2)
        self.assertRaises(AttributeError, setattr, topic, "actual_position", 3.0)

    @given(topics())
    def test_round_trip(self, topic: telemetry.Topic) -> None:
        """Every topic is read from its own line, and written the same; it can be pickled."""
        again = tma2022.decode_telemetry(topic.encode()[:-2])
        self.assertEqual((again, again.encode()), (topic, topic.encode()))
        self.assertEqual(again.fields(), topic.fields())
        self.assertEqual(pickle.loads(pickle.dumps(topic)).encode(), topic.encode())


class Read(SynchronousTestCase):
    """What a line says."""

    def test_missing(self) -> None:
        """A number that the line does not have is NaN, anything else None; neither is in the fields."""
        azimuth = read(6, '"actualPosition":3')
        self.assertEqual((azimuth.actual_position, azimuth.timestamp), (3.0, 1.5))
        self.assertTrue(math.isnan(azimuth.demand_position))
        self.assertTrue(math.isnan(azimuth.actual_position_timestamp))
        self.assertEqual(azimuth.fields(), {"timestamp": 1.5, "actualPosition": 3.0})
        bank = read(18, '"blownAzimuth3Fuse2":1,"blownAzimuth3Fuse3":false')
        self.assertEqual(bank.blown_azimuth_3_fuse, (None, True, False, None))
        self.assertEqual(bank.blown_elevation_8_fuse, (None,) * 6)
        self.assertEqual(bank.fields()["blownAzimuth3Fuse"], [None, True, False, None])

    def test_extras_are_ignored(self) -> None:
        """Quantities of a newer version change nothing."""
        self.assertEqual(read(6, '"actualPosition":3,"new":[{"x":"\u00f1"}]'), read(6, '"actualPosition":3'))

    def test_not_a_number(self) -> None:
        """NaN is read and written again; null is a number that is missing."""
        topic = read(6, '"actualPosition":NaN,"demandPosition":null,"actualVelocity":2')
        self.assertTrue(math.isnan(topic.actual_position))
        self.assertEqual(
            topic.encode(), b'{"topicID":6,"timestamp":1.5,"actualPosition":NaN,"actualVelocity":2.0}\r\n'
        )

    def test_decimals(self) -> None:
        """An integer with decimals is one."""
        topic = read("16.000000", '"encoderHeadReadReferenceAZ1":7.000000')
        self.assertEqual(topic.encoder_head_read_reference_az, (7, None, None, None))
        self.assertEqual(type(topic), telemetry.Encoder)

    def test_unknown_topic(self) -> None:
        """It keeps its number and its values, and is written as it came."""
        topic = read(99, '"x":1,"y":[null]')
        self.assertIsInstance(topic, tma2022.UnknownTopic)
        self.assertEqual((topic.topic_id, topic.timestamp, topic.values), (99, 1.5, {"x": 1, "y": [None]}))
        self.assertEqual(repr(topic), "UnknownTopic(topic_id=99, timestamp=1.5, values=<x, y>)")
        self.assertEqual(topic.encode(), b'{"topicID":99,"timestamp":1.5,"x":1,"y":[null]}\r\n')

    def test_refused(self) -> None:
        """What is no topic is a LineError that holds the line and, where there is one, names the member."""
        bad: list[tuple[bytes, str | None]] = [
            (b"", None),
            (b"[]", None),
            (b'{"topicID":6,"timestamp":1', None),
            (b'{"topicID":6,"timestamp":1,"x":"\xff"}', None),
            (b'{"topicID":6,"timestamp":1,"x":' + b"[" * 60000, None),
            (b'{"timestamp":1}', "topicID"),
            (b'{"topicID":"6","timestamp":1}', "topicID"),
            (b'{"topicID":6}', "timestamp"),
            (b'{"topicID":6,"timestamp":null}', "timestamp"),
            (b'{"topicID":6,"timestamp":1e999}', "timestamp"),
            (b'{"topicID":6,"timestamp":1,"actualPosition":"3"}', "actualPosition"),
            (b'{"topicID":6,"timestamp":1,"actualPosition":[3]}', "actualPosition"),
            (b'{"topicID":6,"timestamp":1,"actualPosition":' + b"9" * 400 + b"}", "actualPosition"),
            (b'{"topicID":16,"timestamp":1,"encoderHeadReadReferenceAZ1":%b}' % (b"9" * 5000), None),
            *(
                (b'{"topicID":16,"timestamp":1,"encoderHeadReadReferenceAZ1":%b}' % number, WHOLE)
                for number in (b"9" * 400, b"-" + b"9" * 400, b"9223372036854775808", b"1e300")
            ),
        ]
        for line, field in bad:
            error = self.assertRaises(LineError, tma2022.decode_telemetry, line)
            self.assertEqual((error.line, error.field), (line, field))
            self.assertLess(len(str(error)), 1000)

    def test_whole_numbers(self) -> None:
        """A whole number has 64 bits, so that each program and each database can hold it."""
        for number in (-(2**63), 2**63 - 1):
            topic = read(16, f'"{WHOLE}":{number}')
            [found] = [each for each in topic.fields().values() if isinstance(each, list)]
            self.assertIn(number, found)
            self.assertEqual(tma2022.decode_telemetry(topic.encode()[:-2]), topic)

    @given(damaged(topics().map(lambda topic: topic.encode()[:-2])) | st.binary(max_size=60))
    def test_any_line(self, line: bytes) -> None:
        """Whatever the line, it is a topic that can be written and read again, or a LineError with it."""
        try:
            topic = tma2022.decode_telemetry(line)
        except LineError as error:
            self.assertEqual(error.line, line)
            return
        wire = topic.encode()
        self.assertEqual(tma2022.decode_telemetry(wire[:-2]).encode(), wire)
        header = tma2022.envelope.read_telemetry_header(line)
        self.assertEqual(header, (topic.topic_id, topic.timestamp))
        json.loads(wire)


class TopicFactsTests(SynchronousTestCase):
    """The facts about topics that other parts use."""

    def test_each_quantity_is_on_the_wire_with_its_time_stamp(self) -> None:
        """The names in the facts are those of an encoded topic, each with a time stamp beside it."""
        for topic, facts in zip(telemetry.Topics, telemetry.topic_facts().values(), strict=True):
            values = {
                info.name: info.dtype(1) if info.count == 1 else [info.dtype(1)] * info.count
                for info in topic.field_infos
            }
            line = json.loads(topic(timestamp=1.0, **values).encode())
            names = [name for each in facts.quantities for name in (each.name, each.measured_at)]
            self.assertCountEqual([*names, "topicID", "timestamp"], line)
            self.assertEqual(
                (facts.number, facts.name, facts.period), (topic.topic_id, topic.topic, topic.period)
            )

    def test_facts_of_an_element_of_an_array(self) -> None:
        """An element of an array has a number in its name, and the unit of the array."""
        [encoder] = [facts for facts in telemetry.topic_facts().values() if facts.name == "encoder"]
        [third] = [each for each in encoder.quantities if each.name == "azimuthEncoderPosition3"]
        self.assertEqual((third.unit, third.dtype), ("deg", "number"))
        self.assertEqual(third.measured_at, "azimuthEncoderPosition3Timestamp")
