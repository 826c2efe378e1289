"""`mtmount_twisted.simulator.faults`: what goes wrong with what the simulator says, and how it is told to."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import commands as c
from mtmount_twisted.app.simulator import Options
from mtmount_twisted.dialects.tma2020.codec import decode_reply
from mtmount_twisted.enums import CommandCode, Commander, Source
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply, OnStateInfoReply, Reply
from mtmount_twisted.simulator.faults import (
    ALWAYS,
    CATALOGUED,
    GARBAGE,
    KINDS,
    MAX_FLOOD,
    TROUBLES,
    Alarm,
    Close,
    Fault,
    Faults,
    Piece,
    parse_fault,
)
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.testing import FarEnd, MemoryReactor
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH
from tests.support import strategies  # noqa: F401  # for the profile

LOG = logging.getLogger("mtmount_twisted.tests.simulator_faults")
LOG.propagate = False
LOG.addHandler(logging.NullHandler())

STAMP = datetime(2020, 2, 27, 14, 48, 27, tzinfo=UTC)
QUIET_STATE = OnStateInfoReply(description="Quiet")


def header(command: c.Command) -> Any:
    """What every answer to a command begins with."""
    return {"sequence_id": command.sequence_id, "source": command.source, "timestamp": STAMP}


def ack(command: c.Command) -> AckReply:
    return AckReply(**header(command), timeout_ms=5000)


def done(command: c.Command) -> DoneReply:
    return DoneReply(**header(command))


def no_ack(command: c.Command) -> NoAckReply:
    return NoAckReply(**header(command), explanation="no")


def plain(*replies: Reply) -> list[Piece]:
    """What goes out when nothing is wrong."""
    return [Piece(0.0, reply.encode()) for reply in replies]


class FaultCase(SynchronousTestCase):
    """Faults that are told of a command and its replies."""

    def said(self, faults: Faults, *replies: Reply) -> list[Piece]:
        """All that goes out for these replies."""
        return [piece for reply in replies for piece in faults.pieces_of(reply)]

    def outcome(self, *faults: Fault, command: c.Command | None = None) -> list[Piece]:
        """What goes out for a command that is acknowledged and done."""
        self.command = c.AzimuthAxisMove(position=1) if command is None else command
        self.ack, self.done = ack(self.command), done(self.command)
        self.faults = Faults(faults)
        self.faults.commanded(self.command)
        return self.said(self.faults, self.ack, self.done)


class KindTests(FaultCase):
    """What each kind makes of the replies to one command."""

    def test_none(self) -> None:
        """With no fault replies go out as they are."""
        self.assertEqual(self.outcome(), plain(self.ack, self.done))
        self.assertTrue(self.faults.are_none)

    def test_late(self) -> None:
        """Late by so many seconds; with one reply named, only that one."""
        pieces = self.outcome(Fault("late", seconds=2))
        self.assertEqual([piece.delay for piece in pieces], [2, 2])
        pieces = self.outcome(Fault("late", seconds=2, reply="ack"))
        self.assertEqual([piece.delay for piece in pieces], [2, 0])
        self.assertEqual([piece.data for piece in pieces], [self.ack.encode(), self.done.encode()])
        self.assertEqual(self.faults.injected, {"late": 1})

    def test_repeated(self) -> None:
        """So many times more."""
        self.assertEqual(
            self.outcome(Fault("repeated", reply="done", times=2)),
            plain(*(self.ack, self.done, self.done, self.done)),
        )

    def test_missing(self) -> None:
        """Neither said; or an Ack with no Done, or a Done with no Ack."""
        self.assertEqual(self.outcome(Fault("missing")), [])
        self.assertEqual(self.outcome(Fault("missing", reply="done")), plain(self.ack))
        self.assertEqual(self.outcome(Fault("missing", reply="ack")), plain(self.done))

    def test_missing_noack(self) -> None:
        """A refusal can be missing, too, and what is not a refusal is not."""
        command, faults = c.Enable(), Faults([Fault("missing", reply="noack")])
        faults.commanded(command)
        self.assertEqual(faults.pieces_of(no_ack(command)), [])
        self.assertEqual(self.outcome(Fault("missing", reply="noack")), plain(self.ack, self.done))

    def test_wrong_id(self) -> None:
        """Only the id differs, and by how much can be said."""
        pieces = self.outcome(Fault("wrong_id", reply="done", offset=-7))
        reply = decode_reply(pieces[1].data.removesuffix(b"\r\n"))
        self.assertEqual(reply.sequence_id, self.command.sequence_id - 7)  # type: ignore[attr-defined]
        self.assertEqual(pieces[0], plain(self.ack)[0])

    def test_done_first(self) -> None:
        """Done comes before Ack; where there is no Done, the Ack is left alone."""
        self.assertEqual(self.outcome(Fault("done_first")), plain(self.done, self.ack))
        track = c.AzimuthAxisTrack(position=0, velocity=0, tai=0)
        faults = Faults([Fault("done_first")])
        faults.commanded(track)
        self.assertEqual(faults.pieces_of(ack(track)), plain(ack(track)))
        self.assertTrue(faults.are_none)

    def test_swapped(self) -> None:
        """The replies to two commands change places, and so do the next two."""
        faults = Faults([Fault("swapped")])
        commands = [c.Enable() for _ in range(4)]
        for command in commands:
            faults.commanded(command)
        acks = [ack(command) for command in commands]
        order = [acks[index] for index in (1, 0, 3, 2)]
        self.assertEqual(self.said(faults, *acks), plain(*order))

    def test_alarm(self) -> None:
        """The alarm is due so long after the Ack, if the command is not done then."""
        for kind in ("alarm", "warning"):
            command, faults = c.AzimuthAxisMove(position=1), Faults([Fault(kind, seconds=3)])
            faults.commanded(command)
            acked, piece = faults.pieces_of(ack(command))
            self.assertEqual(acked, plain(ack(command))[0])
            assert isinstance(piece.then, Alarm)
            self.assertEqual((piece.delay, piece.then.is_warning), (3, kind == "warning"))
            self.assertTrue(faults.is_due(piece.then))
            faults.pieces_of(done(command))
            self.assertFalse(faults.is_due(piece.then))
            self.assertEqual(faults.injected, {kind: 1})

    def test_no_alarm_for_a_refusal(self) -> None:
        """A command that is refused has no middle."""
        command, faults = c.Enable(), Faults([Fault("alarm")])
        faults.commanded(command)
        self.assertEqual(faults.pieces_of(no_ack(command)), plain(no_ack(command)))

    def test_garbage(self) -> None:
        """A line that is no reply comes before the reply."""
        self.assertEqual(
            self.outcome(Fault("garbage", reply="ack")), [Piece(0.0, GARBAGE), *plain(self.ack, self.done)]
        )
        with self.assertRaises(ValueError):
            decode_reply(GARBAGE.removesuffix(b"\r\n"))
        with self.assertRaises(UnicodeDecodeError):
            GARBAGE.decode()

    def test_cut(self) -> None:
        """Half a line, and then the connection closes."""
        _, piece = self.outcome(Fault("cut", reply="done"))
        self.assertEqual(piece.then, Close())
        self.assertTrue(self.done.encode().startswith(piece.data))
        self.assertLess(len(piece.data), len(self.done.encode()) - 2)

    def test_cut_leaves_an_alarm(self) -> None:
        """What is due later and is no line can't be cut."""
        pieces = self.outcome(Fault("alarm", seconds=3), Fault("cut"))
        self.assertEqual([type(piece.then) for piece in pieces], [Close, Alarm, Close])

    def test_long(self) -> None:
        """A whole event of just that many bytes; by default one more than may be."""
        for options, size in (({}, MAX_LINE_LENGTH + 1), ({"size": MAX_LINE_LENGTH}, MAX_LINE_LENGTH)):
            piece, *_ = self.outcome(Fault("long", reply="ack", **options))
            line = piece.data.removesuffix(b"\r\n")
            self.assertEqual(len(line), size)
            self.assertIsInstance(decode_reply(line), OnStateInfoReply)

    def test_flood(self) -> None:
        """So many numbered events a second for so long, once for each command, whatever the rate is."""
        for rate, seconds in ((1000, 2), (20, 1), (1, 3), (333.3, 0.5)):
            first, *pieces, last = self.outcome(Fault("flood", rate=rate, seconds=seconds))
            self.assertEqual([first, last], plain(self.ack, self.done))
            lines = [line for piece in pieces for line in piece.data.split(b"\r\n")[:-1]]
            replies: list[Any] = [decode_reply(line) for line in lines]
            self.assertEqual(
                [reply.description for reply in replies],
                [f"Flood {number}" for number in range(int(rate * seconds))],
            )
            for piece in pieces:
                self.assertLess(piece.delay, seconds)
            delays = [piece.delay for piece in pieces]
            self.assertEqual(delays, sorted(delays))

    def test_several(self) -> None:
        """Faults are applied in the order in which they were put in force."""
        pieces = self.outcome(
            *(Fault(kind, reply="done") for kind in ("garbage", "wrong_id", "repeated", "late"))
        )
        self.assertEqual([piece.delay for piece in pieces], [0, 1, 1, 1, 1])
        self.assertEqual(pieces[1].data, GARBAGE)

    def test_silence(self) -> None:
        """Nothing is said any more, events included, until that is over."""
        self.assertEqual(self.outcome(Fault("silence")), [])
        self.assertEqual(self.faults.pieces_of(QUIET_STATE), [])
        self.faults.clear()
        self.assertEqual(self.faults.pieces_of(QUIET_STATE), plain(QUIET_STATE))

    def test_events_pass(self) -> None:
        """But for silence, events are left alone."""
        faults = Faults([Fault(kind) for kind in KINDS.keys() - TROUBLES if kind != "silence"])
        self.assertEqual(faults.pieces_of(QUIET_STATE), plain(QUIET_STATE))


