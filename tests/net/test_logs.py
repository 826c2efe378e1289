"""`mtmount_twisted.net.logs`: what `logging` is told reaches Twisted's log."""

from __future__ import annotations

import ast
import io
import logging
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.logger import LogEvent, Logger, LoggingFile, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import mtmount_twisted
from mtmount_twisted.net.logs import FIELDS, ROOT, send_to_twisted, send_unconfigured_to_twisted
from mtmount_twisted.testing import MemoryReactor
from tests.support.folders import scratch_path
from tests.support.programs import ProgramCase

LOGGING = {"log", "_log", "debug", "info", "warning", "error", "exception", "critical"}


def named_first(tree: ast.Module) -> Iterator[str]:
    """The first argument of each call in a module that logs a text with a name at its beginning."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LOGGING:
            for text, argument in pairwise(call.args):
                if isinstance(text, ast.Constant) and str(text.value).startswith("%s: "):
                    yield ast.unparse(argument)


class PeerTests(SynchronousTestCase):
    """The peer that a line is about."""

    def test_names(self) -> None:
        """Where a text begins with ``%s: ``, its first argument is a name: it becomes the field ``peer``."""
        package = Path(mtmount_twisted.__file__).parent
        first = [name for path in package.rglob("*.py") for name in named_first(ast.parse(path.read_text()))]
        self.assertGreater(len(first), 50)
        self.assertEqual([name for name in first if not re.search(r"(name|commander)$", name)], [])


class SendToTwistedTests(SynchronousTestCase):
    """`send_to_twisted`, on a tree of loggers of this test's own."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.log = logging.getLogger("tests.logs")
        self.addCleanup(self.log.handlers.clear)
        self.addCleanup(self.log.setLevel, logging.NOTSET)
        send_to_twisted(self.log)

    def told(self) -> list[tuple[Any, str, str]]:
        """Level, name and text of what reached Twisted's log."""
        return [(event["log_level"], event["log_namespace"], formatEvent(event)) for event in self.events]

    def test_levels(self) -> None:
        """A record keeps its text, the name of its logger and its level."""
        send_to_twisted(self.log, logging.DEBUG)
        child = self.log.getChild("child")
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            child.log(level, "at %d", level)
        expected = (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical)
        self.assertEqual(
            self.told(),
            [(level, "tests.logs.child", f"at {10 * number}") for number, level in enumerate(expected, 1)],
        )

    def test_levels_between(self) -> None:
        """A level that Twisted does not have counts as the next lower one."""
        self.log.log(35, "more than a warning")
        self.assertEqual(self.told(), [(LogLevel.warn, "tests.logs", "more than a warning")])

    def test_no_debug_by_default(self) -> None:
        """Debug records are left out unless they are asked for."""
        self.log.debug("fine")
        self.assertEqual(self.told(), [])

    def test_once(self) -> None:
        """Asking twice does not tell it twice, and nothing is told to other handlers above."""
        send_to_twisted(self.log)
        above: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = above.append  # type: ignore[method-assign]
        logging.getLogger().addHandler(handler)
        self.addCleanup(logging.getLogger().removeHandler, handler)
        self.log.info("once")
        self.assertEqual(self.told(), [(LogLevel.info, "tests.logs", "once")])
        self.assertEqual(above, [])

    def test_braces(self) -> None:
        """Braces and percent signs in a message mean nothing."""
        self.log.info("{text} {0} {log_level} {%s", "%d}")
        self.assertEqual(self.told(), [(LogLevel.info, "tests.logs", "{text} {0} {log_level} {%d}")])

    def test_fields(self) -> None:
        """An observer finds the fields of a record, and the peer that a text begins with; no others."""
        self.log.info("%s: gone: %s", "csc", "closed")
        self.log.info("lease %d", 7, extra={"peer": "eui", "lease": 7, "mood": "good"})
        self.log.info("%s: %s", "csc", "it names another", extra={"peer": "eui"})
        self.log.info("%s: only percent")
        self.log.info("%s things", "many")
        found = [{name: event[name] for name in (*FIELDS, "mood") if name in event} for event in self.events]
        self.assertEqual(found, [{"peer": "csc"}, {"peer": "eui", "lease": 7}, {"peer": "eui"}, {}, {}])

    def test_traceback(self) -> None:
        """The traceback of an exception is told with it."""
        try:
            raise ZeroDivisionError("here")
        except ZeroDivisionError:
            self.log.exception("it failed")
        [(level, _, text)] = self.told()
        self.assertIs(level, LogLevel.error)
        self.assertTrue(text.startswith("it failed\nTraceback"))
        self.assertTrue(text.endswith("ZeroDivisionError: here"))

    def test_message_that_cant_be_made(self) -> None:
        """A record whose arguments do not fit its text does no harm to whoever logs it."""
        self.patch(logging, "raiseExceptions", False)
        self.log.info("%d", "no number")
        self.log.info("and on")
        self.assertEqual([text for _, _, text in self.told()], ["and on"])

    def test_root(self) -> None:
        """The root is this package's own name, so that each module's logger is below it."""
        self.assertEqual(ROOT, "mtmount_twisted")


