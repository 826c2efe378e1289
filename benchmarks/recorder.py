"""The recorder with all 26 topics of the simulated mount: processor time, size, and queries of a night.

Half an hour of telemetry is recorded on a clock of its own, which goes faster than 20 times the speed; the
telemetry is made before. The numbers have the noise of the simulator at factor 1. The vendor's mount writes
six decimals, and so do the lines of the case that has the goal; the others have all digits of a double, or no
noise.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from twisted.internet.task import Clock

from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.journal.recording import signals
from mtmount_twisted.journal.recording.items import Item, RecorderOptions
from mtmount_twisted.journal.recording.writer import RecordingWriter
from mtmount_twisted.simulator.tma2022.mount import SimulatedMount
from mtmount_twisted.simulator.tma2022.telemetry import TICK, Telemetry, TelemetryClock

from .runner import Case, Goal, Run

START = 1_800_000_000.0
MADE = 120
"""Seconds of telemetry that are made, and recorded again and again with other times of arrival."""

MINUTES = 30
NIGHT = 12 * 3600
GIB = 2**30

_NUMBER = re.compile(rb"-?\d+\.\d+(?:e-?\d+)?")


def telemetry(noise: float, six_decimals: bool) -> list[list[bytes]]:
    """Return the lines of each tick of a mount that slews and then stands."""
    clock = Clock()
    clock.advance(1000.0)
    mount = SimulatedMount(
        clock, lambda reply: None, tai=lambda: START + clock.seconds(), ready=True, heartbeat_timeout=0
    )
    mount.receive(commands.BothAxesMove(azimuth=100.0, elevation=45.0))
    source, due = Telemetry(mount, noise, 1), TelemetryClock(START + clock.seconds())
    ticks = []
    for _ in range(round(MADE / TICK)):
        clock.advance(TICK)
        lines = [source.measure(topic).encode() for topic in due.due(START + clock.seconds())]
        if six_decimals:
            lines = [_NUMBER.sub(lambda found: b"%.6f" % float(found[0]), line) for line in lines]
        ticks.append(lines)
    mount.close()
    return ticks


class Night:
    """A folder with recordings of so many seconds.

    :ivar busy: processor time of the writer, in s.
    :ivar size: size of all recordings, in bytes.
    """

    def __init__(self, ticks: list[list[bytes]], seconds: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recordings-"))
        self._now = START
        options = RecorderOptions(self.folder, 14.0, 2**50, 0, {})
        log = logging.getLogger("benchmarks.recorder")
        writer = RecordingWriter(
            options, DIALECT, log.log, clock=lambda: self._now, wall_clock=lambda: self._now
        )
        self.busy = 0.0
        for second in range(seconds):
            items = [
                Item(START + second + number * TICK, "", line)
                for number in range(round(1 / TICK))
                for line in ticks[(second * round(1 / TICK) + number) % len(ticks)]
            ]
            self._now = START + second + 1
            start = thread_time()
            writer.turn(items)
            self.busy += thread_time() - start
        writer.finish(())
        self.size = sum(path.stat().st_size for path in self.folder.iterdir())
        self.end = START + seconds

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)


EIGHT = [
    f"{axis}.{quantity}"
    for axis in ("azimuth", "elevation")
    for quantity in ("actualPosition", "demandPosition", "actualVelocity", "actualTorque")
]
LARGE = [
    "encoder.azimuthEncoderPosition1",
    "azimuthDrives.current1",
    "elevationDrives.current1",
    "azimuth.actualPosition",
    "elevation.actualPosition",
    "cameraCableWrap.actualPosition",
    "topEndChiller.ambientTemperature",
    "mirrorCover.actualPosition1",
]


def query(night: Night, names: list[str]) -> float:
    """Return the time of a query of 10 minutes, in ms."""
    middle = (START + night.end) / 2
    start = perf_counter()
    columns = signals.read(night.folder, names, middle - 300, middle + 300, 600)
    elapsed = (perf_counter() - start) * 1000
    assert all(value is not None for value in columns.signals[names[0]].mean)
    return elapsed


async def measure(run: Run, reactor: Any) -> None:
    """Measure the writer and the queries."""
    kinds = {
        "six decimals": telemetry(1.0, True),
        "all digits": telemetry(1.0, False),
        "no noise": telemetry(0.0, False),
    }
    for name, ticks in kinds.items():
        night = Night(ticks, MINUTES * 60)
        share = 100 * night.busy / (MINUTES * 60)
        size = night.size * 12 * 60 / MINUTES / GIB
        night.close()
        has_goal = name == "six decimals"
        cases = (("processor time", "% of a core", share, 10.0), ("12 hours", "GiB", size, 1.2))
        for what, unit, value, limit in cases:
            goal = Goal("ours", "by itself, at most", limit if has_goal else None)
            subjects = {"ours": lambda value=value: value}
            await run.measure(Case("recorder", f"{what}, {name}", unit, subjects, (goal,), 1))
    night = Night(kinds["no noise"], NIGHT)
    for what, names in (("axes", EIGHT), ("eight topics", LARGE)):
        subjects = {"ours": lambda names=names: query(night, names)}
        limit = 200.0 if what == "axes" else None
        goal = Goal("ours", "by itself, at most", limit)
        await run.measure(Case("recorder", f"10 min of 8 signals: {what}", "ms", subjects, (goal,), 7))
    night.close()
