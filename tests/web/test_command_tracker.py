"""`frontends.web.api.command_tracker`: what became of each command, and who waits to be told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.commands import AskForCommand, AzimuthAxisMove, AzimuthAxisTrack, BothAxesStop, Command
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.web.api.command_tracker import (
    LASTING,
    MAX_STEPS,
    CommandTracker,
    Key,
    TrackedCommand,
)
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.wire.lines import SHOWN_BYTES
from tests.support import strategies  # noqa: F401 - it sets Hypothesis's profile
from tests.support.records import RecordMaker
from tests.support.web import as_read

ME = "web/night"
MOVE = AzimuthAxisMove(position=10)
KEY = Key("new", b"")


class LivesCase(SynchronousTestCase):
    """Lives, and a bus that hands them steps."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = EventBus(self.clock, wall_clock=lambda: 1_800_000_000.5)
        self.records = RecordMaker(self.bus.publish, self.bus.now)
        self.stamps = Stamps(self.clock, lambda: 1_800_000_000.5 + self.clock.seconds())
        self.lives = CommandTracker(self.bus, DIALECT, self.clock, self.stamps, most=3)
        self.numbers = iter(range(1, 1000))

    def begin(self, command: Command | None = None, key: Key | None = None) -> TrackedCommand:
        """Begin a life."""
        if command is None:
            command = AzimuthAxisMove(sequence_id=next(self.numbers), position=10)
        return self.lives.begin_command(ME, command, key)

    def step(self, life: TrackedCommand, *steps: str, why: str = "", peer: str = ME) -> None:
        """The bridge records steps."""
        for step in steps:
            command = life.command
            self.records.step(7, step, peer, 1, command.sequence_id, int(command.command_code), 1, why)


class LifeTests(LivesCase):
    """The life of one command."""

    def test_done(self) -> None:
        """A move is open until its Ack, then acknowledged, then done; each step has its time."""
        life = self.begin()
        states = [life.state]
        for step in ("received", "sent", "ack", "done"):
            self.step(life, step)
            states.append(life.state)
        self.assertEqual(states, ["open", "open", "open", "acked", "done"])
        shape = as_read(life.shape())
        self.assertEqual([step["step"] for step in shape["steps"]], ["received", "sent", "ack", "done"])
        self.assertEqual(shape["steps"][0]["time"], "2027-01-15T08:00:00.500Z")
        self.assertEqual(shape["command"], "AzimuthAxisMove")
        self.assertEqual(shape["parameters"]["position"], 10.0)
        self.assertEqual(shape["commander"], ME)

    def test_ends(self) -> None:
        """However a command ends, the state is the word for it, and the explanation says why."""
        for end in ("noack", "refused", "not_sent", "timed_out", "outcome_unknown", "busy", "malformed"):
            life = self.begin()
            self.step(life, end, why=f"{end}: why")
            self.assertEqual((life.state, life.explanation, life.ended), (end, f"{end}: why", True))

    def test_ack_only(self) -> None:
        """The Ack of a track command is its end."""
        life = self.begin(AzimuthAxisTrack(position=1, velocity=0, tai=0))
        self.step(life, "received", "sent", "ack")
        self.assertEqual((life.state, life.ended), ("ack", True))

    def test_local(self) -> None:
        """What the bridge itself carries out is done at once; enumerations are shown by name."""
        life = self.begin(AskForCommand())
        self.step(life, "local")
        self.assertEqual(life.state, "done")
        self.assertEqual(as_read(life.shape())["parameters"], {"commander": "CSC"})

    def test_of_others(self) -> None:
        """Steps of other commanders, of other ids, or after the end, change nothing."""
        life = self.begin()
        self.step(life, "done", peer="csc")
        move = AzimuthAxisMove(sequence_id=500, position=1)
        self.step(TrackedCommand("x", move, DIALECT, ME, self.stamps), "done")
        self.assertEqual(life.state, "open")
        self.step(life, "done", "noack")
        self.assertEqual((life.state, len(life.steps)), ("done", 1))

    def test_many_acks(self) -> None:
        """Of a command that is acknowledged again and again, so many steps are kept, and still its end."""
        life = self.begin()
        self.step(life, *["ack"] * 100, "done")
        self.assertEqual((len(life.steps), life.state), (MAX_STEPS, "done"))

    def test_long_explanation(self) -> None:
        """Of an explanation as long as a line, so much is kept."""
        life = self.begin()
        self.step(life, "noack", why="x" * 60_000)
        self.assertEqual(life.explanation, "x" * SHOWN_BYTES)

    def test_ack_timeout(self) -> None:
        """The time that an Ack announces is kept, even if it ended with it; an unknown id is nobody's."""
        life = self.begin()
        self.assertIsNone(as_read(life.shape())["ack_timeout"])
        self.step(life, "ack")
        self.lives.acknowledged(ME, life.command.sequence_id, 2.5)
        self.lives.acknowledged(ME, 999, 9)
        self.assertEqual(as_read(life.shape())["ack_timeout"], 2.5)


