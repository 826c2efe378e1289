"""The standard streams of our programs: closed, full, or with a reader that has left.

No program of ours ends in a traceback because of them. A reader that leaves (``| head -1``) has seen enough,
and nothing is said; of a full disk there is one line on standard error; a closed stream is one that nobody
reads. Knows nothing of Twisted. Next to read: `output`, with which a program with a reactor writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from mtmount_twisted.visible import visible

UNWRITTEN = 1
"""The exit status of a program that did all else, but could not write its output."""


def open_closed_streams() -> None:
    """Open ``/dev/null`` for each standard stream that is closed.

    Otherwise the next file or socket gets the stream's descriptor, and what writes there harms it. Call it
    before anything else is opened.
    """
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest descriptor that is free, which is this one
        if getattr(sys, name) is None:
            opened = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, opened)
            setattr(sys, f"__{name}__", opened)  # which keeps it open, whatever takes the stream's place


def run_program(program: str, run: Callable[[], int]) -> int:
    """Run a program that writes to `sys.stdout`.

    :param program: its name, for the line that says what is wrong.
    :param run: returns the exit status, or raises `SystemExit` with it, as ``argparse`` does.
    :returns: the exit status; `UNWRITTEN` in place of 0 if the output could not be written.
    """
    open_closed_streams()
    try:
        status = run()
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        status = end.code or 0
    unwritten = _flush(program)
    return status or unwritten


def say(program: str, text: str) -> None:
    """Print what an option asked for, as visible text, of a program that ends after it.

    :raises SystemExit: if it can't be written: with `UNWRITTEN`, or with 0 if the reader has left.
    """
    try:
        sys.stdout.write(visible(text, "\n") + "\n")
    except OSError as error:
        raise SystemExit(abandon_output(program, error)) from None
    if status := _flush(program):
        raise SystemExit(status)


def abandon_output(program: str, error: OSError) -> int:
    """Leave the standard output after an error in writing to it, and say why unless its reader has left.

    What is in its buffer goes nowhere: else Python would try again at the end, and complain.

    :returns: the exit status.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    if isinstance(error, BrokenPipeError):
        return 0
    sys.stderr.write(f"{program}: can't write to the standard output: {error.strerror or error}\n")
    return UNWRITTEN


def _flush(program: str) -> int:
    try:
        sys.stdout.flush()
    except OSError as error:
        return abandon_output(program, error)
    return 0
