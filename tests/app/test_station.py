"""The daemon with a station: a real broker, and all that can happen to it and to the child process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import commands as c
from mtmount_twisted.app.bridge import Options
from mtmount_twisted.config import loading, preflight
from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.replies import AckReply, DoneReply
from mtmount_twisted.station.contracts import Stored
from mtmount_twisted.station.journal_file import JournalFile
from mtmount_twisted.station.nats_engine import NatsEngine
from tests.support.broker import Broker, in_time
from tests.support.folders import scratch_folder
from tests.support.programs import Program, ProgramCase

CONFIG = """
[simulator]
dialect = "tma2020"
[[pair]]
name = "csc"
command_port = 0
reply_port = {reply_port}
[station]
mount = "t1"
node = "a"
[station.broker]
servers = ["{url}"]
"""


class Reader:
    """Reads events until one of them is the last that a test waits for."""

    def __init__(self, is_last: Callable[[Any], bool]) -> None:
        self.events: list[Any] = []
        self.done = asyncio.Event()
        self._is_last = is_last

    async def received(self, message: Stored) -> None:
        body = json.loads(message.body)
        self.events.append(body)
        if self._is_last(body):
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        raise AssertionError(f"a gap from {first} to {last}")


def events(broker: Broker, is_last: Callable[[Any], bool]) -> list[Any]:
    """All events of the broker, up to one that is waited for."""

    async def read() -> list[Any]:
        engine = NatsEngine([broker.url], [])
        engine.start()
        await engine.wait_connected()
        reader = Reader(is_last)
        await engine.log("MT_EV").read("mt.t1.a.ev.>", 1, reader)
        await reader.done.wait()
        await engine.close()
        return reader.events

    return in_time(read())


class StationTests(ProgramCase):
    """A daemon, its child, and a broker of its own."""

    timeout = 180
    """Seconds: the test starts three processes of Python, on a machine that may be loaded."""

    def child_of(self, program: Program) -> int:
        """The number of the child's process."""
        pid = program.transport.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        while not (found := children.read_text().split()):  # proc(5): a child can be left out of a look
            pass
        return int(found[0])

    async def test_events(self) -> None:
        """Every row of the journal is at the broker once, in order, whatever was killed meanwhile."""
        broker = Broker()
        self.addCleanup(broker.close)
        commander = await self.communicator()
        config = self.file(CONFIG.format(reply_port=commander.server_port, url=broker.url))
        program = self.twistd("-n", "mtmount-bridge", "--config", config)
        port = await self.serving(program)
        await commander.connect(port)
        await program.line("the broker is connected")

        async def move(number: int) -> list[Any]:
            """Send a command, and return all events up to its end; no fault here delays it."""
            command = c.Enable(source=Source.CSC, sequence_id=number)
            self.assertEqual(await self.ask(commander, command), [AckReply, DoneReply])
            return events(broker, lambda body: _is_end(body, number))

        asking = c.AskForCommand(commander=Commander.CSC, source=Source.CSC, sequence_id=100)
        self.assertEqual(await self.ask(commander, asking), [AckReply, DoneReply])
        await move(1)
        copy = broker.keep()
        await move(2)
        os.kill(self.child_of(program), signal.SIGKILL)
        await program.line("the process .* has ended: it ended with signal SIGKILL")
        await move(3)
        broker.restart_with(copy)  # it has lost the second command, and the third
        found = await move(4)
        steps = [body["data"]["sequence_id"] for body in found if _is_end(body, None)]
        self.assertEqual(steps, [1, 2, 3, 4])
        await self.assert_ends(program)
        found = events(broker, lambda body: body["data"].get("kind") == "stopped")
        file = JournalFile(self.default_journal)
        rows = [f"{entry.run}.{entry.id}" for entry in file.rows(0, file.first_and_last()[1])]
        file.close()
        self.assertEqual([body["id"] for body in found], rows)

    async def test_server_config(self) -> None:
        """``--station-config`` prints the configuration of the server for the mount, and ends."""
        config = self.file(CONFIG.format(reply_port=1, url="nats://127.0.0.1:4222"))
        program = self.twistd("-n", "mtmount-bridge", "--config", config, "--station-config")
        self.assertEqual(await program.ended, 0)
        self.assertIn('"mt.t1.>"', program.output)
        self.assertNotIn("Traceback", program.output)


def _is_end(body: Any, number: int | None) -> bool:
    """Whether an event is the end of a commander's command."""
    data = body["data"]
    ends = data["type"] == "step" and data["step"] == "done" and data["peer"] == "csc"
    return ends and number in (None, data["sequence_id"])


