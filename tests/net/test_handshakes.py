"""`mtmount_twisted.net.handshakes` and `tls_connections`: handshakes are bounded, and computed in turns."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any
from unittest import skipIf

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import HandshakeTooLongError
from mtmount_twisted.net.handshakes import MAX_HANDSHAKE, MOST_STEPS, STEPS, HandshakeQueue, handshake_turns
from mtmount_twisted.net.protocol import RECEIVED_AT_ONCE
from mtmount_twisted.net.records import HEADER, STEP_TIME
from mtmount_twisted.net.tls import Server, encrypted, load_credentials
from mtmount_twisted.net.turns import Turns
from tests.support.certificates import Authority
from tests.support.folders import scratch_folder
from tests.support.handshakes import TURN, Peer, TurnClock, client_context, with_certificates

try:
    from OpenSSL import SSL
except ImportError:  # the extra is not installed
    SSL = None  # type: ignore[assignment]

needs_tls = skipIf(SSL is None, "mtmount_twisted[tls] is not installed")

USER, STRANGER = "192.0.2.1", "198.51.100.7"


LONG = b"\x17\x03\x03\x20\x00"
"""The header of a record of 8 KiB (RFC 8446, 5.1)."""


def in_tiny_records(flight: bytes) -> list[bytes]:
    """The first record of a flight, with each byte in a record of its own."""
    length = int.from_bytes(flight[3:HEADER], "big")
    return [flight[:3] + b"\x00\x01" + bytes([byte]) for byte in flight[HEADER : HEADER + length]]


class Ear(Protocol):
    """Notes what the server's protocol hears.

    :ivar reason: why its connection was lost; None while it is up.
    """

    def __init__(self) -> None:
        self.heard = b""
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"fail"):
            raise ValueError("an error of the server's own")
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class HandshakeCase(SynchronousTestCase):
    """Servers that share their turns."""

    def setUp(self) -> None:
        self.clock: Any = TurnClock()
        self.authority = Authority(scratch_folder(self))
        own = str(self.authority.issue("bridge"))
        self.turns = handshake_turns(self.clock)
        self.credentials = load_credentials(own, own, str(self.authority.ca))
        self.port = self.factory(self.turns)
        self.addCleanup(self.turns.close)

    def factory(self, turns: Turns | None, ask: bool = False) -> Any:
        """A server of its own; peers at `USER` are known to it."""
        credentials = self.credentials
        if not ask:
            path = credentials.chain_file
            credentials = load_credentials(path, path)
        queue = None
        if turns is not None:
            queue = HandshakeQueue(turns, self.clock.seconds, lambda network: network == USER)
        return encrypted(Factory.forProtocol(Protocol), Server(credentials, queue), self.clock)

    def pass_turns(self, count: int) -> None:
        """So many turns of the reactor."""
        for _ in range(count):
            self.clock.advance(TURN)

    def connect(self, factory: Any, host: str = STRANGER, context: Any = None) -> Peer:
        """A peer connects, and says nothing; `ear` is the server's protocol."""
        ear = self.ear = Ear()
        factory.wrappedFactory.protocol = lambda: ear
        return Peer(factory, self.clock, host, context)

    def use_turn(self) -> list[Peer]:
        """So many peers come that nothing more is computed in this turn of the reactor."""
        return [self.come(self.port) for _ in range(STEPS)]

    def come(self, factory: Any, host: str = STRANGER) -> Peer:
        """A peer connects, and has sent its first flight."""
        peer = self.connect(factory, host)
        peer.send(peer.flight())
        return peer


