"""`mtmount_twisted.dialects.tma2022.relay`: headers read and rewritten, and nothing else touched."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import EventEnvelope, Meaning
from mtmount_twisted.dialects.sources import Commander
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.commands import Command
from mtmount_twisted.dialects.tma2022.enums import CommandCode, Source, System
from mtmount_twisted.dialects.tma2022.relay import (
    LONGEST_EXPLAINED,
    LONGEST_REST,
    CommandEnvelope,
    ReplyEnvelope,
    commander_in,
    envelope_of,
    kind_of_command,
    new_acknowledgement,
    new_end,
    new_refusal,
    read_command,
    read_reply,
    read_to_refuse,
    read_wanted,
    subject_of,
)
from mtmount_twisted.errors import LineError
from tests.support.strategies import rows

from .strategies import commands as any_command
from .strategies import damaged, line_of
from .strategies import replies as any_reply

RESTS = (
    st.text(max_size=60)
    .map(str.encode)
    .filter(lambda rest: rest.decode().strip() and b"\r\n" not in rest and rest[10:11] != b"T")
)
INTS = st.integers(-(2**40), 2**40)
HEADER_NAMES = ("sequenceId", "commander", "supersedingSequenceId", "supersedingCommander")


def header_of(command: CommandEnvelope | None) -> tuple[int, int, int]:
    """The id, code and source of a command that can be read."""
    assert command is not None
    return command.sequence_id, command.code, command.source


def answer(line: bytes) -> ReplyEnvelope:
    """The envelope of a line that answers a command."""
    found = read_reply(line)
    assert isinstance(found, ReplyEnvelope), found
    return found


def event(line: bytes) -> EventEnvelope:
    """The envelope of a line that is an event."""
    found = read_reply(line)
    assert isinstance(found, EventEnvelope), found
    return found


def line_with(reply_id: int, **parameters: Any) -> bytes:
    """A reply as the mock controller writes it."""
    return json.dumps({"id": reply_id, "timestamp": 1758006630.5, "parameters": parameters}).encode()


class Commands(SynchronousTestCase):
    """The way down."""

    @given(INTS, INTS, INTS, RESTS, INTS, st.integers(0, 200))
    def test_rewritten(self, number: int, code: int, source: int, rest: bytes, key: int, own: int) -> None:
        """Only the id and the source are rewritten; all three are read."""
        header = read_command(b"%d\n%d\n%d\n" % (number, code, source) + rest)
        self.assertEqual(header_of(header), (number, code, source))
        self.assertEqual(header.rewritten(key, own), b"%d\n%d\n%d\n" % (key, code, own) + rest)

    @given(any_command(), st.integers(1, 2**31 - 1))
    def test_every_command(self, command: Command, key: int) -> None:
        """What the mount reads of a command that was passed on differs in the id and the source alone."""
        if abs(command.sequence_id) < 2**63:
            passed_on = tma2022.decode_command(read_command(command.encode()[:-2]).rewritten(key, 2))
            expected = command.replaced(sequence_id=key, source=Source.EUI)
            self.assertEqual(passed_on.str_fields(), expected.str_fields())

    @given(any_command())
    def test_envelope_of_a_command(self, command: Command) -> None:
        """The envelope of a command is that of its line."""
        if abs(command.sequence_id) < 2**63:
            self.assertEqual(envelope_of(command), read_command(command.encode()[:-2]))

    def test_envelope_of_a_long_command(self) -> None:
        """A command that is too long to be passed on is refused as its line is."""
        command = tma2022.commands.ApplySettingsSet(settings="y" * LONGEST_REST)
        for read in (lambda: envelope_of(command), lambda: read_command(command.encode()[:-2])):
            self.assertRaisesRegex(LineError, "too long", read)

    def test_as_the_mount_reads(self) -> None:
        """White space around a line and a number, signs and other spellings are read as Python reads them."""
        self.assertEqual(read_command(b" 1\n +0103\n1\nt \n").rewritten(2, 3), b"2\n +0103\n3\nt \n")
        self.assertEqual(header_of(read_command(b"\n\n1_0\n1_03\n2 \nt")), (10, 103, 2))
        for line in (b"", b"1\n103\n1", b"1\n103\n1\n", b"1\n103\n1\n \n\t", b"1\n103\n1\n\xff"):
            self.assertRaises(LineError, read_command, line)

    def test_fault_names_the_field(self) -> None:
        """A line without a header is a LineError that names the field at fault and holds the line."""
        for line, field in (
            (b"x\n103\n1\n0", "sequence_id"),
            (b"1\n1.5\n1\n0", "command_code"),
            (b"1\n103\n\n0", "source"),
            (b"9" * 30 + b"\n103\n1\n0", "sequence_id"),
        ):
            error = self.assertRaises(LineError, read_command, line)
            self.assertEqual((error.line, error.field), (line, field))

    def test_longest(self) -> None:
        """A command is as long as it may be with the bridge's own header."""
        self.assertEqual(len(read_command(b"1\n1\n1\n" + b"x" * LONGEST_REST).rest), LONGEST_REST)
        for line in (b"1\n1\n1\n" + b"x" * (LONGEST_REST + 1), b"1\n" + b"1".rjust(21) + b"\n1\nt"):
            with self.assertRaisesRegex(LineError, f"too long: {len(line)} bytes"):
                read_command(line)

    @given(damaged(any_command().map(lambda command: command.encode()[:-2])))
    def test_damaged(self, line: bytes) -> None:
        """Any bytes are a command or a LineError; where a command is read a refusal could be too."""
        try:
            header = read_command(line)
        except LineError:
            read_to_refuse(line)
        else:
            self.assertEqual(header_of(read_to_refuse(line)), header_of(header))

    def test_to_refuse(self) -> None:
        """A malformed command is refused under its id and source, and under code 0 if it has none."""
        self.assertEqual(header_of(read_to_refuse(b"7\nx\n3\nt")), (7, 0, 3))
        self.assertEqual(header_of(read_to_refuse(b"7\n103\n3")), (7, 103, 3))
        for line in (b"x\n103\n3\nt", b"7\n103\nx\nt", b"7\n103", b"\xff\n103\n3\nt"):
            self.assertIsNone(read_to_refuse(line))

    def test_wanted(self) -> None:
        """An AskForCommand names the commander that shall have command."""
        for commander in Commander:
            self.assertIs(read_wanted(b"1\n2103\n77\n0.5\n 0%d " % commander), commander)
        for line, why in (
            (b"1\n2103\n1\n0.5", "AskForCommand has 5 fields, not 4"),
            (b"1\n2103\n1\n0.5\n1\n2", "AskForCommand has 5 fields, not 6"),
            (b"1\n2103\n1\n0.5\n100", "commander: expected a Commander .*, got b'100'"),
            (b"1\n2103\n1\n0.5\nCSC", "commander: expected a Commander .*, got b'CSC'"),
        ):
            with self.assertRaisesRegex(LineError, why):
                read_wanted(line)

    def test_kinds(self) -> None:
        """What follows from a code: stops, track commands, and those that need no command."""
        self.assertTrue(kind_of_command(CommandCode.AZIMUTH_STOP).is_stop)
        self.assertTrue(kind_of_command(CommandCode.BALANCE_STOP).is_stop, "a code without a class")
        self.assertTrue(kind_of_command(CommandCode.AZIMUTH_CABLE_WRAP_TRACK_TARGET).ack_only)
        self.assertTrue(kind_of_command(CommandCode.ASK_FOR_COMMAND).is_ask)
        self.assertTrue(kind_of_command(CommandCode.HEARTBEAT).is_heartbeat)
        free = [code for code in CommandCode if not kind_of_command(code).needs_command]
        self.assertEqual(free, [2103, 2401, 2402, 2502])
        self.assertEqual(kind_of_command(31).name, "BothAxesPower")
        self.assertEqual((kind_of_command(9999).name, kind_of_command(9999).is_known), ("code 9999", False))


