"""Recordings and values as lines of text for people. It reads the recordings, and prints nothing. Next to
read: `export`, the same for other programs; `program`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mtmount_twisted.errors import RecordingError
from mtmount_twisted.journal.recording.signals import Value
from mtmount_twisted.journal.times import iso
from mtmount_twisted.visible import visible

_STAMP = "Timestamp"


def when(time: float) -> str:
    """Return a time as text; if it is outside the calendar, as a number."""
    try:
        return iso(time)
    except (ValueError, OverflowError, OSError):
        return f"{time:g} s"


def listed(folder: Path) -> Iterator[str]:
    """Yield a line for each recording: name, span, number of messages, size.

    The line of a damaged recording has the error instead.
    """
    from mtmount_twisted.journal.recording.index import read_recording
    from mtmount_twisted.journal.recording.layout import NANO, recordings

    for path in recordings(folder):
        try:
            recording = read_recording(path)
        except FileNotFoundError:
            continue
        except RecordingError as error:
            yield str(error)
            continue
        size = os.fstat(recording.file).st_size
        os.close(recording.file)
        span = recording.span
        messages = sum(recording.contents.counts().values()) + sum(
            len(each.times) for each in recording.tail.values()
        )
        times = "empty" if span is None else f"{when(span[0] / NANO)} to {when(span[1] / NANO)}"
        state = "" if recording.contents.is_finished else "  (not finished)"
        yield f"{path.name}  {times}  {messages:>9} messages  {size / 1e6:8.1f} MB{state}"


def signals_in(folder: Path) -> Iterator[str]:
    """Yield a line for each signal in the newest recording that can be read: name, unit, meaning."""
    from mtmount_twisted.journal.recording.index import read_recording
    from mtmount_twisted.journal.recording.items import EVENTS
    from mtmount_twisted.journal.recording.layout import recordings

    for path in reversed(recordings(folder)):
        try:
            recording = read_recording(path)
        except (FileNotFoundError, RecordingError):
            continue
        os.close(recording.file)
        if not recording.topics:
            continue
        for topic, channel in recording.topics.items():
            if topic != EVENTS:
                yield from _signals_of(topic, channel.schema)
        return


def _signals_of(topic: str, schema: bytes) -> Iterator[str]:
    try:
        properties: dict[str, Any] = json.loads(schema)["properties"]
        for name, each in properties.items():
            if not name.endswith(_STAMP) and name not in ("topicID", "timestamp"):
                unit, doc = each.get("unit", ""), each.get("description", "")
                yield visible(f"{topic}.{name:<50} {unit:<8} {doc}".rstrip())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # of another program
        return


def values_of(values: dict[str, Value], names: Sequence[str], time: float) -> Iterator[str]:
    """Yield a line for each value of a moment: signal, value, age.

    :param names: only these topics or signals; empty for all.
    """
    for topic, value in values.items():
        wanted = {name.partition(".")[2] for name in names if name.partition(".")[0] == topic}
        if names and not wanted:
            continue
        try:
            content = json.loads(value.line)
            members = list(content.items())
        except (ValueError, AttributeError, RecursionError):
            yield visible(f"{topic}: a line that can't be read: {value.line[:100]!r}")
            continue
        for name, each in members:
            is_quantity = not name.lower().endswith(_STAMP.lower()) and name != "topicID"
            if is_quantity and ("" in wanted or not wanted or name in wanted):
                yield visible(f"{topic}.{name} = {str(each)[:100]}  ({time - value.time:.2f} s old)")
