"""`judge`: the JSON body of a request -> a command, or every fault in it at once.

It accepts the values that the catalogue's schema allows: a member of an enumeration by name or number; only
true and false for a bool; for an integer any number of 32 bits without a fraction, since JSON has one kind of
number; for a timestamp ISO 8601 with ``Z`` or an offset. A number that no double can hold is rejected. No
I/O. Next to read: `catalogue`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from difflib import get_close_matches
from enum import IntEnum
from functools import cache
from typing import cast

from mtmount_twisted.dialects.dialect import Dialect, counterparts, dialect_translated_to
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.frontends.web.events.shapes import json_value
from mtmount_twisted.frontends.web.http.answers import Json, JsonObject
from mtmount_twisted.frontends.web.http.calls import Fault, RequestError
from mtmount_twisted.wire.fields import FLOAT, INT, STR, TIMESTAMP
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

from .catalogue import LEAST, MOST, offered

LONGEST_SHOWN = 80
"""The largest number of characters of a wrong value or name in an answer."""

MOST_UNKNOWN = 20
"""The largest number of unknown names that are reported one by one. The search for similar names takes time,
in which the mount's messages wait."""

_MEMBERS = ("command", "parameters")


def _read_int(info: FieldInfo, value: Json) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    number: int = INT.check(value)
    if not LEAST <= number <= MOST:
        raise ValueError(value)
    return number


def _read_bool(info: FieldInfo, value: Json) -> object:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _read_enum(info: FieldInfo, value: Json) -> object:
    if isinstance(value, str):
        return info.dtype[value]  # type: ignore[index]
    return info.dtype(_read_int(info, value))


def _read_timestamp(info: FieldInfo, value: Json) -> object:
    if not isinstance(value, str):
        raise ValueError(value)
    if value.endswith("Z"):
        return TIMESTAMP.read(value[:-1])
    return TIMESTAMP.check(datetime.fromisoformat(value))


_READERS: dict[str, Callable[[FieldInfo, Json], object]] = {
    "int": _read_int,
    "float": lambda info, value: FLOAT.check(value),
    "bool": _read_bool,
    "enum": _read_enum,
    "str": lambda info, value: STR.check(value),
    "stripped": lambda info, value: info.kind.check(value),
    "timestamp": _read_timestamp,
}

_EXPECTED: dict[str, str] = {
    "int": f"an integer from {LEAST} to {MOST}",
    "float": "a finite number",
    "bool": "true or false",
    "timestamp": "a time as 2020-02-27T14:48:27.469Z",
}


def expected_of(info: FieldInfo) -> str:
    """Return the values that a field may have, in words for an author of JSON."""
    if info.kind.name == "enum":
        members = cast("type[IntEnum]", info.dtype)
        return "one of " + ", ".join(f'"{member.name}" ({int(member)})' for member in members)
    expected = _EXPECTED.get(info.kind.name, info.kind.expected)
    return f"{expected} in {info.unit}" if info.unit else expected


def read_value(info: FieldInfo, value: Json) -> object:
    """Return the field's value for a JSON value.

    :raises ValueError: with the value and the expected values.
    """
    try:
        return _READERS[info.kind.name](info, value)
    except (ValueError, KeyError):
        raise ValueError(f"expected {expected_of(info)}, got {_shown(value)}") from None


@cache
def _header(dialect: Dialect) -> frozenset[str]:
    """Return the names of the fields in the header of each command."""
    cls = dialect.commands[dialect.example]
    return frozenset(info.name for info in cls.field_infos if info not in dialect.parameters_of(cls))


def spoken_in(body: Json, controller: Dialect) -> Dialect:
    """Return the dialect of the command in a body: the controller's, unless only a dialect that is translated
    to it has the command.

    :param body: as in `judge`.
    """
    other = dialect_translated_to(controller)
    name = body.get("command") if isinstance(body, dict) else None
    if other is None or not isinstance(name, str) or name in offered(controller):
        return controller
    return other if name in offered(other) else controller


