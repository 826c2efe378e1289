"""`mtmount_twisted.net.reactors`: what stands in for a reactor can do what the reactor can."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from types import SimpleNamespace
from typing import Any
from unittest import skipIf

from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from mtmount_twisted.app.privileged import PrivilegedPorts
from mtmount_twisted.net.event_order import MOST_EVENTS, MOST_LOOKED_AT
from mtmount_twisted.net.reactors import bound_turns
from mtmount_twisted.net.tls import ConnectsWith
from mtmount_twisted.net.turn_time import LONGEST, TurnTime, turn_time_of
from mtmount_twisted.testing import HOST, MemoryReactor

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]


class LayerTests(SynchronousTestCase):
    """Reactors that do one thing in a way of their own."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()

    def layers(self) -> list[Any]:
        """One of each kind."""
        return [PrivilegedPorts(self.reactor, ()), ConnectsWith(self.reactor, None)]

    def test_interfaces(self) -> None:
        """They provide what the reactor provides."""
        for layer in self.layers():
            self.assertEqual(list(providedBy(layer)), list(providedBy(self.reactor)))
            for interface in (IReactorTime, IReactorTCP):
                verifyObject(interface, layer)

    def test_time(self) -> None:
        """Their clock is the reactor's."""
        for layer in self.layers():
            called: list[int] = []
            layer.callLater(1.0, called.append, 1)
            before = layer.seconds()
            self.reactor.advance(1.0)
            self.assertEqual((layer.seconds() - before, called), (1.0, [1]))

    @skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
    def test_connects_with_tls(self) -> None:
        """A TCP connection of one is a TLS connection; a port that it listens on is the reactor's."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        made: list[Any] = []
        self.reactor.connectTCP = lambda host, port, factory, *rest: made.append((host, port, factory, *rest))
        layer = ConnectsWith(self.reactor, ssl.optionsForClientTLS("mount.example"))
        factory = Factory.forProtocol(Protocol)
        layer.connectTCP(HOST, 1, factory, 30)
        [(host, port, wrapped, timeout)] = made
        self.assertEqual((host, port, timeout), (HOST, 1, 30))
        self.assertIsInstance(wrapped, TLSMemoryBIOFactory)
        self.assertIs(wrapped.wrappedFactory, factory)
        self.assertTrue(callable(layer.listenTCP))


class Recorder:
    """Passes each call to an ``epoll`` object.

    :ivar timeouts: those of the polls.
    :ivar most: the largest number of events of the last poll.
    :ivar reported: the events that the kernel has reported.
    """

    def __init__(self, poller: Any) -> None:
        self.poller = poller
        self.timeouts: list[float] = []
        self.most = 0
        self.reported: list[tuple[int, int]] = []

    def poll(self, timeout: float, most: int) -> Any:
        self.timeouts.append(timeout)
        self.most = most
        found = self.poller.poll(timeout, most)
        self.reported += found
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.poller, name)


class FewEventsTests(SynchronousTestCase):
    """`bound_turns`."""

    def reactor(self) -> SimpleNamespace:
        """A reactor with ``epoll``."""
        poller = select.epoll()
        self.addCleanup(poller.close)
        self.recorder = Recorder(poller)
        return SimpleNamespace(_poller=self.recorder, _selectables={}, seconds=Clock().seconds)

    def bounded(self, count: int) -> tuple[Any, list[int]]:
        """Return the poller of a reactor with bounded turns, and the file numbers of so many connections that
        it has accepted, with a byte to read in each."""
        reactor = self.reactor()
        self.assertTrue(bound_turns(reactor))
        few = vars(reactor)["_poller"]
        self.time: TurnTime = vars(reactor)["turn_time"]
        self.selectables: dict[int, object] = vars(reactor)["_selectables"]
        files = []
        for _ in range(count):
            near, far = socket.socketpair()
            self.addCleanup(near.close)
            self.addCleanup(far.close)
            few.register(near.fileno(), select.EPOLLIN)
            self.selectables[near.fileno()] = object.__new__(Server)
            far.send(b"x")
            files.append(near.fileno())
        return few, files

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_poll(self) -> None:
        """Of many sockets that are ready, a poll returns a few, and each has its turn."""
        few, files = self.bounded(3 * MOST_EVENTS)
        found = [[file for file, _ in few.poll(0, 1000)] for _ in range(5)]
        self.assertEqual([len(each) for each in found], [MOST_EVENTS] * 5)
        self.assertEqual({file for each in found for file in each}, set(files))
        self.assertEqual(self.recorder.most, MOST_LOOKED_AT)

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_reported_once(self) -> None:
        """The kernel does not report a socket that waits, until it is served, though others are served."""
        few, files = self.bounded(3 * MOST_EVENTS)
        for _ in range(5):
            list(few.poll(0, 1000))
        self.assertEqual(len(self.recorder.reported), len(files) + 4 * MOST_EVENTS)
        [waiting] = list(set(files) - {file for file, _ in few.poll(0, 1000)})[:1]
        self.recorder.reported.clear()
        few.modify(waiting, select.EPOLLIN | select.EPOLLOUT)
        list(few.poll(0, 1000))
        self.assertIn((waiting, select.EPOLLOUT), self.recorder.reported)

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_reported_again(self) -> None:
        """A socket that was served, and is as ready as before, is reported again, in each group."""
        few, [file] = self.bounded(1)
        for transport in (object.__new__(Server), object()):
            self.selectables[file] = transport
            for wanted in (select.EPOLLIN, select.EPOLLOUT, select.EPOLLIN | select.EPOLLOUT):
                few.modify(file, wanted)
                for _ in range(3):
                    served = 0
                    for _, ready in few.poll(0, 10):
                        served |= ready
                    self.assertEqual(served, wanted)

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_full_output(self) -> None:
        """A socket with output for which the peer has no room is read from again and again."""
        few, files = self.bounded(2 * MOST_EVENTS)
        list(few.poll(0, 1000))
        [waiting] = [file for file in files if file not in {each for each, _ in few.poll(0, 1000)}][:1]
        near = socket.socket(fileno=os.dup(waiting))
        self.addCleanup(near.close)
        near.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(bytes(65536))
        few.modify(waiting, select.EPOLLIN | select.EPOLLOUT)
        for file in files:
            if file != waiting:
                few.unregister(file)
        for _ in range(3):
            self.assertEqual(list(few.poll(0, 1000)), [(waiting, select.EPOLLIN)])

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_end_within_the_turn(self) -> None:
        """A socket that is closed as it is served, or while it waits in this turn, is not served any more."""
        few, files = self.bounded(3)
        served = []
        for file, _ in few.poll(0, 10):
            served.append(file)
            for other in files:
                if other != file and other not in served:
                    few.unregister(other)
            few.unregister(file)
        self.assertEqual(len(served), 1)
        self.assertEqual(list(few.poll(0, 10)), [])

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_unread(self) -> None:
        """The reactor's `TurnTime` knows how many connections wait for their first read."""
        few, _ = self.bounded(MOST_EVENTS + 5)
        list(few.poll(0, 1000))
        self.assertEqual(self.time.unread(), 5)

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_no_sleep(self) -> None:
        """While sockets wait, a poll does not sleep, and changes in the turn concern the next polls."""
        few, files = self.bounded(2 * MOST_EVENTS)
        seen: list[int] = []
        for file, _ in few.poll(0.5, 1000):
            few.modify(file, select.EPOLLIN | select.EPOLLOUT)  # as if something was to be written
            few.unregister(file)
            seen.append(file)
        seen += [file for file, _ in few.poll(60.0, 1000)]
        self.assertEqual(self.recorder.timeouts, [0.5, 0])
        self.assertEqual(set(seen), set(files))

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_reset(self) -> None:
        """The reset of a connection is still there for the read."""
        reactor = self.reactor()
        bound_turns(reactor)
        few = vars(reactor)["_poller"]
        with socket.create_server(("127.0.0.1", 0)) as listening:
            far = socket.create_connection(listening.getsockname())
            near, _ = listening.accept()
        self.addCleanup(near.close)
        file = near.fileno()
        accepted = object.__new__(Server)
        accepted.socket = near
        vars(reactor)["_selectables"][file] = accepted
        few.register(file, select.EPOLLIN)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        [(_, ready)] = few.poll(10.0, 10)
        self.assertTrue(ready & select.EPOLLERR)
        with self.assertRaises(ConnectionResetError):
            near.recv(1)

    def served(self, few: Any) -> dict[int, int]:
        """Return the events that the next polls serve, by file number, until nothing can be read."""
        found: dict[int, int] = {}
        while files := list(few.poll(0, 1000)):
            for file, ready in files:
                found[file] = found.get(file, 0) | ready
                if ready & select.EPOLLIN:
                    few.unregister(file)
        return found

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_changes_while_sockets_wait(self) -> None:
        """The events that the reactor wants of a socket may change while it waits."""
        few, files = self.bounded(2 * MOST_EVENTS)
        first = [file for file, _ in few.poll(0, 1000)]
        waiting = [file for file in files if file not in first]
        paused, writes, gone, *others = waiting
        few.modify(paused, 0)
        few.modify(writes, select.EPOLLIN | select.EPOLLOUT)
        few.unregister(gone)
        found = self.served(few)
        self.assertEqual(found[writes], select.EPOLLIN | select.EPOLLOUT)
        self.assertEqual(set(found), {*first, *others, writes})
        few.modify(paused, select.EPOLLIN)
        self.assertEqual(list(few.poll(0, 1000)), [(paused, select.EPOLLIN)])
        self.assertEqual(list(few.poll(0, 1000)), [(paused, select.EPOLLIN)])  # it was not read

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_written_to_without_end(self) -> None:
        """A socket to which each turn writes is read from."""
        few, [file] = self.bounded(1)
        read = 0
        for _ in range(4):
            few.modify(file, select.EPOLLIN | select.EPOLLOUT)  # something is to be written
            for _, ready in few.poll(0, 10):
                if ready & select.EPOLLOUT:
                    few.modify(file, select.EPOLLIN)  # it was written
                read += bool(ready & select.EPOLLIN)
        self.assertGreaterEqual(read, 3)

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_registered_before(self) -> None:
        """A socket that was registered before is watched as before."""
        reactor = self.reactor()
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        vars(reactor)["_poller"].register(near.fileno(), select.EPOLLIN)
        vars(reactor)["_selectables"][near.fileno()] = object()
        bound_turns(reactor)
        far.send(b"x")
        for _ in range(3):
            self.assertEqual(list(vars(reactor)["_poller"].poll(0, 10)), [(near.fileno(), select.EPOLLIN)])

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_twice(self) -> None:
        """A reactor of two daemons is changed once."""
        reactor = self.reactor()
        self.assertTrue(bound_turns(reactor))
        changed = vars(reactor).copy()
        self.assertTrue(bound_turns(reactor))
        self.assertEqual(vars(reactor), changed)

    @skipIf(not hasattr(select, "epoll"), "this system has no epoll")
    def test_turns(self) -> None:
        """A turn that has lasted long is used up until the next poll, for each layer of the reactor, too."""
        poller = select.epoll()
        self.addCleanup(poller.close)
        clock = Clock()
        vars(clock).update(_poller=poller, _selectables={})
        self.assertTrue(bound_turns(clock))
        time = turn_time_of(PrivilegedPorts(clock, ()))
        assert time is not None
        seen = [time.is_used_up]
        clock.advance(LONGEST)
        seen.append(time.is_used_up)
        vars(clock)["_poller"].poll(0, 10)
        seen.append(time.is_used_up)
        self.assertEqual(seen, [False, True, False])
        self.assertTrue(time.was_used_up)
        vars(clock)["_poller"].poll(0, 10)
        self.assertFalse(time.was_used_up)

    def test_other_reactor(self) -> None:
        """A reactor without ``epoll`` stays as it is."""
        self.assertFalse(bound_turns(MemoryReactor()))
