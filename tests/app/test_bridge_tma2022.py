"""`mtmount_twisted.app.bridge_service` before a tma2022 mount: pairs and ports with one connection each."""

from __future__ import annotations

import json
import logging

from twisted.internet.address import IPv4Address
from zope.interface.verify import verifyObject

from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.frontends.tcp.commanders import READ_EVERY
from mtmount_twisted.interfaces import IClient, IControllerLink, IPairOwner
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.upstream.link import OTHER_DIALECT_PAUSE
from tests.support.bridges_tma2022 import BridgeTma2022Case
from tests.support.commanders import LOG, STATE

MOVE = commands.AzimuthMove(position=1)
STOP = commands.BothAxesStop()


class CommanderTests(BridgeTma2022Case):
    """Commanders send commands through the bridge, and receive replies and events."""

    def test_contracts(self) -> None:
        """The link and the client of the pair are what the bridge expects."""
        for interface in (IPairOwner, IControllerLink):
            self.assertTrue(verifyObject(interface, self.service.link))
        self.join_pair()
        client = self.service.bridge.clients["csc"]
        for interface in (IPairOwner, IClient):
            self.assertTrue(verifyObject(interface, client))
        self.assertEqual(client.address, f"127.0.0.1:{self.service.pairs[0].server_port}")

    def test_pair(self) -> None:
        """A commander on the pair reads the answers to its own id, on the connection of its command."""
        csc = self.join_pair()
        self.grant(csc)
        csc.send(77, MOVE)
        self.pass_time(5)
        self.assertEqual(csc.answers(), [("acknowledged", 77, 1), ("succeeded", 77, 1)])

    def test_port(self) -> None:
        """A commander on a port reads the answers to its own id and source, as does one on the pair."""
        csc, desk = self.join_pair(), self.join_port()
        self.grant(desk)
        csc.heard()
        desk.send(77, MOVE)
        csc.send(77, STOP)
        self.pass_time(5)
        self.assertEqual(sorted(desk.answers()), [("acknowledged", 77, 2), ("superseded", 77, 2)])
        self.assertEqual(csc.answers(), [("acknowledged", 77, 1), ("succeeded", 77, 1)])

    def test_events(self) -> None:
        """Events go to every client, also to those without command and to observers."""
        csc, desk, hall = self.join_pair(), self.join_port(), self.join_port(1)
        self.grant(csc)
        for client in (csc, desk, hall):
            client.heard()
        csc.send(5, MOVE)
        self.pass_time(5)
        for client in (csc, desk, hall):
            self.assertIn(101, [message["id"] for message in client.messages()])

    def test_lines_in_one_chunk_and_in_bytes(self) -> None:
        """How the bytes of commands are cut into chunks does not matter."""
        csc = self.join_pair()
        self.grant(csc)
        data = b"".join(STOP.replaced(sequence_id=number, source=csc.source).encode() for number in (1, 2))
        csc.transport.write(data)
        self.pass_time(1)
        self.assertEqual({answer[1] for answer in csc.answers()}, {1, 2})
        for byte in data:
            csc.transport.write(bytes([byte]))
            csc.settle()
        self.pass_time(1)
        self.assertEqual({answer[1] for answer in csc.answers()}, {1, 2})

    def test_second_peer(self) -> None:
        """A second peer of a pair is refused, and the first one is not disturbed."""
        csc = self.join_pair()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            second = self.join_pair()
        self.assertFalse(second.is_connected)
        self.assertIn("csc: refused a second peer", logged.output[0])
        self.grant(csc)

    def test_return_within_the_grace(self) -> None:
        """A commander that comes back to its pair within the grace still has command."""
        csc = self.join_pair()
        self.grant(csc)
        csc.leave()
        self.assertTrue(self.service.bridge.grace)
        self.pass_time(3)
        csc = self.join_pair()
        self.assertFalse(self.service.bridge.grace)
        csc.heard()
        csc.send(5, MOVE)
        self.pass_time(5)
        self.assertEqual(csc.answers(), [("acknowledged", 5, 1), ("succeeded", 5, 1)])

    def test_no_return(self) -> None:
        """A commander that does not come back loses command after the grace, and the mount stops."""
        csc = self.join_pair()
        self.grant(csc)
        csc.leave()
        self.pass_time(6)
        self.assertIsNone(self.service.bridge.lease.holder)

    def test_malformed(self) -> None:
        """A malformed line is refused, and closes the pair; the next peer is served."""
        csc = self.join_pair()
        self.grant(csc)
        csc.say(b"5\n401\n1")
        (why,) = csc.explanations()
        self.assertTrue(why.startswith("malformed"), why)
        self.pass_time(0.1)
        self.assertFalse(csc.is_connected)
        self.join_pair().ask(6)
        self.assertEqual(self.service.bridge.lease.holder, self.service.pairs[0])

    def test_overlong_line(self) -> None:
        """A line without end closes the pair."""
        csc = self.join_pair()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            csc.transport.write(b"x" * 70_000)
            self.pass_time(0.1)
        self.assertFalse(csc.is_connected)
        self.assertIn("csc: lost the connection: a line of more than 65536 bytes", " ".join(logged.output))

    def test_long_event(self) -> None:
        """The settings, the longest line of the mount, reach a commander whole, whatever the chunks."""
        csc = self.join_pair()
        self.grant(csc)
        csc.send(5, commands.GetActualSettings())
        self.pass_time(1)
        (settings,) = [message for message in csc.messages() if message["id"] == 40]
        self.assertGreater(len(json.dumps(settings)), 30_000)
        self.assertIn("MainAxis", settings["parameters"])

    def test_who_may_connect(self) -> None:
        """A peer on this machine may connect to a pair, and one at an address of its list."""
        self.restart(allow=("192.0.2.0/28",))
        (pair,) = self.service.pairs
        for host, may in (("127.0.0.1", True), ("192.0.2.9", True), ("192.0.2.99", False)):
            why = pair.refusal_of(IPv4Address("TCP", host, 5))
            self.assertEqual(not why, may, host)

    def test_slow_consumer(self) -> None:
        """A commander that does not read is cut off, and may come back; another one receives everything."""
        csc, desk = self.join_pair(), self.join_port()
        csc.transport.pauseProducing()
        mount = self.simulator.commands.client
        assert mount is not None
        with self.assertLogs(LOG, logging.WARNING) as logged:
            for number in range(40):
                text = b"%d" % number + b"x" * 40_000
                mount.transport.write(b'{"id":50,"timestamp":1.5,"parameters":{"state":"%b"}}\r\n' % text)
                self.pass_time(0.05)
        self.assertIn("csc: closed: cut off", " ".join(logged.output))
        self.assertFalse(csc.is_connected)
        self.assertEqual(len([each for each in desk.messages() if each["id"] == 50]), 41)
        self.assertTrue(self.join_pair().is_connected)

    def test_refused_in_turns(self) -> None:
        """Commands of a commander without command are refused in turns, each one with its reason."""
        csc, desk = self.join_pair(), self.join_port()
        self.grant(desk)
        csc.heard()
        for number in range(100):
            csc.send(number, MOVE)
        self.pass_time(3)
        refused = csc.explanations()
        self.assertEqual(len(refused), 100)
        self.assertTrue(all(why.startswith("refused: desk") for why in refused), refused[0])

    def test_described(self) -> None:
        """The text about the commanders names the one address of a pair."""
        self.assertIn(
            f"commander csc on 127.0.0.1:{self.service.pairs[0].server_port};", self.service.describe()
        )


