"""`mtmount_twisted.bridge.seldom`: what comes often is logged seldom."""

from __future__ import annotations

import logging

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.seldom import Seldom

from .commanders import LOG


class SeldomTests(SynchronousTestCase):
    """Once a minute."""

    def test_once_a_minute(self) -> None:
        """The first is logged, then at most one a minute, with how many there were since the last line."""
        clock = Clock()
        seldom = Seldom(clock, LOG, logging.INFO)
        with self.assertLogs(LOG, logging.INFO) as logs:
            for number in range(150):
                seldom.say("no. %d", number)
                clock.advance(1)
            clock.advance(10_000)
            seldom.say("no. %d", 150)
            clock.advance(60)
            seldom.say("no. %d", 151)
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
