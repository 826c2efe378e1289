"""Commands by the broker: every place where the process can die, with a broker in memory."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.errors import EngineUnreachable
from mtmount_twisted.frontends.broker.words import (
    MOST_NESTED,
    Command,
    OfDesk,
    Outcome,
    Recall,
    Seen,
    StationUser,
    Written,
    moment,
)
from mtmount_twisted.station import desk as desk_module
from mtmount_twisted.station.contracts import Stored
from mtmount_twisted.station.desk import MOST_OPEN, MOST_WAITING, NO_POSITION, Desk, Lives, Positions
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.requests import (
    Subjects,
    Wanted,
    claim_body,
    outcome_body,
    read_life,
    read_outcome,
    request_body,
)
from mtmount_twisted.station.streams import LONGEST_REQUEST, commands_name
from mtmount_twisted.station.waits import pause
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine
from tests.support.broker import on_stage

LOG = "MT_CMD_night"
SUBJECTS = Subjects("t1")
MOVE = Wanted("AzimuthAxisMove", {"position": 5})
STOP = Wanted("AzimuthAxisStop")
ASK = Wanted("AskForCommand", {"commander": "CSC"})

NIGHT = StationUser(name="night", source="CSC", role="command", expires=10.0)
DAY = StationUser(name="day", source="CSC", role="command", expires=10.0)
GUEST = StationUser(name="guest", source="CSC", role="observer", expires=10.0)


class Life:
    """The life of a process.

    :ivar sees: is clear while no answer about the last message of a key reaches the process.
    :ivar writes: is clear while the broker gets no message of the process.
    :ivar unseen: keys with which no such answer reaches the process.
    :ivar bound: no message behind this position reaches the process.
    :ivar read: the position of the last message that the process has read.
    :ivar gaps: the gaps of which the process has heard.
    :ivar lie: when the broker says falsely, once, that the condition of a message does not hold; empty for
        never.
    """

    def __init__(self) -> None:
        self.is_dead = False
        self.unseen = self.lie = ""
        self.bound = NO_POSITION
        self.read = 0
        self.gaps: list[tuple[int, int]] = []
        self.sees = asyncio.Event()
        self.sees.set()
        self.writes = asyncio.Event()
        self.writes.set()


class BoundReceiver:
    """A receiver of a process: the messages behind a bound come later."""

    def __init__(self, receiver: Any, life: Life) -> None:
        self._receiver, self._life = receiver, life

    async def received(self, message: Stored) -> None:
        if message.position > self._life.bound:
            raise EngineUnreachable("the message is behind the bound")
        await self._receiver.received(message)
        self._life.read = message.position

    async def gap(self, first: int, last: int) -> None:
        await self._receiver.gap(first, last)
        self._life.gaps.append((first, last))


class MortalLog:
    """A log of a process that can die: nothing of it reaches the broker after that."""

    def __init__(self, log: Any, life: Life) -> None:
        self._log, self._life = log, life

    async def _live(self) -> None:
        if self._life.is_dead:
            await asyncio.Event().wait()

    async def append(self, *args: Any, **more: Any) -> int:
        await self._live()
        await self._life.writes.wait()
        lie, self._life.lie = self._life.lie, ""
        if lie == "before it is stored":
            return 0
        position: int = await self._log.append(*args, **more)
        if lie == "after it is stored":
            return 0
        await self._live()
        return position

    async def last(self, keys: str) -> Any:
        await self._live()
        await self._life.sees.wait()
        while keys == self._life.unseen:
            await pause(0.001)
        return await self._log.last(keys)

    async def read(self, keys: str, start: int, receiver: Any) -> Any:
        await self._live()
        return await self._log.read(keys, start, BoundReceiver(receiver, self._life))

    async def room(self) -> Any:
        await self._live()
        return await self._log.room()


class Process:
    """A desk in a process of its own, and the daemon that it speaks to."""

    def __init__(self, house: House, node: str, epoch: int) -> None:
        self.house = house
        self.handed: list[Any] = []
        self.written: list[str] = []
        self.told: list[str] = []
        self.engine = MemoryEngine(house.broker)
        self.engine.start()
        self.log = Life()
        users = [NIGHT, DAY, GUEST]
        logs: Any = {
            each.name: MortalLog(self.engine.log(commands_name(each.name)), self.log) for each in users
        }
        self.reads = True
        self.refused = 0  # the number of recalls that the daemon did not take
        self.desk = Desk(
            self.engine,
            logs,
            Source("t1", node),
            users,
            dialect_named("tma2020"),
            self.hand,
            lambda level, text: self.told.append(text),
            lambda: house.time,
        )
        self.desk.settle_tenure(epoch, True)
        self.task = asyncio.create_task(self.desk.run())

    def hand(self, line: OfDesk) -> bool:
        """What the daemon gets; a command is a write to the mount."""
        if self.log.is_dead or not self.reads:
            self.refused += isinstance(line, Recall)
            return False
        if not isinstance(line, Seen | Written):
            self.handed.append(line)
        if isinstance(line, Seen):
            self.house.seen.append(line.user)
        if isinstance(line, Written):
            self.written.append(line.id)
        if isinstance(line, Command):
            self.house.mount.append((line.user, line.id))
        return True

    def ends(self, id: str, state: str = "done", user: str = "night") -> None:
        """The mount's word about a command."""
        steps = [{"step": "done", "time": "2026-11-27T00:00:00.000Z"}]
        self.desk.note_outcome(Outcome(user=user, id=id, state=state, steps=steps))

    async def finish(self, id: str) -> None:
        """The mount has done a command: wait for the outcome."""
        self.ends(id)
        await self.house.outcome(id)

    async def end_tenure(self) -> None:
        """End the tenure, and wait until the session has ended."""
        self.desk.settle_tenure(self.desk.epoch, False)
        await pause(0.01)

    def begin_tenure(self, epoch: int) -> None:
        """Begin the next tenure."""
        self.desk.settle_tenure(epoch, True)

    def die(self) -> None:
        """End without another word."""
        self.log.is_dead = True

    async def close(self) -> None:
        self.die()
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.engine.close()