class LinkTests(BridgeTma2022Case):
    """The connection to the mount comes and goes."""

    def test_loss(self) -> None:
        """What was sent when the link is lost has no known outcome; the link comes back as a new epoch."""
        csc = self.join_pair()
        self.grant(csc)
        csc.send(5, MOVE)
        self.pass_time(0.2)
        self.assertEqual(csc.answers(), [("acknowledged", 5, 1)])
        self.simulator.commands.close_client()
        self.pass_time(0.05)
        (why,) = csc.explanations()
        self.assertTrue(why.startswith("outcome unknown"), why)
        self.assertIsNone(self.service.bridge.link)
        self.pass_time(1)
        self.assertEqual(self.service.bridge.epoch, 2)
        csc.heard()
        csc.send(6, STOP)
        self.pass_time(1)
        self.assertEqual(csc.answers(), [("acknowledged", 6, 1), ("succeeded", 6, 1)])

    def test_restart_of_the_mount(self) -> None:
        """Commands are refused while the mount restarts; afterwards a new epoch serves the same holder."""
        csc = self.join_pair()
        self.grant(csc)
        port, _ = self.simulator.port_numbers()
        self.simulator.stopService()
        self.pass_time(1)
        csc.heard()
        csc.send(5, MOVE)
        (why,) = csc.explanations()
        self.assertEqual(why, "not sent: the controller is not connected")
        self.simulator = self.make_simulator(port)
        self.pass_time(6)
        self.assertEqual(self.service.bridge.epoch, 2)
        csc.heard()
        csc.send(6, MOVE)
        self.pass_time(5)
        self.assertEqual(csc.answers(), [("acknowledged", 6, 1), ("succeeded", 6, 1)])

    def test_mount_with_another_client(self) -> None:
        """A mount that closes each connection at once, since it has a client, begins no epoch."""
        self.simulator.commands.close_client()
        self.pass_time(0.05)
        self.simulator.commands.is_refusing = True
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.pass_time(5)
        self.assertEqual(self.service.bridge.epoch, 1)
        told = [line for line in logged.output if "closed the connection at once" in line]
        self.assertEqual(len(told), 1, logged.output)
        self.simulator.commands.is_refusing = False
        self.pass_time(5 + SETTLE_TIME)
        self.assertEqual(self.service.bridge.epoch, 2)

    def test_reply_of_tma2020(self) -> None:
        """A reply of tma2020 ends the link with one error that names the setting; junk does not."""
        csc = self.join_pair()
        mount = self.simulator.commands.client
        assert mount is not None
        mount.transport.write(b"5 junk\r\n12\r\n")
        self.pass_time(0.1)
        self.assertIsNotNone(self.service.bridge.link)
        with self.assertLogs(LOG, logging.INFO) as logged:
            mount.transport.write(STATE + b"\r\n" + STATE + b"\r\n")
            self.pass_time(1)
            self.assertIsNone(self.service.bridge.link)
            csc.heard()
            csc.send(5, STOP)
            (why,) = csc.explanations()
            self.assertEqual(why, "not sent: the controller is not connected")
            self.pass_time(OTHER_DIALECT_PAUSE - 2)
            self.assertIsNone(self.simulator.commands.client)
        (error,) = [line for line in logged.output if line.startswith("ERROR")]
        self.assertIn("speaks tma2020", error)
        self.assertIn(
            'controller.dialect is "tma2022": give the host and port of a mount that speaks tma2022; or set ',
            error,
        )
        self.pass_time(2)
        self.assertEqual(self.service.bridge.epoch, 2)

    def test_stop_while_it_pauses(self) -> None:
        """The service can be stopped while the link pauses; no timer is left."""
        mount = self.simulator.commands.client
        assert mount is not None
        mount.transport.write(STATE + b"\r\n")
        self.pass_time(1)
        self.assertIsNone(self.service.bridge.link)

    def test_end(self) -> None:
        """When the service stops, the mount reads that command is given up."""
        self.grant(self.join_pair())
        self.assertEqual(self.simulator.mount.commander, 1)
        stopped = self.service.stopService()
        self.pass_time(1.5)
        self.successResultOf(stopped)
        self.assertEqual(self.simulator.mount.commander, 0)


