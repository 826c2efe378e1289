"""The log of a daemon under ``twistd``: `mtmount_twisted.app.twistd_log`, and how the daemons use it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import textwrap
from collections.abc import Sequence
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import ILogObserver, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.app.twistd_log import ThreadLogObserver, TwistdLog, json_text, syslog_text
from tests.support.folders import scratch_folder
from tests.support.pages import DOCS
from tests.support.programs import ProgramCase

SOON = 10.0


class Sink:
    """Keeps what is written, or fails."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.error: OSError | None = None

    def write(self, records: Sequence[bytes]) -> None:
        if self.error is not None:
            raise self.error
        self.records.extend(records)

    def reopen(self) -> None:
        """There is no file."""

    def rotate(self) -> None:
        """There is no file."""


def event(text: str, level: Any = LogLevel.info) -> dict[str, Any]:
    """An event of `twisted.logger`."""
    return {"log_time": 0.0, "log_namespace": "mount", "log_level": level, "log_format": text}


class ObserverTests(SynchronousTestCase):
    """`ThreadLogObserver`."""

    def test_lines(self) -> None:
        """A line looks as ``twistd`` writes it; one that could not be written is counted in the next."""
        sink = Sink()
        observer = ThreadLogObserver(sink)
        self.assertTrue(verifyObject(ILogObserver, observer))
        self.addCleanup(observer.output.stop)
        observer.output.start()
        sink.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        observer(event("one"))
        self.assertTrue(observer.output.flush(SOON))
        sink.error = None
        observer(event("two"))
        self.assertTrue(observer.output.flush(SOON))
        lacking, two = [record.decode() for record in sink.records]
        self.assertIn("[mtmount_twisted.app.twistd_log#error] the log lacks 1 records here: ", lacking)
        self.assertIn("No space left on device", lacking)
        self.assertTrue(two.endswith(" [mount#info] two\n"), two)

    def test_syslog(self) -> None:
        """For the system's log a line begins with its priority (RFC 3164)."""
        self.assertEqual(syslog_text(event("text", LogLevel.error)), "<3>text")
        self.assertEqual(syslog_text(event("text")), "<6>text")


class JsonTests(SynchronousTestCase):
    """``--log-format json``."""

    def test_line(self) -> None:
        """A line is an object with the time in UTC, the level, the text, and the fields of the event."""
        fields = {"text": "two\nlines \x1b", "log_time": 0.5, "peer": "csc", "lease": 2, "mood": "good"}
        line = json_text(event("{text}", LogLevel.warn) | fields)
        self.assertEqual(line.count("\n"), 1)
        self.assertEqual(
            json.loads(line),
            {
                "time": "1970-01-01T00:00:00.500000Z",
                "level": "warn",
                "namespace": "mount",
                "text": "two\nlines \\x1b",
                "peer": "csc",
                "lease": 2,
            },
        )

    def test_failure(self) -> None:
        """The traceback of a failure is a member of its own."""
        try:
            raise ZeroDivisionError("here")
        except ZeroDivisionError:
            failed = event("it failed") | {"log_failure": Failure()}
        shown = json.loads(json_text(failed))
        self.assertEqual(shown["text"], "it failed")
        self.assertIn("ZeroDivisionError: here", shown["traceback"])

    def test_syslog(self) -> None:
        """The system's log receives the object behind the priority."""
        text = syslog_text(event("text", LogLevel.error), json_text)
        self.assertTrue(text.startswith('<3>{"time": '), text)


class OptionsTests(SynchronousTestCase):
    """What ``twistd`` is told."""

    def log(self, **options: Any) -> TwistdLog:
        """The log for some options of ``twistd``."""
        given = {"logfile": None, "nodaemon": False, "debug": False, "logger": None, "syslog": False}
        log = TwistdLog(given | options)
        if log.observer is not None:
            self.addCleanup(log.observer.output.stop)
        return log

    def test_file(self) -> None:
        """A file is opened, in the foreground and in the background."""
        for foreground in (False, True):
            path = scratch_folder(self) / "log"
            self.assertTrue(self.log(logfile=str(path), nodaemon=foreground).has_file)
            self.assertTrue(path.exists())

    def test_left_to_twistd(self) -> None:
        """A logger that somebody names, and what ``twistd`` refuses, are left to ``twistd``."""
        for options in ({"logger": print, "nodaemon": True}, {"logfile": "-"}):
            log = self.log(**options)
            self.assertIsNone(log.observer)
            log.reopen()

    def test_no_such_folder(self) -> None:
        """A file that can't be opened is an error for who makes the log."""
        path = scratch_folder(self) / "none" / "log"
        self.assertRaises(FileNotFoundError, self.log, logfile=str(path))


