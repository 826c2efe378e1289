"""Readers of the broker's events: ``python -m benchmarks.station_readers URL NUMBER``.

It prints a line once they read, and ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys

from mtmount_twisted.station.contracts import Start, Stored
from mtmount_twisted.station.nats_engine import NatsEngine


class Reader:
    """A reader that does nothing with what it reads."""

    async def received(self, message: Stored) -> None:
        pass

    async def gap(self, first: int, last: int) -> None:
        pass


async def main(url: str, number: int) -> None:
    engine = NatsEngine([url], [])
    engine.start()
    await engine.wait_connected()
    for _ in range(number):
        await engine.log("MT_EV").read("mt.t1.*.ev.>", Start.NEW, Reader())
    print(number, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
