"""The connection of the station to the daemon."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.broker.words import Log, Pong, read_from_child
from mtmount_twisted.station.daemon_link import DaemonLink


class TextTests(SynchronousTestCase):
    """Texts of a broker."""

    def test_half_of_a_surrogate_pair(self) -> None:
        """A text that is no Unicode reaches the daemon with a question mark."""
        sent: list[bytes] = []
        transport = SimpleNamespace(get_write_buffer_size=lambda: 0)
        writer: Any = SimpleNamespace(transport=transport, write=sent.append)
        reader: Any = None

        async def run() -> None:
            link = DaemonLink(reader, writer)
            link.log(40, "no \ud800")
            state = Pong(number=1, connected=False, problem="no \ud800", published=0, rows=0, seconds=0.0)
            link.answer(state)

        asyncio.run(run())
        log, pong = map(read_from_child, sent)
        assert isinstance(log, Log) and isinstance(pong, Pong)
        self.assertEqual((log.text, pong.problem), ("no ?", "no ?"))
