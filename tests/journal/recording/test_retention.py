"""Which recordings are deleted."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recording.retention import MOST_OLD, OldAllowance, Stored, to_delete

DAY = 86400.0
NOW = 1.8e9


def kept(
    found: list[Stored], present: str = "p", days: float = 14, size: int = 1000, most_old: int = MOST_OLD
) -> list[str]:
    """The names of the recordings that stay."""
    gone = {each.path for each in to_delete(found, Path(present), 100, (days, size), NOW, most_old)}
    return [each.path.name for each in found if each.path not in gone]


class ToDeleteTests(SynchronousTestCase):
    """The choice."""

    def test_by_age(self) -> None:
        """Older ones than the days go, others stay."""
        found = [Stored(Path("a"), 1, NOW - 15 * DAY), Stored(Path("b"), 1, NOW - 13 * DAY)]
        self.assertEqual(kept(found), ["b"])

    def test_few_by_age(self) -> None:
        """Of the old ones so many go as are allowed, the oldest first."""
        found = [Stored(Path(name), 1, NOW - 15 * DAY) for name in "abc"]
        self.assertEqual(kept(found, most_old=2), ["c"])
        self.assertEqual(kept(found, most_old=0), ["a", "b", "c"])

    def test_time_of_a_wrong_clock(self) -> None:
        """A recording of 1970, or of the future, has no age: it goes only if there is no room."""
        found = [Stored(Path("a"), 500, 100.0), Stored(Path("b"), 500, NOW + 100 * DAY)]
        self.assertEqual(kept(found), ["b"])
        self.assertEqual(kept(found, size=2000), ["a", "b"])

    def test_by_size(self) -> None:
        """The oldest go until the others and the present one have room."""
        found = [Stored(Path(name), 400, NOW - 100) for name in "abc"]
        self.assertEqual(kept(found), ["b", "c"])

    def test_present_one_stays(self) -> None:
        """The recording that is being written stays, however old and large."""
        self.assertEqual(kept([Stored(Path("p"), 5000, 0.0)]), ["p"])


class OldAllowanceTests(SynchronousTestCase):
    """How many recordings may go because of their age."""

    def test_clocks_agree(self) -> None:
        """None go in the first hour, or in the hour after a step of the wall clock; then a day's an hour."""
        old = OldAllowance()
        looks = [old.look(now, NOW + now) for now in range(0, 3700, 60)]
        self.assertEqual({*looks[:60]}, {0})
        self.assertEqual(looks[-1], MOST_OLD)
        old.use(MOST_OLD)
        self.assertEqual(old.look(3760, NOW + 3760), 0)
        self.assertEqual(old.look(3900, NOW + 3900 + 15 * DAY), 0)
        later = [old.look(now, NOW + now) for now in range(3960, 7800, 60)]
        self.assertEqual((later[0], later[-1]), (0, MOST_OLD))
