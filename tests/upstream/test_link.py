"""`mtmount_twisted.upstream.link`: the pair to the controller is up as a whole, or not at all."""

from __future__ import annotations

import logging

from zope.interface.verify import verifyObject

from mtmount_twisted.interfaces import IControllerLink, IPairOwner
from mtmount_twisted.upstream.link import MAX_EARLY, OTHER_DIALECT_PAUSE
from mtmount_twisted.upstream.malformed import AT_ONCE, MAX_MALFORMED
from tests.support.bridges import LOG, BridgeCase, command, explanation, reply
from tests.support.commanders import MOVE, STATE, STOP

JSON = b'{"id": 50, "timestamp": 1.7e9, "parameters": {"state": "Enable"}}'


class LinkTests(BridgeCase):
    """The controller's connections come and go; the commander's are up."""

    def setUp(self) -> None:
        super().setUp()
        self.start(self.csc)

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def link(self) -> None:
        """Connect both of the controller's connections."""
        self.controller.start_listening()
        self.pass_time(1)
        self.assertTrue(self.controller.connect_server())

    def test_contract(self) -> None:
        """It is the owner of a pair, and the link that the bridge expects."""
        for interface in (IPairOwner, IControllerLink):
            self.assertTrue(verifyObject(interface, self.service.link))

    def test_said_too_early(self) -> None:
        """What the controller says before both connections are up is delivered when they are, in order."""
        self.assertTrue(self.controller.connect_server())
        self.controller.say(STATE + b"1", STATE + b"2")
        self.assertEqual(self.csc.heard(), [])
        self.controller.start_listening()
        self.pass_time(1)
        self.controller.say(STATE + b"3")
        self.assertEqual(self.csc.heard(), [STATE + b"1", STATE + b"2", STATE + b"3"])

    def test_said_too_early_and_lost(self) -> None:
        """It is forgotten if the connection on which it came is lost before."""
        self.assertTrue(self.controller.connect_server())
        self.controller.say(STATE)
        self.controller.drop_server()
        self.link()
        self.assertEqual(self.csc.heard(), [])

    def test_much_said_too_early(self) -> None:
        """Of very much of it the newest is kept."""
        self.assertTrue(self.controller.connect_server())
        self.controller.say(*[STATE + b"%d" % number for number in range(MAX_EARLY + 5)])
        self.controller.start_listening()
        self.pass_time(1)
        heard = self.csc.heard()
        self.assertEqual((len(heard), heard[0]), (MAX_EARLY, STATE + b"5"))

    def test_half_a_link(self) -> None:
        """With one of its connections up nothing is sent, and the commander is told so."""
        self.controller.start_listening()
        self.pass_time(1)
        self.assertTrue(self.service.link.client_connected)
        self.csc.say(command(1, STOP, 1))
        [line] = self.csc.heard()
        self.assertTrue(explanation(line).startswith("not sent"))
        self.assertTrue(self.controller.connect_server())
        self.assertEqual(self.controller.heard(), [])

    def test_losing_one_drops_both(self) -> None:
        """Losing either drops both; what was sent has no known outcome; both come back as a new epoch."""
        self.link()
        self.controller.grants = True
        for epoch, drop in ((1, self.controller.drop_client), (2, self.controller.drop_server)):
            self.assertEqual(self.service.bridge.epoch, epoch)
            self.csc.say(command(epoch, STOP, 1))
            client, server = self.controller.client, self.controller.server
            [old] = self.controller.heard()
            drop()
            self.assertFalse(client.is_connected)
            self.assertFalse(server.is_connected)
            [line] = self.csc.heard()
            self.assertTrue(explanation(line).startswith("outcome unknown"))
            self.pass_time(0.3)
            self.assertTrue(self.controller.connect_server())
            self.controller.say(reply(2, old))
            self.assertEqual((self.csc.heard(), self.controller.heard()), ([], []))
        self.csc.say(command(9, STOP, 1))
        self.assertEqual(len(self.controller.heard()), 1)

    def test_quick_return(self) -> None:
        """A controller that is back before its old connections are gone is linked, once."""
        self.link()
        peer = self.controller.come_back_at_once()
        self.pass_time(1)
        self.assertTrue(peer.is_connected)
        self.assertEqual(self.service.bridge.epoch, 2)
        self.csc.say(command(1, STOP, 1))
        self.controller.serve()
        self.assertEqual(len(self.csc.heard()), 2)

    def test_no_reply_of_the_controller(self) -> None:
        """What is no reply is logged and passed to nobody; the link stays up."""
        self.link()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.controller.say(b"junk", STATE)
        self.assertEqual((len(logged.output), self.csc.heard()), (1, [STATE]))

    def assert_other_dialect(self, logged: list[str]) -> None:
        """One error in the log names the setting and the dialect that it needs."""
        (error,) = [line for line in logged if line.startswith("ERROR")]
        self.assertIn(f"127.0.0.1:{self.controller.port} speaks tma2022", error)
        self.assertIn('controller.dialect is "tma2020"', error)
        self.assertIn('set controller.dialect = "tma2022" and restart', error)

    def test_json(self) -> None:
        """A JSON reply ends the link with one error, however often the mount comes back, and not for good."""
        self.link()
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.controller.say(STATE, JSON, STATE + b"2")
            self.assertEqual(self.csc.heard(), [STATE])
            self.assertIsNone(self.service.bridge.link)
            self.assertFalse(self.controller.is_connected)
            self.csc.say(command(1, STOP, 1))
            self.assertTrue(explanation(self.csc.heard()[0]).startswith("not sent"))
            for _ in range(3):
                self.assertTrue(self.controller.connect_server())
                self.pass_time(OTHER_DIALECT_PAUSE - 1)
                self.assertFalse(self.controller.client.is_connected)
                self.pass_time(1.1)
                self.assertTrue(self.controller.client.is_connected)
                self.controller.say(b"junk", b"", JSON)
                self.assertFalse(self.controller.is_connected)
        self.assert_other_dialect(logged.output)
        self.pass_time(OTHER_DIALECT_PAUSE + 1)
        self.assertTrue(self.controller.connect_server())
        self.controller.say(STATE)
        self.assertEqual(self.csc.heard(), [STATE])
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.controller.say(JSON)
        self.assert_other_dialect(logged.output)

    def test_json_on_the_connection_of_commands(self) -> None:
        """A mount with one two-way connection says there what it is, which is one error."""
        self.controller.start_listening()
        with self.assertLogs(LOG, logging.INFO) as logged:
            for _ in range(2):
                self.pass_time(OTHER_DIALECT_PAUSE + 1)
                self.assertTrue(self.controller.client.is_connected)
                self.controller.client.transport.write(JSON[:9])
                self.controller.settle()
                self.controller.client.transport.write(JSON[9:] + b"\r\n")
                self.controller.settle()
                self.assertFalse(self.controller.client.is_connected)
        self.assert_other_dialect(logged.output)
        self.assertNotIn("the wrong port", " ".join(logged.output))
        self.assertIn("speaks tma2022", self.service.link.why_not_connected)

    def test_braces(self) -> None:
        """What is neither a reply nor JSON of a mount does not end the link."""
        self.link()
        with self.assertLogs(LOG, logging.WARNING):
            self.controller.say(b"{junk", b"{}", b"[1]", JSON[:-1], STATE)
        self.assertEqual(self.csc.heard(), [STATE])

    def test_overlong(self) -> None:
        """A line without end ends the link, which comes back."""
        self.link()
        self.controller.say(STATE, b"x" * 70_000)
        self.assertEqual(self.csc.heard(), [STATE])
        self.assertFalse(self.controller.is_connected)
        self.pass_time(0.3)
        self.assertTrue(self.controller.connect_server())
        self.assertEqual(self.service.bridge.epoch, 2)

    def test_end(self) -> None:
        """When the service stops the controller reads that command is given up, then the link ends."""
        self.link()
        self.grant(self.csc)
        self.stop()
        (line,) = self.controller.heard()
        self.assertEqual((line.split(b"\n")[1], line.split(b"\n")[4]), (b"2101", b"0"))
        self.assertFalse(self.controller.is_connected)

    def test_bytes_on_the_wrong_connection(self) -> None:
        """What comes where nothing is expected is dropped."""
        self.link()
        self.controller.client.transport.write(STATE + b"\r\n")
        self.assertEqual(self.csc.heard(), [])

    def test_behind(self) -> None:
        """How far a commander is behind can be asked, and is nothing once it has read on."""
        self.link()
        pair = self.service.pairs[0]
        self.csc.stop_reading()
        for _ in range(100):
            self.controller.say(STATE + b"x" * 1000)
        self.assertGreater(pair.behind, 10_000)
        self.csc.start_reading()
        self.csc.heard()
        self.assertEqual(pair.behind, 0)

    def test_reading_never_pauses(self) -> None:
        """The controller's words are all read, whoever does not read theirs."""
        self.link()
        self.csc.stop_reading()
        for _ in range(300):
            self.controller.say(*[STATE + b"x" * 1000] * 10)
        said = [line for peer, direction, _, line in self.journal.messages if peer == "controller"]
        self.assertEqual(len(said), 3000)
        self.assertNotIn("csc", self.service.bridge.clients)

    def test_malformed_lines_without_end(self) -> None:
        """A controller that sends them is disconnected before a chunk of them is read, and comes back."""
        self.link()
        with self.assertLogs(LOG, "WARNING") as logged:
            self.controller.say(*[b"x"] * 20_000)
        self.assertLessEqual(self.service.bridge.counts["unreadable"], MAX_MALFORMED + AT_ONCE)
        self.assertIn("is controller.command_port right?", " ".join(logged.output))
        self.pass_time(5)
        self.link()
        self.controller.say(*[b"x", b"x", STATE] * 50)  # a faulty one is not disconnected
        self.assertEqual(len(self.csc.heard()), 50)