class ProgramTests(ProgramCase):
    """A daemon with a log file, in a process of its own."""

    async def test_reopened(self) -> None:
        """After a rename and SIGUSR1 the log goes on in a new file, up to its last line."""
        folder = scratch_folder(self)
        path = folder / "log"
        commander = await self.communicator()
        port = self.free_port()
        ports = "--command-port", str(port), "--reply-port", str(commander.server_port)
        program = self.twistd("-n", "--logfile", str(path), "mtmount-simulator", *ports)
        await commander.connect(port)
        path.rename(folder / "old")
        program.transport.signalProcess(signal.SIGUSR1)
        program.transport.signalProcess("TERM")
        await program.ended
        old, new = (folder / "old").read_text(), path.read_text()
        self.assertIn("starting up", old)
        self.assertIn("serving a commander", old + new)  # logged before or after the rename
        self.assertIn("Server Shut Down.", new)

    async def test_json(self) -> None:
        """With ``--log-format json`` each line of the daemon is an object; the peer can be selected by."""
        path = scratch_folder(self) / "log"
        commander = await self.communicator()
        port = self.free_port()
        ports = "--command-port", str(port), "--reply-port", str(commander.server_port)
        program = self.twistd(
            "-n", "--logfile", str(path), "mtmount-simulator", "--log-format", "json", *ports
        )
        await commander.connect(port)
        program.transport.signalProcess("TERM")
        await program.ended
        shown = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertIn("Server Shut Down.", [each["text"] for each in shown])
        self.assertIn("mtmount-simulator", [each.get("peer") for each in shown])

    async def test_no_such_format(self) -> None:
        """Another name is one line that says which there are."""
        program = self.twistd("-n", "mtmount-simulator", "--log-format", "xml")
        self.assertEqual(await program.ended, 1)
        [line] = program.output.splitlines()
        self.assertIn("--log-format: expected text or json, got 'xml'", line)

    async def test_logrotate(self) -> None:
        """The logrotate file of ``docs/howto/rotate-logs.rst`` moves the log away; no line is lost."""
        logrotate = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if logrotate is None:
            raise SkipTest("there is no logrotate here")
        folder = scratch_folder(self)
        path, log = folder / "bridge.log", "/var/log/mtmount-bridge/bridge.log"
        port = str(self.free_port())
        commander = await self.communicator()
        ports = "-p", port, "-r", str(commander.server_port)
        program = self.twistd("-n", "--logfile", str(path), "mtmount-simulator", *ports)
        await commander.connect(int(port))
        called = 'test "$*" = "kill --signal=USR1 mtmount-bridge.service"'
        script = f"#!/bin/sh\n{called} && kill -USR1 {program.transport.pid}\n"
        (folder / "systemctl").write_text(script)
        (folder / "systemctl").chmod(0o700)
        page = (DOCS / "howto" / "rotate-logs.rst").read_text(encoding="utf-8")
        [shown] = re.findall(r":name: logrotate\n\n((?:   .*\n|\n)+)", page)
        self.assertIn(log, shown)
        (folder / "conf").write_text(textwrap.dedent(shown).replace(log, str(path)))
        command = [logrotate, "--force", "--state", str(folder / "state"), str(folder / "conf")]
        environment = {**os.environ, "PATH": f"{folder}:{os.environ.get('PATH', '')}"}
        done = await getProcessOutputAndValue(command[0], command[1:], environment)
        self.assertEqual(done[2], 0, done)
        program.transport.signalProcess("TERM")
        await program.ended
        [moved] = folder.glob("bridge.log-*")
        old, new = moved.read_text(), path.read_text()
        self.assertIn("starting up", old)
        self.assertIn("serving a commander", old + new)  # logged before or after the rename
        self.assertIn("SIGUSR1: reopened the log file", new)
        self.assertIn("Server Shut Down.", new)

    async def test_no_such_folder(self) -> None:
        """A log file that can't be opened is one line that names it."""
        program = self.twistd("-n", "--logfile", "none/log", "mtmount-simulator", "-p", "0", "-r", "9")
        self.assertEqual(await program.ended, 1)
        [line] = program.output.splitlines()
        self.assertIn("mtmount-simulator: --logfile: can't write ", line)
        self.assertIn("none/log: No such file or directory; give another file", line)
