"""Tests of `mtmount_twisted.net.liveness`: on a pretended kernel, and the options on a real socket."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast
from unittest import skipUnless

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.liveness import keep_alive, watch_window

LINUX = hasattr(socket, "TCP_INFO") and hasattr(socket, "TCP_USER_TIMEOUT")

# Where linux/tcp.h has the members of struct tcp_info: offset and format.
OFFSETS = {
    "state": (0, "B"),
    "ca_state": (1, "B"),
    "unacked": (24, "I"),
    "last_data_sent": (44, "I"),
    "last_data_recv": (52, "I"),
    "last_ack_recv": (56, "I"),
    "notsent_bytes": (144, "I"),
    "busy_time": (168, "Q"),
    "snd_wnd": (228, "I"),
}
OPEN, LOSS = 0, 4
ESTABLISHED = 1


def tcp_info(**members: int) -> bytes:
    """A struct tcp_info with these members."""
    raw = bytearray(232)
    for name, value in members.items():
        offset, code = OFFSETS[name]
        struct.pack_into("=" + code, raw, offset, value)
    return bytes(raw)


@dataclass
class FakeSocket:
    """A TCP socket whose kernel says what the test puts into `info`."""

    info: bytes
    family: int = socket.AF_INET
    user_timeout: int = 0

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return self.info[:size]

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        self.user_timeout = value


@dataclass
class SocketTransport:
    """As much of a transport as has to do with a socket."""

    handle: object
    aborted: list[bool] = field(default_factory=list)

    def getHandle(self) -> object:
        return self.handle

    def abortConnection(self) -> None:
        self.aborted.append(True)


def loopback_pair(test: SynchronousTestCase) -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection within this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    test.addCleanup(near.close)
    test.addCleanup(far.close)
    return near, far


def without(test: SynchronousTestCase, name: str) -> None:
    """Take a name out of `socket`, as on a platform that lacks the option."""
    if hasattr(socket, name):
        test.addCleanup(setattr, socket, name, getattr(socket, name))
        delattr(socket, name)


class KeepAliveTests(SynchronousTestCase):
    """What `keep_alive` sets."""

    def test_options(self) -> None:
        """A TCP socket sends small writes at once and has its idle peer asked."""
        near, _ = loopback_pair(self)
        keep_alive(SocketTransport(near))
        self.assertTrue(near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertTrue(near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    @skipUnless(LINUX, "the options are Linux's")
    def test_idle_peer_is_given_up_within_five_seconds(self) -> None:
        """The keep-alives that the kernel was told of end less than 5 s after the last sign."""
        near, _ = loopback_pair(self)
        keep_alive(SocketTransport(near))
        idle, interval, count = (
            near.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        self.assertGreater(count, 1)
        self.assertLess(idle + interval * count, 5)

    def test_platform_without_the_options(self) -> None:
        """Where the platform has no times to set, plain keep-alive is set."""
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
            without(self, name)
        near, _ = loopback_pair(self)
        keep_alive(SocketTransport(near))
        self.assertTrue(near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_transport_without_tcp_socket(self) -> None:
        """A transport that has no TCP socket is neither changed nor watched."""
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        clock = Clock()
        for transport in (StringTransport(), FakeTransport(Protocol(), False), SocketTransport(near)):
            keep_alive(transport)
            watch_window(transport, clock)()
        self.assertEqual(clock.getDelayedCalls(), [])


@skipUnless(LINUX, "the watch is Linux's")
class WatchWindowTests(SynchronousTestCase):
    """What `watch_window` makes of the kernel's account, of which `pass_time` is the clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sock = FakeSocket(tcp_info(snd_wnd=65536))
        self.transport = SocketTransport(self.sock)
        self.stop = watch_window(self.transport, self.clock)

    def pass_time(self, seconds: float = 0.5, **members: int) -> None:
        """Let the kernel say this, and the time pass."""
        self.sock.info = tcp_info(**members)
        self.clock.advance(seconds)

    def closed_window(self, ms: int, answered: int, **members: int) -> None:
        """Half a second in a window that closed `ms` ago, to a peer heard `answered` ms ago."""
        account = {"notsent_bytes": 9, "last_data_sent": ms, "busy_time": ms * 1000} | members
        self.pass_time(last_ack_recv=answered, last_data_recv=ms, **account)

    def test_peer_that_does_not_read_is_kept(self) -> None:
        """In an hour of closed window the time-out stays 1 to 4 s ahead, so that no probe is the last."""
        for ms in range(500, 3_600_000, 500):
            self.closed_window(ms, answered=ms % 2000)
            self.assertGreater(self.sock.user_timeout - ms, 1000)
            self.assertLess(self.sock.user_timeout - ms, 4000)
        self.assertEqual(self.transport.aborted, [])

    def test_peer_gone_behind_a_closed_window(self) -> None:
        """A peer that answers no probe is given up within 5 s of its last answer, once."""
        for ms in range(500, 60_000, 500):
            self.closed_window(ms, answered=100)
        for silent in range(0, 4001, 500):
            self.closed_window(60_000 + silent, answered=silent)
        self.assertEqual(self.transport.aborted, [])
        for silent in (4500, 5000):
            self.closed_window(60_000 + silent, answered=silent)
        self.assertEqual(self.transport.aborted, [True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_peer_gone_with_data_in_flight(self) -> None:
        """A peer that acknowledges nothing is given up within 5 s, with no time-out of the kernel's."""
        for silent in range(0, 4001, 500):
            self.pass_time(
                unacked=1, snd_wnd=65536, last_ack_recv=silent, last_data_recv=silent, ca_state=LOSS
            )
        self.assertEqual((self.transport.aborted, self.sock.user_timeout), ([], 0))
        self.pass_time(unacked=1, snd_wnd=65536, last_ack_recv=4500, last_data_recv=4500, ca_state=LOSS)
        self.assertEqual(self.transport.aborted, [True])

    def test_few_looks(self) -> None:
        """A peer that answers is looked at seldom: a daemon may have a thousand of them."""
        looks = 0

        def count(*_: int) -> bytes:
            nonlocal looks
            looks += 1
            return tcp_info(state=ESTABLISHED, snd_wnd=65536, last_ack_recv=100, last_data_recv=9000)

        self.patch(self.sock, "getsockopt", count)
        for _ in range(60):
            self.clock.advance(1.0)
        self.assertLess(looks, 35)

    def test_peer_gone_at_any_time(self) -> None:
        """A peer that is gone when data is sent is given up within 5 s of its last sign, whenever that is."""
        for tenths in range(1, 60):
            gone, clock = tenths / 10, Clock()
            sock = FakeSocket(b"")

            def account(*_: int, sock: FakeSocket = sock, clock: Clock = clock, gone: float = gone) -> bytes:
                silent = round(1000 * max(0.0, clock.seconds() - gone))
                return tcp_info(
                    state=ESTABLISHED, unacked=1, snd_wnd=65536, last_ack_recv=silent, last_data_recv=silent
                )

            self.patch(sock, "getsockopt", account)
            transport = SocketTransport(sock)
            watch_window(cast(ITCPTransport, transport), clock)
            while clock.seconds() < gone + 4.1:
                clock.advance(0.05)
            self.assertEqual(transport.aborted, [], gone)
            while clock.seconds() < gone + 5.0:
                clock.advance(0.05)
            self.assertEqual(transport.aborted, [True], gone)

    def test_peer_that_sends_is_there(self) -> None:
        """Data from the peer is a sign of it as well as an ACK."""
        self.pass_time(unacked=1, snd_wnd=65536, last_ack_recv=9000, last_data_recv=100)
        self.assertEqual(self.transport.aborted, [])

    def test_idle_peer_is_left_to_the_keep_alives(self) -> None:
        """A peer that owes us nothing is not given up for its silence."""
        self.pass_time(snd_wnd=65536, last_ack_recv=9000, last_data_recv=9000)
        self.assertEqual(self.transport.aborted, [])

    def test_window_opens(self) -> None:
        """Once the peer reads again the kernel's time-out is taken off."""
        self.closed_window(500, answered=100)
        self.pass_time(unacked=1, snd_wnd=65536)
        self.assertEqual(self.sock.user_timeout, 0)

    def test_window_opens_and_closes_between_two_looks(self) -> None:
        """The time-out follows the kernel, which counts anew from the last data that it sent."""
        for ms in range(500, 60_000, 500):
            self.closed_window(ms, answered=100)
        self.closed_window(60_000, answered=100, last_data_sent=300)
        self.assertLess(self.sock.user_timeout, 4000)

    def test_write_into_a_window_that_is_closed_already(self) -> None:
        """Time in which there was nothing to send does not count."""
        self.pass_time(last_data_sent=3_600_000, busy_time=5_000_000)
        self.closed_window(500, answered=100, last_data_sent=3_600_500, busy_time=5_300_000)
        self.assertGreater(self.sock.user_timeout, 1000)
        self.assertLess(self.sock.user_timeout, 4000)

    def test_window_closes_on_data_in_flight(self) -> None:
        """The time-out stays ahead of a loss recovery that lasts, however lately it sent something."""
        self.pass_time(unacked=3, snd_wnd=9000, ca_state=OPEN, busy_time=1_000_000)
        for ms in range(500, 60_000, 500):
            busy = 1_000_000 + ms * 1000
            self.pass_time(unacked=3, notsent_bytes=9, ca_state=LOSS, busy_time=busy, last_data_sent=100)
            self.assertGreater(self.sock.user_timeout - ms, 1000)
            self.assertLess(self.sock.user_timeout - ms, 4000)

    def test_stop(self) -> None:
        """A watch that is stopped leaves no timer; stopping it again does nothing."""
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.stop()
        self.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_after_giving_up(self) -> None:
        """A watch that gave its peer up can still be stopped."""
        self.pass_time(unacked=1, last_ack_recv=9000, last_data_recv=9000)
        self.stop()
        self.assertEqual(self.transport.aborted, [True])

    def test_socket_closed_unnoticed(self) -> None:
        """A watch that nobody stopped ends by itself once its socket tells nothing any more."""
        self.sock.info = b""
        self.clock.advance(0.5)
        self.assertEqual((self.clock.getDelayedCalls(), self.transport.aborted), ([], []))

    def test_peer_that_closed_its_side_and_is_gone(self) -> None:
        """A peer that closed its sending side, and then reset the connection, is found without a write."""
        near, far = loopback_pair(self)
        transport = SocketTransport(near)
        watch_window(transport, self.clock)
        far.close()
        self.clock.advance(0.5)
        self.assertEqual(transport.aborted, [])
        near.send(b"a line")
        self.assertEqual(near.recv(1), b"")  # the answer to the line is here, too
        self.clock.advance(0.5)
        self.assertEqual(transport.aborted, [])  # the reactor may find it out: a thousand end at once
        self.clock.advance(0.5)
        self.assertEqual(transport.aborted, [True])

    def test_real_kernel(self) -> None:
        """On a real connection that fills up the kernel's account is read, and the peer is kept."""
        near, far = loopback_pair(self)
        transport = SocketTransport(near)
        self.addCleanup(watch_window(transport, self.clock))
        self.assertEqual(near.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 0)
        near.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                near.send(bytes(65536))
        for _ in range(20):
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # sends an ACK that was put off
        self.clock.advance(0.5)
        self.assertGreater(near.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 1000)
        self.assertEqual(transport.aborted, [])


class LostTests(SynchronousTestCase):
    """A connection that is lost before it is watched: TLS may read the end of a handshake then."""

    def test_no_socket(self) -> None:
        """Its transport has no socket any more, and stays unchanged; nothing is raised."""

        class Lost:
            connected = 0

            def getHandle(self) -> object:
                raise AttributeError("socket")

        for transport in (Lost(), SimpleNamespace(transport=Lost())):
            clock = Clock()
            keep_alive(transport)
            watch_window(cast(ITCPTransport, transport), clock)()
            self.assertEqual(clock.getDelayedCalls(), [])


class NoWatchTests(SynchronousTestCase):
    """Platforms whose kernel does not tell enough."""

    def assert_not_watched(self, sock: FakeSocket) -> None:
        """Nothing is set on this socket, and no time is kept."""
        clock = Clock()
        watch_window(SocketTransport(sock), clock)()
        self.assertEqual((sock.user_timeout, clock.getDelayedCalls()), (0, []))

    @skipUnless(LINUX, "an older Linux")
    def test_older_kernel(self) -> None:
        """A struct that ends before the window is not used."""
        self.assert_not_watched(FakeSocket(tcp_info(notsent_bytes=9)[:224]))

    @skipUnless(LINUX, "a sandbox on Linux")
    def test_kernel_that_refuses(self) -> None:
        """A kernel that has the option and refuses it is taken as one without."""
        sock = FakeSocket(b"")
        self.patch(sock, "getsockopt", lambda *_: (_ for _ in ()).throw(OSError()))
        self.assert_not_watched(sock)

    def test_no_tcp_info(self) -> None:
        """Without the kernel's account there is no watch."""
        without(self, "TCP_INFO")
        self.assert_not_watched(FakeSocket(tcp_info(notsent_bytes=9)))

    def test_no_user_timeout(self) -> None:
        """Without the option that paces the probes there is no watch."""
        without(self, "TCP_USER_TIMEOUT")
        self.assert_not_watched(FakeSocket(tcp_info(notsent_bytes=9)))
