"""Commands of the other generation of the protocol: no number of one may reach a mount of the other."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import Dialect, dialect_named
from mtmount_twisted.dialects.sources import Source
from tests.support.commanders import LOG, RecordingClient, RecordingJournal, RecordingLink
from tests.support.tma2022_bridge import Tma2022Case

TRACK_2020 = b"7\n31\n1\n2026-11-27T05:17:42.925\n1\n2\n0\n0\n0\n1795756665.0"
POWER_2022 = b"7\n31\n1\n1795756665.5\n1"


class TodaysMountTests(Tma2022Case):
    """A tma2022 mount, and a commander that has command."""

    def test_line_of_2020(self) -> None:
        """31 means "track" there and "power" here: the mount receives nothing, and the reason says why."""
        self.csc.say(TRACK_2020)
        self.assertEqual(self.sent(), [])
        [why] = self.csc.dismissals
        self.assertIn("speaks tma2020", why)
        [explanation] = self.explanations(self.csc)
        self.assertTrue(explanation.startswith("malformed: "), explanation)
        self.assertIn("tma2020", explanation)

    def test_the_client_takes_no_notice_of_small_times(self) -> None:
        """A timestamp of 0 is one of tma2022, as is one with few digits."""
        for timestamp in (b"0.0", b"5", b"-1.5", b"1e9"):
            self.csc.say(b"7\n103\n1\n%b\n3\n0\n0\n0" % timestamp)
            self.assertEqual(len(self.sent()), 1)


class OldMountTests(SynchronousTestCase):
    """A tma2020 mount, and a commander."""

    def setUp(self) -> None:
        clock = Clock()
        dialect: Dialect = dialect_named("tma2020")
        self.bridge = Bridge(clock, LOG, EventBus(clock, RecordingJournal()), CommandRules(), dialect)
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        self.csc = RecordingClient(self.bridge, "csc", Source.CSC).come()

    def test_line_of_2022(self) -> None:
        """The mount receives nothing, and the reason says why."""
        ask = tma2022.commands.AskForCommand(sequence_id=1, commander=tma2022.enums.Source.CSC)
        self.csc.say(ask.encode()[:-2])
        self.csc.say(POWER_2022)
        self.assertEqual(self.link.read(), [])
        [why] = self.csc.dismissals
        self.assertIn("speaks tma2022", why)

    def test_without_reply_connection(self) -> None:
        """The log says so also where nothing can be answered: the client has one connection only."""
        with self.assertLogs(LOG, "WARNING") as logged:
            self.bridge.unheard(self.csc, [POWER_2022])
        self.assertIn("speaks tma2022", "\n".join(logged.output))
