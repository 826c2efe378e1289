"""Two bridges before one mount: the standby, and what happens to link, ports and commander at a take-over."""

from __future__ import annotations

import json
import logging

from twisted.internet.protocol import ServerFactory
from zope.interface.verify import verifyObject

from mtmount_twisted.dialects.tma2022 import commands
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.interfaces import ILeadership, IServed
from mtmount_twisted.net.endpoints import LISTEN_AGAIN
from mtmount_twisted.testing import HOST
from mtmount_twisted.upstream.leadership.tenure import State
from tests.support.bridges_tma2022 import CommanderEnd
from tests.support.commanders import LOG, RecordingClient
from tests.support.two_bridges import PORTS, Bridge, T, TwoBridgesCase

MOVE = commands.AzimuthMove(position=1)


class StandbyCase(TwoBridgesCase):
    """`a` is active, and `b` stands by."""

    def setUp(self) -> None:
        super().setUp()
        self.b = self.add("b")
        self.pass_time(2 * T)

    def commands(self, bridge: Bridge) -> CommanderEnd:
        """The commander of the pair of a bridge, which has command."""
        csc = self.join(bridge)
        csc.ask(900)
        self.pass_time(0.5)
        self.assertEqual(
            [answer[:2] for answer in csc.answers()], [("acknowledged", 900), ("succeeded", 900)]
        )
        return csc


class StateTests(StandbyCase):
    """What a standby does, and what it does not."""

    def test_contracts(self) -> None:
        """The web can show both."""
        self.assertTrue(verifyObject(ILeadership, self.a.leadership))
        self.assertTrue(verifyObject(IServed, self.b.service))

    def test_nothing_is_open(self) -> None:
        """A standby connects neither to the mount nor to its telemetry, and listens nowhere."""
        self.assertEqual((self.a.state, self.b.state), (State.ACTIVE, State.STANDBY))
        places = {port for _, _, port in self.reactor.attempts}
        self.assertEqual(places, {self.command_port, self.telemetry_port})
        self.assertEqual(
            [port in self.reactor.ports for node in "ab" for port in PORTS[node]],
            [True, True, False, False],
        )
        self.assertEqual((self.b.service.link.client_connected, self.b.service.all_pairs), (False, []))
        self.assertFalse(self.b.service.telemetry and self.b.service.telemetry.connected)
        self.assertEqual((self.b.leadership.holder, self.b.leadership.epoch), ("a", 0))
        self.assertIn("stands by", self.b.service.describe())

    def test_silence_is_no_fault(self) -> None:
        """A standby does not report that telemetry is silent: it receives none."""
        self.assertNotIn("telemetry_silent", [event[0] for event in self.b.journal.events])

    def test_commands_are_refused(self) -> None:
        """A user of the page learns that this bridge stands by, for a stop as well."""
        bridge = self.b.service.bridge
        night = RecordingClient(bridge, "web/night", Source.CSC).come()
        for number, command in enumerate(
            (MOVE, commands.BothAxesStop(), commands.AskForCommand(commander=Source.CSC)), 1
        ):
            line = command.replaced(sequence_id=number, source=Source.CSC).encode()
            bridge.commanded(night, line.removesuffix(b"\r\n"))
        told = [json.loads(line) for line in night.read()]
        told = [each["parameters"]["explanation"] for each in told if each["id"] == 2]
        self.assertEqual(told, ["not sent: standby"] * 3)
        self.assertEqual(bridge.hand_command(night, "csc"), "not sent: standby")

    def test_page(self) -> None:
        """A standby reads the events of the others, and knows the holder of command there."""
        self.assertEqual((self.a.station.follows, self.b.station.follows), (False, True))
        self.assertEqual(self.b.leadership.commander, None)
        self.commands(self.a)
        self.pass_time(T)
        commander = self.b.leadership.commander
        self.assertEqual(commander and (commander.holder, commander.source), ("csc", "CSC"))
        self.a.kill()
        self.until_active(self.b)
        self.assertFalse(self.b.station.follows)

    def test_journal(self) -> None:
        """The journal has each change of the state."""
        told = [event[3] for event in self.a.journal.events if event[0] == "tenure"]
        self.assertEqual(told, ["candidate: epoch 1", "active: epoch 1"])

    def test_reload(self) -> None:
        """A reload opens no port of a standby."""
        self.successResultOf(self.b.service.reload(self.b.service.config))
        self.assertEqual(self.b.service.pairs, [])


