"""Much of everything."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred, gatherResults

from mtmount_twisted.commands import BothAxesStop, Enable
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.simulator.faults import Fault

from .clients import Desk, Observer, connect
from .house import House
from .ledger import Entry
from .stage import Stage
from .waits import pause, until
from .web import Stream

BURST = 10_000
CROWD = 250
LATE = 0.5
"""How late the mount grants command, in seconds."""

AT_ONCE = 25
"""How many reconnect at the same time."""


async def burst(stage: Stage, times: int) -> None:
    """One commander sends 10,000 commands in one piece, and another one stops the mount at the same time."""
    house = await stage.house()
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        made = [house.desk.line(Enable) for _ in range(BURST)]
        house.desk.transport.write(b"".join(line for _, line in made))
        stop = house.csc.send(BothAxesStop)
        outcome.see("another's stop passes", await house.ends([stop], 5.0) < 5.0)
        entries = [entry for entry, _ in made]
        await house.ends(entries, 30.0)
        done = sum(entry.ended("done") for entry in entries)
        outcome.see("100 or more done", done >= 100)
        outcome.see("excess is busy", all(entry.ended("done", "busy") for entry in entries))
        await house.calm()


async def overtaking(stage: Stage, times: int) -> None:
    """A commander asks for command, sends moves and a stop, and the mount is late to grant it."""
    house = await stage.house()
    outcome, setting, csc = house.outcome, house.setting, house.csc
    for _ in range(times):
        await house.ends([house.desk.send(setting.ask, commander=0)])
        await until(house.reactor, lambda: house.ledger.has_ended(), "command is given back")
        house.simulator.faults.add(Fault("late", seconds=LATE, count=1))
        outcome.inject()
        ask = csc.send(setting.ask, commander=Source.CSC)
        moves = [csc.send(setting.move, position=1.0) for _ in range(10)]
        stop = csc.send(setting.stop)
        await house.ends([*moves, stop])
        outcome.see("the moves are overtaken", all(move.ended("not sent: overtaken") for move in moves))
        outcome.see("the stop is done", stop.ended("done"))
        await house.ends([ask])
        outcome.see("command is granted", ask.ended("done"))
        await house.take()
        outcome.see("no move was sent", not any(house.ledger.arrived[move.id] for move in moves))
        await house.calm()


async def crowd(stage: Stage, times: int) -> None:
    """250 clients on the wire and 250 event streams receive the replies to 100 commands of 100 commanders."""
    house = await stage.house()
    for _ in range(times):
        house.outcome.inject()
        visitors = [await house.visit() for _ in range(CROWD // 2)]
        hall = house.ports["hall"]
        observers = [await connect(house.reactor, hall, Observer) for _ in range(CROWD - CROWD // 2)]
        streams = [await house.web.events() for _ in range(CROWD)]
        present = (await house.web.state())["clients"]
        house.outcome.figures["clients"] = max(house.outcome.figures["clients"], present + len(streams))
        await _all_hear(house, visitors, observers, streams)
        for each in (*visitors, *observers):
            each.transport.abortConnection()
        for stream in streams:
            stream.close()
        await house.calm()


async def _all_hear(
    house: House, visitors: list[Desk], observers: list[Observer], streams: list[Stream]
) -> None:
    outcome = house.outcome
    before = [observer.lines for observer in observers], [stream.events for stream in streams]
    entries = [house.desk.send(Enable) for _ in range(100)]
    entries += [visitor.send(BothAxesStop) for visitor in visitors]
    await house.ends(entries, 30.0)
    outcome.see("all answered", not any(entry.orphan for entry in entries))
    lines, events = 200 + len(visitors), 5 * len(entries)

    def have_all() -> bool:
        heard = all(each.lines - first >= lines for each, first in zip(observers, before[0], strict=True))
        told = all(each.events - first >= events for each, first in zip(streams, before[1], strict=True))
        return heard and told

    await until(house.reactor, have_all, "everyone hears all", 30.0)
    outcome.see("all receive all events")


async def reconnections(stage: Stage, times: int) -> None:
    """Commanders come, send commands, and are cut off at a random byte or moment."""
    house = await stage.house()
    chance = random.Random(6)
    done = 0
    while done < times:
        batch = min(AT_ONCE, times - done)
        await gatherResults([Deferred.fromCoroutine(_come_and_go(house, chance)) for _ in range(batch)])
        done += batch
        entry = house.desk.send(Enable)
        await house.ends([entry])
        for _ in range(batch if entry.ended("done") else 0):
            house.outcome.see("others are served")
    house.outcome.figures["reconnections"] += done
    await house.calm()


async def _come_and_go(house: House, chance: random.Random) -> None:
    visitor = await connect(house.reactor, house.ports["desk"], lambda: Desk(house.ledger))
    house.outcome.inject()
    house.outcome.see("accepted")
    made: list[tuple[Entry, bytes]] = [visitor.line(BothAxesStop) for _ in range(5)]
    data = b"".join(line for _, line in made)
    visitor.transport.write(data[: chance.randrange(len(data) + 1)])
    await pause(house.reactor, chance.random() * 0.02)
    if chance.random() < 0.5:
        visitor.transport.abortConnection()
    else:
        visitor.transport.loseConnection()
    await visitor.closed(house.reactor)
