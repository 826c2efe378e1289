"""The daemon with its recorder: what it records, its end, and a start after SIGKILL."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from mcap.reader import make_reader
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config import loading, preflight
from mtmount_twisted.journal.recording import signals
from mtmount_twisted.journal.recording.items import EVENTS
from mtmount_twisted.journal.recording.layout import recordings
from tests.support.folders import scratch_folder
from tests.support.programs import HOST, Program, ProgramCase
from tests.support.recordings import messages_of
from tests.support.simulated_tma2022 import Lines

CONFIG = """
[simulator]
dialect = "tma2022"
[[pair]]
name = "csc"
command_port = 0
[[telemetry]]
name = "topics"
endpoint = "tcp:{port}:interface=127.0.0.1"
[recorder]
enabled = true
min_free = 0
path = {folder}
"""

PATIENT = "from mtmount_twisted.app import bridge; bridge.END_TIME = bridge.STOP_TIME = 60.0"
"""A loaded machine may need more than the seconds after which the daemon gives up its recorder."""


class RecorderTests(ProgramCase):
    """A daemon with the built-in simulator."""

    timeout = 180
    """Seconds: a test starts two daemons, and reads seconds of telemetry, on a machine that may be loaded."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(scratch_folder(self)) / "recordings"
        self.port = self.free_port()
        self.config = self.file(CONFIG.format(folder=json.dumps(str(self.folder)), port=self.port))

    async def recorded(self, count: int) -> tuple[Program, list[bytes]]:
        """A daemon that has so many lines of telemetry and an event on the disk, and the lines that a reader
        got."""
        program = self.twistd("-n", "mtmount-bridge", "--config", self.config, before=PATIENT)
        await program.line("telemetry: connected to")
        reader = Lines()
        await connectProtocol(TCP4ClientEndpoint(reactor, HOST, self.port), reader)
        got = [await reader.line() for _ in range(count)]
        while not self.has(got[count - 1]):
            got += [await reader.line() for _ in range(20)]  # the daemon's clock goes on meanwhile
        return program, got

    def has(self, line: bytes) -> bool:
        """Whether the disk has a line and an event."""
        found = [(topic, each) for _, topic, each in signals.lines(self.folder)]
        return EVENTS in dict(found) and line in {each for _, each in found}

    async def test_end(self) -> None:
        """SIGTERM ends the recording: it has every line that a reader got, and the mount's events."""
        program, got = await self.recorded(100)
        program.transport.signalProcess("TERM")
        await program.ended
        [path] = recordings(self.folder)
        self.assertEqual(list(self.folder.iterdir()), [path])
        found = list(messages_of(path))
        self.assertLessEqual(set(got), {message.data for topic, message in found if topic != EVENTS})
        self.assertTrue([message for topic, message in found if topic == EVENTS])
        with open(path, "rb") as file:
            [about] = [each.metadata for each in make_reader(file).iter_metadata()]
        self.assertEqual((about["dialect"], about["site.latitude"]), ("tma2022", "-30.244639"))

    async def test_killed(self) -> None:
        """After SIGKILL the next start finishes the recording, which has each line that the disk had."""
        count = 900  # 4 s of telemetry
        program, got = await self.recorded(count)
        program.transport.signalProcess("KILL")
        await program.ended
        [path] = recordings(self.folder)
        before = [line for _, _, line in signals.lines(self.folder)]
        again = self.twistd("-n", "mtmount-bridge", "--config", self.config)
        told = await again.line(
            r"finished the recording .* of a killed daemon: (\d+) messages came from its tail"
        )
        self.assertGreaterEqual(int(told[1]), count)
        found = [message.data for _, message in messages_of(path)]
        self.assertTrue(Counter(found) == Counter(before), "the tail file has other lines")
        kept = [line in set(found) for line in got]
        self.assertEqual(kept, sorted(kept, reverse=True))  # the last lines are missing, and no others
        self.assertTrue(all(kept[:count]))


class PreflightTests(SynchronousTestCase):
    """A configuration that can't record."""

    def problems(self, recorder: str, dialect: str = "tma2022") -> list[str]:
        """What is wrong with a section ``[recorder]``."""
        text = f'[simulator]\ndialect = "{dialect}"\n[[pair]]\nname = "csc"\ncommand_port = 5\n'
        return list(preflight.problems(loading.load(f"{text}[journal]\nenabled = false\n{recorder}")))

    def test_folder(self) -> None:
        """A file in the place of the folder is named, and nothing is made."""
        folder = Path(scratch_folder(self))
        (folder / "file").write_text("")
        [problem] = self.problems(f'[recorder]\nenabled = true\npath = "{folder}/file"')
        self.assertEqual(
            problem, f"recorder.path: {folder}/file is no folder; expected a folder for recordings"
        )
        self.assertEqual(self.problems(f'[recorder]\nenabled = true\npath = "{folder}/new/er"'), [])
        self.assertEqual([each.name for each in folder.iterdir()], ["file"])

    def test_without_extra(self) -> None:
        """Without mcap and zstandard, one line names the command that installs them."""
        self.patch(preflight, "find_spec", lambda name: None)
        [problem] = self.problems('[recorder]\nenabled = true\npath = "/tmp"')
        self.assertIn("recorder.enabled: mcap and zstandard are not installed", problem)
        self.assertIn("[recorder]", problem)

    def test_mount_without_telemetry(self) -> None:
        """A mount of 2020 sends no telemetry: the configuration is wrong."""
        error = self.assertRaises(ValueError, self.problems, "[recorder]\nenabled = true", "tma2020")
        self.assertIn("recorder.enabled: a mount that speaks tma2020 has no telemetry", str(error))
