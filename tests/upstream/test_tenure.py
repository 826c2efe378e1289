"""Which of several bridges commands the mount: every state, every fault, and every place to die."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.upstream.leadership.register import (
    NO_VALUE,
    Commander,
    RegisterValue,
    decode,
    encode,
)
from mtmount_twisted.upstream.leadership.tenure import (
    ALONE_AFTER,
    Ask,
    Rules,
    State,
    Tenure,
    first_key,
)
from tests.support.elections import STEP, Machine, World

STANDBY, CANDIDATE, ACTIVE, ALONE, LEAVING = State
T = 3.0
CSC = Commander("csc", "CSC", 7)


class ElectionCase(SynchronousTestCase):
    """Two bridges; `a` was started first, and is active."""

    one_peer = True

    def setUp(self) -> None:
        self.world = World(self.one_peer)
        self.a = self.world.add("a")
        self.world.pass_time(1)
        self.b = self.world.add("b")
        self.world.pass_time(2 * T)

    def states(self) -> tuple[State, State]:
        """The states of both."""
        return self.a.state, self.b.state

    def until_active(self, machine: Machine) -> float:
        """Wait until a bridge is active; how long that took (s)."""
        return self.world.until(lambda: machine.state is ACTIVE)

    def assert_one_moves(self) -> None:
        """No two bridges could move the mount at the same time."""
        self.assertEqual([nodes for nodes in self.world.moves if len(nodes) > 1], [])


class StartTests(ElectionCase):
    """The start."""

    def test_first(self) -> None:
        """The first bridge is active, the second stands by, and the register says so."""
        self.assertEqual(self.states(), (ACTIVE, STANDBY))
        self.assertEqual(self.a.history, [STANDBY, CANDIDATE, ACTIVE])
        self.assertEqual(self.b.history, [STANDBY])
        self.assertEqual(self.world.value, RegisterValue("a", 1, True))
        self.assertEqual((self.a.has_ports, self.b.has_ports), (True, False))
        self.assertEqual(self.b.tenure.holder, "a")
        self.assertEqual(self.a.announced, [(1, False), (1, True)])
        self.assertEqual(self.a.keys, [2**20 + 1])

    def test_standby_refuses(self) -> None:
        """A standby refuses each command; the active bridge none."""
        self.assertEqual(self.b.tenure.why_withheld(self.world.now, True), "not sent: standby")
        self.assertEqual(self.b.tenure.why_withheld(self.world.now, False), "not sent: standby")
        self.assertEqual(self.a.tenure.why_withheld(self.world.now, True), "")

    def test_two_at_once(self) -> None:
        """Of two that start at the same moment, one gets the lease, and the other stands by."""
        world = World()
        machines = [world.add("a"), world.add("b")]
        world.pass_time(3 * T)
        self.assertEqual(sorted(each.state.value for each in machines), ["active", "standby"])
        assert world.value is not None
        self.assertEqual(world.value.epoch, 1)

    def test_no_broker(self) -> None:
        """Without a broker at the start, the preferred bridge opens the link after 15 s; the other waits."""
        world = World()
        world.up = False
        other, preferred = world.add("b"), world.add("a", preferred=True)
        world.pass_time(ALONE_AFTER - 1)
        self.assertEqual((other.state, preferred.state), (STANDBY, STANDBY))
        world.pass_time(2)
        self.assertEqual((other.state, preferred.state), (STANDBY, ALONE))
        self.assertTrue(preferred.may_move())
        self.assertEqual(preferred.keys, [None])
        world.up = True
        world.pass_time(T)
        self.assertEqual((other.state, preferred.state), (STANDBY, ACTIVE))

    def test_no_broker_and_an_old_register(self) -> None:
        """A value of an earlier run, whose bridge is not there, does not end a link that was opened alone."""
        world = World()
        world.up = False
        world.set(RegisterValue("b", 5, True))
        preferred = world.add("a", preferred=True)
        world.pass_time(ALONE_AFTER + 1)
        world.up = True
        world.pass_time(T + 1)
        self.assertEqual((preferred.state, preferred.tenure.epoch), (ACTIVE, 6))
        self.assertNotIn(LEAVING, preferred.history)

    def test_no_broker_with_many_peers(self) -> None:
        """If the mount takes many peers, no bridge opens the link without the lease."""
        world = World(one_peer=False)
        world.up = False
        preferred = world.add("a", preferred=True)
        world.pass_time(3 * ALONE_AFTER)
        self.assertEqual(preferred.state, STANDBY)

    def test_keys(self) -> None:
        """The sequence ids of each epoch are its own, and are within the bounds of the protocol."""
        self.assertEqual([first_key(epoch) for epoch in (0, 1, 2046, 2047)], [1, 2**20 + 1, 2145386497, 1])
        self.assertLess(first_key(2046) + 2**20, 2**31)

    def test_malformed_register(self) -> None:
        """A malformed value is reported."""
        deep = '{"holder":"a","epoch":1,"link":true,"x":' + "[" * 2000 + "]" * 2000 + "}"
        for text in ("nonsense", '{"holder": 1}', '{"holder":"a","epoch":-1,"link":true}', deep):
            self.assertRaises(ValueError, decode, text)
        effects: list[Any] = []
        tenure = Tenure(Rules("a", True), effects, 0.0)
        tenure.time_passed(0.0)
        [ask] = effects
        tenure.answered_get(ask.number, "nonsense", 1, 0.1)
        self.assertIn("malformed", effects[-1].text)
        self.assertEqual(tenure.state, STANDBY)

    def test_malformed_register_that_stays(self) -> None:
        """A malformed value is logged once, however often it is read; the next one is logged, too."""
        effects: list[Any] = []
        tenure = Tenure(Rules("a", True), effects, 0.0)
        logged = []
        for now, revision in ((1.0, 1), (2.0, 1), (3.0, 2)):
            effects.clear()
            tenure.time_passed(now)
            [ask] = [each for each in effects if isinstance(each, Ask)]
            tenure.answered_get(ask.number, "nonsense", revision, now)
            logged.append(sum("malformed" in getattr(each, "text", "") for each in effects))
        self.assertEqual(logged, [1, 0, 1])

    def test_malformed_register_is_replaced(self) -> None:
        """The active bridge replaces a malformed value at once, and a standby after T without a change."""
        self.world.set_malformed()
        self.world.pass_time(1)
        self.assertEqual((self.a.state, self.world.value), (ACTIVE, RegisterValue("a", 2, True)))
        world = World()
        world.set_malformed()
        machine = world.add("a")
        world.pass_time(T - 0.5)
        self.assertEqual(machine.state, STANDBY)
        world.pass_time(1.5)
        self.assertEqual((machine.state, world.value), (ACTIVE, RegisterValue("a", 1, True)))

    def test_value(self) -> None:
        """A value survives the register."""
        value = RegisterValue("a", 12, True, CSC)
        self.assertEqual(decode(encode(value)), value)
        self.assertEqual(decode(None), NO_VALUE)


class TakeOverTests(ElectionCase):
    """The active bridge is gone."""

    def test_killed(self) -> None:
        """After ``kill -9`` the broker says that there is no listener: the other is active in 0.2 T."""
        self.a.kill()
        self.assertLessEqual(self.until_active(self.b), 0.2 * T + STEP)
        self.assertEqual(self.world.value, RegisterValue("b", 2, True))
        self.assertEqual(self.b.keys, [2 * 2**20 + 1])
        self.assertTrue(self.b.has_ports)

    def test_killed_with_a_question_on_its_way(self) -> None:
        """A question that the dying process does not answer any more delays the next one by nothing."""
        self.a.is_mute = True
        self.world.pass_time(T / 16)
        self.a.kill()
        self.assertLessEqual(self.until_active(self.b), 0.2 * T + STEP)

    def test_paused_and_killed(self) -> None:
        """A bridge that is stopped for good, and whose connections are gone: the lease expires in 1.2 T."""
        self.a.runs = False
        self.world.mount.peers.remove(self.a)
        self.assertLessEqual(self.until_active(self.b), 1.2 * T)

    def test_paused(self) -> None:
        """A paused bridge keeps the mount: the other gets in once the first wakes, which drops its link."""
        self.a.runs = False
        self.world.pass_time(8)
        self.assertEqual(self.b.state, CANDIDATE)
        self.assertFalse(self.b.has_ports)
        self.a.wake(8.0)
        self.assertEqual((self.a.state, self.a.has_ports, self.a.has_link), (STANDBY, False, False))
        self.world.pass_time(1)
        self.assertEqual(self.states(), (STANDBY, ACTIVE))
        self.assertEqual(self.a.tenure.holder, "b")
        self.assert_one_moves()

    def test_paused_for_less(self) -> None:
        """A pause that is shorter than the lease changes nothing."""
        self.a.runs = False
        self.world.pass_time(0.6 * T)
        self.a.runs = True
        self.world.pass_time(3 * T)
        self.assertEqual(self.states(), (ACTIVE, STANDBY))
        self.assertEqual(self.b.history, [STANDBY])

    def test_stopped(self) -> None:
        """SIGTERM gives up the lease: the other is active within 1 s."""
        self.a.stop()
        self.world.answer()
        self.assertTrue(self.a.tenure.is_over)
        self.assertEqual(self.world.value, RegisterValue("", 1, False))
        self.assertLessEqual(self.until_active(self.b), 0.5)

    def test_stopped_without_broker(self) -> None:
        """SIGTERM waits for no broker."""
        self.world.up = False
        self.a.stop()
        self.world.pass_time(T / 2)
        self.assertTrue(self.a.tenure.is_over)

    def test_standby_killed(self) -> None:
        """The end of the standby changes nothing."""
        self.b.kill()
        self.world.pass_time(5 * T)
        self.assertEqual((self.a.history, self.world.mount.peers), ([STANDBY, CANDIDATE, ACTIVE], [self.a]))

    def test_standby_stopped(self) -> None:
        """So does its stop."""
        self.b.stop()
        self.world.pass_time(T)
        self.assertTrue(self.b.tenure.is_over)
        self.assertEqual(self.a.state, ACTIVE)

    def test_sleeping_standby(self) -> None:
        """The time in which a standby slept does not count against the active bridge."""
        self.b.runs = False
        self.world.pass_time(10 * T)
        self.b.wake(10 * T)
        self.world.pass_time(0.5 * T)
        self.assertEqual(self.b.history, [STANDBY])

    def test_command_is_inherited(self) -> None:
        """The next bridge learns which commander had command, also if a bridge between them died."""
        self.a.do(self.a.tenure.command_changed, CSC)
        self.world.answer()
        self.assertEqual(self.world.value, RegisterValue("a", 1, True, CSC))
        self.world.mount.one_peer = False  # so that `b` can be cut from it alone
        self.b.reaches_mount = False
        self.a.kill()
        self.world.until(lambda: self.b.state is CANDIDATE)
        self.b.kill()
        third = self.world.add("c")
        self.world.until(lambda: third.state is ACTIVE)
        self.assertEqual(third.inherited, [CSC])

    def test_each_place_to_die(self) -> None:
        """A bridge that dies after any number of steps of its take-over leaves nothing that stays."""
        for steps in range(12):
            self.assertLessEqual(self.time_after_two_deaths(steps), 1.2 * T + 1, steps)

    def time_after_two_deaths(self, steps: int) -> float:
        """How long a third bridge takes after the death of a second one, some steps after the first's."""
        world = World()
        first, second = world.add("a"), world.add("b", has_hook=True)
        world.until(lambda: first.state is ACTIVE)
        world.pass_time(2 * T)
        first.kill()
        world.pass_time(steps * STEP)
        second.kill()
        third = world.add("c")
        taken = world.until(lambda: third.state is ACTIVE)
        self.assertEqual(world.mount.peers, [third])
        return taken


