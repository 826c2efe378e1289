"""`Outbox`: every row of the journal -> the log of the broker, once, in the order of the journal.

The journal is the buffer: nothing else waits for the broker. The outbox keeps no position of its own. On each
connection it asks the log for its last rows, and continues after them; so a broker that has lost its last
rows gets them again, and no row is doubled. A window of messages may be sent before the first of them is
confirmed. If the broker stores a later message and not an earlier one, as it can while a stream elects its
leader, the log has a hole. So after each fault the outbox looks at the last window of the log, and fills the
holes before it sends further rows. It sends the first row of a journal alone, so that no hole is before the
first row of the log. Next to read: `events`, the messages; `journal_file`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from asyncio import Event as Signal
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable, JournalError
from mtmount_twisted.journal.reading import Entry

from .contracts import IEngine, ILog, Stored
from .events import Source, event_of, row_in
from .journal_file import JournalFile
from .waits import pause

MAX_UNCONFIRMED = 2**20
"""The largest number of bytes that the broker has not confirmed."""

RETRY_AFTER = 1.0
"""The time to the next attempt after a fault, in seconds."""

SOON = 0.1
"""The time to the next attempt if the broker did not answer, as during an election, in seconds."""

LOOK_BACK = 512
"""The number of positions of the log in which to look first for the last rows; it doubles each time."""

LOOK_TIME = 10.0
"""The longest time to read the last rows of the log, in seconds."""

Report = Callable[[int, str], None]


class Lag(NamedTuple):
    """The distance of the broker behind the journal's file.

    :ivar rows: the number of rows that are not confirmed.
    :ivar seconds: the age of the oldest of these rows, in seconds.
    """

    rows: int
    seconds: float


class _Tail:
    """Receives the last messages of the log, up to a position."""

    def __init__(self, last: int) -> None:
        self.messages: list[Stored] = []
        self.done = Signal()
        self._last = last

    async def received(self, message: Stored) -> None:
        self.messages.append(message)
        if message.position >= self._last:
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        if last >= self._last:
            self.done.set()


class Outbox:
    """Publish the rows of a journal.

    :param engine: the connection to the broker, which the caller starts and closes.
    :param log: its log for events.
    :param window: the largest number of unconfirmed messages.
    :param report: receives lines for the log.
    :param wall_clock: return the time (s, Unix time).
    :ivar published: the number of rows that the broker has confirmed.
    """

    def __init__(
        self,
        engine: IEngine,
        log: ILog,
        journal: JournalFile,
        source: Source,
        window: int,
        report: Report,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.published: int = 0
        self._engine, self._log, self._journal, self._source = engine, log, journal, source
        self._window = window
        self._report = report
        self._wall_clock = wall_clock
        self._settled = 0
        self._position: int | None = None  # every row up to it is confirmed; None: the log was not asked
        self._unconfirmed: deque[tuple[int, int, Future[int]]] = deque()
        self._bytes = 0
        self._failure: Exception | None = None
        self._changed = Signal()
        self._lost: asyncio.Future[None]  # exists while the outbox publishes
        self._fault = ""

    def settle(self, id: int) -> None:
        """Note that the journal's file has every row up to an id."""
        if id > self._settled:
            self._settled = id
            self._changed.set()

    @property
    def is_done(self) -> bool:
        """True if the broker has confirmed every row of the journal's file."""
        return self._position is not None and self._position >= self._settled and not self._unconfirmed

    def lag(self) -> Lag:
        """Return the lag. If there is one, this reads the journal's file."""
        if self.is_done:
            return Lag(0, 0.0)
        try:
            rows, oldest = self._journal.behind(self._position or 0, self._settled)
        except (JournalError, sqlite3.Error, OSError):
            return Lag(0, 0.0)
        return Lag(rows, 0.0 if oldest is None else max(0.0, self._wall_clock() - oldest))

    async def run(self) -> None:
        """Publish until the task is cancelled."""
        while True:
            await self._engine.wait_connected()
            seconds = RETRY_AFTER
            self._lost = asyncio.ensure_future(self._engine.wait_lost())
            try:
                await self._publish()
            except EngineUnreachable:
                seconds = SOON  # the engine knows the reason, and connects again
            except (EngineFull, EngineRefused) as error:
                self._note_fault(f"the broker does not take events: {error}")
            except (JournalError, sqlite3.Error, OSError) as error:
                self._note_fault(f"the journal can't be read: {error}")
            finally:
                self._lost.cancel()
            await self._drain()
            await pause(seconds)

    def _note_fault(self, text: str) -> None:
        if text != self._fault:
            self._fault = text
            self._report(logging.WARNING, f"{text}; the journal keeps them")

    async def _drain(self) -> None:
        """Wait until each message that was sent is confirmed or has failed: a few seconds at most."""
        while self._unconfirmed:
            self._changed.clear()
            await self._changed.wait()
        self._failure = None
        self._bytes = 0

    async def _publish(self) -> None:
        """Publish the rows that the log lacks, then each new row, until the connection is lost."""
        while not self._settled:  # the daemon soon sends the last id in the file
            self._changed.clear()
            await self._wait()
        first, position = await self._look()
        for entry in first:
            await self._send(entry)
        await self._all_confirmed()
        self._position = position
        sent = position
        while True:
            self._changed.clear()
            settled = self._settled
            if sent < settled:
                for entry in self._journal.rows(sent, settled):
                    await self._send(entry)
                    sent = entry.id
                sent = settled
                if not self._unconfirmed:
                    self._position = settled
            else:
                await self._wait()
            if not self._unconfirmed and sent > self._position:
                self._position = sent

    async def _send(self, entry: Entry) -> None:
        """Send a row as soon as the window has room."""
        event = event_of(entry, self._source)
        size = len(event.body)
        if len(self._unconfirmed) >= self._window or self._bytes + size > MAX_UNCONFIRMED:
            # Wait for half of the window at once: a wait for each single message takes longer than the
            # message.
            while len(self._unconfirmed) > self._window // 2 or self._bytes > MAX_UNCONFIRMED // 2:
                self._changed.clear()
                await self._wait()
        future = await self._log.send(event.subject, event.body, event.id)
        self._bytes += size
        self._unconfirmed.append((entry.id, size, future))
        future.add_done_callback(self._note_confirmation)

    def _note_confirmation(self, future: Future[int]) -> None:
        """Count the confirmed rows at the front of the sent rows."""
        while self._unconfirmed and self._unconfirmed[0][2].done():
            id, size, first = self._unconfirmed.popleft()
            self._bytes -= size
            if first.cancelled():
                continue
            if error := first.exception():
                self._failure = self._failure or (error if isinstance(error, Exception) else None)
            elif self._failure is None:
                self.published += 1
                self._fault = ""
                if self._position is not None:
                    self._position = max(self._position, id)
        self._changed.set()

    async def _wait(self) -> None:
        """Wait for a change: a confirmation, further rows, or the loss of the connection.

        :raises EngineUnreachable: if the connection is lost, or a message has failed.
        """
        if self._failure is not None:
            raise self._failure
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((self._lost, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if self._failure is not None:
            raise self._failure
        if self._lost.done():
            raise EngineUnreachable("the connection to the broker was lost")

    async def _all_confirmed(self) -> None:
        while self._unconfirmed:
            self._changed.clear()
            await self._wait()

    # The position in the log

    async def _look(self) -> tuple[list[Entry], int]:
        """Return the rows to send before all others, and the id up to which the log then has every row of the
        journal.

        These rows are the ones that the log lacks before the last row that it has. If it has no row of this
        journal, return the first row to publish: nothing would find a hole before the log's first row.

        :raises EngineUnreachable: if the broker does not answer.
        """
        self._position = None
        last = await self._log.last(self._source.events)
        if last is None:
            return self._first_after(0)
        told = {found for each in await self._tail(last) if (found := row_in(each.body, self._source))}
        if not told:
            return self._first_after(0)
        ours = sorted(id for id, when in told if self._journal.time_of(id) == when)
        if ours:
            known = set(ours)
            between = self._journal.rows(ours[0], ours[-1])
            return [entry for entry in between if entry.id not in known], ours[-1]
        highest = max(id for id, _ in told)
        oldest, newest = self._journal.first_and_last()
        if highest < oldest or (highest <= newest and self._journal.time_of(highest) is None):
            return self._first_after(highest)  # the journal has deleted these rows
        self._report(
            logging.WARNING,
            f"the broker has events of {self._source.uri} from another journal: publishing this one from its "
            "beginning; has the journal's file been replaced?",
        )
        return self._first_after(0)

    def _first_after(self, position: int) -> tuple[list[Entry], int]:
        """Return the first row after a position that may be published, and its id."""
        first = next(self._journal.rows(position, self._settled), None)
        return ([], position) if first is None else ([first], first.id)

    async def _tail(self, last: Stored) -> Iterable[Stored]:
        """Return the last messages of this bridge in the log: a full window of them, if there are enough."""
        back = max(LOOK_BACK, 2 * self._window)
        while True:
            start = max(1, last.position - back)
            tail = _Tail(last.position)
            reading = await self._log.read(self._source.events, start, tail)
            try:
                async with asyncio.timeout(LOOK_TIME):
                    await tail.done.wait()
            except TimeoutError:
                raise EngineUnreachable("the last events of the broker can't be read") from None
            finally:
                await reading.stop()
            if len(tail.messages) > self._window or start == 1:
                return tail.messages
            back *= 4
