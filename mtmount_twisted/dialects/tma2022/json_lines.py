"""A line <-> JSON, where `msgspec` alone is not enough: NaN, UTF-8, numbers as the vendor writes them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.errors import LineError

if TYPE_CHECKING:
    Struct = object  # its own rules for type checkers would win over those of our metaclasses
else:
    Struct = msgspec.Struct

BIT = bool | Literal[0, 1]
"""A bool on the wire: the vendor writes 0 and 1 where the mock controller writes false and true."""

encode_fast = msgspec.json.Encoder().encode


def encode(message: Any) -> bytes:
    """Return a Struct as JSON, terminator included.

    `msgspec` writes ``null`` for NaN and infinity, and the mount writes ``NaN``; so where a null turns up,
    `json` writes the line.
    """
    data = encode_fast(message)
    return dump(msgspec.to_builtins(message)) if b"null" in data else data + TERMINATOR


def dump(content: Any) -> bytes:
    """Return plain values as JSON, terminator included."""
    return json.dumps(content, separators=(",", ":")).encode() + TERMINATOR


def require_utf8(line: bytes) -> None:
    """Refuse a line that is not UTF-8: `msgspec` does not look at the strings that it skips.

    :raises LineError: if it is not.
    """
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise LineError(line, f"expected UTF-8: {error.reason} at byte {error.start}") from None


def load(line: bytes) -> dict[str, Any]:
    """Return the object that a line is, read with `json`, which takes ``NaN`` and ``Infinity``.

    :raises LineError: if it is no object.
    """
    require_utf8(line)
    try:
        content = json.loads(line.decode())
        json.dumps(content, ensure_ascii=False).encode()  # a lone surrogate could not be written again
    except UnicodeEncodeError:
        raise LineError(line, "expected JSON: a string holds half a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise LineError(line, f"expected JSON: {error}") from None
    if not isinstance(content, dict):
        raise LineError(line, f"expected a JSON object, got a {type(content).__name__}")
    return content


def member(line: bytes, content: dict[str, Any], name: str, dtype: type, expected: str) -> Any:
    """Return a member that every line of its kind has.

    :raises LineError: if it is missing, or of another type. It names the member.
    """
    if name not in content:
        raise LineError(line, f"{name}: expected {expected}, got nothing", name)
    value: Any = whole(content[name]) if dtype is int else content[name]
    if dtype is float and type(value) is int and abs(value) < 2**63:
        value = float(value)
    is_finite = not isinstance(value, float) or math.isfinite(value)
    if type(value) is not dtype or not is_finite or too_large(value):
        raise LineError(line, f"{name}: expected {expected}, got {str(content[name])[:100]!r}", name)
    return value


def too_large(value: Any) -> bool:
    """Whether a value is an integer of more than 64 bits, which no database and few programs can hold."""
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def whole(value: Any) -> Any:
    """Return a value with each ``3.0`` in it as 3: the vendor writes decimals."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(each) for each in value]
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}
    return value


def lists(value: Any) -> Any:
    """Return a value with each tuple in it as a list, as JSON has them."""
    if isinstance(value, list | tuple):
        return [lists(each) for each in value]
    if isinstance(value, dict):
        return {name: lists(each) for name, each in value.items()}
    return value


def camel(name: str) -> str:
    """Return the name on the wire of an attribute: ``sequenceId`` of ``sequence_id``."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
