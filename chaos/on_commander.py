"""Faults of a commander, and of the network between it and the daemon."""

from __future__ import annotations

import socket
from collections.abc import Callable

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.simulator.faults import Fault
from mtmount_twisted.testing import HOST

from . import cable
from .house import House
from .stage import Stage
from .waits import SETTLED, pause, until

GRACE = 0.5
"""How long a commander that is gone keeps command in these houses, in seconds."""

LATE = 0.4
"""How late the mount answers while a commander is lost, in seconds."""


REQUEST = b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

LONG = 60_000
"""How much the mount says with each Ack to one that does not read, in bytes."""

BURST = 5
"""How many commands are sent before their ends are awaited. Their Acks fit in the backlog of a client that
reads: all clients but one are in this process, and with the Acks of 50 a client was cut off whose turn came
late."""

MOST_SAID = 400 * LONG
"""How much it may say in all until that one is cut off."""


async def _lose(house: House, lose: Callable[[], object], noticed: float) -> None:
    """Lose the desk, which has command, while its commands are in flight."""
    outcome, stops = house.outcome, house.ledger.stops
    house.simulator.faults.add(Fault("late", seconds=LATE))
    entries = [house.desk.send(house.setting.simple) for _ in range(10)]
    await house.arrive(entries)
    house.simulator.faults.clear()
    await pause(house.reactor, SETTLED)
    outcome.inject()
    lose()
    took = await until(
        house.reactor, lambda: house.ledger.stops > stops, "the mount is stopped", noticed + GRACE + 5.0
    )
    outcome.see("stopped after the grace", took + LATE >= GRACE and took < noticed + GRACE + 1.0)
    await pause(house.reactor, 0.1)
    outcome.see("command released", await house.holder() is None)
    if house.desk.is_open:
        house.desk.transport.abortConnection()
        house.desk_proxy.reset()
    house.desk = await house.visit()
    await house.take()
    outcome.see("next one commands", await house.answers())
    await house.calm()


async def dies(stage: Stage, times: int) -> None:
    """Its connection is reset."""
    house = await stage.house(lease_grace=GRACE)
    for _ in range(times):
        await _lose(house, house.desk_proxy.reset, 1.0)


async def cut_off(stage: Stage, times: int) -> None:
    """Its cable is cut."""
    house = await stage.house(lease_grace=GRACE)
    for _ in range(times):
        await _lose(house, lambda: cable.cut(house.desk_proxy), 5.0)


async def comes_back(stage: Stage, times: int) -> None:
    """The pair's network breaks, and is there again within the grace."""
    house = await stage.house(lease_grace=5.0)
    outcome, csc = house.outcome, house.csc
    await house.ends([csc.send(house.setting.ask, commander=Source.CSC)])
    for number in range(times):
        outcome.inject()
        await csc.break_off(house.reactor, "commands" if number % 2 else "replies")
        await house.linked()
        entry = csc.send(house.setting.simple)
        await house.ends([entry])
        outcome.see("keeps command", await house.holder() == "csc" and entry.ended("done"))
        outcome.see("nothing stopped", house.ledger.stops == 0)
        outcome.figures["reconnections"] += 1
    await house.take()
    await house.calm()


async def half_closes(stage: Stage, times: int) -> None:
    """It says no more behind its commands, and still listens."""
    house = await stage.house(lease_grace=GRACE)
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        house.simulator.faults.add(Fault("late", seconds=LATE))
        visitor = await house.visit()
        entries = [visitor.send(house.setting.stop) for _ in range(10)]
        visitor.transport.loseWriteConnection()
        await house.ends(entries)
        outcome.see("replies delivered", not any(entry.orphan for entry in entries))
        await visitor.closed(house.reactor)
        outcome.see("then closed")
        house.simulator.faults.clear()
        await house.calm()


async def hangs(stage: Stage, times: int) -> None:
    """A client reads no more while the mount sends many events; another one listens."""
    await _deaf(await stage.house(), times, "hall", b"")


async def stream_hangs(stage: Stage, times: int) -> None:
    """The reader of an event stream reads no more while the mount sends many events; others listen."""
    await _deaf(await stage.house(), times, "web", REQUEST)


async def _deaf(house: House, times: int, port: str, greeting: bytes) -> None:
    outcome = house.outcome
    for number in range(times):
        outcome.inject()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((HOST, house.ports[port]))
        deaf.sendall(greeting)
        heard = house.hall.received
        said, served, cut_off = await _say_much(house, number)
        outcome.see("cut off", cut_off)
        outcome.see("others received all", house.hall.received - heard > said)
        outcome.see("others command", served)
        deaf.close()
        await house.calm()


async def _say_much(house: House, before: int) -> tuple[int, bool, bool]:
    """Let the mount say much until one is cut off: how much, whether all was done, whether it was one."""
    said, served = 0, True
    house.simulator.faults.add(Fault("long", reply="ack", size=LONG))
    while await house.web.figure("clients_cut_off_total") <= before and said < MOST_SAID:
        entries = [house.desk.send(house.setting.simple) for _ in range(BURST)]
        await house.ends(entries)
        served = served and all(entry.ended("done") for entry in entries)
        said += BURST * LONG
    house.simulator.faults.clear()
    return said, served, await house.web.figure_now("clients_cut_off_total") == before + 1
