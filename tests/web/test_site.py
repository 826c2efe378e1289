"""Connections to the web site: their deadlines, bounds and ends, in memory."""

from __future__ import annotations

import re
import socket
from typing import Any
from unittest.mock import Mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.errors import TLSAnswersError
from mtmount_twisted.frontends.web.http.calls import MAX_BODY, Answer, Call, RequestError, Route, User
from mtmount_twisted.frontends.web.http.routing import HEADERS
from mtmount_twisted.frontends.web.http.site import CLOSE_TIME, MAX_HEADERS, MOST_AHEAD, make_site
from mtmount_twisted.net.event_order import Group
from mtmount_twisted.net.liveness import PERIOD
from tests.net.test_liveness import loopback_pair
from tests.support.web import LOG, Pipe, Wire, next_turn, site_of

CHUNKED = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}


class SiteCase(SynchronousTestCase):
    """A site with an echo and a wait, and a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.waiting: list[Deferred[str]] = []
        self.make_site(WebSettings(max_body=100, max_connections=8, max_connections_per_address=4))
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def make_site(self, limits: WebSettings) -> None:
        """The site; each of its users shows a token."""

        async def echo(call: Call) -> Answer:
            return Answer({"body": call.body})

        async def wait(call: Call) -> Answer:
            self.waiting.append(Deferred())
            return Answer(await self.waiting[-1])

        routes = [
            Route("GET", "/", echo, "observe", "Echo."),
            Route("POST", "/", echo, "observe", "Echo."),
            Route("GET", "/wait", wait, "observe", "Wait."),
        ]
        self.site = site_of(routes, clock=self.clock, limits=limits)

    def wire(self, address: str = "127.0.0.1") -> Wire:
        """A connection that ends with the test."""
        wire = Wire(self.site, address)
        if wire.protocol is not None:
            self.addCleanup(wire.lose)
        return wire

    def assert_refused(self, wire: Wire, status: int) -> None:
        """The last that the client gets is a refusal, with the headers of every answer."""
        got = wire.answer()
        assert got is not None, wire.data
        self.assertEqual(got.status, status)
        self.assertIn("error", got.json)
        self.assertEqual(got.headers["connection"], "close")
        for name, value in HEADERS.items():
            self.assertEqual(got.headers[name.lower()], value)
        self.assertTrue(wire.closed)


class Deadlines(SiteCase):
    """How long a client may take."""

    def test_headers(self) -> None:
        """Headers that are not there in time are refused, however they trickle; then the end is cut short."""
        wire = self.wire()
        wire.send(b"GET / HTTP/1.1\r\n")
        for _ in range(9):
            self.clock.advance(1)
            wire.send(b"X-A: b\r\n")
        self.assertFalse(wire.closed)
        self.clock.advance(1)
        self.assert_refused(wire, 408)
        self.clock.advance(10)
        self.assertTrue(wire.transport.aborted)

    def test_nothing(self) -> None:
        """A connection on which nothing is asked is closed without a word."""
        wire = self.wire()
        self.clock.advance(10)
        self.assertEqual((wire.closed, wire.data), (True, b""))

    def test_body(self) -> None:
        """The body has as long again, from the end of the headers."""
        wire = self.wire()
        self.clock.advance(9)
        wire.ask("POST", "/", b"[", {"Content-Type": "application/json", "Content-Length": "50"})
        for _ in range(9):
            self.clock.advance(1)
            wire.send(b" ")
        self.assertFalse(wire.closed)
        self.clock.advance(1)
        self.assert_refused(wire, 408)

    def test_between_requests(self) -> None:
        """A connection that is kept for the next request has one deadline until the end of its headers."""
        wire = self.wire()
        for _ in range(3):
            self.clock.advance(9)
            wire.ask("GET", "/")
            got = wire.answer()
            self.assertEqual(got and got.status, 200)
        self.clock.advance(5)
        wire.send(b"GET /")
        self.clock.advance(5)
        self.assertTrue(wire.closed)

    def test_answer(self) -> None:
        """An answer may take as long as it takes; the next request's time begins after it."""
        wire = self.wire()
        wire.ask("GET", "/wait")
        self.clock.advance(1000)
        self.assertFalse(wire.closed)
        self.waiting[0].callback("late")
        got = wire.answer()
        self.assertEqual(got and got.json, "late")
        self.clock.advance(9)
        self.assertFalse(wire.closed)
        self.clock.advance(1)
        self.assertTrue(wire.closed)

    def test_answer_that_is_not_read(self) -> None:
        """A client that wants its connection closed, and does not read the answer, is cut off in the end."""
        wire = self.wire()
        wire.ask("GET", "/", headers={"Connection": "close"})
        self.assertTrue(wire.closed)
        self.clock.advance(10)
        self.assertTrue(wire.transport.aborted)


