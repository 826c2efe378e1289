"""The latest telemetry for the broker: as JSON that every reader takes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.telemetry_outbox import TelemetryOutbox, strict_json
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

    def test_nan_is_published(self) -> None:
        """A line with NaN reaches the broker as a right CloudEvent, and the next line does, too."""

        async def run() -> None:
            broker = MemoryBroker(lambda: 1000.0)
            engine = MemoryEngine(broker)
            engine.start()
            await engine.wait_connected()
            format = dialect_named("tma2022").telemetry
            assert format is not None
            source = Source("t1", "a")
            outbox = TelemetryOutbox(engine, engine.log("LOG"), format, source, lambda: 1000.0)
            task = asyncio.create_task(outbox.run())
            try:
                for count, line in enumerate((b'"actualPosition":NaN}', b'"actualPosition":1}'), 1):
                    outbox.keep([HEAD + line, b"{", b"[" * 100_000])
                    while outbox.published < count:
                        await pause(0.001)
                    last = await engine.log("LOG").last("mt.t1.a.tel.>")
                    assert last is not None
                    found = json.loads(last.body, parse_constant=self.fail)
                    self.assertEqual(found["data"]["actualPosition"], [None, 1][count - 1])
            finally:
                task.cancel()
                await engine.close()

        in_time(run())
