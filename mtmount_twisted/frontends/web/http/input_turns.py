"""Bounds on the input that is read from HTTP clients in one turn of the reactor.

The bounds apply to clients with and without a token, because only parsing a request reveals its user. Next to
read: `net.turns`, the turns; `site`, whose connections take these turns.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.net.turns import Turns

SLICE = 512
"""The largest number of bytes of one connection that are read at once. A usual request without a body is
shorter."""

COMPLETED = 256
"""The bytes that a slice with the end of a request counts as at least: its rights are looked up, or a refusal
is written, in 0.2 ms. Without this, a turn would end 64 requests whose other bytes came before."""

EARLY = 2048
"""The bytes at the start of a request that are read before the further bytes of longer requests. A browser's
stop has 1.5 KiB."""

PER_TURN = 4096
"""The largest number of bytes of all connections that are read in one turn of the reactor: 800 short headers,
in 2 ms.

It is twice `EARLY`. A turn answers one request, and its peer then sends the next one. So strangers can't send
requests of `EARLY` bytes faster than they are read, and a stop finds no queue of their requests.
"""


def input_turns(reactor: IReactorTime) -> Turns:
    """Return the turns by which the connections of one HTTP server are read."""
    return Turns(reactor, PER_TURN, SLICE)
