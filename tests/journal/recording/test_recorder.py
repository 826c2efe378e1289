"""The recorder's thread: what it records, its bounds, and its end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.interfaces import IRecorderState
from mtmount_twisted.journal.recording import recorder as module
from mtmount_twisted.journal.recording.items import RecorderOptions
from mtmount_twisted.journal.recording.recorder import Recorder, RecorderOff
from mtmount_twisted.journal.recording.writer import RecordingWriter
from mtmount_twisted.records import LineRecord
from tests.support.folders import scratch_path
from tests.support.recordings import START, TMA2022, messages_of, topic_line
from tests.support.threads import no_threads

END = TMA2022.terminator


class HandReactor(Clock):
    """A clock that makes the calls of other threads when a test asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *arguments: Any) -> None:
        """Keep a call."""
        self._calls.put(partial(function, *arguments))

    def run_calls(self, count: int) -> None:
        """Make so many calls; wait for them if they have not come yet."""
        for _ in range(count):
            self._calls.get(timeout=60)()


class RecorderTests(TestCase):
    """A recorder with its thread."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.log = logging.getLogger(f"recorder.{self.id()}")
        self.log.propagate = False
        self.logged: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.logged.append(record.getMessage())  # type: ignore[method-assign]
        self.log.addHandler(handler)
        self.options = RecorderOptions(self.folder, 14.0, 2**40, 0, {"dialect": "tma2022"})
        self.recorder = Recorder(self.options, TMA2022, self.log, reactor=reactor)

    def event(self, line: bytes, **changes: Any) -> None:
        """A line from the mount."""
        given = {"peer": "controller", "direction": "from", "code": 2, "sequence_id": None} | changes
        self.recorder.keep_event(LineRecord(START, 1, line=line, **given), 0)

    async def test_records_telemetry_and_events(self) -> None:
        """Lines and events that came before the stop are in the recording; other lines are not."""
        self.recorder.start()
        self.recorder.keep_telemetry(topic_line("azimuth", START, actualPosition=1.0) + END)
        self.event(b'{"id":2}')
        self.event(b'{"id":0}', sequence_id=7)
        self.event(b"command", direction="to")
        self.event(b"3\n", peer="csc")
        await self.recorder.stop(30.0)
        [path] = self.folder.glob("*.mcap")
        self.assertCountEqual([topic for topic, _ in messages_of(path)], ["events", "azimuth"])
        self.assertEqual((self.recorder.written, self.recorder.lost, self.recorder.fault), (2, 0, ""))
        self.assertEqual(list(self.folder.iterdir()), [path])

    async def test_stop_before_start_and_twice(self) -> None:
        """It can be stopped at any time."""
        await self.recorder.stop()
        self.recorder.start()
        first, second = self.recorder.stop(30.0), self.recorder.stop(30.0)
        await first
        await second
        await self.recorder.stop()

    async def test_no_thread(self) -> None:
        """If the system can't start the thread, the caller learns of it; a later start works."""
        with no_threads():
            self.assertRaises(OSError, self.recorder.start)
        await self.recorder.stop()
        self.recorder.start()
        self.event(b'{"id":2}')
        await self.recorder.stop(30.0)
        self.assertEqual((self.recorder.written, self.recorder.lost), (1, 0))

    async def test_hanging_disk(self) -> None:
        """A disk that hangs neither blocks the caller nor the end; what does not fit is counted."""
        released, hangs, finished = threading.Event(), threading.Event(), threading.Event()

        def hang(writer: RecordingWriter, items: Any) -> None:
            hangs.set()
            released.wait(60)

        self.patch(RecordingWriter, "turn", hang)
        self.patch(RecordingWriter, "finish", lambda writer, items: finished.set())
        self.patch(module, "MAX_WAITING_BYTES", 1000)
        self.recorder.start()
        self.assertTrue(hangs.wait(60))
        line = topic_line("azimuth", START, actualPosition=1.0) + END
        for _ in range(100):
            self.recorder.keep_telemetry(line)
        self.assertEqual(self.recorder.lost, 100 - 1000 // len(line))
        ended: Deferred[None] = self.recorder.stop(0.01)
        await ended
        self.assertIn("does not end within", self.logged[0])
        self.assertIn("hangs", self.recorder.fault)
        released.set()
        self.assertTrue(finished.wait(60))  # or the thread makes the folder anew after the test

    def test_thread_that_failed(self) -> None:
        """After an error in its thread the recorder counts what is lost, and its end waits for nothing."""

        def fail(writer: RecordingWriter, items: Any) -> None:
            raise RuntimeError("an error of our own")

        self.patch(RecordingWriter, "turn", fail)
        reactor = HandReactor()
        recorder = Recorder(self.options, TMA2022, self.log, reactor=reactor)
        line = topic_line("azimuth", START, actualPosition=1.0) + END
        recorder.start()
        reactor.run_calls(2)  # the line of the log, and the end of the thread
        self.assertIn("an error of our own", self.logged[0])
        self.assertIn("an error of our own", recorder.fault)
        self.assertIsNone(self.successResultOf(recorder.stop()))
        self.assertIsNone(self.successResultOf(recorder.stop()))
        self.assertEqual(reactor.getDelayedCalls(), [])
        recorder.keep_telemetry(line * 3)
        self.assertEqual(recorder.lost, 3)

    def test_interface(self) -> None:
        """Both states provide the interface."""
        self.assertTrue(verifyObject(IRecorderState, self.recorder))
        self.assertTrue(verifyObject(IRecorderState, RecorderOff()))
