"""`mtmount_twisted.bridge.arbiter`: a holder of command that is gone, and what a site may set."""

from __future__ import annotations

import logging

from mtmount_twisted.dialects.tma2020.envelope import read_command
from mtmount_twisted.enums import CommandCode, ReplyCode, Source
from mtmount_twisted.net.logs import fields_of
from tests.support.commanders import ASK, LOG, MOVE, STOP, CommandCase, RecordingClient

ACK, DONE = ReplyCode.ACK, ReplyCode.DONE
STOPS = [
    CommandCode.BOTH_AXES_STOP,
    CommandCode.CAMERA_CABLE_WRAP_STOP,
    CommandCode.MIRROR_COVERS_STOP,
    CommandCode.MIRROR_COVER_LOCKS_STOP,
]


class GraceTests(CommandCase):
    """A holder that is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.house.give(self.csc)

    def test_stops(self) -> None:
        """After 5 s all that moves is stopped, then command is given up upstream, and the next may ask."""
        self.assertFalse(self.house.bridge.grace)
        with self.assertLogs(LOG, logging.WARNING) as logs:
            self.csc.go()
        self.assertEqual(
            [record.getMessage() for record in logs.records],
            ["csc, which has command, is gone: waiting 5 s for it"],
        )
        self.house.advance(4.9)
        self.assertEqual((self.house.link.read(), self.holder), ([], self.csc))
        self.assertTrue(self.house.bridge.grace)
        self.house.advance(0.2)
        self.assertFalse(self.house.bridge.grace)
        self.assertEqual(self.house.link.codes(), [*STOPS, ASK])
        self.assertIsNone(self.holder)
        self.assertEqual(self.house.leases()[-1], ("lease_released", "csc"))
        self.house.give(self.eui)
        self.assertEqual(self.house.bridge.lease.number, 2)

    def test_back_in_time(self) -> None:
        """A holder that is back in time keeps its lease, each time that it is gone."""
        for _ in range(3):
            self.csc.go()
            self.house.advance(4)
            self.csc.come()
        self.house.advance(10)
        self.csc.command(MOVE)
        self.assertEqual(self.house.link.codes(), [MOVE])
        self.assertEqual(self.house.bridge.lease.number, 1)
        self.csc.go()
        self.house.advance(5.1)
        self.assertIsNone(self.holder)

    def test_stops_again(self) -> None:
        """If the link is lost before the stops are answered, the mount is stopped when it is back."""
        self.csc.go()
        self.house.advance(5.1)
        self.assertEqual(self.house.link.codes(), [*STOPS, ASK])
        self.house.bridge.link_down("a cable")
        self.house.connect()
        self.assertEqual(self.house.link.codes()[:5], [ASK, *STOPS])

    def test_stops_no_more(self) -> None:
        """Not if somebody has command by then: who has it is in charge."""
        self.csc.go()
        self.house.advance(5.1)
        self.house.link.finish_all()
        self.house.give(self.eui)
        self.house.bridge.link_down("a cable")
        self.house.connect()
        self.assertEqual(self.house.link.codes(), [ASK])

    def test_lost_twice(self) -> None:
        """To be told of a loss twice is to be told once."""
        self.csc.go()
        self.csc.go()
        self.csc.come()
        self.house.advance(10)
        self.assertIs(self.holder, self.csc)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """A holder that is back too late has lost command."""
        self.csc.go()
        self.house.advance(5.1)
        self.csc.come()
        self.csc.command(MOVE)
        self.assertEqual(self.csc.explanations(), ["refused: nobody has command"])

    def test_other_asks(self) -> None:
        """Another may take command meanwhile: nothing is stopped, then or later."""
        self.csc.go()
        self.eui.ask()
        self.granted(self.eui)
        self.csc.come()
        self.house.advance(10)
        self.assertEqual(self.house.link.read(), [])
        self.assertIs(self.holder, self.eui)

    def test_hhd_gone(self) -> None:
        """Command of an HHD that is gone can't be taken before its time is over."""
        self.hhd.ask()
        self.hhd.read()
        self.hhd.go()
        self.eui.ask()
        self.assertEqual(len(self.eui.explanations()), 1)
        self.house.advance(5.1)
        self.house.link.finish_all()
        self.eui.ask()
        self.house.link.finish_all()
        self.granted(self.eui)

    def test_none_meanwhile(self) -> None:
        """Others can't give up what the one that is gone has."""
        self.csc.go()
        self.eui.ask(0)
        self.assertEqual(len(self.eui.explanations()), 1)

    def test_link_down(self) -> None:
        """With the link down nothing can be stopped: the log says so, and it is done when the link is up."""
        self.house.bridge.link_down("gone")
        self.csc.go()
        with self.assertLogs(LOG, logging.CRITICAL) as logs:
            self.house.advance(5.1)
        self.assertEqual(len(logs.records), 1)
        self.assertIsNone(self.holder)
        link = self.house.connect()
        lines = link.read()
        self.assertEqual([read_command(line).code for line in lines], [ASK, *STOPS])
        for line in lines:
            link.finish(line)
        self.house.bridge.link_down("gone")
        self.assertEqual(self.house.connect().read(), [])

    def test_stop_fails(self) -> None:
        """A stop that the mount refuses is a warning in its words. One that it does not answer is
        critical."""
        self.csc.go()
        self.house.advance(5.1)
        with self.assertLogs(LOG, logging.WARNING) as logs:
            stops = self.house.link.read()[:4]
            self.house.link.refuse(stops[0], b"in local mode")
            self.house.link.finish(stops[1])
            self.house.link.ack(stops[2])
            self.house.advance(6)
        told = [(record.levelno, record.getMessage()) for record in logs.records]
        self.assertEqual([level for level, _ in told], [logging.WARNING, *[logging.CRITICAL] * 2])
        for (_, text), words in zip(
            told,
            ["BothAxesStop, in local mode", "MirrorCoversStop, not done in", "MirrorCoverLocksStop, no Ack"],
            strict=True,
        ):
            for word in words.split(", "):
                self.assertIn(word, text)

    def test_stop_of_what_is_off(self) -> None:
        """A refused stop of a part that is off is no warning: the part does not move."""
        self.csc.go()
        self.house.advance(5.1)
        refusals = (b"mirror covers is off: turn its power on first", b"<System.MIRROR_COVERS: 4> off')")
        with self.assertLogs(LOG, logging.INFO) as logs:
            stops = self.house.link.read()[:4]
            for stop, why in zip(stops, refusals):
                self.house.link.refuse(stop, why)
            for stop in stops[2:]:
                self.house.link.finish(stop)
        self.assertEqual(
            [(record.levelno, record.getMessage()) for record in logs.records],
            [
                (logging.INFO, f"{stop}, because the holder of command is gone, failed: {why.decode()}")
                for stop, why in zip(("BothAxesStop", "CameraCableWrapStop"), refusals, strict=True)
            ],
        )

    def test_log_fields(self) -> None:
        """A reader of the log can select by peer, lease, epoch, command and outcome."""
        with self.assertLogs(LOG, logging.INFO) as logs:
            self.csc.go()
            self.house.advance(5.1)
            stops = self.house.link.read()[:4]
            self.house.link.refuse(stops[0], b"in local mode")
            for stop in stops[1:]:
                self.house.link.finish(stop)
        fields = [fields_of(record) for record in logs.records]
        csc = {"peer": "csc", "lease": 1, "epoch": 1}
        stop = {"peer": "bridge", "command": "BothAxesStop", "outcome": "noack", "epoch": 1}
        self.assertEqual(fields, [csc, csc, csc, stop])

    def test_stop_lost(self) -> None:
        """A stop that waits or was sent when the link is lost is critical: nobody knows what moves."""
        self.house.link.room = 1
        self.csc.go()
        self.house.advance(5.1)
        with self.assertLogs(LOG, logging.CRITICAL) as logs:
            self.house.bridge.link_down("gone")
        self.assertEqual(len(logs.records), 4)

    def test_port_client(self) -> None:
        """Another client under another name is not the one that is gone."""
        self.csc.go()
        self.house.client("csc/2")
        self.house.advance(5.1)
        self.assertIsNone(self.holder)


