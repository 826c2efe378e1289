"""A mount that says the wrong things."""

from __future__ import annotations

from typing import NamedTuple

from mtmount_twisted.commands import AzimuthAxisMove, AzimuthAxisPower, AzimuthAxisResetAlarm
from mtmount_twisted.simulator.faults import Fault

from .house import House
from .stage import Stage
from .waits import rises

COMMANDS = 10
"""How many commands one fault strikes."""

LATER = 1.6
"""How late an answer is that is too late, in seconds; commands here have 1 s, and 0.5 s more to Done."""


class Case(NamedTuple):
    """A fault of the mount, and the ends of the affected commands.

    :ivar ends: the beginning of the text of each end.
    :ivar drops: True if the link is lost by it.
    """

    faults: tuple[Fault, ...]
    ends: str
    drops: bool = False


CASES: dict[str, Case] = {
    "late replies": Case((Fault("late", seconds=0.3),), "done"),
    "replies that come too late": Case((Fault("late", seconds=LATER),), "timed out"),
    "repeated replies": Case((Fault("repeated", times=3),), "done"),
    "missing replies": Case((Fault("missing"),), "timed out: no Ack"),
    "Ack with no Done": Case((Fault("missing", reply="done"),), "timed out: acknowledged"),
    "Done with no Ack": Case((Fault("missing", reply="ack"),), "done"),
    "replies with a wrong id": Case((Fault("wrong_id", offset=1_000_000),), "timed out"),
    "Done before Ack": Case((Fault("done_first"),), "done"),
    "replies out of order": Case((Fault("swapped"),), "done"),
    "garbage among replies": Case((Fault("garbage"),), "done"),
    "reply cut in the middle, then close": Case((Fault("cut", count=1),), "outcome unknown", True),
    "a reply of more than 64 KiB": Case((Fault("long", count=1),), "outcome unknown", True),
}
"""The faults, by their words in the table."""

END = {"done": "done, once", "timed out": "timed out", "outcome unknown": "outcome unknown"}


def word(case: Case) -> str:
    """How its commands end, in a word."""
    return END[case.ends.partition(":")[0]]


async def says(stage: Stage, times: int, case: Case) -> None:
    """The mount does a `Case` to commands."""
    house = await stage.house(ack_timeout=1.0)
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        for fault in case.faults:
            house.simulator.faults.add(fault)
        entries = [house.desk.send(house.setting.simple) for _ in range(COMMANDS)]
        await house.ends(entries)
        house.simulator.faults.clear()
        ended = [entry.ended(case.ends) for entry in entries]
        outcome.see(word(case), ended[0] if case.drops else all(ended))
        if case.drops:
            await house.linked()
            outcome.figures["reconnections"] += 1
        outcome.see("goes on", await house.answers())
        await house.calm()


async def alarm(stage: Stage, times: int) -> None:
    """An alarm while the azimuth axis moves."""
    house = await stage.house()
    outcome = house.outcome
    await _done(house, AzimuthAxisPower, on=True)
    for number in range(times):
        outcome.inject()
        heard = house.hall.lines
        house.simulator.faults.add(Fault("alarm", seconds=0.005, count=1))
        move = house.desk.send(AzimuthAxisMove, position=-200.0 if number % 2 else 200.0)
        await house.ends([move])
        outcome.see("refused by the mount", len(move.ends) == 1 and move.ends[0] != "done")
        await rises(house.reactor, lambda: house.hall.lines, heard + 2, "observers hear the alarm")
        outcome.see("all receive the alarm")
        await _done(house, AzimuthAxisResetAlarm)
        outcome.see("goes on", await _done(house, AzimuthAxisPower, on=True))
        await house.calm()


async def _done(house: House, kind: type, **parameters: object) -> bool:
    entry = house.desk.send(kind, **parameters)
    await house.ends([entry])
    return entry.ended("done")


async def flood(stage: Stage, times: int) -> None:
    """10,000 events a second for a second, and commands in that second."""
    house = await stage.house()
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        heard = house.hall.lines
        house.simulator.faults.add(Fault("flood", rate=10_000.0, seconds=1.0, count=1))
        entries = [house.desk.send(house.setting.simple) for _ in range(COMMANDS)]
        await house.ends(entries)
        outcome.see("done, once", all(entry.ended("done") for entry in entries))
        await rises(house.reactor, lambda: house.hall.lines, heard + 10_000, "observers receive all")
        outcome.see("observers receive all")
        await house.calm()


async def silence(stage: Stage, times: int) -> None:
    """The mount takes commands, and says nothing at all."""
    house = await stage.house(ack_timeout=1.0)
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        house.simulator.faults.add(Fault("silence"))
        entries = [house.desk.send(house.setting.simple) for _ in range(COMMANDS)]
        await house.ends(entries)
        outcome.see("timed out", all(entry.ended("timed out") for entry in entries))
        house.simulator.faults.clear()
        outcome.see("goes on", await house.answers())
        await house.calm()


async def refusal(stage: Stage, times: int) -> None:
    """The mount takes the connection for commands, and makes none for replies."""
    house = await stage.house()
    outcome = house.outcome
    for number in range(times):
        outcome.inject()
        house.simulator.faults.add(Fault("refusal"))
        await house.daemon.said("lost the controller", times=number + 1)
        entries = [house.desk.send(house.setting.simple) for _ in range(COMMANDS)]
        await house.ends(entries)
        outcome.see("not sent", all(entry.ended("not sent") for entry in entries))
        house.simulator.faults.clear()
        await house.linked()
        outcome.figures["reconnections"] += 1
        outcome.see("goes on", await house.answers())
        await house.calm()
