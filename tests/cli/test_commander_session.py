"""The commander's session, its script and its prompt, on a network in memory."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime

from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.cli.command_line import MISUSED
from mtmount_twisted.cli.commander import report
from mtmount_twisted.cli.commander.prompt import converse, make_prompt
from mtmount_twisted.cli.commander.script import DONE, FAILED, Lines, read_in_thread, run_script
from mtmount_twisted.cli.commander.session import Session
from mtmount_twisted.client.mount import Mount
from mtmount_twisted.enums import Commander
from mtmount_twisted.errors import MessageError, TaiUnavailableError, WebError
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply, OnStateInfoReply, WarningReply
from mtmount_twisted.testing import connected_pair
from tests.support.folders import scratch_path


class SessionCase(SynchronousTestCase):
    """A session whose mount does what the test says."""

    def setUp(self) -> None:
        self.shown: list[str] = []
        communicator, self.far_end = connected_pair()
        self.clock = self.far_end.reactor
        self.mount = Mount(communicator)
        self.session = Session(
            self.mount,
            self.shown.append,
            clock=self.clock,
            monotonic=self.clock.seconds,
            now=lambda: datetime(2020, 2, 27, 14, 48, 27, tzinfo=UTC),
            tai=lambda: 1.6e9,
        )
        self.addCleanup(self.close)

    def close(self) -> None:
        """Leave nothing behind."""
        self.session.close()
        self.mount.close()
        self.clock.advance(10)

    def answer(self, *, ack: float | None = None, done: bool = False, refuse: str = "") -> int:
        """Answer the command that came last; say its sequence id."""
        number = getattr(self.far_end.written()[-1], "sequence_id")
        if ack is not None:
            self.far_end.feed(AckReply(sequence_id=number, timeout_ms=int(ack * 1000)))
        if refuse:
            self.far_end.feed(NoAckReply(sequence_id=number, explanation=refuse))
        if done:
            self.far_end.feed(DoneReply(sequence_id=number))
        return int(number)

    def take(self) -> list[str]:
        """What was shown since the last call, without the time."""
        shown = [text.removeprefix("14:48:27.000  ") for text in self.shown]
        self.shown.clear()
        return shown


class SessionTests(SessionCase):
    """What comes of one line."""

    def test_done(self) -> None:
        """A command is shown as it goes, when it is acknowledged and when it is done, with durations."""
        running = self.session.run("az_move 10")
        self.clock.advance(0.25)
        number = self.answer(ack=3.5)
        self.assertNoResult(running)
        self.clock.advance(3)
        self.far_end.feed(DoneReply(sequence_id=number))
        self.assertIs(self.successResultOf(running), True)
        self.assertEqual(
            self.take(),
            [
                f"command     #{number} AzimuthAxisMove position=10.0",
                f"ack         #{number} AzimuthAxisMove after 0.250 s, expected to take 3.5 s",
                f"done        #{number} AzimuthAxisMove after 3.250 s",
            ],
        )

    def test_refused(self) -> None:
        """A refusal is shown with the mount's explanation."""
        running = self.session.run("az_move 10")
        number = self.answer(refuse="EUI has\x1b command")
        self.assertIs(self.successResultOf(running), False)
        self.assertEqual(
            self.take()[1:], [f"REFUSED     #{number} AzimuthAxisMove after 0.000 s: EUI has\\x1b command"]
        )

    def test_refused_with_a_carriage_return(self) -> None:
        """A refusal whose explanation holds a lone carriage return ends the command at once."""
        running = self.session.run("az_move 10")
        number = getattr(self.far_end.written()[-1], "sequence_id")
        self.far_end.feed(b"1\n%d\n1\n2020-02-27T14:48:27.469\nEUI has\rcommand\r\n" % number)
        self.assertIs(self.successResultOf(running), False)
        self.assertEqual(
            self.take()[-1], f"REFUSED     #{number} AzimuthAxisMove after 0.000 s: EUI has command"
        )

    def test_asks_are_noted(self) -> None:
        """An ask for command is noted with whom it is for, and again if it failed; another command is not."""
        noted: list[Commander | None] = []
        session = Session(self.mount, self.shown.append, clock=self.clock, on_ask=noted.append)
        self.addCleanup(session.close)
        for line, refusal in (("ask_for_command NONE", ""), ("ask_for_command EUI", "no"), ("enable", "no")):
            running = session.run(line)
            self.answer(ack=None if refusal else 1, done=not refusal, refuse=refusal)
            self.successResultOf(running)
        self.assertEqual(noted, [Commander.NONE, Commander.EUI, None])

    def test_failed_after_ack(self) -> None:
        """A command that the mount gave up is shown as failed."""
        running = self.session.run("az_move 10")
        self.answer(ack=1, refuse="drive fault")
        self.assertIs(self.successResultOf(running), False)
        self.assertTrue(self.take()[-1].startswith("FAILED"))

    def test_timed_out(self) -> None:
        """A command that is not answered is shown as timed out."""
        running = self.session.run("enable")
        self.clock.advance(60)
        self.assertIs(self.successResultOf(running), False)
        self.assertIn("no Ack within", self.take()[-1])

    def test_track(self) -> None:
        """A track command is done with its Ack, and says so."""
        running = self.session.run("az_track 1 0")
        self.answer(ack=0)
        self.assertIs(self.successResultOf(running), True)
        command, done = self.take()
        self.assertIn("tai=1600000000.0", command)
        self.assertTrue(done.startswith("done") and done.endswith("(a track command ends with its Ack)"))

    def test_events(self) -> None:
        """Events are shown as they come, until the session closes."""
        self.far_end.feed(OnStateInfoReply(description="Idle"))
        self.far_end.feed(WarningReply(active=True, code=101, subsystem="100. a"))
        self.assertEqual(self.take(), ["state       Idle", "WARNING     code 101 (AZIMUTH_AXIS + 1), 100. a"])
        self.session.close()
        self.far_end.feed(OnStateInfoReply(description="Idle"))
        self.assertEqual(self.take(), [])

    def test_help_and_quit(self) -> None:
        """Help is shown, quit ends the session, a blank line does nothing; nothing is sent."""
        for text in ("help", "help az_move", "", "# nothing"):
            self.assertIs(self.successResultOf(self.session.run(text)), True)
        self.assertEqual(len(self.shown), 2)
        self.assertFalse(self.session.quitting)
        self.session.start("quit")
        self.assertTrue(self.session.quitting)
        self.assertEqual(self.far_end.written(), [])

    def test_no_page(self) -> None:
        """``who`` and ``status`` say what to do where there is no page to ask; nothing goes to the mount."""
        for word in ("who", "status"):
            self.failureResultOf(self.session.run(word), WebError)
            self.session.start(word)
            (shown,) = self.take()
            self.assertEqual(shown, "error: no page of a bridge is known; give it with --web URL")
            self.failureResultOf(self.session.run(f"{word} else"), MessageError)
        self.assertEqual(self.far_end.written(), [])

    def test_wait(self) -> None:
        """A wait ends after its time."""
        running = self.session.run("wait 2")
        self.clock.advance(1.9)
        self.assertNoResult(running)
        self.clock.advance(0.1)
        self.assertIs(self.successResultOf(running), True)

    def test_bad_line(self) -> None:
        """A line that is no command fails, and is shown where nobody waits for it; nothing is sent."""
        self.failureResultOf(self.session.run("az_mov 3"), MessageError)
        self.session.start("az_mov 3")
        (shown,) = self.take()
        self.assertTrue(shown.startswith("error: command:"))
        self.assertEqual(self.far_end.written(), [])

    def test_fault_of_our_own(self) -> None:
        """An error that is not expected is shown with its traceback, and the session lives on."""

        def broken() -> float:
            raise ZeroDivisionError

        session = Session(self.mount, self.shown.append, clock=self.clock, tai=broken)
        self.addCleanup(session.close)
        session.start("az_track 1 0")
        self.assertIn("ZeroDivisionError", self.shown[0])

    def test_no_tai(self) -> None:
        """If TAI is not known, a track command without one is refused in words."""

        def unknown() -> float:
            raise TaiUnavailableError("no leap seconds")

        session = Session(self.mount, self.shown.append, clock=self.clock, tai=unknown)
        self.addCleanup(session.close)
        session.start("az_track 1 0")
        self.assertEqual(self.shown, ["error: no leap seconds"])

    def test_many_at_a_time(self) -> None:
        """Commands that are started run side by side, each with its own outcome."""
        self.session.start("az_move 10")
        self.session.start("el_move 50")
        first, second = self.far_end.written()
        self.far_end.feed(DoneReply(sequence_id=second.sequence_id))  # type: ignore[attr-defined]
        self.far_end.feed(NoAckReply(sequence_id=first.sequence_id, explanation="no"))  # type: ignore[attr-defined]
        labels = [text.split()[0] for text in self.take()]
        self.assertEqual(labels, ["command", "command", "ack", "done", "REFUSED"])

    def test_close_says_what_is_left(self) -> None:
        """Closing says which command the mount was left with, and ends every wait."""
        self.session.start("az_move 10")
        self.session.start("wait 100")
        number = self.answer(ack=50)
        self.take()
        self.session.close()
        (shown,) = self.take()
        self.assertTrue(shown.startswith(f"LEFT        #{number} AzimuthAxisMove"))

    def test_connection_lost(self) -> None:
        """A command whose connection is lost ends as unknown."""
        running = self.session.run("az_move 10")
        self.answer(ack=50)
        self.far_end.drop_server()
        self.assertIs(self.successResultOf(running), False)
        self.assertTrue(self.take()[-1].startswith("UNKNOWN"))
        self.assertFalse(self.session.connected)


