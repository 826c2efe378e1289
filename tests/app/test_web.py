"""The daemon and its page: where it is, what happens when it can't be, and what is looked at beforehand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app import bridge, daemon
from mtmount_twisted.config import preflight
from mtmount_twisted.config.loading import load
from tests.support.folders import scratch_path
from tests.support.programs import HOST, LOG, ROOT, ProgramCase
from tests.web.test_service import Client

TOKENS = '[[token]]\nname = "night"\nsecret = "0123456789abcdef"\nroles = ["command"]\n'


class DaemonTests(ProgramCase):
    """``twistd -n mtmount-bridge --web``."""

    async def test_page(self) -> None:
        """It says where the page is, serves it, and ends while somebody listens."""
        program = self.twistd(
            *("-n", "mtmount-bridge", "--journal", "none", "--web", f"tcp:0:interface={HOST}"),
            *("--command-port", "0", "--reply-port", str(self.free_port())),
        )
        port = int((await program.line(r"page on http://127\.0\.0\.1:(\d+)")).group(1))
        client = await TCP4ClientEndpoint(reactor, HOST, port).connect(Factory.forProtocol(Client))
        for path, expected in ((b"/", b"<!doctype html>"), (b"/api/v1/events", b"event: hello")):
            client.transport.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
            await client.until(expected)
        self.assertNotIn(b"Server:", client.data)
        await self.assert_ends(program)
        await client.lost
        self.assertNotIn("GET", program.output, "what is asked for is not logged")

    async def test_taken(self) -> None:
        """A place that was asked for and is taken is refused in one line, that names the option."""
        endpoint = f"tcp:{self.taken_port()}:interface={HOST}"
        for mode in (("-n",), ()):
            program = self.twistd(
                *mode, "mtmount-bridge", "--command-port=0", "--reply-port=1", "--web", endpoint
            )
            self.assertEqual(await program.ended, 1, program.output)
            [line] = program.output.splitlines()
            self.assertTrue(line.startswith(f"mtmount-bridge: --web: can't listen on {HOST}:"), line)

    async def test_socket_that_can_not_be(self) -> None:
        """What shows only when it listens ends it as well, if it was asked for."""
        program = self.twistd(
            *("-n", "mtmount-bridge", "--command-port=0", "--reply-port=1", "--journal=none"),
            *("--web", "unix:/no/such/folder/page"),
        )
        self.assertEqual(await program.ended, 1, program.output)
        self.assertIn("web: can't listen on unix:/no/such/folder/page: ", program.output)

    def test_not_imported(self) -> None:
        """A daemon with no page does not pay for one."""
        script = (
            "import sys; from mtmount_twisted.app import bridge; options = bridge.Options();"
            "options.parseOptions(['--web=none', '--journal=none', '--command-port=0', '--reply-port=1']);"
            "bridge.makeService(options); heavy = ('mtmount_twisted.frontends.web', 'prometheus');"
            "print([name for name in sys.modules if name.startswith(heavy)])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))


class Refusals(SynchronousTestCase):
    """What `makeService` and ``--check-config`` say."""

    def setUp(self) -> None:
        self.patch(daemon, "begin_log", lambda reactor, verbose: LOG)

    def options(self, *words: str) -> Any:
        """Parsed options."""
        options = bridge.Options()
        options.parseOptions(("--journal=none", "--command-port=0", "--reply-port=1", *words))
        return options

    def lines(self, *words: str) -> list[str]:
        """What the daemon is stopped with; the same as what ``--check-config`` says."""
        checked = self.assertRaises(SystemExit, self.options, "--check-config", *words)
        stopped = self.assertRaises(SystemExit, lambda: bridge.makeService(self.options(*words)))
        self.assertEqual(str(checked.code), str(stopped.code))
        return str(stopped.code).splitlines()

    def file(self, text: str, mode: int = 0o600) -> str:
        """A file's path."""
        path = scratch_path(self)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def test_beyond_this_machine(self) -> None:
        """An open port needs tokens; the line says what there is to do."""
        error = self.assertRaises(SystemExit, self.options, "--web=tcp:0")
        [line] = str(error.code).splitlines()
        self.assertIn(
            "--web: tcp:0 can be reached from other machines: give a file of tokens (web.tokens)", line
        )

    def test_tokens(self) -> None:
        """A file of tokens that others may read, or with a fault in it, stops the daemon."""
        for text, mode, expected in (
            (TOKENS, 0o644, "other users may read or change it (mode 644); run: chmod 600"),
            (TOKENS.replace("command", "comand"), 0o600, "token[1].roles: expected a list"),
        ):
            tokens = self.file(text, mode)
            config = self.file(
                '[[pair]]\nname = "csc"\ncommand_port = 0\nreply_port = 1\n'
                f'[web]\nendpoint = "tcp:0"\ntokens = "{tokens}"\n'
            )
            [line] = self.lines(f"--config={config}")
            self.assertTrue(line.startswith(f"{bridge.DAEMON}: {tokens}: {expected}"), line)

    def test_insecure(self) -> None:
        """Who lets anyone command the mount is told so at each start."""
        config = self.file(
            '[[pair]]\nname = "csc"\ncommand_port = 0\nreply_port = 1\n'
            '[web]\nendpoint = "tcp:0"\ninsecure = true\n'
        )
        with self.assertLogs(LOG, "WARNING") as caught:
            bridge.makeService(self.options(f"--config={config}"))
        self.assertIn("every user who can reach the page can command the mount", caught.output[0])

    def test_options(self) -> None:
        """``--web`` wins over the file, and ``none`` turns it off."""
        config = self.file(
            '[[pair]]\nname = "csc"\ncommand_port = 0\nreply_port = 1\n'
            '[web]\nendpoint = "tcp:7:interface=127.0.0.1"\nmax_body = 2000\n'
        )
        for word, expected in (("none", (False, "tcp:7:interface=127.0.0.1")), ("unix:x", (True, "unix:x"))):
            web = self.options(f"--config={config}", f"--web={word}").config.web
            self.assertEqual((web.enabled, web.endpoint, web.max_body), (*expected, 2000))
        error = self.assertRaises(SystemExit, self.options, "--web=8080")
        self.assertIn("--web: expected a Twisted server endpoint", str(error.code))


