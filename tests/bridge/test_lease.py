"""`mtmount_twisted.bridge.lease`: the rules of who has command, alone."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.lease import Lease
from mtmount_twisted.enums import Source

CSC = SimpleNamespace(name="csc", source=Source.CSC)
EUI = SimpleNamespace(name="eui", source=Source.EUI)
HHD = SimpleNamespace(name="hhd", source=Source.HHD)
HHD2 = SimpleNamespace(name="hhd2", source=Source.HHD)


class LeaseTests(SynchronousTestCase):
    """Holders and numbers."""

    def test_at_start(self) -> None:
        """At start nobody has command and anyone can get it."""
        lease = Lease()
        self.assertEqual((lease.holder, lease.of(CSC), lease.describe()), (None, 0, "nobody has command"))
        for client in (CSC, EUI, HHD):
            self.assertEqual(lease.why_not(client), "")

    def test_numbers(self) -> None:
        """Each lease has a larger number than the one before; a holder that gets it again keeps its own."""
        lease = Lease()
        lease.grant(CSC)
        lease.grant(CSC)
        self.assertEqual((lease.of(CSC), lease.of(EUI)), (1, 0))
        lease.grant(EUI)
        self.assertEqual((lease.of(CSC), lease.of(EUI)), (0, 2))
        lease.release()
        self.assertEqual(lease.of(EUI), 0)
        lease.grant(CSC)
        self.assertEqual((lease.of(CSC), lease.describe()), (3, "csc has command"))

    def test_hhd(self) -> None:
        """Nobody takes command from the HHD, not even another HHD; from the others anyone does."""
        lease = Lease()
        lease.grant(HHD)
        for client in (CSC, EUI, HHD2):
            self.assertIn("hhd has command", lease.why_not(client))
        self.assertEqual(lease.why_not(HHD), "")
        lease.release()
        lease.grant(EUI)
        for client in (CSC, EUI, HHD, HHD2):
            self.assertEqual(lease.why_not(client), "")
