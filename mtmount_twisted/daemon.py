"""What the daemons have in common: options that explain themselves, and checks at the start.

Bad options, a port that is taken and a host that does not resolve are found before the daemon
begins: one line on standard error that says how to mend it, and a non-zero exit.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NoReturn

from twisted.python import usage

from .communicator import ClientServerPair
from .logs import ROOT, send_to_twisted


class OneLineOptions(usage.Options):
    """Options whose mistakes are one line that names the option, without the whole help text.

    :cvar program: what to call the daemon in that line.
    :cvar converters: how the text of an option becomes its value, by the option's name; a
        converter raises `ValueError` with what was expected.
    """

    program: ClassVar[str]
    converters: ClassVar[Mapping[str, Callable[[str], Any]]]

    def parseOptions(self, options: Any = None) -> None:
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            stop(self.program, f"{error} (see twistd {self.program} --help)")

    def postOptions(self) -> None:
        for name, convert in self.converters.items():
            if self[name] is not None:
                try:
                    self[name] = convert(str(self[name]))
                except ValueError as error:
                    raise usage.UsageError(f"--{name}: {error}") from None


def stop(daemon: str, why: str) -> NoReturn:
    """End the program with one line on standard error and exit status 1."""
    raise SystemExit(f"{daemon}: {why}")


def number(least: float, most: float, kind: type[Any] = int) -> Callable[[str], Any]:
    """A converter of an option's text to a number within bounds."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise ValueError(f"expected a number from {least} to {most}, got {text!r}")
        return value

    return convert


connect_port = number(1, 65535)
listen_port = number(0, 65535)


def host_and_port(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT`` as a pair."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"expected HOST:PORT, got {text!r}")
    return host.removeprefix("[").removesuffix("]"), connect_port(port)


def check_resolves(daemon: str, option: str, host: str) -> str:
    """The first address that `host` has; stops the daemon if it has none."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        reason = error.strerror or str(error)
        stop(daemon, f"{option}: host {host!r} does not resolve ({reason}); give a host name or an address")


def check_can_listen(daemon: str, option: str, host: str, port: int) -> tuple[str, int]:
    """The address and port to listen on; stops the daemon if it could not listen there."""
    address = check_resolves(daemon, option, host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            why = f"can't listen on {host}:{port}: {error.strerror}"
            stop(daemon, f"{option}: {why}; is one running already? Give another port, or stop it")
    return address, port


def check_listening(daemon: str, pairs: Iterable[ClientServerPair[Any]]) -> None:
    """Stop the daemon if one of these can't listen: a port was taken since it was checked."""
    for pair in pairs:
        if pair.listen_error is not None:
            stop(daemon, f"{pair.listen_error}; give another port, or stop what has it")


def begin(reactor: Any, verbose: bool) -> logging.Logger:
    """What a daemon does first: one log, and deadlines that no change of the clock can touch.

    :returns: where its parts shall log to.
    """
    log = logging.getLogger(ROOT)
    send_to_twisted(log, logging.DEBUG if verbose else logging.INFO)
    if not reactor.getDelayedCalls():  # else those would be due at times of another clock
        reactor.seconds = time.monotonic
    return log
