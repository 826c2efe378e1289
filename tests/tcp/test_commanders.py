"""`frontends.tcp.commanders` and `.ports`: what a commander notices of the bridge on a pair and a port."""

from __future__ import annotations

import logging
from unittest.mock import patch

from zope.interface.verify import verifyObject

from mtmount_twisted.config.settings import ClientLimits
from mtmount_twisted.frontends.tcp import ports
from mtmount_twisted.frontends.tcp.commanders import HOLD_TIME, MAX_HELD
from mtmount_twisted.interfaces import IClient, ILineReaderOwner, IPairOwner
from mtmount_twisted.net.protocol import CLOSE_TIMEOUT
from mtmount_twisted.testing.memory import MemoryTransport
from tests.support.bridges import LOG, BridgeCase, PairEnd, PortEnd, ask, command, explanation, reply
from tests.support.commanders import MOVE, STAMP, STATE, STOP

ODD = b"\xff\x80 \xc3( \x00"


def ids(lines: list[bytes]) -> list[int]:
    """The sequence ids of answers."""
    return [int(line.split(b"\n")[1]) for line in lines]


class BothShapes(BridgeCase):
    """What holds for a pair and for a client of a port alike; here it is a pair."""

    source = 1
    name = "csc"

    def come(self) -> PairEnd | PortEnd:
        """Connect; everyone else is connected already."""
        self.assertTrue(self.csc.connect_server())
        return self.csc

    def come_again(self) -> PairEnd | PortEnd:
        """Connect once more."""
        self.pass_time(0.2)
        return self.come()

    def setUp(self) -> None:
        super().setUp()
        self.start(self.controller, self.eui)
        self.controller.grants = True
        self.csc.start_listening()
        self.pass_time(0.2)
        self.one = self.come()

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def test_contract(self) -> None:
        """It is a client of the bridge's."""
        client = self.service.bridge.clients[self.name]
        self.assertTrue(verifyObject(IClient, client))
        contract = IPairOwner if self.name == "csc" else ILineReaderOwner
        self.assertTrue(verifyObject(contract, client))
        self.assertRegex(client.address, r"^127\.0\.0\.1:[1-9][0-9]*$")

    def test_down_byte_for_byte(self) -> None:
        """Unknown and classless codes, text that is not UTF-8 and more fields go down as they are."""
        self.grant(self.one, self.source)
        for number, code in enumerate((104, 31999, -100, MOVE, 1), 1):
            line = command(number, code, self.source, b"1.5", ODD, b"", b"more")
            self.one.say(line)
            [came] = self.controller.heard()
            self.assertEqual(came.split(b"\n", 3)[1::2], line.split(b"\n", 3)[1::2])

    def test_up_byte_for_byte(self) -> None:
        """Answers and events come up as the controller wrote them, but for id and source."""
        self.grant(self.one, self.source)
        self.one.say(command(77, MOVE, self.source))
        [came] = self.controller.heard()
        event = b"5\n" + STAMP + b"\n" + ODD + b"\n\nmore"
        unknown = b"3\n1\n1\n99999\n" + ODD + b"\n" + STAMP + b"\na\nb"
        self.controller.say(reply(0, came, b"", ODD), event, unknown, reply(1, came, ODD, b"more"))
        own = b"\n77\n%d\n%s\n" % (self.source, STAMP)
        self.assertEqual(
            self.one.heard(), [b"0" + own + b"\n" + ODD, event, unknown, b"1" + own + ODD + b"\nmore"]
        )

    def test_answers_find_their_way(self) -> None:
        """Commanders with the same ids each get their own answers, with the id and source that they gave."""
        self.grant(self.one, self.source)
        self.one.say(command(1, MOVE, 3), command(2, STOP, self.source))
        self.eui.say(command(1, STOP, 2), command(2, STOP, 2))
        for line in reversed(self.controller.heard()):
            self.controller.say(reply(2, line))
        mine, others = self.one.heard(), self.eui.heard()
        self.assertEqual(sorted(mine), [b"2\n1\n3\n" + STAMP, b"2\n2\n%d\n" % self.source + STAMP])
        self.assertEqual(sorted(others), [b"2\n1\n2\n" + STAMP, b"2\n2\n2\n" + STAMP])

    def test_one_byte_at_a_time(self) -> None:
        """How the bytes are cut into chunks does not matter."""
        self.grant(self.one, self.source)
        data = command(1, MOVE, self.source, ODD) + b"\r\n" + command(2, STOP, self.source) + b"\r\n"
        for byte in data:
            if isinstance(self.one, PairEnd):
                self.one.feed(bytes([byte]))
            else:
                self.one.transport.write(bytes([byte]))
                self.one.settle()
        self.assertEqual(len(self.controller.heard()), 2)

    def test_malformed(self) -> None:
        """A malformed line closes the connection, with one log line and a NoAck; nothing after it is done."""
        self.grant(self.one, self.source)
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.one.say(
                command(1, MOVE, self.source), command(2, MOVE, self.source) + b"\r", b"3\nx\n1\n",
                command(4, MOVE, self.source), command(5, STOP, self.source),
            )  # fmt: skip
        about = [text for text in logged.output if "malformed" in text]
        self.assertEqual(len(about), 1, logged.output)
        self.assertIn(self.name, about[0])
        last = self.one.heard()[-1]
        self.assertEqual(ids([last]), [3])
        self.assertTrue(explanation(last).startswith("malformed"))
        self.assertEqual(len(self.controller.heard()), 2)
        self.assertFalse(self.one.is_connected)
        self.assertTrue(self.eui.is_connected)
        self.grant(self.eui, 2)

    def test_malformed_and_long(self) -> None:
        """What is wrong is told in a short line, however long it is: others read it as well."""
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.one.say(b"3\n" + b"x" * 60_000 + b"\n1\nnow")
        [refusal] = self.one.heard()
        self.assertTrue(explanation(refusal).startswith("malformed"))
        self.assertLess(len(refusal), 1200)
        self.assertLess(max(map(len, logged.output)), 2000)

    def test_malformed_in_the_journal(self) -> None:
        """The malformed line is the last of its sender in the journal, whatever its chunk has behind it."""
        self.one.say(b"junk", command(5, STOP, self.source))
        received = [line for peer, _, _, line in self.journal.messages if peer == self.name]
        self.assertEqual(received, [b"junk"])

    def test_malformed_and_more(self) -> None:
        """Nor is what comes in later chunks, and the next connection is welcome."""
        self.one.say(b"\x00")
        self.one.say(command(5, STOP, self.source))
        self.assertEqual(self.controller.heard(), [])
        again = self.come_again()
        again.say(command(1, STOP, self.source))
        self.assertEqual([line.split(b"\n")[1] for line in self.controller.heard()], [b"%d" % STOP])

    def test_malformed_while_it_does_not_read(self) -> None:
        """One that is out of step and does not read either is gone after a second."""
        (self.one.client if isinstance(self.one, PairEnd) else self.one).transport.pauseProducing()
        self.controller.say(*[STATE + b"x" * 1000] * 300)
        self.one.say(b"junk", command(5, STOP, self.source))
        self.pass_time(1.1)
        self.assertNotIn(self.name, self.service.bridge.clients)
        self.assertEqual(self.controller.heard(), [])
        transport = (self.one.server if isinstance(self.one, PairEnd) else self.one).transport
        self.assertTrue(transport.disconnecting)

    def test_overlong(self) -> None:
        """A line without end is malformed too, and is told in one line."""
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.one.say(command(1, STOP, self.source), b"x" * 70_000, command(2, STOP, self.source))
        self.assertEqual(sum(self.name in text for text in logged.output), 1, logged.output)
        self.assertEqual(len(self.controller.heard()), 1)
        self.assertFalse(self.one.is_connected)

    def test_ids_of_an_earlier_session(self) -> None:
        """What was asked before a connection was lost is answered to nobody who comes after."""
        self.one.say(command(1, STOP, self.source))
        [old] = self.controller.heard()
        self.one.drop_server() if isinstance(self.one, PairEnd) else self.one.leave()
        again = self.come_again()
        again.heard()
        again.say(command(1, STOP, self.source))
        [new] = self.controller.heard()
        self.controller.say(reply(1, old, b"superseded"))
        self.assertEqual(again.heard(), [])
        self.controller.say(reply(2, new))
        self.assertEqual(ids(again.heard()), [1])

    def test_newcomer(self) -> None:
        """Who comes is told the last state before anything else."""
        self.controller.say(STATE + b"1", STATE + b"2")
        self.one.drop_server() if isinstance(self.one, PairEnd) else self.one.leave()
        self.one.heard()
        self.assertEqual(self.come_again().heard()[-1], STATE + b"2")


