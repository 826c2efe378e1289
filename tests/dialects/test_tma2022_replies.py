"""The replies and events of the protocol tma2022."""

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
from mtmount_twisted.dialects.dialect import Meaning
from mtmount_twisted.dialects.tma2022 import enums, replies
from mtmount_twisted.dialects.tma2022.enums import PowerState, Source, System
from mtmount_twisted.dialects.tma2022.envelope import mask_password
from mtmount_twisted.errors import FieldError, LineError, PositionalFieldError, UnknownFieldError

from .strategies import damaged
from .strategies import replies as any_reply

NAMES = {**vars(replies), **vars(enums)}


def read(reply_id: Any, parameters: str, timestamp: str = "1.5") -> replies.Reply:
    """The reply of this id, with these parameters as JSON."""
    line = f'{{"id":{reply_id},"timestamp":{timestamp},"parameters":{parameters}}}'
    return tma2022.decode_reply(line.encode())


class Declared(SynchronousTestCase):
    """What the classes say."""

    def test_classification(self) -> None:
        """Five replies say what became of a command; the others, unknown ones too, are events."""
        found = [replies.classify(number) for number in (1, 2, 3, 4, 5)]
        self.assertEqual(found, list(Meaning)[:5])
        self.assertEqual(replies.ANSWER_IDS, {1, 2, 3, 4, 5})
        for number in (10, 11, 20, 30, 40, 41, 50, 100, 305, 999):
            self.assertEqual(replies.classify(number), Meaning.EVENT)

    def test_subject(self) -> None:
        """Events about two devices have two subjects, of which each holds until the next of its own."""
        on = replies.PowerStateReply(system=System.AZIMUTH, power_state=PowerState.ON)
        off = replies.PowerStateReply(system=System.AZIMUTH, power_state=PowerState.OFF)
        other = replies.PowerStateReply(system=System.ELEVATION, power_state=PowerState.ON)
        self.assertEqual(on.subject, off.subject)
        self.assertNotEqual(on.subject, other.subject)
        homed = replies.HomedReply(axis=System.AZIMUTH, homed=True)
        in_position = replies.InPositionReply(axis=System.AZIMUTH, in_position=True)
        self.assertNotEqual(homed.subject, in_position.subject)
        self.assertEqual(read(999, "{}").subject, (999,))
        self.assertEqual(hash(on.subject), hash(off.subject))

    def test_units(self) -> None:
        """What has a unit says so, and each parameter says what it means."""
        units = {
            (cls.__name__, info.name): info.unit
            for cls in replies.Replies
            for info in cls.field_infos
            if info.unit and info.name != "timestamp"
        }
        expected = {
            ("CmdAcknowledgedReply", "timeout"): "s",
            ("AxisMotionStateReply", "position"): "deg",
            ("ChillerStateReply", "temperature"): "°C",
        }
        self.assertEqual(units, expected)
        for cls in replies.Replies:
            for info in cls.field_infos:
                self.assertTrue(info.doc.endswith("."), info)
                self.assertNotIn("mtmount_twisted", info.expected)

    def test_help(self) -> None:
        """`help` says how a reply is made, and what each parameter is."""
        reply = replies.AxisMotionStateReply
        self.assertEqual(list(inspect.signature(reply).parameters)[2:], ["axis", "state", "position"])
        self.assertIn("* position (float in deg): Where a point-to-point move goes.", inspect.getdoc(reply))
        timestamp = inspect.signature(reply).parameters["timestamp"]
        self.assertEqual(timestamp.default, 0.0)


