"""Conversion of a line to JSON beyond `msgspec`: NaN, UTF-8, and the vendor's spelling of numbers.

Values only: no Twisted, no I/O. Next to read: `reply_type` and `topic_type`, whose classes `msgspec` reads.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mtmount_twisted.errors import LineError

from .framing import TERMINATOR

if TYPE_CHECKING:
    Struct = object  # the type checkers' rules for Struct would override those of our metaclasses
else:
    Struct = msgspec.Struct

WHOLE = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer of at most 64 bits. JSON bounds no integer, but no float can hold one of 400 digits."""

BIT = bool | Literal[0, 1]
"""A bool on the wire: the vendor writes 0 and 1, the mock controller false and true."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

encode_fast: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def encode(message: Any) -> bytes:
    """Return a Struct as JSON, terminator included.

    `msgspec` writes ``null`` for NaN and infinity, but the mount writes ``NaN``. So `json` writes a line that
    contains ``null``.
    """
    data = encode_fast(message)
    return dump(msgspec.to_builtins(message)) if b"null" in data else data + TERMINATOR


def dump(content: Any) -> bytes:
    """Return plain values as JSON, terminator included."""
    return json.dumps(content, separators=(",", ":")).encode() + TERMINATOR


def require_utf8(line: bytes) -> None:
    """Check that a line is UTF-8, which `msgspec` does not check in strings that it skips.

    :raises LineError: if the line is not UTF-8.
    """
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise LineError(line, f"expected UTF-8: {error.reason} at byte {error.start}") from None


def load(line: bytes) -> dict[str, Any]:
    """Return the JSON object in a line. `json` reads it, because it accepts ``NaN`` and ``Infinity``.

    :raises LineError: if the line is not a JSON object.
    """
    require_utf8(line)
    try:
        content = json.loads(line.decode())
        if _SURROGATE.search(line):  # half a pair can't be written again
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise LineError(line, "expected JSON: a string holds half a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise LineError(line, f"expected JSON: {error}") from None
    if not isinstance(content, dict):
        raise LineError(line, f"expected a JSON object, got a {type(content).__name__}")
    return content


def member(line: bytes, content: dict[str, Any], name: str, dtype: type, expected: str) -> Any:
    """Return a member that every line of its kind must have.

    :raises LineError: if the member is missing or has another type. The error names the member.
    """
    if name not in content:
        raise LineError(line, f"{name}: expected {expected}, got nothing", name)
    value: Any = integer(content[name]) if dtype is int else content[name]
    if dtype is float and type(value) is int and abs(value) <= sys.float_info.max:
        value = float(value)
    is_finite = not isinstance(value, float) or math.isfinite(value)
    if type(value) is not dtype or not is_finite or too_large(value):
        raise LineError(line, f"{name}: expected {expected}, got {_shown(content[name])}", name)
    return value


def _shown(value: Any) -> str:
    try:
        return repr(str(value)[:100])
    except RecursionError:  # lists in lists, hundreds of them
        return f"a {type(value).__name__} of many levels"


def too_large(value: Any) -> bool:
    """Return True for an integer of more than 64 bits, which no database and few programs can hold."""
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def integer(value: Any) -> Any:
    """Return 3 for ``3.0``, and any other value as it is: the vendor writes integers with decimals."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def whole(value: Any) -> Any:
    """Return a value in which 3 replaces each ``3.0``; see `integer`.

    :raises RecursionError: if the value has hundreds of levels.
    """
    if isinstance(value, list):
        return [whole(each) for each in value]
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}
    return integer(value)


def lists(value: Any) -> Any:
    """Return a value in which a list replaces each tuple, as JSON has only lists."""
    if isinstance(value, list | tuple):
        return [lists(each) for each in value]
    if isinstance(value, dict):
        return {name: lists(each) for name, each in value.items()}
    return value


def camel(name: str) -> str:
    """Return an attribute's name on the wire: ``sequenceId`` for ``sequence_id``."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
