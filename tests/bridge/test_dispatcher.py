"""`mtmount_twisted.bridge.dispatcher` and `registry`: ids, figures, and lines in as few pieces as may be."""

from __future__ import annotations

import logging
import random

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.registry import MAX_PIECE
from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID
from tests.support.commanders import ASK, LOG, MOVE, STOP, TRACK, House, ask, command


class TrafficTests(SynchronousTestCase):
    """The bridge's ids for commands, and its figures."""

    def setUp(self) -> None:
        self.house = House()
        self.csc = self.house.holder()
        self.link = self.house.link
        self.link.read()

    def test_ids_wrap(self) -> None:
        """After 2147483647 comes 1."""
        self.patch(random, "randint", lambda low, high: high - 2)
        house = House()
        csc = house.holder()  # the bridge asks for command
        house.link.read()
        for _ in range(3):
            csc.command(MOVE)
        ids = [read_command_header(line).sequence_id for line in house.link.read()]
        self.assertEqual(ids, [MAX_SEQUENCE_ID - 1, MAX_SEQUENCE_ID, 1])

    def test_first_id(self) -> None:
        """The first id is one that the protocol has, as small as it may be."""
        self.patch(random, "randint", lambda low, high: low)
        house = House()
        house.client("csc").command(STOP)
        asked, stop = house.link.read()
        self.assertEqual([read_command_header(line).sequence_id for line in (asked, stop)], [1, 2])

    def test_first_id_differs(self) -> None:
        """Two bridges do not begin with the same id: neither takes the other's answers for its own."""
        firsts = set()
        for _ in range(3):
            house = House()
            house.client("csc").command(STOP)
            firsts.add(read_command_header(house.link.read()[0]).sequence_id)
        self.assertGreater(len(firsts), 1)

    def test_counts(self) -> None:
        """The page and the API show how many commands were done, refused by the mount, and not taken."""
        watch = self.house.client("watch", may_command=False)
        self.house.bridge.counts.clear()
        for code in (MOVE, TRACK, STOP):
            self.csc.command(code)
        watch.command(MOVE)
        move, track, stop = self.link.read()
        self.link.finish(move)
        self.link.ack(track)
        self.link.refuse(stop, b"no")
        self.assertEqual(self.house.bridge.counts, {"done": 1, "ack": 1, "noack": 1, "refused": 1})

    def test_refused_has_no_id_of_the_controllers(self) -> None:
        """In the journal a command that the bridge refused stands under no id of the controller's."""
        self.house.client("watch", may_command=False).command(MOVE)
        self.assertEqual(self.house.journal.steps[-1][:3], (0, "refused", "watch"))

    def test_closed_by_the_site(self) -> None:
        """What a commander that the site closes has in flight ends for it; that of others goes on."""
        eui = self.house.client("eui")
        self.csc.command(MOVE)
        eui.command(STOP)
        (_, stop) = self.link.read()
        self.house.bridge.client_leaves(self.csc, "it is not configured any more")
        self.assertEqual(self.csc.explanations(), ["outcome unknown: it is not configured any more"])
        self.assertEqual(eui.read(), [])
        self.link.finish(stop)
        self.assertEqual([answer.code for answer in eui.answers()], [0, 2])

    def test_comes_behind_a_stop(self) -> None:
        """What was sent before a stop that was taken meanwhile is not sent, unless it is a stop or an ask."""
        bridge = self.house.bridge
        bridge.commanded_late(self.csc, command(50, MOVE, 1))
        self.assertEqual(self.csc.explanations(), ["not sent: overtaken by a stop"])
        bridge.commanded_late(self.csc, command(51, STOP, 1))
        bridge.commanded_late(self.csc, ask(52, 1, 1))
        self.assertEqual(self.link.codes(), [STOP, ASK])
        bridge.commanded_late(self.csc, b"garbage")
        self.assertEqual(len(self.csc.dismissals), 1)

    def test_loss_of_the_controller_in_the_log(self) -> None:
        """That the controller is lost is a warning, but for a bridge that has ended."""
        for end, level in ((False, logging.WARNING), (True, logging.INFO)):
            house = House()
            if end:
                house.bridge.close()
            with self.assertLogs(LOG, logging.INFO) as logs:
                house.bridge.link_down("a cable")
            self.assertEqual([record.levelno for record in logs.records], [level])

    def test_drain_waits_for_the_last(self) -> None:
        """A bridge that ends waits for the last of its commands, also if one ends and another begins."""
        for code in (MOVE, TRACK):
            self.csc.command(code)
        draining = self.house.bridge.drain(3.0)
        move, track = self.link.read()
        self.link.finish(move)
        self.house.clock.advance(0)
        self.assertNoResult(draining)
        self.csc.command(STOP)
        self.link.ack(track)
        self.house.clock.advance(0)
        self.assertNoResult(draining)
        self.link.finish_all()
        self.house.clock.advance(0)
        self.successResultOf(draining)

    def test_drain_in_the_log(self) -> None:
        """A bridge that ends logs for how many commands it waits, and nothing if there are none."""
        self.csc.command(MOVE)
        self.link.ack(self.link.read()[0], b"60000")
        with self.assertLogs(LOG, logging.INFO) as logs:
            draining = self.house.bridge.drain(3.0)
            self.house.advance(3.1)
        self.successResultOf(draining)
        texts = [record.getMessage() for record in logs.records]
        self.assertEqual(texts, ["1 commands in flight: waiting 3 s for their ends"])
        quiet = House()
        with self.assertNoLogs(LOG, logging.INFO):
            self.successResultOf(quiet.bridge.drain(3.0))


class PieceTests(SynchronousTestCase):
    """Events that come in one chunk."""

    def test_full_piece(self) -> None:
        """Lines that just fill a piece are one; a byte more makes it two, and nothing is lost."""
        house = House()
        client = house.client("csc")
        for more in (0, 1):
            client.pieces.clear()
            client.read()
            first = b"7\n" + b"x" * 998
            rest = b"7\n" + b"y" * (MAX_PIECE - len(first) - 4)
            lines = [first, rest, first, rest + b"y" * more]
            house.link.say(*lines)
            self.assertEqual((len(client.pieces), client.read()), (2 + more, lines))
