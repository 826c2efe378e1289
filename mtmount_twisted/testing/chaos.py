"""A bad network: a proxy between the two ends of a connection, which imposes the faults of a network on it.

A `ChaosProxy` has a `flow.Lane` for each direction. A test can change the `flow.Conditions` of a lane at any
time. `ChaosPair` has a proxy for each connection of a pair.

It runs on a reactor's sockets or in a `MemoryReactor`. Next to read: ``docs/howto/testing.rst``, `flow`.
"""

from __future__ import annotations

from typing import Any, Literal

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure

from .flow import End, Flow, Lane, Socket
from .memory import HOST

CONNECT_TIMEOUT = 5.0
"""Time in seconds within which the target must accept a connection."""


class _Connection:
    """A connection through a proxy: the client, the target, and a flow in each direction."""

    def __init__(self, proxy: ChaosProxy) -> None:
        self.clock: Any = proxy.reactor
        self._proxy = proxy
        self.client: Socket = Socket(self._client_made, self._lost)
        self.target: Socket = Socket(self._target_made, self._lost)
        self.upstream: Flow = Flow(proxy.upstream, self, self.client, self.target)
        self.downstream: Flow = Flow(proxy.downstream, self, self.target, self.client)
        self.client.out = self.target.into = self.upstream
        self.target.out = self.client.into = self.downstream
        self._connector: Any = None
        self._gone: list[Deferred[None]] = []

    def _client_made(self) -> None:
        self._proxy.begun(self)
        self.client.pause()
        target = self._proxy.target_host, self._proxy.target_port
        self._connector = self._proxy.reactor.connectTCP(
            *target, _TargetFactory(self), timeout=CONNECT_TIMEOUT
        )

    def _target_made(self) -> None:
        self._connector = None
        self.client.resume()

    def unreachable(self) -> None:
        """Reset the client, because the target did not accept."""
        self._connector = None
        self._proxy.unreachable += self.client.is_open
        self.client.abort()
        self._lost()

    def _lost(self) -> None:
        if self._connector is not None:  # still connecting: the client left before the target accepted
            self._connector.disconnect()
        elif not (self.client.is_open or self.target.is_open):
            self.upstream.stop_timer()
            self.downstream.stop_timer()
            self._proxy.ended(self)
            for gone in self._gone:
                gone.callback(None)

    def pass_end(self, how: End, sink: Socket) -> None:
        """Pass the end of one direction on to the other socket. After the second end, close both sockets."""
        if how == "reset":
            sink.abort()
        elif self.upstream.ended and self.downstream.ended:
            self.close()
        else:
            sink.half_close()

    def close(self) -> None:
        """Close both sockets."""
        self.client.close()
        self.target.close()

    def abort(self) -> None:
        """Reset both sockets."""
        self.client.abort()
        self.target.abort()

    def stop(self) -> Deferred[None]:
        """Reset both sockets. The Deferred fires when they are gone."""
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        self.abort()
        return gone


class _TargetFactory(ClientFactory[Socket]):
    """Factory for the one connection to the target."""

    noisy = False

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: IAddress | None) -> Socket:
        return self._connection.target

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._connection.unreachable()


class _ClientFactory(Factory[Socket]):
    """Factory that makes a `_Connection` for each client of a proxy."""

    noisy = False

    def __init__(self, proxy: ChaosProxy) -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: IAddress | None) -> Socket:
        return _Connection(self._proxy).client


