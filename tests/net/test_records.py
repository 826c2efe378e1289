"""`mtmount_twisted.net.records`: what strangers send on established TLS connections is decrypted in turns."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import TLSAnswersError
from mtmount_twisted.net import tls_connections
from mtmount_twisted.net.event_order import MOST_EVENTS
from mtmount_twisted.net.handshakes import STEPS
from mtmount_twisted.net.records import HEADER, MOST_CONTENT, REST, SHORT, SLICE, STEP_TIME, whole_records
from mtmount_twisted.net.tls_connections import MOST_ANSWERED
from tests.net.test_handshakes import STRANGER, USER, Ear, HandshakeCase, needs_tls
from tests.support.bridges import command
from tests.support.commanders import STOP
from tests.support.handshakes import TURN, KeyUpdates, Peer, client_context

try:
    from OpenSSL import SSL
except ImportError:  # the extra is not installed
    SSL = None  # type: ignore[assignment]

RECORD = 5 + 1 + 1 + 16
"""Bytes of a record of TLS 1.3 with one byte: header, byte, type, tag (RFC 8446, 5.2)."""

PER_SLICE = SLICE // RECORD


def tiny(peer: Peer, data: bytes) -> bytes:
    """The records of a peer that puts each byte in one of its own."""
    return b"".join(peer.say(bytes([byte])) for byte in data)


def record(length: int, kind: int = 23) -> bytes:
    """A record whose content has this length."""
    return bytes([kind, 3, 3]) + length.to_bytes(2, "big") + b"x" * length


class WholeTests(SynchronousTestCase):
    """`whole_records`: how much of what was received is worth a slice."""

    def test_part(self) -> None:
        """Of a part of a record nothing is; with its last byte, all of it, of each type and length."""
        for data in (record(0), record(1, 22), record(MOST_CONTENT), record(3, 99)):
            for size in {0, 1, HEADER - 1, len(data) - 1}:
                self.assertEqual(whole_records(data[:size]), 0, size)
            self.assertEqual(whole_records(data), len(data))

    def test_few(self) -> None:
        """As many records as fit into the slice, or one that is longer."""
        data = record(10) * 100
        self.assertEqual(whole_records(data, 50), 45)
        self.assertEqual(whole_records(data, 1), 15)
        self.assertEqual(whole_records(data, len(data)), len(data))
        self.assertEqual(whole_records(data[:40]), 30)

    def test_no_record(self) -> None:
        """What can't begin a record is not waited for; it goes behind the records before it."""
        for data in (b"GET /", record(10)[:1] + b"\x04" + record(10)[2:], record(MOST_CONTENT + 1)[:HEADER]):
            self.assertEqual(whole_records(data), len(data))
            self.assertEqual(whole_records(record(10) + data), 15)
            self.assertEqual(whole_records(data, 3), 3)