class ScriptTests(SessionCase):
    """Lines from a pipe."""

    def setUp(self) -> None:
        super().setUp()
        self.complaints: list[str] = []

    def script(self, *chunks: bytes, stop_on_error: bool = False) -> Deferred[int]:
        """Run a script that comes in these chunks."""
        rest = [*chunks, b""]
        lines = Lines(lambda: succeed(rest.pop(0)))
        return Deferred.fromCoroutine(
            run_script(self.session, lines, self.complaints.append, stop_on_error=stop_on_error)
        )

    def test_in_order(self) -> None:
        """Each command is sent when the one before it has ended; all done is status 0."""
        running = self.script(b"# first\n\nenable\r\ndis", b"able")
        first = self.answer(ack=1)
        self.assertEqual(self.far_end.written(), [])
        self.far_end.feed(DoneReply(sequence_id=first))
        self.answer(ack=0, done=True)
        self.assertEqual(self.successResultOf(running), DONE)
        sent = [text.split()[2] for text in self.take() if text.startswith("command")]
        self.assertEqual(sent, ["Enable", "Disable"])

    def test_byte_order_mark(self) -> None:
        """A byte order mark before the first line is no part of it; one elsewhere is."""
        running = self.script(b"\xef\xbb\xbfenable\n", b"\xef\xbb\xbfdisable\n")
        self.answer(ack=0, done=True)
        self.assertEqual(self.successResultOf(running), MISUSED)
        self.assertEqual(len(self.complaints), 1)
        self.assertIn("line 2", self.complaints[0])

    def test_nothing(self) -> None:
        """A script of nothing is done."""
        self.assertEqual(self.successResultOf(self.script()), DONE)

    def test_failed(self) -> None:
        """A refused command is status 1, and the script goes on behind it."""
        running = self.script(b"enable\ndisable\n")
        self.answer(refuse="no")
        self.answer(done=True)
        self.assertEqual(self.successResultOf(running), FAILED)

    def test_bad_line(self) -> None:
        """A line that is no command is status 2, told with its number, whatever else failed."""
        running = self.script(b"enable\n\nbad\x1b\xff line\n")
        self.answer(refuse="no")
        self.assertEqual(self.successResultOf(running), MISUSED)
        (complaint,) = self.complaints
        self.assertTrue(complaint.startswith("line 3: command: expected"))
        self.assertTrue(complaint.isprintable())

    def test_stop_on_error(self) -> None:
        """On request the first line that is not done is the last."""
        running = self.script(b"enable\ndisable\n", stop_on_error=True)
        self.answer(refuse="no")
        self.assertEqual(self.successResultOf(running), FAILED)
        self.assertEqual(self.far_end.written(), [])
        self.assertEqual(self.successResultOf(self.script(b"bad\nenable\n", stop_on_error=True)), MISUSED)

    def test_unreadable(self) -> None:
        """If the lines can't be read, that is told in one line, with status 2."""
        lines = Lines(lambda: fail(OSError("no such luck")))
        running = Deferred.fromCoroutine(run_script(self.session, lines, self.complaints.append))
        self.assertEqual(self.successResultOf(running), MISUSED)
        self.assertEqual(self.complaints, ["can't read any more lines: no such luck"])

    def test_quit(self) -> None:
        """Nothing behind ``quit`` is run."""
        self.assertEqual(self.successResultOf(self.script(b"quit\nbad\n")), DONE)
        self.assertEqual(self.complaints, [])

    def test_endless_line(self) -> None:
        """A line that does not end is refused and not gathered for ever."""
        running = self.script(*[b"x" * 50000] * 4)
        self.assertEqual(self.successResultOf(running), MISUSED)
        self.assertEqual(len(self.complaints), 2)


