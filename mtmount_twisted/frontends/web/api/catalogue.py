"""`catalogue`: every command and reply of a dialect as JSON Schema (2020-12), from their declarations.

A value has the JSON form that `shapes.json_value` writes: a member of an enumeration is its name, and a
timestamp is ``2020-02-27T14:48:27.469Z``. JSON Schema does not define units, so a unit is in ``x-unit``; the
names and numbers of an enumeration are in ``x-enum``. Next to read: `command_body`, which accepts the values
that the schema of a command allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.frontends.web.events.shapes import json_value
from mtmount_twisted.frontends.web.http.answers import Name, Schema, Shape
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.encoding import as_body, gzip
from mtmount_twisted.wire.messages import BaseMessage, CommandMessage, FieldInfo

MOST = 2**31 - 1
LEAST = -(2**31)
"""The least and the largest integer in a command: those of 32 bits. The protocol states no bound, all its
numbers fit, and a larger number may overflow in the mount."""

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCHEMAS: dict[str, Schema] = {
    "int": {"type": "integer"},
    "float": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
    "str": {"type": "string", "pattern": "^[^\\r\\n\\u0000]*$"},
    "timestamp": {"type": "string", "format": "date-time"},
}


class Described(Shape, frozen=True, kw_only=True):
    """A command or a reply; the JSON Schema of its parameters or fields is in the order of the wire."""

    code: int
    code_name: Name
    doc: str
    fields: Schema | UnsetType = UNSET
    parameters: Schema | UnsetType = UNSET
    short_name: Annotated[Name, Meta(description="Such as az_move.")] | UnsetType = UNSET
    stop: Annotated[bool, Meta(description="It stops something.")] | UnsetType = UNSET
    ack_only: Annotated[bool, Meta(description="An Ack is its whole answer.")] | UnsetType = UNSET


class Catalogue(Shape, frozen=True, kw_only=True):
    """All commands and replies by name, and the JSON Schema of a request that sends a command."""

    commands: dict[str, Described]
    replies: dict[str, Described]
    request: Schema


def _field_schema(info: FieldInfo) -> Schema:
    schema: Schema = {"description": info.doc}
    if info.kind.name == "enum":
        numbers = {member.name: int(member) for member in info.dtype}  # type: ignore[attr-defined]
        schema |= {"type": "string", "enum": [*numbers], "title": info.dtype.__name__, "x-enum": numbers}
    else:
        schema |= _SCHEMAS[info.kind.name]
    if info.unit:
        schema["x-unit"] = info.unit
    if info.default is not None:
        schema["default"] = json_value(info.kind, info.default)
    return schema


def _fields_schema(infos: Iterable[FieldInfo]) -> Schema:
    infos = tuple(infos)
    schema: Schema = {
        "type": "object",
        "properties": {info.name: _field_schema(info) for info in infos},
        "additionalProperties": False,
    }
    if required := [info.name for info in infos if info.required]:
        schema["required"] = required
    return schema


def _doc(cls: type[BaseMessage]) -> str:
    return (cls.__doc__ or "").partition("\n\n")[0]


def _parameters(infos: Iterable[FieldInfo]) -> Schema:
    parameters = _fields_schema(infos)
    for schema in parameters["properties"].values():
        if schema["type"] == "integer":
            schema |= {"minimum": LEAST, "maximum": MOST}
        elif "x-enum" in schema:  # generators of clients need one type in each enum, so there are two
            name, numbers = (
                {"type": schema.pop("type"), "enum": schema.pop("enum")},
                schema["x-enum"].values(),
            )
            schema["anyOf"] = [name, {"type": "integer", "enum": [*numbers]}]
    return parameters


def _command(cls: type[CommandMessage], parameters: Schema, dialect: Dialect) -> Described:
    kind = dialect.kind_of(cls.command_code)
    return Described(
        code=kind.code,
        code_name=kind.code_name,
        doc=_doc(cls),
        parameters=parameters,
        short_name=dialect.short_name(cls),
        stop=kind.is_stop,
        ack_only=kind.ack_only,
    )


def _reply(cls: type[BaseMessage], code: int, code_name: str) -> Described:
    schema = _fields_schema(info for info in cls.field_infos if not info.constant)
    if cls.has_extra_data:
        extra = {"description": "Further texts of the mount.", "type": "array"}
        schema["properties"]["extra_data"] = extra | {"items": _SCHEMAS["str"], "default": []}
    return Described(code=code, code_name=code_name, doc=_doc(cls), fields=schema)


def _request(name: str, parameters: Schema) -> Schema:
    """Return the schema of a body that sends one command; ``parameters`` is required if a parameter is."""
    needed = ["command", "parameters"] if parameters.get("required") else ["command"]
    return {
        "title": name,
        "type": "object",
        "properties": {"command": {"type": "string", "const": name}, "parameters": parameters},
        "required": needed,
        "additionalProperties": False,
    }


@cache
def catalogue(dialect: Dialect) -> Catalogue:
    """Return the catalogue of all commands and replies of a dialect."""
    parameters = {cls: _parameters(dialect.parameters_of(cls)) for cls in dialect.commands.values()}
    requests = [_request(cls.__name__, schema) for cls, schema in parameters.items()]
    names = dialect.reply_names
    return Catalogue(
        commands={cls.__name__: _command(cls, schema, dialect) for cls, schema in parameters.items()},
        replies={cls.__name__: _reply(cls, int(code), names[code]) for code, cls in dialect.replies.items()},
        request={"$schema": SCHEMA_DIALECT, "oneOf": requests},
    )


class CatalogueRoutes:
    """The route of the catalogue of a dialect, which is encoded once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._answer: Answer | None = None

    def routes(self) -> list[Route]:
        """Return the catalogue's route."""
        return [
            Route(
                "GET",
                "/api/v1/catalogue",
                self.get,
                "observe",
                "Every command and reply with its parameters, units, defaults and docs, as JSON Schema.",
                id="get_catalogue",
                tag="description",
                answers={200: Catalogue},
            )
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with the catalogue."""
        if self._answer is None:
            data = as_body(catalogue(self._dialect))
            self._answer = Answer(data, headers={"Content-Type": "application/json"}, gzipped=gzip(data))
        return self._answer
