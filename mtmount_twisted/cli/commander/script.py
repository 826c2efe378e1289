"""Lines from a pipe or a file: they run in order, each to its end, and give one exit status. This module
reads the standard input in a thread.

Next to read: `session`, which runs each line.
"""

from __future__ import annotations

import codecs
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mtmount_twisted.cli.command_line import MISUSED
from mtmount_twisted.errors import MTMountError
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

from .session import Session

DONE, FAILED = 0, 1
"""Exit statuses: all commands done; a command not done. A bad line, or no connection, gives `MISUSED`."""


class Lines:
    """The lines of a byte stream, read only on demand.

    :param read: function that returns a Deferred of the next bytes; empty bytes at the end.
    """

    def __init__(self, read: Callable[[], Deferred[bytes]]) -> None:
        self._read = read
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._ended = False
        self._is_first = True

    async def next(self) -> str | None:
        """Return the next line without its end, or None after the last one."""
        while not self._lines and not self._ended:
            self._take(await self._read())
        if not self._lines:
            return None
        line = self._lines.popleft()
        if self._is_first:
            line = line.removeprefix(codecs.BOM_UTF8)  # some editors write it
            self._is_first = False
        return line.decode(errors="backslashreplace")

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)
        self._ended = not data
        if self._rest and (self._ended or len(self._rest) > MAX_LINE_LENGTH):
            self._lines.append(self._rest)
            self._rest = b""


def read_in_thread(reactor: Any, descriptor: int) -> Deferred[bytes]:
    """Read the available bytes of a file descriptor of any kind without blocking the reactor.

    A poll would fail for a regular file. The thread is a daemon thread that holds no lock, so the program can
    end while the thread reads.
    """
    done: Deferred[bytes] = Deferred()

    def read() -> None:
        try:
            result: bytes | Failure = os.read(descriptor, 65536)
        except OSError:
            result = Failure()
        reactor.callFromThread(done.callback, result)

    threading.Thread(target=read, daemon=True).start()
    return done


async def run_script(
    session: Session, lines: Lines, complain: Callable[[str], Any], *, stop_on_error: bool = False
) -> int:
    """Run lines in order, each to its end.

    :param complain: called with each error in a line.
    :param stop_on_error: True to end at the first line that is not done.
    :returns: the exit status: `DONE`, or the highest status of a failure.
    """
    status = number = 0
    while not session.quitting:
        try:
            line = await lines.next()
        except OSError as error:
            complain(f"can't read any more lines: {error}")
            return MISUSED
        if line is None:
            break
        number += 1
        try:
            outcome = DONE if await session.run(line) else FAILED
        except MTMountError as error:
            complain(f"line {number}: {visible(str(error))}")
            outcome = MISUSED
        status = max(status, outcome)
        if outcome and stop_on_error:
            break
    return status
