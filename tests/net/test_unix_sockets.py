"""Connections over Unix sockets whose peers send open files, on real sockets.

The file that a peer sends is one end of a second connection. Its other end sees that the system ends it.
"""

from __future__ import annotations

import array
import contextlib
import queue
import socket
import threading
from contextlib import suppress
from typing import Any
from unittest import TestCase, mock

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock

from mtmount_twisted.net.unix_sockets import (
    CLOSE_AGAIN,
    MAX_CLOSING,
    SO_PASSRIGHTS,
    Closer,
    UnixPeer,
    host_of,
    refuse_files,
    user_of,
)
from mtmount_twisted.testing import HOST
from tests.support.folders import scratch_folder
from tests.support.threads import no_threads

SOME = b"x" * 1000


def send_file(peer: socket.socket, file: socket.socket, data: bytes = b"G") -> None:
    """Send an open file with some data, and keep no reference to the file."""
    with file:
        rights = array.array("i", [file.fileno()])
        peer.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


class UnixPeerTests(TestCase):
    """A connection, and a peer that may send a file."""

    def setUp(self) -> None:
        self.peer, accepted = socket.socketpair()
        self.file, self.other_end = socket.socketpair()
        self.elsewhere: list[socket.socket] = []
        self.connection = UnixPeer(accepted, self.elsewhere.append)
        for each in (self.peer, self.connection, self.file, self.other_end):
            each.setblocking(False)
            self.addCleanup(each.close)
        self.addCleanup(lambda: [each.close() for each in self.elsewhere])

    @property
    def file_is_open(self) -> bool:
        """Whether the system has not ended the file."""
        try:
            return bool(self.other_end.recv(1))
        except BlockingIOError:
            return True

    def check_closed_elsewhere(self) -> None:
        """Close the connection. Its file ends only once the other thread would close it."""
        self.connection.close()
        self.assertTrue(self.file_is_open)
        [left] = self.elsewhere
        left.close()
        self.assertFalse(self.file_is_open)

    def test_data(self) -> None:
        """Without a file, data arrives as it is; the end of each side is seen by the other."""
        self.peer.sendall(SOME)
        self.assertEqual(self.connection.recvmsg(400), (SOME[:400], [], 0, None))
        self.assertEqual(self.connection.recvmsg(65536)[0], SOME[400:])
        with self.assertRaises(BlockingIOError):
            self.connection.recvmsg(65536)
        self.peer.shutdown(socket.SHUT_WR)
        self.assertEqual(self.connection.recvmsg(65536)[0], b"")
        self.connection.sendall(SOME)
        self.connection.close()
        self.assertEqual(self.peer.recv(65536), SOME)
        self.assertEqual(self.peer.recv(65536), b"")
        self.assertEqual(self.elsewhere, [])

    def test_file(self) -> None:
        """To read data with a file fails, and the file ends in neither the read nor the close."""
        send_file(self.peer, self.file)
        for _ in range(2):
            with self.assertRaises(ConnectionAbortedError):
                self.connection.recvmsg(65536)
            self.assertTrue(self.file_is_open)
        self.check_closed_elsewhere()

    def test_file_behind_data(self) -> None:
        """A read of data takes no file that comes behind the data."""
        self.peer.sendall(SOME)
        send_file(self.peer, self.file)
        for size in (len(SOME) // 2, len(SOME), 1):
            with suppress(ConnectionAbortedError):  # some systems look further than to the end of this data
                self.assertEqual(self.connection.recvmsg(size)[0], SOME[: len(SOME) // 2])
            self.assertTrue(self.file_is_open)
        self.check_closed_elsewhere()

    def test_file_behind_urgent_data(self) -> None:
        """A byte of urgent data before the file does not make a read take the file."""
        try:
            self.peer.send(b"U", socket.MSG_OOB)
        except OSError:  # Linux 5.14 and older
            self.skipTest("Unix sockets of this system have no urgent data")
        self.peer.sendall(b"abc")
        send_file(self.peer, self.file)
        for _ in range(5):
            with suppress(OSError):
                self.connection.recvmsg(2)
            self.assertTrue(self.file_is_open)
        self.check_closed_elsewhere()

    def test_file_that_nobody_reads(self) -> None:
        """A connection is closed in another thread also if a file is behind much data that was never read."""
        with suppress(BlockingIOError):
            for _ in range(50):
                self.peer.sendall(SOME)
        send_file(self.peer, self.file)
        self.peer.close()
        self.check_closed_elsewhere()

    def test_end_of_both_sides(self) -> None:
        """A connection whose peer is gone is closed, and closing it again does nothing."""
        self.connection.sendall(SOME)
        self.peer.close()
        self.connection.close()
        self.connection.close()
        self.assertEqual((self.connection.fileno(), self.elsewhere), (-1, []))


class ListeningTests(TestCase):
    """A socket that listens."""

    def setUp(self) -> None:
        self.listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listening.close)
        path = str(scratch_folder(self) / "web")
        self.listening.bind(path)
        self.listening.listen()
        self.peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.peer.close)
        self.connect = lambda: self.peer.connect(path)

    def test_user(self) -> None:
        """The user of a peer stands for its address."""
        self.connect()
        with self.listening.accept()[0] as accepted:
            user = user_of(accepted)
        self.assertRegex(user, r"^uid \d+$")
        self.assertEqual(host_of(UNIXAddress(user)), user)

    def test_addresses(self) -> None:
        """The name that a peer gives its own end is no address."""
        for peer, host in (
            (UNIXAddress("/tmp/mine"), ""),
            (UNIXAddress(None), ""),
            (None, ""),
            (IPv4Address("TCP", HOST, 1), HOST),
        ):
            self.assertEqual(host_of(peer), host)

    def test_refusal_of_files(self) -> None:
        """If the system can, it refuses files from the first moment of a connection."""
        try:
            self.listening.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS)
        except OSError:
            self.skipTest("this system can't refuse files")
        refuse_files(self.listening)
        self.connect()
        with self.assertRaises(PermissionError):
            send_file(self.peer, socket.socket())


