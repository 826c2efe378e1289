"""Users of the broker as clients of the bridge: the daemon's side, with a bridge in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config.loading import MOST_USERS
from mtmount_twisted.enums import CommandCode, Source
from mtmount_twisted.frontends.broker import desk as desk_module
from mtmount_twisted.frontends.broker.desk import MOST_KEPT, STOPS_INTERVAL, Desk
from mtmount_twisted.frontends.broker.service import BrokerService
from mtmount_twisted.frontends.broker.words import (
    Command,
    Outcome,
    Recall,
    Seen,
    StationUser,
    Stopped,
    Tenure,
    Written,
    encode,
    read_from_child,
    read_to_child,
)
from mtmount_twisted.frontends.web.api.command_tracker import CommandTracker
from mtmount_twisted.station.desk import MOST_OPEN
from tests.support.children import ChildClock
from tests.support.commanders import LOG, STOP, command
from tests.support.web_houses import WebHouse

from .test_service import begin

USERS = [
    StationUser(name="night", source="CSC", role="command", expires=10.0),
    StationUser(name="day", source="EUI", role="command", expires=10.0),
    StationUser(name="guest", source="CSC", role="observer", expires=10.0),
]


def broken(*words: Any, **more: Any) -> Any:
    """Raise an error that no one expects."""
    raise LookupError("of the test")


class DeskCase(SynchronousTestCase):
    """A bridge, a connected controller, and a desk whose child the test plays."""

    def setUp(self, **rules: Any) -> None:
        self.house = WebHouse(**rules)
        self.reads = True
        self.outcomes: list[Outcome] = []
        self.stops: list[Stopped] = []
        self.time = 100.0  # `moment`
        house = self.house
        self.desk = Desk(
            *(house.bridge, house.bus, USERS, house.clock, house.wall_clock, LOG),  # type: ignore[arg-type]
            30.0,
            self.send,
            lambda: self.time,
        )
        self.desk.settle_tenure(True)

    def send(self, line: Outcome | Stopped) -> bool:
        """What the child gets."""
        told = read_to_child(encode(line))
        if self.reads:
            (self.stops if isinstance(told, Stopped) else self.outcomes).append(told)
        return self.reads

    def command(self, id: str, name: str, user: str = "night", **parameters: Any) -> None:
        """Hand over a command that was read now."""
        body = {"command": name, "parameters": parameters}
        now = self.time
        line = Command(user=user, id=id, body=body, read_at=now, stored_at=now, until=now + 10)
        self.desk.received(read_from_child(encode(line)))
        self.house.clock.advance(0)

    def states(self) -> list[tuple[str, str]]:
        """The outcomes since the last look."""
        self.house.clock.advance(0)
        found, self.outcomes = self.outcomes, []
        return [(each.id, each.state) for each in found]

    def take(self, user: str = "night", commander: str = "CSC") -> None:
        """Take command."""
        self.command("take", "AskForCommand", user, commander=commander)
        self.house.link.finish_all()
        self.assertEqual(self.states(), [("take", "done")])
        self.desk.received(Written(user, "take"))

    @property
    def holder(self) -> str | None:
        """The name of the holder of command."""
        holder = self.house.bridge.lease.holder
        return None if holder is None else holder.name


class CommandTests(DeskCase):
    """Commands and their outcomes."""

    def test_done(self) -> None:
        """A user takes command by its name, moves, and has the outcome with its steps."""
        self.take()
        self.assertEqual(self.holder, "broker/night")
        self.command("1", "AzimuthAxisMove", position=5)
        self.assertEqual(self.states(), [])
        self.house.link.finish_all()
        self.house.clock.advance(0)
        [outcome] = self.outcomes
        self.assertEqual((outcome.user, outcome.id, outcome.state), ("night", "1", "done"))
        self.assertEqual([each["step"] for each in outcome.steps], ["received", "sent", "ack", "done"])
        self.assertTrue(outcome.steps[0]["time"].startswith("2027-01-15T08:00:00"))

    def test_refusals(self) -> None:
        """What the bridge refuses, and what is no command, has an outcome with the reason."""
        self.command("1", "AzimuthAxisMove", position=5)
        self.command("2", "AzimuthAxisMove")
        self.command("3", "AzimuthAxisMove", "guest", position=5)
        self.command("4", "AzimuthAxisMove", "other", position=5)
        self.house.clock.advance(0)
        said = [(each.id, each.state, each.explanation) for each in self.outcomes]
        self.assertEqual(
            [each[:2] for each in said], [("1", "refused"), ("2", "malformed"), ("3", "refused")]
        )
        self.assertIn("nobody has command", said[0][2])
        self.assertIn("malformed: parameters.position: missing", said[1][2])
        self.assertEqual(self.house.link.codes(), [])

    def test_sent_once(self) -> None:
        """A second line with the same id sends nothing; it has the outcome of the first."""
        self.take()
        for _ in range(3):
            self.command("1", "AzimuthAxisMove", position=5)
        self.assertEqual(len(self.house.link.finish_all()), 1)
        self.assertEqual(self.states(), [("1", "done")])
        self.command("1", "AzimuthAxisMove", position=5)
        self.assertEqual((self.states(), self.house.link.codes()), ([("1", "done")], []))

    def test_too_old(self) -> None:
        """A command that waited too long between the child and the daemon is not sent."""
        self.take()
        body = {"command": "AzimuthAxisPower"}
        line = Command(user="night", id="1", body=body, read_at=100.0, stored_at=100.0, until=101.0)
        self.time = 101.5
        self.desk.received(line)
        self.assertEqual((self.states(), self.house.link.codes()), ([("1", "not_sent")], []))

    def test_standby(self) -> None:
        """Without the tenure nothing is sent."""
        self.desk.settle_tenure(False)
        self.command("1", "AzimuthAxisStop")
        [outcome] = self.outcomes
        self.assertEqual((outcome.explanation, self.house.link.codes()), ("not sent: standby", []))

    def test_stop_overtakes(self) -> None:
        """A stop of anybody ends a command that was read before it and comes after it; not a later one."""
        self.take()
        eui = self.house.client("eui", Source.EUI)
        for stop in (
            lambda: eui.command(CommandCode.AZIMUTH_AXIS_STOP),
            lambda: self.command("stop", "AzimuthAxisStop"),
        ):
            body = {"command": "AzimuthAxisMove", "parameters": {"position": 5}}
            now = self.time
            early = Command(user="night", id="early", body=body, read_at=now, stored_at=now, until=now + 10)
            self.time += 1
            stop()
            self.house.link.finish_all()
            self.states()
            self.desk.received(early)
            self.assertEqual(self.states(), [("early", "not_sent")])
            self.time += 1
            self.command("late", "AzimuthAxisMove", position=5)
            self.house.link.finish_all()
            self.assertEqual(self.states(), [("late", "done")])
            for id in ("early", "late", "stop"):
                self.desk.received(Written("night", id))

    def test_stop_overtakes_what_waited_at_the_broker(self) -> None:
        """A stop ends a command that the broker stored before the stop, also if it is read after the stop, as
        by a new child; and one that was read before the stop. An ask is not overtaken."""
        self.take()
        eui = self.house.client("eui", Source.EUI)
        stop = Command(
            user="day", id="stop", body={"command": "AzimuthAxisStop"}, read_at=204, stored_at=200, until=300
        )
        for at, stopping in (
            (100.0, lambda: eui.command(CommandCode.AZIMUTH_AXIS_STOP)),
            (200.0, lambda: self.desk.received(stop)),
        ):
            self.time = at
            stopping()
            self.time = at + 5
            self.house.link.finish_all()
            self.states()
            for id, name, stored, read, state in (
                ("1", "AzimuthAxisMove", -1, 5, "not_sent"),
                ("2", "AzimuthAxisMove", 1, 5, "done"),
                ("3", "AskForCommand", -1, 5, "done"),
            ):
                parameters = {"commander": "CSC"} if name == "AskForCommand" else {"position": 5}
                line = Command(
                    user="night",
                    id=id,
                    body={"command": name, "parameters": parameters},
                    read_at=at + read,
                    stored_at=at + stored,
                    until=at + 10,
                )
                self.desk.received(line)
                self.house.link.finish_all()
                self.assertEqual(self.states(), [(id, state)])
                self.desk.received(Written("night", id))

    def test_stops_for_the_child(self) -> None:
        """The child hears of each stop, with the times of the last ones; many stops at once are two lines. A
        child that did not read, and a new one, hear of them later; the end of the tenure waits for none."""
        eui = self.house.client("eui", Source.EUI)

        def stop(at: float) -> None:
            self.time = at
            eui.command(CommandCode.AZIMUTH_AXIS_STOP)

        for at in (100.0, 101.0, 102.0):
            stop(at)
        first, last = (Stopped(read_at=at, stored_at=at) for at in (100.0, 102.0))
        self.assertEqual(self.stops, [first])
        self.house.clock.advance(STOPS_INTERVAL)
        self.assertEqual(self.stops, [first, last])
        self.house.clock.advance(STOPS_INTERVAL)
        body = {"command": "AzimuthAxisStop"}
        self.desk.received(Command(user="day", id="1", body=body, read_at=103, stored_at=90, until=300))
        self.assertEqual(self.stops[2:], [Stopped(read_at=103.0, stored_at=102.0)])
        self.house.clock.advance(STOPS_INTERVAL)
        self.reads = False
        stop(104.0)
        self.reads = True
        self.desk.child_ready()
        self.desk.child_ready()
        self.assertEqual(self.stops[3:], [Stopped(read_at=104.0, stored_at=104.0)])
        self.house.clock.advance(STOPS_INTERVAL)
        self.desk.child_started()
        self.assertEqual(self.stops[4:], self.stops[3:4])
        for at, end in ((105.0, lambda: self.desk.settle_tenure(False)), (106.0, self.desk.close)):
            stop(at)
            end()
            self.assertEqual(self.stops[-1], Stopped(read_at=at, stored_at=at))
        soon = self.house.clock.seconds() + STOPS_INTERVAL
        self.assertEqual([call for call in self.house.clock.getDelayedCalls() if call.getTime() <= soon], [])
        stop(107.0)
        self.desk.settle_tenure(False)
        self.house.clock.advance(STOPS_INTERVAL)
        self.assertEqual(len(self.stops), 7)

    def test_stop_without_command(self) -> None:
        """Anybody may stop."""
        self.command("1", "AzimuthAxisStop", "day")
        self.house.link.finish_all()
        self.assertEqual(self.states(), [("1", "done")])

    def test_child_that_does_not_read(self) -> None:
        """Outcomes wait for the child, and not the mount for it; they are bounded."""
        self.take()
        self.reads = False
        for number in range(MOST_KEPT + 10):
            self.command(f"{number}", "AzimuthAxisMove", position=5)
            self.house.link.finish_all()
        self.reads = True
        self.desk.child_ready()
        states = self.states()
        self.assertEqual(states[:MOST_KEPT], [(f"{number}", "done") for number in range(MOST_KEPT)])
        self.assertLess(len(states), MOST_KEPT + 11)
        self.command("next", "AzimuthAxisMove", position=5)
        self.house.link.finish_all()
        self.assertEqual(self.states(), [("next", "done")])

    def test_recall(self) -> None:
        """A new child is told the outcome of what the last one handed over, and else that it is unknown."""
        self.take()
        self.command("1", "AzimuthAxisMove", position=5)
        self.desk.received(Recall("night", "1"))
        self.assertEqual(self.states(), [])
        self.house.link.finish_all()
        self.assertEqual(self.states(), [("1", "done")])
        self.desk.received(Recall("night", "1"))
        self.assertEqual(self.states(), [("1", "done")])
        self.desk.received(Written("night", "1"))
        self.desk.received(Recall("night", "1"))
        self.assertEqual(self.states(), [("1", "outcome_unknown")])

    def test_link_lost(self) -> None:
        """A command in flight whose link is lost is unknown, once."""
        self.take()
        self.command("1", "AzimuthAxisMove", position=5)
        self.house.bridge.link_down("gone")
        self.assertEqual(self.states(), [("1", "outcome_unknown")])

    def test_unexpected_error(self) -> None:
        """An error of the bridge's own code is in the log, and the command has an outcome: it may be sent."""
        self.take()
        for id, owner, name in (("1", desk_module, "given_in"), ("2", CommandTracker, "wait")):
            patcher = self.patch(owner, name, broken)
            with self.assertLogs(LOG, "ERROR") as logs:
                self.command(id, "AzimuthAxisMove", position=5)
            patcher.restore()
            self.assertIn("LookupError: of the test", logs.output[0])
            self.assertEqual(self.states(), [(id, "outcome_unknown")])

    def test_end(self) -> None:
        """At the end of the daemon the users are gone, and a command in flight has an outcome."""
        self.take()
        self.command("1", "AzimuthAxisMove", position=5)
        self.desk.close()
        self.desk.close()
        self.assertEqual(self.states(), [("1", "outcome_unknown")])
        self.assertNotIn("broker/night", self.house.bridge.clients)
        self.command("2", "AzimuthAxisStop")
        self.assertEqual(self.states(), [("2", "not_sent")])


