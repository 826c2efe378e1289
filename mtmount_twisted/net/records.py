"""Turns for decrypting: the bytes that strangers send on established TLS connections are decrypted in slices.

A record may hold one byte, and costs as much to decrypt as a long one: 4 KiB of such records take 4 ms. So a
peer without command is decrypted in slices of `SLICE` bytes. All slices share the steps of `handshakes`: a
slice is a step. Commanders that have sent nothing for `REST` go first, the newest before the others, so that
the stop or the ask of a quiet commander waits for no crowd. Known addresses go next, then the first slice of
each connection, which holds a whole stop, then other slices. The addresses take turns.

Values only: no Twisted. Next to read: `tls_connections`, which has the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .by_network import ByNetwork
from .turns import Rank, Turns

SLICE = 512
"""The largest number of bytes of one connection that are decrypted at once: 23 records of one byte."""

STEP_TIME = 0.0005
"""The time that counts as one step, in seconds; a step that takes longer counts as several."""


REST = 1.0
"""The time since its last slice after which a commander goes first again, in seconds."""


class Records(Protocol):
    """A connection that has received records, and may not be read at once.

    :ivar has_rights: True for a commander.
    :ivar read_at: the time of its last slice, which the queue sets; in seconds.
    """

    has_rights: bool
    read_at: float

    @property
    def is_new(self) -> bool:
        """True until it has had its first slice."""

    def read_records(self, most: int) -> None:
        """Decrypt at most `most` bytes. If more are there, add this connection to the queue again. It must
        not raise."""


def as_steps(step: int, seconds: float) -> int:
    """Return the number that a step of a duration counts as; a usual step counts as the number `step`."""
    return max(step, int(step * seconds / STEP_TIME))


class RecordQueue:
    """The connections of one server that wait with records.

    :param turns: from `handshakes.handshake_turns`, shared by all servers of the process.
    :param now: returns the monotonic clock, in seconds.
    :param is_known: return True for the network of a known address, as `hosts.client_network` names it.
    """

    def __init__(self, turns: Turns, now: Callable[[], float], is_known: Callable[[str], bool]) -> None:
        self._turns = turns
        self._now = now
        self._is_known = is_known
        self._rested: dict[Records, None] = {}  # the newest last
        self._known: ByNetwork[Records] = ByNetwork()
        self._new: ByNetwork[Records] = ByNetwork()
        self._others: ByNetwork[Records] = ByNetwork()

    def add(self, connection: Records, network: str) -> None:
        """Decrypt a slice: at once if this turn of the reactor has time left, else later.

        :param network: where its peer is.
        """
        if connection in self._rested:
            pass
        elif connection.has_rights and self._now() - connection.read_at >= REST:
            self.discard(connection, network)
            self._rested[connection] = None
        elif self._is_known(network):
            self._known.add(network, connection)
        elif connection.is_new:
            self._new.add(network, connection)
        else:
            self._others.add(network, connection)
        self._request_turn()

    def discard(self, connection: Records, network: str) -> None:
        """Decrypt nothing more of a connection."""
        self._rested.pop(connection, None)
        for waiting in (self._known, self._new, self._others):
            waiting.discard(network, connection)
        if not self._waits:
            self._turns.discard(self)

    def _request_turn(self) -> None:
        # A quiet commander and a known address go before the handshakes of strangers, too.
        is_first = self._rested or self._known.groups()
        self._turns.add(self, Rank.SECOND if is_first else Rank.USUAL)

    @property
    def _waits(self) -> bool:
        return bool(self._rested or any(each.groups() for each in (self._known, self._new, self._others)))

    def _next(self) -> Records:
        if self._rested:
            return self._rested.popitem()[0]
        return next(each for each in (self._known, self._new, self._others) if each.groups()).pop()

    def read_slice(self, most: int) -> int:
        """Decrypt one slice, now that it is this server's turn; see `turns.Reader`."""
        if not self._waits:
            return 0
        connection = self._next()
        if self._waits:
            self._request_turn()
        connection.read_at = began = self._now()
        connection.read_records(SLICE)
        return as_steps(most, self._now() - began)
