"""`mtmount_twisted.net.resolving`: names of both families, with a deadline, and connections by name."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any
from unittest.mock import Mock, patch

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import (
    ConnectionRefusedError,
    DNSLookupError,
    NoProtocol,
    NotConnectingError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IConnector, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.client.communicator import ClientServerPair
from mtmount_twisted.interfaces import IHostNames
from mtmount_twisted.net.halves import CONNECT_TIMEOUT
from mtmount_twisted.net.resolving import (
    LOOK_UP_TIME,
    NamedConnector,
    NamedEndpoint,
    NameResolver,
    look_up,
    system_addresses,
)
from mtmount_twisted.testing import HOST, MemoryReactor
from tests.journal.test_recorder import ThreadedClock
from tests.support.threads import no_threads

LOG = logging.getLogger("tests.resolving")
SIX = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))
FOUR = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))


class SystemTests(SynchronousTestCase):
    """What the system knows."""

    def test_both_families(self) -> None:
        """IPv4 addresses come first, each once."""
        self.patch(socket, "getaddrinfo", lambda *arguments, **options: [SIX, FOUR, SIX])
        self.assertEqual(system_addresses("both.example"), ("127.0.0.1", "::1"))


class LookUpTests(SynchronousTestCase):
    """`look_up`."""

    def setUp(self) -> None:
        self.never = threading.Event()
        self.addCleanup(self.never.set)

    def system(self, host: str) -> tuple[str, ...]:
        """Some names."""
        if host == "mute.example":
            self.never.wait()
        if host == "none.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host == "bad":
            raise UnicodeError
        return (f"addresses of {host}",)

    def test_all_at_once(self) -> None:
        """Each host has addresses or a reason; an address is its own, and nobody is asked about it."""
        found = look_up(["one.example", "none.example", "bad", "::1", HOST], system=self.system)
        self.assertEqual(
            found,
            {
                "one.example": ("addresses of one.example",),
                "none.example": "Name or service not known",
                "bad": "not a host name",
                "::1": ("::1",),
                HOST: (HOST,),
            },
        )

    def test_no_answer(self) -> None:
        """A name server that does not answer is waited for once, however many names there are."""
        found = look_up(["mute.example", "one.example"], within=0.05, system=self.system)
        self.assertIn("no answer from the name server within 0.05 s", found["mute.example"])
        self.assertEqual(found["one.example"], ("addresses of one.example",))


class NameResolverTests(SynchronousTestCase):
    """`NameResolver`, on a clock that a thread can leave something to be done on."""

    def setUp(self) -> None:
        self.clock = ThreadedClock()
        self.may_answer = threading.Event()
        self.addCleanup(self.may_answer.set)
        self.asked: list[str] = []
        self.names = NameResolver(self.clock, self.system)

    def system(self, host: str) -> tuple[str, ...]:
        """The name server: it answers when it may."""
        self.asked.append(host)
        self.may_answer.wait()
        if host == "none.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return "127.0.0.1", "::1"

    def answer(self) -> None:
        """Have the name server answer all that it was asked."""
        self.may_answer.set()
        for thread in threading.enumerate():
            if thread.name.startswith("look up"):
                self.assertTrue(thread.daemon)
                thread.join()
        self.clock.run_from_threads()

    def test_interface(self) -> None:
        """It offers what the connections need, as the reactor in memory does."""
        self.assertTrue(verifyObject(IHostNames, self.names))
        self.assertTrue(verifyObject(IHostNames, MemoryReactor()))

    def test_address(self) -> None:
        """Nobody is asked about an address."""
        self.assertEqual(self.successResultOf(self.names.addresses("::1")), ("::1",))
        self.assertEqual(self.asked, [])

    def test_answers(self) -> None:
        """Addresses of both families come to the reactor's thread, or an error with host and reason."""
        found, none = (self.names.addresses(f"{name}.example") for name in ("one", "none"))
        self.assertNoResult(found)
        self.answer()
        self.assertEqual(self.successResultOf(found), ("127.0.0.1", "::1"))
        error = self.failureResultOf(none, DNSLookupError).value
        self.assertIn("host 'none.example' does not resolve (Name or service not known)", str(error))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_answer(self) -> None:
        """Who waits for a mute name server is told in time; the next look-up takes no second thread."""
        for _ in range(3):
            waiting = self.names.addresses("mute.example")
            self.clock.pump([LOOK_UP_TIME - 0.1, 0.1, 0])
            error = self.failureResultOf(waiting, DNSLookupError).value
            self.assertIn("host 'mute.example' does not resolve (no answer", str(error))
        last = self.names.addresses("mute.example")
        self.answer()
        self.assertEqual(self.asked, ["mute.example"])
        self.successResultOf(last)

    def test_cancelled(self) -> None:
        """Who gives up leaves nothing behind."""
        waiting = self.names.addresses("mute.example")
        waiting.addErrback(lambda reason: None).cancel()
        self.answer()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_thread(self) -> None:
        """If no thread can be started, the look-up fails at once, and a later one of the name finds it."""
        with no_threads():
            failed = self.names.addresses("one.example")
        error = self.failureResultOf(failed, DNSLookupError).value
        self.assertIn("'one.example' does not resolve (the system can't start a thread", str(error))
        found = self.names.addresses("one.example")
        self.answer()
        self.assertEqual(self.successResultOf(found), ("127.0.0.1", "::1"))


