"""`TRANSLATOR`: envelopes and lines of tma2020 for a mount of tma2022."""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest.mock import Mock

from hypothesis import assume, given
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.last_values import MAX_KNOWN
from mtmount_twisted.dialects import tma2022, translated
from mtmount_twisted.dialects.dialect import EventEnvelope, ReplyEnvelope, translator_between
from mtmount_twisted.dialects.tma2020 import commands as old
from mtmount_twisted.dialects.tma2020.codec import decode_reply
from mtmount_twisted.dialects.tma2020.dialect import DIALECT as OLD
from mtmount_twisted.dialects.tma2022 import commands as new
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.translate import Dropped, Refusal, translate_line, translate_reply
from mtmount_twisted.dialects.translated import TRANSLATOR
from mtmount_twisted.errors import LineError
from tests.support.strategies import rows as vectors

from .strategies import replies as any_reply
from .test_translate import SENT, commands, old_line

TRACK = "105|1|0|1600000000"


class BetweenTests(SynchronousTestCase):
    """`translator_between`."""

    def test_each(self) -> None:
        """There is one translation, none is needed within a dialect, and the other direction is an error."""
        self.assertIs(translator_between("tma2020", "tma2022"), TRANSLATOR)
        self.assertIsNone(translator_between("tma2022", "tma2022"))
        self.assertRaises(ValueError, translator_between, "tma2022", "tma2020")


class CommandTests(SynchronousTestCase):
    """Commands."""

    def test_line_for_the_mount(self) -> None:
        """The mount's line has the bridge's id and source, and its own code; the rules are of tma2020."""
        header = TRANSLATOR.read_command(old_line("108|0", 7, 2))
        self.assertEqual((header.sequence_id, header.source, header.code), (7, 2, 102))
        self.assertEqual((header.kind.name, header.kind.is_stop), ("AzimuthStop", False))
        self.assertTrue(DIALECT.kind_of(102).is_stop)
        command = tma2022.decode_command(header.rewritten(1234, 1))
        self.assertEqual(type(command), new.AzimuthStop)
        self.assertEqual((command.sequence_id, int(command.source)), (1234, 1))

    def test_refused(self) -> None:
        """A command that can't be translated, or read, has a reason, and no line for the mount."""
        for text, start in (
            ("2202|0|1.0", "refused: tma2022 can't turn"),
            ("104|1", "refused: AZIMUTH_AXIS_MOVE_VELOCITY has no known parameters"),
            ("9999999", "refused: tma2020 has no command 9999999"),
            ("103|x|0|0|0", "malformed: "),
            ("103", "malformed: "),
        ):
            header = TRANSLATOR.read_command(old_line(text))
            self.assertTrue(header.kind.refusal.startswith(start), header.kind.refusal)
            self.assertEqual(header.sequence_id, 7)
            self.assertRaises(ValueError, header.rewritten, 1, 1)

    def test_long(self) -> None:
        """A line that is longer than any command is refused, and its parameters are not read."""
        self.patch(translated, "translate_line", Mock(side_effect=AssertionError("it was read")))
        header = TRANSLATOR.read_command(old_line("103") + b"\n" + b"\xff" * 65_000)
        self.assertEqual(header.kind.refusal, "malformed: a command has at most 1024 bytes")
        self.assertEqual(header.sequence_id, 7)

    def test_malformed(self) -> None:
        """A line without a header is an error, as in tma2020; its id serves a refusal, if it has one."""
        for line in (b"", b"1\n2", b"x\n103\n1\n" + SENT.encode()):
            self.assertRaises(LineError, TRANSLATOR.read_command, line)
            self.assertIsNone(TRANSLATOR.read_to_refuse(line))
        header = TRANSLATOR.read_to_refuse(b"7\nx\n1")
        assert header is not None
        self.assertEqual((header.sequence_id, header.source), (7, 1))

    def test_vectors(self) -> None:
        """Each recorded line has a line for the mount or a refusal, unless its header can't be read."""
        found: Counter[str] = Counter()
        for row in vectors("messages.jsonl") + vectors("malformed.jsonl"):
            line = row["wire"].encode().removesuffix(b"\r\n")
            try:
                header = TRANSLATOR.read_command(line)
            except LineError:
                found["error"] += 1
                self.assertRaises(LineError, OLD.read_command, line)
                continue
            found["refusal" if header.kind.refusal else "command"] += 1
            if header.kind.refusal:
                self.assertIn(header.kind.refusal.split(":")[0], ("refused", "malformed"))
            else:
                tma2022.decode_command(header.rewritten(3, 2))
        self.assertEqual(set(found), {"error", "refusal", "command"}, found)

    @given(commands())
    def test_any_command(self, command: old.Command) -> None:
        """The id, the source and the rules are those of tma2020, and the line is that of the translation."""
        assume(abs(command.sequence_id) < 2**63)  # the bridge takes no larger one
        line = command.encode().removesuffix(b"\r\n")
        header, plain = TRANSLATOR.read_command(line), OLD.read_command(line)
        self.assertEqual(_facts(header), _facts(plain))
        translation = translate_line(line)
        if isinstance(translation, Refusal):
            self.assertEqual(header.kind.refusal, f"refused: {translation.reason}")
        else:
            expected: Any = translation.commands[0]
            sent = tma2022.decode_command(header.rewritten(3, 2))
            self.assertEqual(sent, expected.replaced(sequence_id=3, source=tma2022.enums.Source.EUI))