class CloserTests(TestCase):
    """A closer, and connections that close when the test lets them."""

    def setUp(self) -> None:
        self.calls: queue.Queue[Any] = queue.Queue()
        self.told: list[bool] = []
        self.clock = Clock()
        self.clock.callFromThread = self.calls.put  # type: ignore[attr-defined]
        self.closer = Closer(self.clock, self.told.append)

    def test_no_thread(self) -> None:
        """A connection for which no thread can be started stays open, and closes as soon as one can be."""
        with contextlib.ExitStack() as stack:
            ends = [socket.socketpair() for _ in range(MAX_CLOSING)]
            for peer, connection in ends:
                stack.enter_context(peer)
                stack.enter_context(connection)
            with no_threads():
                for _, connection in ends:
                    self.closer.close(connection)
                self.clock.advance(CLOSE_AGAIN)
            self.assertTrue(self.closer.is_full)
            self.assertNotIn(-1, [connection.fileno() for _, connection in ends])
            self.clock.advance(CLOSE_AGAIN)
            for _ in ends:
                self.calls.get(timeout=10)()
            self.assertEqual((self.closer.is_full, self.told), (False, [True, False]))
            self.assertEqual({connection.fileno() for _, connection in ends}, {-1})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_error(self) -> None:
        """An error at the end of a connection ends its place as well."""
        connection = mock.Mock()
        connection.close.side_effect = OSError
        for _ in range(MAX_CLOSING):
            self.closer.close(connection)
        for _ in range(MAX_CLOSING):
            self.calls.get(timeout=10)()
        self.assertEqual((self.closer.is_full, self.told), (False, [True, False]))

    def test_threads(self) -> None:
        """Connections close in other threads, and a full closer says so until one is closed."""
        test = self
        threads: set[threading.Thread] = set()

        class Slow(socket.socket):
            def __init__(self) -> None:
                super().__init__()
                self.may_close = threading.Event()
                test.addCleanup(self.may_close.set)

            def close(self) -> None:
                self.may_close.wait()
                threads.add(threading.current_thread())
                super().close()

        connections = [Slow() for _ in range(MAX_CLOSING)]
        for connection in connections:
            self.assertFalse(self.closer.is_full)
            self.closer.close(connection)
        self.assertTrue(self.closer.is_full)
        self.assertEqual(self.told, [True])
        for connection in connections:
            connection.may_close.set()
            self.calls.get(timeout=10)()
        self.assertFalse(self.closer.is_full)
        self.assertEqual(self.told, [True, False])
        self.assertNotIn(threading.current_thread(), threads)
        self.assertEqual(len(threads), MAX_CLOSING)
