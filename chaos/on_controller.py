"""Faults between the daemon and the mount."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from mtmount_twisted.commands import BothAxesStop, Enable
from mtmount_twisted.testing import ChaosPair

from . import cable
from .house import House
from .ledger import Entry
from .stage import Stage
from .waits import SETTLED, pause

IN_FLIGHT = 20
"""How many commands are in flight when the link is lost."""

NOTICED = 5.0
"""How long the daemon may take to notice, in seconds."""


async def _lose(house: House, lose: Any, restore: Any = lambda: None, noticed: float = 1.0) -> None:
    """Lose the link with commands in flight, and check their ends and the state of the link."""
    outcome = house.outcome
    entries: list[Entry] = await house.in_flight(IN_FLIGHT // 2)
    entries += await house.in_flight(IN_FLIGHT // 2, reply="done")  # acknowledged, and not done
    epoch = (await house.web.state())["controller"]["epoch"]
    house.simulator.faults.clear()
    await pause(house.reactor, SETTLED)
    outcome.inject()
    lose()
    took = await house.ends(entries, 2 * NOTICED)
    outcome.see("outcome unknown", all(entry.ended("outcome unknown") for entry in entries))
    outcome.see("dropped in 5 s", took <= noticed)
    restore()
    await house.linked()
    is_next = (await house.web.state())["controller"]["epoch"] == epoch + 1
    outcome.see("up again by itself", is_next and await house.answers())
    outcome.figures["reconnections"] += 1
    await house.calm()


async def resets(stage: Stage, times: int) -> None:
    """Both connections are reset."""
    house = await stage.house()
    for _ in range(times):
        await _lose(house, house.controller.reset)


async def closes(stage: Stage, times: int) -> None:
    """Both connections are closed in order."""
    house = await stage.house()

    def close(pair: ChaosPair) -> None:
        pair.commands.close()
        pair.replies.close()

    for _ in range(times):
        await _lose(house, lambda: close(house.controller))


async def one_of_two(stage: Stage, times: int) -> None:
    """One connection of the pair is reset, in turn the one for commands and the one for replies."""
    house = await stage.house()
    for number in range(times):
        which: Any = ("commands", "replies")[number % 2]
        other = house.controller.replies if which == "commands" else house.controller.commands
        accepted = other.accepted
        await _lose(house, partial(house.controller.drop, which))
        house.outcome.see("both dropped", other.accepted == accepted + 1)


async def cut_cable(stage: Stage, times: int) -> None:
    """Nothing comes back any more, not even that a packet came; the daemon's sends one more command."""
    house = await stage.house(ack_timeout=20.0)

    def cut() -> None:
        cable.cut(house.controller.commands)
        cable.cut(house.controller.replies)

    for _ in range(times):
        await _lose(house, cut, house.controller.reset, NOTICED)


async def silent(stage: Stage, times: int) -> None:
    """Both connections stay, and nothing passes: the far kernel answers, and its program does not."""
    house = await stage.house(ack_timeout=1.0)
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        house.controller.set(hang=True)
        entries = [house.desk.send(Enable) for _ in range(IN_FLIGHT)]
        await house.ends(entries)
        outcome.see("timed out", all(entry.ended("timed out") for entry in entries))
        house.controller.clear()
        outcome.see("goes on", await house.answers())
        await house.calm()


async def slow(stage: Stage, times: int) -> None:
    """Let every network be late and slow, and deliver data in pieces of a few bytes."""
    house = await stage.house()
    chance = random.Random(6)
    for _ in range(times):
        house.outcome.inject()
        bad = {"latency": 0.02, "slices": chance.randrange(1, 30), "bandwidth": 100_000.0}
        for network in (house.controller, house.csc.network, house.desk_proxy):
            network.set(**bad)
        entries = [
            sender.send(kind) for sender, kind in ((house.desk, Enable), (house.csc, BothAxesStop)) * 20
        ]
        await house.ends(entries, 30.0)
        house.outcome.see("one end each", not any(entry.orphan for entry in entries))
        for network in (house.controller, house.csc.network, house.desk_proxy):
            network.clear()
        await house.calm()
