"""The OpenAPI document: valid, complete, and true of what is answered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.internet.defer import Deferred

from mtmount_twisted.commands import AzimuthAxisMove
from mtmount_twisted.config.settings import ClientLimits, WebSettings
from mtmount_twisted.dialects.tma2020.codec import decode_command
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.web.api import catalogue, openapi
from mtmount_twisted.frontends.web.events.shapes import row_of, shape
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Fault, RequestError, Route
from mtmount_twisted.frontends.web.service import Areas, Parts
from mtmount_twisted.journal.reading import Entry
from mtmount_twisted.journal.recorder import JournalOff
from tests.support.commanders import LOG
from tests.support.strategies import line_of
from tests.support.web import as_read
from tests.support.web_houses import WebCase, user


async def respond(call: Call) -> Answer:
    """Answer nothing of interest."""
    return Answer()


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    """Each schema with an enumeration or a constant, wherever it stands."""
    if isinstance(value, dict):
        if "enum" in value or "const" in value:
            yield value
        for each in value.values():
            yield from schemas_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from schemas_in(each)


class DocumentTests(WebCase):
    """The document."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(**rules)
        self.routes = self.served_routes()
        self.document = openapi.document(self.routes, "1.2")

    def served_routes(self) -> list[Route]:
        """Return all routes of the daemon."""
        house = self.house
        served = house.served()
        parts = Parts(served, house.bus, JournalOff(), ClientLimits())
        areas = Areas(parts, WebSettings(), LOG, house.clock, house.wall_clock, lambda: 0)
        areas.close()
        self.assertEqual(house.clock.getDelayedCalls(), [])
        return areas.routes

    def schema(self, name: str) -> Draft202012Validator:
        """What judges a value by one of the document's schemas."""
        whole = {"$ref": f"#/components/schemas/{name}", "components": self.document["components"]}
        return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)

    def check(self, name: str, value: Any) -> None:
        """A value is as a schema says."""
        errors = [f"{error.json_path}: {error.message}" for error in self.schema(name).iter_errors(value)]
        self.assertEqual(errors, [])

    def test_valid(self) -> None:
        """It is a valid OpenAPI 3.1 document, and JSON."""
        OpenAPIV31SpecValidator(self.document).validate()
        json.dumps(self.document, allow_nan=False)
        for schema in self.document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)

    def test_operations(self) -> None:
        """Each operation has a name of its own, the route's doc, and a security that fits its role."""
        operations = [operation for path in self.document["paths"].values() for operation in path.values()]
        self.assertEqual(len(operations), len(self.routes))
        self.assertEqual(len({operation["operationId"] for operation in operations}), len(operations))
        for route in self.routes:
            operation = self.document["paths"][route.path][route.method.lower()]
            self.assertEqual((operation["summary"], operation["x-role"]), (route.doc, route.role))
        paths = self.document["paths"]
        self.assertEqual(paths["/healthz"]["get"]["security"], [{}])
        self.assertNotIn("401", paths["/healthz"]["get"]["responses"])
        self.assertEqual(paths["/api/v1/state"]["get"]["security"], [{"bearer": []}, {}])
        self.assertIn("401", paths["/api/v1/state"]["get"]["responses"])

    def test_examples_of_the_motion(self) -> None:
        """The operations about the motion have examples, which are as the schemas of their answers say."""
        paths = ("telemetry", "telemetry/history", "telemetry/signals", "slews", "limits")
        for path in paths:
            operation = self.document["paths"][f"/api/v1/{path}"]["get"]
            content = operation["responses"]["200"]["content"]["application/json"]
            self.assertTrue(content["examples"], path)
            for example in content["examples"].values():
                self.check(content["schema"]["$ref"].rpartition("/")[2], example["value"])

    def test_command_body(self) -> None:
        """What is taken for a command is what the catalogue says."""
        body = self.document["paths"]["/api/v1/commands"]["post"]["requestBody"]
        reference = body["content"]["application/json"]["schema"]["$ref"]
        self.assertEqual((reference, body["required"]), ("#/components/schemas/Command", True))
        schemas = self.document["components"]["schemas"]
        bodies = {schema["title"]: schema for schema in catalogue.catalogue(DIALECT).request["oneOf"]}
        known = [each["$ref"] for each in schemas["Command"]["oneOf"]]
        self.assertEqual(known, [f"#/components/schemas/{name}" for name in bodies])
        for name, body in bodies.items():
            offered = {**schemas[name], "properties": dict(schemas[name]["properties"])}
            self.assertEqual(offered["properties"].pop("validate")["type"], "boolean")
            self.assertEqual(offered, {"description": schemas[name]["description"], **body})
        self.assertEqual(
            schemas["Command"]["discriminator"]["mapping"], dict(zip(bodies, known, strict=True))
        )
        self.check("Command", {"command": "AskForCommand", "parameters": {"commander": "EUI"}})
        self.check("Command", {"command": "AskForCommand", "parameters": {"commander": 2}})
        for wrong in ("PXI", 4, 2.5, True):
            body = {"command": "AskForCommand", "parameters": {"commander": wrong}}
            self.assertFalse(self.schema("Command").is_valid(body), wrong)

    def test_programs_can_be_made_of_it(self) -> None:
        """Each operation has a tag that is explained; each enumeration and constant is of one named type."""
        operations = [operation for path in self.document["paths"].values() for operation in path.values()]
        explained = {tag["name"] for tag in self.document["tags"] if tag["description"]}
        self.assertEqual({tag for operation in operations for tag in operation["tags"]}, explained)
        for operation in operations:
            self.assertRegex(
                operation["operationId"], r"^(get|list|send|ask|release|stream)_[a-z]+(_[a-z]+)*$"
            )
        types = {"string": str, "integer": int, "boolean": bool}
        found = list(schemas_in(self.document))
        self.assertGreater(len(found), 50)
        for schema in found:
            for value in schema.get("enum", [schema.get("const")]):
                self.assertIs(type(value), types[schema["type"]], schema)

    def test_names_of_components(self) -> None:
        """Each schema has the name by which programs that were made from the document import its class."""
        names = set(self.document["components"]["schemas"]) - set(catalogue.catalogue(DIALECT).commands)
        requests = {"Command", "Ask", "AskForLease", "TakeLease", "GrantLease"}
        events = {"Message", "Step", "Change", "Entry", "Page"}
        described = {"Described", "Catalogue", "Alive", "Ready"}
        motion = {"TelemetryNow", "Signals", "Slews", "Limits", "SignalHistory", "SignalColumn"}
        validation = {"Validation", "LifeOrValidation"}
        others = {"Problem", "Life", "Lease", "State", "Acks"} | motion | validation
        advice = "programs import these names: add the name of a new class here, and keep the others"
        self.assertEqual(names, requests | events | described | others, advice)

    def test_route_without_a_name(self) -> None:
        """A route that does not say what it is in the document can't be documented."""
        route = Route("GET", "/new", respond, None, "New.", tag="page")
        for wrong in (route, replace(route, id="get_new", tag="none")):
            error = self.assertRaises(ValueError, openapi.document, [wrong], "1.2")
            self.assertIn("GET /new: expected an id, and a tag of commands, lease,", str(error))

    def test_references(self) -> None:
        """Each schema that the document refers to is in it, and each that is in it is referred to."""
        text = json.dumps(self.document)
        referred = set(re.findall(r'"#/components/schemas/(\w+)"', text))
        self.assertEqual(referred, set(self.document["components"]["schemas"]))

    def test_route(self) -> None:
        """The document's own route needs no token, and is in the document."""
        routes: list[Route] = []
        routes += openapi.routes(routes, "1.2")
        (route,) = routes
        self.assertEqual((route.path, route.role), ("/api/v1/openapi.json", None))
        answers = [
            self.successResultOf(Deferred.fromCoroutine(cast(Any, route.respond(Call(user()))))) for _ in "ab"
        ]
        self.assertEqual(list(json.loads(answers[0].body)["paths"]), ["/api/v1/openapi.json"])
        self.assertEqual(answers[0].headers, {"Content-Type": "application/json"})
        self.assertIs(answers[0].body, answers[1].body)

    # What is answered, against the document's schemas

    def test_catalogue(self) -> None:
        """The catalogue is as its schema says."""
        self.check("Catalogue", as_read(catalogue.catalogue(DIALECT)))

    def test_problem(self) -> None:
        """A problem is as its schema says."""
        self.check("Problem", as_read(RequestError(422, "no", (Fault("a", "b"),)).answer().body))
        self.assertFalse(self.schema("Problem").is_valid({"why": "no error in it"}))

    def test_life_lease_and_state(self) -> None:
        """What a user is told of commands, the lease and the state is as their schemas say."""
        self.check("State", self.state())
        self.take()
        sent = self.told(self.post("AzimuthAxisMove", position=10)).body
        self.check("Life", sent)
        self.house.link.say(
            b"4\n1\n101\n100. Drive\n2020-02-27T14:48:27.469\nhot",
            b"3\n1\n1\n102\n100. Drive\n2020-02-27T14:48:27.469\nvery",
            b"6\n2020-02-27T14:48:27.469\n0\n1",
            b"5\n2020-02-27T14:48:27.469\nEnabled",
        )
        state = self.state()
        self.assertTrue(all(state[name] for name in ("warnings", "errors", "axes", "in_flight")))
        self.check("State", state)
        self.house.link.finish_all()
        self.check("Life", self.life(sent["id"]))
        self.assertEqual(self.life(sent["id"])["state"], "done")
        self.check("Lease", self.state()["lease"])
        self.house.bridge.link_down("gone")
        self.check("State", self.state())
        refused = self.told(self.post("AzimuthAxisMove", position=10))
        self.assertEqual(refused.status, 503)
        self.check("Problem", refused.body)

    def test_lease_bodies(self) -> None:
        """What the lease's schema takes is taken, and what it refuses is refused."""
        self.take()
        for body in ({}, {"take": True}, {"grant": "web/other"}, {"take": False}, {"grant": ""}, [], 1):
            answering = self.lease(body)
            self.house.link.finish_all()
            refused = self.told(answering).status == 422
            self.assertEqual(self.schema("Ask").is_valid(body), not refused, body)

    def test_entries(self) -> None:
        """Messages, steps and changes, whole or broken, are as their schemas say."""
        line = line_of(AzimuthAxisMove(position=1.5))
        self.assertEqual(decode_command(line).command_code, 103)
        rows = [
            Entry(5, 1, "message", 1.8e9, "csc", 1, "from", 0, 0, 0, 0, "", line, DIALECT),
            Entry(0, 1, "message", 1.8e9, "controller", 1, "from", 0, 0, 0, 0, "", b"\xff", DIALECT),
            Entry(6, 1, "step", 1.8e9, "csc", 1, "sent", 7, 3, 103, 1, "", None, DIALECT),
            Entry(7, 1, "event", 1.8e9, "csc", 1, "connected", 0, 0, 0, 0, "", None, DIALECT),
        ]
        entries = [as_read(shape(row_of(row))) for row in rows]
        self.check("Page", {"entries": entries, "next": "1.7"})
        self.assertFalse(self.schema("Entry").is_valid({**entries[3], "more": 1}))
