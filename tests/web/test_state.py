"""`mtmount_twisted.frontends.web.api.state`: all that is known now, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

from msgspec.structs import replace

import mtmount_twisted
from mtmount_twisted.bridge.last_values import KnownEntry
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import ReplyCode, Source
from mtmount_twisted.frontends.web.api.state import MOST_LISTED, Said, StateRoutes
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.replies import ErrorReply, InPositionReply, OnStateInfoReply, Reply, WarningReply
from mtmount_twisted.upstream.leadership.register import Commander
from tests.support.commanders import STATE
from tests.support.web_houses import WebCase, user

SUBSYSTEM = "900. MyTopVI/MyNextVI"


def line(reply: Reply) -> bytes:
    """The line of a reply."""
    return reply.encode().removesuffix(b"\r\n")


class StateTests(WebCase):
    """``GET /api/v1/state``."""

    def test_quiet(self) -> None:
        """With nobody there and nothing said, everything is there and says so."""
        shape = self.state(user("other", "observe", source=Source.EUI))
        self.assertEqual(shape["time"], "2027-01-15T08:00:00.000Z")
        self.assertEqual(shape["lease"]["holder"], None)
        self.assertEqual(shape["mount"], {"description": None, "time": None, "stale": False})
        empty = ("axes", "devices", "warnings", "errors", "in_flight", "commanders", "counts")
        self.assertEqual([shape[name] for name in empty], [{}, {}, [], [], [], [], {}])
        self.assertEqual((shape["dialect"], shape["telemetry"]), ("tma2020", None))
        self.assertEqual(shape["journal"], {"path": None, "lag": 0.0, "lost": 0, "fault": ""})
        self.assertEqual(
            shape["you"],
            {
                "name": "other",
                "commander": "web/other",
                "roles": ["observe"],
                "source": "EUI",
                "has_command": False,
            },
        )

    def test_route(self) -> None:
        """Who may observe may see it."""
        routes = [(route.method, route.path, route.role) for route in self.house.state.routes()]
        self.assertIn(("GET", "/api/v1/state", "observe"), routes)

    def test_standby(self) -> None:
        """The lease at a standby is that of the active bridge; the register of the broker is not trusted."""
        house = self.house
        for state, commander, expected in (
            ("standby", Commander("csc", "CSC", 7), ("csc", "CSC", 7)),
            ("standby", Commander("csc", "nonsense", 7), ("csc", None, 7)),
            ("standby", None, (None, None, 0)),
            ("active", Commander("csc", "CSC", 7), (None, None, 0)),
        ):
            place = SimpleNamespace(node="b", state=state, holder="a", epoch=0, commander=commander)
            parts = house.bridge, house.bus, house.ways, JournalOff(), house.leases
            routes = StateRoutes(*parts, house.clock, house.stamps, None, place)  # type: ignore[arg-type]
            self.addCleanup(routes.close)
            lease = routes.shape(user()).lease
            self.assertEqual((lease.holder, lease.source, lease.number), expected)

    def test_link(self) -> None:
        """The link's two sockets, its epoch, and since when it is up, or down."""
        self.house.advance(5)
        self.assertEqual(
            self.state()["controller"],
            {
                "connected": True,
                "epoch": 1,
                "since": "2027-01-15T08:00:00.000Z",
                "command_connection": True,
                "reply_connection": True,
                "address": "127.0.0.1:40005",
            },
        )
        self.house.bridge.link_down("lost")
        self.house.ways.client_connected = False
        self.house.ways.client_host = "::1"
        shape = self.state()["controller"]
        self.assertEqual((shape["connected"], shape["since"]), (False, "2027-01-15T08:00:05.000Z"))
        self.assertEqual((shape["command_connection"], shape["address"]), (False, "[::1]:40005"))

    def test_version(self) -> None:
        """The version of the package that runs."""
        self.assertEqual(self.state()["version"], mtmount_twisted.__version__)

    def test_who(self) -> None:
        """Who is there, who has command, and that it is oneself."""
        self.house.client("csc").address = "127.0.0.1:30005"
        self.house.client("watch/1", may_command=False).behind = 12  # type: ignore[attr-defined]
        self.take()
        shape = self.state()
        self.assertTrue(shape["you"]["has_command"])
        self.assertEqual(shape["lease"]["holder"], "web/night")
        self.assertEqual(
            [
                (one["name"], one["may_command"], one["behind_bytes"], one["address"])
                for one in shape["commanders"]
            ],
            [
                ("csc", True, 0, "127.0.0.1:30005"),
                ("watch/1", False, 12, ""),
                ("web/night", True, 0, ""),
            ],
        )
        self.assertFalse(self.state(user("other"))["you"]["has_command"])

    def test_many(self) -> None:
        """Of many clients a bounded number is listed, those that may command before observers; all count."""
        for number in range(MOST_LISTED + 20):
            self.house.client(f"hall/{number}", may_command=False)
        self.house.client("csc")
        shape = self.state()
        self.assertEqual(shape["commanders"][0]["name"], "csc")
        self.assertEqual((len(shape["commanders"]), shape["clients"]), (MOST_LISTED, MOST_LISTED + 21))

    def test_in_flight(self) -> None:
        """What is in flight, since when, until when, and how far it is."""
        self.take()
        self.house.advance(10)
        self.post("AzimuthAxisMove", position=1)
        [move] = self.house.link.read()
        [flight] = self.state()["in_flight"]
        self.assertEqual(
            flight,
            {
                "commander": "web/night",
                "command": "AzimuthAxisMove",
                "code": 103,
                "sequence_id": 2,
                "since": "2027-01-15T08:00:10.000Z",
                "sent": True,
                "acked": False,
                "deadline": "2027-01-15T08:00:15.000Z",
            },
        )
        self.house.link.ack(move, b"60000")
        [flight] = self.state()["in_flight"]
        self.assertEqual((flight["acked"], flight["deadline"]), (True, "2027-01-15T08:01:12.000Z"))
        self.house.link.answer(ReplyCode.DONE, move)
        shape = self.state()
        self.assertEqual((shape["in_flight"], shape["counts"]["done"]), ([], 2))

    def test_journal(self) -> None:
        """Where the journal is, and whether it keeps up."""
        journal = SimpleNamespace(path=Path("/j.sqlite"), lag=0.5, lost=3, fault="disk full")
        with patch.object(self.house.state, "_journal", journal):
            shape = self.state()["journal"]
        self.assertEqual(shape, {"path": "/j.sqlite", "lag": 0.5, "lost": 3, "fault": "disk full"})


