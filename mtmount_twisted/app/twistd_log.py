"""The log of a daemon under ``twistd``, written in a thread.

Twisted's own log observers write in the reactor's thread, so that a full pipe without a reader stops the
reactor. ``twistd`` makes no observer if the application already has one, so `TwistdLog` makes one first, from
the same options. Next to read: `net.output`, which writes; `daemon`, which sets the application's observer.
"""

from __future__ import annotations

import atexit
import json
import os
import stat
import sys
import syslog
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count, takewhile
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, formatEventAsClassicLogText
from zope.interface import implementer

from mtmount_twisted.net.logs import FIELDS, LAYOUT
from mtmount_twisted.net.output import DescriptorSink, OutputThread, Sink
from mtmount_twisted.net.threads import call_each_within
from mtmount_twisted.visible import visible

LOG_FORMATS = ("text", "json")
"""The forms of the log; the first is the default."""

LAST_WORDS = 0.3
"""The longest wait at the end of the process for the last lines of the log, in seconds."""

ROTATE_AT = 1_000_000
"""The size at which a log file is rotated, in bytes."""

OPEN_TIME = 5.0
"""The longest time to open the log file, in seconds."""


_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class FileSink(DescriptorSink):
    """Write to a log file, and rotate it at `ROTATE_AT` bytes: the newest older file has the number 1.

    Twisted's own ``LogFile`` closes its file before it opens the next one. If it can't, each later line is
    lost, also when there is a place for a file again.

    :raises OSError: if the file can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        super().__init__(os.open(self._path, _FLAGS, 0o666))

    def _replace(self, descriptor: int) -> None:
        old, self._descriptor = self._descriptor, descriptor
        with suppress(OSError):  # the file is closed whatever its file system says
            os.close(old)

    def write(self, records: Sequence[bytes]) -> None:
        """As in `output.Sink`."""
        before = os.fstat(self._descriptor).st_size
        try:
            super().write(records)
        except OSError:
            with suppress(OSError):  # no line is cut in the middle
                os.truncate(self._descriptor, before)
            raise

    def reopen(self) -> None:
        """As in `output.Sink`."""
        self._replace(os.open(self._path, _FLAGS, 0o666))

    def rotate(self) -> None:
        """As in `output.Sink`. A file that another program has moved is not rotated."""
        present = os.fstat(self._descriptor)
        if present.st_size < ROTATE_AT or not self._is_in_place(present):
            return
        # Another user of the folder must not foresee the name: a link of this name leads anywhere.
        made = f"{self._path}.{os.urandom(8).hex()}.new"
        opened = os.open(made, _FLAGS | os.O_EXCL, 0o600)
        try:
            os.fchmod(opened, stat.S_IMODE(present.st_mode))
            self._rename(made)
        except OSError:
            os.close(opened)
            with suppress(OSError):
                os.unlink(made)
            raise
        self._replace(opened)

    def _rename(self, made: str) -> None:
        """Give the present file the number 1, and its name to a new file.

        :raises OSError: if that fails; the present file then keeps its name, if possible.
        """
        first = f"{self._path}.1"
        for number in self._numbers():
            os.rename(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.rename(self._path, first)
        try:
            os.rename(made, self._path)
        except OSError:
            with suppress(OSError):
                os.rename(first, self._path)
            raise

    def _is_in_place(self, present: os.stat_result) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), present)
        except OSError:
            return False

    def _numbers(self) -> list[int]:
        """Return the numbers of older files that have to move, the highest first: all below a free number.

        Files above a free number stay: if a file can't be renamed, each new attempt would move them on.
        """
        folder, name = os.path.split(self._path)
        found = set(os.listdir(folder))
        return [*takewhile(lambda number: f"{name}.{number}" in found, count(1))][::-1]


class SyslogSink:
    """Write to the system's log. Each record begins with its priority in angle brackets."""

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

    def rotate(self) -> None:
        """As in `output.Sink`: there is no file."""


_PRIORITIES = {
    LogLevel.critical: syslog.LOG_CRIT,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.debug: syslog.LOG_DEBUG,
}


def classic_text(event: LogEvent) -> str:
    """Return an event as ``twistd`` writes it to a file: time, origin, text."""
    return formatEventAsClassicLogText(event) or ""


def json_text(event: LogEvent) -> str:
    """Return an event as one line with a JSON object.

    Its members are ``time`` (UTC), ``level``, ``namespace``, ``text``, the traceback of a failure, and each
    of `FIELDS` that the event has.
    """
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    level = event.get("log_level", LogLevel.info)
    shown = {
        "time": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": level.name,
        "namespace": event.get("log_namespace", "-"),
        "text": visible(formatEvent(event), LAYOUT),
    }
    if (failure := event.get("log_failure")) is not None:
        shown["traceback"] = visible(failure.getTraceback(), LAYOUT)
    fields = {name: _plain(event[name]) for name in FIELDS if name in event}
    return json.dumps(shown | fields) + "\n"