@needs_tls
class RecordTests(HandshakeCase):
    """Peers whose handshakes are over.

    :ivar ears: what the server hears of each peer that `shake` made.
    """

    def setUp(self) -> None:
        super().setUp()
        self.ears: list[Ear] = []

    def shake(self, host: str = STRANGER, factory: Any = None) -> Peer:
        """A peer that has shaken hands in turns of its own, and said its first word."""
        peer = self.connect(factory or self.port, host).shake_hands()
        self.ears.append(self.ear)
        peer.send(peer.say(b"."))
        self.pass_turns(2)
        return peer

    @property
    def heard(self) -> int:
        """How many bytes the server has heard of all of them."""
        return sum(len(ear.heard) for ear in self.ears)

    def test_few_records_in_a_turn(self) -> None:
        """Of many strangers with records of one byte, at two servers, a turn decrypts a few slices."""
        page = self.factory(self.turns)
        peers = [self.shake(factory=factory) for factory in (self.port, page) for _ in range(10)]
        before = self.heard
        for peer in peers:
            peer.send(tiny(peer, b"x" * 150))
        self.assertLessEqual(self.heard - before, STEPS * (PER_SLICE + 1))
        for _ in range(5):
            before = self.heard
            self.clock.advance(TURN)
            self.assertGreater(self.heard, before)
            self.assertLessEqual(self.heard - before, STEPS * (PER_SLICE + 1))

    def test_all_is_heard(self) -> None:
        """Of a peer that waits nothing more is received, not even its end; then all is heard in order."""
        peers = [self.shake() for _ in range(5)]
        data = bytes(range(100))
        for peer in peers:
            peer.send(tiny(peer, data))
        self.assertEqual({peer.wire.producerState for peer in peers}, {"paused"})
        self.pass_turns(10)
        self.assertEqual({ear.heard for ear in self.ears}, {b"." + data})
        self.assertEqual({peer.wire.producerState for peer in peers}, {"producing"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_holder_does_not_wait(self) -> None:
        """The peer that has command is heard at once, behind any number of strangers and handshakes."""
        commander = self.shake()
        commander.protocol.give_precedence(lambda: True)
        for stranger in [self.shake() for _ in range(10)]:
            stranger.send(tiny(stranger, b"x" * 150))
        self.use_turn()
        commander.send(tiny(commander, b"stop" * 40))
        self.assertEqual(self.ears[0].heard, b"." + b"stop" * 40)

    def commander(self, host: str = STRANGER) -> Peer:
        """A peer that has proved rights, and does not have command."""
        peer = self.shake(host)
        peer.protocol.give_precedence(lambda: False)
        return peer

    def test_commanders_have_turns(self) -> None:
        """Of many commanders without command, at known addresses too, a turn decrypts a few slices."""
        peers = [self.commander(host) for host in (STRANGER, USER) for _ in range(10)]
        self.clock.advance(REST)
        for _ in range(2):
            for peer in peers:
                peer.send(tiny(peer, b"x" * 75))
            for _ in range(5):
                before = self.heard
                self.clock.advance(TURN)
                self.assertLessEqual(self.heard - before, STEPS * (PER_SLICE + 1))
            self.pass_turns(40)
        self.assertEqual({len(ear.heard) for ear in self.ears}, {1 + 2 * 75})

    def test_stop_of_a_quiet_commander(self) -> None:
        """A commander that has rested goes before all that wait, in the order of such commanders."""
        quiet, *crowd = (self.commander(f"203.0.113.{number}") for number in range(6))
        strangers = [self.shake(USER), *(self.shake(f"198.51.100.{number}") for number in range(40))]
        self.clock.advance(REST)
        for peer in (*strangers, *crowd):
            peer.send(tiny(peer, b"x" * 150))
        quiet.send(quiet.say(b"stop"))
        self.pass_turns(2)
        self.assertEqual(self.ears[0].heard, b".stop")

    def test_stops_of_a_crowd(self) -> None:
        """As many commanders as a turn serves sockets say something short at once: all are heard in it."""
        crowd = [self.commander(f"203.0.113.{number}") for number in range(3 * MOST_EVENTS)]
        self.clock.advance(REST)
        for count in (MOST_EVENTS, 2 * MOST_EVENTS, 3 * MOST_EVENTS):
            for peer in crowd[count - MOST_EVENTS : count]:
                peer.send(peer.say(b"stop"))
            self.assertEqual([ear.heard for ear in self.ears[:count]], [b".stop"] * count)
            self.clock.advance(TURN)

    def test_rest(self) -> None:
        """A commander goes first once in `REST`, and then as others do."""
        busy = self.commander("203.0.113.1")
        strangers = [self.shake(f"198.51.100.{number}") for number in range(40)]
        self.clock.advance(REST)
        for stranger in strangers:
            stranger.send(tiny(stranger, b"x" * 150))
        busy.send(tiny(busy, b"y" * 70))
        self.clock.advance(TURN)
        first = self.ears[0].heard.count(b"y")
        self.assertLessEqual(first, PER_SLICE + 1)
        self.assertGreater(first, 0)
        self.pass_turns(3)
        self.assertEqual(self.ears[0].heard.count(b"y"), first)
        self.pass_turns(60)
        self.assertEqual(self.ears[0].heard.count(b"y"), 70)

    def test_active_commander(self) -> None:
        """The stop of a commander that sends ten times in a second waits for no round of a crowd.

        Each of the crowd has sent as much again before it has its next slice.
        """
        active, *crowd = (self.commander(f"203.0.113.{number}") for number in range(61))
        ear, *ears = self.ears
        self.clock.advance(REST)
        for turn in range(200):
            for peer, heard in zip(crowd, ears, strict=True):
                if heard.heard:
                    heard.heard = b""
                    peer.send(peer.say(b"x" * 300))
            if turn % 20 == 0:
                active.send(active.say(b"beat"))
            self.clock.advance(TURN)
        ear.heard = b""
        active.send(active.say(b"stop"))
        self.pass_turns(2)
        self.assertEqual(ear.heard, b"stop")

    def test_command_in_a_slice(self) -> None:
        """A commander whose slice brings it command is heard freely from then on."""
        peer = self.shake()
        ear = self.ears[0]
        peer.protocol.give_precedence(lambda: len(ear.heard) > PER_SLICE)
        self.use_turn()
        peer.send(tiny(peer, b"x" * 150))
        self.clock.advance(TURN)
        self.assertEqual(len(ear.heard), 151)
        self.assertEqual(peer.wire.producerState, "producing")

    def test_known_address_goes_first(self) -> None:
        """What comes from a known address goes before all strangers, their handshakes included."""
        user, strangers = self.shake(USER), [self.shake() for _ in range(10)]
        for stranger in strangers:
            stranger.send(tiny(stranger, b"x" * 150))
        for _ in range(50):
            self.come(self.port)
        user.send(user.say(b"stop"))
        self.clock.advance(TURN)
        self.assertEqual(self.ears[0].heard, b".stop")

    def test_known_address_keeps_no_handshake_out(self) -> None:
        """While connections from a known address send without end, a newcomer shakes hands and is heard."""
        crowd = [self.shake(USER) for _ in range(12)]
        for peer in crowd:
            peer.send(tiny(peer, b"x" * 2000))
        newcomer = self.connect(self.port)
        ear = self.ear
        for _ in range(2):
            newcomer.send(newcomer.flight())
            self.pass_turns(4)
        newcomer.send(newcomer.say(b"stop"))
        self.pass_turns(4)
        self.assertEqual(ear.heard, b"stop")
        self.assertIn("paused", {peer.wire.producerState for peer in crowd}, "the crowd still sends")

    def test_user_at_the_address_of_a_crowd(self) -> None:
        """What a connection of a known address says first waits for no other slice of this address."""
        for _ in range(12):
            peer = self.shake(USER)
            peer.send(tiny(peer, b"x" * 2000))
        for number in range(50):
            self.come(self.port, f"203.0.113.{number}")
        user = self.connect(self.port, USER).shake_hands()
        ear = self.ear
        self.pass_turns(2)
        user.send(user.say(b"stop"))
        self.clock.advance(TURN)
        self.assertEqual(ear.heard, b"stop")

    def test_first_slice_goes_before_others(self) -> None:
        """What a newcomer says first waits for none of those who go on and on."""
        for number in range(40):
            stranger = self.shake(f"203.0.113.{number}")
            stranger.send(tiny(stranger, b"x" * 150))
        newcomer = self.connect(self.port).shake_hands()
        newcomer.send(newcomer.say(b"stop"))
        ear = self.ear
        self.pass_turns(2)
        self.assertEqual(ear.heard, b"stop")

    def test_addresses_in_turns(self) -> None:
        """An address with many connections keeps no other waiting for more than one of them."""
        other, *crowd = self.shake("203.0.113.1"), *[self.shake() for _ in range(40)]
        for stranger in crowd:
            stranger.send(tiny(stranger, b"x" * 150))
        other.send(other.say(b"stop"))
        self.pass_turns(1)
        self.assertEqual(self.ears[0].heard, b".stop")

    def test_records_behind_the_handshake_wait(self) -> None:
        """Records that come in one piece with the end of the handshake are not decrypted with it."""
        peer = self.connect(self.port)
        ear = self.ear
        peer.send(peer.flight())
        self.clock.advance(TURN)
        last = peer.flight()
        self.use_turn()
        peer.send(last + tiny(peer, b"x" * 600))
        self.clock.advance(TURN)
        self.assertLessEqual(len(ear.heard), STEPS * PER_SLICE)
        self.pass_turns(30)
        self.assertEqual(len(ear.heard), 600)

    def test_parts_take_no_slice(self) -> None:
        """Strangers that send their records byte by byte keep no other waiting; a whole record is heard."""
        *crowd, other = (self.shake(f"203.0.113.{number}") for number in range(20))
        records = [peer.say(b"y" * 100) for peer in crowd]
        for count in range(20):
            for peer, data in zip(crowd, records, strict=True):
                peer.send(data[count : count + 1])
        self.assertEqual({peer.wire.producerState for peer in crowd}, {"producing"})
        other.send(other.say(b"stop"))
        self.assertEqual(self.ears[-1].heard, b".stop")
        for peer, data in zip(crowd, records, strict=True):
            peer.send(data[20:])
        self.pass_turns(5)
        self.assertEqual({ear.heard for ear in self.ears[:-1]}, {b"." + b"y" * 100})

    def test_command_that_ends_within_a_record(self) -> None:
        """A peer that loses and gains command in the middle of its records is heard in order, all of it."""
        peer = self.shake()
        is_free = True
        peer.protocol.give_precedence(lambda: is_free)
        data = bytes(range(100))
        sent = tiny(peer, data[:50]) + peer.say(data[50:])
        for start in range(0, len(sent), 7):
            is_free = not is_free
            peer.send(sent[start : start + 7])
            self.pass_turns(start % 2)
        self.pass_turns(5)
        self.assertEqual(self.ears[0].heard, b"." + data)
        self.assertEqual(peer.wire.producerState, "producing")

    def test_long_record(self) -> None:
        """A record that is longer than a slice is decrypted in one turn, and counts as one slice."""
        first, last = self.shake("203.0.113.1"), self.shake("203.0.113.2")
        data = first.say(b"y" * 16_000)
        for start in range(0, len(data), 4000):
            first.send(data[start : start + 4000])
        last.send(last.say(b"stop"))
        self.assertEqual([ear.heard for ear in self.ears], [b"." + b"y" * 16_000, b".stop"])

    def test_key_updates(self) -> None:
        """A peer that requests keys without end is cut off, with command or without; a few it may request."""
        for has_command in (True, False):
            updates = KeyUpdates()
            peer = self.connect(self.port, STRANGER, updates.context).shake_hands()
            ear = self.ear
            peer.protocol.give_precedence(lambda free=has_command: free)
            for _ in range(20):
                peer.send(updates.next())
                self.pass_turns(1)
            self.assertTrue(peer.wire.connected)
            answered = len(peer.wire.value())
            for _ in range(20):
                if peer.wire.connected:
                    peer.send(b"".join(updates.next() for _ in range(10)))
                    self.pass_turns(1)
            self.assertFalse(peer.wire.connected)
            self.assertLess(len(peer.wire.value()) - answered, 2 * MOST_ANSWERED)
            assert ear.reason is not None
            self.assertTrue(ear.reason.check(TLSAnswersError))

    def test_renegotiation(self) -> None:
        """What refuses a second handshake under TLS 1.2 counts as well. What the server writes does not."""
        self.patch(tls_connections, "MOST_ANSWERED", 16)
        context = client_context()
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        peer = self.connect(self.port, STRANGER, context).shake_hands()
        ear = self.ear
        assert ear.transport is not None
        ear.dataReceived = lambda data: ear.transport.write(bytes(100_000))  # type: ignore[method-assign, union-attr]
        peer.tls.bio_write(peer.wire.value())
        peer.wire.clear()
        peer.tls.do_handshake()
        peer.send(peer.say(b"stop"))
        self.pass_turns(2)
        self.assertGreater(len(peer.wire.value()), 100_000)
        self.assertTrue(peer.wire.connected)
        peer.wire.clear()
        peer.tls.renegotiate()
        peer.send(peer.flight())
        self.pass_turns(2)
        assert ear.reason is not None
        self.assertTrue(ear.reason.check(TLSAnswersError))

    def test_stop_is_short(self) -> None:
        """The record of a stop counts as short, under each version of TLS and with a long sequence id."""
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            context = client_context()
            context.set_max_proto_version(version)
            peer = self.connect(self.port, STRANGER, context).shake_hands()
            peer.tls.bio_write(peer.wire.value())
            peer.tls.do_handshake()
            self.assertLessEqual(len(peer.say(command(999_999, STOP, 1) + b"\r\n")), SHORT)

    def test_slow_slice(self) -> None:
        """A slice that takes as long as all steps of a turn is the only one in its turn."""
        peers = [self.shake() for _ in range(3)]
        for ear in self.ears:
            self.patch(ear, "dataReceived", self.take_long)
        self.slow = 0
        for peer in peers:
            peer.send(peer.say(b"x"))
        self.assertEqual(self.slow, 1)
        self.pass_turns(3)
        self.assertEqual(self.slow, 3)

    def take_long(self, data: bytes) -> None:
        """Take the time of a turn."""
        self.slow += 1
        self.clock.rightNow += STEPS * STEP_TIME

    def test_nothing_is_decrypted_behind_the_end(self) -> None:
        """Once the server has closed, it decrypts one slice more, receives in turns, and drops the rest."""
        peers = [self.shake() for _ in range(10)]
        for ear, peer in zip(self.ears, peers, strict=True):
            peer.protocol.give_precedence(lambda: True)
            ear.transport.loseConnection()  # type: ignore[union-attr]
        before = self.heard
        for _ in range(5):
            for peer in peers:
                peer.send(tiny(peer, b"x" * 150))
            self.assertIn("paused", {peer.wire.producerState for peer in peers})
            self.pass_turns(5)
            self.assertEqual({peer.wire.producerState for peer in peers}, {"producing"})
        self.assertLessEqual(self.heard - before, 10 * PER_SLICE)

    def test_peer_that_closes_too(self) -> None:
        """A peer that answers the server's close with its own ends the connection at once."""
        peer = self.shake()
        closed: list[bool] = []
        peer.wire.loseConnection = lambda: closed.append(True)  # type: ignore[assignment] # as TCP: later
        self.ear.transport.loseConnection()  # type: ignore[union-attr]
        self.assertEqual(closed, [])
        peer.tls.shutdown()
        peer.send(bytes(peer.tls.bio_read(2**20)))
        self.assertNotEqual(closed, [])

    def test_paused_by_the_protocol(self) -> None:
        """While the protocol above receives nothing, nothing is decrypted for it; then all is."""
        peer = self.shake()
        transport: Any = self.ear.transport
        peer.send(tiny(peer, b"x" * 150))
        transport.pauseProducing()
        before = self.heard
        self.pass_turns(10)
        self.assertEqual(self.heard, before)
        transport.resumeProducing()
        self.pass_turns(10)
        self.assertEqual(self.ear.heard, b"." + b"x" * 150)
        self.assertEqual(peer.wire.producerState, "producing")

    def test_gone(self) -> None:
        """Nothing is decrypted for a peer that is gone, and nothing is due for it."""
        peers = [self.shake() for _ in range(3)]
        for peer in peers:
            peer.send(tiny(peer, b"x" * 150))
        for ear in self.ears:
            ear.transport.abortConnection()  # type: ignore[union-attr]
        before = self.heard
        self.pass_turns(3)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), (before, []))

    def test_error_of_another_connection(self) -> None:
        """An error in a slice ends its own connection, and no other."""
        peers = [self.shake() for _ in range(3)]
        peers[0].send(tiny(peers[0], b"x" * 90))
        for peer in peers[1:]:
            peer.send(peer.say(b"fail" if peer is peers[1] else b"stop"))
        self.pass_turns(3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual([peer.wire.connected for peer in peers], [True, False, True])
        self.assertEqual(self.ears[2].heard, b".stop")
