"""Clients of a port that say no more and still listen, and such as begin a line and do not end it."""

from __future__ import annotations

from tests.support.bridges import BridgeCase, PortEnd, ask, command
from tests.support.commanders import MOVE, STATE, STOP


def codes_and_ids(lines: list[bytes]) -> list[list[bytes]]:
    """Of each answer its code and its command's id."""
    return [line.split(b"\n")[:2] for line in lines]


class HalfClosedTests(BridgeCase):
    """A client shuts its own way out, as ``nc -N`` does at the end of its input."""

    def setUp(self) -> None:
        super().setUp()
        self.start(self.controller, self.csc)

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def finish(self, client: PortEnd) -> None:
        """Say no more."""
        client.transport.loseWriteConnection()
        client.settle()

    def test_commander_hears_the_end(self) -> None:
        """A commander is told how its commands end, and what else happens meanwhile; then it is closed."""
        desk = self.join()
        desk.say(command(1, STOP, 2), command(2, STOP, 2))
        self.finish(desk)
        self.controller.say(STATE)
        self.assertEqual(desk.heard(), [STATE])
        self.controller.serve()
        desk.settle()
        self.assertEqual(
            codes_and_ids(desk.heard()), [[b"0", b"1"], [b"2", b"1"], [b"0", b"2"], [b"2", b"2"]]
        )
        self.assertFalse(desk.is_connected)
        self.assertNotIn("desk/1", self.service.bridge.clients)

    def test_commander_with_nothing_to_wait_for(self) -> None:
        """One that has no command in flight is closed at once."""
        desk = self.join()
        self.finish(desk)
        self.assertFalse(desk.is_connected)

    def test_ask_in_flight(self) -> None:
        """An ask is told its Done, too, and what was sent behind it its end."""
        self.eui.start_listening()
        self.pass_time(1)
        self.assertTrue(self.eui.connect_server())
        desk = self.join()
        desk.say(ask(1, 2, 1), command(2, STOP, 2))  # command is to go to the CSC
        self.finish(desk)
        self.controller.serve()
        self.controller.serve()
        desk.settle()
        self.assertEqual(
            sorted(codes_and_ids(desk.heard())), [[b"0", b"1"], [b"0", b"2"], [b"2", b"1"], [b"2", b"2"]]
        )
        self.assertFalse(desk.is_connected)

    def test_all_end_at_once(self) -> None:
        """If all that is in flight ends because it says no more, it is closed then."""
        desk = self.join()
        desk.say(ask(1, 2, 2))
        self.finish(desk)
        self.controller.serve()
        desk.settle()
        self.assertTrue(desk.heard())
        self.assertFalse(desk.is_connected)

    def test_one_timer(self) -> None:
        """However much it is told meanwhile, there is one timer for it, and none when it is gone."""
        desk = self.join()
        desk.say(command(1, STOP, 2))
        self.finish(desk)
        before = len(self.reactor.getDelayedCalls())
        for _ in range(100):
            self.service.bridge.process_replies([STATE])
        self.assertLessEqual(len(self.reactor.getDelayedCalls()), before + 3)
        desk.transport.abortConnection()
        desk.settle()

    def test_its_lease(self) -> None:
        """It has command for as long as one that is gone, then the mount is stopped."""
        desk = self.join()
        self.grant(desk, 2)
        desk.say(command(1, MOVE, 2))
        self.finish(desk)
        self.assertTrue(desk.is_connected)
        self.assertIsNotNone(self.service.bridge.lease.holder)
        self.controller.heard()
        self.pass_time(5.1)
        self.assertIsNone(self.service.bridge.lease.holder)
        self.assertTrue(self.controller.heard())

    def test_it_does_not_wait_for_ever(self) -> None:
        """If the mount never answers, it is told so when its time is up, and closed."""
        desk = self.join()
        desk.say(command(1, STOP, 2))
        self.finish(desk)
        self.pass_time(5.5)
        self.assertEqual(codes_and_ids(desk.heard()), [[b"1", b"1"]])
        self.assertFalse(desk.is_connected)

    def test_observer(self) -> None:
        """One that only observes goes on listening."""
        seer = self.join(1)
        self.finish(seer)
        self.controller.say(STATE)
        self.assertEqual(seer.heard(), [STATE])
        self.assertTrue(seer.is_connected)

    def test_in_the_middle_of_a_line(self) -> None:
        """A line that is cut in the middle is dropped with a line in the log; nothing goes to the mount."""
        desk = self.join()
        desk.transport.write(ask(1, 2, 2)[:-2])
        desk.settle()
        with self.assertLogs("tests.bridge", "WARNING") as logged:
            self.finish(desk)
        self.assertIn("within a line", logged.output[0])
        self.assertEqual(self.controller.heard(), [])

    def test_a_line_that_is_not_ended(self) -> None:
        """10 s after its first byte, on a port and on a pair, whose next connection is welcome."""
        desk, csc = self.join(), self.csc.server
        desk.transport.write(b"1\n")
        csc.transport.write(b"1\n")
        self.pass_time(9.5)
        self.assertEqual((desk.is_connected, csc.is_connected), (True, True))
        with self.assertLogs("tests.bridge", "WARNING") as logged:
            self.pass_time(1)
        self.assertEqual((desk.is_connected, csc.is_connected), (False, False))
        self.assertEqual(sum("not ended within 10 s" in line for line in logged.output), 2, logged.output)
        self.assertTrue(self.csc.connect_server())
