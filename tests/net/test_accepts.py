"""The order in which a listening socket's connections are set up, on real sockets and a clock in memory."""

from __future__ import annotations

import socket
import struct
from typing import Any
from unittest import TestCase

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from mtmount_twisted.net.accepts import ACCEPTS, MAX_TAKEN, MAX_WAITING, AcceptQueue
from mtmount_twisted.testing import HOST

BACKLOG = 1024
RESET = struct.pack("ii", 1, 0)  # close with a reset (socket(7), SO_LINGER)


class SlowClock(Clock):
    """A clock that makes calls without a delay in the next turn, as a reactor does."""

    TURN = 0.001

    def callLater(self, when: float, what: Any, *a: Any, **kw: Any) -> IDelayedCall:  # type: ignore[override]
        return super().callLater(when or self.TURN, what, *a, **kw)


class AcceptTests(TestCase):
    """A socket that listens, with its queue."""

    def setUp(self) -> None:
        listening = socket.create_server((HOST, 0), backlog=BACKLOG)
        listening.setblocking(False)
        self.address = listening.getsockname()
        self.reactor = SlowClock()
        self.known: set[str] = set()
        self.accepted: list[str] = []
        self.queue = AcceptQueue(listening, self.reactor, self.accept, self.known.__contains__, True)
        self.addCleanup(self.queue.close)

    def accept(self) -> None:
        """Accept all that have their turn, as a port of Twisted does."""
        try:
            while True:
                peer, (host, _) = self.queue.accept()
                self.addCleanup(peer.close)
                self.accepted.append(host)
        except BlockingIOError:
            pass

    def connect(self, *hosts: str) -> list[socket.socket]:
        """Connect from these addresses, in this order."""
        peers = []
        for host in hosts:
            peers.append(socket.create_connection(self.address, source_address=(host, 0)))
            self.addCleanup(peers[-1].close)
        return peers

    def turn(self) -> list[str]:
        """Return the addresses of the connections that the next turn sets up."""
        before = len(self.accepted)
        self.reactor.advance(SlowClock.TURN)
        return self.accepted[before:]

    def test_few_in_a_turn(self) -> None:
        """Of many connections a turn sets up a few, and each is set up in the end, in order."""
        hosts = [f"127.0.1.{number}" for number in range(1, 11)]
        self.connect(*hosts)
        self.accept()
        self.assertEqual(self.accepted, hosts[:ACCEPTS])
        for _ in hosts:
            self.assertLessEqual(len(self.turn()), ACCEPTS)
        self.assertEqual(self.accepted, hosts)

    def test_peers_that_are_gone(self) -> None:
        """A connection waits for none of hundreds whose peers have reset or closed them."""
        for number, peer in enumerate(self.connect(*["127.0.1.1"] * (MAX_WAITING + 50))):
            peer.sendall(b"x" * (number % 2))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET if number % 2 else bytes(8))
            peer.close()
        self.connect("127.0.1.2")
        for _ in range(1 + MAX_WAITING // MAX_TAKEN):
            self.accept()  # the socket is readable
            self.turn()
        self.assertEqual(self.accepted, ["127.0.1.2"])

    def test_last_words(self) -> None:
        """A peer that has sent a request and closed its side is still heard."""
        [peer] = self.connect("127.0.1.1")
        peer.sendall(b"stop")
        peer.close()
        self.accept()
        self.assertEqual(self.accepted, ["127.0.1.1"])

    def test_known_address_goes_first(self) -> None:
        """A known address waits for one other at most, and has no more than every second turn."""
        self.known.add("127.0.2.1")
        self.connect(*[f"127.0.1.{number}" for number in range(1, 7)], "127.0.2.1", "127.0.2.1")
        self.accept()
        for _ in range(3):
            self.turn()
        self.assertEqual(self.accepted[:4], ["127.0.2.1", "127.0.1.1", "127.0.2.1", "127.0.1.2"])

    def test_addresses_in_turns(self) -> None:
        """A connection waits for one of each other address, and not for all of them."""
        self.connect(*["127.0.1.1"] * 10, "127.0.1.2")
        self.accept()
        self.turn()
        self.assertEqual(self.accepted, ["127.0.1.1", "127.0.1.2"])

    def test_more_than_wait_here(self) -> None:
        """Connections beyond the bound wait in the system's queue, and none is lost."""
        self.connect(*[f"127.0.{2 + number // 200}.{1 + number % 200}" for number in range(MAX_WAITING + 40)])
        self.accept()
        while self.turn():
            pass
        self.accept()
        while self.turn():
            pass
        self.assertEqual(len(self.accepted), MAX_WAITING + 40)

    def test_end(self) -> None:
        """The end of the port closes the connections that wait."""
        peers = self.connect(*[f"127.0.1.{number}" for number in range(1, 9)])
        self.accept()
        self.queue.close()
        peers[-1].settimeout(5)
        self.assertEqual(peers[-1].recv(1), b"")
        self.assertEqual(self.reactor.getDelayedCalls(), [])
