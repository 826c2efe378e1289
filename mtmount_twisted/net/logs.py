"""From Python's `logging` to Twisted's log, so that a daemon has one log.

The library itself only logs to the `logging.Logger` that it was handed; what runs as a daemon calls
`send_to_twisted` once. A pair calls `send_unconfigured_to_twisted` for the logger that it was handed. Touches
both logs and nothing else. Next to read: `daemon` and `pair`, which call it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger, LoggingFile, LogLevel

from mtmount_twisted.visible import visible

ROOT = "mtmount_twisted"
"""The `logging` name under which all that this package logs by itself is found."""

LAYOUT = "\n\t"
"""What a record may hold besides visible text: a traceback has lines of its own."""

_LEVELS = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
)


class TwistedLogHandler(logging.Handler):
    """Passes each record of `logging` on to `twisted.logger`, under the record's own name."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record; a fault in it does not harm whoever logs it, as `logging` promises."""
        level = next((ours for least, ours in _LEVELS if record.levelno >= least), LogLevel.debug)
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            # Also for a program that has Twisted's own observers: those of `twistd_log` escape what is left.
            Logger(namespace=record.name).emit(level, "{text}", text=visible(text, LAYOUT))


def send_to_twisted(log: logging.Logger, level: int = logging.INFO) -> None:
    """Have all that is logged on `log` and below it end up in Twisted's log, once.

    :param level: the least that is logged; below it a record costs next to nothing.
    """
    log.setLevel(level)
    log.propagate = False
    if not any(isinstance(handler, TwistedLogHandler) for handler in log.handlers):
        log.addHandler(TwistedLogHandler())


def send_unconfigured_to_twisted(log: Any, reactor: Any) -> None:
    """Send the records of a logger without a handler to the log of ``twistd``.

    Python shows no record below a warning of such a logger, so that a service of a user's own would be
    silent. Nothing changes unless Twisted's log has taken over standard error, as ``twistd`` makes it do; it
    does so after a ``.tac`` file was read, so this looks again when the reactor runs.

    :param log: a logger; anything else stays as it is, and so does one that has a handler, or an ancestor
        that has one.
    """
    if not isinstance(log, logging.Logger) or log.hasHandlers():
        return
    if isinstance(sys.stderr, LoggingFile):
        send_to_twisted(log, _level_of(log))
    elif IReactorCore.providedBy(reactor) and not reactor.running:
        reactor.callWhenRunning(send_unconfigured_to_twisted, log, reactor)


def _level_of(log: logging.Logger) -> int:
    """The level that a program gave a logger, or one above it; INFO if it gave none."""
    given, root = log.getEffectiveLevel(), logging.getLogger()
    inherited = all(each.level == logging.NOTSET for each in _up_to(log, root))
    return logging.INFO if inherited and root.level == logging.WARNING else given


def _up_to(log: logging.Logger, root: logging.Logger) -> Iterator[logging.Logger]:
    each: logging.Logger | None = log
    while each is not None and each is not root:
        yield each
        each = each.parent
