"""`frontends.web.api.commanders`: users as commanders of the bridge, and the commands that they send."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.commands import AzimuthAxisMove
from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.dialects.tma2020.codec import decode_command
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import CommandCode, ReplyCode, Source
from mtmount_twisted.frontends.web.api import commanders
from mtmount_twisted.frontends.web.api.commanders import WebCommander
from mtmount_twisted.frontends.web.http.calls import Call
from mtmount_twisted.frontends.web.http.guard import Guard, HostPolicy
from mtmount_twisted.frontends.web.service import make_site
from mtmount_twisted.interfaces import IClient
from tests.support.commanders import LOG, STATE, RecordingLink
from tests.support.pages import DOCS, blocks
from tests.support.web import Wire, site_of
from tests.support.web_houses import WebCase, WebHouse, user

MOVE = "AzimuthAxisMove"
ROOT = Path(__file__).resolve().parent.parent.parent


class WebCommanderTests(SynchronousTestCase):
    """What the bridge is handed."""

    def test_interface(self) -> None:
        """It offers what the bridge asks of a client."""
        client = WebCommander(user("a", source=Source.EUI), DIALECT, WebHouse().lives, lambda why: None)
        self.assertTrue(verifyObject(IClient, client))
        self.assertEqual((client.name, client.source, client.may_command), ("web/a", Source.EUI, True))


class PresenceTests(WebCase):
    """When a user is there."""

    def here(self) -> bool:
        """True if the bridge knows the user."""
        return "web/night" in self.house.bridge.clients

    def test_first_command(self) -> None:
        """A user is there from its first command; to look is not to be there."""
        self.state()
        self.assertFalse(self.here())
        self.post("BothAxesStop")
        self.assertTrue(self.here())
        self.assertIn(("connected", "web/night"), [event[:2] for event in self.house.journal.events])

    def test_absent(self) -> None:
        """It is gone 30 s after its last request, whatever that was; then no timer is left."""
        self.post("BothAxesStop")
        self.house.link.finish_all()
        self.house.advance(29)
        self.state()
        self.house.advance(29)
        self.assertTrue(self.here())
        self.house.advance(1.1)
        self.assertFalse(self.here())
        self.assertEqual(self.house.journal.events[-1][3], "no request for 30 s")
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_watcher(self) -> None:
        """A request that says so keeps nobody there: a program that only watches sends it all night."""
        self.take()
        watch = Call(self.night, headers={"mtmount-presence": "none"})
        for _ in range(31):
            self.told(self.answering(self.house.leases.get, watch))
            self.told(self.answering(self.house.state.get, watch))
            self.house.advance(1)
        self.assertFalse(self.here())
        self.assertTrue(self.house.leases.shape().holder_gone)

    def test_stream(self) -> None:
        """While a stream of its is open it is there, and for 30 s more; to let go twice is to let go once."""
        one, two = self.house.commanders.hold(self.night), self.house.commanders.hold(self.night)
        self.assertFalse(self.here())
        self.post("BothAxesStop")
        self.house.link.finish_all()
        self.house.advance(100)
        one()
        one()
        self.house.advance(100)
        self.assertTrue(self.here())
        two()
        self.house.advance(29)
        self.assertTrue(self.here())
        self.house.advance(1.1)
        self.assertFalse(self.here())

    def test_waiting_request(self) -> None:
        """While a request waits it is there."""
        self.take()
        answering = self.post(MOVE, query="wait=done&timeout=300", position=10)
        [line] = self.house.link.read()
        self.house.link.ack(line, b"200000")
        self.house.advance(100)
        self.assertTrue(self.here())
        self.house.link.answer(ReplyCode.DONE, line)
        self.assertEqual(self.told(answering).status, 200)

    def test_holder_is_absent(self) -> None:
        """A lease is kept only while somebody is there; then the bridge's time of grace, and its stops."""
        self.take()
        self.house.advance(30.1)
        self.assertTrue(self.house.leases.shape().holder_gone)
        self.house.advance(5.1)
        self.assertIsNone(self.holder)
        self.assertIn(int(CommandCode.BOTH_AXES_STOP), self.house.link.codes())

    def test_holder_is_back(self) -> None:
        """A holder that is back within the time of grace keeps command: by look, stream or command."""
        hold = self.house.commanders.hold
        for again in (self.state, lambda: hold(self.night)(), lambda: self.post("BothAxesStop")):
            self.take()
            self.house.advance(30.1)
            again()
            self.house.link.finish_all()
            self.house.advance(10)
            self.assertEqual(self.holder, "web/night")
            self.assertEqual(self.house.bridge.lease.number, 1)

    def test_inherited(self) -> None:
        """A user that had command at another bridge keeps it with its first request or stream here."""
        bridge = self.house.bridge
        for again in (self.state, lambda: self.house.commanders.hold(self.night)()):
            bridge.inherit("web/night", Source.CSC)
            self.house.link.finish_all()
            self.told(self.answering(self.house.state.get, Call(user("night", "observe"))))
            self.assertTrue(bridge.grace)
            again()
            self.house.advance(10)
            self.assertEqual((self.holder, self.here(), bridge.grace), ("web/night", True, False))
            bridge.stand_by("the end")
            self.house.advance(31)

    def test_two_users(self) -> None:
        """Each user is a commander of its own, with its own source."""
        self.post("BothAxesStop")
        self.post("BothAxesStop", user("eui", source=Source.EUI))
        clients = self.house.bridge.clients
        self.assertEqual({name: clients[name].source for name in clients}, {"web/night": 1, "web/eui": 2})

    def test_dismissed(self) -> None:
        """A user whom the bridge dismisses is gone, which is logged, and back with its next command."""
        self.post("BothAxesStop")
        client = self.house.bridge.clients["web/night"]
        with self.assertLogs(LOG, "WARNING") as logged:
            self.house.bridge.commanded(client, b"no command")
        self.assertIn("dismissed by the bridge: malformed", logged.output[0])
        self.assertFalse(self.here())
        self.post("BothAxesStop")
        self.assertTrue(self.here())

    def test_close(self) -> None:
        """At the end everybody is gone and nobody enters; it can be ended twice, and no timer is left."""
        self.take()
        release = self.house.commanders.hold(self.night)
        self.house.close()
        self.house.close()
        self.house.bridge.close()
        release()
        self.house.commanders.seen(self.night)
        self.assertFalse(self.here())
        self.assertEqual(self.told(self.post("BothAxesStop")).status, 503)
        self.assertEqual((self.house.bus.subscribers, self.house.clock.getDelayedCalls()), ([], []))


