"""`Searching`: pages of the events of all bridges of the mount, from the stream, for the daemon.

A page is read in windows of positions: the stream can only be read forwards. The events of a window that fit
on the page are kept, and no others. A page ends early after `MAX_SCANNED` messages; the next one continues
there. Next to read: `stream_entries`; ``web.api.history``, which asks for pages.
"""

from __future__ import annotations

import asyncio
from asyncio import Queue, Task
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
from msgspec import Raw
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.errors import EngineRefused, EngineUnreachable
from mtmount_twisted.frontends.broker.words import MAX_PAGE, Forget, Found, OfStream, Search, Searched
from mtmount_twisted.frontends.web.events.selection import Selection
from mtmount_twisted.frontends.web.events.shapes import StreamId, read_any_id

from .contracts import ILog, IReceiver, Stored
from .events import Source
from .stream_entries import StreamEntry, entry_of
from .waits import pause

SEARCH_TIME = 10.0
"""The longest time for a page, in seconds."""

MOST_SEARCHES = 8
"""The most searches at once: more than the daemon asks for."""

MAX_SCANNED = 20_000
"""The most messages that are read for one page."""

FIRST_WINDOW = 128
"""The number of positions in the first window of a page that goes back; each further one has four times as
many, up to `MAX_SCANNED`."""

CLOCKS = 60.0
"""The most by which the broker's clock and those of the bridges may differ, in seconds."""

LATEST = 3600.0
"""The longest time from an event to its publication, in seconds, for a page that ends at a time."""

ANOTHER = "that id is not of an event that the broker has"


