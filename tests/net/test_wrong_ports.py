"""A pair that was given a port of somebody else's: it says soon which port that is, and what to do."""

from __future__ import annotations

import logging

from mtmount_twisted.client.mount import DOUBT_AFTER, Mount, SentCommand
from mtmount_twisted.commands import Enable
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.errors import (
    CommandOutcomeUnknown,
    CommandTimedOut,
    ConnectTimeoutError,
    PairClosedError,
)
from mtmount_twisted.replies import AckReply, InPositionReply, OnStateInfoReply
from mtmount_twisted.testing import HOST
from tests.support.pairs import LOG, PairCase

HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
TLS = b"\x15\x03\x03\x00\x02\x02\x46"
EVENT = InPositionReply(what=0, in_position=False).encode()


class WrongPortCase(PairCase):
    """A pair whose client connection leads to something that talks."""

    def hear(self, *chunks: bytes) -> list[str]:
        """The warnings while the far end of the client connection says this."""
        with self.assertLogs(LOG, logging.WARNING) as logged:
            LOG.warning("begin")  # assertLogs wants a record
            for chunk in chunks:
                self.far_end.client.transport.write(chunk)
                self.far_end.settle()
        return [record.getMessage() for record in logged.records[1:]]

    @property
    def there(self) -> str:
        """Where the client connection leads."""
        return f"{HOST}:{self.communicator.client_port}"


class WrongPortTests(WrongPortCase):
    """What comes in on the connection that is for writing tells what is at its far end."""

    def test_page(self) -> None:
        """The answer of a web server is one warning at once, which says what to do."""
        for chunks in ([HTTP], [HTTP[:7], HTTP[7:]], [HTTP, HTTP]):
            self.start()
            [told] = self.hear(*chunks)
            self.assertRegex(told, f"the wrong port: {self.there} speaks HTTP: it is the page of a bridge")
            self.assertIn("; give another port", told)
            self.assertIn(self.communicator.wrong_port, told)
            self.assertTrue(self.communicator.connected)
            self.closed()

    def test_port(self) -> None:
        """A reply that comes back on the same connection gives a ``[[port]]`` away."""
        for chunks in ([EVENT], [EVENT, EVENT + EVENT]):
            self.start()
            [told] = self.hear(*chunks)
            self.assertIn(f"{self.there} replies on the command connection", told)
            self.assertIn(f"use DuplexCommunicator (mtmount-commander --connect {self.there})", told)
            self.closed()

    def test_encrypted(self) -> None:
        """So does the alert that TLS answers plain text with."""
        self.start()
        [told] = self.hear(TLS)
        self.assertIn(f"{self.there} speaks TLS", told)
        self.closed()

    def test_byte_by_byte(self) -> None:
        """What comes in pieces is told as soon as it is known, and dropped without a word from then on."""
        for said in (HTTP, EVENT):
            self.start()
            told = self.hear(*(said[number : number + 1] for number in range(len(said))))
            self.assertIn("the wrong port", told[-1])
            self.assertEqual(self.hear(said), [])
            self.closed()

    def test_mount_of_another_dialect(self) -> None:
        """A mount of 2022, or a pair of its bridge, replies on this connection: the log names its dialect."""
        self.start()
        [told] = self.hear(b'{"id":20,"timestamp":1.5,"parameters":{"actualCommander":0}}\r\n')
        self.assertIn(f"the wrong port: {self.there} speaks tma2022, and this side tma2020; use a", told)
        self.assertIn("mtmount-commander --dialect tma2022", told)
        self.closed()

    def test_something_else(self) -> None:
        """What tells nothing is dropped and logged as ever, and is no reason for anything."""
        self.start()
        for said in (b"220 mail.example ESMTP\r\n", b"\xff" * 10_000):
            self.assertIn(f"dropped {len(said)} bytes from the far end", self.hear(said)[0])
        self.assertEqual(self.communicator.wrong_port, "")
        self.closed()

    def test_side_of_the_mount(self) -> None:
        """A side that writes replies takes no reply for a sign of a ``[[port]]``; a page it does tell."""
        self.start(read_replies=False)
        self.assertIn("dropped", self.hear(EVENT)[0])
        self.closed()
        self.start(read_replies=False)
        self.assertIn("speaks HTTP", self.hear(HTTP)[0])
        self.closed()

    def test_why_not_connected(self) -> None:
        """Who waits for the connection reads the same; the page closes it, and no peer comes."""
        self.start(connect=False)
        self.connect()
        self.reactor.advance(0)
        self.hear(HTTP)
        waiting = self.communicator.wait_connected(1.5)
        self.far_end.drop_client()
        for _ in range(16):
            self.reactor.advance(0.1)
        error = self.failureResultOf(waiting, ConnectTimeoutError).value
        self.assertIn(f"{self.there} speaks HTTP", error.reason)
        self.connects[0].addErrback(lambda reason: reason.trap(PairClosedError))
        self.closed()

    def test_told_once(self) -> None:
        """Connecting again to the same does not repeat the warning; to something better it is forgotten."""
        self.start()
        self.assertEqual(len(self.hear(HTTP)), 1)
        for _ in range(2):
            self.far_end.drop_client()
            self.reactor.advance(1)
            self.assertEqual(self.hear(HTTP), [])
        self.assertIn("HTTP", self.communicator.wrong_port)
        self.far_end.drop_client()
        self.reactor.advance(1)
        self.far_end.drop_client()
        self.assertEqual(self.communicator.wrong_port, "")
        self.reactor.advance(1)
        self.assertEqual(len(self.hear(HTTP)), 1)
        self.closed()