def _facts(header: Any) -> tuple[Any, ...]:
    kind = header.kind
    rules = kind.is_stop, kind.is_ask, kind.ack_only, kind.needs_command
    return header.sequence_id, header.source, *rules


def answer(reply: replies.Reply) -> ReplyEnvelope:
    """A reply as the bridge reads it."""
    envelope = DIALECT.read_reply(reply.encode().removesuffix(b"\r\n"))
    assert not isinstance(envelope, EventEnvelope)
    return envelope


class AnswerTests(SynchronousTestCase):
    """Answers."""

    def test_each_kind(self) -> None:
        """Each answer has the id and the source of its commander, and all else of `translate_reply`."""
        command = old.AzimuthAxisMove(sequence_id=12, position=1)
        header = TRANSLATOR.read_command(command.encode().removesuffix(b"\r\n"))
        made = {"timestamp": 1.0, "sequence_id": 99}
        for reply in (
            replies.CmdAcknowledgedReply(timeout=1.5, **made),
            replies.CmdAcknowledgedReply(timeout=-1, **made),
            replies.CmdAcknowledgedReply(timeout=None, **made),
            replies.CmdRejectedReply(explanation="it is off", **made),
            replies.CmdSucceededReply(**made),
            replies.CmdFailedReply(explanation="hot", **made),
        ):
            [line], then = TRANSLATOR.answered(header, answer(reply))
            self.assertIsNone(then)
            self.assertEqual(decode_reply(line), translate_reply(reply, command))

    def test_times(self) -> None:
        """An answer has the time of the mount's, by whichever clock, and also from a line with NaN."""
        header = TRANSLATOR.read_command(old_line(TRACK, 12, 1))
        for timestamp in (0.0, 1758006630.5, 3840851430.5, 1e300):
            reply = replies.CmdAcknowledgedReply(timestamp=timestamp, sequence_id=99, timeout=1.0)
            for line in (reply.encode(), reply.encode().replace(b'"timeout":1.0', b'"timeout":NaN')):
                envelope: Any = DIALECT.read_reply(line.removesuffix(b"\r\n"))
                [told], _ = TRANSLATOR.answered(header, envelope)
                expected: Any = translate_reply(reply, old.AzimuthAxisTrack(position=1, velocity=0, tai=1))
                self.assertEqual(decode_reply(told).timestamp, expected.timestamp)

    def test_superseded(self) -> None:
        """The explanation of the bridge names the later command, as tma2020 does."""
        header = TRANSLATOR.read_command(old_line("103|1|0"))
        reply = answer(replies.CmdSupersededReply(timestamp=1.0, sequence_id=9, superseding_command_code=103))
        [line], _ = TRANSLATOR.answered(header, reply)
        self.assertIn("AzimuthAxisMove", decode_reply(line).explanation)

    def test_track_command(self) -> None:
        """The Ack of a track command announces 0."""
        header = TRANSLATOR.read_command(old_line(TRACK, 12, 3))
        reply = answer(replies.CmdAcknowledgedReply(timestamp=1.0, sequence_id=99, timeout=-1))
        [line], _ = TRANSLATOR.answered(header, reply)
        fields = line.split(b"\n")
        self.assertEqual((fields[:3], fields[4]), ([b"0", b"12", b"3"], b"0"))

    def test_any_source(self) -> None:
        """The number of a source that tma2020 does not have comes back as it came."""
        header = TRANSLATOR.read_command(old_line("103|1|0", 12, 77))
        [line], _ = TRANSLATOR.answered(header, DIALECT.succeeded())
        self.assertEqual(line.split(b"\n")[:3], [b"2", b"12", b"77"])

    def test_two(self) -> None:
        """The second part follows the success of the first, under the commander's own id."""
        header = TRANSLATOR.read_command(old_line("801|1", 12))
        self.assertIsInstance(tma2022.decode_command(header.rewritten(5, 1)), new.OilSupplySystemSetMode)
        self.assertEqual(TRANSLATOR.answered(header, DIALECT.acknowledged(1.0)), ((), None))
        lines, then = TRANSLATOR.answered(header, DIALECT.succeeded())
        assert then is not None
        self.assertEqual((lines, then.sequence_id), ((), 12))
        self.assertIsInstance(tma2022.decode_command(then.rewritten(6, 1)), new.OilSupplySystemPower)
        lines, then = TRANSLATOR.answered(then, DIALECT.refused("busy: 5 commands"))
        self.assertIsNone(then)
        self.assertTrue(decode_reply(lines[0]).explanation.startswith("busy: 5 commands ("))


