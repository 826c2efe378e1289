"""Faults between the daemon and the mount."""

from __future__ import annotations

import random
from typing import Any

from . import cable
from .house import House
from .ledger import Entry
from .stage import Stage
from .waits import SETTLED, pause

IN_FLIGHT = 20
"""How many commands are in flight when the link is lost."""

SLOW = 1.0
"""The speed of a mount in whose moves faults come, as a factor: that of the real one."""

FAR = 200.0
"""A position that the azimuth axis reaches only after the fault, in degrees."""

NOTICED = 5.0
"""How long the daemon may take to notice, in seconds."""


async def lose(house: House, cut: Any, restore: Any = lambda: None, noticed: float = 1.0) -> None:
    """Lose the link with commands in flight, and check their ends and the state of the link."""
    outcome = house.outcome
    entries: list[Entry] = await house.in_flight(IN_FLIGHT // 2)
    entries += await house.in_flight(IN_FLIGHT // 2, reply="done")  # acknowledged, and not done
    epoch = await house.epoch()
    house.simulator.faults.clear()
    await pause(house.reactor, SETTLED)
    outcome.inject()
    cut()
    took = await house.ends(entries, 2 * NOTICED)
    outcome.see("outcome unknown", all(entry.ended("outcome unknown") for entry in entries))
    outcome.see("dropped in 5 s", took <= noticed)
    restore()
    await house.linked()
    is_next = await house.epoch() == epoch + 1
    outcome.see("up again by itself", is_next and await house.answers())
    outcome.figures["reconnections"] += 1
    await house.calm()


async def resets(stage: Stage, times: int) -> None:
    """Both connections are reset."""
    house = await stage.house()
    for _ in range(times):
        await lose(house, house.mount.reset)


async def closes(stage: Stage, times: int) -> None:
    """Both connections are closed in order."""
    house = await stage.house()

    for _ in range(times):
        await lose(house, house.mount.close)


async def one_of_two(stage: Stage, times: int) -> None:
    """One connection of the pair is reset, in turn the one for commands and the one for replies."""
    house = await stage.house()
    for number in range(times):
        one, other = house.mount.proxies[:: -1 if number % 2 else 1]
        accepted = other.accepted
        await lose(house, one.reset)
        house.outcome.see("both dropped", other.accepted == accepted + 1)


async def cut_cable(stage: Stage, times: int) -> None:
    """Nothing comes back any more, not even that a packet came; the daemon's sends one more command."""
    house = await stage.house(ack_timeout=20.0)

    def cut() -> None:
        for proxy in house.mount.proxies:
            cable.cut(proxy)

    for _ in range(times):
        await lose(house, cut, house.mount.reset, NOTICED)


async def mid_move(stage: Stage, times: int) -> None:
    """Both directions are reset while the azimuth axis moves; the mount moves on, and its end comes late."""
    house = await stage.house(speed=SLOW)
    outcome = house.outcome
    for number in range(times):
        epoch, way = await house.epoch(), -FAR if number % 2 else FAR
        await house.ready()  # without the link for 5 s, the mount has missed the heartbeat
        move = house.desk.send(house.setting.move, position=way)
        await house.arrive([move])
        await pause(house.reactor, SETTLED)
        outcome.inject()
        house.mount.reset()
        await house.ends([move])
        outcome.see("outcome unknown", move.ended("outcome unknown"))
        await house.linked()
        outcome.see("up again by itself", await house.epoch() == epoch + 1)
        outcome.figures["reconnections"] += 1
        back = house.desk.send(house.setting.move, position=-way)
        await house.arrive([back])
        stop = house.desk.send(house.setting.stop)
        await house.ends([stop, back])
        stopped = stop.ended("done") and len(back.ends) == 1 and not back.ended("done")
        outcome.see("stopped, once", stopped)
        await house.calm()


async def silent(stage: Stage, times: int) -> None:
    """Both connections stay, and nothing passes: the far kernel answers, and its program does not."""
    house = await stage.house(ack_timeout=1.0)
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        house.mount.network.set(hang=True)
        entries = [house.desk.send(house.setting.simple) for _ in range(IN_FLIGHT)]
        await house.ends(entries)
        outcome.see("timed out", all(entry.ended("timed out") for entry in entries))
        house.mount.network.clear()
        outcome.see("goes on", await house.answers())
        await house.calm()


async def slow(stage: Stage, times: int) -> None:
    """Let every network be late and slow, and deliver data in pieces of a few bytes."""
    house = await stage.house()
    chance = random.Random(6)
    for _ in range(times):
        house.outcome.inject()
        bad = {"latency": 0.02, "slices": chance.randrange(1, 30), "bandwidth": 100_000.0}
        for network in (house.mount.network, house.csc.network, house.desk_proxy):
            network.set(**bad)
        simple, stop = house.setting.simple, house.setting.stop
        entries = [sender.send(kind) for sender, kind in ((house.desk, simple), (house.csc, stop)) * 20]
        await house.ends(entries, 30.0)
        house.outcome.see("one end each", not any(entry.orphan for entry in entries))
        for network in (house.mount.network, house.csc.network, house.desk_proxy):
            network.clear()
        await house.calm()