class Made(SynchronousTestCase):
    """What a program makes."""

    def test_attributes(self) -> None:
        """A reply has its parameters for attributes, and is written under the names of the wire."""
        reply = replies.CmdSupersededReply(
            sequence_id=5,
            commander=Source.EUI,
            superseding_sequence_id=6,
            superseding_commander=Source.CSC,
            superseding_command_code=102,
            timestamp=2.5,
        )
        self.assertEqual((reply.sequence_id, reply.superseding_commander), (5, Source.CSC))
        self.assertEqual(
            reply.encode(),
            b'{"id":5,"timestamp":2.5,"parameters":{"commander":2,"sequenceId":5,'
            b'"supersedingSequenceId":6,"supersedingCommander":1,"supersedingCommandCode":102}}\r\n',
        )

    def test_timeout(self) -> None:
        """A duration that is not known is null; a reader takes one that is missing for the same."""
        reply = replies.CmdAcknowledgedReply(sequence_id=5)
        self.assertEqual(reply.fields()["parameters"], {"sequenceId": 5, "timeout": None})
        for parameters in ('{"sequenceId":5,"timeout":null}', '{"sequenceId":5}'):
            answer = read(1, parameters)
            assert isinstance(answer, replies.CmdAcknowledgedReply)
            self.assertEqual((answer.sequence_id, answer.timeout), (5, None))

    def test_wrong(self) -> None:
        """A wrong value is refused by its name, with what is right; so is an unknown name."""
        wrong: list[tuple[Any, dict[str, Any], str]] = [
            (replies.HomedReply, {"axis": System.AZIMUTH}, "homed"),
            (replies.HomedReply, {"axis": 99, "homed": True}, "axis"),
            (replies.HomedReply, {"axis": System.AZIMUTH, "homed": 2}, "homed"),
            (replies.CmdSucceededReply, {"sequence_id": "5"}, "sequence_id"),
            (replies.CmdSucceededReply, {"sequence_id": 5, "timestamp": "now"}, "timestamp"),
            (replies.CmdRejectedReply, {"sequence_id": 5, "explanation": "\ud800"}, "explanation"),
            (replies.AvailableSettingsReply, {"sets": [1]}, "sets"),
        ]
        for make, values, field in wrong:
            error = self.assertRaises(FieldError, make, **values)
            self.assertEqual(error.field, field)
            self.assertIn(make.__name__, str(error))
        self.assertRaises(UnknownFieldError, replies.HomedReply, axis=System.AZIMUTH, homed=True, what=1)
        self.assertRaises(PositionalFieldError, replies.HomedReply, System.AZIMUTH, True)

    def test_frozen(self) -> None:
        """A reply can't be changed."""
        reply = replies.HomedReply(axis=System.AZIMUTH, homed=True)
        self.assertRaises(AttributeError, setattr, reply, "homed", False)
        self.assertRaises(AttributeError, setattr, reply, "timestamp", 1.0)

    @given(any_reply())
    def test_round_trip(self, reply: replies.Reply) -> None:
        """Every reply is read from its own line, and written the same; it can be pickled."""
        again = tma2022.decode_reply(reply.encode()[:-2])
        self.assertEqual((again, again.encode()), (reply, reply.encode()))
        self.assertEqual(json.loads(reply.encode()), reply.fields())
        self.assertEqual(pickle.loads(pickle.dumps(reply)), reply)

    def test_shown(self) -> None:
        """A reply is shown as the Python that makes it."""
        for reply in (
            replies.LimitsReply(system=System.AZIMUTH, limits=[3]),
            replies.PowerStateReply(system=System.BALANCE, power_state=2, elements_power_state=[0, 1, 2, 3]),
            replies.CmdRejectedReply(sequence_id=5, explanation="no", commander=Source.HHD),
        ):
            self.assertEqual(eval(repr(reply), dict(NAMES)), reply)

    def test_password_is_not_shown(self) -> None:
        """What shows a reply of settings does not show the settings."""
        settings = replies.DetailedSettingsAppliedReply(
            set_name="Default", all_settings_match_set=True, bosch_system={"Password": "hunter2"}
        )
        self.assertNotIn("hunter2", repr(settings))
        odd = read(40, '{"BoschSystem":{"Password":"hunter2"}}')
        self.assertIsInstance(odd, tma2022.UnknownReply)
        self.assertNotIn("hunter2", repr(odd))


class Variants(SynchronousTestCase):
    """What the vendor writes otherwise than the mock controller."""

    def test_bools(self) -> None:
        """0 and 1 are bools."""
        for text, value in (("1", True), ("0", False), ("true", True), ("false", False), ("1.000000", True)):
            reply = read(200, f'{{"axis":0,"inPosition":{text}}}')
            assert isinstance(reply, replies.InPositionReply)
            self.assertIs(reply.in_position, value)

    def test_decimals(self) -> None:
        """An integer with decimals is one: JSON has one kind of number."""
        reply = read("100.0", '{"system":4.000000,"powerState":1.0,"elementsPowerState":[1.0,0,1,2.000]}')
        assert isinstance(reply, replies.PowerStateReply)
        self.assertEqual(reply.elements_power_state, (1, 0, 1, 2))
        self.assertEqual(reply.system, System.MIRROR_COVERS)

    def test_chiller(self) -> None:
        """The state of a chiller says either what it follows or its mode."""
        mock = read(103, '{"system":9,"trackAmbient":[true,0],"temperature":[1.5,2]}')
        vendor = read(103, '{"system":9,"chillerMode":[0,2],"temperature":[1.5,2]}')
        assert isinstance(mock, replies.ChillerStateReply) and isinstance(vendor, replies.ChillerStateReply)
        self.assertEqual((mock.track_ambient, mock.chiller_mode), ((True, False), None))
        self.assertEqual((vendor.track_ambient, vendor.chiller_mode), (None, (0, 2)))
        self.assertEqual((mock.follows_ambient, vendor.follows_ambient), ((True, False), (True, False)))

    def test_1904(self) -> None:
        """A time stamp since 1904 is kept as it came, and taken to 1970 for who asks."""
        reply = read(3, '{"sequenceId":5}', "3696497936.5")
        self.assertEqual((reply.timestamp, reply.unix_timestamp), (3696497936.5, 1613653136.5))
        self.assertEqual(read(3, '{"sequenceId":5}', "1758006630.5").unix_timestamp, 1758006630.5)

    def test_large_timestamp(self) -> None:
        """A timestamp in any digits is read, in a reply of which nothing else is known as well."""
        for reply_id in (3, 777):
            self.assertEqual(read(reply_id, '{"sequenceId":5}', "1" + "0" * 40).timestamp, 1e40)

    def test_nan(self) -> None:
        """NaN and infinity are read, and written again."""
        reply = read(103, '{"system":9,"trackAmbient":[true,true],"temperature":[NaN,-Infinity]}')
        assert isinstance(reply, replies.ChillerStateReply)
        self.assertTrue(math.isnan(reply.temperature[0]))
        self.assertIn(b'"temperature":[NaN,-Infinity]', reply.encode())

    def test_parts(self) -> None:
        """The power of parts is read under the name that the mount sends, unlike in the original."""
        reply = read(100, '{"system":7,"powerState":1,"elementsPowerState":[3,0]}')
        assert isinstance(reply, replies.PowerStateReply)
        self.assertEqual(reply.elements_power_state, (PowerState.TURNING_ON, PowerState.OFF))


