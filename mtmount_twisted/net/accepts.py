"""`AcceptQueue`: the connections to a listening socket wait here for their turn.

A connection takes a few tenths of a millisecond to set up, and the system hands connections over in the order
of their arrival. If strangers connect again and again, a user's connection would wait behind theirs, or be
dropped because the system's queue is full. But it takes only a hundredth of a millisecond to take a
connection from the system and to see that its peer is gone. So the queue takes all connections at once, and
closes the connections without a peer. In each turn of the reactor it returns one of the other connections,
and a few more while the turn is short. Every second time it is one from a known address, if one waits. Of the
others, those that had sent something on their arrival go first. The known addresses take turns, and so do the
unknown ones. On a Unix socket the peer's user counts as its address.

It touches only the listening socket and the waiting ones. Next to read: `unix_sockets`, for other differences
of these sockets; ``frontends.tcp.ports`` and ``frontends.web.http.site``, which accept in this way.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime

from mtmount_twisted.hosts import client_network

from .liveness import CLOSE_WAIT, state_of
from .turn_time import NEVER, turn_time_of
from .unix_sockets import LOOK, Closer, UnixPeer, refuse_files, user_of

ACCEPTS = 1
"""The number of connections of one listening socket that are set up in a turn of the reactor; of the turns
that are used up, most set up none (`turn_time`)."""

MORE_ACCEPTS, ACCEPT_TIME = 2, 0.0005
"""The largest number of further ones, and the time in seconds for which they are set up in a turn that is not
used up. Many more at once would displace a user's connection to the page before its request is
read."""

MOST_AHEAD = 3
"""The largest number of connections in a row that had sent something, while one waits that had not."""

TAKE_TIME = 0.002
"""The time for which a queue takes connections from the system in one turn, in seconds.

