"""`BridgeService.reload`: commanders come and go with the configuration, the controller's link stays."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs
from twisted.internet import endpoints
from twisted.internet.defer import Deferred

from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import CommandRules, PairCommander, PortCommanders, WebSettings
from mtmount_twisted.net.endpoints import LISTEN_AGAIN
from mtmount_twisted.net.tls import Credentials
from mtmount_twisted.testing import HOST
from tests.support.bridges import LOG, TCP, BridgeCase, PairEnd, ask, command, explanation
from tests.support.commanders import MOVE, STATE, STOP


class ReloadTests(BridgeCase):
    """A bridge that runs is told a new configuration."""

    def setUp(self) -> None:
        super().setUp()
        self.start_all()

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def reload(self, config: Config) -> None:
        """Tell it, and give it the time to close what is to be closed."""
        reloaded = self.service.reload(config)
        self.pass_time(1.5)
        self.successResultOf(reloaded)

    def test_added(self) -> None:
        """A pair and a port that are new are served, and nobody else notices."""
        hhd = PairEnd(self.reactor)
        self.addCleanup(hhd.stop_listening)
        pair = PairCommander(name="hhd", source="HHD", command_port=0, reply_port=hhd.port)
        port = PortCommanders(name="new", endpoint=TCP)
        config = self.config
        self.reload(attrs.evolve(config, pairs=(*config.pairs, pair), ports=(*config.ports, port)))
        hhd.communicator = self.service.pairs[-1]  # type: ignore[assignment]
        self.assertTrue(hhd.connect_server())
        seer = self.join(2)
        self.controller.say(STATE)
        for far_end in (hhd, seer, self.csc, self.eui):
            self.assertEqual(far_end.heard(), [STATE])
        self.assertEqual(self.service.bridge.epoch, 1)
        self.assertEqual(self.service.names, ["csc", "eui", "hhd", "desk", "hall", "new"])

    def test_removed(self) -> None:
        """Who is not in it any more is closed, with the end of its commands; the others stay."""
        desk, seer = self.join(), self.join(1)
        desk.say(command(1, STOP, 2))
        self.eui.say(command(2, STOP, 2))
        self.controller.heard()
        self.reload(attrs.evolve(self.config, pairs=self.config.pairs[:1], ports=self.config.ports[1:]))
        for far_end in (desk, self.eui):
            [line] = far_end.heard()
            self.assertEqual(explanation(line), "outcome unknown: it is not in the configuration any more")
        self.assertEqual([self.eui.is_connected, desk.is_connected], [False, False])
        self.assertEqual(list(self.service.bridge.clients), ["csc", "hall/1"])
        self.controller.say(STATE)
        self.assertEqual((self.csc.heard(), seer.heard()[-1]), ([STATE], STATE))
        self.assertEqual(self.service.bridge.epoch, 1)
        self.assertEqual(len(self.service.ports), 1)
        self.assertEqual(self.service.names, ["csc", "hall"])

    def test_removed_holder(self) -> None:
        """If it had command, that is as if it were gone: the mount is stopped, and nobody has command."""
        self.grant(self.csc)
        self.reload(attrs.evolve(self.config, pairs=self.config.pairs[1:]))
        self.assertIsNotNone(self.service.bridge.lease.holder)
        self.pass_time(5)
        self.assertIsNone(self.service.bridge.lease.holder)
        self.assertGreater(len(self.controller.serve()), 1)
        self.controller.serve()

    def test_changed_holder(self) -> None:
        """A holder of command whose settings change keeps command if it is back in time."""
        self.grant(self.csc)
        [csc, eui] = self.config.pairs
        port = self.service.pairs[0].server_port
        self.reload(
            attrs.evolve(self.config, pairs=(attrs.evolve(csc, command_port=port, allow=("::1",)), eui))
        )
        self.csc.communicator = self.service.all_pairs[-1]  # type: ignore[assignment]
        self.assertTrue(self.csc.connect_server())
        self.pass_time(6)
        self.csc.say(command(1, MOVE, 1))
        self.assertEqual(len(self.controller.heard()), 1)
        self.assertEqual(self.service.bridge.lease.number, 1)

    def test_numbers_are_nobodys_names(self) -> None:
        """Who comes to a port that has changed does not get the command of one that had its number before."""
        desk = self.join()
        self.grant(desk, 2)
        ports = (attrs.evolve(self.config.ports[0], max_clients=9), self.config.ports[1])
        self.reload(attrs.evolve(self.config, ports=ports))
        stranger = self.join(1)
        stranger.say(command(1, MOVE, 2))
        [line] = stranger.heard()[-1:]
        self.assertTrue(explanation(line).startswith("refused"), line)
        self.pass_time(6)
        self.assertIsNone(self.service.bridge.lease.holder)

    def test_tries_again(self) -> None:
        """A port that could not be listened on is tried again, and is not said to be served meanwhile."""
        port = PortCommanders(name="sock", endpoint=f"tcp:{self.csc.port}:interface=127.0.0.1")
        config = attrs.evolve(self.config, ports=(*self.config.ports, port))
        self.reload(config)
        self.assertEqual(len(self.service.port_failures), 1)
        self.assertNotIn("sock", self.service.describe())
        self.csc.stop_listening()
        self.reload(config)
        self.assertEqual(self.service.port_failures, [])
        self.assertIn("sock", self.service.describe())

    def test_opened_later(self) -> None:
        """A pair and a port whose addresses are taken are opened once these are free, without a reload."""
        other = PairEnd(self.reactor)
        taken = self.csc.port, other.port
        pair = PairCommander(
            name="hhd", source="HHD", listen=HOST, command_port=taken[0], reply_port=self.eui.port
        )
        port = PortCommanders(name="sock", endpoint=f"tcp:{taken[1]}:interface={HOST}")
        config = self.config
        self.reload(attrs.evolve(config, pairs=(*config.pairs, pair), ports=(*config.ports, port)))
        self.assertEqual(len(self.service.port_failures), 1)
        self.assertTrue(self.service.pairs[-1].listen_error)
        self.csc.stop_listening()
        other.stop_listening()
        self.pass_time(LISTEN_AGAIN)
        self.assertEqual((self.service.port_failures, self.service.pairs[-1].listen_error), ([], None))
        self.assertEqual(self.service.pairs[-1].server_port, taken[0])
        self.join(2).leave()

    def test_told_of_what_waits(self) -> None:
        """Who goes is told the end of its ask, too, and of what waits behind that."""
        desk = self.join()
        desk.say(ask(1, 2, 2), command(2, MOVE, 2))
        self.reload(attrs.evolve(self.config, ports=self.config.ports[1:]))
        why = "not sent: it is not in the configuration any more"
        self.assertEqual([explanation(line) for line in desk.heard()], [why, why])

    def test_changed(self) -> None:
        """A commander that is configured otherwise is closed, and served as it is now, on the same port."""
        [csc, eui] = self.config.pairs
        port = self.service.pairs[1].server_port
        fixed = attrs.evolve(self.config, pairs=(csc, attrs.evolve(eui, command_port=port)))
        self.reload(fixed)
        self.assertFalse(self.eui.server.is_connected)
        self.assertEqual(self.service.pairs[1].server_port, port)
        self.reload(attrs.evolve(fixed, pairs=(csc, attrs.evolve(eui, command_port=port, source="HHD"))))
        self.assertEqual(self.service.pairs[1].server_port, port)
        self.assertEqual(self.service.pairs[1].source.name, "HHD")

    def test_the_rest(self) -> None:
        """What can't be changed in a daemon that runs is named in the log, and stays as it was."""
        with self.assertLogs(LOG, "WARNING") as logged:
            self.reload(attrs.evolve(self.config, command=CommandRules(in_flight=1)))
        self.assertEqual(len(logged.output), 1)
        self.assertIn("[command] has changed: restart the daemon", logged.output[0])
        self.assertEqual(self.service.config.command.in_flight, 100)

    def test_page_certificate_beside_another_change(self) -> None:
        """A renewed certificate of the page is taken though another key of [web] needs a new start."""
        old, new = (Credentials((each,), key=None) for each in ("old", "new"))
        running = attrs.evolve(self.config, web=WebSettings(endpoint=TCP, credentials=old))
        self.service.config = running
        changed = WebSettings(endpoint=TCP, credentials=new, max_body=1)
        with self.assertLogs(LOG, "WARNING") as logged:
            self.reload(attrs.evolve(running, web=changed))
        self.assertIn("[web] has changed: restart the daemon", logged.output[0])
        web = self.service.config.web
        self.assertEqual((web.credentials, web.max_body), (new, WebSettings().max_body))
        for elsewhere in ({"endpoint": "tcp:1"}, {"enabled": False, "credentials": None}):
            with self.assertLogs(LOG, "WARNING"):
                self.reload(attrs.evolve(running, web=attrs.evolve(changed, **elsewhere)))
            self.assertEqual(self.service.config.web, web, "the page is where it was")
            self.assertEqual(self.service.config.web.credentials, new)

    def test_twice_at_once(self) -> None:
        """A second configuration that comes while the first is being put in force goes after it, whole."""
        first = attrs.evolve(
            self.config, pairs=self.config.pairs[:1], ports=(PortCommanders(name="new", endpoint=TCP),)
        )
        second = attrs.evolve(
            self.config, pairs=self.config.pairs[:1], ports=(PortCommanders(name="newer", endpoint=TCP),)
        )
        self.join().transport.pauseProducing()
        told = [self.service.reload(config) for config in (first, second)]
        self.pass_time(3)
        for each in told:
            self.successResultOf(each)
        self.assertEqual((len(self.service.pairs), len(self.service.ports)), (1, 1))
        self.assertIn("port newer", self.service.describe())
        self.assertFalse(self.eui.is_connected)

    def test_addresses_are_no_difference(self) -> None:
        """A host whose name has another address by now does not cost its commander the connection."""
        [csc, eui] = self.config.pairs
        self.reload(attrs.evolve(self.config, pairs=(attrs.evolve(csc, addresses=("192.0.2.1",)), eui)))
        self.assertTrue(self.csc.is_connected)
        self.assertTrue(self.csc.server.is_connected)

    def test_stopped_meanwhile(self) -> None:
        """A bridge that is stopped while those who go are closed does not begin to listen again."""
        self.join().transport.pauseProducing()
        config = attrs.evolve(self.config, ports=(PortCommanders(name="new", endpoint=TCP),))
        reloaded = self.service.reload(config)
        stopped = self.service.stopService()
        self.pass_time(1.5)
        self.successResultOf(stopped)
        self.successResultOf(reloaded)
        self.assertEqual(self.service.ports, [])


class LateEndpoint:
    """An endpoint that takes its time."""

    def __init__(self) -> None:
        self.opened: Deferred[Any] = Deferred()
        self.stopped = 0

    def listen(self, factory: object) -> Deferred[Any]:
        """It will be open later."""
        return self.opened

    def stopListening(self) -> None:  # Twisted's name
        """Closed."""
        self.stopped += 1


class LateTests(BridgeCase):
    """Endpoints that do not listen at once."""

    def test_opened_after_the_stop(self) -> None:
        """One that is open only after the bridge was stopped is closed then."""
        late = LateEndpoint()
        with patch.object(endpoints, "serverFromString", return_value=late):
            self.make(ports=self.config.ports[:1])
            self.start(self.csc)
        self.stop()
        late.opened.callback(late)
        self.assertEqual(late.stopped, 1)
        self.assertEqual((self.service.ports, self.service.port_failures), ([], []))
