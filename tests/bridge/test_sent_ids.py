"""Explanations of the mount that name a command by the bridge's id for it."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mtmount_twisted.bridge.sent_ids import MAX_SENT_IDS
from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.dialects.tma2020.envelope import LONGEST_EXPLANATION
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH, SHOWN_BYTES
from tests.support.commanders import MOVE, STAMP, STOP, TRACK, CommandCase

UNKNOWN = 9999


def id_of(line: bytes) -> bytes:
    """The bridge's id for a command that the controller received, as text."""
    return b"%d" % read_command_header(line).sequence_id


class SentIdsTests(CommandCase):
    """What a commander, an observer and the journal read."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(**rules)
        self.watch = self.house.client("watch", may_command=False)
        self.house.give(self.csc)
        self.watch.read()
        self.link = self.house.link

    def command(self, code: int, sequence_id: int, client: Any = None) -> bytes:
        """The line that the controller receives for a command."""
        (client or self.csc).command(code, sequence_id=sequence_id)
        return self.link.read()[-1]

    def explained(self, explanation: bytes) -> str:
        """What a commander reads when its move is refused with this explanation."""
        self.link.refuse(self.command(MOVE, 5), explanation)
        (text,) = self.csc.explanations()
        return text

    def test_each_reader(self) -> None:
        """The commander, an observer, and the journal's step read the name, the id and the commander."""
        move = self.command(MOVE, 4)
        self.link.ack(move)
        stop = self.command(STOP, 7, self.eui)
        said = b"superseded by " + id_of(stop)
        self.link.refuse(move, said)
        expected = "superseded by BothAxesStop #7 of eui"
        self.assertEqual(self.csc.explanations(), [expected])
        self.assertEqual(self.watch.explanations(), [expected])
        self.assertEqual([step[-1] for step in self.house.journal.steps if step[1] == "noack"], [expected])
        heard = [line for peer, _, _, line in self.house.journal.messages if peer == "controller"]
        self.assertEqual([line for line in heard if said in line], [heard[-1]])

    def test_name_before_the_id(self) -> None:
        """A name that the mount says itself is not repeated; it is if it is another command's."""
        stop = id_of(self.command(STOP, 7))
        for said, expected in (
            (b"superseded by BothAxesStop %b", "superseded by BothAxesStop #7 of csc"),
            (b"superseded by BothAxesStop #%b.", "superseded by BothAxesStop #7 of csc."),
            (b"superseded by BothAxesMove %b", "superseded by BothAxesMove BothAxesStop #7 of csc"),
            (b"BothAxesStop %b", "BothAxesStop #7 of csc"),
            (b"BothAxesStop #%b", "BothAxesStop #7 of csc"),
            (b"%b", "BothAxesStop #7 of csc"),
            (b"(id=%b, busy)", "(id=BothAxesStop #7 of csc, busy)"),
        ):
            self.assertEqual(self.explained(said % stop), expected)

    def test_what_is_no_id(self) -> None:
        """Parts of words, fractions and signed numbers stay, and so does an id that was never sent."""
        stop = id_of(self.command(STOP, 7))
        for said in (b"x%b", b"%bx", b"0%b", b"%b.5", b"1.%b", b"-%b", b"%b_", b"1%b"):
            self.assertEqual(self.explained(said % stop), (said % stop).decode())
        self.assertEqual(self.explained(b"drive 4294967295 of 0 \xb0"), "drive 4294967295 of 0 \xb0")

    def test_other_bytes_stay(self) -> None:
        """The timestamp, further fields and bytes that are not ASCII stay as they are."""
        move = self.command(MOVE, 4)
        said = b"\xff\xb0 by %b\nand %b" % (id_of(move), id_of(move))
        self.link.refuse(move, said)
        expected = b"1\n4\n1\n" + STAMP + b"\n\xff\xb0 by BothAxesMove #4 of csc\nand BothAxesMove #4 of csc"
        self.assertEqual(self.csc.read(), [expected])

    def test_ack_stays(self) -> None:
        """The time-out of an Ack is a number that no id replaces."""
        move = self.command(MOVE, 4)
        self.link.ack(move, id_of(move))
        (answer,) = self.csc.answers()
        self.assertEqual(answer.text.encode(), id_of(move))

    def test_other_commands(self) -> None:
        """A command of the bridge's own and one whose class is not known have a name too."""
        self.house.give(self.csc)
        asked = next(
            step for step in reversed(self.house.journal.steps) if step[2] == "bridge" and step[1] == "sent"
        )
        self.assertRegex(self.explained(b"by %d" % asked[0]), r"^by AskForCommand #\d+ of bridge$")
        unknown = self.command(UNKNOWN, 3)
        self.assertEqual(self.explained(b"by %b" % id_of(unknown)), "by command 9999 #3 of csc")
        known = self.command(int(CommandCode.BALANCE_STOP), 3)
        self.assertEqual(self.explained(b"by %b" % id_of(known)), "by BALANCE_STOP #3 of csc")

    def test_an_epoch_ends(self) -> None:
        """After another connection to the controller the ids of the last one are numbers."""
        stop = id_of(self.command(STOP, 7))
        self.house.bridge.link_down("test")
        self.link = self.house.connect()
        self.house.give(self.csc)
        self.assertEqual(self.explained(stop), stop.decode())

    def test_bounded(self) -> None:
        """The latest are remembered, and the oldest are forgotten."""
        lines = []
        for number in range(MAX_SENT_IDS):
            lines.append(self.command(TRACK, number))
            self.link.ack(lines[-1])
            self.csc.lines.clear()
            self.watch.lines.clear()
        self.assertEqual(self.explained(id_of(lines[0])), id_of(lines[0]).decode())
        self.assertEqual(self.explained(id_of(lines[-1])), f"BothAxesTrack #{MAX_SENT_IDS - 1} of csc")

    def test_too_long(self) -> None:
        """An explanation that would become too long for a line stays as the mount sent it."""
        self.patch(random, "randint", lambda low, high: low)
        self.setUp()
        move = self.command(MOVE, 2**31 - 1)  # its id is 2, of one digit, for which 31 characters would stand
        explanation = b" ".join([id_of(move)] * (SHOWN_BYTES // 2))
        self.assertGreater(SHOWN_BYTES // 2 * 32, LONGEST_EXPLANATION)
        self.link.refuse(move, explanation)
        (line,) = self.csc.read()
        self.assertLess(len(line), MAX_LINE_LENGTH)
        self.assertEqual(line.split(b"\n")[4], explanation)

    def test_just_not_too_long(self) -> None:
        """One that is just not too long to be searched is explained, and one byte more stays as it came."""
        for more, named in ((b"", "BothAxesMove #4 of csc "), (b"x", "")):
            move = self.command(MOVE, 4)
            sent = id_of(move) + b" "
            rest = b"x" * (SHOWN_BYTES - len(sent)) + more
            self.link.refuse(move, sent + rest)
            self.assertEqual(self.csc.explanations(), [(named or sent.decode()) + rest.decode()])
            self.csc.lines.clear()

    @given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=60))
    def test_text_without_ids(self, text: str) -> None:
        """Text that names no command stays, byte for byte."""
        self.csc.read()
        move = self.command(MOVE, 4)
        if id_of(move) not in text.encode():
            self.link.refuse(move, text.encode())
            (line,) = self.csc.read()
            self.assertEqual(line.split(b"\n", 4)[4], text.encode())
