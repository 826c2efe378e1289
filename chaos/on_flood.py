"""Strangers without rights take all they can get, while a commander works and a user stops the mount.

The times of a command on the wire and of a stop over HTTP leave out the time in which the daemon and this
process waited for a processor, because a stranger's program runs on another machine.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol

from mtmount_twisted.replies import WarningReply

from . import records
from .house import House
from .outcome import Outcome
from .process import ROOT
from .stage import Stage
from .waits import pause
from .web import Stream

WIRE_LIMIT, STOP_LIMIT = 0.020, 0.100
"""How long a command may take on the wire, of 99 in 100, and a stop over HTTP, each; in seconds."""

WIRE, STOP, ROWS = "wire p99 (ms)", "stop over HTTP, longest (ms)", "rows lost"
MEASURED = (WIRE, STOP, ROWS)
"""The figures of each flood."""

GOALS = ("wire p99 in 20 ms", "stops in 100 ms", "no row lost")
QUERIES = "others' queries in 1 s"

STOPS = 50
"""How many stops are sent over HTTP while strangers flood the daemon, each on a new connection."""

LOG_LINES = 200
"""How many lines a flood may add to the log."""

QUERY_LIMIT = 1.0
"""How long another user waits for a short query, in seconds."""

OLD_ROWS = 120_000
"""How many rows the journal has in which a slow query searches."""

MEMORY_ROOM = 48 * 2**20
"""How much more memory than usual the daemon may have after a flood, in bytes: the journal waits for a disk
with 32 MiB at most, the ring of events holds 8 MiB, and the allocator gives little of it back."""

FIELDS = 60_000
"""How many fields a warning of the controller has."""

KINDS = (
    "long_lines",
    "short_lines",
    "visits",
    "moves",
    "commanders",
    "warnings",
    "places",
    "refused",
    "queries",
    "ahead",
    "flood_lines",
    "flood_chunks",
    "long_bodies",
    "posts",
    "hall_visits",
    "desk_chunk",
    "asks_many",
    "watchers",
    "pair_visits",
    "files",
)
"""The floods of strangers, and those of the controller: see `flooder`."""

TOGETHER = "hall_visits", "pair_visits", "flood_lines", "flood_chunks", "short_lines", "moves", "places"
"""The floods that begin at the same moment in the flood ``together``."""


class Flooder(ProcessProtocol):
    """A process that floods the daemon from when this is made until `end`."""

    transport: Any

    def __init__(self, house: House, kind: str) -> None:
        self.ended: Deferred[None] = Deferred()
        words = [sys.executable, "-m", "chaos.flooder", kind]
        hall = str(house.yard) if kind == "files" else str(house.ports["hall"])
        desk = {"asks_many": "lab", "pair_visits": "csc"}.get(kind, "desk")
        words += [hall, str(house.ports["web"]), str(house.ports[desk])]
        house.reactor.spawnProcess(self, words[0], words, env=None, path=str(ROOT))

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)

    def end(self) -> Deferred[None]:
        """End it."""
        self.transport.closeStdin()
        return self.ended


class Waits:
    """How long the daemon's main thread and this one were ready to run and did not, so far."""

    def __init__(self, house: House) -> None:
        pid = house.daemon.pid
        self._files = [Path("/proc/self/schedstat"), Path(f"/proc/{pid}/task/{pid}/schedstat")]

    def read(self) -> float:
        """In seconds; 0 where the system does not tell."""
        try:
            return sum(int(each.read_text().split()[1]) for each in self._files) / 1e9
        except OSError:
            return 0.0


class Probe:
    """Measures, from when it begins until it has sent its stops.

    :ivar wire: how long each command took, in seconds.
    :ivar stops: how long each stop took that was answered.
    """

    def __init__(self, house: House, stops: int, pause_between: float) -> None:
        self.house = house
        self.wire: list[float] = []
        self.stops: list[float] = []
        self._count = stops
        self._between = pause_between
        self._waits = Waits(house)
        self._goes_on = True

    async def run(self) -> None:
        """Send commands on the wire and stops over HTTP."""
        wire = Deferred.fromCoroutine(self._command())
        for _ in range(self._count):
            took = await self._timed(self._stop)
            if took is not None:
                self.stops.append(took)
            await pause(self.house.reactor, self._between)
        self._goes_on = False
        await wire

    async def _command(self) -> None:
        while self._goes_on:
            took = await self._timed(self._enable)
            if took is not None:
                self.wire.append(took)
            await pause(self.house.reactor, 0.01)

    async def _timed(self, what: Callable[[], Any]) -> float | None:
        reactor = self.house.reactor
        began, waited = reactor.seconds(), self._waits.read()
        if not await what():
            return None
        return max(0.0, float(reactor.seconds() - began) - (self._waits.read() - waited))

    async def _enable(self) -> bool:
        await self.house.desk.send_and_wait(self.house.setting.simple)
        return True

    async def _stop(self) -> bool:
        body = {"command": "BothAxesStop", "parameters": {}}
        try:
            status, _ = await self.house.web.post("/api/v1/commands?wait=ack", body)
        except Exception:  # refused, or cut off
            return False
        return status == 200

    def p99(self) -> float:
        """The time that 99 of 100 commands took at most on the wire, in seconds."""
        return quantiles(self.wire, n=100)[98] if len(self.wire) > 1 else float("inf")


