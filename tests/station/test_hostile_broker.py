"""Servers that are no right broker: what they send ends no part of the station for good."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import EngineUnreachable
from mtmount_twisted.station import nats_engine, nats_reading
from mtmount_twisted.station.contracts import Stored
from mtmount_twisted.station.nats_connection import Login
from mtmount_twisted.station.nats_engine import NatsEngine
from mtmount_twisted.station.streams import events_stream
from mtmount_twisted.station.waits import pause
from tests.support.broker import in_time

GOOD = b'{"config":{"name":"x"},"ts":"2026-11-27T10:00:00Z"}'


MALFORMED = (
    b"",
    b"{}",
    b"null",
    b"[]",
    b"\xff",
    b'{"x":5}',
    b'{"error":"no"}',
    b'{"error":{"err_code":"x"}}',
    b'{"seq":0}',
    b'{"seq":-1}',
    b'{"seq":1e400}',
    b'{"seq":"5"}',
    b'{"message":{}}',
    b'{"state":{}}',
    b'{"state":[],"config":[]}',
    b'{"config":{"max_bytes":"x"},"state":{"bytes":1},"ts":"x"}',
    b'{"config":{"max_bytes":' + b"9" * 5000 + b"}}",
    b'{"message":"' + b"A" * 3000 + b'"}',
    b"[" * 90_000,
)
"""Answers that no question of the bridge has."""

PLACES = (
    b"x",
    b"$JS.ACK.s.c.1.x.1.1.0",
    b"$JS.ACK.s.c.1.1.1",
    b"$JS.ACK.s.c.1.0.1.1.0",
    b"$JS.ACK.s.c.1.-1.1.1.0",
    b"$JS.ACK.s.c.1.%b.1.1.0" % (b"9" * 25),
    b"$JS.ACK.s.c.1.1.1.%b.0" % (b"9" * 400),
    b"$JS.ACK.s.c.1.1..1.0",
)
"""Places that no message in a stream has."""


class Receiver:
    """The receiver of a reading."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def received(self, message: Stored) -> None:
        """Keep a message."""
        self.bodies.append(message.body)

    async def gap(self, first: int, last: int) -> None:
        """Take a gap."""


class HostileBroker:
    """A server of the test: it answers each question of JetStream's API with the same bytes.

    :param info: members of its first line.
    """

    def __init__(self, answer: bytes, **info: Any) -> None:
        self.heard: list[bytes] = []
        self.answer = answer
        self._info = {"version": "2.10.18", "max_payload": 2**20, "headers": True, "proto": 1, **info}

    async def start(self) -> str:
        """Listen, and return the address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Listen no more."""
        self._server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"INFO " + json.dumps(self._info).encode() + b"\r\n")
        while line := await reader.readline():
            self.heard.append(line)
            match line.split():
                case [b"PING"]:
                    writer.write(b"PONG\r\n")
                case [b"PUB", subject, inbox, size]:
                    await reader.readexactly(int(size) + 2)
                    writer.write(self.reply(subject, inbox))
                case [b"HPUB", subject, inbox, _, size]:
                    await reader.readexactly(int(size) + 2)
                    writer.write(self.reply(subject, inbox))
                case [b"PUB", _, size]:
                    await reader.readexactly(int(size) + 2)
        writer.close()

    def reply(self, subject: bytes, inbox: bytes) -> bytes:
        """What the server sends for a message that asks for an answer."""
        return b"MSG %b 1 %d\r\n%b\r\n" % (inbox, len(self.answer), self.answer)


class Deliverer(HostileBroker):
    """A server whose stream has one message.

    :ivar place: what it says about the place of the message.
    """

    place = b""

    def reply(self, subject: bytes, inbox: bytes) -> bytes:
        """The message, on the second subscription of the client; else an answer."""
        if subject.startswith(b"$JS.API.CONSUMER.MSG.NEXT."):
            sid = b"%d" % (1 + sum(line.startswith(b"PUB $JS.API.CONSUMER.CREATE.") for line in self.heard))
            return b"MSG mt.t1.a %b %b 2\r\nhi\r\n" % (sid, self.place)
        return super().reply(subject, inbox)


