"""The commander as a program: its options, its connection, and the process that a user starts."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import error, protocol
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.cli.commander.options import WebAddress, parse_options
from mtmount_twisted.cli.commander.program import Program, main
from mtmount_twisted.cli.commander.script import Lines
from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.commands import AzimuthAxisHome
from mtmount_twisted.enums import Source
from mtmount_twisted.errors import NotConnectedError, PairClosedError
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from mtmount_twisted.testing import FarEnd, MemoryReactor
from tests.support.folders import scratch_path

ROOT = Path(__file__).resolve().parent.parent.parent


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def refused(self, *arguments: str) -> str:
        """The error output for arguments that are refused."""
        output = io.StringIO()
        with contextlib.redirect_stderr(output):
            status = self.assertRaises(SystemExit, parse_options, arguments).code
        self.assertEqual(status, 2)
        return output.getvalue()

    def test_defaults(self) -> None:
        """Without options it is the CSC on this machine, on the CSC's ports."""
        options = parse_options([])
        self.assertEqual(
            (options.host, options.command_port, options.reply_host, options.reply_port),
            ("127.0.0.1", 30005, "127.0.0.1", 30006),
        )
        self.assertEqual((options.source, options.connect_timeout), (Source.CSC, 10))
        self.assertEqual((options.web, options.token_file), (None, None))

    def test_given(self) -> None:
        """Options replace the defaults; a source goes by its name."""
        options = parse_options(["--source", "hhd", "--reply-port=0", "--connect-timeout", "0.5"])
        self.assertEqual((options.source, options.reply_port, options.connect_timeout), (Source.HHD, 0, 0.5))

    def test_connect(self) -> None:
        """A port of the bridge goes by name or address, an IPv6 one in brackets."""
        for text, expected in (("desk.site.org:30100", ("desk.site.org", 30100)), ("[::1]:7", ("::1", 7))):
            self.assertEqual(parse_options(["--connect", text]).connect, expected)

    def test_web(self) -> None:
        """The page goes by its URL, with the path below which a proxy has it."""
        for text, expected in (
            ("http://127.0.0.1:8081", WebAddress(False, "127.0.0.1", 8081)),
            ("https://Mount.example.org/mount/", WebAddress(True, "mount.example.org", 443, "/mount")),
            ("http://[::1]", WebAddress(False, "::1", 80)),
            ("none", "none"),
        ):
            self.assertEqual(parse_options(["--web", text]).web, expected)
        for address, text in (
            (WebAddress(False, "::1", 80, "/m"), "http://[::1]/m"),
            (WebAddress(True, "::1", 8443), "https://[::1]:8443"),
            (WebAddress(False, "mount", 443), "http://mount:443"),
        ):
            self.assertEqual(str(address), text)

    def test_token_file(self) -> None:
        """A token is read from a file of its own: one word, whatever stands around it."""
        path = scratch_path(self)
        path.write_bytes(b"\xef\xbb\xbfa-long-random-text\r\n")
        self.assertEqual(parse_options(["--token-file", str(path)]).token_file, "a-long-random-text")
        for data in (b"", b"two words\n", b"one\ntwo\n", b"\xff\n", "\u00e9".encode()):
            path.write_bytes(data)
            self.assertIn("expected a token, one word of ASCII", self.refused("--token-file", str(path)))

    def test_refused(self) -> None:
        """A bad option is one line that names it and what was expected, and status 2."""
        for arguments, words in (
            (["--command-port", "0"], "--command-port: expected a port from 1 to 65535, got '0'"),
            (["--reply-port", "65536"], "--reply-port: expected a port from 0 to 65535"),
            (["--command-port", "x"], "got 'x'"),
            (["--command-port", "30_005"], "got '30_005'"),
            (["--reply-port", "9" * 5000], "--reply-port: expected a port from 0 to 65535"),
            (["--source", "PXI"], "--source: expected one of CSC, EUI, HHD, got 'PXI'"),
            (["--connect-timeout", "nan"], "a positive number of seconds, got 'nan'"),
            (["--connect-timeout", "soon"], "got 'soon'"),
            (["--connect-timeout", "1_0"], "got '1_0'"),
            (["--connect-timeout", "\uff15"], "got '\uff15'"),
            (
                ["--connect", "desk"],
                "--connect: expected HOST:PORT or [IPV6]:PORT with a port from 1 to 65535",
            ),
            (["--connect", "::1:30100"], "got '::1:30100'"),
            (["--connect", "desk:0"], "got 'desk:0'"),
            (["--connect", "desk:1", "--reply-port", "7"], "--reply-port: only for a pair"),
            (["--tls-ca", "ca.pem"], "--tls-ca: it requires --connect"),
            (
                ["--connect", "desk:1", "--tls-certificate", "a.pem"],
                "--tls-certificate: it requires --tls-ca",
            ),
            (["--connect", "desk:1", "--tls-ca", "c", "--tls-key", "k"], "--tls-key: it requires --tls-cert"),
            (["--web", "127.0.0.1:8080"], "--web: expected http://HOST:PORT"),
            (["--web", "ftp://mount"], "got 'ftp://mount'"),
            (["--web", "http://mount:99999"], "got 'http://mount:99999'"),
            (["--web", "http://mount?token=1"], "got 'http://mount?token=1'"),
            (["--web", "http://me:secret@mount"], "got 'http://***@mount'"),
            (["--token-file", "/no/such"], "--token-file: /no/such can't be read: No such file"),
            (
                ["--token-file", os.devnull],
                f"{os.devnull} can't be read: it is a device; expected",
            ),
            (
                ["--web", "http://mount", "--tls-ca", "c"],
                "--tls-ca: it requires --connect, --web with an https:// address, or --station with tls:",
            ),
            (["--prot", "1"], "--prot"),
            (["az_move", "10"], "az_move"),
        ):
            text = self.refused(*arguments)
            self.assertIn(words, text)
            self.assertEqual(text.count("\n"), 1, text)

    def test_help_and_version(self) -> None:
        """``--help`` explains every option, ``--version`` names the program; both are status 0."""
        for argument, words in (
            ("--help", ["--host", "--reply-port", "--source", "--connect-timeout", "30005", "exit status"]),
            ("--version", ["mtmount-commander"]),
        ):
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                status = self.assertRaises(SystemExit, parse_options, [argument]).code
            self.assertEqual(status, 0)
            for word in words:
                self.assertIn(word, output.getvalue())

    def test_closed_stdin(self) -> None:
        """With the standard input closed there is one clear line and status 2."""
        self.patch(sys, "stdin", None)
        output = io.StringIO()
        with contextlib.redirect_stderr(output):
            self.assertEqual(main([]), 2)
        self.assertIn("standard input is closed", output.getvalue())


