"""The recorder with all 26 topics of the simulated mount: processor time, size, and queries of a night.

Half an hour of telemetry is recorded on a clock of its own, which goes faster than 20 times the speed; only
the writer's time counts. The mount slews every two minutes. The numbers have the noise of the simulator at
factor 1, and all digits of a double. The vendor's mount writes six decimals, and so do the lines of one case
(protocol-tma2022.md, "Framing"); those of another have no noise.

A night for queries is that half hour again and again: chunks and digests are copied with other times. Only
the times inside the compressed messages stay those of the first half hour, and no query reads those. The
queries are measured in processor time, so that other work on the machine does not count.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count, cycle, repeat
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np
from twisted.internet.task import Clock

from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.journal.recording import signals
from mtmount_twisted.journal.recording.digests import (
    LONG_PIECE,
    Digest,
    joined,
    packed,
    packed_together,
    unpacked,
)
from mtmount_twisted.journal.recording.files import RecordingFile
from mtmount_twisted.journal.recording.items import Item, RecorderOptions
from mtmount_twisted.journal.recording.layout import NANO, Contents, read_digest, read_summary, recordings
from mtmount_twisted.journal.recording.writer import RecordingWriter
from mtmount_twisted.simulator.tma2022.mount import SimulatedMount
from mtmount_twisted.simulator.tma2022.telemetry import TICK, Telemetry, TelemetryClock

from .runner import Case, Goal, Run

START = 1_800_000_000.0
SLEW_EVERY = 120
"""Seconds between two slews of the mount."""

HALF_HOUR, SHORT = 1800, 360
"""Seconds that are recorded of the case that the queries read, and of the others."""

PARTS = 5
"""The number of measurements of each figure. The size of a recording is the same each time."""

NIGHT, MONTH = 12 * 3600, 31 * 86_400
GIB = 2**30

_NUMBER = re.compile(rb"-?\d+\.\d+(?:e-?\d+)?")


def telemetry(noise: float, six_decimals: bool) -> Iterator[list[bytes]]:
    """Yield the lines of each tick of a mount that slews now and then, without end."""
    clock = Clock()
    clock.advance(1000.0)
    mount = SimulatedMount(
        clock, lambda reply: None, tai=lambda: START + clock.seconds(), ready=True, heartbeat_timeout=0
    )
    source, due = Telemetry(mount, noise, 1), TelemetryClock(START + clock.seconds())
    for number in count():
        if number % round(SLEW_EVERY / TICK) == 0:
            azimuth = -100.0 if number % round(2 * SLEW_EVERY / TICK) else 100.0
            mount.receive(commands.BothAxesMove(azimuth=azimuth, elevation=45.0 + azimuth / 10))
        clock.advance(TICK)
        lines = [source.measure(topic).encode() for topic in due.due(START + clock.seconds())]
        if six_decimals:
            lines = [_NUMBER.sub(lambda found: b"%.6f" % float(found[0]), line) for line in lines]
        yield lines


class Recorded:
    """A folder with a recording of so many seconds.

    :ivar shares: the writer's processor time in each of `PARTS` equal parts of that time, in % of a core.
    :ivar size: size of all recordings, in bytes.
    """

    def __init__(self, ticks: Iterator[list[bytes]], seconds: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recordings-"))
        self._now = START
        options = RecorderOptions(self.folder, 14.0, 2**50, 0, {})
        log = logging.getLogger("benchmarks.recorder")
        writer = RecordingWriter(
            options, DIALECT, log.log, clock=lambda: self._now, wall_clock=lambda: self._now
        )
        self.shares = [0.0] * PARTS
        for second in range(seconds):
            items = [
                Item(START + second + number * TICK, "", line)
                for number in range(round(1 / TICK))
                for line in next(ticks)
            ]
            self._now = START + second + 1
            start = thread_time()
            writer.turn(items)
            self.shares[second * PARTS // seconds] += 100 * PARTS * (thread_time() - start) / seconds
        writer.finish(())
        self.size = sum(path.stat().st_size for path in self.folder.iterdir())

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)


class Copy(RecordingFile):
    """A recording that has the chunks of another one, with other times."""

    def add(self, source: int, contents: Contents, later: int) -> None:
        """Add all chunks of a recording, so many ns later."""
        for channel in contents.channels.values():
            self.channel(channel.topic, None)
        for chunk in contents.chunks:
            data = bytearray(os.pread(source, chunk.length + chunk.index_length, chunk.offset))
            np.frombuffer(data, "<u8", 2, 9)[:] += np.uint64(later)
            np.frombuffer(data, "<u8", 2 * chunk.messages, chunk.length + 15)[::2] += np.uint64(later)
            place = self._append(bytes(data))
            moved = chunk._replace(start=chunk.start + later, end=chunk.end + later, offset=place)
            self.contents.chunks.append(moved)


def repeated(recorded: Recorded, seconds: int, *, with_chunks: bool) -> Path:
    """Return a folder with recordings of an hour for so many seconds.

    :param with_chunks: False for digests only, and for those in long pieces in the place of the others, which
        would take 4 GiB in 31 days; no query reads them.
    """
    folder = Path(tempfile.mkdtemp(prefix="recordings-"))
    [path] = recordings(recorded.folder)
    source = os.open(path, os.O_RDONLY)
    contents = read_summary(path, source)
    assert contents is not None
    halves = {topic: unpacked(read_digest(path, source, place)) for topic, place in contents.digests.items()}
    digests = {topic: hour_of(half) for topic, half in halves.items()}
    longer = {topic: each.coarser(LONG_PIECE) for topic, each in digests.items()}
    for hour in range(0, seconds, 3600):
        copy = Copy.create(folder, START + hour, {})
        assert isinstance(copy, Copy)
        if with_chunks:
            for half in (0, HALF_HOUR):
                copy.add(source, contents, (hour + half) * NANO)
        long = moved(longer, hour)
        copy.finish(moved(digests, hour) if with_chunks else long, packed_together(long))
        copy.close()
    os.close(source)
    return folder


def hour_of(half: Digest) -> Digest:
    """Return the digest of half an hour twice, one after the other."""
    return joined([half, half._replace(starts=half.starts + HALF_HOUR)])


def moved(digests: dict[str, Digest], later: int) -> dict[str, bytes]:
    """Return packed digests with times that are so many seconds later."""
    return {
        topic: packed(each._replace(starts=each.starts + later), list(each.units.values()))
        for topic, each in digests.items()
    }


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
SIXTEEN = [*EIGHT, *LARGE[:3], *LARGE[5:7], "motion.azimuth.errorSky", "motion.elevation.error"]
SIXTEEN += ["encoder.elevationEncoderPosition1"]


def query(folder: Path, names: list[str], start: float, seconds: float, points: int) -> float:
    """Return the processor time of a query, in ms."""
    begun = thread_time()
    columns = signals.read(folder, names, start, start + seconds, points)
    elapsed = (thread_time() - begun) * 1000
    for name in names:
        assert any(value is not None for value in columns.signals[name].mean), name
    assert all(value is not None for value in columns.signals[names[0]].mean)
    return elapsed


async def measure(run: Run, reactor: Any) -> None:
    """Measure the writer and the queries."""
    kinds = (
        ("no noise", telemetry(0.0, False), SHORT),
        ("six decimals", telemetry(1.0, True), SHORT),
        ("all digits", telemetry(1.0, False), HALF_HOUR),
    )
    for name, ticks, seconds in kinds:
        recorded = Recorded(ticks, seconds)
        for what, unit, values, limit in (
            ("processor time", "% of a core", cycle(recorded.shares), 10.0),
            ("12 hours", "GiB", repeat(recorded.size * NIGHT / seconds / GIB), 1.2),
        ):
            goal = Goal("ours", "by itself, at most", limit)
            subjects = {"ours": lambda values=values: next(values)}
            await run.measure(Case("recorder", f"{what}, {name}", unit, subjects, (goal,), PARTS))
        if seconds == HALF_HOUR:
            break
        recorded.close()
    night = repeated(recorded, NIGHT, with_chunks=True)
    month = repeated(recorded, MONTH, with_chunks=False)
    recorded.close()
    middle = START + NIGHT / 2
    for what, folder, names, start, span, points, limit in (
        ("10 min of 8 signals: two topics", night, EIGHT, middle, 600, 600, 200.0),
        ("10 min of 8 signals: eight topics", night, LARGE, middle, 600, 600, 200.0),
        ("12 h of 16 signals", night, SIXTEEN, START, NIGHT, 1000, 10_000.0),
        ("31 days of 16 signals", month, SIXTEEN, START, MONTH, 4000, 10_000.0),
    ):
        subjects = {"ours": lambda asked=(folder, names, start, span, points): query(*asked)}
        goal = Goal("ours", "by itself, at most", limit)
        await run.measure(Case("recorder", what, "ms", subjects, (goal,), PARTS))
    shutil.rmtree(night)
    shutil.rmtree(month)
