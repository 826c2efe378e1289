"""Feeds every parser that faces a socket, or a file, with what nobody should send.

``make fuzz`` runs each of `targets.TARGETS` with atheris (the extra ``fuzz``) over what `corpus` has of real
lines, and prints how many inputs each took. ``tests/project/test_fuzz.py`` gives the same targets to
Hypothesis.

* `targets`: what is done with an input, and what may come out of it.
* `corpus`: what an input looks like at first.
* `one`: one target under atheris, in a process of its own.
* `__main__`: all of them.
* `results`: the table, and ``results.json``, which ``docs/explanation/reliability.rst`` is made from.
"""