class FinishedTests(CommandCase):
    """A client that says no more, and still listens."""

    def test_keeps_its_ask(self) -> None:
        """It gets what it asked for, what it sent behind that is sent, and its grace begins then."""
        self.csc.ask()
        self.csc.command(MOVE)
        self.csc.finish()
        self.assertEqual((self.csc.read(), self.csc.in_flight), ([], 2))
        self.house.advance(4)
        self.house.link.finish(self.house.link.read()[0])
        self.granted(self.csc)
        self.assertTrue(self.house.bridge.grace)
        (move,) = self.house.link.read()
        self.house.advance(3)
        self.house.link.finish(move)
        self.assertEqual([answer.code for answer in self.csc.answers()], [ACK, DONE])
        self.csc.go()
        self.house.advance(1.9)
        self.assertIs(self.holder, self.csc)
        self.house.advance(0.2)
        self.assertIsNone(self.holder)
        self.assertEqual(self.house.link.codes(), [*STOPS, ASK])

    def test_holder(self) -> None:
        """If it has command its grace begins at once."""
        self.house.give(self.csc)
        with self.assertLogs(LOG, logging.WARNING) as logs:
            self.csc.finish()
        self.assertIn("csc, which has command, sends no more", logs.records[0].getMessage())
        self.house.advance(5.1)
        self.assertIsNone(self.holder)
        self.assertEqual(self.house.link.codes(), [*STOPS, ASK])

    def test_is_given_command(self) -> None:
        """If another gives it command, by source or by name, its grace begins then, each time."""
        self.house.give(self.csc)
        self.eui.finish()
        self.house.advance(10)
        self.csc.ask(Source.EUI)
        self.assertEqual((self.holder, self.house.bridge.grace), (self.eui, True))
        self.csc.ask()
        self.assertFalse(self.house.bridge.grace)
        self.assertEqual(self.house.bridge.hand_command(self.csc, "eui"), "")
        self.house.advance(5.1)
        self.assertIsNone(self.holder)

    def test_gone_before_its_ask_is_answered(self) -> None:
        """Its ask ends when it is gone, as anybody's."""
        self.csc.ask()
        self.csc.finish()
        self.csc.go()
        self.house.link.finish(*self.house.link.read())
        self.assertIsNone(self.holder)

    def test_is_back(self) -> None:
        """One that is back says something again, and has command with no end."""
        self.csc.finish()
        self.csc.go()
        self.csc.come()
        self.house.give(self.csc)
        self.house.advance(10)
        self.assertIs(self.holder, self.csc)

    def test_bridge_ends(self) -> None:
        """If the bridge ends it is waited for no longer: what moves is stopped, and no other gets command."""
        self.csc.ask()
        self.eui.ask()
        self.csc.finish()
        draining = self.house.bridge.drain(5)
        self.house.link.finish_all()
        self.assertIsNone(self.holder)
        (why,) = self.eui.explanations()
        self.assertTrue(why.startswith("refused: "), why)
        self.house.advance(1)
        self.successResultOf(draining)


