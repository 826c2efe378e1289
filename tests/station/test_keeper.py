"""The questions of the election, at a broker in memory."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.broker.words import MAX_VALUE, Answer, Question
from mtmount_twisted.station.keeper import MOST_QUESTIONS, Keeper
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine
from tests.support.broker import in_time


class KeeperTests(SynchronousTestCase):
    """What the daemon asks."""

    def answers(self, *questions: dict[str, Any], up: bool = True) -> list[Answer]:
        """The answers to questions that are asked one after another, by their numbers."""
        self.broker = MemoryBroker(lambda: 0.0)
        told: list[Answer] = []

        async def run() -> None:
            engine = MemoryEngine(self.broker)
            engine.start()
            keeper = Keeper(engine, "t1", told.append)
            task = asyncio.create_task(keeper.run())
            if not up:
                self.broker.cut()
            for number, question in enumerate(questions, 1):
                keeper.ask(Question(number=number, **question))
                while len(told) < number:
                    await self.turn()
            task.cancel()
            await asyncio.wait([task])
            await engine.close()

        in_time(run())
        return told

    async def turn(self) -> None:
        """Let the other tasks run."""
        turned = asyncio.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        await turned.wait()

    def test_register(self) -> None:
        """The register is read, and written only on the revision that was seen."""
        get, first = {"what": "get"}, {"what": "swap", "value": "one"}
        told = self.answers(get, first, {"what": "swap", "value": "two"}, get)
        self.assertEqual(
            [(each.value, each.revision) for each in told], [(None, 0), (None, 1), (None, 0), ("one", 1)]
        )
        self.assertTrue(all(each.known for each in told))

    def test_presence(self) -> None:
        """A process is present from `here` to `leave`."""
        told = self.answers(
            {"what": "gone"}, {"what": "here"}, {"what": "gone"}, {"what": "leave"}, {"what": "gone"}
        )
        self.assertEqual([told[number].gone for number in (0, 2, 4)], [True, False, True])

    def test_broker_is_away(self) -> None:
        """Without the broker nothing is known, and nothing is claimed."""
        told = self.answers(
            {"what": "get"}, {"what": "swap", "value": "x"}, {"what": "gone"}, {"what": "here"}, up=False
        )
        self.assertEqual([(each.known, each.gone, each.revision) for each in told], [(False, False, 0)] * 4)

    def test_long_value(self) -> None:
        """A value that no bridge wrote is not handed on: its answer would be longer than the daemon takes,
        and a question without an answer leaves the bridge a standby for ever."""
        for value in ("x" * (MAX_VALUE + 1), "\x01" * 4000, '"' * 4000):
            [_, told] = self.answers({"what": "swap", "value": value}, {"what": "get"})
            self.assertEqual((told.known, told.value, told.revision), (True, "", 1))

    def test_presence_without_an_answer(self) -> None:
        """A question about the presence that gets no answer holds up no other one."""
        told: list[Answer] = []
        first = [True]

        class Mute:
            async def gone(self) -> bool:
                if first.pop() if first else False:
                    await asyncio.Event().wait()
                return True

        async def run() -> None:
            engine = MemoryEngine(MemoryBroker(lambda: 0.0))
            engine.start()
            engine.presence = lambda name: Mute()  # type: ignore[method-assign, assignment, return-value]
            keeper = Keeper(engine, "t1", told.append)
            task = asyncio.create_task(keeper.run())
            for number in (1, 2, 3):
                keeper.ask(Question(number=number, what="gone"))
            while len(told) < 2:
                await self.turn()
            task.cancel()
            await asyncio.wait([task])

        in_time(run())
        self.assertEqual([(each.number, each.gone) for each in told], [(2, True), (3, True)])

    def test_too_many(self) -> None:
        """Questions beyond the bound are answered at once, as unknown."""
        told: list[Answer] = []

        async def run() -> None:
            engine = MemoryEngine(MemoryBroker(lambda: 0.0))
            keeper = Keeper(engine, "t1", told.append)
            for number in range(MOST_QUESTIONS + 2):
                keeper.ask(Question(number=number, what="get"))

        in_time(run())
        self.assertEqual([(each.number, each.known) for each in told], [(20, False), (21, False)])