class Unknown(SynchronousTestCase):
    """Replies that no class fits."""

    def test_unknown_id(self) -> None:
        """It keeps its id and its parameters, says to whom it was sent, and is written as it came."""
        reply = read(999, '{"commander":2,"a":{"b":[1,null]}}')
        assert isinstance(reply, tma2022.UnknownReply)
        self.assertEqual((reply.id, reply.parameters), (999, {"commander": 2, "a": {"b": [1, None]}}))
        self.assertEqual((reply.commander, reply.problem), (Source.EUI, ""))
        self.assertEqual(
            reply.encode(),
            b'{"id":999,"timestamp":1.5,"parameters":{"commander":2,"a":{"b":[1,null]}}}\r\n',
        )

    def test_other_parameters(self) -> None:
        """Parameters that do not fit a known id are kept, with the reason."""
        for reply_id, parameters, reason in (
            (200, '{"axis":0}', "inPosition"),
            (3, '{"sequenceId":"5"}', "sequenceId"),
            (100, '{"system":17,"powerState":1}', "system"),
        ):
            reply = read(reply_id, parameters)
            assert isinstance(reply, tma2022.UnknownReply)
            self.assertEqual((reply.id, reply.parameters), (reply_id, json.loads(parameters)))
            self.assertIn(reason, reply.problem)
            self.assertIn(reason, repr(reply))

    def test_extras_are_ignored(self) -> None:
        """A member or a parameter that is not known changes nothing."""
        line = b'{"new":[{}],"id":3,"x":"\xc3\xb1","timestamp":1,"parameters":{"sequenceId":1,"new":[5]}}'
        self.assertEqual(tma2022.decode_reply(line), replies.CmdSucceededReply(sequence_id=1, timestamp=1))

    def test_refused(self) -> None:
        """What is no reply is a LineError that holds the line and, where there is one, names the member."""
        bad: list[tuple[bytes, str | None]] = [
            (b"", None),
            (b"[1]", None),
            (b"3", None),
            (b"\xff", None),
            (b'{"id":3,"timestamp":1,"parameters":{"sequenceId":1}', None),
            (b'{"id":3,"timestamp":1,"parameters":{"sequenceId":1}}x', None),
            (b'{"id":3,"timestamp":1,"x":"\xff","parameters":{"sequenceId":1}}', None),
            (b'{"id":3,"timestamp":1,"x":"\\ud800","parameters":{"sequenceId":1}}', None),
            (b'{"id":3,"timestamp":1,"x":' + b"[" * 60000, None),
            (b'{"timestamp":1,"parameters":{"sequenceId":1}}', "id"),
            (b'{"id":true,"timestamp":1,"parameters":{}}', "id"),
            (b'{"id":1.5,"timestamp":1,"parameters":{}}', "id"),
            (b'{"id":%b,"timestamp":1,"parameters":{}}' % (b"9" * 30), "id"),
            (b'{"id":3,"parameters":{"sequenceId":1}}', "timestamp"),
            (b'{"id":3,"timestamp":"now","parameters":{"sequenceId":1}}', "timestamp"),
            (b'{"id":3,"timestamp":NaN,"parameters":{"sequenceId":1}}', "timestamp"),
            (b'{"id":3,"timestamp":1,"parameters":null}', "parameters"),
        ]
        for line, field in bad:
            error = self.assertRaises(LineError, tma2022.decode_reply, line)
            self.assertEqual((error.line, error.field), (line, field))
            self.assertLess(len(str(error)), 1000)

    @given(damaged(any_reply().map(lambda reply: reply.encode()[:-2])) | st.binary(max_size=60))
    def test_any_line(self, line: bytes) -> None:
        """Whatever the line, it is a reply that can be written and read again, or a LineError with it."""
        try:
            reply = tma2022.decode_reply(line)
        except LineError as error:
            self.assertEqual(error.line, mask_password(line))
            return
        wire = reply.encode()
        self.assertEqual(tma2022.decode_reply(wire[:-2]).encode(), wire)
