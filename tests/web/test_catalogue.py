"""The catalogue: what it says of each command and reply, and that it is JSON Schema."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.commands import AckOnlyCommandCodes, CommandDict, Commands
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as DIALECT_2022
from mtmount_twisted.dialects.tma2022.enums import LimitsMask, PowerState
from mtmount_twisted.dialects.tma2022.replies import SettingsSet
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.api import catalogue
from mtmount_twisted.frontends.web.events.shapes import json_value
from mtmount_twisted.frontends.web.http.calls import Call, User
from mtmount_twisted.replies import Replies
from tests.support.web import as_read

NOBODY = User("x", frozenset(), Source.CSC)


def entry(name: str) -> dict[str, Any]:
    """What the catalogue says of a command or reply."""
    whole = as_read(catalogue.catalogue(DIALECT))
    found: dict[str, Any] = (whole["commands"] | whole["replies"])[name]
    return found


class CatalogueTests(SynchronousTestCase):
    """What it holds."""

    def test_every_class_is_there(self) -> None:
        """Each command and reply is in it, in the order of their codes."""
        whole = as_read(catalogue.catalogue(DIALECT))
        self.assertEqual(list(whole["commands"]), [cls.__name__ for cls in Commands])
        self.assertEqual(list(whole["replies"]), [cls.__name__ for cls in Replies])

    def test_command(self) -> None:
        """A command's parameters have type, unit, default and doc; the header is not among them."""
        move = entry("AzimuthAxisMove")
        self.assertEqual((move["code"], move["code_name"]), (103, "AZIMUTH_AXIS_MOVE"))
        self.assertEqual(move["short_name"], "az_move")
        self.assertEqual(move["doc"], "Move the azimuth axis to a position and stop there.")
        schema = move["parameters"]
        self.assertEqual(list(schema["properties"]), ["position", "velocity", "acceleration", "jerk"])
        self.assertEqual((schema["required"], schema["additionalProperties"]), (["position"], False))
        self.assertEqual(
            schema["properties"]["jerk"],
            {
                "description": "Largest jerk on the way; 0 for the mount's own default.",
                "type": "number",
                "format": "double",
                "x-unit": "deg/s³",
                "default": 0.0,
            },
        )

    def test_enumeration(self) -> None:
        """A parameter that is an enumeration tells its names and numbers, and its default by name."""
        commander = entry("AskForCommand")["parameters"]["properties"]["commander"]
        self.assertEqual(commander["x-enum"], {"NONE": 0, "CSC": 1, "EUI": 2, "HHD": 3})
        names = {"type": "string", "enum": ["NONE", "CSC", "EUI", "HHD"]}
        self.assertEqual(commander["anyOf"], [names, {"type": "integer", "enum": [0, 1, 2, 3]}])
        self.assertEqual(commander["default"], "CSC")

    def test_reply(self) -> None:
        """A reply's fields are all that comes behind its code, further texts included."""
        fields = entry("ErrorReply")["fields"]
        names = ["on", "active", "code", "subsystem", "timestamp", "extra_data"]
        self.assertEqual(list(fields["properties"]), names)
        self.assertEqual(fields["properties"]["extra_data"]["type"], "array")
        self.assertEqual(fields["properties"]["timestamp"]["format"], "date-time")
        self.assertEqual(entry("AckReply")["fields"]["properties"]["timeout_ms"]["x-unit"], "ms")

    def test_stops(self) -> None:
        """The catalogue calls those commands stops that stop something, in both generations."""
        for dialect in (DIALECT, DIALECT_2022):
            told = as_read(catalogue.catalogue(dialect))["commands"]
            declared = [cls.__name__ for cls in dialect.commands.values() if cls.is_stop]
            self.assertIn("BothAxesStop", declared)
            self.assertEqual([name for name, command in told.items() if command["stop"]], declared)

    def test_ack_only(self) -> None:
        """What it calls Ack-only are the track commands that have a class."""
        ack_only = {
            command["code"]
            for command in as_read(catalogue.catalogue(DIALECT))["commands"].values()
            if command["ack_only"]
        }
        self.assertEqual(ack_only, {int(code) for code in AckOnlyCommandCodes & set(CommandDict)})

    def test_it_is_json_schema(self) -> None:
        """Each schema in it is one of draft 2020-12."""
        whole = as_read(catalogue.catalogue(DIALECT))
        Draft202012Validator.check_schema(whole["request"])
        for command in whole["commands"].values():
            Draft202012Validator.check_schema(command["parameters"])
        for reply in whole["replies"].values():
            Draft202012Validator.check_schema(reply["fields"])

    def test_values(self) -> None:
        """A member of an enumeration stands in JSON by name, a timestamp with Z, a number as it is."""
        read = Replies[0].field_infos[3].kind.read("2020-02-27T14:48:27.469")
        self.assertEqual(json_value(read), "2020-02-27T14:48:27.469Z")
        self.assertEqual(json_value(Source.HHD), "HHD")
        self.assertEqual(json_value(1.5), 1.5)

    def test_values_of_tma2022(self) -> None:
        """A bit mask stands in JSON as its number, a list as a list, and an object by its names."""
        self.assertEqual(json_value(LimitsMask(5)), 5)
        self.assertEqual(json_value((PowerState.ON, PowerState.OFF)), ["ON", "OFF"])
        dates = {"created_date": "2019-11-07", "modified_date": ""}
        told = json_value(SettingsSet(name="a", description="b", **dates))
        self.assertEqual(told, {"name": "a", "description": "b", **dates})


class RouteTests(SynchronousTestCase):
    """What its route answers."""

    def test_answer(self) -> None:
        """It answers the catalogue as JSON, encoded once, to who may observe."""
        (route,) = catalogue.CatalogueRoutes(DIALECT).routes()
        self.assertEqual((route.method, route.path, route.role), ("GET", "/api/v1/catalogue", "observe"))
        answers = [
            self.successResultOf(Deferred.fromCoroutine(route.respond(Call(NOBODY)))) for _ in range(2)
        ]
        self.assertEqual(json.loads(answers[0].body), as_read(catalogue.catalogue(DIALECT)))
        self.assertEqual(answers[0].headers, {"Content-Type": "application/json"})
        self.assertIs(answers[0].body, answers[1].body)