class OvertakenTests(WebCase):
    """Commands that wait at the page while a stop goes before them."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(**rules)
        self.take()
        self.house.link.read()
        self.site = site_of(self.house.commands.routes(), self.night, self.house.clock)
        self.site.count_stops = lambda: self.house.bridge.stops
        self.wire, self.other = Wire(self.site), Wire(self.site)

    def ask(self, wire: Wire, command: str, **parameters: float) -> None:
        """Send a command, and pass some turns."""
        wire.ask("POST", "/api/v1/commands?wait=ack", {"command": command, "parameters": parameters})
        self.pass_turns()

    def pass_turns(self) -> None:
        """Pass some turns."""
        for _ in range(5):
            self.house.clock.advance(0)

    def test_held(self) -> None:
        """While a peer does not read, its move waits; a stop of another connection overtakes it."""
        self.wire.protocol.pauseProducing()
        self.ask(self.wire, MOVE, position=11)
        self.ask(self.other, "BothAxesStop")
        self.wire.protocol.resumeProducing()
        self.pass_turns()
        self.assertEqual(self.house.link.codes(), [CommandCode.BOTH_AXES_STOP])
        got = self.wire.answer()
        assert got is not None
        self.assertEqual(got.status, 503)
        self.assertIn("not sent: overtaken by a stop", got.body.decode())

    def test_pipelined(self) -> None:
        """A move behind another one that is not done waits unread; a later stop overtakes it, too."""
        for position in (11, 12):
            body = {"command": MOVE, "parameters": {"position": position}}
            self.wire.ask("POST", "/api/v1/commands?wait=done&timeout=300", body)
        self.pass_turns()
        self.ask(self.other, "BothAxesStop")
        self.wire.ask("POST", "/api/v1/commands", {"command": MOVE, "parameters": {"position": 13}})
        moved, stopped = self.house.link.read()
        self.house.link.finish(moved)
        self.house.link.finish(stopped)
        self.pass_turns()
        [last] = self.house.link.read()
        self.assertIn(b"\n13", last)

    def test_behind_its_own_stop(self) -> None:
        """A move right behind a stop of the same connection is sent."""
        for command, parameters in (("BothAxesStop", {}), (MOVE, {"position": 11.0})):
            body = {"command": command, "parameters": parameters}
            self.wire.ask("POST", "/api/v1/commands", body)
        self.pass_turns()
        codes = [CommandCode.BOTH_AXES_STOP, CommandCode.AZIMUTH_AXIS_MOVE]
        self.assertEqual(self.house.link.codes(), codes)

    def test_stop_is_not_overtaken(self) -> None:
        """A stop that waits is sent behind another stop, and a move that came behind the stop, too."""
        self.wire.protocol.pauseProducing()
        self.ask(self.wire, "AzimuthAxisStop")
        self.ask(self.other, "BothAxesStop")
        self.wire.protocol.resumeProducing()
        self.pass_turns()
        self.ask(Wire(self.site), MOVE, position=11)
        codes = [CommandCode.BOTH_AXES_STOP, CommandCode.AZIMUTH_AXIS_STOP, CommandCode.AZIMUTH_AXIS_MOVE]
        self.assertEqual(self.house.link.codes(), codes)

    def test_too_late(self) -> None:
        """A move of a peer that does not read within the deadline is never sent."""
        self.wire.protocol.pauseProducing()
        self.ask(self.wire, MOVE, position=11)
        self.house.clock.advance(WebSettings().deadline)
        self.wire.protocol.resumeProducing()
        self.pass_turns()
        self.assertEqual(self.house.link.codes(), [])
        self.assertTrue(self.wire.closed)


class SendingTests(WebCase):
    """``POST /api/v1/commands``."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(**rules)
        self.take()

    def test_routes(self) -> None:
        """Who may stop may send commands, as far as they stop; who may observe may see what became of one."""
        roles = {route.method: route.role for route in self.house.commands.routes()}
        self.assertEqual(roles, {"POST": "stop", "GET": "observe"})

    def test_at_once(self) -> None:
        """Without a wait the answer is 202 and where to look; the controller gets what was sent."""
        answer = self.told(self.post(MOVE, position=10))
        self.assertEqual((answer.status, answer.body["state"]), (202, "open"))
        self.assertEqual(answer.headers, {"location": f"/api/v1/commands/{answer.body['id']}"})
        [line] = self.house.link.read()
        move = decode_command(line)
        assert isinstance(move, AzimuthAxisMove)
        self.assertEqual((move.position, move.velocity), (10, 0))
        self.assertEqual(answer.body["parameters"]["position"], 10)

    def test_life(self) -> None:
        """Its life tells each step to who only looks, and what the Ack announced."""
        id = self.told(self.post(MOVE, position=10)).body["id"]
        [line] = self.house.link.read()
        self.house.link.ack(line, b"2500")
        life = self.life(id)
        self.assertEqual((life["state"], life["ack_timeout"]), ("acked", 2.5))
        self.house.link.answer(ReplyCode.DONE, line)
        life = self.life(id)
        self.assertEqual([step["step"] for step in life["steps"]], ["received", "sent", "ack", "done"])
        self.assertEqual((life["state"], life["commander"]), ("done", "web/night"))

    def test_unknown_id(self) -> None:
        """What has no life is 404."""
        self.assertEqual(self.life("1234-1"), {"error": "no command has this id, or it ended too long ago"})

    def test_strange_acks(self) -> None:
        """Whatever an Ack announces, nothing breaks: a time beyond all, less than nothing, no number.

        A number of more than 64 bits counts as 0, as it does for the bridge's own deadline.
        """
        for timeout, expected in (
            *((b"9" * 18, 2**53 / 1000), (b"9" * 400, 0)),
            *((b"-5", 0), (b"soon", None), (b"", 0)),
        ):
            id = self.told(self.post(MOVE, position=10)).body["id"]
            self.house.link.ack(self.house.link.read()[-1], timeout)
            self.assertEqual((self.life(id)["state"], self.life(id)["ack_timeout"]), ("acked", expected))
            self.state()

    def test_events_pass(self) -> None:
        """What the bridge tells to everyone is no answer."""
        self.house.link.say(STATE)
        self.assertEqual(self.state()["mount"]["description"], "Enabled")

    def test_wait_for_ack(self) -> None:
        """Who waits for the Ack gets it, with what it announced."""
        answering = self.post(MOVE, query="wait=ack", position=10)
        self.house.clock.advance(1)
        self.assertNoResult(answering)
        self.house.link.ack(self.house.link.read()[0], b"2500")
        answer = self.told(answering)
        self.assertEqual(
            (answer.status, answer.body["state"], answer.body["ack_timeout"]), (200, "acked", 2.5)
        )

    def test_wait_for_done(self) -> None:
        """Who waits for the end gets it: Done, or the mount's own NoAck, in its words."""
        for end, state, why in (
            (lambda line: self.house.link.finish(line), "done", ""),
            (lambda line: self.house.link.refuse(line, b"not\xff<b>powered"), "noack", "not\\xff<b>powered"),
        ):
            answering = self.post(MOVE, query="wait=done&timeout=5", position=10)
            end(self.house.link.read()[0])
            answer = self.told(answering)
            self.assertEqual(
                (answer.status, answer.body["state"], answer.body["explanation"]), (200, state, why)
            )

    def test_wait_is_over(self) -> None:
        """Who waited long enough gets the life as it stands, with 202."""
        answering = self.post(MOVE, query="wait=done&timeout=2.5", position=10)
        self.house.link.ack(self.house.link.read()[0])
        self.house.advance(2.4)
        self.assertNoResult(answering)
        self.house.advance(0.2)
        answer = self.told(answering)
        self.assertEqual((answer.status, answer.body["state"]), (202, "acked"))

    def test_client_goes_away(self) -> None:
        """A request whose client went away waits no more; the command goes on."""
        answering = self.post(MOVE, query="wait=done", position=10)
        answering.cancel()
        self.failureResultOf(answering, CancelledError)
        self.assertEqual(len(self.house.bridge.pending), 1)
        self.house.link.finish_all()
        self.house.advance(31)
        self.assertNotIn("web/night", self.house.bridge.clients)

    def test_service_ends(self) -> None:
        """When the service ends, who waits gets the life as it stands."""
        answering = self.post(MOVE, query="wait=done", position=10)
        self.house.close()
        self.assertEqual(self.told(answering).status, 202)

    def test_refused(self) -> None:
        """Without command a move is 409 with why, a stop is not refused."""
        other = user("other")
        answer = self.told(self.post(MOVE, other, position=10))
        self.assertEqual((answer.status, answer.body["error"]), (409, "refused: web/night has command"))
        self.assertEqual(answer.body["command"]["state"], "refused")
        self.assertIn("location", answer.headers)
        self.assertEqual(self.told(self.post("AzimuthAxisStop", other)).status, 202)

    def test_not_sent(self) -> None:
        """With the link down it is 503; what was in flight ends as unknown."""
        answering = self.post(MOVE, query="wait=done", position=10)
        self.house.bridge.link_down("lost")
        answer = self.told(answering)
        self.assertEqual((answer.status, answer.body["state"]), (200, "outcome_unknown"))
        answer = self.told(self.post(MOVE, query="wait=done", position=10))
        self.assertEqual((answer.status, answer.body["command"]["state"]), (503, "not_sent"))

    def test_ask(self) -> None:
        """AskForCommand is a command like any."""
        answer = self.told(self.post("AskForCommand", query="wait=done", commander="NONE"))
        self.assertEqual((answer.status, answer.body["state"]), (200, "done"))
        self.assertIsNone(self.holder)

    def test_faults(self) -> None:
        """What is wrong with the body, the query or the key is told by name, with 422; nothing is sent."""
        long = "k" * 256
        for expected, answering in (
            (["parameters.position"], self.post(MOVE, position="far")),
            (["query.wait", "query.timeout"], self.post(MOVE, query="wait=end&timeout=1h", position=1)),
            (["query.timeout"], self.post(MOVE, query="timeout=301", position=1)),
            (["query.timeout"], self.post(MOVE, query="timeout=nan", position=1)),
            (["query.timeuot"], self.post(MOVE, query="timeuot=3", position=1)),
            (["headers.idempotency-key"], self.post(MOVE, key="", position=1)),
            (["headers.idempotency-key"], self.post(MOVE, key=long, position=1)),
            (["headers.idempotency-key"], self.post(MOVE, key="caf\xe9", position=1)),
        ):
            answer = self.told(answering)
            self.assertEqual(answer.status, 422)
            self.assertEqual([fault["where"] for fault in answer.body["faults"]], expected)
        self.assertEqual(self.house.link.read(), [])

    def test_sequence_ids(self) -> None:
        """Ids count up, begin anew after the largest, and pass over those in flight."""
        self.patch(commanders, "MAX_SEQUENCE_ID", 3)
        ids = []
        for stays in (False, True, False, False, False):  # the second one stays in flight
            ids.append(self.told(self.post(MOVE, position=1)).body["sequence_id"])
            for line in self.house.link.read():
                if not stays:
                    self.house.link.finish(line)
        self.assertEqual(ids, [2, 3, 1, 2, 1])  # the ask for command had 1