class WhichTests(FaultCase):
    """With which commands it goes wrong."""

    def missing(self, faults: Faults, *commands: c.Command) -> list[bool]:
        """Of which commands the Ack is missing; each is done."""
        found = []
        for command in commands:
            faults.commanded(command)
            found.append(not faults.pieces_of(ack(command)))
            faults.pieces_of(done(command))
        return found

    def test_count(self) -> None:
        """With the next so many commands only."""
        faults = Faults([Fault("missing", count=2)])
        self.assertEqual(self.missing(faults, *(c.Enable() for _ in range(4))), [True, True, False, False])
        self.assertEqual(faults.in_force, ())

    def test_code(self) -> None:
        """With commands of one code only; others don't count."""
        faults = Faults([Fault("missing", code=CommandCode.DISABLE, count=1)])
        commands = c.Enable(), c.Disable(), c.Disable()
        self.assertEqual(self.missing(faults, *commands), [False, True, False])

    def test_probability(self) -> None:
        """By chance, which a seed makes the same each time."""
        commands = [c.Enable() for _ in range(200)]
        runs = [
            self.missing(Faults([Fault("missing", probability=0.25)], seed=seed), *commands)
            for seed in (1, 1, 2)
        ]
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])
        self.assertTrue(25 < sum(runs[0]) < 75)

    def test_sources_are_told_apart(self) -> None:
        """Commands with one id from two sources are two commands."""
        faults = Faults([Fault("missing", count=1)])
        first, second = (c.Enable(sequence_id=5, source=source) for source in (Source.CSC, Source.EUI))
        faults.commanded(first)
        faults.commanded(second)
        self.assertEqual(faults.pieces_of(ack(second)), plain(ack(second)))
        self.assertEqual(faults.pieces_of(ack(first)), [])

    def test_silence_from_a_command_on(self) -> None:
        """Silence with a condition begins with the first command that it is for."""
        faults = Faults([Fault("silence", code=CommandCode.DISABLE)])
        self.assertEqual(self.missing(faults, c.Enable(), c.Disable(), c.Enable()), [False, True, True])
        self.assertEqual(faults.injected, {"silence": 1})

    def test_nothing_is_left(self) -> None:
        """When commands are done nothing is kept of them."""
        faults = Faults([Fault("late", count=1), Fault("done_first", count=1)])
        self.missing(faults, c.Enable())
        self.assertTrue(faults.are_none)

    def test_cleared(self) -> None:
        """After `clear` what is in flight is left alone, too."""
        faults = Faults([Fault("missing")])
        command = c.Enable()
        faults.commanded(command)
        faults.clear()
        self.assertEqual(faults.pieces_of(ack(command)), plain(ack(command)))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "reply": st.sampled_from(["any", "ack", "done", "noack"]),
    "code": st.sampled_from([None, CommandCode.ENABLE, CommandCode.DISABLE]),
    "count": st.none() | st.integers(1, 3),
    "probability": st.sampled_from([0.5, 1.0]),
    "seconds": st.floats(0, 2),
    "times": st.integers(1, 3),
    "offset": st.integers(-5, 5).filter(bool),
    "size": st.integers(60, 200),
    "rate": st.floats(1, 200),
}


