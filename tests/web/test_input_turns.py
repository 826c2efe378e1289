"""How much of what clients send is read in a turn of the reactor, and what is not read at all, in memory."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http

from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.input_turns import COMPLETED, PER_TURN, SLICE
from mtmount_twisted.frontends.web.http.site import EAGER, MAX_FRAMING, Connection, WebRequest
from tests.support.web import ANYONE, OBSERVER, Wire, next_turn, site_of

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PIECE = 65_536
"""As many bytes as Twisted receives at once."""


class InputCase(SynchronousTestCase):
    """A site whose parser's work is counted.

    :ivar lines: how many lines were looked at.
    :ivar chunks: how many parts of bodies were taken.
    :ivar half_closed: the connections on which the site sends nothing more.
    """

    def setUp(self) -> None:
        self.lines = self.chunks = 0
        self.half_closed: list[Wire] = []
        self.clock = Clock()
        line_received, handle_chunk = Connection.lineReceived, WebRequest.handleContentChunk

        def count_line(connection: Connection, line: bytes) -> None:
            self.lines += 1
            line_received(connection, line)

        def count_chunk(request: WebRequest, data: bytes) -> None:
            self.chunks += 1
            handle_chunk(request, data)

        self.patch(Connection, "lineReceived", count_line)
        self.patch(WebRequest, "handleContentChunk", count_chunk)

    def wire(self, user: Any = ANYONE, address: str = "127.0.0.1") -> Wire:
        """A connection, as of TCP, to a site where a user may post and look."""
        if not hasattr(self, "site"):

            async def echo(call: Call) -> Answer:
                return Answer({"body": call.body})

            routes = [
                Route("POST", "/", echo, "command", "Echo."),
                Route("GET", "/", echo, "observe", "Echo."),
            ]
            self.site = site_of(routes, user, self.clock)
        wire = Wire(self.site, address)
        wire.transport.loseWriteConnection = lambda: self.half_closed.append(wire)  # type: ignore[attr-defined]
        self.addCleanup(wire.lose)
        return wire

    def assert_refused(self, wire: Wire, status: int, *words: str) -> None:
        """The only answer is a refusal that says so."""
        got = wire.answer()
        assert got is not None, wire.data
        self.assertEqual((got.status, got.headers["connection"]), (status, "close"))
        for word in words:
            self.assertIn(word, got.json["error"])
        self.assertIsNone(wire.answer())
        self.assertIn(wire, self.half_closed)


class RefusedTests(InputCase):
    """What comes behind what was refused."""

    def test_nothing_is_parsed_behind_a_refusal(self) -> None:
        """Neither the rest of a piece nor any later piece is split into lines."""
        for begin in (b"x\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n"):
            self.lines = 0
            wire = self.wire()
            for _ in range(3):
                wire.send((begin + b"y\r\n" * PIECE)[:PIECE])
            self.assertLessEqual(self.lines, 3, begin)
            self.assert_refused(wire, 400)

    def test_little_is_received_behind_a_refusal(self) -> None:
        """Of many who go on behind a refusal few are received from in a turn, and each has its turn."""
        wires = [self.wire(address=f"192.0.2.{number}") for number in range(5 * PER_TURN // SLICE)]
        for wire in wires:
            wire.send(b"x\r\n")
            self.assert_refused(wire, 400)
        for _ in range(2):
            for wire in wires:
                wire.protocol.dataReceived(b"y" * PIECE)
            for turns in range(1, 6):
                producing = [wire for wire in wires if wire.transport.producerState == "producing"]
                self.assertEqual(len(producing), turns * PER_TURN // SLICE)
                next_turn(self.clock)

    def test_only_blank_lines(self) -> None:
        """One blank line may stand before a request; more are refused, and not counted."""
        wire = self.wire()
        wire.send(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        got = wire.answer()
        self.assertEqual(got and got.status, 200)
        self.lines = 0
        wire.send(b"\r\n" * (PIECE // 2))
        self.assertLessEqual(self.lines, 2)
        self.assert_refused(wire, 400)

    def test_what_waited_unread_is_thrown_away(self) -> None:
        """From a client that sent too much ahead all is received once it is refused, so that it sees why."""
        wire = self.wire()
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * PIECE)
        got = wire.answer()
        self.assertEqual(got and got.status, 431)
        self.assertEqual(wire.transport.producerState, "producing")


class BodyTests(InputCase):
    """Bodies in chunks, and bodies of requests that are not let in."""

    def test_stranger_has_no_body_read(self) -> None:
        """Where the route, the method or the token is wrong that is answered at the end of the headers."""
        for framing in (b"Transfer-Encoding: chunked\r\n", b"Content-Length: 60000\r\n"):
            for first, status in ((b"POST /", 403), (b"POST /none", 404), (b"PUT /", 405)):
                wire = self.wire(OBSERVER)
                head = b"%b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n%b\r\n" % (first, framing)
                wire.send(head)
                self.assert_refused(wire, status)
                wire.send(b"1\r\na\r\n" * 10_000)
                self.assertEqual(self.chunks, 0)

    def test_what_is_allowed_is_told(self) -> None:
        """A refusal at the end of the headers has the headers of the answer that it stands for."""
        wire = self.wire()
        wire.send(b"PUT http://a/?x=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
        got = wire.answer()
        assert got is not None
        self.assertEqual((got.status, got.headers["allow"]), (405, "POST, GET, HEAD"))

    def test_many_chunks(self) -> None:
        """Chunks whose lengths take more than they may are refused, of which a few are read."""
        wire = self.wire()
        wire.send(CHUNKED + b"1\r\n1\r\n" * 10_000 + b"0\r\n\r\n")
        self.assert_refused(wire, 400, str(MAX_FRAMING), "Content-Length")
        self.assertLess(self.chunks, MAX_FRAMING / 4)

    def test_many_trailers(self) -> None:
        """Lines behind the last chunk count, too; and so does what is never ended."""
        for trailers in (b"a: b\r\n" * 10_000, b"a" * 60_000):
            wire = self.wire()
            wire.send(CHUNKED + b"1\r\n1\r\n0\r\n" + trailers)
            self.assert_refused(wire, 400, str(MAX_FRAMING))

    def test_chunks_as_programs_send_them(self) -> None:
        """A thousand chunks are a body, with trailers, and a request behind them is answered."""
        wire = self.wire()
        chunks = b"2\r\n  \r\n" * 1000 + b"1\r\n7\r\n"
        wire.send(CHUNKED + chunks + b"0\r\nA: b\r\n\r\n" + CHUNKED + b"1\r\n8\r\n0\r\n\r\n")
        self.assertEqual([wire.answer().json for _ in range(2)], [{"body": 7}, {"body": 8}])  # type: ignore[union-attr]


class TurnTests(InputCase):
    """How much is read in one turn of the reactor."""

    def test_a_turn_reads_little(self) -> None:
        """Of many connections, on which 64 KiB came each, a turn parses a few KiB; each has its turn."""
        wires = [self.wire() for _ in range(8)]
        head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:b\r\n" * 490 + b"\r\n"
        most = PER_TURN // 5 + 50
        for wire in wires:
            wire.protocol.dataReceived((head * 30)[:PIECE])
        self.assertLess(self.lines, most)
        answered: list[int] = []
        while len(answered) < 8:
            before = self.lines
            next_turn(self.clock)
            self.assertLess(self.lines - before, most)
            answered += [n for n, wire in enumerate(wires) if n not in answered and wire.data]
        self.assertEqual(sorted(answered), list(range(8)))
        for wire in wires:
            wire.lose()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ends_of_many_requests(self) -> None:
        """Of many requests that end at once, a turn ends a few: the rights of each are looked up."""
        ended: list[object] = []
        self.patch(WebRequest, "process", lambda request: ended.append(request))
        wires = [self.wire(address=f"192.0.2.{number}") for number in range(60)]
        for wire in wires:
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(60):
            next_turn(self.clock)
        for wire in wires:
            wire.protocol.dataReceived(b"\r\n")
        most = PER_TURN // COMPLETED
        for turns in range(1, 60 // most + 2):
            self.assertEqual(len(ended), min(60, turns * most))
            next_turn(self.clock)
        self.assertEqual(len(ended), 60)

    def test_long_url(self) -> None:
        """A request line that is too long is refused before its headers come, and no query is parsed."""
        self.patch(http, "parse_qs", Mock(side_effect=AssertionError("parsed by Twisted")))
        wire = self.wire()
        wire.send(b"GET /?" + b";" * 7900 + b" HTTP/1.1\r\n")
        self.assert_refused(wire, 414, "the URL is longer than 2048 bytes")
        wire = self.wire()
        wire.send(b"GET /?" + b";" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIsNotNone(wire.answer())

    def test_short_request_waits_for_few_turns(self) -> None:
        """A request behind eight clients with much to read is answered after a slice of each."""
        for _ in range(8):
            self.wire().protocol.dataReceived(CHUNKED + b"8\r\n        \r\n" * 5000)
        wire = self.wire()
        wire.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(3):
            next_turn(self.clock)
        got = wire.answer()
        self.assertEqual(got and got.status, 200)

    def send_long_ones(self, network: int) -> None:
        """Many clients send long requests; the first slice of each is parsed, no more than that of many."""
        for number in range(60):
            wire = self.wire(address=f"192.0.{network}.{number}")
            wire.protocol.dataReceived(POST + b"Content-Length: 4000\r\n\r\n" + b" " * 3999)
        for _ in range(60 * SLICE // PER_TURN):
            next_turn(self.clock)

    def test_stop_waits_for_no_slice_of_a_longer_request(self) -> None:
        """A request that fits in one slice is read in the next turn, however many clients send long ones; so
        is the next one on its connection."""
        wire = self.wire()
        for network in range(2):
            self.send_long_ones(network)
            wire.protocol.dataReceived(POST + b"Content-Length: 2\r\n\r\n{}")
            next_turn(self.clock)
            got = wire.answer()
            self.assertEqual(got and got.status, 200)

    def test_stop_of_a_browser_waits_for_no_longer_request(self) -> None:
        """A request with many headers goes before the bodies of requests that have had as much."""
        for number in range(60):
            wire = self.wire(address=f"192.0.2.{number}")
            wire.protocol.dataReceived(POST + b"Content-Length: 4000\r\n\r\n" + b" " * 3999)
        for _ in range(60 * 5 * SLICE // PER_TURN):
            next_turn(self.clock)
        wire = self.wire()
        wire.protocol.dataReceived(POST + b"A: %b\r\nContent-Length: 2\r\n\r\n{}" % (b"a" * 1400))
        for _ in range(4):
            next_turn(self.clock)
        got = wire.answer()
        self.assertEqual(got and got.status, 200)

    def test_client_that_sends_ahead_waits(self) -> None:
        """Nothing more is received while much is unread; all of it is answered, in order."""
        wire = self.wire()
        request = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n%03d"
        count = EAGER * 3 // len(request)
        wire.protocol.dataReceived(b"".join(request % number for number in range(100, 100 + count)))
        states = {wire.transport.producerState}
        for _ in range(count // 2):
            next_turn(self.clock)
            states.add(wire.transport.producerState)
        self.assertIn("paused", states)
        self.clock.advance(0)
        self.assertEqual(wire.transport.producerState, "producing")
        got = [wire.answer() for _ in range(count)]
        self.assertEqual([each and each.json["body"] for each in got], list(range(100, 100 + count)))

    def test_error_ends_only_its_own_connection(self) -> None:
        """An error of the daemon's own, while it reads, is logged, and ends the connection that it met."""
        wires = [self.wire(), self.wire()]

        def fail(request: WebRequest, length: int | None) -> None:
            raise ZeroDivisionError

        wires[0].protocol.dataReceived(b"GET / HTTP/1.1\r\n" + (b"a: " + b"b" * 40 + b"\r\n") * 60)
        self.patch(WebRequest, "gotLength", fail)
        with self.assertLogs("tests.support.web", "ERROR") as caught:
            wires[0].send(b"\r\n")
        self.assertIn("ZeroDivisionError", caught.output[0])
        self.assertEqual([wire.transport.aborted for wire in wires], [True, False])
