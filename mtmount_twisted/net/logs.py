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

FIELDS = ("peer", "command", "sequence_id", "lease", "epoch", "outcome")
"""Fields of a log event, which an observer can select by. A line has the fields that it is about.

``peer`` is the name of a client, port, pair or link, ``command`` the name of a command, ``sequence_id`` the
sender's number of a command, ``lease`` the number of a grant of command, ``epoch`` the number of a connection
to the controller, and ``outcome`` the end of a command, in the journal's words.
"""

_ABOUT_PEER = "%s: "
"""The beginning of a text whose first argument is the name of the peer that the line is about."""

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
            # Escape it for Twisted's own observers; the observers of `twistd_log` escape the whole line
            # anyway.
            log = Logger(namespace=record.name)
            log.emit(level, "{text}", text=visible(text, LAYOUT), **fields_of(record))


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the `FIELDS` that a record has: from ``extra=``, and the peer from a text ``"%s: ..."``.

    They are read from a record that is logged, so that a line below the level of the log costs nothing.
    """
    fields = {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
    match record.args:
        case (str(name), *_) if "peer" not in fields and str(record.msg).startswith(_ABOUT_PEER):
            fields["peer"] = name
    return fields


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
