"""`NatsEngine`: the contracts of `contracts`, with NATS and JetStream.

A log is a stream. A register is a subject whose last message is the value. A presence is a subscription: the
server itself answers ``no responders`` if there is none. After a loss the engine makes a new connection
(`nats_connection`): on each, it looks at the server's version and at the streams, and readings make their
consumers anew. Next to read: `nats_reading`; `streams`, which declares the streams.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from asyncio import Future, Task
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import cycle
from typing import Any, cast

import msgspec
from nats.aio.msg import Msg
from zope.interface import implementer

from mtmount_twisted.errors import EngineRefused, EngineUnreachable
from mtmount_twisted.frontends.broker.words import CONNECTING

from .contracts import IEngine, ILog, IPresence, IReading, IReceiver, IRegister, Start, Stored
from .nats_connection import (
    ApiRefused,
    Connection,
    Login,
    MalformedAnswer,
    Position,
    decoded,
    malformed_answer,
)
from .nats_reading import NatsReading
from .streams import StreamSettings, differences
from .waits import pause

OLDEST = (2, 9, 0)
"""The oldest version of the server that has all that the engine needs."""

LOSING = ((2, 10, 20), (2, 10, 22))
"""The first and the last version of the server that lost streams at a crash."""

RETRY_AFTER = 0.25
"""The time from the loss of a connection to the next attempt, and between two attempts, in seconds."""

REFUSED_RETRY = 10.0
"""The time to the next attempt at a server whose version is refused, in seconds."""

RIGHTS_TIME = 1.0
"""The longest time for the question about the rights of this user, in seconds."""

CLOSE_TIME = 0.5
"""The longest time to take a presence away at the end, in seconds."""

CONTENT_TYPE = "application/cloudevents+json"
"""The content type of each body in a log, which CloudEvents requires in a header."""

NO_BOUND = 2**62
"""The room of a stream without a bound, in bytes."""

OVERLAP = 10065
"""JetStream's error if another stream has a subject of a new one."""

NOT_FOUND = 10059
"""JetStream's error for a stream that does not exist."""

NO_MESSAGE = 10037
"""JetStream's error if no message matches."""

MOST_REPORTS = 100
"""The most lines for the log of one engine: some have the words of others in them."""

Report = Callable[[int, str], None]
"""Receives a line for the log: its level, and its text."""


