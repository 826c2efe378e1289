"""`mtmount_twisted.logs`: what `logging` is told reaches Twisted's log."""

from __future__ import annotations

import logging
from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.logs import ROOT, send_to_twisted


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
