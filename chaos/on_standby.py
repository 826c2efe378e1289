"""Faults of two bridges before one mount: the other takes over, and no command is sent twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .stage import Stage
from .two_bridges import T, TwoBridges
from .waits import pause

KILLED = 0.2 * T + 0.4
"""The longest time from ``kill -9`` to the first command of the other bridge, in seconds: 0.2 T, and the time
in which the commander connects and takes command on a busy machine."""

EXPIRED = 1.2 * T + 0.4
"""The longest time by expiry of the lease, in seconds; the same."""

STOPPED = 1.0
"""The longest time from SIGTERM, in seconds."""


async def _each(stage: Stage, times: int, fault: Callable[[TwoBridges], Awaitable[None]]) -> None:
    """Inject a fault so many times into one stage."""
    two = TwoBridges(stage)
    try:
        await two.open()
        for _ in range(times):
            two.outcome.see("goes on", await two.goes_on(0.5))
            two.outcome.inject()
            await fault(two)
    finally:
        await two.close()


async def active_killed(stage: Stage, times: int) -> None:
    """``kill -9`` of the active bridge; it is started again."""

    async def fault(two: TwoBridges) -> None:
        times = two.standby.times_active + 1
        two.active.daemon.signal("KILL")
        two.outcome.see("the other in time", await two.changes(KILLED, times))
        await two.restart()

    await _each(stage, times, fault)


async def active_stopped(stage: Stage, times: int) -> None:
    """SIGTERM of the active bridge; it is started again."""

    async def fault(two: TwoBridges) -> None:
        times = two.standby.times_active + 1
        two.active.daemon.signal("TERM")
        two.outcome.see("the other in time", await two.changes(STOPPED, times))
        await two.standby.daemon.end()
        await two.restart()

    await _each(stage, times, fault)


async def active_paused(stage: Stage, times: int) -> None:
    """The active bridge is paused for 8 s, with a command on its way to it."""

    async def fault(two: TwoBridges) -> None:
        times, own = two.standby.times_active + 1, two.active.times_active
        two.active.daemon.signal("STOP")
        entry = two.desk.send(two.ledger.setting.simple)
        await pause(two.reactor, 8.0)
        two.outcome.see("not before it is gone", two.standby.times_active < times)
        two.active.daemon.signal("CONT")
        two.outcome.see("the other in time", await two.changes(STOPPED + 0.4, times))
        await two.standby.daemon.said("the process stood still", times=1)
        two.outcome.see("nothing sent after the sleep", not two.ledger.arrived[entry.id])
        await pause(two.reactor, 1.5 * T)
        two.outcome.see("stays a standby", two.standby.times_active == own)

    await _each(stage, times, fault)


async def active_paused_and_killed(stage: Stage, times: int) -> None:
    """The active bridge is paused, and killed after 1 s, as a watchdog does."""

    async def fault(two: TwoBridges) -> None:
        times = two.standby.times_active + 1
        two.active.daemon.signal("STOP")
        await pause(two.reactor, 1.0)
        two.active.daemon.signal("KILL")
        two.outcome.see("the other in time", await two.changes(EXPIRED, times))
        await two.restart()

    await _each(stage, times, fault)


async def standby_killed(stage: Stage, times: int) -> None:
    """``kill -9`` of the standby."""

    async def fault(two: TwoBridges) -> None:
        times = two.active.times_active
        two.standby.daemon.signal("KILL")
        two.outcome.see("commanding goes on", await two.goes_on(1.5 * T))
        two.outcome.see("stays active", two.active.times_active == times)
        await two.restart()

    await _each(stage, times, fault)


async def active_cut_from_broker(stage: Stage, times: int) -> None:
    """The active bridge does not reach the broker for 4 s: the other takes the lease, and can't get in."""

    async def fault(two: TwoBridges) -> None:
        active = two.active
        times, others = active.times_active, two.standby.times_active
        active.to_broker.target_port = 0
        active.to_broker.reset()
        two.outcome.see("commanding goes on", await two.goes_on(4.0))
        active.to_broker.target_port = two.broker.port
        await active.becomes_active(times + 1)
        two.outcome.see("lease comes back", two.standby.times_active == others)
        await pause(two.reactor, 1.5 * T)

    await _each(stage, times, fault)


async def broker_away(stage: Stage, times: int) -> None:
    """The broker is killed, and back after 4 s: no take-over."""

    async def fault(two: TwoBridges) -> None:
        others = two.standby.times_active
        two.broker.kill()
        two.outcome.see("commanding goes on", await two.goes_on(4.0))
        two.broker.start()
        two.outcome.see("commanding goes on after it", await two.goes_on(1.5 * T))
        two.outcome.see("no take-over", two.standby.times_active == others)

    await _each(stage, times, fault)
