"""The command line of ``mtmount-telemetry``. Only ``argparse`` prints here. Next to read: `program`."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mtmount_twisted.cli.command_line import OneLineParser
from mtmount_twisted.journal.schema import default_recordings
from mtmount_twisted.journal.times import parse_time
from mtmount_twisted.version import __version__

SLOWEST, FASTEST = 0.1, 100.0
"""The range of the speed of ``play``."""


def parse_options(
    arguments: Sequence[str] | None, wall_clock: Callable[[], float] = time.time
) -> argparse.Namespace:
    """Return the options of the command line as attributes; ``do`` is the name of the subcommand.

    :raises SystemExit: with status 2 after one line about bad usage; with 0 after ``--help`` or
        ``--version``.
    """
    parser = OneLineParser(
        prog="mtmount-telemetry",
        description="Read the recordings of the mount's telemetry. All times are UTC.",
        epilog="See docs/howto/recordings.rst. "
        "The exit status is 2 for bad usage, and if a recording can't be read.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mtmount-telemetry {__version__}")
    kinds = parser.add_subparsers(dest="do", required=True, metavar="list|show|export|play")
    when = partial(_time, now=wall_clock())
    listed = _subparser(kinds, "list", "the recordings, or the signals in them")
    listed.add_argument("--signals", action="store_true", help="the signals, with units")
    show = _subparser(kinds, "show", "the values of a moment, or events")
    show.add_argument("names", nargs="*", metavar="NAME", help="only these topics or signals")
    show.add_argument("--at", type=when, metavar="TIME", help="the moment (the newest line)")
    show.add_argument("--events", action="store_true", help="the mount's events of a time span instead")
    _add_span(show, when)
    export = _subparser(kinds, "export", "signals as CSV, or all lines")
    export.add_argument("names", nargs="*", metavar="SIGNAL", help="the signals; without one: all lines")
    export.add_argument(
        "--every",
        type=partial(_number, least=1e-3, most=86400.0),
        metavar="SECONDS",
        help="least, mean and greatest value in each such interval, not each value",
    )
    export.add_argument(
        "--escape-formulas",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put ' before a text that a spreadsheet would run as a formula",
    )
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="output file (standard output)")
    _add_span(export, when)
    play = _subparser(kinds, "play", "serve a recorded time span on a port of 127.0.0.1, as if live")
    play.add_argument(
        "--speed",
        type=partial(_number, least=SLOWEST, most=FASTEST),
        default=1.0,
        metavar="FACTOR",
        help=f"{SLOWEST:g} to {FASTEST:g} times the speed of the recording (%(default)s)",
    )
    play.add_argument(
        "--port", type=_port, default=50036, help="port; 0: the system chooses one (%(default)s)"
    )
    _add_span(play, when)
    options = parser.parse_args(arguments)
    if options.folder is None:
        parser.error("--folder: there is no home directory for the default; give the folder")
    since, until = getattr(options, "since", None), getattr(options, "until", None)
    if since is not None and until is not None and until <= since:
        parser.error("--until: expected a time after --since")
    if options.do == "export" and options.every is not None and not options.names:
        parser.error("--every: needs signals: name at least one")
    return options


def _subparser(kinds: Any, name: str, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(
        name, help=what, description=f"{name}: {what}.", allow_abbrev=False
    )
    try:
        default: Path | None = default_recordings()
    except RuntimeError:
        default = None
    shown = "no default: there is no home directory" if default is None else str(default)
    parser.add_argument(
        "--folder",
        type=Path,
        default=default,
        metavar="FOLDER",
        help=f"the folder of the recordings ({shown.replace('%', '%%')})",
    )
    return parser


def _add_span(parser: argparse.ArgumentParser, when: Callable[[str], float]) -> None:
    parser.add_argument(
        "--since", type=when, metavar="TIME", help="2026-11-22T16:14, 16:14, '10 min ago' (all times UTC)"
    )
    parser.add_argument("--until", type=when, metavar="TIME", help="likewise")


def _time(text: str, now: float) -> float:
    try:
        return parse_time(text, now)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if least <= number <= most:
        return number
    raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, got {text!r}")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