class EventTests(SynchronousTestCase):
    """Lines to all clients."""

    @given(any_reply())
    def test_any_event(self, reply: replies.Reply) -> None:
        """An event is the one of `translate_reply`, or is dropped under the same kind."""
        if isinstance(reply, replies.Answer):
            return
        line = reply.encode().removesuffix(b"\r\n")
        expected = translate_reply(tma2022.decode_reply(line))
        made, dropped = TRANSLATOR.event(line)
        if isinstance(expected, Dropped):
            self.assertEqual((made, dropped), (None, expected.kind))
        else:
            self.assertEqual((made, dropped), (expected.encode().removesuffix(b"\r\n"), ""))

    def warning(self, code: int, description: str) -> bytes:
        """A line about a warning."""
        warning = replies.WarningReply(
            name="a",
            code=code,
            active=True,
            description=description,
            subsystem_id=100,
            subsystem_instance="x",
        )
        return warning.encode().removesuffix(b"\r\n")

    def test_last_values_are_translated_once(self) -> None:
        """All last values of a mount are kept; an event that is long is not, so that memory is bounded."""
        lines = [self.warning(number, "x") for number in range(MAX_KNOWN)]
        first = [TRANSLATOR.event(line) for line in lines]
        self.assertTrue(all(TRANSLATOR.event(line) is made for line, made in zip(lines, first, strict=True)))
        long = self.warning(1, "x" * 5000)
        self.assertIsNot(TRANSLATOR.event(long), TRANSLATOR.event(long))

    def test_answer(self) -> None:
        """An observer receives the answers to other commanders."""
        source = tma2022.enums.Source.EUI
        made, _ = TRANSLATOR.event(replies.CmdSucceededReply(sequence_id=9, commander=source).encode()[:-2])
        assert made is not None
        self.assertEqual(made.split(b"\n")[:3], [b"2", b"9", b"2"])

    def test_malformed(self) -> None:
        """A line that can't be read is dropped."""
        self.assertEqual(TRANSLATOR.event(b"{"), (None, "malformed"))
