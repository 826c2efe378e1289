"""Safe use of the standard streams: each may be closed, or full, or lose its reader.

Nothing of this may end a program with a traceback. A reader that leaves (``| head -1``) has seen enough, so
the program reports nothing. It reports a full disk in one line on standard error. A closed stream behaves
like a stream without a reader. No Twisted. Next to read: `net.output`, with which a program with a reactor
writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from mtmount_twisted.visible import visible

UNWRITTEN = 1
"""Exit status of a program that succeeded but could not write its output."""


def open_closed_streams() -> None:
    """Open ``/dev/null`` for each standard stream that is closed.

    Otherwise the next file or socket gets the stream's descriptor, and output to the stream damages it. Call
    this function before the program opens anything else.
    """
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor: this stream's own
        if getattr(sys, name) is None:
            opened = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, opened)
            setattr(sys, f"__{name}__", opened)  # keeps the object, and so the file, alive


def run_program(program: str, run: Callable[[], int]) -> int:
    """Run a program that writes to `sys.stdout`.

    :param program: name of the program, for its error line.
    :param run: function that returns the exit status, or raises `SystemExit` with it, as ``argparse`` does.
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
    """Print the answer to an option, such as a version, as visible text, before the program ends.

    :raises SystemExit: if the text can't be written: with `UNWRITTEN`, or with 0 if the reader has left.
    """
    try:
        sys.stdout.write(visible(text, "\n") + "\n")
    except OSError as error:
        raise SystemExit(abandon_output(program, error)) from None
    if status := _flush(program):
        raise SystemExit(status)


def abandon_output(program: str, error: OSError) -> int:
    """Give up the standard output after an error. Report the error unless the reader has left.

    Discard the content of its buffer. Otherwise Python would try to write this content again at the end of
    the program, and report an error.

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