def _plain(value: object) -> object:
    return value if isinstance(value, int) else visible(str(value))


def syslog_text(event: LogEvent, text_of: Callable[[LogEvent], str] = formatEvent) -> str:
    """Return an event in the form that `SyslogSink` reads."""
    priority = _PRIORITIES.get(event.get("log_level", LogLevel.info), syslog.LOG_INFO)
    text = text_of(event).rstrip("\n").replace("\n", "\n\t")  # so that no line looks like another record
    return f"<{priority}>{text}"


@implementer(ILogObserver)
class ThreadLogObserver:
    """A log observer that formats events and leaves the writing to an `output.OutputThread`.

    :param sink: receives the records.
    :param text: formats an event.
    :ivar output: the thread; its ``start()`` starts it.
    """

    def __init__(self, sink: Sink, text: Callable[[LogEvent], str] = classic_text) -> None:
        self._text = text
        self.output: OutputThread = OutputThread(
            sink, self._dropped, not_reopened=self._not_reopened, name="log"
        )

    def __call__(self, event: LogEvent) -> None:
        """Format one event and queue it."""
        if record := self._encoded(event):
            self.output.write(record)

    def _encoded(self, event: LogEvent) -> bytes:
        # Records of Twisted and tracebacks may contain text from peers: make control characters visible.
        return visible(self._text(event), LAYOUT).encode("utf-8", "backslashreplace")

    def _dropped(self, number: int, error: Exception | None) -> bytes:
        why = "it was not written fast enough" if error is None else f"it could not be written: {error}"
        return self._own("the log lacks {number} records here: {why}", number=number, why=why)

    def _not_reopened(self, error: Exception) -> bytes:
        return self._own(
            "can't reopen or rotate the log file, still writing to the open one: {error}", error=error
        )

    def _own(self, text: str, **values: object) -> bytes:
        event = {"log_namespace": __name__, "log_level": LogLevel.error, "log_time": time.time()}
        return self._encoded(event | {"log_format": text} | values)


class TwistdLog:
    """The log of a daemon under ``twistd``. It replaces the log that ``twistd`` would make.

    Check all options before you construct it, because it opens the log file.

    :param options: the options of ``twistd`` itself.
    :param log_format: one of `LOG_FORMATS`.
    :raises OSError: if the log file can't be opened within `OPEN_TIME`.
    :ivar observer: the application's ``ILogObserver``; None if ``twistd`` makes its own observer, because
        ``--logger`` names one or because ``twistd`` refuses the options.
    :ivar has_file: True if there is a log file, which `reopen` can open again.
    """

    def __init__(self, options: Mapping[str, Any], log_format: str = LOG_FORMATS[0]) -> None:
        self.observer: ThreadLogObserver | None = None
        self.has_file: bool = False
        if options.get("logger"):
            return
        stays = bool(options["nodaemon"] or options["debug"])
        path = options["logfile"] or ("-" if stays else "twistd.log")
        is_json = log_format == "json"
        text = json_text if is_json else classic_text
        if options.get("syslog"):
            text = partial(syslog_text, text_of=json_text) if is_json else syslog_text
            self.observer = ThreadLogObserver(SyslogSink(options["prefix"]), text)
        elif path != "-":
            self.observer = ThreadLogObserver(_open_in_thread(path), text)
            self.has_file = True
        elif stays and sys.stdout is not None:
            self.observer = ThreadLogObserver(DescriptorSink(sys.stdout.fileno()), text)
        if stays and self.observer is not None:
            self.observer.output.start()

    def start(self, reactor: Any) -> None:
        """Start the thread. Call this once ``twistd`` is in the background: a fork leaves threads behind.

        Once the reactor has stopped, each record waits until it is written, for at most `LAST_WORDS` in all.
        """
        if self.observer is None:
            return
        output = self.observer.output
        output.start()
        reactor.addSystemEventTrigger("after", "shutdown", output.finish, LAST_WORDS)
        atexit.register(output.finish, LAST_WORDS)

    def reopen(self) -> None:
        """Reopen the log file by its name, in the log's thread. Do nothing if there is no file."""
        if self.observer is not None:
            self.observer.output.reopen()


def _open_in_thread(path: str) -> FileSink:
    """Open a log file in a thread, because its file system may hang."""
    late = f"not opened within {OPEN_TIME:g} s"
    [opened] = call_each_within(OPEN_TIME, [lambda: FileSink(path)], "log", late)
    if isinstance(opened, BaseException):
        raise opened
    return opened
