"""The program: its options, its connection, and a prompt or a script on top of them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from ..commanding import Mount
from ..communicator import Communicator
from ..enums import Source
from ..errors import ListenError
from .script import MISUSED, Lines, read_in_thread, run_script
from .session import Session

INTERRUPTED = 130
"""The exit status when a signal ended the program, as a shell has it for Ctrl-C."""

Show = Callable[[str], Any]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message} (--help explains)\n")


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as attributes.

    :raises SystemExit: with status 2 for bad usage, after one clear line; with 0 after
        ``--help`` or ``--version``.
    """
    parser = _Parser(
        prog="mtmount-commander",
        description="Command the telescope mount from a prompt, or with lines from a pipe.",
        epilog="From a pipe, the exit status is 0 if every command was done, 1 if one was not, and 2 for bad"
        " usage, a line that is no command, or no connection. See docs/commander.rst.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where the mount takes commands: name or address (%(default)s)")
    add("--command-port", type=_port, default=30005, metavar="PORT", help="its port there (%(default)s)")
    add("--reply-host", default="127.0.0.1", metavar="HOST", help="where to listen for replies (%(default)s)")
    add("--reply-port", type=_reply_port, default=30006, metavar="PORT", help="0: any free one (%(default)s)")
    add("--source", type=_source, default="CSC", help="who commands: CSC, EUI or HHD (%(default)s)")
    add(
        "--connect-timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long a script waits for the connection before it fails; a prompt says so and"
        " goes on waiting (%(default)s)",
    )
    add("--stop-on-error", action="store_true", help="end a script at the first line that is not done")
    add("--version", action="version", version=f"mtmount-commander {_version()}")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    return _ranged_port(text, 1)


def _reply_port(text: str) -> int:
    return _ranged_port(text, 0)


def _ranged_port(text: str, least: int) -> int:
    if text.isascii() and text.isdecimal() and least <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a port from {least} to 65535, got {text!r}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if 0 < seconds < math.inf:
        return seconds
    raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text!r}")


def _source(text: str) -> Source:
    commanders = (Source.CSC, Source.EUI, Source.HHD)
    for source in commanders:
        if text.upper() == source.name:
            return source
    names = ", ".join(source.name for source in commanders)
    raise argparse.ArgumentTypeError(f"expected one of {names}, got {text!r}")


def _version() -> str:
    try:
        return importlib.metadata.version("mtmount_twisted")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


class _Shown(logging.Handler):
    """Shows what the library logs of the connection, in the session's own form."""

    def __init__(self, session: Session) -> None:
        super().__init__(logging.INFO)
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        label = "link" if record.levelno < logging.WARNING else record.levelname
        self._session.show(label, record.getMessage())


