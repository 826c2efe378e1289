"""The two engines, each with the whole suite of `engine_contract`; and what only the real one has."""

from __future__ import annotations

import itertools
import logging
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import EngineUnreachable
from mtmount_twisted.station.nats_engine import NatsEngine, version_problem
from mtmount_twisted.station.streams import StreamSettings, differences, events_stream
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine, matches
from tests.support.broker import Broker, broker_of, in_time

from .engine_contract import EngineContract, Receiver, Stage

USERS = """
no_auth_user: anyone
accounts { T: { jetstream: enabled, users: [
  { user: anyone }
  { user: reader, password: reader, permissions: {
      publish: { allow: ["$JS.API.>"] }, subscribe: { allow: ["_INBOX.>"] } } }
] } }
"""

numbers = itertools.count(1)


class MemoryStage:
    """The double in memory."""

    def __init__(self) -> None:
        self.prefix, self.log = "t1", "LOG"
        self.broker = MemoryBroker(lambda: 1000.0)
        self._engines: list[MemoryEngine] = []
        self._kept = 0

    async def engine(self) -> MemoryEngine:
        engine = MemoryEngine(self.broker)
        engine.start()
        self._engines.append(engine)
        await engine.wait_connected()
        return engine

    async def cut(self) -> None:
        self.broker.cut()

    async def restore(self) -> None:
        self.broker.restore()

    async def fill(self) -> None:
        self.broker.fill(self.log)

    async def keep(self) -> None:
        self._kept = self.broker.log(self.log).end

    async def lose_tail(self) -> None:
        self.broker.cut()
        self.broker.lose_tail(self.log, self.broker.log(self.log).end - self._kept)
        self.broker.restore()

    async def delete_before(self, position: int) -> None:
        self.broker.delete_before(self.log, position)

    async def refuse(self) -> MemoryEngine:
        self.broker.refuse(self.log)
        return await self.engine()

    async def close(self) -> None:
        for engine in self._engines:
            await engine.close()


class NatsStage:
    """A stream of its own on the server of the test class."""

    def __init__(self, broker: Broker) -> None:
        number = next(numbers)
        self.prefix, self.log = f"t{number}", f"LOG{number}"
        self.broker = broker
        self.told: list[str] = []
        self._engines: list[NatsEngine] = []
        self._copy: Any = None

    def streams(self) -> list[StreamSettings]:
        keys = tuple(f"{self.prefix}.{rest}" for rest in ("*", "a.*", "b.*"))
        subjects = tuple(key for key in keys if not key.endswith("lease"))
        return [StreamSettings(self.log, subjects, discard="new")]

    async def engine(self, url: str | None = None) -> NatsEngine:
        streams, told = self.streams(), self.told
        engine = NatsEngine([url or self.broker.url], streams, report=lambda level, text: told.append(text))
        engine.start()
        self._engines.append(engine)
        await engine.wait_connected()
        return engine

    async def cut(self) -> None:
        self.broker.kill()

    async def restore(self) -> None:
        self.broker.start()

    async def fill(self) -> None:
        await self._change(max_bytes=1024)

    async def _change(self, **more: Any) -> None:
        connection = self._engines[0].connection()
        config = (await connection.ask(f"STREAM.INFO.{self.log}"))["config"] | more
        await connection.ask(f"STREAM.UPDATE.{self.log}", config)

    async def keep(self) -> None:
        self._copy = self.broker.keep()

    async def lose_tail(self) -> None:
        self.broker.restart_with(self._copy)

    async def delete_before(self, position: int) -> None:
        await self._engines[0].connection().ask(f"STREAM.PURGE.{self.log}", {"seq": position})

    async def refuse(self) -> NatsEngine:
        return await self.engine(self.broker.url.replace("nats://", "nats://reader:reader@"))

    async def close(self) -> None:
        self.broker.start()
        for engine in self._engines:
            await engine.close()


class MemoryTests(EngineContract, SynchronousTestCase):
    """The double."""

    async def stage(self) -> Stage:
        return MemoryStage()

    def test_patterns(self) -> None:
        """A star is one word, and > one word or more."""
        for pattern, key, found in (
            ("a.*.c", "a.b.c", True),
            ("a.*", "a.b.c", False),
            ("a.>", "a.b.c", True),
            ("a.>", "a", False),
            ("a.b", "a.b", True),
            ("a.b", "a.c", False),
        ):
            self.assertEqual(matches(pattern, key), found, (pattern, key))

    def test_swallowed(self) -> None:
        """A message whose confirmation is lost is stored, and its writer does not know."""

        async def test(stage: Any, engine: Any) -> None:
            stage.broker.swallow()
            sent = await engine.log(stage.log).send("t1.a", b"1")
            stage.broker.cut()
            await self.fails(EngineUnreachable, sent)
            self.assertEqual(stage.broker.log(stage.log).last("t1.a").body, b"1")

        self.on_stage(test)


