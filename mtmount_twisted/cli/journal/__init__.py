"""Reading the journal: ``mtmount-journal`` and ``python -m mtmount_twisted.journal`` run `main`.

* `following`: the entries that come, for ``tail -f``;
* `text`: an entry -> a line for people; `export`: entries -> JSON lines or CSV;
* `replay`: a commander's recorded commands -> a simulator;
* `options`: the command line; `program`: all of it put together.

The daemon may be writing meanwhile: nothing here holds a lock, or keeps the file from being tidied up.
``docs/reference/journal.rst`` is the manual.
"""

from .program import run as main

__all__ = ["main"]