class ConfigTests(SynchronousTestCase):
    """A configuration with a station."""

    text = '[[pair]]\nname = "csc"\ncommand_port = 30005\n[station]\nmount = "t1"\nnode = "a"\n'

    def problems(self, text: str) -> list[str]:
        """What is wrong on this machine."""
        return list(preflight.station_problems(loading.load(self.text + text)))

    def test_journal(self) -> None:
        """Without a journal there are no events: that is an error."""
        error = self.assertRaises(ConfigError, loading.load, f"{self.text}[journal]\nenabled = false\n")
        self.assertIn("station: the events for the broker come from the journal", str(error))

    def test_server_config_without_a_station(self) -> None:
        """There is no configuration of the server without the section."""
        error = self.assertRaises(SystemExit, Options().parseOptions, ["--station-config"])
        self.assertIn("--station-config: the configuration has no [station]", str(error))

    def test_password_in_a_url(self) -> None:
        """A server with a password is refused, and the error, which goes to the log, does not show it."""
        for url in ("nats://me:pass/w@rd@127.0.0.1:1", "me:pass/w@rd@127.0.0.1:1"):
            text = f'{self.text}[station.broker]\nservers = ["{url}"]\n'
            error = str(self.assertRaises(ConfigError, loading.load, text))
            self.assertIn("without a user", error)
            self.assertIn("***@127.0.0.1:1", error)
            self.assertNotIn("rd", error.partition("got")[2])

    def test_election(self) -> None:
        """Keys without an election, one with the built-in simulator, a missing hook: one line each."""
        text = f"{self.text}preferred = true\nhook = '/h'\n"
        error = str(self.assertRaises(ConfigError, loading.load, text))
        for key in ("preferred", "hook"):
            self.assertIn(f"station.{key}: has no effect without station.one_peer", error)
        error = str(self.assertRaises(ConfigError, loading.load, f"{self.text}one_peer = true\n"))
        self.assertIn("station.one_peer: the built-in simulator serves this bridge alone", error)
        mount = '[controller]\nhost = "127.0.0.1"\ncommand_port = 30010\n'
        text = f"{self.text}one_peer = false\npreferred = true\n{mount}"
        error = str(self.assertRaises(ConfigError, loading.load, text))
        self.assertIn("station.preferred: has no effect with one_peer = false", error)
        text = f"one_peer = true\nhook = '/no/such'\n{mount}"
        self.assertEqual(
            self.problems(text),
            ["station.hook: /no/such is not a program that this user may run; expected one, as a path"],
        )
        for seconds in (0.9, 61):
            text = f"{self.text}one_peer = true\ntake_over_after = {seconds}\n{mount}"
            self.assertIn("take_over_after", str(self.assertRaises(ConfigError, loading.load, text)))

    def test_commands(self) -> None:
        """Commands by the broker need users with names of their own, and a word about the mount's peers."""
        users = '[[station.user]]\nname = "night"\n' * 2 + '[[station.user]]\nname = "Night"\n'
        many = "".join(f'[[station.user]]\nname = "u{number}"\n' for number in range(33))
        peers = "station.broker.commands: state station.one_peer: "
        for text, lines in (
            ("", ["station.broker.commands: there is no [[station.user]] that may send any", peers]),
            (
                users,
                [
                    "station.user[2].name: 'night' is the name of station.user[1] already",
                    "station.user[3].name: 'Night' differs from 'night' only by case, or by - and _",
                    peers,
                ],
            ),
            (many, ["station.user: expected at most 32 users, got 33", peers]),
            ('[[station.user]]\nname = "a.b"\n', ["station.user[1].name: expected 1 to 32 letters", peers]),
        ):
            text = f"{self.text}[station.broker]\ncommands = true\n{text}"
            error = self.assertRaises(ConfigError, loading.load, text)
            self.assertEqual(len(error.problems), len(lines), error.problems)
            for found, line in zip(error.problems, lines):
                self.assertTrue(found.startswith(line), found)

    def test_files(self) -> None:
        """Credentials that are missing, open to others or no seed, and a bad authority, are reported."""
        self.assertEqual(self.problems(""), [])
        folder = scratch_folder(self)
        seed, ca = folder / "bridge.nk", folder / "ca.pem"
        text = f'[station.broker]\ncredentials = "{seed}"\nca = "{ca}"\n'
        self.assertEqual(
            self.problems(text),
            [
                f"station.broker.credentials: {seed} can't be read: No such file or directory",
                f"station.broker.ca: {ca} can't be read: No such file or directory",
            ],
        )
        key = "station.broker.credentials"
        seed.write_text("words")
        ca.write_text("words")
        self.assertEqual(
            self.problems(text),
            [
                f"{key}: other users can read {seed}: expected mode 600 (chmod 600 {seed})",
                f"{key}: {seed} has no seed of an NKey, which begins with SU; expected it, or a .creds file",
                f"station.broker.ca: {ca} has no certificate; expected a file in PEM",
            ],
        )
