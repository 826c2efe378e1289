"""How fast the package is, each figure beside its comparator in the same run: ``make bench``.

* `runner` measures a `Case`: all its subjects in turn, again and again, and how they compare.
* A module per group of cases: `codec` (with `by_hand`), `receiving`, `sending`, `one_way`,
  `round_trip`, `bridge`, `web_streams`, `starting`.
* `simple_stack` is the comparator of several groups; `far_end` runs in a second process.
* `tables` makes the tables of ``docs/explanation/performance.rst`` from the file that a run writes.
* `profiling` shows where the time goes: ``make profile``.
* `calls` traces a command, a reply and an event, and prints their ways: ``python -m benchmarks.calls``.
"""
