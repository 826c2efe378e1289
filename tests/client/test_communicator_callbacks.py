"""Tests of `mtmount_twisted.client.communicator`: ``connect_callback``, and breaking off both connections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.commands import Enable
from mtmount_twisted.errors import PairClosedError
from mtmount_twisted.testing import FarEnd
from tests.support.pairs import LOG, PairCase, done


class DropTests(PairCase):
    """Breaking off both connections."""

    def test_counts_as_a_loss(self) -> None:
        """It is a change of each, fails who waits as a loss does, and both come back by themselves."""
        communicator = self.start()
        self.calls.clear()
        read, monitor = communicator.read(), communicator.monitor_client_reader()
        self.far_end.stop_reading()
        write = communicator.write(Enable())
        while write.called:
            write = communicator.write(Enable())
        communicator.drop_connections()
        self.assertNoResult(read)
        self.reactor.advance(0)
        for deferred in (read, write):
            self.failureResultOf(deferred, ConnectionResetError)
        self.assertIsNone(self.successResultOf(monitor))
        self.assertEqual(sorted(self.calls), [(False, False), (False, True)])
        self.assertEqual((self.far_end.client.is_connected, self.far_end.server.is_connected), (False, False))
        self.reactor.advance(0.1)
        self.assertTrue(self.far_end.connect_server())
        self.assertTrue(communicator.connected)
        self.closed()

    def test_only_what_is_up(self) -> None:
        """With one connection up, or none, or already broken off, it does what is left to do."""
        communicator = self.start(connect=False)
        communicator.drop_connections()
        self.far_end.connect_server()
        communicator.drop_connections()
        communicator.drop_connections()
        self.reactor.advance(0)
        self.assertEqual(self.calls, [(False, True), (False, False)])
        self.assertTrue(self.far_end.connect_server())
        self.closed()
        communicator.drop_connections()

    def test_what_came_before_can_be_read(self) -> None:
        """Messages that came before it are read first."""
        communicator = self.start()
        self.far_end.feed(done(1))
        communicator.drop_connections()
        self.reactor.advance(0)
        self.successResultOf(communicator.read())
        self.failureResultOf(communicator.read(), RuntimeError)


class CallbackTests(PairCase):
    """`connect_callback`: once per change, and it can do no harm."""

    def test_once_per_change(self) -> None:
        """Each change is one call, which sees the change made."""
        self.start()
        self.assertEqual(self.calls, [(True, False), (True, True)])
        self.far_end.drop_server()
        self.far_end.drop_client()
        self.reactor.advance(0.1)
        self.far_end.connect_server()
        self.assertEqual(self.calls[2:], [(True, False), (False, False), (True, False), (True, True)])
        self.far_end.client.transport.abortConnection()
        self.far_end.server.transport.abortConnection()
        self.far_end.settle()
        self.assertEqual(self.calls[6:], [(False, True), (False, False)])

    def test_arguments_are_ignored(self) -> None:
        """`call_connect_callback` takes anything and passes the communicator."""
        seen: list[object] = []
        communicator = self.start(connect=False, connect_callback=seen.append)
        communicator.call_connect_callback(1, "two", three=3)
        self.assertEqual(seen, [communicator])
        communicator.connect_callback = None
        communicator.call_connect_callback()

    def test_errors_are_logged(self) -> None:
        """What it raises, at once, by its Deferred or as ``async def``, is logged and goes no further."""

        def plain(communicator: object) -> None:
            raise ZeroDivisionError("plain")

        def later(communicator: object) -> Deferred[None]:
            deferred: Deferred[None] = Deferred()
            self.far_end.reactor.callLater(0, deferred.errback, ZeroDivisionError("later"))
            return deferred

        async def coroutine(communicator: object) -> None:
            raise ZeroDivisionError("coroutine")

        for callback in (plain, later, coroutine):
            self.start()
            self.communicator.connect_callback = callback
            with self.assertLogs(LOG, logging.ERROR) as logged:
                self.far_end.drop_server()
                self.assertTrue(self.far_end.connect_server())
            self.assertEqual(len(logged.records), 2)
            self.assertIn(f"ZeroDivisionError: {callback.__name__}", logged.output[0])
            self.assertTrue(self.communicator.connected)

    def test_close_in_the_callback(self) -> None:
        """Whatever the change, closing in the callback closes, and `connect` fails."""
        changes: list[Callable[[], object]] = [
            lambda: self.far_end.drop_client(),
            lambda: self.far_end.drop_server(),
            lambda: self.connect(),
        ]
        for change in changes:
            self.start()
            out = [self.communicator.read(), self.communicator.monitor_client_reader()]
            closing: list[Deferred[None]] = []

            def close(communicator: Communicator, closing: list[Any] = closing) -> None:
                closing.append(communicator.close())

            self.communicator.connect_callback = close
            change()
            self.reactor.advance(10)
            self.assertGreaterEqual(len(closing), 1)
            for deferred in closing:
                self.successResultOf(deferred)
            for deferred in out + self.connects:
                self.assertTrue(deferred.called)
                deferred.addErrback(lambda reason: reason.trap(ConnectionAbortedError, ConnectionResetError))
            self.closed()

    def test_close_in_the_callback_of_the_first_connection(self) -> None:
        """A pair may be closed by the first thing that happens to it."""
        closing: list[Deferred[None]] = []
        communicator = self.start(
            connect=False, connect_callback=lambda communicator: closing.append(communicator.close())
        )
        connect = communicator.connect()
        self.reactor.advance(0)
        self.failureResultOf(connect, PairClosedError)
        self.assertFalse(self.far_end.connect_server())
        self.assertEqual([self.successResultOf(deferred) for deferred in closing], [None, None])
        self.closed()

    def test_connect_in_the_callback(self) -> None:
        """Connecting again, here or elsewhere, may be what the callback does about a loss."""
        for elsewhere in (False, True):
            self.start()
            port = FarEnd(self.communicator).port if elsewhere else None
            connects: list[Deferred[None]] = []

            def again(
                communicator: Communicator, port: int | None = port, connects: list[Any] = connects
            ) -> None:
                if not communicator.client_connected:
                    connects.append(communicator.connect(port))

            self.communicator.connect_callback = again
            self.far_end.drop_client()
            self.reactor.advance(0.1)
            self.assertEqual([self.successResultOf(connect) for connect in connects], [None])
            self.assertTrue(self.communicator.connected)

    def test_close_client_in_the_callback(self) -> None:
        """A client that is closed because it came, or because it went, stays away."""
        for when_connected in (False, True):
            self.start(connect=False)

            def leave(communicator: Communicator, when: bool = when_connected) -> None:
                if communicator.client_connected is when:
                    communicator.close_client()

            self.communicator.connect()
            if when_connected:
                self.communicator.connect_callback = leave
                self.reactor.advance(0)
            else:
                self.reactor.advance(0)
                self.communicator.connect_callback = leave
                self.far_end.drop_client()
            attempts = len(self.reactor.attempts)
            self.reactor.advance(6)
            self.assertEqual(
                (self.communicator.client_connected, len(self.reactor.attempts)), (False, attempts)
            )
