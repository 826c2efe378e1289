"""The command line of ``mtmount-commander``. It prints only what ``argparse`` does.

Next to read: `program`, which is given what `parse_options` returns.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from typing import NoReturn

from ..enums import COMMAND_PORT, REPLY_PORT, Source
from ..fields import read_float, read_int
from ..version import __version__
from .script import MISUSED


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
    add("--command-port", type=_port, default=COMMAND_PORT, metavar="PORT", help="its port (%(default)s)")
    add("--reply-host", default="127.0.0.1", metavar="HOST", help="where to listen for replies (%(default)s)")
    add("--reply-port", type=_any_port, default=REPLY_PORT, metavar="PORT", help="0: any free (%(default)s)")
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
    add("--version", action="version", version=f"mtmount-commander {__version__}")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    return _ranged_port(text, 1)


def _any_port(text: str) -> int:
    return _ranged_port(text, 0)


def _ranged_port(text: str, least: int) -> int:
    with contextlib.suppress(ValueError):
        if least <= (port := read_int(text)) <= 65535:
            return port
    raise argparse.ArgumentTypeError(f"expected a port from {least} to 65535, got {text[:50]!r}")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if (seconds := read_float(text)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text[:50]!r}")


def _source(text: str) -> Source:
    commanders = (Source.CSC, Source.EUI, Source.HHD)
    for source in commanders:
        if text.upper() == source.name:
            return source
    names = ", ".join(source.name for source in commanders)
    raise argparse.ArgumentTypeError(f"expected one of {names}, got {text!r}")
