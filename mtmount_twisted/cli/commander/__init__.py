"""The commander: a program with which a person, or a script, commands the mount.

``mtmount-commander`` and ``python -m mtmount_twisted.commander`` run `main`. A line such as
``az_move 10`` goes this way::

    prompt or script -> line -> Session -> Mount -> ... -> Session -> report -> output

* pure, with no Twisted: `names` (short names), `line` (text -> command), `manual` (help),
  `completion`, `report` (what the mount said -> text);
* `session`: runs lines on a `Mount` and shows what comes of them;
* `script`: lines from a pipe; `prompt`: lines from a person, with ``prompt_toolkit``;
* `options`: the command line; `program`: all of it put together.

It uses the library as any other program would, and nothing of the simulator or the bridge.
``docs/reference/commander.rst`` is its manual.
"""

from .program import main

__all__ = ["main"]
