"""`Joined`: the answers of one command that became two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import Meaning, Outcome
from mtmount_twisted.dialects.joined import LONGEST_REASON, Joined, Step
from mtmount_twisted.dialects.tma2022 import commands as c
from tests.support import strategies  # noqa: F401  # for the profile

MODE = c.OilSupplySystemSetMode(auto=True)
POWER = c.OilSupplySystemPower(on=True)

SUCCEEDED = Outcome(Meaning.SUCCEEDED, 0)
NOTHING = Step()


def acknowledged(timeout: float | None) -> Outcome:
    """An Ack of the mount."""
    return Outcome(Meaning.ACKNOWLEDGED, 0, timeout=timeout)


def rejected(why: str) -> Outcome:
    """A rejection of the mount."""
    return Outcome(Meaning.REJECTED, 0, explanation=why)


class JoinedTests(SynchronousTestCase):
    """Two commands of which the second needs the success of the first."""

    def setUp(self) -> None:
        self.joined = Joined((MODE, POWER))
        self.assertIs(self.joined.part, MODE)

    def test_success(self) -> None:
        """The second is sent after the success of the first; one Ack has the longer timeout; one Done."""
        self.assertEqual(self.joined.answered(acknowledged(0.1)), NOTHING)
        self.assertEqual(self.joined.answered(SUCCEEDED), Step(POWER))
        self.assertEqual(self.joined.answered(acknowledged(900)), Step(answers=(acknowledged(900),)))
        self.assertFalse(self.joined.has_ended)
        self.assertEqual(self.joined.answered(SUCCEEDED), Step(answers=(SUCCEEDED,)))
        self.assertTrue(self.joined.has_ended)

    def test_longer_timeout_of_the_first(self) -> None:
        """The longer timeout may be that of the first."""
        self.joined.answered(acknowledged(2))
        self.joined.answered(SUCCEEDED)
        self.assertEqual(self.joined.answered(acknowledged(1)), Step(answers=(acknowledged(2),)))

    def test_unknown_timeout(self) -> None:
        """An unknown timeout is longer than a known one."""
        self.joined.answered(acknowledged(None))
        self.joined.answered(SUCCEEDED)
        self.assertEqual(self.joined.answered(acknowledged(1)), Step(answers=(acknowledged(None),)))

    def test_first_is_rejected(self) -> None:
        """The second is never sent. The reason comes first, and the failure names both."""
        text = "no (OilSupplySystemSetMode was rejected; OilSupplySystemPower was not sent)"
        self.assertEqual(self.joined.answered(rejected("no")), Step(answers=(rejected(text),)))
        self.assertTrue(self.joined.has_ended)

    def test_second_is_rejected(self) -> None:
        """The failure names both."""
        self.joined.answered(acknowledged(0.1))
        self.joined.answered(SUCCEEDED)
        text = "hot (OilSupplySystemSetMode succeeded; OilSupplySystemPower was rejected)"
        self.assertEqual(self.joined.answered(rejected("hot")), Step(answers=(rejected(text),)))

    def test_second_fails_after_the_ack(self) -> None:
        """The commander has the Ack already, and receives a failure."""
        self.joined.answered(SUCCEEDED)
        self.joined.answered(acknowledged(900))
        [end] = self.joined.answered(Outcome(Meaning.FAILED, 0, explanation="leak")).answers
        self.assertEqual(end.meaning, Meaning.FAILED)
        self.assertEqual(
            end.explanation, "leak (OilSupplySystemSetMode succeeded; OilSupplySystemPower failed)"
        )

    def test_no_reason(self) -> None:
        """A rejection without a reason still names both."""
        [end] = self.joined.answered(rejected("")).answers
        self.assertEqual(
            end.explanation, "(OilSupplySystemSetMode was rejected; OilSupplySystemPower was not sent)"
        )

    def test_success_without_ack(self) -> None:
        """A mount may leave out an Ack: the commander still receives one before Done."""
        self.joined.answered(SUCCEEDED)
        self.assertEqual(self.joined.answered(SUCCEEDED), Step(answers=(acknowledged(0.0), SUCCEEDED)))

    def test_late_answers(self) -> None:
        """An answer after the end changes nothing."""
        self.joined.answered(rejected("no"))
        for late in (acknowledged(1), SUCCEEDED, rejected("late")):
            self.assertEqual(self.joined.answered(late), NOTHING)

    def test_long_reason(self) -> None:
        """A long reason is cut, so that the names fit in a line."""
        [end] = self.joined.answered(rejected("x" * 60_000)).answers
        self.assertEqual(end.explanation.count("x"), LONGEST_REASON)

    @given(st.lists(st.sampled_from(list(Meaning)[:5]), max_size=10))
    def test_one_end(self, meanings: list[Meaning]) -> None:
        """Whatever is answered, the commander receives one Ack at most, and then one end."""
        joined = Joined((MODE, POWER))
        told: list[Meaning] = []
        for meaning in [*meanings, Meaning.SUCCEEDED, Meaning.SUCCEEDED]:
            told += [answer.meaning for answer in joined.answered(Outcome(meaning, 0)).answers]
        self.assertTrue(joined.has_ended)
        self.assertLessEqual(told.count(Meaning.ACKNOWLEDGED), 1)
        ends = [meaning for meaning in told if meaning is not Meaning.ACKNOWLEDGED]
        self.assertEqual((len(ends), told[-1:]), (1, ends))
