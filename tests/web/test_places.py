"""Who may have how many connections: `mtmount_twisted.frontends.web.http.places`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.http.places import GRACE, Place, Places
from mtmount_twisted.hosts import client_network
from mtmount_twisted.net.known_addresses import KNOWN_TIME, MAX_KNOWN


class Held:
    """A connection that holds a place."""

    idle_since: float | None = None
    is_asking = False
    place: Place[Held] | None = None


class PlacesTests(SynchronousTestCase):
    """Eight places from one address, sixteen in all: two and four of them are kept free."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.closed: list[Held] = []
        self.places = Places(16, 8, self.clock.seconds, self.closed.append)

    def come(self, host: str) -> Held | None:
        """A connection from an address; None if it is refused."""
        held = Held()
        held.place = self.places.take_place(held, host)
        self.clock.advance(GRACE)
        return None if held.place is None else held

    def stay(self, host: str, number: int = 1) -> list[Held]:
        """Connections that have a token each, and are never idle."""
        held = []
        for _ in range(number):
            came = self.come(host)
            assert came is not None
            self.accept(came)
            held.append(came)
        return held

    def accept(self, held: Held, known: bool = True, observes: bool = False) -> None:
        """A request with a token comes on one."""
        assert held.place is not None
        self.places.accept(held.place, known, observes)

    def observe(self, host: str) -> Held | None:
        """A connection of a user who only observes, with an accepted request and the beginning of another."""
        held = self.come(host)
        if held is not None:
            self.accept(held, observes=True)
        return held

    def go(self, held: Held) -> None:
        """One is gone."""
        assert held.place is not None
        self.places.give_back(held.place)

    def test_longest_idle_is_replaced_when_the_address_is_full(self) -> None:
        """A newcomer has the place of the one idle connection among streams; one at a time is replaced."""
        held = self.stay("192.0.2.1", 8)
        self.assertIsNone(self.come("192.0.2.1"))
        held[5].idle_since, held[3].idle_since = 2.0, 1.0
        newcomer = self.come("192.0.2.1")
        assert newcomer is not None
        self.accept(newcomer)
        self.assertEqual(self.closed, [held[3]])
        self.assertIsNone(self.come("192.0.2.1"), "one that leaves counts until it is gone")
        self.go(held[3])
        newcomer.idle_since = 3.0
        self.stay("192.0.2.1")
        self.assertEqual(self.closed, [held[3], held[5]])

    def test_full_address_replaces_nothing_for_a_stranger_that_is_refused(self) -> None:
        """What is refused because all together have no place left closes nothing."""
        held = self.stay("192.0.2.1", 8)
        for number in range(8):
            self.stay(f"192.0.2.{number + 10}")
        held[0].idle_since = 1.0
        del self.closed[:]
        self.assertIsNone(self.come("192.0.2.1"))
        self.assertEqual(self.closed, [])

    def test_those_without_a_token_give_way(self) -> None:
        """When few places are left, the oldest connection on which no token was shown is closed first."""
        [user] = self.stay("192.0.2.1")
        idle = self.stay("192.0.2.1")[0]
        idle.idle_since = 0.0
        silent = [self.come("192.0.2.1") for _ in range(4)]
        self.assertEqual(self.closed, [])
        self.come("192.0.2.1")
        self.assertEqual(self.closed, silent[:1])
        self.come("192.0.2.1")
        self.assertEqual(self.closed, silent[:2])
        self.assertNotIn(user, self.closed)

    def test_observers_share_the_half_of_strangers(self) -> None:
        """The token of a user who only observes keeps no place from a user who may stop, at any address."""
        self.stay("192.0.2.1")
        for number in range(100):
            for held in [self.observe(f"198.51.100.{number % 20}"), self.observe("192.0.2.1")]:
                assert held is not None
            while self.closed:
                self.go(self.closed.pop())
        self.assertLessEqual(len(self.places), 10)
        self.stay("192.0.2.1", 2)
        self.assertIsNotNone(self.come("203.0.113.7"), "a user who comes from a new address")

    def test_observers_make_no_address_known(self) -> None:
        """Strangers at the address of a user who only observes stay strangers."""
        self.observe("198.51.100.1")
        came = [self.come("198.51.100.1") for _ in range(4)] + [
            self.come(f"198.51.100.{n}") for n in range(2, 9)
        ]
        self.assertEqual(sum(each is not None for each in came), 7)

    def test_observer_keeps_no_address_known(self) -> None:
        """An hour after the last user with rights, a stream of an observer keeps no address known."""
        [user] = self.stay("192.0.2.1")
        self.observe("192.0.2.1")
        self.go(user)
        self.clock.advance(2 * KNOWN_TIME)
        self.assertFalse(self.places.is_known("192.0.2.1"))

    def test_request_that_waits_for_its_answer_is_not_closed(self) -> None:
        """A connection whose request has arrived stays, though nothing was accepted on it yet."""
        came = [self.come("192.0.2.1") for _ in range(6)]
        assert came[0] is not None
        came[0].is_asking = True
        self.come("192.0.2.1")
        self.assertEqual(self.closed, [came[1]])

    def test_place_of_one_that_was_aborted(self) -> None:
        """The place is free at once: a burst of newcomers takes no place from the next one."""
        self.places = Places(16, 8, self.clock.seconds, lambda held: not self.closed.append(held))
        self.stay("")
        came = [self.come("") for _ in range(100)]
        self.assertNotIn(None, came)
        self.assertLessEqual(len(self.places), 13)

    def test_observers_without_an_address(self) -> None:
        """At a Unix socket, where peers have no address, users who only observe leave places."""
        self.stay("")
        for _ in range(100):
            self.assertIsNotNone(self.observe(""))
            while self.closed:
                self.go(self.closed.pop())
        self.stay("", 4)

    def test_known_user_on_a_unix_socket(self) -> None:
        """At a Unix socket users stand for addresses. Strangers leave half of the places to a known one."""
        self.places = Places(16, 4, self.clock.seconds, self.closed.append)
        self.stay("uid 1000")
        for _ in range(20):
            self.come("uid 65534")
        self.stay("uid 1000", 7)

    def test_newcomer_has_time_to_show_a_token(self) -> None:
        """A new connection does not give way while observers hold places with unfinished requests."""
        for _ in range(7):
            self.observe("")
        newest = Held()
        newest.place = self.places.take_place(newest, "")
        for _ in range(20):
            other = Held()
            other.place = self.places.take_place(other, "")
            while self.closed:
                self.assertIsNot(self.closed[0], newest)
                self.go(self.closed.pop(0))
            if other.place is not None:
                self.accept(other, observes=True)
        self.accept(newest)

    def test_closing_ones_count(self) -> None:
        """A connection that gave way counts until it is gone."""
        held = [self.come("192.0.2.1") for _ in range(8)]
        self.assertEqual(self.closed, held[:2])
        self.assertIsNone(self.come("192.0.2.1"))
        self.go(self.closed[0])
        self.assertIsNotNone(self.come("192.0.2.1"))

    def test_strangers_share_half(self) -> None:
        """Strangers never hold more than half of the places, from however many addresses."""
        strangers = [self.come(f"198.51.100.{number}") for number in range(100)]
        self.assertEqual(sum(each is not None for each in strangers), 8)
        self.go(next(each for each in strangers if each))
        self.stay("192.0.2.1", 8)

    def test_one_with_few_is_not_closed_for_one_with_many(self) -> None:
        """Among strangers the address that holds most gives way."""
        many = [self.come("198.51.100.1") for _ in range(6)]
        few = [self.come("198.51.100.2"), self.come("198.51.100.3")]
        self.assertEqual(self.closed, many[:2])
        self.assertNotIn(None, few)

    def test_known_for_an_hour(self) -> None:
        """An address is known while it has an accepted connection, and for an hour after its last request."""
        [user] = self.stay("192.0.2.1")
        strangers = [self.come(f"198.51.100.{number}") for number in range(8)]
        self.assertNotIn(None, strangers)
        self.clock.advance(2 * KNOWN_TIME)
        self.assertIsNotNone(again := self.come("192.0.2.1"), "an event stream is open")
        assert again is not None
        self.go(user)
        self.go(again)
        self.assertIsNone(self.come("192.0.2.1"))

    def test_accepted_without_tokens(self) -> None:
        """Where there are no tokens, an accepted request keeps its connection, and makes no address known."""
        held = [self.come("198.51.100.1") for _ in range(8)]
        for each in held[2:]:
            assert each is not None
            self.accept(each, known=False)
        for each in self.closed[:]:
            self.go(each)
        self.assertIsNotNone(self.come("198.51.100.2"))
        self.assertIsNotNone(self.come("198.51.100.3"))
        self.assertEqual(len(self.closed), 3, "the one of 198.51.100.2")
        self.assertIsNone(self.come("198.51.100.4"))

    def test_so_many_are_known(self) -> None:
        """Only so many addresses are remembered; the one whose last request is oldest is forgotten."""
        places = Places(10**6, 8, self.clock.seconds, self.closed.append)
        for number in range(MAX_KNOWN + 1):
            held = Held()
            place = places.take_place(held, f"10.0.{number // 250}.{number % 250}")
            assert place is not None
            places.accept(place, True)
            places.give_back(place)
            places.give_back(place)
        self.assertEqual(len(places), 0)


class NetworkTests(SynchronousTestCase):
    """What peers are counted by."""

    def test_networks(self) -> None:
        """An IPv4 address counts by itself, however it is written; of global IPv6 addresses the /64."""
        for host, network in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"),
            ("2001:db8:0:1:bbbb::2%eth0", "2001:db8:0:1::/64"),
            ("fd00::1", "fd00::/64"),
            ("fe80::1", "fe80::1"),
            ("::1", "::1"),
            ("", ""),
        ):
            self.assertEqual(client_network(host), network, host)
