"""Recordings of made-up telemetry, with a clock that a test advances."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mcap.reader import make_reader

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.journal.recording.items import EVENTS, Item, RecorderOptions
from mtmount_twisted.journal.recording.layout import recordings
from mtmount_twisted.journal.recording.writer import RecordingWriter

TMA2022 = dialect_named("tma2022")
START = 1_800_000_000.0 + 600  # 2027-01-15T08:10:00Z
"""The time at which a recording begins (s, Unix time)."""

TOPICS = {"azimuth": 6, "elevation": 15, "encoder": 16, "cameraCableWrap": 8}


def nanoseconds(after: float) -> int:
    """The time so many seconds after `START`, in ns."""
    return int(START) * 1_000_000_000 + round(after * 1e9)


def numbers() -> dict[str, int]:
    """The number of each topic, by its name."""
    assert TMA2022.telemetry is not None
    return {name: number for number, name in TMA2022.telemetry.names.items()}


def topic_line(topic: str, at: float, **values: Any) -> bytes:
    """A line of a topic, without its terminator; each value has its time stamp (TAI)."""
    words = [f'"topicID":{numbers()[topic]}', f'"timestamp":{at!r}']
    for name, value in values.items():
        words += [f'"{name}":{value!r}', f'"{name}Timestamp":{at!r}']
    return f"{{{','.join(words)}}}".encode()


def item(time: float, *lines: bytes) -> Item:
    """Lines of telemetry that came together."""
    return Item(time, "", b"".join(line + TMA2022.terminator for line in lines))


def event(time: float, line: bytes) -> Item:
    """An event of the mount."""
    return Item(time, EVENTS, line)


class Writing:
    """A writer with a clock, and all that it has logged.

    :ivar now: the monotonic clock, and the wall clock minus `ahead`.
    :ivar ahead: the time by which the wall clock is ahead of the monotonic clock, in s.
    :ivar rests: the number of rests of the writer's thread.
    """

    def __init__(self, folder: Path, now: float = START, **options: Any) -> None:
        self.folder = folder
        self.now = now
        self.ahead = 0.0
        self.logged: list[str] = []
        self.rests = 0
        given: dict[str, Any] = {
            "keep_days": 14.0,
            "keep_bytes": 20 * 2**30,
            "min_free": 0,
            "about": {"dialect": "tma2022"},
        }
        self.writer = RecordingWriter(
            RecorderOptions(folder, **given | options),
            TMA2022,
            lambda level, text, *arguments: self.logged.append(text % arguments),
            clock=lambda: self.now,
            wall_clock=lambda: self.now + self.ahead,
            rest=self._rest,
        )

    def _rest(self) -> None:
        self.rests += 1

    def turn(self, *items: Item, seconds: float = 1.0) -> None:
        """Let time pass, then write."""
        self.now += seconds
        self.writer.turn(items)

    def record(
        self, seconds: int, topics: Sequence[str] = ("azimuth",), value: float = 0.0, every: int = 1
    ) -> None:
        """Record two lines of each topic in each second; the position counts up from `value`.

        :param every: the time between two turns of the writer, in s; each turn waits for the disk.
        """
        for _ in range(seconds // every):
            lines = []
            for half in range(2 * every):
                at = self.now + 0.25 + half / 2
                lines.append(
                    item(at, *(topic_line(topic, at + 37, actualPosition=value) for topic in topics))
                )
                value += 1
            self.turn(*lines, seconds=every)

    def finish(self) -> None:
        """End the recording."""
        self.writer.finish(())

    @property
    def files(self) -> list[Path]:
        """The recordings in the folder, the oldest first."""
        return recordings(self.folder)

    @property
    def names(self) -> list[str]:
        """All names in the folder."""
        return sorted(os.listdir(self.folder))


def messages_of(path: Path) -> Iterator[tuple[str, Any]]:
    """The topic and the message of each message in a finished recording, by the package's own reader."""
    with open(path, "rb") as file:
        for _, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            yield channel.topic, message