class House:
    """A broker in memory, a requester, and the processes of bridges.

    :ivar mount: the commands that reached the mount.
    """

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.broker = MemoryBroker(lambda: self.time)
        self.mount: list[tuple[str, str]] = []
        self.seen: list[str] = []
        self.requester = MemoryEngine(self.broker)
        self.requester.start()
        self.log = self.requester.log(LOG)
        self.processes: list[Process] = []

    def process(self, node: str = "a", epoch: int = 1) -> Process:
        made = Process(self, node, epoch)
        self.processes.append(made)
        return made

    async def busy_process(self) -> Process:
        """A process whose user has as many commands in flight as it may have."""
        process = self.process()
        for number in range(MOST_OPEN):
            await self.ask(f"{number}")
        await self.until(lambda: len(self.mount) == MOST_OPEN)
        return process

    async def send(
        self, id: str, wanted: Wanted | bytes = MOVE, user: str = "night", after: int | None = 0
    ) -> asyncio.Future[int]:
        """Send a request, or any bytes in its place; return the confirmation."""
        key, log = SUBJECTS.request(user, id), self.requester.log(commands_name(user))
        body = wanted if isinstance(wanted, bytes) else request_body(user, id, wanted)
        sent = await log.send(key, body, None, after)
        sent.add_done_callback(lambda future: future.exception())  # it may be lost
        return sent

    async def ask(
        self, id: str, wanted: Wanted | bytes = MOVE, user: str = "night", after: int | None = 0
    ) -> int:
        """Send a request, and wait for its confirmation."""
        return await (await self.send(id, wanted, user, after))

    async def run(self, id: str, wanted: Wanted = MOVE, user: str = "night") -> int:
        """Send a request, and wait until the mount has its command."""
        position = await self.ask(id, wanted, user)
        await self.sent(id, user)
        return position

    async def sent(self, id: str, user: str = "night") -> None:
        """Wait until the mount has the command of a request."""
        await self.until(lambda: (user, id) in self.mount)

    async def claim(self, id: str, node: str = "a", epoch: int = 1) -> None:
        """Write a claim, as a bridge does."""
        body = claim_body(id, Source("t1", node), epoch, 1, self.time)
        await self.log.append(SUBJECTS.life("night", id), body, after=0)

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Wait until something is so."""
        while not is_so():
            await pause(0.001)

    def life(self, id: str, user: str = "night") -> list[Any]:
        """What the log has about a request."""
        key = SUBJECTS.life(user, id)
        messages = self.broker.log(commands_name(user)).messages
        return [json.loads(each.body) for each in messages if each.key == key]

    def kinds(self, id: str, user: str = "night") -> list[str]:
        """The same in words: ``claim``, or the state of the outcome."""
        found = self.life(id, user)
        return [each["data"].get("state") or each["type"].partition(".")[2] for each in found]

    async def outcome(self, id: str, user: str = "night") -> Any:
        """Wait for the outcome of a request."""
        await self.until(lambda: self.kinds(id, user)[-1:] not in ([], ["claim"]))
        return self.life(id, user)[-1]["data"]

    async def close(self) -> None:
        for each in self.processes:
            await each.close()
        await self.requester.close()


class DeskCase(SynchronousTestCase):
    """A house for each test."""

    def in_house(self, test: Callable[[House], Awaitable[None]]) -> None:
        """Run a test."""
        on_stage(House, test)

    async def overtaken(self, house: House, *ids: str) -> None:
        """Some requests end without being sent, because of a stop."""
        for id in ids:
            self.assertEqual((await house.outcome(id))["explanation"], "not sent: overtaken by a stop")

    def dies(self, process: Process, point: str) -> asyncio.Event:
        """Let a process die at a named point; the event tells that it has."""
        dead = asyncio.Event()

        def reached(name: str) -> None:
            if name == point and not dead.is_set() and not process.log.is_dead:
                process.die()
                dead.set()

        self.patch(desk_module, "reached", reached)
        return dead


class DeathTests(DeskCase):
    """The table of the design: the process dies at each line, and another bridge takes over."""

    def test_before_the_request_is_stored(self) -> None:
        """The requester repeats its request with the same id: it runs once."""

        async def test(house: House) -> None:
            process = house.process()
            house.broker.swallow()
            sent = await house.send("1")
            house.broker.cut()
            with self.assertRaises(EngineUnreachable):
                await sent
            house.broker.restore()
            self.assertEqual(await house.ask("1"), 0)  # it was stored after all
            await house.until(lambda: house.mount)
            process.ends("1")
            self.assertEqual((await house.outcome("1"))["state"], "done")
            self.assertEqual(house.mount, [("night", "1")])

        self.in_house(test)

    def test_before_the_claim(self) -> None:
        """The next bridge sends it."""

        async def test(house: House) -> None:
            dead = self.dies(house.process(), "requested")
            await house.ask("1")
            await dead.wait()
            self.assertEqual(house.kinds("1"), [])
            heir = house.process("b", 2)
            await house.until(lambda: house.mount)
            await heir.finish("1")
            self.assertEqual(house.kinds("1"), ["claim", "done"])
            self.assertEqual(house.life("1")[0]["data"]["session"], "b.2")
            self.assertEqual(house.mount, [("night", "1")])

        self.in_house(test)

    def test_before_the_claim_and_too_late(self) -> None:
        """The next bridge does not send what has become too old."""

        async def test(house: House) -> None:
            dead = self.dies(house.process(), "requested")
            await house.ask("1")
            await dead.wait()
            house.time += 10.5
            house.process("b", 2)
            self.assertEqual((await house.outcome("1"))["explanation"], "not sent: too old")
            self.assertEqual((house.kinds("1"), house.mount), (["not_sent"], []))

        self.in_house(test)

    def test_after_the_claim(self) -> None:
        """Whether it was sent or not is unknown, and it is never sent again."""
        for point, sent in (("claimed", []), ("handed over", [("night", "1")])):

            async def test(house: House, point: str = point, sent: Any = sent) -> None:
                dead = self.dies(house.process(), point)
                await house.ask("1")
                await dead.wait()
                self.assertEqual((house.kinds("1"), house.mount), (["claim"], sent))
                heir = house.process("b", 2)
                self.assertEqual((await house.outcome("1"))["state"], "outcome_unknown")
                await house.ask("2")
                await house.until(lambda: heir.handed)
                self.assertEqual(house.mount, [*sent, ("night", "2")])

            self.in_house(test)

    def test_before_the_outcome_is_written(self) -> None:
        """The mount did it; the outcome is unknown, once."""

        async def test(house: House) -> None:
            process = house.process()
            dead = self.dies(process, "ended")
            await house.run("1")
            process.ends("1")
            await dead.wait()
            house.process("b", 2)
            await house.outcome("1")
            self.assertEqual(house.kinds("1"), ["claim", "outcome_unknown"])

        self.in_house(test)

    def test_outcome_written_and_not_read(self) -> None:
        """The outcome stands, and the next bridge does not touch it."""

        async def test(house: House) -> None:
            process = house.process()
            dead = self.dies(process, "written")
            await house.run("1")
            process.ends("1")
            await dead.wait()
            heir = house.process("b", 2)
            await house.ask("2")
            await house.until(lambda: heir.handed)
            self.assertEqual(house.kinds("1"), ["claim", "done"])
            self.assertEqual(house.mount, [("night", "1"), ("night", "2")])

        self.in_house(test)

    def test_old_bridge_wakes(self) -> None:
        """Its late outcome is refused: what stands, stands; its log has a line."""

        async def test(house: House) -> None:
            old = house.process()
            await house.run("1")
            house.process("b", 2)
            await house.outcome("1")
            old.ends("1")
            await house.until(lambda: old.told)
            self.assertIn("night's request 1 comes too late: here it is done", old.told[0])
            self.assertEqual(house.kinds("1"), ["claim", "outcome_unknown"])

        self.in_house(test)

    def test_broker_away_before_the_outcome(self) -> None:
        """The same bridge writes the outcome later, and it is right; also if its tenure ended meanwhile."""
        for active in (True, False):

            async def test(house: House, active: bool = active) -> None:
                process = house.process()
                await house.run("1")
                house.broker.cut()
                process.ends("1")
                process.desk.settle_tenure(1, active)
                await pause(0.01)
                house.broker.restore()
                await house.outcome("1")
                self.assertEqual(house.kinds("1"), ["claim", "done"])

            self.in_house(test)

    def test_confirmations_lost(self) -> None:
        """A claim and an outcome whose confirmations are lost count: nothing is sent or written twice."""

        async def test(house: House) -> None:
            process = house.process()
            await house.ask("0")  # the desk serves now
            await house.until(lambda: house.mount)
            house.broker.swallow()
            request = await house.send("1")
            await house.until(lambda: house.kinds("1") == ["claim"])
            house.broker.cut()
            with self.assertRaises(EngineUnreachable):
                await request
            house.broker.restore()
            await house.until(lambda: len(house.mount) == 2)
            house.broker.swallow()
            process.ends("1")
            await house.until(lambda: len(house.kinds("1")) == 2)
            house.broker.cut()
            house.broker.restore()
            await house.until(lambda: not any("late" in text for text in process.told))
            await process.finish("0")
            self.assertEqual(house.kinds("1"), ["claim", "done"])
            self.assertEqual(process.told, [])

        self.in_house(test)

    def test_false_answers_about_conditions(self) -> None:
        """A broker may say falsely that the condition of a claim or an outcome does not hold. Each request
        still has one of each, and is sent once."""
        for lie in ("before it is stored", "after it is stored"):

            async def test(house: House, lie: str = lie) -> None:
                process = house.process()
                await house.run("0")  # the desk serves now
                for id, wanted in (("1", MOVE), ("2", STOP)):
                    process.log.lie = lie
                    await house.run(id, wanted)
                    await house.until(partial(house.kinds, id))
                    process.log.lie = lie
                    await process.finish(id)
                    self.assertEqual(house.kinds(id), ["claim", "done"])
                self.assertEqual([id for _, id in house.mount], ["0", "1", "2"])
                self.assertEqual(process.told, [])

            self.in_house(test)

    def test_stop(self) -> None:
        """A stop goes first and is claimed behind: it may come twice, and has one outcome."""

        async def test(house: House) -> None:
            dead = self.dies(house.process(), "handed over")
            await house.ask("1", STOP)
            await dead.wait()
            self.assertEqual((house.kinds("1"), house.mount), ([], [("night", "1")]))
            heir = house.process("b", 2)
            await house.until(lambda: len(house.mount) == 2)
            await heir.finish("1")
            self.assertEqual(house.kinds("1"), ["claim", "done"])

        self.in_house(test)

    def test_new_process_of_the_same_bridge(self) -> None:
        """It asks the daemon about the claims of the process before, and writes what the daemon says."""
        for epoch in (1, 2):
            self.in_house(lambda house, epoch=epoch: self.recalls(house, epoch))  # type: ignore[misc]

    async def recalls(self, house: House, epoch: int) -> None:
        """A process dies, and the next one of the same bridge has an epoch."""
        dead = self.dies(house.process(), "handed over")
        await house.ask("1")
        await dead.wait()
        process = house.process(epoch=epoch)
        await house.until(lambda: process.handed)
        self.assertEqual(process.handed, [Recall("night", "1")])
        await process.finish("1")
        self.assertEqual(house.kinds("1"), ["claim", "done"])

    def test_daemon_does_not_take_a_recall(self) -> None:
        """The daemon does not read when the next process asks about a claim: the process asks again, and the
        claim has its outcome, also if the session ends meanwhile."""
        for ends in (False, True):

            async def test(house: House, ends: bool = ends) -> None:
                dead = self.dies(house.process(), "handed over")
                await house.ask("1")
                await dead.wait()
                process = house.process()
                process.reads = False
                await house.until(lambda: process.refused > 1)
                if ends:
                    await process.end_tenure()
                process.reads = True
                await house.until(lambda: process.handed)
                await process.finish("1")
                self.assertEqual(
                    (process.handed, house.kinds("1")), ([Recall("night", "1")], ["claim", "done"])
                )
                await house.until(lambda: process.desk.is_done)

            self.patch(desk_module, "RETRY_AFTER", 0.001)
            self.in_house(test)

    def test_outcome_before_a_recall(self) -> None:
        """The daemon tells the outcome by itself before it takes the question: the process asks no more."""

        async def test(house: House) -> None:
            dead = self.dies(house.process(), "handed over")
            await house.ask("1")
            await dead.wait()
            process = house.process()
            process.reads = False
            await house.until(lambda: process.refused > 1)
            process.reads = True
            await process.finish("1")
            await house.until(lambda: process.desk.is_done)
            self.assertEqual((process.handed, process.written), ([], ["1"]))

        self.patch(desk_module, "RETRY_AFTER", 0.001)
        self.in_house(test)

    def test_outcome_before_the_claims_are_read(self) -> None:
        """The daemon tells an outcome before the new process knows the claims: the daemon keeps it until the
        process asks for it."""

        async def test(house: House) -> None:
            dead = self.dies(house.process(), "handed over")
            for id in "12":
                await house.ask(id)
            await dead.wait()
            process = house.process()
            process.log.sees.clear()
            await pause(0.01)
            process.ends("1")
            self.assertEqual(process.written, [])
            process.log.sees.set()
            await house.until(lambda: Recall("night", "1") in process.handed)
            await process.finish("1")
            await house.sent("2")
            await process.finish("2")
            for id in "12":
                self.assertEqual(house.kinds(id), ["claim", "done"])
            await house.until(lambda: process.written == ["1", "2"])
            process.ends("1")  # told once more
            self.assertEqual(process.written, ["1", "2", "1"])

        self.in_house(test)

    def test_claim_that_the_session_did_not_see(self) -> None:
        """A claim of the session before is stored after this one has read the claims: it has an end."""
        for wanted in (MOVE, STOP):

            async def test(house: House, wanted: Wanted = wanted) -> None:
                process = house.process(epoch=2)
                await house.run("0")
                await house.claim("1", "b", 1)
                await house.ask("1", wanted)
                if wanted is STOP:
                    await house.sent("1")
                    process.ends("1")
                await house.outcome("1")
                state = "done" if wanted is STOP else "outcome_unknown"
                self.assertEqual(house.kinds("1"), ["claim", state])
                self.assertEqual(len(house.mount), 1 + (wanted is STOP))
                await process.finish("0")

            self.in_house(test)

    def test_claim_of_a_later_session(self) -> None:
        """A claim of the bridge that has taken over stays as it is, and the request counts as unsettled."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("0")
            await house.claim("1", "b", 2)
            position = await house.ask("1")
            await house.run("2")
            for id in "02":
                await process.finish(id)
            self.assertEqual(house.life("2")[-1]["data"]["settled"], position)
            self.assertEqual(house.kinds("1"), ["claim"])

        self.in_house(test)


