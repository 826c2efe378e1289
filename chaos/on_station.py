"""Faults of the message broker and of the process that publishes to it: the commander notices nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from mtmount_twisted.station.contracts import Stored
from mtmount_twisted.station.journal_file import JournalFile
from mtmount_twisted.station.nats_engine import NatsEngine
from mtmount_twisted.station.requester import Requester
from mtmount_twisted.station.requests import Subjects, Wanted, request_body
from mtmount_twisted.station.streams import commands_name
from mtmount_twisted.station.waits import pause as asleep
from tests.support.broker import Broker, in_time

from .house import House
from .process import Daemon
from .stage import Stage
from .waits import pause, until

HANGS = 6.0
"""Seconds for which the broker hangs: longer than the child waits for a confirmation."""

FLOOD = """
import os, sys
if "mtmount_twisted.station" in sys.orig_argv and os.path.exists({flag!r}):
    os.unlink({flag!r})
    while True:
        os.write(3, b"x" * 65536)
"""
"""What a child does that floods, before its first line of our own."""

DEATH = """
import os, sys
if "mtmount_twisted.station" in sys.orig_argv:
    from mtmount_twisted.station import desk

    def reached(point):
        try:
            os.unlink(os.path.join({folder!r}, "die at " + point))
        except FileNotFoundError:
            return
        os.kill(os.getpid(), 9)

    desk.reached = reached
"""
"""What a child does that is to die at a point of its desk."""

DEATHS = {
    "requested": "done",
    "claimed": "outcome_unknown",
    "handed over": "done",
    "ended": "done",
    "written": "done",
}
"""The points, and the outcome of the command: the daemon lives on, and knows what was handed over."""

OLD_REQUESTS = 10_000


class _Reader:
    """Reads the ids of all events up to a position."""

    def __init__(self, last: int) -> None:
        self.ids: list[int] = []
        self.done = asyncio.Event()
        self._last = last

    async def received(self, message: Stored) -> None:
        self.ids.append(int(json.loads(message.body)["id"].rpartition(".")[2]))
        if message.position >= self._last:
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        raise AssertionError(f"a gap from {first} to {last}")


def published(broker: Broker) -> list[int]:
    """Return the ids of the rows at the broker, in the order of the stream."""

    async def read() -> list[int]:
        engine = NatsEngine([broker.url], [])
        engine.start()
        await engine.wait_connected()
        log = engine.log("MT_EV")
        last = await log.last("mt.t1.a.>")
        if last is None:
            return []
        reader = _Reader(last.position)
        await log.read("mt.t1.a.>", 1, reader)
        await reader.done.wait()
        await engine.close()
        return reader.ids

    return in_time(read())


async def _house(stage: Stage, broker: Broker, **options: Any) -> House:
    house = await stage.house(broker=broker.url, **options)
    await house.daemon.said("the broker is connected", 30.0)
    return house


async def _is_complete(house: House, broker: Broker) -> bool:
    """Wait until nothing waits for the broker. Return True if it has each row of the journal, once and in
    order."""
    deadline = house.reactor.seconds() + 40.0
    while not await house.web.figure_now("broker_up") or await house.web.figure_now("broker_lag_events"):
        if house.reactor.seconds() > deadline:
            house.outcome.problems.append("events wait for the broker")
            return False
        await pause(house.reactor, 0.1)
    found = await deferToThread(published, broker)
    file = JournalFile(house.journal)
    rows = [entry.id for entry in file.rows(0, found[-1])]
    file.close()
    if found != rows:
        missing, doubled = set(rows) - set(found), len(found) - len(set(found))
        house.outcome.problems.append(f"events: {len(missing)} missing, {doubled} doubled")
    return found == rows


def child_of(daemon: Daemon) -> int:
    """Return the number of the child's process; 0 if there is none now."""
    pid = daemon.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else 0


async def broker_killed(stage: Stage, times: int) -> None:
    """``kill -9`` of the broker, which is back after 2 s."""
    broker = Broker()
    try:
        house = await _house(stage, broker)
        for _ in range(times):
            await house.goes_on(0.5)
            house.outcome.inject()
            broker.kill()
            house.outcome.see("commanding goes on", await house.goes_on(2.0))
            broker.start()
            house.outcome.see("events complete", await _is_complete(house, broker))
            house.outcome.see("goes on", await house.answers())
    finally:
        broker.close()


