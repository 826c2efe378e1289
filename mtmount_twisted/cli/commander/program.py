"""The program: a connection, a prompt or a script that uses it, and the reactor.

It uses the reactor, signals and the standard streams. Next to read: `session`, which runs the lines;
`options`, the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TextIO
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from mtmount_twisted.cli.command_line import MISUSED
from mtmount_twisted.cli.standard_streams import run_program
from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.client.mount import Mount
from mtmount_twisted.dialects.sources import Commander
from mtmount_twisted.errors import ConnectTimeoutError, ListenError, PeerRefusedError, WebError
from mtmount_twisted.hosts import host_and_port, is_loopback, plain_address
from mtmount_twisted.net.output import DescriptorSink, OutputFile, OutputThread
from mtmount_twisted.net.tls import client_options, date_warnings, load_credentials
from mtmount_twisted.version import how_to_install
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.fields import utc_now
from mtmount_twisted.wire.messages import CommandMessage

from .checking import Verdict, body_of, read_verdict
from .connecting import PORT_ADVICE, SAY_AFTER, wait_connected
from .options import DEFAULT_WEB, WebAddress, parse_options
from .script import Lines, read_in_thread, run_script
from .session import Session
from .watch import Watch

INTERRUPTED = 130
"""Exit status of a program that a signal ended, the same as a shell's status after Ctrl-C."""

LINES = "\n"
"""Control characters that a text for a person may contain: a help text has several lines."""

Show = Callable[[str], Any]


class _Shown(logging.Handler):
    """Handler that shows the library's log records about the connection in the form of the session."""

    def __init__(self, session: Session) -> None:
        super().__init__(logging.INFO)
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        label = "link" if record.levelno < logging.WARNING else record.levelname
        self._session.show(label, record.getMessage())


