"""`Joined`: the answers of one command that became two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import Meaning, Outcome
from mtmount_twisted.dialects.joined import LONGEST_REASON, Half, Joined, Step
from mtmount_twisted.dialects.tma2022 import commands as c
from tests.support import strategies  # noqa: F401  # for the profile

MODE = c.OilSupplySystemSetMode(auto=True)
POWER = c.OilSupplySystemPower(on=True)
AZIMUTH, ELEVATION = c.AzimuthMove(position=1), c.ElevationMove(position=50)

IN_ORDER = (Half(MODE), Half(POWER, waits=True))
TOGETHER = (Half(AZIMUTH, stop=c.AzimuthStop()), Half(ELEVATION, stop=c.ElevationStop()))

SUCCEEDED = Outcome(Meaning.SUCCEEDED, 0)
NOTHING = Step()


def acknowledged(timeout: float | None) -> Outcome:
    """An Ack of the mount."""
    return Outcome(Meaning.ACKNOWLEDGED, 0, timeout=timeout)


def rejected(why: str) -> Outcome:
    """A rejection of the mount."""
    return Outcome(Meaning.REJECTED, 0, explanation=why)


def superseded() -> Outcome:
    """The end of a command that a later one superseded."""
    return Outcome(Meaning.SUPERSEDED, 0, explanation="superseded by AzimuthStop")


class InOrderTests(SynchronousTestCase):
    """Two commands of which the second needs the success of the first."""

    def setUp(self) -> None:
        self.joined = Joined(IN_ORDER)
        self.assertEqual(self.joined.begin(), Step(((0, MODE),)))

    def test_success(self) -> None:
        """The second is sent after the success of the first; one Ack has the longer timeout; one Done."""
        self.assertEqual(self.joined.answered(0, acknowledged(0.1)), NOTHING)
        self.assertEqual(self.joined.answered(0, SUCCEEDED), Step(((1, POWER),)))
        self.assertEqual(self.joined.answered(1, acknowledged(900)), Step(answers=(acknowledged(900),)))
        self.assertFalse(self.joined.has_ended)
        self.assertEqual(self.joined.answered(1, SUCCEEDED), Step(answers=(SUCCEEDED,)))
        self.assertTrue(self.joined.has_ended)

    def test_longer_timeout_of_the_first(self) -> None:
        """The longer timeout may be that of the first."""
        self.joined.answered(0, acknowledged(2))
        self.joined.answered(0, SUCCEEDED)
        self.assertEqual(self.joined.answered(1, acknowledged(1)), Step(answers=(acknowledged(2),)))

    def test_unknown_timeout(self) -> None:
        """An unknown timeout is longer than a known one."""
        self.joined.answered(0, acknowledged(None))
        self.joined.answered(0, SUCCEEDED)
        self.assertEqual(self.joined.answered(1, acknowledged(1)), Step(answers=(acknowledged(None),)))

    def test_first_is_rejected(self) -> None:
        """The second is never sent, and the failure names both."""
        text = "OilSupplySystemSetMode was rejected: no; OilSupplySystemPower was not sent"
        self.assertEqual(self.joined.answered(0, rejected("no")), Step(answers=(rejected(text),)))
        self.assertTrue(self.joined.has_ended)

    def test_second_is_rejected(self) -> None:
        """Nothing has moved, so nothing is stopped, and the failure names both."""
        self.joined.answered(0, acknowledged(0.1))
        self.joined.answered(0, SUCCEEDED)
        text = "OilSupplySystemSetMode succeeded; OilSupplySystemPower was rejected: hot"
        self.assertEqual(self.joined.answered(1, rejected("hot")), Step(answers=(rejected(text),)))

    def test_second_fails_after_the_ack(self) -> None:
        """The commander has the Ack already, and receives a failure."""
        self.joined.answered(0, SUCCEEDED)
        self.joined.answered(1, acknowledged(900))
        [end] = self.joined.answered(1, Outcome(Meaning.FAILED, 0, explanation="leak")).answers
        self.assertEqual(end.meaning, Meaning.FAILED)
        self.assertEqual(
            end.explanation, "OilSupplySystemSetMode succeeded; OilSupplySystemPower failed: leak"
        )

    def test_success_without_ack(self) -> None:
        """A mount may leave out an Ack: the commander still receives one before Done."""
        self.joined.answered(0, SUCCEEDED)
        self.assertEqual(self.joined.answered(1, SUCCEEDED), Step(answers=(acknowledged(0.0), SUCCEEDED)))

    def test_late_answers(self) -> None:
        """A second end, and an Ack after the end, change nothing."""
        self.joined.answered(0, SUCCEEDED)
        self.assertEqual(self.joined.answered(0, SUCCEEDED), NOTHING)
        self.assertEqual(self.joined.answered(0, rejected("late")), NOTHING)
        self.joined.answered(1, SUCCEEDED)
        self.assertEqual(self.joined.answered(1, acknowledged(1)), NOTHING)

    def test_long_reason(self) -> None:
        """A long reason is cut, so that the reasons of both fit in a line."""
        [end] = self.joined.answered(0, rejected("x" * 60_000)).answers
        self.assertEqual(end.explanation.count("x"), LONGEST_REASON)


class TogetherTests(SynchronousTestCase):
    """Two axes that move at once."""

    def setUp(self) -> None:
        self.joined = Joined(TOGETHER)
        self.assertEqual(self.joined.begin(), Step(((0, AZIMUTH), (1, ELEVATION))))

    def test_success(self) -> None:
        """One Ack when both are acknowledged, and Done when both have succeeded."""
        self.assertEqual(self.joined.answered(1, acknowledged(3)), NOTHING)
        self.assertEqual(self.joined.answered(0, acknowledged(5)), Step(answers=(acknowledged(5),)))
        self.assertEqual(self.joined.answered(1, SUCCEEDED), NOTHING)
        self.assertEqual(self.joined.answered(0, SUCCEEDED), Step(answers=(SUCCEEDED,)))

    def test_one_is_rejected(self) -> None:
        """The other axis is stopped, and then one failure names both."""
        self.joined.answered(0, acknowledged(5))
        self.assertEqual(self.joined.answered(1, rejected("off")), Step(((2, c.AzimuthStop()),)))
        self.assertEqual(self.joined.answered(2, acknowledged(0.1)), NOTHING)
        self.assertEqual(self.joined.answered(2, SUCCEEDED), NOTHING)
        text = (
            "AzimuthMove was superseded: superseded by AzimuthStop; ElevationMove was rejected: off; "
            "AzimuthStop succeeded"
        )
        self.assertEqual(self.joined.answered(0, superseded()), Step(answers=(rejected(text),)))

    def test_the_stop_fails(self) -> None:
        """The failure says that the axis was not stopped."""
        self.joined.answered(0, acknowledged(5))
        self.joined.answered(1, rejected("off"))
        self.joined.answered(2, rejected("no answer in time"))
        [end] = self.joined.answered(0, Outcome(Meaning.FAILED, 0, explanation="lost")).answers
        self.assertIn("AzimuthStop was rejected: no answer in time", end.explanation)

    def test_arrived_before_the_other_is_rejected(self) -> None:
        """An axis whose command has succeeded is stopped all the same: it may be tracking."""
        self.joined.answered(0, SUCCEEDED)
        self.assertEqual(self.joined.answered(1, rejected("off")).send, ((2, c.AzimuthStop()),))

    def test_both_are_rejected(self) -> None:
        """A half that was rejected itself is not stopped again, and the failure comes once."""
        self.assertEqual(self.joined.answered(0, rejected("a")).send, ((2, c.ElevationStop()),))
        self.assertEqual(self.joined.answered(1, rejected("b")), NOTHING)
        [end] = self.joined.answered(2, rejected("off")).answers
        self.assertEqual(
            end.explanation,
            "AzimuthMove was rejected: a; ElevationMove was rejected: b; ElevationStop was rejected: off",
        )

    def test_superseded(self) -> None:
        """A later command rules: no stop is sent against it, and the failure comes at once."""
        self.joined.answered(0, acknowledged(5))
        self.joined.answered(1, acknowledged(5))
        step = self.joined.answered(0, superseded())
        self.assertEqual(step.send, ())
        [end] = step.answers
        self.assertEqual(end.meaning, Meaning.SUPERSEDED)
        self.assertEqual(
            end.explanation,
            "AzimuthMove was superseded: superseded by AzimuthStop; ElevationMove was acknowledged",
        )
        self.assertEqual(self.joined.answered(1, SUCCEEDED), NOTHING)


class AloneTests(SynchronousTestCase):
    """One command."""

    def test_explanation(self) -> None:
        """Its explanation is the mount's own."""
        joined = Joined((Half(AZIMUTH),))
        self.assertEqual(joined.begin(), Step(((0, AZIMUTH),)))
        self.assertEqual(joined.answered(0, rejected("off")), Step(answers=(rejected("off"),)))


