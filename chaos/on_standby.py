"""Faults of two bridges before one mount: the other takes over, and no command is sent twice."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

from twisted.internet import defer

from mtmount_twisted.net.liveness import KEEP_ALIVE
from mtmount_twisted.testing import ChaosProxy
from mtmount_twisted.testing.flow import Lane

from .on_station import child_of
from .stage import Stage
from .two_bridges import T, TwoBridges
from .waits import pause, until

KILLED = 0.2 * T + 0.4
"""The longest time from ``kill -9`` to the first command of the other bridge, in seconds: 0.2 T, and the time
in which the commander connects and takes command on a busy machine."""

EXPIRED = 1.2 * T + 0.4
"""The longest time by expiry of the lease, in seconds; the same."""

WITHOUT_LINK = 4.2 * T + 0.4
"""The longest time from the loss of the active bridge's link to the mount, in seconds: 3 T without the link,
and a take-over by then."""

STOPPED = 1.0
"""The longest time from SIGTERM, in seconds."""


CUT = 5.0
"""How long one direction between a bridge and the broker passes nothing, in seconds: longer than T."""

DEAF = 8.0
"""How long one direction between a bridge and the mount passes nothing, in seconds: longer than the mount
waits for a heartbeat, and than the bridge waits for an Ack."""

LOSSY = 8.0
"""How long packets are lost, in seconds."""


async def _each(
    stage: Stage,
    times: int,
    fault: Callable[[TwoBridges], Awaitable[None]],
    *,
    beats: bool = True,
    between: Callable[[TwoBridges], Awaitable[None]] | None = None,
    **options: Any,
) -> None:
    """Inject a fault so many times into one stage.

    :param beats: True if the mount must not miss a heartbeat for 5 s, when it takes command from a commander.
    :param between: prepares the stage for the next injection; not called after the last.
    :param options: as for `TwoBridges`.
    """
    two = TwoBridges(stage, **options)
    try:
        await two.open()
        lost = two.lost_heartbeats
        for number in range(times):
            if number and between is not None:
                await between(two)
            two.outcome.see("goes on", await two.goes_on(0.5))
            two.outcome.inject()
            await fault(two)
            if beats and two.lost_heartbeats > lost:
                two.outcome.problems.append("the mount missed the heartbeats for 5 s")
    finally:
        await two.close()


async def active_killed(stage: Stage, times: int) -> None:
    """``kill -9`` of the active bridge; it is started again."""

    async def fault(two: TwoBridges) -> None:
        times = two.standby.times_active + 1
        two.active.daemon.signal("KILL")
        two.outcome.see("the other in time", await two.changes(KILLED, times))

    await _each(stage, times, fault, between=TwoBridges.restart)


async def active_stopped(stage: Stage, times: int) -> None:
    """SIGTERM of the active bridge; it is started again."""

    async def fault(two: TwoBridges) -> None:
        times = two.standby.times_active + 1
        two.active.daemon.signal("TERM")
        two.outcome.see("the other in time", await two.changes(STOPPED, times))

    await _each(stage, times, fault, between=TwoBridges.restart)


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

    await _each(stage, times, fault, beats=False)


async def active_paused_and_killed(stage: Stage, times: int) -> None:
    """The active bridge is paused, and killed after 1 s, as a watchdog does."""

    async def fault(two: TwoBridges) -> None:
        times = two.standby.times_active + 1
        two.active.daemon.signal("STOP")
        await pause(two.reactor, 1.0)
        two.active.daemon.signal("KILL")
        two.outcome.see("the other in time", await two.changes(EXPIRED, times))

    await _each(stage, times, fault, between=TwoBridges.restart)


async def standby_killed(stage: Stage, times: int) -> None:
    """``kill -9`` of the standby."""

    async def fault(two: TwoBridges) -> None:
        times = two.active.times_active
        two.standby.daemon.signal("KILL")
        two.outcome.see("commanding goes on", await two.goes_on(1.5 * T))
        two.outcome.see("stays active", two.active.times_active == times)

    await _each(stage, times, fault, between=TwoBridges.restart)


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

    await _each(stage, times, fault, between=TwoBridges.settle)


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


async def host_dies(
    stage: Stage, times: int, keep_alive: tuple[int, int, int], commanded: bool, limit: float
) -> None:
    """The active host dies: its packets are dropped, and the mount has to notice that.

    :param keep_alive: the times of the mount's TCP keep-alive, in seconds, and the number of probes.
    :param commanded: True if a commander has command: the mount then reports the loss of its heartbeat to the
        dead host, and its system sends that again and again in place of the probes.
    :param limit: the longest time to the first command of the other bridge, in seconds.
    """
    took: list[float] = []

    async def fault(two: TwoBridges) -> None:
        times = two.standby.times_active + 1
        if not commanded:
            await two.release()
        two.active.vanish()
        took.append(await two.takes_over(times, limit + 30.0))
        two.outcome.see("the other in time", took[-1] <= limit)

    try:
        await _each(
            stage,
            times,
            fault,
            beats=False,
            between=TwoBridges.restart,
            keep_alive=dict(zip(KEEP_ALIVE, keep_alive, strict=True)),
        )
    finally:
        stage.outcome.note = f"first command after {', '.join(f'{each:.1f} s' for each in took)}"


async def one_way_from_broker(stage: Stage, times: int) -> None:
    """One direction between the active bridge and the broker passes nothing for a while, then the other."""
    directions = cycle(("upstream", "downstream"))

    async def fault(two: TwoBridges) -> None:
        active, times, others = two.active, two.active.times_active, two.standby.times_active
        lane: Lane = getattr(active.to_broker, next(directions))
        lane.set(hang=True)
        two.outcome.see("commanding goes on", await two.goes_on(CUT))
        lane.clear()
        await active.becomes_active(times + 1)
        two.outcome.see("lease comes back", two.standby.times_active == others)

    await _each(stage, times, fault, between=TwoBridges.settle)


async def lose_packets(two: TwoBridges, proxy: ChaosProxy, seconds: float, chance: random.Random) -> None:
    """Let a connection stall again and again, in one direction at a time, as TCP does if packets are lost."""
    end = two.reactor.seconds() + seconds
    while two.reactor.seconds() < end:
        lane = chance.choice((proxy.upstream, proxy.downstream))
        lane.set(hang=True)
        await pause(two.reactor, chance.uniform(0.02, 0.6))
        lane.clear()
        await pause(two.reactor, chance.uniform(0.02, 0.3))


async def lossy(stage: Stage, times: int) -> None:
    """Packets are lost between the active bridge and the broker, and then between it and the mount."""
    chance = random.Random(stage.seed)

    async def fault(two: TwoBridges) -> None:
        others = two.standby.times_active
        active = two.active
        losing = defer.ensureDeferred(lose_packets(two, active.to_broker, LOSSY, chance))
        going = await two.goes_on(LOSSY)
        await losing
        losing = defer.ensureDeferred(lose_packets(two, active.to_mount, LOSSY, chance))
        going = await two.goes_on(LOSSY) and going
        await losing
        two.outcome.see("commanding goes on", going and await two.goes_on(1.5 * T))
        two.outcome.see("no take-over", two.standby.times_active == others)

    await _each(stage, times, fault)


async def one_way_from_mount(stage: Stage, times: int) -> None:
    """One direction between the active bridge and the mount passes nothing for a while, then the other."""
    directions = cycle(("upstream", "downstream"))

    async def fault(two: TwoBridges) -> None:
        lane: Lane = getattr(two.active.to_mount, next(directions))
        lane.set(hang=True)
        entries = []
        for _ in range(5):
            entries.append(two.desk.send(two.ledger.setting.simple))
            await pause(two.reactor, DEAF / 5)
        lane.clear()
        await until(two.reactor, lambda: two.ledger.has_ended(entries), "the commands end")
        two.outcome.see("one end each", all(len(entry.ends) == 1 for entry in entries))
        await two.take()
        two.outcome.see("goes on after it", await two.goes_on(1.0))

    await _each(stage, times, fault, beats=False)


async def cut_from_mount(stage: Stage, times: int) -> None:
    """The active bridge does not reach the mount any more: the other one takes over."""

    async def fault(two: TwoBridges) -> None:
        times, active = two.standby.times_active + 1, two.active
        active.to_mount.target_port = 0
        active.to_mount.reset()
        two.outcome.see("the other in time", await two.changes(WITHOUT_LINK, times))
        active.heal()

    await _each(stage, times, fault, beats=False, between=TwoBridges.settle)


async def child_killed(stage: Stage, times: int) -> None:
    """The station's process of the active bridge is killed: the other one takes no command over."""

    async def fault(two: TwoBridges) -> None:
        others = two.standby.times_active
        os.kill(child_of(two.active.daemon), signal.SIGKILL)
        two.outcome.see("commanding goes on", await two.goes_on(3 * T))
        two.outcome.see("no take-over", two.standby.times_active == others)

    await _each(stage, times, fault)
