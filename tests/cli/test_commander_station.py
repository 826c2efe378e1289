"""``mtmount-commander --station``: lines whose commands go by the broker."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.commander.options import parse_options
from mtmount_twisted.errors import MTMountError
from mtmount_twisted.frontends.broker.words import Command, Outcome
from mtmount_twisted.station.commander import Session
from tests.support.broker import broker_of, in_time
from tests.support.desks import DeskAlone

STATION = ["--station", "nats://127.0.0.1:4222", "--mount", "t1", "--user", "night"]


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def wrong(self, *words: str) -> str:
        """What the program says of a wrong command line."""
        stderr, sys.stderr = sys.stderr, Text()
        try:
            error = self.assertRaises(SystemExit, parse_options, words)
            self.assertEqual(error.code, 2)
            return str(sys.stderr)
        finally:
            sys.stderr = stderr

    def test_right(self) -> None:
        """The broker needs a mount and a user; further servers and a key are welcome."""
        options = parse_options([*STATION, "--station", "tls://b:4222", "--tls-ca", "ca.pem"])
        self.assertEqual(options.station, ["nats://127.0.0.1:4222", "tls://b:4222"])
        self.assertEqual((options.mount, options.user, options.credentials), ("t1", "night", None))

    def test_wrong(self) -> None:
        """Each wrong option is one line, and a password in a URL is not shown."""
        for words, line in (
            (["--user", "night"], "--user: it requires --station"),
            (STATION[:4], "--station: it requires --user"),
            ([*STATION, "--connect", "a:1"], "--connect: --station uses no connection to a bridge"),
            ([*STATION, "--web", "none"], "--web: --station uses no connection to a bridge"),
            ([*STATION, "--tls-ca", "ca.pem"], "--station with tls:"),
            ([*STATION[:5], "a.b"], "expected 1 to 32 letters"),
            (["--station", "nats://me:secret@a:1"], "got 'nats://***@a:1'"),
            (["--station", "http://a:1"], "expected nats://HOST:PORT"),
        ):
            said = self.wrong(*words)
            self.assertIn(line, said)
            self.assertNotIn("secret", said)


class BareAskTests(SynchronousTestCase):
    """An ``ask_for_command`` without a value. The bridge's settings decide the source of the user, and the
    program does not know them."""

    def asked(self, line: str, *options: str, dialect: str = "tma2020") -> list[str]:
        """Which commanders the commands of a line name."""
        sent: list[str] = []

        async def send(command: str, parameters: dict[str, Any], *, timeout: float) -> Outcome:
            sent.append(parameters["commander"])
            return Outcome(user="night", id="a", state="done")

        session = Session(parse_options([*STATION, "--dialect", dialect, *options]), send, lambda text: None)
        self.assertTrue(asyncio.run(session.run(line)))
        return sent

    def test_source_is_not_known(self) -> None:
        """Without --source the line is refused: another source than the user's would hand command over."""
        for dialect in ("tma2020", "tma2022"):
            error = self.assertRaises(MTMountError, self.asked, "ask_for_command", dialect=dialect)
            self.assertIn("the source of night is not known", str(error))
            self.assertIn("as in ask_for_command EUI, or start with --source", str(error))

    def test_source_is_given(self) -> None:
        """With --source, or with a value, the line asks for that commander."""
        for dialect in ("tma2020", "tma2022"):
            self.assertEqual(self.asked("ask_for_command", "--source", "EUI", dialect=dialect), ["EUI"])
            for name in ("EUI", "NONE"):
                self.assertEqual(self.asked(f"ask_for_command {name}", dialect=dialect), [name])


