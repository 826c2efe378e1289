"""A stop of another commander, and then a take-over: two bridges with their daemons, a broker in memory."""

from __future__ import annotations

import time
from typing import Any

from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import CommandCode, Source
from mtmount_twisted.frontends.broker.desk import Desk as DaemonDesk
from mtmount_twisted.frontends.broker.words import OfDesk, Outcome, Stopped, encode, moment, read_from_child
from mtmount_twisted.station.desk import MOST_ENDING, MOST_OPEN
from tests.support.commanders import LOG
from tests.support.web_houses import WebHouse

from .test_desk import ASK, NIGHT, NO_POSITION, STOP, DeskCase, House, Process

ASKED = int(CommandCode.ASK_FOR_COMMAND)
MOVED = int(CommandCode.AZIMUTH_AXIS_MOVE)
STOPPED = int(CommandCode.AZIMUTH_AXIS_STOP)


class Node(Process):
    """A bridge: the child's desk, the daemon's desk, and a connected controller.

    :ivar sent: the codes of the moves and stops that the controller got.
    """

    def __init__(self, house: House, node: str = "a", epoch: int = 1) -> None:
        self.sent: list[int] = []
        place: Any = WebHouse(dialect=DIALECT)
        self.place: WebHouse = place
        self.daemon = DaemonDesk(
            *(place.bridge, place.bus, [NIGHT], place.clock, place.wall_clock, LOG), 30.0, self.send, moment
        )
        self.daemon.settle_tenure(True)
        super().__init__(house, node, epoch)
        self.desk.wall_clock = house.broker.clock = time.time  # it goes on, as `moment` does
        house.processes.append(self)

    def send(self, line: Outcome | Stopped) -> bool:
        """The lines for the child."""
        if isinstance(line, Stopped):
            self.desk.note_stops(line)
        else:
            self.desk.note_outcome(line)
        return True

    def hand(self, line: OfDesk) -> bool:
        """The lines for the daemon."""
        if self.log.is_dead:
            return False
        self.daemon.received(read_from_child(encode(line)))
        self.work()
        return True

    def work(self) -> None:
        """Let the controller do its commands."""
        codes = [read_command_header(line).code for line in self.place.link.finish_all()]
        self.sent += [code for code in codes if code != ASKED]
        self.place.clock.advance(0)

    def stop(self) -> None:
        """Another commander stops the mount."""
        self.place.client("eui", Source.EUI).command(CommandCode.AZIMUTH_AXIS_STOP)
        self.work()

    async def give_way(self) -> Node:
        """End the tenure: the other bridge takes over, and inherits the holder of command."""
        self.daemon.settle_tenure(False)
        await self.end_tenure()
        heir = Node(self.house, "b", 2)
        heir.place.bridge.inherit("broker/night", Source.CSC)
        return heir