async def broker_loses_tail(stage: Stage, times: int) -> None:
    """The broker is restarted with what it had stored some seconds before."""
    broker = Broker()
    try:
        house = await _house(stage, broker)
        for _ in range(times):
            await _is_complete(house, broker)
            copy = broker.keep()
            await house.goes_on(1.0)
            house.outcome.inject()
            broker.restart_with(copy)
            house.outcome.see("commanding goes on", await house.goes_on(1.0))
            house.outcome.see("events complete", await _is_complete(house, broker))
            house.outcome.see("goes on", await house.answers())
    finally:
        broker.close()


async def broker_hangs(stage: Stage, times: int) -> None:
    """The broker is stopped for some seconds."""
    broker = Broker()
    try:
        house = await _house(stage, broker)
        for _ in range(times):
            house.outcome.inject()
            broker.signal(signal.SIGSTOP)
            house.outcome.see("commanding goes on", await house.goes_on(HANGS))
            broker.signal(signal.SIGCONT)
            house.outcome.see("events complete", await _is_complete(house, broker))
            house.outcome.see("goes on", await house.answers())
    finally:
        broker.signal(signal.SIGCONT)
        broker.close()


async def _restarts(house: House) -> float:
    return await house.web.figure_now("station_restarts_total")


async def _restarted(house: House, before: float) -> None:
    """Wait for a restart; the log has a line only once a minute."""
    deadline = house.reactor.seconds() + 40.0
    while await _restarts(house) <= before and house.reactor.seconds() < deadline:
        await pause(house.reactor, 0.1)


async def _harmed(stage: Stage, times: int, number: int, why: str) -> None:
    """Send the child a signal; it ends, and the next one publishes the rest."""
    broker = Broker()
    try:
        house = await _house(stage, broker)
        for _ in range(times):
            await until(house.reactor, lambda: child_of(house.daemon), "the child runs", 40.0)
            await _is_complete(house, broker)
            house.outcome.inject()
            before = await _restarts(house)
            os.kill(child_of(house.daemon), number)
            house.outcome.see("commanding goes on", await house.goes_on(2.0))
            await _restarted(house, before)
            house.outcome.see("events complete", await _is_complete(house, broker))
            house.outcome.see("goes on", await house.answers())
        await house.daemon.said(f"station: the process .* has ended: {why}")
    finally:
        broker.close()


async def child_killed(stage: Stage, times: int) -> None:
    """``kill -9`` of the child."""
    await _harmed(stage, times, signal.SIGKILL, "it ended with signal SIGKILL")


async def child_stopped(stage: Stage, times: int) -> None:
    """The child is stopped, and stays so."""
    await _harmed(stage, times, signal.SIGSTOP, "it does not answer")


async def child_floods(stage: Stage, times: int) -> None:
    """The next child writes to the daemon without end."""
    broker = Broker()
    flag = stage.folder / "flood"
    (stage.folder / "sitecustomize.py").write_text(FLOOD.format(flag=str(flag)))
    path = f"{stage.folder}:{Path(__file__).resolve().parent.parent}"
    try:
        house = await _house(stage, broker, PYTHONPATH=path)
        for _ in range(times):
            await until(house.reactor, lambda: child_of(house.daemon), "the child runs", 40.0)
            await _is_complete(house, broker)
            house.outcome.inject()
            before = await _restarts(house)
            flag.touch()
            os.kill(child_of(house.daemon), signal.SIGKILL)
            house.outcome.see("commanding goes on", await house.goes_on(2.0))
            await _restarted(house, before + 1)  # the child that was killed, and the one that floods
            house.outcome.see("killed", not flag.exists())
            await until(house.reactor, lambda: child_of(house.daemon), "a child runs again", 40.0)
            house.outcome.see("events complete", await _is_complete(house, broker))
            house.outcome.see("goes on", await house.answers())
    finally:
        broker.close()


def _commanded(url: str, power: str, flag: Path) -> str:
    """Let a user take command, and send a command whose child dies; return the outcome."""

    async def run() -> str:
        async with Requester([url], "t1", "night") as requester:
            await requester.command("AskForCommand", {"commander": "CSC"})
            flag.touch()
            outcome = await requester.command(power, {"on": True})
            await requester.command("AskForCommand", {"commander": "NONE"})
            return str(outcome.state)

    return in_time(run())