class HostileBrokerTests(SynchronousTestCase):
    """Servers of any kind."""

    def run_with(self, broker: HostileBroker, test: Any, scheme: str = "nats", login: Any = None) -> None:
        """Run a coroutine with an engine on a server, and the lines of its log."""

        async def run() -> None:
            server = f"{scheme}://{await broker.start()}"
            lines: list[str] = []
            engine = NatsEngine([server], [events_stream(1)], login, lambda _, text: lines.append(text))
            engine.start()
            try:
                await test(engine, lines)
            finally:
                await engine.close()
                broker.close()

        work: Coroutine[Any, Any, None] = run()
        in_time(work)

    def test_malformed_answers(self) -> None:
        """An answer of any shape is a problem that the log names, and the engine tries again."""

        async def reported(engine: NatsEngine, lines: list[str]) -> None:
            await engine.wait_changed()
            self.assertIn("malformed answer", engine.problem)
            self.assertEqual(lines, [engine.problem])
            self.assertFalse(engine.connected)

        for answer in (b"", b"{}", b'{"error":"no"}', b"[" * 90_000):
            self.run_with(HostileBroker(answer), reported)
        self.run_with(HostileBroker(GOOD, connect_urls=5), reported)

    def test_malformed_answers_while_connected(self) -> None:
        """No answer of any shape ends a part of the station: the outcome of the question is unknown, the log
        names the problem once, and the connection stays."""
        broker = HostileBroker(GOOD)
        key = "mt.t1.a.ev.x"

        async def unknown(engine: NatsEngine, lines: list[str]) -> None:
            await engine.wait_connected()
            lines.clear()  # of the settings of the stream
            log, register = engine.log("MT_EV"), engine.register(key)
            for answer in MALFORMED:
                broker.answer = answer
                for ask in (
                    lambda: log.append(key, b"{}"),
                    lambda: log.last(key),
                    lambda: log.first(key),
                    log.room,
                    lambda: log.read(key, 1, Receiver()),
                    register.get,
                    lambda: register.swap(b"{}", 0),
                ):
                    with self.assertRaises(EngineUnreachable, msg=answer[:80]):
                        await ask()
            self.assertTrue(engine.connected)
            self.assertEqual(len(set(lines)), len(lines))
            self.assertTrue(lines)
            for line in lines:
                self.assertIn("the server sends a malformed answer (", line)
                self.assertLess(len(line), 300)
            broker.answer = b'{"stream":"x","seq":7}'
            self.assertEqual(await log.append(key, b"{}"), 7)

        self.run_with(broker, unknown)

    def test_malformed_members(self) -> None:
        """Nor does an answer with one wrong member."""
        broker = HostileBroker(GOOD)
        key = "mt.t1.a.ev.x"
        message: dict[str, Any] = {"subject": key, "seq": 5, "time": "2026-11-27T10:00:00Z", "data": "aGk="}

        async def unknown(engine: NatsEngine, lines: list[str]) -> None:
            await engine.wait_connected()
            log = engine.log("MT_EV")
            broker.answer = json.dumps({"message": message}).encode()
            stored = await log.last(key)
            assert stored is not None
            self.assertEqual((stored.key, stored.body, stored.position), (key, b"hi", 5))
            for name, value in (
                ("subject", 5),
                ("seq", "5"),
                ("seq", 0),
                ("seq", -1),
                ("seq", 10**25),
                ("time", "yesterday"),
                ("time", 5),
                ("data", "a"),
                ("data", [1]),
            ):
                broker.answer = json.dumps({"message": message | {name: value}}).encode()
                with self.assertRaises(EngineUnreachable, msg=(name, value)):
                    await log.last(key)
            for name, value in (("first_seq", "1"), ("last_seq", 10**25), ("last_seq", None)):
                state: dict[str, Any] = {"first_seq": 1, "last_seq": 1, name: value}
                broker.answer = json.dumps({"state": state, "name": "c"}).encode()
                with self.assertRaises(EngineUnreachable, msg=(name, value)):
                    await log.read(key, 1, Receiver())

        self.run_with(broker, unknown)

    def test_malformed_place(self) -> None:
        """A message whose place can't be read is read again, and ends no reading."""
        broker = Deliverer(b'{"config":{},"name":"c","state":{"first_seq":1,"last_seq":1}}')
        self.patch(nats_reading, "RETRY_AFTER", 0.01)

        async def read(engine: NatsEngine, lines: list[str]) -> None:
            await engine.wait_connected()
            lines.clear()  # of the settings of the stream
            for number, place in enumerate(PLACES):
                broker.place, receiver = place, Receiver()
                creations = len([line for line in broker.heard if b".CONSUMER.CREATE." in line])
                reading = await engine.log("MT_EV").read("mt.t1.a", 1, receiver)
                failed = asyncio.ensure_future(engine.wait_failed())
                while len([line for line in broker.heard if b".CONSUMER.CREATE." in line]) < creations + 3:
                    await pause(0.001)
                    self.assertFalse(failed.done(), (number, place))
                self.assertEqual(receiver.bodies, [], place)
                broker.place = b"$JS.ACK.s.c.1.1.1.1800000000000000000.0"
                while not receiver.bodies:
                    await pause(0.001)
                    self.assertFalse(failed.done(), (number, place))
                failed.cancel()
                await reading.stop()
            self.assertIn("the place of a message", lines[0])

        self.run_with(broker, read)

    def test_next_attempt_after_malformed_answer(self) -> None:
        """Once the server is right again, the engine is connected."""
        broker = HostileBroker(b"{}")

        async def reconnected(engine: NatsEngine, lines: list[str]) -> None:
            await engine.wait_changed()
            broker.answer = GOOD
            await engine.wait_connected()

        self.patch(nats_engine, "REFUSED_RETRY", 0.01)
        self.run_with(broker, reconnected)

    def test_server_without_tls(self) -> None:
        """A ``tls:`` server that does not ask for TLS, or whose demand was taken away, hears nothing."""
        broker = HostileBroker(GOOD)

        async def refused(engine: NatsEngine, lines: list[str]) -> None:
            await engine.wait_changed()
            self.assertIn("the server offers no TLS, which tls: asks for", engine.problem)

        self.run_with(broker, refused, "tls", Login("", ssl.create_default_context()))
        self.assertEqual(broker.heard, [])

    def test_memory(self) -> None:
        """The child has a bound of memory of its own, and is the first process that the system ends."""
        program = (
            "from mtmount_twisted.station.__main__ import MOST_MEMORY, bound_memory\n"
            "bound_memory()\n"
            "print(open('/proc/self/oom_score_adj').read().strip())\n"
            "try:\n    bytes(MOST_MEMORY)\nexcept MemoryError:\n    print('bounded')\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.split(), ["1000", "bounded"])
