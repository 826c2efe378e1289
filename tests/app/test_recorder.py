"""The daemon with its recorder: what it records, its end, and a start after SIGKILL."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config import loading, preflight
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


class RecorderTests(ProgramCase):
    """A daemon with the built-in simulator."""

    timeout = 120
    """Seconds: a test reads seconds of telemetry and starts two daemons."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(scratch_folder(self)) / "recordings"
        self.port = self.free_port()
        self.config = self.file(CONFIG.format(folder=json.dumps(str(self.folder)), port=self.port))

    async def recorded(self, lines: int) -> tuple[Program, list[bytes]]:
        """A daemon that has passed so many lines of telemetry on, and the lines."""
        program = self.twistd("-n", "mtmount-bridge", "--config", self.config)
        await program.line("telemetry: connected to")
        reader = Lines()
        await connectProtocol(TCP4ClientEndpoint(reactor, HOST, self.port), reader)
        got = [await reader.line() for _ in range(lines)]
        return program, got

    async def test_end(self) -> None:
        """SIGTERM ends the recording: it has every line that a reader got, and the mount's events."""
        program, got = await self.recorded(100)
        program.transport.signalProcess("TERM")
        await program.ended
        [path] = recordings(self.folder)
        self.assertEqual(list(self.folder.iterdir()), [path])
        found = list(messages_of(path))
        self.assertLessEqual(set(got), {message.data for topic, message in found if topic != "events"})
        self.assertTrue([message for topic, message in found if topic == "events"])

    async def test_killed(self) -> None:
        """After SIGKILL the next start finishes the recording; at most the last second is missing."""
        program, got = await self.recorded(900)  # 4 s of telemetry
        program.transport.signalProcess("KILL")
        await program.ended
        [path] = recordings(self.folder)
        again = self.twistd("-n", "mtmount-bridge", "--config", self.config)
        await again.line("finished the recording .* of a killed daemon: .* came from its tail file")
        found = {message.data for _, message in messages_of(path)}
        last = json.loads(got[-1])["timestamp"]
        missing = [json.loads(line)["timestamp"] for line in got if line not in found]
        self.assertGreater(min(missing, default=last), last - 1.5)


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
