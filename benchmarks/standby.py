"""Two bridges before one mount: the time of a take-over, and the silence while the broker is away.

The stage is that of the faults (`chaos.two_bridges`): two daemons, their children, a broker, a mount and a
commander share the cores of this machine.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from chaos.on_station import child_of
from chaos.setting import TMA2022
from chaos.stage import Stage
from chaos.two_bridges import T, TwoBridges
from chaos.waits import pause

from .runner import Case, Goal, Run

OUTAGE = 4.0
"""How long the broker is away, and how long the commander commands without an outage, in seconds."""

PAUSED = 1.0
"""How long the daemon of the active bridge hangs before it is killed, in seconds: its link ends then."""


async def _take_over(two: TwoBridges, *, expiry: bool) -> float:
    """Return the time from the end of the active bridge to the first command of the other one, in seconds.

    :param expiry: True for a bridge that hangs before, together with its child, whose connection to the
        broker stays: the broker never says that it is gone, and the lease must expire. The time then counts
        from the beginning of that.
    """
    times, child = two.standby.times_active + 1, child_of(two.active.daemon)
    began = two.reactor.seconds()
    if expiry:
        os.kill(child, signal.SIGSTOP)
        two.active.daemon.signal("STOP")
        await pause(two.reactor, PAUSED)
    two.active.daemon.signal("KILL")
    await two.standby.becomes_active(times)
    two.active, two.standby = two.standby, two.active
    await two.join()
    await two.answers()
    took = two.reactor.seconds() - began
    if expiry:
        os.kill(child, signal.SIGKILL)
    await two.restart()
    return float(took)


async def _silence(two: TwoBridges, *, outage: bool) -> float:
    """Return the longest time between two ends of commands, in milliseconds."""
    reactor = two.reactor
    if outage:
        two.broker.kill()
    end, last, longest = reactor.seconds() + OUTAGE, reactor.seconds(), 0.0
    while reactor.seconds() < end:
        await two.desk.send_and_wait(two.ledger.setting.simple)
        now = reactor.seconds()
        longest, last = max(longest, now - last), now
        await pause(reactor, 0.02)
        last = max(last, reactor.seconds() - 0.02)
    two.broker.start()
    if outage:
        await pause(reactor, 1.5 * T)
    return longest * 1000


async def measure(run: Run, reactor: Any, folder: str) -> None:
    """Measure take-overs and an outage of the broker."""
    two = TwoBridges(Stage(reactor, Path(folder), TMA2022))
    try:
        await two.open()

        async def killed() -> float:
            return await _take_over(two, expiry=False)

        async def expired() -> float:
            return await _take_over(two, expiry=True)

        subjects = {"kill -9": killed, "expiry": expired, "T": lambda: T}
        goals = Goal("T", "at most", 0.2, "kill -9"), Goal("T", "at most", 1.2, "expiry")
        name = "to the first command after a take-over"
        await run.measure(Case("station", name, "s", subjects, goals, 5, False))

        async def silent() -> float:
            return await _silence(two, outage=True)

        async def usual() -> float:
            return await _silence(two, outage=False)

        name = f"longest silence in {OUTAGE:g} s, the broker away"
        silences = {"broker away": silent, "no outage": usual}
        goal = Goal("no outage", "at most", 1.2, "broker away")
        await run.measure(Case("station", name, "ms", silences, (goal,), 3, False))
    finally:
        await two.close()