@st.composite
def any_fault(draw: st.DrawFn) -> Fault:
    """A fault of any kind, with some of what it takes."""
    kind = draw(st.sampled_from(sorted(KINDS.keys() - TROUBLES)))
    takes = sorted((ALWAYS | KINDS[kind].takes) - {"kind", *CATALOGUED})
    names = draw(st.lists(st.sampled_from(takes), unique=True))
    return Fault(kind, **{name: draw(VALUES[name]) for name in names})


class AnyFaultsTests(SynchronousTestCase):
    """Any faults together."""

    @settings(max_examples=200)
    @given(st.lists(any_fault(), max_size=5), st.lists(st.booleans(), max_size=8))
    def test_any_faults(self, in_force: list[Fault], refused: list[bool]) -> None:
        """Whatever is in force, what goes out is bytes, none before its time, and nothing stays."""
        faults = Faults(in_force)
        commands = [c.Enable() if number % 2 else c.Disable() for number in range(len(refused))]
        for command in commands:
            faults.commanded(command)
        pieces = []
        for command, is_refused in zip(commands, refused, strict=True):
            for reply in [no_ack(command)] if is_refused else [ack(command), QUIET_STATE, done(command)]:
                pieces += faults.pieces_of(reply)
        for piece in pieces:
            self.assertTrue(piece.delay >= 0 and (piece.data or piece.then), piece)
        faults.clear()
        self.assertEqual((faults.are_none, faults.in_force), (True, ()))
        for command in commands:
            self.assertEqual(faults.pieces_of(ack(command)), plain(ack(command)))