class PortClientTests(BothShapes):
    """The same for a client of a port."""

    source = 2
    name = "desk/1"

    def come(self) -> PairEnd | PortEnd:
        return self.join()


class PortTests(BridgeCase):
    """A port's clients beside each other."""

    def setUp(self) -> None:
        super().setUp()
        self.start(self.controller, self.csc)
        self.controller.grants = True

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def test_observer(self) -> None:
        """A client of a port is an observer by default: it gets all answers, and can't even stop."""
        seer, other = self.join(1), self.join(1)
        self.csc.say(command(4, STOP, 1))
        [came] = self.controller.heard()
        self.controller.say(reply(0, came), STATE)
        for client in (seer, other):
            first, second = client.heard()
            self.assertEqual((ids([first]), second), ([4], STATE))
        seer.say(command(5, STOP, 1), ask(6, 1, 1))
        self.assertEqual(self.controller.heard(), [])
        self.assertEqual(ids(seer.heard()), [5, 6])
        self.assertTrue(seer.is_connected)

    def test_each_its_own(self) -> None:
        """Each client of a port is a commander of its own."""
        one, two = self.join(), self.join()
        self.grant(one, 2)
        two.say(command(1, MOVE, 2))
        [refusal] = two.heard()
        self.assertIn("desk/1 has command", explanation(refusal))
        one.say(command(1, MOVE, 2))
        self.controller.serve()
        self.assertEqual(ids(one.heard()), [1, 1])
        self.assertEqual(two.heard(), [])

    def test_events_to_all(self) -> None:
        """Events go to every pair and every client of every port."""
        clients = [self.csc, self.join(), self.join(), self.join(1)]
        self.controller.say(STATE)
        self.assertEqual([client.heard() for client in clients], [[STATE]] * 4)

    def test_leaving(self) -> None:
        """One that leaves in the middle of its commands is not missed by the others."""
        one, two = self.join(), self.join()
        one.say(command(1, STOP, 2))
        one.leave()
        self.controller.serve()
        self.controller.say(STATE)
        self.assertEqual(two.heard(), [STATE])

    def test_gone_without_a_word(self) -> None:
        """A client whose machine is cut off is watched for as the pairs' are, and only while it is here."""
        with patch.object(ports, "watch_window") as watch:
            client = self.join()
            watch.assert_called_once()
            watch.return_value.assert_not_called()
            client.leave()
        watch.return_value.assert_called_once_with()


