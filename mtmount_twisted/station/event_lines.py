"""`EventLines`: the lines about events to the daemon, no more of them at once than the daemon takes.

All parts of the child that send events share the window (`Window`), and take turns line by line. Next to
read: `daemon_link`; ``frontends.broker.reading``, the daemon's side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mtmount_twisted.frontends.broker.window import Window
from mtmount_twisted.frontends.broker.words import OfStream, Took, encode


class EventLines:
    """Send lines about events, within the window.

    :param send: send a line, and wait until the daemon reads.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._window = Window()
        self._taken = asyncio.Event()
        self._turn = asyncio.Lock()

    async def deliver(self, line: OfStream) -> None:
        """Send a line once the daemon has taken enough of the earlier ones."""
        text = encode(line)
        async with self._turn:
            while not self._window.has_room(line, len(text)):
                self._taken.clear()
                await self._taken.wait()
            self._window.add(line, len(text))
            await self._send(text)

    def took(self, taken: Took) -> None:
        """Note that the daemon has processed lines."""
        self._window.take(taken.lines)
        self._taken.set()