class WrongPairTests(WrongPortCase):
    """What a command says that nobody answers."""

    def send(self) -> SentCommand:
        """Send a command."""
        self.mount = Mount(self.communicator)
        return self.mount.send(Enable())

    def pass_time(self, seconds: float) -> list[str]:
        """The warnings in this time."""
        with self.assertLogs(LOG, logging.WARNING) as logged:
            LOG.warning("begin")
            for _ in range(round(seconds * 10)):
                self.reactor.advance(0.1)
        return [record.getMessage() for record in logged.records[1:]]

    def test_ports_of_two_pairs(self) -> None:
        """If nothing is ever read, the log and the error ask, soon, whether the ports are one pair's."""
        self.start()
        done = self.send().done
        self.assertLessEqual(DOUBT_AFTER, 3)
        here = f"{HOST}:{self.communicator.server_port}"
        ways = f"Commands go to {self.there}, and replies are to come to {here}"
        doubt = f"do both ports belong to one pair? {ways}"
        [told] = self.pass_time(DOUBT_AFTER + 0.1)
        self.assertTrue(told.endswith(f"no reply within {DOUBT_AFTER:g} s: {doubt}"))
        self.assertEqual(self.pass_time(DIALECT.deadlines.ack - DOUBT_AFTER), [])
        error = self.failureResultOf(done, CommandTimedOut).value
        self.assertEqual(error.explanation, f"no Ack within {DIALECT.deadlines.ack:g} s; {doubt}")
        self.closed()

    def test_once_something_was_read(self) -> None:
        """Whatever was read shows that the ports are one pair's; nothing is asked then."""
        self.start()
        sent = self.send()
        done = sent.done
        self.far_end.feed(OnStateInfoReply(description="Enabled"))
        self.assertEqual(self.pass_time(DIALECT.deadlines.ack + 0.2), [])
        error = self.failureResultOf(done, CommandTimedOut).value
        self.assertEqual(error.explanation, f"no Ack within {DIALECT.deadlines.ack:g} s")
        self.closed()

    def test_no_timer_is_left(self) -> None:
        """An answer, and the end of the last command, end the doubt."""
        self.start()
        sent = self.send()
        self.far_end.feed(AckReply(sequence_id=sent.command.sequence_id, timeout_ms=60_000))
        self.assertEqual(self.pass_time(DOUBT_AFTER + 1), [])
        self.closed()
        self.start()
        done = self.send().done
        self.closed()
        self.failureResultOf(done, CommandOutcomeUnknown)

    def test_page(self) -> None:
        """A command whose connection a page closes says that it is a page."""
        self.start()
        done = self.send().done
        self.hear(HTTP)
        self.far_end.drop_client()
        error = self.failureResultOf(done, CommandOutcomeUnknown).value
        self.assertIn(f"sent on was lost: {self.there} speaks HTTP", error.explanation)
        self.closed()

    def test_port(self) -> None:
        """A command to a ``[[port]]`` that replies elsewhere than expected says that it is one."""
        self.start()
        done = self.send().done
        self.hear(EVENT)
        self.assertEqual(self.pass_time(DIALECT.deadlines.ack + 0.1), [])  # it was told at once
        error = self.failureResultOf(done, CommandTimedOut).value
        self.assertIn(f"no Ack within 5 s; {self.there} replies on the command connection", error.explanation)
        self.closed()
