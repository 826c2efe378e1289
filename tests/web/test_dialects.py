"""The page and the API in each dialect: the same routes, in the words of the controller's protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mtmount_twisted.config.settings import ClientLimits, WebSettings
from mtmount_twisted.dialects.dialect import Dialect, DialectName, ReplyEnvelope, dialect_named
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.frontends.web.api import openapi
from mtmount_twisted.frontends.web.api.catalogue import catalogue
from mtmount_twisted.frontends.web.api.command_body import judge, parameters_of
from mtmount_twisted.frontends.web.events.shapes import row_of, shape
from mtmount_twisted.frontends.web.http.calls import RequestError
from mtmount_twisted.frontends.web.service import Areas, Parts
from mtmount_twisted.interfaces import ITelemetry, ITelemetryValue
from mtmount_twisted.journal.reading import Entry
from mtmount_twisted.journal.recorder import JournalOff
from tests.support.commanders import LOG
from tests.support.web import as_read
from tests.support.web_houses import WebCase, WebHouse, user

DATA = Path(__file__).resolve().parent.parent / "data"
VECTORS = {"tma2020": DATA / "messages.jsonl", "tma2022": DATA / "tma2022" / "messages.jsonl"}


def vectors(dialect: Dialect) -> Iterator[tuple[bytes, bool]]:
    """Each line that the original wrote, and whether it is a command."""
    for text in VECTORS[dialect.name].read_text(encoding="utf-8").splitlines():
        vector = json.loads(text)
        wire: str = vector["wire"]
        yield wire.encode().removesuffix(dialect.terminator), "command_code" in vector["fields"]


class Words:
    """The messages of a dialect as the API has them."""

    name: DialectName
    assertEqual: Any
    assertGreater: Any
    assertNotIn: Any

    def setUp(self) -> None:
        self.dialect = dialect_named(self.name)
        self.catalogue = as_read(catalogue(self.dialect))

    def message(self, line: bytes, is_command: bool) -> dict[str, Any]:
        """A line in the shape of an event."""
        direction = "to" if is_command else "from"
        row = (1, 1, "message", 0.0, "controller", 1, direction, 0, 0, 0, 0, "", line, self.dialect)
        told: dict[str, Any] = as_read(shape(row_of(Entry(*row))))
        return told

    def test_every_reply_fits_its_schema(self) -> None:
        """The fields of each reply of the original are those that the catalogue promises."""
        seen = 0
        for line, is_command in vectors(self.dialect):
            reply = type(self.dialect.decode_to_show(line, is_command)).__name__
            if is_command or reply not in self.catalogue["replies"]:
                continue
            seen += 1
            described = self.catalogue["replies"][reply]
            told = self.message(line, is_command)
            schema = Draft202012Validator(described["fields"])
            errors = [error.message for error in schema.iter_errors(told["fields"])]
            self.assertEqual((errors, told["kind"]), ([], described["code_name"]), line)
        self.assertGreater(seen, 20)

    def test_every_command_can_be_sent(self) -> None:
        """The schema and the reader of bodies agree about each command of the original."""
        schema = Draft202012Validator(self.catalogue["request"])
        seen = 0
        for line, is_command in vectors(self.dialect):
            if not is_command:
                continue
            command = self.dialect.decode_command(line)
            name = type(command).__name__
            body: Any = {"command": name, "parameters": as_read(parameters_of(command, self.dialect))}
            if None in body["parameters"].values() or name not in self.catalogue["commands"]:
                continue  # JSON has no NaN
            seen += 1
            self.assertEqual([error.message for error in schema.iter_errors(body)], [], line)
            again = judge(body, self.dialect, Source.EUI, 7)
            self.assertEqual(parameters_of(again, self.dialect), parameters_of(command, self.dialect))
            self.assertEqual((again.sequence_id, int(again.source)), (7, Source.EUI))
        self.assertGreater(seen, 100)

    def test_heartbeat_is_not_offered(self) -> None:
        """A user can't send the heartbeat, which the bridge sends."""
        for code, command in self.dialect.commands.items():
            if self.dialect.kind_of(int(code)).is_heartbeat:
                self.assertNotIn(command.__name__, self.catalogue["commands"])

    def test_unknown_reply(self) -> None:
        """A line that is no message of the protocol has its text, and no fields."""
        told = self.message(b"rubbish", False)
        self.assertEqual((told["kind"], told["fields"], told["text"]), ("unreadable", None, "rubbish"))


