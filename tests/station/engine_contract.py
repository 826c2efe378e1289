"""What each engine must do: one suite for the real broker and for the double in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from zope.interface.verify import verifyObject

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable
from mtmount_twisted.station.contracts import (
    IEngine,
    ILog,
    IPresence,
    IReading,
    IRegister,
    Start,
    Stored,
)
from tests.support.broker import in_time


class Stage(Protocol):
    """A broker for one test, and what can happen to it. `log` has the keys ``PREFIX.>``."""

    prefix: str
    log: str

    async def engine(self) -> Any:
        """A further engine, which is connected."""

    async def cut(self) -> None:
        """Cut the broker off from all engines."""

    async def restore(self) -> None:
        """Let the engines reach the broker again, with all that it had stored."""

    async def fill(self) -> None:
        """Let the log have no room."""

    async def keep(self) -> None:
        """Note the end of the log, for `lose_tail`."""

    async def lose_tail(self) -> None:
        """Cut the broker off, and restore it with the log as it was at `keep`."""

    async def delete_before(self, position: int) -> None:
        """Delete the messages before a position."""

    async def refuse(self) -> Any:
        """A connected engine whose user may not write to the log."""

    async def close(self) -> None:
        """Close all engines, and restore the broker."""


class Receiver:
    """What a reading delivers: messages, and gaps as pairs of positions."""

    def __init__(self) -> None:
        self.got: list[Stored | tuple[int, int]] = []
        self.came = asyncio.Event()

    async def received(self, message: Stored) -> None:
        self.got.append(message)
        self.came.set()

    async def gap(self, first: int, last: int) -> None:
        self.got.append((first, last))
        self.came.set()

    async def until(self, number: int) -> list[Any]:
        """The bodies, or gaps, once there are so many."""
        while len(self.got) < number:
            self.came.clear()
            await self.came.wait()
        return [each.body.decode() if isinstance(each, Stored) else each for each in self.got]


class EngineContract:
    """The suite. A subclass is a test case, and has `stage`."""

    assertEqual: Callable[..., None]
    assertTrue: Callable[..., None]
    assertLess: Callable[..., None]
    assertIn: Callable[..., None]

    async def stage(self) -> Stage:
        """A broker for one test."""
        raise NotImplementedError

    def on_stage(self, test: Callable[[Stage, Any], Awaitable[None]]) -> None:
        """Run a test with a stage and a connected engine."""

        async def run() -> None:
            stage = await self.stage()
            try:
                await test(stage, await stage.engine())
            finally:
                await stage.close()

        in_time(run())

    async def fails(self, error: type[Exception], work: Awaitable[Any]) -> str:
        """The text of the error with which something fails."""
        try:
            await work
        except error as caught:
            return str(caught)
        raise AssertionError(f"no {error.__name__}")

    def test_contracts(self) -> None:
        """An engine, and all that it hands out, has the methods of its contract."""

        async def test(stage: Stage, engine: Any) -> None:
            verifyObject(IEngine, engine)
            verifyObject(ILog, engine.log(stage.log))
            verifyObject(IRegister, engine.register(f"{stage.prefix}.lease"))
            verifyObject(IPresence, engine.presence(f"here.{stage.prefix}"))
            reading = await engine.log(stage.log).read(f"{stage.prefix}.>", 1, Receiver())
            verifyObject(IReading, reading)
            self.assertEqual((engine.connected, engine.problem), (True, ""))
            connection = getattr(engine, "connection", None)
            if connection is not None and connection().version.startswith("2.9."):
                self.assertIsNone(engine.offset)  # such a server does not tell its time (station.rst)
            else:
                self.assertLess(abs(engine.offset), 5)  # both are on this machine

        self.on_stage(test)

    def test_append_and_last(self) -> None:
        """Messages get rising positions; the last one is found by its key, and by a pattern."""

        async def test(stage: Stage, engine: Any) -> None:
            log = engine.log(stage.log)
            self.assertEqual(await log.last(f"{stage.prefix}.>"), None)
            positions = [
                await log.append(f"{stage.prefix}.{key}", body) for key, body in (("a", b"1"), ("b", b"2"))
            ]
            self.assertEqual(positions, [1, 2])
            found = await log.last(f"{stage.prefix}.a")
            self.assertEqual(found[:3], (f"{stage.prefix}.a", b"1", 1))
            self.assertEqual((await log.last(f"{stage.prefix}.>")).body, b"2")

        self.on_stage(test)

    def test_first(self) -> None:
        """The first message from a position on is found, by a pattern."""

        async def test(stage: Stage, engine: Any) -> None:
            log, prefix = engine.log(stage.log), stage.prefix
            self.assertEqual(await log.first(f"{prefix}.>"), None)
            for key in ("a", "b", "a"):
                await log.append(f"{prefix}.{key}", b"")
            found = [await log.first(f"{prefix}.{key}", place) for key in "ab>" for place in range(5)]
            positions = [None if each is None else each.position for each in found]
            self.assertEqual(positions, [1, 1, 3, 3, None, 2, 2, 2, None, None, 1, 1, 2, 3, None])

        self.on_stage(test)

    def test_same_id(self) -> None:
        """A message with the id of a stored one is not stored again: it has the position of that one."""

        async def test(stage: Stage, engine: Any) -> None:
            log, key = engine.log(stage.log), f"{stage.prefix}.a"
            first = await log.append(key, b"1", id="x")
            await log.append(key, b"2", id="y")
            self.assertEqual(await log.append(key, b"1", id="x"), first)
            self.assertEqual((await log.last(key)).body, b"2")

        self.on_stage(test)

    def test_condition(self) -> None:
        """A message with a condition is stored only if it follows the message that its writer saw."""

        async def test(stage: Stage, engine: Any) -> None:
            log, key = engine.log(stage.log), f"{stage.prefix}.a"
            first = await log.append(key, b"1", after=0)
            self.assertTrue(first)
            await log.append(f"{stage.prefix}.b", b"of another key")
            self.assertEqual(await log.append(key, b"2", after=0), 0)
            self.assertTrue(await log.append(key, b"3", after=first))
            self.assertEqual((await log.last(key)).body, b"3")

        self.on_stage(test)

    def test_order(self) -> None:
        """Messages that are handed over without waiting are stored in that order."""

        async def test(stage: Stage, engine: Any) -> None:
            log = engine.log(stage.log)
            sent = [await log.send(f"{stage.prefix}.{number}", b"") for number in range(300)]
            self.assertEqual([await each for each in sent], list(range(1, 301)))

        self.on_stage(test)

    def test_register(self) -> None:
        """Of two writers that saw the same revision, one changes the register."""

        async def test(stage: Stage, engine: Any) -> None:
            other = (await stage.engine()).register(f"{stage.prefix}.lease")
            register = engine.register(f"{stage.prefix}.lease")
            self.assertEqual(await register.get(), (None, 0))
            first = await register.swap(b"a", 0)
            self.assertTrue(first)
            self.assertEqual(await other.swap(b"b", 0), 0)
            self.assertEqual(await other.get(), (b"a", first))
            second = await other.swap(b"b", first)
            self.assertLess(first, second)
            self.assertEqual(await register.swap(b"c", first), 0)
            self.assertEqual(await register.get(), (b"b", second))

        self.on_stage(test)

    def test_presence(self) -> None:
        """A presence is gone as soon as its engine is, and comes back with it after a cut."""

        async def test(stage: Stage, engine: Any) -> None:
            name = f"here.{stage.prefix}"
            asks = engine.presence(name)
            self.assertTrue(await asks.gone())
            other = await stage.engine()
            await other.presence(name).here()
            self.assertEqual(await asks.gone(), False)
            await other.presence(name).leave()
            self.assertTrue(await asks.gone())
            await other.presence(name).here()
            self.assertEqual(await asks.gone(), False)
            await stage.cut()
            await engine.wait_lost()
            await other.wait_lost()
            await self.fails(EngineUnreachable, asks.gone())
            await stage.restore()
            await engine.wait_connected()
            await other.wait_connected()
            self.assertEqual(await asks.gone(), False)
            await other.close()
            self.assertTrue(await asks.gone())

        self.on_stage(test)

    def test_presence_ends_first(self) -> None:
        """An engine that closes is gone at once, also while its readings end."""

        async def test(stage: Stage, engine: Any) -> None:
            other = await stage.engine()
            here, asks = engine.presence(f"here.{stage.prefix}"), other.presence(f"here.{stage.prefix}")
            await here.here()
            ending = asyncio.Event()
            seen: list[bool] = []

            class Slow(Receiver):
                async def received(self, message: Stored) -> None:
                    self.came.set()
                    try:
                        await asyncio.Event().wait()
                    finally:
                        seen.append(await asks.gone())
                        ending.set()

            log, receiver = engine.log(stage.log), Slow()
            await log.append(f"{stage.prefix}.a", b"1")
            await log.read(f"{stage.prefix}.>", 1, receiver)
            await receiver.came.wait()
            await engine.close()
            await ending.wait()
            self.assertEqual(seen, [True])

        self.on_stage(test)

    def test_read(self) -> None:
        """A reading delivers what is stored from its position on, then what is new, by its pattern only."""

        async def test(stage: Stage, engine: Any) -> None:
            log = engine.log(stage.log)
            for number in range(1, 4):
                await log.append(f"{stage.prefix}.a.{number}", str(number).encode())
            await log.append(f"{stage.prefix}.b.4", b"of another key")
            receiver = Receiver()
            reading = await log.read(f"{stage.prefix}.a.*", 2, receiver)
            self.assertEqual(await receiver.until(2), ["2", "3"])
            await log.append(f"{stage.prefix}.a.5", b"5")
            self.assertEqual(await receiver.until(3), ["2", "3", "5"])
            self.assertEqual([each.position for each in receiver.got], [2, 3, 5])
            self.assertLess(abs(receiver.got[0].time - (await log.last(f"{stage.prefix}.a.2")).time), 0.001)
            await reading.stop()

        self.on_stage(test)

    def test_read_starts(self) -> None:
        """A reading begins with the last message of each key, or after all that is stored."""

        async def test(stage: Stage, engine: Any) -> None:
            log = engine.log(stage.log)
            for key, body in (("a", b"1"), ("b", b"2"), ("a", b"3")):
                await log.append(f"{stage.prefix}.{key}", body)
            lasts, news = Receiver(), Receiver()
            await log.read(f"{stage.prefix}.*", Start.LAST_OF_EACH, lasts)
            await log.read(f"{stage.prefix}.*", Start.NEW, news)
            await log.append(f"{stage.prefix}.b", b"4")
            self.assertEqual(await lasts.until(3), ["2", "3", "4"])
            self.assertEqual(await news.until(1), ["4"])

        self.on_stage(test)

    def test_pause(self) -> None:
        """A paused reading delivers nothing, and then goes on where it was."""

        async def test(stage: Stage, engine: Any) -> None:
            log, receiver, witness = engine.log(stage.log), Receiver(), Receiver()
            reading = await log.read(f"{stage.prefix}.>", 1, receiver)
            await log.read(f"{stage.prefix}.>", 1, witness)
            reading.pause()
            await log.append(f"{stage.prefix}.a", b"1")
            await witness.until(1)
            self.assertEqual(receiver.got, [])
            reading.resume()
            self.assertEqual(await receiver.until(1), ["1"])

        self.on_stage(test)

    def test_read_over_a_cut(self) -> None:
        """After a cut a reading goes on: nothing is missing, nothing comes twice."""

        async def test(stage: Stage, engine: Any) -> None:
            log, receiver = engine.log(stage.log), Receiver()
            await log.read(f"{stage.prefix}.>", 1, receiver)
            await log.append(f"{stage.prefix}.a", b"1")
            await receiver.until(1)
            await stage.cut()
            await engine.wait_lost()
            await stage.restore()
            await engine.wait_connected()
            await log.append(f"{stage.prefix}.a", b"2")
            await log.append(f"{stage.prefix}.a", b"3")
            self.assertEqual(await receiver.until(3), ["1", "2", "3"])

        self.on_stage(test)

    def test_gap_of_deleted_messages(self) -> None:
        """A reading tells which messages were deleted before it came to them."""

        async def test(stage: Stage, engine: Any) -> None:
            log, receiver = engine.log(stage.log), Receiver()
            for number in range(1, 6):
                await log.append(f"{stage.prefix}.a", str(number).encode())
            await stage.delete_before(4)
            await log.read(f"{stage.prefix}.>", 2, receiver)
            self.assertEqual(await receiver.until(3), [(2, 3), "4", "5"])

        self.on_stage(test)

    def test_gap_of_a_lost_tail(self) -> None:
        """A reading tells which messages the broker has lost since it read them, and goes on after them."""

        async def test(stage: Stage, engine: Any) -> None:
            log, receiver = engine.log(stage.log), Receiver()
            await log.read(f"{stage.prefix}.>", 1, receiver)
            await log.append(f"{stage.prefix}.a", b"1")
            await stage.keep()
            for body in (b"2", b"3"):
                await log.append(f"{stage.prefix}.a", body)
            await receiver.until(3)
            await stage.lose_tail()
            self.assertEqual(await receiver.until(4), ["1", "2", "3", (2, 3)])
            await engine.wait_connected()
            self.assertEqual((await log.last(f"{stage.prefix}.>")).body, b"1")
            self.assertEqual(await log.append(f"{stage.prefix}.a", b"again"), 2)
            self.assertEqual((await receiver.until(5))[-1], "again")

        self.on_stage(test)

    def test_nothing_is_sent_later(self) -> None:
        """What is appended while the broker is away fails at once, and is not stored when it is back."""

        async def test(stage: Stage, engine: Any) -> None:
            log, key = engine.log(stage.log), f"{stage.prefix}.a"
            await stage.cut()
            await engine.wait_lost()
            self.assertEqual(engine.connected, False)
            await self.fails(EngineUnreachable, log.append(key, b"1"))
            await self.fails(EngineUnreachable, log.last(key))
            await stage.restore()
            await engine.wait_connected()
            self.assertEqual(await log.append(key, b"2"), 1)

        self.on_stage(test)

    def test_unconfirmed_is_unknown(self) -> None:
        """What the loss of the connection leaves without a confirmation ends as unknown, and never hangs."""

        async def test(stage: Stage, engine: Any) -> None:
            log, key = engine.log(stage.log), f"{stage.prefix}.a"
            sent = [await log.send(key, b"") for _ in range(50)]
            await stage.cut()
            ends = await asyncio.gather(*sent, return_exceptions=True)
            kinds = {type(each) for each in ends}
            self.assertTrue(kinds <= {int, EngineUnreachable}, kinds)

        self.on_stage(test)

    def test_full(self) -> None:
        """A log without room says so, and has not stored the message."""

        async def test(stage: Stage, engine: Any) -> None:
            log, key = engine.log(stage.log), f"{stage.prefix}.a"
            await log.append(key, b"1")
            self.assertLess(2**30, await log.room())
            await stage.fill()
            self.assertLess(await log.room(), 1024)
            await self.fails(EngineFull, log.append(key, b"2" * 4096))
            self.assertEqual((await log.last(key)).body, b"1")

        self.on_stage(test)

    def test_refused(self) -> None:
        """A user without the right to write is refused, by the key's name, and nothing is stored."""

        async def test(stage: Stage, engine: Any) -> None:
            key = f"{stage.prefix}.a"
            other = await stage.refuse()
            why = await self.fails(EngineRefused, other.log(stage.log).append(key, b"1"))
            self.assertIn(key, why)
            self.assertEqual(await engine.log(stage.log).last(key), None)

        self.on_stage(test)

    def test_receiver_fails(self) -> None:
        """An error of a receiver does not get lost; one of the broker lets it receive again."""

        async def test(stage: Stage, engine: Any) -> None:
            errors = [EngineUnreachable("of the test"), LookupError("of the test")]
            seen: list[bytes] = []

            class Failing(Receiver):
                async def received(self, message: Stored) -> None:
                    seen.append(message.body)
                    raise errors.pop(0)

            log = engine.log(stage.log)
            await log.append(f"{stage.prefix}.a", b"1")
            await log.read(f"{stage.prefix}.>", 1, Failing())
            await self.fails(LookupError, engine.wait_failed())
            self.assertEqual(seen, [b"1", b"1"])

        self.on_stage(test)

    def test_close_twice(self) -> None:
        """A closed engine can't write; it may be closed again."""

        async def test(stage: Stage, engine: Any) -> None:
            await engine.close()
            await engine.close()
            await self.fails(EngineUnreachable, engine.log(stage.log).append(f"{stage.prefix}.a", b""))

        self.on_stage(test)
