"""`mtmount_twisted.frontends.web.api.leases`: command is taken, given up, requested and granted over HTTP."""

from __future__ import annotations

from typing import Any

from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.enums import ReplyCode, Source
from mtmount_twisted.frontends.web.api.leases import RENEW_TIME
from mtmount_twisted.frontends.web.http.calls import Call
from mtmount_twisted.records import ChangeRecord
from tests.support.commanders import ASK, LOG
from tests.support.web_houses import WebCase, user

REQUEST: dict[str, object] = {}
TAKE = {"take": True}


class TakingTests(WebCase):
    """Command is taken and given up."""

    def test_nobody(self) -> None:
        """At first nobody has command, since no known time; who only looks can see that."""
        call = Call(user("other", "observe"))
        answer = self.told(self.answering(self.house.leases.get, call))
        nobody = {
            "holder": None,
            "source": None,
            "number": 0,
            "since": None,
            "holder_gone": False,
            "requests": [],
        }
        self.assertEqual((answer.status, answer.body), (200, nobody))

    def test_take(self) -> None:
        """To take command is answered when the controller agreed, with who has it since when."""
        answering = self.lease({})
        self.house.advance(1)
        self.assertNoResult(answering)
        [ask] = self.house.link.finish_all()
        self.assertEqual(read_command_header(ask).code, ASK)
        answer = self.told(answering)
        lease = answer.body
        self.assertEqual(answer.status, 200)
        self.assertEqual((lease["holder"], lease["source"], lease["number"]), ("web/night", "CSC", 1))
        self.assertEqual(lease["since"], "2027-01-15T08:00:01.000Z")

    def test_link_is_lost(self) -> None:
        """Without the controller command is not given: 504 if it was lost meanwhile, then 503."""
        answering = self.lease()
        self.house.bridge.link_down("lost")
        self.assertEqual(self.told(answering).status, 504)
        self.assertEqual(self.told(self.lease()).status, 503)
        self.house.connect()
        self.take()

    def test_routes(self) -> None:
        """Who may observe may look; to change who has command needs the role for it."""
        roles = {route.method: route.role for route in self.house.leases.routes()}
        self.assertEqual(roles, {"GET": "observe", "POST": "command", "DELETE": "command"})

    def test_take_from_another(self) -> None:
        """Command is taken from anyone but the HHD, whatever the sources are."""
        self.house.holder("csc")
        self.assertEqual(self.told(self.lease(TAKE)).status, 200)
        self.assertEqual(self.told(self.lease(TAKE, by=user("eui", source=Source.EUI))).status, 200)
        self.assertEqual(self.holder, "web/eui")
        hhd = self.house.client("hhd", Source.HHD)
        hhd.ask()
        answer = self.told(self.lease(TAKE))
        self.assertEqual(answer.status, 409)
        self.assertEqual(
            answer.body["error"], "refused: hhd has command, and command cannot be taken from the HHD"
        )
        self.assertEqual(answer.body["lease"]["holder"], "hhd")

    def test_controller_refuses(self) -> None:
        """What the controller says when it refuses is passed on."""
        answering = self.lease()
        self.house.link.refuse(self.house.link.read()[0], b"EUI is in charge")
        answer = self.told(answering)
        self.assertEqual((answer.status, answer.body["error"]), (409, "refused: EUI is in charge"))

    def test_controller_is_silent(self) -> None:
        """A controller that says nothing is 504 after the bridge's own time."""
        answering = self.lease()
        self.house.advance(5.5)
        answer = self.told(answering)
        self.assertEqual(answer.status, 504)
        self.assertIn("timed out", answer.body["error"])

    def test_controller_takes_long(self) -> None:
        """An answer waits for a minute at most, even if the controller's Ack announces more."""
        answering = self.lease()
        self.house.link.ack(self.house.link.read()[0], b"1000000")
        self.house.advance(60.1)
        answer = self.told(answering)
        self.assertEqual((answer.status, answer.body["holder"]), (202, None))

    def test_give_up(self) -> None:
        """To give up command is done at once; it is refused to who does not have it."""
        self.take()
        answer = self.told(self.give_up(user("other")))
        self.assertEqual((answer.status, answer.body["error"]), (409, "refused: web/night has command"))
        answer = self.told(self.give_up())
        self.assertEqual((answer.status, answer.body["holder"]), (200, None))

    def test_faults(self) -> None:
        """What is no right body is 422, and changes nothing."""
        for body in (1, [], {"take": 1}, {"request": True}, {"take": False}, {"grant": ""}, {"grant": 5}):
            self.assertEqual(self.told(self.lease(body)).status, 422, body)
        for body in ({"grant": "x" * 101}, {"grant": "a", "take": True}):
            self.assertEqual(self.told(self.lease(body)).status, 422, body)
        self.assertEqual(self.house.link.read(), [])


