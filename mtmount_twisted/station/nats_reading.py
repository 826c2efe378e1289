"""`NatsReading`: a reading of a stream by a pull consumer, which is made anew whenever its messages stop.

The consumer asks for a few messages at a time, so that a slow receiver holds the server back instead of
filling memory here. The reading remembers the last position that it delivered. After a new connection, after
a silence, and after a hole in the consumer's own count, it makes a new consumer, which begins after that
position. Next to read: `nats_engine`.
"""

from __future__ import annotations

import asyncio
import json
import re
from asyncio import Future, Queue, Task
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from nats.aio.msg import Msg
from zope.interface import implementer

from mtmount_twisted.errors import EngineRefused, EngineUnreachable

from .contracts import IReading, IReceiver, Start, Stored
from .nats_connection import Connection, delivery_words
from .streams import SECOND
from .waits import pause

if TYPE_CHECKING:
    from .nats_engine import NatsEngine

BATCH = 32
"""The number of messages to ask a consumer for at once, which is also the largest number of messages of a
reading in memory."""

SILENCE = 5.0
"""The longest time without a message or a heartbeat of the server, in seconds; after it the consumer is made
anew."""

HEARTBEAT = 1.0
"""The time between two heartbeats of the server while there is no message, in seconds."""

BATCH_TIME = 30.0
"""The time after which the server ends a batch that is not full, in seconds."""

UNUSED_TIME = 60.0
"""The time after which the server deletes a consumer without requests, in seconds."""

RETRY_AFTER = 0.5
"""The time to the next attempt if the stream does not answer, in seconds."""


_End = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _State(msgspec.Struct):
    first_seq: _End
    last_seq: _End


class _Info(msgspec.Struct):
    state: _State


class _Made(msgspec.Struct):
    name: str


class _Place(NamedTuple):
    """The place of a message in its stream.

    :ivar number: its number among the messages that the consumer delivered.
    :ivar time: as in `Stored`.
    """

    position: int
    number: int
    time: float


def _ends(answer: Any) -> tuple[int, int]:
    """Return the positions of the first and the last message of a stream in an answer."""
    state = msgspec.convert(answer, _Info).state
    return state.first_seq, state.last_seq


def _name(answer: Any) -> str:
    """Return the name of a consumer in an answer."""
    return msgspec.convert(answer, _Made).name


def _place(reply: str) -> _Place:
    """Return the place of a message in its stream.

    :raises ValueError: if the reply is malformed.
    """
    words = delivery_words(reply)[3:6]
    if len(words) != 3 or not all(re.fullmatch("[1-9][0-9]{0,18}", word) for word in words):
        raise ValueError(f"the place of a message is {reply[:100]!a}")
    position, number, stamp = map(int, words)
    return _Place(position, number, stamp / SECOND)


class _Anew(Exception):
    """The consumer has to be made anew."""


