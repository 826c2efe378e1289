"""The contract of `Dialect`, which the value of each generation fulfils."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import (
    Dialect,
    DialectName,
    Meaning,
    Topology,
    dialect_named,
    other_dialect_of,
)
from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.messages import CommandMessage

DATA = Path(__file__).resolve().parent.parent / "data"


class Contract:
    """What holds in each dialect."""

    name: DialectName
    topology: Topology
    vectors: str
    covered: tuple[tuple[str, str], ...]
    """Each stop that the bridge does not send for a lost holder, and the one sent that stops its part too."""
    assertEqual: Any
    assertIs: Any
    assertIn: Any
    assertTrue: Any
    assertFalse: Any
    assertRaises: Any
    assertGreater: Any
    assertIsInstance: Any
    assertIsNone: Any
    assertIsNotNone: Any

    def setUp(self) -> None:
        self.dialect: Dialect = dialect_named(self.name)

    def line_of(self, message: Any) -> bytes:
        """The line of a message, without its terminator."""
        data: bytes = message.encode()
        self.assertTrue(data.endswith(self.dialect.terminator))
        return data.removesuffix(self.dialect.terminator)

    def test_value(self) -> None:
        """There is one value of each name, and it says how the ends are connected."""
        self.assertIs(dialect_named(self.name), self.dialect)
        self.assertEqual((self.dialect.name, self.dialect.topology), (self.name, self.topology))

    def test_commands(self) -> None:
        """The facts about a command by its code are those that its class declares."""
        dialect = self.dialect
        short_names = set()
        self.assertEqual(list(dialect.commands), sorted(dialect.commands))
        for code, cls in dialect.commands.items():
            kind = dialect.kind_of(int(code))
            self.assertEqual(
                (kind.code, kind.name, kind.is_stop, kind.ack_only, kind.needs_command, kind.is_known),
                (int(code), cls.__name__, cls.is_stop, cls.ack_only, cls.needs_command, True),
            )
            self.assertEqual(dialect.command_names[int(code)], kind.code_name)
            short_names.add(dialect.short_name(cls))
        self.assertEqual(len(short_names), len(dialect.commands))
        self.assertIn(dialect.example, dialect.commands)
        unknown = dialect.kind_of(987654)
        self.assertEqual((unknown.is_known, unknown.is_stop, unknown.name), (False, False, "code 987654"))

    def test_passed_on(self) -> None:
        """A command that is passed on differs in its id and its source alone."""
        sent: CommandMessage = self.dialect.ask(Commander.EUI, 5, Source.HHD)
        header = self.dialect.read_command(self.line_of(sent))
        self.assertEqual((header.sequence_id, header.source, header.kind.is_ask), (5, Source.HHD, True))
        passed_on = self.dialect.decode_command(header.rewritten(77, Source.CSC))
        self.assertEqual((passed_on.sequence_id, passed_on.source), (77, Source.CSC))
        self.assertEqual(passed_on.str_fields()[3:], sent.str_fields()[3:])
        self.assertIs(self.dialect.read_wanted(header.rewritten(77, 1)), Commander.EUI)

    def test_own_commands(self) -> None:
        """An ask and stops have an id and a time of their own; the stops stop."""
        for command in (self.dialect.ask(Commander.CSC), *self.dialect.stops()):
            self.assertGreater(command.sequence_id, 0)
            self.assertIs(self.dialect.completed(command), command)
        kinds = [self.dialect.kind_of(int(stop.command_code)) for stop in self.dialect.stops()]
        self.assertTrue(kinds and all(kind.is_stop for kind in kinds))

    def test_every_part_is_stopped(self) -> None:
        """Each stop is among those for a lost holder, or one of these stops its part."""
        sent = {type(stop).__name__ for stop in self.dialect.stops()}
        declared = {cls.__name__ for cls in self.dialect.commands.values() if cls.is_stop}
        covered = dict(self.covered)
        self.assertEqual(declared - sent, set(covered), "add it to `_stops` of the dialect, or to `covered`")
        self.assertEqual(set(covered.values()) - sent, set())

    def test_heartbeat(self) -> None:
        """The holder's sign of life is the one command that is known as such; not every protocol has one."""
        beats = [code for code in self.dialect.commands if self.dialect.kind_of(int(code)).is_heartbeat]
        if self.dialect.heartbeat is None:
            self.assertEqual(beats, [])
        else:
            beat = self.dialect.heartbeat(Source.HHD)
            self.assertEqual([beat.command_code], beats)
            self.assertEqual((beat.sequence_id, int(beat.source)), (0, Source.HHD))

    def test_own_answers(self) -> None:
        """The bridge's own answers are read as such, with the numbers of their receiver."""
        dialect = self.dialect
        for answer, meaning, explanation in (
            (dialect.acknowledged(1.5), Meaning.ACKNOWLEDGED, ""),
            (dialect.succeeded(), Meaning.SUCCEEDED, ""),
            (dialect.refused("no: #7"), Meaning.REJECTED, "no: #7"),
        ):
            read: Any = dialect.read_reply(answer.rewritten(7, Source.EUI))
            self.assertEqual((read.meaning, read.sequence_id, read.explanation), (meaning, 7, explanation))
            self.assertEqual(read.superseding_id, 0)
            header = dialect.read_header(answer.rewritten(7, Source.EUI), False)
            self.assertEqual((header.sequence_id, header.code), (7, read.code))
            self.assertEqual(header.kind, dialect.reply_names[read.code])
            self.assertIs(read.superseded_by(1, 1).meaning, meaning)
        read = dialect.read_reply(dialect.acknowledged(1.5).rewritten(7, 2))
        self.assertEqual(read.timeout, 1.5)
        self.assertRaises(ValueError, dialect.refused, "\ud800")

    def test_explained(self) -> None:
        """An explanation is replaced in what its reader reads."""
        refused = self.dialect.refused("id 5").explained(lambda text: text.replace(b"5", b"#7"))
        read: Any = self.dialect.read_reply(refused.rewritten(7, 2))
        self.assertEqual((refused.explanation, read.explanation), ("id #7", "id #7"))

    def test_new_command(self) -> None:
        """A command is made from the values that a commander chose, its source and its id; it is complete."""
        cls = self.dialect.commands[self.dialect.example]
        values = {info.name: 1.5 for info in self.dialect.parameters_of(cls) if info.required}
        command = self.dialect.new_command(cls, values, Source.HHD, 7)
        self.assertEqual((command.sequence_id, int(command.source)), (7, Source.HHD))
        self.assertEqual([getattr(command, name) for name in values], [1.5] * len(values))
        self.assertIs(self.dialect.completed(command), command)

    def test_fields(self) -> None:
        """Of a message, the fields are those that its class describes, without the code."""
        dialect = self.dialect
        ask = dialect.ask(Commander.HHD, 7)
        fields = dialect.fields_of(ask)
        self.assertEqual((fields["sequence_id"], int(fields["commander"])), (7, Commander.HHD))
        self.assertFalse(set(fields.values()) & set(dialect.commands))
        code = dialect.refused("no").code
        refusal = dialect.decode_reply(dialect.refused("no").rewritten(7, Source.HHD))
        names = [field.name for field in dialect.reply_fields(dialect.replies[code])]
        self.assertEqual(sorted(dialect.fields_of(refusal)), sorted(names))
        self.assertEqual(dialect.fields_of(refusal)["explanation"], "no")

    def test_deadlines(self) -> None:
        """Each command has a time to its Ack."""
        for code in self.dialect.commands:
            self.assertGreater(self.dialect.deadlines.ack_of(int(code)), 0)
        self.assertEqual(self.dialect.deadlines.ack_of(987654), self.dialect.deadlines.ack)

    def test_not_a_line(self) -> None:
        """What is no line of the protocol is a LineError everywhere, and can't be refused."""
        dialect, line = self.dialect, b"\xff\xfe"
        for read in (
            dialect.read_command,
            dialect.read_wanted,
            dialect.read_reply,
            dialect.decode_command,
            dialect.facts_of,
        ):
            self.assertRaises(LineError, read, line)
        for is_command in (False, True):
            self.assertRaises(LineError, dialect.read_header, line, is_command)
        self.assertIsNone(dialect.read_to_refuse(line))

    def test_own_replies(self) -> None:
        """A reply is known from its first byte, and is taken for that of no other dialect."""
        dialect = self.dialect
        answers = (dialect.acknowledged(5), dialect.succeeded(), dialect.refused("no"))
        lines = [answer.rewritten(7, 2) for answer in answers]
        vectors = [json.loads(row) for row in (DATA / self.vectors).read_text().splitlines()]
        lines += [
            row["wire"].removesuffix("\r\n").encode()
            for row in vectors
            if row.get("kind") == "reply" or row["message"].endswith("Reply")
        ]
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertIn(line[:1], dialect.reply_starts)
            self.assertTrue(dialect.is_reply(line))
            self.assertIsNone(other_dialect_of(line, dialect))
            for name in get_args(DialectName):
                if name != self.name:
                    self.assertIs(other_dialect_of(line, dialect_named(name)), dialect)
        for junk in (b"", b"junk", b"{", b"{}", b"[]", b"12", b"5 junk", b"\xff\xfe"):
            self.assertFalse(dialect.is_reply(junk))

    def test_to_show(self) -> None:
        """A line for display is the message that it is."""
        ask = self.dialect.ask(Commander.CSC)
        self.assertEqual(self.dialect.decode_to_show(self.line_of(ask), True), ask)
        header = self.dialect.read_header(self.line_of(ask), True)
        self.assertEqual((header.code, header.sequence_id), (int(ask.command_code), ask.sequence_id))
        line = self.dialect.refused("no").rewritten(7, 2)
        self.assertEqual(self.dialect.decode_to_show(line, False), self.dialect.decode_reply(line))


