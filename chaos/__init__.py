"""Inject faults around the real daemon, and print the end of every command.

``python -m chaos`` goes through `rows.ROWS`, the table of faults. For each row it starts a daemon, in a
process of its own, between a simulated mount and commanders, both in this process and behind proxies. It
injects the fault as often as the table says, and checks the observed effects, the lost commands, and
whether the daemon is back in its first state.

* `rows`: the table; each row's function is in a module ``on_...``.
* `house`: everything around one daemon; `clients`, `process`, `web`, `cable` are its parts.
* `ledger`: every command that was sent, and its end; `records`: the same, from the journal.
* `launcher`: the start of the daemon, and the faults inside it.
* `outcome`: the observations of a row; `report`: the table and the figures; `machine`: the machine.
* `translation`: the translation against the simulators of both generations, in memory.
* `model`: the bridge against a model of its rules, in memory; `tables`: ``docs/explanation/reliability.rst``.

It touches 127.0.0.1, a temporary folder, and the processes that it starts. It is no part of the package.
"""