class Bounds(SiteCase):
    """How much a client may send."""

    def test_body(self) -> None:
        """A body is taken up to its bound; a longer one is refused before it is sent."""
        wire = self.wire()
        wire.ask("POST", "/", b'"' + b"x" * 98 + b'"', {"Content-Type": "application/json"})
        got = wire.answer()
        self.assertEqual(got and got.status, 200)
        wire.ask("POST", "/", b"", {"Content-Type": "application/json", "Content-Length": "101"})
        self.assert_refused(wire, 413)
        wire.send(b"x" * 101 + b"GET / HTTP/1.1\r\n\r\n")
        self.assertIsNone(wire.answer())

    def test_body_of_a_route(self) -> None:
        """A route takes no longer body than it names, whatever the configuration allows."""

        async def echo(call: Call) -> Answer:
            return Answer({"body": call.body})

        routes = [
            Route("POST", "/", echo, "stop", "Echo."),
            Route("POST", "/short", echo, "stop", "Echo.", max_body=3),
        ]
        self.site = site_of(routes, clock=self.clock, limits=WebSettings(max_body=2**24))
        for path, most in (("/", MAX_BODY), ("/short", 3)):
            wire = self.wire()
            wire.ask("POST", path, b"1" + b" " * (most - 1), {"Content-Type": "application/json"})
            got = wire.answer()
            self.assertEqual(got and got.json, {"body": 1})
            wire.ask(
                "POST", path, headers={"Content-Type": "application/json", "Content-Length": f"{most + 1}"}
            )
            self.assert_refused(wire, 413)

    def test_chunked(self) -> None:
        """A body in chunks is refused when it grows beyond the bound, in one piece or byte by byte."""
        chunks = b"".join(b"%x\r\n%s\r\n" % (9, b"        1") for _ in range(20)) + b"0\r\n\r\n"
        for pieces in ([chunks], [bytes([byte]) for byte in chunks]):
            wire = self.wire()
            wire.ask("POST", "/", headers=CHUNKED)
            for piece in pieces:
                wire.send(piece)
            self.assert_refused(wire, 413)
            self.assertIsNone(wire.answer())

    def test_chunked_within(self) -> None:
        """A body in chunks is a body."""
        wire = self.wire()
        wire.ask("POST", "/", headers=CHUNKED)
        wire.send(b"2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n")
        got = wire.answer()
        self.assertEqual(got and got.json, {"body": [1]})

    def test_no_request(self) -> None:
        """What is no request is refused once, with the same headers as any answer."""
        for data, status in (
            (b"hello\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431),
            (b"GET / HTTP/1.1\r\n" + (b"A: " + b"b" * 997 + b"\r\n") * 9 + b"\r\n", 431),
            (b"GET / HTTP/1.1\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", 431),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ):
            wire = self.wire()
            wire.send(data)
            self.assert_refused(wire, status)
            wire.send(b"GET / HTTP/1.1\r\n\r\n")
            self.assertIsNone(wire.answer())
            wire.lose()

    def test_as_many_headers_as_may_be(self) -> None:
        """A request with the most headers is answered, and so is the next one on its connection."""
        wire = self.wire()
        for _ in range(2):
            wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * (MAX_HEADERS - 1) + b"\r\n")
            got = wire.answer()
            self.assertEqual(got and got.status, 200)

    def test_refusal_can_be_read(self) -> None:
        """Where the transport can, only the way out is closed: what still comes does not reset it."""
        wire = self.wire()
        closed: list[bool] = []
        wire.transport.loseWriteConnection = lambda: closed.append(True)  # type: ignore[attr-defined]
        wire.send(b"hello\r\n")
        self.assertEqual((closed, wire.closed), ([True], False))
        self.assertIsNone(wire.transport.producer)
        self.clock.advance(10)
        self.assertTrue(wire.transport.aborted)
        secure = self.wire()
        secure.transport.loseWriteConnection = lambda: closed.append(True)  # type: ignore[attr-defined]
        alsoProvides(secure.transport, ISSLTransport)
        secure.send(b"hello\r\n")
        self.assertEqual((closed, secure.closed), ([True], True))


