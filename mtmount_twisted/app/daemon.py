"""The code that both daemons share: options, checks at the start, signals, log and systemd.

The checks find a bad option, a port in use or an unknown host before the daemon starts. Such a mistake ends
the program with exit status 1 and one line on standard error, which names the remedy. Next to read: `bridge`
and `simulator`, the daemons; `twistd_log`, their log; `systemd`, their notifications.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeVar, get_args

from twisted.application.app import ServerOptions
from twisted.application.service import Service
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized

from mtmount_twisted.cli.standard_streams import open_closed_streams, say
from mtmount_twisted.dialects.dialect import DialectName
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.net.logs import ROOT, send_to_twisted
from mtmount_twisted.net.pair import ConnectionPair
from mtmount_twisted.net.reactors import bound_turns
from mtmount_twisted.net.resolving import Addresses, look_up
from mtmount_twisted.version import __version__
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.fields import INT, Kind

from .privileged import PrivilegedPorts
from .systemd import ServiceManager
from .twistd_log import LOG_FORMATS, TwistdLog

T = TypeVar("T")

_STARTED_AS = os.getpid()

FULL_COLLECTION = 50
"""The number of collections of the second generation before a full one: 350,000 new objects that hold others.
Lost TLS connections leave some of them as garbage, 8 KB for each connection, which then takes 50 MiB."""


class OneLineOptions(usage.Options):
    """Options that report a mistake in one line, which names the option, instead of the help text.

    :cvar program: the daemon's name in that line.
    :cvar converters: the function from text to value for each option, by the option's name. It raises
        `ValueError` with a text that gives the expected value.
    """

    program: ClassVar[str]
    converters: ClassVar[Mapping[str, Callable[[str], Any]]]

    def parseOptions(self, options: Any = None) -> None:
        """Parse the options. End the program with one line if an option is wrong."""
        open_closed_streams()
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            by_name = os.path.basename(sys.argv[0]) == self.program
            stop(self.program, f"{error} (see {'' if by_name else 'twistd '}{self.program} --help)")

    def opt_help(self) -> NoReturn:
        """Print this help text and exit."""
        say(self.program, str(self))
        raise SystemExit(0)

    def opt_version(self) -> NoReturn:
        """Print the version of mtmount_twisted and exit."""
        say(self.program, f"{self.program} {__version__}")
        raise SystemExit(0)

    def parseArgs(self, *words: str) -> None:
        """Reject every argument that is not an option."""
        if words:
            raise usage.UsageError(f"expected options only, got {words[0]!r}")

    def postOptions(self) -> None:
        """Convert the text of each option to its value."""
        for number in (signal.SIGUSR1, *IGNORED_SIGNALS):
            if signal.getsignal(number) is signal.SIG_DFL:
                note_signal(number)  # its default action would end the process too early
        if is_init():
            signal.signal(signal.SIGTERM, _end_init)
        for name, convert in self.converters.items():
            if self[name] is not None:
                try:
                    self[name] = convert(str(self[name]))
                except ValueError as error:
                    raise usage.UsageError(f"--{name}: {error}") from None


def stop(daemon: str, why: str) -> NoReturn:
    """End the program with one line on standard error and exit status 1."""
    stop_all(daemon, (why,))


def stop_all(daemon: str, whys: Iterable[str]) -> NoReturn:
    """End the program with a line on standard error for each reason, and exit status 1."""
    raise SystemExit("\n".join(visible(f"{daemon}: {why}") for why in whys)) from None


def number(least: float, most: float, kind: Kind = INT) -> Callable[[str], Any]:
    """Return a function that converts an option's text, a number as on the wire, and checks its bounds."""

    def convert(text: str) -> Any:
        try:
            value = kind.read(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise ValueError(f"expected a number from {least} to {most}, got {text[:50]!r}")
        return value

    return convert


def dialect(text: str) -> str:
    """Return the text of an option, which must be the name of a dialect."""
    names: tuple[DialectName, ...] = get_args(DialectName)
    if text not in names:
        raise ValueError(f"expected {' or '.join(names)}, got {text[:50]!r}")
    return text


def log_format(text: str) -> str:
    """Return the text of an option, which must be the name of a form of the log."""
    if text not in LOG_FORMATS:
        raise ValueError(f"expected {' or '.join(LOG_FORMATS)}, got {text[:50]!r}")
    return text


connect_port: Callable[[str], Any] = number(1, 65535)
listen_port: Callable[[str], Any] = number(0, 65535)


def next_port(option: str, port: int) -> int:
    """Return the default port for replies, one above the port for commands (``protocol-tma2020.rst``).

    :raises twisted.python.usage.UsageError: if no such port exists.
    """
    if not 1 <= port < 65535:
        raise usage.UsageError(f"--{option}: there is no port one above {port}; name one")
    return port + 1


Found = Mapping[str, Addresses | str]
"""For each host its addresses, or the reason why it has none; see `resolving.look_up`."""


def check_resolves(daemon: str, option: str, host: str, found: Found | None = None) -> Addresses:
    """Return the addresses of a host, IPv4 first. Stop the daemon if the host has none.

    :param option: the option or key that names the host, for the error.
    :param found: the result of an earlier look-up; if None, the host is looked up now.
    """
    addresses = (look_up([host]) if found is None else found)[host]
    if isinstance(addresses, str):
        why = f"host {host!r} does not resolve ({addresses})"
        stop(daemon, f"{option}: {why}; give a host name or an address")
    return addresses


class Listen(NamedTuple):
    """An address and port to listen on, and the options that give them."""

    host_option: str
    host: str
    port_option: str
    port: int


def can_listen(host: str, port: int) -> bool:
    """Return True if a program can listen on a port of an IPv4 address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
    return True


def check_can_listen(
    daemon: str, wanted: Iterable[Listen], found: Found | None = None
) -> list[tuple[str, int]]:
    """Return the addresses and ports to listen on. Stop the daemon unless all can be bound at the same time.

    :param found: the result of an earlier look-up, as for `check_resolves`.
    """
    with ExitStack() as probes:
        return [_check_can_listen(daemon, listen, probes, found) for listen in wanted]


def _check_can_listen(daemon: str, listen: Listen, probes: ExitStack, found: Found | None) -> tuple[str, int]:
    address = check_resolves(daemon, listen.host_option, listen.host, found)[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host, _, zone = address.partition("%")
    try:
        probe = probes.enter_context(socket.socket(family, socket.SOCK_STREAM))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # `bind` takes the zone of a link-local address as a separate number.
        probe.bind((host, listen.port, 0, socket.if_nametoindex(zone)) if zone else (host, listen.port))
        probe.listen()
    except OSError as error:
        option = listen.host_option if error.errno in _ADDRESS_FAULTS else listen.port_option
        place = host_and_port(listen.host, listen.port)
        why = f"can't listen on {place}: {error.strerror or error}"
        stop(daemon, f"{option}: {why}; {_ADVICE.get(error.errno or 0, 'give another')}")
    return address, listen.port


_ADDRESS_FAULTS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_ADVICE = {
    errno.EADDRINUSE: "is a daemon running already? Give another port, or stop it",
    errno.EACCES: "give a port above 1023",
    errno.EADDRNOTAVAIL: "give an address of this machine",
    errno.EAFNOSUPPORT: "give an IPv4 address",
}


def _check_user(twistd: ServerOptions) -> None:
    """Stop the daemon if ``twistd`` can't change to the user that ``--uid`` names.

    ``twistd`` needs the user's entry in the password file, and prints a traceback without one.
    """
    uid = twistd.get("uid")
    if uid is None or uid == os.getuid():
        return
    try:
        pwd.getpwuid(uid)
    except KeyError:
        why = f"user id {uid} has no entry in the password file; give another, or start it as that user"
        stop(str(twistd.subCommand), f"--uid: {why} (setpriv --reuid, User= of systemd)")


def check_listening(daemon: str, pairs: Iterable[ConnectionPair[Any]]) -> None:
    """Stop the daemon if a pair can't listen, because another process took its port after the check.

    :raises ListenError: in a process that ``twistd`` has forked to the background. There ``twistd`` reports
        an error to the terminal and ends with status 1, but hangs after a `SystemExit`.
    """
    for pair in pairs:
        if pair.listen_error is not None:
            _end(daemon, pair.listen_error)


def check_failures(daemon: str, failures: Iterable[str]) -> None:
    """Stop the daemon, as `check_listening` does, if there is a failure; report the first one."""
    for failure in failures:
        _end(daemon, OSError(visible(failure)))


def _end(daemon: str, error: OSError) -> NoReturn:
    if os.getpid() != _STARTED_AS:
        raise error
    stop(daemon, f"{error}; give another port, or stop the program that uses it")


IGNORED_SIGNALS = (
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
    signal.SIGPWR,
    signal.SIGXCPU,
    signal.SIGSTKFLT,
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)
"""The signals that the daemons ignore. By default each ends the process at once, while it still has command.

Signals of a fault in the process, such as SIGSEGV, and SIGQUIT, which requests a core dump, are not ignored:
they end the process at once (``signal(7)``).
"""


def signal_name(number: int) -> str:
    """Return the name of a signal; for a real-time signal without a name, ``SIGRTMIN+`` and a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def is_init() -> bool:
    """Return True if this process is the first of a container or of another PID namespace."""
    return os.getpid() == 1


def _end_init(number: int, frame: object) -> NoReturn:
    """End the process before the reactor runs. The kernel delivers a signal to process 1 only if the process
    handles it."""
    raise SystemExit(128 + number)


_noted: set[int] = set()


def note_signal(number: int) -> None:
    """Record a signal, from now on, until `on_signal` installs a handler that acts on it."""
    signal.signal(number, lambda number, frame: _noted.add(number))


def on_signal(number: int, do: Callable[[], None]) -> None:
    """Call a function in the reactor on each signal, and once at the reactor's start if `note_signal`
    recorded a signal."""
    from twisted.internet import reactor

    running: Any = reactor
    signal.signal(number, lambda number, frame: running.callFromThread(do))
    if number in _noted:
        _noted.discard(number)
        running.callFromThread(do)


def _above(options: usage.Options) -> ServerOptions | None:
    above = getattr(options, "parent", None)
    return above if isinstance(above, ServerOptions) else None


def privileged_ports(
    options: usage.Options, reactor: Any, wanted: Iterable[tuple[str, int]]
) -> PrivilegedPorts | None:
    """Return a reactor that listens on ports bound with root's rights, if ``twistd`` drops these rights;
    otherwise None.

    :param wanted: the addresses and ports on which the daemon will listen.
    """
    twistd = _above(options)
    if twistd is None or twistd.get("uid") is None or os.geteuid() != 0:
        return None
    return PrivilegedPorts(reactor, wanted)


class DaemonService(Service):
    """A service under ``twistd`` that logs in a thread, handles signals and notifies systemd.

    Twisted's own log observers write in the reactor's thread, so that an unread log stops the reactor.
    ``twistd`` makes no observer if the application already has one. This service therefore sets an observer
    when it becomes a part of the application. List this class first among the bases.

    :ivar twistd: the options of ``twistd`` itself; None if something else runs the service.
    :ivar twistd_log: the log, or None; ``reopen()`` reopens its file.
    :ivar manager: notifies systemd; None if a program other than ``twistd`` runs the service.
    """

    twistd: ServerOptions | None = None
    twistd_log: TwistdLog | None = None
    manager: ServiceManager | None = None
    _log_format = LOG_FORMATS[0]
    _ports: PrivilegedPorts | None = None

    def run_by(self, options: usage.Options, ports: PrivilegedPorts | None = None) -> None:
        """Store the service's options, and the options of ``twistd``, which are their parent.

        :param ports: the ports to bind while the process still has root's rights; from `privileged_ports`.
        """
        self.twistd = _above(options)
        self._log_format = options["log-format"]
        self._ports = ports

    def setServiceParent(self, parent: Any) -> None:
        """Set the application's log observer; see `twisted.application.service.IService`."""
        if isinstance(parent, Componentized) and self.twistd is not None:
            _check_user(self.twistd)
            try:
                self.twistd_log = TwistdLog(self.twistd, self._log_format)
            except OSError as error:
                why = f"can't write {error.filename or self.twistd['logfile']}: {error.strerror or error}"
                stop(str(self.twistd.subCommand), f"--logfile: {why}; give another file")
            if self.twistd_log.observer is not None:
                parent.setComponent(ILogObserver, self.twistd_log.observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """Start the log and handle signals. ``twistd`` calls this when it is in the background."""
        from twisted.internet import reactor

        running: Any = reactor
        log = logging.getLogger(ROOT)
        if self.twistd_log is not None:
            self.twistd_log.start(reactor)
        has_file = self.twistd_log is not None and self.twistd_log.has_file
        if has_file:
            on_signal(signal.SIGUSR1, partial(self._reopen, log))
        for number in IGNORED_SIGNALS if has_file else (signal.SIGUSR1, *IGNORED_SIGNALS):
            on_signal(number, partial(log.info, "ignored %s", signal_name(number)))
        if self._ports is not None:
            try:
                self._ports.bind()
            except OSError as error:
                _end(str(self.twistd and self.twistd.subCommand), error)
            running.addSystemEventTrigger("after", "shutdown", self._ports.close)
        self.manager = ServiceManager(os.environ, running, log)
        running.addSystemEventTrigger("after", "shutdown", self.manager.close)
        if is_init():
            # Orphans become children of process 1. If SIGCHLD is ignored, they leave no zombies (wait(2)).
            running.callWhenRunning(signal.signal, signal.SIGCHLD, signal.SIG_IGN)
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def _reopen(self, log: logging.Logger) -> None:
        if self.twistd_log is not None:
            self.twistd_log.reopen()
            log.info("SIGUSR1: reopened the log file")

    def announce(self, log: logging.Logger, text: str) -> None:
        """When the reactor runs and can be stopped cleanly, log that the daemon serves, and notify
        systemd."""
        from twisted.internet import reactor

        running: Any = reactor
        running.callWhenRunning(self._serves, log, text)

    def _serves(self, log: logging.Logger, text: str) -> None:
        # Every thread waits for a garbage collection. The present objects live until the end; excluding them
        # shortens a collection from seventy milliseconds to a few. Some thirty of them are garbage, which do
        # not justify a collection of 20 ms before the daemon serves.
        gc.freeze()
        # A lost connection without TLS leaves no cycles, but the interpreter does not know it: a few hundred
        # connections would cause full collections.
        gc.set_threshold(700, 10, FULL_COLLECTION)
        log.info(text)
        if self.manager is not None:
            self.manager.ready()

    def announce_end(self, log: logging.Logger) -> None:
        """Notify systemd that the daemon ends. Only log an error, because the parts must end in any case."""
        try:
            if self.manager is not None:
                self.manager.stopping()
        except Exception:
            log.exception("can't notify systemd that the daemon ends")


def begin_log(reactor: Any, verbose: bool) -> logging.Logger:
    """Set up the log, let the reactor's timers follow the monotonic clock, and bound its turns.

    Call this first in a daemon.

    Twisted's timers otherwise follow the wall clock, and a clock set back by an hour would delay the stop of
    a lost holder.

    :returns: the logger for all parts.
    """
    log = logging.getLogger(ROOT)
    send_to_twisted(log, logging.DEBUG if verbose else logging.INFO)
    if not reactor.getDelayedCalls():  # an existing timer would be due at a time of the old clock
        reactor.seconds = time.monotonic
    bound_turns(reactor)
    return log
