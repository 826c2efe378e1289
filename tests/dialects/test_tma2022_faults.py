"""The vendor's catalogue of alarms: `mtmount_twisted.dialects.tma2022.faults`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.facts import AlarmFact
from mtmount_twisted.dialects.tma2022.facts import facts_of
from mtmount_twisted.dialects.tma2022.faults import ALARM, WARNING, entries, remedy
from mtmount_twisted.dialects.tma2022.replies import ErrorReply


class RemedyTests(SynchronousTestCase):
    """The vendor's advice."""

    def test_every_entry(self) -> None:
        """Each entry has its own advice, or none if the vendor gives none; case does not matter."""
        self.assertEqual(len(entries()), 245)
        for each in entries():
            found = remedy(each.severity, each.subsystem_id, each.code, each.name.upper())
            self.assertEqual(found, each.remedy, each)
        self.assertEqual(sum(not each.remedy for each in entries()), 40)

    def test_other_name(self) -> None:
        """A name that is not in the catalogue has the advice of its number, if that is one."""
        self.assertEqual(remedy(ALARM, 300, 309, "too fast"), "Reset the azimuth cable wrap alarm.")

    def test_unknown(self) -> None:
        """A number that is not in the catalogue has no advice."""
        for severity, subsystem, code in ((ALARM, 300, 1), (WARNING, 300, 309), ("fatal", 300, 309)):
            self.assertEqual(remedy(severity, subsystem, code, "Critical Speed Limit"), "")

    def test_facts(self) -> None:
        """An alarm of the mount comes with its advice."""
        reply = ErrorReply(
            timestamp=1.5,
            name="Critical Speed Limit",
            subsystem_id=300,
            subsystem_instance="ACW",
            active=True,
            code=309,
            description="",
            latched=True,
        )
        [fact] = facts_of(reply.encode().rstrip())
        assert isinstance(fact, AlarmFact)
        self.assertEqual(fact.remedy, "Reset the azimuth cable wrap alarm.")