class NatsTests(EngineContract, SynchronousTestCase):
    """NATS."""

    def setUp(self) -> None:
        self.broker = broker_of(self, USERS)

    async def stage(self) -> Stage:
        return NatsStage(self.broker)

    def test_hanging_server(self) -> None:
        """A server that hangs counts as lost, and close() does not wait for it."""

        async def test(stage: Stage, engine: NatsEngine) -> None:
            await engine.log(stage.log).append(f"{stage.prefix}.a", b"")
            self.broker.signal(signal.SIGSTOP)
            try:
                sent = await engine.log(stage.log).send(f"{stage.prefix}.a", b"")
                await self.fails(EngineUnreachable, sent)
                await engine.wait_lost()
                await engine.close()
            finally:
                self.broker.signal(signal.SIGCONT)

        self.on_stage(test)

    def test_silent_consumer(self) -> None:
        """A reading whose consumer the server has deleted makes a new one, and misses nothing."""

        async def test(stage: Any, engine: NatsEngine) -> None:
            log, receiver = engine.log(stage.log), Receiver()
            await log.read(f"{stage.prefix}.>", 1, receiver)
            await log.append(f"{stage.prefix}.a", b"1")
            await receiver.until(1)
            connection = engine.connection()
            names = (await connection.ask(f"CONSUMER.NAMES.{stage.log}"))["consumers"]
            for name in names:
                await connection.ask(f"CONSUMER.DELETE.{stage.log}.{name}")
            await log.append(f"{stage.prefix}.a", b"2")
            self.assertEqual(await receiver.until(2), ["1", "2"])

        self.on_stage(test)

    def test_stopped_reading_leaves_no_consumer(self) -> None:
        """A reading that is stopped deletes its consumer at the server."""

        async def test(stage: Any, engine: NatsEngine) -> None:
            log, receiver = engine.log(stage.log), Receiver()
            reading = await log.read(f"{stage.prefix}.>", 1, receiver)
            await log.append(f"{stage.prefix}.a", b"1")
            await receiver.until(1)
            await reading.stop()
            found = await engine.connection().ask(f"STREAM.INFO.{stage.log}")
            self.assertEqual(found["state"]["consumer_count"], 0)

        self.on_stage(test)

    def test_reports(self) -> None:
        """A stream with other settings is reported in one line, once; so is one that can't be made."""

        async def run() -> None:
            number = next(numbers)
            lines: list[tuple[int, str]] = []
            first = NatsEngine([self.broker.url], [StreamSettings(f"S{number}", (f"s{number}.a",))])
            wanted = [
                StreamSettings(f"S{number}", (f"s{number}.*",), discard="new"),
                StreamSettings(f"R{number}", (f"r{number}.*",), replicas=3),  # one server can't have three
            ]
            second = NatsEngine([self.broker.url], wanted, report=lambda *line: lines.append(line))
            for engine in (first, second):
                engine.start()
                await engine.wait_connected()
            self.broker.restart()
            await second.wait_lost()
            await second.wait_connected()
            for engine in (first, second):
                await engine.close()
            self.assertEqual(
                [line[0] for line in lines], [logging.WARNING, logging.WARNING, logging.ERROR], lines
            )
            self.assertIn(f"expected s{number}.*", lines[0][1])
            self.assertIn("discard is old; expected new", lines[1][1])
            self.assertIn(f"R{number} is missing, and can't be made", lines[2][1])

        in_time(run())

    def test_wrong_server(self) -> None:
        """The reason why there is no connection can be read, and the next server is tried."""

        async def run() -> None:
            engine = NatsEngine(["nats://127.0.0.1:1", self.broker.url], [])
            engine.start()
            await engine.wait_connected()
            await engine.close()
            engine = NatsEngine(["nats://127.0.0.1:1"], [])
            engine.start()
            await engine.wait_changed()
            self.assertIn("no connection to nats://127.0.0.1:1: ", engine.problem)
            self.assertEqual(engine.connected, False)
            await engine.close()

        in_time(run())


class VersionTests(SynchronousTestCase):
    """Versions of the server."""

    def test_versions(self) -> None:
        """Versions that lost data, and older ones than 2.9, are refused with a reason."""
        for version, word in (
            ("2.8.4", "older than 2.9"),
            ("2.10.20", "lose streams"),
            ("2.10.22", "lose streams"),
            ("nonsense", "tells no version"),
        ):
            self.assertIn(word, version_problem(version))
        for version in ("2.9.10", "2.10.19", "2.10.23", "2.15.1", "2.11.0-RC.1"):
            self.assertEqual(version_problem(version), "")

    def test_differences(self) -> None:
        """A stream as the bridge makes it has no differences; wider subjects and more replicas are good."""
        wanted = events_stream(1)
        self.assertEqual(list(differences(wanted, wanted.as_json())), [])
        wider = wanted.as_json() | {"subjects": ["mt.>"], "num_replicas": 3}
        self.assertEqual(list(differences(wanted, wider)), [])
        worse = wanted.as_json() | {"duplicate_window": 10**9, "storage": "memory", "num_replicas": 0}
        self.assertEqual(len(list(differences(wanted, worse))), 3)
