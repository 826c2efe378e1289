"""Round trip: a command goes out and its Ack comes back, between two processes on one core."""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import perf_counter
from typing import Any

from mtmount_twisted.commands import AzimuthAxisTrack
from mtmount_twisted.framing import TERMINATOR

from .by_hand import MESSAGES
from .runner import Case, Goal, Run
from .stacks import Peer, one_core, pair_with, raw_socket

TRIPS = 1000

COMMAND_LINE = MESSAGES[3][0].encode()

GOALS = (Goal("no codec", "at most", 1.3), Goal("raw sockets", "at most", 4))


def quantile(times: list[float], part: float) -> float:
    """That part of the times, in µs, are not above it."""
    return sorted(times)[int(part * len(times))] * 1e6


async def ours(pair: Any) -> list[float]:
    """A command is made, sent, and its Ack awaited."""
    times = []
    for _ in range(TRIPS):
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
    """The median, and what one in a hundred exceeds."""
    with one_core():
        pair, peer = await pair_with("ours", 1)
        lines, lines_peer = await pair_with("lines", 1)
        listening, port = raw_socket()
        with peer, lines_peer, listening, Peer("raw", port, 1), listening.accept()[0] as connection:
            trips: dict[str, Callable[[], Any]] = {
                "ours": lambda: ours(pair),
                "no codec": lambda: no_codec(lines),
                "raw sockets": lambda: raw(connection),
            }
            for name, part in (("p50", 0.5), ("p99", 0.99)):

                def sample(make: Callable[[], Any], part: float = part) -> Callable[[], Any]:
                    async def one() -> float:
                        return quantile(await make(), part)

                    return one

                subjects = {subject: sample(make) for subject, make in trips.items()}
                goals = GOALS if part == 0.5 else tuple(Goal(goal.comparator) for goal in GOALS)
                await run.measure(Case("round trip", f"command to Ack, {name}", "µs", subjects, goals, 9))
        await pair.close()
        await lines.close()
