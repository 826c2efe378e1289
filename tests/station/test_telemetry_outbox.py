"""Telemetry for the broker is conflated for each topic, and never queued."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.telemetry_outbox import TelemetryOutbox
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine
from tests.support.broker import in_time

LOG = "MT_TEL"


def line(topic: int, number: int) -> bytes:
    """A line of a topic."""
    return b'{"topicID":%d,"timestamp":%d.5,"value":%d}' % (topic, number, number)


class TelemetryOutboxTests(SynchronousTestCase):
    """What the broker gets."""

    def test_conflated(self) -> None:
        """While a topic's line is not confirmed, only the latest of the next ones is kept."""

        async def run() -> list[Any]:
            broker = MemoryBroker(lambda: 1795363443.0)
            engine = MemoryEngine(broker)
            engine.start()
            format = dialect_named("tma2022").telemetry
            assert format is not None
            outbox = TelemetryOutbox(engine, engine.log(LOG), format, Source("t1", "a"), lambda: 1795363443.0)
            task = asyncio.create_task(outbox.run())
            messages = broker.log(LOG).messages

            async def until(number: int) -> None:
                while len(messages) < number:
                    await broker.changed.wait()

            broker.swallow()
            outbox.keep([line(6, 1), b"nonsense", line(99, 1)])
            await until(2)
            for number in range(2, 10):
                outbox.keep([line(6, number)])
            broker.cut()
            outbox.keep([line(99, 10)])  # it is dropped: the broker is away
            for _ in range(5):
                await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0)
            broker.restore()
            outbox.keep([line(6, 11), line(6, 12)])
            await until(3)
            task.cancel()
            await engine.close()
            return [(each.key, json.loads(each.body)["data"]["value"]) for each in messages]

        self.assertEqual(
            in_time(run()), [("mt.t1.a.tel.azimuth", 1), ("mt.t1.a.tel.99", 1), ("mt.t1.a.tel.azimuth", 12)]
        )
