"""What a message costs, counted and not timed: Deferreds, Python calls, writes and copies.

A time says little on a busy machine; these counts are the same on each. The limits are what was
counted when the code was as fast as we could make it, plus one call or so a message, so that a
refactoring has room and a layer more in the way of every message does not.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import Communicator
from mtmount_twisted.commands import BothAxesTrack, MirrorCoversPower
from mtmount_twisted.dialects.tma2020.codec import decode_command, decode_reply
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.replies import AckReply, ErrorReply
from mtmount_twisted.testing import FarEnd, connected_pair
from mtmount_twisted.wire.messages import BaseMessage

COUNT = 1000

DECODE_CALLS = 6
"""A message: the decoder, cutting into fields, finding the class (2), and the code of the class."""

ENCODE_CALLS = 3
"""A message: the code of the class, the writer of its timestamp, and for `extra_data` one more."""

CHUNK_CALLS = 7
"""A chunk, however many lines are in it: the reader, its splitting, two owners, and the inbox (2)."""

READ_DEFERREDS = 1
READ_CALLS = 12
"""A `read` of a message that waits: `read`, the inbox (2), decoding (5), and the Deferred that `read`
promises, made and fired by Twisted (3)."""

ITERATE_DEFERREDS = 0
ITERATE_CALLS = 8
"""A message that waits, in ``async for``: the iterator, the inbox, decoding (5); no Deferred."""

LIVE_DEFERREDS = 1
LIVE_CALLS = 25
"""A message of a chunk that comes while somebody iterates: as if each were waited for. The Deferred
is made, fired, and starts the coroutine again."""

WRITE_DEFERREDS = 1
WRITE_CALLS = 9
"""A `write`: of the pair and of the writer, encoding (2), and the Deferred, made and fired (3)."""

WRITE_MANY_CALLS = 4
"""A message of a `write_many` of 100: its encoding (2 or 3), and a hundredth of a `write`."""


class Cost(NamedTuple):
    """What was counted while something ran, for each of its messages."""

    calls: float
    deferreds: float


class Copies(bytes):
    """Bytes that came, which count how often all or part of them is copied by Python code."""

    copies = 0

    def split(self, *arguments: Any) -> list[bytes]:  # type: ignore[override]
        type(self).copies += 1
        return bytes(self).split(*arguments)

    def partition(self, separator: Any) -> Any:
        type(self).copies += 1
        return bytes(self).partition(separator)

    def __getitem__(self, index: Any) -> Any:
        type(self).copies += isinstance(index, slice)
        return bytes(self)[index]

    def __add__(self, other: Any) -> bytes:
        type(self).copies += 1
        return bytes(self) + other

    def __radd__(self, other: Any) -> bytes:
        type(self).copies += 1
        return bytes(other) + bytes(self)


class CostsTestCase(SynchronousTestCase):
    """Counts."""

    def cost(self, messages: int, run: Callable[..., object], *given: Any) -> Cost:
        """What `run` costs for each of this many messages; it runs once before, to be warm."""
        run(*given)
        calls = deferreds = 0
        make = Deferred.__init__

        def count_deferred(self: Deferred[Any], *arguments: Any, **values: Any) -> None:
            nonlocal deferreds, calls
            deferreds += 1
            calls -= 1  # this function itself
            make(self, *arguments, **values)

        def count_call(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        patched = self.patch(Deferred, "__init__", count_deferred)
        before = sys.getprofile()
        # A collection calls what others left in `gc.callbacks` (Hypothesis does) and finalizers of theirs.
        collecting = gc.isenabled()
        gc.disable()
        sys.setprofile(count_call)
        try:
            run(*given)
        finally:
            sys.setprofile(before)
            if collecting:
                gc.enable()
            patched.restore()
        return Cost(calls / messages, deferreds / messages)

    def check(self, cost: Cost, calls: float, deferreds: float = 0) -> None:
        """A cost is within its limits."""
        self.assertLessEqual(cost.deferreds, deferreds + 0.05)
        self.assertLessEqual(cost.calls, calls + 0.1)


def no_wait(coroutine: Any) -> None:
    """Run a coroutine to its end, with nothing to wait for."""
    done: Deferred[None] = ensureDeferred(coroutine)
    assert done.called


class CountingTests(CostsTestCase):
    """What is counted is the cost of what runs, and of nothing else."""

    def test_garbage_collection_is_not_counted(self) -> None:
        """A collection that happens to come while something runs costs it nothing."""

        def collected(phase: str, info: object) -> None:
            pass

        gc.callbacks.append(collected)
        self.addCleanup(gc.callbacks.remove, collected)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(1)
        self.assertEqual(self.cost(1, lambda: [[] for _ in range(1000)]).calls, 2)


class CodecCosts(CostsTestCase):
    """Line <-> message."""

    messages: Iterable[tuple[BaseMessage, Callable[[bytes], BaseMessage]]] = (
        (AckReply(sequence_id=1), decode_reply),
        (
            ErrorReply(on=True, active=True, code=907, subsystem="900. A/B", extra_data=("a", "b")),
            decode_reply,
        ),
        (MirrorCoversPower(on=True), decode_command),
        (
            BothAxesTrack(azimuth=1, elevation=2, azimuth_velocity=3, elevation_velocity=4, tai=5),
            decode_command,
        ),
    )

    def test_decode(self) -> None:
        """Decoding is a few calls, however many fields a message has."""
        for message, decode in self.messages:
            line = message.encode().removesuffix(TERMINATOR)
            with self.subTest(message=message):
                self.check(self.cost(1, decode, line), DECODE_CALLS)

    def test_encode(self) -> None:
        """So is encoding."""
        for message, _ in self.messages:
            with self.subTest(message=message):
                self.check(self.cost(1, message.encode), ENCODE_CALLS)

    def test_loop_costs_more(self) -> None:
        """The limits would notice a class that is not compiled: the loop is beyond them."""
        for message, _ in self.messages:
            self.assertGreater(self.cost(1, BaseMessage.encode, message).calls, ENCODE_CALLS)


class ReceivingCosts(CostsTestCase):
    """From a chunk to messages."""

    def setUp(self) -> None:
        self.pair, self.far_end = connected_pair(max_unread=10**9)
        self.line = AckReply(sequence_id=1).encode()
        self.reader: Any = self.pair.server_reader

    def test_chunk(self) -> None:
        """A chunk of a thousand lines takes as many calls as one of a single line."""
        for count in (1, COUNT):
            self.check(self.cost(1, self.reader.dataReceived, self.line * count), CHUNK_CALLS)

    def test_copies_of_a_chunk(self) -> None:
        """A chunk is cut in one go: nothing of it is copied for each line."""
        for count in (1, COUNT):
            Copies.copies = 0
            self.reader.dataReceived(Copies(self.line * count))
            self.assertEqual(Copies.copies, 1)

    def test_read(self) -> None:
        """A message that waits costs its reader one Deferred and few calls."""

        async def read_all() -> None:
            for _ in range(COUNT):
                await self.pair.read()

        self.reader.dataReceived(self.line * 2 * COUNT)
        self.check(self.cost(COUNT, lambda: no_wait(read_all())), READ_CALLS, READ_DEFERREDS)

    def test_iterate(self) -> None:
        """In ``async for`` it costs no Deferred at all."""
        self.reader.dataReceived(self.line * 2 * COUNT)
        self.check(self.cost(COUNT, lambda: no_wait(self.iterate())), ITERATE_CALLS, ITERATE_DEFERREDS)

    async def iterate(self) -> None:
        left = COUNT
        async for _ in self.pair:
            left -= 1
            if not left:
                return

    def test_iterate_while_they_come(self) -> None:
        """A chunk that comes to one who iterates already costs what is stated for it."""
        chunk = self.line * COUNT

        def run() -> None:
            reading = ensureDeferred(self.iterate())
            self.reader.dataReceived(chunk)
            self.successResultOf(reading)

        self.check(self.cost(COUNT, run), LIVE_CALLS, LIVE_DEFERREDS)


class SendingCosts(CostsTestCase):
    """From messages to the transport."""

    pair: Communicator
    far_end: FarEnd

    def setUp(self) -> None:
        self.pair, self.far_end = connected_pair()
        self.message = MirrorCoversPower(on=True)
        self.written: list[bytes] = []
        transport = self.far_end.client.transport.other
        self.patch(transport, "write", self.written.append)

    def test_write(self) -> None:
        """A write costs one Deferred, and few calls."""

        def run() -> None:
            for _ in range(COUNT):
                self.pair.write(self.message)

        self.check(self.cost(COUNT, run), WRITE_CALLS, WRITE_DEFERREDS)

    def test_write_copies_nothing(self) -> None:
        """What the transport is given is what the message was encoded to, and no copy of it."""
        data = self.message.encode()
        self.patch(type(self.message), "encode", lambda message: data)
        self.pair.write(self.message)
        self.assertEqual(len(self.written), 1)
        self.assertIs(self.written[0], data)

    def test_write_many(self) -> None:
        """A hundred messages cost one write of the transport, one Deferred, and little else each."""
        batch = [self.message] * 100
        self.check(self.cost(100, self.pair.write_many, batch), WRITE_MANY_CALLS)
        self.assertEqual(self.written, [self.message.encode() * 100] * 2)
