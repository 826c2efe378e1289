"""Reading the journal: ``mtmount-journal`` and ``python -m mtmount_twisted.journal`` run `main`.

* `schema`: the file's tables and words; the bridge, which writes it, knows this one alone;
* `times`: what a person writes for a time; `reading`: the file -> entries, by what is asked for;
* `following`: the entries that come, for ``tail -f``;
* `text`: an entry -> a line for people; `export`: entries -> JSON lines or CSV;
* `replay`: a commander's recorded commands -> a simulator;
* `options`: the command line; `program`: all of it put together.

The bridge may be writing meanwhile: nothing here holds a lock, or keeps the file from being tidied up.
``docs/journal.rst`` is the manual.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``mtmount-journal``.

    :param arguments: the command line without the program's name; `sys.argv`'s if None.
    :returns: the exit status.
    """
    from .program import run  # late: the bridge imports `schema` only

    return run(arguments)
