"""A bad network: a proxy that stands between two ends of a connection and does to it what networks do.

A `ChaosProxy` has a `flow.Lane` for each direction, which can be told other `flow.Conditions` at any time.
`ChaosPair` is a proxy for each connection of a pair.

Runs on a reactor's sockets, or in a `MemoryReactor`; touches nothing else. Next to read:
``docs/howto/testing.rst``, `flow`.
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
"""How long the target may take to accept a connection, in seconds."""


class _Connection:
    """A connection through a proxy: who connected, the target, and a flow each way."""

    def __init__(self, proxy: ChaosProxy) -> None:
        self.clock = proxy.reactor
        self._proxy = proxy
        self.client = Socket(self._client_made, self._lost)
        self.target = Socket(self._target_made, self._lost)
        self.upstream = Flow(proxy.upstream, self, self.client, self.target)
        self.downstream = Flow(proxy.downstream, self, self.target, self.client)
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
        """The target did not accept."""
        self._connector = None
        self._proxy.unreachable += self.client.is_open
        self.client.abort()
        self._lost()

    def _lost(self) -> None:
        if self._connector is not None:  # who connected did not wait for the target
            self._connector.disconnect()
        elif not (self.client.is_open or self.target.is_open):
            self.upstream.stop_timer()
            self.downstream.stop_timer()
            self._proxy.ended(self)
            for gone in self._gone:
                gone.callback(None)

    def pass_end(self, how: End, sink: Socket) -> None:
        """What comes from one side has ended: tell the other; when both have, it is over."""
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
        """Reset both sockets; fires when they are gone."""
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        self.abort()
        return gone


class _TargetFactory(ClientFactory[Socket]):
    """Connects one connection to the target, once."""

    noisy = False

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: IAddress | None) -> Socket:
        return self._connection.target

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._connection.unreachable()


class _ClientFactory(Factory[Socket]):
    """Makes a connection of each that comes to a proxy."""

    noisy = False

    def __init__(self, proxy: ChaosProxy) -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: IAddress | None) -> Socket:
        return _Connection(self._proxy).client


class ChaosProxy:
    """A TCP proxy on 127.0.0.1 that does to its connections what networks do; it listens at once.

    What it holds is bounded: whoever sends is not read from while `HELD` bytes wait to go on, be it
    because the receiver does not read or because the conditions say so.

    :param reactor: listens, connects and tells the time; a `MemoryReactor` will do.
    :param target_port: where connections go on to. It may be set later, as an attribute: until then, and
        while nobody listens there, each connection is reset.
    :param target_host: host of the target.
    :param port: where to listen; 0 for a port of the system's choice.
    :raises twisted.internet.error.CannotListenError: if the port is taken.
    :ivar port: where it listens.
    :ivar upstream: the `Lane` from who connects to the target.
    :ivar downstream: the `Lane` from the target to who connects.
    :ivar accepted: how many connections came.
    :ivar unreachable: for how many of them the target did not accept.
    """

    def __init__(self, reactor: Any, target_port: int = 0, target_host: str = HOST, *, port: int = 0) -> None:
        self.reactor = reactor
        self.target_host = target_host
        self.target_port = target_port
        self.accepted = self.unreachable = 0
        self._connections: dict[_Connection, None] = {}
        self._stopping: list[Deferred[None]] | None = None
        self._stopped = False
        self.upstream = Lane(lambda: [connection.upstream for connection in self._connections])
        self.downstream = Lane(lambda: [connection.downstream for connection in self._connections])
        self._listening = reactor.listenTCP(port, _ClientFactory(self), interface=HOST)
        self.port: int = self._listening.getHost().port

    @property
    def open(self) -> int:
        """How many connections are up now, or are not quite gone yet."""
        return len(self._connections)

    def begun(self, connection: _Connection) -> None:
        """A connection came."""
        self.accepted += 1
        self._connections[connection] = None

    def ended(self, connection: _Connection) -> None:
        """Both sockets of a connection are gone."""
        self._connections.pop(connection, None)

    def set(self, **changes: Any) -> None:
        """Change the conditions of both directions, as `Lane.set` does."""
        self.upstream.set(**changes)
        self.downstream.set(**changes)

    def clear(self) -> None:
        """Let everything pass again, in both directions."""
        self.upstream.clear()
        self.downstream.clear()

    def reset(self) -> None:
        """Reset both sockets of each connection that is up; what waits is lost."""
        for connection in tuple(self._connections):
            connection.abort()

    def close(self) -> None:
        """Close both sockets of each connection that is up; what waits in the proxy is lost."""
        for connection in tuple(self._connections):
            connection.close()

    def stop(self) -> Deferred[None]:
        """Listen no more and reset all connections. May be called again.

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

    Each side of the pair connects to a proxy in place of the other side.

    :param reactor: as for `ChaosProxy`.
    :param command_port: where the mount's side, such as a bridge or a simulator, takes commands; it may be
        set later, as ``commands.target_port``.
    :param reply_port: where the commander's side takes replies; or later, as ``replies.target_port``.
    :ivar commands: the `ChaosProxy` that the commander's side connects to.
    :ivar replies: the `ChaosProxy` that the mount's side connects to.
    """

    def __init__(self, reactor: Any, command_port: int = 0, reply_port: int = 0) -> None:
        self.commands = ChaosProxy(reactor, command_port)
        self.replies = ChaosProxy(reactor, reply_port)

    def drop(self, which: Literal["commands", "replies"]) -> None:
        """Reset one connection of the pair; the other is left alone."""
        {"commands": self.commands, "replies": self.replies}[which].reset()

    def set(self, **changes: Any) -> None:
        """Change the conditions of both connections, both ways, as `Lane.set` does."""
        self.commands.set(**changes)
        self.replies.set(**changes)

    def clear(self) -> None:
        """Let everything pass again."""
        self.commands.clear()
        self.replies.clear()

    def reset(self) -> None:
        """Reset both connections."""
        self.commands.reset()
        self.replies.reset()

    def stop(self) -> Deferred[None]:
        """Stop both proxies; fires with None when all their sockets are gone."""
        return DeferredList([self.commands.stop(), self.replies.stop()]).addCallback(lambda results: None)
