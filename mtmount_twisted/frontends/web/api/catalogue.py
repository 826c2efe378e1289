"""`catalogue`: every command and reply of a dialect as JSON Schema (2020-12), from their declarations.

A value has the JSON form that `shapes.json_value` writes: a member of an enumeration is its name, and a
timestamp is ``2020-02-27T14:48:27.469Z``. JSON Schema does not define units, so a unit is in ``x-unit``; the
names and numbers of an enumeration are in ``x-enum``. No I/O. Next to read: `command_body`, which accepts the
values that the schema of a command allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum, IntFlag
from functools import cache
from typing import Annotated, get_args, get_origin

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import fields

from mtmount_twisted.dialects.dialect import Dialect, FieldDescription
from mtmount_twisted.frontends.web.events.shapes import json_value
from mtmount_twisted.frontends.web.http.answers import DialectKind, Name, Schema, Shape
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.encoding import as_body, gzip
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

MOST = 2**31 - 1
LEAST = -(2**31)
"""The smallest and the largest integer in a command: the bounds of 32 bits. The protocol states no bound. All
its numbers fit, and a larger number may overflow in the mount."""

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCHEMAS: dict[object, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number", "format": "double"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
}

LINE = "^[^\\r\\n\\u0000]*$"
"""The pattern of a text in a command: no command can have a line break in a text."""

_PATTERNS = {"stripped": "^(?=\\S)[^\\r\\n\\u0000]*[^\\s\\u0000]$"}
"""The pattern of a text in a command, by the name of its `Kind`, where `LINE` allows too much."""


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
    """The dialect, its commands and replies by name, and the JSON Schema of a request with a command."""

    dialect: DialectKind
    commands: dict[str, Described]
    replies: dict[str, Described]
    request: Schema


def _field_schema(info: FieldDescription, text: str) -> Schema:
    schema: Schema = {"description": info.doc, **_type_schema(info.dtype, text)}
    if info.unit:
        schema["x-unit"] = info.unit
    if not info.required and info.default is not None:
        schema["default"] = json_value(info.default)
    return schema


def _type_schema(dtype: object, text: str) -> Schema:
    """Return the schema of the values that `json_value` makes of a type.

    :param text: the pattern of each text; empty for any text.
    """
    origin, parts = get_origin(dtype), get_args(dtype)
    if origin is tuple:  # of any length, as all lists of the protocols
        return {"type": "array", "items": _type_schema(parts[0], text)}
    if origin is dict:
        return {"type": "object"}
    if type(None) in parts:
        [one] = (part for part in parts if part is not type(None))
        return {"anyOf": [_type_schema(one, text), {"type": "null"}]}
    if isinstance(dtype, type) and issubclass(dtype, Enum) and not issubclass(dtype, IntFlag):
        numbers = {member.name: int(member.value) for member in dtype}
        return {"type": "string", "enum": [*numbers], "title": dtype.__name__, "x-enum": numbers}
    if isinstance(dtype, type) and issubclass(dtype, IntFlag):
        return {**_SCHEMAS[int], "x-bits": {member.name: int(member.value) for member in dtype}}
    if isinstance(dtype, type) and issubclass(dtype, Struct):
        members = {field.name: _type_schema(field.type, text) for field in fields(dtype)}
        return {"type": "object", "properties": members, "additionalProperties": False}
    if dtype is str:
        return {"type": "string", "pattern": text} if text else {"type": "string"}
    return dict(_SCHEMAS[dtype])


def _fields_schema(infos: Iterable[FieldDescription], text: str) -> Schema:
    infos = tuple(infos)
    schema: Schema = {
        "type": "object",
        "properties": {info.name: _field_schema(info, text) for info in infos},
        "additionalProperties": False,
    }
    if required := [info.name for info in infos if info.required]:
        schema["required"] = required
    return schema


def _doc(cls: type[object]) -> str:
    return (cls.__doc__ or "").partition("\n\n")[0]


def _parameters(infos: Sequence[FieldInfo]) -> Schema:
    parameters = _fields_schema(infos, LINE)
    for info in infos:
        schema = parameters["properties"][info.name]
        if info.kind.name in _PATTERNS:
            schema["pattern"] = _PATTERNS[info.kind.name]
        elif schema["type"] == "integer":
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


def _reply(cls: type[object], code: int, dialect: Dialect) -> Described:
    schema = _fields_schema(dialect.reply_fields(cls), dialect.text_pattern)
    return Described(code=code, code_name=dialect.reply_names[code], doc=_doc(cls), fields=schema)


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
def offered(dialect: Dialect) -> dict[str, type[CommandMessage]]:
    """Return the class of each command that a user may send, by name: all but the heartbeat.

    The bridge itself sends the heartbeat of the commander that has command.
    """
    kinds = {code: dialect.kind_of(code) for code in dialect.commands}
    return {kind.name: dialect.commands[code] for code, kind in kinds.items() if not kind.is_heartbeat}


@cache
def catalogue(dialect: Dialect) -> Catalogue:
    """Return the catalogue of all commands and replies of a dialect."""
    commands = offered(dialect)
    parameters = {name: _parameters(dialect.parameters_of(cls)) for name, cls in commands.items()}
    requests = [_request(name, schema) for name, schema in parameters.items()]
    return Catalogue(
        dialect=dialect.name,
        commands={name: _command(cls, parameters[name], dialect) for name, cls in commands.items()},
        replies={cls.__name__: _reply(cls, int(code), dialect) for code, cls in dialect.replies.items()},
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
