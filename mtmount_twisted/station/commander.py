"""``mtmount-commander --station``: a prompt, or lines from a pipe, whose commands go by the broker.

``mtmount-commander`` starts this program in its place. ``cli.commander.line`` parses the lines. A command
from a pipe runs to its end before the next line. At a terminal a line does not wait for the end of the line
before it, so that a stop goes out at once. The program uses the standard streams, and the broker by a
`Requester`. It has no connection to the bridge. Next to read: `requester`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
import threading
import time
from asyncio import Queue, Task
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mtmount_twisted.cli.command_line import MISUSED
from mtmount_twisted.cli.commander import report
from mtmount_twisted.cli.commander.checking import body_of
from mtmount_twisted.cli.commander.line import (
    Help,
    Quit,
    Wait,
    asks_for_itself,
    commands_for_mount,
    parse_line,
)
from mtmount_twisted.cli.commander.manual import help_all, help_command
from mtmount_twisted.cli.commander.options import parse_options
from mtmount_twisted.cli.commander.script import DONE, FAILED
from mtmount_twisted.cli.standard_streams import abandon_output, run_program
from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable, MTMountError
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.fields import utc_now
from mtmount_twisted.wire.messages import CommandMessage
from mtmount_twisted.wire.tai import current_tai

from .nats_connection import Login
from .requester import Requester
from .waits import pause

PROGRAM = "mtmount-commander"

LONGEST = 3600.0
"""The longest wait for the outcome of a command, in seconds."""

MOST_LINES = 1000
"""The largest number of lines that wait to run."""

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


class Session:
    """Runs lines.

    :param send: sends a command with its parameters, and returns the outcome.
    :param show: called with each text for the output.
    :ivar quitting: True after a line that ends the session.
    """

    def __init__(
        self, options: argparse.Namespace, send: Callable[..., Any], show: Callable[[str], object]
    ) -> None:
        self.quitting: bool = False
        self._dialect, self._source = options.dialect, options.source
        self._source_given, self._user = options.source_given, options.user
        self._send = send
        self._show = show

    def _say(self, label: str, text: str) -> None:
        self._show(report.stamped(utc_now(), label, text))

    async def run(self, line: str) -> bool:
        """Run a line to its end. Return False if a command was not done.

        :raises MTMountError: if the line is invalid; then nothing was sent.
        """
        dialect = self._dialect
        request = parse_line(line, dialect=dialect, source=self._source, tai=current_tai)
        if isinstance(request, CommandMessage):
            if asks_for_itself(line, dialect) and not self._source_given:
                raise MTMountError(
                    f"ask_for_command: the source of {self._user} is not known, and another source would "
                    "hand command over; name it, as in ask_for_command EUI, or start with --source"
                )
            for command in commands_for_mount(request, dialect):
                if not await self._command(command):
                    return False
        elif isinstance(request, Help):
            self._show(help_command(request.command, dialect) if request.command else help_all(dialect))
        elif isinstance(request, Wait):
            await pause(request.seconds)
        elif isinstance(request, Quit):
            self.quitting = True
        elif request is not None:
            raise MTMountError(
                f"{line.split()[0]}: not available with --station: it asks the page of the bridge"
            )
        return True

    async def _command(self, command: CommandMessage) -> bool:
        """Send a command, and show its outcome. Return False if it is not done."""
        body = body_of(command, self._dialect)
        self._say("command", report.command_text(command))
        began = time.monotonic()
        try:
            outcome = await self._send(body["command"], body["parameters"], timeout=LONGEST)
        except (EngineUnreachable, EngineRefused, EngineFull) as error:
            self._say("NO ANSWER", f"{type(command).__name__}: {error}")
            return False
        if outcome.state != "done":
            text = outcome.explanation or outcome.state
            self._say(outcome.state.replace("_", " ").upper(), f"{type(command).__name__}: {text}")
            return False
        self._say("done", f"{type(command).__name__} after {time.monotonic() - began:.1f} s")
        return True


def _lines(loop: asyncio.AbstractEventLoop) -> Queue[str | None]:
    """Return a queue that receives each line of the standard input, and None at its end."""
    queue: Queue[str | None] = Queue(MOST_LINES)

    def put(line: str | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()

    def read() -> None:
        with suppress(OSError, RuntimeError):  # the loop may have ended
            with suppress(OSError), os.fdopen(os.dup(0), "rb") as file:
                for line in file:
                    put(line.decode(errors="backslashreplace").rstrip("\r\n"))
            put(None)

    threading.Thread(target=read, daemon=True).start()
    return queue


class _Output:
    """The standard output. If it can't be written, the commands go on without it, as without ``--station``.

    :ivar status: the exit status of a program whose commands are all done.
    """

    def __init__(self) -> None:
        self.status: int = DONE

    def show(self, text: str) -> None:
        """Write a text at once."""
        try:
            sys.stdout.write(visible(text, "\n") + "\n")
            sys.stdout.flush()
        except OSError as error:
            self.status = abandon_output(PROGRAM, error)


def _complain(text: str) -> None:
    sys.stderr.write(visible(f"{PROGRAM}: {text}", "\n") + "\n")


async def _talk(session: Session, lines: Queue[str | None], is_terminal: bool, stop_on_error: bool) -> int:
    """Run the lines. Return the exit status."""
    status = number = 0
    running: set[Task[int]] = set()

    async def run(number: int, line: str) -> int:
        try:
            return DONE if await session.run(line) else FAILED
        except MTMountError as error:
            _complain(f"line {number}: {visible(str(error))}")
            return MISUSED

    while not session.quitting and (line := await lines.get()) is not None:
        number += 1
        if is_terminal:
            task = asyncio.create_task(run(number, line))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.wait(
                [task], timeout=0.05
            )  # so that `quit` ends the session before the next line is read
            continue
        status = max(status, outcome := await run(number, line))
        if outcome and stop_on_error:
            break
    for task in running:
        task.cancel()
    return DONE if is_terminal else status


async def _run(options: argparse.Namespace, tls: ssl.SSLContext | None) -> int:
    output = _Output()
    login = Login(options.credentials or "", tls)
    lines = _lines(asyncio.get_running_loop())
    async with Requester(options.station, options.mount, options.user, login) as requester:
        try:
            await requester.wait_connected(options.connect_timeout)
        except EngineUnreachable as error:
            _complain(str(error))
            return MISUSED
        output.show(
            report.stamped(
                utc_now(),
                "CONNECTED",
                f"to the broker, as {options.user}; times are UTC; commands go to the mount {options.mount}",
            )
        )
        session = Session(options, requester.command, output.show)
        status = await _talk(session, lines, sys.stdin.isatty(), options.stop_on_error)
        return status or output.status


def main() -> int:
    """Run the program, and return its exit status."""

    def run() -> int:
        options = parse_options()
        try:
            tls = ssl.create_default_context(cafile=options.tls_ca) if options.tls_ca else None
        except OSError as error:  # the file is missing or malformed
            _complain(f"--tls-ca: {options.tls_ca} can't be used: {error.strerror or error}")
            return MISUSED
        try:
            return asyncio.run(_run(options, tls))
        except KeyboardInterrupt:
            _complain("interrupted")
            return INTERRUPTED

    return run_program(PROGRAM, run)


if __name__ == "__main__":
    sys.exit(main())
