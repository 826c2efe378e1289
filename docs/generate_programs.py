"""Write the man pages and the shell completions of all programs, from their options.

    .venv/bin/python docs/generate_programs.py        or: make programs

They belong in ``share/``, from which an installation takes them. A test compares them with the options. The
daemons declare theirs for Twisted; `daemon_parser` gives the same options to ``argparse``, for which the
generators are made.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

from mtmount_twisted.app import bridge, simulator
from mtmount_twisted.cli.commander.options import parse_options as commander
from mtmount_twisted.cli.journal.options import parse_options as journal
from mtmount_twisted.cli.telemetry.options import parse_options as telemetry
from mtmount_twisted.dialects.dialect import DialectName

SHARE = Path(__file__).resolve().parent.parent / "share"

HOME = "/home/USER"
"""A home directory that no file may name: it becomes ``~``."""

COMPLETIONS = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
"""The file of each shell's completion, below ``share``."""


def daemon_parser(options: Any) -> argparse.ArgumentParser:
    """Return the options of a daemon as those of a parser."""
    parser = argparse.ArgumentParser(prog=options.program, description=options.longdesc)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    for name, short, _, text in options.optParameters:
        names = [f"--{name}", *([f"-{short}"] if short else [])]
        choices = get_args(DialectName) if name.endswith("dialect") else None
        parser.add_argument(*names, choices=choices, metavar="VALUE", help=text.replace("%", "%%"))
    for name, short, text in options.optFlags:
        names = [f"--{name}", *([f"-{short}"] if short else [])]
        parser.add_argument(*names, action="store_true", help=text.replace("%", "%%"))
    return parser


class Captured(Exception):
    """Carries the parser of a program out of its function."""


def parser_of(parse_options: Callable[[list[str]], object]) -> argparse.ArgumentParser:
    """Return the parser that a program makes for itself."""

    def capture(parser: argparse.ArgumentParser, *arguments: object) -> None:
        raise Captured(parser)

    original = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = capture  # type: ignore[assignment, method-assign]
    try:
        parse_options([])
    except Captured as captured:
        parser: argparse.ArgumentParser = captured.args[0]
        return parser
    finally:
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]
    raise AssertionError(f"{parse_options} parses nothing")


def parsers() -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of each program."""
    yield from (daemon_parser(daemon.Options) for daemon in (bridge, simulator))
    yield from (parser_of(each) for each in (commander, journal, telemetry))


def man_page(parser: argparse.ArgumentParser) -> str:
    """Return the man page of a program. Its first lines are those that ``man-db`` makes an index of."""
    from argparse_manpage.manpage import Manpage

    page = str(Manpage(parser)).splitlines()
    about = (parser.description or "").partition(". ")[0].rstrip(".")
    name = parser.prog.replace("-", "\\-")
    # A line that begins with a quotation mark would be a request to troff.
    body = [f"\\&{line}" if line.startswith("'") else line for line in page[page.index(".SH SYNOPSIS") :]]
    title = f'.TH {parser.prog.upper()} "1" "" "mtmount_twisted" "User Commands"'
    return "\n".join((title, ".SH NAME", f"{name} \\- {about}", *body))


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options of a program and of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subcommand in action.choices.values():
                yield from actions(subcommand)


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion of a program in a shell. Names of files and folders are completed."""
    import shtab

    for action in actions(parser):
        if action.dest in ("config", "journal") or action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "FOLDER":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text


def files() -> Iterator[tuple[Path, str]]:
    """Yield each file with its text; needs the extra ``dev``."""
    for parser in parsers():
        yield SHARE / "man" / "man1" / f"{parser.prog}.1", man_page(parser)
        for shell, place in COMPLETIONS.items():
            yield SHARE / place.format(parser.prog), completion(parser, shell)


def main() -> None:
    """Write the files, as on a machine with this width and without the user's settings."""
    os.environ |= {"COLUMNS": "80", "HOME": HOME}
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "STATE_DIRECTORY"):
        os.environ.pop(variable, None)
    for path, text in files():
        for home in (HOME, HOME.replace("/", "\\/")):
            text = text.replace(home, "~")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