class TakeOverTests(StandbyCase):
    """The active bridge is gone."""

    def test_killed(self) -> None:
        """The standby opens link, telemetry and ports; commands have sequence ids of its own epoch."""
        csc = self.commands(self.a)
        csc.send(1, MOVE)
        self.pass_time(0.1)
        self.a.kill()
        self.assertLess(self.until_active(self.b), 0.2 * T + 0.1)
        csc = self.commands(self.b)
        csc.send(2, commands.BothAxesStop())
        self.pass_time(3)
        self.assertEqual([answer[:2] for answer in csc.answers()], [("acknowledged", 2), ("succeeded", 2)])
        self.assertTrue(all(2 * 2**20 < key <= 3 * 2**20 for key in self.b.keys), self.b.keys)
        self.assertTrue(self.b.service.telemetry and self.b.service.telemetry.connected)
        self.assertEqual(self.b.station.tenures, [(2, False), (2, True)])

    def test_port_is_taken(self) -> None:
        """A port that another program has at the take-over is opened once that program ends.

        Meanwhile the log has a line a minute about each port.
        """
        pair, desk = PORTS["b"]
        others = [
            self.reactor.listenTCP(port, ServerFactory(), interface=host)
            for port, host in ((pair, ""), (desk, HOST))
        ]
        self.a.kill()
        with self.assertLogs(LOG, logging.ERROR) as logged:
            self.until_active(self.b)
            self.pass_time(50)
        self.assertEqual(len(logged.records), 2, logged.output)
        service = self.b.service
        self.assertEqual(len(service.port_failures), 1)
        self.assertTrue(service.pairs[0].listen_error)
        for each in others:
            each.stopListening()
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.pass_time(LISTEN_AGAIN + 0.1)
        self.assertEqual(len([line for line in logged.output if "listens on" in line]), 2, logged.output)
        self.assertEqual((service.port_failures, service.pairs[0].listen_error), ([], None))
        self.assertIn("desk", service.describe())
        for number, source in ((0, Source.CSC), (1, Source.EUI)):
            client = self.join(self.b, number)
            client.source = source
            client.ask(900 + number)
            self.pass_time(0.5)
            self.assertEqual(client.answers()[-1][:2], ("succeeded", 900 + number))
            client.leave()

    def test_port_is_taken_until_the_end(self) -> None:
        """A bridge that stands by again, or ends, tries no port any more."""
        others = [self.reactor.listenTCP(port, ServerFactory(), interface=HOST) for port in PORTS["b"]]
        self.a.kill()
        self.until_active(self.b)
        self.b.slept += 5
        self.pass_time(0.1)
        for each in others:
            each.stopListening()
        self.b.station.is_cut = True
        self.pass_time(2 * LISTEN_AGAIN)
        self.assertEqual([port in self.reactor.ports for port in PORTS["b"]], [False, False])
        self.b.station.is_cut = False

    def test_holder_returns(self) -> None:
        """The commander that had command has its time of grace at the next bridge, and keeps command."""
        self.commands(self.a)
        self.a.kill()
        self.until_active(self.b)
        bridge = self.b.service.bridge
        self.assertTrue(bridge.grace)
        csc = self.join(self.b)
        self.pass_time(0.5)
        self.assertFalse(bridge.grace)
        csc.answers()
        csc.send(1, MOVE)
        self.pass_time(0.5)
        self.assertEqual(csc.answers()[0][:2], ("acknowledged", 1))

    def test_holder_does_not_return(self) -> None:
        """If it does not return, all that moves is stopped, once, and nobody has command."""
        self.commands(self.a).send(1, MOVE)
        self.pass_time(0.1)
        self.a.kill()
        self.until_active(self.b)
        self.pass_time(4)
        stops = {int(stop.encode().split(b"\n")[1]) for stop in self.b.service.bridge.dialect.stops()}
        self.assertEqual(stops & set(self.b.codes), set())
        self.pass_time(2)
        sent = [code for code in self.b.codes if code in stops]
        self.assertEqual((set(sent), len(sent)), (stops, len(stops)))
        self.assertIsNone(self.b.service.bridge.lease.holder)

    def test_other_takes_command_in_the_grace(self) -> None:
        """Another commander takes command at the next bridge; then nothing is stopped."""
        self.commands(self.a)
        self.a.kill()
        self.until_active(self.b)
        desk = self.join(self.b, 1)
        desk.source = Source.EUI
        desk.ask(5)
        self.pass_time(8)
        stops = {int(stop.encode().split(b"\n")[1]) for stop in self.b.service.bridge.dialect.stops()}
        self.assertEqual(stops & set(self.b.codes), set())

    def test_in_flight(self) -> None:
        """A command in flight ends once, as ``outcome_unknown``, when the process has slept."""
        csc = self.commands(self.a)
        csc.send(1, MOVE)
        self.pass_time(0.1)
        csc.messages()
        self.a.slept = 5.0
        self.pass_time(0.5)
        steps = [
            step for key, step, peer, _, number, *_ in self.a.journal.steps if (peer, number) == ("csc", 1)
        ]
        self.assertEqual(steps.count("outcome_unknown"), 1, steps)

    def test_stopped(self) -> None:
        """SIGTERM: the other one is active before the first has ended."""
        self.a.stop()
        self.assertLess(self.until_active(self.b), 0.5)

    def test_back(self) -> None:
        """Bridges take over from each other as often as needed; nothing is left of the times before."""
        for _ in range(3):
            self.b.slept += 5
            self.pass_time(2 * T)
            self.a.slept += 5
            self.until_active(self.b)
            self.assertEqual(self.a.state, State.STANDBY)
            self.commands(self.b).leave()
            self.pass_time(6)
            self.b.slept += 5
            self.until_active(self.a)
        self.assertEqual(
            [port in self.reactor.ports for port in (*PORTS["a"], *PORTS["b"])], [True, True, False, False]
        )