GOOD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]"


class AnyBytes(SynchronousTestCase):
    """Whatever a client sends."""

    def sent(self, pieces: list[bytes]) -> tuple[bytes, bool]:
        """What the site answers to it, without dates, and whether it closes the connection."""

        async def echo(call: Call) -> Answer:
            return Answer({"body": call.body})

        clock = Clock()
        site = site_of(
            [Route("POST", "/", echo, "observe", "Echo.")], clock=clock, limits=WebSettings(max_body=100)
        )
        wire = Wire(site)
        for piece in pieces:
            wire.send(piece)
            clock.advance(0)
        wire.lose()
        self.assertEqual(site.connections, {})
        return re.sub(rb"Date: .*?\r\n", b"", wire.data), wire.closed

    @settings(max_examples=200, deadline=None)
    @given(
        st.one_of(st.binary(max_size=300), st.sampled_from((GOOD * 2, GOOD[:-1], GOOD + b"GET"))),
        st.integers(0, len(GOOD)),
        st.binary(max_size=6),
    )
    def test_in_pieces(self, data: bytes, place: int, noise: bytes) -> None:
        """It is the same whether it comes at once or byte by byte, and nothing is left behind."""
        for each in (data, data[:place] + noise + data[place:]):
            self.assertEqual(self.sent([each]), self.sent([bytes([byte]) for byte in each]))


class Pipelines(SiteCase):
    """Requests that are sent before the one before them was answered."""

    def setUp(self) -> None:
        super().setUp()
        self.turns: list[int] = []
        respond = self.site.router.respond

        def noted(request: Any) -> None:
            self.turns[-1] += 1
            respond(request)

        self.patch(self.site.router, "respond", noted)

    def next_turn(self) -> None:
        """What is due in one turn of the reactor is done, and what that makes due is not."""
        self.turns.append(0)
        next_turn(self.clock)

    def wires(self, *requests: bytes) -> list[Wire]:
        """Connections on which that came, all in one turn."""
        wires = [self.wire() for _ in requests]
        self.turns = [0]
        for wire, data in zip(wires, requests, strict=True):
            wire.protocol.dataReceived(data)
        return wires

    def test_one_in_a_turn(self) -> None:
        """In one turn of the reactor one of all is answered; each connection has its turn, in order."""
        head = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n"
        sent = [b"".join(b"%b[%d,%d]" % (head, one, count) for count in range(4)) for one in range(3)]
        wires = self.wires(*sent)
        for _ in range(11):
            self.next_turn()
        self.assertEqual(self.turns, [1] * 12)
        for number, wire in enumerate(wires):
            answers = [wire.answer() for _ in range(4)]
            self.assertEqual([got and got.json["body"] for got in answers], [[number, n] for n in range(4)])
            self.assertEqual(wire.transport.producerState, "producing")
        self.next_turn()

    def test_behind_an_answer_that_takes_long(self) -> None:
        """What was sent meanwhile has its turn after it; others do not wait for it."""
        self.wires(b"GET /wait HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n")
        for _ in range(3):
            self.next_turn()
        self.waiting[0].callback("late")
        self.next_turn()
        self.assertEqual(self.turns, [1, 1, 0, 1, 0])

    def test_gone_meanwhile(self) -> None:
        """Who goes before its turn has none, and the next has it instead; at the end nobody has."""
        request = b"GET / HTTP/1.1\r\n\r\n"
        wires = self.wires(request, request, request)
        wires[1].lose()
        self.next_turn()
        self.assertEqual(self.turns, [1, 1])
        self.assertEqual([bool(wire.answer()) for wire in wires], [True, False, True])
        self.next_turn()
        wires[0].lose()
        self.wires(request, request)
        self.site.close()
        self.next_turn()
        wires[2].protocol.dataReceived(request)
        self.assertEqual(self.turns, [1, 0])


