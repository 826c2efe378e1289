"""`catalogue`: every command and reply as JSON Schema (2020-12), made from their declarations alone.

Values stand in JSON as `shapes.json_value` writes them: an enumeration's member by name, a timestamp as
``2020-02-27T14:48:27.469Z``. Units, which JSON Schema does not know, are ``x-unit``; the names and numbers
of an enumeration are ``x-enum``. Next to read: `command_body`, which takes what a command's schema takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from mtmount_twisted.dialects.tma2020.command_names import short_name
from mtmount_twisted.dialects.tma2020.commands import STOP_CODES, AckOnlyCommandCodes, Command, Commands
from mtmount_twisted.dialects.tma2020.replies import Replies
from mtmount_twisted.frontends.web.events.shapes import json_value
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.encoding import as_body, gzip
from mtmount_twisted.wire.messages import BaseMessage, FieldInfo

MOST = 2**31 - 1
LEAST = -(2**31)
"""What an integer in a command is at most and at least. The bound is ours: the protocol names none, all its
own numbers fit, and what does not may overflow in the mount."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCHEMAS: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
    "str": {"type": "string", "pattern": "^[^\\r\\n\\u0000]*$"},
    "timestamp": {"type": "string", "format": "date-time"},
}


def parameters_in(cls: type[Command]) -> tuple[FieldInfo, ...]:
    """What a commander chooses of a command: its fields behind the header."""
    return cls.field_infos[len(Command.field_infos) :]


def _field_schema(info: FieldInfo) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": info.doc}
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


def _fields_schema(infos: Iterable[FieldInfo]) -> dict[str, Any]:
    infos = tuple(infos)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {info.name: _field_schema(info) for info in infos},
        "additionalProperties": False,
    }
    if required := [info.name for info in infos if info.required]:
        schema["required"] = required
    return schema


def _message(cls: type[BaseMessage], fields: dict[str, Any]) -> dict[str, Any]:
    code = next(info.default for info in cls.field_infos if info.constant)
    return {
        "code": int(code),
        "code_name": code.name,
        "doc": (cls.__doc__ or "").partition("\n\n")[0],
        "fields": fields,
    }


def _command(cls: type[Command]) -> dict[str, Any]:
    """A command; its ``fields`` are those that a commander gives, as ``parameters``."""
    entry = _message(cls, _fields_schema(parameters_in(cls)))
    entry["parameters"] = entry.pop("fields")
    for schema in entry["parameters"]["properties"].values():
        if schema["type"] == "integer":
            schema |= {"minimum": LEAST, "maximum": MOST}
        elif "x-enum" in schema:  # two enums, each of one type: what makes clients of a schema can't mix them
            name, numbers = (
                {"type": schema.pop("type"), "enum": schema.pop("enum")},
                schema["x-enum"].values(),
            )
            schema["anyOf"] = [name, {"type": "integer", "enum": [*numbers]}]
    code = cls.command_code
    entry["short_name"] = short_name(cls)
    return {**entry, "stop": code in STOP_CODES, "ack_only": code in AckOnlyCommandCodes}


def _reply(cls: type[BaseMessage]) -> dict[str, Any]:
    schema = _fields_schema(info for info in cls.field_infos if not info.constant)
    if cls.has_extra_data:
        extra = {"description": "Whatever else the mount says of it.", "type": "array"}
        schema["properties"]["extra_data"] = extra | {"items": _SCHEMAS["str"], "default": []}
    return _message(cls, schema)


def _request(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body that sends one command; without ``parameters`` if it needs none."""
    needed = ["command", "parameters"] if parameters.get("required") else ["command"]
    return {
        "title": name,
        "type": "object",
        "properties": {"command": {"type": "string", "const": name}, "parameters": parameters},
        "required": needed,
        "additionalProperties": False,
    }


@cache
def catalogue() -> dict[str, Any]:
    """All commands and replies by name.

    ``commands`` and ``replies`` hold, for each class, ``code``, ``code_name``, ``doc`` and the JSON Schema of
    its ``parameters`` or ``fields``, in the order of the wire; a command also ``short_name`` (such as
    ``az_move``), ``stop`` (it stops something) and ``ack_only`` (an Ack is its whole answer). ``request`` is
    the schema of what ``POST /api/v1/commands`` takes.
    """
    commands = {cls.__name__: _command(cls) for cls in Commands}
    requests = [_request(name, entry["parameters"]) for name, entry in commands.items()]
    return {
        "commands": commands,
        "replies": {cls.__name__: _reply(cls) for cls in Replies},
        "request": {"$schema": DIALECT, "oneOf": requests},
    }


@cache
def _encoded() -> bytes:
    return as_body(catalogue())


@cache
def _gzipped() -> bytes:
    return gzip(_encoded())


async def _respond(call: Call) -> Answer:
    return Answer(_encoded(), headers={"Content-Type": "application/json"}, gzipped=_gzipped())


def routes() -> list[Route]:
    """The catalogue's route."""
    return [
        Route(
            "GET",
            "/api/v1/catalogue",
            _respond,
            "observe",
            "Every command and reply with its parameters, units, defaults and docs, as JSON Schema.",
            id="get_catalogue",
            tag="description",
            answers={200: "Catalogue"},
        )
    ]
