"""``mtmount-journal`` as a person and a script use it, and the replay of a session."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import sys
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.cli.journal import main, program
from mtmount_twisted.cli.journal.options import parse_options, wanted_by
from mtmount_twisted.cli.journal.replay import Recorded, Replay, recorded_commands, renewed
from mtmount_twisted.client.communicator import ClientServerPair
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.journal.reading import OUTCOMES, UNKNOWN, Entry
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.testing import HOST, FarEnd, MemoryReactor
from tests.support.journals import STAMP, START, TRACK, SessionCase
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


class ProgramTests(SessionCase):
    """The words ``tail``, ``show`` and ``export``."""

    def run_program(self, word: str, *arguments: str) -> tuple[int, list[str], str]:
        """The exit status, the lines of the output, and the error output."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        try:
            status = main([word, "--journal", str(self.path), *arguments])
        except SystemExit as ended:
            status = int(str(ended.code))
        return status, out.getvalue().splitlines(), err.getvalue()

    def test_show(self) -> None:
        """``show`` shows all, or what is asked for."""
        self.assertEqual(len(self.run_program("show")[1]), 1 + 23)
        self.assertEqual(len(self.run_program("show", "--peer", "EUI")[1]), 1 + 3)
        status, lines, err = self.run_program("show", "--command", "az_move", "--only", "message")
        self.assertEqual((status, len(lines), err), (0, 1 + 6, ""))

    def test_run_numbers(self) -> None:
        """``show`` prints the number of each run above its first line."""
        self.keeper.close()
        self.open()
        self.record()
        self.writer.turn()
        _, lines, _ = self.run_program("show")
        numbered = [(place, line) for place, line in enumerate(lines) if line.startswith("run ")]
        self.assertEqual(numbered, [(0, "run 1"), (len(lines) - 3, "run 2")])

    def test_without(self) -> None:
        """``--without`` leaves out the lines, the steps and the answers of some commands, or of all."""
        everything = self.run_program("show")[1]
        moves = self.run_program("show", "--command", "az_move")[1][1:]
        self.assertEqual(
            self.run_program("show", "--without", "az_move")[1],
            [line for line in everything if line not in moves],
        )
        status, lines, _ = self.run_program("show", "--without", "all")
        self.assertEqual((status, len(lines)), (0, 7), lines)
        self.assertNotIn("#", "".join(lines))
        last = self.run_program("tail", "-n", "2")[1]
        self.assertEqual(self.run_program("tail", "-n", "3", "--without", "az_track")[1], last)
        self.assertEqual(self.run_program("show", "--without", "az_mvoe")[0], 2)

    def test_tail(self) -> None:
        """``tail`` shows the last few."""
        status, lines, _ = self.run_program("tail", "-n", "2")
        self.assertEqual((status, len(lines)), (0, 2))
        self.assertIn("LINK DOWN", lines[1])

    def test_follow(self) -> None:
        """``tail -f`` goes on with what comes, until Ctrl-C."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        options = parse_options(["tail", "--journal", str(self.path), "-f", "-n", "1"])
        pauses: list[int] = []

        def pause() -> None:
            pauses.append(1)
            if len(pauses) == 2:
                raise KeyboardInterrupt
            self.record()
            self.writer.turn()

        with self.assertRaises(KeyboardInterrupt):
            program.tail(options, pause)
        lines = out.getvalue().splitlines()
        self.assertIn("LINK DOWN", lines[0])
        self.assertIn("BothAxesStop", lines[1])
        self.assertEqual(len(lines), 2)

    def test_interrupted(self) -> None:
        """Ctrl-C ends ``tail -f`` without a traceback."""

        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        events = SimpleNamespace(Event=lambda: SimpleNamespace(wait=interrupt))
        self.patch(program, "threading", events)
        self.assertEqual(self.run_program("tail", "-f")[0], 130)

    def test_export(self) -> None:
        """``export`` writes to the output, or to a file."""
        status, lines, _ = self.run_program("export", "--peer", "EUI")
        self.assertEqual((status, [json.loads(line)["peer"] for line in lines]), (0, ["EUI"] * 3))
        path = self.path.with_name("out.csv")
        status, lines, _ = self.run_program("export", "--format", "csv", "-o", str(path))
        self.assertEqual((status, lines), (0, []))
        self.assertTrue(path.read_text().startswith("id,run,time"))

    def test_one_line_for_what_is_wrong(self) -> None:
        """Bad usage, and a journal that can't be read, are told in one line, with status 2."""
        for arguments in (
            ("show", "--since", "soon"),
            ("show", "--command", "az_mvoe"),
            ("show", "--outcome", "good"),
            ("show", "--run", "x"),
            ("show", "--journal", "/nonexistent"),
            ("export", "-o", "/nonexistent/file"),
            ("replay",),
            ("replay", "--peer", "CSC", "--command-port", "0"),
            ("replay", "--peer", "CSC", "--speed", "0"),
            ("replay", "--peer", "CSC", "--speed", "fast"),
            ("replay", "--peer", "nobody"),
            ("replay", "--peer", "nobody", "--all"),
            ("replay", "--peer", "EUI"),
            ("replay", "--peer", CONTROLLER),
            ("replay", "--peer", "CSC", "--host", "192.0.2.1"),
            ("replay", "--peer", "CSC", "--host", "192.0.2.1", "--yes-to", "192.0.2.2"),
            ("replay", "--peer", "CSC", "--host", "unix"),
            ("dance",),
        ):
            status, lines, err = self.run_program(*arguments)
            self.assertEqual((status, lines, err.count("\n")), (2, [], 1), (arguments, err))
            self.assertTrue(err.startswith("mtmount-journal"), err)

    def test_localhost_that_is_elsewhere(self) -> None:
        """A name of this machine that leads elsewhere by its hosts file needs ``--yes-to``, too."""
        self.patch(program, "look_up", lambda hosts: dict.fromkeys(hosts, ("127.0.0.1", "192.0.2.1")))
        for host in ("localhost", "LOCALHOST."):
            _, _, err = self.run_program("replay", "--peer", "nobody", "--host", host)
            self.assertIn("is not this machine", err)
            _, _, err = self.run_program("replay", "--peer", "nobody", "--host", host, "--yes-to", host)
            self.assertIn("nobody: no commands", err)
        self.patch(program, "look_up", lambda hosts: dict.fromkeys(hosts, ("127.0.0.1", "::1")))
        self.assertIn("nobody: no ", self.run_program("replay", "--peer", "nobody", "--host", "localhost")[2])

    def test_damaged(self) -> None:
        """A journal that turns out to be damaged is told in one line."""
        self.keeper.close()
        self.rows("DROP TABLE event")
        for word in ("show", "tail"):
            status, _, err = self.run_program(word)
            self.assertEqual((status, err.count("\n")), (2, 1), err)

    def test_reader_leaves(self) -> None:
        """``show | head`` ends without a complaint."""
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w") as pipe:
            self.patch(sys, "stdout", pipe)
            self.assertEqual(main(["show", "--journal", str(self.path)]), 0)

    def test_options(self) -> None:
        """What is asked for can be said in several ways."""
        arguments = ["show", "--command", "AZIMUTH_AXIS_MOVE_VELOCITY", "--command", "103", "--command=-1"]
        options = parse_options(
            [*arguments, "--outcome", "failed,done", "--since", "1 min ago"], lambda: START
        )
        wanted = wanted_by(options)
        self.assertEqual(wanted.codes, (103, -1))
        self.assertIn(("tma2020", 104), wanted.dialect_codes)
        self.assertEqual(set(wanted.outcomes), ({*OUTCOMES, UNKNOWN} - {"open", "ack", "local"}))
        self.assertEqual(wanted.since, START - 60)

    def test_reply_port(self) -> None:
        """Replies come in one port above the commands' unless told otherwise, as everywhere."""
        words = ["replay", "--peer", "csc"]
        self.assertEqual(parse_options([*words]).reply_port, 30006)
        self.assertEqual(parse_options([*words, "--command-port", "31700"]).reply_port, 31701)
        both = ["--command-port", "31700", "--reply-port", "9"]
        self.assertEqual(parse_options([*words, *both]).reply_port, 9)
        with redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit):
            parse_options([*words, "--command-port", "65535"])
        self.assertIn("--reply-port", said.getvalue())


