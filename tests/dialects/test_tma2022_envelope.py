"""What a relay does with the lines of the protocol tma2022: headers, and the password."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import Meaning
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.commands import Command
from mtmount_twisted.dialects.tma2022.envelope import (
    mask_password,
    read_command_header,
    read_reply_header,
    read_telemetry_header,
    rewrite_reply,
)
from mtmount_twisted.errors import LineError
from tests.support.strategies import rows

from .strategies import commands as any_command
from .strategies import damaged, line_of
from .strategies import replies as any_reply

NAMES = {
    "sequenceId": "sequence_id",
    "commander": "commander",
    "supersedingSequenceId": "superseding_sequence_id",
    "supersedingCommander": "superseding_commander",
}


class Commands(SynchronousTestCase):
    """Headers of commands."""

    @given(any_command())
    def test_header(self, command: Command) -> None:
        """The header says what the command says, if its number fits in 64 bits."""
        line = command.encode()[:-2]
        if abs(command.sequence_id) < 2**63:
            expected = (command.sequence_id, command.command_code, command.source)
            self.assertEqual(read_command_header(line), expected)

    def test_unknown_command(self) -> None:
        """The header of a command with an unknown code is read as any other."""
        line = b" 5\n9999\n77\nyesterday\n\xc3\xb1\n\nx"
        self.assertEqual(read_command_header(line), (5, 9999, 77))

    def test_no_header(self) -> None:
        """A line without a header is a LineError that names the field at fault."""
        bad: list[tuple[bytes, str | None]] = [
            (b"", None),
            (b"5\n102\n1\n", None),
            (b"x\n102\n1\n0", "sequence_id"),
            (b"5\n1.0\n1\n0", "command_code"),
            (b"5\n102\n\n0", "source"),
            (b"9" * 30 + b"\n102\n1\n0", "sequence_id"),
            (b"\xff\n102\n1\n0", None),
        ]
        for line, field in bad:
            error = self.assertRaises(LineError, read_command_header, line)
            self.assertEqual((error.line, error.field), (line, field))


class Replies(SynchronousTestCase):
    """Headers of replies."""

    @given(any_reply())
    def test_header(self, reply: replies.Reply) -> None:
        """The header says what the reply says."""
        header = read_reply_header(reply.encode()[:-2])
        parameters = reply.fields()["parameters"]
        given_values = {name: parameters.get(name) for name in NAMES if isinstance(reply, replies.Answer)}
        if given_values:
            self.assertEqual(list(header[1:]), list(given_values.values()))
        self.assertEqual(header.id, reply.id)
        self.assertEqual(header.classification, type(reply).classification)

    def test_whatever_else_it_says(self) -> None:
        """A relay reads the header of a reply whose parameters or id nobody knows."""
        line = b'{"id":777.0,"timestamp":1,"parameters":{"sequenceId":5.0,"x":[NaN],"commander":9}}'
        header = read_reply_header(line)
        self.assertEqual(header, (777, 5, 9, None, None))
        self.assertEqual(header.classification, Meaning.EVENT)

    def test_parameters_of_another_reply(self) -> None:
        """The numbers of a superseding command are no part of another reply, and may be anything there."""
        line = b'{"id":%d,"timestamp":1,"parameters":{"sequenceId":5,"supersedingCommander":1.5}}'
        self.assertEqual(read_reply_header(line % 3), (3, 5, None, None, None))
        error = self.assertRaises(LineError, read_reply_header, line % 5)
        self.assertEqual(error.field, "supersedingCommander")

    def test_no_header(self) -> None:
        """A line without a header is a LineError that holds it, and names the member at fault."""
        start = b'{"id":1,"timestamp":1,"parameters":'
        bad: list[tuple[bytes, str | None]] = [
            (b"0\n5\n1\n2020-02-27T14:48:27.469\n0", None),
            (start + b'{"x":"\xff"}}', None),
            (start + b'{"sequenceId":"5"}}', "sequenceId"),
            (start + b'{"sequenceId":true}}', "sequenceId"),
            (start + b'{"sequenceId":%b}}' % (b"9" * 30), "sequenceId"),
            (start + b'{"commander":1.5}}', "commander"),
            (b'{"id":1,"parameters":{}}', "timestamp"),
            (b'{"id":%b,"timestamp":1,"parameters":{}}' % (b"9" * 30), "id"),
        ]
        for line, field in bad:
            error = self.assertRaises(LineError, read_reply_header, line)
            self.assertEqual((error.line, error.field), (line, field))

    def test_rewritten_vectors(self) -> None:
        """Of each vector the four numbers change, and no other byte."""
        for row in rows("tma2022/messages.jsonl"):
            if row["kind"] == "reply":
                line = line_of(row)
                expected = json.loads(line)
                known = [name for name in NAMES if name in expected["parameters"]]
                numbers = {name: 1000 + place for place, name in enumerate(NAMES)}
                expected["parameters"] |= {name: numbers[name] for name in known}
                written = rewrite_reply(line, **{NAMES[name]: number for name, number in numbers.items()})
                self.assertEqual(written, json.dumps(expected, separators=separators(line)).encode())

    @given(any_reply(), st.integers(-(2**63), 2**63 - 1))
    def test_same_numbers(self, reply: replies.Reply, number: int) -> None:
        """A reply that is given its own numbers is the same line; with another id it is another answer."""
        line = reply.encode()[:-2]
        header = read_reply_header(line)
        self.assertEqual(rewrite_reply(line, **given_of(header)), line)
        written = rewrite_reply(line, sequence_id=number)
        expected = header.sequence_id if header.sequence_id is None else number
        self.assertEqual(read_reply_header(written).sequence_id, expected)
        self.assertEqual(rewrite_reply(written, sequence_id=header.sequence_id), line)

    def test_only_the_header(self) -> None:
        """The same names elsewhere stay: in texts, in objects, beside the parameters."""
        for line in (
            b'{"id":4,"commander":8,"timestamp":1,"parameters":{"commander":8,"x":{"commander":8}}}',
            b'{"id":4,"commander":8,"timestamp":1,"parameters":{"commander":8},"commander":8}',
            b'{"id":4,"x":"parameters","commander":8,"timestamp":1,"parameters":{"commander":8}}',
            b'{"id":4,"timestamp":1,"parameters":{"x":"\\"commander\\":8","commander" : 8 , "z":[{}]}}',
            b'{"id":4,"timestamp":1,"parameters":{"a":[{"commander":8},"commander"],"c\\u006fmmander":8}}',
            b'{"id":4,"timestamp":1,"x":{"parameters":{"commander":8}},"parameters":{"commander":8}}',
            b'{"id":4,"timestamp":1,"parameters":{"commander":8.0,"explanation":"}{"}}',
        ):
            expected = json.loads(line)
            expected["parameters"]["commander"] = 21
            written = rewrite_reply(line, commander=21)
            self.assertEqual(json.loads(written), expected)
            self.assertEqual(written.count(b"21"), 1)
            self.assertEqual(len(written) - len(line), 1 - 2 * line.count(b"8.0"))

    @given(damaged(any_reply().map(lambda reply: reply.encode()[:-2])))
    @example(b'{"id":1,"timestamp":1,"parameters":{"sequenceId":null}}')
    def test_any_line(self, line: bytes) -> None:
        """Whatever the line: if it has a header, it has the new one after it was rewritten."""
        try:
            header = read_reply_header(line)
        except LineError:
            return
        written = read_reply_header(rewrite_reply(line, sequence_id=77, commander=78))
        if header.sequence_id is not None:
            self.assertEqual(written.sequence_id, 77)
        if header.commander is not None:
            self.assertEqual(written.commander, 78)
        self.assertEqual((written[0], written[3:]), (header[0], header[3:]))


def given_of(header: tma2022.envelope.ReplyHeader) -> dict[str, Any]:
    """The numbers of a header as `rewrite_reply` takes them."""
    return {name: getattr(header, name) for name in NAMES.values()}


def separators(line: bytes) -> tuple[str, str]:
    """Those of the mock controller, or of the vendor."""
    return (", ", ": ") if b": " in line[:10] else (",", ":")


class Telemetry(SynchronousTestCase):
    """Headers of telemetry lines."""

    def test_no_header(self) -> None:
        """A line that is no telemetry is a LineError that holds it."""
        for line in (
            b"",
            b"x",
            b'{"topicID":1}',
            b'{"topicID":"1","timestamp":1}',
            b'{"timestamp":1}',
            b"[1]",
        ):
            error = self.assertRaises(LineError, read_telemetry_header, line)
            self.assertEqual(error.line, line)
        for line in (
            b'{"topicID":1,"timestamp":1,"x":"\xff"}',
            b'{"topicID":%b,"timestamp":1}' % (b"9" * 30),
        ):
            self.assertRaises(LineError, read_telemetry_header, line)

    def test_whatever_else_it_says(self) -> None:
        """A relay reads the topic of a line whose quantities nobody knows."""
        line = b'{"x":[NaN,{}],"topicID":777,"timestamp":1.5}'
        self.assertEqual(read_telemetry_header(line), (777, 1.5))
        self.assertEqual(read_telemetry_header(line.replace(b"NaN", b"1")), (777, 1.5))


class Passwords(SynchronousTestCase):
    """`mask_password`."""

    def test_settings(self) -> None:
        """Each character of the password becomes a star, and all other bytes stay."""
        settings = replies.DetailedSettingsAppliedReply(
            set_name="Default",
            all_settings_match_set=True,
            bosch_system={"Address": "192.0.2.1", "User": "boschrexroth", "Password": "hunter2"},
        )
        masked = mask_password(settings.encode())
        self.assertEqual(masked, settings.encode().replace(b"hunter2", b"*******"))
        self.assertIsInstance(tma2022.decode_reply(masked[:-2]), replies.DetailedSettingsAppliedReply)

    def test_other_spellings(self) -> None:
        """However the name and the value are spelt, the secret is gone and the line is still JSON."""
        for name, value in (
            ("BoschPassword", "hunter2"),
            ("password", "hun\\u0074er2"),
            ("Pa\\u0073sword", "hunter2"),
            ("PASSWD", "hunter2"),
            ("UserPwd", "hunter2"),
            ("Pass", "hunter2"),
            ("Contrase\\u00f1a", "hunter2"),
            ("Password", 'hunter2\\"hunter2'),
        ):
            masked = mask_password(b'{"a":{"%b" : "%b", "n":1}}' % (name.encode(), value.encode()))
            [content] = json.loads(masked).values()
            length = len(json.loads(f'"{value}"'))
            self.assertEqual(list(content.values()), ["*" * length, 1])

    def test_other_types(self) -> None:
        """A number is as secret as a text, and so is all that is inside; a switch is none."""
        for value, expected in (
            (b"1234", b'"****"'),
            (b"-1.5e3", b'"******"'),
            (b'["hunter2","a"]', b'["*******","*"]'),
            (b"true", b"true"),
            (b"null", b"null"),
            (b'{"v":["x"]}', b'{"*":["*"]}'),
        ):
            self.assertEqual(
                mask_password(b'{"Password":%b,"b":"c"}' % value), b'{"Password":%b,"b":"c"}' % expected
            )

    def test_broken_off(self) -> None:
        """A line that ends in the middle of the password, and so is logged, does not hold its beginning."""
        whole = b'{"id":40,"BoschSystem":{"Password":"hun\\"ter2"}}'
        for end in range(whole.index(b"hun") + 3, len(whole) + 1):
            self.assertNotIn(b"hun", mask_password(whole[:end]))

    def test_error(self) -> None:
        """The error of a line that can't be decoded does not hold a password: it is logged."""
        secret = b'"BoschSystem":{"Password":"hunter2"}'
        for line in (
            b'{"id":40,"timestamp":1,"parameters":[{%b}]}' % secret,
            b'{"id":40,"parameters":{%b}}' % secret,
            b'{"id":40,"timestamp":1,"parameters":{%b' % secret,
            b'{"id":40,"timestamp":1,"parameters":{%b,"x":"\xff"}}' % secret,
        ):
            error = self.assertRaises(LineError, tma2022.decode_reply, line)
            self.assertNotIn(b"hunter2", error.line)
            self.assertNotIn("hunter2", str(error))

    def test_garbage_is_quick(self) -> None:
        """A long line of quotes costs no more than another: a reader waits for it."""
        for garbage in (b'"' + b'\\"' * 30000, b'"' * 60000, b"\\" * 60001, b"[" * 60000):
            self.assertEqual(mask_password(b'{"Passed":1,' + garbage), b'{"Passed":1,' + garbage)

    def test_inside_of_a_password(self) -> None:
        """A name inside of a password's value ends nothing: all of the value is masked."""
        masked = mask_password(b'{"Password":{"pwd":1,"key":"hunter2"},"b":"c"}')
        self.assertEqual(json.loads(masked)["b"], "c")
        self.assertNotIn(b"hunter2", masked)

    def test_without_quotes(self) -> None:
        """Text that is no JSON may name a password without quotes; in a text of JSON it is no name."""
        line = b"Log in: user=a, password : hunter2, port: 1"
        self.assertEqual(mask_password(line), line.replace(b"hunter2", b'"*******"'))
        line = b'{"a":"\\\\","b":"password: 1","password: 1":"hunter2"}'
        self.assertEqual(mask_password(line), line.replace(b"hunter2", b"*******"))

    def test_many(self) -> None:
        """Of a line with too many passwords nothing is kept from there on, so that it takes no long time."""
        for start, piece in (
            (b"{", b'"pwd":"hunter2",'),
            (b'{"Password":[', b'"hunter2",'),
            (b'{"Password":{', b'"a":{"b":"hunter2"},'),
            (b"", b"pwd:hunter2,"),
            (b"{", b'"pwd hunter2",'),
        ):
            line = start + piece * 3000
            masked = mask_password(line)
            self.assertEqual((len(masked), masked[-1000:]), (len(masked), b"*" * 1000))
            self.assertEqual(mask_password(masked), masked)
            if b":" in start + piece:
                self.assertNotIn(b"hunter2", masked)

    def test_escaped_letters(self) -> None:
        """A line with escaped letters and no password stays; a malformed one is masked as a whole."""
        line = b'{ "n\\u0061me" : NaN, "x":[1.0] }'
        self.assertEqual(mask_password(line), line)
        line = b'{ "p\\u0061ssword" : NaN, "x":[1.0] }'
        self.assertEqual(mask_password(line), b'{"password": "***", "x": [1.0]}')
        line = b'{"p\\u0061ssword":"hunter2'
        self.assertEqual(mask_password(line), b"*" * len(line))

    def test_others_stay(self) -> None:
        """Whatever has no password stays as it is."""
        for row in rows("tma2022/messages.jsonl") + rows("tma2022/telemetry.jsonl"):
            self.assertEqual(mask_password(row["wire"].encode()), row["wire"].encode())
        for line in (b'{"Bypass":"x","Passed":"y","pass":1', b'{"a":"password","b":"Password: x"}'):
            kept = line.replace(b'"pass":1', b'"pass":"*"')
            self.assertEqual(mask_password(line), kept)

    @given(damaged(any_reply().map(lambda reply: reply.encode()[:-2])), st.text(min_size=1))
    def test_any_line(self, line: bytes, secret: str) -> None:
        """Masking never fails, and changes nothing the second time."""
        line += b'{"password":' + json.dumps(secret).encode()
        masked = mask_password(line)
        self.assertEqual(mask_password(masked), masked)
