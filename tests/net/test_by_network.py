"""`mtmount_twisted.net.by_network`: members in groups, by network."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.by_network import ByNetwork


class ByNetworkTests(SynchronousTestCase):
    """Numbers as members."""

    def setUp(self) -> None:
        self.members: ByNetwork[int] = ByNetwork()

    def test_none(self) -> None:
        """Without members every group is empty, the largest too."""
        self.assertEqual((list(self.members.of("a")), list(self.members.largest())), ([], []))
        self.assertEqual(list(self.members.groups()), [])
        self.members.discard("a", 1)
        self.assertEqual(list(self.members.groups()), [])

    def test_largest(self) -> None:
        """The largest group is the one that has most members now, the oldest first."""
        for network, member in (("a", 1), ("b", 3), ("b", 2), ("a", 4), ("b", 5)):
            self.members.add(network, member)
        self.assertEqual(list(self.members.largest()), [3, 2, 5])
        self.members.discard("b", 2)
        self.members.discard("b", 4)  # a member of another network
        self.members.discard("b", 3)
        self.assertEqual(list(self.members.largest()), [1, 4])

    def test_empty_group_is_forgotten(self) -> None:
        """A network without members leaves nothing behind: addresses come and go for years."""
        self.members.add("a", 1)
        self.members.add("b", 2)
        self.members.discard("a", 1)
        self.assertEqual([(name, list(each)) for name, each in self.members.groups()], [("b", [2])])