class InheritTests(CommandCase):
    """A commander that had command at another bridge."""

    def inherit(self, name: str) -> None:
        """This bridge takes the mount over from the other one."""
        self.house.bridge.inherit(name, Source.CSC)
        self.house.link.finish_all()

    def test_absent(self) -> None:
        """One that is not here has the time of grace to come; then what moves is stopped."""
        self.csc.go()
        self.inherit("csc")
        self.house.advance(4)
        self.csc.come()
        self.csc.command(MOVE)
        self.assertEqual(self.house.link.codes(), [MOVE])
        self.csc.go()
        self.inherit("csc")
        self.house.advance(5.1)
        self.assertEqual((self.holder, self.house.link.codes()), (None, [*STOPS, ASK]))

    def test_connected(self) -> None:
        """One that is connected to this bridge already has command at once, and with no end."""
        self.inherit("csc")
        self.assertEqual((self.holder, self.house.bridge.grace), (self.csc, False))
        self.csc.command(MOVE)
        self.assertEqual(self.house.link.codes(), [MOVE])
        self.house.advance(10)
        self.assertEqual(self.holder, self.csc)

    def test_connected_without_grace(self) -> None:
        """The same holds where a site gives no grace."""
        self.setUp(lease_grace=0.0)
        self.inherit("csc")
        self.house.advance(1)
        self.assertEqual((self.holder, self.house.link.codes()), (self.csc, []))

    def test_sends_no_more(self) -> None:
        """One that sends no more is missed, as any holder."""
        self.csc.finish()
        self.inherit("csc")
        self.assertEqual((self.holder, self.house.bridge.grace), (self.csc, True))


