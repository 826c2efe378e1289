"""The end of a recording that its daemon could not finish: it was killed, or the machine lost power.

The messages in the tail file that are in no chunk become chunks, and the file gets its summary. If a crash
ends this work, the next start finishes the file. It blocks: the recorder's thread calls it. Next to read:
`files`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mtmount_twisted.errors import RecordingError

from .files import RecordingFile, TailFile
from .layout import MAGIC, TAIL, Message, open_regular, read_summary, recordings, tail_messages

MOST_TAIL = 256 * 2**20
"""The largest number of bytes that are read of a tail file. The recorder begins to write chunks at 64 MiB,
and a flood goes on meanwhile. Lines beyond are dropped."""

TOGETHER = 20_000
"""The largest number of messages of a chunk, so that the messages of a long tail file never stand in memory
together."""


def unfinished(folder: Path) -> list[Path]:
    """Return the recordings in a folder that have a tail file or no summary, the oldest first."""
    found = []
    for path in recordings(folder):
        if os.path.lexists(f"{path}{TAIL}") or not _is_closed(path):
            found.append(path)
    return found


def _is_closed(path: Path) -> bool:
    """Return True unless the file has no end, which costs one small read."""
    try:
        file = open_regular(path)
    except (OSError, RecordingError):  # `recover` reports it
        return False
    try:
        size = os.fstat(file).st_size
        return size > 2 * len(MAGIC) and os.pread(file, len(MAGIC), size - len(MAGIC)) == MAGIC
    except OSError:
        return False
    finally:
        os.close(file)


def recover(path: Path, compress: Callable[[bytes], bytes]) -> int | None:
    """Finish a recording.

    :returns: the number of messages that came from the tail file; None if a running daemon writes the
        recording.
    :raises RecordingError: if the recording or its tail is not this user's own regular file.
    :raises OSError: if a file can't be written.
    """
    file = open_regular(path, owner=os.geteuid())
    try:
        is_whole = _has_summary(path, file)
    finally:
        os.close(file)
    if is_whole:  # the daemon was killed before it removed the tail
        TailFile(path).remove()
        return 0
    messages = _read_tail(path)
    recording = RecordingFile.resume(path)
    if recording is None:
        return None
    try:
        counts = recording.contents.counts()
        channels = recording.contents.channels
        by_channel: dict[int, list[Message]] = {}
        recovered = 0
        for message in messages:
            if message.channel in channels and message.sequence > counts.get(message.channel, 0):
                found = by_channel.setdefault(message.channel, [])
                found.append(message)
                recovered += 1
                if len(found) == TOGETHER:
                    recording.write_chunk(found, compress)
                    found.clear()
        for found in by_channel.values():
            if found:
                recording.write_chunk(found, compress)
        recording.finish()
    finally:
        recording.close()
    TailFile(path).remove()
    return recovered


def _has_summary(path: Path, file: int) -> bool:
    try:
        return read_summary(path, file) is not None
    except RecordingError:
        return False


def _read_tail(path: Path) -> Iterator[Message]:
    try:
        file = open_regular(Path(f"{path}{TAIL}"), owner=os.geteuid())
    except FileNotFoundError:
        return iter(())
    with open(file, "rb") as tail:
        return tail_messages(tail.read(MOST_TAIL))