class BrokerTests(ElectionCase):
    """The broker is away, for one bridge or for both."""

    def test_outage(self) -> None:
        """An outage of the broker ends no link: the active bridge is alone, and then has its lease back."""
        self.world.up = False
        self.world.pass_time(5 * T)
        self.assertEqual(self.states(), (ALONE, STANDBY))
        self.assertTrue(self.a.may_move())
        self.world.up = True
        self.world.pass_time(T)
        self.assertEqual(self.states(), (ACTIVE, STANDBY))
        self.assertEqual((self.a.tenure.epoch, self.b.history), (1, [STANDBY]))

    def test_outages_of_any_length(self) -> None:
        """No outage, however long, lets the standby take over."""
        for steps in range(1, 120, 3):
            self.world.up = False
            self.world.pass_time(steps * STEP)
            self.world.up = True
            self.world.pass_time(T / 2)
        self.world.pass_time(T)
        self.assertEqual((self.a.state, self.b.history), (ACTIVE, [STANDBY]))

    def test_active_is_cut(self) -> None:
        """If only the active bridge is cut, the other takes the lease, can't get in, and gives it back."""
        self.a.reaches_broker = False
        self.world.pass_time(2 * T)
        self.assertEqual(self.states(), (ALONE, CANDIDATE))
        self.assertTrue(self.a.may_move())
        self.assertEqual(self.b.has_ports, False)
        self.a.reaches_broker = True
        self.world.pass_time(T)
        self.assertEqual(self.states(), (ACTIVE, STANDBY))
        self.assertEqual((self.a.tenure.epoch, self.world.value), (3, RegisterValue("a", 3, True)))
        self.assert_one_moves()

    def test_standby_is_cut(self) -> None:
        """If only the standby is cut, nothing happens."""
        self.b.reaches_broker = False
        self.world.pass_time(5 * T)
        self.b.reaches_broker = True
        self.world.pass_time(2 * T)
        self.assertEqual((self.a.state, self.b.history), (ACTIVE, [STANDBY]))

    def test_lost_answers(self) -> None:
        """Swaps whose answers are lost are unknown: the register is read, and the lease is kept."""
        self.a.loses = True
        self.world.pass_time(0.5 * T)
        self.a.loses = False
        self.world.pass_time(T)
        self.assertEqual(self.states(), (ACTIVE, STANDBY))
        self.assertEqual(self.a.tenure.epoch, 1)
        self.a.kill()
        self.b.loses = True
        self.world.pass_time(1)
        self.b.loses = False
        self.world.pass_time(1)
        self.assertEqual((self.b.state, self.b.tenure.epoch), (ACTIVE, 2))

    def test_broker_is_empty(self) -> None:
        """A broker that has lost the register does not move the mount to the standby."""
        self.world.up = False
        self.world.pass_time(1)
        self.world.value, self.world.revision, self.world.up = None, 0, True
        self.world.pass_time(2 * T)
        self.assertEqual(self.states(), (ACTIVE, STANDBY))
        self.assertEqual(self.b.history, [STANDBY])

    def test_broker_of_yesterday(self) -> None:
        """Neither does one that has an earlier value, of the other bridge."""
        self.a.kill()
        self.until_active(self.b)
        self.world.pass_time(2 * T)
        back = self.world.add("a")
        self.world.pass_time(2 * T)
        self.world.value = RegisterValue("a", 1, True)
        self.world.pass_time(3 * T)
        self.assertEqual((self.b.state, back.state), (ACTIVE, STANDBY))
        self.assertNotIn(LEAVING, self.b.history)

    def test_late_answer(self) -> None:
        """An answer to an earlier question changes nothing."""
        effects: list[Any] = []
        tenure = Tenure(Rules("a", True), effects, 0.0)
        tenure.time_passed(0.0)
        tenure.time_passed(2.0)
        tenure.time_passed(3.0)
        first, second = (each for each in effects if isinstance(each, Ask))
        tenure.answered_get(first.number, None, 0, 3.1)
        self.assertEqual(len([each for each in effects if isinstance(each, Ask)]), 2)
        tenure.answered_get(second.number, None, 0, 3.2)
        self.assertEqual(effects[-1].value, RegisterValue("a", 1, False))

    def test_other_has_lease_and_link(self) -> None:
        """A bridge that learns that another one has lease and link closes its own link, which is dead."""
        self.world.set(RegisterValue("c", 9, True))
        self.world.pass_time(1)
        self.assertEqual(self.a.state, STANDBY)
        self.assertIn(LEAVING, self.a.history)
        self.assertEqual((self.a.has_link, self.a.has_ports), (False, False))


