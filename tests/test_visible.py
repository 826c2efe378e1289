"""`mtmount_twisted.visible`, and every place where text from outside comes to a terminal or to the log."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import syslog
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.app import bridge, daemon
from mtmount_twisted.app.twistd_log import SyslogSink, ThreadLogObserver, syslog_text
from mtmount_twisted.cli.commander.options import parse_options as commander_options
from mtmount_twisted.cli.commander.report import stamped
from mtmount_twisted.cli.journal import main
from mtmount_twisted.frontends.web.events.shapes import text_of
from mtmount_twisted.net.logs import send_to_twisted
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.fields import utc_now

from .support.folders import scratch_folder, scratch_path

ROOT = Path(__file__).resolve().parent.parent

HOSTILE = (
    *("\x00", "\x07", "\x08", "\x0b", "\x0c", "\r", "\x1b[2J", "\x7f", "\x85", "\x9b1;1H"),  # control
    *("\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"),  # the direction of writing
    *("\u2028", "\u2029"),  # separators of lines and paragraphs
    *("\u00ad", "\u200b", "\u200d", "\u2060", "\ufeff", "\U000e0041"),  # no width
    *("\u034f", "\u115f", "\u1160", "\u2800", "\u3164", "\ufe0f", "\uffa0", "\U000e0100"),  # nothing to see
    *("\u00a0", "\u3000", "\ud800", "\ue000", "\u0378"),  # other spaces, half a character, none
)
"""Texts that a terminal would obey, or that look like nothing or like something else."""

ALL = "".join(HOSTILE)


def hidden_in(text: str, keep: str = "") -> set[str]:
    """The characters of `HOSTILE` that a text has in it."""
    return {char for char in text if char in ALL and not char.isascii()} | {
        char for char in text if (ord(char) < 32 or char == "\x7f") and char not in keep
    }


class VisibleTests(SynchronousTestCase):
    """The function itself."""

    def test_hostile(self) -> None:
        """Each such character becomes an escape, by which one can tell what it is."""
        for text in HOSTILE:
            self.assertEqual(visible(f"a{text[0]}b"), f"a{ascii(text[0])[1:-1]}b")
        self.assertEqual(visible("\x1b[2J\u202e\U000e0041"), "\\x1b[2J\\u202e\\U000e0041")
        self.assertEqual(visible("a\nb\tc\r"), "a\\nb\\tc\\r")

    def test_harmless(self) -> None:
        """Letters of any script, their marks, signs and the plain space stay, and so does an escape."""
        for text in ("", "plain text", "12.5\u00b0 \u00e9 e\u0301 \u4e2d \u05d0 \U0001f52d", "\\x1b \\u202e"):
            self.assertEqual(visible(text), text)

    def test_kept(self) -> None:
        """What a text may have of its own stays, and nothing else."""
        self.assertEqual(visible("a\nb\r", "\n"), "a\nb\\r")

    @given(st.text(st.characters()))
    def test_always(self, text: str) -> None:
        """Whatever is put in, the result is one line of characters that are seen, and stays as it is."""
        found = visible(text)
        self.assertTrue(found.isprintable())
        self.assertEqual(hidden_in(found), set())
        self.assertEqual(visible(found), found)


class Sink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def write(self, records: Sequence[bytes]) -> None:
        self.records.extend(records)

    def reopen(self) -> None:
        """There is no file."""

    def rotate(self) -> None:
        """There is none."""


class LogTests(SynchronousTestCase):
    """The log of a daemon under ``twistd``."""

    def setUp(self) -> None:
        self.sink = Sink()
        self.observer = ThreadLogObserver(self.sink)
        self.addCleanup(self.observer.output.stop)
        self.observer.output.start()
        globalLogPublisher.addObserver(self.observer)
        self.addCleanup(globalLogPublisher.removeObserver, self.observer)

    def logged(self) -> str:
        """What was written; no line of it but the first of each record begins with more than a tab."""
        self.assertTrue(self.observer.output.flush(10.0))
        return b"".join(self.sink.records).decode()

    def test_of_twisted(self) -> None:
        """What Twisted itself logs, a peer's words among it, is visible text."""
        Logger(namespace="twisted.web", observer=self.observer).info("a request of {peer}", peer=f"{ALL}<")
        self.assertEqual(hidden_in(self.logged(), "\n"), set())
        self.assertIn("\\x1b[2J", self.logged())

    def test_of_the_package(self) -> None:
        """So is what the package logs."""
        log = logging.getLogger("tests.visible")
        self.addCleanup(log.handlers.clear)
        send_to_twisted(log)
        log.warning("the mount said: %s", ALL)
        self.assertEqual(hidden_in(self.logged(), "\n"), set())
        self.assertIn("\\u202e", self.logged())

    def test_traceback(self) -> None:
        """A traceback has lines of its own, and an error's text in it is visible."""
        Logger(namespace="twisted", observer=self.observer).failure(
            "it failed", Failure(ValueError(f"got {ALL}"))
        )
        self.assertEqual(hidden_in(self.logged(), "\n\t"), set())
        self.assertIn("\n\tFailure: builtins.ValueError: got \\x00\\x07", self.logged())

    def test_syslog(self) -> None:
        """A text of two lines is no two records of the system's log: the second begins with a tab."""
        said: list[tuple[int, str]] = []
        self.patch(syslog, "syslog", lambda priority, text: said.append((priority, text)))
        self.patch(syslog, "openlog", lambda prefix: None)
        sink = Sink()
        observer = ThreadLogObserver(sink, syslog_text)
        self.addCleanup(observer.output.stop)
        observer.output.start()
        observer({"log_format": "{text}", "text": "no\nall is well\u2028and well\x85", "log_namespace": "m"})
        self.assertTrue(observer.output.flush(10.0))
        SyslogSink("m").write(sink.records)
        self.assertEqual(said, [(6, "no"), (6, "\tall is well\\u2028and well\\x85")])


