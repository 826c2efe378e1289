"""Resolution of host names to IPv4 and IPv6 addresses, with a deadline, and without blocking anything.

Twisted's ``reactor.connectTCP`` and ``reactor.resolve`` support only IPv4. They look names up in the
reactor's thread pool, where a name server that does not answer delays the end of the process. `NameResolver`
is for the running reactor; `look_up` is for the time before the reactor runs.

Next to read: `threads`, where the look-ups run; `halves`, which connects by name.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.error import DNSLookupError, NoProtocol, NotConnectingError, TimeoutError, UserError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.hosts import is_address
from mtmount_twisted.interfaces import IHostNames

from .deadlines import Deadline, FairClock
from .threads import call_each_within, in_daemon_thread
from .waiting import Waiters

LOOK_UP_TIME = 5.0
"""Longest time for the answer of a name server, in seconds."""

NO_ANSWER = f"no answer from the name server within {LOOK_UP_TIME:g} s"

Addresses = tuple[str, ...]
"""At least one address, without duplicates, IPv4 before IPv6."""


def system_addresses(host: str) -> Addresses:
    """Return the addresses of a host name from the system's resolver. This blocks, perhaps for minutes.

    :raises OSError: if the name has no address, or if the name server does not answer.
    :raises UnicodeError: if the text is not a valid host name.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    # IPv4 first: if a mount's controller or a commander listens on one family only, it is IPv4.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def names_of(reactor: Any) -> Any:
    """Return an `IHostNames`: the reactor itself if it provides the interface, else a new `NameResolver`."""
    own = IHostNames(reactor, None)
    return NameResolver(reactor) if own is None else own


@implementer(IHostNames)
class NameResolver:
    """Resolver that looks names up in daemon threads, with at most one thread per name.

    :param reactor: an ``IReactorTime`` and ``IReactorFromThreads``.
    :param system: function that looks one name up. It blocks, and raises `OSError` or `UnicodeError`.
    """

    def __init__(self, reactor: Any, system: Callable[[str], Addresses] | None = None) -> None:
        self._reactor = reactor
        self._system = system or system_addresses
        self._waiting: dict[str, Waiters[Addresses]] = {}

    def addresses(self, host: str) -> Deferred[Addresses]:
        """See `interfaces.IHostNames`; the time limit is `LOOK_UP_TIME`.

        While a look-up of a name hangs, a further request for that name waits for the same look-up. So the
        number of threads does not grow.
        """
        if is_address(host):
            return succeed((host,))
        is_first = host not in self._waiting
        waiting = self._waiting.setdefault(host, Waiters()).wait()
        if is_first:
            looking = in_daemon_thread(self._reactor, lambda: self._system(host), f"look up {host[:50]}")
            looking.addBoth(self._found, host)
        return waiting.addTimeout(LOOK_UP_TIME, FairClock(self._reactor), _no_answer(host))

    def _found(self, result: Addresses | Failure, host: str) -> None:
        waiting = self._waiting.pop(host)
        if isinstance(result, Failure):
            why = _reason(result.value)
            waiting.fail(lambda: DNSLookupError(f"host {host!r} does not resolve ({why})"))
        else:
            waiting.fire(result)


def _no_answer(host: str) -> Callable[[Any, float], Any]:
    def on_timeout(result: Any, timeout: float) -> Any:
        if isinstance(result, Failure) and result.check(CancelledError):
            raise DNSLookupError(f"host {host!r} does not resolve ({NO_ANSWER})")
        return result

    return on_timeout


def _reason(error: BaseException | None) -> str:
    if isinstance(error, UnicodeError):
        return "not a host name"
    return str(getattr(error, "strerror", None) or error)


