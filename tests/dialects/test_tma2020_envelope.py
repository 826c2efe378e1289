"""`mtmount_twisted.dialects.tma2020.envelope`: headers read and rewritten, and nothing else touched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import EventEnvelope
from mtmount_twisted.dialects.tma2020.codec import decode_reply, read_explanation
from mtmount_twisted.dialects.tma2020.envelope import (
    LONGEST_REST,
    CommandEnvelope,
    ReplyEnvelope,
    new_answer,
    new_refusal,
    read_command,
    read_reply,
    read_to_refuse,
    read_wanted,
)
from mtmount_twisted.enums import Commander, ReplyCode
from mtmount_twisted.errors import LineError
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from mtmount_twisted.wire.fields import check_str
from tests.support.commanders import ask

TODAYS = b"1795756665.5"
RESTS = st.binary(max_size=60).map(lambda rest: b"t" + rest).filter(lambda rest: b"\r\n" not in rest)
INTS = st.integers(-(2**40), 2**40)


def header_of(command: CommandEnvelope | None) -> tuple[int, int, int]:
    """The id, code and source of a command that can be read."""
    assert command is not None
    return command.sequence_id, command.code, command.source


class CommandHeaderTests(SynchronousTestCase):
    """The way down."""

    @given(INTS, INTS, INTS, RESTS, INTS, st.integers(0, 200))
    def test_down(self, number: int, code: int, source: int, rest: bytes, key: int, own: int) -> None:
        """Only the id and the source are rewritten; all three are read."""
        header = read_command(b"%d\n%d\n%d\n" % (number, code, source) + rest)
        self.assertEqual(header_of(header), (number, code, source))
        self.assertEqual(header.rewritten(key, own), b"%d\n%d\n%d\n" % (key, code, own) + rest)

    def test_code_as_written(self) -> None:
        """Not even the spelling of the code changes."""
        self.assertEqual(read_command(b" 1\n +030\n1\nt").rewritten(2, 3), b"2\n +030\n3\nt")

    def test_other_generation(self) -> None:
        """A timestamp of tma2022 is an error that says so; it has an id for the refusal."""
        line = b"7\n31\n1\n%b\n1" % TODAYS
        with self.assertRaises(LineError) as caught:
            read_command(line)
        self.assertIn("the client speaks tma2022", caught.exception.reason)
        self.assertEqual(header_of(read_to_refuse(line)), (7, 31, 1))

    @given(st.binary(max_size=40))
    def test_any_bytes(self, line: bytes) -> None:
        """Any bytes are a command, or a LineError; where a command is read a refusal could be too."""
        try:
            header = read_command(line)
        except LineError:
            header = read_to_refuse(line)
            self.assertTrue(header is None or line.count(b"\n") >= 2)
        else:
            self.assertEqual(header_of(read_to_refuse(line)), header_of(header))

    def test_largest_numbers(self) -> None:
        """Each number of a header may have 64 bits with its sign, and no more."""
        for index in range(3):
            for number, fits in ((2**63 - 1, True), (1 - 2**63, True), (2**63, False), (-(2**63), False)):
                fields = [b"1", b"1", b"1", b"t"]
                fields[index] = b"%d" % number
                line = b"\n".join(fields)
                if fits:
                    self.assertEqual(header_of(read_command(line))[index], number)
                    self.assertEqual(header_of(read_to_refuse(line)), header_of(read_command(line)))
                else:
                    with self.assertRaisesRegex(LineError, "more than 64 bits"):
                        read_command(line)

    def test_longest(self) -> None:
        """A command is as long as it may be with the bridge's own header, and its code has 20 characters."""
        self.assertEqual(len(read_command(b"1\n1\n1\n" + b"x" * LONGEST_REST).rest), LONGEST_REST)
        self.assertEqual(read_command(b"1\n" + b"1".rjust(20) + b"\n1\nt").code, 1)
        for line in (b"1\n1\n1\n" + b"x" * (LONGEST_REST + 1), b"1\n" + b"1".rjust(21) + b"\n1\nt"):
            with self.assertRaisesRegex(LineError, f"too long: {len(line)} bytes"):
                read_command(line)

    def test_to_refuse(self) -> None:
        """A malformed command is refused under its id and source, and under code 0 if it has none."""
        self.assertEqual(header_of(read_to_refuse(b"7\nx\n3\nt")), (7, 0, 3))
        self.assertEqual(header_of(read_to_refuse(b"7\n103\n3")), (7, 103, 3))
        for line in (b"x\n103\n3\nt", b"7\n103\nx\nt", b"7\n103", b"\xff\n103\n3\nt"):
            self.assertIsNone(read_to_refuse(line))

    def test_who_is_wanted(self) -> None:
        """An AskForCommand says who shall have command, whatever its timestamp and source are."""
        for commander in Commander:
            self.assertIs(read_wanted(ask(1, 1, commander)), commander)
            self.assertIs(read_wanted(b"1\n2101\n77\nnever\n 0%d " % commander), commander)
        for line, why in (
            (b"1\n2101\n1\nt", "AskForCommand has 5 fields, not 4"),
            (b"1\n2101\n1\nt\n1\n", "AskForCommand has 5 fields, not 6"),
            (b"1\n2101\n1\nt\n4", "commander: expected a Commander .*, got '4'"),
            (b"1\n2101\n1\nt\n1_0", "commander: expected a Commander .*, got '1_0'"),
            (b"1\n2101\n1\nt\n" + b"x" * 101, "got '" + "x" * 100 + "'"),
        ):
            with self.assertRaisesRegex(LineError, why):
                read_wanted(line)