class Answers(SynchronousTestCase):
    """The way up."""

    def test_vectors(self) -> None:
        """Of each vector only the numbers of the header change, whatever spacing it has."""
        for row in rows("tma2022/messages.jsonl"):
            if row["kind"] != "reply":
                continue
            line = line_of(row)
            found, content = read_reply(line), json.loads(line)
            if isinstance(found, EventEnvelope):
                self.assertEqual((found.code, found.line), (content["id"], line))
                continue
            parameters = content["parameters"]
            self.assertEqual((found.code, found.sequence_id), (content["id"], parameters["sequenceId"]))
            parameters |= dict(zip(HEADER_NAMES, (1234567, 3, 0, 0))) | {
                name: parameters[name] for name in parameters if name not in HEADER_NAMES
            }
            expected = {name: parameters[name] for name in json.loads(line)["parameters"]}
            written = json.loads(found.rewritten(1234567, 3))
            self.assertEqual(written, content | {"parameters": expected})
            kept = re.compile(rb'"(?:sequenceId|commander|superseding(?:SequenceId|Commander))": ?\d+')
            self.assertEqual(kept.split(found.rewritten(1234567, 3)), kept.split(line))

    @given(damaged(any_reply().map(lambda reply: reply.encode()[:-2])))
    def test_damaged(self, line: bytes) -> None:
        """Any bytes are a reply or a LineError; a rewritten answer is an answer to the other command."""
        try:
            found = read_reply(line)
        except LineError:
            return
        if isinstance(found, ReplyEnvelope):
            written = answer(found.rewritten(77, 3))
            self.assertEqual((written.code, written.sequence_id), (found.code, 77))
            self.assertEqual(written.explanation, found.explanation)

    def test_only_the_header(self) -> None:
        """The same names elsewhere stay: in texts, in objects, and beside the parameters."""
        for line in (
            b'{"id":4,"commander":8,"timestamp":1,"parameters":{"sequenceId":5,"x":{"commander":8}}}',
            b'{"id":4,"timestamp":1,"parameters":{"sequenceId":5},"commander":8,"sequenceId":9}',
            b'{"id":4,"timestamp":1,"parameters":{"explanation":"sequenceId","sequenceId":5}}',
            b'{"id":4,"timestamp":1,"parameters":{"explanation":"\\"sequenceId\\":8 {","sequenceId":5}}',
            b'{"id":4,"timestamp":1,"parameters":{"explanation":"commander","sequenceId" : 5 }}',
            b'{"id":4.0,"timestamp":1,"parameters":{"sequenceId":5.0,"x":NaN}}',
        ):
            written = answer(line).rewritten(77, 3)
            at = re.search(rb'"sequenceId" ?: ?(5(\.0)?)', line)
            assert at is not None
            self.assertEqual(written, line[: at.start(1)] + b"77" + line[at.end(1) :])

    def test_escaped_name(self) -> None:
        """A name that is written with an escape is rewritten, too."""
        line = b'{"id":3,"timestamp":1,"parameters":{"sequenceId":5,"comm\\u0061nder":8}}'
        written = json.loads(answer(line).rewritten(77, 2))
        self.assertEqual(written["parameters"], {"sequenceId": 77, "commander": 2})

    def test_parameters_of_another_reply(self) -> None:
        """An end with a parameter that only another reply has, of a wrong type, is an end all the same."""
        header = answer(line_with(3, sequenceId=5, supersedingCommander=1.5, supersedingSequenceId="x"))
        self.assertEqual((header.meaning, header.sequence_id), (Meaning.SUCCEEDED, 5))

    def test_repeated_name(self) -> None:
        """A JSON reader takes the last of two members with one name: both are rewritten."""
        line = (
            b'{"id":3,"timestamp":1,"parameters":{"sequenceId":5,"commander":1,"sequenceId":6,"commander":1}}'
        )
        self.assertEqual(answer(line).sequence_id, 6)
        self.assertEqual(
            answer(line).rewritten(77, 2),
            line.replace(b"5", b"77")
            .replace(b"6", b"77")
            .replace(b':1,"s', b':2,"s')
            .replace(b":1}", b":2}"),
        )

    def test_no_answer(self) -> None:
        """An answer without the id of its command, and text that is no reply, are LineErrors."""
        for line in (
            b'{"id":1,"timestamp":1,"parameters":{"timeout":1}}',
            b'{"id":1,"timestamp":1,"parameters":{"sequenceId":"5"}}',
            b'{"id":1,"timestamp":1,"parameters":[]}',
            b'{"id":100,"timestamp":1}',
            b'{"id":100,"timestamp":1,"parameters":{"x":"\xff"}}',
            b"0\n5\n1\n2020-02-27T14:48:27.469\n0",
            b"",
        ):
            error = self.assertRaises(LineError, read_reply, line)
            self.assertEqual(error.line, line)

    def test_timeout(self) -> None:
        """A time that is not announced, -1 or null, is not known."""
        for value, seconds in (
            (0.1, 0.1),
            (900, 900.0),
            (0, 0.0),
            (-1, None),
            (None, None),
            (float("nan"), None),
            (float("inf"), None),
            ("1", None),
            (True, None),
        ):
            self.assertEqual(answer(line_with(1, sequenceId=5, timeout=value)).timeout, seconds, value)
        huge = answer(line_with(1, sequenceId=5, timeout=10**32)).timeout
        self.assertEqual((type(huge), huge), (float, 1e32))
        self.assertIsNone(answer(line_with(1, sequenceId=5, timeout=10**400)).timeout)
        self.assertIsNone(answer(line_with(1, sequenceId=5)).timeout)

    def test_meanings(self) -> None:
        """Each of the five ids has its meaning."""
        found = [answer(line_with(number, sequenceId=5)).meaning for number in range(1, 6)]
        self.assertEqual(found, list(Meaning)[:5])

    def test_superseded(self) -> None:
        """The superseding command has the receiver's own id and source, or 0 and 0; its code stays."""
        parameters = {
            "commander": 1,
            "sequenceId": 5,
            "supersedingSequenceId": 1000,
            "supersedingCommander": 1,
            "supersedingCommandCode": 102,
        }
        line = line_with(5, **parameters)
        found = answer(line)
        self.assertEqual((found.superseding_id, found.explanation), (1000, "superseded by AzimuthStop"))
        for reply, numbers in ((found, (0, 0)), (found.superseded_by(8, 2), (8, 2))):
            written = json.loads(reply.rewritten(7, 2))["parameters"]
            expected = dict(zip(HEADER_NAMES, (7, 2, *numbers)))
            self.assertEqual(written, expected | {"supersedingCommandCode": 102})
        self.assertEqual(answer(line_with(5, sequenceId=5)).explanation, "superseded")

    def test_explained(self) -> None:
        """A replacement changes the explanation alone, however it is spelt."""
        for text, expected in (
            ("id 1000 timed out", "id Stop #7 timed out"),
            ('"1000" {é', '"Stop #7" {é'),
            ("1000\n1000", "Stop #7 Stop #7"),
        ):
            for line in (
                line_with(4, explanation=text, sequenceId=5, commander=1),
                json.dumps(
                    json.loads(line_with(4, explanation=text, sequenceId=5)), ensure_ascii=False
                ).encode(),
            ):
                found = answer(line).explained(lambda said: said.replace(b"1000", b"Stop #7"))
                self.assertEqual(found.explanation, expected)
                written = json.loads(found.rewritten(6, 2))
                content = json.loads(answer(line).rewritten(6, 2))
                self.assertEqual(written["parameters"].pop("explanation"), text.replace("1000", "Stop #7"))
                del content["parameters"]["explanation"]
                self.assertEqual(written, content)

    def test_unexplained(self) -> None:
        """Without a replacement, without an explanation and beyond the longest line, the reply stays."""
        line = line_with(4, explanation="id 1000", sequenceId=5)
        self.assertEqual(answer(line).explained(lambda said: said), answer(line))
        ack = line_with(1, sequenceId=5, timeout=1000)
        self.assertEqual(answer(ack).explained(lambda said: said + b"!"), answer(ack))
        long = answer(line).explained(lambda said: b"x" * LONGEST_EXPLAINED)
        self.assertEqual(long, answer(line))

    def test_own(self) -> None:
        """The bridge's own answers are the protocol's, with the receiver's numbers."""
        ack: Any = tma2022.decode_reply(new_acknowledgement(1).rewritten(5, 2))
        self.assertIsInstance(ack, replies.CmdAcknowledgedReply)
        self.assertEqual((ack.sequence_id, ack.commander, ack.timeout), (5, Source.EUI, 1.0))
        self.assertGreater(ack.timestamp, 1.7e9)
        end: Any = tma2022.decode_reply(new_end().rewritten(5, 2))
        self.assertIsInstance(end, replies.CmdSucceededReply)
        text = 'refused: "hhd" has command\n{}'
        refused: Any = tma2022.decode_reply(new_refusal(text).rewritten(5, 2))
        self.assertIsInstance(refused, replies.CmdRejectedReply)
        self.assertEqual((refused.sequence_id, refused.explanation), (5, text))
        with self.assertRaises(ValueError):
            new_refusal("half a pair: \ud800")


