"""A pause of the process with a real reactor and real sockets, and no time that passes.

The reactor is one of the test's own. Its clock is moved on as by a pause, while bytes wait in the system's
buffers; then it goes on as Twisted's main loop does: what is due first, and the sockets after that.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from mtmount_twisted.net.deadlines import Deadline


class Taking(Protocol):
    """Counts what it reads."""

    transport: Any

    def __init__(self) -> None:
        self.size = 0

    def dataReceived(self, data: bytes) -> None:
        """Count it."""
        self.size += len(data)


class SelectTests(SynchronousTestCase):
    """Twisted's reactor for every system."""

    def make_reactor(self) -> Any:
        """One that nobody else uses."""
        return SelectReactor()

    def setUp(self) -> None:
        """A connection from a peer."""
        self.reactor = self.make_reactor()
        self.time = 1000.0
        self.reactor.seconds = lambda: self.time
        self.protocol = Taking()
        port = self.reactor.listenTCP(0, Factory.forProtocol(lambda: self.protocol), interface="127.0.0.1")
        self.peer = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.peer.setblocking(False)
        self.turn_until(lambda: self.protocol.connected)

    def tearDown(self) -> None:
        """Close all that the reactor has."""
        self.peer.close()
        self.reactor.disconnectAll()
        self.reactor.waker.connectionLost(Failure(ConnectionDone()))

    def turn_until(self, holds: Callable[[], object]) -> None:
        """Go on until something holds."""
        for _ in range(10_000):
            if holds():
                return
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0)
        raise AssertionError("it never holds")

    def fill(self) -> int:
        """Send all that the system takes; how much of it has arrived, in bytes."""
        handle = self.protocol.transport.getHandle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.peer.send(b"x" * 65536)
        (arrived,) = struct.unpack("i", fcntl.ioctl(handle, termios.FIONREAD, b"1234"))
        return int(arrived)

    def test_what_arrived_is_read_first(self) -> None:
        """A deadline that is over finds that all was read which waited when the process went on."""
        found: list[int] = []
        Deadline(self.reactor, 5.0, lambda: found.append(self.protocol.size))
        arrived = self.fill()
        self.time += 15.0
        self.turn_until(lambda: found)
        self.assertGreater(arrived, 65536)  # which takes more than one turn
        self.assertGreaterEqual(found[0], arrived)

    def test_plain_timer_comes_too_early(self) -> None:
        """Without it a timer comes before anything is read: this is what the reactor does."""
        found: list[int] = []
        self.reactor.callLater(5.0, lambda: found.append(self.protocol.size))
        self.fill()
        self.time += 15.0
        self.turn_until(lambda: found)
        self.assertEqual(found, [0])


class EpollTests(SelectTests):
    """Twisted's reactor on Linux."""

    def make_reactor(self) -> Any:
        """One with ``epoll``."""
        try:
            from twisted.internet.epollreactor import EPollReactor
        except ImportError:
            raise SkipTest("this system has no epoll") from None
        return EPollReactor()
