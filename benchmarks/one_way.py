"""One way: through `write`, TCP and `read`, in one process and between two; and the simple stack."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory

from mtmount_twisted import Communicator
from mtmount_twisted.commands import MirrorCoversPower

from .receiving import iterate, read_all
from .runner import Case, Goal, Run
from .simple_stack import SimpleStack
from .stacks import ACK, HOST, Peer, accept, in_one_process, pair_with

COUNT = 10_000

GOALS = (
    Goal("simple stack", "times faster, at least", 4, "read()"),
    Goal("simple stack", "times faster, at least", 4, "async for"),
)
JOINED = Goal("simple stack", "times faster, at least", subject="write_many, async for")


async def read_simply(stack: SimpleStack, count: int) -> None:
    for _ in range(count):
        await stack.queue.get()


async def write_all(pair: Communicator) -> None:
    for _ in range(COUNT):
        await pair.write(ACK)


async def write_joined(pair: Communicator) -> None:
    for _ in range(COUNT // 100):
        await pair.write_many([ACK] * 100)


async def write_simply(stack: SimpleStack) -> None:
    for _ in range(COUNT):
        stack.write(ACK)


async def timed(reading: Awaitable[None], writing: Any) -> float:
    """Measure the cost of a message in µs, with a reader and a writer."""
    start = perf_counter()
    Deferred.fromCoroutine(writing)
    await reading
    return (perf_counter() - start) * 1e6 / COUNT


async def one_process(run: Run, reactor: Any) -> None:
    """Both ends share a reactor."""
    commander, mount = await in_one_process()
    near: list[SimpleStack] = []

    def connect(port: int) -> Any:
        factory: Any = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda address: near.append(SimpleStack()) or near[0]
        return reactor.connectTCP(HOST, port, factory)

    port, far, connector = await accept(reactor, SimpleStack, connect)
    subjects = {
        "read()": lambda: timed(read_all(commander, COUNT), write_all(mount)),
        "simple stack": lambda: timed(read_simply(far, COUNT), write_simply(near[0])),
        "async for": lambda: timed(iterate(commander, COUNT), write_all(mount)),
        "write_many, async for": lambda: timed(iterate(commander, COUNT), write_joined(mount)),
    }
    await run.measure(Case("one way", "in one process", "µs", subjects, (*GOALS, JOINED)))
    connector.disconnect()
    for closing in (commander.close(), mount.close(), port.stopListening()):
        await closing


async def two_processes(run: Run, reactor: Any) -> None:
    """Order the other process to send."""
    pair, peer = await pair_with("ours", COUNT)
    port, far, simple_peer = await accept(reactor, SimpleStack, lambda port: Peer("simple", port, COUNT))

    async def go(write: Any, message: Any) -> None:
        write(message)

    command = MirrorCoversPower(on=True)
    subjects = {
        "read()": lambda: timed(read_all(pair, COUNT), go(pair.write, command)),
        "simple stack": lambda: timed(read_simply(far, COUNT), go(far.sendLine, b"go")),
        "async for": lambda: timed(iterate(pair, COUNT), go(pair.write, command)),
    }
    with peer, simple_peer:
        await run.measure(Case("one way", "in two processes", "µs", subjects, GOALS))
    await pair.close()
    await port.stopListening()


async def measure(run: Run, reactor: Any) -> None:
    """One process, then two."""
    await one_process(run, reactor)
    await two_processes(run, reactor)
