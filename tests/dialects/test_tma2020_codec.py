"""Lines and messages, and the headers that a relay reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.commands import Command
from mtmount_twisted.dialects.tma2020 import codec
from mtmount_twisted.errors import LineError, MessageError
from mtmount_twisted.replies import Reply
from mtmount_twisted.wire.messages import BaseMessage
from tests.support import strategies

WHEN = b"2020-02-27T14:48:27.469"


def decode(message: BaseMessage) -> BaseMessage:
    """The message, through its line and back."""
    read = codec.decode_command if strategies.is_command(message) else codec.decode_reply
    return read(strategies.line_of(message))


class Messages(SynchronousTestCase):
    """`decode_command` and `decode_reply`."""

    def test_vectors(self) -> None:
        """Each line that the original wrote decodes, and encodes to the same bytes."""
        for row in strategies.rows("messages.jsonl"):
            wire = row["wire"].encode()
            read = codec.decode_reply if row["message"].endswith("Reply") else codec.decode_command
            message = read(wire.removesuffix(b"\r\n"))
            self.assertEqual(type(message).__name__, row["message"])
            self.assertEqual(message.encode(), wire)

    def test_malformed_vectors(self) -> None:
        """Each line that the original refused is a ValueError that holds the line and says why."""
        for row in strategies.rows("malformed.jsonl"):
            line = row["wire"].encode().removesuffix(b"\r\n")
            read = codec.decode_reply if row["kind"] == "reply" else codec.decode_command
            error = self.assertRaises(ValueError, read, line)
            self.assertIsInstance(error, LineError)
            self.assertEqual(error.line, line)
            self.assertIsInstance(error.__cause__, MessageError)
            named = row["why"].split(" is ")[0]
            named = f"{row['kind']}_code" if named == "code" else named
            if named in (info.name for cls in strategies.MESSAGE_CLASSES for info in cls.field_infos):
                self.assertEqual(error.field, named, row)
                self.assertIn(named, str(error))

    @given(strategies.any_message())
    def test_round_trip(self, message: BaseMessage) -> None:
        """Every message decodes from its own line equal, and encodes to the same line."""
        self.assertEqual(decode(message), message)
        self.assertEqual(decode(message).encode(), message.encode())

    @given(strategies.mutated_lines() | st.binary(max_size=200))
    def test_any_line(self, line: bytes) -> None:
        """Whatever the line, it is a message that can be written and read again, or a LineError."""
        for read, branch in ((codec.decode_command, Command), (codec.decode_reply, Reply)):
            try:
                message = read(line)
            except LineError as error:
                self.assertEqual(error.line, line)
                self.assertTrue(str(error))
                continue
            self.assertIsInstance(message, branch)
            self.assertEqual(decode(message).encode(), message.encode())

    def test_bytes_that_are_not_utf8(self) -> None:
        r"""In a text field they are kept visible as \xNN and can be sent on; in a number they are refused."""
        reply = codec.decode_reply(b"5\n" + WHEN + b"\n20\xb0C")
        self.assertEqual(reply.str_fields()[-1], r"20\xb0C")
        self.assertEqual(decode(reply), reply)
        self.assertRaises(LineError, codec.decode_reply, b"0\n1\n1\n" + WHEN + b"\n2\xb00")

    def test_forbidden_in_text(self) -> None:
        r"""A lone \r or a NUL in a text field is refused, since it could not be sent on."""
        for bad in (b"a\rb", b"a\0b", b"\r"):
            error = self.assertRaises(LineError, codec.decode_reply, b"5\n" + WHEN + b"\n" + bad)
            self.assertEqual(error.field, "description")

    def test_codes_without_a_class(self) -> None:
        """For a library reader a command code without a class is an error that holds the line."""
        for code in (b"305", b"-1", b"9999"):
            line = b"1\n" + code + b"\n1\n" + WHEN + b"\n0.5"
            error = self.assertRaises(LineError, codec.decode_command, line)
            self.assertEqual((error.line, error.field), (line, "command_code"))

    def test_long_line_in_an_error(self) -> None:
        """The error for a huge line holds it whole but tells it in a few hundred characters."""
        line = b"1\n902\n1\n" + WHEN + b"\n" + b"1" * 60000
        error = self.assertRaises(LineError, codec.decode_command, line)
        self.assertEqual(error.line, line)
        self.assertLess(len(str(error)), 600)


class Headers(SynchronousTestCase):
    """`read_command_header` and `read_reply_header`."""

    @given(strategies.any_message())
    def test_same_as_the_message(self, message: BaseMessage) -> None:
        """A header says of every message what decoding it whole says."""
        line = strategies.line_of(message)
        if isinstance(message, Command):
            expected = (message.sequence_id, message.command_code, message.source)
            self.assertEqual(codec.read_command_header(line), expected)
        elif isinstance(message, Reply):
            header = codec.read_reply_header(line)
            self.assertEqual(header.code, message.reply_code)
            self.assertEqual(header.sequence_id, getattr(message, "sequence_id", None))
            self.assertEqual(header.source, getattr(message, "source", None))

    def test_commands_that_are_not_known(self) -> None:
        """A relay reads the header of a command whatever its code, source, timestamp and parameters."""
        for rest in (b"", b"\n", b"\nx\n\xff\n\r\0", b"\n" * 1000):
            for code in (9999, 305, -100, 10):
                line = b"7\n%d\n77\nyesterday" % code + rest
                self.assertEqual(codec.read_command_header(line), (7, code, 77))

    def test_replies_that_are_not_known(self) -> None:
        """An unknown reply is an event; an answer is told by its sequence id whatever follows."""
        for line in (b"77", b"77\n1\n1\nx", b"-1\n\xff", b"5", b"3\n\n\n\n"):
            header = codec.read_reply_header(line)
            self.assertEqual(header, (int(line.split(b"\n")[0]), None, None))
            self.assertNotIn(header.code, codec.ANSWER_CODES)
        for code in codec.ANSWER_CODES:
            line = b"%d\n7\n77\nyesterday\n\xff\nx" % code
            self.assertEqual(codec.read_reply_header(line), (code, 7, 77))

    def test_no_header(self) -> None:
        """A line without a header is a LineError that holds it, and names the field at fault."""
        bad: list[tuple[bytes, str | None]] = [
            (b"", None),
            (b"1\n10\n1", None),
            (b"x\n10\n1\nt", "sequence_id"),
        ]
        bad += [
            (b"1\n1_0\n1\nt", "command_code"),
            (b"1\n10\n\nt", "source"),
            (b"\xff\n10\n1\nt", "sequence_id"),
        ]
        bad += [(b"1\n\xd9\xa1\n1\nt", "command_code"), (b"1\n" + b"1" * 5000 + b"\n1\nt", "command_code")]
        for line, field in bad:
            error = self.assertRaises(LineError, codec.read_command_header, line)
            self.assertEqual((error.line, error.field), (line, field))
        bad = [(b"", "reply_code"), (b"x\n1\n1\nt", "reply_code"), (b"0\n1\n1", None), (b"2", None)]
        bad += [(b"1\nx\n1\nt", "sequence_id"), (b"1\n1\n\xff\nt", "source")]
        for line, field in bad:
            error = self.assertRaises(LineError, codec.read_reply_header, line)
            self.assertEqual((error.line, error.field), (line, field))

    @given(strategies.mutated_lines() | st.binary(max_size=200))
    def test_any_line(self, line: bytes) -> None:
        """Whatever decodes has a header, and whatever the line, nothing but LineError is raised."""
        pairs = (
            (codec.decode_command, codec.read_command_header),
            (codec.decode_reply, codec.read_reply_header),
        )
        for decode_line, read_header in pairs:
            try:
                read_header(line)
            except LineError as error:
                self.assertEqual(error.line, line)
                self.assertRaises(LineError, decode_line, line)
