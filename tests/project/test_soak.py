"""Three days of tracking in memory, with faults at random: `chaos.soak` with few commands."""

from __future__ import annotations

import logging
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from chaos.setting import TMA2020, TMA2022, TRANSLATED
from chaos.soak import LOG, SCRIPTS, Left, Soak, differences, soak

HOURS = 72.0
INTERVAL = 30.0
"""Between two commands, in seconds: three days of them shall take some seconds of a processor."""

TODAYS_HOURS = 0.5
"""Of a tma2022 mount, which needs more commands, heartbeats and events."""


class SoakTests(SynchronousTestCase):
    """The bridge, a mount, commanders and a bad network."""

    def setUp(self) -> None:
        level = LOG.level
        LOG.setLevel(logging.CRITICAL)
        self.addCleanup(LOG.setLevel, level)

    def test_three_days(self) -> None:
        """After 72 hours nothing is lost, in flight or left over: neither calls, clients nor objects."""
        verdict = soak(HOURS, INTERVAL, setting=TMA2020)
        self.assertEqual((verdict.lost, verdict.problems), (0, ()))
        self.assertGreater(verdict.commands, HOURS * 3600 / INTERVAL / 2)
        self.assertGreater(verdict.faults, 300)

    def test_today(self) -> None:
        """Nor before a tma2022 mount, with its heartbeats, for commanders of either protocol."""
        for setting in (TMA2022, TRANSLATED):
            verdict = soak(TODAYS_HOURS, SCRIPTS[setting].interval, setting=setting)
            self.assertEqual((verdict.lost, verdict.problems), (0, ()))
            self.assertGreater(verdict.commands, 1000)

    def test_each_fault(self) -> None:
        """Whatever goes wrong, once it does not, the mount is commanded as before."""
        self.check_each_fault(Soak(INTERVAL))

    def test_each_fault_today(self) -> None:
        """As before, of those that only a tma2022 mount has, too."""
        for setting in (TMA2022, TRANSLATED):
            self.check_each_fault(Soak(SCRIPTS[setting].interval, setting=setting))

    def check_each_fault(self, running: Soak) -> None:
        """Let each fault happen once, and track after it."""
        for name, inject in running.faults.items():
            with self.subTest(fault=name, commanders=running.setting.commanders.name):
                inject(running)
                running.tracking(40.0)
                running.heal()
                done = running.tally.ends["ack"]
                running.track()
                running.run(1.0)
                self.assertEqual((running.tally.ends["ack"], running.lost), (done + 1, []))


class DifferencesTests(SynchronousTestCase):
    """What a soak takes for a fault."""

    def test_each_is_told(self) -> None:
        """A command in flight, a delayed call, a client, a connection and many objects more are told."""
        before = Left(0, 1, Counter(), 4, Counter(dict=1000))
        self.assertEqual(list(differences(before, before)), [])
        for changed in (
            Left(1, 1, Counter(), 4, Counter(dict=1000)),
            Left(0, 2, Counter(), 4, Counter(dict=1000)),
            Left(0, 1, Counter(leak=1), 4, Counter(dict=1000)),
            Left(0, 1, Counter(), 5, Counter(dict=1000)),
            Left(0, 1, Counter(), 4, Counter(dict=2000)),
        ):
            self.assertEqual(len(list(differences(before, changed))), 1)
