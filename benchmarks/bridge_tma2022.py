"""The bridge before a tma2022 mount: round trip, a translated commander, and telemetry.

The processes are in `tma2022_stage`. For a round trip, commander, daemon and mount share one core; telemetry
has its source and its readers on the other ones.
"""

from __future__ import annotations

import random
import select
import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022.framing import TERMINATOR
from mtmount_twisted.testing import HOST

from .bridge import TRIPS, RawCommander, Takes, Values, figures, trips
from .bridge_stage import allow_many_sockets
from .round_trip import quantile
from .runner import Goal, Run
from .stacks import one_core
from .tma2022_stage import Stage

GROUP = "bridge of tma2022"

COMMAND_LINE = tma2022.commands.AzimuthTrackTarget(
    sequence_id=12345, position=123.456789, velocity=0.0041, tai=1582814944.469
).encode()

FEW, MANY = 20, 200
"""Numbers of readers of telemetry."""

SECONDS = 5.0
"""How long telemetry is measured at a time: as long as the longest period of a topic."""

PACED = 400
"""Number of commands beside telemetry."""

BETWEEN = 0.01
"""How long the commander beside telemetry pauses between two commands, at most, in seconds."""


class DuplexCommander:
    """A commander of one blocking socket, so that nearly all of the measured time is the daemon's.

    :param pause: how long it pauses before each command, at most, in seconds.
    """

    port = 0

    def __init__(self, count: int = TRIPS, pause: float = 0.0) -> None:
        self._count = count
        self._pause = pause

    async def connect(self, port: int) -> None:
        self._connection = socket.create_connection((HOST, port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def take_command(self) -> None:
        self._connection.sendall(tma2022.commands.AskForCommand(sequence_id=1).encode())
        got = b""
        while b'{"id":3,' not in got.replace(b" ", b""):  # the bridge writes its own without a space
            got += self._connection.recv(65536)
        time.sleep(0.1)  # until the event that says so has come as well
        while select.select([self._connection], [], [], 0)[0]:
            self._connection.recv(65536)

    async def trip(self) -> list[float]:
        times = []
        for _ in range(self._count):
            if self._pause:
                time.sleep(random.uniform(0, self._pause))
            start = time.perf_counter()
            self._connection.sendall(COMMAND_LINE)
            answer = self._connection.recv(65536)
            times.append(time.perf_counter() - start)
            if not answer.startswith(b'{"id": 1,') or not answer.endswith(TERMINATOR):
                raise RuntimeError(f"no Ack: {answer!r}")
        return times

    async def close(self) -> None:
        self._connection.close()


async def begin(stack: ExitStack, kind: str, commander: Any) -> Stage:
    """Start a daemon of a kind, whose commander has command."""
    stage = stack.enter_context(Stage(kind, commander.port))
    time.sleep(0.3)  # until the daemon is connected: a relay keeps nothing for later
    await commander.connect(stage.daemon.ports["commands"])
    time.sleep(0.3)
    await commander.take_command()
    return stage


async def round_trips(run: Run) -> None:
    """A command and its Ack, with all processes on one core."""
    commanders: dict[str, tuple[str, Any]] = {
        "bridge": ("bridge", DuplexCommander()),
        "translated": ("bridge", RawCommander()),
        "plain relay": ("relay", DuplexCommander()),
    }
    with one_core(), ExitStack() as stack:
        takes = {}
        for subject, (kind, commander) in commanders.items():
            stage = await begin(stack, kind, commander)
            takes[subject] = Takes(partial(trips, stage.daemon, commander.trip))
        goals = (
            Goal("plain relay", "at most", 1.5, "bridge"),
            Goal("bridge", "at most", 1.5, "translated"),
        )
        known = tuple(Goal(goal.comparator, subject=goal.subject) for goal in goals)
        wanted = [
            ("p50", "round trip, raw ends, p50", "µs", goals),
            ("p99", "round trip, raw ends, p99", "µs", known),
            ("mean", "round trip, raw ends, mean", "µs", goals),
            ("busy", "round trip, raw ends, daemon busy", "µs", known),
        ]
        await figures(run, takes, wanted, 9, GROUP)
        for _, commander in commanders.values():
            await commander.close()


def telemetry(stage: Stage, readers: int) -> Values:
    """Measure the daemon's share of its core while it passes telemetry on, in %."""
    stage.send("on")
    before, start = stage.daemon.busy(), time.perf_counter()
    time.sleep(SECONDS)
    received, took = stage.received(), time.perf_counter() - start
    share = (stage.daemon.busy() - before) / took * 100
    stage.send("off")
    return {
        "share": share,
        "each": share / readers,
        "missed": 100 - stage.share_received(received, took),
    }


async def reading(run: Run) -> None:
    """All topics at their periods to many readers."""
    with ExitStack() as stack:
        takes = {}
        for readers in (FEW, MANY):
            stage = stack.enter_context(Stage("bridge"))
            time.sleep(0.3)
            stage.read(readers)
            takes[f"{readers} readers"] = Takes(partial(telemetry, stage, readers))
        few, many = takes
        alone = partial(Goal, few, "by itself, at most")
        wanted = [
            ("share", "telemetry, share of a core", "%", (alone(8, few), Goal(few, subject=many))),
            ("each", "telemetry, share of a core for each reader", "%", (Goal(few, "at most", 1.1, many),)),
            ("missed", "telemetry, not delivered in time", "%", (alone(5, few), alone(5, many))),
        ]
        await figures(run, takes, wanted, 5, GROUP)


async def beside(run: Run) -> None:
    """A command now and then, beside telemetry to some readers and without telemetry."""
    commander = DuplexCommander(PACED, BETWEEN)
    with one_core(), ExitStack() as stack:
        stage = await begin(stack, "bridge", commander)
        stage.read(FEW)

        async def take(what: str) -> Values:
            stage.send(what)
            times = await commander.trip()
            stage.send("off")
            return {"p50": quantile(times, 0.5), "p99": quantile(times, 0.99)}

        name = f"telemetry to {FEW} readers"
        takes = {"no telemetry": Takes(partial(take, "off")), name: Takes(partial(take, "on"))}
        wanted = [
            (key, f"round trip beside telemetry, {key}", "µs", (Goal("no telemetry", "at most", most, name),))
            for key, most in (("p50", 1.1), ("p99", 1.3))
        ]
        await figures(run, takes, wanted, 9, GROUP)
        await commander.close()


async def measure(run: Run, reactor: Any) -> None:
    """All of them."""
    allow_many_sockets()
    await round_trips(run)
    await reading(run)
    await beside(run)
