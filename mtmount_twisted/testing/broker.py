"""`MemoryBroker`: a message broker in memory, for programs that use the contracts of ``station.contracts``.

Any number of `MemoryEngine` objects connect to one broker. A test cuts the broker off, fills a log, or takes
back the end of a log; the engines behave as with a real broker, because one suite of tests runs on both
(``tests/station/engine_contract.py``). No network. Next to read: ``station.contracts``.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from zope.interface import implementer

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable
from mtmount_twisted.station.contracts import (
    IEngine,
    ILog,
    IPresence,
    IReading,
    IReceiver,
    IRegister,
    Start,
    Stored,
)

RETRY_AFTER = 0.01
"""The time after which a receiver that does not reach the broker receives again, in seconds."""

SAME_ID = 120.0
"""The time for which a log remembers the id of a message, in seconds."""


def matches(pattern: str, key: str) -> bool:
    """Return True if a key matches a pattern; see ``station.contracts``."""
    words, parts = key.split("."), pattern.split(".")
    if parts[-1] == ">":
        parts.pop()
        if len(words) <= len(parts):
            return False
        words = words[: len(parts)]
    return len(words) == len(parts) and all(part in ("*", word) for part, word in zip(parts, words))


class _Log:
    """The messages of a log in the broker."""

    def __init__(self) -> None:
        self.messages: list[Stored] = []
        self.by_key: dict[str, Stored] = {}  # the last message of each key
        self.ids: dict[str, Stored] = {}
        self.end = 0  # the position of the last message that was ever stored
        self.is_full = False
        self.is_refused = False

    def keep(self, messages: list[Stored]) -> None:
        """Keep only these messages."""
        self.messages = messages
        self.by_key = {each.key: each for each in messages}

    def since(self, position: int) -> list[Stored]:
        """Return the messages at this position and after it."""
        return self.messages[bisect_left(self.messages, position, key=lambda each: each.position) :]

    def last(self, pattern: str) -> Stored | None:
        """Return the last message whose key matches a pattern."""
        if "*" not in pattern and ">" not in pattern:
            return self.by_key.get(pattern)
        found = (each for each in reversed(self.messages) if matches(pattern, each.key))
        return next(found, None)


class MemoryBroker:
    """A broker: registers, logs and presences.

    :param clock: return the time of the broker (s, Unix time).
    :ivar step: the time by which its clock was set, in seconds; `ILog.room` measures it.
    :ivar up: False while the broker is cut off.
    :ivar cuts: the number of times that the broker was cut off.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.up: bool = True
        self.step: float = 0.0
        self.cuts: int = 0
        self.clock = clock
        self.logs: dict[str, _Log] = {}
        self.registers: dict[str, tuple[bytes, int]] = {}
        self.present: dict[str, set[MemoryEngine]] = {}
        self.changed: asyncio.Event = asyncio.Event()
        self._unconfirmed: set[Future[int]] = set()
        self._swallows = False

    def log(self, name: str) -> _Log:
        """Return a log; make it if it does not exist."""
        return self.logs.setdefault(name, _Log())

    def notify(self) -> None:
        """Wake everything that waits for a change of the broker."""
        self.changed.set()
        self.changed = asyncio.Event()

    def cut(self) -> None:
        """Cut off all engines. The confirmations under way are lost."""
        self.up = self._swallows = False
        self.cuts += 1
        for future in self._unconfirmed:
            if not future.done():
                future.set_exception(EngineUnreachable("the connection to the broker was lost"))
        self._unconfirmed.clear()
        self.notify()

    def restore(self) -> None:
        """Let the engines connect again."""
        self.up = True
        self.notify()

    def swallow(self) -> None:
        """Store messages from now on without a confirmation, until `cut`."""
        self._swallows = True

    def fill(self, log: str) -> None:
        """Let a log have no room for a further message."""
        self.log(log).is_full = True

    def empty(self, log: str) -> None:
        """Let a filled log have room again."""
        self.log(log).is_full = False

    def refuse(self, log: str) -> None:
        """Take the right to write to a log from all users."""
        self.log(log).is_refused = True

    def lose_tail(self, log: str, number: int) -> None:
        """Lose the last messages of a log, as a broker does after a loss of power."""
        kept = self.log(log)
        kept.keep(kept.messages[: max(0, len(kept.messages) - number)])
        kept.end = kept.messages[-1].position if kept.messages else 0
        kept.ids = {id: stored for id, stored in kept.ids.items() if stored.position <= kept.end}
        self.notify()

    def delete_before(self, log: str, position: int) -> None:
        """Delete the oldest messages of a log, as a bound on its size does."""
        kept = self.log(log)
        kept.keep(kept.since(position))

    def store(self, log: str, key: str, body: bytes, id: str | None, after: int | None) -> Future[int]:
        """Store a message, and return its confirmation."""
        kept, now = self.log(log), self.clock() + self.step
        future: Future[int] = asyncio.get_running_loop().create_future()
        same = None if id is None else kept.ids.get(id)
        last = kept.last(key)
        if kept.is_refused:
            future.set_exception(EngineRefused(f"this user may not publish to {key}"))
        elif same is not None and now - same.time < SAME_ID:
            future.set_result(same.position)
        elif after is not None and after != (0 if last is None else last.position):
            future.set_result(0)
        elif kept.is_full:
            future.set_exception(EngineFull(f"the log {log} has no room"))
        else:
            kept.end += 1
            stored = Stored(key, body, kept.end, now)
            kept.messages.append(stored)
            kept.by_key[key] = stored
            if id is not None:
                kept.ids[id] = stored
            if self._swallows:
                self._unconfirmed.add(future)
            else:
                future.set_result(kept.end)
            self.notify()
        return future


