"""Reading of the journal: ``mtmount-journal`` and ``python -m mtmount_twisted.journal`` run `main`.

* `following`: new entries, for ``tail -f``.
* `text`: an entry as a line for people; `export`: entries as JSON lines or CSV.
* `replay`: sends a commander's recorded commands to a simulator.
* `options`: the command line; `program`: the complete program.

The daemon may write at the same time: this package holds no lock, so the daemon can still delete old entries.
Next to read: `program`. ``docs/reference/journal.rst`` is the manual.
"""

from .program import run as main

__all__ = ["main"]