class StopTests(DeskCase):
    """A stop of a user overtakes the requests of the user before it, whatever happens to the bridge."""

    async def moves_wait(self, house: House) -> Process:
        """Some commands of the user are open, and two wait."""
        process = await house.busy_process()
        for id in "xy":
            await house.ask(id)
        return process

    async def nothing_moves(self, house: House, heir: Process, stops: int = 1) -> None:
        """The moves that waited are not sent, and a move behind the stop is."""
        await house.ask("later")
        await house.until(lambda: heir.handed)
        for number in range(MOST_OPEN):
            heir.ends(f"{number}", "outcome_unknown")
        await self.overtaken(house, *"xy")
        await house.sent("later")
        sent = house.mount[MOST_OPEN:]
        self.assertEqual(sent, [*[("night", "stop")] * stops, ("night", "later")])

    def test_new_session_after_a_stop(self) -> None:
        """The next process, the next session and the other bridge send no move from before a stop that has a
        claim or an outcome."""
        for node, epoch, ended in (("a", 1, True), ("a", 1, False), ("a", 2, True), ("b", 2, True)):

            async def test(house: House, node: str = node, epoch: int = epoch, ended: bool = ended) -> None:
                process = await self.moves_wait(house)
                await house.ask("stop", STOP)
                await house.until(lambda: house.kinds("stop"))
                if ended:
                    await process.finish("stop")
                process.die()
                await self.nothing_moves(house, house.process(node, epoch))

            self.in_house(test)

    def test_session_anew_after_a_stop(self) -> None:
        """The same holds in the same process, if its tenure ends and begins again."""

        async def test(house: House) -> None:
            process = await self.moves_wait(house)
            await house.ask("stop", STOP)
            await house.until(lambda: house.kinds("stop"))
            await process.end_tenure()
            await process.finish("stop")
            process.begin_tenure(2)
            await self.nothing_moves(house, process)

        self.in_house(test)

    def test_stop_that_no_bridge_had_read(self) -> None:
        """A stop behind moves at the broker: a new session reads all that is there before it sends a move. An
        ask for command is no move."""
        for wanted in (STOP, Wanted("AzimuthAxisStop", expires_s=1.0)):

            async def test(house: House, wanted: Wanted = wanted) -> None:
                await house.ask("ask", ASK)
                for number in range(40):
                    await house.ask(f"{number}")
                await house.ask("stop", wanted)
                house.time += 2.0
                await house.ask("later")
                house.process()
                for number in range(40):
                    explanation = (await house.outcome(f"{number}"))["explanation"]
                    self.assertEqual(explanation, "not sent: overtaken by a stop")
                await house.sent("later")
                stops = [] if wanted is not STOP else [("night", "stop")]
                self.assertEqual(house.mount, [*stops, ("night", "ask"), ("night", "later")])

            self.in_house(test)

    def test_stop_while_a_move_is_claimed(self) -> None:
        """A move whose claim is under way is not handed over behind the stop."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("0")
            house.broker.swallow()
            for id, wanted in (("1", MOVE), ("stop", STOP)):
                await house.send(id, wanted)
                await house.until(lambda id=id: house.kinds(id))  # type: ignore[misc]
            house.broker.cut()
            house.broker.restore()
            await self.overtaken(house, "1")
            self.assertEqual(house.mount, [("night", "0"), ("night", "stop")])
            await process.finish("stop")

        self.in_house(test)

    def test_stop_with_a_known_id(self) -> None:
        """A stop that is ignored, because its id is known, overtakes the earlier moves all the same."""

        async def test(house: House) -> None:
            process = await self.moves_wait(house)
            await house.ask("0", STOP, after=None)
            await house.outcome("y")
            await self.nothing_moves(house, process, 0)

        self.in_house(test)

    def test_times_for_the_daemon(self) -> None:
        """The daemon learns when the broker stored a request: a stop of another commander may be later."""

        async def test(house: House) -> None:
            await house.ask("1")
            house.time += 2.0
            await house.ask("2")
            house.time += 3.0
            before = moment()
            process = house.process()
            await house.until(lambda: len(house.mount) == 2)
            first, second = process.handed
            for command, age in ((first, 5.0), (second, 3.0)):
                self.assertGreaterEqual(command.read_at, before)
                self.assertGreaterEqual(command.stored_at, before - age)
                self.assertLess(command.stored_at, command.read_at - age + 0.1)
                self.assertAlmostEqual(command.until - command.stored_at, 10.0, 1)
            self.assertLess(first.stored_at, second.stored_at)

        self.in_house(test)

    def test_order_of_the_log(self) -> None:
        """If the broker's clock is set back between two requests, the second one still counts as later."""

        async def test(house: House) -> None:
            process = house.process()
            await house.ask("stop", STOP)
            house.broker.step = -5.0
            await house.ask("1")
            await house.until(lambda: len(house.mount) == 2)
            stop, move = process.handed
            self.assertLessEqual(stop.stored_at, move.stored_at)

        self.in_house(test)

    def test_order_of_the_log_in_a_new_session(self) -> None:
        """A new session begins to read at earlier requests: none of them counts as later than it was."""

        async def test(house: House) -> None:
            process = await house.busy_process()
            house.time -= 3.0  # the broker's stamp of a request that was stored 3 s ago
            await house.ask("old")
            house.time += 3.0
            last = await house.ask("new")
            await house.until(lambda: process.log.read == last)
            await process.end_tenure()
            process.begin_tenure(2)
            for id in "01":
                process.ends(id)
            await house.until(lambda: len(house.mount) == MOST_OPEN + 2)
            old, new = process.handed[-2:]
            self.assertEqual((old.id, new.id), ("old", "new"))
            self.assertAlmostEqual(new.stored_at - old.stored_at, 3.0, 1)

        self.in_house(test)