class Program:
    """One run: a connection, a session on it, and its end.

    :param options: as `parse_options` gives them.
    :param show: called with each text for the output.
    :param complain: called with each text for the error output.
    """

    def __init__(self, reactor: Any, options: argparse.Namespace, show: Show, complain: Show) -> None:
        self.reactor = reactor
        self.options = options
        self.complain = complain
        self.log = logging.Logger(__name__, logging.INFO)  # its own: no other handler shows it again
        self.log.addHandler(logging.NullHandler())  # or logging itself would show what comes before _Shown
        self.link = Communicator(
            options.source.name,
            options.host,
            options.command_port,
            options.reply_host,
            options.reply_port,
            self.log,
            read_replies=True,
            connect_callback=self._connection_changed,
            reactor=reactor,
        )
        self.mount = Mount(self.link)
        self.session = Session(self.mount, show, clock=reactor, source=options.source)
        self.log.addHandler(_Shown(self.session))
        self._was_connected = False

    async def run(self, talk: Callable[[], Deferred[int]]) -> int:
        """Listen, do what `talk` does, and close all.

        :returns: the exit status.
        """
        try:
            port = await self.link.wait_server_port()
            self.session.show(
                "link",
                f"{self.options.source.name}: times are UTC; commands go to {self._far_end}, "
                f"replies come to {self.link.server_host}:{port}",
            )
            return await talk()
        except ListenError as error:
            self.complain(str(error))
            return MISUSED
        finally:
            self.session.close()
            await self.mount.close()

    async def run_pipe(self, lines: Lines) -> int:
        """Run a script once there is a connection."""
        try:
            await self.link.wait_connected().addTimeout(self.options.connect_timeout, self.reactor)
        except TimeoutError:
            self.complain(self._why_not_connected())
            return MISUSED
        return await run_script(self.session, lines, self.complain, stop_on_error=self.options.stop_on_error)

    async def run_prompt(self) -> int:
        """Converse with a person, connected or not."""
        from .prompt import converse, make_prompt

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C just between two prompts drops nothing
        waiting = self.link.wait_connected().addTimeout(self.options.connect_timeout, self.reactor)
        waiting.addErrback(self._still_waiting)
        talk = asyncio.ensure_future(
            converse(self.session, make_prompt(self.session, self.options.source.name))
        )
        try:
            await Deferred.fromFuture(talk)  # if cancelled, it waits until the terminal is put right
        except asyncio.CancelledError:
            raise CancelledError from None
        finally:
            waiting.cancel()
        return 0

    @property
    def _far_end(self) -> str:
        return f"{self.options.host}:{self.options.command_port}"

    def _why_not_connected(self) -> str:
        late = f"not connected within {self.options.connect_timeout:g} s"
        if not self.link.client_connected:
            return f"{late}: nothing takes commands on {self._far_end}"
        return (
            f"{late}: the mount did not connect to {self.link.server_host}:{self.link.server_port} to reply"
        )

    def _still_waiting(self, reason: Failure) -> None:
        if reason.check(TimeoutError):
            self.session.show("link", f"{self._why_not_connected()}; still trying")

    def _connection_changed(self, link: Communicator) -> None:
        if link.connected != self._was_connected and not link.closed:
            self._was_connected = link.connected
            if link.connected:
                self.session.show("CONNECTED", "both ways: commands can be given")
            else:
                self.session.show("LOST", "the connection to the mount; trying to get it back")


def _show(text: str) -> None:
    """Write to the output; if its reader has left, the commands go on without it."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    sys.stderr.write(f"mtmount-commander: {text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the commander.

    :param arguments: the command line without the program's name; `sys.argv`'s if None.
    :returns: the exit status.
    """
    options = parse_options(arguments)
    if sys.stdin is None:
        _complain("the standard input is closed: there are no lines to read")
        return MISUSED
    interactive = sys.stdin.isatty()
    if interactive:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(asyncio.new_event_loop())
    from twisted.internet import reactor

    return _run(reactor, options, interactive)


def _run(reactor: Any, options: argparse.Namespace, interactive: bool) -> int:
    statuses: list[int] = []

    def talk(program: Program) -> Deferred[int]:
        lines = Lines(lambda: read_in_thread(reactor, sys.stdin.fileno()))
        return Deferred.fromCoroutine(program.run_prompt() if interactive else program.run_pipe(lines))

    def start() -> None:
        program = Program(reactor, options, _show, _complain)
        running = Deferred.fromCoroutine(program.run(lambda: talk(program)))
        running.addCallbacks(statuses.append, failed).addBoth(stop)
        reactor.addSystemEventTrigger("before", "shutdown", interrupt, running)

    def interrupt(running: Deferred[Any]) -> Deferred[Any]:
        running.cancel()
        return running

    def failed(reason: Failure) -> None:
        interrupted = reason.check(CancelledError) is not None
        statuses.append(INTERRUPTED if interrupted else MISUSED)
        _complain("interrupted" if interrupted else f"a fault in the commander:\n{reason.getTraceback()}")

    def stop(_: object) -> None:
        with contextlib.suppress(ReactorNotRunning):  # a signal stopped it first
            reactor.stop()

    reactor.callLater(0, start)  # and not when running: asyncio's loop is not yet running then
    reactor.run()
    return statuses[0] if statuses else INTERRUPTED
