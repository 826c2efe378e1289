"""Faults of the recorder: its disk, and the end of the daemon."""

from __future__ import annotations

import json
import random
import resource
from collections import Counter
from functools import partial
from pathlib import Path

from mtmount_twisted.journal.recording import signals
from mtmount_twisted.journal.recording.items import EVENTS
from mtmount_twisted.journal.recording.layout import TAIL, recordings

from .house import House
from .stage import Stage
from .waits import pause, rises

LAST_SECOND = 1.5
"""The newest recorded line may be so many seconds older than the newest line of a reader: one second that a
crash loses, and the time until the daemon's disk has it."""


def _lines(house: House) -> Counter[bytes]:
    """All recorded lines of telemetry."""
    found = signals.lines(house.recordings)
    return Counter(line for _, topic, line in found if topic != EVENTS)


def _newest(lines: list[bytes]) -> float:
    return max((float(json.loads(line)["timestamp"]) for line in lines), default=0.0)


async def killed(stage: Stage, times: int) -> None:
    """``kill -9`` while the recorder writes; the recordings are read before and after the next start."""
    house = await stage.house(recorder=True)
    house.whole = False
    chance, outcome = random.Random(7), house.outcome
    for number in range(times):
        await house.goes_on(2.0)
        await pause(house.reactor, chance.random())
        outcome.inject()
        last = _newest(list(house.reader.last.values()))
        await house.daemon.end("KILL")
        outcome.figures["kill"] += 1
        before = _lines(house)
        outcome.see("at most the last second lost", last - _newest(list(before)) < LAST_SECOND)
        await house.start()
        await house.join()
        await house.daemon.said("finished the recording .* of a killed daemon", 10.0)
        outcome.see("no recorded line lost", not before - _lines(house))
        outcome.see("finished at the next start", len(recordings(house.recordings)) == number + 2)
        outcome.see("goes on", await house.answers())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _ahead(one: Path, other: Path) -> int:
    """Return by how many bytes a file is larger than another one."""
    return _size(one) - _size(other)


async def full(stage: Stage, times: int) -> None:
    """A write to the recording's tail file fails in the middle, and so do all behind it, for 2 s."""
    house = await stage.house(recorder=True)
    outcome, chance = house.outcome, random.Random(8)
    log = Path(f"{house.journal}-wal")
    _, most = resource.prlimit(house.daemon.pid, resource.RLIMIT_FSIZE)
    for number in range(times):
        tail = Path(f"{recordings(house.recordings)[-1]}{TAIL}")
        # The limit is for all files, and this row is not about the journal.
        await rises(house.reactor, partial(_ahead, tail, log), 2**18, "the tail file grows", 60.0)
        outcome.inject()
        limit = _size(tail) + chance.randrange(4096)
        resource.prlimit(house.daemon.pid, resource.RLIMIT_FSIZE, (limit, most))
        outcome.see("commanding goes on", await house.goes_on(2.0))
        await house.daemon.said("the recorder can't write to", 10.0, number + 1)
        resource.prlimit(house.daemon.pid, resource.RLIMIT_FSIZE, (most, most))
        await house.daemon.said("the recorder writes to .* again after", 15.0, number + 1)
        outcome.see("no line lost", house.daemon.says("again after .* lost messages: 0") == number + 1)
        outcome.see("readers stay", house.reader.is_open)
        await house.calm()