class Words2020(Words, SynchronousTestCase):
    """The protocol tma2020."""

    name = "tma2020"


class Words2022(Words, SynchronousTestCase):
    """The protocol tma2022."""

    name = "tma2022"

    def test_wrong_text(self) -> None:
        """A text that the mount would strip is a fault, and says what is expected."""
        body: Any = {"command": "SafetyReset", "parameters": {"what": " x"}}
        problem = self.assertRaises(RequestError, judge, body, self.dialect, Source.CSC, 1)
        [fault] = problem.faults
        self.assertEqual(fault.where, "parameters.what")
        self.assertIn("no white space at its ends", fault.why)
        self.assertFalse(Draft202012Validator(self.catalogue["request"]).is_valid(body))

    def test_event_of_unknown_id(self) -> None:
        """An event that has no class shows its parameters by their names on the wire."""
        told = self.message(b'{"id":999,"timestamp":1.5,"parameters":{"newThing":[1,2]}}', False)
        self.assertEqual(told["kind"], "code 999")
        self.assertEqual(told["fields"], {"timestamp": 1.5, "newThing": [1, 2]})

    def test_password_is_masked(self) -> None:
        """The password in the mount's settings is never in an event."""
        line = b'{"id":999,"timestamp":1.5,"parameters":{"Password":"hunter2"}}'
        self.assertEqual(self.message(line, False)["fields"]["Password"], "*******")


MASKS = (
    *(b"causes", b"subcausesEmergencyStop", b"subcausesLimitSwitch", b"subcausesDeployablePlatform"),
    *(b"subcausesDoorHatchLadder", b"subcausesMirrorCover", b"subcausesLockingPin"),
    *(b"subcausesCapacitorDoor", b"subcausesBrakesFailed", b"effects"),
)


@implementer(ITelemetryValue)
class Latest:
    """The latest line of a topic."""

    def __init__(self, line: bytes, age: float = 0.0) -> None:
        self.topic_id = dialect_named("tma2022").telemetry.read_header(line).topic_id  # type: ignore[union-attr]
        self.line = line
        self.timestamp = 1.0
        self.came_at = -age
        self.age = age

    def decoded(self) -> Any:
        """Decode the line."""
        return dialect_named("tma2022").telemetry.decode(self.line)  # type: ignore[union-attr]


@implementer(ITelemetry)
class Telemetry:
    """Telemetry of which a test says what came last."""

    connected = True
    silent = False
    age = None
    clock_offset = 0.25
    lines = malformed = 0

    def __init__(self) -> None:
        self.values: dict[int, Latest] = {}

    def say(self, line: bytes, age: float = 0.0) -> None:
        """A line comes, or came some time ago."""
        value = Latest(line, age)
        self.values[value.topic_id] = value

    def latest(self, topic_id: int) -> Latest | None:
        """The latest line of a topic."""
        return self.values.get(topic_id)

    def since(self, number: int) -> list[bytes]:
        """Nothing: the state does not ask."""
        return []

    def subscribe(self, subscriber: Callable[[bytes], None]) -> None:
        """Call nobody: the state does not subscribe."""

    def subscribe_values(self, subscriber: Callable[[Sequence[ITelemetryValue]], None]) -> None:
        """Call nobody: the state does not subscribe."""