class Program:
    """One run: a connection, a session that uses it, and its end.

    :param options: the result of `parse_options`.
    :param show: called with each text for the output.
    :param complain: called with each text for the error output.
    """

    def __init__(self, reactor: Any, options: argparse.Namespace, show: Show, complain: Show) -> None:
        self.reactor = reactor
        self.options = options
        self.complain = complain
        self.log: logging.Logger = logging.Logger(
            __name__, logging.INFO
        )  # separate, so that no other handler shows it again
        self.log.addHandler(logging.NullHandler())  # else `logging` shows records before `_Shown` does
        self.link: Communicator = self._make_link()
        self.mount: Mount = Mount(self.link)
        self.watch: Watch | None = None
        self._close_web: Callable[[], Any] = lambda: None
        self._client: Callable[[], Any] | None = None
        self.session: Session = Session(
            self.mount,
            show,
            clock=reactor,
            source=options.source,
            own_commander=self._own_commander,
            on_ask=self._note_ask,
            look=self._look,
            judge=self._judge,
        )
        self._set_up_watch()
        self.log.addHandler(_Shown(self.session))
        self._warn_of_certificates()
        self._was_connected = False

    def _make_link(self) -> Communicator:
        """Return the connection for the options: a pair, or a connection to a ``[[port]]``."""
        options = self.options
        shared: dict[str, Any] = {
            "connect_callback": self._connection_changed,
            "reactor": self.reactor,
            "dialect": options.dialect,
        }
        if options.connect is None:
            return Communicator(
                options.source.name,
                options.host,
                options.command_port,
                options.reply_host,
                options.reply_port,
                self.log,
                read_replies=True,
                **shared,
            )
        host, port = options.connect
        tls = None
        if options.tls_ca is not None:
            tls = client_options(host, options.tls_ca, options.tls_certificate or "", options.tls_key or "")
        return DuplexCommunicator(options.source.name, host, port, self.log, tls=tls, **shared)

    def _warn_of_certificates(self) -> None:
        """Warn if our certificate has expired or expires soon, as the daemon warns of its own certificate."""
        own = self.options.tls_certificate
        if own is None:
            return
        chain = load_credentials(own, self.options.tls_key or own).chain
        for why in date_warnings(chain, utc_now()):
            self.log.warning("--tls-certificate: %s: %s", own, why)

    # The page of the daemon

    @property
    def _web(self) -> WebAddress | None:
        """Address of the daemon's page; None if the program does not use it."""
        options = self.options
        if options.web is None:
            host, _ = options.connect or (options.host, None)
            return DEFAULT_WEB if is_loopback(host) else None
        return None if options.web == "none" else options.web

    def _set_up_watch(self) -> None:
        """If the program uses the page, make the `Watch` that asks the daemon for the holder of command.

        :raises ValueError: if the files for an ``https`` address are unusable.
        """
        address, options = self._web, self.options
        if address is None:
            return
        tls = client_options(address.host, options.tls_ca or "") if address.secure else None

        @cache
        def client() -> Any:
            from .web import WebClient

            made = WebClient(self.reactor, address, options.token_file or "", tls)
            self._close_web = made.close
            return made

        self._client = client
        self.watch = Watch(
            lambda path: client().get(path),
            str(address),
            self.session.show,
            self.reactor,
            self._own_address,
            is_guess=options.web is None,
        )

    async def _look(self) -> Any:
        return await self._asked().state()

    async def _judge(self, command: CommandMessage) -> Verdict:
        """Ask the daemon for the expected answer to a command of this prompt."""
        name = await self._asked().own_name()
        assert self._client is not None  # a `Watch` has it
        path = f"/api/v1/commands?commander={quote(name, safe='')}"
        return read_verdict(await self._client().post(path, body_of(command, self.options.dialect)))

    def _asked(self) -> Watch:
        if self.watch is not None:
            return self.watch
        if self.options.web == "none":
            raise WebError("the bridge's page is not used: omit --web none")
        raise WebError(_ELSEWHERE)

    async def _own_commander(self) -> Commander:
        """Return the commander as which the bridge treats this prompt. This depends on the port, not on
        ``--source``.

        :raises WebError: if the commander at a ``[[port]]`` is unknown: a wrong commander would hand command
            over.
        """
        try:
            source = await self._asked().own_source()
        except WebError as error:
            if self.options.at_port and not self.options.source_given:
                raise WebError(
                    f"ask_for_command: the commander of this prompt is unknown: {error}; name it, "
                    "as in ask_for_command EUI, or start with --source"
                ) from None
            source = self.options.source
        return Commander(int(source))

    def _note_ask(self, commander: Commander | None) -> None:
        if self.watch is not None:
            self.watch.note_ask(commander)

    def _own_address(self) -> str | None:
        """The address of this commander as the bridge has it, HOST:PORT; None while it is not connected. The
        address of a pair's commander is the address of the pair."""
        writer = self.link.writer
        if writer is None or not self.link.connected:
            return None
        transport = writer.transport
        place = transport.getHost() if self.options.at_port else transport.getPeer()
        return host_and_port(plain_address(place.host), place.port)

    def _start_watch(self) -> None:
        if self.watch is not None:
            self.watch.start()
        elif self.options.web is None:
            self.session.show("link", f"who has command is not known: {_ELSEWHERE}")

    # Running

    async def run(self, talk: Callable[[], Deferred[int]]) -> int:
        """Listen, call `talk`, and close everything.

        :returns: the exit status.
        """
        try:
            port = await self.link.wait_server_port()
            back = f"replies come to {host_and_port(self.link.server_host, port)}"
            if self.options.connect is not None:
                encrypted = "not " if self.options.tls_ca is None else ""
                back = f"replies come back on the same connection, {encrypted}encrypted"
            self.session.show(
                "link", f"{self.options.source.name}: times are UTC; commands go to {self._far_end}, {back}"
            )
            return await talk()
        except ListenError as error:
            self.complain(str(error))
            return MISUSED
        finally:
            if self.watch is not None:
                self.watch.stop()
            self.session.close()
            await DeferredList([self.mount.close(), maybeDeferred(self._close_web)])

    async def run_pipe(self, lines: Lines) -> int:
        """Run a script when the connection is up."""
        try:
            await wait_connected(self.link, self.options.connect_timeout, self.complain)
        except ConnectTimeoutError as error:
            self.complain(str(error))
            return MISUSED
        except PeerRefusedError as error:
            self.complain(_advised(error))
            return MISUSED
        return await run_script(self.session, lines, self.complain, stop_on_error=self.options.stop_on_error)

    async def run_prompt(self) -> int:
        """Converse with a person, with or without a connection."""
        from .prompt import converse, make_prompt

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C between two prompts must not end the program
        waiting = self.link.wait_connected(min(SAY_AFTER, self.options.connect_timeout))
        waiting.addErrback(self._still_waiting)
        self._start_watch()
        prompt = make_prompt(self.session, self.options.source.name, self._lacks)
        talk = asyncio.ensure_future(converse(self.session, prompt))
        try:
            await Deferred.fromFuture(talk)  # waits for a cancelled talk, which restores the terminal
        except asyncio.CancelledError:
            raise CancelledError from None
        finally:
            waiting.cancel()
        return 0

    def _lacks(self) -> str:
        return "" if self.watch is None else self.watch.label

    @property
    def _far_end(self) -> str:
        return host_and_port(*self.options.connect or (self.options.host, self.options.command_port))

    def _still_waiting(self, reason: Failure) -> None:
        if reason.check(ConnectTimeoutError):
            self.session.show("link", f"{reason.getErrorMessage()}; still trying")
        elif isinstance(reason.value, PeerRefusedError):
            self.session.show("link", f"{_advised(reason.value)}; still trying")

    def _connection_changed(self, link: Communicator) -> None:
        if link.connected != self._was_connected and not link.closed:
            self._was_connected = link.connected
            if link.connected:
                self.session.show("CONNECTED", "in both directions: commands can be sent")
            else:
                if self.watch is not None:
                    self.watch.forget_source()
                self.session.forget_events()
                self.session.show("LOST", "the connection to the mount; reconnecting")