class LostRequestTests(DeskCase):
    """Requests that the broker loses, or deletes, before or after the bridge has read them.

    Except in the first test, no session asks again for the last request.
    """

    def setUp(self) -> None:
        self.patch(desk_module, "LOOK_TIME", 3600.0)

    def test_last_request_deleted_unread(self) -> None:
        """A session waits for the last request, and it is deleted before it is read, without a gap: the
        session asks again for the last request, and claims what waits."""

        async def test(house: House) -> None:
            position = await house.ask("1")
            await house.ask("stop", STOP)
            process = house.process()
            process.log.bound = position
            await house.until(lambda: process.log.read == position)
            await pause(0.01)
            self.assertEqual(house.mount, [])  # the last request is still there
            log = house.broker.log(LOG)
            log.keep(log.messages[:-1])
            process.log.bound = NO_POSITION
            await house.until(lambda: house.mount)
            self.assertEqual((house.mount, process.log.gaps), ([("night", "1")], []))

        self.patch(desk_module, "LOOK_TIME", 0.001)
        self.in_house(test)

    def test_last_request_deleted_with_a_gap(self) -> None:
        """The same with a gap: the session claims at once."""

        async def test(house: House) -> None:
            position = await house.ask("1")
            last = await house.ask("2")
            process = house.process()
            process.log.bound = position
            await house.until(lambda: process.log.read == position)
            house.broker.delete_before(LOG, last + 1)
            await house.until(lambda: house.mount)
            self.assertEqual((house.mount, process.log.gaps), ([("night", "1")], [(last, last)]))

        self.in_house(test)

    def test_last_requests_lost(self) -> None:
        """The broker loses its last requests, read and unread ones: the session waits for none of them."""

        async def test(house: House) -> None:
            for id in "1234":
                await house.ask(id)
            process = house.process()
            process.log.bound = 3
            await house.until(lambda: process.log.read == 3)
            house.broker.lose_tail(LOG, 3)
            await house.sent("1")
            self.assertEqual(process.log.gaps, [(2, 3)])

        self.in_house(test)

    def test_stop_in_the_place_of_a_lost_request(self) -> None:
        """A stop gets the position of a request that was judged and lost: the session reads the stop before
        it claims."""

        async def test(house: House) -> None:
            for id in "123":
                await house.ask(id)
            process = house.process()
            process.log.unseen = SUBJECTS.request("night", "*")
            await house.until(lambda: process.log.read == 3)
            process.log.bound = 1
            house.broker.lose_tail(LOG, 2)
            await house.until(lambda: process.log.gaps == [(2, 3)])
            await house.ask("stop", STOP)
            process.log.unseen = ""
            await pause(0.01)
            self.assertEqual(house.mount, [])
            process.log.bound = NO_POSITION
            await self.overtaken(house, "1")
            self.assertEqual(house.mount, [("night", "stop")])

        self.in_house(test)

    def test_request_in_the_place_of_a_claimed_one(self) -> None:
        """A request with a claim of an earlier session is lost, and another request gets its position: the
        end of the first one does not settle the second one."""

        async def test(house: House) -> None:
            for id in "12":
                await house.claim(id)
            await house.ask("1")
            lost = await house.ask("2")
            process = house.process(epoch=2)
            await house.until(lambda: process.handed == [Recall("night", "1")])
            await house.until(lambda: process.log.read == lost)
            house.broker.lose_tail(LOG, 1)
            await house.until(lambda: process.log.gaps == [(lost, lost)])
            self.assertEqual(await house.ask("other"), lost)
            await house.until(lambda: house.mount)
            for id in "12":
                await house.until(lambda id=id: Recall("night", id) in process.handed)  # type: ignore[misc]
                process.ends(id)
                await house.until(lambda id=id: id in process.written)  # type: ignore[misc]
            await house.run("last")
            self.assertEqual(house.life("last")[0]["data"]["settled"], lost)

        self.patch(desk_module, "MOST_TAKEN", 1)
        self.in_house(test)