class TelemetryTests(WebCase):
    """The positions in the state."""

    def setUp(self, **rules: Any) -> None:
        self.telemetry = Telemetry()
        self.house = WebHouse(dialect=dialect_named("tma2022"), telemetry=self.telemetry, **rules)
        self.night = user()

    def test_contracts(self) -> None:
        """The test's telemetry is what the bridge's is."""
        self.assertTrue(verifyObject(ITelemetry, self.telemetry))
        self.assertTrue(verifyObject(ITelemetryValue, Latest(b'{"topicID":6,"timestamp":1.0}')))

    def test_position(self) -> None:
        """Each axis has the latest position, also without an event about it; a missing number is null."""
        self.house.advance(10)
        self.telemetry.say(
            b'{"topicID":6,"timestamp":1.0,"actualPosition":12.5,"actualPositionTimestamp":1.0,'
            b'"demandPosition":12.75,"actualVelocity":0.5}',
            0.25,
        )
        self.telemetry.say(b'{"topicID":8,"timestamp":1.0,"actualPosition":NaN}')
        self.house.link.say(b'{"id":200,"timestamp":1.5,"parameters":{"axis":0,"inPosition":false}}')
        axes = self.state()["axes"]
        self.assertEqual(
            axes["azimuth"],
            {
                "in_position": False,
                "stale": False,
                "time": "2027-01-15T08:00:10.000Z",
                "telemetry": {
                    "position": 12.5,
                    "demand_position": 12.75,
                    "velocity": 0.5,
                    "demand_velocity": None,
                    "stale": False,
                    "age": 0.25,
                    "time": "2027-01-15T08:00:09.750Z",
                },
            },
        )
        self.assertIsNone(axes["camera_cable_wrap"]["telemetry"]["position"])
        self.assertIsNone(axes["elevation"]["telemetry"])

    def test_stale(self) -> None:
        """A position is stale after a second without another, and once the connection is lost."""
        for age, connected, stale in ((0.9, True, False), (1.1, True, True), (0.1, False, True)):
            self.telemetry.connected = connected
            self.telemetry.say(b'{"topicID":15,"timestamp":1.0,"actualPosition":1}', age)
            self.assertEqual(self.state()["axes"]["elevation"]["telemetry"]["stale"], stale, (age, connected))

    def test_malformed(self) -> None:
        """A topic that can't be decoded is left out."""
        self.telemetry.say(b'{"topicID":15,"timestamp":1.0,"actualPosition":"high"}')
        self.assertIsNone(self.state()["axes"]["elevation"]["telemetry"])

    def test_connection(self) -> None:
        """The state has the connection, and by how much the mount's clock is ahead."""
        self.assertEqual(
            self.state()["telemetry"], {"connected": True, "silent": False, "clock_offset": 0.25}
        )


class House2020Tests(WebCase):
    """The routes before a tma2020 mount."""

    def test_name_of_2022(self) -> None:
        """A command that only tma2022 has is a fault, which names the commands that do the same."""
        for name, words in (
            ("BothAxesPower", "AzimuthAxisPower and ElevationAxisPower do the same"),
            ("AzimuthMove", "AzimuthAxisMove does the same"),
        ):
            problem = self.told(self.post(name, on=True))
            self.assertEqual(problem.status, 422)
            self.assertIn(f'there is no command "{name}" in tma2020; {words}', str(problem.body["faults"]))


