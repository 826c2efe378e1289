"""Tests of `mtmount_twisted.client.mount`: replies that answer no command go to who subscribed."""

from __future__ import annotations

import logging
from typing import Any

from mtmount_twisted.replies import ErrorReply, InPositionReply, OnStateInfoReply, Reply, WarningReply
from tests.support.mounts import MountCase
from tests.support.pairs import LOG


class EventTests(MountCase):
    """Replies that answer no command."""

    EVENTS: tuple[Reply, ...] = (
        WarningReply(active=True, code=101, subsystem="100. x"),
        ErrorReply(on=True, active=True, code=202, subsystem="200. y", extra_data=("a", "b")),
        InPositionReply(what=0, in_position=True),
        OnStateInfoReply(description="PublishOnlyWaitingForCommand"),
    )

    def test_all_events(self) -> None:
        """A subscriber who names no kind gets every event, in order, and no answer."""
        seen: list[Reply] = []
        self.mount.subscribe(seen.append)
        sent = self.send()
        self.ack(sent)
        self.far_end.feed(*self.EVENTS)
        self.done(sent)
        self.assertEqual(tuple(seen), self.EVENTS)

    def test_kinds(self) -> None:
        """A subscriber gets the kinds that it names, and several may name the same."""
        seen: list[Reply] = []
        alarms: list[Reply] = []
        self.mount.subscribe(alarms.append, WarningReply, ErrorReply)
        self.mount.subscribe(seen.append, ErrorReply)
        self.far_end.feed(*self.EVENTS)
        self.assertEqual((tuple(alarms), tuple(seen)), (self.EVENTS[:2], self.EVENTS[1:2]))

    def test_one_kind(self) -> None:
        """A class before the subscriber names the one kind that it gets."""
        seen: list[InPositionReply] = []
        unsubscribe = self.mount.subscribe(InPositionReply, seen.append)
        self.far_end.feed(*self.EVENTS)
        unsubscribe()
        self.far_end.feed(*self.EVENTS)
        self.assertEqual(tuple(seen), self.EVENTS[2:3])

    def test_no_subscriber(self) -> None:
        """Arguments without one function are a TypeError that says what was expected."""
        wrong: list[tuple[Any, ...]] = [
            (),
            (InPositionReply,),
            (print, print),
            (print, "x"),
            (InPositionReply, None),
        ]
        for arguments in wrong:
            with self.assertRaisesRegex(TypeError, "expected a class of replies and a function"):
                self.mount.subscribe(*arguments)

    def test_unsubscribe(self) -> None:
        """Who unsubscribes, once or twice, gets no more; who subscribed twice is still there."""
        seen: list[Reply] = []
        first = self.mount.subscribe(seen.append)
        self.mount.subscribe(seen.append)
        self.far_end.feed(self.EVENTS[0])
        first()
        first()
        self.far_end.feed(self.EVENTS[1])
        self.assertEqual(tuple(seen), (self.EVENTS[0], self.EVENTS[0], self.EVENTS[1]))

    def test_unsubscribe_meanwhile(self) -> None:
        """Who is unsubscribed by an earlier subscriber does not even get this event."""
        seen: list[Reply] = []
        self.mount.subscribe(lambda event: unsubscribe())
        unsubscribe = self.mount.subscribe(seen.append)
        self.far_end.feed(self.EVENTS[0])
        self.assertEqual(seen, [])

    def test_failing_subscriber(self) -> None:
        """A subscriber that fails, plainly or as ``async def``, is logged and stops nobody."""
        seen: list[Reply] = []

        async def later(event: Reply) -> None:
            raise ZeroDivisionError

        self.mount.subscribe(lambda event: 1 / 0)
        self.mount.subscribe(later)
        self.mount.subscribe(seen.append)
        with self.assertLogs(LOG, logging.ERROR) as logged:
            self.far_end.feed(*self.EVENTS[:2])
        self.assertEqual((len(seen), len(logged.records)), (2, 4))
        self.assertIn("ZeroDivisionError", logged.output[0])

    def test_events_need_only_a_peer(self) -> None:
        """After the loss of both connections, events come as soon as there is somebody to say them."""
        seen: list[Reply] = []
        self.mount.subscribe(seen.append)
        self.far_end.stop_listening()
        self.far_end.drop_client()
        self.far_end.drop_server()
        self.assertTrue(self.far_end.connect_server())
        self.far_end.feed(self.EVENTS[0])
        self.assertEqual((len(seen), self.communicator.client_connected), (1, False))

    def test_events_outlive_a_loss(self) -> None:
        """Who subscribed before a loss gets the events after it."""
        seen: list[Reply] = []
        self.mount.subscribe(seen.append)
        self.far_end.drop_server()
        self.far_end.connect_server()
        self.far_end.feed(self.EVENTS[0])
        self.assertEqual(len(seen), 1)
