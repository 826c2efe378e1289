"""The command line of ``mtmount-journal``.

It reads no file; no Twisted. Next to read: `program`, which carries out the subcommands.
"""

from __future__ import annotations

import argparse
import difflib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mtmount_twisted.cli.command_line import OneLineParser
from mtmount_twisted.dialects.dialect import DialectName, counterparts, dialect_named
from mtmount_twisted.journal.reading import GOOD_OUTCOMES, OUTCOMES, UNKNOWN, Wanted
from mtmount_twisted.journal.run_dialects import KNOWN
from mtmount_twisted.journal.schema import COLUMNS, default_path
from mtmount_twisted.journal.times import parse_time
from mtmount_twisted.version import __version__

from .export import FORMATS
from .leaving_out import LeftOut


def parse_options(
    arguments: Sequence[str] | None, wall_clock: Callable[[], float] = time.time
) -> argparse.Namespace:
    """Return the options of the command line as attributes; ``do`` is the name of the subcommand.

    :raises SystemExit: with status 2 after one line about bad usage; with 0 after ``--help`` or
        ``--version``.
    """
    parser = OneLineParser(
        prog="mtmount-journal",
        description="Read what the bridge has recorded. All times are UTC.",
        epilog="See docs/reference/journal.rst. "
        "The exit status is 2 for bad usage, and if a journal can't be read.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mtmount-journal {__version__}")
    kinds = parser.add_subparsers(dest="do", required=True, metavar="tail|show|export|replay")
    when = partial(_time, now=wall_clock())
    tail = _subparser(kinds, "tail", "the last entries, and with -f new ones", when)
    tail.add_argument("-n", type=_count, default=20, metavar="N", help="number of entries (%(default)s)")
    tail.add_argument("-f", "--follow", action="store_true", help="continue with new entries, until Ctrl-C")
    _subparser(kinds, "show", "entries as lines for people", when)
    export = _subparser(kinds, "export", "entries for other programs", when)
    export.add_argument("--format", choices=tuple(FORMATS), default="jsonl", help="%(choices)s (%(default)s)")
    export.add_argument(
        "--escape-formulas",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="for csv: put ' before a text that a spreadsheet would run as a formula",
    )
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="output file (standard output)")
    _add_replay(_subparser(kinds, "replay", "send a commander's recorded commands again", when))
    options = parser.parse_args(arguments)
    if options.journal is None:
        parser.error("--journal: there is no home directory for the default; give the file")
    if options.do == "replay" and len(options.peer) != 1:
        parser.error("replay requires one --peer: the sender of the recorded commands")
    if options.do == "replay" and options.reply_port is None:
        if options.command_port == 65535:
            parser.error("--reply-port: there is no port one above 65535; give one")
        options.reply_port = options.command_port + 1
    return options