def note(outcome: Outcome, probe: Probe, lost: int, stops: int) -> None:
    """Note the measured figures, and whether they meet the goals."""
    longest = max(probe.stops, default=float("inf"))
    for name, value in zip(MEASURED, (probe.p99() * 1000, longest * 1000, lost), strict=True):
        outcome.measured[name] = max(outcome.measured.get(name, 0), round(value))
    outcome.see(GOALS[0], probe.p99() <= WIRE_LIMIT)
    outcome.see(GOALS[1], longest <= STOP_LIMIT)
    outcome.see(GOALS[2], lost == 0)
    outcome.see("each stop answered", len(probe.stops) == stops)


def lost_rows(house: House, before: int) -> int:
    """How many commands that ended have no end in the journal, of those since there were `before`."""
    written = records.ended(house.journal)
    entries = itertools.islice(house.ledger.entries.values(), before, None)
    return sum(bool(entry.ends) and entry.id not in written for entry in entries)


async def flood(stage: Stage, times: int, kind: str) -> None:
    """Strangers flood the daemon while a commander works and a user with an open event stream stops."""
    house, stream = await open_house(stage, OLD_ROWS if kind == "queries" else 0)
    for _ in range(times):
        await one_flood(house, kind, STOPS)
    stream.close()
    # A line to clients that have ended their side shows that they are gone; the kernel asks after a minute.
    await house.desk.send_and_wait(house.setting.simple)
    await house.calm()


async def each_shortly(stage: Stage, times: int) -> None:
    """Each kind of flood for a moment: nothing is said of how long commands took."""
    house, stream = await open_house(stage, OLD_ROWS)
    for _ in range(times):
        for kind in KINDS:
            await one_flood(house, kind, 5)
    stream.close()
    await house.calm()


async def open_house(stage: Stage, rows: int) -> tuple[House, Stream]:
    """Open a house with the default bounds, and a user with an event stream."""
    house = await stage.house(
        rows=rows,
        absent_after=1.0,
        max_connections=256,
        max_connections_per_address=32,
        max_streams_per_user=16,
    )
    await house.web.get("/api/v1/messages?limit=1")
    await house.note()
    house.memory += MEMORY_ROOM
    house.files += (
        2  # of a file that it has open for writing, SQLite keeps closed descriptors to use them again
    )
    return house, await house.web.events()


async def one_flood(house: House, kind: str, stops: int) -> None:
    """Flood once."""
    house.outcome.inject()
    lines, entries = house.daemon.log.count("\n"), len(house.ledger.entries)
    kinds = TOGETHER if kind == "together" else (kind,)
    flooders = [Warnings(house) if each == "warnings" else Flooder(house, each) for each in kinds]
    await pause(house.reactor, 0.3)
    probe = Probe(house, stops, 0.05)
    await gatherResults([Deferred.fromCoroutine(probe.run()), Deferred.fromCoroutine(ask_shortly(house))])
    await gatherResults([flooder.end() for flooder in flooders])
    house.outcome.see("few log lines", house.daemon.log.count("\n") - lines <= LOG_LINES)
    await settle(house, entries)
    note(house.outcome, probe, lost_rows(house, entries), stops)


async def settle(house: House, before: int) -> None:
    """Give the journal's thread time to write its rows."""
    deadline = house.reactor.seconds() + 8.0
    while lost_rows(house, before) and house.reactor.seconds() < deadline:
        await pause(house.reactor, 0.1)


async def ask_shortly(house: House) -> None:
    """Another user asks for a part of the history meanwhile."""
    began = house.reactor.seconds()
    try:
        status, _ = await house.web.get("/api/v1/messages?limit=10")
    except Exception:  # refused, or cut off
        status = 0
    took = house.reactor.seconds() - began
    house.outcome.see(QUERIES, status == 200 and took < QUERY_LIMIT)


class Warnings:
    """The controller warns, 20 times a second, in many fields; event streams are open."""

    def __init__(self, house: House) -> None:
        self._goes_on = True
        warning = WarningReply(active=True, code=905, subsystem="900.1", extra_data=("",) * FIELDS)
        self._line = warning.encode()
        self._streams = gatherResults(
            [Deferred.fromCoroutine(house.web.events()) for _ in range(8)], consumeErrors=True
        )
        self._saying = Deferred.fromCoroutine(self._say(house))

    async def _say(self, house: House) -> None:
        streams = await self._streams
        while self._goes_on:
            writer = house.simulator.communicator.writer
            if writer is not None and writer.has_room:
                writer.send(self._line)
            await pause(house.reactor, 0.05)
        for stream in streams:
            stream.close()

    def end(self) -> Deferred[None]:
        """Warn no more."""
        self._goes_on = False
        return self._saying