@implementer(IReading)
class NatsReading:
    """A reading. It has the parameters of `ILog.read`."""

    def __init__(
        self, engine: NatsEngine, stream: str, keys: str, start: int | Start, receiver: IReceiver
    ) -> None:
        self._engine, self._stream, self._keys, self._receiver = engine, stream, keys, receiver
        self._start = start
        self._next = start if isinstance(start, int) else 0  # the first position that was not delivered
        self._going = asyncio.Event()
        self._going.set()
        self._task: Task[None] | None = None

    async def start(self) -> None:
        """Begin, with the first consumer, so that the caller learns of a missing right.

        :raises EngineUnreachable: if the broker does not answer.
        :raises EngineRefused: if a right or the stream is missing.
        """
        consumer = await self._make_consumer(self._engine.connection())
        self._task = asyncio.create_task(self._run(consumer))
        self._task.add_done_callback(self._ended)
        self._engine.note_reading(self, True)

    def _ended(self, task: Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._engine.note_error(error)

    def pause(self) -> None:
        """See `IReading`."""
        self._going.clear()

    def resume(self) -> None:
        """See `IReading`."""
        self._going.set()

    async def stop(self) -> None:
        """See `IReading`."""
        self._engine.note_reading(self, False)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, consumer: _Consumer | None) -> None:
        while True:
            try:
                if consumer is None:
                    await self._engine.wait_connected()
                    consumer = await self._make_consumer(self._engine.connection())
                await self._deliver(consumer)
            except _Anew:
                pass
            except (EngineUnreachable, EngineRefused):
                await pause(RETRY_AFTER)
            finally:
                if consumer is not None:
                    await consumer.close()
            consumer = None

    async def _make_consumer(self, connection: Connection) -> _Consumer:
        """Make a consumer that begins at the next position, after the receiver has heard of a gap."""
        first, last = await connection.ask(f"STREAM.INFO.{self._stream}", read=_ends)
        begin: dict[str, Any]
        if self._start is Start.LAST_OF_EACH and not self._next:
            begin = {"deliver_policy": "last_per_subject"}
        else:
            if self._start is Start.NEW and not self._next:
                self._next = last + 1
            if self._next - 1 > last:  # the broker lost the end of the stream: reading goes on there
                lost, self._next = self._next - 1, last + 1
                await self._receiver.gap(last + 1, lost)
            elif self._next < first and first > 1:
                lost, self._next = max(1, self._next), first
                await self._receiver.gap(lost, first - 1)
            self._next = max(1, self._next)
            begin = {"deliver_policy": "by_start_sequence", "opt_start_seq": self._next}
        config = {
            **begin,
            "ack_policy": "none",
            "filter_subject": self._keys,
            "inactive_threshold": int(UNUSED_TIME * SECOND),
            "max_waiting": 2,
            "mem_storage": True,
            "num_replicas": 1,
        }
        question = {"stream_name": self._stream, "config": config}
        name = await connection.ask(f"CONSUMER.CREATE.{self._stream}", question, _name)
        consumer = _Consumer(connection, self._stream, name)
        await consumer.open()
        return consumer

    async def _deliver(self, consumer: _Consumer) -> None:
        """Deliver the messages of a consumer until it ends.

        :raises _Anew: if the consumer has to be made anew.
        """
        while True:
            await self._going.wait()
            message = await consumer.message()
            await self._going.wait()
            if message.position >= self._next:
                await self._receiver.received(message)
                self._next = message.position + 1


class _Consumer:
    """A pull consumer of one connection."""

    def __init__(self, connection: Connection, stream: str, name: str) -> None:
        self._connection = connection
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
        self._delete_subject = f"$JS.API.CONSUMER.DELETE.{stream}.{name}"
        self._inbox = connection.new_inbox()
        self._queue: Queue[Msg | None] = Queue()  # the requested batch; None: the connection is lost
        self._subscription: Any = None
        self._left = 0  # the number of messages of the batch that have not come
        self._count = 0  # the number of messages that the consumer has delivered

    async def open(self) -> None:
        """Begin to receive."""
        self._connection.lost.add_done_callback(self._note_loss)
        self._subscription = await self._connection.subscribe(self._inbox, self._queue.put)

    async def message(self) -> Stored:
        """Return the next message.

        :raises _Anew: if the consumer is silent, has lost a message, or is gone.
        :raises EngineUnreachable: if the connection is lost, or the place of the message is malformed.
        """
        while True:
            if self._queue.empty() and self._left <= 0:
                question = {
                    "batch": BATCH,
                    "expires": int(BATCH_TIME * SECOND),
                    "idle_heartbeat": int(HEARTBEAT * SECOND),
                }
                self._left = BATCH
                body = json.dumps(question).encode()
                await self._connection.publish(self._next_subject, body, self._inbox)
            message = await self._received()
            status = (message.headers or {}).get("Status", "") if not message.reply else ""
            if status == "100":  # a heartbeat
                continue
            if status in ("404", "408"):  # the batch has ended
                self._left = 0
                continue
            if status:  # 409: the consumer was deleted, or the server ends; 503: the consumer is gone
                raise _Anew
            self._left -= 1
            try:
                place = _place(message.reply)
            except ValueError as error:
                raise self._connection.malformed(error) from None
            if place.number != self._count + 1:
                raise _Anew
            self._count = place.number
            return Stored(message.subject, message.data, place.position, place.time)

    async def _received(self) -> Msg:
        """Return the next message, which may be a status message of the server."""
        try:
            async with asyncio.timeout(SILENCE):
                message = await self._queue.get()
        except TimeoutError:
            raise _Anew from None
        if message is None:
            raise EngineUnreachable(self._connection.lost.result())
        return message

    def _note_loss(self, lost: Future[str]) -> None:
        self._queue.put_nowait(None)

    async def close(self) -> None:
        """End the consumer, also at the server if the connection is up."""
        self._connection.lost.remove_done_callback(self._note_loss)
        with suppress(EngineUnreachable, TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                await self._connection.publish(self._delete_subject, b"")
                await self._connection.unsubscribe(self._subscription)
