"""The types of the API's answers. A class is the shape, the JSON Schema and the encoding of one answer.

This module defines the types of single values, the bases of all answers, and the answers that several areas
use. The module of an area defines its own answers. An object is encoded in the order of its members. The name
of a class is the name of its schema in the OpenAPI document. Programs generated from the document import that
name, so a class is never renamed. Values only. Next to read: `encoding.as_json`; `calls.Route`, which names
the answers of a route.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import cleandoc
from typing import Annotated, Any, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from mtmount_twisted.dialects.dialect import DialectName
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.journal.reading import OUTCOMES

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""Any JSON value."""

# `msgspec` knows no recursive type such as `Json`, but makes a schema and an encoder of `Any`.
JsonObject: TypeAlias = dict[str, Any]  # type: ignore[explicit-any]
"""A JSON object with any members."""

JsonValue: TypeAlias = Any  # type: ignore[explicit-any]
"""Any JSON value, for a member of an answer."""

Schema = JsonObject
"""A JSON Schema (2020-12), or another part of the OpenAPI document."""

# Values

Name = Annotated[str, Meta(min_length=1)]
"""A text that is not empty."""

Count = Annotated[int, Meta(ge=0)]

Seconds = Annotated[float, Meta(ge=0)]
"""A duration in s."""

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time of day, in ISO 8601, UTC."""

EventId = Annotated[str, Meta(pattern="^([A-Za-z0-9_-]+\\.[0-9]+\\.)?[0-9]+\\.[0-9]+$")]
"""The id of an event: RUN.ROW; NODE.RUN.ROW.POSITION for an event of another bridge."""

SourceName = Annotated[str, Meta(extra_json_schema={"enum": [source.name for source in Source]})]

DialectKind = Annotated[str, Meta(extra_json_schema={"enum": list(get_args(DialectName))})]
"""The name of the controller's dialect."""

_STATES = ["open", "acked", *(outcome for outcome in OUTCOMES if outcome not in ("open", "local"))]

LifeState = Annotated[str, Meta(extra_json_schema={"enum": _STATES})]
"""The state of a command's life."""


# Objects


class Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """An object with these members and no others, which has a schema of its own in the document."""


class Part(Shape, frozen=True):
    """An object within others. The document repeats its schema at each use, without its name."""


class Fault(Part, frozen=True):
    """A fault in a request.

    :ivar where: the field, parameter or header: ``parameters.position``, ``query.limit``.
    :ivar why: the value, and the expected values.
    """

    where: str
    why: str


class StepTaken(Part, frozen=True, kw_only=True):
    """A step in the life of a command."""

    step: Name
    time: Time


class Life(Shape, frozen=True, kw_only=True):
    """A command, its state and its steps so far."""

    id: Name
    command: Name
    parameters: JsonObject
    commander: Name
    sequence_id: Annotated[int, Meta(ge=1)]
    state: LifeState
    explanation: str
    steps: list[StepTaken]
    ack_timeout: Seconds | None


class LeaseRequest(Part, frozen=True, kw_only=True):
    """A commander that asks the holder for command."""

    by: Name
    time: Time


class Lease(Shape, frozen=True, kw_only=True):
    """The holder of command, and the commanders that ask for it."""

    holder: Name | None
    source: SourceName | None
    number: Count
    since: Time | None
    holder_gone: bool
    requests: list[LeaseRequest]


class Problem(Struct, frozen=True, kw_only=True):
    """The reason why a request is rejected, in one line, and each fault in the request."""

    error: str
    lease: Lease | UnsetType = UNSET
    command: Life | UnsetType = UNSET
    faults: tuple[Fault, ...] | UnsetType = UNSET


# Schemas


def reference(name: str) -> Schema:
    """Return the reference to a schema in the document.

    :param name: the name of the schema.
    """
    return {"$ref": f"#/components/schemas/{name}"}


def schemas_of(types: Iterable[type[Struct]]) -> dict[str, Schema]:
    """Return the schemas of some answers, and of the objects in them, by name.

    A `Part` is written out at each use. A generator of programs makes the name of such a class from the place
    in the document.
    """
    _, found = msgspec.json.schema_components(types, ref_template=reference("{name}")["$ref"])
    parts = {part.__name__ for part in Part.__subclasses__()}

    def whole(name: str) -> Schema:
        """Return the schema of a class, without the title, which only repeats the name."""
        schema = {key: written_out(value) for key, value in found[name].items() if key != "title"}
        return schema | {"description": cleandoc(str(schema["description"])).partition("\n\n")[0]}

    def written_out(value: Json) -> Json:
        if isinstance(value, list):
            return [written_out(each) for each in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("$ref", "")).rpartition("/")[2]
        return whole(name) if name in parts else {key: written_out(each) for key, each in value.items()}

    return {name: whole(name) for name in found if name not in parts}
