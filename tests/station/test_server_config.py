"""The configuration of the server: a real server takes it, and the rights are as narrow as they can be."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import nkeys
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import EngineRefused, EngineUnreachable
from mtmount_twisted.station.nats_connection import Login
from mtmount_twisted.station.nats_engine import NatsEngine
from mtmount_twisted.station.server_config import READER, inbox_of, reader_rights, server_config
from mtmount_twisted.station.streams import commands_stream, events_stream, telemetry_stream
from tests.support.broker import Broker, in_time, program
from tests.support.folders import scratch_folder


def new_seed() -> bytes:
    """A new seed of a user's key, which begins with SU (the format of NKeys)."""
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed


class LoginTests(SynchronousTestCase):
    """The file with the credentials."""

    def test_seed(self) -> None:
        """A seed, or a JWT with a seed, gives the option of ``nats-py``; blanks around it do not count."""
        path = scratch_folder(self) / "user"
        seed = new_seed()
        jwt = b"-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n"
        for content, option in (
            (seed, "nkeys_seed"),
            (b"\n%b\r\n" % seed, "nkeys_seed"),
            (b"%b-----BEGIN USER NKEY SEED-----\n%b\n------END" % (jwt, seed), "user_credentials"),
        ):
            path.write_bytes(content)
            self.assertEqual(Login(str(path)).options()[option], str(path))

    def test_no_seed(self) -> None:
        """A file without a seed is named, without a word of its content."""
        path = scratch_folder(self) / "user"
        seed = new_seed()
        head = b"-----BEGIN NATS USER JWT-----\nx\n-----BEGIN USER NKEY SEED-----\n"
        for content in (
            b"",
            b"secret",
            seed.lower(),
            b"\0\xff",
            head,
            head + b"secret\n",
        ):
            path.write_bytes(content)
            with self.assertRaises(ValueError) as caught:
                Login(str(path)).options()
            self.assertEqual(
                str(caught.exception), f"{path}: expected the seed of an NKey, or a JWT with such a seed"
            )


class ServerConfigTests(SynchronousTestCase):
    """A server with this configuration, and its three users."""

    def setUp(self) -> None:
        self.folder: Path = scratch_folder(self)
        self.text = server_config("t1", 1)
        self.keys: dict[str, str] = {}
        for name in ("ADMIN", "BRIDGE", "READER"):
            seed = new_seed()
            path = self.folder / name
            path.write_bytes(seed)
            self.keys[name] = str(path)
            public = nkeys.from_seed(bytearray(seed)).public_key.decode()
            self.text = self.text.replace(f"${name}_NKEY", public)

    def test_server_takes_it(self) -> None:
        """nats-server finds no fault in it."""
        path = self.folder / "nats.conf"
        path.write_text(self.text.replace("/var/lib/nats", str(self.folder)))
        done = subprocess.run([program(), "-t", "-c", str(path)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_readers_do_not_see_the_answers_to_others(self) -> None:
        """A reader may listen to its own inbox only."""
        rights = [reader_rights(name)["subscribe"]["allow"] for name in ("one", "two")]
        self.assertEqual(rights, [["_INBOX_one.>"], ["_INBOX_two.>"]])

    def test_streams_are_apart(self) -> None:
        """A server takes all streams of a bridge: no two of them have a subject in common."""
        broker, told = Broker(), []

        async def run() -> None:
            streams = [events_stream(1), telemetry_stream(), commands_stream("night", 1)]
            streams.append(commands_stream("day", 1))
            engine = NatsEngine([broker.url], streams, report=lambda level, text: told.append(text))
            engine.start()
            await engine.wait_connected()
            await engine.close()

        try:
            in_time(run())
        finally:
            broker.close()
        self.assertEqual(told, [])

    def test_rights(self) -> None:
        """The bridge makes its streams and publishes for its mount only; a reader writes nothing, not even
        by the subject to which it has messages sent.
        """
        text = self.text[self.text.index("accounts {") :]
        broker = Broker(text)
        told: list[str] = []

        async def engine(name: str, *streams: Any) -> NatsEngine:
            made = NatsEngine(
                [broker.url],
                streams,
                Login(self.keys[name], inbox=inbox_of(READER) if name == "READER" else "_INBOX"),
                lambda level, text: told.append(text),
            )
            made.start()
            await made.wait_connected()
            return made

        async def is_refused(work: Any) -> bool:
            try:
                await work
            except (EngineRefused, EngineUnreachable):
                return True
            return False

        async def run() -> None:
            bridge = await engine("BRIDGE", events_stream(1), telemetry_stream())
            log = bridge.log("MT_EV")
            self.assertEqual(await log.append("mt.t1.a.ev.change.x", b"1"), 1)
            self.assertTrue(await is_refused(log.append("mt.t2.a.ev.change.x", b"2")))
            self.assertEqual(told, [])
            admin = await engine("ADMIN")
            if admin.connection().version.startswith("2.9."):
                self.assertEqual(told, [])  # such a server does not tell the rights of a user
            else:
                self.assertIn("may publish to every subject", told.pop())
            config = {"durable_name": READER, "ack_policy": "explicit"}
            question = {"stream_name": "MT_EV", "config": config}
            await admin.connection().ask(f"CONSUMER.DURABLE.CREATE.MT_EV.{READER}", question)
            reader = await engine("READER")
            connection, got = reader.connection(), asyncio.Queue[Any]()
            inbox = connection.new_inbox()
            await connection.subscribe(inbox, got.put)
            await connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.MT_EV.{READER}", b'{"batch":1}', inbox)
            self.assertEqual((await got.get()).data, b"1")
            for work in (
                reader.log("MT_EV").append("mt.t1.a.ev.change.x", b"3"),
                connection.ask("STREAM.INFO.MT_EV"),
                connection.ask(f"CONSUMER.DURABLE.CREATE.MT_EV.{READER}2", question),
            ):
                self.assertTrue(await is_refused(work))
            # The server sends a message to the subject that a reader names, also in its confirmation of one.
            asking, copies = f"$JS.API.CONSUMER.MSG.NEXT.MT_EV.{READER}", "mt.t1.a.ev.change.copy"
            for each in (b"4", b"5", b"6"):
                await log.append("mt.t1.a.ev.change.x", each)
            await connection.publish(asking, b'{"batch":1}', copies)
            await connection.publish(asking, b'{"batch":1}', inbox)
            await connection.publish((await got.get()).reply, b"+NXT", copies)
            await log.append("mt.t1.a.ev.change.x", b"7")
            await connection.publish(asking, b'{"batch":1}', inbox)
            await got.get()
            info = await admin.connection().ask("STREAM.INFO.MT_EV")
            self.assertEqual(info["state"]["messages"], 5)  # a copy would have the subject of its original
            for each in (bridge, admin, reader):
                await each.close()

        try:
            in_time(run())
        finally:
            broker.close()
