"""The latest telemetry for the broker: as JSON that every reader takes."""

from __future__ import annotations

import asyncio
import json
from asyncio import Future
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.errors import EngineRefused
from mtmount_twisted.station.contracts import ILog
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.telemetry_outbox import MAX_LINE, TelemetryOutbox, strict_json
from mtmount_twisted.station.waits import pause
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine
from tests.support.broker import in_time

HEAD = b'{"topicID":6,"timestamp":1.0,'


class TelemetryOutboxTests(SynchronousTestCase):
    """Lines that the mount sends, and what is published."""

    def test_strict_json(self) -> None:
        """NaN and infinity become null; another line is published as it is; what is no JSON is left out."""
        for line, expected in (
            (b'"a":NaN}', {"a": None}),
            (b'"a":[1,-Infinity,1e400]}', {"a": [1, None, None]}),
            (b'\n"a":1}', {"a": 1}),
        ):
            found: Any = strict_json(HEAD + line)
            self.assertEqual(json.loads(found), {"topicID": 6, "timestamp": 1.0, **expected})
        self.assertEqual(strict_json(HEAD + b'"a":  1}'), HEAD + b'"a":  1}')
        for line in (b"{", b"[" * 100_000, b"\xff"):
            self.assertIsNone(strict_json(line))

    @asynccontextmanager
    async def outbox(self, most: int = MAX_LINE) -> AsyncIterator[tuple[TelemetryOutbox, ILog, list[str]]]:
        """An outbox that runs, its log, and what it reports; the broker takes so many bytes at most."""
        engine = MemoryEngine(MemoryBroker(lambda: 1000.0))
        engine.start()
        await engine.wait_connected()
        format = dialect_named("tma2022").telemetry
        assert format is not None
        log = engine.log("LOG")
        told: list[str] = []
        send = log.send

        async def send_short(subject: str, body: bytes) -> Future[int]:
            if len(body) > most:
                raise EngineRefused(f"the server takes no message of {len(body)} bytes")
            return await send(subject, body)

        with mock.patch.object(log, "send", send_short):
            outbox = TelemetryOutbox(
                engine, log, format, Source("t1", "a"), lambda level, text: told.append(text), lambda: 1000.0
            )
            task = asyncio.create_task(outbox.run())
            try:
                yield outbox, log, told
                self.assertFalse(task.done())
            finally:
                task.cancel()
                await engine.close()

    def test_nan_is_published(self) -> None:
        """A line with NaN reaches the broker as a right CloudEvent, and the next line does, too."""

        async def run() -> None:
            async with self.outbox() as (outbox, log, _):
                for count, line in enumerate((b'"actualPosition":NaN}', b'"actualPosition":1}'), 1):
                    outbox.keep([HEAD + line, b"{", b"[" * 100_000])
                    while outbox.published < count:
                        await pause(0.001)
                    last = await log.last("mt.t1.a.tel.>")
                    assert last is not None
                    found = json.loads(last.body, parse_constant=self.fail)
                    self.assertEqual(found["data"]["actualPosition"], [None, 1][count - 1])

        in_time(run())

    def test_line_that_the_broker_refuses(self) -> None:
        """A line that is too long for the broker is left out, and reported once until its topic is taken."""

        async def run() -> None:
            async with self.outbox(most=2000) as (outbox, _, told):
                for count in (1, 2):
                    for _ in range(3):
                        outbox.keep([HEAD + b'"more":"%b"}' % (b"x" * 2000)])
                        await pause(0.001)
                    self.assertEqual((outbox.published, len(told)), (count - 1, count))
                    outbox.keep([HEAD + b'"actualPosition":1}'])
                    while outbox.published < count:
                        await pause(0.001)
                self.assertIn("telemetry of azimuth: the server takes no message of", told[0])

        in_time(run())
