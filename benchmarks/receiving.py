"""From bytes that came to messages that are read: `read`, ``async for``, bursts, trickles, backlogs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from itertools import repeat
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.testing import StringTransport

from mtmount_twisted import ClientServerPair, Communicator
from mtmount_twisted.dialects.tma2020.codec import decode_reply
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR

from .runner import Case, Goal, Run, each
from .simple_stack import SimpleStack
from .stacks import ACK_LINE, in_memory

CHUNK = 65536 // len(ACK_LINE)
"""How many messages come at once: as many as one read from a socket gives."""

SHORT_LINE = b"0\n12345\n1\r\n"


def timed(call: Callable[[], object], count: int) -> float:
    """The cost of a call in µs per message."""
    return each(lambda _: call(), repeat(None, 1), count)


def now(run: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that has nothing to wait for."""
    assert ensureDeferred(run).called


async def read_all(pair: Any, count: int) -> None:
    for _ in range(count):
        await pair.read()


async def iterate(pair: Any, count: int) -> None:
    async for _ in pair:
        count -= 1
        if not count:
            return


class Callback:
    """The same codec, one `split` a chunk, and a callback: no bound, no order of readers, no errors."""

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self.decode = decode
        self.unfinished = b""
        self.seen = 0

    def received(self, message: Any) -> None:
        self.seen += 1

    def data_received(self, data: bytes) -> None:
        lines = (self.unfinished + data).split(TERMINATOR)
        self.unfinished = lines.pop()
        for line in lines:
            self.received(self.decode(line))


def waiting_messages() -> Case:
    """Read messages that have arrived already, one ``await`` each."""
    pair, feed = in_memory(Communicator, True)
    callback = Callback(decode_reply)
    chunk = ACK_LINE * CHUNK

    def ours(take: Callable[[Any, int], Coroutine[Any, Any, object]]) -> float:
        def receive() -> None:
            for _ in range(4):
                feed(chunk)
                now(take(pair, CHUNK))

        return timed(receive, 4 * CHUNK)

    def by_callback() -> float:
        return timed(lambda: [callback.data_received(chunk) for _ in range(4)], 4 * CHUNK)

    return Case(
        "receiving",
        "messages that wait",
        "µs",
        {
            "read()": partial(ours, read_all),
            "plain callback": by_callback,
            "async for": partial(ours, iterate),
        },
        (
            Goal("plain callback", "at most", 1.8, "read()"),
            Goal("plain callback", "at most", 1.3, "async for"),
        ),
        15,
    )


def burst(whole: bool) -> Case:
    """Measure the cost of splitting and reading a byte, for bursts of short lines of growing size.

    :param whole: in one piece, as no socket gives it, or in pieces of 64 KiB, as sockets do.
    """
    sizes = {"64 KiB": 2**16, "256 KiB": 2**18, "1 MiB": 2**20, "4 MiB": 2**22}
    pair, feed = in_memory(ClientServerPair)

    def sample(size: int) -> float:
        data = SHORT_LINE * (size // len(SHORT_LINE))
        step = len(data) if whole else 2**16
        pieces = [data[start : start + step] for start in range(0, len(data), step)]
        times = 2**20 // size or 1
        reading = Deferred.fromCoroutine(iterate(pair, times * (len(data) // len(SHORT_LINE))))
        cost = timed(lambda: [feed(piece) for _ in range(times) for piece in pieces], len(data) * times)
        assert reading.called
        return cost * 1000

    subjects = {name: partial(sample, size) for name, size in sizes.items()}
    goals = tuple(Goal("64 KiB", "at most", 1.2, name) for name in list(sizes)[1:])
    name = f"burst in {'one piece' if whole else 'pieces of 64 KiB'}, per byte"
    return Case("receiving", name, "ns", subjects, goals)


def backlog() -> Case:
    """Measure the cost of adding a message and reading the oldest, for growing numbers of messages."""
    depths = (1, 100, 10_000, 100_000)
    rounds = 3000
    subjects: dict[str, Callable[[], float]] = {}
    for depth in depths:
        pair, feed = in_memory(Communicator, True)
        feed(ACK_LINE * (depth - 1))

        async def come_and_go(pair: Any, feed: Callable[[bytes], None]) -> None:
            for _ in range(rounds):
                feed(ACK_LINE)
                await pair.read()

        subjects[f"{depth:,}"] = partial(_backlog_sample, come_and_go, pair, feed, rounds)
    goals = tuple(Goal("1", "at most", 1.2, name) for name in list(subjects)[1:])
    return Case("receiving", "messages waiting, per message", "µs", subjects, goals, 15)


def _backlog_sample(run: Callable[..., Any], pair: Any, feed: Any, rounds: int) -> float:
    return timed(lambda: now(run(pair, feed)), rounds)


def reading_a_backlog() -> Case:
    """All that waits is read: 100,000 messages, against 1,000."""
    pair, feed = in_memory(Communicator, True)

    def sample(waiting: int) -> float:
        cost = 0.0
        for _ in range(20_000 // waiting or 1):
            feed(ACK_LINE * waiting)
            cost += timed(lambda: now(read_all(pair, waiting)), waiting)
        return cost / (20_000 // waiting or 1)

    subjects = {f"{waiting:,}": partial(sample, waiting) for waiting in (1000, 100_000)}
    goal = Goal("1,000", "at most", 1.2, "100,000")
    return Case("receiving", "reading all that waits, per message", "µs", subjects, (goal,), 5)


def trickle() -> Case:
    """A byte at a time, as short messages and as one long unfinished line."""
    pair, feed = in_memory(Communicator, True)
    simple = SimpleStack()
    simple.makeConnection(StringTransport())
    short = [bytes([byte]) for byte in ACK_LINE * 50]
    long = [b"x"] * 10_000

    def ours() -> float:
        cost = each(feed, short, len(short))
        now(read_all(pair, 50))
        return cost

    def simply() -> float:
        cost = each(simple.dataReceived, short, len(short))
        simple.queue.pending.clear()
        return cost

    def ours_long() -> float:
        _, line_feed = in_memory(ClientServerPair)
        return each(line_feed, long, len(long))

    def simply_long() -> float:
        receiver = SimpleStack()
        receiver.makeConnection(StringTransport())
        return each(receiver.dataReceived, long, len(long))

    subjects = {"ours": ours, "simple stack": simply, "ours, long": ours_long, "simple, long": simply_long}
    goals = (
        Goal("simple stack"),
        Goal("simple, long", subject="ours, long"),
        Goal("ours", subject="ours, long"),
    )
    return Case("receiving", "trickle of single bytes, per byte", "µs", subjects, goals)


async def measure(run: Run, reactor: Any) -> None:
    """All of them."""
    pieces, whole = partial(burst, False), partial(burst, True)
    for case in (waiting_messages, pieces, whole, backlog, reading_a_backlog, trickle):
        await run.measure(case())
