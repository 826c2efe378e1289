"""Which recordings are deleted."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recording.retention import Stored, to_delete

DAY = 86400.0
NOW = 1.8e9


def kept(found: list[Stored], present: str = "p", days: float = 14, size: int = 1000) -> list[str]:
    """The names of the recordings that stay."""
    gone = {each.path for each, _ in to_delete(found, Path(present), 100, (days, size), NOW)}
    return [each.path.name for each in found if each.path not in gone]


class ToDeleteTests(SynchronousTestCase):
    """The choice."""

    def test_by_age(self) -> None:
        """Older ones than the days go, others stay."""
        found = [Stored(Path("a"), 1, NOW - 15 * DAY), Stored(Path("b"), 1, NOW - 13 * DAY)]
        self.assertEqual(kept(found), ["b"])

    def test_by_size(self) -> None:
        """The oldest go until the others and the present one have room."""
        found = [Stored(Path(name), 400, NOW - 100) for name in "abc"]
        self.assertEqual(kept(found), ["b", "c"])

    def test_present_one_stays(self) -> None:
        """The recording that is being written stays, however old and large."""
        self.assertEqual(kept([Stored(Path("p"), 5000, 0.0)]), ["p"])