class DefaultTests(ProgramCase):
    """The page that nobody asked for."""

    async def test_taken(self) -> None:
        """Where it would be by default is taken: one warning says what to do, and the mount is served."""
        self.patch(daemon, "begin_log", lambda reactor, verbose: LOG)
        self.patch(bridge, "WEB_ENDPOINT", f"tcp:{self.taken_port()}:interface={HOST}")
        options = bridge.Options()
        options.parseOptions(["--journal=none", "--command-port=0", f"--reply-port={self.free_port()}"])
        service: Any = bridge.makeService(options)
        self.addCleanup(service.stopService)
        with self.assertLogs(LOG, "WARNING") as caught:
            service.startService()
        [warning] = [line for line in caught.output if "the page and the API are not served" in line]
        self.assertIn("--web tcp:PORT:interface=127.0.0.1, or --web none", warning)
        self.assertTrue(service.running)


class HereTests(SynchronousTestCase):
    """What is looked at on this machine."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.folder.mkdir()
        (self.folder / "file").write_text("")

    def problems(self, journal: str = "j", port: str = "tcp:0:interface=127.0.0.1") -> list[str]:
        """What is wrong with a journal and a port."""
        return list(
            preflight.problems(
                load(
                    f'[[port]]\nname = "a"\nendpoint = "{port}"\n[journal]\npath = "{journal}"\n'
                    '[web]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
                )
            )
        )

    def test_journal(self) -> None:
        """The journal can be a file, or made with folders that are not there; and nothing is made."""
        for path in ("file", "new", "a/b/c/new"):
            self.assertEqual(self.problems(f"{self.folder}/{path}"), [], path)
        self.assertEqual(sorted(os.listdir(self.folder)), ["file"])
        self.assertEqual(
            self.problems(str(self.folder)), [f"journal.path: {self.folder} is a folder; expected a file"]
        )
        self.assertEqual(
            self.problems(f"{self.folder}/file/j"), [f"journal.path: {self.folder}/file is not a folder"]
        )

    def test_rights(self) -> None:
        """What may not be written is told."""
        self.patch(os, "access", lambda path, mode: False)
        self.assertEqual(
            self.problems(f"{self.folder}/file"), [f"journal.path: {self.folder}/file can't be written"]
        )
        for path in ("new", "a/new"):
            self.assertEqual(
                self.problems(f"{self.folder}/{path}"),
                [f"journal.path: can't create files in the folder {self.folder}"],
            )

    def test_sockets(self) -> None:
        """A socket needs a folder that is there, and a path that is not too long or something else's."""
        for path, expected in (
            ("/no/such/folder/socket", "there is no folder /no/such/folder"),
            (f"/{'x' * 110}", "too long for a socket"),
            ("/dev/null", "/dev/null exists and is no socket; give another path"),
        ):
            [problem] = self.problems(port=f"unix:{path}")
            self.assertTrue(problem.startswith("port[1].endpoint: "))
            self.assertIn(expected, problem)
        self.assertEqual(self.problems(port="unix:/tmp/mtmount-no-such-socket"), [])

    def test_told_by_check_config(self) -> None:
        """``--check-config`` tells all of it, in the words of who said it."""
        options = ("--check-config", f"--journal={self.folder}", "--web=unix:/no/such/folder/page")
        error = self.assertRaises(SystemExit, bridge.Options().parseOptions, options)
        self.assertEqual(
            str(error.code).splitlines(),
            [
                f"{bridge.DAEMON}: --journal: {self.folder} is a folder; expected a file",
                f"{bridge.DAEMON}: --web: there is no folder /no/such/folder",
            ],
        )

    def test_socket_left_behind(self) -> None:
        """A socket that is there may be one that was left behind."""
        path = f"/tmp/mtmount-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            self.addCleanup(os.unlink, path)
            self.assertEqual(self.problems(port=f"unix:{path}"), [])