class SaidTests(WebCase):
    """What the mount said last."""

    def say(self, *replies: Reply) -> None:
        """The mount says something."""
        self.house.link.say(*[line(reply) for reply in replies])

    def test_axes(self) -> None:
        """Each axis by name, whether it is in position, and when the mount said so; the last word counts."""
        self.say(InPositionReply(what=0, in_position=True), InPositionReply(what=1, in_position=True))
        self.house.advance(3)
        self.say(InPositionReply(what=0, in_position=False), InPositionReply(what=7, in_position=True))
        axes = self.state()["axes"]
        self.assertEqual(
            axes["azimuth"],
            {"in_position": False, "time": "2027-01-15T08:00:03.000Z", "stale": False, "telemetry": None},
        )
        self.assertEqual(axes["elevation"]["in_position"], True)
        self.assertEqual(set(axes), {"azimuth", "elevation", "axis 7"})

    def test_mount(self) -> None:
        """The mount's state as it said it, whatever characters are in it."""
        self.say(OnStateInfoReply(description="<img onerror=alert(1)>\x00\u2028".replace("\x00", "")))
        self.assertEqual(self.state()["mount"]["description"], "<img onerror=alert(1)>\u2028")

    def test_alarms(self) -> None:
        """Active warnings, and errors that are active or latched; what is over is not there."""
        self.say(
            WarningReply(active=True, code=905, subsystem=SUBSYSTEM, extra_data=("too", "warm")),
            WarningReply(active=True, code=906, subsystem="somewhere"),
            WarningReply(active=False, code=906, subsystem="somewhere"),
            ErrorReply(on=True, active=False, code=101, subsystem="100. Drive"),
        )
        shape = self.state()
        time = "2027-01-15T08:00:00.000Z"
        self.assertEqual(
            shape["warnings"],
            [
                {
                    "code": 905,
                    "subsystem": "MIRROR_COVERS",
                    "what": SUBSYSTEM,
                    "description": "too; warm",
                    "remedy": "",
                    "active": True,
                    "time": time,
                    "stale": False,
                }
            ],
        )
        [error] = shape["errors"]
        self.assertEqual((error["active"], error["latched"], error["description"]), (False, True, ""))
        self.assertEqual(error["subsystem"], "AZIMUTH_AXIS")

    def test_stale(self) -> None:
        """What a lost link said is shown as stale, with its own time."""
        self.house.link.say(STATE)
        self.house.advance(1)
        self.house.bridge.link_down("lost")
        self.assertEqual(
            self.state()["mount"],
            {"description": "Enabled", "time": "2027-01-15T08:00:00.000Z", "stale": True},
        )

    def test_undecodable(self) -> None:
        """What is known and can't be decoded is left out, and costs nothing else."""
        self.house.link.say(b"5\nno time\nEnabled", line(InPositionReply(what=0, in_position=True)))
        shape = self.state()
        self.assertEqual((shape["mount"]["description"], list(shape["axes"])), (None, ["azimuth"]))

    def test_decoded_once(self) -> None:
        """However often the state is asked for, each line is decoded once; what is gone is not kept."""
        decode = Mock(side_effect=DIALECT.facts_of)
        said = Said(replace(DIALECT, facts_of=decode), self.house.stamps, lambda: 1.0)
        entries = [
            KnownEntry(line(WarningReply(active=True, code=number, subsystem=SUBSYSTEM)), 4, 1.0, False)
            for number in range(1000)
        ]
        for _ in range(5):
            shape = said.shape(entries)
        self.assertEqual(decode.call_count, 1000)
        said.shape([])
        said.shape(entries[:3])
        self.assertEqual(decode.call_count, 1003)
        self.assertEqual(len(shape.warnings), 1000)

    def test_endless_deadline(self) -> None:
        """A deadline beyond the calendar is shown as its last day."""
        self.take()
        self.post("AzimuthAxisMove", position=1)
        self.house.link.ack(self.house.link.read()[0], b"9223372036854775807")
        [flight] = self.state()["in_flight"]
        self.assertEqual(flight["deadline"], "9999-12-31T23:59:59.000Z")

    def test_json(self) -> None:
        """All of it is JSON."""
        self.say(WarningReply(active=True, code=905, subsystem=SUBSYSTEM))
        self.assertIn('"code": 905', json.dumps(self.state(), allow_nan=False))
