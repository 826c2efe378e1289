"""Tests of `mtmount_twisted.client.communicator`: closing at any moment, and any sequence of events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings, strategies
from twisted.internet.defer import CancelledError, Deferred

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.commands import AzimuthAxisMove
from mtmount_twisted.testing import HOST, FarEnd, MemoryReactor
from tests.support.pairs import LOG, PairCase, done


class CloseTests(PairCase):
    """Closing at any moment."""

    def test_at_any_moment(self) -> None:
        """However far it has come, closing ends all that waits, and leaves nothing."""
        moments: list[Callable[[], object]] = [
            lambda: None,
            lambda: self.connect(),
            lambda: (self.far_end.stop_listening(), self.connect(), self.reactor.advance(3)),
            lambda: (self.reactor.silent_ports.add(self.far_end.port), self.connect()),
            lambda: self.far_end.connect_server(),
            lambda: (self.connect(), self.reactor.advance(0)),
            lambda: (self.connect(), self.far_end.connect_server()),
            lambda: (self.connect(), self.reactor.advance(0), self.communicator.close_client()),
            lambda: (self.connect(), self.reactor.advance(0), self.connect()),
            lambda: (self.connect(), self.reactor.advance(0), self.far_end.drop_client()),
        ]
        for index, moment in enumerate(moments):
            self.start(connect=False)
            moment()
            waits = [self.communicator.wait_connected(), self.communicator.connect(), *self.connects]
            waits = [wait for wait in waits if not wait.called]
            self.closed()
            for wait in waits:
                self.failureResultOf(wait, ConnectionAbortedError)
            self.assertFalse(self.communicator.connected, index)

    def test_before_it_listens(self) -> None:
        """Closed while its own host name is looked up, it never listens."""
        reactor = MemoryReactor()
        communicator = Communicator("c", HOST, 1, "localhost", 0, LOG, True, False, reactor=reactor)
        waits = [communicator.wait_server_port(), communicator.wait_connected(), communicator.connect()]
        closed = communicator.close()
        for wait in waits:
            self.failureResultOf(wait, ConnectionAbortedError)
        reactor.advance(0)
        self.successResultOf(closed)
        self.assertEqual((reactor.ports, reactor.getDelayedCalls()), ({}, []))

    def test_cancel_close(self) -> None:
        """A close goes on when one who waits for it gives up."""
        communicator = self.start()
        first, second = communicator.close(), communicator.close()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.reactor.advance(0)
        self.assertIsNone(self.successResultOf(second))

    def test_each_deferred_ends_once(self) -> None:
        """Everything that waits ends once, whatever the callbacks of the others do meanwhile."""
        communicator = self.start()
        ends: list[str] = []
        for name in ("read", "monitor_client_reader", "read", "wait_server_port", "wait_connected"):
            deferred = getattr(communicator, name)()

            def ended(result: object, name: str = name) -> None:
                ends.append(name)
                communicator.close()
                communicator.close_client()
                communicator.read().addErrback(lambda reason: None)

            deferred.addBoth(ended)
        self.reactor.advance(5)
        self.assertEqual(
            sorted(ends),
            sorted(["read", "monitor_client_reader", "read", "wait_server_port", "wait_connected"]),
        )
        self.closed()

    def test_failure_is_logged(self) -> None:
        """Should closing itself go wrong, the log says so, and it is closed all the same."""
        communicator = self.start()
        port = self.reactor.ports[communicator.server_port]
        stop = port.stopListening

        def broken() -> Deferred[None]:
            stop()
            raise ZeroDivisionError

        port.stopListening = broken  # type: ignore[method-assign]
        with self.assertLogs(LOG, logging.ERROR) as logged:
            closed = communicator.close()
            self.reactor.advance(0)
        self.successResultOf(closed)
        self.assertIn("ZeroDivisionError", logged.output[0])


OPERATIONS = (
    "connect",
    "connect_elsewhere",
    "close_client",
    "read",
    "write",
    "monitor_client_reader",
    "wait_connected",
    "cancel",
    "feed",
    "feed_half",
    "connect_server",
    "drop_server",
    "drop_client",
    "abort_client",
    "stop_reading",
    "start_reading",
    "stop_listening",
    "start_listening",
    "turn",
    "second",
    "close",
)


class AnySequenceTests(PairCase):
    """What holds whatever happens, in whatever order, also from within the callback."""

    def do(self, operation: str) -> None:
        """Let one thing happen."""
        communicator, far_end = self.communicator, self.far_end
        if operation == "feed":
            if communicator.server_connected and far_end.server.is_connected and not self.halved:
                self.fed.append(len(self.fed) + 1)
                far_end.server.transport.write(done(self.fed[-1]))
        elif operation == "feed_half":
            self.halved = True
            far_end.server.transport.write(b"half") if far_end.server.is_connected else None
        elif operation == "connect_server":
            self.halved = not far_end.connect_server() and self.halved
        elif operation == "cancel":
            self.out[len(self.out) // 2].cancel() if self.out else None
        elif operation in ("turn", "second"):
            self.reactor.advance(operation == "second")
        elif operation == "abort_client":
            far_end.client.transport.abortConnection() if far_end.client.is_connected else None
        elif operation.startswith(("drop", "stop", "start")):
            if operation.endswith("listening") or (
                far_end.client.is_connected and far_end.server.is_connected
            ):
                getattr(far_end, operation)()
        elif operation == "connect_elsewhere":
            self.follow(communicator.connect(self.other.port))
        elif operation == "write":
            self.follow(communicator.write(AzimuthAxisMove(position=len(self.out))))
        else:
            deferred = getattr(communicator, operation)()
            if operation == "read":
                deferred.addCallback(lambda reply: self.numbers.append(reply.sequence_id))
            self.follow(deferred)

    def follow(self, deferred: Deferred[Any]) -> None:
        """Count how often a Deferred ends, and drop what it ends with."""
        index = len(self.out)
        self.out.append(deferred)
        deferred.addBoth(lambda result: self.ended.append(index))

    @settings(max_examples=150, deadline=None)
    @given(
        strategies.lists(strategies.sampled_from(OPERATIONS), max_size=40),
        strategies.lists(
            strategies.sampled_from(("connect", "close_client", "read", "write", "cancel", "close", ""))
        ),
    )
    def test_any_sequence(self, operations: list[str], in_callback: list[str]) -> None:
        """Each Deferred ends once, messages are read in order, and after a close nothing is left."""
        self.fed: list[int] = []
        self.numbers: list[int] = []
        self.out: list[Deferred[Any]] = []
        self.ended: list[int] = []
        self.halved = False
        todo = list(in_callback)
        self.start(connect=False, max_unread=3)
        self.other = FarEnd(self.communicator)
        self.communicator.connect_callback = lambda communicator: todo and todo[-1] and self.do(todo.pop())
        for operation in operations:
            self.do(operation)
            self.assertEqual(len(set(self.ended)), len(self.ended))
        self.communicator.connect_callback = None
        self.closed()
        self.assertEqual(sorted(self.ended), list(range(len(self.out))))
        self.assertEqual(self.numbers, self.fed[: len(self.numbers)])
