"""Forwarding from Python's `logging` to Twisted's log, so that a daemon has one log.

The library itself logs only to the `logging.Logger` that its caller gives it. A daemon calls
`send_to_twisted` once. A pair calls `send_unconfigured_to_twisted` for the logger that it was given. This
module touches only the two logs. Next to read: `daemon` and `pair`, which call these functions.
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
"""The `logging` name above all loggers of this package."""

LAYOUT = "\n\t"
"""Characters that a record may contain besides visible text: a traceback has several lines."""

_LEVELS = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
)


class TwistedLogHandler(logging.Handler):
    """Handler that passes each record of `logging` to `twisted.logger`, under the record's own name."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record. As `logging` promises, an error in it does not reach the caller."""
        level = next((ours for least, ours in _LEVELS if record.levelno >= least), LogLevel.debug)
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            # For a program with Twisted's own observers; those of `twistd_log` escape the rest anyway.
            Logger(namespace=record.name).emit(level, "{text}", text=visible(text, LAYOUT))


def send_to_twisted(log: logging.Logger, level: int = logging.INFO) -> None:
    """Send all records of `log` and of the loggers below it to Twisted's log, once.

    :param level: the lowest level that is logged. A record below it costs next to nothing.
    """
    log.setLevel(level)
    log.propagate = False
    if not any(isinstance(handler, TwistedLogHandler) for handler in log.handlers):
        log.addHandler(TwistedLogHandler())


def send_unconfigured_to_twisted(log: Any, reactor: Any) -> None:
    """Send the records of a logger without a handler to the log of ``twistd``.

    For such a logger Python shows no record below a warning, so a user's own service would be silent. The
    function acts only if Twisted's log has taken over standard error, as under ``twistd``. ``twistd`` does so
    after it has read a ``.tac`` file, so the function checks again when the reactor runs.

    :param log: a logger. Any other object stays unchanged, and so does a logger that has a handler or an
        ancestor with a handler.
    """
    if not isinstance(log, logging.Logger) or log.hasHandlers():
        return
    if isinstance(sys.stderr, LoggingFile):
        send_to_twisted(log, _level_of(log))
    elif IReactorCore.providedBy(reactor) and not reactor.running:
        reactor.callWhenRunning(send_unconfigured_to_twisted, log, reactor)


def _level_of(log: logging.Logger) -> int:
    """Return the level that a program set on a logger or on one above it; INFO if it set none."""
    given, root = log.getEffectiveLevel(), logging.getLogger()
    inherited = all(each.level == logging.NOTSET for each in _up_to(log, root))
    return logging.INFO if inherited and root.level == logging.WARNING else given


def _up_to(log: logging.Logger, root: logging.Logger) -> Iterator[logging.Logger]:
    each: logging.Logger | None = log
    while each is not None and each is not root:
        yield each
        each = each.parent