def _sent(broker: Broker) -> int:
    """Return how many commands of the user the bridge has sent to the mount."""

    async def run() -> int:
        engine = NatsEngine([broker.url], [])
        engine.start()
        await engine.wait_connected()
        info = await engine.connection().ask("STREAM.INFO.MT_EV")
        events = _Steps(int(info["state"]["last_seq"]))
        await engine.log("MT_EV").read("mt.t1.a.ev.>", 1, events)
        await events.done.wait()
        await engine.close()
        return events.sent

    return in_time(run())


class _Steps:
    """Counts the commands of a user that were sent, up to a position."""

    def __init__(self, last: int) -> None:
        self.sent = 0
        self.done = asyncio.Event()
        self._last = last

    async def received(self, message: Stored) -> None:
        data = json.loads(message.body)["data"]
        self.sent += (data["type"], data.get("step"), data["peer"]) == ("step", "sent", "broker/night")
        if message.position >= self._last:
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        raise AssertionError(f"a gap from {first} to {last}")


async def desk_dies(stage: Stage, times: int) -> None:
    """The child dies at each point of a command by the broker."""
    broker = Broker()
    (stage.folder / "sitecustomize.py").write_text(DEATH.format(folder=str(stage.folder)))
    path = f"{stage.folder}:{Path(__file__).resolve().parent.parent}"
    try:
        house = await _house(stage, broker, commands=True, PYTHONPATH=path)
        power = house.setting.power.__name__
        expected = 0
        for point, state in [each for _ in range(times) for each in DEATHS.items()]:
            await until(house.reactor, lambda: child_of(house.daemon), "the child runs", 40.0)
            await _is_complete(house, broker)
            house.outcome.inject()
            flag = stage.folder / f"die at {point}"
            found = await deferToThread(_commanded, broker.url, power, flag)
            if found != state:
                house.outcome.problems.append(f"{point}: {found}, not {state}")
            house.outcome.see("one outcome", found == state and not flag.exists())
            await _is_complete(house, broker)
            expected += state == "done"
            house.outcome.see("sent once", await deferToThread(_sent, broker) == expected)
            await house.take()
            house.outcome.see("goes on", await house.answers())
    finally:
        broker.close()


def _old_requests(url: str, power: str) -> float:
    """Send many requests that are too old at once, and a stop of another user; return its time in s."""

    async def run() -> float:
        engine = NatsEngine([url], [])
        engine.start()
        await engine.wait_connected()
        log, subjects = engine.log(commands_name("night")), Subjects("t1")
        wanted = Wanted(power, {"on": True}, expires_s=1e-6)
        mark, already = time.time_ns(), await _lives(engine)
        sent = [
            await log.send(subjects.request("night", id), request_body("night", id, wanted), after=0)
            for id in (f"{mark}-{number}" for number in range(OLD_REQUESTS))
        ]
        begin = time.perf_counter()
        async with Requester([url], "t1", "day") as requester:
            outcome = await requester.command("BothAxesStop")
        took = time.perf_counter() - begin
        if outcome.state != "done":
            raise AssertionError(f"the stop is not done: {outcome}")
        await asyncio.gather(*sent)
        while await _lives(engine) < already + OLD_REQUESTS:
            await asleep(0.1)
        await engine.close()
        return took

    return in_time(run())


async def _lives(engine: NatsEngine) -> int:
    """Return the number of requests of the user that have an outcome."""
    question = {"subjects_filter": "mt.t1.cmd.life.night.>"}
    found = await engine.connection().ask("STREAM.INFO.MT_CMD_night", question)
    return len(found["state"].get("subjects") or {})


async def old_requests(stage: Stage, times: int) -> None:
    """Many requests of a user that are too old, all at once."""
    broker = Broker()
    try:
        house = await _house(stage, broker, commands=True)
        power = house.setting.power.__name__
        for _ in range(times):
            house.outcome.inject()
            flood = deferToThread(_old_requests, broker.url, power)
            house.outcome.see("commanding goes on", await house.goes_on(3.0))
            took = await flood
            house.outcome.see("stop of another user", took < 2.0)
            house.outcome.see("goes on", await house.answers())
    finally:
        broker.close()
