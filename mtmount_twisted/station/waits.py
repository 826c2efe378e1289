"""Waiting in the child process. Each wait ends after some seconds at the latest, and can be cancelled."""

from __future__ import annotations

import asyncio


async def pause(seconds: float) -> None:
    """Wait some seconds."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
