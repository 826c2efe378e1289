"""The order in which a listening socket's connections are set up, on real sockets and a clock in memory."""

from __future__ import annotations

import array
import os
import queue
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest import TestCase, mock

from mtmount_twisted.net import accepts
from mtmount_twisted.net.accepts import (
    ACCEPT_TIME,
    LATELY,
    LONGEST_HEAD,
    MAX_WAITING,
    MOST_ACCEPTS,
    MOST_AHEAD,
    MOST_CLOSED,
    MOST_SEEN,
    MOST_TAKEN,
    MOST_UNREAD,
    SETUP_TIME,
    TAKEN_TIME,
    TAKING,
    AcceptQueue,
    accept_in_turns,
)
from mtmount_twisted.net.turn_time import LONGEST, MOST_SAVED, PART, TurnTime
from mtmount_twisted.net.unix_sockets import MAX_CLOSING, SO_PASSRIGHTS
from mtmount_twisted.testing import HOST
from tests.support.folders import scratch_folder
from tests.support.slow_clock import SlowClock

BACKLOG = 1024
RESET = struct.pack("ii", 1, 0)  # close with a reset (socket(7), SO_LINGER)


class CountingSocket(socket.socket):
    """A socket that counts the connections that are taken from it.

    :ivar taken: their number.
    """

    taken = 0

    @classmethod
    def listen(cls, backlog: int = BACKLOG) -> CountingSocket:  # type: ignore[override]
        """Return a socket that listens, and does not block."""
        made = cls(fileno=socket.create_server((HOST, 0), backlog=backlog).detach())
        made.setblocking(False)
        return made

    def accept(self) -> tuple[socket.socket, Any]:
        """Take a connection."""
        found = super().accept()
        self.taken += 1
        return found


class QueueCase(TestCase):
    """Sockets that listen, with their queues.

    :ivar known: the known addresses.
    :ivar accepted: the addresses of the connections that were set up.
    :ivar takes: the time that a connection takes to set up, in seconds.
    """

    def setUp(self) -> None:
        self.reactor = SlowClock()
        self.known: set[str] = set()
        self.accepted: list[str] = []
        self.takes = 0.0

    def listen(self, clients_begin: bool = True, kind: type[CountingSocket] = CountingSocket) -> AcceptQueue:
        """Return the queue of a further socket. `connect` connects to it."""
        listening = kind.listen()
        self.address = listening.getsockname()
        made = AcceptQueue(
            listening, self.reactor, lambda: self.accept(made), self.known.__contains__, clients_begin
        )
        self.addCleanup(made.close)
        return made

    def accept(self, waiting: AcceptQueue) -> list[str]:
        """Accept all that have their turn, as a port of Twisted does. Return their addresses."""
        before = len(self.accepted)
        with suppress(BlockingIOError):
            while True:
                peer, (host, _) = waiting.accept()
                self.addCleanup(peer.close)
                self.accepted.append(host)
                self.reactor.rightNow += self.takes
        return self.accepted[before:]

    def connect(self, *hosts: str) -> list[socket.socket]:
        """Connect from these addresses, in this order."""
        peers = []
        for host in hosts:
            peers.append(socket.create_connection(self.address, source_address=(host, 0)))
            self.addCleanup(peers[-1].close)
        return peers

    def connect_and_reset(self, number: int) -> None:
        """Make connections that their peers have reset."""
        for _ in range(number):
            [peer] = self.connect("127.0.1.1")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.close()


