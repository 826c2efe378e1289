"""Faults of the daemon itself: signals, clocks, and errors in its own code."""

from __future__ import annotations

import signal

from mtmount_twisted.commands import SafetyReset
from mtmount_twisted.simulator.faults import Fault

from . import records
from .clients import Observer, connect
from .house import House
from .launcher import HOUR
from .ledger import Entry
from .stage import Stage
from .waits import pause, until

DRAIN = 5.0
"""Time in seconds for the end of commands in flight after the daemon got the signal to end."""

PAUSE = 15.0
"""How long the daemon is paused, in seconds: ten times as long as it waits for an Ack."""

CLEAN = (0, -signal.SIGTERM)
"""Its exit status: once all is closed, ``twistd`` ends itself with the signal that it got."""

BROKEN = "RuntimeError: chaos: broken on purpose"


async def clock_steps(stage: Stage, times: int) -> None:
    """The wall clock goes an hour ahead, or back, while one command is late and another never answered."""
    house = await stage.house(ack_timeout=1.5)
    outcome = house.outcome
    for number in range(times):
        never = await house.in_flight(1, count=1)
        house.simulator.faults.add(Fault("late", seconds=0.5, count=1))
        late = [house.desk.send(house.setting.simple)]
        await house.arrive(late)
        outcome.inject()
        house.daemon.signal("URG" if number % 2 else "WINCH")
        took = [await house.ends(late), await house.ends(never)]
        outcome.see("deadlines hold", 0.2 < took[0] < 1.0 and 0.5 < took[1] < 2.5)
        outcome.see("replies hold", late[0].ended("done") and never[0].ended("timed out"))
        outcome.see("goes on", await house.answers() and house.hall.is_open)
        await house.calm()
    if times % 2:
        house.daemon.signal("URG")
    span = records.count(house.journal, "SELECT max(time) - min(time) FROM step")
    if span < HOUR:
        outcome.problems.append("no time stamp was an hour ahead")


async def paused(stage: Stage, times: int) -> None:
    """SIGSTOP for 15 s, while the mount finishes 20 commands and never answers one."""
    house = await stage.house(ack_timeout=1.5, lease_grace=2.0)
    outcome, house.paused = house.outcome, True
    for _ in range(times):
        never = await house.in_flight(1, count=1)
        house.simulator.faults.add(Fault("late", seconds=0.7, count=20))
        late = [house.desk.send(house.setting.simple) for _ in range(20)]
        await house.arrive(late)
        outcome.inject()
        house.daemon.signal("STOP")
        await pause(house.reactor, PAUSE)
        house.daemon.signal("CONT")
        await house.ends(late + never)
        outcome.see("done, not timed out", all(entry.ended("done") for entry in late))
        outcome.see("the others timed out", all(entry.ended("timed out") for entry in never))
        connected = house.desk.is_open and house.hall.is_open and house.csc.pair.connected
        outcome.see("goes on", connected and await house.answers())
        await house.calm()


async def _in_flight(house: House) -> tuple[list[Entry], list[Entry]]:
    """Commands that will be done in a second, and commands that never will be."""
    never = await house.in_flight(10, count=10)
    house.simulator.faults.add(Fault("late", seconds=1.0))
    late = [house.desk.send(house.setting.simple) for _ in range(10)]
    await house.arrive(late)
    house.simulator.faults.clear()
    return late, never


async def told_to_end(stage: Stage, times: int) -> None:
    """SIGTERM with 20 commands in flight, 10 of which are done a second later."""
    house = await stage.house(ack_timeout=20.0)
    outcome = house.outcome
    for _ in range(times):
        late, never = await _in_flight(house)
        outcome.inject()
        took = await house.daemon.end("TERM")
        await house.desk.closed(house.reactor)  # what it was told last may still be on its way to it
        outcome.see("drained", all(entry.ended("done") for entry in late))
        outcome.see("rest unknown", all(entry.ended("outcome unknown") for entry in never))
        outcome.see("ends in 6 s", took < DRAIN + 1.0 and house.daemon.exit in CLEAN)
        await house.start()
        await house.join()


