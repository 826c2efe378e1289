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

from mtmount_twisted.station import nats_engine
from mtmount_twisted.station.nats_connection import Login
from mtmount_twisted.station.nats_engine import NatsEngine
from mtmount_twisted.station.streams import events_stream
from tests.support.broker import in_time

GOOD = b'{"config":{"name":"x"},"ts":"2026-11-27T10:00:00Z"}'


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
            words = line.split()
            if words[0] == b"PING":
                writer.write(b"PONG\r\n")
            elif words[0] == b"PUB":
                await reader.readexactly(int(words[-1]) + 2)
                writer.write(b"MSG %b 1 %d\r\n%b\r\n" % (words[2], len(self.answer), self.answer))
        writer.close()


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