class Stops(SiteCase):
    """What waits for its turn of the reactor."""

    def note_answers(self, *methods: str) -> list[str]:
        """Let the site, whose users are those of `ByName`, note the name of each request that it answers."""
        answered: list[str] = []

        async def note(call: Call) -> Answer:
            answered.append(call.headers["name"])
            return Answer({})

        routes = [Route(method, "/", note, "stop", "Note.") for method in methods]
        self.site = make_site(routes, ByName(), LOG, self.clock, WebSettings())
        return answered

    def test_a_stop_waits_for_no_request_that_only_looks(self) -> None:
        """Of all that wait to be answered, what may command goes first."""
        answered: list[str] = []

        async def note(call: Call) -> Answer:
            answered.append(call.headers["name"])
            return Answer({})

        routes = [Route(method, "/", note, "observe", "Note.") for method in ("GET", "POST")]
        self.site = site_of(routes, clock=self.clock)
        for number, method in enumerate(("GET", "GET", "GET", "POST", "GET", "POST")):
            more = (
                "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1" if method == "POST" else "\r\n"
            )
            sent = f"{method} / HTTP/1.1\r\nHost: a\r\nName: {method} {number}\r\n{more}"
            self.wire(f"192.0.2.{number}").protocol.dataReceived(sent.encode())
        self.clock.advance(0)
        self.assertEqual(answered, ["GET 0", "POST 3", "POST 5", "GET 1", "GET 2", "GET 4"])

    def test_users_have_their_turns(self) -> None:
        """Of each user that waits, one request is answered in turn, and so of each of a user's addresses."""
        answered = self.note_answers("POST")
        for name in ("a1", "a2", "a3", "a4", "b1", "a5 elsewhere", "b2", "x"):
            sent = f"POST / HTTP/1.1\r\nHost: a\r\nName: {name}\r\nContent-Type: application/json\r\n\r\n"
            wire = self.wire("192.0.2.2" if "elsewhere" in name else "192.0.2.1")
            wire.protocol.dataReceived(sent.encode())
        got = wire.answer()
        self.assertIsNone(got)
        self.clock.advance(0)
        got = wire.answer()
        self.assertEqual(got and got.status, 401)
        self.assertEqual(answered, ["a1", "a2", "b1", "a5 elsewhere", "b2", "a3", "a4"])

    def test_rejected_posts_go_ahead_of_nothing(self) -> None:
        """A POST that the gate rejects waits behind the requests that came before it."""
        answered = self.note_answers("GET", "POST")
        wires = {}
        for name, method in (("a1", "GET"), ("a2", "GET"), ("x", "POST"), ("b1", "POST")):
            sent = f"{method} / HTTP/1.1\r\nHost: a\r\nName: {name}\r\nContent-Type: application/json\r\n\r\n"
            wires[name] = self.wire("192.0.2.1")
            wires[name].protocol.dataReceived(sent.encode())
        next_turn(self.clock)
        next_turn(self.clock)
        self.assertEqual(answered, ["a1", "b1", "a2"])
        self.assertIsNone(wires["x"].answer())
        next_turn(self.clock)
        got = wires["x"].answer()
        self.assertEqual(got and got.status, 401)
        next_turn(self.clock)

    def test_commands_without_end(self) -> None:
        """Requests that may command go first, and a request of another kind still has its turn."""
        answered = self.note_answers("GET", "POST")
        for number in range(30):
            method = "GET" if number == 10 else "POST"
            sent = (
                f"{method} / HTTP/1.1\r\nHost: a\r\nName: a{number}\r\nContent-Type: application/json\r\n\r\n"
            )
            self.wire("192.0.2.1").protocol.dataReceived(sent.encode())
        self.clock.advance(0)
        self.assertEqual(len(answered), 30)
        self.assertEqual(answered.index("a10"), 1 + MOST_AHEAD)


