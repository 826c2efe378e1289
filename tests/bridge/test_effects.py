"""`mtmount_twisted.bridge.effects`: the loop that performs what the bridge decides."""

from __future__ import annotations

import ast
import inspect
import logging
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge import (
    arbiter,
    authority,
    dispatcher,
    last_values,
    lease,
    pending,
    registry,
    sent_ids,
)
from mtmount_twisted.bridge.effects import Log, SendToClient, SetTimer, Timer
from mtmount_twisted.enums import Source
from mtmount_twisted.records import CommandRecord, LineRecord
from tests.support.commanders import (
    LOG,
    MOVE,
    STATE,
    STOP,
    TRACK,
    House,
    LeavingClient,
    RecordingClient,
    command,
)

DECIDING = (arbiter, authority, dispatcher, last_values, lease, pending, registry, sent_ids)
"""The modules that decide and do not act. `core` decides, too, and calls the loop."""

ACTS = {"send", "dismiss", "publish", "callLater", "fire", "write", "warning", "info", "error", "exception"}
"""The methods by which the bridge acts on clients, the link, the bus, the clock and the log."""


class BrokenClient(RecordingClient):
    """A client whose `send` has a fault once it is connected."""

    is_connected = False

    def come(self) -> BrokenClient:
        """Connect."""
        super().come()
        self.is_connected = True
        return self

    def send(self, data: bytes) -> None:
        """Fail."""
        if self.is_connected:
            raise ZeroDivisionError(self.name)


class DecidingTests(SynchronousTestCase):
    """The modules that decide."""

    def test_they_call_nothing_outside(self) -> None:
        """They call no method that acts, and import nothing of a reactor."""
        for module in DECIDING:
            tree = ast.parse(inspect.getsource(module))
            calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
            called = {each.attr for each in calls if isinstance(each, ast.Attribute)}
            self.assertEqual(called & ACTS, set(), module)
            imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            self.assertFalse([name for name in imported if name.startswith("twisted")], module)


