"""The program ``mtmount-telemetry`` and its subcommands.

Each subcommand is a function that reads the recordings, and only ``play`` needs a network. Next to read:
`options`, which parses the command line; ``journal.recording``, which reads the files.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, get_args

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.python.failure import Failure

from mtmount_twisted.cli.command_line import MISUSED
from mtmount_twisted.cli.journal.export import Cells
from mtmount_twisted.cli.standard_streams import abandon_output, run_program
from mtmount_twisted.dialects.dialect import DialectName, dialect_named
from mtmount_twisted.errors import RecordingError
from mtmount_twisted.journal.recording import signals
from mtmount_twisted.journal.recording.derived import DERIVED
from mtmount_twisted.journal.recording.items import EVENTS
from mtmount_twisted.version import how_to_install
from mtmount_twisted.visible import visible

from .export import export_bins, export_lines, export_values
from .options import parse_options
from .playing import Player, PlayFactory
from .text import listed, signals_in, values_of, when

PROGRAM = "mtmount-telemetry"

HOST = "127.0.0.1"
"""The address on which to play a recording, so that no other machine can mistake it for the mount."""

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended, the same as a shell's status."""

AFTER = 1e-6
"""The time from the last message to the end of a span that includes it, in seconds, because an end is
exclusive."""


TOO_LITTLE = "this needs more memory than there is; give a shorter time, or fewer signals"
"""The error text if there is too little memory."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run ``mtmount-telemetry`` and return its exit status."""
    return run_program(PROGRAM, lambda: _run_with(parse_options(arguments)))


def _run_with(options: argparse.Namespace) -> int:
    try:
        return _DO[options.do](options)
    except RecordingError as error:
        return complain(str(error))
    except MemoryError:
        return complain(TOO_LITTLE)
    except ModuleNotFoundError as error:
        if error.name not in ("zstandard", "mcap"):
            raise
        return complain(f"{error.name} is not installed: {how_to_install('recorder')}")
    except OSError as error:
        if error.filename is None and getattr(options, "output", None) is None:
            return abandon_output(PROGRAM, error)
        return complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED


def complain(text: str, keep: str = "") -> int:
    """Report an error in one line.

    :param keep: characters to leave as they are; see `visible`.
    :returns: the exit status for this error.
    """
    sys.stderr.write(visible(f"{PROGRAM}: {text}", keep) + "\n")
    return MISUSED


def _span(options: argparse.Namespace) -> tuple[float, float] | None:
    """Return the part of the wanted span that has recordings; None if there are no recordings at all."""
    found = signals.span(options.folder)
    if found is None:
        return None
    start = found[0] if options.since is None else max(options.since, found[0])
    end = found[1] + AFTER if options.until is None else min(options.until, found[1] + AFTER)
    return (start, end) if start < end else None


def _none(options: argparse.Namespace) -> int:
    found = signals.span(options.folder)
    if found is None and any(listed(options.folder)):
        return complain(f"{options.folder}: no recording can be read, or has messages; see {PROGRAM} list")
    if found is None:
        return complain(f"{options.folder} has no recordings; give the folder with --folder")
    return complain(f"no recordings in that time: they are from {when(found[0])} to {when(found[1])}")


def _print(lines: Iterator[str]) -> int:
    for line in lines:
        sys.stdout.write(visible(line) + "\n")
    sys.stdout.flush()
    return 0


def _list(options: argparse.Namespace) -> int:
    return _print(signals_in(options.folder) if options.signals else listed(options.folder))


def _show(options: argparse.Namespace) -> int:
    span = _span(options)
    if span is None:
        return _none(options)
    if options.events:
        found = signals.lines(options.folder, [EVENTS], *span)
        texts = ((time, line.decode("utf-8", "backslashreplace")) for time, _, line in found)
        return _print(f"{when(time)}  {text}" for time, text in texts)
    time = span[1] if options.at is None else options.at
    values = signals.values_at(options.folder, time)
    if not values:
        return complain(f"no recorded line in the {signals.FRESH:g} s before {when(time)}")
    lines = list(values_of(values, options.names, time))
    if not lines:
        return complain(f"{', '.join(options.names)}: not recorded then; see {PROGRAM} list --signals")
    return _print(iter(lines))