class PresenceTests(DeskCase):
    """When a user is there."""

    def test_grace_and_stop(self) -> None:
        """A holder that sends nothing for 30 s is gone; after the time of grace the mount is stopped."""
        self.take()
        self.house.clock.advance(29)
        self.assertIn("broker/night", self.house.bridge.clients)
        self.house.clock.advance(1.1)
        self.assertNotIn("broker/night", self.house.bridge.clients)
        self.assertTrue(self.house.bridge.grace)
        self.house.clock.advance(5.1)
        self.assertIsNone(self.holder)
        self.assertIn(int(CommandCode.BOTH_AXES_STOP), self.house.link.codes())

    def test_keep_alive(self) -> None:
        """A keep-alive keeps it there, and brings a holder back within its time of grace."""
        self.take()
        for _ in range(5):
            self.house.clock.advance(20)
            self.desk.received(Seen("night"))
        self.assertEqual(self.holder, "broker/night")
        self.house.clock.advance(31)
        self.assertTrue(self.house.bridge.grace)
        self.desk.received(Seen("night"))
        self.assertFalse(self.house.bridge.grace)
        self.assertEqual(self.holder, "broker/night")

    def test_hand_over(self) -> None:
        """A commander takes command from a user of the broker, whose next command is refused."""
        self.take()
        self.house.holder("eui", Source.EUI)
        self.assertEqual(self.holder, "eui")
        self.command("1", "AzimuthAxisMove", position=5)
        self.assertEqual(self.states(), [("1", "refused")])


