"""``mtmount-journal`` with runs in two dialects: each is read, selected and replayed in its own."""

from __future__ import annotations

import csv
import io
import json
import logging
from contextlib import closing, redirect_stderr, redirect_stdout

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.cli.journal import main
from mtmount_twisted.cli.journal.following import Follower
from mtmount_twisted.cli.journal.options import parse_options, wanted_by
from mtmount_twisted.cli.journal.program import replay
from mtmount_twisted.cli.journal.replay import Recorded, renewed
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as TMA2022
from mtmount_twisted.dialects.tma2022.enums import CommandCode
from mtmount_twisted.journal.reading import Wanted, first_and_last, open_journal
from mtmount_twisted.simulator.tma2022.service import SimulatorService
from tests.support.journals import STAMP, START, JournalCase

TAI = b"1795363480.0"


def reply(number: int, **parameters: object) -> bytes:
    """A reply of tma2022."""
    names = {"sequenceId": 1001, "commander": 1} if number < 6 else {}
    return json.dumps({"id": number, "timestamp": 1795363481.0, "parameters": names | parameters}).encode()


class CommandNameTests(SynchronousTestCase):
    """The names that ``--command`` takes."""

    def test_counterpart(self) -> None:
        """A name finds the command in its own dialect, and its counterpart in the other one."""
        for name in ("AzimuthAxisMove", "AzimuthMove", "az_move"):
            wanted = wanted_by(parse_options(["show", "--command", name]))
            self.assertEqual(sorted(wanted.dialect_codes), [("tma2020", 103), ("tma2022", 103)])
        wanted = wanted_by(parse_options(["show", "--command", "ask_for_command"]))
        self.assertEqual(sorted(wanted.dialect_codes), [("tma2020", 2101), ("tma2022", 2103)])
        wanted = wanted_by(parse_options(["show", "--command", "TopEndChillerTrackAmbient"]))
        self.assertEqual(sorted(wanted.dialect_codes), [("tma2020", 2202), ("tma2022", 2216)])


class ProgramTests(JournalCase):
    """A night in `tma2020`, then one in `tma2022`."""

    def setUp(self) -> None:
        super().setUp()
        self.records.line("CSC", "from", 1, b"7\n31\n1\n" + STAMP + b"\n1\n2\n0\n0\n1795363503.5")
        self.records.step(1001, "sent", "CSC", 1, 7, 31, 1)
        self.writer.turn()
        self.keeper.close()
        self.open(dialect="tma2022")
        for line in (b"7\n31\n1\n%b\n1" % TAI, b"8\n9999\n1\n%b\n1\n2" % TAI):
            self.records.line("CSC", "from", 1, line)
        self.records.step(1001, "sent", "CSC", 1, 7, 31, 1)
        self.records.line("controller", "to", 1, b"1001\n31\n1\n%b\n1" % TAI)
        alarm = {"name": "x", "subsystemId": 100, "subsystemInstance": "", "active": True, "code": 1}
        for line in (
            reply(1, timeout=3.5),
            reply(2, explanation="no"),
            reply(3),
            reply(4, explanation="broken"),
            reply(5),
            reply(11, **alarm, description="hot", latched=True),
            reply(4242, what="a\x1b[2J"),
            b"2\n1001\n1\n" + STAMP,
        ):
            self.records.line("controller", "from", 1, line)
        self.writer.turn()

    def program(self, word: str, *words: str) -> tuple[int, list[str], str]:
        """The exit status, the lines of the output, and the error output."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main([word, "--journal", str(self.path), *words])
        return status, out.getvalue().splitlines(), err.getvalue()

    def test_show(self) -> None:
        """Each line is shown in the words of its run's dialect."""
        status, lines, err = self.program("show", "--only", "message", "--only", "step")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(lines.pop(0), "run 1")
        told = [" ".join(line.split()[2:]) for line in lines if not line.startswith("run ")]
        for number, text in enumerate(
            (
                "CSC -> bridge command #7 BothAxesTrack 1 2 0 0 1795363503.5",
                "sent CSC's #7 BothAxesTrack (#1001 of the bridge)",
                "CSC -> bridge command #7 BothAxesPower on=on",
                "CSC -> bridge command #8 code 9999 1 2",
                "sent CSC's #7 BothAxesPower (#1001 of the bridge)",
                "bridge -> controller command #1001 BothAxesPower on=on",
                "controller -> bridge ack #1001 BothAxesPower, to be done within 3.5 s",
                "controller -> bridge NOACK #1001 BothAxesPower: no",
                "controller -> bridge done #1001 BothAxesPower",
                "controller -> bridge FAILED #1001 BothAxesPower: broken",
                "controller -> bridge SUPERSEDED #1001 BothAxesPower",
                "controller -> bridge ERROR active now, latched until reset: code 1, x; hot",
                "controller -> bridge event UnknownReply(id=4242, ",
                "controller -> bridge UNREADABLE '2\\n1001\\n1\\n",
            )
        ):
            self.assertTrue(told[number].startswith(text), (text, told[number]))
        self.assertEqual(len(told), 14)

    def test_command(self) -> None:
        """The name of a command selects its code in each dialect that has the name; a number is a code."""
        for name, runs in (
            ("BothAxesPower", {2}),
            ("both_axes_track", {1}),
            ("BOTH_AXES_TRACK", {1}),
            ("31", {1, 2}),
            ("BothAxesStop", set()),
        ):
            status, lines, err = self.program("export", "--command", name, "--only", "step")
            self.assertEqual((status, err), (0, ""), name)
            self.assertEqual({json.loads(line)["run"] for line in lines}, runs, name)

    def test_export(self) -> None:
        """Each exported entry names the dialect of its run."""
        dialects = {1: "tma2020", 2: "tma2022"}
        _, lines, _ = self.program("export")
        for entry in map(json.loads, lines):
            self.assertEqual(entry["dialect"], dialects[entry["run"]])
        self.assertEqual({json.loads(line)["table"] for line in lines}, {"message", "step", "event"})
        _, lines, _ = self.program("export", "--format", "csv")
        self.assertEqual({row["dialect"] for row in csv.DictReader(lines)}, set(dialects.values()))

    def test_no_command(self) -> None:
        """A name that no dialect has is told in one line, with one that is like it."""
        status, lines, err = self.program("show", "--command", "both_axes_powr")
        self.assertEqual((status, lines, err.count("\n")), (2, [], 1))
        self.assertIn("did you mean both_power?", err)

    def test_follow(self) -> None:
        """The entries that come are shown in the dialect of the run that the bridge begins meanwhile."""
        with closing(open_journal(self.path)) as db:
            _, last = first_and_last(db)
        follower = Follower(self.path, Wanted(tables=("message",)), last)
        self.addCleanup(follower.close)
        self.keeper.close()
        self.open(dialect="tma2020")
        self.record()
        self.writer.turn()
        self.assertEqual([(entry.run, entry.dialect.name) for entry in follower.look()], [(3, "tma2020")])

    def test_replay_of_two_dialects(self) -> None:
        """A replay sends commands of one dialect."""
        status, lines, err = self.program("replay", "--peer", "CSC")
        self.assertEqual((status, lines), (2, []))
        self.assertEqual(
            err, "mtmount-journal: CSC: the commands are in tma2020 and tma2022: select a run with --run\n"
        )


