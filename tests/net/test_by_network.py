"""`mtmount_twisted.net.by_network`: members in groups, by network."""

from __future__ import annotations

from collections.abc import Sized

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.by_network import (
    LEAST_USE,
    MEMORY,
    MOST_LEFT,
    MOST_REMEMBERED,
    OLDEST_EACH,
    ByNetwork,
    FairNetworks,
)


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


class FairTests(SynchronousTestCase):
    """Costs as members."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.members: FairNetworks[float] = FairNetworks(lambda cost: cost, self.clock.seconds)

    def serve(self, count: int, networks: dict[str, float]) -> list[str]:
        """Serve so many members of networks that send again as soon as they are served."""
        served = []
        for network, cost in networks.items():
            self.members.add(network, cost)
        for _ in range(count):
            waiting = {name: list(each) for name, each in self.members.groups()}
            self.members.pop()
            self.clock.advance(0.1)
            left = dict(self.members.groups())
            network = next(name for name, each in waiting.items() if list(left.get(name, ())) != each)
            served.append(network)
            self.members.add(network, networks[network])
        return served

    def leave(self, networks: dict[str, float]) -> None:
        """These networks wait no more."""
        for network, cost in networks.items():
            self.members.discard(network, cost)

    def test_few_needs(self) -> None:
        """A network that sends seldom goes before a crowd that sends on and on, also right after its turn."""
        crowd = {f"crowd {number}": 1.0 for number in range(20)}
        self.serve(200, crowd)
        for _ in range(20):
            self.members.add("user", 0.1)
            served = self.serve(2, crowd | {"user": 0.1})
            self.leave({"user": 0.1})
            self.serve(10, crowd)
            self.assertIn("user", served)

    def test_shares(self) -> None:
        """Of two networks that send on and on, each has half of the costs, and not half of the members."""
        served = self.serve(500, {"dear": 0.4, "cheap": 0.1})
        self.assertGreater(served.count("cheap"), 2 * served.count("dear"))

    def test_newcomers_without_end(self) -> None:
        """The network that has needed most waits for a round of the others at most, though new ones come."""
        self.serve(50, {"busy": 4.0})
        for number in range(40):
            self.members.add(f"new {number}", 1.0)
        for number in range(OLDEST_EACH * 2):
            self.members.pop()
            self.members.add(f"later {number}", 1.0)
        self.assertNotIn("busy", self.members.networks())

    def test_low_cost(self) -> None:
        """Of networks that have needed nothing yet, the one whose member costs least goes first."""
        for number in range(20):
            self.members.add(f"dear {number}", 1.0 + number)
        self.members.add("cheap", 0.1)
        self.assertEqual(self.members.pop(), 0.1)

    def test_little_use(self) -> None:
        """A network that has sent little before is no worse than a new one."""
        self.members.add("user", LEAST_USE / 8)
        self.members.pop()
        self.members.add("user", LEAST_USE / 8)
        self.members.add("new", LEAST_USE / 16)
        self.assertEqual(self.members.pop(), LEAST_USE / 8)

    def test_past(self) -> None:
        """A use counts for less with time: after a long rest a network is as good as a new one."""
        self.serve(20, {"once": 1.0})
        self.leave({"once": 1.0})
        self.clock.advance(10 * MEMORY)
        self.members.add("once", 1.0)
        self.members.add("new", 2.0)
        self.assertEqual(self.members.pop(), 1.0)

    def test_bounds(self) -> None:
        """The memory of networks that are gone, or that come and go, is bounded."""
        for number in range(2 * MOST_REMEMBERED):
            self.members.add(f"network {number}", 1.0)
            self.members.pop()
        for _ in range(10 * MOST_LEFT):
            self.members.add("restless", 1.0)
            self.members.discard("restless", 1.0)
        kept = [len(each) for each in vars(self.members).values() if isinstance(each, Sized)]
        self.assertLessEqual(sum(kept), MOST_REMEMBERED + 2 * MOST_LEFT)