class House2022Tests(WebCase):
    """The routes before a tma2022 mount."""

    def setUp(self, **rules: Any) -> None:
        self.dialect = dialect_named("tma2022")
        self.house = WebHouse(dialect=self.dialect, **rules)
        self.night = user()

    def answer(self, *answers: ReplyEnvelope) -> None:
        """The mount answers the last command that it received, but for heartbeats."""
        headers = [self.dialect.read_command(line) for line in self.house.link.read()]
        header = [header for header in headers if not header.kind.is_heartbeat][-1]
        self.house.link.say(*[answer.rewritten(header.sequence_id, header.source) for answer in answers])

    def take_command(self) -> None:
        """A user takes command."""
        answering = self.lease({"take": True})
        self.answer(self.dialect.acknowledged(1), self.dialect.succeeded())
        self.assertEqual(self.told(answering).status, 200)

    def test_life_of_command(self) -> None:
        """A user takes command and moves the mount; the command's life has the Ack's time and the end."""
        self.take_command()
        answering = self.post("AzimuthMove", query="wait=done", position=10)
        self.answer(self.dialect.acknowledged(2.5), self.dialect.succeeded())
        body = self.told(answering).body
        self.assertEqual((body["state"], body["ack_timeout"]), ("done", 2.5))
        self.assertEqual(body["parameters"]["position"], 10)
        self.assertEqual(self.holder, "web/night")

    def sent(self) -> list[str]:
        """The names of the commands that the mount has received since the last look, without heartbeats."""
        kinds = [self.dialect.read_command(line).kind for line in self.house.link.read()]
        return [kind.name for kind in kinds if not kind.is_heartbeat]

    def test_name_of_2020(self) -> None:
        """A command of tma2020 is translated; the answer names the command that the mount received."""
        self.take_command()
        answering = self.post("AzimuthAxisMove", query="wait=done", key="k", position=10)
        self.answer(self.dialect.acknowledged(2.5), self.dialect.succeeded())
        life = self.told(answering).body
        self.assertEqual((life["command"], life["state"], life["ack_timeout"]), ("AzimuthMove", "done", 2.5))
        self.assertEqual(life["parameters"]["position"], 10)
        again = self.told(self.post("AzimuthAxisMove", key="k", position=10)).body
        self.assertEqual((again["id"], self.sent()), (life["id"], []))

    def test_end_of_tracking_of_2020(self) -> None:
        """It becomes a stop at the mount, and is no stop for the bridge, as the class of tma2020 is none."""
        problem = self.told(
            self.post("AzimuthAxisEnableTracking", user("stopper", "observe", "stop"), on=False)
        )
        self.assertEqual(problem.status, 403)
        problem = self.told(self.post("AzimuthAxisEnableTracking", query="wait=ack", on=False))
        self.assertEqual((problem.status, problem.body["error"]), (409, "refused: nobody has command"))
        self.take_command()
        stops = self.house.bridge.stops
        answering = self.post("AzimuthAxisEnableTracking", query="wait=done", on=False)
        self.answer(self.dialect.acknowledged(1), self.dialect.succeeded())
        self.assertEqual(self.told(answering).body["command"], "AzimuthStop")
        self.assertEqual(self.house.bridge.stops, stops)

    def test_stop_of_2020(self) -> None:
        """A stop of tma2020 is one: a token for stops may send it, and nobody needs to have command."""
        self.house.link.read()
        answering = self.post("AzimuthAxisStop", user("stopper", "observe", "stop"))
        self.assertEqual(self.told(answering).status, 202)
        self.assertEqual(self.sent()[-1], "AzimuthStop")

    def test_no_single_command(self) -> None:
        """A command that has no counterpart, or that becomes two, is refused with the commands to send."""
        self.take_command()
        for name, parameters, words in (
            ("TopEndChillerTrackAmbient", {"on": False, "temperature": 5}, ["TopEndChillerThermalSetpoint"]),
            (
                "OilSupplySystemPowerOil",
                {"on": True},
                [
                    "refused: OilSupplySystemPowerOil becomes 2 commands",
                    'OilSupplySystemSetMode {"auto": false}, then '
                    'OilSupplySystemPowerCirculationPump {"on": true}',
                ],
            ),
        ):
            problem = self.told(self.post(name, **parameters))
            self.assertEqual(problem.status, 409, name)
            for word in words:
                self.assertIn(word, problem.body["error"])
        self.assertEqual(self.sent(), [])

    def test_faults_of_2020(self) -> None:
        """The faults of a command of tma2020 are those of its own class."""
        problem = self.told(self.post("AzimuthAxisMove", posision=10))
        self.assertEqual(problem.status, 422)
        places = {fault["where"]: fault["why"] for fault in problem.body["faults"]}
        self.assertIn("did you mean position?", places["parameters.posision"])
        self.assertIn("missing", places["parameters.position"])

    def test_name_in_both(self) -> None:
        """A name that both protocols have is that of the controller's command."""
        problem = self.told(self.post("SafetyReset"))
        self.assertEqual([fault["where"] for fault in problem.body["faults"]], ["parameters.what"])

    def test_pending(self) -> None:
        """A pending command has the name of its class, and a refusal its explanation."""
        self.take_command()
        answering = self.post("AzimuthMove", query="wait=done", position=10)
        [pending] = [each for each in self.state()["in_flight"] if each["commander"] != "bridge"]
        self.assertEqual((pending["command"], pending["code"]), ("AzimuthMove", 103))
        self.answer(self.dialect.refused("no power"))
        self.assertEqual(self.told(answering).body["explanation"], "no power")
        [refusal] = as_read(self.house.acks.shape())["refusals"]
        self.assertEqual((refusal["command"], refusal["explanation"]), ("AzimuthMove", "no power"))

    def test_state(self) -> None:
        """The state has the axes, the mount's own words and the alarms."""
        self.house.link.say(
            b'{"id":50,"timestamp":1.5,"parameters":{"state":"Enable"}}',
            b'{"id":200,"timestamp":1.5,"parameters":{"axis":1,"inPosition":true}}',
            b'{"id":11,"timestamp":1.5,"parameters":{"name":"hot","subsystemId":900,"subsystemInstance":"X",'
            b'"active":false,"code":905,"description":"too hot","latched":true}}',
        )
        state = self.state()
        self.assertEqual(state["mount"]["description"], "Enable")
        self.assertEqual(state["axes"]["elevation"]["in_position"], True)
        [error] = state["errors"]
        wanted = {"code": 905, "subsystem": "MIRROR_COVERS", "description": "too hot", "latched": True}
        self.assertEqual({name: error[name] for name in wanted}, wanted)

    def test_quiet_state(self) -> None:
        """Before the mount has reported anything, each axis and each device is there, without values."""
        state = self.state()
        self.assertEqual((state["dialect"], state["telemetry"]), ("tma2022", None))
        silent = {"in_position": None, "stale": False, "time": None, "telemetry": None}
        self.assertEqual(state["axes"], dict.fromkeys(("azimuth", "elevation", "camera_cable_wrap"), silent))
        self.assertEqual(set(state["devices"]), set(self.dialect.devices))
        self.assertLessEqual(
            {"oil_supply_system", "mirror_cover_locks", "safety_system"}, set(state["devices"])
        )
        self.assertEqual([things for things in state["devices"].values() if things], [])

    def test_devices(self) -> None:
        """The last report of each thing, with its unit, its age, and whether the link was lost since."""
        house = self.house
        house.link.say(
            b'{"id":100,"timestamp":1.5,"parameters":{"system":9,"powerState":1}}',
            b'{"id":101,"timestamp":1.5,"parameters":{"axis":0,"state":4,"position":12.5}}',
        )
        house.advance(3)
        house.link.say(
            b'{"id":205,"timestamp":1.5,"parameters":{"axis":0,"homed":1}}',
            b'{"id":30,"timestamp":1.5,"parameters":{%b}}'
            % b",".join(b'"%b":%d' % (name, name == b"causes") for name in MASKS),
        )
        house.advance(1)
        devices = self.state()["devices"]
        self.assertEqual(
            devices["oil_supply_system"],
            {
                "power": {
                    "value": "ON",
                    "unit": "",
                    "stale": False,
                    "age": 4.0,
                    "time": "2027-01-15T08:00:00.000Z",
                }
            },
        )
        azimuth = {name: (thing["value"], thing["age"]) for name, thing in devices["azimuth"].items()}
        self.assertEqual(azimuth, {"motion": ("TRACKING", 4.0), "target": (12.5, 4.0), "homed": (True, 1.0)})
        self.assertEqual(devices["azimuth"]["target"]["unit"], "deg")
        self.assertEqual(
            devices["safety_system"]["causes"]["value"],
            ["Azimuth past its positive end (power-cutting switch, topple block at A)"],
        )
        house.bridge.link_down("lost")
        self.assertTrue(self.state()["devices"]["azimuth"]["homed"]["stale"])

    def test_repeated(self) -> None:
        """An event that changes nothing, which is not recorded, makes the state younger all the same."""
        line = b'{"id":100,"timestamp":%d,"parameters":{"system":9,"powerState":1}}'
        self.house.link.say(line % 1)
        self.house.advance(5)
        self.house.link.say(line % 2)
        self.assertEqual(self.state()["devices"]["oil_supply_system"]["power"]["age"], 0.0)

    def test_catalogue(self) -> None:
        """The catalogue names the dialect."""
        self.assertEqual(as_read(catalogue(self.dialect))["dialect"], "tma2022")

    def test_document(self) -> None:
        """The OpenAPI document is valid, and names the commands of this dialect."""
        house = self.house
        served = house.served()
        parts = Parts(served, house.bus, JournalOff(), ClientLimits())
        areas = Areas(parts, WebSettings(), LOG, house.clock, house.wall_clock, lambda: 0)
        self.addCleanup(areas.close)
        document = openapi.document(areas.routes, "1.2")
        OpenAPIV31SpecValidator(document).validate()
        self.assertIn("AzimuthMove", document["components"]["schemas"])
        self.assertNotIn("AzimuthAxisMove", json.dumps(document))