class AbsentTests(BridgeCase):
    """Commanders that do not run yet."""

    def test_no_warning(self) -> None:
        """A pair without a commander is normal: in a bridge that starts first no line is a warning."""
        with self.assertNoLogs(LOG, logging.WARNING):
            self.start(self.controller)
            self.pass_time(60)
            self.assertIsNotNone(self.service.bridge.link)
        self.stop()


class HalfAPairTests(BridgeCase):
    """A pair of which one connection is up."""

    def setUp(self) -> None:
        super().setUp()
        self.start(self.controller)
        self.controller.grants = True
        self.assertTrue(self.csc.connect_server())

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def unheard(self) -> list[int]:
        """The ids of the commands that the journal has as not sent."""
        return [step[4] for step in self.journal.steps if step[1] == "not_sent"]

    def open_the_way_back(self) -> None:
        """Have the bridge connect to the commander."""
        self.csc.start_listening()
        self.pass_time(0.3)

    def test_held(self) -> None:
        """What comes a little before the way back is up is done, in its order, once."""
        self.csc.say(command(1, STOP, 1), command(2, 1002, 1))
        self.assertEqual(self.controller.heard(), [])
        self.open_the_way_back()
        self.assertEqual([line.split(b"\n")[1] for line in self.controller.serve()], [b"32", b"1002"])
        self.assertEqual(ids(self.csc.heard()), [1, 1, 2, 2])
        self.pass_time(2)
        self.assertEqual((self.controller.heard(), self.unheard()), ([], []))

    def test_stopped_while_held(self) -> None:
        """What is held when another stops the mount is not sent behind that; an ask and a stop are."""
        self.eui.start_listening()
        self.assertTrue(self.eui.connect_server())
        self.pass_time(0.2)
        self.csc.say(ask(1, 1, 1), command(2, MOVE, 1), command(3, STOP, 1))
        self.eui.say(command(9, STOP, 2))
        self.controller.serve()
        self.open_the_way_back()
        self.controller.serve()
        self.controller.serve()
        sent = [
            int(line.split(b"\n")[1])
            for peer, way, _, line in self.journal.messages
            if (peer, way) == ("controller", "to")
        ]
        self.assertNotIn(MOVE, sent)
        self.assertEqual(sent.count(STOP), 2)
        told = {line.split(b"\n")[1]: line for line in self.csc.heard() if line.startswith(b"1")}
        self.assertEqual(explanation(told[b"2"]), "not sent: overtaken by a stop")

    def test_held_too_long(self) -> None:
        """After `HOLD_TIME` it is dropped, journaled, and never done."""
        self.csc.say(command(1, STOP, 1))
        self.pass_time(HOLD_TIME - 0.1)
        self.assertEqual(self.unheard(), [])
        self.csc.say(command(2, STOP, 1))
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.pass_time(0.2)
        self.assertEqual((len(logged.output), self.unheard()), (1, [1, 2]))
        self.pass_time(2)
        self.open_the_way_back()
        self.pass_time(3)
        self.assertTrue(self.service.pairs[0].connected)
        self.assertEqual(self.controller.heard(), [])

    def test_sender_gone(self) -> None:
        """It is dropped at once when its sender is gone: the next commander sets off nothing."""
        self.csc.say(command(1, STOP, 1))
        self.csc.drop_server()
        self.assertEqual(self.unheard(), [1])
        self.csc.start_listening()
        self.assertTrue(self.csc.connect_server())
        self.pass_time(0.5)
        self.assertTrue(self.service.pairs[0].connected)
        self.assertEqual((self.controller.heard(), self.csc.heard()), ([], []))

    def test_too_many(self) -> None:
        """No more than `MAX_HELD` are held."""
        self.csc.say(*[command(number + 1, STOP, 1) for number in range(MAX_HELD + 1)])
        self.pass_time(0.2)
        self.assertEqual(len(self.unheard()), MAX_HELD + 1)
        self.open_the_way_back()
        self.assertEqual(self.controller.heard(), [])

    def test_malformed_while_held(self) -> None:
        """A malformed line among them closes the connection when it is its turn."""
        self.csc.say(command(1, STOP, 1), b"junk", command(2, STOP, 1))
        self.open_the_way_back()
        self.assertEqual(len(self.controller.heard()), 1)
        self.assertFalse(self.csc.server.is_connected)

    def test_only_the_way_back(self) -> None:
        """One that is connected only for replies is told nothing yet, as it can't be known to be there."""
        self.csc.drop_server()
        self.open_the_way_back()
        self.controller.say(STATE)
        self.assertEqual(self.csc.heard(), [])

    def test_losing_one_drops_both(self) -> None:
        """Losing either connection drops both, and both come back."""
        self.open_the_way_back()
        for drop in (self.csc.drop_client, self.csc.drop_server):
            client, server = self.csc.client, self.csc.server
            drop()
            self.assertFalse(client.is_connected)
            self.assertFalse(server.is_connected)
            self.assertEqual(self.service.bridge.clients, {})
            self.pass_time(0.3)
            self.assertTrue(self.csc.connect_server())
            self.csc.say(command(1, STOP, 1))
            self.assertEqual(len(self.controller.heard()), 1)

    def test_back_at_once(self) -> None:
        """One that is back before its old connections are gone stays, and its commands are done."""
        self.open_the_way_back()
        peer = self.csc.come_back_at_once()
        self.csc.say(command(1, STOP, 1))
        self.assertEqual(self.controller.heard(), [])
        self.pass_time(0.3)
        self.assertTrue(peer.is_connected)
        self.assertEqual(len(self.controller.serve()), 1)
        self.assertEqual(ids(self.csc.heard()), [1, 1])
        visits = [kind for kind, *_ in self.journal.events if "connected" in kind]
        self.assertEqual(visits, ["connected", "disconnected", "connected"])