class Tma2020(Contract, SynchronousTestCase):
    """The protocol tma2020."""

    name = "tma2020"
    topology = Topology.PAIR
    vectors = "messages.jsonl"
    covered = (("AzimuthAxisStop", "BothAxesStop"), ("ElevationAxisStop", "BothAxesStop"))


class Tma2022(Contract, SynchronousTestCase):
    """The protocol tma2022."""

    name = "tma2022"
    topology = Topology.DUPLEX
    vectors = "tma2022/messages.jsonl"
    covered = (("AzimuthStop", "BothAxesStop"), ("ElevationStop", "BothAxesStop"))

    def test_times(self) -> None:
        """The times to an Ack are those of the observatory's own client; track commands have the shortest."""
        times = self.dialect.deadlines
        self.assertEqual([times.ack_of(code) for code in (103, 37, 2502)], [10, 60, 70])
        self.assertEqual([times.ack_of(code) for code in (35, 105, 305, 405, 1004)], [1] * 5)
        self.assertEqual((times.done_margin, times.unknown_timeout), (5, 300))

    def test_long_line_to_show(self) -> None:
        """Of the settings, 38 kB, there is the id: showing a line costs the same, however long it is."""
        line = b'{"id":40,"timestamp":1.5,"parameters":{"setName":"%b"}}' % (b"x" * 38_000)
        shown = self.dialect.decode_to_show(line, False)
        self.assertEqual((shown.id, shown.problem), (40, f"not decoded: {len(line)} bytes"))
        self.assertEqual(self.dialect.facts_of(line), ())
        self.assertRaises(LineError, self.dialect.decode_to_show, b"1\n103\n1\n" + b"x" * 38_000, True)

    def test_password_to_show(self) -> None:
        """A password is not shown either."""
        line = b'{"id":999,"timestamp":1.5,"parameters":{"Password":"hunter2"}}'
        self.assertEqual(self.dialect.decode_to_show(line, False).parameters, {"Password": "*******"})