class Events(SynchronousTestCase):
    """What the bridge keeps of events."""

    SETTINGS = replies.DetailedSettingsAppliedReply(
        set_name="Default",
        all_settings_match_set=True,
        bosch_system={"Address": "192.0.2.1", "User": "boschrexroth", "Password": "hunter2"},
    ).encode()[:-2]

    def test_password(self) -> None:
        """A password is masked before anything else sees the line; only `unmasked` has it."""
        found = event(self.SETTINGS)
        self.assertEqual(found.line, self.SETTINGS.replace(b"hunter2", b"*******"))
        self.assertEqual(found.unmasked, self.SETTINGS)
        self.assertNotIn("hunter2", repr(found))
        other = replies.InPositionReply(axis=System.AZIMUTH, in_position=True).encode()[:-2]
        self.assertEqual(event(other), EventEnvelope(200, other))

    def test_password_in_any_line(self) -> None:
        """So it is in an event of an unknown id, in an answer, and in a line that is no reply."""
        secret = b'"Password":"hunter2"'
        found = event(b'{"id":999,"timestamp":1,"parameters":{"x":NaN,%b}}' % secret)
        self.assertNotIn(b"hunter2", found.line)
        line = b'{"id":1,"timestamp":1,"parameters":{"sequenceId":5,%b}}' % secret
        self.assertNotIn(b"hunter2", answer(line).rewritten(7, 2))
        for end in (len(self.SETTINGS) - 1, self.SETTINGS.index(b"ter2")):
            error = self.assertRaises(LineError, read_reply, self.SETTINGS[:end])
            self.assertNotIn(b"hun", error.line)

    def test_too_many_passwords(self) -> None:
        """A line that can't be masked in a bounded time is no event: nothing of it passes."""
        parameters = b'"pwd":"hunter2",' * 3000
        error = self.assertRaises(
            LineError, read_reply, b'{"id":999,"timestamp":1,"parameters":{%b"a":1}}' % parameters
        )
        self.assertNotIn(b"hunter2", error.line)
        self.assertIn("passwords", error.reason)

    def test_intricate(self) -> None:
        """A long answer of thousands of members is refused, because its header is looked for among them."""
        for member in (b'"a":1,', b'"commander":1,', b'"a":{},', b'"a":NaN,'):
            line = b'{"id":2,"timestamp":1,"parameters":{%b"sequenceId":5}}' % (member * 4000)
            error = self.assertRaises(LineError, read_reply, line)
            self.assertIn("names and values", error.reason)
        line = b'{"id":2,"timestamp":1,"parameters":{"sequenceId":5,"explanation":"%b"}}' % (b"a,b:" * 10000)
        self.assertEqual(json.loads(answer(line).rewritten(7, 2))["parameters"]["sequenceId"], 7)

    def test_deep(self) -> None:
        """An event that is too deep to be read has no subject."""
        line = b'{"id":20,"timestamp":1,"parameters":{"axis":100.0,"a":%b}}' % (b"[" * 900 + b"]" * 900)
        self.assertIsNone(subject_of(event(line)))

    def test_lists_for_a_number(self) -> None:
        """Hundreds of lists in lists in place of a number are malformed as any wrong value, and no crash."""
        for levels in (100, 490, 600, 800, 990, 2000):
            lists = b"[" * levels + b"]" * levels
            for line in (
                b'{"id":%b,"timestamp":1.0,"parameters":{}}',
                b'{"id":3,"timestamp":1.0,"parameters":{"sequenceId":%b}}',
                b'{"id":4,"timestamp":1.0,"parameters":{"sequenceId":%b,"supersedingCommandCode":402.0}}',
            ):
                self.assertRaises(LineError, read_reply, line % lists)
            topic = b'{"topicID":%b,"timestamp":1}' % lists
            self.assertRaises(LineError, tma2022.codec.decode_telemetry, topic)
            for code, name in ((200, b"commander"), (20, b"actualCommander"), (4, b"supersedingCommandCode")):
                line = b'{"id":%d,"timestamp":1,"parameters":{"sequenceId":5,"%b":%b}}' % (code, name, lists)
                with contextlib.suppress(LineError):  # malformed beyond the depth that the decoder takes
                    read = read_reply(line)
                    self.assertTrue(isinstance(read, ReplyEnvelope) or commander_in(read) is None)

    def test_subjects(self) -> None:
        """A later event about the same device replaces the earlier one; a settled alarm only ends one."""
        power = replies.PowerStateReply(system=System.AZIMUTH, power_state=0)
        other = replies.PowerStateReply(system=System.ELEVATION, power_state=0)
        self.assertEqual(self.subject(power), self.subject(replace_time(power)))
        self.assertNotEqual(self.subject(power), self.subject(other))
        for active, latched, lasts in ((1, 0, True), (0, 1, True), (0, 0, False)):
            alarm = replies.ErrorReply(
                name="a",
                subsystem_id=100,
                subsystem_instance="b",
                active=bool(active),
                latched=bool(latched),
                code=5,
                description="",
            )
            found = self.subject(alarm)
            self.assertEqual((found.is_alarm, found.lasts), (True, lasts))

    def test_kept_apart(self) -> None:
        """The settings are kept apart; COMMANDER, unknown and malformed events are not kept."""
        found = subject_of(event(self.SETTINGS))
        assert found is not None
        self.assertTrue(found.is_apart and found.lasts)
        for line in (
            replies.CommanderReply(actual_commander=Source.CSC).encode()[:-2],
            line_with(999, x=1),
            line_with(200, axis=0),
            line_with(51, version="1", commander=1),
        ):
            self.assertIsNone(subject_of(event(line)))

    def test_commander(self) -> None:
        """COMMANDER names the source that has command; no other event does."""
        for source in (Source.NONE, Source.HHD):
            line = replies.CommanderReply(actual_commander=source).encode()[:-2]
            self.assertEqual(commander_in(event(line)), int(source))
        for number in (77, 77.0):  # of a newer mount
            self.assertEqual(commander_in(event(line_with(20, actualCommander=number))), 77)
        for parameters in ({}, {"actualCommander": "CSC"}, {"actualCommander": 1.5}):
            self.assertIsNone(commander_in(event(line_with(20, **parameters))))
        self.assertIsNone(commander_in(event(line_with(200, axis=0, inPosition=True))))

    def subject(self, reply: replies.Reply) -> Any:
        """The subject of an event."""
        return subject_of(event(reply.encode()[:-2]))


def replace_time(reply: Any) -> replies.Reply:
    """The same event at another time."""
    made: replies.Reply = type(reply)(timestamp=5.0, system=reply.system, power_state=reply.power_state)
    return made