class AcceptTests(QueueCase):
    """One socket."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.listen()

    def turn(self) -> list[str]:
        """Return the addresses of the connections that the next turn sets up."""
        before = len(self.accepted)
        self.reactor.advance(SlowClock.TURN)
        return self.accepted[before:]

    def test_few_in_a_turn(self) -> None:
        """Of many connections a turn sets up a few, and each is set up in the end, in order."""
        hosts = [f"127.0.1.{number}" for number in range(1, 11)]
        self.connect(*hosts)
        self.accept(self.queue)
        self.assertEqual(self.accepted, hosts[:MOST_ACCEPTS])
        for _ in hosts:
            self.assertLessEqual(len(self.turn()), MOST_ACCEPTS)
        self.assertEqual(self.accepted, hosts)

    def test_peers_that_are_gone(self) -> None:
        """A connection waits for none of hundreds whose peers have reset or closed them."""
        for number, peer in enumerate(self.connect(*["127.0.1.1"] * (MAX_WAITING + 50))):
            peer.sendall(b"x" * (number % 2))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET if number % 2 else bytes(8))
            peer.close()
        self.connect("127.0.1.2")
        for _ in range(2 + MAX_WAITING // MOST_TAKEN):
            self.accept(self.queue)  # the socket is readable
            self.turn()
        self.assertEqual(self.accepted, ["127.0.1.2"])

    def test_last_words(self) -> None:
        """A peer that has sent a request and closed its side is still heard."""
        [peer] = self.connect("127.0.1.1")
        peer.sendall(b"POST /stop HTTP/1.1\r\n\r\n")
        peer.close()
        self.accept(self.queue)
        self.assertEqual(self.accepted, ["127.0.1.1"])

    def test_known_address_goes_first(self) -> None:
        """A known address waits for one other at most, and has no more than every second turn."""
        self.known.add("127.0.2.1")
        self.connect(*[f"127.0.1.{number}" for number in range(1, 7)], "127.0.2.1", "127.0.2.1")
        self.accept(self.queue)
        for _ in range(3):
            self.turn()
        self.assertEqual(self.accepted[:4], ["127.0.2.1", "127.0.1.1", "127.0.2.1", "127.0.1.2"])

    def test_addresses_in_turns(self) -> None:
        """A connection waits for one of each other address, and not for all of them."""
        self.connect(*["127.0.1.1"] * 10, "127.0.1.2")
        self.accept(self.queue)
        self.turn()
        self.assertEqual(self.accepted[:2], ["127.0.1.1", "127.0.1.2"])

    def test_more_than_wait_here(self) -> None:
        """Of a flood from one address some are closed, so that the connection of another address comes in.

        Of one address, those that have sent nothing are closed first.
        """
        peers = self.connect(*["127.0.1.1"] * (2 * MAX_WAITING), "127.0.1.2")
        peers[MAX_WAITING + 20].sendall(b"stop")
        for _ in range(2 + 2 * MAX_WAITING // MOST_TAKEN):
            self.accept(self.queue)  # the socket is readable
            self.turn()
        self.turn()
        self.assertIn("127.0.1.2", self.accepted)
        while self.turn():
            pass
        self.assertLess(len(self.accepted), len(peers))
        self.assertGreaterEqual(len(self.accepted), MAX_WAITING)
        peers[-2].settimeout(5)
        self.assertEqual(peers[-2].recv(1), b"")
        with self.assertRaises(BlockingIOError):
            peers[MAX_WAITING + 20].recv(1, socket.MSG_DONTWAIT)

    def test_those_that_have_sent_go_first(self) -> None:
        """A connection with a request waits for few silent ones, and these have some turns, too."""
        peers = self.connect(*[f"127.0.1.{number}" for number in range(1, 41)])
        for peer in peers[30:]:
            peer.sendall(b"stop")
        self.accept(self.queue)
        while self.turn():
            pass
        places = [self.accepted.index(f"127.0.1.{number}") for number in range(31, 41)]
        self.assertEqual(max(places), 10 + 10 // MOST_AHEAD - 1)
        self.assertEqual(len(self.accepted), 40)

    def test_silent_ones_give_way(self) -> None:
        """If too many wait, the silent ones give way first, also if each has an address of its own."""
        for number in range(MAX_WAITING + 60):
            [peer] = self.connect(f"127.0.{1 + number // 250}.{1 + number % 250}")
            if number % 4 == 3:
                peer.sendall(b"stop")
        self.accept(self.queue)
        while self.turn():
            pass
        spoke = [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(3, MAX_WAITING + 60, 4)]
        self.assertLessEqual(set(spoke), set(self.accepted))

    def test_one_address_displaces_no_other(self) -> None:
        """Many connections of one address that have sent something close no silent one of another address."""
        for peer in self.connect("127.0.1.2", *["127.0.1.1"] * (MAX_WAITING + 20))[1:]:
            peer.sendall(b"x")
        self.accept(self.queue)
        while self.turn():
            pass
        self.assertIn("127.0.1.2", self.accepted)

    def visit(self, *hosts: str) -> list[str]:
        """Connect from these addresses, send some bytes, and return the order in which they are set up."""
        before = len(self.accepted)
        for peer in self.connect(*hosts):
            peer.sendall(b"GET /")
        self.accept(self.queue)
        while self.turn():
            pass
        return self.accepted[before:]

    def test_addresses_that_come_again(self) -> None:
        """New neighbourhoods go before new addresses, and these before those that had a connection lately."""
        crowd = [f"127.0.1.{number}" for number in range(1, 30)]
        self.visit(*crowd)
        order = self.visit(*crowd, "127.0.1.200", "127.0.9.1")
        self.assertEqual(order[:2], ["127.0.9.1", "127.0.1.200"])
        self.assertEqual(len(order), 31)
        self.reactor.advance(LATELY)
        self.assertEqual(self.visit("127.0.1.1", "127.0.10.1"), ["127.0.1.1", "127.0.10.1"])

    def test_many_of_a_new_address(self) -> None:
        """Only the first connection of a new address goes before those of addresses that came lately."""
        self.visit("127.0.3.1")
        order = self.visit(*["127.0.1.1"] * 50, "127.0.3.1")
        self.assertLessEqual(order.index("127.0.3.1"), 2)

    def test_addresses_that_are_forgotten(self) -> None:
        """Few addresses are kept: the first one is forgotten first."""
        self.visit("127.0.1.1")
        with mock.patch.object(accepts, "MOST_SEEN", 8):
            self.visit(*[f"127.0.{number}.1" for number in range(2, 20)])
            self.assertEqual(self.visit("127.0.19.1", "127.0.1.1"), ["127.0.1.1", "127.0.19.1"])
        self.assertGreater(MOST_SEEN, 10_000)

    def test_address_that_comes_again(self) -> None:
        """An address that comes again is remembered longer than those that came between."""
        with mock.patch.object(accepts, "MOST_SEEN", 8):  # four addresses with their neighbourhoods
            for number in (1, 2, 3, 1, 4, 5):
                self.visit(f"127.0.{number}.1")
            self.assertEqual(self.visit("127.0.1.1", "127.0.2.1"), ["127.0.2.1", "127.0.1.1"])

    def test_neighbours_of_a_known_address(self) -> None:
        """A connection from a known address does not make its neighbourhood one of strangers."""
        self.visit("127.0.1.1")
        self.known.add("127.0.2.1")
        self.visit("127.0.2.1")
        self.assertEqual(self.visit("127.0.1.2", "127.0.2.2"), ["127.0.2.2", "127.0.1.2"])

    def test_newest_address_of_the_last_group_gives_way(self) -> None:
        """If each address has one connection, those from addresses that came lately are closed first."""
        lately = ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
        self.visit(*lately)
        with mock.patch.object(accepts, "MAX_WAITING", 5):
            order = self.visit("127.0.9.1", "127.0.1.9", *lately, "127.0.10.1", "127.0.11.1")
        self.assertEqual(order, ["127.0.9.1", "127.0.10.1", "127.0.11.1", "127.0.1.9", "127.0.1.1"])

    def test_newest_of_equal_numbers_gives_way(self) -> None:
        """Of addresses with the same number of connections, the newest address loses one."""
        hosts = ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
        self.connect(*hosts, *hosts)
        with mock.patch.object(accepts, "MAX_WAITING", 5):
            self.accept(self.queue)
        while self.turn():
            pass
        self.assertEqual(self.accepted, [*hosts, *hosts[:2]])

    def test_many_of_a_known_address_give_way(self) -> None:
        """Of a known address a few connections do not count; the newest one of the others gives way."""
        self.known.add("127.0.2.1")
        with mock.patch.object(accepts, "MAX_WAITING", 4), mock.patch.object(accepts, "KEPT_KNOWN", 3):
            self.assertEqual(self.visit(*["127.0.2.1"] * 6), ["127.0.2.1"] * 4)
            order = self.visit(*["127.0.2.1"] * 3, "127.0.1.1", "127.0.4.1")
            self.assertEqual(sorted(order), ["127.0.1.1", *["127.0.2.1"] * 3])

    def test_a_known_address_displaces_no_other(self) -> None:
        """Many connections of one known address close no connection of another address, known or not."""
        self.known |= {"127.0.1.1", "127.0.1.3"}
        crowd = ["127.0.1.1"] * MAX_WAITING
        for peer in self.connect(*crowd, "127.0.1.2", "127.0.1.3", *crowd):
            peer.sendall(b"x")
        while len(self.accepted) < MAX_WAITING // 2:
            self.accept(self.queue)  # the socket is readable
            self.turn()
        self.assertLessEqual({"127.0.1.2", "127.0.1.3"}, set(self.accepted))

    def test_browsers_at_a_known_address(self) -> None:
        """Of two browsers at a known address no connection is closed, however many strangers come."""
        self.known |= {"127.0.3.1"}
        self.connect(*["127.0.3.1"] * 12)
        strangers = [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(MAX_WAITING + 60)]
        for peer in self.connect(*strangers):
            peer.sendall(b"x")
        self.accept(self.queue)
        while self.turn():
            pass
        self.assertEqual(self.accepted.count("127.0.3.1"), 12)

    def test_half_a_line(self) -> None:
        """A peer that ended its side within its first line is not set up; one without a line may observe."""
        self.queue = self.listen(clients_begin=False)
        half, whole, silent, long = self.connect("127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4")
        half.sendall(b"{")
        whole.sendall(b"stop\r\n")
        long.sendall(b"x" * (LONGEST_HEAD + 10) + b"\r\n")
        for peer in (half, whole, silent, long):
            peer.shutdown(socket.SHUT_WR)
        self.accept(self.queue)
        self.turn()
        self.assertEqual(sorted(self.accepted), ["127.0.1.2", "127.0.1.3", "127.0.1.4"])

    def test_half_a_request(self) -> None:
        """A peer that ended its side within the head of a request is not set up; one behind the head is."""
        half, whole, _ = self.connect("127.0.1.1", "127.0.1.2", "127.0.1.3")
        half.sendall(b"GET / HTTP/1.1\r\nX: y")
        whole.sendall(b"GET / HTTP/1.1\r\n\r\n")
        for peer in (half, whole):
            peer.shutdown(socket.SHUT_WR)
        self.accept(self.queue)
        self.turn()
        self.turn()
        self.assertEqual(self.accepted, ["127.0.1.2", "127.0.1.3"])
        half.settimeout(5)
        with suppress(ConnectionResetError):
            self.assertEqual(half.recv(1), b"")

    def test_end(self) -> None:
        """The end of the port closes the connections that wait."""
        peers = self.connect(*[f"127.0.1.{number}" for number in range(1, 9)])
        self.accept(self.queue)
        self.queue.close()
        peers[-1].settimeout(5)
        self.assertEqual(peers[-1].recv(1), b"")
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class BoundedTurnTests(QueueCase):
    """Sockets of a reactor whose turns are bounded."""

    def setUp(self) -> None:
        super().setUp()
        self.time = vars(self.reactor)["turn_time"] = TurnTime(self.reactor)

    def turn(self, *queues: AcceptQueue, before: float = 0.0, behind: float = 0.0) -> list[str]:
        """Return the addresses of the connections that the next turn sets up: it reads, and then runs timers.

        :param before: the time that other work takes before the reads, in seconds.
        :param behind: the same, behind the reads.
        """
        so_far = len(self.accepted)
        self.time.end_turn()
        self.time.begin_turn()
        self.reactor.rightNow += before
        for waiting in queues:
            self.accept(waiting)
        self.reactor.rightNow += behind
        self.reactor.advance(SlowClock.TURN)
        return self.accepted[so_far:]

    def test_taken_in_used_up_turns(self) -> None:
        """In turns that other work uses up, all sockets together take connections for a share of the time."""
        for sockets, before in ((1, LONGEST), (1, 0.0), (3, LONGEST)):
            queues = [self.listen() for _ in range(sockets)]
            self.turn(*queues, before=LONGEST)
            began, turns = self.reactor.seconds(), 15
            for _ in range(turns):
                for waiting in queues:
                    self.address = waiting.getsockname()
                    self.connect_and_reset(MOST_TAKEN // sockets)
                self.turn(*queues, before=before, behind=LONGEST - before)
            taken = sum(waiting.taken for waiting in queues)
            share = TAKING * PART * (self.reactor.seconds() - began)
            self.assertLess(taken, (share + TAKING * PART * MOST_SAVED) / TAKEN_TIME + sockets)
            self.assertGreater(taken, 0.9 * share / TAKEN_TIME)
            self.assertLess(1.1 * taken, turns * MOST_TAKEN)
            for waiting in queues:
                waiting.close()

    def test_set_up_in_used_up_turns(self) -> None:
        """In turns that other work uses up, all sockets together have a share of the time to set up more."""
        for sockets, before in ((1, LONGEST), (1, 0.0), (4, LONGEST)):
            queues = []
            for _ in range(sockets):
                queues.append(self.listen())
                self.connect(*["127.0.1.1"] * 60)
            self.turn(*queues, before=LONGEST)
            began, so_far = self.reactor.seconds(), len(self.accepted)
            for _ in range(40):
                self.turn(*queues, before=before, behind=LONGEST - before)
            share = PART * (self.reactor.seconds() - began)
            set_up = len(self.accepted) - so_far
            self.assertLess(set_up, (share + PART * MOST_SAVED) / SETUP_TIME + sockets)
            self.assertGreater(set_up, 0.8 * share / SETUP_TIME)
            for waiting in queues:
                waiting.close()

    def test_known_address_in_used_up_turns(self) -> None:
        """A known address has a connection set up in each turn, and unknown ones have their share still."""
        self.known.add("127.0.2.1")
        waiting, began, others = self.listen(), self.reactor.seconds(), 0
        self.connect(*["127.0.1.1"] * 40)
        for _ in range(40):
            self.connect("127.0.2.1", "127.0.2.1")
            hosts = self.turn(waiting, before=LONGEST)
            unknown = hosts.count("127.0.1.1")
            self.assertLessEqual(1, hosts.count("127.0.2.1"))
            self.assertLessEqual(hosts.count("127.0.2.1"), 1 + unknown)
            others += unknown
        self.assertGreater(others, 0.8 * PART * (self.reactor.seconds() - began) / SETUP_TIME)

    def test_most_of_a_turn(self) -> None:
        """A turn takes no more than so many from the system, of one socket or of several."""
        for sockets in (1, 4):
            queues = []
            for _ in range(sockets):
                queues.append(self.listen())
                self.connect_and_reset(MOST_TAKEN + 20)
            for _ in range(3):
                before = sum(waiting.taken for waiting in queues)
                self.turn(*queues)
                self.assertLessEqual(sum(waiting.taken for waiting in queues) - before, MOST_TAKEN)
            self.assertGreaterEqual(min(waiting.taken for waiting in queues), MOST_TAKEN // 4)

    def test_many_ends(self) -> None:
        """If hundreds of connections that wait end at once, a turn closes a few of them."""
        queues, peers = [], []
        for _ in range(3):
            queues.append(self.listen())
            peers += self.connect(*["127.0.1.1"] * 100)
        for peer in peers:
            peer.sendall(b"x")
        self.time.unread = lambda: MOST_UNREAD  # set none of them up
        for _ in range(20):
            self.turn(*queues)
        self.time.unread = lambda: 0
        for peer in peers:
            peer.close()
        closed = 0
        for _ in range(20):
            self.turn()
            self.assertLess(self.time.closed, MOST_CLOSED + len(queues))
            closed += self.time.closed
        self.assertEqual(closed, len(peers))

    def test_sockets_in_turns(self) -> None:
        """All sockets together set up a few connections in a turn, and each socket has its turns."""
        queues, turns = [], 20
        for number in range(1, 6):
            queues.append(self.listen())
            self.connect(*[f"127.0.{number}.1"] * turns)
        for _ in range(turns):
            self.assertEqual(len(self.turn(*queues)), MOST_ACCEPTS)
        for number in range(1, 6):
            count = self.accepted.count(f"127.0.{number}.1")
            self.assertGreaterEqual(count, turns * MOST_ACCEPTS / len(queues) / 2)

    def test_sockets_without_a_user(self) -> None:
        """Sockets with connections that are over, or known, keep no other socket from setting one up."""
        self.known.add("127.0.2.1")
        for kind in ("reset", "over", "known"):
            queues = [self.listen(clients_begin=False) for _ in range(MOST_ACCEPTS + 2)]
            for turn in range(10):
                for waiting in queues[:-1]:
                    self.address = waiting.getsockname()
                    for peer in self.connect(*["127.0.2.1" if kind == "known" else "127.0.1.1"] * 17):
                        if kind == "reset":
                            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        else:
                            peer.sendall(b"x")
                        if kind != "known":
                            peer.close()
                if turn == 5:
                    self.address = queues[-1].getsockname()
                    self.connect("127.0.3.1")
                self.turn(*queues)
            self.assertIn("127.0.3.1", self.accepted, kind)
            self.accepted.clear()
            for waiting in queues:
                waiting.close()

    def test_socket_without_connections(self) -> None:
        """A socket that is closed, or to which nothing connects any more, has no part of the turns."""
        queues = []
        for _ in range(2):
            queues.append(self.listen())
            self.connect(*["127.0.1.1"] * 10)
        self.turn(*queues)
        self.assertEqual((set(self.time.accepting), self.time.taking), (set(queues), set(queues)))
        while self.turn():
            pass
        self.connect_and_reset(3)
        self.turn(*queues)
        for _ in range(2):
            self.turn()
        self.assertEqual((self.time.accepting, self.time.taking), ({}, set()))
        self.connect("127.0.1.1")
        queues[1].accept()[0].close()  # a port of Twisted may accept no more in this turn
        for _ in range(3):
            self.turn()
        self.assertEqual((self.time.accepting, self.time.taking), ({}, set()))
        self.connect(*["127.0.1.1"] * 10)
        self.turn(*queues)
        queues[1].close()
        self.assertEqual((self.time.accepting, self.time.taking), ({}, set()))

    def test_unread(self) -> None:
        """While many connections wait for their first read, only those of known addresses are set up."""
        self.known.add("127.0.2.1")
        waiting = self.listen()
        self.connect(*["127.0.1.1"] * 4, "127.0.2.1")
        self.time.unread = lambda: MOST_UNREAD
        self.assertEqual(self.accept(waiting), ["127.0.2.1"])
        self.time.unread = lambda: MOST_UNREAD - 1
        self.assertEqual(self.accept(waiting)[0], "127.0.1.1")

    def test_more_in_a_short_turn(self) -> None:
        """A turn sets up a few connections, or goes on for a while."""
        waiting = self.listen()
        self.connect(*["127.0.1.1"] * 20)
        for takes, number in ((0.0, MOST_ACCEPTS), (ACCEPT_TIME, 1), (ACCEPT_TIME / 2, 2)):
            self.takes = takes
            self.assertEqual(len(self.turn(waiting)), number)


class FakePort:
    """Stands in for a port of Twisted that listens on a Unix socket.

    :ivar reads: whether it waits for connections.
    """

    connected = True
    disconnecting = False

    def __init__(self, listening: socket.socket) -> None:
        self.socket = listening
        self.reads = True
        self.accepted: list[socket.socket] = []

    def doRead(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self.accepted.append(self.socket.accept()[0])

    def startReading(self) -> None:
        self.reads = True

    def stopReading(self) -> None:
        self.reads = False


class ThreadsLater(SlowClock):
    """A reactor that collects the calls of other threads.

    :ivar from_threads: these calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.from_threads.put(call)


