"""`Recorder`: record every line of telemetry and every event of the mount in MCAP files, without delaying a
line.

`keep_telemetry` and `keep_event` run on the reactor's thread and only append to memory. Every half second the
recorder's thread takes the waiting lines, and gives them to a `writer.RecordingWriter`. The waiting lines are
bounded in bytes. Above the bound, the recorder counts lines instead of keeping them. Only the start of a
recorder imports ``mcap`` and ``zstandard``. ``docs/reference/recordings.rst`` explains the files;
``mtmount-telemetry`` reads them. Next to read: `writer`, the thread's side.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.interfaces import IRecorderState
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.threads import start_thread
from mtmount_twisted.records import LineRecord

from .items import EVENTS, Item, RecorderOptions

if TYPE_CHECKING:
    from .writer import RecordingWriter

GATHER = 0.5
"""The time between two turns of the thread, in seconds. A turn that compresses may take as long again, so a
crash loses at most the last second."""

MAX_WAITING_BYTES = 32 * 2**20
"""The largest number of bytes that wait in memory for the thread: 2 minutes of telemetry."""

HANGS_AFTER = 10.0
"""The longest turn of the thread, in seconds, before the recorder reports a fault. A turn with chunks takes
some 3 s."""

STOP_TIME = 3.0
"""The longest time for `Recorder.stop`, in seconds."""


@implementer(IRecorderState)
class Recorder:
    """Record telemetry and events.

    :param options: the folder and its limits.
    :param log: receives one line when the recordings can't be written, and one when they can again.
    :param wall_clock: return the time of arrival (s, Unix time).
    :param reactor: the reactor; the global one if None.
    """

    enabled = True

    def __init__(
        self,
        options: RecorderOptions,
        dialect: Dialect,
        log: logging.Logger,
        *,
        wall_clock: Callable[[], float] = time.time,
        reactor: Any = None,
    ) -> None:
        self._options = options
        self._dialect = dialect
        self._log = log
        self._now = wall_clock
        self._reactor = reactor
        self._waiting: deque[Item] = deque()
        self._added = 0  # bytes, written by the reactor's thread
        self._freed = 0  # bytes, written by the recorder's thread
        self._dropped = 0
        self._stopping = threading.Event()
        self._busy_since: float | None = None
        self._broken = ""
        self._is_over = False
        self._writer: RecordingWriter | None = None
        self._thread: threading.Thread | None = None
        self._stopped: list[Deferred[None]] = []
        self._giving_up: Deadline | None = None

    @property
    def folder(self) -> Path:
        """See `IRecorderState`."""
        return self._options.folder

    @property
    def fault(self) -> str:
        """See `IRecorderState`."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > HANGS_AFTER:
            return f"the disk has not answered for more than {HANGS_AFTER:g} s"
        return self._broken or ("" if self._writer is None else self._writer.fault)

    @property
    def written(self) -> int:
        """See `IRecorderState`."""
        return 0 if self._writer is None else self._writer.written

    @property
    def lost(self) -> int:
        """See `IRecorderState`."""
        return self._dropped + (0 if self._writer is None else self._writer.lost)

    @property
    def oldest(self) -> float | None:
        """See `IRecorderState`."""
        return None if self._writer is None else self._writer.oldest

    def keep_telemetry(self, data: bytes) -> None:
        """Keep lines of telemetry, with their terminators. It never blocks and never raises."""
        self._keep("", self._now(), data, data.count(self._dialect.terminator))

    def keep_event(self, record: LineRecord, number: int) -> None:
        """Keep an event of the mount, and ignore other lines. This method subscribes to the event bus."""
        is_event = record.peer == CONTROLLER and record.direction == "from" and record.sequence_id is None
        if is_event and record.code is not None:
            self._keep(EVENTS, record.time, record.line, 1)

    def _keep(self, channel: str, now: float, data: bytes, lines: int) -> None:
        has_place = self._added - self._freed + len(data) <= MAX_WAITING_BYTES
        if self._thread is None or self._is_over or not has_place:
            self._dropped += lines
            return
        self._added += len(data)
        self._waiting.append(Item(now, channel, data))

    def start(self) -> None:
        """Begin to record. If the recorder runs, do nothing.

        :raises net.threads.NoThreadError: if the system can't start the thread.
        """
        if self._thread is not None:
            return
        from .writer import REST_TIME, RecordingWriter

        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        self._writer = writer = RecordingWriter(
            *(self._options, self._dialect, self._tell, self._take),
            wall_clock=self._now,
            rest=lambda: self._stopping.wait(REST_TIME),  # no rest at the end
        )
        self._thread = start_thread(partial(self._work, writer), "recorder")

    def stop(self, within: float = STOP_TIME) -> Deferred[None]:
        """Write the waiting lines, end the recording, and end the thread. A caller may call it twice.

        :param within: the longest time, in seconds; after it the thread, which hangs, is given up. The next
            start finishes the recording then.
        :returns: a Deferred that fires when the recording is closed or given up; it never fails.
        """
        if self._thread is None or self._is_over:
            return succeed(None)
        if not self._stopping.is_set():
            self._giving_up = Deadline(self._reactor, within, self._give_up, within)
            self._stopping.set()
        self._stopped.append(Deferred())
        return self._stopped[-1]

    def _tell(self, level: int, text: str, *arguments: object) -> None:
        self._reactor.callFromThread(self._log.log, level, text, *arguments)

    def _take(self) -> list[Item]:
        """Take the waiting lines. On the recorder's thread."""
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._freed += sum(len(item.data) for item in taken)
        return taken

    def _work(self, writer: RecordingWriter) -> None:
        """Run the recorder's thread."""
        try:
            while True:
                self._busy_since = time.monotonic()
                writer.turn(self._take())
                self._busy_since = None
                if self._stopping.wait(GATHER):
                    break
            self._busy_since = time.monotonic()
            writer.finish(self._take())
            self._busy_since = None
        except Exception as error:
            self._broken = f"the recorder's thread failed: {error!r}"
            self._tell(logging.CRITICAL, "the recorder's thread failed:\n%s", traceback.format_exc())
        self._reactor.callFromThread(self._ended)

    def _ended(self) -> None:
        """Join the thread, which is at its end: it was stopped, or it failed."""
        if not self._is_over and self._thread is not None:
            self._thread.join()  # the thread made this call last
            self._dropped += sum(max(item.data.count(self._dialect.terminator), 1) for item in self._take())
            self._end()

    def _give_up(self, seconds: float) -> None:
        """Give up the thread, which hangs and can't be ended: the program ends without it."""
        self._broken = f"it hangs: given up after {seconds:g} s"
        text = "the recorder does not end within %g s: the next start finishes its recording"
        self._log.error(text, seconds)
        self._end()

    def _end(self) -> None:
        self._is_over = True
        if self._giving_up is not None and self._giving_up.active():
            self._giving_up.cancel()
        waiting, self._stopped = self._stopped, []
        for stopped in waiting:
            stopped.callback(None)


@implementer(IRecorderState)
class RecorderOff:
    """The state of a recorder that is turned off."""

    enabled = False
    folder: Path | None = None
    written = lost = 0
    fault = ""
    oldest: float | None = None
