"""The program ``mtmount-journal`` and its subcommands.

Each subcommand is a function that reads the file, and only ``replay`` needs a network. Next to read:
`options`, which parses the command line; ``journal.reading``, which reads the file.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from mtmount_twisted.cli.command_line import MISUSED
from mtmount_twisted.cli.commander.connecting import wait_connected
from mtmount_twisted.cli.standard_streams import abandon_output, run_program
from mtmount_twisted.client.duplex import connect_lines
from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.errors import MTMountError
from mtmount_twisted.hosts import is_loopback
from mtmount_twisted.journal.checking import FILE_ERRORS, in_words
from mtmount_twisted.journal.reading import (
    Entry,
    JournalError,
    first_and_last,
    last_entries,
    open_journal,
    rows,
)
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.net.resolving import look_up
from mtmount_twisted.visible import visible

from .export import FORMATS, Cells
from .following import follow
from .options import left_out_by, parse_options, wanted_by
from .replay import Recorded, Replay, recorded_commands
from .text import Teller

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended, the same as a shell's status."""

LOOK_EVERY = 0.2
"""Interval at which ``tail -f`` checks the file for changes, in seconds."""

_LOG = logging.getLogger(__name__)


PROGRAM = "mtmount-journal"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run ``mtmount-journal`` and return its exit status."""
    return run_program(PROGRAM, lambda: _run_with(parse_options(arguments)))


def _run_with(options: argparse.Namespace) -> int:
    try:
        return _DO[options.do](options)
    except JournalError as error:
        return complain(str(error))
    except OSError as error:
        if error.filename is None and getattr(options, "output", None) is None:
            return abandon_output(PROGRAM, error)
        return complain(str(error))
    except FILE_ERRORS as error:
        return complain(f"{options.journal} can't be read: {in_words(error)}")
    except KeyboardInterrupt:
        return INTERRUPTED


def complain(text: str, keep: str = "") -> int:
    """Report an error in one line.

    :param keep: characters to leave as they are; see `visible`.
    :returns: the exit status for this error.
    """
    sys.stderr.write(visible(f"{PROGRAM}: {text}", keep) + "\n")
    return MISUSED


@contextlib.contextmanager
def _entries(options: argparse.Namespace) -> Iterator[Iterator[Entry]]:
    with contextlib.closing(open_journal(options.journal)) as db:
        entries, without = rows(db, wanted_by(options)), left_out_by(options)
        yield entries if without is None else without.rest(entries)


def _print(entries: Iterable[Entry], teller: Teller, with_runs: bool = False) -> int:
    """Print entries, and return the id of the last one.

    :param with_runs: True to print the number of each run above its first entry.
    """
    last = 0
    for entry in entries:
        last = entry.id
        if with_runs and (heading := teller.heading(entry)):
            sys.stdout.write(heading + "\n")
        sys.stdout.write(teller.line(entry) + "\n")
    sys.stdout.flush()
    return last


def _show(options: argparse.Namespace) -> int:
    with _entries(options) as entries:
        _print(entries, Teller(), with_runs=True)
    return 0


def _pause() -> None:
    threading.Event().wait(LOOK_EVERY)


def tail(options: argparse.Namespace, pause: Callable[[], None] = _pause) -> int:
    """Run ``tail``; `pause` waits between two looks at the file."""
    wanted, teller, without = wanted_by(options), Teller(), left_out_by(options)
    with contextlib.closing(open_journal(options.journal)) as db:
        _, newest = first_and_last(db)
        entries = [entry for entry in last_entries(db, wanted, options.n) if entry.id <= newest]
    _print(entries if without is None else without.rest(entries), teller)
    if options.follow:
        later = follow(options.journal, wanted, newest, pause)
        for entry in later if without is None else without.rest(later):
            _print([entry], teller)
    return 0


def _export(options: argparse.Namespace) -> int:
    with _entries(options) as entries:
        if options.output is None:
            _export_to(sys.stdout, options, entries)
        else:
            with open(options.output, "w", encoding="utf-8", newline="") as file:
                _export_to(file, options, entries)
    return 0


def _export_to(file: TextIO, options: argparse.Namespace, entries: Iterable[Entry]) -> None:
    FORMATS[options.format](entries, file, Cells(options.escape_formulas, for_terminal=file.isatty()))


def _is_here(host: str) -> bool:
    """Return True if a host is this machine, judged by its name or by all addresses of the name."""
    addresses = look_up([host])[host] if is_loopback(host) else ""
    return not isinstance(addresses, str) and all(map(is_loopback, addresses))


def _replay(options: argparse.Namespace) -> int:
    if options.yes_to != options.host and not _is_here(options.host):
        return complain(
            f"{options.host} is not this machine, and the commands may move a telescope:"
            f" confirm with --yes-to {options.host}"
        )
    if options.peer == [CONTROLLER]:
        return complain("the controller sends no commands: give a commander with --peer")
    options.only = ["message", "step", "event"]
    counted: list[str] = []  # about events that only count track commands
    with _entries(options) as entries:
        commands = recorded_commands(_noting_tracked(entries, counted), also_refused=options.all)
    if counted:
        complain(f"the journal only counts some track commands ({len(counted)} events tracked): not sent")
    if not commands:
        which = "commands" if options.all else "commands that were sent to the mount (--all for the others)"
        return complain(f"{options.peer[0]}: no {which} in the selected time")
    dialect = commands[0].dialect
    if any(command.dialect is not dialect for command in commands):
        names = " and ".join(sorted({command.dialect.name for command in commands}))
        return complain(f"{options.peer[0]}: the commands are in {names}: select a run with --run")
    from twisted.internet import reactor

    return _run(reactor, options, dialect, commands)


def _noting_tracked(entries: Iterable[Entry], counted: list[str]) -> Iterator[Entry]:
    """Yield entries, and note the events that only count track commands."""
    for entry in entries:
        if entry.table == "event" and entry.what == "tracked":
            counted.append(entry.text)
        yield entry


def _run(reactor: Any, options: argparse.Namespace, dialect: Dialect, commands: list[Recorded]) -> int:
    statuses: list[int] = []

    def ended(result: Any) -> None:
        if isinstance(result, Failure):
            result = complain(f"a fault in the replay: {result.getTraceback()}", keep="\n")
        statuses.append(result)
        with contextlib.suppress(ReactorNotRunning):  # a signal may have stopped the reactor
            reactor.stop()

    def start() -> None:
        Deferred.fromCoroutine(replay(reactor, options, dialect, commands, sys.stdout)).addBoth(ended)

    reactor.callWhenRunning(start)
    reactor.run()
    return statuses[0] if statuses else INTERRUPTED


async def replay(
    reactor: Any, options: argparse.Namespace, dialect: Dialect, commands: list[Recorded], output: TextIO
) -> int:
    """Connect, send the commands, and report their outcomes. Go on if the output can't be written.

    :returns: the exit status: 0 if all commands were answered, 1 if some were not answered, 2 if the replay
        can't start.
    """
    teller, unwritten = Teller(), 0

    def write(text: str) -> None:
        nonlocal unwritten
        try:
            output.write(text + "\n")
        except OSError as error:
            unwritten = abandon_output(PROGRAM, error)

    def show(direction: str, line: bytes) -> None:
        where = 0, 0, "message", time.time(), CONTROLLER, 0, direction
        entry = Entry(*where, 0, 0, 0, 0, "", line, dialect)
        write(teller.line(entry).replace("bridge", "replay", 1))

    there, here = (options.host, options.command_port), (options.reply_host, options.reply_port)
    pair = connect_lines(dialect, "replay", there, here, _LOG, reactor=reactor)
    try:
        await pair.wait_server_port()
        await wait_connected(pair, options.connect_timeout, complain)
        session = Replay(
            *(reactor, pair, dialect, show, time.time),
            speed=options.speed,
            patience=options.patience,
            keep_tai=options.keep_tai,
        )
        outcomes = await session.run(commands)
    except MTMountError as error:
        return complain(str(error))
    finally:
        await pair.close()
    told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
    write(f"{len(commands)} commands: {told}")
    return 1 if outcomes["unanswered"] else unwritten


_DO = {"tail": tail, "show": _show, "export": _export, "replay": _replay}
