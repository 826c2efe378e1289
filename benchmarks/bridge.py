"""The bridge beside a plain relay that copies bytes: round trip, crowds, memory, journal.

The processes are those of a site: commander, bridge or relay, mount; or mount, bridge or relay, and a
crowd of clients that hear all that the mount says.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from mtmount_twisted.commands import AskForCommand
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.enums import Commander
from mtmount_twisted.testing import HOST

from . import round_trip
from .bridge_stage import Daemon, Stage, allow_many_sockets
from .round_trip import COMMAND_LINE, quantile
from .runner import Case, Goal, Run
from .stacks import Peer, one_core, pair_of, raw_socket

TRIPS = 700

KINDS = {"bridge": "bridge", "plain relay": "relay", "bridge, journal": "journal"}
"""The daemons that are compared, by their names in `bridge_daemon`."""

LOST = Goal("nothing between", subject="bridge")

TRIP_GOALS = (
    Goal("plain relay", "at most", 1.5, "bridge"),
    Goal("bridge", "at most", 1.1, "bridge, journal"),
    LOST,
)

CROWDS = (1, 10, 100, 1000)

ALONE = {1: 400, 10: 300, 100: 60, 1000: 12}
"""For each crowd, how many events are sent one after the other, each when all have the last one."""

BURST = 100

SECONDS, RATE = 2, 100

Values = Mapping[str, float]


class Takes:
    """A measurement that gives several figures: the first figure to be asked for takes it for all."""

    def __init__(self, take: Callable[[], Values | Awaitable[Values]]) -> None:
        self._take = take
        self._kept: defaultdict[str, deque[float]] = defaultdict(deque)

    async def __call__(self, figure: str) -> float:
        if not self._kept[figure]:
            taken = self._take()
            values = taken if isinstance(taken, Mapping) else await taken
            for name, value in values.items():
                self._kept[name].append(value)
        return self._kept[figure].popleft()


async def figures(
    run: Run,
    takes: Mapping[str, Takes],
    wanted: Iterable[tuple[str, str, str, tuple[Goal, ...]]],
    repetitions: int = 7,
    group: str = "bridge",
) -> None:
    """Measure subjects that give several figures each.

    :param wanted: for each figure its name among a subject's values, its name on the page, its unit, and its
        goals.
    """
    for key, name, unit, goals in wanted:
        subjects = {subject: partial(take, key) for subject, take in takes.items()}
        await run.measure(Case(group, name, unit, subjects, goals, repetitions))


# A command and its Ack


async def trips(daemon: Daemon | None, trip: Callable[[], Awaitable[list[float]]]) -> Values:
    """Measure the duration of a round trip, and the daemon's processor time for it, in µs."""
    before = daemon.busy() if daemon else 0.0
    times = await trip()
    busy = (daemon.busy() if daemon else 0.0) - before
    return {
        "p50": quantile(times, 0.5),
        "p99": quantile(times, 0.99),
        "mean": mean(times) * 1e6,
        "busy": busy / len(times) * 1e6,
    }


class RawCommander:
    """A commander of two blocking sockets, so that nearly all of the measured time is the daemon's."""

    def __init__(self) -> None:
        self._listening, self.port = raw_socket()

    async def connect(self, port: int) -> None:
        self._commands = socket.create_connection((HOST, port))
        self._commands.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._listening.accept()[0]

    async def take_command(self) -> None:
        self._commands.sendall(AskForCommand(commander=Commander.CSC).encode())
        got = b""
        while got.count(TERMINATOR) < 2:
            got += self._replies.recv(65536)

    async def trip(self) -> list[float]:
        return [self.trip_once() for _ in range(TRIPS)]

    def trip_once(self) -> float:
        """Send a command, wait for its Ack, and return the time in s."""
        start = time.perf_counter()
        self._commands.sendall(COMMAND_LINE)
        answer = self._replies.recv(65536)
        seconds = time.perf_counter() - start
        if not answer.startswith(b"0\n"):
            raise RuntimeError(f"no Ack: {answer!r}")
        return seconds

    async def close(self) -> None:
        for each in (self._commands, self._replies, self._listening):
            each.close()


class OurCommander:
    """A commander as people have one: the package's ``Communicator``."""

    def __init__(self) -> None:
        self._pair = pair_of("ours", "commander", True)
        self.port = self._pair.server_port

    async def connect(self, port: int) -> None:
        await self._pair.connect(port)

    async def take_command(self) -> None:
        await self._pair.write(AskForCommand(commander=Commander.CSC))
        for _ in range(2):
            await self._pair.read()

    async def trip(self) -> list[float]:
        return await round_trip.ours(self._pair, TRIPS)

    async def close(self) -> None:
        await self._pair.close()


async def directly(stack: ExitStack, mount: str, commander: Any) -> None:
    """A commander and a mount with nothing between them."""
    peer = stack.enter_context(Peer(mount, commander.port, 1))
    await commander.connect(peer.port)
    await commander.take_command()


async def joined(
    stack: ExitStack, kind: str, mount: str, commander: Any, folder: str, broker: str = ""
) -> Daemon:
    """A commander and a mount that are joined through a daemon of a kind; the commander has command."""
    path = str(Path(folder, f"{mount}.sqlite"))
    daemon = stack.enter_context(Daemon(kind, commander.port, path, broker))
    peer = stack.enter_context(Peer(mount, daemon.ports["replies"], 1))
    daemon.tell(peer.port)
    await commander.connect(daemon.ports["commands"])
    time.sleep(0.3)  # until the daemon is connected on both sides: a relay keeps nothing for later
    await commander.take_command()
    return daemon