class RequestTests(WebCase):
    """Command is requested and granted."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(**rules)
        self.take()
        self.day = user("day")

    def requests(self) -> list[str]:
        """Who would like to have command."""
        return [request.by for request in self.house.leases.shape().requests]

    def test_request(self) -> None:
        """A request reaches who listens, the log and the journal, is shown, and changes nothing else."""
        with self.assertLogs(LOG, "INFO") as logged:
            answer = self.told(self.lease(REQUEST, self.day))
        self.assertIn("web/day requests command, which web/night has", logged.output[-1])
        self.assertEqual(answer.status, 202)
        request = {"by": "web/day", "time": "2027-01-15T08:00:00.000Z"}
        self.assertEqual(self.house.published, [("request", request)])
        self.assertEqual(answer.body["requests"], [request])
        event = ("lease_requested", "web/day", 1, "web/night has command")
        self.assertEqual(self.house.journal.events[-1], event)
        self.assertEqual(self.holder, "web/night")

    def test_requests_without_end(self) -> None:
        """They are one event and one row, which counts as one of a client without command."""
        rows: list[ChangeRecord] = []
        self.house.bus.subscribe(lambda record, number: rows.append(record), ChangeRecord)
        for _ in range(100):
            self.assertEqual(self.told(self.lease(REQUEST, self.day)).status, 202)
        self.assertEqual(len(self.house.published), 1)
        requests = [row.privileged for row in rows if row.kind == "lease_requested"]
        self.assertEqual(requests, [False])
        self.house.advance(RENEW_TIME)
        self.lease(REQUEST, self.day)
        self.assertEqual(len(self.house.published), 2)

    def test_expires(self) -> None:
        """A request stands for 60 s; to request again is to renew it."""
        self.lease(REQUEST, self.day)
        release = self.house.commanders.hold(self.night)
        self.house.advance(50)
        self.lease(REQUEST, self.day)
        self.house.advance(59)
        self.assertEqual(self.requests(), ["web/day"])
        self.house.advance(1.1)
        self.assertEqual(self.requests(), [])
        release()

    def test_tab_that_is_hidden(self) -> None:
        """A holder who has only an open stream keeps command for ten minutes, and loses it after that."""
        release = self.house.commanders.hold(self.night)
        self.house.advance(600)
        self.assertEqual(self.holder, "web/night")
        self.assertFalse(self.house.leases.shape().holder_gone)
        release()
        self.house.advance(36)
        self.assertIsNone(self.holder)

    def test_grant(self) -> None:
        """The holder gives command to one commander among several of the same source; no request is left."""
        self.lease(REQUEST, self.day)
        self.lease(REQUEST, user("eve"))
        self.assertEqual(self.requests(), ["web/day", "web/eve"])
        answer = self.told(self.lease({"grant": "web/eve"}))
        self.assertEqual((answer.status, answer.body["holder"], answer.body["number"]), (200, "web/eve", 2))
        self.assertEqual(self.requests(), [])

    def test_request_ends_with_the_lease(self) -> None:
        """When command is given up or taken, requests to its former holder are over."""
        self.lease(REQUEST, self.day)
        self.give_up()
        self.assertEqual(self.requests(), [])

    def test_nobody_to_ask(self) -> None:
        """Who has command keeps it, and what nobody has is taken."""
        answering = self.lease(REQUEST)
        self.house.link.finish_all()
        self.assertEqual(self.told(answering).body["number"], 1)
        self.give_up()
        self.take(self.day)
        self.assertEqual(self.holder, "web/day")
        self.assertEqual(self.house.published, [])

    def test_grant_to_who_may_not_command(self) -> None:
        """Command is not given to a user whose token is for stops alone: nobody could move the mount."""
        self.take()
        self.house.commanders.enter(user("guard", "stop"))
        answer = self.told(self.lease({"grant": "web/guard"}))
        self.assertEqual(answer.status, 409)
        self.assertIn("web/guard may only stop things", answer.body["error"])
        self.assertEqual(answer.body["lease"]["holder"], "web/night")

    def test_grant_is_refused(self) -> None:
        """Nobody gives what another has, nor to one who is not there."""
        answer = self.told(self.lease({"grant": "web/day"}, self.day))
        self.assertEqual(answer.status, 409)
        self.assertIn("does not have command", answer.body["error"])
        answer = self.told(self.lease({"grant": "web/eve"}))
        self.assertEqual((answer.status, answer.body["error"]), (409, "no commander 'web/eve' is connected"))
        self.assertEqual(answer.body["lease"]["holder"], "web/night")

    def test_loses_it_to_a_pair(self) -> None:
        """A commander of a pair takes command from the web as from anyone; the user's next move says so."""
        csc = self.house.client("csc")
        csc.ask()
        self.assertEqual([answer.code for answer in csc.answers()], [ReplyCode.ACK, ReplyCode.DONE])
        answer = self.told(self.post("AzimuthAxisMove", position=1))
        self.assertEqual((answer.status, answer.body["error"]), (409, "refused: csc has command"))
