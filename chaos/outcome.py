"""The expectations of a row of the table, and its observations: values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from .setting import TMA2020, Setting


class Impossible(Exception):
    """A fault can't be injected on this machine."""


@dataclass
class Outcome:
    """The observations of one row.

    :ivar injected: number of injections of the fault.
    :ivar seen: number of observations of each expected effect.
    :ivar lost: commands that did not end exactly once.
    :ivar problems: other deviations, in words.
    :ivar impossible: why the fault can't be injected on this machine; empty if it can.
    :ivar measured: figures of this row alone, such as how long something took.
    :ivar note: a remark for the table, such as the seed of a row.
    :ivar figures: the figures of `report.FIGURES`: added up over all rows, or the largest.
    """

    injected: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    problems: list[str] = field(default_factory=list)
    impossible: str = ""
    note: str = ""
    figures: Counter[str] = field(default_factory=Counter)
    measured: dict[str, int] = field(default_factory=dict)

    def inject(self) -> None:
        """The fault is there once more."""
        self.injected += 1

    def see(self, word: str, holds: bool = True) -> None:
        """Something was seen, if it holds."""
        if holds:
            self.seen[word] += 1


@dataclass(frozen=True)
class Row:
    """A fault and its expected effects.

    :ivar fault: the fault, in words.
    :ivar run: injects it so many times.
    :ivar full: how many times in the full run.
    :ivar short: how many times in the short one; 0 to leave it out.
    :ivar expected: the effects of each injection.
    :ivar alone: True if it needs the machine for itself; others wait most of the time.
    :ivar seconds: the longest time of each injection beyond `stage.ROW_TIME`, in seconds.
    :ivar setting: the protocols of the mount and of the commanders.
    """

    fault: str
    run: Callable[[Any, int], Awaitable[None]]
    full: int
    short: int
    expected: tuple[str, ...]
    alone: bool = False
    seconds: float = 0.0
    setting: Setting = TMA2020

    def is_met(self, outcome: Outcome) -> bool | None:
        """Whether all was as expected; None if there was nothing to see."""
        if outcome.impossible:
            return None
        seen = all(outcome.seen[word] == outcome.injected for word in self.expected)
        return bool(outcome.injected) and seen and not outcome.lost and not outcome.problems