class LinkTests(ElectionCase):
    """The mount is away, for one bridge or for both."""

    def test_link_is_lost(self) -> None:
        """The active bridge keeps its lease and its ports, and is active again with the link."""
        self.a.reaches_mount = False
        self.a.lose_link()
        self.world.pass_time(T)
        self.assertEqual((self.a.state, self.a.has_ports), (CANDIDATE, True))
        self.assertEqual(self.world.value, RegisterValue("a", 1, False))
        self.a.reaches_mount = True
        self.world.pass_time(1)
        self.assertEqual((self.a.state, self.a.tenure.epoch), (ACTIVE, 1))
        self.assertEqual(self.a.announced[-2:], [(1, False), (1, True)])
        self.assertEqual(self.b.history, [STANDBY])

    def test_cut_from_the_mount(self) -> None:
        """After 3 T without the link, the other bridge takes the lease; it can reach the mount."""
        self.a.reaches_mount = False
        self.a.lose_link()
        taken = self.until_active(self.b)
        self.assertTrue(3 * T <= taken <= 3.5 * T, taken)
        self.world.pass_time(T / 4)
        self.assertEqual((self.a.state, self.a.has_ports), (STANDBY, False))

    def test_link_lost_without_broker(self) -> None:
        """Without a broker, the bridge that had the link opens it again."""
        self.world.up = False
        self.world.pass_time(2 * T)
        self.a.lose_link()
        self.world.pass_time(STEP * 2)
        self.assertEqual(self.a.state, ALONE)
        self.assertEqual(self.a.has_ports, True)


