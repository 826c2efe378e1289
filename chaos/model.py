"""``python -m chaos.model``: the bridge against a model of its rules, for a number of steps of each machine.

The machines are `MACHINES` of ``tests/bridge/test_model.py``: Hypothesis chooses the acts of commanders,
controller, network and time. After each step both must agree. The test plays some days; this program plays
more, each time other ones. The exit status is 1 if they differed.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from tests.bridge.test_model import MACHINES

from .machine import commit, machine

DAYS = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    database=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow],
)
"""How much is played before it is looked whether that was enough; each time other days."""


@dataclass
class Tally:
    """The steps that were played.

    :ivar steps: the rules that were executed, but for the one that begins a day.
    :ivar examples: the days.
    :ivar failures: 1 if model and bridge differed; then there was no next day.
    """

    steps: int = 0
    examples: int = 0
    failures: int = 0


def counted(kind: type[RuleBasedStateMachine], tally: Tally) -> type[RuleBasedStateMachine]:
    """A machine that counts: an invariant is looked at when a day has begun, and after each step."""

    class Counted(kind):  # type: ignore[misc,valid-type]
        has_begun = False

        @invariant()
        def count(self) -> None:
            tally.steps += self.has_begun
            tally.examples += not self.has_begun
            self.has_begun = True

    return Counted


def play(steps: int, kind: type[RuleBasedStateMachine]) -> Tally:
    """Play days until there were so many steps; a failure is printed, with the shortest day that has it."""
    tally = Tally()
    while tally.steps < steps and not tally.failures:
        try:
            run_state_machine_as_test(counted(kind, tally), settings=DAYS)
        except Exception:  # whatever it is, model and bridge are not as they should be
            tally.failures = 1
            traceback.print_exc()
    return tally


def main(
    words: Sequence[str] | None = None, kinds: Mapping[str, type[RuleBasedStateMachine]] = MACHINES
) -> int:
    """Play the number of steps that the command line gives, of each machine."""
    parser = argparse.ArgumentParser(prog="python -m chaos.model", description="Play bridge against model.")
    parser.add_argument(
        "--steps", type=int, default=20_000, help="at least so many of each [default: 20,000]"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    given, began = parser.parse_args(words), monotonic()
    facts = {**machine("Twisted", "hypothesis"), "commit": commit()} if given.json is not None else {}
    tallies: dict[str, dict[str, int]] = {}
    for dialect, kind in kinds.items():
        tallies[dialect] = asdict(play(given.steps, kind))
        for name, value in tallies[dialect].items():
            print(f"{dialect} {name}: {value:,}")
    seconds = round(monotonic() - began)
    print(f"{seconds} s")
    if given.json is not None:
        content = {"machine": {**facts, "seconds": seconds}, "figures": tallies}
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(any(tally["failures"] for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
