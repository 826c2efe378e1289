"""`mtmount_twisted.bridge.pending`: the table of the commands in flight."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.pending import PendingCommand, PendingCommands, PendingState
from mtmount_twisted.dialects.tma2020.envelope import read_command
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID
from tests.support.commanders import MOVE, STOP, command


def add(table: PendingCommands, code: int = MOVE, deadline: float = 1.0) -> PendingCommand:
    """Take a command in."""
    taken = PendingCommand(cast(Any, None), 0, read_command(command(1, code, 1)), 0, 0.0, 0, deadline, None)
    table.add(taken)
    return taken


class PendingTests(SynchronousTestCase):
    """Keys, order and ends."""

    def test_keys_wrap(self) -> None:
        """Keys count up to 2147483647 and go on at 1."""
        table = PendingCommands(MAX_SEQUENCE_ID - 1)
        self.assertEqual([add(table).key for _ in range(3)], [MAX_SEQUENCE_ID - 1, MAX_SEQUENCE_ID, 1])

    def test_keys_in_flight_are_skipped(self) -> None:
        """At the wrap a key in flight is not given out, one that ended is."""
        table = PendingCommands(1, last=5)
        first, second, third, fourth = (add(table) for _ in range(4))
        table.end(second)
        table.end(fourth)
        self.assertEqual([add(table).key for _ in range(3)], [5, second.key, fourth.key])
        self.assertIs(table.get(first.key), first)
        self.assertIs(table.get(third.key), third)

    def test_order(self) -> None:
        """Stops are written first; each is written once."""
        table = PendingCommands(1)
        move, stop, track = add(table, MOVE), add(table, STOP), add(table, 31)
        self.assertEqual(table.waiting(), [stop, move, track])
        self.assertEqual([table.write_next() for _ in range(3)], [stop, move, track])
        self.assertFalse(table.are_waiting)
        self.assertEqual({each.state for each in (stop, move, track)}, {PendingState.SENT})
        self.assertEqual((table.waiting(), len(table)), ([], 3))

    def test_ends_once(self) -> None:
        """A command ends once, and one that waited is not written after it."""
        table = PendingCommands(1)
        for code in (MOVE, STOP):
            command = add(table, code)
            self.assertTrue(table.end(command))
            self.assertFalse(table.end(command))
        self.assertFalse(table.are_waiting)
        self.assertEqual(list(table), [])

    def test_states(self) -> None:
        """A command waits, is sent, is acknowledged and ends; it may end from each of these states."""
        ways = ((), (PendingState.SENT,), (PendingState.SENT, PendingState.ACKED))
        for way in ways:
            table = PendingCommands(1)
            command = add(table)
            for state in way:
                if state is PendingState.SENT:
                    table.write_next()
                else:
                    command.become(state)
            sent = PendingState.SENT in way
            self.assertEqual((command.is_sent, command.is_acked), (sent, PendingState.ACKED in way))
            self.assertTrue(table.end(command))
            self.assertEqual(
                (command.state, command.is_sent, command.is_acked), (PendingState.ENDED, False, False)
            )

    def test_states_that_cannot_follow(self) -> None:
        """A command is not acknowledged before it is sent, nor sent twice, nor changed after its end."""
        table = PendingCommands(1)
        command = add(table)
        self.assertRaises(RuntimeError, command.become, PendingState.ACKED)
        table.write_next()
        for state in (PendingState.WAITING, PendingState.SENT):
            self.assertRaises(RuntimeError, command.become, state)
        table.end(command)
        for state in PendingState:
            self.assertRaises(RuntimeError, command.become, state)

    def test_due(self) -> None:
        """Those are due whose deadline has come."""
        table = PendingCommands(1)
        commands = [add(table, deadline=seconds) for seconds in (1.0, 2.0, 3.0)]
        self.assertEqual(table.due(2.0), commands[:2])

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 30))))
    def test_nothing_is_left(self, steps: list[tuple[bool, int]]) -> None:
        """However commands come, are written and end, no key is used twice at a time and none is left."""
        table = PendingCommands(first=37, last=40)
        commands: list[PendingCommand] = []
        for comes, number in steps:
            if comes and len(commands) < 40:
                commands.append(add(table, STOP if number % 2 else MOVE))
                self.assertEqual(len({command.key for command in commands}), len(commands))
            elif number % 3 == 0:
                if table.are_waiting:
                    table.write_next()
            elif commands:
                table.end(commands.pop(number % len(commands)))
        for each in commands:
            table.end(each)
        self.assertEqual((len(table), table.waiting(), table.are_waiting), (0, [], False))
