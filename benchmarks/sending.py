"""`write` and `write_many` against the transport's own `write`, on a socket that is being read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory

from mtmount_twisted import ClientServerPair, Communicator
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR

from .runner import Case, Goal, Run
from .stacks import ACK, ACK_LINE, HOST, LOG, Sink, accept, drain, quiet

TURNS = 40
BATCH = 100


async def cost(reactor: Any, write: Callable[[], object]) -> float:
    """Measure the cost of a message in µs, when `write` writes a batch in each turn of the reactor."""
    spent = 0.0
    for _ in range(TURNS):
        start = perf_counter()
        write()
        spent += perf_counter() - start
        await drain(reactor)
    return spent * 1e6 / (TURNS * BATCH)


def one_by_one(write: Callable[[Any], object], message: Any) -> Callable[[], None]:
    """A batch, message after message."""

    def run() -> None:
        for _ in range(BATCH):
            write(message)

    return run


async def connected_client(kind: Callable[..., Any], port: int, *arguments: Any) -> Any:
    """Return a pair with a client that is connected to a port."""
    connected: Deferred[None] = Deferred()
    pair = kind(
        "ours", HOST, port, HOST, 0, LOG, *arguments, connect_callback=lambda pair: connected.callback(None)
    )
    await connected
    return pair


async def measure(run: Run, reactor: Any) -> None:
    """Lines that are encoded already, which is the goal's figure, and messages."""
    port = reactor.listenTCP(0, quiet(Sink), interface=HOST)
    number = port.getHost().port
    lines = await connected_client(ClientServerPair, number)
    messages = await connected_client(Communicator, number, True)

    def connect(to: int) -> Any:
        factory: Any = ClientFactory.forProtocol(Sink)
        factory.noisy = False
        return reactor.connectTCP(HOST, to, factory)

    accepting, bare, connector = await accept(reactor, Sink, connect)
    line = ACK_LINE.removesuffix(TERMINATOR)
    batches = {
        "write()": one_by_one(lines.write, line),
        "transport.write": one_by_one(bare.transport.write, ACK_LINE),
        "write_many(100)": lambda: lines.write_many([line] * BATCH),
        "write(), codec": one_by_one(messages.write, ACK),
        "write_many, codec": lambda: messages.write_many([ACK] * BATCH),
    }
    goals = (
        Goal("transport.write", "at most", 2.3, "write()"),
        Goal("transport.write", "at most", 0.2, "write_many(100)"),
        Goal("transport.write", subject="write(), codec"),
        Goal("transport.write", subject="write_many, codec"),
    )
    subjects = {name: partial(cost, reactor, batch) for name, batch in batches.items()}
    await run.measure(Case("sending", "per message", "µs", subjects, goals, 15))
    connector.disconnect()
    for closing in (lines.close(), messages.close(), port.stopListening(), accepting.stopListening()):
        await closing