class ParsingTests(SynchronousTestCase):
    """Faults as options."""

    def test_text(self) -> None:
        """A kind, and what it takes."""
        for text, fault in (
            ("silence", Fault("silence")),
            ("late:seconds=2.5,reply=done,count=3", Fault("late", seconds=2.5, reply="done", count=3)),
            ("missing:code=103,probability=0.5", Fault("missing", code=103, probability=0.5)),
            ("missing:code=azimuth_axis_move", Fault("missing", code=103)),
            ("flood:rate=100,seconds=3", Fault("flood", rate=100, seconds=3)),
            ("repeated:times=2", Fault("repeated", times=2)),
            ("wrong_id:offset=-1", Fault("wrong_id", offset=-1)),
            ("long:size=65536", Fault("long", size=65536)),
        ):
            self.assertEqual(parse_fault(text), fault)

    def test_mistakes(self) -> None:
        """What is wrong is told with the text, the name, the value and what was expected."""
        for text, why in (
            ("", "kind: expected one of late, "),
            ("broken", "kind: expected one of late, .*, got 'broken'"),
            ("late:second=1", "expected NAME=VALUE with one of .*, got 'second=1'"),
            ("late:seconds", "expected NAME=VALUE with one of .*, got 'seconds'"),
            ("late:seconds=soon", "seconds: expected a number, got 'soon'"),
            ("late:seconds=-1", "seconds: expected 0 to 86400 seconds, got -1"),
            ("late:reply=event", "reply: expected any, ack, done, noack, got 'event'"),
            ("late:times=3", "times: late does not take it; it takes code, count, kind, "),
            ("missing:probability=0", "probability: expected more than 0 and at most 1, got 0"),
            ("missing:count=0", "count: expected 1 or more, got 0"),
            (
                "missing:code=nonsense",
                "code: expected a number or a name of a command's code, got 'nonsense'",
            ),
            ("missing:code=77", "code: expected a command's code, got 77"),
            ("wrong_id:offset=0", "offset: expected -2147483647 to 2147483647 but 0, got 0"),
            (f"wrong_id:offset={2**40}", f"offset: expected .*, got {2**40}"),
            ("flood:rate=100000,seconds=10", f"rate: expected at most {MAX_FLOOD} events in all, got 1e"),
        ):
            with self.assertRaisesRegex(ValueError, why):
                parse_fault(text)

    def test_wrong_values(self) -> None:
        """A program is refused what an option is refused, by the name, the value and what was expected."""
        wrong: dict[str, tuple[str, list[Any]]] = {
            "code": ("missing", ["NOPE", "ENABLE", 77, 65.0, True, [1]]),
            "offset": ("wrong_id", [0, 2**40, -(2**31), 1.5, "1", True, None]),
            "count": ("missing", [0, 1.5, "1", True]),
            "probability": ("missing", [0, 1.1, float("nan"), "1", None]),
            "reply": ("missing", ["event", 1, None, ["ack"]]),
            "seconds": ("late", [-1, float("inf"), float("nan"), "1", None]),
            "times": ("repeated", [0, 1.5, 1001, None]),
            "size": ("long", [59, 60.5, 2**25, None]),
            "rate": ("flood", [0, float("inf"), "1", None]),
        }
        for name, (kind, values) in wrong.items():
            for value in values:
                shown = re.escape(repr(value))
                with self.assertRaisesRegex(ValueError, f"^{name}: expected .+, got {shown}$"):
                    Fault(kind, **{name: value})

    def test_codes(self) -> None:
        """A code is a number or a member of its enumeration."""
        self.assertEqual(Fault("missing", code=103), Fault("missing", code=CommandCode.AZIMUTH_AXIS_MOVE))

    def test_options(self) -> None:
        """``--fault`` may be repeated, and a mistake is one line."""
        options = Options()
        options.parseOptions(["--fault", "silence", "--fault", "late:seconds=1", "--fault-seed", "7"])
        self.assertEqual(options["faults"], [Fault("silence"), Fault("late", seconds=1)])
        self.assertEqual(options["fault-seed"], 7)
        with self.assertRaises(SystemExit) as caught:
            Options().parseOptions(["--fault", "late:seconds=x"])
        self.assertIn("--fault: 'late:seconds=x': seconds: expected a number", str(caught.exception))
        options = Options()
        options.parseOptions([])
        self.assertEqual((options["faults"], options["fault-seed"]), ([], 0))

    def test_documented(self) -> None:
        """Each kind has its row in ``docs/reference/simulator.rst``, with all that it takes."""
        page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "simulator.rst").read_text()
        for name, kind in KINDS.items():
            [row] = [line for line in page.splitlines() if line.startswith(f"``{name}``")]
            for parameter in kind.takes - ALWAYS - {"reply"}:
                self.assertIn(f"``{parameter}``", row)


