"""Waiting in the child process. Each wait ends after some seconds at the latest, and can be cancelled.

It uses the event loop only. Next to read: `child`.
"""

from __future__ import annotations

import asyncio


async def pause(seconds: float) -> None:
    """Wait some seconds."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not over.done():  # the wait may have been cancelled in the same turn
            over.set_result(None)

    timer = loop.call_later(seconds, end)
    try:
        await over
    finally:
        timer.cancel()
