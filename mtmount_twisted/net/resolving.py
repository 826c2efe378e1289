"""Host names -> addresses, IPv4 and IPv6, with a deadline, and never in the way of anything.

Twisted's ``reactor.connectTCP`` and ``reactor.resolve`` know only IPv4, and look names up in the reactor's
thread pool, where a name server that does not answer holds up the end of the process. `NameResolver` is for
the running reactor, `look_up` for the time before there is one.

Next to read: `threads`, where the look-ups run; `halves`, which connects by name.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import DNSLookupError, NoProtocol, NotConnectingError, TimeoutError, UserError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
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
"""How long a name server has to answer, in seconds."""

NO_ANSWER = f"no answer from the name server within {LOOK_UP_TIME:g} s"

Addresses = tuple[str, ...]
"""At least one address, without duplicates, IPv4 before IPv6."""


def system_addresses(host: str) -> Addresses:
    """The addresses of a host name, by the system's own means. Blocks, perhaps for minutes.

    :raises OSError: if it has none, or nobody knows.
    :raises UnicodeError: if it can't be a host name.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    # IPv4 first: a mount's controller or commander that listens on one family listens on that.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def names_of(reactor: Any) -> Any:
    """An `IHostNames`: the reactor itself if it provides that, else a new `NameResolver`."""
    own = IHostNames(reactor, None)
    return NameResolver(reactor) if own is None else own


@implementer(IHostNames)
class NameResolver:
    """Looks names up in daemon threads, one at a time for each name.

    :param reactor: an ``IReactorTime`` and ``IReactorFromThreads``.
    :param system: looks one name up; blocks, and raises `OSError` or `UnicodeError`.
    """

    def __init__(self, reactor: Any, system: Callable[[str], Addresses] | None = None) -> None:
        self._reactor = reactor
        self._system = system or system_addresses
        self._waiting: dict[str, Waiters[Addresses]] = {}

    def addresses(self, host: str) -> Deferred[Addresses]:
        """As in `interfaces.IHostNames`, within `LOOK_UP_TIME`.

        Who asks about a name while an earlier look-up of it hangs waits for that one: the number of threads
        does not grow.
        """
        if is_address(host):
            return succeed((host,))
        if host not in self._waiting:
            self._waiting[host] = Waiters()
            looking = in_daemon_thread(self._reactor, lambda: self._system(host), f"look up {host[:50]}")
            looking.addBoth(self._found, host)
        waiting = self._waiting[host].wait()
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
    """The addresses of hosts, all looked up at once. Blocks: for the start, before the reactor runs.

    :param within: how long that may take together, in seconds.
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
    """Bounds the time of an attempt to connect to one address.

    A time-out of Twisted's own would be judged before the connection is noticed (see `deadlines`).
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._deadline: Deadline | None = None

    def start(self, connector: IConnector, timeout: float) -> None:
        """Give the attempt up after so many seconds."""
        self.stop()
        self._deadline = Deadline(self._clock, timeout, connector.stopConnecting)

    def stop(self) -> Failure | None:
        """Note that the attempt has ended; return why, if that is because its time is over."""
        deadline, self._deadline = self._deadline, None
        if deadline is None:
            return None
        if not deadline.active():
            return Failure(TimeoutError())
        deadline.cancel()
        return None


@implementer(IConnector)
class NamedConnector(ClientFactory):
    """Connects to a host: looks its name up for each attempt, and tries one address after the other.

    To the factory it is the connector, as ``reactor.connectTCP`` gives one for an address.

    :param names: an `IHostNames`.
    :param host: a name or an address.
    :param factory: makes the protocol; its ``clientConnectionFailed`` or ``clientConnectionLost`` is called
        once for each attempt.
    :param timeout: return how long an attempt at one address may take, in seconds, for the number of
        addresses.
    :ivar state: ``disconnected``, ``connecting`` or ``connected``, as of Twisted's own connectors.
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
        self.state = "disconnected"
        self._reactor = reactor
        self._names = names
        self._target = host, port
        self._outer = factory
        self._timeout = timeout
        self._looking: Deferred[Addresses] | None = None
        self._left: list[str] = []
        self._patience = 0.0
        self._bound = AttemptBound(reactor)
        self._connector: IConnector | None = None

    def connect(self) -> None:
        """Begin an attempt."""
        self.state = "connecting"
        host = self._target[0]
        self._looking = succeed((host,)) if is_address(host) else self._names.addresses(host)
        self._looking.addCallbacks(self._resolved, self._failed)

    def stopConnecting(self) -> None:
        """Give up an attempt; it fails with ``UserError``, as at Twisted's own connectors.

        :raises twisted.internet.error.NotConnectingError: if there is none.
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
        """Host and port, as given."""
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

    # What the connector of one address reports

    def startedConnecting(self, connector: IConnector) -> None:
        """Bound the attempt at one address."""
        self._bound.start(connector, self._patience)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """The attempt succeeded."""
        self._bound.stop()
        self.state = "connected"
        self._left.clear()
        made: Protocol | None = self._outer.buildProtocol(addr)
        return made

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """One address can't be connected to."""
        reason = self._bound.stop() or reason
        if self._left:
            self._try_next()
        else:
            self._end(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """The connection is lost."""
        self._connector = None
        self.state = "disconnected"
        self._outer.clientConnectionLost(self, reason)


@implementer(IStreamClientEndpoint)
class NamedEndpoint:
    """Connects once to a host by its name or address; the parameters are those of `NamedConnector`.

    Twisted's ``HostnameEndpoint`` looks names up in the reactor's thread pool, where a mute name server holds
    up the end of the process.
    """

    def __init__(self, reactor: Any, host: str, port: int, timeout: Callable[[int], float]) -> None:
        self._reactor = reactor
        self._names = names_of(reactor)
        self._host = host
        self._port = port
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """As in ``IStreamClientEndpoint``."""
        once = _Once(self._reactor, protocolFactory)
        to = self._host, self._port
        once.connector = NamedConnector(self._reactor, self._names, *to, once, self._timeout)
        once.connector.connect()
        return once.connected


class _Once(ClientFactory):
    """Makes one protocol, and gives it out once it is connected.

    :ivar connected: a Deferred of the protocol; to cancel it is to give up.
    """

    noisy = False
    connector: NamedConnector

    def __init__(self, clock: Any, factory: IProtocolFactory) -> None:
        self._clock = clock
        self._factory: Any = factory
        self._made: IDelayedCall | None = None
        self.connected: Deferred[IProtocol] = Deferred(self._give_up)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the protocol; the transport connects it as soon as this returns."""
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
        """No address can be connected to, or the attempt was given up."""
        self.connected.errback(reason)

    def _give_up(self, connected: Deferred[IProtocol]) -> None:
        if self._made is not None and self._made.active():
            self._made.cancel()
        self.connector.disconnect()