class KeepingTests(LivesCase):
    """What is kept, and how long."""

    def test_oldest_ended_goes_first(self) -> None:
        """Beyond the bound, the one that ended longest ago is forgotten; those that go on never are."""
        lives = [self.begin() for _ in range(3)]
        self.step(lives[1], "done")
        self.step(lives[0], "done")
        more = self.begin()
        self.assertIsNone(self.lives.get(lives[1].id))
        self.assertIs(self.lives.get(lives[0].id), lives[0])
        self.begin()
        self.assertIsNone(self.lives.get(lives[0].id))
        last = [self.begin() for _ in range(5)]
        self.assertEqual(len(self.lives), 8)
        self.assertTrue(all(self.lives.get(life.id) for life in (lives[2], more, *last)))

    def test_ids_of_another_daemon(self) -> None:
        """The same command has another id in the next daemon, so that an old id never means a new command."""
        other = CommandTracker(self.bus, DIALECT, self.clock, self.stamps)
        self.assertNotEqual(self.begin().id, other.begin_command(ME, AzimuthAxisMove(position=1)).id)
        self.assertIsNone(other.get(self.begin().id))

    def test_key(self) -> None:
        """A life is found by its commander's key, and nobody else's; what has no key does not make it go."""
        life = self.begin(key=Key("a", b"1"))
        self.assertIs(self.lives.keyed(ME, "a"), life)
        self.assertIsNone(self.lives.keyed("web/other", "a"))
        self.step(life, "done")
        for _ in range(9):
            self.step(self.begin(), "done")
        self.assertIs(self.lives.keyed(ME, "a"), life)
        self.assertEqual(len(self.lives), 4)

    def test_others(self) -> None:
        """What others send makes nothing of one's own go, with keys and without."""
        mine = [self.begin(key=Key("a", b"1")), self.begin()]
        for life in mine:
            self.step(life, "done")
        for number in range(9):
            command = AzimuthAxisMove(sequence_id=next(self.numbers), position=10)
            key = Key(str(number), b"") if number < 3 else None
            self.step(self.lives.begin_command("web/other", command, key), "done", peer="web/other")
        self.assertEqual([self.lives.get(life.id) for life in mine], mine)

    def full_for(self, key: Key | None = KEY, command: Command = MOVE) -> float | None:
        """In how many seconds there may be room for one more."""
        return self.lives.full_for(ME, command, key)

    def test_full_of_keys(self) -> None:
        """There is no room for one key more until the first that ended did so an hour ago: then that goes."""
        lives = []
        for number in range(3):
            self.assertIsNone(self.full_for())
            lives.append(self.begin(key=Key(str(number), b"")))
        self.assertEqual(self.full_for(), LASTING)
        self.clock.advance(10)
        self.step(lives[1], "done")
        self.clock.advance(LASTING - 1)
        self.step(lives[0], "done")
        self.assertEqual(self.full_for(), 1)
        for key, command in ((None, MOVE), (KEY, BothAxesStop())):
            self.assertIsNone(self.full_for(key, command))
        self.assertIsNone(self.lives.full_for("web/other", MOVE, KEY))
        self.clock.advance(1)
        self.assertIsNone(self.full_for())
        self.begin(key=KEY)
        self.assertEqual(
            [self.lives.keyed(ME, key) is not None for key in ("0", "1", "2", "new")],
            [True, False, True, True],
        )
        self.assertEqual(self.full_for(), LASTING - 1)

    def test_key_is_valid_for_an_hour(self) -> None:
        """A key finds its life until an hour after the end, also that of a stop, and then is free."""
        for command in (AzimuthAxisMove(sequence_id=71, position=1), BothAxesStop(sequence_id=72)):
            old = self.begin(command, KEY)
            self.clock.advance(LASTING)
            self.assertIs(self.lives.keyed(ME, "new"), old)
            self.step(old, "done")
            self.clock.advance(LASTING - 1)
            self.assertIs(self.lives.keyed(ME, "new"), old)
            self.clock.advance(1)
            self.assertIsNone(self.lives.keyed(ME, "new"))
            self.assertIs(self.lives.get(old.id), old)

    def test_key_again_after_an_hour(self) -> None:
        """A key that is used again finds the newer life, also once the older one is forgotten."""
        old = self.begin(key=KEY)
        self.step(old, "done")
        self.clock.advance(LASTING)
        new = self.begin(key=KEY)
        for number in range(2):
            self.begin(key=Key(str(number), b""))
        self.assertIsNone(self.lives.get(old.id))
        self.assertIs(self.lives.keyed(ME, "new"), new)

    def test_stops_do_not_last(self) -> None:
        """A stop with a key is found by it, and goes as if it had none."""
        stop = self.begin(BothAxesStop(sequence_id=next(self.numbers)), KEY)
        self.assertIs(self.lives.keyed(ME, "new"), stop)
        self.step(stop, "done")
        for _ in range(3):
            self.begin()
        self.assertIsNone(self.lives.keyed(ME, "new"))

    def test_never_sent_does_not_last(self) -> None:
        """However many commands with keys are refused, busy or not sent, the next key has room.

        The last of them are still found by their keys, and are forgotten as if they had none.
        """
        for end in ("refused", "busy", "malformed", "not_sent") * 2:
            life = self.begin(key=Key(f"{end} {next(self.numbers)}", b""))
            self.step(life, "received", end)
            self.assertIs(self.lives.keyed(ME, life.key.text if life.key else ""), life)
        self.assertIsNone(self.full_for())
        self.assertEqual(len(self.lives), 3)

    def test_sent_lasts_whatever_became_of_it(self) -> None:
        """A command that reached the mount keeps its key's place, however it ended."""
        for end in ("noack", "timed_out", "outcome_unknown"):
            self.step(self.begin(key=Key(end, b"")), "received", "sent", end)
        self.assertEqual(self.full_for(), LASTING)

    def test_sequence_id_again(self) -> None:
        """To forget a life is not to forget a newer one of the same sequence id."""
        old = self.begin(AzimuthAxisMove(sequence_id=5, position=1))
        self.assertTrue(self.lives.goes_on(ME, 5))
        self.step(old, "done")
        self.assertFalse(self.lives.goes_on(ME, 5))
        new = self.begin(AzimuthAxisMove(sequence_id=5, position=2))
        for _ in range(3):
            self.begin()
        self.assertIsNone(self.lives.get(old.id))
        self.step(new, "done")
        self.assertEqual(new.state, "done")