class ProgramTests(SynchronousTestCase):
    """One run of it, on a network in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.shown: list[str] = []
        self.complaints: list[str] = []

    def program(self, *arguments: str) -> Program:
        """A program with these options."""
        return Program(self.reactor, parse_options(arguments), self.shown.append, self.complaints.append)

    def run_pipe(self, program: Program, script: bytes) -> Deferred[int]:
        """Run a script with it."""
        rest = [script, b""]
        lines = Lines(lambda: succeed(rest.pop(0)))
        return Deferred.fromCoroutine(program.run(lambda: Deferred.fromCoroutine(program.run_pipe(lines))))

    def finish(self, running: Deferred[int]) -> int:
        """The exit status, once all is closed."""
        for _ in range(5):
            self.reactor.advance(1)
        return self.successResultOf(running)

    def test_nothing_there(self) -> None:
        """A script whose mount is not there fails in time, and says soon where it looked and what to do."""
        running = self.run_pipe(self.program("--connect-timeout", "3"), b"enable\n")
        self.reactor.advance(1.4)
        self.assertEqual(self.complaints, [])
        for _ in range(15):
            self.reactor.advance(0.1)
        self.assertNoResult(running)
        self.assertEqual(len(self.complaints), 1)
        self.reactor.advance(0.2)
        self.assertEqual(self.finish(running), 2)
        self.assertEqual(
            self.complaints,
            [
                f"not connected within {late} s: nothing takes commands on 127.0.0.1:30005 (Connection was "
                "refused by other side); start the mount or the bridge, or give another host or port" + more
                for late, more in (("1.5", "; trying for 1.5 s more"), ("3", ""))
            ],
        )

    def test_one_way_only(self) -> None:
        """If the mount takes commands but does not connect to reply, the line says that."""
        program = self.program("--connect-timeout", "3")
        far_end = FarEnd(program.link)
        program.link.connect(far_end.port).addErrback(lambda _: None)
        running = self.run_pipe(program, b"enable\n")
        for _ in range(8):
            self.reactor.advance(0.5)
        self.assertEqual(self.finish(running), 2)
        self.assertIn("the mount did not connect to 127.0.0.1:30006 to reply", self.complaints[0])

    def test_reply_port_taken(self) -> None:
        """If the port for replies is taken there is one line that names it, and status 2."""
        other = self.program()
        self.reactor.advance(0)
        running = self.run_pipe(self.program(), b"")
        self.assertEqual(self.finish(running), 2)
        self.assertEqual(len(self.complaints), 1)
        self.assertIn("can't listen on 127.0.0.1:30006", self.complaints[0])
        other.mount.close()

    def test_who_without_a_page(self) -> None:
        """In a script, ``who`` without a page to ask is told with the line's number, and status 2."""
        for arguments, why in (
            (("--web", "none"), "the bridge's page is not used: omit --web none"),
            (("--host", "mount"), "the mount is not on this machine; --web URL names the page of its bridge"),
            ((), "nothing answers at http://127.0.0.1:8080 (Connection was refused by other side); start "),
        ):
            self.reactor.names["mount"] = "127.0.0.1"
            program = self.program(*arguments)
            far_end = FarEnd(program.link)
            program.link.connect(far_end.port)
            running = self.run_pipe(program, b"who\nwait 1\n")
            far_end.connect_server()
            self.reactor.advance(0.1)
            self.assertEqual(self.finish(running), 2)
            self.assertEqual(len(self.complaints), 1)
            self.assertTrue(self.complaints.pop().startswith(f"line 1: {why}"))

    def test_https_page(self) -> None:
        """A page's authority that can't be read ends the program as it starts, before it asks anything."""
        with self.assertRaisesRegex(ValueError, "/no/such: can't be read"):
            self.program("--web", "https://mount", "--tls-ca", "/no/such")

    def test_losses_are_shown(self) -> None:
        """Each loss of the connection is shown once, and each return; a wait in a script goes on."""
        program = self.program()
        far_end = FarEnd(program.link)
        program.link.connect(far_end.port)
        running = self.run_pipe(program, b"wait 30\nwait 1\n")
        far_end.connect_server()
        self.reactor.advance(1)
        far_end.drop_server()
        far_end.drop_client()
        self.assertTrue(far_end.connect_server())
        self.reactor.advance(1)
        labels = [text.split()[1] for text in self.shown]
        self.assertEqual([label for label in labels if label != "link"], ["CONNECTED", "LOST", "CONNECTED"])
        self.assertNoResult(running)
        self.reactor.advance(30)
        self.reactor.advance(1)
        self.assertEqual(self.finish(running), 0)

    def test_warnings_are_shown(self) -> None:
        """What the library warns of is shown with its level, and by no other handler."""
        program = self.program()
        far_end = FarEnd(program.link)
        program.link.connect(far_end.port)
        running = self.run_pipe(program, b"wait 1\n")
        far_end.connect_server()
        with self.assertNoLogs(level=logging.INFO):
            far_end.feed(b"no reply\r\n")
        self.assertIn("WARNING", self.shown[-1])
        self.reactor.advance(1)
        self.finish(running)


