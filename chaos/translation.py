"""``python -m chaos.translation``: random commands to a mount of tma2020, and translated to one of tma2022.

`play` of ``tests/support/translated_mounts.py`` sends them and compares their ends. The test plays 2,000
commands; this program plays more, other ones with each seed. It prints how often each documented difference
appeared. The exit status is 1 if there was another difference.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from random import Random
from time import monotonic

from tests.support.translated_mounts import play

SESSION = 25
"""The most commands to one pair of mounts."""


def main(words: Sequence[str] | None = None) -> int:
    """Play the number of commands that the command line gives."""
    parser = argparse.ArgumentParser(prog="python -m chaos.translation", description="Compare two mounts.")
    parser.add_argument("--commands", type=int, default=100_000, help="at least so many [default: 100,000]")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers [default: 0]")
    given, began = parser.parse_args(words), monotonic()
    random, count, problems = Random(given.seed), 0, 0
    explained: Counter[str] = Counter()
    while count < given.commands:
        played = play(random, SESSION)
        count += played.count
        explained.update(played.explained)
        for problem in played.problems:
            problems += 1
            print(f"not documented: {problem}")
    for name, times in explained.most_common():
        print(f"{name}: {times:,}")
    same = count - explained.total() - problems
    print(f"{count:,} commands, {same:,} with the same outcome; {problems:,} differences are not documented")
    print(f"{monotonic() - began:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
