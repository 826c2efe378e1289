"""How much of what the page's clients send is read in a turn of the reactor: see `net.turns`.

Any client, with a token or without, is read in these turns: whose request it is turns out as it is parsed.
"""

from __future__ import annotations

from typing import Any

from mtmount_twisted.net.turns import Turns

SLICE = 512
"""How many bytes of one connection are read at once; a short request has fewer."""

PER_TURN = 2048
"""How many bytes of all connections are read in one turn of the reactor: 400 short headers, in 1 ms."""


def input_turns(reactor: Any) -> Turns:
    """Return the turns in which the connections of one page are read.

    :param reactor: an ``IReactorTime``.
    """
    return Turns(reactor, PER_TURN, SLICE)
