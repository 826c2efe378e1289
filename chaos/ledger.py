"""Every command that was sent, its end, and its arrivals at the mount.

Each command has a sequence id of its own among all commanders, and a time stamp made of that: the bridge
passes the time stamp on as it is, so that a command is known again at the mount.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from mtmount_twisted.commands import AckOnlyCommandCodes, BothAxesStop, Command
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply, Reply

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@dataclass(eq=False, slots=True)
class Entry:
    """A command.

    :ivar ends: how it ended, for its commander: ``done``, ``ack`` or a NoAck's explanation. One, if all
        is well.
    :ivar orphan: True if its commander's connection was lost before that.
    """

    id: int
    code: int
    ends: list[str] = field(default_factory=list)
    orphan: bool = False

    def ended(self, *beginnings: str) -> bool:
        """Whether it ended once, in one of these ways."""
        return len(self.ends) == 1 and self.ends[0].startswith(beginnings)


class Ledger:
    """All commands of one house.

    :ivar arrived: how often the mount got each of them.
    :ivar stops: how often the bridge itself told the mount to stop both axes.
    """

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.arrived: Counter[int] = Counter()
        self.stops = 0
        self._numbers = count(1)

    def enter(self, kind: type[Command], **parameters: Any) -> tuple[Entry, Command]:
        """A new command, and its entry."""
        number = next(self._numbers)
        command = kind(sequence_id=number, timestamp=EPOCH + number * MILLISECOND, **parameters)
        entry = self.entries[number] = Entry(number, int(command.command_code))
        return entry, command

    def heard(self, reply: Reply) -> None:
        """Note a reply to a commander."""
        entry = self.entries.get(getattr(reply, "sequence_id", 0))
        if entry is None:
            return
        if isinstance(reply, NoAckReply):
            entry.ends.append(reply.explanation)
        elif isinstance(reply, DoneReply):
            entry.ends.append("done")
        elif isinstance(reply, AckReply) and entry.code in AckOnlyCommandCodes:
            entry.ends.append("ack")

    def came(self, command: Command) -> None:
        """The mount got this."""
        number = round((command.timestamp - EPOCH) / MILLISECOND)
        if number in self.entries:
            self.arrived[number] += 1
        elif isinstance(command, BothAxesStop):
            self.stops += 1

    def has_ended(self, entries: Iterable[Entry] | None = None) -> bool:
        """Whether all of these, or all, ended or were given up with their commander."""
        wanted = self.entries.values() if entries is None else entries
        return all(entry.ends or entry.orphan for entry in wanted)

    def lost(self) -> list[str]:
        """Describe each command without exactly one end for a present commander, or sent twice."""
        found = []
        for entry in self.entries.values():
            if len(entry.ends) > 1:
                found.append(f"command {entry.id} ended {len(entry.ends)} times: {entry.ends}")
            elif not entry.ends and not entry.orphan:
                found.append(f"command {entry.id} has no end")
            if self.arrived[entry.id] > 1:
                found.append(f"command {entry.id} was sent {self.arrived[entry.id]} times")
        return found
