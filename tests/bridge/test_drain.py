"""How a bridge ends while commands are in flight: they have 3 s to end, or none if it is told twice."""

from __future__ import annotations

from mtmount_twisted.app.bridge_service import DRAIN_TIME
from tests.support.bridges import BridgeCase, ask, command, explanation, reply
from tests.support.commanders import MOVE, STOP


class DrainTests(BridgeCase):
    """A bridge that is stopped in the middle of a move."""

    def setUp(self) -> None:
        super().setUp()
        self.start_all()
        self.grant(self.csc)
        self.csc.say(command(1, MOVE, 1))
        [self.move] = self.controller.heard()
        self.controller.say(reply(0, self.move, b"60000"))
        self.csc.heard()
        self.stopped = self.service.stopService()

    def tearDown(self) -> None:
        self.service.stopService()
        self.pass_time(1.5)
        self.successResultOf(self.stopped)
        self.assert_nothing_left()

    def test_waits(self) -> None:
        """What ends in time ends as the mount says, and then the bridge does not wait on."""
        self.pass_time(DRAIN_TIME - 1)
        self.controller.say(reply(2, self.move))
        self.assertEqual([line[:4] for line in self.csc.heard()], [b"2\n1\n"])
        self.pass_time(0.5)
        self.successResultOf(self.stopped)

    def test_no_longer(self) -> None:
        """What does not is unknown after 3 s."""
        self.pass_time(DRAIN_TIME - 0.2)
        self.assertEqual(self.csc.heard(), [])
        self.assertNoResult(self.stopped)
        self.pass_time(0.5)
        [line] = self.csc.heard()
        self.assertEqual(explanation(line), "outcome unknown: the bridge ends")

    def test_twice(self) -> None:
        """A second stop waits for nothing: what is in flight is unknown at once."""
        second = self.service.stopService()
        self.reactor.advance(0)
        [line] = self.csc.heard()
        self.assertEqual(explanation(line), "outcome unknown: the bridge ends")
        self.pass_time(1.5)
        self.successResultOf(second)

    def test_new_commands(self) -> None:
        """Nothing new is taken meanwhile but what stops something."""
        self.csc.say(command(2, MOVE, 1), command(3, STOP, 1))
        [refusal] = self.csc.heard()
        self.assertEqual(explanation(refusal), "not sent: the bridge ends")
        self.assertEqual(len(self.controller.serve()), 1)

    def test_nothing_in_flight(self) -> None:
        """Once nothing is in flight any more, the controller is told that nobody has command."""
        self.controller.say(reply(2, self.move))
        self.pass_time(0.5)
        told = [line.split(b"\n")[1] for line in self.controller.heard()]
        self.assertEqual(told, [b"2101"])


class GoneHolderTests(BridgeCase):
    """A bridge that is stopped while it waits for a holder of command that is gone."""

    def test_stops(self) -> None:
        """The mount is stopped at once instead of a few seconds later, and the end waits for that."""
        self.start_all()
        self.grant(self.csc)
        self.csc.drop_server()
        self.pass_time(1)
        stopped = self.service.stopService()
        self.reactor.advance(0)
        told = self.controller.heard()
        codes = [line.split(b"\n")[1] for line in told]
        self.assertEqual((len(codes), codes[-1]), (5, b"2101"))  # four stops, then nobody has command
        self.assertNoResult(stopped)
        self.controller.say(*[reply(2, line) for line in told])
        self.pass_time(1.5)
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_goes_meanwhile(self) -> None:
        """A holder that goes while the bridge waits for its commands is not waited for either."""
        self.start_all()
        self.grant(self.csc)
        self.csc.say(command(1, MOVE, 1))
        [move] = self.controller.heard()
        self.controller.say(reply(0, move, b"60000"))
        stopped = self.service.stopService()
        self.reactor.advance(0)
        self.csc.drop_server()
        self.reactor.advance(0)
        told = self.controller.heard()
        self.assertEqual(len(told), 5)  # four stops, then nobody has command
        self.pass_time(5)
        self.successResultOf(stopped)
        self.assert_nothing_left()


class BehindAnAskTests(BridgeCase):
    """A bridge that is stopped while a command waits behind its ask."""

    def test_goes_on(self) -> None:
        """What begins when the controller has granted the ask has its time to end, too."""
        self.start_all()
        self.csc.say(ask(1, 1, 1), command(2, MOVE, 1))
        [upstream] = self.controller.heard()
        stopped = self.service.stopService()
        self.controller.say(reply(2, upstream))
        self.pass_time(0.5)
        [move] = self.controller.heard()
        self.assertNoResult(stopped)
        self.controller.say(reply(2, move))
        self.pass_time(0.5)
        self.assertEqual([line[:4] for line in self.csc.heard()], [b"0\n1\n", b"2\n1\n", b"2\n2\n"])
        self.controller.serve()
        self.pass_time(1.5)
        self.successResultOf(stopped)