_ELSEWHERE = "the mount is not on this machine; --web URL names the page of its bridge"


def _advised(error: PeerRefusedError) -> str:
    """Return the reason why a connection is unusable, with a remedy."""
    return f"{error}; {PORT_ADVICE[error.cause]}"


def _show(text: str) -> None:
    sys.stdout.write(visible(text, LINES) + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(visible(f"mtmount-commander: {text}", LINES) + "\n")


LAST_WORDS = 1.0
"""Longest time in seconds that an interrupted commander waits until its output is written."""


def _in_thread(stream: TextIO) -> OutputFile:
    """Return a file that writes to a stream in a separate thread. So commands continue while nobody reads the
    output, and even after its reader has left.
    """
    stream.flush()
    descriptor = stream.fileno()
    output = OutputThread(DescriptorSink(descriptor), _lacking, name=stream.name)
    output.start()
    return OutputFile(output, descriptor, stream.encoding)


def _lacking(number: int, error: Exception | None) -> bytes:
    why = "not read fast enough" if error is None else str(error)
    return f"mtmount-commander: {number} lines are missing here: {why}\n".encode()


def _flush(files: Iterable[OutputFile], within: float | None) -> None:
    """Wait until everything is written. A signal during the wait ends the program."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for file in files:
        file.output.flush(within)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the commander.

    :param arguments: the command line without the program's name; None to use `sys.argv`.
    :returns: the exit status.
    """
    no_input = sys.stdin is None
    return run_program("mtmount-commander", lambda: _begin(arguments, no_input))


def _begin(arguments: Sequence[str] | None, no_input: bool) -> int:
    options = parse_options(arguments)
    if options.station is None or no_input:
        return _run_with(options, no_input)
    return _become_client_of_broker(list(sys.argv[1:] if arguments is None else arguments))


def _become_client_of_broker(words: list[str]) -> NoReturn:
    """Replace this program by the program for the broker, which runs on asyncio."""
    package = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    python = [sys.executable, "-P", "-m", "mtmount_twisted.station.commander", *words]
    os.execve(sys.executable, python, {**os.environ, "PYTHONPATH": paths})


def _run_with(options: argparse.Namespace, no_input: bool) -> int:
    if no_input:
        _complain("the standard input is closed: there are no lines to read")
        return MISUSED
    interactive = sys.stdin.isatty()
    if interactive:
        from twisted.internet import asyncioreactor

        asyncioreactor.install(asyncio.new_event_loop())
    from twisted.internet import reactor

    files = [_in_thread(stream) for stream in (sys.stdout, sys.stderr)]
    sys.stdout, sys.stderr = files
    status = INTERRUPTED
    try:
        status = _run(reactor, options, interactive)
    finally:
        _flush(files, LAST_WORDS if status == INTERRUPTED else None)
    shown, complaints = (file.output for file in files)
    if shown.error is not None and not isinstance(shown.error, BrokenPipeError):
        why = getattr(shown.error, "strerror", None) or shown.error
        _complain(f"can't write to the standard output: {why}; {shown.dropped} lines are missing")
        complaints.flush(LAST_WORDS)
    return status


def _why_not_begun(error: ValueError | ImportError) -> str:
    if isinstance(error, ImportError):
        return f"TLS requires {error.name}, which is not installed: {how_to_install('tls')}"
    return str(error)


def _run(reactor: Any, options: argparse.Namespace, interactive: bool) -> int:
    statuses: list[int] = []

    def talk(program: Program) -> Deferred[int]:
        lines = Lines(lambda: read_in_thread(reactor, sys.stdin.fileno()))
        return Deferred.fromCoroutine(program.run_prompt() if interactive else program.run_pipe(lines))

    def start() -> None:
        try:
            program = Program(reactor, options, _show, _complain)
        except (ValueError, ImportError) as error:  # an invalid host, or a file that is not a certificate
            _complain(_why_not_begun(error))
            statuses.append(MISUSED)
            stop(None)
            return
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
        with contextlib.suppress(ReactorNotRunning):  # a signal may have stopped the reactor
            reactor.stop()

    reactor.callLater(0, start)  # not callWhenRunning: asyncio's loop is not running yet at that moment
    reactor.run()
    return statuses[0] if statuses else INTERRUPTED