class ByName:
    """A gate whose users are those of the first letter of a header; x is none of them."""

    has_tokens = True

    def admit(self, request: Any) -> None:
        """Everything."""

    def user(self, request: Any, role: Any) -> User:
        """Who it is by its header."""
        name = request.requestHeaders.getRawHeaders("name")[0][0]
        if name == "x":
            raise RequestError(401, "a token is needed")
        return User(name, frozenset(("stop",)), Source.CSC)


class OnSocket(Pipe):
    """A transport of a real socket, which nothing is written to."""

    def __init__(self, sock: socket.socket, peer: IPv4Address) -> None:
        super().__init__(hostAddress=peer, peerAddress=peer)
        self.sock = sock

    def getHandle(self) -> socket.socket:
        """The socket."""
        return self.sock


class LastWords(SiteCase):
    """A request that TLS reads after the loss of the connection."""

    def test_addresses(self) -> None:
        """The addresses are those of the connection, whose socket is gone."""
        wire = self.wire()
        wire.transport.getHost = wire.transport.getPeer = Mock(side_effect=AttributeError("socket"))
        wire.ask("GET", "/")
        got = wire.answer()
        self.assertEqual(got and got.status, 200)


class Vanished(SiteCase):
    """Peers whose cable is cut."""

    def test_kernel_probes(self) -> None:
        """The kernel probes a peer of the page, as each commander; the watch ends with the connection."""
        near, _ = loopback_pair(self)
        peer = IPv4Address("TCP", "192.0.2.1", 50_000)
        connection: Any = self.site.buildProtocol(peer)
        connection.makeConnection(OnSocket(near, peer))
        self.assertTrue(near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertEqual(near.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 2)
        watched = [call for call in self.clock.getDelayedCalls() if call.getTime() <= PERIOD]
        self.assertEqual(len(watched), 1)
        connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CutOff(SiteCase):
    """Peers with which TLS itself ends the connection."""

    def test_answers_of_tls(self) -> None:
        """The log names a peer that requested too many answers of TLS itself."""
        connection: Any = self.wire("192.0.2.1").protocol
        with self.assertLogs("tests.support.web", "WARNING") as logged:
            connection.connectionLost(Failure(TLSAnswersError(4096)))
        self.assertIn("web: cut off", logged.output[0])
        self.assertIn("192.0.2.1", logged.output[0])
        self.assertIn("4096 bytes of TLS itself", logged.output[0])


class Connections(SiteCase):
    """How many there may be."""

    def test_group_of_the_socket(self) -> None:
        """The sockets from an address of a user are in the group of users, as long as they are up."""
        stranger, user = self.wire("192.0.2.1"), self.wire("192.0.2.2")
        groups = [wire.transport.event_group for wire in (stranger, user)]
        self.assertEqual([group() for group in groups], [Group.PAGE] * 2)
        user.ask("GET", "/")
        self.assertEqual([group() for group in groups], [Group.PAGE, Group.USERS])
        self.assertEqual(self.wire("192.0.2.2").transport.event_group(), Group.USERS)
        user.lose()
        self.assertEqual(user.transport.event_group(), Group.PAGE)

    def asked(self, wires: list[Wire], number: int) -> Wire:
        """One of them asks, and has its answer."""
        wires[number].ask("GET", "/")
        got = wires[number].answer()
        self.assertEqual(got and got.status, 200)
        return wires[number]

    def busy(self, address: str = "127.0.0.1") -> Wire:
        """One that waits for an answer."""
        wire = self.wire(address)
        wire.ask("GET", "/wait")
        return wire

    def lose_aborted(self, wires: list[Wire]) -> None:
        """The connections that the site has cut are gone."""
        for wire in wires:
            if wire.protocol is not None and wire.transport.aborted:
                wire.lose()

    def assert_no_more(self, address: str = "127.0.0.1") -> None:
        """One more is refused."""
        with self.assertLogs("tests.support.web", "WARNING"):
            self.assertIsNone(self.wire(address).protocol)

    def test_idle_ones_make_room(self) -> None:
        """An address that has few places left loses the longest idle one, so that one more may come."""
        wires = [self.wire() for _ in range(3)]
        for number in (1, 0, 2):
            self.asked(wires, number)
            self.clock.advance(1)
        other = self.wire("127.0.0.2")
        self.asked([other], 0)
        new = self.wire()
        self.assertEqual([wire.closed for wire in (*wires, other)], [False, True, False, False])
        self.asked([new], 0)
        wires[1].lose()
        newer = self.wire()
        self.assertTrue(wires[0].closed)
        self.asked([newer], 0)
        self.assertEqual(self.site.refused, 0)
        for wire in (*wires, other, new, newer):
            wire.lose()
        for _ in range(4):
            self.busy()
        self.assert_no_more()

    def test_those_that_do_something_stay(self) -> None:
        """Who waits for an answer, or has begun a request after another, is not closed for another."""
        wires = [self.busy()]
        for sent in (b"GET", b"GET / HTTP/1.1\r\n", b"G"):
            wires.append(self.wire())
            self.asked(wires, -1).send(sent)
        self.assert_no_more()
        self.assertFalse(any(wire.closed for wire in wires))

    def test_those_that_make_room_count(self) -> None:
        """What is being closed for another counts until it is gone, so that there are never more."""
        wires = [self.wire() for _ in range(3)]
        for number in range(3):
            self.asked(wires, number)
        self.asked([self.wire()], 0)
        self.assertTrue(wires[0].closed)
        self.assert_no_more()
        self.assertEqual(len(self.site.connections), 4)
        wires[0].lose()
        self.asked([self.wire()], 0)

    def test_one_that_does_not_read_makes_room_at_once(self) -> None:
        """What is closed for another is cut at once if nothing was asked on it, or its answer is not read."""
        wires = [self.wire() for _ in range(4)]
        self.assertEqual([wire.transport.aborted for wire in wires], [True, False, False, False])
        for wire in wires[1:]:
            self.asked([wire], 0)
        wires[0].lose()
        wires[1].protocol.pauseProducing()
        self.wire()
        self.assertTrue(wires[1].transport.aborted)

    def test_plain_http_is_not_told_to_be_https(self) -> None:
        """``Strict-Transport-Security`` is for encrypted connections: over plain HTTP it is never sent."""
        self.site.hsts = 300
        wire = Wire(self.site)
        for sent in ("/", b"not a request\r\n\r\n"):
            if isinstance(sent, str):
                wire.ask("GET", sent)
            else:
                wire.send(sent)
            got = wire.answer()
            assert got is not None
            self.assertNotIn("strict-transport-security", got.headers)
        wire.lose()

    def test_one_address(self) -> None:
        """One address has its share, and gets it back when a connection ends."""
        wires = [self.busy() for _ in range(4)]
        with self.assertLogs("tests.support.web", "WARNING") as caught:
            for _ in range(30):
                self.assertIsNone(Wire(self.site).protocol)
            self.assertIsNone(Wire(self.site, "::ffff:127.0.0.1").protocol, "the same address, dual-stack")
        self.assertEqual((len(caught.output), self.site.refused), (10, 31))
        self.busy("127.0.0.2")
        wires[0].lose()
        self.busy()
        for wire in wires:
            wire.lose()

    def test_one_network(self) -> None:
        """Of IPv6 a network of 64 bits has the share of one address: whoever has one has all of it."""
        for number in range(4):
            self.busy(f"2001:db8::{number}:1")
        self.assert_no_more("2001:db8::abcd:1")
        self.busy("2001:db8:0:1::1")
        self.busy("fe80::1")
        self.busy("fe80::2")

    def test_total(self) -> None:
        """All together have a bound, too; the clients of a file's socket have only that one."""
        for _ in range(8):
            self.busy("")
        self.assert_no_more("")
        self.assert_no_more("127.0.0.2")

    def test_a_user_stops_while_strangers_hold_all_they_can(self) -> None:
        """Each request of a present user is answered, on a new connection, while strangers hold places.

        They come from more addresses than there are places, each as often as it can, and say nothing.
        """
        self.make_site(WebSettings())
        self.asked([self.wire("192.0.2.1")], 0)
        strangers = [self.wire(f"198.51.100.{number % 250}") for number in range(1500)]
        answered = 0
        for _ in range(50):
            strangers += [self.wire(f"203.0.113.{number}") for number in range(20)]
            wire = self.wire("192.0.2.1")
            wire.ask("POST", "/", {"command": "BothAxesStop"}, {"Connection": "close"})
            got = wire.answer()
            answered += got is not None and got.status == 200
            wire.lose()
            self.lose_aborted(strangers)
            self.assertLessEqual(len(self.site.connections), 256)
        self.assertEqual(answered, 50)

    def test_a_newcomer_gets_in_while_one_stranger_holds_all_it_can(self) -> None:
        """An address that never showed a token is let in, for one that holds many gives way."""
        self.make_site(WebSettings(max_connections=16, max_connections_per_address=8))
        strangers = []
        for number in (*[1] * 20, 2, 3):
            strangers.append(self.wire(f"198.51.100.{number}"))
            self.lose_aborted(strangers)
        self.asked([self.wire("192.0.2.1")], 0)

    def test_close(self) -> None:
        """The end of the site is the end of all connections, and of all waits; no new one is taken."""
        wires = [Wire(self.site), Wire(self.site)]
        wires[0].ask("GET", "/wait")
        gone = self.site.close()
        with self.assertLogs("tests.support.web", "WARNING"):
            self.assertIsNone(Wire(self.site).protocol)
        self.clock.advance(CLOSE_TIME)
        for wire in wires:
            self.assertTrue(wire.closed and wire.transport.aborted)
            self.assertNoResult(gone)
            wire.lose()
        self.assertIsNone(self.successResultOf(gone))

    def test_close_twice(self) -> None:
        """Closed twice, it tells each who asked when all connections are gone; none gets more time."""
        wire = self.wire()
        gone = [self.site.close()]
        self.clock.advance(CLOSE_TIME / 2)
        gone += [self.site.close(), self.site.close()]
        gone.pop().addErrback(lambda reason: reason.trap(CancelledError)).cancel()
        self.clock.advance(CLOSE_TIME / 2)
        self.assertTrue(wire.transport.aborted)
        for each in gone:
            self.assertNoResult(each)
        wire.lose()
        for each in (*gone, self.site.close()):
            self.assertIsNone(self.successResultOf(each))

    def test_close_before_anybody_came(self) -> None:
        """A site without connections closes at once, and takes none any more."""
        self.successResultOf(self.site.close())
        with self.assertLogs("tests.support.web", "WARNING"):
            self.assertIsNone(Wire(self.site).protocol)
