"""`AcceptQueue`: the connections to a listening socket wait here for their turn.

A connection takes a few tenths of a millisecond to set up, and the system hands connections over in the order
of their arrival. If strangers connect again and again, a user's connection would wait behind theirs, or be
dropped because the system's queue is full. But to take a connection from the system, and to see that its
peer is gone, takes only some hundredths of a millisecond. So each turn of the reactor takes many connections,
and closes those without a peer. Of the others it sets up a few. While turns are used up, all listening
sockets together have a share of the time for the taking, and another one for the setting up (`turn_time`).

In each turn, each socket sets up one connection from a known address, if one waits. Further ones alternate
with connections from unknown addresses. The order of these is:

1. those that had sent something on their arrival, from neighbourhoods, such as 192.0.2.0/24, that had no
   connection lately: a crowd of strangers comes back to its neighbourhoods and addresses sooner or later;
2. those that had sent something, from addresses that had no connection lately;
3. the others that had sent something;
4. the silent ones; after `MOST_AHEAD` of the groups before, one of the silent ones has its turn.

The addresses of each group take turns. On a Unix socket the peer's user counts as its address.

It touches only the listening socket and the waiting ones. Next to read: `unix_sockets`, for other differences
of these sockets; ``frontends.tcp.ports`` and ``frontends.web.http.site``, which accept in this way.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime

from mtmount_twisted.hosts import client_network, neighbourhood

from .liveness import CLOSE_WAIT, state_of
from .turn_time import NEVER, PART, Share, turn_time_of
from .unix_sockets import LOOK, Closer, UnixPeer, refuse_files, user_of

MOST_ACCEPTS, ACCEPT_TIME = 3, 0.0005
"""The largest number of connections from unknown addresses that all listening sockets together set up in a
turn of the reactor; and the time in seconds after which a socket sets up no further one of these. Many more
at once would displace a user's connection to the page before its request is read."""

MOST_UNREAD = 8
"""The number of connections that wait for their first read, from which on only those from known addresses are
set up. The others wait here, where addresses take turns: in the lane of new connections (`event_order`) they
do not."""

SETUP_TIME = 0.0004
"""The time that counts in `turn_time.Share` for a connection that is set up, in seconds."""

TAKING = 4
"""The number of usual shares that the taking of connections has. Users wait in the system's queue, too, and
this queue has no order."""

TAKEN_TIME = 0.00003
"""The time that counts in `turn_time.Share` for a connection that is taken from the system, and perhaps
closed, in seconds."""

MOST_AHEAD = 3
"""The largest number of connections in a row that had sent something, while one waits that had not."""

MOST_TAKEN = 80
"""The largest number of connections that all listening sockets together take from the system in a turn of the
reactor, in 2 to 3 ms. A program on this machine can connect 15,000 times a second."""

MOST_CLOSED = 64
"""The largest number of connections whose peers are gone that all listening sockets together close in a turn
instead of setting them up: they take 2 ms. If there are more, each socket closes one. A peer may open
thousands, and end all of them at once."""

KEPT = 16
"""The number of `MOST_TAKEN` that are kept for sockets that have taken none in the turn: one for each, so
that no flood of other sockets keeps a user out. A daemon with more sockets may take one more for each."""

MAX_WAITING = 256
"""The largest number of connections that wait in one queue, each with an open file. If there are more, the
queue closes one, so that the system's queue has room for other addresses. It closes the newest connection of
the address with the largest number; of a known address, `KEPT_KNOWN` do not count. Of unknown addresses with
equal numbers it chooses the one that has its turn last: in the last group, the address behind the others.
"""

KEPT_KNOWN = 16
"""The number of connections of a known address that do not count in `MAX_WAITING`. A browser opens six at
once. More of them count: a commander's address is known for an hour, even if it had command for a moment."""

