"""Round trip: a command goes out and its Ack comes back, between two processes on one core."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from mtmount_twisted.commands import AzimuthAxisTrack
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR

from .by_hand import MESSAGES
from .runner import Case, Goal, Run
from .stacks import Peer, accept, one_core, pair_with, raw_socket

TRIPS = 1000

COMMAND_LINE = MESSAGES[3][0].encode()

GOALS = (
    Goal("no codec", "at most", 1.3),
    Goal("raw sockets", "at most", 4),
    Goal("no codec, sent at once", "at most", 1.3, "ours, sent at once"),
    Goal("raw sockets", "at most", 4, "ours, sent at once"),
    Goal("raw sockets", subject="bare Twisted"),
)
COMPARISONS = tuple(replace(goal, limit=None) for goal in GOALS)


def quantile(times: list[float], part: float) -> float:
    """That part of the times, in µs, are not above it."""
    return sorted(times)[int(part * len(times))] * 1e6


async def ours(pair: Any, count: int = TRIPS) -> list[float]:
    """A command is made, sent, and its Ack awaited."""
    times = []
    for _ in range(count):
        start = perf_counter()
        await pair.write(AzimuthAxisTrack(position=123.456789, velocity=0.0041, tai=1582814944.469))
        await pair.read()
        times.append(perf_counter() - start)
    return times


async def no_codec(pair: Any) -> list[float]:
    """The same lines through the same connections."""
    line = COMMAND_LINE.removesuffix(TERMINATOR)
    times = []
    for _ in range(TRIPS):
        start = perf_counter()
        await pair.write(line)
        await pair.read()
        times.append(perf_counter() - start)
    return times


class Bare(Protocol):
    """Protocol that fires `answered` with the received data."""

    answered: Deferred[bytes]

    def dataReceived(self, data: bytes) -> None:
        self.answered.callback(data)


async def bare(protocol: Bare) -> list[float]:
    """The same bytes, through Twisted and nothing else: no lines, no pair."""
    times = []
    for _ in range(TRIPS):
        start = perf_counter()
        protocol.answered = Deferred()
        protocol.transport.write(COMMAND_LINE)
        await protocol.answered
        times.append(perf_counter() - start)
    return times


async def raw(connection: socket.socket) -> list[float]:
    """The same bytes, through sockets that block."""
    times = []
    for _ in range(TRIPS):
        start = perf_counter()
        connection.sendall(COMMAND_LINE)
        connection.recv(65536)
        times.append(perf_counter() - start)
    return times


async def measure(run: Run, reactor: Any) -> None:
    """Return the median and the 99th percentile."""
    with one_core(), ExitStack() as stack:
        pairs = {}
        for kind in ("ours", "lines", "ours at once", "lines at once"):
            pairs[kind], peer = await pair_with(kind, 1)
            stack.enter_context(peer)
        listening, port = raw_socket()
        stack.enter_context(listening)
        stack.enter_context(Peer("raw", port, 1))
        connection = stack.enter_context(listening.accept()[0])
        bare_port, bare_end, peer = await accept(reactor, Bare, lambda port: Peer("bare", port, 1))
        stack.enter_context(peer)
        trips = {
            "ours": partial(ours, pairs["ours"]),
            "no codec": partial(no_codec, pairs["lines"]),
            "raw sockets": partial(raw, connection),
            "bare Twisted": partial(bare, bare_end),
            "ours, sent at once": partial(ours, pairs["ours at once"]),
            "no codec, sent at once": partial(no_codec, pairs["lines at once"]),
        }
        for name, part, goals in (("p50", 0.5, GOALS), ("p99", 0.99, COMPARISONS)):
            subjects = {subject: partial(sample, trip, part) for subject, trip in trips.items()}
            await run.measure(Case("round trip", f"command to Ack, {name}", "µs", subjects, goals, 9))
    for pair in pairs.values():
        await pair.close()
    await bare_port.stopListening()


async def sample(trip: Callable[[], Any], part: float) -> float:
    return quantile(await trip(), part)
