"""`Hook`: runs the site's program that takes or gives the address, one run after another. It starts
processes. Next to read: `service`, its user.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from mtmount_twisted.net.deadlines import Deadline

HOOK_TIME = 3.0
"""The longest time of a run, in seconds; then the program is killed."""

KEPT_OUTPUT = 1000
"""The number of bytes of a program's output that the log shows if it fails."""


class _Run(ProcessProtocol):
    """One run of the program."""

    def __init__(self, ended: Callable[[Failure], None]) -> None:
        self._ended = ended
        self.output: bytes = b""

    def outReceived(self, data: bytes) -> None:
        self.output = (self.output + data)[-KEPT_OUTPUT:]

    def errReceived(self, data: bytes) -> None:
        self.outReceived(data)

    def processEnded(self, reason: Failure) -> None:
        self._ended(reason)


class Hook:
    """Run a program with the word ``take`` or ``give``.

    :param program: the path of the program.
    :param reactor: starts the process.
    """

    def __init__(self, program: str, log: logging.Logger, reactor: Any) -> None:
        self._program = program
        self._log = log
        self._reactor = reactor
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._run: _Run | None = None
        self._process: IProcessTransport | None = None
        self._deadline: IDelayedCall | None = None

    def run(self, word: str, ended: Callable[[], None]) -> None:
        """Run the program after all earlier runs, and call a function at its end, also after an error.

        Log an error, which has no other effect: a bridge without the address still commands the mount.
        """
        self._waiting.append((word, ended))
        if self._run is None:
            self._next()

    def _next(self) -> None:
        word, ended = self._waiting.popleft()

        def over(reason: Failure) -> None:
            if self._deadline is not None and self._deadline.active():
                self._deadline.cancel()
            run, self._run, self._process = self._run, None, None
            if (why := _why(reason)) and run is not None:
                output = run.output.decode(errors="replace").strip() or "nothing"
                self._log.error("%s %s failed: %s; its output: %s", self._program, word, why, output)
            if self._waiting:
                self._next()
            ended()

        self._run = _Run(over)
        try:
            self._process = self._reactor.spawnProcess(
                self._run, self._program, [self._program, word], env=dict(os.environ)
            )
        except OSError as error:
            over(Failure(error))
            return
        self._deadline = Deadline(self._reactor, HOOK_TIME, self._kill)

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess("KILL")
            # The run ends when its pipes are closed, and a process that it left behind may hold them open.
            self._process.loseConnection()


def _why(reason: Failure) -> str:
    """Return the reason why a run failed; empty if it succeeded."""
    status = getattr(reason.value, "exitCode", 1)
    if status == 0:
        return ""
    number = getattr(reason.value, "signal", None)
    return f"signal {number}, or longer than {HOOK_TIME:g} s" if number else reason.getErrorMessage()
