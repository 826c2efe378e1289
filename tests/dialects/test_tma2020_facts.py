"""The facts about the mount's state in the events of tma2020, and what else the web reads of `DIALECT`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.dialects.facts import AlarmFact, AxisFact, MountFact
from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.errors import LineError

STAMP = b"2020-02-27T14:48:27.469"
DIALECT = dialect_named("tma2020")


class FactsTests(SynchronousTestCase):
    """`Dialect.facts_of`."""

    def test_axis_in_position(self) -> None:
        """An in-position event reports an axis, by its number where that has no name."""
        self.assertEqual(DIALECT.facts_of(b"6\n%b\n1\n1" % STAMP), (AxisFact("elevation", True),))
        self.assertEqual(DIALECT.facts_of(b"6\n%b\n7\n0" % STAMP), (AxisFact("axis 7", False),))

    def test_state_of_mount(self) -> None:
        """A state event reports the mount's state in its own words."""
        self.assertEqual(DIALECT.facts_of(b"5\n%b\nEnabled" % STAMP), (MountFact("Enabled"),))

    def test_warning(self) -> None:
        """A warning names its subsystem, and its further texts are joined."""
        [fact] = DIALECT.facts_of(b"4\n1\n905\n900. Cover/X\n%b\ntoo\nwarm" % STAMP)
        wanted = AlarmFact("warning", 905, "MIRROR_COVERS", "900. Cover/X", "too; warm", active=True)
        self.assertEqual(fact, wanted)

    def test_latched_error(self) -> None:
        """An error whose condition is over may still be latched; an unknown subsystem has no name."""
        [fact] = DIALECT.facts_of(b"3\n1\n0\n101\nsomewhere\n%b" % STAMP)
        self.assertEqual(fact, AlarmFact("error", 101, None, "somewhere", "", active=False, latched=True))

    def test_reply_to_command(self) -> None:
        """A reply to a command says nothing about the mount's state."""
        self.assertEqual(DIALECT.facts_of(b"2\n7\n1\n%b" % STAMP), ())

    def test_malformed_event(self) -> None:
        """A malformed event raises an error with its line."""
        with self.assertRaises(LineError):
            DIALECT.facts_of(b"5\nno time\nEnabled")


class DialectTests(SynchronousTestCase):
    """The members of `Dialect` that only the page uses."""

    def test_parameters_follow_header(self) -> None:
        """The parameters of a command are its fields without the header's."""
        command = DIALECT.commands[103]
        names = [info.name for info in DIALECT.parameters_of(command)]
        self.assertEqual(names, [info.name for info in command.field_infos][4:])
        self.assertIn("position", names)

    def test_names_in_order_of_codes(self) -> None:
        """Each class has a named code, and the names stand in the order of their codes."""
        for names, classes in (
            (DIALECT.command_names, DIALECT.commands),
            (DIALECT.reply_names, DIALECT.replies),
        ):
            self.assertEqual([*names], sorted(names))
            self.assertEqual({int(code) for code in classes} - set(names), set())
        self.assertEqual(DIALECT.command_names[DIALECT.example], "AZIMUTH_AXIS_MOVE")

    def test_ask_of_a_sender(self) -> None:
        """An ask has the sequence id and the source of its sender; without these, its own."""
        ask = DIALECT.ask(Commander.EUI, 7, Source.EUI)
        self.assertEqual((ask.sequence_id, ask.source), (7, Source.EUI))
        self.assertEqual(DIALECT.read_wanted(ask.encode().removesuffix(DIALECT.terminator)), Commander.EUI)
        first, second = DIALECT.ask(Commander.NONE), DIALECT.ask(Commander.NONE)
        self.assertEqual((second.sequence_id - first.sequence_id, first.source), (1, Source.CSC))