class DaemonTests(SynchronousTestCase):
    """What the daemons say on standard error, and ``--check-config`` on standard output."""

    def said(self, *words: str) -> str:
        """What the bridge is stopped with."""
        options = bridge.Options()
        with redirect_stdout(io.StringIO()) as out:
            stopped = self.assertRaises(SystemExit, options.parseOptions, ["--web=none", *words])
        return f"{stopped.code}{out.getvalue()}"

    def test_stop(self) -> None:
        """An error line is visible text, whatever it quotes."""
        for raises in (
            lambda: daemon.stop("d", ALL),
            lambda: daemon.check_failures("d", [ALL]),
            lambda: daemon.stop_all("d", [ALL, "two"]),
        ):
            self.assertEqual(hidden_in(str(self.assertRaises(SystemExit, raises).code), "\n"), set())

    def test_options(self) -> None:
        """So is what is said of an option."""
        self.assertEqual(hidden_in(self.said("--listen", f"h{ALL.replace(chr(0), '')}")), set())
        self.assertIn("\\x1b[2J", self.said("--web", "tcp:1:\x1b[2J=x"))

    def test_check_config(self) -> None:
        """A file's name, its keys and its values are visible text in what ``--check-config`` says."""
        folder = scratch_folder(self) / "\u202eh\x1b[2J"
        folder.mkdir()
        path = folder / "b\nmtmount-bridge: the configuration is right"
        values = "\\u001b[2J\\u202e\\u2028\\ufeff\\u0085"
        for text in (
            f'"{values}" = 1\n[web]\n"{values}" = 1\nendpoint = "{values}"\n',
            f"[[pair]]\nname = '{ALL[21:]}'\n".encode("utf-8", "replace").decode(),
            "a = \x1b[2J",
            "a = '\u202e\nb = '",
            f'[journal]\npath = "/no/{values}"\n[[port]]\nname = "p"\nendpoint = "unix:/no/{values}"\n',
        ):
            path.write_text(text, encoding="utf-8")
            said = self.said("--config", str(path), "--check-config")
            self.assertEqual(hidden_in(said, "\n"), set(), text)
            self.assertNotIn("\nmtmount-bridge: the configuration is right", said)


class ProgramTests(TestCase):
    """The programs that people type."""

    def said(self, word: str, *words: str) -> str:
        """What ``mtmount-journal`` writes on standard error."""
        ends = contextlib.suppress(SystemExit)
        with redirect_stderr(io.StringIO()) as err, redirect_stdout(io.StringIO()), ends:
            main([word, *words])
        return err.getvalue()

    def test_journal(self) -> None:
        """Errors of ``mtmount-journal`` are one line of visible text."""
        path = scratch_path(self)
        name = ALL.replace("\0", "").replace("\ud800", "")
        other = path.with_name(f"no{name[:20]}")
        other.write_text("no journal")
        for words in (
            ("show", "--journal", f"{path}{name}"),
            ("show", "--journal", str(other)),
            ("show", f"--{name}"),
            ("show", "--since", name),
            ("replay", "--peer", "csc", "--host", f"far{name}"),
        ):
            said = self.said(*words)
            self.assertEqual(hidden_in(said[:-1]), set(), words)
            self.assertTrue(said.endswith("\n"))
            self.assertIn("\\x1b[2J", said)

    async def test_commander(self) -> None:
        """So are those of ``mtmount-commander``, and each line of its report."""
        with redirect_stderr(io.StringIO()) as err:
            self.assertRaises(SystemExit, commander_options, [f"--{ALL}"])
        self.assertEqual(hidden_in(err.getvalue(), "\n"), set())
        self.assertIn("\\x1b[2J", err.getvalue())
        self.assertEqual(hidden_in(stamped(utc_now(), "NOACK", ALL)), set())
        words = ("-m", "mtmount_twisted.commander", "--connect", "h:1", "--tls-ca", "no\x1b[2J\u202e")
        out, said, status = await getProcessOutputAndValue(
            sys.executable, words, {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}, str(ROOT)
        )
        self.assertEqual((out, status), (b"", 2), said)
        self.assertIn(b"no\\x1b[2J\\u202e: can't be read: ", said)

    def test_page(self) -> None:
        """The text of a message in the API, which people read in a terminal too, is visible."""
        text, _ = text_of(b"0\n" + ALL.encode("utf-8", "surrogatepass"))
        self.assertEqual(hidden_in(text), set())