class LineTests(SynchronousTestCase):
    """What a replay sends."""

    def test_renewed(self) -> None:
        """A line keeps its parameters byte for byte; its id and its time are new."""
        recorded = Recorded(START, 9999, b"77\n9999\n2\n" + STAMP + b"\n 01.50\n\xff", DIALECT)
        fields = renewed(recorded, 5, START + 10).split(b"\n")
        self.assertEqual([*fields[:3], *fields[4:]], [b"5", b"9999", b"2", b" 01.50", b"\xff"])
        self.assertNotEqual(fields[3], STAMP)

    def test_tai(self) -> None:
        """The ``tai`` of a track command is moved on as far as the line is, unless it is to be kept."""
        recorded = Recorded(START, 105, TRACK, DIALECT)
        self.assertEqual(renewed(recorded, 5, START + 10).split(b"\n")[-1], b"1795363513.5")
        self.assertEqual(renewed(recorded, 5, START + 10, keep_tai=True).split(b"\n")[-1], b"1795363503.5")

    def test_bad_tai(self) -> None:
        """A track command whose ``tai`` is none, or is not there, goes out as it was."""
        for end in (b"\nx", b""):
            line = b"2\n105\n1\n" + STAMP + b"\n1.0\n0.0" + end
            recorded = Recorded(START, 105, line, DIALECT)
            self.assertTrue(renewed(recorded, 5, START + 10).endswith(b"1.0\n0.0" + end))

    def test_recorded(self) -> None:
        """Only what a commander sent is sent again, and only what is a command."""

        def entry(peer: str, what: str, line: bytes | None) -> Entry:
            return Entry(1, 1, "message", START, peer, 1, what, 0, 0, 0, 0, "", line, DIALECT)

        entries = [
            entry("CSC", "from", TRACK),
            entry("CSC", "from", b"rubbish"),
            entry("CSC", "to", TRACK),
            entry("CSC", "sent", None),
            entry(CONTROLLER, "from", TRACK),
        ]
        commands = recorded_commands(entries, also_refused=True)
        self.assertEqual(commands, [Recorded(START, 105, TRACK, DIALECT)])

    def test_what_was_sent(self) -> None:
        """What the bridge refused or could not send is left out, unless it is asked for, too."""
        entries = []
        for number, steps in enumerate(
            (("received", "sent", "ack"), ("refused",), ("local",), ("not_sent",))
        ):
            line = b"2\n%d\n1\n%s" % (100 + number, STAMP)
            rows = [("message", "from", line), *(("step", step, None) for step in steps)]
            for table, what, text in rows:
                row = (len(entries) + 1, 1, table, START, "CSC", 1, what, 7, 2, 100 + number, 0, "", text)
                entries.append(Entry(*row, DIALECT))
        self.assertEqual([command.code for command in recorded_commands(entries)], [100, 102])
        everything = recorded_commands(entries, also_refused=True)
        self.assertEqual([command.code for command in everything], [100, 101, 102, 103])