class ServiceTests(SynchronousTestCase):
    """Faults on the wire, in memory."""

    def start(self, *faults: Fault) -> None:
        """A simulator with faults, and a CSC that has command."""
        self.reactor = MemoryReactor()
        self.service = SimulatorService(
            command_port=0,
            reply_port=0,
            log=LOG,
            reactor=self.reactor,
            initial_commander=Commander.CSC,
            faults=faults,
            tai=self.reactor.seconds,
        )
        self.service.startService()
        self.far_end = FarEnd(self.service.communicator)
        self.far_end.connect_server()
        self.service.communicator.connect(self.far_end.port)
        self.reactor.advance(0)
        self.heard()  # the state of the axes, which is reported once

    def tearDown(self) -> None:
        """Whatever was to come later, nothing is left of it."""
        stopped = self.service.stopService()
        self.pass_time(1.5)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.reactor.advance(0.05)

    def said(self, *commands: c.Command) -> list[str]:
        """The kinds of what is said at once after some commands, without "Reply"."""
        self.far_end.feed(*commands)
        return self.heard()

    def heard(self) -> list[str]:
        """The kinds of what was said since."""
        return [type(reply).__name__.removesuffix("Reply") for reply in self.far_end.written()]

    def power(self) -> None:
        """Turn azimuth on; what is said of that is read away."""
        self.said(c.AzimuthAxisPower(on=True))

    def test_late(self) -> None:
        """A late reply is said when it is due."""
        self.start(Fault("late", seconds=2))
        self.assertEqual(self.said(c.AzimuthAxisPower(on=True)), [])
        self.pass_time(1.9)
        self.assertEqual(self.heard(), [])
        self.pass_time(0.2)
        self.assertEqual(self.heard(), ["Ack", "Done"])

    def test_at_run_time(self) -> None:
        """A fault may be put in force, and taken back, while it runs."""
        self.start()
        self.assertEqual(self.said(c.AzimuthAxisPower(on=True)), ["Ack", "Done"])
        self.service.faults.add(Fault("missing", reply="done", count=1))
        self.assertEqual(self.said(c.AzimuthAxisPower(on=True)), ["Ack"])
        self.assertEqual(self.said(c.AzimuthAxisPower(on=True)), ["Ack", "Done"])
        self.assertEqual(self.service.faults.injected, {"missing": 1})

    def test_alarm_in_mid_move(self) -> None:
        """The axis stops, the move ends with a NoAck, and moves are refused until the reset."""
        self.start()
        self.power()
        self.service.faults.add(Fault("alarm", seconds=1, code=CommandCode.AZIMUTH_AXIS_MOVE, count=1))
        self.assertEqual(self.said(c.AzimuthAxisMove(position=100)), ["Ack"])
        self.pass_time(2)
        self.assertCountEqual(self.heard(), ["Error", "NoAck"])
        self.assertEqual(self.said(c.AzimuthAxisMove(position=100)), ["NoAck"])
        self.said(c.AzimuthAxisResetAlarm())
        self.assertEqual(self.said(c.AzimuthAxisMove(position=100)), ["Ack"])

    def test_warning_in_mid_move(self) -> None:
        """A warning is told, and the move ends with its Done."""
        self.start()
        self.power()
        self.service.faults.add(Fault("warning", seconds=1))
        self.assertEqual(self.said(c.BothAxesMove(azimuth=10, elevation=80)), ["NoAck"])
        self.assertEqual(self.said(c.AzimuthAxisMove(position=10)), ["Ack"])
        self.pass_time(1.2)
        self.assertEqual(self.heard(), ["Warning"])
        self.pass_time(10)
        self.assertEqual(self.heard(), ["InPosition", "Done"])

    def test_alarm_that_comes_too_late(self) -> None:
        """A command that is done by then raises no alarm."""
        self.start(Fault("alarm", seconds=1))
        self.assertEqual(self.said(c.Enable()), ["Ack", "OnStateInfo", "Done"])
        self.pass_time(2)
        self.assertEqual((self.heard(), self.service.mount.azimuth.alarm), ([], None))

    def test_alarm_of_no_device(self) -> None:
        """What is about both axes has its alarm in azimuth."""
        self.start()
        self.power()
        self.said(c.ElevationAxisPower(on=True))
        self.service.faults.add(Fault("alarm", seconds=0.5))
        self.said(c.BothAxesMove(azimuth=50, elevation=30))
        self.pass_time(1)
        self.assertIsNotNone(self.service.mount.azimuth.alarm)

    def test_cut(self) -> None:
        """The connection closes behind half a line, and is made again."""
        self.start(Fault("cut", count=1))
        client = self.far_end.client
        self.assertEqual(self.said(c.AzimuthAxisPower(on=True)), [])
        self.assertFalse(client.is_connected)
        self.assertTrue(client.received)
        self.pass_time(1)
        self.assertTrue(self.far_end.client.is_connected)
        self.assertEqual(self.said(c.AzimuthAxisPower(on=True)), ["Ack", "Done"])

    def test_silence(self) -> None:
        """Nothing is said, not even of a line that is no command, and the connections stay."""
        self.start(Fault("silence"))
        self.assertEqual(self.said(c.Enable()), [])
        self.far_end.feed(b"77\n9999\n1\n2020-02-27T14:48:27.469\r\n")
        self.pass_time(60)
        self.assertEqual(self.heard(), [])
        self.assertTrue(self.service.communicator.connected)
        self.service.faults.clear()
        self.assertEqual(self.said(c.Disable()), ["Ack", "OnStateInfo", "Done"])

    def test_refusal(self) -> None:
        """The connection for replies is closed and not made again, until that is over."""
        self.start()
        self.service.faults.add(Fault("refusal"))
        self.pass_time(30)
        self.assertFalse(self.far_end.client.is_connected)
        self.assertTrue(self.far_end.server.is_connected)
        self.service.faults.clear()
        self.service.faults.clear()
        self.pass_time(6)
        self.assertTrue(self.far_end.client.is_connected)
        self.service.faults.add(Fault("refusal"))

    def test_refusal_from_the_start(self) -> None:
        """It is not made at all."""
        self.start()
        other = SimulatorService(
            command_port=0,
            reply_port=self.far_end.port,
            log=LOG,
            reactor=self.reactor,
            faults=[Fault("refusal")],
        )
        other.startService()
        self.pass_time(10)
        self.assertFalse(other.communicator.client_connected)
        other.faults.clear()
        self.pass_time(1)
        self.assertTrue(other.communicator.client_connected)
        other.faults.add(Fault("refusal"))
        stopped = other.stopService()
        other.faults.clear()
        self.pass_time(2)
        self.successResultOf(stopped)

    def test_flood(self) -> None:
        """All of it arrives, beside the replies."""
        self.start(Fault("flood", rate=5000, seconds=2, count=1))
        heard = self.said(c.AzimuthAxisPower(on=True))
        self.pass_time(2.1)
        heard += self.heard()
        self.assertEqual(heard.count("OnStateInfo"), 10_000)
        self.assertEqual(len(heard), 10_002)

    def test_flood_that_nobody_reads(self) -> None:
        """What has no room is dropped; the simulator goes on."""
        self.start()
        self.far_end.stop_reading()
        self.service.communicator.writer.buffer.max_bytes = 100_000
        self.service.faults.add(Fault("flood", rate=50_000, seconds=1, count=1))
        self.said(c.AzimuthAxisPower(on=True))
        self.pass_time(2)
        self.far_end.start_reading()
        self.pass_time(1)
        heard = self.heard()
        self.assertTrue(0 < heard.count("OnStateInfo") < 50_000)
        self.assertEqual(self.said(c.AzimuthAxisPower(on=True)), ["Ack", "Done"])

    def test_flood_while_the_commander_leaves(self) -> None:
        """What waits for room when the connection is lost is dropped, and so is what comes after that."""
        self.start()
        self.far_end.stop_reading()
        self.service.faults.add(Fault("flood", rate=50_000, seconds=1, count=1))
        self.said(c.AzimuthAxisPower(on=True))
        self.pass_time(0.5)
        self.far_end.stop_listening()
        self.far_end.client.transport.abortConnection()
        self.pass_time(1)
        self.assertFalse(self.service.communicator.client_connected)

    def test_stop_with_much_to_come(self) -> None:
        """`tearDown` stops it in the middle of it all."""
        self.start(Fault("flood", rate=100, seconds=1000), Fault("late", seconds=500))
        self.said(c.AzimuthAxisPower(on=True))

    def test_bad_option(self) -> None:
        """A bad option is found before anything listens."""
        self.start()
        ports = dict(self.reactor.ports)
        bad = SimulatorService(command_port=0, reply_port=0, log=LOG, reactor=self.reactor, speed=0)
        with self.assertRaises(ValueError):
            bad.startService()
        self.assertEqual(self.reactor.ports, ports)