class ServiceTests(SynchronousTestCase):
    """The desk within the service."""

    def serve(self, house: WebHouse, reactor: ChildClock) -> BrokerService:
        """A service with a desk, which has started."""

        def desk(send: Any) -> Desk:
            parts: Any = (house.bridge, house.bus, USERS, house.clock, house.wall_clock, LOG)
            return Desk(*parts, 30.0, send)

        service = BrokerService(begin(users=USERS), LOG, reactor=reactor, desk=desk)
        service.startService()
        return service

    def test_stops_before_the_end_of_the_tenure(self) -> None:
        """A child that did not read receives the last stops before the end of the tenure, as any other."""
        house = WebHouse()
        reactor = ChildClock()
        service = self.serve(house, reactor)
        child = reactor.children[-1]
        eui = house.client("eui", Source.EUI)
        for epoch, is_soon_after_another in ((1, False), (2, True)):
            service.settle_tenure(Tenure(epoch, True))
            if is_soon_after_another:
                eui.say(command(1, STOP, Source.EUI))
            child.got  # noqa: B018
            child.link.pauseProducing()
            eui.say(command(2, STOP, Source.EUI))
            service.settle_tenure(Tenure(epoch, False))
            self.assertEqual(child.got, [])
            child.link.resumeProducing()
            stopped, tenure = child.got
            self.assertIsInstance(stopped, Stopped)
            self.assertEqual(tenure, Tenure(epoch, False))
        service.stopService()

    def test_lines(self) -> None:
        """The tenure and the last stops go to each child, the child's lines to the desk, and the outcomes
        back."""
        house = WebHouse()
        reactor = ChildClock()
        service = self.serve(house, reactor)
        child = reactor.children[-1]
        self.assertEqual(child.got, [begin(users=USERS)])
        service.settle_tenure(Tenure(3, True))
        self.assertEqual(child.got, [Tenure(3, True)])
        now = desk_module.moment()
        body = {"command": "AzimuthAxisStop"}
        child.says(Command(user="night", id="1", body=body, read_at=now, stored_at=now, until=now + 60))
        house.link.finish_all()
        house.clock.advance(0)
        stopped, outcome = child.got
        self.assertEqual(stopped, Stopped(read_at=now, stored_at=now))
        self.assertEqual((outcome.id, outcome.state), ("1", "done"))
        child.ends(9)
        reactor.pass_time(1)
        self.assertEqual(reactor.children[-1].got, [begin(users=USERS), stopped, Tenure(3, True)])
        service.stopService()

    def test_many_commands(self) -> None:
        """Commands are no flood, not even those of all users at once, nor are the words about them; a child
        that sends them without end is killed all the same."""
        reactor = ChildClock()
        service = BrokerService(begin(users=USERS), LOG, reactor=reactor)
        service.startService()
        child = reactor.children[-1]
        body = {"command": "AzimuthAxisStop", "parameters": {"x": "y" * 4000}}
        line = Command(user="night", id="1", body=body, read_at=0.0, stored_at=0.0, until=1.0)
        child.says(*[line] * (2 * MOST_OPEN * MOST_USERS), *[Written("night", "x" * 36)] * 5000)
        self.assertEqual(child.signals, [])
        child.says(*[line] * 1000)
        self.assertEqual(child.signals, ["KILL"])
        service.stopService()