def look_up(
    hosts: Iterable[str], within: float = LOOK_UP_TIME, system: Callable[[str], Addresses] | None = None
) -> Mapping[str, Addresses | str]:
    """Look up several hosts at once and return their addresses. This blocks: use it before the reactor runs.

    :param within: longest total time in seconds.
    :returns: for each host its addresses, or the reason why it has none.
    """
    hosts, resolve = list(dict.fromkeys(hosts)), system or system_addresses
    found: dict[str, Addresses | str] = {host: (host,) for host in hosts if is_address(host)}
    names = [host for host in hosts if host not in found]
    works = [partial(resolve, name) for name in names]
    late = f"no answer from the name server within {within:g} s"
    for name, outcome in zip(names, call_each_within(within, works, "look up", late), strict=True):
        if isinstance(outcome, OSError | UnicodeError):
            found[name] = _reason(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            found[name] = outcome
    return found


class AttemptBound:
    """Time limit for an attempt to connect to one address.

    Twisted's own time-out would be judged before an established connection is noticed (see `deadlines`).
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._deadline: Deadline | None = None

    def start(self, connector: IConnector, timeout: float) -> None:
        """Start the time limit, in seconds. The attempt is given up when it ends."""
        self.stop()
        self._deadline = Deadline(self._clock, timeout, connector.stopConnecting)

    def stop(self) -> Failure | None:
        """Stop the time limit at the end of an attempt. Return a `TimeoutError` if the limit ended it."""
        deadline, self._deadline = self._deadline, None
        if deadline is None:
            return None
        if not deadline.active():
            return Failure(TimeoutError())
        deadline.cancel()
        return None


@implementer(IConnector)
class NamedConnector(ClientFactory):
    """Connector to a host by name. For each attempt it resolves the name and tries one address after another.

    The factory receives it as its connector, in place of the connector of ``reactor.connectTCP``.

    :param names: an `IHostNames`.
    :param host: a name or an address.
    :param factory: factory of the protocol. Its ``clientConnectionFailed`` or ``clientConnectionLost`` is
        called once for each attempt.
    :param timeout: function from the number of addresses to the time limit for one address, in seconds.
    :ivar state: ``disconnected``, ``connecting`` or ``connected``, as in Twisted's own connectors.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        names: Any,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: Callable[[int], float],
    ) -> None:
        self.state: str = "disconnected"
        self._reactor = reactor
        self._names = names
        self._target = host, port
        self._outer = factory
        self._timeout = timeout
        self._looking: Deferred[Any] | None = None
        self._left: list[str] = []
        self._patience = 0.0
        self._bound = AttemptBound(reactor)
        self._connector: IConnector | None = None

    def connect(self) -> None:
        """Start an attempt."""
        self.state = "connecting"
        host = self._target[0]
        self._looking = succeed((host,)) if is_address(host) else maybeDeferred(self._names.addresses, host)
        # An error that went to the caller would end the attempts of a reconnecting factory for ever.
        self._looking.addCallback(self._resolved).addErrback(self._failed)

    def stopConnecting(self) -> None:
        """Give up an attempt. It fails with ``UserError``, as in Twisted's own connectors.

        :raises twisted.internet.error.NotConnectingError: if no attempt is in progress.
        """
        if self.state != "connecting":
            raise NotConnectingError("no attempt to connect is under way")
        self._left.clear()
        if self._looking is not None:
            self._looking.cancel()
        elif self._connector is not None:
            self._connector.stopConnecting()

    def disconnect(self) -> None:
        """Give up an attempt, or close the connection."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self._connector is not None:
            self._connector.disconnect()

    def getDestination(self) -> IAddress:
        """Return the host and the port as given."""
        return HostnameAddress(self._target[0].encode("idna"), self._target[1])

    def _resolved(self, addresses: Addresses) -> None:
        self._looking = None
        self._left = list(addresses)
        self._patience = self._timeout(len(addresses))
        self._try_next()

    def _try_next(self) -> None:
        port = self._target[1]
        self._connector = self._reactor.connectTCP(self._left.pop(0), port, self, timeout=None)

    def _failed(self, reason: Failure) -> None:
        self._looking = None
        self._end(Failure(UserError()) if reason.check(CancelledError) else reason)

    def _end(self, reason: Failure) -> None:
        self._connector = None
        self.state = "disconnected"
        self._outer.clientConnectionFailed(self, reason)

    # Reports of the connector to one address

    def startedConnecting(self, connector: IConnector) -> None:
        """Start the time limit for one address."""
        self._bound.start(connector, self._patience)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Make the protocol, because the attempt succeeded."""
        self._bound.stop()
        self.state = "connected"
        self._left.clear()
        made: Protocol | None = self._outer.buildProtocol(addr)
        return made

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Try the next address after a failure. After the last address, end the attempt."""
        reason = self._bound.stop() or reason
        if self._left:
            self._try_next()
        else:
            self._end(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """Note that the connection is lost."""
        self._connector = None
        self.state = "disconnected"
        self._outer.clientConnectionLost(self, reason)


@implementer(IStreamClientEndpoint)
class NamedEndpoint:
    """Client endpoint for one connection to a host by name or address. See `NamedConnector` for the
    parameters.

    Twisted's ``HostnameEndpoint`` looks names up in the reactor's thread pool, where a name server that does
    not answer delays the end of the process.
    """

    def __init__(self, reactor: Any, host: str, port: int, timeout: Callable[[int], float]) -> None:
        self._reactor = reactor
        self._names = names_of(reactor)
        self._host = host
        self._port = port
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See ``IStreamClientEndpoint``."""
        once = _Once(self._reactor, protocolFactory)
        to = self._host, self._port
        once.connector = NamedConnector(self._reactor, self._names, *to, once, self._timeout)
        once.connector.connect()
        return once.connected


class _Once(ClientFactory):
    """Factory that makes one protocol and returns it after it is connected.

    :ivar connected: a Deferred of the protocol. Cancelling it gives up the attempt.
    """

    noisy = False
    connector: NamedConnector

    def __init__(self, clock: IReactorTime, factory: IProtocolFactory) -> None:
        self._clock = clock
        self._factory: Any = factory
        self._made: IDelayedCall | None = None
        self.connected: Deferred[IProtocol] = Deferred(self._give_up)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the protocol. The transport connects it as soon as this method returns."""
        try:
            made = self._factory.buildProtocol(addr)
            if made is None:
                raise NoProtocol
        except Exception:
            self.connected.errback()
            return None
        self._made = self._clock.callLater(0, self.connected.callback, made)
        return made

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Fail the Deferred: no address accepts a connection, or the attempt was given up."""
        self.connected.errback(reason)

    def _give_up(self, connected: Deferred[IProtocol]) -> None:
        if self._made is not None and self._made.active():
            self._made.cancel()
        self.connector.disconnect()