@needs_tls
class LetGoTests(HandshakeCase):
    """A lost connection leaves no cycle, which only a full garbage collection, a long pause, would free."""

    def test_lost(self) -> None:
        """A peer is gone without an end of TLS: before its handshake, during it, and after it."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for flights in range(3):
            peer = self.connect(self.port)
            for _ in range(flights):
                peer.send(peer.flight())
                self.pass_turns(1)
            lost = weakref.ref(peer.protocol), weakref.ref(peer.protocol.getHandle())
            peer.wire.loseConnection()
            peer.wire.protocol = None  # as a transport of Twisted's that is lost
            del peer, self.ear
            self.port.wrappedFactory.protocol = None
            self.assertEqual([each() for each in lost], [None, None])


@needs_tls
class TurnTests(HandshakeCase):
    """When a step of a handshake is computed."""

    def test_few_steps_in_a_turn_of_all_servers(self) -> None:
        """However many handshakes go on, at a port and at the page: `STEPS` in a turn of the reactor."""
        page = self.factory(self.turns)
        peers = [self.come(factory) for _ in range(2 * STEPS) for factory in (self.port, page)]
        for count in range(1, 5):
            self.assertEqual(sum(peer.is_answered for peer in peers), count * STEPS)
            self.clock.advance(TURN)
        self.assertEqual(self.clock.getDelayedCalls(), [], "and no timer goes on for nothing")

    def test_slow_step(self) -> None:
        """After a step that takes as long as `STEPS` usual ones, nothing more is computed in its turn."""
        certificate = self.factory(self.turns)
        slow, quick = self.connect(certificate), self.connect(certificate)
        write = slow.wire.write

        def write_late(data: bytes) -> None:
            self.clock.rightNow += STEPS * STEP_TIME
            write(data)

        slow.wire.write = write_late  # type: ignore[method-assign]
        slow.send(slow.flight())
        quick.send(quick.flight())
        self.assertEqual([slow.is_answered, quick.is_answered], [True, False])
        self.clock.advance(TURN)
        self.assertTrue(quick.is_answered)

    def test_known_address_goes_first(self) -> None:
        """A peer at a known address waits for the turn that is on, and for no stranger."""
        self.use_turn()
        strangers = [self.come(self.port) for _ in range(50)]
        user = self.come(self.port, USER)
        self.clock.advance(TURN)
        self.assertTrue(user.is_answered)
        self.assertEqual(sum(peer.is_answered for peer in strangers), STEPS - 1)

    def test_peer_that_was_answered_goes_before_those_that_begin(self) -> None:
        """A flood of first flights from many addresses delays the end of no handshake."""
        newcomer = self.connect(self.port)
        ear = self.ear
        newcomer.send(newcomer.flight())
        self.clock.advance(TURN)
        self.use_turn()
        last = newcomer.flight() + newcomer.say(b"stop")
        newcomer.send(last)
        for number in range(200):
            self.come(self.port, f"203.0.113.{number}")
        self.clock.advance(TURN)
        self.assertEqual(ear.heard, b"stop")

    def test_answers_in_tiny_records_keep_no_newcomer_out(self) -> None:
        """Peers that send their answers in records of one byte leave turns for a peer that begins."""
        old = client_context()
        old.set_max_proto_version(SSL.TLS1_2_VERSION)  # the answers of TLS 1.3 are encrypted
        slow = [self.connect(self.port, f"203.0.113.{number}", old) for number in range(3 * STEPS)]
        for peer in slow:
            peer.send(peer.flight())
        self.pass_turns(4)
        self.assertTrue(all(peer.is_answered for peer in slow))
        answers = [in_tiny_records(peer.flight()) for peer in slow]
        newcomer = None
        for count in range(3):
            for peer, answer in zip(slow, answers):
                peer.send(answer[count])
            newcomer = newcomer or self.come(self.port)
            self.clock.advance(TURN)
        assert newcomer is not None
        self.assertTrue(newcomer.is_answered)

    def test_many_steps_go_last(self) -> None:
        """Peers that send their flights in many tiny records wait for all others, answered or not."""
        old = client_context()
        old.set_max_proto_version(SSL.TLS1_2_VERSION)
        slow = [self.connect(self.port, f"203.0.113.{number}", old) for number in range(6 * STEPS)]
        for peer in slow[: 3 * STEPS]:
            peer.send(peer.flight())
        self.pass_turns(4)
        flights = [in_tiny_records(peer.flight()) for peer in slow]
        for count in range(MOST_STEPS):
            for peer, flight in zip(slow, flights):
                peer.send(flight[count])
            self.pass_turns(6)
        self.use_turn()
        for peer, flight in zip(slow, flights):
            peer.send(flight[MOST_STEPS])
        newcomer = self.connect(self.port)
        newcomer.send(newcomer.flight())
        self.clock.advance(TURN)
        self.assertTrue(newcomer.is_answered)
        for peer, flight in zip(slow, flights):
            peer.send(flight[MOST_STEPS + 1])
        newcomer.send(newcomer.flight() + newcomer.say(b"stop"))
        self.clock.advance(TURN)
        self.assertEqual(self.ear.heard, b"stop")
        self.pass_turns(12)
        self.assertEqual(
            {peer.wire.producerState for peer in slow}, {"producing"}, "they have had turns, too"
        )

    def test_known_addresses_keep_no_newcomer_out(self) -> None:
        """Peers at known addresses that send flights in records of one byte leave turns for a stranger."""
        slow = [self.connect(self.port, USER) for _ in range(3 * STEPS)]
        flights = [in_tiny_records(peer.flight()) for peer in slow]
        newcomer = None
        for count in range(4):
            for peer, flight in zip(slow, flights):
                peer.send(flight[count])
            newcomer = newcomer or self.come(self.port)
            self.clock.advance(TURN)
        assert newcomer is not None
        self.assertTrue(newcomer.is_answered)

    def test_flight_in_two_pieces_is_none_that_was_answered(self) -> None:
        """A peer that sends its first flight in two pieces, of whole records, goes with those that begin."""
        sly = self.connect(self.port)
        first = in_tiny_records(sly.flight())
        sly.send(b"".join(first[:20]))
        self.clock.advance(TURN)
        self.use_turn()
        sly.send(b"".join(first[20:]))
        for number in range(STEPS):
            self.come(self.port, f"203.0.113.{number}")
        self.clock.advance(TURN)
        self.assertFalse(sly.is_answered)

    def test_newest_goes_first(self) -> None:
        """A newcomer waits for none of the many that began before it, and are at other addresses."""
        for number in range(200):
            self.come(self.port, f"203.0.113.{number}")
        newcomer = self.come(self.port)
        self.clock.advance(TURN)
        self.assertTrue(newcomer.is_answered)

    def test_servers_in_turns(self) -> None:
        """A crowd at one port keeps nobody at another port waiting."""
        for _ in range(50):
            self.come(self.port)
        page = self.come(self.factory(self.turns))
        self.pass_turns(2)
        self.assertTrue(page.is_answered)

    def test_established_connection_does_not_wait(self) -> None:
        """What comes of the peer that has command is read at once."""
        commander = self.connect(self.port, USER).shake_hands()
        commander.protocol.give_precedence(lambda: True)
        ear = self.ear
        self.clock.advance(TURN)
        strangers = [self.come(self.port) for _ in range(50)]
        commander.send(commander.say(b"stop"))
        self.assertEqual(ear.heard, b"stop")
        self.assertEqual(sum(peer.is_answered for peer in strangers), STEPS)

    def test_addresses_in_turns(self) -> None:
        """An address with many handshakes keeps no other address waiting for more than one of them."""
        for _ in range(50):
            self.come(self.port)
        other = self.come(self.port, "198.51.100.8")
        self.pass_turns(2)
        self.assertTrue(other.is_answered)

    def test_last_words(self) -> None:
        """A peer that ends its handshake, says something and closes is heard in its turn before it ends."""
        peer = self.connect(self.port)
        ear = self.ear
        peer.send(peer.flight())
        self.clock.advance(TURN)
        last = peer.flight()
        self.use_turn()
        peer.send(last + peer.say(b"stop"))
        self.assertEqual((ear.heard, peer.wire.producerState), (b"", "paused"))
        self.clock.advance(TURN)
        self.assertEqual((ear.heard, peer.wire.producerState), (b"stop", "producing"))

    def test_little_is_received_while_it_waits(self) -> None:
        """A handshake that waits with as much as it may take receives no more, until it had its turn."""
        self.use_turn()
        peer = self.connect(self.port)
        peer.send(peer.flight() + bytes(MAX_HANDSHAKE))
        self.assertEqual(peer.wire.producerState, "paused")
        self.clock.advance(TURN)
        self.assertEqual(peer.wire.producerState, "producing")

    def test_little_is_received_at_once(self) -> None:
        """Of records of one byte, which take long to decrypt, the socket receives few in a turn."""
        self.assertEqual(self.connect(self.port).wire.bufferSize, RECEIVED_AT_ONCE)

    def test_gone(self) -> None:
        """Nothing is computed for a peer that has gone; the next has its turn."""
        self.use_turn()
        gone, last = self.come(self.port), self.come(self.port)
        gone.wire.loseConnection()
        self.clock.advance(TURN)
        self.assertFalse(gone.is_answered)
        self.assertTrue(last.is_answered)

    def test_only_one_that_waits_is_gone(self) -> None:
        """If none is left that waits, the turn after is like any other."""
        self.use_turn()
        self.come(self.port).wire.loseConnection()
        self.pass_turns(2)
        self.assertTrue(self.come(self.port).is_answered)

    def test_error_of_another_connection(self) -> None:
        """An error in the first bytes after a handshake ends that connection, and no other."""
        peer = self.connect(self.port, USER)
        peer.send(peer.flight())
        self.clock.advance(TURN)
        last = peer.flight()
        self.use_turn()
        peer.send(last + peer.say(b"fail"))
        other = self.come(self.port, USER)
        self.pass_turns(2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertFalse(peer.wire.connected)
        self.assertTrue(other.wire.connected)
        self.assertTrue(other.is_answered)


@needs_tls
class PartTests(HandshakeCase):
    """A part of a record takes no step: this side waits for the whole record."""

    def test_bytes_take_no_step(self) -> None:
        """However many peers send their records byte by byte, a newcomer has its steps at once."""
        slow = [self.come(self.port, f"203.0.113.{number}") for number in range(3 * STEPS)]
        self.pass_turns(4)
        for byte in LONG + b"x" * 10:
            for peer in slow:
                peer.send(bytes([byte]))
        self.assertEqual({peer.wire.producerState for peer in slow}, {"producing"})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        newcomer = self.connect(self.port)
        newcomer.send(newcomer.flight())
        newcomer.send(newcomer.flight() + newcomer.say(b"stop"))
        self.assertEqual(self.ear.heard, b"stop")

    def test_two_segments(self) -> None:
        """A first flight in two segments is answered when the second one is there, and not behind others."""
        for turns in (self.turns, None):
            peer = self.connect(self.factory(turns))
            flight = peer.flight()
            for size in (1, HEADER, 20, len(flight) - 1):
                peer.send(flight[len(peer.protocol.due) : size])
                self.assertEqual((peer.protocol.shaken_bytes, peer.wire.producerState), (0, "producing"))
            peer.send(flight[-1:])
            self.assertTrue(peer.is_answered)
            self.clock.advance(TURN)

    def test_no_record(self) -> None:
        """A peer that does not speak TLS is refused when the header of a record is there, by OpenSSL."""
        for turns in (self.turns, None):
            for header in (b"GET /", b"\x16\x02\x01\x00\x10", b"\x16\x03\x01\xff\xff"):
                peer = self.connect(self.factory(turns))
                peer.send(header[:-1])
                self.assertTrue(peer.wire.connected)
                peer.send(header[-1:])
                self.assertFalse(peer.wire.connected)
                assert self.ear.reason is not None
                self.assertTrue(self.ear.reason.check(SSL.Error))
                self.clock.advance(TURN)

    def test_unknown_type(self) -> None:
        """A record of an unknown type is refused when it is whole: OpenSSL would wait for it, too."""
        peer = self.connect(self.port)
        peer.send(b"\x63\x03\x03\x00\x10" + b"x" * 15)
        self.assertEqual((peer.wire.connected, peer.protocol.shaken_bytes), (True, 0))
        peer.send(b"x")
        self.assertFalse(peer.wire.connected)
        assert self.ear.reason is not None
        self.assertTrue(self.ear.reason.check(SSL.Error))

    def test_bound(self) -> None:
        """A record that does not end is cut off when `MAX_HANDSHAKE` bytes of the handshake are there."""
        for turns in (self.turns, None):
            peer = self.connect(self.factory(turns))
            peer.send(peer.flight())
            left = MAX_HANDSHAKE - peer.protocol.shaken_bytes
            for byte in (b"\x17\x03\x03\x40\x00" + bytes(left))[: left - 1]:
                peer.send(bytes([byte]))
            self.assertTrue(peer.wire.connected)
            peer.send(b"x")
            assert self.ear.reason is not None
            self.assertTrue(self.ear.reason.check(HandshakeTooLongError))
            self.clock.advance(TURN)

    def test_end_behind_a_part(self) -> None:
        """A peer that ends behind a part of a record is lost, as one that ends behind nothing."""
        for flights in range(2):
            for size in (0, 3, 20):
                peer = self.connect(self.port)
                for _ in range(flights):
                    peer.send(peer.flight())
                peer.send(peer.flight()[:size])
                peer.wire.loseConnection()
                assert self.ear.reason is not None
                self.assertTrue(self.ear.reason.check(ConnectionLost))
                self.clock.advance(TURN)

    def test_any_cuts(self) -> None:
        """A handshake with a client's certificate ends well, however its bytes are cut."""
        certificate = self.authority.issue("ann")
        dice = random.Random(0)
        for number in range(100):
            context = with_certificates(certificate, 1)
            context.set_max_proto_version((SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)[number % 2])
            peer = self.connect(self.factory((self.turns, None)[number % 3 == 0], ask=True), context=context)
            for last in (b"", b"stop"):
                data = peer.flight()
                if last and number % 2:  # a client of TLS 1.2 speaks after the server's last flight
                    data += peer.say(last)
                cuts = sorted(dice.randrange(len(data)) for _ in range(dice.randrange(8)))
                for start, end in zip([0, *cuts], [*cuts, len(data)]):
                    peer.send(data[start:end])
                    self.pass_turns(dice.randrange(2))
                self.pass_turns(2)
            if number % 2 == 0:
                peer.tls.bio_write(peer.wire.value())
                peer.tls.do_handshake()
                for byte in peer.say(b"stop"):
                    peer.send(bytes([byte]))
                self.pass_turns(1)
            self.assertEqual(self.ear.heard, b"stop", number)
            peer.wire.loseConnection()