class FakeMount:
    """A mount on real sockets: it refuses to home, and does all else at once."""

    def __init__(self, reactor: Any) -> None:
        log = logging.getLogger("fake mount")
        self.communicator = Communicator(
            "fake mount", "127.0.0.1", 0, "127.0.0.1", 0, log, False, connect=False, reactor=reactor
        )
        self.names: list[str] = []
        self.serving: Deferred[None] = succeed(None)

    def serve(self, reply_port: int) -> None:
        """Connect to a commander, and answer it until it goes."""
        self.serving = Deferred.fromCoroutine(self._serve(reply_port))

    async def _serve(self, reply_port: int) -> None:
        with contextlib.suppress(ConnectionResetError, PairClosedError, NotConnectedError):
            await self.communicator.connect(reply_port)
            while True:
                command: Any = await self.communicator.read()
                self.names.append(type(command).__name__)
                asked: Any = {"sequence_id": command.sequence_id, "source": command.source}
                if isinstance(command, AzimuthAxisHome):
                    await self.communicator.write(NoAckReply(explanation="not today", **asked))
                else:
                    await self.communicator.write(AckReply(timeout_ms=500, **asked))
                    await self.communicator.write(DoneReply(**asked))

    async def close(self) -> None:
        """Leave nothing behind."""
        await self.communicator.close()
        await self.serving