class AnswerHeaderTests(SynchronousTestCase):
    """The way up."""

    @given(st.sampled_from([0, 1, 2]), INTS, INTS, RESTS, INTS, INTS)
    def test_up(self, code: int, key: int, own: int, rest: bytes, number: int, source: int) -> None:
        """Only the id and the source are rewritten."""
        answer = read_reply(b"%d\n%d\n%d\n" % (code, key, own) + rest)
        assert isinstance(answer, ReplyEnvelope)
        self.assertEqual((answer.code, answer.sequence_id), (code, key))
        self.assertEqual(answer.rewritten(number, source), b"%d\n%d\n%d\n" % (code, number, source) + rest)

    def test_events(self) -> None:
        """An event answers nothing: of its header there is the code."""
        for code, line in ((3, b"3"), (4, b"4\nx"), (5, b"5\n1\n1\nt"), (6, b"6"), (77, b"77\n1\n1\nt")):
            self.assertEqual(read_reply(line), EventEnvelope(code, line))
        for line in (b"", b"x", b"0\n1\n1", b"2\nx\n1\nt"):
            with self.assertRaises(LineError):
                read_reply(line)

    def test_ack_timeout(self) -> None:
        """The time is read as the protocol writes it; what is none, or is absurd, is 0."""
        for field, seconds in (
            (b"1500", 1.5),
            (b" +20 \nmore", 0.02),
            (b"-1", 0.0),
            (b"", 0.0),
            (b"x", 0.0),
            (b"1_0", 0.0),
            (b"1.5", 0.0),
            (b"\xff", 0.0),
            (b"9" * 5000, 0.0),
        ):
            answer = read_reply(b"0\n1\n1\nt\n" + field)
            assert isinstance(answer, ReplyEnvelope)
            self.assertEqual(answer.timeout, seconds, field)
        answer = read_reply(b"0\n1\n1\nt")
        assert isinstance(answer, ReplyEnvelope)
        self.assertEqual(answer.timeout, 0.0)

    @given(RESTS)
    def test_explanation(self, rest: bytes) -> None:
        """Whatever a NoAck says, its explanation can be said again in another."""
        answer = read_reply(b"1\n1\n1\n" + rest)
        assert isinstance(answer, ReplyEnvelope)
        check_str(read_explanation(answer.rest))

    def test_own(self) -> None:
        """The bridge's own answers are the protocol's."""
        line = new_answer(ReplyCode.ACK, b"1000").rewritten(5, 2)
        ack, done = decode_reply(line), decode_reply(new_answer(ReplyCode.DONE).rewritten(5, 2))
        assert isinstance(ack, AckReply) and isinstance(done, DoneReply)
        self.assertEqual((ack.sequence_id, ack.source, ack.timeout_ms, done.sequence_id), (5, 2, 1000, 5))

    def test_own_refusal(self) -> None:
        """A refusal of the bridge's own is a NoAck; an explanation that no line can hold is an error."""
        refused = decode_reply(new_refusal("refused: why").rewritten(5, 2))
        assert isinstance(refused, NoAckReply)
        self.assertEqual((refused.sequence_id, refused.source, refused.explanation), (5, 2, "refused: why"))
        with self.assertRaises(ValueError):
            new_refusal("two\nfields")