class TakeOverTests(DeskCase):
    """The moves of a user that waited when another commander stopped the mount, after a take-over."""

    async def holder(self, house: House) -> Node:
        """A bridge whose user has command."""
        node = Node(house)
        await house.ask("take", ASK)
        await house.outcome("take")
        return node

    async def ends_overtaken(self, house: House, before: Node, heir: Node, *ids: str) -> None:
        """No bridge sends a move from before the stop, and the next bridge sends a move behind it."""
        await self.overtaken(house, *ids)
        await house.ask("later")
        self.assertEqual((await house.outcome("later"))["state"], "done")
        self.assertEqual((before.sent, heir.sent), ([STOPPED], [MOVED]))

    def test_moves_that_wait_for_their_claim(self) -> None:
        """The broker does not confirm a claim: the moves behind it end at once."""

        async def test(house: House) -> None:
            before = await self.holder(house)
            house.broker.swallow()
            for id in "123":
                await house.send(id)
            await house.until(lambda: house.kinds("1") == ["claim"])
            before.stop()
            await house.until(lambda: house.kinds("3"))
            house.broker.cut()
            house.broker.restore()
            heir = await before.give_way()
            await self.ends_overtaken(house, before, heir, "2", "3")
            self.assertIn((await house.outcome("1"))["state"], ("not_sent", "outcome_unknown"))

        self.in_house(test)

    def test_moves_that_wait_for_room(self) -> None:
        """More moves are overtaken than end at a time: those that wait for that end with the tenure."""

        async def test(house: House) -> None:
            before = await self.holder(house)
            before.work = lambda: before.place.clock.advance(0)  # type: ignore[method-assign] # nothing ends
            running = [f"running{number}" for number in range(MOST_OPEN)]
            for id in running:
                await house.ask(id)
            await house.until(lambda: all(house.kinds(id) == ["claim"] for id in running))
            before.log.writes.clear()
            ids = [str(number) for number in range(MOST_ENDING + 5)]
            positions = [await house.ask(id) for id in ids]
            await house.until(lambda: before.log.read == positions[-1])
            before.stop()
            await before.end_tenure()
            before.log.writes.set()
            await house.until(lambda: all(house.kinds(id) for id in ids))
            await self.overtaken(house, *ids)

        self.in_house(test)

    def test_claim_that_is_not_stored(self) -> None:
        """The broker does not store a claim before the tenure ends: the former bridge ends that move, too."""

        async def test(house: House) -> None:
            before = await self.holder(house)
            before.log.writes.clear()
            for id in "12":
                position = await house.ask(id)
            await house.until(lambda: before.log.read == position)
            before.stop()
            await before.end_tenure()
            before.log.writes.set()
            await self.overtaken(house, "1", "2")
            self.assertEqual([house.kinds(id) for id in "12"], [["not_sent"]] * 2)
            await self.ends_overtaken(house, before, await before.give_way(), "1", "2")

        self.in_house(test)

    def test_bridge_that_writes_too_late(self) -> None:
        """The former bridge can't write before the next one claims: the next one sends the move, once, and
        the late outcome is refused."""

        async def test(house: House) -> None:
            before = await self.holder(house)
            before.log.writes.clear()
            position = await house.ask("1")
            await house.until(lambda: before.log.read == position)
            before.stop()
            heir = await before.give_way()
            self.assertEqual((await house.outcome("1"))["state"], "done")
            before.log.writes.set()
            await house.until(lambda: before.desk.is_done)
            self.assertEqual(house.kinds("1"), ["claim", "done"])
            self.assertEqual((before.sent, heir.sent, before.told), ([STOPPED], [MOVED], []))

        self.in_house(test)

    def test_requests_that_are_read_after_the_stop(self) -> None:
        """A move that the broker stored before the stop ends as soon as it is read, without a claim; an ask
        and a later move do not."""

        async def test(house: House) -> None:
            before = await self.holder(house)
            before.log.bound = before.log.read
            house.broker.step = -1.0  # the broker's stamps of requests that were stored 1 s ago
            await house.ask("1")
            await house.ask("ask", ASK)
            before.stop()
            house.broker.step = 1.0
            await house.ask("2")
            before.log.bound = NO_POSITION
            for id in ("ask", "2"):
                self.assertEqual((await house.outcome(id))["state"], "done")
            await self.overtaken(house, "1")
            self.assertEqual((house.kinds("1"), before.sent), (["not_sent"], [STOPPED, MOVED]))

        self.in_house(test)

    def test_stop_from_before(self) -> None:
        """A stop of a user that is read after another commander's stop goes to the mount."""

        async def test(house: House) -> None:
            before = await self.holder(house)
            before.log.bound = before.log.read
            house.broker.step = -1.0
            await house.ask("s", STOP)
            before.stop()
            before.log.bound = NO_POSITION
            self.assertEqual((await house.outcome("s"))["state"], "done")
            self.assertEqual(before.sent, [STOPPED, STOPPED])

        self.in_house(test)

    def test_many_moves(self) -> None:
        """While the broker stores no outcome, a bounded number is under way; in the end each move has one,
        also if the tenure ends before."""
        for ends in (False, True):

            async def test(house: House, ends: bool = ends) -> None:
                before = await self.holder(house)
                before.log.writes.clear()
                ids = [f"{number}" for number in range(MOST_ENDING + 20)]
                for id in ids:
                    position = await house.ask(id)
                await house.until(lambda: before.log.read == position)
                before.stop()
                user = before.desk._users["night"]
                self.assertEqual((len(user._ending), len(user._waiting)), (MOST_ENDING, 19))
                if ends:
                    await before.end_tenure()
                before.log.writes.set()
                await self.overtaken(house, *ids)
                self.assertEqual(before.sent, [STOPPED])

            self.in_house(test)
