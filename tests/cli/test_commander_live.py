"""A prompt, a daemon and its page, each in a process of its own: the prompt shows who has command."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from twisted.internet import error, reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessValue

from tests.support.programs import HOST, ROOT, ProgramCase

from .test_commander import Process

ASK = (
    "import sys, urllib.request as r; url, body = sys.argv[1:];"
    "r.urlopen(r.Request(url + '/api/v1/lease', body.encode(), "
    "{'Content-Type': 'application/json'}, method='POST'))"
)
"""A program that sends a body to ``/api/v1/lease``, as the page does."""


class LiveTests(ProgramCase):
    """``mtmount-commander`` on a terminal, beside ``twistd -n mtmount-bridge``."""

    timeout = 60

    def prompt(self, *options: str) -> Process:
        """Start a prompt; it is ended with the test."""
        process = Process()
        command = [sys.executable, "-m", "mtmount_twisted.commander", *options]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "COLUMNS": "200",
        }
        transport: Any = reactor.spawnProcess(
            process, command[0], command, env=environment, path=str(ROOT), usePTY=True
        )

        def end() -> Deferred[int]:
            with contextlib.suppress(error.ProcessExitedAlready):
                transport.signalProcess("KILL")
            return process.ended

        self.addCleanup(end)
        return process

    async def test_who_has_command(self) -> None:
        """Requests from the page, a loss of command and its giving up appear; ``who``, ``status`` answer."""
        reply_port = self.free_port()
        daemon = self.twistd(
            *("-n", "mtmount-bridge", "--journal", "none", "--web", f"tcp:0:interface={HOST}"),
            *("--command-port", "0", "--reply-port", str(reply_port)),
        )
        page = (await daemon.line(r"page on (http://127\.0\.0\.1:\d+)")).group(1)
        command_port = await self.serving(daemon)
        prompt = self.prompt(
            *("--command-port", str(command_port), "--reply-port", str(reply_port), "--web", page)
        )
        keyboard: Any = prompt.transport
        await prompt.says("CSC (nobody has command)>")
        keyboard.write(b"ask_for_command\r")
        await prompt.says("holder      this prompt (csc) has command")
        await getProcessValue(sys.executable, ["-c", ASK, page, "{}"])
        await prompt.says("REQUEST     web/anyone asks this prompt for command")
        keyboard.write(b"who\r")
        await prompt.says("web/anyone asks for it, since")
        await getProcessValue(sys.executable, ["-c", ASK, page, '{"take": true}'])
        await prompt.says("NO COMMAND  web/anyone has command; this prompt had it until now")
        await prompt.says("CSC (web/anyone has command)>")
        keyboard.write(b"status\r")
        await prompt.says("mount       Enable")
        keyboard.write(b"ask_for_command\r")
        await prompt.says("holder      this prompt (csc) has command", 2)
        keyboard.write(b"ask_for_command NONE\r")
        await prompt.says("holder      nobody has command; this prompt gave it up")
        keyboard.write(b"quit\r")
        self.assertEqual(await prompt.ended, 0)
        self.assertNotIn("Traceback", prompt.output)
        await self.assert_ends(daemon)
