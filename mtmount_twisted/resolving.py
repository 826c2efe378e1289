"""Host names -> addresses, IPv4 and IPv6, with a deadline, and never in the way of anything.

Twisted's ``reactor.connectTCP`` and ``reactor.resolve`` know only IPv4, and look names up in the reactor's
thread pool, where a name server that does not answer holds up the end of the process. `NameResolver` is for
the running reactor, `look_up` for the time before there is one.

Next to read: `threads`, where the look-ups run; `connections`, which connects by name.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import DNSLookupError, TimeoutError
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from .deadlines import Deadline, FairClock
from .hosts import is_address
from .interfaces import IHostNames
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


@implementer(IConnector)
class NamedConnector(ClientFactory):
    """Connects to a host by its name: looks it up for each attempt, and tries one address after the other.

    To the factory it is the connector, as ``reactor.connectTCP`` gives one for an address.

    :param names: an `IHostNames`.
    :param factory: what makes the protocol, and is told when an attempt failed or the connection is lost.
    :param timeout: how long an attempt at one address may take, in seconds.
    :ivar state: ``disconnected``, ``connecting`` or ``connected``, as of Twisted's own connectors.
    """

    noisy = False

    def __init__(
        self, reactor: Any, names: Any, host: str, port: int, factory: ClientFactory[Any], timeout: float
    ) -> None:
        self.state = "disconnected"
        self._reactor = reactor
        self._names = names
        self._target = host, port
        self._outer = factory
        self._timeout = timeout
        self._looking: Deferred[Addresses] | None = None
        self._left: list[str] = []
        self._deadline: Deadline | None = None  # of the attempt at one address
        self._connector: IConnector | None = None

    def connect(self) -> None:
        """Begin an attempt."""
        self.state = "connecting"
        looking = self._looking = self._names.addresses(self._target[0])
        looking.addCallbacks(self._resolved, self._failed)

    def stopConnecting(self) -> None:
        """Give up an attempt, without a word to the factory."""
        self.disconnect()

    def disconnect(self) -> None:
        """Give up an attempt, or close the connection."""
        self._left.clear()
        looking, self._looking = self._looking, None
        if looking is not None:
            self.state = "disconnected"
            looking.cancel()
        elif self._connector is not None:
            self._connector.disconnect()

    def getDestination(self) -> IAddress:
        """Host and port, as given."""
        return HostnameAddress(self._target[0].encode("idna"), self._target[1])

    def _resolved(self, addresses: Addresses) -> None:
        self._looking = None
        self._left = list(addresses)
        self._try_next()

    def _try_next(self) -> None:
        port = self._target[1]
        self._connector = self._reactor.connectTCP(self._left.pop(0), port, self, timeout=None)

    def _failed(self, reason: Failure) -> None:
        if self._looking is None and self.state == "disconnected":
            return  # it was given up
        self._looking = None
        self._end(reason)

    def _end(self, reason: Failure) -> None:
        self._connector = None
        self.state = "disconnected"
        self._outer.clientConnectionFailed(self, reason)

    # What the connector of one address reports

    def startedConnecting(self, connector: IConnector) -> None:
        """Bound the attempt at one address."""
        self._deadline = Deadline(self._reactor, self._timeout, connector.stopConnecting)

    def _stop_deadline(self) -> bool:
        """True if the attempt was given up because its time is over."""
        deadline, self._deadline = self._deadline, None
        if deadline is None or not deadline.active():
            return deadline is not None
        deadline.cancel()
        return False

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """The attempt succeeded."""
        self._stop_deadline()
        self.state = "connected"
        self._left.clear()
        made: Protocol | None = self._outer.buildProtocol(addr)
        return made

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """One address can't be connected to."""
        if self._stop_deadline():
            reason = Failure(TimeoutError())
        if self._left:
            self._try_next()
        else:
            self._end(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """The connection is lost."""
        self._connector = None
        self.state = "disconnected"
        self._outer.clientConnectionLost(self, reason)