A fixed number would be too small after a late turn: a program on this machine can connect 15,000 times a
second.
"""

MIN_TAKEN, MAX_TAKEN = 64, 1024
"""The smallest and the largest number of connections that a queue takes in one turn. The smallest number
holds however long they take: else the system's queue would overflow, and a user's connection would be made a
second later."""

LATE_TAKEN = 16
"""The number of connections that a queue takes in a turn that other work has used up. Most of these turns
take none (`turn_time`)."""

MAX_WAITING = 256
"""The largest number of connections that wait in one queue, each with an open file. If there are more, the
queue closes one, so that the system's queue has room for other addresses. If an address is unknown, its
connections that had sent something on their arrival are one group, and its silent ones another. The queue
closes the newest connection of the largest group; of equal groups, a silent one gives way, and the newest.
Known addresses give way only if no unknown one waits.
"""


LONGEST_HEAD = 16 * 1024
"""The number of bytes in which the head of a request ends: the page refuses a longer one."""

HELD_BACK = 1
"""The time for which the system holds a silent connection back if the clients begin, in seconds (``tcp(7)``,
TCP_DEFER_ACCEPT). Thousands of silent connections then cost the reactor nothing."""


class _Waiting(NamedTuple):
    """A connection that is not set up: its socket and its peer's address, as `socket.accept` returns them.

    On a Unix socket the address is that of `user_of`.

    :ivar number: how many connections the queue had taken from the system before.
    """

    number: int
    socket: socket.socket
    address: Any


class _AddressQueue:
    """The connections from one address that wait.

    :param network: the address, as `hosts.client_network` names it.
    :ivar size: their number.

    All are in the order of their arrival.
    """

    def __init__(self, network: str) -> None:
        self.network = network
        self._silent: deque[_Waiting] = deque()  # their peers had sent nothing when they were taken
        self._others: deque[_Waiting] = deque()
        self.size = 0

    def add(self, taken: _Waiting, has_sent: bool) -> None:
        """Add the newest connection.

        :param has_sent: True if the peer had sent data when the connection was taken from the system.
        """
        (self._others if has_sent else self._silent).append(taken)
        self.size += 1

    def pop_first(self) -> _Waiting:
        """Remove the oldest connection."""
        self.size -= 1
        return min(filter(None, (self._silent, self._others))).popleft()

    def pop_last(self) -> _Waiting:
        """Remove the newest silent connection, or the newest of all if none is silent."""
        self.size -= 1
        return (self._silent or self._others).pop()


_SIZE = attrgetter("size")


class AcceptQueue:
    """Stands in for the socket of a listening port: `accept` returns the connection that has its turn.

    :param listening: the socket; it does not block.
    :param reactor: each of its turns has room for `ACCEPTS` connections; see `turn_time`, too.
    :param accept_on: called in a later turn while connections wait, to call `accept`.
    :param is_known: return True for the network of a known address, as `hosts.client_network` names it.
    :param clients_begin: True if a client sends before the server does. A connection whose peer has ended its
        side and sent nothing is then closed.
    :param closer: closes connections that carry open files; required for a Unix socket.
    """

    def __init__(
        self,
        listening: socket.socket,
        reactor: IReactorTime,
        accept_on: Callable[[], object],
        is_known: Callable[[str], bool],
        clients_begin: bool,
        closer: Closer | None = None,
    ) -> None:
        self._listening = listening
        self._reactor = reactor
        self._accept_on = accept_on
        self._is_known = is_known
        self._clients_begin = clients_begin
        self._time = turn_time_of(reactor)
        self._closer = closer if listening.family == socket.AF_UNIX else None
        if self._closer is not None:
            refuse_files(listening)
        self._known: dict[str, _AddressQueue] = {}  # by network; the network with the next turn comes first
        self._others: dict[str, _AddressQueue] = {}
        self._silent: dict[str, _AddressQueue] = {}  # unknown, and had sent nothing on arrival
        self._ahead = 0  # the number of `_others` before one of `_silent`
        self._count = 0
        self._numbers = itertools.count()
        self._is_late = False  # other work had used up the turn before this queue took connections
        self._turn = NEVER  # the number of the reactor's turn in which `_left` is counted
        self._accepted_in = NEVER  # the number of the latest turn in which connections were taken
        self._left = ACCEPTS
        self._more = MORE_ACCEPTS
        self._accepting_since = 0.0  # the time of the first of them in this turn (reactor, s)
        self._taken = 0  # in this turn
        self._began = 0.0  # the time of the first of them (reactor, s)
        self._prefers_known = False
        self._next: IDelayedCall | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection, as `socket.accept` does.

        :raises BlockingIOError: if none waits, or if this turn of the reactor has had its connections.
        :raises OSError: if none waits and the system hands none over, for example for want of a file.
        """
        if self._next is None:
            self._begin_turn()
        if (self._left and self._has_time()) or self._goes_on():
            self._take()
            while self._count:
                _, peer, address = self._pop()
                if self._has_sent(peer) is not None and not self._is_over(peer):
                    self._note_accepted()
                    return peer, address
                peer.close()
        raise BlockingIOError(errno.EAGAIN, "no connection has its turn")

    def _note_accepted(self) -> None:
        if self._left:
            self._left -= 1
            self._accepting_since = self._reactor.seconds()
        else:
            self._more -= 1

    def _goes_on(self) -> bool:
        """Return True if this turn has time for a further connection."""
        if self._left or not self._more or self._time is None or self._time.is_used_up:
            return False
        return self._reactor.seconds() - self._accepting_since < ACCEPT_TIME

    def close(self) -> None:
        """Close the socket, and the connections that wait."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        while self._count:
            self._pop().socket.close()
        if self._closer is not None:  # its end would end the files of all connections in it
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
                while True:
                    UnixPeer(self._listening.accept()[0], self._closer.close).close()
        self._listening.close()

    def _has_time(self) -> bool:
        time = self._time
        if time is None:
            return True
        self._is_late = time.is_used_up
        if not time.allows(self._accepted_in):
            return False
        self._accepted_in = time.number
        return True

    def _begin_turn(self) -> None:
        self._next = self._reactor.callLater(0, self._next_turn)
        if self._time is not None:
            self._turn = self._time.number

    def _next_turn(self) -> None:
        if self._time is not None and self._time.number == self._turn:  # the sockets were read before
            self._begin_turn()
            return
        self._next = None
        self._left, self._more = ACCEPTS, MORE_ACCEPTS
        self._taken = 0
        if self._count:
            self._accept_on()

    def _take(self) -> None:
        """Take connections from the system."""
        while self._may_take() and not (self._closer is not None and self._closer.is_full):
            self._taken += 1
            try:
                accepted, address = self._listening.accept()
            except OSError:
                if self._count:  # for want of a file, perhaps: a waiting connection may free one
                    return
                raise
            has_sent = self._has_sent(accepted)
            if has_sent is None:
                accepted.close()
                continue
            if self._closer is not None:
                address = user_of(accepted)
                accepted = UnixPeer(accepted, self._closer.close)
            self._add(_Waiting(next(self._numbers), accepted, address), has_sent)

    def _may_take(self) -> bool:
        now = self._reactor.seconds()
        if not self._taken:
            self._began = now
        if self._is_late:
            return self._taken < LATE_TAKEN
        return self._taken < (MAX_TAKEN if now - self._began < TAKE_TIME else MIN_TAKEN)

    def _add(self, taken: _Waiting, has_sent: bool) -> None:
        address = taken.address
        network = client_network(address[0]) if isinstance(address, tuple) else address
        unknown = self._others if has_sent else self._silent
        networks = self._known if self._is_known(network) else unknown
        line = networks.get(network)
        if line is None:
            line = networks[network] = _AddressQueue(network)
        line.add(taken, has_sent)
        self._count += 1
        if self._count > MAX_WAITING:
            self._drop_one()

    def _drop_one(self) -> None:
        unknown = [*self._others.values(), *self._silent.values()]
        line = max(reversed(unknown or self._known.values()), key=_SIZE)  # the oldest has its turn next
        line.pop_last().socket.close()
        for networks in (self._known, self._others, self._silent):
            if not line.size and networks.get(line.network) is line:
                del networks[line.network]
        self._count -= 1

    def _pop(self) -> _Waiting:
        self._prefers_known = not self._prefers_known
        networks = self._known
        if not networks or (not self._prefers_known and (self._others or self._silent)):
            networks = self._next_unknown()
        network = next(iter(networks))
        line = networks.pop(network)
        found = line.pop_first()
        if line.size:
            networks[network] = line  # behind the other networks
        self._count -= 1
        return found

    def _next_unknown(self) -> dict[str, _AddressQueue]:
        if self._others and not (self._silent and self._ahead >= MOST_AHEAD):
            self._ahead += 1
            return self._others
        self._ahead = 0
        return self._silent

    def _has_sent(self, peer: socket.socket) -> bool | None:
        """Return whether data of a peer waits; None if its connection is reset, or ended for nothing."""
        if self._closer is None and peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return None
        try:
            has_sent = bool(peer.recv(1, LOOK))
        except BlockingIOError:  # it has sent nothing yet
            return False
        except OSError:
            return None
        return None if self._clients_begin and not has_sent else has_sent

    def _is_over(self, peer: socket.socket) -> bool:
        """Return True if a client that begins has ended its side before it sent the head of a request.

        A TLS handshake can't end any more then, either.
        """
        if not self._clients_begin or self._closer is not None or state_of(peer) != CLOSE_WAIT:
            return False
        try:
            return b"\r\n\r\n" not in peer.recv(LONGEST_HEAD, LOOK)
        except OSError:
            return True


def accept_in_turns(
    port: IListeningPort,
    reactor: IReactorTime,
    is_known: Callable[[str], bool] = lambda network: False,
    clients_begin: bool = False,
) -> None:
    """Let a port that listens accept through an `AcceptQueue` from now on, until the port is closed.

    The parameters are those of `AcceptQueue`. If clients begin, the system holds a TCP connection back until
    its peer has sent something, or for `HELD_BACK`.

    :param port: a port of Twisted's reactors; one without a socket is left alone.
    """
    listening = getattr(port, "socket", None)
    if listening is None:
        return

    def accept_on() -> None:
        if not getattr(port, "disconnecting"):  # a disconnecting port closes this socket in this turn
            getattr(port, "doRead")()

    def note_full(full: bool) -> None:
        if getattr(port, "connected") and not getattr(port, "disconnecting"):
            getattr(port, "stopReading" if full else "startReading")()

    if clients_begin and listening.family != socket.AF_UNIX and hasattr(socket, "TCP_DEFER_ACCEPT"):
        with suppress(OSError):  # a system that can't hold connections back
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, HELD_BACK)
    closer = None
    if listening.family == socket.AF_UNIX:
        closer = Closer(reactor, note_full)
    # `tcp.Port.doRead` calls `accept` of this attribute until it raises `BlockingIOError`.
    queue = AcceptQueue(listening, reactor, accept_on, is_known, clients_begin, closer)
    setattr(port, "socket", queue)
