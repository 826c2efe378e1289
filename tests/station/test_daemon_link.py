"""The connection of the station to the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config.loading import MOST_USERS
from mtmount_twisted.frontends.broker.words import MAX_EVENT_LINE, Log, Pong, read_from_child
from mtmount_twisted.station.daemon_link import DaemonLink
from mtmount_twisted.station.streams import commands_name


def state(problem: str, **more: Any) -> Pong:
    """A state of the child."""
    return Pong(number=1, connected=False, problem=problem, published=0, rows=0, seconds=0.0, **more)


class TextTests(SynchronousTestCase):
    """Texts of a broker."""

    def sent(self, tell: Callable[[DaemonLink], None], backlog: int = 0) -> list[Any]:
        """The lines that reach the daemon."""
        sent: list[bytes] = []
        transport = SimpleNamespace(get_write_buffer_size=lambda: backlog)
        writer: Any = SimpleNamespace(transport=transport, write=sent.append)
        reader: Any = None

        async def run() -> None:
            tell(DaemonLink(reader, writer))

        asyncio.run(run())
        return list(map(read_from_child, sent))

    def test_half_of_a_surrogate_pair(self) -> None:
        """A text that is no Unicode reaches the daemon with a question mark."""

        def tell(link: DaemonLink) -> None:
            link.log(40, "no \ud800")
            link.answer(state("no \ud800"))

        log, pong = self.sent(tell)
        assert isinstance(log, Log) and isinstance(pong, Pong)
        self.assertEqual((log.text, pong.problem), ("no ?", "no ?"))

    def test_long_reasons(self) -> None:
        """The state of the child always has room: without an answer the daemon would kill the process."""
        full = [commands_name("x" * 32)] * MOST_USERS
        for text in ("\x01" * 500, "\x01" * 400 + "\ud800" * 100, "\U0001f52d" * 500):
            [pong] = self.sent(lambda link: link.answer(state(text, loss=text, full=full)))  # noqa: B023
            self.assertTrue(text.startswith(pong.problem[:100]))
            self.assertGreater(len(pong.problem), 100)

    def test_long_event_on_its_way(self) -> None:
        """An event that waits for the daemon displaces no answer: asyncio keeps 64 KiB, and one line more."""
        self.assertEqual(len(self.sent(lambda link: link.answer(state("")), 2**16 + MAX_EVENT_LINE)), 1)