class SleepTests(ElectionCase):
    """The process stands still."""

    def test_each_state(self) -> None:
        """After sleep no bridge has the link, whatever it was: the mount is asked anew, with a new lease."""
        self.a.reaches_broker = False
        self.world.pass_time(2 * T)
        self.assertEqual(self.states(), (ALONE, CANDIDATE))
        for machine in (self.a, self.b):
            machine.wake(3 * T)
            self.assertEqual((machine.state, machine.wants_link), (STANDBY, False))
            self.assertEqual(machine.announced[-1][1], False)

    def test_while_it_ends(self) -> None:
        """A bridge that sleeps while it ends drops its link, and does not write the lease."""
        self.a.do(self.a.tenure.stop)
        self.a.wake(3 * T)
        self.assertFalse(self.a.has_link)
        self.a.do(self.a.tenure.closed)
        self.world.answer()
        self.assertTrue(self.a.tenure.is_over)

    def test_confirmation_that_comes_after_sleep(self) -> None:
        """The answer to a question from before the sleep changes nothing."""
        self.a.do(self.a.tenure.time_passed)
        self.world.now += T / 6
        self.a.do(self.a.tenure.time_passed)
        self.a.wake(3 * T)
        self.world.answer()
        self.assertEqual(self.a.state, STANDBY)