class UnixTests(TestCase):
    """A Unix socket that listens, on a system that lets peers send open files."""

    def setUp(self) -> None:
        self.path = str(scratch_folder(self) / "web")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.path)
        listening.listen(BACKLOG)
        listening.setblocking(False)
        self.port: Any = FakePort(listening)
        self.reactor: Any = ThreadsLater()
        accept_in_turns(self.port, self.reactor)
        self.addCleanup(self.port.socket.close)
        with suppress(OSError):  # a system that can't refuse files
            self.port.socket.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 1)

    def connect(self) -> socket.socket:
        """Return a connection that waits to be accepted."""
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.connect(self.path)
        return peer

    def send_file(self) -> socket.socket:
        """Connect and send an open file. Return a socket that sees the end of the file."""
        file, other_end = socket.socketpair()
        self.addCleanup(other_end.close)
        with file:
            rights = array.array("i", [file.fileno()])
            self.connect().sendmsg([b"G"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        return other_end

    def test_address(self) -> None:
        """The user stands for the address of a peer, even of one that has named itself."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.bind("\0" + "abc")
            peer.connect(self.path)
            accepted, address = self.port.socket.accept()
            accepted.close()
        self.assertEqual(address, f"uid {os.getuid()}")

    def test_peers_with_files(self) -> None:
        """Each file ends in another thread. If that takes long for many, no more connections are accepted."""
        ends = [self.send_file() for _ in range(MAX_CLOSING)]
        self.connect().sendall(b"G")
        for _ in ends:
            self.port.doRead()
            self.reactor.advance(SlowClock.TURN)
        for peer in self.port.accepted[:MAX_CLOSING]:
            self.assertTrue(self.port.reads)
            peer.close()
        self.assertFalse(self.port.reads)
        self.reactor.from_threads.get(timeout=10)()
        self.assertTrue(self.port.reads)
        for each in ends:
            each.settimeout(10)
            self.assertEqual(each.recv(1), b"")

    def test_files_of_peers_that_wait(self) -> None:
        """The end of the port ends the files of waiting peers, in both queues, in other threads."""
        ends = [self.send_file() for _ in range(4)]
        self.port.doRead()
        ends += [self.send_file() for _ in range(4)]
        self.port.socket.close()
        for _ in range(len(ends) - len(self.port.accepted)):
            self.reactor.from_threads.get(timeout=10)
