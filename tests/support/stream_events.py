"""Events of bridges at a broker in memory, and waits without a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.journal.reading import Entry
from mtmount_twisted.station.events import Source, event_of
from mtmount_twisted.station.waits import pause
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine

LOG = "MT_EV"
DIALECT = dialect_named("tma2020")
START = 1_700_000_000.0


def change(number: int, kind: str = "connected", peer: str = "csc", time: float | None = None) -> Entry:
    """A change in the journal of a bridge: the row of this number."""
    when = START + number if time is None else time
    return Entry(number, 1, "event", when, peer, 1, kind, 0, 0, 0, 0, "", None, DIALECT)


def step(number: int, code: int = 1) -> Entry:
    """A step of a command."""
    return Entry(
        number, 1, "step", START + number, "csc", 1, "done", number, number, code, 1, "", None, DIALECT
    )


def message(number: int, line: bytes) -> Entry:
    """A line to a commander."""
    return Entry(number, 1, "message", START + number, "csc", 1, "to", 0, 0, 0, 0, "", line, DIALECT)


class Station:
    """A broker, and bridges that publish.

    :ivar lines: what a part of the child has delivered to the daemon.
    :ivar told: its lines for the log.
    """

    def __init__(self) -> None:
        self.time = START
        self.broker = MemoryBroker(lambda: self.time)
        self.engine = MemoryEngine(self.broker)
        self.engine.start()
        self.log: Any = self.engine.log(LOG)
        self.lines: list[Any] = []
        self.told: list[str] = []

    async def publish(self, *entries: Entry, node: str = "a") -> int:
        """Publish rows of a bridge; the position of the last one."""
        position = 0
        for entry in entries:
            event = event_of(entry, Source("t1", node))
            self.time = max(self.time, entry.time)
            position = await self.log.append(event.subject, event.body, event.id)
        return position

    async def deliver(self, line: Any) -> None:
        """Take a line for the daemon."""
        self.lines.append(line)

    def report(self, level: int, text: str) -> None:
        """Take a line for the log."""
        self.told.append(text)

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Wait until something is so."""
        while not is_so():
            await pause(0.001)