@implementer(IEngine)
class MemoryEngine:
    """An engine that is connected to a `MemoryBroker` in the same process."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self._cuts_before = broker.cuts
        self._offset = broker.step
        self._open = False
        self._tasks: set[Task[None]] = set()
        self._error: BaseException | None = None  # of a reading
        self._failed = asyncio.Event()

    @property
    def connected(self) -> bool:
        """See `IEngine`."""
        return self._open and self.broker.up

    @property
    def problem(self) -> str:
        """See `IEngine`."""
        return "" if self.connected else "the broker does not answer"

    @property
    def losses(self) -> int:
        """See `IEngine`."""
        return self.broker.cuts - self._cuts_before

    @property
    def loss(self) -> str:
        """See `IEngine`."""
        return "the broker does not answer" if self.losses else ""

    @property
    def offset(self) -> float | None:
        """See `IEngine`."""
        return self._offset

    def note_time(self) -> None:
        """Measure the broker's clock."""
        self._offset = self.broker.step

    def start(self) -> None:
        """See `IEngine`."""
        self._open = True

    def register(self, name: str) -> IRegister:
        """See `IEngine`."""
        return _MemoryRegister(self, name)

    def log(self, name: str) -> ILog:
        """See `IEngine`."""
        return _MemoryLog(self, name)

    def presence(self, name: str) -> IPresence:
        """See `IEngine`."""
        return _MemoryPresence(self, name)

    async def wait_connected(self) -> None:
        """See `IEngine`."""
        while not self.connected:
            await self.broker.changed.wait()

    async def wait_lost(self) -> None:
        """See `IEngine`."""
        cuts = self.broker.cuts
        while self.connected and self.broker.cuts == cuts:
            await self.broker.changed.wait()

    async def wait_failed(self) -> None:
        """See `IEngine`."""
        await self._failed.wait()
        assert self._error is not None
        raise self._error

    async def close(self) -> None:
        """See `IEngine`."""
        self._open = False
        for present in self.broker.present.values():
            present.discard(self)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.broker.notify()

    def check(self) -> None:
        """Raise an error if the engine is not connected.

        :raises EngineUnreachable: if the engine is not connected.
        """
        if not self.connected:
            raise EngineUnreachable(self.problem)

    def run(self, work: Coroutine[Any, Any, None]) -> Task[None]:
        """Run a coroutine until its end or until `close`; `wait_failed` raises its error."""

        def ended(task: Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._error = self._error or error
                self._failed.set()

        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task


@implementer(IRegister)
class _MemoryRegister:
    def __init__(self, engine: MemoryEngine, name: str) -> None:
        self._engine, self._name = engine, name

    async def get(self) -> tuple[bytes | None, int]:
        self._engine.check()
        return self._engine.broker.registers.get(self._name, (None, 0))

    async def swap(self, value: bytes, revision: int) -> int:
        _, present = await self.get()
        if revision != present:
            return 0
        self._engine.broker.registers[self._name] = value, present + 1
        return present + 1


@implementer(ILog)
class _MemoryLog:
    def __init__(self, engine: MemoryEngine, name: str) -> None:
        self._engine, self._name = engine, name

    async def send(
        self, key: str, body: bytes, id: str | None = None, after: int | None = None
    ) -> Future[int]:
        self._engine.check()
        return self._engine.broker.store(self._name, key, body, id, after)

    async def append(self, key: str, body: bytes, id: str | None = None, after: int | None = None) -> int:
        return await (await self.send(key, body, id, after))

    async def last(self, keys: str) -> Stored | None:
        self._engine.check()
        return self._engine.broker.log(self._name).last(keys)

    async def room(self) -> int:
        self._engine.check()
        self._engine.note_time()
        return 0 if self._engine.broker.log(self._name).is_full else 2**62

    async def first(self, keys: str, position: int = 1) -> Stored | None:
        self._engine.check()
        found = self._engine.broker.log(self._name).since(position)
        return next((each for each in found if matches(keys, each.key)), None)

    async def read(self, keys: str, start: int | Start, receiver: IReceiver) -> IReading:
        self._engine.check()
        return _MemoryReading(self._engine, self._name, keys, start, receiver)


@implementer(IReading)
class _MemoryReading:
    """A reading: `_next` is the first position that it has not delivered."""

    def __init__(
        self, engine: MemoryEngine, name: str, keys: str, start: int | Start, receiver: IReceiver
    ) -> None:
        self._engine, self._name, self._keys, self._receiver = engine, name, keys, receiver
        self._going = asyncio.Event()
        self._going.set()
        log = engine.broker.log(name)
        self._only: set[int] = set()  # for `LAST_OF_EACH`: the positions to deliver
        if start is Start.LAST_OF_EACH:
            found = {each.key: each.position for each in log.messages if matches(keys, each.key)}
            self._only = set(found.values())
            self._next = 1
        else:
            self._next = log.end + 1 if isinstance(start, Start) else start
        self._only_up_to = log.end if start is Start.LAST_OF_EACH else 0
        self._task = engine.run(self._run())

    async def _run(self) -> None:
        broker = self._engine.broker
        while True:
            await self._engine.wait_connected()
            changed = broker.changed
            log = broker.log(self._name)
            first = log.messages[0].position if log.messages else log.end + 1
            if self._next - 1 > log.end:
                lost, self._next = self._next - 1, log.end + 1
                await self._receiver.gap(log.end + 1, lost)
            elif self._next < first and not self._only_up_to:
                lost, self._next = self._next, first
                await self._receiver.gap(lost, first - 1)
            for message in log.since(self._next):
                if not self._engine.connected:
                    continue
                await self._going.wait()
                wanted = message.position > self._only_up_to or message.position in self._only
                if wanted and matches(self._keys, message.key):
                    try:
                        await self._receiver.received(message)
                    except (EngineUnreachable, EngineRefused):
                        with suppress(TimeoutError):
                            async with asyncio.timeout(RETRY_AFTER):
                                await broker.changed.wait()
                        break
                self._next = message.position + 1
            else:
                if changed is broker.changed:
                    await changed.wait()

    def pause(self) -> None:
        self._going.clear()

    def resume(self) -> None:
        self._going.set()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@implementer(IPresence)
class _MemoryPresence:
    def __init__(self, engine: MemoryEngine, name: str) -> None:
        self._engine, self._name = engine, name

    async def here(self) -> None:
        self._engine.check()
        self._engine.broker.present.setdefault(self._name, set()).add(self._engine)

    async def leave(self) -> None:
        self._engine.broker.present.get(self._name, set()).discard(self._engine)

    async def gone(self) -> bool:
        self._engine.check()
        return not self._engine.broker.present.get(self._name)