class SlowTests(BridgeCase):
    """Clients that do not read: 64 KiB, 10 s."""

    limits = ClientLimits(max_behind_bytes=65536)

    def setUp(self) -> None:
        super().setUp()
        self.start_all()
        self.slow, self.quick = self.join(), self.join()
        self.slow.transport.pauseProducing()

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def flood(self, lines: int) -> None:
        """The controller says so much, which the quick ones read at once."""
        for _ in range(lines):
            self.controller.say(STATE + b"x" * 1000)
            self.assertEqual(len(self.quick.heard()), 1)
            self.assertEqual(len(self.eui.heard()), 1)

    def test_by_bytes(self) -> None:
        """One that is too far behind is cut off, with one log line; the others and the mount go on."""
        self.flood(120)
        self.assertIn("desk/1", self.service.bridge.clients)
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.flood(30)
        self.assertEqual(len(logged.output), 1)
        self.assertIn("desk/1: closed: cut off: more than 65536 bytes behind", logged.output[0])
        self.assertNotIn("desk/1", self.service.bridge.clients)
        self.assertEqual(self.service.bridge.counts["cut_off"], 1)
        self.assertIn("cut_off", [kind for kind, *_ in self.journal.events])
        self.assertFalse(self.slow.is_connected)

    def test_by_time(self) -> None:
        """So is one that has not read for 10 s."""
        self.flood(70)
        self.pass_time(9.9)
        self.assertTrue(self.slow.is_connected)
        self.pass_time(0.2)
        self.assertFalse(self.slow.is_connected)

    def test_a_pair(self) -> None:
        """So is a pair, both its connections; and then it may come again."""
        self.slow.leave()
        self.csc.stop_reading()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.flood(150)
        self.assertEqual(len([text for text in logged.output if "csc" in text]), 1)
        self.assertFalse(self.csc.server.is_connected)
        self.assertFalse(self.csc.client.is_connected)
        self.pass_time(0.3)
        self.assertTrue(self.csc.connect_server())
        self.csc.say(command(1, STOP, 1))
        self.controller.serve()
        self.assertEqual(ids(self.csc.heard()[-2:]), [1, 1])

    def test_sends_that_fail(self) -> None:
        """A client and a pair to which nothing can be written are closed; the others and the link go on."""

        broken = [end.transport.getHost() for end in (self.slow, self.csc.server, self.csc.client)]
        write = MemoryTransport.write

        def fail(transport: MemoryTransport, data: bytes) -> None:
            if transport.getPeer() in broken:
                raise ZeroDivisionError
            write(transport, data)

        with patch.object(MemoryTransport, "write", fail), self.assertLogs(LOG, logging.ERROR):
            self.controller.say(STATE)
        self.pass_time(CLOSE_TIMEOUT + 0.1)
        self.assertFalse({"desk/1", "csc"} & self.service.bridge.clients.keys())
        self.assertEqual((self.slow.is_connected, self.csc.server.is_connected), (False, False))
        self.controller.say(STATE)
        self.assertEqual((self.quick.heard(), self.eui.heard()), ([STATE] * 2, [STATE] * 2))

    def test_nothing_is_lost_for_one_that_catches_up(self) -> None:
        """One that reads again in time has missed nothing."""
        self.flood(100)
        self.slow.transport.resumeProducing()
        self.assertEqual(len(self.slow.heard()), 100)

    def test_cut_off_in_the_middle(self) -> None:
        """What one that is cut off by an answer to itself says behind that is not done."""
        self.slow.say(*[command(number, STOP, 2, b"x" * 1) for number in range(1, 3)])
        self.flood(70)
        self.controller.heard()
        refused = [command(number, MOVE, 2) for number in range(3, 1500)]
        self.slow.say(*refused, ask(2000, 2, 2))
        self.pass_time(2)
        self.assertFalse(self.slow.is_connected)
        self.assertEqual(self.controller.heard(), [])