class BusyControllerTests(BridgeCase):
    """A controller that does not read."""

    def setUp(self) -> None:
        super().setUp()
        self.start_all()
        self.grant(self.csc)
        self.controller.stop_reading()
        for number in range(1, 100):
            self.csc.say(command(number, MOVE, 1, b"x" * 1000))

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def steps(self, step: str) -> list[int]:
        """The commander's ids of the commands of which the journal has this step."""
        return [each[4] for each in self.journal.steps if each[1] == step and each[2] in ("csc", "eui")]

    def test_stops_overtake(self) -> None:
        """Commands wait in the bridge; a stop goes in their place, whoever sends it, and none is sent."""
        sent = self.steps("sent")
        self.assertLess(len(sent), 80)
        self.eui.say(command(1, STOP, 2))
        self.assertEqual(self.steps("sent"), sent)
        self.controller.start_reading()
        codes = [int(line.split(b"\n")[1]) for line in self.controller.heard()]
        self.assertEqual(codes, [MOVE] * len(sent) + [STOP])
        self.assertEqual(self.steps("not_sent"), list(range(len(sent) + 1, 100)))
        whys = {explanation(line) for line in self.csc.heard()}
        self.assertEqual(whys, {"not sent: overtaken by BothAxesStop of eui"})

    def test_time_out(self) -> None:
        """What was not written in time was not sent; what was, timed out; each is told to its commander."""
        sent = self.steps("sent")
        self.pass_time(5.5)
        words = [explanation(line).split(":")[0] for line in self.csc.heard()]
        self.assertEqual((words.count("timed out"), words.count("not sent")), (len(sent), 99 - len(sent)))
        self.controller.start_reading()
        self.assertEqual(len(self.controller.heard()), len(sent))
        self.csc.say(command(500, MOVE, 1))
        self.assertEqual(len(self.controller.heard()), 1)

    def test_lost(self) -> None:
        """If the link is lost meanwhile each is told which of the two it was; nothing is sent later."""
        sent = self.steps("sent")
        self.controller.drop_server()
        words = [explanation(line).split(":")[0] for line in self.csc.heard()]
        self.assertEqual(
            (words.count("outcome unknown"), words.count("not sent")), (len(sent), 99 - len(sent))
        )
        self.pass_time(0.3)
        self.assertTrue(self.controller.connect_server())
        self.assertEqual([line.split(b"\n")[1] for line in self.controller.heard()], [b"2101"])