class UnconfiguredTests(SynchronousTestCase):
    """`send_unconfigured_to_twisted`, on a logger of this test's own."""

    def setUp(self) -> None:
        self.log = logging.getLogger("tests.logs.unconfigured")
        root = logging.getLogger()
        for log in (self.log, self.log.parent, root):
            assert log is not None
            self.addCleanup(log.handlers.extend, log.handlers[:])
            self.addCleanup(log.handlers.clear)
            log.handlers.clear()
            self.addCleanup(log.setLevel, log.level)
            self.addCleanup(setattr, log, "propagate", log.propagate)
            log.propagate = True
        self.log.setLevel(logging.NOTSET)
        root.setLevel(logging.WARNING)
        self.patch(sys, "stderr", LoggingFile(Logger()))

    def test_no_level(self) -> None:
        """A logger without a level is given INFO."""
        send_unconfigured_to_twisted(self.log, MemoryReactor())
        self.assertEqual((len(self.log.handlers), self.log.level), (1, logging.INFO))

    def test_level(self) -> None:
        """A level that a program gave the logger, one above it or the root, stays."""
        for log, level in (
            (self.log, logging.DEBUG),
            (self.log.parent, logging.ERROR),
            (logging.getLogger(), logging.DEBUG),
        ):
            assert log is not None
            self.log.handlers.clear()
            before = log.level
            log.setLevel(level)
            send_unconfigured_to_twisted(self.log, MemoryReactor())
            self.assertEqual((len(self.log.handlers), self.log.level), (1, level))
            self.log.setLevel(logging.NOTSET)
            log.setLevel(before)

    def test_configured(self) -> None:
        """A logger that has a handler, itself or above, is left as it is."""
        for log in (self.log, logging.getLogger()):
            handler = logging.NullHandler()
            log.addHandler(handler)
            send_unconfigured_to_twisted(self.log, MemoryReactor())
            self.assertEqual((self.log.level, self.log.propagate), (logging.NOTSET, True))
            log.removeHandler(handler)
        self.assertEqual(self.log.handlers, [])

    def test_without_twisteds_log(self) -> None:
        """Where Twisted's log has not taken over standard error, nothing changes."""
        self.patch(sys, "stderr", io.StringIO())
        send_unconfigured_to_twisted(self.log, MemoryReactor())
        self.assertEqual((self.log.handlers, self.log.level), ([], logging.NOTSET))


TAC = """
import logging
from twisted.application.service import Application
from mtmount_twisted import Communicator

application = Application("mine")
log = logging.getLogger("observatory.mount")
communicator = Communicator("mine", "127.0.0.1", 1, "127.0.0.1", 0, log, read_replies=True)
"""


class TacTests(ProgramCase):
    """A ``.tac`` file of a user's own."""

    async def test_communicator(self) -> None:
        """What a communicator logs to a logger that nobody configured is in the log of ``twistd``."""
        path = scratch_path(self)
        path.write_text(TAC)
        program = self.twistd("-n", "--pidfile=", "-y", str(path))
        await program.line(r"\[observatory\.mount#info\] mine: can't connect yet")
        await self.assert_ends(program)