async def round_trips(run: Run, folder: str, ends: str, mount: str, new_commander: Any) -> None:
    """A command and its Ack, with all processes on one core."""
    commanders = []
    with one_core(), ExitStack() as stack:
        takes = {}
        for subject, kind in KINDS.items():
            commander = new_commander()
            commanders.append(commander)
            daemon = await joined(stack, kind, mount, commander, folder)
            takes[subject] = Takes(partial(trips, daemon, commander.trip))
        commanders.append(new_commander())
        await directly(stack, mount, commanders[-1])
        takes["nothing between"] = Takes(partial(trips, None, commanders[-1].trip))
        relay, journal, _ = TRIP_GOALS
        busy = (replace(relay, limit=None), replace(journal, limit=None))
        wanted = [
            ("p50", f"round trip, {ends}, p50", "µs", TRIP_GOALS),
            ("p99", f"round trip, {ends}, p99", "µs", TRIP_GOALS),
            ("mean", f"round trip, {ends}, mean", "µs", TRIP_GOALS),
            ("busy", f"round trip, {ends}, daemon busy", "µs", busy),
        ]
        await figures(run, takes, wanted, 9)
    for commander in commanders:
        await commander.close()


# Crowds


def hear(stage: Stage, times: int, events: int) -> Values:
    """Measure the cost and the duration of one event for one client, in µs."""
    before, start = stage.daemon.busy(), time.perf_counter()
    for _ in range(times):
        stage.say(events)
        report = stage.wait()
    took, busy = time.perf_counter() - start, stage.daemon.busy() - before
    if stage.missing(report):
        raise RuntimeError(f"{stage.missing(report)} bytes did not arrive, {report['lost']} clients are gone")
    heard = times * events * stage.clients
    return {"busy": busy / heard * 1e6, "took": took / heard * 1e6}


async def crowds(run: Run, folder: str) -> None:
    """Measure the cost of an event for each client that receives it."""
    with ExitStack() as stack:
        stages = {
            (subject, clients): stack.enter_context(
                Stage(kind, clients, str(Path(folder, f"{clients}.sqlite")))
            )
            for subject, kind in KINDS.items()
            for clients in CROWDS
            if kind != "journal" or clients == 10
        }
        flat = [Goal("bridge, 10", "at most", 1.2, f"bridge, {clients:,}") for clients in CROWDS[2:]]
        relays = [Goal(f"plain relay, {clients:,}", subject=f"bridge, {clients:,}") for clients in CROWDS]
        journal = [Goal("bridge, 10", "at most", 1.1, "bridge, journal, 10")]
        for title, events in (("event alone", 1), ("events in bursts", BURST)):
            takes = {
                f"{subject}, {clients:,}": Takes(
                    partial(hear, stage, ALONE[clients] if events == 1 else 1 + 10 // clients, events)
                )
                for (subject, clients), stage in stages.items()
            }
            wanted = [
                ("busy", f"{title}, per client, daemon busy", "µs", (*flat, *journal, *relays)),
                ("took", f"{title}, per client, by the clock", "µs", tuple(relays)),
            ]
            await figures(run, takes, wanted, 5)


def sustained(stage: Stage) -> Values:
    """1,000 clients hear 100 events a second: the daemon's share of its core, and how late they hear."""
    before, start = stage.daemon.busy(), time.perf_counter()
    for tick in range(SECONDS * RATE):
        time.sleep(max(0.0, start + tick / RATE - time.perf_counter()))
        stage.say()
    report = stage.wait()
    took, busy = time.perf_counter() - start, stage.daemon.busy() - before
    return {
        "share": busy / took * 100,
        "p50": quantile(report["lags"], 0.5) / 1e3,
        "p99": quantile(report["lags"], 0.99) / 1e3,
        "lost": report["lost"],
        "missing": stage.missing(report),
    }


async def steady(run: Run) -> None:
    """A crowd that hears the mount at its usual pace."""
    title = f"{CROWDS[-1]:,} clients, {RATE} events/s"
    with ExitStack() as stack:
        takes = {
            subject: Takes(partial(sustained, stack.enter_context(Stage(KINDS[subject], CROWDS[-1]))))
            for subject in ("bridge", "plain relay")
        }
        none = (Goal("plain relay", "by itself, at most", 0, "bridge"),)
        known = (Goal("plain relay", subject="bridge"),)
        wanted = [
            ("lost", f"{title}, cut off", "clients", none),
            ("missing", f"{title}, did not arrive", "bytes", none),
            ("share", f"{title}, share of a core", "%", known),
            ("p50", f"{title}, delay, p50", "ms", known),
            ("p99", f"{title}, delay, p99", "ms", known),
        ]
        await figures(run, takes, wanted, 5)


def memory(kind: str) -> float:
    """Measure the daemon's memory for a client that has received something, in kB."""
    with Stage(kind, 10) as stage:
        stage.say()
        stage.wait()
        few, before = stage.clients, stage.daemon.memory()
        stage.add(CROWDS[-1] - few)
        stage.say()
        stage.wait()
        return (stage.daemon.memory() - before) / (stage.clients - few)


async def measure(run: Run, reactor: Any) -> None:
    """All of them."""
    allow_many_sockets()
    with tempfile.TemporaryDirectory() as folder:
        await round_trips(run, folder, "raw ends", "raw mount", RawCommander)
        await round_trips(run, folder, "our ends", "mount", OurCommander)
        await crowds(run, folder)
    await steady(run)
    kinds = {subject: partial(memory, KINDS[subject]) for subject in ("bridge", "plain relay")}
    goal = Goal("plain relay", "by itself, at most", 100, "bridge")
    await run.measure(Case("bridge", "memory of a client", "kB", kinds, (goal,), 5))