class _Refused(Exception):
    """The search can't be answered.

    :ivar status: the status of HTTP.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@implementer(IReceiver)
class _Window:
    """Reads the messages before a position.

    :param end: the position.
    :param take: called with each message; it returns False if no further one is needed.
    """

    def __init__(self, end: int, take: Callable[[Stored], bool]) -> None:
        self.done = asyncio.Event()
        self._end = end
        self._take = take

    async def received(self, message: Stored) -> None:
        if self.done.is_set():
            return
        is_wanted = message.position < self._end and self._take(message)
        if not is_wanted or message.position >= self._end - 1:
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        if last >= self._end - 1:
            self.done.set()


class Searching:
    """Answer the searches of the daemon.

    :param deliver: send the daemon a line, and wait until it takes it.
    """

    def __init__(
        self,
        log: ILog,
        source: Source,
        dialect: Dialect,
        deliver: Callable[[OfStream], Awaitable[None]],
    ) -> None:
        self._log, self._source, self._dialect, self._deliver = log, source, dialect, deliver
        self._keys = f"mt.{source.mount}.*.ev.>"
        self._waiting: Queue[Search | Forget] = Queue()  # the daemon has at most a few
        self._number = 0  # of the searches under way
        self._limits: dict[int, asyncio.Timeout] = {}  # of the searches that read

    def add(self, line: Search | Forget) -> None:
        """Search, and deliver the page; or end a search, and deliver its end."""
        self._waiting.put_nowait(line)

    async def run(self) -> None:
        """Search until the task is cancelled; an unexpected error ends it."""
        async with asyncio.TaskGroup() as searching:
            while True:
                line = await self._waiting.get()
                if isinstance(line, Forget):
                    self._forget(line.number)
                    continue
                self._number += 1
                task = searching.create_task(self._answer(line))
                task.add_done_callback(self._note_end)
                await pause(0)  # the task begins, so that `_forget` finds it

    def _forget(self, number: int) -> None:
        limit = self._limits.get(number)
        if limit is not None and not limit.expired():
            limit.reschedule(0.0)

    def _note_end(self, task: Task[None]) -> None:
        self._number -= 1

    async def _answer(self, search: Search) -> None:
        entries: list[bytes] = []
        next: StreamId | None = None
        status, problem = 0, ""
        try:
            if self._number > MOST_SEARCHES:
                raise _Refused(429, "too many searches are under way: ask again")
            async with asyncio.timeout(SEARCH_TIME) as limit:
                self._limits[search.number] = limit
                try:
                    entries, next = await self._page(search)
                finally:
                    del self._limits[search.number]
        except _Refused as error:
            status, problem = error.status, str(error)
        except TimeoutError:
            status, problem = 503, f"the broker's stream can't be read within {SEARCH_TIME:g} s"
        except (EngineUnreachable, EngineRefused) as error:
            status, problem = 503, f"the broker's stream can't be read: {error}"
        for each in entries:
            await self._deliver(Found(number=search.number, entry=Raw(each)))
        last = None if next is None else str(next)
        text = problem.encode("utf-8", "replace").decode()[:500]
        await self._deliver(Searched(number=search.number, next=last, status=status, problem=text))

    async def _page(self, search: Search) -> tuple[list[bytes], StreamId | None]:
        """Return the entries of a page, and the id from which the next page continues; None at the end."""
        first, last = await self._log.first(self._keys), await self._log.last(self._keys)
        if first is None or last is None:
            return [], None
        page = _Page(search, self._entry)
        if search.after:
            start = await self._known(search.after) + 1
            if search.since:
                since = _seconds(search.since) - CLOCKS
                start = max(start, await self._at(since, first.position, last.position))
            return await self._page_after(page, start, last.position)
        return await self._page_before(page, search, first.position, last.position)

    async def _page_after(self, page: _Page, start: int, last: int) -> tuple[list[bytes], StreamId | None]:
        await self._read(start, last + 1, page.take_newer)
        more = page.seen is not None and page.seen.position < last
        return list(page.entries), page.seen if more else None

    async def _page_before(
        self, page: _Page, search: Search, first: int, last: int
    ) -> tuple[list[bytes], StreamId | None]:
        end = await self._known(search.before) if search.before else last + 1
        if search.until:
            end = min(end, await self._at(_seconds(search.until) + LATEST, first, last))
        if search.since:
            first = await self._at(_seconds(search.since) - CLOCKS, first, last)
        width = FIRST_WINDOW
        while end > first and not page.is_full:
            start = max(first, end - width)
            page.begin_window()
            await self._read(start, end, page.take_older)
            page.end_window()
            end, width = start, min(4 * width, MAX_SCANNED)
        more = page.seen is not None and page.seen.position > first
        return list(reversed(page.entries)), page.seen if more else None

    async def _read(self, start: int, end: int, take: Callable[[Stored], bool]) -> None:
        """Read the messages from one position to another; return once there are no more, or enough."""
        last = await self._log.last(self._keys)
        if last is None or start >= end or last.position < start:
            return
        window = _Window(min(end, last.position + 1), take)
        reading = await self._log.read(self._keys, start, window)
        try:
            await window.done.wait()
        finally:
            await reading.stop()

    async def _known(self, text: str) -> int:
        """Return the position of an event.

        :raises _Refused: if the stream does not have the event.
        """
        id = read_any_id(text)
        assert isinstance(id, StreamId)
        stored = await self._log.first(self._keys, id.position)
        if stored is None or stored.position != id.position or _id_of(self._entry(stored)) != id:
            raise _Refused(422, ANOTHER)
        return id.position

    async def _at(self, time: float, first: int, last: int) -> int:
        """Return the position of the first message that was stored at a time, or later."""
        low, high = first, last + 1
        while low < high:
            middle = (low + high) // 2
            stored = await self._log.first(self._keys, middle)
            if stored is not None and stored.time < time:
                low = stored.position + 1
            else:
                high = middle
        return low

    def _entry(self, stored: Stored) -> StreamEntry | None:
        """Return a message as an entry; None if it is malformed."""
        try:
            return entry_of(stored, self._source.mount, self._source.node, self._dialect)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None


def _id_of(entry: StreamEntry | None) -> StreamId | None:
    return None if entry is None else entry.id


class _Page:
    """The entries of a page while they are gathered, the oldest first.

    :ivar seen: the event at which the next page begins.
    """

    def __init__(self, search: Search, entry: Callable[[Stored], StreamEntry | None]) -> None:
        self.entries: deque[bytes] = deque()
        self.seen: StreamId | None = None
        self._search = search
        self._selection = Selection(frozenset(search.types), frozenset(search.kinds), frozenset(search.peers))
        self._entry = entry
        self._size = 0
        self._scanned = 0
        self._window: deque[tuple[StreamId, bytes]] = deque()
        self._window_size = 0
        self._oldest: StreamId | None = None
        self._is_cut = False  # some messages of the window had no room

    @property
    def is_full(self) -> bool:
        """True if no further message is read for the page."""
        return (
            self._is_cut
            or len(self.entries) >= self._search.limit
            or self._size >= MAX_PAGE
            or (self._scanned >= MAX_SCANNED)
        )

    def _takes(self, entry: StreamEntry) -> bool:
        since, until = self._search.since, self._search.until
        if (since and entry.time < since) or (until and entry.time > until):
            return False
        return self._selection.takes_kind(entry.type, entry.kind, entry.peer)

    def take_newer(self, stored: Stored) -> bool:
        """Take a message, each newer than the one before; return False once the page is full."""
        self._scanned += 1
        entry = self._entry(stored)
        if entry is not None:
            self.seen = entry.id
            if self._takes(entry):
                self.entries.append(entry.json)
                self._size += len(entry.json)
        return not self.is_full

    def begin_window(self) -> None:
        """Begin with a window of older messages."""
        self._window.clear()
        self._window_size = 0
        self._oldest = None

    def take_older(self, stored: Stored) -> bool:
        """Take a message of the window; the oldest ones of it that have no room on the page are dropped."""
        self._scanned += 1
        entry = self._entry(stored)
        if entry is None:
            return True
        self._oldest = self._oldest or entry.id
        if self._takes(entry):
            self._window.append((entry.id, entry.json))
            self._window_size += len(entry.json)
            room = self._search.limit - len(self.entries)
            while len(self._window) > room or (
                len(self._window) > 1 and self._size + self._window_size > MAX_PAGE
            ):
                self._window_size -= len(self._window.popleft()[1])
                self._oldest = self._window[0][0]
                self._is_cut = True
        return True

    def end_window(self) -> None:
        """Put the messages of the window before those of the page."""
        self.entries.extendleft(json for _, json in reversed(self._window))
        self._size += self._window_size
        self.seen = self._oldest or self.seen


def _seconds(text: str) -> float:
    """Return a time in ISO 8601 as Unix time (s)."""
    return datetime.fromisoformat(text).timestamp()