@needs_tls
class BoundTests(HandshakeCase):
    """How many bytes a handshake may take."""

    def shows(self, certificates: int) -> Peer:
        """A peer that shows so many certificates, and has sent them, or what it could."""
        context = with_certificates(self.authority.issue("ann"), certificates)
        peer = self.connect(self.factory(self.turns, ask=True), context=context)
        peer.send(peer.flight())
        self.clock.advance(TURN)
        data = peer.flight()
        for start in range(0, len(data), 4000):
            if peer.wire.connected:
                peer.send(data[start : start + 4000])
                self.clock.advance(TURN)
        return peer

    def test_long_chain(self) -> None:
        """A peer whose certificates take more than 16 KiB is cut off there, and the reason says so."""
        peer = self.shows(100)
        self.assertFalse(peer.wire.connected)
        assert self.ear.reason is not None
        self.assertTrue(self.ear.reason.check(HandshakeTooLongError))
        self.assertIn(f"it sent {MAX_HANDSHAKE} bytes", self.ear.reason.getErrorMessage())

    def test_usual_chain(self) -> None:
        """A chain of ten certificates is taken."""
        peer = self.shows(10)
        self.assertTrue(peer.wire.connected)
        peer.send(peer.say(b"enable"))
        self.assertEqual(self.ear.heard, b"enable")

    def test_without_turns(self) -> None:
        """The bound holds for any server of this package: it does not depend on turns."""
        peer = self.connect(self.factory(None))
        peer.send(b"\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03" + bytes(MAX_HANDSHAKE))  # of a ClientHello
        assert self.ear.reason is not None
        self.assertTrue(self.ear.reason.check(HandshakeTooLongError))

    def test_much_behind_the_handshake(self) -> None:
        """What comes in one piece with the end of the handshake is no part of it, however long it is."""
        for turns in (self.turns, None):
            peer = self.connect(self.factory(turns))
            peer.send(peer.flight())
            self.clock.advance(TURN)
            last = peer.flight()
            peer.send(last + b"".join(peer.say(b"x" * 16_000) for _ in range(4)))
            self.pass_turns(64)
            self.assertEqual(len(self.ear.heard), 64_000)
            self.assertIsNone(self.ear.reason)