def _subparser(kinds: Any, name: str, what: str, when: Callable[[str], float]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(
        name, help=what, description=f"{name}: {what}.", allow_abbrev=False
    )
    add = parser.add_argument
    default = _default_path()
    shown = "no default: there is no home directory" if default is None else str(default)
    add(
        "--journal", type=Path, default=default, metavar="FILE", help=f"the file ({shown.replace('%', '%%')})"
    )
    add("--since", type=when, metavar="TIME", help="2026-11-22T16:14, 16:14, '10 min ago' (all times UTC)")
    add("--until", type=when, metavar="TIME", help="likewise")
    add("--run", type=_count, metavar="N", help="only the daemon's run with this number")
    add("--peer", action="append", default=[], metavar="NAME", help="only this peer; may be given repeatedly")
    add(
        "--command",
        type=_codes,
        action="extend",
        default=[],
        metavar="NAME|CODE",
        help="only entries about such commands; may be given repeatedly",
    )
    add(
        "--without",
        type=_left_out,
        action="extend",
        default=[],
        metavar="NAME|CODE|all",
        help="no entries about such commands, or about any; may be given repeatedly",
    )
    add(
        "--outcome",
        type=_outcomes,
        action="extend",
        default=[],
        metavar="WORD,...",
        help=f"only entries about commands with this outcome: {', '.join(OUTCOMES)}; failed means all but the"
        f" first {len(GOOD_OUTCOMES)}; {UNKNOWN} means that the bridge was killed after it had sent them",
    )
    add("--only", choices=tuple(COLUMNS), action="append", default=[], help="only these entries")
    return parser


def _default_path() -> Path | None:
    """Return the default path of the journal; None if this user has no home directory."""
    try:
        return default_path()
    except RuntimeError:
        return None


def _add_replay(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="host that takes the commands (%(default)s)")
    add("--command-port", type=_port, default=30005, metavar="PORT", help="its port (%(default)s)")
    add(
        "--reply-host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to listen on for replies (%(default)s)",
    )
    add("--reply-port", type=_port, metavar="PORT", help="its port (the commands' port + 1)")
    add(
        "--all",
        action="store_true",
        help="include commands that the bridge refused or could not send to the mount",
    )
    add("--speed", type=_positive, default=1.0, metavar="N", help="times the recorded pace (%(default)s)")
    add("--keep-tai", action="store_true", help="leave the tai of track commands as recorded")
    add(
        "--patience",
        type=_positive,
        default=60.0,
        metavar="S",
        help="longest wait for the last answers (%(default)s s)",
    )
    add("--connect-timeout", type=_positive, default=10.0, metavar="S", help="(%(default)s s)")
    add("--yes-to", metavar="HOST", help="required for a host that is not this machine: the host again")


def wanted_by(options: argparse.Namespace) -> Wanted:
    """Return the selection of entries for the options."""
    return Wanted(
        options.since,
        options.until,
        tuple(options.peer),
        tuple(dict.fromkeys(options.only)) or tuple(COLUMNS),
        tuple(code for dialect, code in options.command if dialect is None),
        tuple(options.outcome),
        options.run,
        tuple((dialect, code) for dialect, code in options.command if dialect is not None),
    )


def _time(text: str, now: float) -> float:
    try:
        return parse_time(text, now)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _codes(text: str) -> list[tuple[DialectName | None, int]]:
    """Return the code of a command in each dialect that has a command of this name, and the code of its
    counterpart.

    A number is a code in every dialect. In a run with a tma2022 mount, the entries about a tma2020
    commander's command have the code of its counterpart.
    """
    if text.removeprefix("-").isdecimal():
        return [(None, int(text))]
    codes: list[tuple[DialectName | None, int]] = []
    names: dict[str, str] = {}  # the shortest name of a command, by each of its names
    found: list[str] = []  # the counterparts of the classes with this name
    for dialect in map(dialect_named, KNOWN):
        for code, name in dialect.command_names.items():
            command = dialect.commands.get(code)
            short = name if command is None else dialect.short_name(command)
            keys = {_key(name), _key(short)} | ({_key(command.__name__)} if command else set())
            names |= dict.fromkeys(keys, short)
            if _key(text) in keys:
                codes.append((dialect.name, int(code)))
                found += counterparts(command.__name__) if command else ()
    for dialect in map(dialect_named, KNOWN):
        for code, command in dialect.commands.items():
            if command.__name__ in found and (dialect.name, int(code)) not in codes:
                codes.append((dialect.name, int(code)))
    if not codes:
        near = [names[key] for key in difflib.get_close_matches(_key(text), names, 1)]
        guess = "".join(f" (did you mean {name}?)" for name in near)
        raise argparse.ArgumentTypeError(
            f"no command {text!r}: expected the name or the code of a command{guess}"
        )
    return codes


ALL_COMMANDS = "all"
"""The word after ``--without`` that leaves out every command."""


def _left_out(text: str) -> list[tuple[DialectName | None, int] | str]:
    return [ALL_COMMANDS] if text == ALL_COMMANDS else [*_codes(text)]


def left_out_by(options: argparse.Namespace) -> LeftOut | None:
    """Return the filter for ``--without``; None if no entry is left out."""
    if not options.without:
        return None
    return LeftOut(None if ALL_COMMANDS in options.without else tuple(options.without))


def _key(name: str) -> str:
    """Return the name of a command without case and underscores, which do not matter."""
    return name.lower().replace("_", "")


def _outcomes(text: str) -> list[str]:
    words = [word.strip().lower().replace(" ", "_") for word in text.split(",")]
    for word in words:
        if word not in (*OUTCOMES, UNKNOWN, "failed"):
            words_known = ", ".join((*OUTCOMES, UNKNOWN))
            raise argparse.ArgumentTypeError(f"expected some of {words_known}, failed; got {word!r}")
    bad = [word for word in (*OUTCOMES, UNKNOWN) if word not in GOOD_OUTCOMES]
    return [word for word in words if word != "failed"] + (bad if "failed" in words else [])


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) < 2**62:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {text!r}")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if 0 < number < math.inf:
        return number
    raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
