"""`TelemetryOutbox`: the latest line of each telemetry topic -> the log of the broker.

Telemetry is conflated and never queued: while a line of a topic is not confirmed, the next line waits, and a
newer line replaces it. Lines that the broker misses are not sent later. Next to read: `outbox`, for events.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from asyncio import Future
from collections.abc import Callable, Iterable

import msgspec

from mtmount_twisted.dialects.dialect import TelemetryFormat
from mtmount_twisted.errors import EngineRefused, EngineUnreachable, LineError
from mtmount_twisted.journal.times import iso

from .contracts import IEngine, ILog
from .events import Source, telemetry_of

MAX_LINE = 60 * 1024
"""The longest line to publish, in bytes."""


def strict_json(line: bytes) -> bytes | None:
    """Return a line of the mount as JSON that every reader accepts: with null for NaN and infinity.

    :returns: None if it is not JSON, or nested too deeply.
    """
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        try:
            return msgspec.json.encode(json.loads(line))
        except (ValueError, RecursionError):
            return None
    return line


class TelemetryOutbox:
    """Publish telemetry.

    :param format: the mount's format.
    :param report: logs a line: called with a level of `logging` and a text.
    :ivar published: the number of lines that the broker has confirmed.
    """

    def __init__(
        self,
        engine: IEngine,
        log: ILog,
        format: TelemetryFormat,
        source: Source,
        report: Callable[[int, str], None],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.published: int = 0
        self._engine, self._log, self._format, self._source = engine, log, format, source
        self._report = report
        self._wall_clock = wall_clock
        self._refused: set[str] = set()  # topics whose latest line the broker has refused
        self._number = 0
        self._latest: dict[int, tuple[bytes, str]] = {}  # by topic: a waiting line, and its time of arrival
        self._under_way: set[int] = set()
        self._changed = asyncio.Event()

    def keep(self, lines: Iterable[bytes]) -> None:
        """Keep lines as the latest of their topics."""
        now = iso(self._wall_clock())
        for line in lines:
            try:
                topic, _ = self._format.read_header(line)
            except LineError:
                continue
            data = strict_json(line)
            if data is not None and len(data) <= MAX_LINE:
                self._latest[topic] = data, now
        self._changed.set()

    async def run(self) -> None:
        """Publish until the task is cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self._engine.connected:
                self._latest.clear()
                continue
            for topic in [each for each in self._latest if each not in self._under_way]:
                await self._send(topic, *self._latest.pop(topic))

    async def _send(self, topic: int, line: bytes, when: str) -> None:
        self._number += 1
        known = self._format.names.get(topic, "an unknown topic")
        name = known if topic in self._format.names else str(topic)
        event = telemetry_of(name, self._number, line, when, self._source)
        try:
            future = await self._log.send(event.subject, event.body)
        except EngineUnreachable:
            return
        except EngineRefused as error:  # a server may take shorter messages only
            if known not in self._refused:
                self._refused.add(known)
                self._report(logging.WARNING, f"the broker does not take the telemetry of {known}: {error}")
            return
        self._refused.discard(known)
        self._under_way.add(topic)
        future.add_done_callback(lambda done: self._note_end(topic, done))

    def _note_end(self, topic: int, done: Future[int]) -> None:
        self._under_way.discard(topic)
        self._changed.set()
        if not done.cancelled() and done.exception() is None:
            self.published += 1