LATELY, MOST_SEEN = 60.0, 16_384
"""The time after a connection for which its address and its neighbourhood had one lately, in seconds; and the
largest number of addresses and neighbourhoods that are kept, which take 3 MB. The one with the oldest
connection is forgotten first."""

LONGEST_HEAD = 16 * 1024
"""The largest number of bytes in which the end of a first line, or of the head of a request, is searched. The
page refuses a longer head. A port may accept a longer line, so such a connection is set up."""

HELD_BACK = 1
"""The time for which the system holds a silent connection back if the clients begin, in seconds (``tcp(7)``,
TCP_DEFER_ACCEPT). Thousands of silent connections then cost the reactor nothing."""


class _Waiting(NamedTuple):
    """A connection that is not set up: its socket and its peer's address, as `socket.accept` returns them.

    On a Unix socket the address is that of `user_of`.

    :ivar network: the address, as `hosts.client_network` names it.
    """

    network: str
    socket: socket.socket
    address: Any


_Networks: TypeAlias = dict[str, deque[_Waiting]]
"""The connections that wait, oldest first, by network. The network with the next turn comes first."""


class AcceptQueue:
    """Stands in for the socket of a listening port: `accept` returns the connection that has its turn.

    :param listening: the socket; it does not block.
    :param reactor: each of its turns has room for a few connections; see `MOST_ACCEPTS` and `turn_time`.
    :param accept_on: called in a later turn while connections wait, to call `accept`.
    :param is_known: return True for the network of a known address, as `hosts.client_network` names it.
    :param clients_begin: True if a client sends before the server does. A connection whose peer has ended its
        side and sent nothing is then closed.
    :param closer: closes connections that carry open files; required for a Unix socket.
    :param refuses: return True for a peer whose address is not admitted. Its connection is closed at once, so
        that it takes no place from others and none is set up. Not asked about a Unix socket.
    """

    def __init__(
        self,
        listening: socket.socket,
        reactor: IReactorTime,
        accept_on: Callable[[], object],
        is_known: Callable[[str], bool],
        clients_begin: bool,
        closer: Closer | None = None,
        refuses: Callable[[IAddress], bool] = lambda peer: False,
    ) -> None:
        self._refuses = refuses
        self._listening = listening
        self._reactor = reactor
        self._accept_on = accept_on
        self._is_known = is_known
        self._clients_begin = clients_begin
        self._time = turn_time_of(reactor)
        self._closer = closer if listening.family == socket.AF_UNIX else None
        if self._closer is not None:
            refuse_files(listening)
        self._known: _Networks = {}
        self._talking: tuple[_Networks, _Networks, _Networks] = ({}, {}, {})  # the groups 1 to 3
        self._silent: _Networks = {}
        self._seen: OrderedDict[str, float] = OrderedDict()  # last connection of a network or neighbourhood
        self._ahead = 0  # the number of others since the last one of `_silent`
        self._count = 0  # the number of connections that wait
        self._setups = Share(self._time, reactor, PART, begins=True)
        self._takes = Share(self._time, reactor, TAKING * PART, begins=True)
        self._turn = NEVER  # the number of the reactor's turn that the following are about
        self._accepted = 0  # the number of connections that were returned
        self._accepting_since = 0.0  # the time of the first of them (reactor, s)
        self._taken = 0  # the number of connections that were taken from the system
        self._took_known = False  # True if a connection from a known address was returned
        self._prefers_known = True
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
        if self._time is not None:
            self._takes.part = TAKING * PART / self._takers
        self._take()
        if self._time is not None and self._has_unknown:
            self._time.accepting.setdefault(self)
            self._setups.part = PART / len(self._time.accepting)
        try:
            return self._next_connection()
        finally:
            if self._time is not None and not self._has_unknown:
                self._time.accepting.pop(self, None)

    @property
    def _has_unknown(self) -> bool:
        return bool(self._silent or any(self._talking))

    def _next_connection(self) -> tuple[socket.socket, Any]:
        """Return the connection that has its turn, and close those before it whose peers are gone."""
        while (networks := self._next_networks()) is not None:
            waiting = self._pop(networks)
            if self._has_sent(waiting.socket) is not None and not self._is_over(waiting.socket):
                if not self._accepted:
                    self._accepting_since = self._reactor.seconds()
                self._accepted += 1
                if networks is self._known:
                    self._took_known = True
                else:
                    self._note_set_up()
                return waiting.socket, waiting.address
            waiting.socket.close()
            if networks is not self._known:
                self._go_behind()
            if self._time is not None:
                self._time.closed += 1
                if self._time.closed >= MOST_CLOSED:
                    break
        raise BlockingIOError(errno.EAGAIN, "no connection has its turn")

    def _next_networks(self) -> _Networks | None:
        """Return the group that has its turn; None if none waits, or if the turn has no time."""
        unknown = self._next_unknown() if self._may_set_up() else None
        known = self._known if unknown or not self._took_known else None
        return known if known and (self._prefers_known or not unknown) else unknown

    def _may_set_up(self) -> bool:
        """Return True if this turn has time for a connection from an unknown address."""
        if self._accepted and (
            self._accepted >= MOST_ACCEPTS or self._reactor.seconds() - self._accepting_since >= ACCEPT_TIME
        ):
            return False
        time = self._time
        if time is not None and (
            time.unread() >= MOST_UNREAD
            or self not in itertools.islice(time.accepting, MOST_ACCEPTS - time.set_up)
        ):
            return False
        return self._setups.may_begin()

    def _note_set_up(self) -> None:
        self._setups.spend(SETUP_TIME)
        if self._time is not None:
            self._time.set_up += 1
        self._go_behind()

    def _go_behind(self) -> None:
        """Go behind the other listening sockets: this one has had its turn."""
        if self._time is not None:
            self._time.accepting.pop(self, None)
            self._time.accepting[self] = None

    def _next_unknown(self) -> _Networks | None:
        talking = next(filter(None, self._talking), None)
        if talking and not (self._silent and self._ahead >= MOST_AHEAD):
            return talking
        return self._silent or None

    def close(self) -> None:
        """Close the socket, and the connections that wait."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._time is not None:
            self._time.accepting.pop(self, None)
            self._time.taking.discard(self)
        for networks in (self._known, *self._talking, self._silent):
            for waiting in itertools.chain(*networks.values()):
                waiting.socket.close()
            networks.clear()
        if self._closer is not None:  # its end would end the files of all connections in it
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
                while True:
                    UnixPeer(self._listening.accept()[0], self._closer.close).close()
        self._listening.close()

    def _begin_turn(self) -> None:
        self._next = self._reactor.callLater(0, self._next_turn)
        if self._time is not None:
            self._turn = self._time.number

    def _next_turn(self) -> None:
        if self._time is not None and self._time.number == self._turn:  # the sockets were read before
            self._begin_turn()
            return
        self._next = None
        if self._time is not None:
            if self._count or self._taken:  # connections may come in the next turn, too
                self._begin_turn()
            if not self._taken:  # the other sockets may take more meanwhile
                self._time.taking.discard(self)
        self._accepted = self._taken = 0
        self._took_known = False
        if self._count:
            self._accept_on()

    def _take(self) -> None:
        """Take connections from the system."""
        while self._may_take() and not (self._closer is not None and self._closer.is_full):
            self._takes.spend(TAKEN_TIME)
            try:
                accepted, address = self._listening.accept()
            except OSError:
                if self._count:  # for want of a file, perhaps: a waiting connection may free one
                    return
                raise
            self._taken += 1
            if self._time is not None:
                self._time.taken += 1
                self._time.taking.add(self)
            self._keep(accepted, address)

    def _keep(self, accepted: Any, address: Any) -> None:
        """Let a connection wait, or close it if its peer is gone or refused."""
        if isinstance(address, tuple) and self._refuses(_peer(address)):
            accepted.close()
            return
        has_sent = self._has_sent(accepted)
        if has_sent is None:
            accepted.close()
            return
        if self._closer is not None:
            address = user_of(accepted)
            accepted = UnixPeer(accepted, self._closer.close)
        network = client_network(address[0]) if isinstance(address, tuple) else address
        self._add(_Waiting(network, accepted, address), has_sent)

    @property
    def _takers(self) -> int:
        """The number of listening sockets that take connections, with this one."""
        return 1 if self._time is None else len(self._time.taking) + (self not in self._time.taking)

    def _may_take(self) -> bool:
        if self._time is None:
            return self._taken < MOST_TAKEN
        many = MOST_TAKEN - KEPT
        may_take = not self._taken or (self._taken < many // self._takers and self._time.taken < many)
        return may_take and self._takes.may_begin()

    def _add(self, taken: _Waiting, has_sent: bool) -> None:
        if self._is_known(taken.network):
            networks = self._known
        else:
            came = self._note_seen(taken.network)
            networks = self._talking[came] if has_sent else self._silent
        networks.setdefault(taken.network, deque()).append(taken)
        self._count += 1
        if self._count > MAX_WAITING:
            self._drop_one()

    def _note_seen(self, network: str) -> int:
        """Note that an unknown address has a connection.

        :returns: 2 if it had one lately, 1 if only its neighbourhood had, 0 if not even that.
        """
        now, came = self._reactor.seconds(), 0
        for name in (network, neighbourhood(network)):
            came += name in self._seen and now - self._seen[name] < LATELY
            self._seen[name] = now
            self._seen.move_to_end(name)
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return came

    def _drop_one(self) -> None:
        unknown = [self._silent, *reversed(self._talking)]
        if self._count == sum(map(len, unknown)):  # the usual case: one for each network
            networks = next(filter(None, unknown))
            network = next(reversed(networks))
        else:
            sizes = [(len(each[name]), each, name) for each in unknown for name in reversed(each)]
            known = [(len(queue) - KEPT_KNOWN, self._known, name) for name, queue in self._known.items()]
            _, networks, network = max(sizes + known, key=itemgetter(0))
        newest = networks[network].pop()
        self._note_gone(networks, network)
        newest.socket.close()

    def _note_gone(self, networks: _Networks, network: str) -> None:
        """Note that a connection waits no more."""
        self._count -= 1
        if not networks[network]:
            del networks[network]

    def _pop(self, networks: _Networks) -> _Waiting:
        """Remove the connection that has its turn."""
        self._prefers_known = networks is not self._known
        if networks is not self._known:
            self._ahead = 0 if networks is self._silent else self._ahead + 1
        network, queue = next(iter(networks.items()))
        found = queue.popleft()
        networks[network] = networks.pop(network)  # behind the other networks
        self._note_gone(networks, network)
        return found

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
        """Return True if a peer has ended its side within its first line or the head of its first request.

        A TLS handshake can't end any more then, either.
        """
        if self._closer is not None or state_of(peer) != CLOSE_WAIT:
            return False
        try:
            sent = peer.recv(LONGEST_HEAD, LOOK)
        except OSError:
            return True
        if self._clients_begin:
            return b"\r\n\r\n" not in sent
        return 0 < len(sent) < LONGEST_HEAD and b"\n" not in sent  # a line may be longer


def _peer(address: tuple[Any, ...]) -> IAddress:
    return (IPv6Address if ":" in address[0] else IPv4Address)("TCP", *address)


def accept_in_turns(
    port: IListeningPort,
    reactor: IReactorTime,
    is_known: Callable[[str], bool] = lambda network: False,
    clients_begin: bool = False,
    refuses: Callable[[IAddress], bool] = lambda peer: False,
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
    queue = AcceptQueue(listening, reactor, accept_on, is_known, clients_begin, closer, refuses)
    setattr(port, "socket", queue)