class WaitingTests(LivesCase):
    """Who waits."""

    def pending(self, waiter: Deferred[bool]) -> None:
        """Nothing was told yet."""
        self.clock.advance(0)
        self.assertNoResult(waiter)

    def fired(self, waiter: Deferred[bool]) -> bool:
        """What was told."""
        self.clock.advance(0)
        return self.successResultOf(waiter)

    def test_ack_then_done(self) -> None:
        """Who waits for the Ack is told then, who waits for the end is told at the end."""
        life = self.begin()
        ack, done = self.lives.wait(life, "ack", 30), self.lives.wait(life, "done", 30)
        self.step(life, "received", "sent")
        self.pending(ack)
        self.step(life, "ack")
        self.assertTrue(self.fired(ack))
        self.pending(done)
        self.step(life, "done")
        self.assertTrue(self.fired(done))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_a_turn_of_its_own(self) -> None:
        """Nobody is told in the middle of what the bridge does."""
        life = self.begin()
        waiter = self.lives.wait(life, "done", 30)
        self.step(life, "ack", "done")
        self.assertNoResult(waiter)
        self.assertTrue(self.fired(waiter))

    def test_an_end_is_an_ack(self) -> None:
        """Who waits for the Ack of a command that is refused waits no longer; nor does who comes later."""
        life = self.begin()
        waiter = self.lives.wait(life, "ack", 30)
        self.step(life, "refused")
        self.assertTrue(self.fired(waiter))
        self.assertTrue(self.successResultOf(self.lives.wait(life, "done", 30)))

    def test_too_late(self) -> None:
        """Who waits too long is told so, and nothing is left behind."""
        life = self.begin()
        waiter = self.lives.wait(life, "done", 2)
        self.clock.advance(1.9)
        self.assertNoResult(waiter)
        self.clock.advance(0.2)
        self.assertFalse(self.successResultOf(waiter))
        self.assertFalse(any(life.waiters.values()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancel(self) -> None:
        """Who waits can leave; the others are told."""
        life = self.begin()
        leaves, stays = self.lives.wait(life, "done", 30), self.lives.wait(life, "done", 30)
        leaves.cancel()
        self.failureResultOf(leaves, CancelledError)
        self.step(life, "done")
        self.assertTrue(self.fired(stays))

    def test_one_ends_another(self) -> None:
        """Who is told may make another leave who would be told next."""
        life = self.begin()
        first, second = self.lives.wait(life, "done", 30), self.lives.wait(life, "done", 30)
        first.addCallback(lambda told: second.cancel())
        self.step(life, "done")
        self.clock.advance(0)
        self.failureResultOf(second, CancelledError)

    def test_close(self) -> None:
        """At the end nobody waits, nothing is heard any more, and no timer is left."""
        life, other = self.begin(), self.begin()
        waiter, told = self.lives.wait(life, "done", 30), self.lives.wait(other, "done", 30)
        self.step(other, "done")
        self.lives.close()
        self.lives.close()
        self.assertFalse(self.successResultOf(waiter))
        self.assertTrue(self.successResultOf(told))
        self.assertEqual((self.bus.subscribers, self.clock.getDelayedCalls()), ([], []))
        self.assertFalse(self.successResultOf(self.lives.wait(life, "done", 30)))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["ack", "done", "step", "end", "cancel", "turn", "pass"]), st.integers(0, 3)
            ),
            max_size=40,
        )
    )
    def test_each_wait_ends_once(self, acts: list[tuple[str, int]]) -> None:
        """Whatever happens in whatever order, each who waits is told once, and nothing is left at the end."""
        LivesCase.setUp(self)
        lives = [self.begin(), self.begin()]
        told: list[int] = []
        waiters: list[Deferred[Any]] = []

        def note(result: object, which: int) -> None:
            told.append(which)

        for act, number in acts:
            life = lives[number % 2]
            if act in ("ack", "done"):
                waiter = self.lives.wait(life, "ack" if act == "ack" else "done", 1 + number)
                waiters.append(waiter.addBoth(note, len(waiters)))
            elif act == "cancel":
                for waiter in waiters[number : number + 1]:
                    waiter.cancel()
            elif act in ("turn", "pass"):
                self.clock.advance(0 if act == "turn" else 1)
            else:
                self.step(life, "ack" if act == "step" else "done")
        self.lives.close()
        self.assertEqual(sorted(told), list(range(len(waiters))))
        self.assertEqual(self.clock.getDelayedCalls(), [])