class OtherRulesTests(CommandCase):
    """What a site may set."""

    def make(self, **rules: object) -> RecordingClient:
        """Set rules, and give the CSC command."""
        self.setUp(**rules)
        self.house.give(self.csc)
        return self.csc

    def test_release_only(self) -> None:
        """With ``release`` nothing is stopped."""
        self.make(on_loss="release", lease_grace=1.0).go()
        self.house.advance(1.1)
        self.assertEqual(self.house.link.codes(), [ASK])
        self.assertIsNone(self.holder)

    def test_no_grace(self) -> None:
        """With no time of grace command is lost at once, though not before the next turn."""
        self.make(lease_grace=0.0).go()
        self.house.clock.advance(0)
        self.assertIsNone(self.holder)

    def test_nothing_follows_the_stops(self) -> None:
        """What the holder that is gone sent and still waits does not follow the stops."""
        csc = self.make(lease_grace=1.0)
        self.house.link.room = 0
        csc.command(MOVE)
        csc.go()
        self.house.advance(1.1)
        self.house.link.give_room()
        self.assertEqual(self.house.link.codes(), [*STOPS, ASK])
        ends = [step[-1] for step in self.house.journal.steps if step[1] == "not_sent"]
        self.assertEqual(ends, ["not sent: overtaken by BothAxesStop of bridge"])

    def test_nothing_of_others_follows_the_stops(self) -> None:
        """Nor does what another sent behind an ask that is not answered yet; its ask goes on."""
        csc = self.make(lease_grace=1.0)
        csc.ask()  # the controller is asked again
        self.house.bridge.link_down("gone")
        link = self.house.connect()
        csc.go()
        self.eui.ask()
        self.eui.command(MOVE)
        self.house.advance(1.1)
        self.assertEqual(self.eui.explanations(), ["not sent: overtaken by BothAxesStop of bridge"])
        asked, *stops = link.read()
        self.assertEqual([int(line.split(b"\n")[1]) for line in stops], STOPS)
        link.finish(asked)
        self.granted(self.eui)
        self.assertEqual(link.codes(), [])

    def test_anyone_may_stop(self) -> None:
        """By default any commander may stop, whoever has command, the HHD included, or nobody."""
        self.make()
        self.house.give(self.hhd)
        for code in (STOP, 102, 402, 902, 1002, 1502, 7, 302, 1102, 1202, 1402):
            self.eui.command(code)
            self.assertEqual(self.house.link.codes(), [code])
        self.assertEqual(self.eui.answers(), [])

    def test_holder_alone_may_stop(self) -> None:
        """With the setting off only the holder may stop, and what waits of a former holder's is refused."""
        csc = self.make(anyone_may_stop=False)
        self.eui.command(STOP)
        self.assertEqual(self.eui.explanations(), ["refused: csc has command"])
        self.house.link.room = 0
        csc.command(STOP)
        self.hhd.ask()
        self.assertEqual(csc.explanations(), ["refused: hhd has command"])
        self.house.link.give_room()
        self.assertEqual(self.house.link.codes(), [])

    def test_a_strangers_stop_outlives_the_lease(self) -> None:
        """A stop from one who does not have command is nobody's lease's, and is sent though that ends."""
        csc = self.make()
        self.house.link.room = 0
        self.eui.command(STOP)
        csc.ask(0)
        self.house.link.give_room()
        self.assertEqual(self.house.link.codes(), [STOP, ASK])
        self.assertEqual(self.house.journal.steps[-2][6], 0)