class Process(protocol.ProcessProtocol):
    """A commander in a process of its own.

    :ivar output: what it wrote to either output so far.
    :ivar ended: fires with its exit status, or minus the signal that ended it.
    """

    def __init__(self) -> None:
        self.output = ""
        self.ended: Deferred[int] = Deferred()
        self._wanted: list[tuple[str, int, Deferred[str]]] = []

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode(errors="replace")
        for wanted in tuple(self._wanted):
            text, times, waiting = wanted
            if self.output.count(text) >= times:
                self._wanted.remove(wanted)
                waiting.callback(self.output)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self.ended.callback(0 if isinstance(value, error.ProcessDone) else value.exitCode or -value.signal)
        for _, _, waiting in self._wanted:
            if not waiting.called:
                waiting.errback(AssertionError(f"it ended: {self.output}"))

    def says(self, text: str, times: int = 1) -> Deferred[str]:
        """Wait until it has written this, so many times."""
        waiting: Deferred[str] = Deferred()
        self._wanted.append((text, times, waiting))
        self.outReceived(b"")
        return waiting


class ProcessTests(TestCase):
    """What a user starts."""

    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.mount = FakeMount(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.mount.close()))

    def spawn(self, command: Sequence[str], *, terminal: bool = False) -> Process:
        """Start a process; it is ended with the test."""
        process = Process()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        transport = self.reactor.spawnProcess(
            process, command[0], command, env=environment, path=str(ROOT), usePTY=terminal
        )

        def end() -> Deferred[int]:
            with contextlib.suppress(error.ProcessExitedAlready):
                transport.signalProcess("KILL")
            return process.ended

        self.addCleanup(end)
        return process

    async def commander(
        self, shell: str, *options: str, terminal: bool = False, serve: bool = True
    ) -> Process:
        """Start a commander, and connect the mount to it.

        :param shell: shell text in which ``"$@"`` is the commander.
        """
        port = await self.mount.communicator.wait_server_port()
        program = [sys.executable, "-m", "mtmount_twisted.commander", "--reply-port", "0"]
        process = self.spawn(
            ["/bin/sh", "-c", shell, "sh", *program, "--command-port", str(port), *options], terminal=terminal
        )
        said = await process.says("link        ")
        if "replies come to 127.0.0.1:" not in said:
            said = await process.says("\n")
        if not serve:
            return process
        self.mount.serve(int(said.partition("replies come to 127.0.0.1:")[2].split()[0]))
        return process

    async def status(self, process: Process) -> int:
        """Its exit status."""
        return await process.ended

    async def test_pipe(self) -> None:
        """Commands from a pipe run in order; all done is status 0."""
        process = await self.commander('printf "enable\\n# on\\naz_power on\\nhelp az_move" | "$@"')
        self.assertEqual(await self.status(process), 0)
        self.assertEqual(self.mount.names, ["Enable", "AzimuthAxisPower"])
        self.assertEqual(process.output.count("  done  "), 2)
        self.assertIn("Position to move to.", process.output)

    async def test_file(self) -> None:
        """A regular file will do, and a refused command is status 1."""
        script = scratch_path(self)
        script.write_text("az_home\nenable\n")
        process = await self.commander(f'"$@" < {script.resolve()}', "--source", "EUI")
        self.assertEqual(await self.status(process), 1)
        self.assertEqual(self.mount.names, ["AzimuthAxisHome", "Enable"])
        self.assertRegex(process.output, "REFUSED +#1 AzimuthAxisHome after .*: not today")
        self.assertRegex(process.output, "done +#2 Enable")

    async def test_dev_null(self) -> None:
        """With nothing to do it connects, does nothing, and that is done."""
        process = await self.commander('"$@" < /dev/null')
        self.assertEqual(await self.status(process), 0)
        self.assertEqual(self.mount.names, [])

    async def test_closed_output(self) -> None:
        """With the standard output closed the commands are sent all the same, and the status tells."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = str(listening.getsockname()[1])
        said = f'echo "link        replies come to 127.0.0.1:{port} "'  # for it, since it can't
        process = await self.commander(f'{said}; printf "enable\\n" | "$@" >&-', "--reply-port", port)
        self.assertEqual(await self.status(process), 0)
        self.assertEqual(self.mount.names, ["Enable"])

    async def test_bad_line(self) -> None:
        """A line that is no command is told with its number, and status 2."""
        process = await self.commander('"$@" <<END\n\nnothing of the kind\nEND\n')
        self.assertEqual(await self.status(process), 2)
        self.assertIn("mtmount-commander: line 2: command: expected", process.output)

    async def test_output_that_nobody_reads(self) -> None:
        """If the reader of its output leaves, the commands are still sent, each to its end."""
        process = await self.commander(
            '{ printf "enable\\ndisable\\n" | "$@"; echo status $? >&2; } | head -n 1'
        )
        await process.ended
        self.assertIn("status 0", process.output)
        self.assertEqual(self.mount.names, ["Enable", "Disable"])

    async def test_interrupted(self) -> None:
        """A signal ends a script, with one line and the status that a shell has for it."""
        process = await self.commander('exec "$@"')
        terminal: Any = process.transport
        terminal.write(b"wait 3600\n")
        await process.says("CONNECTED")
        terminal.signalProcess("TERM")
        self.assertEqual(await self.status(process), 130)
        self.assertEqual(process.output.splitlines()[-1], "mtmount-commander: interrupted")

    async def test_terminal(self) -> None:
        """On a terminal a person has a prompt, outcomes appear above it, and a word ends it."""
        process = await self.commander('exec "$@"', terminal=True)
        await process.says("CSC>")
        terminal: Any = process.transport
        terminal.write(b"az_power on\r")
        await process.says("done        #1 AzimuthAxisPower")
        terminal.write(b"az_home\r")
        await process.says("not today")
        terminal.write(b"quit\r")
        self.assertEqual(await self.status(process), 0)
        self.assertEqual(self.mount.names, ["AzimuthAxisPower", "AzimuthAxisHome"])

    async def test_terminal_without_mount(self) -> None:
        """The prompt says when there is no connection in time, and lives on."""
        process = await self.commander('exec "$@"', "--connect-timeout", "0.1", terminal=True, serve=False)
        await process.says("; still trying")
        await process.says("CSC (not connected)>")
        terminal: Any = process.transport
        terminal.write(b"enable\r")
        await process.says("#1 Enable")
        terminal.write(b"quit\r")
        self.assertEqual(await self.status(process), 0)

    async def test_terminal_interrupted(self) -> None:
        """A signal ends a prompt in good order."""
        process = await self.commander('exec "$@"', terminal=True)
        await process.says("CSC>")
        terminal: Any = process.transport
        terminal.signalProcess("TERM")
        self.assertEqual(await self.status(process), 130)
        _, paste_off, rest = process.output.rpartition("\x1b[?2004l")
        self.assertTrue(paste_off, "the terminal is left as it was")
        self.assertIn("interrupted", rest)