async def told_twice(stage: Stage, times: int) -> None:
    """SIGTERM with commands in flight, and another one."""
    house = await stage.house(ack_timeout=20.0)
    outcome = house.outcome
    for _ in range(times):
        entries = [entry for entries in await _in_flight(house) for entry in entries]
        outcome.inject()
        house.daemon.signal("TERM")
        await pause(house.reactor, 0.3)
        outcome.see("waits for them", house.daemon.exit is None)
        took = await house.daemon.end("TERM")
        await house.desk.closed(house.reactor)  # what it was told last may still be on its way to it
        outcome.see("then ends at once", took < 1.5 and house.daemon.exit in CLEAN)
        outcome.see("outcome unknown", all(entry.ended("outcome unknown") for entry in entries))
        await house.start()
        await house.join()


async def told_to_reload(stage: Stage, times: int) -> None:
    """SIGHUP: an observers' port goes and another comes; then a file that is wrong; then all back."""
    house = await stage.house()
    outcome, old = house.outcome, house.config.read_text()
    port = house.ports["hall"]
    [other] = house.more_ports(1)
    for number in range(times):
        epoch = (await house.web.state())["controller"]["epoch"]
        outcome.inject()
        house.config.write_text(old.replace(f"tcp:{port}:", f"tcp:{other}:").replace('"hall"', '"night"'))
        house.daemon.signal("HUP")
        await house.hall.closed(house.reactor)
        await house.daemon.said("now serving .*port night", times=number + 1)
        house.hall = await connect(house.reactor, other, Observer)
        outcome.see("one port closes, one opens")
        house.config.write_text(old + "\n[controller]\nthis is wrong\n")
        house.daemon.signal("HUP")
        await pause(house.reactor, 0.5)
        outcome.see(
            "bad file refused", house.hall.is_open and house.daemon.says("not TOML|expected") > number
        )
        state = await house.web.state()
        untouched = state["controller"]["epoch"] == epoch and house.desk.is_open
        outcome.see("link untouched", untouched and await house.answers())
        house.config.write_text(old)
        house.daemon.signal("HUP")
        await house.hall.closed(house.reactor)
        await house.daemon.said("now serving .*port hall", times=number + 1)
        house.hall = await connect(house.reactor, port, Observer)
        await house.calm()


async def code_raises(stage: Stage, times: int) -> None:
    """The handler of a command raises, in turn for a client of a port and for the pair."""
    house = await stage.house(CHAOS_RAISE="bridge")
    outcome = house.outcome
    for number in range(times):
        visitor = await house.visit()
        outcome.inject()
        if number % 2:
            entry = house.csc.send(SafetyReset)
            await until(house.reactor, lambda: not house.csc.pair.connected, "its connections are closed")
            await until(house.reactor, lambda: house.csc.pair.connected, "the pair is back")
        else:
            entry = visitor.send(SafetyReset)
            await visitor.closed(house.reactor)
        others = house.desk.is_open and house.hall.is_open and visitor.is_open == bool(number % 2)
        outcome.see("that connection only", others and await house.answers())
        await house.daemon.said(BROKEN, times=number + 1)
        outcome.see("traceback in the log", house.daemon.says(BROKEN) == number + 1)
        outcome.see("not executed", not house.ledger.arrived[entry.id])
        visitor.transport.abortConnection()
        await house.calm()


async def web_raises(stage: Stage, times: int) -> None:
    """The handler of a request raises."""
    house = await stage.house(CHAOS_RAISE="web")
    outcome = house.outcome
    for number in range(times):
        outcome.inject()
        status, body = await house.web.get("/api/v1/lease")
        outcome.see("500 without details", status == 500 and b"purpose" not in body)
        await house.daemon.said(BROKEN, times=number + 1)
        outcome.see("traceback in the log", house.daemon.says(BROKEN) == number + 1)
        outcome.see("the others go on", await house.answers())
        await house.calm()
