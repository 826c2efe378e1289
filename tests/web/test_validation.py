"""``POST /api/v1/commands`` with ``"validate": true``: the expected answer, and nothing is sent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import AxisMotionState, PowerState, System
from mtmount_twisted.frontends.web.api.validation import UNSETTLED
from mtmount_twisted.frontends.web.http.calls import Answer, Call, User
from tests.support.web_houses import WebCase, WebHouse, user

CSC = tma2022.enums.Source.CSC


class ValidationCase(WebCase):
    """A user without command."""

    def validate(
        self, command: str, by: User | None = None, commander: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Validate a command, by default as the user that asks."""
        query = {} if commander is None else {"commander": commander}
        body: dict[str, Any] = {"command": command, "parameters": parameters, "validate": True}
        waiting = list(self.house.link.lines)
        answer: Answer = self.told(
            self.answering(self.house.commands.post, Call(by or self.night, query=query, body=body))
        )
        self.assertEqual(self.house.link.lines, waiting, "nothing is sent")
        return {"status": answer.status, **answer.body}


class OldMountTests(ValidationCase):
    """A mount of 2020, which tells too little."""

    def test_unknown(self) -> None:
        """The holder learns that the state of the mount is unknown; another user, that it lacks command."""
        got = self.validate("AzimuthAxisMove", position=10, velocity=1)
        self.assertEqual((got["status"], got["verdict"]), (200, "would_be_refused"))
        self.assertIn("refused: ", got["reasons"][0])
        self.take()
        got = self.validate("AzimuthAxisMove", position=10, velocity=1)
        self.assertEqual((got["verdict"], got["reasons"]), ("unknown", []))
        self.assertIn("tma2020 tells too little", got["unknown"][0])

    def test_wrong_body(self) -> None:
        """A fault in the command is the same as without ``validate``, which is itself true or false."""
        got = self.validate("AzimuthAxisMove", position="x", velocity=1)
        self.assertEqual((got["status"], got["faults"][0]["where"]), (422, "parameters.position"))
        body: dict[str, Any] = {"command": "StateInfo", "validate": "yes"}
        answering: Deferred[Answer] = self.answering(self.house.commands.post, Call(self.night, body=body))
        answer = self.told(answering)
        self.assertEqual((answer.status, answer.body["faults"][0]["where"]), (422, "validate"))

    def test_as_another(self) -> None:
        """A prompt asks for its own commander, which is another than the user of its token."""
        self.take()
        other = user("other")
        self.assertEqual(self.validate("AzimuthAxisHome", other)["verdict"], "would_be_refused")
        self.assertEqual(self.validate("AzimuthAxisHome", other, "web/night")["reasons"], [])
        got = self.validate("AzimuthAxisHome", other, "nobody")
        self.assertEqual((got["status"], got["faults"][0]["where"]), (422, "query.commander"))
        answering = self.post("AzimuthAxisHome", query="commander=web/night")
        got = self.told(answering).body
        self.assertEqual(got["faults"][0]["where"], "query.commander", "nobody sends as another")

    def test_false_sends(self) -> None:
        """With false the command is sent."""
        self.take()
        self.house.link.read()
        body: dict[str, Any] = {
            "command": "AzimuthAxisMove",
            "parameters": {"position": 10, "velocity": 1},
            "validate": False,
        }
        self.assertEqual(
            self.told(self.answering(self.house.commands.post, Call(self.night, body=body))).status, 202
        )
        self.assertEqual(len(self.house.link.read()), 1)

    def test_rights(self) -> None:
        """A user that may only stop learns nothing about a move."""
        got = self.validate("AzimuthAxisMove", user("stopper", "observe", "stop"), position=10, velocity=1)
        self.assertEqual(got["status"], 403)


class MountTests(ValidationCase):
    """A mount of today, whose events tell its state."""

    def setUp(self, **rules: Any) -> None:
        self.house = WebHouse(dialect=DIALECT)
        self.night = user()
        answering = self.lease({"take": True})
        self.finish()
        self.assertEqual(self.told(answering).status, 200)
        self.tell(replies.PowerStateReply(system=System.AZIMUTH, power_state=PowerState.ON))
        self.moves(AxisMotionState.STOPPED)
        self.house.advance(UNSETTLED)

    def finish(self) -> None:
        """The mount carries out all commands since the last look."""
        for line in self.house.link.read():
            header = DIALECT.read_command(line)
            if not header.kind.is_heartbeat:
                ids: Any = {"sequence_id": header.sequence_id, "commander": CSC}
                self.tell(replies.CmdAcknowledgedReply(timeout=1.0, **ids))
                self.tell(replies.CmdSucceededReply(**ids))

    def tell(self, event: replies.Reply) -> None:
        """The mount sends an event."""
        self.house.link.say(event.encode().removesuffix(DIALECT.terminator))

    def moves(self, state: AxisMotionState) -> None:
        """The mount tells the motion of azimuth."""
        self.tell(replies.AxisMotionStateReply(axis=System.AZIMUTH, state=state, position=0.0))

    def test_nothing_against(self) -> None:
        """Nothing is known against a move; without telemetry its distance is unknown."""
        got = self.validate("AzimuthMove", position=280)
        self.assertEqual(got["verdict"], "would_be_refused")
        self.assertEqual(got["limits"], ["azimuth: 280 deg is above the software limit of 270 deg"])
        got = self.validate("AzimuthMove", position=10)
        self.assertEqual((got["reasons"], got["unknown"]), ([], ["the position of azimuth"]))
        target = {"axis": "azimuth", "position": 10.0, "distance": None, "seconds": None}
        self.assertEqual(got["targets"], [target])
        self.assertEqual(self.validate("AzimuthStop")["verdict"], "nothing_known_against_it")

    def test_refused(self) -> None:
        """The mount's own reasons are named."""
        self.moves(AxisMotionState.TRACKING)
        got = self.validate("AzimuthMove", position=10)
        self.assertEqual(got["reasons"], ["azimuth is tracking: stop it first"])

    def test_stale(self) -> None:
        """After the link was lost the last values are no reason: they are unknown."""
        self.moves(AxisMotionState.TRACKING)
        self.house.bridge.link_down("lost")
        got = self.validate("AzimuthMove", position=10)
        self.assertIn("the motion of azimuth", got["unknown"])
        self.assertEqual(len(got["reasons"]), 1, "the bridge's own")

    def test_command_in_flight(self) -> None:
        """While a command is in flight, and shortly after it, no reason of the mount is certain."""
        self.moves(AxisMotionState.TRACKING)
        self.post("AzimuthStop")
        for _ in range(2):
            got = self.validate("AzimuthMove", position=10)
            self.assertEqual((got["verdict"], got["reasons"]), ("unknown", []))
            wrong = self.validate("AzimuthMove", position=300)
            self.assertEqual(len(wrong["reasons"]), 1, "the range does not change")
            self.assertIn(
                "a command in flight may change this: azimuth is tracking", " ".join(got["unknown"])
            )
            self.finish()
        self.house.advance(UNSETTLED)
        self.assertEqual(self.validate("AzimuthMove", position=10)["verdict"], "would_be_refused")
