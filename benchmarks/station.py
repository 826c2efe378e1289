"""Publishing to a message broker: the round trip beside it, the catching up, its readers, and memory.

The broker is a real one on this machine, and shares its cores with the daemon, the child, the mount and the
commander. A round trip makes some ten rows of the journal, so 100 of them in a second are 1,000 rows.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mtmount_twisted.journal.recorder import Waiting, Writer
from mtmount_twisted.journal.writer import JournalWriter
from mtmount_twisted.records import CommandRecord, LineRecord
from mtmount_twisted.station.contracts import Stored
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.journal_file import JournalFile
from mtmount_twisted.station.nats_engine import NatsEngine
from mtmount_twisted.station.outbox import Outbox
from mtmount_twisted.station.requester import Requester
from mtmount_twisted.station.streams import commands_name, events_stream
from tests.support.broker import Broker

from . import standby
from .bridge import RawCommander, Takes, Values, figures, joined
from .bridge_stage import Child, Daemon, busy
from .round_trip import quantile
from .runner import Case, Goal, Run
from .starting import memory

SECONDS, TRIP_RATE = 3, 100
"""How long the load lasts, and the round trips in a second."""

ROWS = 30_000
"""The rows that a broker has missed, for the catching up."""

OUTAGE = 20.0
"""How long the broker is away, in seconds."""

READERS = (1, 20)

COMMANDS = 30
"""The commands by the broker, and the writes, of which the middle one counts."""

PACE = 0.05
"""The time from one of them to the next, in seconds: each command makes some ten events."""

SOURCE = Source("t1", "a")


class PacedCommander(RawCommander):
    """A commander whose round trips begin at a fixed rate."""

    async def trip(self) -> list[float]:
        times = []
        begin = time.perf_counter()
        for number in range(SECONDS * TRIP_RATE):
            time.sleep(max(0.0, begin + number / TRIP_RATE - time.perf_counter()))
            times.append(self.trip_once())
        return times


async def _trip(commander: PacedCommander) -> Values:
    times = await commander.trip()
    return {"p50": quantile(times, 0.5), "p99": quantile(times, 0.99)}


async def _settle(broker: Broker, daemon: Daemon) -> None:
    """Wait until the child of a daemon publishes."""
    end = time.perf_counter() + 60
    while time.perf_counter() < end:
        time.sleep(0.2)
        if daemon.child() and await _last(broker.url) is not None:
            return
    raise TimeoutError("nothing is published")


async def _last(url: str) -> Stored | None:
    engine = NatsEngine([url], [events_stream(1)])
    engine.start()
    await engine.wait_connected()
    try:
        return await engine.log("MT_EV").last("mt.t1.>")
    finally:
        await engine.close()


async def round_trips(run: Run, folder: str, broker: Broker) -> None:
    """A command and its Ack while 1,000 rows/s are published, and without a station."""
    with ExitStack() as stack:
        takes: dict[str, Takes] = {}
        commanders = []
        for subject, kind in (("no station", "journal"), ("station", "station")):
            commander = PacedCommander()
            commanders.append(commander)
            place = str(Path(folder, kind))
            Path(place).mkdir()
            daemon = await joined(stack, kind, "raw mount", commander, place, broker.url)
            if kind == "station":
                await in_thread(_settle, broker, daemon)
            takes[subject] = Takes(partial(_trip, commander))
        title = "round trip, 1,000 rows/s"
        wanted = [
            ("p50", f"{title}, p50", "µs", (Goal("no station", "at most", 1.1, "station"),)),
            ("p99", f"{title}, p99", "µs", (Goal("no station", "at most", 1.3, "station"),)),
        ]
        await figures(run, takes, wanted, 5, "station")
    for commander in commanders:
        await commander.close()


async def in_thread(work: Any, *arguments: Any) -> Any:
    """Run a coroutine function on asyncio, outside the loop of this process."""
    from twisted.internet.threads import deferToThread

    return await deferToThread(lambda: asyncio.run(work(*arguments)))


def fill(path: Path, rows: int) -> int:
    """Write a journal of so many rows, and return the id of the last one."""
    waiting = Waiting(lambda: None)
    keeper = JournalWriter(path, lambda *line: None, waiting.number)
    writer = Writer(waiting, keeper)
    for number in range(rows):
        now = time.time()
        line = b"%d\n101\n1\n2026-11-22T16:04:03.000\n10.0" % (number + 1)
        if number % 2:
            waiting.keep(LineRecord(now, 1, "csc", "from", line, 101, number + 1))
        else:
            waiting.keep(CommandRecord(now, 1, "csc", "received", number, 101, number, 1, ""))
    while waiting.pending:
        writer.turn()
    last = (keeper.base or 0) + writer.settled.number
    keeper.close()
    return last


async def _publish(url: str, path: Path, last: int, mount: str) -> float:
    """Publish a whole journal, and return the time for a row in µs."""
    engine = NatsEngine([url], [events_stream(1)])
    engine.start()
    await engine.wait_connected()
    outbox = Outbox(
        engine, engine.log("MT_EV"), JournalFile(path), Source(mount, "a"), 256, lambda level, text: None
    )
    outbox.settle(last)
    begin = time.perf_counter()
    task = asyncio.create_task(outbox.run())
    while not outbox.is_done:
        await asyncio.sleep(0.01)
    took = time.perf_counter() - begin
    task.cancel()
    await engine.close()
    return took / ROWS * 1e6


async def catching_up(run: Run, folder: str, broker: Broker) -> None:
    """The time for a row of a journal that the broker has missed, against 1,000 rows/s."""
    path = Path(folder, "missed.sqlite")
    last = fill(path, ROWS)
    mounts = iter(range(1000))

    async def missed() -> float:
        return float(await in_thread(_publish, broker.url, path, last, f"c{next(mounts)}"))

    subjects = {"catching up": missed, "1,000 rows/s": lambda: 1000.0}
    goal = Goal("1,000 rows/s", "times faster, at least", 10, "catching up")
    await run.measure(Case("station", "a row that the broker has missed", "µs", subjects, (goal,), 3))


@dataclass
class _Load:
    """A daemon with a station and a load, and readers."""

    daemon: Daemon
    commander: PacedCommander
    broker: Broker

    async def cost(self, readers: int) -> float:
        """The processor time of the daemon and the child while so many readers read, in ms for a second."""
        with Child("station_readers", self.broker.url, readers) as reading:
            reading.answer()
            pids = [self.daemon.process.pid, self.daemon.child()]
            before = sum(map(busy, pids))
            await self.commander.trip()
            return (sum(map(busy, pids)) - before) / SECONDS * 1000


async def readers(run: Run, folder: str, broker: Broker) -> None:
    """What further readers cost the bridge."""
    with ExitStack() as stack:
        commander = PacedCommander()
        place = Path(folder, "readers")
        place.mkdir()
        daemon = await joined(stack, "station", "raw mount", commander, str(place), broker.url)
        await in_thread(_settle, broker, daemon)
        load = _Load(daemon, commander, broker)
        subjects = {f"{number} readers": partial(load.cost, number) for number in READERS}
        one, many = subjects
        goal = Goal(one, "at most", 1.05, many)
        name = "1,000 rows/s, the bridge and its child busy"
        await run.measure(Case("station", name, "ms/s", subjects, (goal,), 5))
    await commander.close()


async def _write(url: str) -> float:
    """Return the time of a confirmed write, p50, in s."""
    engine = NatsEngine([url], [])
    engine.start()
    await engine.wait_connected()
    log, times = engine.log(commands_name("night")), []
    for number in range(COMMANDS):
        await asyncio.sleep(PACE)
        key = f"mt.t2.cmd.req.night.{time.time_ns()}-{number}"
        begin = time.perf_counter()
        await log.append(key, b"x" * 300, after=0)
        times.append(time.perf_counter() - begin)
    await engine.close()
    return quantile(times, 0.5)


async def _command(url: str) -> float:
    """Return the time from a request to its outcome, p50, in s."""
    times = []
    async with Requester([url], "t1", "night") as requester:
        await requester.wait_connected(60.0)
        for _ in range(COMMANDS):
            await asyncio.sleep(PACE)
            begin = time.perf_counter()
            outcome = await requester.command("AskForCommand", {"commander": "CSC"})
            times.append(time.perf_counter() - begin)
            if outcome.state != "done":
                raise RuntimeError(f"not done: {outcome}")
    return quantile(times, 0.5)


async def commands(run: Run, folder: str) -> None:
    """A command by the broker, against a confirmed write; each write reaches the disk, as a site sets it."""
    broker = Broker(syncs=True)
    try:
        with ExitStack() as stack:
            commander = PacedCommander()
            place = Path(folder, "commands")
            place.mkdir()
            daemon = await joined(stack, "desk", "raw mount", commander, str(place), broker.url)
            await in_thread(_settle, broker, daemon)
            subjects = {
                "one confirmed write": partial(in_thread, _write, broker.url),
                "request to outcome": partial(in_thread, _command, broker.url),
            }
            goal = Goal("one confirmed write", "at most", 4, "request to outcome")
            name = "a command by the broker, p50"
            await run.measure(Case("station", name, "µs", subjects, (goal,), 5))
        await commander.close()
    finally:
        broker.close()


CONFIG = """
[[pair]]
name = "csc"
command_port = 0
reply_port = 1
[journal]
path = "{journal}"
[web]
enabled = false
"""

STATION = """
[station]
mount = "t1"
node = "m"
[station.broker]
servers = ["{url}"]
"""


async def idle_memory(run: Run, folder: str, broker: Broker) -> None:
    """The memory of the daemon alone; that of the child is its own."""
    daemons = {}
    for subject, text in (("no station", CONFIG), ("station", CONFIG + STATION)):
        path = Path(folder, f"{subject}.toml")
        path.write_text(text.format(journal=Path(folder, f"{subject}.sqlite"), url=broker.url))
        word = "the broker is connected" if text != CONFIG else "the controller is connected"
        daemons[subject] = partial(memory, ["mtmount-bridge", "--config", str(path)], word)
    goal = Goal("no station", "more, at most", 4, "station")
    await run.measure(Case("station", "idle memory", "MiB", daemons, (goal,), 3))


class _Collector:
    def __init__(self, last: int) -> None:
        self.ids: list[str] = []
        self.done = asyncio.Event()
        self._last = last

    async def received(self, message: Stored) -> None:
        self.ids.append(json.loads(message.body)["id"])
        if message.position >= self._last:
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        raise RuntimeError(f"a gap from {first} to {last}")


async def _faults(url: str, path: Path) -> float:
    """Count the rows that are missing, and those that are there twice, once the last row is there."""
    file = JournalFile(path)
    last_row = file.first_and_last()[1]
    engine = NatsEngine([url], [])
    engine.start()
    await engine.wait_connected()
    log = engine.log("MT_EV")
    while True:
        last = await log.last("mt.t1.a.>")
        if last is not None and json.loads(last.body)["id"].endswith(f".{last_row}"):
            break
        await asyncio.sleep(0.1)
    collector = _Collector(last.position)
    await log.read("mt.t1.a.>", 1, collector)
    await collector.done.wait()
    await engine.close()
    rows = {f"{entry.run}.{entry.id}" for entry in file.rows(0, last_row)}
    file.close()
    ids = collector.ids
    return float(len(rows - set(ids)) + len(ids) - len(set(ids)))


async def resuming(run: Run, folder: str) -> None:
    """A broker that is away for a while: the events that are missing or doubled afterwards."""
    broker = Broker()
    try:
        with ExitStack() as stack:
            commander = PacedCommander()
            place = Path(folder, "resuming")
            place.mkdir()
            daemon = await joined(stack, "station", "raw mount", commander, str(place), broker.url)
            await in_thread(_settle, broker, daemon)

            async def outage() -> float:
                await commander.trip()
                broker.kill()
                end = time.perf_counter() + OUTAGE
                while time.perf_counter() < end:
                    await commander.trip()
                broker.start()
                await commander.trip()
                time.sleep(0.5)  # until the journal's file has the last rows
                return float(await in_thread(_faults, broker.url, place / "raw mount.sqlite"))

            goal = Goal("station", "by itself, at most", 0, "station")
            name = f"missing or doubled after {OUTAGE:g} s without the broker"
            await run.measure(Case("station", name, "events", {"station": outage}, (goal,), 2, False))
        await commander.close()
    finally:
        broker.close()


async def measure(run: Run, reactor: Any) -> None:
    """Measure what a station costs."""
    broker = Broker()
    try:
        with tempfile.TemporaryDirectory() as folder:
            await round_trips(run, folder, broker)
            await catching_up(run, folder, broker)
            await readers(run, folder, broker)
            await idle_memory(run, folder, broker)
            await resuming(run, folder)
            await commands(run, folder)
            await standby.measure(run, reactor, folder)
    finally:
        broker.close()
