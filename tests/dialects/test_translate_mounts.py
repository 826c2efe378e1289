"""The same commands to a mount of tma2020, and through the translation to a mount of tma2022."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2020 import commands as old
from mtmount_twisted.dialects.tma2020 import replies
from mtmount_twisted.dialects.tma2020.codec import decode_command
from mtmount_twisted.dialects.tma2020.enums import Commander, Source
from mtmount_twisted.dialects.tma2022 import commands as new
from tests.support.pages import tables
from tests.support.simulated_tma2022 import START, TAI
from tests.support.strategies import rows
from tests.support.translated_mounts import (
    ACKED,
    DIFFERENCES,
    DONE,
    FAILED,
    OPEN,
    REFUSED,
    Both,
    Translating,
    name_of_difference,
    play,
)

from .strategies import line_of

Act = old.Command | float | None
"""A command, a wait in seconds, or None to wait for the end of every command."""

MOVE = old.AzimuthAxisMove(position=20)
TRACK = old.AzimuthAxisEnableTracking(on=True)


def target(offset: float, **values: float) -> old.BothAxesTrack:
    """A target of both axes some seconds after the start."""
    given = {"azimuth": 0.0, "elevation": 80.0, "azimuth_velocity": 0.0, "elevation_velocity": 0.0} | values
    return old.BothAxesTrack(tai=TAI + START + offset, **given)


def azimuth_target(offset: float) -> old.AzimuthAxisTrack:
    """A target of azimuth some seconds after the start."""
    return old.AzimuthAxisTrack(position=0, velocity=0, tai=TAI + START + offset)


def wrap_target(offset: float) -> old.CameraCableWrapTrack:
    """A target of the camera cable wrap some seconds after the start."""
    return old.CameraCableWrapTrack(position=0, velocity=0, tai=TAI + START + offset)


EXAMPLES: dict[str, tuple[bool, list[Act], int, tuple[str, str]]] = {
    # Whether the mounts are ready; the acts; the place of the command that ends differently; its outcomes.
    "main power first": (False, [old.AzimuthAxisPower(on=True)], 0, (DONE, REFUSED)),
    "main power in use": (
        True,
        [old.MainPowerSupplyPower(on=False), old.MainPowerSupplyPower(on=True)],
        1,
        (DONE, REFUSED),
    ),
    "homing before tracking": (
        False,
        [old.MainPowerSupplyPower(on=True), old.AzimuthAxisPower(on=True), TRACK],
        2,
        (DONE, REFUSED),
    ),
    "homing": (True, [MOVE, old.AzimuthAxisHome(), None], 1, (DONE, REFUSED)),
    "end of tracking": (
        True,
        [old.AzimuthAxisPower(on=False), old.AzimuthAxisEnableTracking(on=False)],
        1,
        (DONE, REFUSED),
    ),
    "targets in time": (True, [TRACK, azimuth_target(-6)], 1, (ACKED, REFUSED)),
    "lost targets": (
        True,
        [TRACK, azimuth_target(0), 6.0, old.AzimuthAxisStop(), None],
        3,
        (DONE, REFUSED),
    ),
    "tracking and drives": (
        True,
        [TRACK, old.AzimuthAxisDriveEnable(on=True), MOVE, None],
        2,
        (DONE, REFUSED),
    ),
    "drives without power": (
        True,
        [old.AzimuthAxisPower(on=False), old.AzimuthAxisDriveReset()],
        1,
        (REFUSED, DONE),
    ),
    "limits": (True, [old.ElevationAxisMove(position=10), None], 0, (REFUSED, DONE)),
    "velocity of a move": (True, [old.AzimuthAxisMove(position=1, velocity=70), None], 0, (REFUSED, DONE)),
    "numbers of drives": (True, [old.AzimuthAxisDriveEnable(drive=-2, on=True)], 0, (REFUSED, DONE)),
    "covers as one": (
        True,
        [old.MirrorCoversPower(drive=1, on=True), old.MirrorCoversRetract(), None],
        1,
        (REFUSED, DONE),
    ),
    "oil in order": (True, [old.OilSupplySystemPowerCooling(on=False)], 0, (DONE, REFUSED)),
    "chiller": (True, [old.TopEndChillerTrackAmbient(on=False, temperature=1)], 0, (DONE, REFUSED)),
    "enable and disable": (True, [old.Enable()], 0, (DONE, REFUSED)),
    "sender": (True, [old.AzimuthAxisResetAlarm(source=Source.EUI)], 0, (REFUSED, DONE)),
    "HHD": (
        True,
        [
            old.AskForCommand(commander=Commander.HHD),
            old.AskForCommand(source=Source.HHD, commander=Commander.CSC),
        ],
        1,
        (REFUSED, DONE),
    ),
    "end of a stop": (True, [MOVE, 0.5, old.AzimuthAxisStop(), MOVE, None], 2, (FAILED, DONE)),
    "durations": (
        True,
        [old.AzimuthAxisMove(position=20, velocity=0.1), 30.0, old.AzimuthAxisStop(), None],
        0,
        (FAILED, DONE),
    ),
}
"""An example of each documented difference."""


def act(both: Both, acts: list[Act]) -> list[old.Command | None]:
    """Do what happens in an example; return each command with its sequence id."""
    sent: list[old.Command | None] = []
    for each in acts:
        sent.append(both.send(each) if isinstance(each, old.Command) else None)
        if each is None:
            both.settle()
        elif isinstance(each, float):
            both.wait(each)
    return sent


class RandomTests(SynchronousTestCase):
    """Random commands."""

    def test_same_outcome(self) -> None:
        """2,000 commands: each ends once, and as in a mount of 2020, but for the documented differences."""
        random, count = Random(14), 0
        explained: Counter[str] = Counter()
        while count < 2000:
            played = play(random, 25)
            self.assertEqual(played.problems, [])
            explained.update(played.explained)
            count += played.count
        self.assertLess(explained.total(), count / 10)

    def test_vectors(self) -> None:
        """The same for each command that the original of tma2020 wrote, to mounts that are ready."""
        names = [command.__name__ for command in old.Commands]
        found = [row for row in rows("messages.jsonl") if row["message"] in names]
        self.assertGreater(len(found), 50)
        for row in found:
            both = Both()
            self.addCleanup(both.close)
            command = both.send(decode_command(line_of(row)))
            accepted = both.accepted(command)
            both.settle()
            results = both.results(command)
            self.assertNotIn(OPEN, [result.outcome for result in results])
            if results[0].outcome != results[1].outcome:
                self.assertTrue(name_of_difference(both, command, accepted), (row, results))


class DifferenceTests(SynchronousTestCase):
    """The documented differences."""

    def test_page(self) -> None:
        """The page has the name of each difference, and no other."""
        names = [
            row[0] for row in tables("reference/translation.rst") if len(row) == 3 and "``" not in row[0]
        ]
        differences = [name for name in names if not name.startswith("an answer")]
        self.assertEqual(differences, list(DIFFERENCES))
        self.assertEqual(list(EXAMPLES), list(DIFFERENCES))

    def test_each(self) -> None:
        """Each difference exists, and is the one that explains its example."""
        for name, (ready, acts, place, outcomes) in EXAMPLES.items():
            both = Both(ready=ready)
            self.addCleanup(both.close)
            command = act(both, acts)[place]
            assert command is not None
            results = both.results(command)
            self.assertEqual(tuple(result.outcome for result in results), outcomes, f"{name}: {results}")
            accepted = both.accepted(command)
            explains = [
                each.explains(command, compared, both)
                for each in DIFFERENCES[name]
                for compared in (results, accepted)
            ]
            self.assertIn(True, explains, name)

    def test_tracking_is_off_after_lost_targets(self) -> None:
        """An axis that is on again after it lost its targets does not track: a target is refused."""
        both = Both()
        self.addCleanup(both.close)
        track, on = old.CameraCableWrapEnableTracking(on=True), old.CameraCableWrapPower(on=True)
        lost: list[Act] = [on, None, track, None, wrap_target(1), 8.0]
        again: list[Act] = [old.CameraCableWrapResetAlarm(), None, on, None, wrap_target(10)]
        command = act(both, lost + again)[-1]
        assert command is not None
        self.assertEqual([each.outcome for each in both.results(command)], [ACKED, REFUSED])
        self.assertEqual(name_of_difference(both, command, both.accepted(command)), "lost targets")


class StoryTests(SynchronousTestCase):
    """A program of 2020 at today's mount."""

    def setUp(self) -> None:
        self.mount = Translating()
        self.addCleanup(self.mount.mount.close)

    def send(self, *commands: old.Command) -> None:
        """Send commands and wait for their ends."""
        for command in commands:
            self.mount.send(command)
        self.mount.settle()

    def test_move(self) -> None:
        """Power, move: Ack, Done, and azimuth in position."""
        power = old.AzimuthAxisPower(sequence_id=1, on=True)
        move = old.AzimuthAxisMove(sequence_id=2, position=10)
        self.send(power)
        self.send(move)
        self.assertEqual(self.mount.result(power).outcome, DONE)
        self.assertEqual(self.mount.result(move).outcome, DONE)
        ack = self.mount.answers[2][0]
        assert isinstance(ack, replies.AckReply)
        self.assertTrue(0 < ack.timeout_ms < 60_000)
        self.assertIn((0, True), [(each.what, each.in_position) for each in self.in_position()])

    def in_position(self) -> list[replies.InPositionReply]:
        """The in-position events."""
        return [event for event in self.mount.events if isinstance(event, replies.InPositionReply)]

    def test_negated(self) -> None:
        """``negate_azimuth`` moves to the other side."""
        self.send(old.BothAxesMove(sequence_id=1, azimuth=15, elevation=70, negate_azimuth=-1))
        now = self.mount.clock.seconds()
        self.assertAlmostEqual(self.mount.mount.azimuth.at(now).position, -15)
        self.assertAlmostEqual(self.mount.mount.elevation.at(now).position, 70)

    def test_track(self) -> None:
        """Tracking is enabled, gets targets with Acks of 0 ms alone, and is ended by ``on`` = 0."""
        enable = [old.AzimuthAxisEnableTracking(sequence_id=1, on=True)]
        enable += [old.ElevationAxisEnableTracking(sequence_id=2, on=True)]
        self.send(*enable)
        track = target(1, azimuth=0.5)
        self.send(track)
        [ack] = self.mount.answers[track.sequence_id]
        assert isinstance(ack, replies.AckReply)
        self.assertEqual(ack.timeout_ms, 0)
        end = old.AzimuthAxisEnableTracking(sequence_id=4, on=False)
        self.send(end)
        self.assertEqual(self.mount.result(end).outcome, DONE)
        self.assertFalse(self.mount.mount.azimuth.tracking)
        self.assertTrue(self.mount.mount.elevation.tracking)

    def test_oil(self) -> None:
        """The mode is set before, the Ack announces the warm-up, and the parts can follow in manual mode."""
        power = old.OilSupplySystemPower(sequence_id=1, on=True)
        self.send(power)
        ack = self.mount.answers[1][0]
        assert isinstance(ack, replies.AckReply)
        self.assertEqual((ack.timeout_ms, self.mount.result(power).outcome), (900_000, DONE))
        self.assertEqual(
            [type(line) for line in self.mount.lines], [new.OilSupplySystemSetMode, new.OilSupplySystemPower]
        )
        pump = old.OilSupplySystemPowerMainPump(sequence_id=2, on=False)
        self.send(pump)
        self.assertEqual(self.mount.result(pump).outcome, DONE)
        self.assertEqual(self.mount.mount.oil.parts_on, [True, True, False])
        cooling = old.OilSupplySystemPowerCooling(sequence_id=3, on=False)
        self.send(cooling)
        self.assertEqual(
            self.mount.result(cooling).explanation,
            "RuntimeError('Circulation pump must be off') "
            "(OilSupplySystemSetMode succeeded; OilSupplySystemPowerCooling was rejected)",
        )
        off = old.OilSupplySystemPower(sequence_id=4, on=False)
        self.send(off)
        self.assertEqual(self.mount.result(off).outcome, DONE)
        self.assertEqual(self.mount.mount.oil.parts_on, [False, False, False])

    def test_chiller(self) -> None:
        """On, a set point, and off."""
        self.send(old.TopEndChillerPower(sequence_id=1, on=True))
        track = old.TopEndChillerTrackAmbient(sequence_id=2, on=True, temperature=6.5)
        self.send(track)
        self.assertEqual(self.mount.result(track).outcome, DONE)
        off = old.TopEndChillerPower(sequence_id=3, on=False)
        self.send(off)
        self.assertEqual(self.mount.result(off).outcome, DONE)

    def test_safety_reset(self) -> None:
        """All stored causes are reset."""
        self.mount.mount.set_interlock("causes", 25, True)
        self.mount.mount.set_interlock("causes", 25, False)
        self.assertNotEqual(self.mount.mount.safety.effects, 0)
        self.send(old.SafetyReset(sequence_id=1))
        self.assertEqual(self.mount.mount.safety.effects, 0)

    def test_alarm(self) -> None:
        """An alarm arrives as an error, latched until the reset."""
        self.mount.mount.set_interlock("causes", 35, True)
        self.mount.mount.set_interlock("causes", 35, False)
        self.send(old.CameraCableWrapResetAlarm(sequence_id=1))
        errors = [event for event in self.mount.events if isinstance(event, replies.ErrorReply)]
        self.assertEqual(
            [(error.on, error.active) for error in errors], [(True, True), (True, False), (False, False)]
        )
        self.assertEqual({error.subsystem for error in errors}, {"1000. 1000.Simulator"})
        self.assertGreater(self.mount.dropped["POWER_STATE"], 0)