class HookTests(ElectionCase):
    """A program moves the address."""

    def test_order(self) -> None:
        """The link is opened after the hook, which may take some seconds; the lease is renewed meanwhile."""
        third = self.world.add("c", has_hook=True)
        third.hook_time = 3.0
        self.b.kill()
        self.world.pass_time(2 * T)
        self.a.kill()
        self.world.until(lambda: third.hooks == ["take"])
        self.assertFalse(third.wants_link)
        self.world.pass_time(2.9)
        self.assertEqual((third.state, third.wants_link), (CANDIDATE, False))
        self.until_active(third)
        third.stop()
        self.assertEqual(third.hooks, ["take", "give"])
        self.world.pass_time(2.5)
        self.assertFalse(third.tenure.is_over)
        self.world.pass_time(1)
        self.assertTrue(third.tenure.is_over)
        assert self.world.value is not None
        self.assertEqual(self.world.value.holder, "")

    def test_given_back(self) -> None:
        """Each way out of the tenure gives the address back."""
        for number, way in enumerate(("sleeps", "lease is another's")):
            world = World()
            machine = world.add("a", has_hook=True)
            world.pass_time(2)
            self.assertEqual(machine.state, ACTIVE)
            if number:
                world.set(RegisterValue("c", 9, True))
                world.pass_time(1)
            else:
                machine.wake(3.0)
            self.assertEqual((machine.state, machine.hooks), (STANDBY, ["take", "give"]), way)

    def test_taken_again(self) -> None:
        """A bridge that has its lease back from another one takes the address again."""
        world = World()
        first, second = world.add("a", has_hook=True), world.add("b", has_hook=True)
        world.until(lambda: first.state is ACTIVE)
        world.pass_time(2 * T)
        first.reaches_broker = False
        world.pass_time(2 * T)
        first.reaches_broker = True
        world.pass_time(T)
        self.assertEqual((first.hooks, second.hooks), (["take", "take"], ["take", "give"]))


