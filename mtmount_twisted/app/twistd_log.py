"""The log of a daemon under ``twistd``, written in a thread.

Twisted's own observers write in the reactor's thread, where a reader that does not read stops everything.
``twistd`` makes none if the application has one already: `TwistdLog` makes it, for the same options. Next to
read: `output`, which writes; `daemon`, which gives it to the application.
"""

from __future__ import annotations

import atexit
import sys
import syslog
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, formatEventAsClassicLogText
from twisted.python.logfile import LogFile
from zope.interface import implementer

from mtmount_twisted.net.logs import LAYOUT
from mtmount_twisted.net.output import DescriptorSink, OutputThread, Sink
from mtmount_twisted.net.threads import call_each_within
from mtmount_twisted.visible import visible

LAST_WORDS = 0.3
"""How long the end of the process may be held up until the log's last lines are written, in seconds."""

OPEN_TIME = 5.0
"""How long opening the log file may take, in seconds."""


class FileSink:
    """Writes to a log file that Twisted rotates when it is 1 MB long, as ``twistd --logfile`` does.

    :raises OSError: if it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._file = self._open(path)

    @staticmethod
    def _open(path: str) -> LogFile:
        opened: LogFile = LogFile.fromFullPath(path)
        return opened

    def write(self, records: Sequence[bytes]) -> None:
        """As in `output.Sink`."""
        self._file.write(b"".join(records))

    def reopen(self) -> None:
        """As in `output.Sink`."""
        opened = self._open(self._file.path)
        self._file.close()
        self._file = opened


class SyslogSink:
    """Writes to the system's log; each record begins with its priority in angle brackets."""

    def __init__(self, prefix: str) -> None:
        syslog.openlog(prefix)

    def write(self, records: Sequence[bytes]) -> None:
        """As in `output.Sink`."""
        for record in records:
            priority, _, text = record.decode().partition(">")
            for line in text.split("\n"):
                syslog.syslog(int(priority[1:]), line)

    def reopen(self) -> None:
        """As in `output.Sink`: there is no file."""


_PRIORITIES = {
    LogLevel.critical: syslog.LOG_CRIT,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.debug: syslog.LOG_DEBUG,
}


def classic_text(event: LogEvent) -> str:
    """An event as ``twistd`` writes it to a file: time, origin, text."""
    return formatEventAsClassicLogText(event) or ""


def syslog_text(event: LogEvent) -> str:
    """An event as `SyslogSink` takes it."""
    priority = _PRIORITIES.get(event.get("log_level", LogLevel.info), syslog.LOG_INFO)
    text = formatEvent(event).rstrip("\n").replace("\n", "\n\t")  # so that no line looks like another record
    return f"<{priority}>{text}"


@implementer(ILogObserver)
class ThreadLogObserver:
    """A log observer that only formats an event; an `output.OutputThread` writes it.

    :param sink: where records end up.
    :param text: makes an event's record.
    :ivar output: that thread, which begins with its ``start()``.
    """

    def __init__(self, sink: Sink, text: Callable[[LogEvent], str] = classic_text) -> None:
        self._text = text
        self.output = OutputThread(sink, self._dropped, not_reopened=self._not_reopened, name="log")

    def __call__(self, event: LogEvent) -> None:
        """Take one event."""
        if record := self._encoded(event):
            self.output.write(record)

    def _encoded(self, event: LogEvent) -> bytes:
        # Twisted's own records have words of peers in them, too, and tracebacks have what a message held.
        return visible(self._text(event), LAYOUT).encode("utf-8", "backslashreplace")

    def _dropped(self, number: int, error: OSError | None) -> bytes:
        why = "it was not written fast enough" if error is None else f"it could not be written: {error}"
        return self._own("the log lacks {number} records here: {why}", number=number, why=why)

    def _not_reopened(self, error: OSError) -> bytes:
        return self._own("the log goes on in the file that is open: {error}", error=error)

    def _own(self, text: str, **values: object) -> bytes:
        event = {"log_namespace": __name__, "log_level": LogLevel.error, "log_time": time.time()}
        return self._encoded(event | {"log_format": text} | values)


class TwistdLog:
    """The log of a daemon under ``twistd``, in place of the one that ``twistd`` would make.

    Create it once all options are checked: it opens the log file.

    :param options: the options of ``twistd`` itself.
    :raises OSError: if the log file can't be opened within `OPEN_TIME`.
    :ivar observer: to be set as the application's ``ILogObserver``; None if ``twistd`` shall make its own,
        since ``--logger`` names one, or since it refuses these options.
    :ivar has_file: whether there is a log file, for `reopen`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.observer: ThreadLogObserver | None = None
        self.has_file = False
        if options.get("logger"):
            return
        stays = bool(options["nodaemon"] or options["debug"])
        path = options["logfile"] or ("-" if stays else "twistd.log")
        if options.get("syslog"):
            self.observer = ThreadLogObserver(SyslogSink(options["prefix"]), syslog_text)
        elif path != "-":
            self.observer = ThreadLogObserver(_open_in_thread(path))
            self.has_file = True
        elif stays and sys.stdout is not None:
            self.observer = ThreadLogObserver(DescriptorSink(sys.stdout.fileno()))
        if stays and self.observer is not None:
            self.observer.output.start()

    def start(self, reactor: Any) -> None:
        """Begin to write: once ``twistd`` is in the background, for its way there leaves threads behind.

        When the reactor has stopped, each record waits until it is written, `LAST_WORDS` for all at most.
        """
        if self.observer is None:
            return
        output = self.observer.output
        output.start()
        reactor.addSystemEventTrigger("after", "shutdown", output.finish, LAST_WORDS)
        atexit.register(output.finish, LAST_WORDS)

    def reopen(self) -> None:
        """Open the log file anew by its name, in the log's own thread. Without effect if there is none."""
        if self.observer is not None:
            self.observer.output.reopen()


def _open_in_thread(path: str) -> FileSink:
    """Open a log file, on a file system that may hang."""
    late = f"not opened within {OPEN_TIME:g} s"
    [opened] = call_each_within(OPEN_TIME, [lambda: FileSink(path)], "log", late)
    if isinstance(opened, BaseException):
        raise opened
    return opened