class Text:
    """What a program writes."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def __str__(self) -> str:
        return self.text


class ProgramTests(SynchronousTestCase):
    """The program, a broker, and a desk."""

    def setUp(self) -> None:
        self.broker = broker_of(self)

    def talk(self, lines: str, *options: str) -> tuple[int | None, str, str, list[Command]]:
        """Run the program with some lines: its status, what it prints, and the commands that came."""

        async def run() -> tuple[int | None, str, str, list[Command]]:
            desk = DeskAlone(self.broker)
            await desk.engine.wait_connected()
            words = ["--station", self.broker.url, "--mount", "t1", "--user", "night", *options]
            program = [sys.executable, "-m", "mtmount_twisted.cli.commander", *words]
            try:
                started = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=PIPE)
                output, errors = await started.communicate(lines.encode())
                return started.returncode, output.decode(), errors.decode(), desk.commands
            finally:
                await desk.close()

        return in_time(run())

    def test_commands(self) -> None:
        """Each command has its outcome; the status is 0 if all are done."""
        status, output, errors, commands = self.talk(
            "ask_for_command\nazimuth_axis_move 5\n# a comment\nquit\n", "--source", "CSC"
        )
        self.assertEqual((status, errors), (0, ""))
        ask, move = [command.body for command in commands]
        self.assertEqual(ask, {"command": "AskForCommand", "parameters": {"commander": "CSC"}})
        self.assertEqual((move["command"], move["parameters"]["position"]), ("AzimuthAxisMove", 5.0))
        for text in ("to the broker, as night", "AzimuthAxisMove after ", "done"):
            self.assertIn(text, output)

    def test_faults(self) -> None:
        """A refused command gives status 1, a wrong line 2 and what is wrong; the others run all the same."""
        track = "azimuth_axis_track 1 0 0\n"
        status, output, errors, commands = self.talk(f"{track}azimuth_axis_stop\n")
        self.assertEqual((status, errors, len(commands)), (1, "", 1))
        self.assertIn("AzimuthAxisTrack: refused: targets to track need a connection", output)
        status, _, errors, commands = self.talk("nonsense\nwho\nazimuth_axis_stop\n")
        self.assertEqual((status, len(commands)), (2, 1))
        self.assertIn("line 1: ", errors)
        self.assertIn("line 2: who: not available with --station: it asks the page of the bridge", errors)
        status, _, _, commands = self.talk(f"{track}azimuth_axis_stop\n", "--stop-on-error")
        self.assertEqual((status, commands), (1, []))

    def stop_with_output(self, output: int) -> tuple[int | None, bytes, int]:
        """Send two stops, with the output to a descriptor. The status, the errors, and how many came."""

        async def run() -> tuple[int | None, bytes, int]:
            desk = DeskAlone(self.broker)
            await desk.engine.wait_connected()
            words = ["--station", self.broker.url, *STATION[2:]]
            program = [sys.executable, "-m", "mtmount_twisted.cli.commander", *words]
            try:
                started = await asyncio.create_subprocess_exec(
                    *program, stdin=PIPE, stdout=output, stderr=PIPE
                )
                _, errors = await started.communicate(b"azimuth_axis_stop\nazimuth_axis_stop\n")
                return started.returncode, errors, len(desk.commands)
            finally:
                await desk.close()

        try:
            return in_time(run())
        finally:
            os.close(output)

    def test_output_that_nobody_reads(self) -> None:
        """If the reader of its output leaves, the commands are still sent, and no error is reported."""
        reader, writer = os.pipe()
        os.close(reader)
        self.assertEqual(self.stop_with_output(writer), (0, b"", 2))

    def test_full_output(self) -> None:
        """If the output can't be written, the commands are still sent; one line has the reason."""
        expected = b"mtmount-commander: can't write to the standard output: No space left on device\n"
        self.assertEqual(self.stop_with_output(os.open("/dev/full", os.O_WRONLY)), (1, expected, 2))

    def test_no_authority(self) -> None:
        """A file of --tls-ca that is missing, or has no certificate, is reported with its option."""

        async def run(path: str) -> tuple[int | None, bytes]:
            words = ["--station", "tls://127.0.0.1:1", *STATION[2:], "--tls-ca", path]
            program = [sys.executable, "-m", "mtmount_twisted.cli.commander", *words]
            started = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            _, errors = await started.communicate(b"")
            return started.returncode, errors

        for path in ("/nothing", __file__):
            status, said = in_time(run(path))
            self.assertEqual(status, 2)
            self.assertIn(f"mtmount-commander: --tls-ca: {path} can't be used: ".encode(), said)
            self.assertEqual(said.count(b"\n"), 1)

    def test_no_broker(self) -> None:
        """Without a broker it ends with status 2, and the reason in one line."""
        status, _, _, _ = self.talk(
            "", "--station", "nats://127.0.0.1:1", "--connect-timeout", "0.5", "--mount", "t1"
        )
        self.assertEqual(status, 0)  # another server of the list answers

        async def run() -> tuple[int | None, bytes]:
            words = [*STATION[:1], "nats://127.0.0.1:1", *STATION[2:], "--connect-timeout", "0.5"]
            program = [sys.executable, "-m", "mtmount_twisted.cli.commander", *words]
            started = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            _, errors = await started.communicate(b"")
            return started.returncode, errors

        status, said = in_time(run())
        self.assertEqual(status, 2)
        self.assertIn(b"no connection to nats://127.0.0.1:1", said)
        self.assertEqual(said.count(b"\n"), 1)