class HeartbeatTests(BridgeTma2022Case):
    """A mount that takes command away from a commander without a heartbeat."""

    heartbeat_timeout = 5.0

    def test_heartbeat(self) -> None:
        """A commander that sends none keeps command, because the bridge sends them."""
        csc = self.join_pair()
        self.grant(csc)
        self.pass_time(20)
        csc.heard()
        csc.send(5, MOVE)
        self.pass_time(5)
        self.assertEqual(csc.answers(), [("acknowledged", 5, 1), ("succeeded", 5, 1)])

    def test_ask_behind_a_heartbeat_in_a_crowd(self) -> None:
        """Neither a commander's heartbeat nor its ask behind it waits for the refused moves of a crowd."""
        csc = self.join_pair()
        moves = [MOVE.replaced(sequence_id=1, source=Source.EUI).encode().removesuffix(b"\r\n")] * 20
        for _ in range(60):
            self.join_port().say(*moves)
        csc.send(0, commands.Heartbeat())
        csc.ask(5)
        for _ in range(3):
            self.reactor.advance(READ_EVERY)
        self.assertEqual(csc.answers(), [("acknowledged", 5, 1), ("succeeded", 5, 1)])

    def test_questions(self) -> None:
        """A commander without command gets state and settings from the bridge, which asked the mount."""
        csc, desk = self.join_pair(), self.join_port()
        self.grant(csc)
        desk.heard()
        for question in (commands.StateInfo(), commands.GetActualSettings()):
            desk.send(7, question)
            codes = [message["id"] for message in desk.messages()]
            self.assertEqual((codes[0], codes[-1]), (1, 3))
            self.assertGreater(len(codes), 2)
        self.assertEqual(codes, [1, 40, 3])
