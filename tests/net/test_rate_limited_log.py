"""`mtmount_twisted.net.rate_limited_log`: what comes often is logged seldom."""

from __future__ import annotations

import logging

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.net.rate_limited_log import INTERVAL, RateLimitedLog
from tests.support.commanders import LOG


class LimitedLogTests(SynchronousTestCase):
    """A few lines of each kind a minute."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_once_a_minute(self) -> None:
        """The first is logged, then at most one a minute, with how many there were since the last line."""
        limited = RateLimitedLog(self.clock, LOG)
        with self.assertLogs(LOG, logging.INFO) as logs:
            for number in range(150):
                limited.info("no. %d", number)
                self.clock.advance(1)
            self.clock.advance(10_000)
            limited.info("no. %d", 150)
            self.clock.advance(INTERVAL)
            limited.info("no. %d", 151)
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [
                "no. 0",
                "no. 60 (60 such lines since the last one here)",
                "no. 120 (60 such lines since the last one here)",
                "no. 150 (30 such lines since the last one here)",
                "no. 151",
            ],
        )

    def test_a_few(self) -> None:
        """Of a kind that may be many at the start of a site, so many are logged in each minute."""
        limited = RateLimitedLog(self.clock, LOG, burst=3)
        with self.assertLogs(LOG, logging.WARNING) as logs:
            for number in range(1000):
                limited.warning("no. %d", number)
            self.clock.advance(INTERVAL)
            for number in range(1000, 1003):
                limited.warning("no. %d", number)
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            [
                "no. 0",
                "no. 1",
                "no. 2",
                "no. 1000 (998 such lines since the last one here)",
                "no. 1001",
                "no. 1002",
            ],
        )

    def test_kinds(self) -> None:
        """One kind of line does not keep another back, and an error comes with its traceback."""
        limited = RateLimitedLog(self.clock, LOG)
        with self.assertLogs(LOG, logging.INFO) as logs:
            for _ in range(5):
                limited.info("a peer connected")
                limited.error("a peer was refused")
                try:
                    raise ValueError("why")
                except ValueError:
                    limited.exception("a fault")
        self.assertEqual(
            [(record.levelname, record.getMessage()) for record in logs.records],
            [("INFO", "a peer connected"), ("ERROR", "a peer was refused"), ("ERROR", "a fault")],
        )
        self.assertIsNotNone(logs.records[-1].exc_info)
