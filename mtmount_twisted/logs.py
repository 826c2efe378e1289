"""From Python's `logging` to Twisted's log, so that a daemon has one log.

The library itself only logs to the `logging.Logger` that it was handed; what runs as a daemon calls
`send_to_twisted` once. Touches both logs and nothing else. Next to read: `daemon`, which calls it.
"""

from __future__ import annotations

import logging

from twisted.logger import Logger, LogLevel

ROOT = "mtmount_twisted"
"""The `logging` name under which all that this package logs by itself is found."""

_LEVELS = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
)


_SHOWN = {
    number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\t"
}
"""Control characters that a peer's words may hold: a terminal that shows the log must not obey them."""


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
            Logger(namespace=record.name).emit(level, "{text}", text=text.translate(_SHOWN))


def send_to_twisted(log: logging.Logger, level: int = logging.INFO) -> None:
    """Have all that is logged on `log` and below it end up in Twisted's log, once.

    :param level: the least that is logged; below it a record costs next to nothing.
    """
    log.setLevel(level)
    log.propagate = False
    if not any(isinstance(handler, TwistedLogHandler) for handler in log.handlers):
        log.addHandler(TwistedLogHandler())
