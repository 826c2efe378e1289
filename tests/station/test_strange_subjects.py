"""Subjects that only a client of its own making sends: the server takes any byte but blanks and line ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import EngineRefused
from mtmount_twisted.station import nats_connection
from mtmount_twisted.station.nats_connection import Connection, Login
from mtmount_twisted.station.requester import Requester
from mtmount_twisted.station.requests import Wanted, request_body
from tests.support.broker import HOST, Broker, broker_of, in_time
from tests.support.desks import DeskAlone

from .engine_contract import Receiver
from .test_engines import NatsStage

REQUEST = b"mt.t1.cmd.req.day."
STRANGE = {
    "no UTF-8": b"a\xff\xfeb",
    "vertical tab": b"a\x0bb",
    "form feed": b"a\x0cb",
    "escape": b"a\x1b[31mb",
    "NUL": b"a\x00b",
    "UTF-8": "é\u2028".encode(),
    "longer than a control line of the answer": b"L" * 4040,
    "longer than a word": b"L" * 65,
}
HEADERS = (
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    b"NATS/1.0 100 \xff\xff\xff\r\n\r\n",
    b"NATS/1.0\r\n\xff\xfe: \xff\r\nno colon\r\n:\r\n\r\n",
)


async def publish_raw(broker: Broker, *lines: bytes) -> None:
    """Send lines of the protocol of NATS as they are, and wait until the server has read them."""
    reader, writer = await asyncio.open_connection(HOST, broker.port)
    writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
    writer.write(b"".join(lines) + b"PING\r\n")
    while not (line := await reader.readline()).startswith(b"PONG"):
        assert line.startswith(b"INFO"), line
    writer.close()


def pub(subject: bytes, body: bytes, headers: bytes = b"") -> bytes:
    """Return the line and the body of a message."""
    if headers:
        sizes = b"%d %d" % (len(headers), len(headers) + len(body))
        return b"HPUB %b %b\r\n%b%b\r\n" % (subject, sizes, headers, body)
    return b"PUB %b %d\r\n%b\r\n" % (subject, len(body), body)


class StrangeSubjectTests(SynchronousTestCase):
    """A request of another user never cuts the bridge off from the broker."""

    def with_desk(self, test: Callable[[Broker, DeskAlone, Requester], Awaitable[None]]) -> None:
        """Run a test with a desk and a requester."""

        async def run() -> None:
            broker = broker_of(self)
            desk = DeskAlone(broker)
            try:
                async with Requester([broker.url], "t1", "night") as requester:
                    await test(broker, desk, requester)
            finally:
                await desk.close()

        in_time(run())

    def test_other_users_go_on(self) -> None:
        """A STOP of another user has its outcome, on the connection from before; nothing answers a subject
        that no user of the library makes, and the log has one line about them."""

        async def test(broker: Broker, desk: DeskAlone, requester: Requester) -> None:
            await requester.command("AzimuthAxisStop")
            for id in STRANGE.values():
                await publish_raw(broker, pub(REQUEST + id, request_body("day", "x", Wanted("BothAxesStop"))))
            await desk.until(lambda: desk.desk.ignored == len(STRANGE))
            self.assertEqual((await requester.command("AzimuthAxisStop")).state, "done")
            self.assertEqual(desk.engine.losses, 0)
            self.assertIsNone(await desk.engine.log("MT_CMD_day").last("mt.t1.cmd.life.day.*"))
            told = [line for line in desk.told if "no word" in line]
            self.assertEqual(len(told), 1, desk.told)
            self.assertTrue(told[0].isascii() and told[0].isprintable())

        self.with_desk(test)

    def test_headers(self) -> None:
        """Headers of any bytes change nothing: nothing but the status of the server is read."""

        async def test(broker: Broker, desk: DeskAlone, requester: Requester) -> None:
            await requester.command("AzimuthAxisStop")
            for number, headers in enumerate(HEADERS):
                id = f"h{number}"
                body = request_body("night", id, Wanted("AzimuthAxisStop"))
                await publish_raw(broker, pub(f"mt.t1.cmd.req.night.{id}".encode(), body, headers))
            await desk.until(lambda: len(desk.commands) == 1 + len(HEADERS))
            self.assertEqual((await requester.command("AzimuthAxisStop")).state, "done")
            self.assertEqual(desk.engine.losses, 0)

        self.with_desk(test)


class ConnectionTests(SynchronousTestCase):
    """One connection, and what it must not send or overlook."""

    def test_own_subjects(self) -> None:
        """A subject that the server would not take from this side is refused, and the connection stays."""

        async def test() -> None:
            connection = Connection()
            await connection.open(broker_of(self).url, Login())
            for subject in ("a" * 4000, "a b", "a\r\nPUB b 0\r\n", "a\x0bb", "é", ""):
                with self.assertRaises(EngineRefused):
                    await connection.store(subject, b"", None)
                with self.assertRaises(EngineRefused):
                    await connection.publish(subject, b"")
            with self.assertRaises(EngineRefused):
                await connection.store("a", bytes(2**20 + 1), None)
            await connection.flush()
            await connection.close()

        in_time(test())

    def test_unreadable_message(self) -> None:
        """A message that this side can't read ends the connection at once. At the second time it counts as
        an empty one: the reading goes on behind it, and the log names it."""
        read = nats_connection.read_status

        def failing(headers: bytes) -> dict[str, str]:
            if b"poison" in headers:
                raise ValueError("no such status")
            return read(headers)

        async def test() -> None:
            stage = NatsStage(broker_of(self))
            engine = await stage.engine()
            log, receiver = engine.log(stage.log), Receiver()
            await log.append(f"{stage.prefix}.a.x", b"before")
            key = f"{stage.prefix}.a.x".encode()
            await publish_raw(stage.broker, pub(key, b"poison", b"NATS/1.0\r\npoison: 1\r\n\r\n"))
            await log.append(f"{stage.prefix}.a.x", b"behind")
            await log.read(f"{stage.prefix}.a.*", 1, receiver)
            self.assertEqual(await receiver.until(3), ["before", "", "behind"])
            self.assertEqual(engine.losses, 1)
            self.assertIn("no such status", stage.told[0])
            await stage.close()

        self.patch(nats_connection, "PING_INTERVAL", 3600.0)
        self.patch(nats_connection, "read_status", failing)
        in_time(test())