class AnyAnswersTests(SynchronousTestCase):
    """Any answers in any order."""

    @given(
        st.sampled_from((IN_ORDER, TOGETHER)),
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(Meaning)[:5])), max_size=30),
    )
    def test_one_end(self, halves: tuple[Half, ...], answers: list[tuple[int, Meaning]]) -> None:
        """The commander receives one Ack at most, and one end at most, the last answer of all. When each
        sent command has ended, so has the commander's."""
        joined = Joined(halves)
        open_numbers = {number for number, _ in joined.begin().send}
        sent = set(open_numbers)
        told: list[Meaning] = []
        for number, meaning in answers + [(number, Meaning.SUCCEEDED) for number in range(4)] * 2:
            if number not in sent:
                continue
            step = joined.answered(number, Outcome(meaning, 0))
            if meaning is not Meaning.ACKNOWLEDGED:
                open_numbers.discard(number)
            numbers = {each for each, _ in step.send}
            self.assertFalse(numbers & sent, "a number is given once")
            sent |= numbers
            open_numbers |= numbers
            told += [answer.meaning for answer in step.answers]
            if not open_numbers:
                self.assertTrue(joined.has_ended)
        self.assertLessEqual(told.count(Meaning.ACKNOWLEDGED), 1)
        ends = [meaning for meaning in told if meaning is not Meaning.ACKNOWLEDGED]
        self.assertEqual((len(ends), told[-1:]), (1, ends))
