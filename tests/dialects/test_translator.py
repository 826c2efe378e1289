"""`translator`: envelopes of tma2020 for a mount of tma2022."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import EventEnvelope, ReplyEnvelope
from mtmount_twisted.dialects.tma2020 import commands as old
from mtmount_twisted.dialects.tma2020.codec import decode_reply
from mtmount_twisted.dialects.tma2020.dialect import DIALECT as OLD
from mtmount_twisted.dialects.tma2022 import commands as new
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.translate import Dropped, Refusal, translate_line, translate_reply
from mtmount_twisted.dialects.translator import (
    read_command,
    translate_envelope,
    translate_event,
)
from mtmount_twisted.errors import LineError

from .strategies import replies as any_reply
from .test_translate import SENT, commands, old_line


class CommandTests(SynchronousTestCase):
    """Commands."""

    def test_line_for_the_mount(self) -> None:
        """The mount's line has the bridge's id and source, and its own code; the rules are of tma2020."""
        header = read_command(old_line("108|0", 7, 2))
        self.assertEqual((header.sequence_id, header.source, header.code), (7, 2, 108))
        self.assertEqual(header.kind, OLD.kind_of(108))
        self.assertFalse(header.kind.is_stop)
        assert header.sent is not None
        self.assertEqual((header.sent.code, header.sent.kind.name), (102, "AzimuthStop"))
        command = tma2022.decode_command(header.rewritten(1234, 1))
        self.assertEqual(type(command), new.AzimuthStop)
        self.assertEqual((command.sequence_id, int(command.source)), (1234, 1))

    def test_two(self) -> None:
        """The first of two commands is the one to send."""
        header = read_command(old_line("801|1"))
        self.assertEqual(len(header.halves), 2)
        self.assertIsInstance(tma2022.decode_command(header.rewritten(5, 1)), new.OilSupplySystemSetMode)

    def test_refused(self) -> None:
        """A command that can't be translated, or read, has a reason, and no line for the mount."""
        for text, start in (
            ("2202|0|1.0", "refused: tma2022 can't turn"),
            ("104|1", "refused: AZIMUTH_AXIS_MOVE_VELOCITY has no known parameters"),
            ("103|x|0|0|0", "malformed: "),
            ("103", "malformed: "),
        ):
            header = read_command(old_line(text))
            self.assertTrue(header.refusal.startswith(start), header.refusal)
            self.assertEqual((header.halves, header.sent, header.sequence_id), ((), None, 7))
            self.assertRaises(ValueError, header.rewritten, 1, 1)

    def test_malformed(self) -> None:
        """A line without a header is an error, as in tma2020."""
        for line in (b"", b"1\n2", b"x\n103\n1\n" + SENT.encode()):
            self.assertRaises(LineError, read_command, line)

    @given(commands())
    def test_any_command(self, command: old.Command) -> None:
        """The header is that which tma2020 reads, and the line is that of the translation."""
        assume(abs(command.sequence_id) < 2**63)  # the bridge takes no larger one
        line = command.encode().removesuffix(b"\r\n")
        header = read_command(line)
        plain = OLD.read_command(line)
        self.assertEqual(_facts(header), _facts(plain))
        translation = translate_line(line)
        if isinstance(translation, Refusal):
            self.assertEqual(header.refusal, f"refused: {translation.reason}")
        else:
            self.assertEqual(header.halves, translation.halves)
            expected: Any = translation.commands[0]
            sent = tma2022.decode_command(header.rewritten(3, 2))
            self.assertEqual(sent, expected.replaced(sequence_id=3, source=tma2022.enums.Source.EUI))


def _facts(header: Any) -> tuple[Any, ...]:
    return header.sequence_id, header.source, header.code, header.kind


def answer(reply: replies.Reply) -> ReplyEnvelope:
    """A reply as the bridge reads it."""
    envelope = DIALECT.read_reply(reply.encode().removesuffix(b"\r\n"))
    assert not isinstance(envelope, EventEnvelope)
    return envelope


class AnswerTests(SynchronousTestCase):
    """Answers."""

    def test_each_kind(self) -> None:
        """Each answer has the id and the source of its commander, and the fields of `translate_reply`."""
        command = old.AzimuthAxisMove(sequence_id=12, position=1)
        made = {"timestamp": 1.0, "sequence_id": 99}
        for reply in (
            replies.CmdAcknowledgedReply(timeout=1.5, **made),
            replies.CmdAcknowledgedReply(timeout=-1, **made),
            replies.CmdAcknowledgedReply(timeout=None, **made),
            replies.CmdRejectedReply(explanation="it is off", **made),
            replies.CmdSucceededReply(**made),
            replies.CmdFailedReply(explanation="hot", **made),
            replies.CmdSupersededReply(superseding_command_code=402, **made),
        ):
            line = translate_envelope(answer(reply), ack_only=False).rewritten(12, 1)
            expected: Any = translate_reply(reply, command)
            self.assertEqual(_without_time(decode_reply(line)), _without_time(expected))

    def test_track_command(self) -> None:
        """The Ack of a track command announces 0."""
        reply = answer(replies.CmdAcknowledgedReply(timestamp=1.0, sequence_id=99, timeout=-1))
        line = translate_envelope(reply, ack_only=True).rewritten(12, 3)
        fields = line.split(b"\n")
        self.assertEqual((fields[:3], fields[4]), ([b"0", b"12", b"3"], b"0"))

    def test_of_the_bridge(self) -> None:
        """The bridge's own answers are translated alike."""
        refusal = translate_envelope(DIALECT.refused("busy: 5 commands"), ack_only=False)
        self.assertEqual(refusal.explanation, "busy: 5 commands")
        ack = translate_envelope(DIALECT.acknowledged(2.5), ack_only=False)
        self.assertEqual((ack.meaning, ack.timeout), (DIALECT.acknowledged(2.5).meaning, 2.5))


def _without_time(reply: Any) -> dict[str, Any]:
    return {name: value for name, value in OLD.fields_of(reply).items() if name != "timestamp"}


class EventTests(SynchronousTestCase):
    """Events."""

    @given(any_reply())
    def test_any_event(self, reply: replies.Reply) -> None:
        """An event is the one of `translate_reply`, or is dropped under the same kind."""
        line = reply.encode().removesuffix(b"\r\n")
        if isinstance(reply, replies.Answer):
            return
        event = EventEnvelope(reply.id, line)
        expected = translate_reply(tma2022.decode_reply(line))
        made = translate_event(event)
        if isinstance(expected, Dropped):
            self.assertEqual(made, expected)
        else:
            assert isinstance(made, EventEnvelope)
            self.assertEqual(made.line, expected.encode().removesuffix(b"\r\n"))
            self.assertEqual(OLD.read_reply(made.line), made)

    def test_malformed(self) -> None:
        """An event whose parameters do not fit is dropped under its name."""
        line = b'{"id":200,"timestamp":1,"parameters":{"axis":"x"}}'
        self.assertEqual(translate_event(EventEnvelope(200, line)), Dropped("IN_POSITION"))
        self.assertEqual(translate_event(EventEnvelope(200, b"{")), Dropped("IN_POSITION"))