def _export(options: argparse.Namespace) -> int:
    span = _span(options)
    if span is None:
        return _none(options)
    if wrong := _wrong_names(options):
        return complain(wrong)
    if options.output is None:
        _export_to(sys.stdout, options, span)
    else:
        with open(options.output, "w", encoding="utf-8", newline="") as file:
            _export_to(file, options, span)
    return 0


def _wrong_names(options: argparse.Namespace) -> str:
    """Return the reason why the named signals can't be exported; empty if they can be."""
    derived = [name for name in options.names if name in DERIVED]
    if derived and options.every is None:
        return f"{', '.join(derived)}: computed from other signals: give --every SECONDS too"
    known = {*DERIVED, *(line.split(maxsplit=1)[0] for line in signals_in(options.folder))}
    unknown = [name for name in options.names if name not in known]
    return f"{', '.join(unknown)}: no recorded signal; see {PROGRAM} list --signals" if unknown else ""


def _export_to(file: TextIO, options: argparse.Namespace, span: tuple[float, float]) -> None:
    cells = Cells(options.escape_formulas, for_terminal=file.isatty())
    if options.every is not None:
        export_bins(options.folder, options.names, span, options.every, file, cells)
    elif options.names:
        export_values(options.folder, options.names, *span, file, cells)
    else:
        export_lines(options.folder, *span, file, cells)


def _play(options: argparse.Namespace) -> int:
    span = _span(options)
    if span is None:
        return _none(options)
    from twisted.internet import reactor

    statuses: list[int] = []

    def ended(result: Any) -> None:
        if (
            isinstance(result, Failure)
            and isinstance(result.value, OSError)
            and result.value.filename is None
        ):
            result = abandon_output(PROGRAM, result.value)
        elif isinstance(result, Failure) and result.check(MemoryError):
            result = complain(TOO_LITTLE)
        elif isinstance(result, Failure):
            expected = result.check(RecordingError, CannotListenError)
            told = result.getErrorMessage() if expected else f"a fault: {result.getTraceback()}"
            result = complain(told, keep="" if expected else "\n")
        statuses.append(result)
        with contextlib.suppress(ReactorNotRunning):  # a signal may have stopped the reactor
            reactor.stop()

    def start() -> None:
        Deferred.fromCoroutine(play(reactor, options, span, sys.stdout)).addBoth(ended)

    reactor.callWhenRunning(start)
    reactor.run()
    return statuses[0] if statuses else INTERRUPTED


async def play(reactor: Any, options: argparse.Namespace, span: tuple[float, float], output: TextIO) -> int:
    """Listen, wait for the first reader, and play the span to its end.

    :returns: the exit status.
    :raises RecordingError: if a recording is damaged.
    :raises CannotListenError: if the port is in use.
    """
    factory = PlayFactory()
    listening = reactor.listenTCP(options.port, factory, interface=HOST)
    try:
        port = listening.getHost().port
        output.write(
            f"playing {when(span[0])} to {when(span[1])} at {options.speed:g} times the speed "
            f"on {HOST}:{port}, from the first reader on\n"
        )
        output.flush()
        await factory.joined()
        topics = _topics(signals.lines(options.folder, None, *span))
        player = Player(reactor, topics, options.speed, _terminator(options.folder, span), factory.write)
        lines = await player.run()
        output.write(f"played {lines} lines\n")
        output.flush()
        return 0
    finally:
        factory.close()
        await listening.stopListening()


def _terminator(folder: Path, span: tuple[float, float]) -> bytes:
    """Return the end of a line in the dialect of the mount that was recorded.

    A recording of another program does not name its dialect. In this case return the line end of tma2022, the
    first dialect with telemetry.
    """
    name = signals.about(folder, *span).get("dialect", "")
    return dialect_named(next((each for each in get_args(DialectName) if each == name), "tma2022")).terminator


def _topics(lines: Iterator[tuple[float, str, bytes]]) -> Iterator[tuple[float, str, bytes]]:
    """Leave out events, which a telemetry server does not send."""
    return (each for each in lines if each[1] != EVENTS)


_DO = {"list": _list, "show": _show, "export": _export, "play": _play}
"""The function of each subcommand."""
