"""`mtmount_twisted.net.event_order`: which sockets a turn serves, if hundreds are ready."""

from __future__ import annotations

from socket import MSG_DONTWAIT, MSG_PEEK
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.event_order import (
    LANES,
    LEAST_EVENTS,
    LOOKED_AT,
    MESSAGE_SIZE,
    MOST_COST,
    MOST_EVENTS,
    MOST_LEFT,
    MOST_WRITES,
    NEW_READS,
    NEW_TURNS,
    READ_TIME,
    SHARES,
    EventOrder,
    Group,
    _cost,
    note_first,
    set_group,
)

IN, OUT, HANG_UP = 0x1, 0x4, 0x10
"""``EPOLLIN``, ``EPOLLOUT``, ``EPOLLHUP``."""


class Accepted(SimpleNamespace):
    """An accepted connection, which is its own socket.

    :ivar waiting: the bytes that can be read.
    """

    def __init__(self, file: int) -> None:
        super().__init__(file=file, waiting=b"")

    @property
    def socket(self) -> Accepted:
        return self

    def recv(self, most: int, flags: int) -> bytes:
        assert flags == MSG_PEEK | MSG_DONTWAIT, "a look reads nothing, and does not wait"
        return bytes(self.waiting[:most])

    def fileno(self) -> int:
        return int(self.file)