class BusyTests(WebCase):
    """One user's commands are bounded as any commander's."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(in_flight=2)

    def test_busy(self) -> None:
        """One command too many in flight is 429."""
        self.take()
        answers = [self.told(self.post(MOVE, position=1)) for _ in range(3)]
        self.assertEqual([answer.status for answer in answers], [202, 202, 429])
        self.assertEqual(answers[2].body["error"], "busy: 2 commands of web/night are in flight")


class StopOnlyTests(WebCase):
    """A token that may only stop."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(**rules)
        self.take()
        self.guard = user("guard", "observe", "stop")

    def test_stop(self) -> None:
        """It may stop, whoever has command, and nothing else."""
        self.assertEqual(self.told(self.post("BothAxesStop", self.guard)).status, 202)
        for command in (MOVE, "AskForCommand"):
            parameters = {"position": 1} if command == MOVE else {}
            answer = self.told(self.post(command, self.guard, **parameters))
            self.assertEqual(answer.status, 403)
            self.assertIn(command, answer.body["error"])
        self.assertEqual(self.house.link.codes(), [CommandCode.BOTH_AXES_STOP])


class ObedientLink(RecordingLink):
    """A controller that does at once what it is told."""

    clock: Any = None

    def send(self, data: bytes) -> None:
        """Finish a command, in a turn of its own."""
        super().send(data)
        self.clock.callLater(0, self.finish_all)