def judge(body: Json, dialect: Dialect, source: Source, sequence_id: int) -> CommandMessage:
    """Return the command in a body.

    :param body: a JSON value: ``{"command": "AzimuthAxisMove", "parameters": {"position": 10}}``;
        ``parameters`` may be left out where none is required.
    :param dialect: the protocol of the command.
    :param source: the source that the command is to have.
    :param sequence_id: the sequence id that the command is to have: 1 to 2147483647.
    :raises RequestError: with status 422 and each fault.
    """
    if not isinstance(body, dict):
        fault = Fault("body", f'expected an object with "command" and "parameters", got {_shown(body)}')
        raise RequestError(422, "not a command", (fault,))
    faults = list(_unknown("", "member of the body", body, _MEMBERS, _header(dialect)))
    cls = _class_of(body, dialect, faults)
    given = body.get("parameters", {})
    if not isinstance(given, dict):
        faults.append(Fault("parameters", f"expected an object, got {_shown(given)}"))
    elif cls is not None:
        values = _values_of(cls, given, dialect, faults)
    if cls is None or faults:
        raise RequestError(422, "not a command", tuple(faults))
    return dialect.new_command(cls, values, source, sequence_id)


def parameters_of(command: CommandMessage, dialect: Dialect) -> JsonObject:
    """Return the fields of a command that a commander chose, as JSON values by name."""
    infos = dialect.parameters_of(type(command))
    return {info.name: json_value(getattr(command, info.name)) for info in infos}


def _class_of(body: dict[str, Json], dialect: Dialect, faults: list[Fault]) -> type[CommandMessage] | None:
    if "command" not in body:
        faults.append(Fault("command", "missing, expected the name of a command"))
        return None
    name, commands = body["command"], offered(dialect)
    if not isinstance(name, str):
        faults.append(Fault("command", f"expected the name of a command, got {_shown(name)}"))
    elif name not in commands:
        hint = _counterpart(name, dialect) or _near(name, commands)
        faults.append(Fault("command", f"there is no command {_shown(name)}{hint}"))
    else:
        return commands[name]
    return None


def _values_of(
    cls: type[CommandMessage], given: dict[str, Json], dialect: Dialect, faults: list[Fault]
) -> dict[str, object]:
    infos = {info.name: info for info in dialect.parameters_of(cls)}
    what = f"parameter of {cls.__name__}"
    faults += _unknown("parameters.", what, given, tuple(infos), _header(dialect))
    values: dict[str, object] = {}
    for name, info in infos.items():
        try:
            if name in given:
                values[name] = read_value(info, given[name])
            elif info.required:
                raise ValueError(f"missing, expected {expected_of(info)}")
        except ValueError as error:
            faults.append(Fault(f"parameters.{name}", str(error)))
    return values


def _unknown(
    path: str, what: str, given: dict[str, Json], known: tuple[str, ...], header: frozenset[str]
) -> Iterator[Fault]:
    """Yield a fault for each of the first `MOST_UNKNOWN` unknown names, and one fault for all others."""
    unknown = [name for name in given if name not in known]
    expected = f"expected {', '.join(known)}" if known else "there are none"
    for name in unknown[:MOST_UNKNOWN]:
        why = f"no {what}{_near(name, known) or f'; {expected}'}"
        if name in header:
            why = "can't be given: the bridge writes a command's header"
        yield Fault(f"{path}{_shown_name(name)}", why)
    if more := unknown[MOST_UNKNOWN:]:
        yield Fault(path.rstrip(".") or "body", f"{len(more)} more names are no {what}; {expected}")


def _counterpart(name: str, dialect: Dialect) -> str:
    """Return the commands that do the same as a command of the other dialect, as the end of a sentence; empty
    if there are none."""
    names = counterparts(name)
    do = "does" if len(names) == 1 else "do"
    return f" in {dialect.name}; {' and '.join(names)} {do} the same" if names else ""


def _near(name: str, known: Iterable[str]) -> str:
    """Return similar names, in any case, as the end of a sentence; empty if there is none."""
    by_lower = {one.lower(): one for one in known}
    near = get_close_matches(name[:LONGEST_SHOWN].lower(), by_lower, n=3)
    return f"; did you mean {' or '.join(by_lower[one] for one in near)}?" if near else ""


def _shown_name(name: str) -> str:
    """Return a name from a user: whole if it is an identifier, else as JSON and cut off."""
    return name if name.isidentifier() and name.isascii() and len(name) <= LONGEST_SHOWN else _shown(name)


def _shown(value: Json) -> str:
    """Return a JSON value as one short line of ASCII."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    try:
        text = json.dumps(value[:LONGEST_SHOWN] if isinstance(value, str) else value)
    except ValueError:  # Python does not write out a whole number of 5000 digits
        return "a number too long to show"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