class EventOrderTests(SynchronousTestCase):
    """File numbers below 100 are of ports, those below 200 of the page, the others of the group FIRST."""

    def setUp(self) -> None:
        self.selectables: dict[int, Any] = {file: Accepted(file) for file in range(200)}
        for file in range(100, 200):
            set_group(self.selectables[file], lambda: Group.PAGE)
        self.selectables |= {file: SimpleNamespace() for file in range(200, 210)}
        self.now = 1000.0
        self.order = EventOrder(self.selectables, Accepted, lambda: self.now)

    def choose(self, *ready: int, takes: float = 0.0) -> list[int]:
        """Return the file numbers from which the next turn reads, a hundredth of a second later.

        :param ready: the sockets that are ready. The kernel reports those that do not wait already.
        :param takes: the time that a read takes, in seconds.
        """
        self.now += 0.01
        chosen = []
        for file, event in self.order.choose([(file, IN) for file in ready if not self.order.held(file)]):
            self.assertEqual(event, IN)
            chosen.append(file)
            self.now += takes
        return chosen

    def wait(self, file: int, ready: int) -> None:
        """Let a socket wait with these events: a turn begins, and ends early."""
        turn = self.order.choose([(200, IN), (file, ready)])
        self.assertEqual(next(turn), (200, IN))
        del turn

    def settle(self, *files: int, messages: int = 1) -> None:
        """Let sockets be read from a few times, so that they are not new."""
        for file in files:
            self.selectables[file].waiting = b"stop\r\n" * messages
        for _ in range(NEW_READS):
            left = set(files)
            while left:
                left -= set(self.choose(*left))

    def waited(self, *files: int, crowd: range, takes: float = 0.0) -> int:
        """Return the number of turns until all these are read, while a crowd is always ready."""
        left = set(files)
        for turn in range(1000):
            left -= set(self.choose(*crowd, *left, takes=takes))
            if not left:
                return turn
        raise AssertionError(f"not read: {left}")

    def test_few(self) -> None:
        """If few are ready, a turn serves all."""
        self.assertEqual(self.choose(5, 200, 101), [200, 101, 5])
        self.assertFalse(self.order.waits)

    def test_first(self) -> None:
        """The mount's sockets are served in each turn, before a hundred clients, and all clients in time."""
        served: set[int] = set()
        for _ in range(-(-100 // MOST_EVENTS)):
            chosen = self.choose(*range(100), 200, 201)
            self.assertEqual({200, 201}, set(chosen[:2]))
            served |= set(chosen[2:])
        self.assertEqual(served, set(range(100)))

    def test_holder(self) -> None:
        """A client that gets command goes first, also if it waits already."""
        holder = SimpleNamespace(transport=self.selectables[99])
        holds = False
        set_group(holder, lambda: Group.FIRST if holds else Group.CROWD)
        self.settle(*range(100))
        self.choose(*range(100))
        self.assertTrue(self.order.held(99))
        holds = True
        note_first(holder)
        self.assertEqual(self.choose(*range(99))[0], 99)
        self.assertEqual(self.choose(*range(100))[0], 99)
        self.assertNotIn(99, self.choose(*range(99)))

    def test_changes_before_the_first_ones_are_served(self) -> None:
        """A socket that goes first keeps its events for the next turn, as long as they are wanted."""
        for ready, wanted, later, chosen in (
            (IN, IN, 0, IN),
            (IN | HANG_UP, IN, 0, IN | HANG_UP),
            (IN, IN | OUT, OUT, IN | OUT),
            (IN, OUT, 0, 0),
            (IN, OUT, OUT, OUT),
            (IN | HANG_UP, 0, 0, 0),
        ):
            set_group(self.selectables[99], lambda: Group.CROWD)
            self.wait(99, ready)
            self.order.note_first(self.selectables[99])
            set_group(self.selectables[99], lambda: Group.FIRST)
            self.assertTrue(self.order.waits)
            self.assertEqual(self.order.held(99), IN)
            self.order.keep(99, wanted)
            served = list(self.order.choose([(99, later)] if later else []))
            self.assertEqual(served, [(99, chosen)] if chosen else [])
            self.assertFalse(self.order.waits)
        self.wait(99, IN | OUT)
        self.order.keep(99, OUT)
        self.assertEqual(list(self.order.choose([])), [(99, OUT)])

    def test_shares(self) -> None:
        """Each group has its share of the reads, also of short turns, and of a group of which none waits."""
        for file in range(150, 200):
            set_group(self.selectables[file], lambda: Group.USERS)
        for ready, groups in (
            ((*range(50), *range(120, 190)), (Group.USERS, Group.PAGE, Group.CROWD)),
            ((*range(50), *range(100, 150)), (Group.PAGE, Group.CROWD)),
            ((*range(50),), (Group.CROWD,)),
        ):
            for takes in (0.0, READ_TIME):
                chosen = [file for _ in range(50) for file in self.choose(*ready, takes=takes)]
                counts = {
                    Group.CROWD: sum(file < 100 for file in chosen),
                    Group.PAGE: sum(100 <= file < 150 for file in chosen),
                    Group.USERS: sum(file >= 150 for file in chosen),
                }
                whole = sum(SHARES[group] for group in groups)
                for group in groups:
                    share = len(chosen) * SHARES[group] / whole
                    self.assertLessEqual(abs(counts[group] - share), 0.02 * len(chosen) + 2)
            for file in range(200):
                self.order.keep(file, 0)

    def test_group_without_reads(self) -> None:
        """A group that had no reads for a while has its share of the next ones, and no more."""
        self.settle(*range(50), *range(100, 150))
        for _ in range(100):
            self.choose(*range(50), takes=READ_TIME)
        both = (*range(50), *range(100, 150))
        chosen = [file for _ in range(9) for file in self.choose(*both, takes=READ_TIME)]
        self.assertLessEqual(abs(sum(file < 50 for file in chosen) - 36 * 4 / 5), 1)

    def test_other_group(self) -> None:
        """A connection that becomes a user's waits for a round of the users at most, and then as a user's."""
        users = range(150, 190)
        for file in users:
            set_group(self.selectables[file], lambda: Group.USERS)
        self.settle(*range(100, 190))
        for file in range(100, 190):
            self.selectables[file].waiting = bytes(MESSAGE_SIZE * 12)
        for _ in range(50):
            self.choose(*users, takes=READ_TIME)
        for _ in range(2000):
            self.choose(*range(100, 140), takes=READ_TIME)
        self.selectables[120].waiting = b"GET /"
        set_group(self.selectables[120], lambda: Group.USERS)
        self.order.keep(120, 0)
        self.assertLessEqual(self.waited(120, crowd=users, takes=READ_TIME), 2 * len(users) // LEAST_EVENTS)
        for _ in range(5):
            for _ in range(3):
                self.choose(*users, takes=READ_TIME)
            self.assertLessEqual(self.waited(120, crowd=users, takes=READ_TIME), 1)

    def test_time(self) -> None:
        """A turn reads for a while, and from a few sockets in any case."""
        self.assertEqual(len(self.choose(*range(100), takes=READ_TIME)), LEAST_EVENTS)
        self.assertEqual(len(self.choose(*range(100), takes=READ_TIME / 7.9)), 8)
        self.assertEqual(len(self.choose(*range(100))), MOST_EVENTS)

    def test_each_in_turn(self) -> None:
        """If all are ready all the time, each is read about as often as the others."""
        counts = dict.fromkeys(range(90), 0)
        for _ in range(90):
            for file in self.choose(*range(90)):
                counts[file] += 1
        self.assertLess(max(counts.values()), 2 * min(counts.values()))

    def test_quiet_client(self) -> None:
        """The message of a quiet client goes before those of a crowd, also after hours."""
        self.settle(*range(100))
        for _ in range(500):
            self.choose(*range(90))
        for quiet in (91, 92):
            self.assertEqual(self.waited(quiet, crowd=range(90), takes=READ_TIME), 0)

    def test_active_client(self) -> None:
        """A client that sends ten messages a second waits for no crowd that sends more than can be read."""
        self.settle(*range(91))
        for file in range(90):
            self.selectables[file].waiting = b"move\r\n" * 12
        waited = []
        for _ in range(60):
            waited.append(self.waited(90, crowd=range(90), takes=READ_TIME))
            for _ in range(10):  # a tenth of a second
                self.choose(*range(90), takes=READ_TIME)
        self.assertLessEqual(sorted(waited)[-3], 1)

    def test_cost(self) -> None:
        """One or two messages cost the least; the cost grows faster than their number, up to a bound."""
        client = self.selectables[0]
        for messages, cost in ((0, 1), (1, 1), (2, 1), (4, 4), (8, 16), (12, MOST_COST), (500, MOST_COST)):
            client.waiting = b"move\r\n" * messages
            self.assertEqual(_cost(client, Group.CROWD), cost)
            client.waiting = bytes(MESSAGE_SIZE * messages)
            self.assertEqual(_cost(client, Group.PAGE), cost)

    def test_lead_after_a_rest(self) -> None:
        """A client that sends without end after a rest has a small lead, and not all reads of its rest."""
        self.settle(*range(41), messages=12)
        for _ in range(500):
            self.choose(*range(40), takes=READ_TIME)
        reads = sum(40 in self.choose(*range(41), takes=READ_TIME) for _ in range(12))
        self.assertLessEqual(reads, 5)

    def test_more_messages_than_others(self) -> None:
        """A client with more messages than the others is read as often as they are, roughly."""
        self.settle(*range(20))
        self.settle(20, messages=12)
        counts = dict.fromkeys(range(21), 0)
        for _ in range(400):
            for file in self.choose(*range(21), takes=READ_TIME):
                counts[file] += 1
        self.assertGreater(counts[20], 0.6 * counts[0])

    def test_few_messages_in_a_mixed_crowd(self) -> None:
        """A client with few messages is read as often as those with many, or more often."""
        for many in (5, 10, 20, 30):
            self.setUp()
            self.settle(*range(many), messages=12)
            self.settle(*range(many, 40), messages=3)
            counts = dict.fromkeys(range(40), 0)
            for _ in range(800):
                for file in self.choose(*range(40), takes=READ_TIME):
                    counts[file] += 1
            self.assertGreaterEqual(counts[39] + 2, counts[0])

    def test_messages_without_ends(self) -> None:
        """Of encrypted bytes, the number of bytes tells the number of messages."""
        self.settle(*range(91))
        for file in range(90):
            self.selectables[file].waiting = bytes(MESSAGE_SIZE * 12)
        self.selectables[90].waiting = bytes(MESSAGE_SIZE)
        waited = []
        for _ in range(40):
            waited.append(self.waited(90, crowd=range(90), takes=READ_TIME))
            for _ in range(10):
                self.choose(*range(90), takes=READ_TIME)
        self.assertLessEqual(sorted(waited)[-3], 1)

    def test_head_of_a_request(self) -> None:
        """At the page the lines of a request do not count as messages."""
        self.settle(*range(100, 141))
        for file in range(100, 140):
            self.selectables[file].waiting = bytes(MESSAGE_SIZE * 12)
        self.selectables[140].waiting = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 11
        waited = []
        for _ in range(40):
            waited.append(self.waited(140, crowd=range(100, 140), takes=READ_TIME))
            for _ in range(10):
                self.choose(*range(100, 140), takes=READ_TIME)
        self.assertLessEqual(sorted(waited)[-3], 1)

    def test_reset(self) -> None:
        """The reactor hears of a reset, also if the look at the bytes has found it first."""

        def reset(most: int, flags: int) -> bytes:
            raise ConnectionResetError

        self.selectables[3].recv = reset
        [(_, ready)] = self.order.choose([(3, IN)])
        self.assertFalse(ready & IN)
        self.assertTrue(ready & HANG_UP)
        self.assertEqual(list(self.order.choose([(4, IN | HANG_UP)])), [(4, IN | HANG_UP)])

    def test_a_round_at_most(self) -> None:
        """A client with more messages than all others waits for a round of the lane of all at most."""
        self.settle(*range(91))
        self.selectables[90].waiting = b"move\r\n" * LOOKED_AT
        for _ in range(10):
            self.waited(90, crowd=range(90), takes=READ_TIME)
            most = 90 * len(LANES) // LEAST_EVENTS + 1
            self.assertLessEqual(self.waited(90, crowd=range(90), takes=READ_TIME), most)

    def test_round_behind_quiet_clients(self) -> None:
        """If quiet clients have all reads of the fair lane, each one of a crowd is read all the same."""
        self.settle(*range(30))
        self.settle(*range(30, 70), messages=12)
        counts = dict.fromkeys(range(30, 70), 0)
        for turn in range(200):
            quiet = [file for file in range(30) if file % 10 == turn % 10]
            for file in self.choose(*quiet, *range(30, 70), takes=READ_TIME):
                if file >= 30:
                    counts[file] += 1
        self.assertGreaterEqual(min(counts.values()), 2)

    def test_paused(self) -> None:
        """A connection that the reactor did not watch for minutes is served as a quiet one."""
        self.settle(*range(91))
        self.choose(*range(91), takes=READ_TIME)
        self.order.keep(90, 0)
        for _ in range(300):
            self.choose(*range(90), takes=READ_TIME)
        self.assertEqual(self.waited(90, crowd=range(90), takes=READ_TIME), 0)

    def test_clock_that_goes_back(self) -> None:
        """A clock that goes back by any time breaks nothing."""
        self.choose(*range(40))
        self.now -= 1e6
        self.assertEqual(len(self.choose(*range(40))), MOST_EVENTS)

    def test_new_connection(self) -> None:
        """A new connection waits for no crowd, whatever was read from the one that had its file number."""
        self.settle(*range(90))
        self.selectables[50] = Accepted(50)
        crowd = range(50)
        self.assertEqual(self.waited(50, crowd=crowd, takes=READ_TIME), 0)

    def test_first_reads(self) -> None:
        """The first reads of a new connection wait for no crowd. Then it has no lead."""
        self.settle(*range(90))
        for _ in range(200):
            self.choose(*range(90), takes=READ_TIME)
        new = self.selectables[95]
        new.waiting = b"stop\r\n"
        for _ in range(NEW_READS):
            self.assertLessEqual(self.waited(95, crowd=range(90), takes=READ_TIME), 1)
        self.assertGreaterEqual(
            new.event_finish[1], min(self.selectables[file].event_finish[1] for file in range(90))
        )

    def test_newest_of_new_connections(self) -> None:
        """Of new connections, one without a read waits for none that sends on and on."""
        while not all(hasattr(self.selectables[file], "event_reads") for file in range(60)):
            self.choose(*range(60))
        self.assertEqual(self.waited(95, crowd=range(60), takes=READ_TIME), 0)

    def test_rest_after_the_first_read(self) -> None:
        """Connections that rested after their first read do not wait behind newcomers without end."""
        rested, new = range(20), 1000
        for file in rested:
            self.choose(file)
        for _ in range(NEW_TURNS + 1):
            self.choose(99)
        left = set(rested)
        for _ in range(len(rested) // 2 + 2):
            for _ in range(LEAST_EVENTS):
                new += 1
                self.selectables[new] = Accepted(new)
            left -= set(self.choose(*left, *range(1001, new + 1), takes=READ_TIME))
        self.assertEqual(left, set())

    def test_unread(self) -> None:
        """The connections that wait for their first read are counted, until they are read or not watched."""
        self.choose(*range(40), takes=READ_TIME)
        self.assertEqual(self.order.unread, 40 - LEAST_EVENTS)
        [left] = [file for file in range(40) if self.order.held(file)][:1]
        self.order.keep(left, 0)
        self.assertEqual(self.order.unread, 40 - LEAST_EVENTS - 1)
        while self.order.waits:
            self.choose()
        self.choose(*[file for file in range(40) if file != left], takes=READ_TIME)
        self.assertTrue(self.order.waits)
        self.assertEqual(self.order.unread, 0)

    def test_many_new_connections(self) -> None:
        """Connections that come without end keep out neither a quiet client nor the crowd."""
        quiet, seen = 40, set[int]()
        self.settle(quiet)
        self.settle(*range(40), messages=12)
        new = 1000
        waited = []
        for turn in range(200):
            for _ in range(LEAST_EVENTS):
                new += 1
                self.selectables[new] = Accepted(new)
            ready = [*range(40), *range(1001, new + 1)]
            if turn % 10 == 9:
                ready.append(quiet)
            chosen = self.choose(*[file for file in ready if file in self.selectables], takes=READ_TIME)
            seen |= set(chosen)
            for file in chosen:
                if file > 1000:
                    del self.selectables[file]
            if turn % 10 == 9:
                waited.append(quiet in chosen)
        self.assertLessEqual(set(range(40)), seen)
        self.assertEqual(waited, [True] * 20)

    def test_writes(self) -> None:
        """Each turn writes to the sockets with output, and does not read from them for that."""
        crowd = [(file, IN) for file in range(80)]
        crowd[3], crowd[4], crowd[5] = (3, OUT), (4, IN | OUT), (5, IN | OUT | HANG_UP)
        chosen = list(self.order.choose([*crowd, (200, IN)]))
        self.assertEqual(chosen[:3], [(200, IN), (3, OUT), (4, OUT)])
        self.assertEqual(len(chosen), 3 + MOST_EVENTS)
        self.assertIn((4, IN), chosen)
        self.assertIn((5, IN | OUT | HANG_UP), chosen)

    def test_writes_to_a_socket_that_waits(self) -> None:
        """A socket that waits for a read can be written to meanwhile, and is read once."""
        self.settle(*range(80))
        list(self.order.choose([(file, IN) for file in range(80)]))
        [waits, *_] = [file for file in range(80) if self.order.held(file)]
        self.assertEqual(self.order.held(waits), IN)
        self.assertEqual(next(iter(self.order.choose([(waits, IN | OUT)]))), (waits, OUT))
        read = [each for _ in range(3) for each in self.order.choose([]) if each == (waits, IN)]
        self.assertEqual(len(read), 1)

    def test_few_writes(self) -> None:
        """Of many sockets that can be written to without end, a turn writes to some, and to each in time.

        A user of the page goes first.
        """
        set_group(self.selectables[150], lambda: Group.USERS)
        served: list[int] = []
        for _ in range(-(-100 // MOST_WRITES)):
            ready = [(file, OUT) for file in (*range(99), 150) if not self.order.held(file)]
            chosen = [file for file, _ in self.order.choose(ready)]
            self.assertEqual(len(chosen), MOST_WRITES)
            self.assertEqual(chosen[0], 150)
            served += chosen
            self.assertTrue(self.order.waits)
        self.assertLessEqual(set(range(99)), set(served))

    def test_lanes_stay_small(self) -> None:
        """While sockets wait without end, a lane keeps few stale entries."""
        self.settle(*range(40))
        self.settle(*range(40, 90), messages=1000)
        for _ in range(1000):
            self.choose(*range(90), takes=READ_TIME)
            lanes = self.order._lanes[Group.CROWD]
            self.assertLessEqual(max(map(len, lanes)), 2 * 90 + MOST_LEFT + 1)

    def test_writes_of_groups(self) -> None:
        """Each group has its share of the writes, while many clients read from the page without end."""
        for file in range(150, 200):
            set_group(self.selectables[file], lambda: Group.USERS)
        for _ in range(10):
            ready = [(file, OUT) for file in range(200) if not self.order.held(file)]
            chosen = [file for file, _ in self.order.choose(ready)]
            for group, count in (
                (Group.CROWD, sum(file < 100 for file in chosen)),
                (Group.PAGE, sum(100 <= file < 150 for file in chosen)),
                (Group.USERS, sum(file >= 150 for file in chosen)),
            ):
                share = MOST_WRITES * SHARES[group] / sum(SHARES.values())
                self.assertLessEqual(abs(count - share), 1)

    def test_nothing_is_left(self) -> None:
        """If no socket waits, the lanes are empty."""
        self.settle(*range(100))
        for _ in range(20):
            self.choose(*range(100))
        while self.order.waits:
            self.choose()
        self.assertFalse(any(lane for lanes in self.order._lanes.values() for lane in lanes))
