"""Breaks things around the real daemon on purpose, and prints what became of every command.

``python -m chaos`` goes through `rows.ROWS`, the table of faults. For each row it starts a daemon, in a
process of its own, between a simulated mount and commanders, both in this process and behind proxies; injects
the fault as often as the table says; and looks at what was seen, at what was lost, and whether the daemon is
back where it began.

* `rows`: the table; each row's function is in a module ``on_...``.
* `house`: all that stands around one daemon; `clients`, `process`, `web`, `cable` are its parts.
* `ledger`: every command that was sent, and how it ended; `records`: what the journal says of that.
* `launcher`: how the daemon is started, and what is broken inside it.
* `outcome`: what a row has seen; `report`: the table and the figures; `machine`: where they were measured.
* `model`: the bridge against a model of its rules, in memory; `tables`: ``docs/explanation/reliability.rst``.

It touches 127.0.0.1, a temporary folder, and the processes that it starts. It is no part of the package.
"""