class ReadInThreadTests(TestCase):
    """Reading whatever the standard input may be."""

    async def read(self, path: str) -> bytes:
        """The first bytes of a file."""
        from twisted.internet import reactor

        descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        return await read_in_thread(reactor, descriptor)

    async def test_file(self) -> None:
        """A regular file is read as it is, and nothing is the end."""
        path = str(scratch_path(self))
        with open(path, "wb") as script:
            script.write(b"enable\n")
        self.assertEqual(await self.read(path), b"enable\n")
        self.assertEqual(await self.read(os.devnull), b"")

    async def test_error(self) -> None:
        """What can't be read fails with the system's reason."""
        with self.assertRaises(OSError):
            await self.read("/")


class PromptTests(SessionCase):
    """Lines from a person."""

    def converse(self, *turns: tuple[str, str]) -> list[str]:
        """Type at a prompt, and say what was shown.

        :param turns: pairs: when the line reads so, these keys are typed.
        """

        async def talk() -> None:
            with create_pipe_input() as keyboard:
                prompt = make_prompt(self.session, "CSC", input=keyboard, output=DummyOutput())
                rest = list(turns)

                def type_on(_: object) -> None:
                    if rest and prompt.default_buffer.text == rest[0][0]:
                        keyboard.send_text(rest.pop(0)[1])

                prompt.app.after_render += type_on
                await converse(self.session, prompt)

        asyncio.run(talk())
        return self.take()

    def test_command(self) -> None:
        """An entered command is sent, and the prompt does not wait for its end."""
        shown = self.converse(("", "az_move 10\r"), ("", "quit\r"))
        self.assertEqual([text.split()[0] for text in shown], ["command"])
        self.assertEqual(len(self.far_end.written()), 1)
        self.assertTrue(self.session.quitting)

    def test_tab(self) -> None:
        """Tab completes commands and values."""
        self.converse(
            ("", "ask_f\t"), ("ask_for_command", " E\t"), ("ask_for_command EUI", "\r"), ("", "exit\r")
        )
        (command,) = self.far_end.written()
        self.assertEqual(report.command_text(command), "AskForCommand commander=EUI")  # type: ignore[arg-type]

    def test_control_keys(self) -> None:
        """Ctrl-C drops the line that is being typed, and Ctrl-D ends."""
        shown = self.converse(("", "az_move 10"), ("az_move 10", "\x03"), ("", "enable\r"), ("", "\x04"))
        self.assertEqual(len(shown), 1)
        self.assertIn("Enable", shown[0])

    def test_error(self) -> None:
        """A line that is no command is answered in words, and the prompt lives on."""
        shown = self.converse(("", "az_mov 3\r"), ("", "quit\r"))
        self.assertIn("did you mean az_move", shown[0])

    def test_connection_in_prompt(self) -> None:
        """The prompt says so while there is no connection."""
        with create_pipe_input() as keyboard:
            prompt = make_prompt(self.session, "EUI", input=keyboard, output=DummyOutput())
            assert callable(prompt.message)
            self.assertEqual(prompt.message(), "EUI> ")
            self.far_end.drop_server()
            self.assertEqual(prompt.message(), "EUI (not connected)> ")

    def test_command_in_prompt(self) -> None:
        """The prompt says who has command if that is another; nothing of it can do anything to a terminal."""
        lacking = ["", "eui\x1b[2J has command"]
        with create_pipe_input() as keyboard:
            prompt = make_prompt(
                self.session, "CSC", lambda: lacking.pop(0), input=keyboard, output=DummyOutput()
            )
            assert callable(prompt.message)
            self.assertEqual(prompt.message(), "CSC> ")
            self.assertEqual(prompt.message(), "CSC (eui\\x1b[2J has command)> ")