class SleepTests(StandbyCase):
    """The process stood still."""

    def test_nothing_is_sent(self) -> None:
        """A command that comes first after the sleep is refused: the guard comes before it is sent."""
        csc = self.commands(self.a)
        before = len(self.a.sent)
        self.a.slept = 5.0
        with self.assertLogs(LOG, logging.CRITICAL) as logs:
            csc.send(1, MOVE)
        self.assertIn("stood still for 5.", logs.records[0].getMessage())
        self.assertEqual(len(self.a.sent), before)
        self.assertEqual(self.a.state, State.STANDBY)
        self.assertEqual([port in self.reactor.ports for port in PORTS["a"]], [False, False])

    def test_nothing_is_read(self) -> None:
        """Nor is a line of the mount that waits in the socket taken for the present."""
        self.a.slept = 5.0
        link = self.a.service.all_pairs[0]
        self.assertFalse(self.a.leadership.guard is None or self.a.leadership.guard.check())
        self.assertTrue(link.closed)

    def test_short_sleep(self) -> None:
        """A sleep that is shorter than the lease is fresh changes nothing."""
        self.a.slept = 0.6 * T
        self.pass_time(1)
        self.assertEqual((self.a.state, self.b.state), (State.ACTIVE, State.STANDBY))


class BrokerTests(StandbyCase):
    """The broker is away."""

    def test_outage(self) -> None:
        """The mount is commanded without the broker as with it."""
        csc = self.commands(self.a)
        self.broker.cut()
        self.pass_time(3 * T)
        self.assertEqual((self.a.state, self.b.state), (State.ALONE, State.STANDBY))
        csc.send(1, MOVE)
        self.pass_time(0.5)
        self.assertEqual(csc.answers()[0][:2], ("acknowledged", 1))
        self.broker.restore()
        self.pass_time(T)
        self.assertEqual((self.a.state, self.b.state), (State.ACTIVE, State.STANDBY))
        self.assertEqual(self.a.station.tenures, [(1, False), (1, True)])  # it serves all the time

    def test_active_is_cut(self) -> None:
        """A bridge that lost only the broker is not driven from the mount: the mount refuses the other."""
        csc = self.commands(self.a)
        self.a.station.is_cut = True
        self.pass_time(2 * T)
        self.assertEqual((self.a.state, self.b.state), (State.ALONE, State.CANDIDATE))
        csc.send(1, MOVE)
        self.pass_time(0.5)
        self.assertEqual(csc.answers()[0][:2], ("acknowledged", 1))
        self.a.station.is_cut = False
        self.pass_time(T)
        self.assertEqual((self.a.state, self.b.state), (State.ACTIVE, State.STANDBY))

    def test_new_child(self) -> None:
        """A new child is present for the bridge, and its questions go on."""
        self.a.leadership.child_ended()
        self.a.leadership.child_started()
        self.pass_time(2 * T)
        self.assertEqual((self.a.state, self.b.state), (State.ACTIVE, State.STANDBY))


class ManyPeersTests(StandbyCase):
    """The mount takes many peers, as far as the bridges know."""

    one_peer = False

    def test_fresh_lease(self) -> None:
        """Without a fresh lease a move is refused with the reason, and a stop is sent."""
        csc = self.commands(self.a)
        self.a.station.is_cut = True
        self.pass_time(0.7 * T)
        csc.messages()
        csc.send(1, MOVE)
        csc.send(2, commands.BothAxesStop())
        self.pass_time(0.5)
        told = {
            each["parameters"]["sequenceId"]: each
            for each in csc.messages()
            if "sequenceId" in each["parameters"]
        }
        self.assertRegex(
            told[1]["parameters"]["explanation"], "^not sent: the lease at the broker is 2.* s old"
        )
        self.assertNotIn("explanation", told[2]["parameters"])