def version_problem(version: str) -> str:
    """Return the reason why a version of the server is refused; empty if it is good."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return f"nats-server tells no version ({version[:40]!r}): use 2.9 or newer"
    number = int(found[1]), int(found[2]), int(found[3])
    if number < OLDEST:
        return f"nats-server {version} is refused: it is older than 2.9"
    if LOSING[0] <= number <= LOSING[1]:
        return f"nats-server {version} is refused: 2.10.20 to 2.10.22 lose streams at a crash"
    return ""


@implementer(IEngine)
class NatsEngine:
    """A connection to NATS servers, which is made again after each loss.

    :param servers: URLs such as ``nats://127.0.0.1:4222``; they are tried in turn.
    :param streams: the streams that the engine uses, and makes if they are missing.
    :param report: receives lines for the log. A repeated line is reported only once.
    """

    def __init__(
        self,
        servers: Sequence[str],
        streams: Sequence[StreamSettings],
        login: Login | None = None,
        report: Report = lambda level, text: None,
    ) -> None:
        self.problem: str = CONNECTING
        self.offset: float | None = None
        self.losses: int = 0
        self.loss: str = ""
        self._faults: Counter[tuple[bytes, str]] = Counter()
        self._servers = cycle(servers)
        self._login = login or Login()
        self._streams = {stream.name: stream for stream in streams}
        self._report = report
        self._reported: set[str] = set()
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._task: Task[None] | None = None
        self._readings: set[NatsReading] = set()
        self._error: BaseException | None = None  # the error that ended a reading
        self._failed = asyncio.Event()
        self._present: set[str] = set()
        self._signs: dict[str, Any] = {}  # the subscriptions of the presences, by subject

    @property
    def connected(self) -> bool:
        """See `IEngine`."""
        return self._connection is not None and not self._connection.lost.done()

    def start(self) -> None:
        """See `IEngine`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def register(self, name: str) -> IRegister:
        """See `IEngine`.

        :raises ValueError: if no stream has this subject.
        """
        return _NatsRegister(self, self._stream_of(name), name)

    def log(self, name: str) -> ILog:
        """See `IEngine`."""
        return _NatsLog(self, name)

    def presence(self, name: str) -> IPresence:
        """See `IEngine`."""
        return _NatsPresence(self, name)

    def _stream_of(self, subject: str) -> str:
        for stream in self._streams.values():
            if stream.has(subject):
                return stream.name
        raise ValueError(f"no stream has the subject {subject}")

    def connection(self) -> Connection:
        """Return the present connection.

        :raises EngineUnreachable: if there is none.
        """
        if self._connection is None or self._connection.lost.done():
            raise EngineUnreachable(f"not connected to the broker: {self.problem}")
        return self._connection

    async def wait_connected(self) -> None:
        """See `IEngine`."""
        while not self.connected:
            await self._changed.wait()

    async def wait_changed(self) -> None:
        """Wait for the next connection, the next loss or the next failed attempt."""
        await self._changed.wait()

    async def wait_lost(self) -> None:
        """See `IEngine`."""
        if self._connection is not None:
            await asyncio.shield(self._connection.lost)

    async def wait_failed(self) -> None:
        """See `IEngine`."""
        await self._failed.wait()
        assert self._error is not None
        raise self._error

    def note_error(self, error: BaseException) -> None:
        """Note an error that ends a reading."""
        self._error = self._error or error
        self._failed.set()

    async def close(self) -> None:
        """See `IEngine`."""
        signs, self._signs = self._signs, {}
        if self._connection is not None:
            with suppress(EngineUnreachable, TimeoutError):  # first: others wait for that
                async with asyncio.timeout(CLOSE_TIME):
                    await self._connection.unsubscribe(*signs.values())
        for reading in tuple(self._readings):
            await reading.stop()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        connection, self._connection = self._connection, None
        self.problem = "closed"
        if connection is not None:
            await connection.close()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # The connection

    async def _run(self) -> None:
        while True:
            connection = Connection(self._faults, partial(self._tell, logging.ERROR))
            try:
                await connection.open(next(self._servers), self._login)
                await self._look_at(connection)
            except (EngineUnreachable, EngineRefused) as error:
                self.problem = str(error)
                self._notify()
                await connection.close()
                is_lasting = isinstance(error, EngineRefused | MalformedAnswer)
                await pause(REFUSED_RETRY if is_lasting else RETRY_AFTER)
                continue
            except Exception as error:  # an answer of any shape must not end the attempts
                self.problem = malformed_answer(error)
                self._tell(logging.ERROR, self.problem)
                self._notify()
                await connection.close()
                await pause(REFUSED_RETRY)
                continue
            except BaseException:
                await connection.close()
                raise
            self._connection, self.problem = connection, ""
            self._notify()
            self.problem = self.loss = await asyncio.shield(connection.lost)
            self.losses += 1
            if connection.fault:
                self._tell(logging.ERROR, f"the connection to the broker was lost: {connection.fault}")
            self._notify()
            await connection.close()
            await pause(RETRY_AFTER)

    async def _look_at(self, connection: Connection) -> None:
        """Look at a server and its streams before the engine uses them.

        :raises EngineRefused: if the server's version is refused.
        :raises EngineUnreachable: if it does not answer.
        """
        if why := version_problem(connection.version):
            self._tell(logging.ERROR, why)
            raise EngineRefused(why)
        if self._login.credentials:
            await self._look_at_rights(connection)
        for stream in self._streams.values():
            await self._look_at_stream(connection, stream)
        self._signs.clear()
        for subject in self._present:
            await self.be_present(connection, subject)

    async def _look_at_rights(self, connection: Connection) -> None:
        """Report a user that may publish to every subject. The server does not answer a user with narrow
        rights here."""
        try:
            message = await (await connection.send("$SYS.REQ.USER.INFO", b"", within=RIGHTS_TIME))
            found = json.loads(message.data).get("data", {})
        except (EngineUnreachable, EngineRefused, ValueError, RecursionError):
            return
        rights = (found.get("permissions") or {}).get("publish") or {}
        if ">" in rights.get("allow", [">"]):
            self._tell(
                logging.WARNING,
                "the broker's user may publish to every subject: give it mt.MOUNT.> and $JS.API.> only, as "
                "mtmount-bridge --station-config has them",
            )

    async def _look_at_stream(self, connection: Connection, stream: StreamSettings) -> None:
        """Make a stream if it is missing. Report one line if it can't be made, or differs."""

        def read(answer: Any) -> tuple[float | None, list[str]]:
            return _told_time(answer), list(differences(stream, answer["config"]))

        try:
            before = time.time()
            try:
                now, differing = await connection.ask(f"STREAM.INFO.{stream.name}", read=read)
            except ApiRefused as error:
                if error.number != NOT_FOUND:
                    raise
                question = stream.as_json()
                now, differing = await connection.ask(f"STREAM.CREATE.{stream.name}", question, read)
        except EngineRefused as error:
            why = str(error)
            if isinstance(error, ApiRefused) and error.number == OVERLAP:
                why += " (of an earlier version? See docs/howto/upgrade.rst)"
            self._tell(logging.ERROR, f"the stream {stream.name} is missing, and can't be made: {why}")
            return
        self.note_time(now, before)
        for why in differing:
            self._tell(logging.WARNING, f"the stream {stream.name} is not as this bridge needs it: {why}")

    def note_time(self, now: float | None, before: float) -> None:
        """Note the broker's time in an answer, whose question was sent at a time of this machine's clock."""
        if now is not None:
            self.offset = now - (before + time.time()) / 2

    def _tell(self, level: int, text: str) -> None:
        if text not in self._reported and len(self._reported) < MOST_REPORTS:
            self._reported.add(text)
            self._report(level, text)

    async def be_present(self, connection: Connection, subject: str) -> None:
        """Answer the questions about the presence of this process."""

        async def answer(message: Msg) -> None:
            if message.reply:
                await connection.publish(message.reply, b"")

        self._signs[subject] = await connection.subscribe(subject, answer)
        await connection.flush()

    async def note_present(self, subject: str) -> None:
        """Be present now and after each reconnection."""
        connection = self.connection()
        if subject not in self._present:
            self._present.add(subject)
            await self.be_present(connection, subject)

    async def note_absent(self, subject: str) -> None:
        """Be present no longer, now and after each reconnection."""
        self._present.discard(subject)
        sign = self._signs.pop(subject, None)
        if sign is not None and self.connected:
            await self.connection().unsubscribe(sign)

    def note_reading(self, reading: NatsReading, going: bool) -> None:
        """Note that a reading has begun, or that it has ended."""
        (self._readings.add if going else self._readings.discard)(reading)