class ExampleTests(TestCase):
    """What is shown to a newcomer runs as it stands, over real sockets."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.house = house = WebHouse(reactor)
        house.link = ObedientLink(house.bridge)
        house.link.clock = reactor
        house.bridge.link_up(house.link)
        areas = (house.commands, house.leases, house.state)
        routes = [route for area in areas for route in area.routes()]
        site = make_site(routes, Guard(HostPolicy(), None, user("anyone")), LOG, reactor, WebSettings())
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.addCleanup(port.stopListening)
        self.addCleanup(house.bridge.close)
        self.addCleanup(house.close)

    async def run_program(self, program: str, *arguments: str) -> list[str]:
        """What a program prints; it must not fail."""
        environment = {**os.environ, "no_proxy": "127.0.0.1"}
        out, err, status = await getProcessOutputAndValue(program, arguments, env=environment)
        self.assertEqual((err, status), (b"", 0))
        return out.decode().splitlines()

    def steps(self) -> list[str]:
        """How each command of the user ended."""
        return [str(step[1]) for step in self.house.journal.steps if step[2] == "web/anyone"]

    async def test_python(self) -> None:
        """The example takes command, powers the axis, moves it, and gives command up."""
        lines = await self.run_program(sys.executable, str(ROOT / "examples" / "web_command.py"), self.url)
        done = [f"{name}: done " for name in ("AzimuthAxisPower", MOVE)]
        self.assertEqual(lines, ["web/anyone has command", *done])
        self.assertEqual(self.steps(), ["local", *["received", "sent", "ack", "done"] * 2, "local"])

    async def test_python_is_told_why_not(self) -> None:
        """If the daemon says no, the example ends with what it said."""
        self.house.bridge.link_down("lost")
        script = str(ROOT / "examples" / "web_command.py")
        _, err, status = await getProcessOutputAndValue(
            sys.executable, [script, self.url], env={**os.environ, "no_proxy": "127.0.0.1"}
        )
        why = b"POST /api/v1/lease: not sent: the controller is not connected\n"
        self.assertEqual((err, status), (why, 1))

    async def test_curl(self) -> None:
        """So do the first lines for curl that the page shows; the others are for another mount."""
        shell = shutil.which("sh")
        if shell is None or shutil.which("curl") is None:
            raise SkipTest("there is no curl here")
        shown, *_ = [
            block.text for block in blocks(DOCS / "reference" / "web_commands.rst") if block.language == "sh"
        ]
        script = shown.replace("http://127.0.0.1:8080", self.url)
        await self.run_program(shell, "-c", script)
        self.assertEqual(self.steps(), ["local", *["received", "sent", "ack", "done"] * 2, "local"])
