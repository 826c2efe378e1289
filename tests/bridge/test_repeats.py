"""`mtmount_twisted.bridge.repeats`: the events that a tma2022 mount sends again without a change."""

from __future__ import annotations

from mtmount_twisted.bridge.repeats import MAX_SUBJECTS
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import replies
from tests.support.tma2022_bridge import CSC, Tma2022Case

System = tma2022.enums.System


def chiller(timestamp: float, temperature: float = 10.0, system: System = System.OIL_SUPPLY_SYSTEM) -> bytes:
    """The line that one known mount sends again and again."""
    event = replies.ChillerStateReply(
        timestamp=timestamp, system=system, temperature=(temperature,), track_ambient=(False,)
    )
    return event.encode()[:-2]


class RepeatsTests(Tma2022Case):
    """What a commander reads, and what the journal has."""

    def setUp(self) -> None:
        super().setUp()
        self.journal.messages.clear()
        self.journal.events.clear()

    def lines(self) -> list[tuple[str, bytes]]:
        """The peer and the line of each message in the journal."""
        return [(peer, line) for peer, _, _, line in self.journal.messages]

    def counts(self) -> list[str]:
        """The details of the events ``repeated`` in the journal."""
        return [detail for kind, _, _, detail in self.journal.events if kind == "repeated"]

    def test_passed_on(self) -> None:
        """Every client reads every line, a newcomer the latest one."""
        lines = [chiller(float(second)) for second in range(1, 36)]
        for line in lines:
            self.link.say(line)
        self.assertEqual(self.csc.read(), lines)
        self.assertEqual(self.bridge.known.current[-1].line, lines[-1])

    def test_together(self) -> None:
        """The same holds for lines that arrive together, between lines that do change something."""
        lines = [chiller(1.0), chiller(2.0), chiller(3.0, 11.0), chiller(4.0, 11.0), chiller(5.0, 10.0)]
        self.link.say(*lines)
        self.assertEqual(self.csc.read(), lines)
        changes = [lines[0], lines[2], lines[4]]
        self.assertEqual([line for peer, line in self.lines() if peer == "controller"], changes)
        self.assertEqual([line for peer, line in self.lines() if peer == "everyone"], changes)

    def test_counted_at_a_change(self) -> None:
        """The first line is recorded; the count of the others is recorded before the line that differs."""
        for second in range(1, 36):
            self.link.say(chiller(float(second)))
            self.clock.advance(0.5)
        self.assertEqual((len(self.lines()), self.counts()), (2, []))
        self.link.say(chiller(40.0, 11.0))
        [count] = self.counts()
        self.assertRegex(
            count,
            "^CHILLER_STATE OIL_SUPPLY_SYSTEM: 34 lines that changed nothing, from 2.*Z to 2.*Z$",
        )
        self.assertEqual(self.bridge.counts["repeated"], 34)
        self.link.say(chiller(41.0, 12.0))
        self.assertEqual((len(self.lines()), len(self.counts())), (6, 1))

    def test_counted_every_minute(self) -> None:
        """While nothing changes, the count is recorded once a minute, if there is something to count."""
        for _ in range(2):
            for _ in range(600):
                self.link.say(chiller(1.0))
                self.clock.advance(0.1)
            self.clock.pump([1.0] * 5)
        self.assertEqual(len(self.lines()), 2)
        self.assertEqual([count.split()[2] for count in self.counts()], ["599", "600"])
        self.clock.pump([1.0] * 200)
        self.assertEqual(len(self.counts()), 2)

    def test_each_subject(self) -> None:
        """Each device is counted by itself, and so is each alarm."""
        warning = replies.WarningReply(
            name="Hot", subsystem_id=800, subsystem_instance="Oil", active=True, code=801, description="hot"
        ).encode()[:-2]
        for _ in range(3):
            self.link.say(chiller(1.0), chiller(1.0, system=System.TOP_END_CHILLER), warning)
        self.clock.advance(60)
        names = [count.split(":")[0] for count in self.counts()]
        self.assertEqual(
            names,
            ["CHILLER_STATE OIL_SUPPLY_SYSTEM", "CHILLER_STATE TOP_END_CHILLER", "WARNING 800 Oil 801 Hot"],
        )
        self.assertEqual(len(self.lines()), 6)

    def test_unknown_member(self) -> None:
        """A parameter that this program does not know is a change, too."""
        line = chiller(1.0)
        self.link.say(line, line[:-2] + b',"new":1}}', line[:-2] + b',"new":1}}')
        self.assertEqual(len(self.lines()), 4)
        member = line[:-1] + b',"new":1}'
        self.link.say(member, member, line)
        self.assertEqual(len(self.lines()), 8)

    def test_not_a_number(self) -> None:
        """NaN, which is no JSON, is compared like any other value."""
        line = chiller(1.0, float("nan"))
        self.assertIn(b"NaN", line)
        self.link.say(line, chiller(2.0, float("nan")), chiller(3.0))
        self.assertEqual(len(self.lines()), 4)

    def test_link(self) -> None:
        """The count is recorded when the connection is lost, and the next connection begins anew."""
        self.link.say(chiller(1.0), chiller(2.0))
        self.bridge.link_down("lost")
        kinds = [kind for kind, _, _, _ in self.journal.events]
        self.assertLess(kinds.index("repeated"), kinds.index("link_down"))
        self.bridge.link_up(self.link)
        self.link.say(chiller(3.0))
        self.assertEqual(self.lines()[-1], ("everyone", chiller(3.0)))

    def test_end(self) -> None:
        """The count is recorded at the end of the bridge, which leaves no timer."""
        self.link.say(chiller(1.0), chiller(2.0))
        self.bridge.close()
        self.assertEqual(len(self.counts()), 1)
        self.link.say(chiller(3.0), chiller(4.0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answers(self) -> None:
        """Replies to commands and unknown events are recorded each time."""
        unknown = b'{"id":777,"timestamp":1.0,"parameters":{}}'
        self.link.say(unknown, unknown)
        self.send(self.csc, tma2022.commands.AzimuthStop(sequence_id=5))
        ack = replies.CmdAcknowledgedReply(sequence_id=self.key(), commander=CSC, timeout=1.0)
        self.answer(ack)
        self.answer(ack)
        lines = [line for peer, line in self.lines() if peer == "controller"]
        self.assertEqual((lines.count(unknown), lines.count(ack.encode()[:-2])), (2, 2))

    def test_bound(self) -> None:
        """Beyond a bound of subjects the oldest is forgotten, with its count recorded."""
        position = replies.InPositionReply(axis=System.AZIMUTH, in_position=True).encode()[:-2]
        self.link.say(position, position)
        for code in range(MAX_SUBJECTS):
            self.answer(
                replies.WarningReply(
                    name="Hot",
                    subsystem_id=800,
                    subsystem_instance="",
                    active=False,
                    code=code,
                    description="",
                )
            )
        self.assertEqual([count.split(":")[0] for count in self.counts()], ["IN_POSITION AZIMUTH"])