class ChaosProxy:
    """A TCP proxy on 127.0.0.1 that imposes network faults on its connections. It listens at once.

    The proxy's memory is bounded: while `HELD` bytes of a direction wait in the proxy, it does not read from
    the sender. They may wait because of a receiver that does not read, or because of the conditions.

    :param reactor: the reactor to use, for example a `MemoryReactor`.
    :param target_port: port of the target. A test may set it later, as an attribute. While it is 0, or while
        the target does not listen, the proxy resets each connection.
    :param target_host: host of the target.
    :param port: port to listen on; 0 for one of the system's choice.
    :raises twisted.internet.error.CannotListenError: if the port is in use.
    :ivar port: port on which the proxy listens.
    :ivar upstream: the `Lane` from the client to the target.
    :ivar downstream: the `Lane` from the target to the client.
    :ivar accepted: number of connections accepted so far.
    :ivar unreachable: number of these connections that the target did not accept.
    """

    def __init__(self, reactor: Any, target_port: int = 0, target_host: str = HOST, *, port: int = 0) -> None:
        self.reactor = reactor
        self.target_host = target_host
        self.target_port = target_port
        self.accepted: int = 0
        self.unreachable: int = 0
        self._connections: dict[_Connection, None] = {}
        self._stopping: list[Deferred[None]] | None = None
        self._stopped = False
        self.upstream: Lane = Lane(lambda: [connection.upstream for connection in self._connections])
        self.downstream: Lane = Lane(lambda: [connection.downstream for connection in self._connections])
        self._listening = reactor.listenTCP(port, _ClientFactory(self), interface=HOST)
        self.port: int = self._listening.getHost().port

    @property
    def open(self) -> int:
        """Number of connections that are up or not yet gone."""
        return len(self._connections)

    @property
    def transports(self) -> list[Any]:
        """The transports of its connections on both sides, as far as they are connected."""
        ends = (end for each in self._connections for end in (each.client, each.target))
        return [end.transport for end in ends if end.transport is not None]

    def begun(self, connection: _Connection) -> None:
        """Add a new connection."""
        self.accepted += 1
        self._connections[connection] = None

    def ended(self, connection: _Connection) -> None:
        """Remove a connection, because both its sockets are gone."""
        self._connections.pop(connection, None)

    def set(self, **changes: Any) -> None:
        """Change the conditions of both directions, as `Lane.set` does."""
        self.upstream.set(**changes)
        self.downstream.set(**changes)

    def clear(self) -> None:
        """Remove all faults in both directions, as `Lane.clear` does."""
        self.upstream.clear()
        self.downstream.clear()

    def reset(self) -> None:
        """Reset both sockets of each connection; waiting bytes are lost."""
        for connection in tuple(self._connections):
            connection.abort()

    def close(self) -> None:
        """Close both sockets of each connection; bytes that wait in the proxy are lost."""
        for connection in tuple(self._connections):
            connection.close()

    def stop(self) -> Deferred[None]:
        """Stop listening and reset all connections. A test may call this again.

        :returns: a Deferred that fires with None when all sockets are gone.
        """
        if self._stopped:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        if self._stopping is not None:
            self._stopping.append(stopped)
            return stopped
        self._stopping = [stopped]
        going = [connection.stop() for connection in tuple(self._connections)]
        DeferredList([maybeDeferred(self._listening.stopListening), *going]).addCallback(self._all_gone)
        return stopped

    def _all_gone(self, results: object) -> None:
        self._stopped = True
        for stopped in self._stopping or ():
            stopped.callback(None)


class ChaosPair:
    """A proxy in front of each of the two connections of a pair.

    Each side of the pair connects to a proxy instead of the other side.

    :param reactor: as for `ChaosProxy`.
    :param command_port: port for commands of the mount's side, such as a bridge or a simulator. A test may
        set it later, as ``commands.target_port``.
    :param reply_port: port for replies of the commander's side. A test may set it later, as
        ``replies.target_port``.
    :ivar commands: the `ChaosProxy` that the commander's side connects to.
    :ivar replies: the `ChaosProxy` that the mount's side connects to.
    """

    def __init__(self, reactor: Any, command_port: int = 0, reply_port: int = 0) -> None:
        self.commands: ChaosProxy = ChaosProxy(reactor, command_port)
        self.replies: ChaosProxy = ChaosProxy(reactor, reply_port)

    def drop(self, which: Literal["commands", "replies"]) -> None:
        """Reset one connection of the pair; the other stays up."""
        {"commands": self.commands, "replies": self.replies}[which].reset()

    def set(self, **changes: Any) -> None:
        """Change the conditions of both connections in both directions, as `Lane.set` does."""
        self.commands.set(**changes)
        self.replies.set(**changes)

    def clear(self) -> None:
        """Remove all faults from both connections, as `Lane.clear` does."""
        self.commands.clear()
        self.replies.clear()

    def reset(self) -> None:
        """Reset both connections."""
        self.commands.reset()
        self.replies.reset()

    def stop(self) -> Deferred[None]:
        """Stop both proxies. The Deferred fires with None when all their sockets are gone."""
        return DeferredList([self.commands.stop(), self.replies.stop()]).addCallback(lambda results: None)
