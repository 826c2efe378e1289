"""`Following`: the events of the other bridges from the stream, for the daemon of a standby.

Events come in the order of the stream, from the position that the daemon names. Only some of them are on
their way to the daemon (`event_lines`): the others stay at the broker. A malformed event is counted and left
out. A broker that lost its last events gets them again from their bridge, at other positions: what was
delivered before is not delivered again. Next to read: `stream_entries`; ``frontends.broker.reading``, the
daemon's side.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Raw
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.errors import EngineRefused, EngineUnreachable
from mtmount_twisted.frontends.broker.words import Follow, Missing, OfStream, Other
from mtmount_twisted.visible import visible

from .contracts import IEngine, ILog, IReading, IReceiver, Start, Stored
from .events import Source
from .nats_engine import Report
from .stream_entries import entry_of, node_of
from .waits import pause

KNOWN = 10_000
"""The number of the last events that are recognized if they come again."""

LOG_TIME = 60.0
"""The time between two lines about malformed events, in seconds."""

RETRY_AFTER = 5.0
"""The time to the next attempt if the stream can't be read, in seconds."""


@implementer(IReceiver)
class Following:
    """Read the events of the other bridges of the mount.

    :param deliver: send the daemon a line, and wait until it takes it.
    :param now: return the time on a monotonic clock (s); that of the event loop if None.
    :ivar malformed: the number of events that were left out.
    """

    def __init__(
        self,
        engine: IEngine,
        log: ILog,
        source: Source,
        dialect: Dialect,
        deliver: Callable[[OfStream], Awaitable[None]],
        report: Report,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.malformed: int = 0
        self._engine, self._log, self._source, self._dialect = engine, log, source, dialect
        self._deliver = deliver
        self._report = report
        self._now = now
        self._wanted = Follow(False)
        self._changed = asyncio.Event()
        self._position = 0  # of the last message that was read
        self._known: OrderedDict[tuple[str, int, int, str], None] = OrderedDict()
        self._next_report = float("-inf")

    def follow(self, wanted: Follow) -> None:
        """Read from now on, or read no more."""
        self._wanted = wanted
        self._changed.set()

    async def run(self) -> None:
        """Read while the daemon wants that, until the task is cancelled."""
        while True:
            self._changed.clear()
            reading = await self._begin() if self._wanted.follow else None
            try:
                await self._changed.wait()
            finally:
                if reading is not None:
                    await reading.stop()

    async def _begin(self) -> IReading | None:
        """Return a reading, as soon as the broker provides one; None if the daemon wants no more."""
        wanted = self._wanted
        keys = f"mt.{self._source.mount}.*.ev.>"
        while self._wanted is wanted:
            await self._engine.wait_connected()
            try:
                return await self._log.read(keys, wanted.after + 1 if wanted.after else Start.NEW, self)
            except EngineUnreachable:
                await pause(0.1)
            except EngineRefused as error:
                self._report(logging.ERROR, f"the events of the other bridges can't be read: {error}")
                await pause(RETRY_AFTER)
        return None

    # IReceiver

    async def received(self, message: Stored) -> None:
        """See `IReceiver`."""
        self._position = message.position
        if node_of(message.key) == self._source.node:
            return
        try:
            entry = entry_of(message, self._source.mount, self._source.node, self._dialect)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            self._leave_out(message, error)
            return
        known = entry.id.node, entry.id.run, entry.id.row, entry.time
        if known in self._known:
            return
        self._known[known] = None
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        other = Other(
            id=str(entry.id), entry_type=entry.type, kind=entry.kind, peer=entry.peer, entry=Raw(entry.json)
        )
        await self._deliver(other)

    async def gap(self, first: int, last: int) -> None:
        """See `IReceiver`."""
        went_back = first <= self._position  # the broker lost what was read: the stream goes on at `first`
        self._position = first - 1 if went_back else last
        await self._deliver(Missing(self._position))

    def _leave_out(self, message: Stored, error: Exception) -> None:
        self.malformed += 1
        now = asyncio.get_running_loop().time() if self._now is None else self._now()
        if now >= self._next_report:
            self._next_report = now + LOG_TIME
            text = f"left out an event of {message.key[:100]}, which is malformed: {str(error)[:200]}"
            self._report(logging.WARNING, visible(f"{text} ({self.malformed} so far)"))
