"""The commander: a program with which a person or a script commands the mount.

``mtmount-commander`` and ``python -m mtmount_twisted.commander`` run `main`. A line such as
``az_move 10`` passes through these objects::

    prompt or script -> line -> Session -> Mount -> ... -> Session -> report -> output

* Pure, without Twisted: `names` (short names), `line` (text to command), `manual` (help), `completion`, and
  `report` (replies and errors to text).
* `session`: runs lines on a `Mount` and shows the results.
* `script`: lines from a pipe; `prompt`: lines from a person, with ``prompt_toolkit``.
* `options`: the command line; `program`: the complete program.

The program uses the library as any other program does, and imports nothing of the simulator or the bridge.
Next to read: `session`. ``docs/reference/commander.rst`` is its manual.
"""

from .program import main

__all__ = ["main"]