def command(sequence_id: int, code: int, after: float = 0.0) -> Recorded:
    """A recorded command."""
    return Recorded(START + after, code, b"%d\n%d\n1\n%s" % (sequence_id, code, STAMP), DIALECT)


class PaceTests(SynchronousTestCase):
    """A replay in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.far_end = FarEnd(cast(Any, SimpleNamespace(reactor=self.reactor)))
        self.pair: ClientServerPair[bytes] = ClientServerPair(
            "replay", HOST, self.far_end.port, HOST, 0, logging.getLogger(__name__), reactor=self.reactor
        )
        self.reactor.advance(0)
        self.far_end.communicator = self.pair  # type: ignore[assignment]
        self.assertTrue(self.far_end.connect_server())
        self.shown: list[tuple[str, bytes]] = []

    def start(self, *commands: Recorded, **settings: Any) -> Any:
        """Begin a replay; its outcomes come as a Deferred."""
        replay = Replay(
            *(self.reactor, self.pair, DIALECT, lambda *shown: self.shown.append(shown), lambda: START),
            **settings,
        )
        return Deferred.fromCoroutine(replay.run(list(commands)))

    def sent_ids(self) -> list[bytes]:
        """The sequence ids of what was sent since the last look."""
        return [line.split(b"\n")[0] for line in self.far_end.written_lines()]

    def test_pace(self) -> None:
        """Commands go out as far apart as recorded, or as much closer as is asked for."""
        for speed in (1.0, 10.0):
            self.setUp()
            self.start(command(7, 10), command(7, 32, 10.0), command(8, 11, 20.0), speed=speed)
            self.far_end.settle()
            for sequence_id in (b"1", b"2", b"3"):
                self.assertEqual(self.sent_ids(), [sequence_id])
                self.reactor.advance(9.8 / speed)
                self.assertEqual(self.sent_ids(), [])
                self.reactor.advance(0.3 / speed)

    def test_outcomes(self) -> None:
        """It is over when each has its last answer, which for a track command is its Ack."""
        replay = self.start(command(1, 10), command(2, 105), command(3, 32))
        for _ in range(6):
            self.reactor.advance(0.1)
        self.assertEqual(self.sent_ids(), [b"1", b"2", b"3"])
        for line in (
            *(b"0\n1\n1\n%s\n0", b"2\n1\n1\n%s", b"2\n99\n1\n%s"),
            *(b"0\n2\n1\n%s\n0", b"5\n%s\nReady", b"rubbish%s", b"1\n3\n1\n%s\nno"),
        ):
            self.assertNoResult(replay)
            self.far_end.feed(line % STAMP + b"\r\n")
            self.far_end.settle()
        self.assertEqual(self.successResultOf(replay), {"done": 1, "ack": 1, "noack": 1})
        self.assertEqual([direction for direction, _ in self.shown].count("from"), 7)

    def test_patience(self) -> None:
        """What has no answer in time is counted as unanswered."""
        replay = self.start(command(1, 10), patience=5.0)
        for _ in range(52):
            self.reactor.advance(0.1)
        self.assertEqual(self.successResultOf(replay), {"unanswered": 1})

    def test_lost(self) -> None:
        """If the connection is lost, it ends, and what was not answered or sent is counted."""
        replay = self.start(command(1, 10), command(2, 10, 10.0))
        self.reactor.advance(0.1)
        self.far_end.drop_server()
        self.far_end.drop_client()
        self.far_end.stop_listening()
        for _ in range(110):
            self.reactor.advance(0.1)
        self.assertEqual(self.successResultOf(replay), {"unanswered": 2})


class SimulatorTests(TestCase):
    """A recorded session against the simulator, over sockets."""

    def options(self, command_port: int, reply_port: int, *more: str) -> list[str]:
        """The words of a replay."""
        ports = ["--command-port", str(command_port), "--reply-port", str(reply_port)]
        return ["replay", "--peer", "CSC", *ports, *more]

    async def replay(self) -> list[str]:
        """The words of a replay of a session to a simulated mount."""
        case = SessionCase()
        case.setUp()
        self.addCleanup(case.doCleanups)
        self.addCleanup(case.tearDown)
        reply_port = free_port(self)
        simulator = SimulatorService(command_port=0, reply_port=reply_port, speed=100.0)
        simulator.startService()
        self.addCleanup(simulator.stopService)
        words = self.options(await simulator.wait_command_port(), reply_port, "--speed", "1000")
        return [*words, "--journal", str(case.path)]

    async def test_replay(self) -> None:
        """The program sends the commands to the mount, and tells how each ended."""
        words = await self.replay()
        out, err, status = await getProcessOutputAndValue(
            sys.executable,
            ["-m", "mtmount_twisted.journal", *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.assertEqual((err, status), (b"", 0))
        lines = out.decode().splitlines()
        self.assertIn("replay -> controller    command     #1 AzimuthAxisMove position=10.0", lines[0])
        self.assertEqual(lines[-1], "2 commands: 2 noack")

    async def test_replay_that_nobody_reads(self) -> None:
        """If the reader of the output leaves, the replay goes on to its end, without an error."""
        words = await self.replay()
        script = '{ "$@" 2>&3; echo status $? >&3; } 3>&1 >&4 4>&- | cat'  # 4: a pipe without a reader
        program = [sys.executable, "-u", "-m", "mtmount_twisted.journal", *words]
        out, _, _ = await getProcessOutputAndValue(
            "bash",
            ["-c", f"exec 4> >(exec true); wait $!; {script}", "bash", *program],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.assertEqual(out, b"status 0\n")

    async def test_no_mount(self) -> None:
        """If nobody is there, or the reply port is taken, one line says so."""
        said: list[str] = []
        self.patch(program, "complain", lambda text: said.append(text) or 2)
        words = self.options(free_port(self), free_port(self), "--connect-timeout", "0.01")
        output = io.StringIO()
        self.assertEqual(await program.replay(reactor, parse_options(words), DIALECT, [], output), 2)
        self.assertIn("nothing takes commands on 127.0.0.1:", said[0])
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            words = self.options(free_port(self), int(taken.getsockname()[1]))
            self.assertEqual(await program.replay(reactor, parse_options(words), DIALECT, [], output), 2)
        self.assertIn("can't listen", said[1])
