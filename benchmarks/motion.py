"""The numbers about motion: a sample, a second of both axes, and once a second the sky and the limits."""

from __future__ import annotations

import math
import random
from time import process_time
from typing import Any

from mtmount_twisted.motion import limits, sky
from mtmount_twisted.motion.following import Following, Sample
from mtmount_twisted.motion.slews import Axis, SlewWatch

from .runner import Case, Goal, Run

RATE = 20  # Hz: protocol-tma2022.rst, topics 6 and 15
SECONDS = 300
CALLS = 300
CORE_PERCENT = 1.0
LIVE_MS = 5.0

AXES: dict[limits.AxisName, limits.AxisMotion] = {
    "azimuth": limits.AxisMotion(100.0, 0.004),
    "elevation": limits.AxisMotion(50.0, -0.003),
    "cameraCableWrap": limits.AxisMotion(5.0, 0.0),
}


def track(seed: int, jump: float) -> list[Sample]:
    """Samples of an axis that tracks with noise, stamps smeared by 50 ms, and a jump every 35 s."""
    chance = random.Random(seed)
    lines = []
    for index in range(SECONDS * RATE):
        at = index / RATE
        demand_at, actual_at = at + chance.uniform(0, 0.05), at + chance.uniform(0, 0.05)
        since = at % 35
        place = jump * (at // 35) + 0.004 * at
        error = jump * math.exp(-since) + chance.gauss(0, 1e-6)
        lines.append(Sample(place + 0.004 * (demand_at - at), demand_at, place - error, actual_at))
    return lines


SAMPLES: dict[Axis, list[Sample]] = {"azimuth": track(1, 3.0), "elevation": track(2, 0.0)}


def follow() -> float:
    """Return the cost of a sample with its error, RMS and greatest, µs."""
    following = Following()
    start = process_time()
    for sample in SAMPLES["azimuth"]:
        following.add(sample, 50.0)
    return (process_time() - start) * 1e6 / len(SAMPLES["azimuth"])


def second() -> float:
    """Return the cost of a second of both axes, following and slews, in % of a core."""
    followings = {axis: Following() for axis in SAMPLES}
    watch = SlewWatch()
    pairs = [(axis, samples[index]) for index in range(SECONDS * RATE) for axis, samples in SAMPLES.items()]
    start = process_time()
    for index, (axis, sample) in enumerate(pairs):
        followings[axis].add(sample, 50.0 if axis == "azimuth" else None)
        watch.add(axis, sample)
        if index % (35 * 2 * RATE) == 4 * 2 * RATE:
            watch.in_position("azimuth", True, sample.actual_at or 0.0)
    return (process_time() - start) * 100 / SECONDS


def sky_position() -> float:
    """Return the cost of the place in the sky, ms."""
    site = sky.Site()
    sky.position(site, 10.0, 50.0, 1.79e9)
    start = process_time()
    for index in range(CALLS):
        sky.position(site, 10.0 + index, 50.0, 1.79e9 + index)
    return (process_time() - start) * 1e3 / CALLS


def all_limits() -> float:
    """Return the cost of all rows of the limits, ms."""
    start = process_time()
    for _ in range(CALLS):
        limits.limits(AXES, tracking=True, latitude=-30.2)
    return (process_time() - start) * 1e3 / CALLS


def alone(limit: float | None) -> tuple[Goal, ...]:
    """Return the goal of a figure that has nothing to compare with."""
    return (Goal("ours", "by itself, at most", limit),)


async def measure(run: Run, reactor: Any) -> None:
    """Measure samples, a second of telemetry, and the calls of the live page."""
    for name, unit, sample, limit in (
        ("sample of an axis, following", "µs", follow, None),
        ("both axes at 20 Hz, of a core", "%", second, CORE_PERCENT),
        ("place in the sky", "ms", sky_position, LIVE_MS),
        ("all limits while tracking", "ms", all_limits, LIVE_MS),
    ):
        await run.measure(Case("motion", name, unit, {"ours": sample}, alone(limit)))