def _time(text: str) -> float:
    """Return a time of JetStream, which has nanoseconds, as Unix time (s)."""
    whole = re.sub(r"\.(\d{1,6})\d*", r".\1", text.replace("Z", "+00:00"))
    return datetime.fromisoformat(whole).timestamp()


def _told_time(answer: Any) -> float | None:
    """Return the broker's time in an answer; servers of 2.9 do not tell it."""
    return _time(answer["ts"]) if "ts" in answer else None


class _Message(msgspec.Struct):
    subject: str
    seq: Position
    time: str
    data: str | None = None


class _Found(msgspec.Struct):
    message: _Message


def _stored(answer: Any) -> Stored:
    message = msgspec.convert(answer, _Found).message
    return Stored(message.subject, decoded(message.data), message.seq, _time(message.time))


async def last_message(connection: Connection, stream: str, keys: str) -> Stored | None:
    """Return the last message of a stream whose subject matches a pattern; None if there is none."""
    return await _one_message(connection, stream, {"last_by_subj": keys})


async def _one_message(connection: Connection, stream: str, which: dict[str, Any]) -> Stored | None:
    try:
        return cast(Stored, await connection.ask(f"STREAM.MSG.GET.{stream}", which, _stored))
    except ApiRefused as error:
        if error.number == NO_MESSAGE:
            return None
        raise


@implementer(ILog)
class _NatsLog:
    def __init__(self, engine: NatsEngine, name: str) -> None:
        self._engine, self._name = engine, name

    async def send(
        self, key: str, body: bytes, id: str | None = None, after: int | None = None
    ) -> Future[int]:
        headers = {"Content-Type": CONTENT_TYPE}
        if id is not None:
            headers["Nats-Msg-Id"] = id
        if after is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(after)
        return await self._engine.connection().store(key, body, headers)

    async def append(self, key: str, body: bytes, id: str | None = None, after: int | None = None) -> int:
        return await (await self.send(key, body, id, after))

    async def last(self, keys: str) -> Stored | None:
        return await last_message(self._engine.connection(), self._name, keys)

    async def room(self) -> int:
        def read(answer: Any) -> tuple[float | None, int]:
            most = int(answer["config"].get("max_bytes", -1))
            left = NO_BOUND if most < 0 else max(0, most - int(answer["state"]["bytes"]))
            return _told_time(answer), left

        before = time.time()
        now, left = await self._engine.connection().ask(f"STREAM.INFO.{self._name}", read=read)
        self._engine.note_time(now, before)
        return cast(int, left)

    async def first(self, keys: str, position: int = 1) -> Stored | None:
        which = {"seq": max(1, position), "next_by_subj": keys}
        return await _one_message(self._engine.connection(), self._name, which)

    async def read(self, keys: str, start: int | Start, receiver: IReceiver) -> IReading:
        reading = NatsReading(self._engine, self._name, keys, start, receiver)
        await reading.start()
        return reading


@implementer(IRegister)
class _NatsRegister:
    def __init__(self, engine: NatsEngine, stream: str, subject: str) -> None:
        self._engine, self._stream, self._subject = engine, stream, subject

    async def get(self) -> tuple[bytes | None, int]:
        found = await last_message(self._engine.connection(), self._stream, self._subject)
        return (None, 0) if found is None else (found.body, found.position)

    async def swap(self, value: bytes, revision: int) -> int:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        return await (await self._engine.connection().store(self._subject, value, headers))


@implementer(IPresence)
class _NatsPresence:
    def __init__(self, engine: NatsEngine, subject: str) -> None:
        self._engine, self._subject = engine, subject

    async def here(self) -> None:
        await self._engine.note_present(self._subject)

    async def leave(self) -> None:
        await self._engine.note_absent(self._subject)

    async def gone(self) -> bool:
        return await self._engine.connection().is_answered(self._subject) is False