class ReplayTests(TestCase):
    """A replay of `tma2022` to the simulator, over sockets."""

    timeout = 20

    async def test_replay(self) -> None:
        """Commands go out and answers come in over one connection, each in the words of the dialect."""
        simulator = SimulatorService(
            command_port=0, telemetry_port=0, operation_manager=False, log=logging.getLogger("tests.replay")
        )
        simulator.startService()
        self.addCleanup(simulator.stopService)
        port, _ = simulator.port_numbers()
        commands = [
            Recorded(START, code, b"7\n%d\n1\n%b\n%d" % (code, TAI, value), TMA2022)
            for code, value in ((CommandCode.ASK_FOR_COMMAND, 1), (31, 7))
        ]
        options = parse_options(["replay", "--peer", "CSC", "--command-port", str(port), "--speed", "100"])
        output = io.StringIO()
        self.assertEqual(await replay(reactor, options, TMA2022, commands, output), 0)
        lines = output.getvalue().splitlines()
        self.assertIn("replay -> controller    command     #1 AskForCommand commander=CSC", lines[0])
        self.assertTrue(any("controller -> replay    done        #1 AskForCommand" in line for line in lines))
        self.assertEqual(lines[-1], "2 commands: 1 done, 1 noack")


class LineTests(SynchronousTestCase):
    """What a replay of `tma2022` sends."""

    def test_renewed(self) -> None:
        """A line keeps its parameters byte for byte; its id and its time are new."""
        fields = renewed(Recorded(START, 9999, b" 7\n9999\n2\n1.5\n 01.50\n\xff", TMA2022), 5, START).split(
            b"\n"
        )
        self.assertEqual([*fields[:3], *fields[4:]], [b"5", b"9999", b"2", b" 01.50", b"\xff"])
        self.assertGreater(float(fields[3]), START)

    def test_tai(self) -> None:
        """The ``tai`` of a track command is moved on as far as the line is, unless it is to be kept."""
        track = Recorded(START, 35, b"7\n35\n1\n" + TAI + b"\n1\n2\n0\n0\n1795363503.5", TMA2022)
        self.assertEqual(renewed(track, 5, START + 10).split(b"\n")[-1], b"1795363513.5")
        self.assertEqual(renewed(track, 5, START + 10, keep_tai=True).split(b"\n")[-1], b"1795363503.5")
