"""Turns for decrypting: the bytes that strangers send on established TLS connections are decrypted in slices.

A record may hold one byte, and costs as much to decrypt as a long one: 4 KiB of such records take 4 ms. So a
peer without command is decrypted in slices: whole records of `SLICE` bytes together, or a longer one. All
slices share the steps of `handshakes`: a whole slice is a step, and a short one, such as a stop, an eighth of
a step, or its time if that is more. The slices go in this order:

1. of commanders that had no slice for `REST`, so that the stop or the ask of a quiet commander waits for no
   crowd: a turn of the reactor has time for a stop of each socket that it serves;
2. of other connections from known addresses that had no slice for `REST`;
3. of other connections from known addresses; after `MOST_AHEAD` of them, one of the rest has its turn;
4. the first one of each connection, which holds a whole stop;
5. the others.

In the groups 2 and 4 the addresses take turns. In the groups 3 and 5 the address that has needed least goes
first (`FairNetworks`): one that sends ten messages in a second goes before a crowd that sends on and on. The
first two groups go before all handshakes. A connection is in them once in `REST`, and a new connection must
shake hands before, so they can't keep handshakes out.

A part of a record decrypts to nothing. So a connection requests a turn when a record is whole
(`whole_records`), during its handshake, too: a peer that sends a record byte by byte has one turn for it, and
not one for each byte.

Values only: no Twisted. Next to read: `tls_connections`, which has the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .by_network import ByNetwork, FairNetworks
from .turns import Rank, Turns

SLICE = 512
"""The largest number of bytes of one connection that are decrypted at once: 22 records of one byte. A single
record may be longer."""

STEP_TIME = 0.0005
"""The time that counts as one step, in seconds; a step that takes longer counts as several."""


REST = 1.0
"""The time since its last slice after which a connection of a commander, or from a known address, goes first
again, in seconds."""

HEADER = 5
"""The number of bytes before the content of a record: its type, two bytes of version, two of its length (RFC
8446, 5.1; RFC 5246, 6.2.1)."""

MOST_CONTENT = 2**14 + 2048
"""The largest length of the content of a record (RFC 5246, 6.2.3)."""

COST_SIZE = 256
"""The size of a slice that costs 1. The cost grows with the square of the size: a client of a crowd has sent
more than one message before it has its next slice, so it has less of them than a client that sends seldom."""

SHORT, LEAST_COST = 72, 1 / 64
"""The largest size of a slice that counts as short, and its cost. The record of a stop has up to 64 bytes
under TLS 1.3, and up to 71 under TLS 1.2: it counts as much as that of a heartbeat."""

MOST_AHEAD = 3
"""The largest number of steps in a row for peers with precedence, while one of the others waits."""


class Records(Protocol):
    """A connection that has received records, and may not be read at once.

    :ivar has_rights: True for a commander.
    :ivar due: the bytes that it has received.
    :ivar read_at: the time of its last slice, which the queue sets; in seconds.
    """

    has_rights: bool
    due: bytes
    read_at: float

    @property
    def is_new(self) -> bool:
        """True until it has had its first slice."""

    def read_records(self, most: int) -> int:
        """Decrypt the whole records that fit into `most` bytes, or a longer one. If more are there, add this
        connection to the queue again. It must not raise.

        :returns: the number that it counts as, at most `most`.
        """


def as_steps(least: int, seconds: float) -> int:
    """Return the number that work of a duration counts as; a usual step counts as `SLICE`.

    :param least: the smallest number that it counts as.
    """
    return max(least, int(SLICE * seconds / STEP_TIME))


def whole_records(data: bytes, most: int = SLICE) -> int:
    """Return the length of the first records that are whole: of those that fit into `most` bytes together, or
    of the first one, however long it is; 0 if not even the first one is whole.

    If `data` begins with bytes that can't begin a record, the result is as if they were whole: OpenSSL ends
    the connection as soon as it has read `HEADER` of them. The type of a record says nothing here: OpenSSL
    refuses an unknown type only when it has read the whole record.

    :param data: begins with a record.
    """
    end = 0
    while len(data) >= end + HEADER:
        content = int.from_bytes(data[end + 3 : end + HEADER], "big")
        after = end + HEADER + content
        if data[end + 1] != 3 or content > MOST_CONTENT:  # each version of TLS begins with 3
            return end or min(len(data), most)
        if after > len(data) or (end and after > most):
            break
        end = after
    return end


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
        self._rested: dict[Records, None] = {}
        self._known_rested: ByNetwork[Records] = ByNetwork()
        self._known: ByNetwork[Records] = FairNetworks(_cost, now)
        self._new: ByNetwork[Records] = ByNetwork()
        self._others: ByNetwork[Records] = FairNetworks(_cost, now)
        self._ahead = 0  # the slices of known addresses in a row

    def add(self, connection: Records, network: str) -> None:
        """Decrypt a slice: at once if this turn of the reactor has time left, else later.

        :param network: where its peer is.
        """
        has_rested = self._now() - connection.read_at >= REST
        if connection in self._rested or connection in self._known_rested.of(network):
            pass
        elif connection.has_rights and has_rested:
            self.discard(connection, network)
            self._rested[connection] = None
        elif self._is_known(network):
            self.discard(connection, network)
            (self._known_rested if has_rested else self._known).add(network, connection)
        elif connection.is_new:
            self._new.add(network, connection)
        else:
            self._others.add(network, connection)
        self._request_turn()

    def discard(self, connection: Records, network: str) -> None:
        """Decrypt nothing more of a connection."""
        self._rested.pop(connection, None)
        for waiting in self._by_network:
            waiting.discard(network, connection)
        if not self._waits:
            self._turns.discard(self)

    def _request_turn(self) -> None:
        # These go before handshakes, too. Each is bounded by `REST`, as `Turns.add` demands of a rank.
        is_first = self._rested or self._known_rested.groups()
        self._turns.add(self, Rank.SECOND if is_first else Rank.USUAL)

    @property
    def _by_network(self) -> tuple[ByNetwork[Records], ...]:
        return self._known_rested, self._known, self._new, self._others

    @property
    def _waits(self) -> bool:
        return bool(self._rested or any(each.groups() for each in self._by_network))

    def _next(self) -> Records:
        if self._rested:
            connection = next(iter(self._rested))
            del self._rested[connection]
            return connection
        if self._known_rested.groups():
            return self._known_rested.pop()
        others = self._new if self._new.groups() else self._others
        if self._known.groups() and not (others.groups() and self._ahead >= MOST_AHEAD):
            self._ahead += 1
            return self._known.pop()
        self._ahead = 0
        return others.pop()

    def read_slice(self, most: int) -> int:
        """Decrypt one slice, now that it is this server's turn; see `turns.Reader`."""
        if not self._waits:
            return 0
        connection = self._next()
        if self._waits:
            self._request_turn()
        connection.read_at = began = self._now()
        taken = connection.read_records(SLICE)
        return as_steps(taken, self._now() - began)


def _cost(connection: Records) -> float:
    size = min(len(connection.due), SLICE)
    return LEAST_COST if size <= SHORT else (size / COST_SIZE) ** 2
