"""Every command that was sent, its end, and its arrivals at the mount.

Each command has a sequence id of its own among all commanders, and a time stamp made of that: the bridge
passes the time stamp on as it is, so that a command is known again at the mount.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mtmount_twisted.dialects.dialect import Meaning

from .setting import TMA2020, Setting, number_of


@dataclass(eq=False, slots=True)
class Entry:
    """A command.

    :ivar ends: how it ended, for its commander: ``done``, ``ack`` or a NoAck's explanation. One, if all
        is well.
    :ivar orphan: True if its commander's connection was lost before that.
    :ivar came: how often the mount got it, by the code of the mount's command.
    """

    id: int
    code: int
    ends: list[str] = field(default_factory=list)
    orphan: bool = False
    came: Counter[int] = field(default_factory=Counter)

    def ended(self, *beginnings: str) -> bool:
        """Whether it ended once, in one of these ways."""
        return len(self.ends) == 1 and self.ends[0].startswith(beginnings)


class Ledger:
    """All commands of one house.

    :ivar arrived: how often the mount got each of them; of one that became several, the part that it got
        most often.
    :ivar own: how often the mount got each command of the bridge itself, by its class.
    :ivar positions: how often the mount got a command that is not of a commander here, by its position.
    """

    def __init__(self, setting: Setting = TMA2020) -> None:
        self.entries: dict[int, Entry] = {}
        self.arrived: Counter[int] = Counter()
        self.own: Counter[str] = Counter()
        self.positions: Counter[float] = Counter()
        self.setting = setting
        self._numbers = count(1)

    def enter(self, kind: type[Any], **parameters: Any) -> tuple[Entry, Any]:
        """A new command, and its entry."""
        number = next(self._numbers)
        command = self.setting.stamped(kind, number, **parameters)
        entry = self.entries[number] = Entry(number, int(command.command_code))
        return entry, command

    def heard(self, reply: Any) -> None:
        """Note a reply to a commander."""
        dialect = self.setting.commanders
        outcome = dialect.outcome_of(reply)
        entry = None if outcome is None else self.entries.get(outcome.sequence_id)
        if outcome is None or entry is None:
            return
        if outcome.meaning is Meaning.SUCCEEDED:
            entry.ends.append("done")
        elif outcome.meaning is not Meaning.ACKNOWLEDGED:
            entry.ends.append(outcome.explanation)
        elif dialect.kind_of(entry.code).ack_only:
            entry.ends.append("ack")

    def came(self, command: Any) -> None:
        """The mount got this."""
        number = number_of(command)
        if number in self.entries:
            came = self.entries[number].came
            came[int(command.command_code)] += 1
            self.arrived[number] = max(came.values())
        else:
            self.own[type(command).__name__] += 1
            if (position := getattr(command, "position", None)) is not None:
                self.positions[position] += 1

    @property
    def stops(self) -> int:
        """How often the bridge itself told the mount to stop both axes."""
        return self.own["BothAxesStop"]

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