class PerformTests(SynchronousTestCase):
    """The order of effects, calls of the bridge from within an effect, and errors."""

    def setUp(self) -> None:
        self.house = House()
        self.csc = self.house.holder()
        self.link = self.house.link
        self.link.read()

    def test_order(self) -> None:
        """A line is sent before its own records, and after those of the line that caused it."""
        done: list[str] = []
        table = self.house.bridge.performer.table
        for kind in (LineRecord, CommandRecord, SendToClient):
            table[kind] = lambda effect, kind=kind: done.append(kind.__name__)
        self.csc.command(MOVE)
        self.link.ack(*self.link.read())
        sent = ["LineRecord", "CommandRecord", "LineRecord", "CommandRecord"]
        self.assertEqual(done, [*sent, "LineRecord", "CommandRecord", "SendToClient", "LineRecord"])

    def test_stop_goes_before_the_replies(self) -> None:
        """A stop reaches the controller before the commanders learn that it overtook their commands."""
        house = House()
        csc = house.client("csc")
        csc.ask()
        csc.command(MOVE)
        received: list[list[bytes]] = []

        def send(data: bytes) -> None:
            received.append(list(house.link.lines))

        csc.send = send  # type: ignore[method-assign]
        csc.command(STOP)
        self.assertEqual([line.split(b"\n")[1] for line in received[0]], [b"2101", b"%d" % STOP])

    def test_call_from_an_effect(self) -> None:
        """A client that is lost by what it is sent is gone for the next decision; its records come last."""
        leaver = LeavingClient(self.house.bridge, "leaver", Source.EUI).come()
        self.link.say(STATE)
        self.assertNotIn("leaver", self.house.bridge.clients)
        self.assertEqual([event[0] for event in self.house.journal.events[-2:]], ["cut_off", "disconnected"])
        self.assertEqual(leaver.read(), [STATE])

    def test_command_from_an_effect(self) -> None:
        """A subscriber may command: the bridge decides at once, and acts after what was decided before."""
        eui = self.house.client("eui", Source.EUI)
        stopped: list[int] = []

        def stop(record: CommandRecord, number: int) -> None:
            if record.step == "ack" and not stopped:
                stopped.append(record.code)
                eui.command(STOP)
                self.assertEqual((eui.in_flight, self.link.codes()), (1, []))

        self.house.bus.subscribe(stop, CommandRecord)
        self.csc.command(MOVE)
        self.link.ack(*self.link.read())
        self.assertEqual((stopped, self.link.codes()), ([MOVE], [STOP]))
        steps = [(step[2], step[1]) for step in self.house.journal.steps[-3:]]
        self.assertEqual(steps, [("csc", "ack"), ("eui", "received"), ("eui", "sent")])

    def test_lines_on_demand(self) -> None:
        """The effects of a line are performed before the next line is asked for."""
        sent: list[int] = []

        def lines() -> Iterator[bytes]:
            for number, code in enumerate((MOVE, TRACK)):
                yield command(number, code, 1)
                sent.extend(self.link.codes())

        self.house.bridge.all_commanded(self.csc, lines())
        self.assertEqual(sent, [MOVE, TRACK])

    def test_a_client_that_fails(self) -> None:
        """A client whose `send` fails is cut off and logged once; the others receive each line."""
        for may_command in (True, False):
            broken = BrokenClient(self.house.bridge, f"broken {may_command}", Source.EUI, may_command).come()
            later = self.house.client(f"later {may_command}", Source.EUI, may_command=may_command)
            self.csc.read()
            later.read()
            with self.assertLogs(LOG, logging.ERROR) as logged:
                self.link.say(STATE)
                self.link.say(STATE)
            self.assertEqual((self.csc.read(), later.read()), ([STATE] * 2, [STATE] * 2))
            (line,) = logged.output
            self.assertIn(f"broken {may_command}: cut off: ", line)
            self.assertIn("ZeroDivisionError", line)
            self.assertEqual(len(broken.dismissals), 1)
            self.assertNotIn(broken.name, self.house.bridge.clients)
        self.assertEqual(self.house.bridge.counts["cut_off"], 2)

    def test_a_reply_to_a_client_that_fails(self) -> None:
        """A reply to a client whose `send` fails reaches observers, and a later command goes on."""
        broken = BrokenClient(self.house.bridge, "broken", Source.EUI).come()
        observer = self.house.client("observer", Source.EUI, may_command=False)
        with self.assertLogs(LOG, logging.ERROR):
            broken.command(MOVE)
        self.assertEqual(observer.explanations(), ["refused: csc has command"])
        self.csc.command(TRACK)
        self.assertEqual(self.link.codes(), [TRACK])

    def test_an_error(self) -> None:
        """An error in one effect is logged, the other effects are performed, and nothing is stuck."""

        def fail(effect: object) -> None:
            raise ZeroDivisionError

        table = self.house.bridge.performer.table
        publish, table[LineRecord] = table[LineRecord], fail
        with self.assertLogs(LOG, logging.ERROR) as logged:
            self.link.say(STATE)
        self.assertIn("LineRecord", logged.output[0])
        self.assertIn("ZeroDivisionError", logged.output[0])
        self.assertEqual(self.csc.read()[-1], STATE)
        table[LineRecord] = publish
        self.csc.command(TRACK)
        self.assertEqual(self.link.codes(), [TRACK])

    def test_a_lost_link(self) -> None:
        """A command that was decided for a connection is not sent on the next one."""
        lines: list[bytes] = []

        def lose(record: CommandRecord, number: int) -> None:
            if record.step == "received" and not lines:
                lines.append(b"")
                self.house.bridge.link_down("gone")
                self.house.connect()

        self.house.bus.subscribe(lose, CommandRecord)
        self.csc.command(MOVE)
        self.assertEqual(self.house.link.codes(), [2101])  # the ask for the holder
        self.assertEqual(self.csc.explanations(), ["outcome unknown: the link to the controller was lost"])
        self.house.link.finish_all()
        self.csc.command(TRACK)
        self.assertEqual(self.house.link.codes(), [TRACK])

    def test_room(self) -> None:
        """The link is sent no more commands than it has room for, however many one decision begins."""
        house = House()
        csc = house.client("csc")
        csc.ask()
        for code in (MOVE, 104, TRACK):
            csc.command(code)
        (asked,) = house.link.read()
        house.link.room = 2
        house.link.finish(asked)
        self.assertEqual(house.link.codes(), [MOVE, 104])
        house.link.give_room(2)
        self.assertEqual(house.link.codes(), [TRACK])

    def test_more_room_than_it_told(self) -> None:
        """What waits is handed over as soon as a sending shows that the link still has room."""
        house = House()
        csc = house.client("csc")
        csc.ask()
        for code in (MOVE, 104, TRACK):
            csc.command(code)
        (asked,) = house.link.read()
        sent: list[bytes] = []

        def send(data: bytes) -> None:
            sent.append(data)  # and the room stays

        house.link.room = 1
        house.link.send = send  # type: ignore[method-assign]
        house.link.finish(asked)
        self.assertEqual([int(line.split(b"\n")[1]) for line in sent], [MOVE, 104, TRACK])

    def test_timers_and_logs_are_effects(self) -> None:
        """A decision sets timers and logs only by effects, which a program may watch."""
        seen: list[object] = []
        table = self.house.bridge.performer.table
        for kind in (SetTimer, Log):
            table[kind] = seen.append
        with self.assertNoLogs(LOG, logging.DEBUG):
            self.csc.go()
        (log, timer) = seen
        self.assertIsInstance(log, Log)
        self.assertEqual(timer, SetTimer(Timer.GRACE, 5.0))
        self.assertFalse([call for call in self.house.clock.getDelayedCalls() if call.getTime() > 1])
