"""Commands by a real server: a requester, a desk, and what a forged user is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nkeys
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable
from mtmount_twisted.frontends.broker.words import Outcome
from mtmount_twisted.station import desk
from mtmount_twisted.station.nats_connection import Connection, Login
from mtmount_twisted.station.requester import Requester
from mtmount_twisted.station.requests import Subjects, Wanted, request_body
from mtmount_twisted.station.server_config import server_config
from mtmount_twisted.station.streams import LONGEST_REQUEST, commands_name
from mtmount_twisted.station.waits import pause
from tests.support.broker import Broker, broker_of, in_time
from tests.support.desks import USERS, DeskAlone
from tests.support.folders import scratch_folder

from .test_server_config import new_seed

SUBJECTS = Subjects("t1")


class RequesterTests(SynchronousTestCase):
    """A server without users' rights."""

    def setUp(self) -> None:
        self.broker = broker_of(self)

    def with_bridge(self, test: Callable[[DeskAlone, Requester], Awaitable[None]]) -> None:
        """Run a test with a bridge and a requester."""

        async def run() -> None:
            bridge = DeskAlone(self.broker)
            try:
                async with Requester([self.broker.url], "t1", "night") as requester:
                    await requester.wait_connected(30.0)
                    await test(bridge, requester)
            finally:
                await bridge.close()

        in_time(run())

    def test_done(self) -> None:
        """A command is done, another one is refused with its reason; the user was there before them."""

        async def test(bridge: DeskAlone, requester: Requester) -> None:
            done = await requester.command("AzimuthAxisMove", {"position": 5})
            self.assertEqual((done.state, bridge.seen[:1]), ("done", ["night"]))
            wrong = await requester.command("AzimuthAxisMove")
            self.assertEqual(wrong.state, "malformed")
            stop = await requester.command("AzimuthAxisStop")
            self.assertEqual(stop.state, "done")
            self.assertEqual(len(bridge.commands), 2)

        self.with_bridge(test)

    def test_server_restarts(self) -> None:
        """A server is killed between the request and the outcome: the outcome comes, and nothing twice."""

        async def test(bridge: DeskAlone, requester: Requester) -> None:
            bridge.answers = False
            asking = asyncio.ensure_future(requester.command("AzimuthAxisMove", {"position": 5}, id="kill"))
            while not bridge.commands:
                await pause(0.002)
            self.broker.kill()
            bridge.desk.note_outcome(Outcome(user="night", id="kill", state="done"))
            self.broker.start()
            self.assertEqual((await asking).state, "done")
            again = await requester.command("AzimuthAxisMove", {"position": 5}, id="kill")
            self.assertEqual((again.state, len(bridge.commands)), ("done", 1))

        self.with_bridge(test)

    def test_no_outcome(self) -> None:
        """Without an outcome in time the requester does not know, and says so."""

        async def test(bridge: DeskAlone, requester: Requester) -> None:
            bridge.answers = False
            with self.assertRaises(EngineUnreachable) as caught:
                await requester.command("AzimuthAxisMove", {"position": 5}, timeout=0.5)
            self.assertIn("no outcome of the request", str(caught.exception))

        self.with_bridge(test)