class ManyPeersTests(ElectionCase):
    """The mount takes many peers."""

    one_peer = False

    def test_lease_must_be_fresh(self) -> None:
        """A command that moves needs a lease that is younger than 2/3 T; a stop needs none."""
        self.world.up = False
        self.world.pass_time(0.5 * T)
        self.assertTrue(self.a.may_move())
        self.world.pass_time(0.25 * T)
        why = self.a.tenure.why_withheld(self.world.now, True)
        self.assertRegex(why, r"^not sent: the lease at the broker is 2\.\d s old, and one_peer is false$")
        self.assertEqual(self.a.tenure.why_withheld(self.world.now, False), "")
        self.assertEqual((self.a.state, self.a.ended_moves), (ALONE, 1))
        self.world.up = True
        self.world.pass_time(T / 2)
        self.assertTrue(self.a.may_move())

    def test_never_two(self) -> None:
        """Whatever is cut, and for however long, no two bridges move the mount at the same time."""
        for seconds in (0.3, 1.0, 1.9, 2.1, 2.9, 3.1, 4.0, 8.0):
            for machine in (self.a, self.b):
                machine.reaches_broker = False
                self.world.pass_time(seconds)
                machine.reaches_broker = True
                self.world.pass_time(T / 3)
            self.world.up = False
            self.world.pass_time(seconds)
            self.world.up = True
            self.world.pass_time(T)
        self.world.pass_time(3 * T)
        self.assert_one_moves()
        self.assertEqual(sorted(each.value for each in self.states()), ["active", "standby"])

    def test_presence_does_not_count(self) -> None:
        """A bridge that lost only the broker still has the link: its lease must expire first."""
        self.a.reaches_broker = False
        taken = self.until_active(self.b)
        self.assertGreaterEqual(taken, T - 0.4)
        self.a.reaches_broker = True
        self.world.pass_time(1)
        self.assertEqual(self.states(), (STANDBY, ACTIVE))
        self.assert_one_moves()

    def test_alone_without_lease(self) -> None:
        """A bridge whose lease was lost to another one moves nothing."""
        self.a.reaches_broker = False
        self.world.pass_time(2 * T)
        self.assertIn("one_peer is false", self.a.tenure.why_withheld(self.world.now, True))


class AnnounceTests(ElectionCase):
    """What the child process is told."""

    def test_each_change(self) -> None:
        """The child process serves users of the broker while the bridge has the link, with or without the
        broker's confirmation."""
        self.world.up = False
        self.world.pass_time(2 * T)
        self.assertEqual(self.a.state, ALONE)
        self.world.up = True
        self.world.pass_time(T)
        self.a.wake(9.0)
        self.assertEqual(self.a.announced, [(1, False), (1, True), (1, False)])

    def test_before_the_first_epoch(self) -> None:
        """A bridge that opened the link without a broker serves its users once it has the lease."""
        world = World()
        world.up = False
        preferred = world.add("a", preferred=True)
        world.pass_time(ALONE_AFTER + 1)
        self.assertEqual((preferred.state, preferred.announced), (ALONE, []))
        world.up = True
        world.pass_time(T)
        self.assertEqual(preferred.announced[-1], (1, True))


class AnnounceWithManyPeersTests(ElectionCase):
    """What the child process is told where the mount takes many peers."""

    one_peer = False

    def test_each_change(self) -> None:
        """The child serves no users while the lease is not confirmed: another bridge may serve them."""
        self.world.up = False
        self.world.pass_time(2 * T)
        self.assertEqual(self.a.announced, [(1, False), (1, True), (1, False)])