class JudgementTests(DeskCase):
    """What is sent, and what is not."""

    def refused(self, house: House, id: str, user: str = "night") -> Any:
        """Wait for an outcome without a claim."""
        return house.outcome(id, user)

    def test_outcome(self) -> None:
        """A request has one claim and one outcome, which are CloudEvents with the session and the steps."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("1")
            [command] = process.handed
            self.assertEqual(command.body, {"command": "AzimuthAxisMove", "parameters": {"position": 5}})
            self.assertTrue(command.read_at <= moment() <= command.until <= command.read_at + 10)
            await process.finish("1")
            claim, outcome = house.life("1")
            head = {"specversion": "1.0", "source": "/mount/t1/node/a", "id": "1", "epoch": 1}
            for each in claim, outcome:
                self.assertEqual({key: each[key] for key in head}, head)
            self.assertEqual(claim["data"], {"session": "a.1", "settled": 1})
            step = {"step": "done", "time": "2026-11-27T00:00:00.000Z"}
            self.assertEqual((outcome["data"]["state"], outcome["data"]["steps"]), ("done", [step]))

        self.in_house(test)

    def test_refusals(self) -> None:
        """What is refused has an outcome with the reason, and the mount never hears of it."""
        too_deep = Wanted("AzimuthAxisMove", {"position": [[1]]})
        cases = (
            (Wanted("AzimuthAxisMove"), "night", "malformed: parameters.position: missing"),
            (Wanted("AzimuthAxisMov", {}), "night", "did you mean AzimuthAxisMove"),
            (Wanted("x" * 5000), "night", "malformed: the command is too long"),
            (too_deep, "night", "malformed: parameters.position: expected a finite number"),
            (MOVE, "guest", "refused: this user only observes"),
            (
                Wanted("AzimuthAxisTrack", {"position": 1, "velocity": 0, "tai": 0}),
                "night",
                "refused: targets to track need a connection of their own",
            ),
        )

        async def test(house: House) -> None:
            house.process()
            for number, (wanted, user, why) in enumerate(cases):
                await house.ask(f"{number}", wanted, user)
                found = await house.outcome(f"{number}", user)
                self.assertIn(why, found["explanation"])
                self.assertEqual(found["state"], "malformed" if user == "night" and number < 4 else "refused")
            self.assertEqual(house.mount, [])

        self.in_house(test)

    def test_bodies(self) -> None:
        """A body of any bytes has an outcome, and the next request is served."""
        right = json.loads(request_body("night", "1", MOVE))
        bodies = (
            b"{",
            b"\xff",
            b"[" * 100_000,
            json.dumps({**right, "id": "2"}).encode(),
            json.dumps({**right, "source": "/user/day"}).encode(),
            json.dumps({**right, "type": "mtmount.outcome"}).encode(),
            json.dumps({**right, "data": {**right["data"], "expires_s": -1}}).encode(),
            json.dumps({**right, "data": {"command": "\ud800"}}).encode(),
            json.dumps({**right, "data": {"command": "A", "parameters": {"a": 10**400}}}).encode(),
            json.dumps({**right, "more": "x" * 70_000}).encode(),
            *(
                json.dumps({**right, "data": {"command": "A", "parameters": {"a": "DEEP"}}})
                .replace('"DEEP"', "[" * depth + "]" * depth)
                .encode()
                for depth in (MOST_NESTED, 900, 2000)
            ),
        )

        async def test(house: House) -> None:
            process = house.process()
            for number, body in enumerate(bodies):
                id = f"n{number}"
                fitting = body.replace(b'"id": "1"', b'"id": "n%d"' % number)
                await house.ask(id, fitting)
                self.assertEqual((await house.outcome(id))["state"], "malformed", body[:80])
            await house.run("last")
            self.assertEqual((house.mount, process.told), ([("night", "last")], []))

        self.in_house(test)

    def test_expiry(self) -> None:
        """The age counts by the broker's stamp; a request may lower the user's bound and not raise it."""

        async def test(house: House) -> None:
            for id, seconds in (("short", 2.0), ("long", 1000.0), ("fresh", 5.0)):
                house.time += {"fresh": 6.0}.get(id, 0.0)
                await house.ask(id, Wanted("AzimuthAxisMove", {"position": 5}, expires_s=seconds))
            house.time += 4.5  # the first two are 10.5 s old
            house.process()
            for id in ("short", "long"):
                self.assertEqual((await house.outcome(id))["explanation"], "not sent: too old")
            await house.until(lambda: house.mount)
            self.assertEqual(house.mount, [("night", "fresh")])

        self.in_house(test)

    def test_clock_set_back(self) -> None:
        """This machine's clock jumps back by an hour: nothing becomes younger."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("1")
            process.desk.wall_clock = lambda: house.time - 3600
            house.time -= 11.0  # the broker's stamp of a request that was stored 11 s ago
            await house.ask("2")
            self.assertEqual((await house.outcome("2"))["explanation"], "not sent: too old")

        self.in_house(test)

    def test_clock_of_the_broker_set_back(self) -> None:
        """The broker's clock is measured again: a stop is not too old for it, and its user is present."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("1", STOP)
            await process.finish("1")
            house.broker.step = -30.0
            house.seen.clear()
            await house.run("2", STOP)
            process.ends("2")
            self.assertEqual((await house.outcome("2"))["state"], "done")

        self.patch(desk_module, "CLOCK_TIME", 0.0)
        self.in_house(test)

    def test_same_id_twice(self) -> None:
        """A second request with the same id, without a condition, is not sent."""

        async def test(house: House) -> None:
            process = house.process()
            for _ in range(2):
                await house.ask("1", after=None)
            await house.ask("2")
            await house.until(lambda: len(house.mount) == 2)
            process.ends("1")
            await house.ask("1", after=None)
            await house.ask("3")
            await house.until(lambda: len(house.mount) == 3)
            self.assertEqual(house.mount, [("night", id) for id in "123"])
            self.assertEqual(house.kinds("1"), ["claim", "done"])

        self.in_house(test)

    def test_move_and_stop_with_one_id(self) -> None:
        """While a move is claimed, or waits, a stop with its id is ignored, and overtakes the move: each has
        its outcome, nothing is left of the two, and their user is settled."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("0")
            house.broker.swallow()
            for id in "12":
                await house.send(id)
            await house.until(lambda: house.kinds("1") == ["claim"])
            for id in "12":  # the first is claimed, and the second waits
                await house.send(id, STOP, after=None)
            await pause(0.01)
            house.broker.cut()
            house.broker.restore()
            await self.overtaken(house, *"12")
            await process.finish("0")
            self.assertEqual(house.mount, [("night", "0")])
            self.assertEqual([house.kinds(id) for id in "12"], [["claim", "not_sent"], ["not_sent"]])
            position = await house.run("last")
            self.assertEqual(house.life("last")[0]["data"]["settled"], position)
            await process.finish("last")
            await house.until(lambda: process.desk.is_done)

        self.in_house(test)

    async def stops(self, house: House, process: Process, id: str) -> None:
        """A stop of the user is sent, and has its outcome."""
        sent, written = len(house.mount), len(process.written)
        await house.ask(id, STOP, after=None)
        await house.until(lambda: house.mount[sent:] == [("night", id)])
        process.ends(id)
        await house.until(lambda: len(process.written) > written)

    def test_stop_again_after_its_outcome(self) -> None:
        """A stop with the id of a request that has its outcome in this session is ignored; the bridge knows
        only the last of these ids, and a stop with an earlier one gets no second outcome."""

        async def test(house: House) -> None:
            process = house.process()
            await self.stops(house, process, "1")
            await house.ask("2", b"{", after=None)
            await house.outcome("2")
            for id in "12":
                await house.ask(id, STOP, after=None)
            await self.stops(house, process, "3")
            await self.stops(house, process, "1")
            sent = [("night", id) for id in "131"]
            self.assertEqual(
                (house.mount, house.kinds("1"), house.kinds("2")), (sent, ["claim", "done"], ["malformed"])
            )
            self.assertEqual(process.told, [])

        self.patch(desk_module, "MOST_ENDED", 2)
        self.in_house(test)

    def test_stop_again_after_its_loss(self) -> None:
        """If the broker has lost a stop with its outcome, a stop with its id is sent, and has an outcome: the
        first session has read the lost outcome, or has written it."""
        for again in (False, True):

            async def test(house: House, again: bool = again) -> None:
                process = house.process()
                await self.stops(house, process, "1")
                if again:
                    await process.end_tenure()
                    process.begin_tenure(2)
                    process.log.read = 0
                    await house.until(lambda: process.log.read == 1)
                house.broker.lose_tail(LOG, 3)
                await house.until(lambda: process.log.gaps)
                await self.stops(house, process, "1")
                self.assertEqual(house.kinds("1"), ["claim", "done"])

            self.in_house(test)

    def test_stop_again_after_its_loss_between_sessions(self) -> None:
        """The same holds if the broker loses the stop while the bridge does not read."""

        async def test(house: House) -> None:
            process = house.process()
            await self.stops(house, process, "1")
            await process.end_tenure()
            house.broker.lose_tail(LOG, 3)
            process.begin_tenure(2)
            await self.stops(house, process, "1")
            self.assertEqual(house.kinds("1"), ["claim", "done"])

        self.in_house(test)

    def test_keep_alive_with_the_id_of_a_request(self) -> None:
        """A keep-alive says that its user is there, also if its id is the one of a request."""

        async def test(house: House) -> None:
            process = house.process()
            await self.stops(house, process, "1")
            house.seen.clear()
            await house.ask("1", b"", after=None)
            await house.until(lambda: house.seen)
            self.assertEqual(house.mount, [("night", "1")])

        self.patch(desk_module, "SEEN_INTERVAL", 0.0)
        self.in_house(test)

    def test_id_whose_outcome_is_written(self) -> None:
        """A stop with the id of a malformed request is ignored until the outcome of that one is written."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("0")
            house.broker.swallow()
            for body in (b"{", STOP):
                await house.send("1", body, after=None)
            await house.until(lambda: house.kinds("1") == ["malformed"])
            await pause(0.01)
            house.broker.cut()
            house.broker.restore()
            await process.finish("0")
            self.assertEqual((house.mount, house.kinds("1")), ([("night", "0")], ["malformed"]))

        self.in_house(test)

    def test_many_claims_of_an_earlier_session(self) -> None:
        """A session takes over a few claims without an outcome at a time, and each gets its outcome; a stop
        waits for none of them."""

        async def test(house: House) -> None:
            life = [f"{number}" for number in range(10)]
            for id in life:
                await house.ask(id)
            for id in life:
                await house.claim(id)
            process = house.process(epoch=2)
            await house.run("stop", STOP)
            await house.until(lambda: len(process.handed) == 4)
            recalls = [each for each in process.handed if isinstance(each, Recall)]
            self.assertEqual(recalls, [Recall("night", id) for id in life[:3]])
            for id in life:
                await house.until(lambda id=id: Recall("night", id) in process.handed)  # type: ignore[misc]
                await process.finish(id)
            await process.finish("stop")
            self.assertEqual([house.kinds(id) for id in life], [["claim", "done"]] * 10)
            position = await house.run("last")
            self.assertEqual(house.life("last")[0]["data"]["settled"], position)

        self.patch(desk_module, "MOST_TAKEN", 3)
        self.in_house(test)

    def test_keep_alive(self) -> None:
        """An empty request says that its user is there, and has no outcome; an old one says nothing."""

        async def test(house: House) -> None:
            await house.ask("here", b"", "day")
            house.time += 60
            house.process()
            await house.ask("here", b"", after=None)
            await house.until(lambda: house.seen)
            await house.run("1")
            self.assertEqual((house.seen, house.kinds("here")), (["night"], []))

        self.in_house(test)

    def test_tenure(self) -> None:
        """Without the tenure nothing is claimed; with the next one, requests are judged anew."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("1")
            await process.end_tenure()
            await house.ask("2")
            await pause(0.01)
            self.assertEqual((house.kinds("2"), len(house.mount)), ([], 1))
            process.begin_tenure(3)
            await house.until(lambda: len(house.mount) == 2)
            self.assertEqual(house.life("2")[0]["data"]["session"], "a.3")
            self.assertEqual(house.kinds("1"), ["claim"])  # the command of the first tenure still goes on
            await process.finish("1")
            self.assertEqual(house.kinds("1"), ["claim", "done"])

        self.in_house(test)

    def test_outcome_while_a_session_begins(self) -> None:
        """An outcome of the tenure before settles no request that only waited: each has an outcome."""

        async def test(house: House) -> None:
            process = await house.busy_process()
            await house.ask("waits", ASK)
            for id in ("stop", "other"):
                await house.ask(id, STOP)
            await house.until(lambda: house.kinds("other"))
            await process.end_tenure()
            for number in range(MOST_OPEN):
                await process.finish(f"{number}")
            process.log.sees.clear()
            process.begin_tenure(2)
            await pause(0.01)
            await process.finish("stop")
            waits = next(
                each for each in house.broker.log(LOG).messages if each.key.endswith("req.night.waits")
            )
            self.assertEqual(house.life("stop")[-1]["data"]["settled"], waits.position)
            process.log.sees.set()
            await house.sent("waits")
            self.assertEqual(house.life("waits")[0]["data"]["settled"], waits.position)
            process.ends("waits")
            self.assertEqual((await house.outcome("waits"))["state"], "done")

        self.in_house(test)

    def test_daemon_does_not_read(self) -> None:
        """A command that the daemon does not take has an outcome, and is not kept for later."""

        async def test(house: House) -> None:
            process = house.process()
            process.reads = False
            await house.ask("1")
            self.assertEqual((await house.outcome("1"))["state"], "not_sent")
            await house.ask("2", STOP)
            self.assertEqual((await house.outcome("2"))["state"], "not_sent")
            self.assertEqual(house.mount, [])

        self.in_house(test)

    def test_full(self) -> None:
        """Without room at the broker nothing is sent: one line in the log, and the outcome later."""

        async def test(house: House) -> None:
            process = house.process()
            await house.run("0")
            await house.ask("1", Wanted("AzimuthAxisMove", {"position": 5}, expires_s=0.3))
            house.broker.fill(LOG)
            await house.until(lambda: process.told)
            self.assertIn("no room", process.told[0])
            house.broker.empty(LOG)
            await house.outcome("1")
            self.assertEqual(house.kinds("1")[-1], "not_sent")
            self.assertEqual(house.mount, [("night", "0")])

        self.in_house(test)

    def test_missing_right(self) -> None:
        """A right that the bridge's user lacks is one line."""

        async def test(house: House) -> None:
            house.broker.refuse(LOG)
            process = house.process()
            await house.until(lambda: process.told)
            await pause(0.01)
            self.assertEqual(
                process.told,
                ["commands by the broker: this user may not publish to mt.t1.cmd.life.night.probe"],
            )

        self.in_house(test)