class RightsTests(SynchronousTestCase):
    """A server with the configuration that ``--station-config`` prints."""

    def setUp(self) -> None:
        folder: Path = scratch_folder(self)
        text = server_config("t1", 1, USERS)
        self.keys: dict[str, str] = {}
        for name in ("ADMIN", "BRIDGE", "READER", "USER_NIGHT", "USER_DAY"):
            seed = new_seed()
            path = folder / name
            path.write_bytes(seed)
            self.keys[name] = str(path)
            public = nkeys.from_seed(bytearray(seed)).public_key.decode()
            text = text.replace(f"${name}_NKEY", public)
        self.broker = Broker(text[text.index("accounts {") :])
        self.addCleanup(self.broker.close)

    def test_rights(self) -> None:
        """A user's command is done; it can neither write nor read what is another's, by no way."""

        async def test(bridge: DeskAlone, night: Requester, thief: Connection) -> None:
            self.assertEqual((await night.command("AzimuthAxisMove", {"position": 5}, id="1")).state, "done")
            body = request_body("night", "2", Wanted("AzimuthAxisMove", {"position": 5}))
            for subject in (
                SUBJECTS.request("night", "2"),
                SUBJECTS.life("night", "2"),
                SUBJECTS.life("day", "2"),
                "mt.t1.lease",
                "mt.t1.a.ev.change.x",
                "$JS.API.DIRECT.GET.MT_CMD_night.mt.t1.cmd.life.night.1",
                "$JS.API.STREAM.INFO.MT_CMD_night",
                "$JS.API.STREAM.PURGE.MT_CMD_night",
                "$JS.API.CONSUMER.CREATE.MT_CMD_night",
            ):
                with self.assertRaises((EngineRefused, EngineUnreachable), msg=subject):
                    await (await thief.store(subject, body, None))
            # The server answers to the subject that a user names: not to another's.
            own = SUBJECTS.request("day", "own")
            for target in (SUBJECTS.request("night", "3"), SUBJECTS.life("night", "3")):
                await thief.publish(own, body, target)
            done = await (await thief.store(SUBJECTS.request("day", "last"), body, None))
            self.assertGreater(done, 0)
            log = bridge.engine.log(commands_name("night"))
            for key in (SUBJECTS.request("night", "2"), SUBJECTS.request("night", "3")):
                self.assertIsNone(await log.last(key))
            self.assertIsNone(await log.last(SUBJECTS.life("night", "3")))
            self.assertEqual([command.id for command in bridge.commands], ["1"])
            self.assertEqual(bridge.told, [])

        async def run() -> None:
            bridge = DeskAlone(self.broker, Login(self.keys["BRIDGE"]))
            await bridge.engine.wait_connected()
            thief = Connection()
            await thief.open(self.broker.url, Login(self.keys["USER_DAY"], inbox="_INBOX_day"))
            try:
                login = Login(self.keys["USER_NIGHT"])
                async with Requester([self.broker.url], "t1", "night", login) as night:
                    await night.wait_connected(30.0)
                    await test(bridge, night, thief)
            finally:
                await thief.close()
                await bridge.close()

        in_time(run())

    def test_user_that_fills_its_stream(self) -> None:
        """A user that fills its stream takes no room of another one, whose stop is done. The bridge names the
        stream, and the server takes no message that is longer than a request."""

        async def run() -> None:
            bridge = DeskAlone(self.broker, Login(self.keys["BRIDGE"]), max_bytes=2**19)
            await bridge.engine.wait_connected()
            thief = Connection()
            await thief.open(self.broker.url, Login(self.keys["USER_DAY"], inbox="_INBOX_day"))
            try:
                with self.assertRaises(EngineRefused):
                    await (
                        await thief.store(SUBJECTS.request("day", "long"), bytes(LONGEST_REQUEST + 1), None)
                    )
                with self.assertRaises(EngineFull):
                    for number in range(1000):
                        key = SUBJECTS.request("day", f"{number}")
                        await (await thief.store(key, b" " * (LONGEST_REQUEST - 200), None))
                login = Login(self.keys["USER_NIGHT"])
                async with Requester([self.broker.url], "t1", "night", login) as night:
                    await night.wait_connected(30.0)
                    self.assertEqual((await night.command("AzimuthAxisStop")).state, "done")
                await bridge.until(lambda: bridge.desk.full == ["day"])
            finally:
                await thief.close()
                await bridge.close()

        self.patch(desk, "ROOM_INTERVAL", 0.01)
        in_time(run())

    def test_wrong_user(self) -> None:
        """A requester with the key of another user is told that it may not do that."""

        async def run() -> Any:
            bridge = DeskAlone(self.broker, Login(self.keys["BRIDGE"]))
            await bridge.engine.wait_connected()
            login = Login(self.keys["USER_DAY"])
            try:
                async with Requester([self.broker.url], "t1", "night", login) as requester:
                    with self.assertRaises((EngineRefused, EngineUnreachable)):
                        await requester.command("AzimuthAxisMove", {"position": 5}, timeout=6.0)
                self.assertEqual(bridge.commands, [])
            finally:
                await bridge.close()

        in_time(run())
