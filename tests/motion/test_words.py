"""The word of the motion."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.motion.words import STATES, WORDS, AxisReport, State, axis_word, motion

READY = AxisReport(powered=True, fault=False, homed=True, state="tracking", to_go=0.0001)


class WordsTests(SynchronousTestCase):
    """One word for an axis, and the worse of two for the mount."""

    def test_axis(self) -> None:
        """Each report has its word; the worst thing that is known counts."""
        for report, word in (
            (READY, "Tracking"),
            (READY._replace(to_go=-26.0), "Slewing"),
            (READY._replace(to_go=None), "Tracking"),
            (READY._replace(state="moving", to_go=30.0), "Moving"),
            (READY._replace(state="jogging"), "Jogging"),
            (READY._replace(state="paused"), "Paused"),
            (READY._replace(state="stopping"), "Stopping"),
            (READY._replace(state="stopped"), "Stopped"),
            (READY._replace(state="stopped", homed=False), "Not homed"),
            (READY._replace(state="moving", homed=False), "Moving"),
            (READY._replace(state="stopped", powered=False, homed=False), "Off"),
            (READY._replace(powered=False, fault=True), "Fault"),
            (AxisReport(), "Not known"),
            (AxisReport(fault=True), "Fault"),
            (AxisReport(powered=True), "Not known"),
        ):
            self.assertEqual(axis_word(report), word, report)

    def test_slew_jump(self) -> None:
        """From which distance tracking is called slewing is a setting."""
        report = READY._replace(to_go=0.15)
        self.assertEqual([axis_word(report), axis_word(report, 0.2)], ["Slewing", "Tracking"])

    def test_worse(self) -> None:
        """Of two axes that differ, the mount has the worse word."""
        off = READY._replace(powered=False)
        self.assertEqual(motion(READY, off), ("Off", "Tracking", "Off"))
        self.assertEqual(motion(READY._replace(to_go=3.0), READY), ("Slewing", "Slewing", "Tracking"))
        self.assertEqual(motion(AxisReport(fault=True), AxisReport()).word, "Fault")

    def test_one_axis_moves(self) -> None:
        """While one axis moves, the word is not Stopped; while one tracks and the other stands, it is."""
        still = READY._replace(state="stopped")
        cases: tuple[tuple[State, str], ...]
        cases = ("moving", "Moving"), ("jogging", "Jogging"), ("tracking", "Stopped")
        for state, word in cases:
            moving = READY._replace(state=state)
            self.assertEqual([motion(moving, still).word, motion(still, moving).word], [word, word])

    def test_every_state_has_a_word(self) -> None:
        """Each state of the mount gives a word of the table."""
        for state in STATES:
            self.assertIn(axis_word(READY._replace(state=state)), WORDS)