class ErrorTests(DeskCase):
    """Errors that no one expects: they end the desk, and so the process; the next one goes on."""

    def test_error_in_a_command(self) -> None:
        """The desk ends, and the next process of the bridge writes the outcome."""
        for wanted in (MOVE, STOP):

            async def test(house: House, wanted: Wanted = wanted) -> None:
                def reached(point: str) -> None:
                    if point == "ended":
                        raise LookupError("of the test")

                patcher = self.patch(desk_module, "reached", reached)
                process = house.process()
                await house.ask("1", wanted)
                await house.until(lambda: house.kinds("1"))
                process.ends("1")
                with self.assertRaises(LookupError):
                    await process.task
                process.die()
                patcher.restore()
                heir = house.process()
                await house.until(lambda: heir.handed == [Recall("night", "1")])
                await heir.finish("1")
                self.assertEqual(house.kinds("1"), ["claim", "done"])

            self.in_house(test)


class FloodTests(DeskCase):
    """Many requests at once."""

    def test_old_requests(self) -> None:
        """10,000 old requests of a user have their outcome; a command of another one passes them all."""

        async def test(house: House) -> None:
            for number in range(10_000):
                await house.ask(f"{number}")
            house.time += 3600
            house.process()
            await house.run("now", STOP, "day")
            ended = sum(".life." in each.key for each in house.broker.log(LOG).messages)
            self.assertLess(ended, 5000)

        self.in_house(test)

    def test_many_outcomes(self) -> None:
        """Behind a command of hours, the many outcomes of the user take little memory in a new session."""

        async def test() -> None:
            lives = Lives(20_001)
            key = "mt.t1.cmd.life.night."
            body = outcome_body(Outcome(user="night", id="x", state="busy"), Source("t1", "a"), 1, 1, 0.0)
            tracemalloc.start()
            for number in range(20_000):
                await lives.received(Stored(f"{key}{number:036}", body, number + 1, 0.0))
            size, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertLess(size, 20_000 * 150)
            self.assertEqual((len(lives.ended), lives.claims), (20_000, {}))

        asyncio.run(test())

    def test_many_positions(self) -> None:
        """Behind a command of hours, the positions of the many requests that have ended take no memory."""
        positions = Positions([1])
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for position in range(2, 20_000):
            positions.add(position)
            positions.discard(position)
        self.assertLess(tracemalloc.get_traced_memory()[0], 20_000)
        self.assertEqual(positions.first(0), 1)
        positions.discard(1)
        self.assertEqual(positions.first(0), 0)

    def test_open_commands(self) -> None:
        """A user has some commands in flight, some that wait, and the others are busy; its stop passes."""

        async def test(house: House) -> None:
            process = house.process()
            number = MOST_OPEN + MOST_WAITING + 5
            for each in range(number):
                await house.ask(f"{each}")
            await house.outcome(f"{number - 1}")
            await house.until(lambda: len(house.mount) == MOST_OPEN)
            states = [house.kinds(f"{each}") for each in range(number)]
            self.assertTrue(states.count(["busy"]) >= 4)
            await house.run("stop", STOP)
            self.assertEqual(len(house.mount), MOST_OPEN + 1)
            waiting = [f"{each}" for each in range(number) if not house.kinds(f"{each}")]
            await self.overtaken(house, *waiting)
            for id in ("next", "last"):
                await house.ask(id)
            await pause(0.01)
            self.assertEqual(len(house.mount), MOST_OPEN + 1)
            process.ends("0")
            await house.until(lambda: len(house.mount) == MOST_OPEN + 2)
            self.assertEqual(house.mount[-1], ("night", "next"))

        self.in_house(test)

    def test_stops(self) -> None:
        """More stops than may be in flight are busy."""

        async def test(house: House) -> None:
            house.process()
            for each in range(MOST_OPEN + 1):
                await house.ask(f"{each}", STOP)
            self.assertEqual((await house.outcome(f"{MOST_OPEN}"))["state"], "busy")
            self.assertEqual(len(house.mount), MOST_OPEN)

        self.in_house(test)

    def test_settled(self) -> None:
        """The next bridge reads only what is not settled: an open command, and what came after it."""

        async def test(house: House) -> None:
            process = house.process()
            for id in "123":
                position = await house.run(id)
                if id != "2":
                    await process.finish(id)
            await house.run("4")
            last = await house.log.last(SUBJECTS.life("night", "*"))
            assert last is not None
            second = next(each for each in house.broker.log(LOG).messages if each.key.endswith("req.night.2"))
            self.assertEqual(read_life(last.body).settled, second.position)
            self.assertLess(second.position, position)
            process.die()
            house.process("b", 2)
            for id in "24":
                self.assertEqual((await house.outcome(id))["state"], "outcome_unknown")
            self.assertEqual([house.kinds(id) for id in "13"], [["claim", "done"]] * 2)

        self.in_house(test)

    def test_full_log_of_another_user(self) -> None:
        """A user that fills its log takes no room of another one: the stop of that one has its outcome, and
        the desk names the log without room."""

        async def test(house: House) -> None:
            process = house.process()
            house.broker.fill(commands_name("day"))
            await house.until(lambda: process.desk.full == ["day"])
            await house.run("1", STOP)
            process.ends("1")
            self.assertEqual((await house.outcome("1"))["state"], "done")
            house.broker.empty(commands_name("day"))
            await house.until(lambda: process.desk.full == [])

        self.patch(desk_module, "ROOM_INTERVAL", 0.001)
        self.in_house(test)

    def test_subject_that_ends_in_no_word(self) -> None:
        """A request on such a subject has no outcome, and one line in the log; the next ones are served."""

        async def test(house: House) -> None:
            process = house.process()
            for id in ("é", "a b", "", "x" * 65):
                await house.ask(id)
            await house.run("1")
            self.assertEqual((house.mount, process.desk.ignored), ([("night", "1")], 4))
            self.assertEqual(len(process.told), 1)
            lives = {each.key for each in house.broker.log(LOG).messages if ".life." in each.key}
            self.assertEqual(lives, {SUBJECTS.life("night", "1")})

        self.in_house(test)


class BodyTests(SynchronousTestCase):
    """Bodies as values."""

    def test_longest_outcome(self) -> None:
        """The stream takes each outcome, whatever the mount and the daemon say."""
        steps = [{"step": f"step {number}", "time": "2026-11-27T00:00:00.000Z"} for number in range(1000)]
        for text in ("x" * 100_000, "\x00" * 5000, "\u2028" * 5000, "short"):
            outcome = Outcome(user="u" * 32, id="i" * 64, state="done", explanation=text, steps=steps)
            body = outcome_body(outcome, Source("m" * 32, "n" * 32), 2**63, 2**62, 1e9)
            self.assertLess(len(body), LONGEST_REQUEST - 500)  # the headers count, too
            found = read_outcome(body)
            assert found is not None
            self.assertEqual(found.data.steps[-1].step, "step 999")
            self.assertTrue(text.startswith(found.data.explanation) and len(found.data.explanation) >= 5)

    def test_outcomes(self) -> None:
        """A claim is no outcome, and a body of other bytes is none."""
        for body in (b"", b"{", request_body("night", "1", MOVE)):
            self.assertIsNone(read_outcome(body))
            self.assertIsNone(read_life(body).claimed_by)