class Told(ClientFactory):
    """Notes what a connector says of its attempts."""

    protocol = Protocol

    def __init__(self) -> None:
        self.failures: list[type[BaseException]] = []
        self.lost = 0

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """An attempt failed."""
        self.failures.append(type(reason.value))

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """The connection is lost."""
        self.lost += 1


class EndpointTests(SynchronousTestCase):
    """`NamedEndpoint`, in memory."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()
        self.reactor.names["mount.example"] = ["192.0.2.1", "192.0.2.2"]
        self.endpoint = NamedEndpoint(self.reactor, "mount.example", 7, lambda count: 3 / count)

    def test_interface(self) -> None:
        """It is an endpoint as Twisted has them."""
        self.assertTrue(verifyObject(IStreamClientEndpoint, self.endpoint))

    def test_connected(self) -> None:
        """The protocol is given out once it is connected."""
        self.reactor.listenTCP(7, Factory.forProtocol(Protocol))
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.reactor.pump([0, 0, 0])
        self.assertTrue(self.successResultOf(connecting).connected)

    def test_failed(self) -> None:
        """The failure at the last address is told; so is a factory that makes no protocol."""
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.reactor.pump([0, 0, 0])
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.reactor.silent_ports.add(7)
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.reactor.pump([0, 1.6, 1.6])
        self.failureResultOf(connecting, TimeoutError)
        self.reactor.silent_ports.clear()
        self.reactor.listenTCP(7, Factory.forProtocol(Protocol))
        none = Factory()
        none.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        connecting = self.endpoint.connect(none)
        self.reactor.pump([0, 0])
        self.failureResultOf(connecting, NoProtocol)

    def test_cancelled(self) -> None:
        """An attempt can be given up at any time, and leaves nothing behind."""
        self.reactor.listenTCP(7, Factory.forProtocol(Protocol))
        for turns in range(4):
            connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
            self.reactor.pump([0] * turns)
            if not connecting.called:
                connecting.cancel()
                self.failureResultOf(connecting, UserError, CancelledError)
            self.reactor.pump([0, 0, 3])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class ByNameTests(SynchronousTestCase):
    """Pairs that connect by name, in memory."""

    def pair(self, host: str, port: int) -> Any:
        """A pair that connects."""
        pair: Any = ClientServerPair("pair", host, port, HOST, 0, LOG, reactor=self.reactor)
        return pair

    def setUp(self) -> None:
        self.reactor = MemoryReactor()

    def close(self, pair: Any) -> None:
        """Close a pair; nothing is left."""
        closed = pair.close()
        self.reactor.pump([0, 0, 1])
        self.successResultOf(closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_one_address_after_the_other(self) -> None:
        """If the first address is silent for as long as an attempt may take, the next is tried."""
        self.reactor.names["mount.example"] = ["192.0.2.1", "2001:db8::1"]
        self.reactor.silent_ports.add(7)
        pair = self.pair("mount.example", 7)
        self.reactor.pump([0, 0, CONNECT_TIMEOUT, 0, 0])
        self.assertEqual([host for _, host, _ in self.reactor.attempts], ["192.0.2.1", "2001:db8::1"])
        self.close(pair)

    def test_looked_up_again(self) -> None:
        """Each attempt looks the name up: a mount that moved is found."""
        pair = self.pair("mount.example", 7)
        self.reactor.pump([0, 0])
        self.assertEqual(self.reactor.attempts, [])
        self.reactor.names["mount.example"] = "192.0.2.7"
        self.reactor.pump([0.1, 0, 0])
        self.assertEqual([host for _, host, _ in self.reactor.attempts], ["192.0.2.7"])
        self.close(pair)

    def test_look_up_that_raises(self) -> None:
        """An error in a look-up ends this attempt only: the next one finds the mount."""
        self.reactor.names["mount.example"] = "192.0.2.7"
        for fails in (Mock(side_effect=RuntimeError("no thread")), Mock(return_value=succeed(7))):
            with patch.object(self.reactor, "addresses", fails):
                pair = self.pair("mount.example", 7)
            self.assertEqual(self.reactor.attempts, [])
            self.reactor.pump([0.1, 0, 0])
            self.assertEqual([host for _, host, _ in self.reactor.attempts], ["192.0.2.7"])
            self.reactor.attempts.clear()
            self.close(pair)

    def test_closed_while_it_looks(self) -> None:
        """A pair that is closed while its host is looked up connects nowhere."""
        self.reactor.names["mount.example"] = "192.0.2.7"
        pair = self.pair("mount.example", 7)
        self.close(pair)
        self.assertEqual(self.reactor.attempts, [])

    def test_connector(self) -> None:
        """It is a connector as Twisted has them."""
        connector = self.connector("mount.example", Told())
        self.assertTrue(verifyObject(IConnector, connector))
        self.assertIn("mount.example", str(connector.getDestination()))
        self.assertRaises(NotConnectingError, connector.stopConnecting)

    def connector(self, host: str, factory: ClientFactory[Any]) -> NamedConnector:
        """A connector that has not begun."""
        return NamedConnector(self.reactor, self.reactor, host, 7, factory, lambda count: 1)

    def test_given_up(self) -> None:
        """The factory learns once that an attempt was given up: at the look-up as at an address."""
        self.reactor.names["mount.example"] = ["192.0.2.1", "192.0.2.2"]
        self.reactor.silent_ports.add(7)
        for host, turns in (("mount.example", 0), ("mount.example", 2), ("192.0.2.1", 0), ("192.0.2.1", 1)):
            for give_up in NamedConnector.stopConnecting, NamedConnector.disconnect:
                told = Told()
                connector = self.connector(host, told)
                connector.connect()
                self.reactor.pump([0] * turns)
                give_up(connector)
                self.reactor.pump([0, 0, 1])
                self.assertEqual(told.failures, [UserError], (host, turns))
                self.assertEqual((connector.state, self.reactor.getDelayedCalls()), ("disconnected", []))

    def test_nothing_to_give_up(self) -> None:
        """A connection that is made is not an attempt that can be given up; it stays."""
        listening = self.reactor.listenTCP(7, Factory.forProtocol(Protocol))
        self.reactor.names["mount.example"] = [HOST]
        told = Told()
        connector = self.connector("mount.example", told)
        connector.connect()
        self.reactor.pump([0, 0])
        self.assertRaises(NotConnectingError, connector.stopConnecting)
        self.reactor.pump([0, 0])
        self.assertEqual((connector.state, told.lost), ("connected", 0))
        connector.disconnect()
        self.reactor.pump([0, 0])
        self.assertEqual((connector.state, told.lost), ("disconnected", 1))
        listening.stopListening()


class SocketTests(TestCase):
    """Real sockets."""

    timeout = 20

    async def test_ipv6_only(self) -> None:
        """A name that has an IPv6 address and no other can be listened on, and connected to."""
        self.patch(socket, "getaddrinfo", lambda *arguments, **options: [SIX])
        one: Any = ClientServerPair("one", "six.example", 0, "six.example", 0, LOG, connect=False)
        other: Any = ClientServerPair("other", "six.example", 0, "six.example", 0, LOG, connect=False)
        for pair in one, other:
            self.addCleanup(pair.close)
        ports = [await pair.wait_server_port() for pair in (one, other)]
        self.assertEqual(one.server_host, "::1")
        joined: list[Deferred[None]] = [one.connect(ports[1]), other.connect(ports[0])]
        for each in joined:
            await each
        await one.write(b"x")
        self.assertEqual(await other.read(), b"x")
