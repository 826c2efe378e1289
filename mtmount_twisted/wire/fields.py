"""Conversion of one value to one wire text and back, for each type that a field may have.

A `Kind` describes a type of the protocol as plain data: functions that check a program's value, read a wire
text and write a value. This module knows no messages: a bad value is a bare `ValueError`, and `messages`
adds the names of the message and the field.

Pure, except `utc_now`. Next to read: `messages` (named fields); `lines` (fields to bytes).
"""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from functools import cache
from typing import Any

_INT_CHARACTERS = "0123456789+- "
NUMERIC_CHARACTERS = "0123456789+-.eE "
"""All characters of a number on the wire. `int` and `float` alone accept more, such as other digits."""
_FORBIDDEN_IN_TEXT = re.compile("[\r\n\0]")
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d|23:59:60)(\.\d+)?Z?)?", re.ASCII
)
_TWO_DIGITS = tuple(f"{number:02}" for number in range(61))
_THREE_DIGITS = tuple(f"{number:03}" for number in range(1000))
_INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type that a field may have.

    :ivar name: the protocol's name of the type: ``int``, ``float``, ``bool``, ``enum``, ``str``
        or ``timestamp``.
    :ivar dtype: the Python type of its values.
    :ivar expected: description of a valid value, for error messages.
    :ivar check: function from a program's value to the value to keep; it raises `ValueError`.
    :ivar read: function from a wire text to a value; it raises `ValueError`.
    :ivar write: function from a value to its wire text.
    :ivar by_text: value by its usual wire text, if the type has few values; else empty.
    :ivar text_of: wire text by value; the inverse of `by_text`.
    """

    name: str
    dtype: type
    expected: str
    check: Callable[[Any], Any]
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    by_text: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    text_of: Mapping[Any, str] = field(default_factory=dict, repr=False, compare=False)


def plain(value: Any) -> Any:
    """Return Python's own scalar for a numpy scalar; other values as they are. numpy is not imported."""
    return value.item() if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0 else value


def check_int(value: Any) -> int:
    """Return an integer as an int, numpy's included. A bool is not an integer here."""
    value = plain(value)
    if isinstance(value, bool):
        raise ValueError(value)
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(value) from None
    str(number)  # raises ValueError now, and not at sending, for a number too long to write
    return number


def read_int(text: str) -> int:
    """Read an ASCII decimal with an optional sign and surrounding spaces. `int` alone accepts more."""
    if text.strip(_INT_CHARACTERS):
        raise ValueError(text)
    return int(text)


def check_float(value: Any) -> float:
    """Return a finite number as a float. A bool or a text is not a number here."""
    return _finite(check_any_float(value))


def check_any_float(value: Any) -> float:
    """Return a number as a float, NaN and infinity included. A bool or a text is not a number here."""
    value = plain(value)
    if isinstance(value, (bool, str)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise ValueError(value)  # `float` alone also reads text out of any buffer
    try:
        return float(value)
    except (TypeError, OverflowError):
        raise ValueError(value) from None


def read_float(text: str) -> float:
    """Read a finite ASCII decimal with an optional sign, exponent and surrounding spaces."""
    if text.strip(NUMERIC_CHARACTERS):
        raise ValueError(text)
    return _finite(float(text))


def _finite(number: float) -> float:
    if -_INFINITY < number < _INFINITY:
        return number
    raise ValueError(number)


def check_bool(value: Any) -> bool:
    """Return True or False for a bool, 1 or 0."""
    try:
        number = operator.index(plain(value))
    except TypeError:
        raise ValueError(value) from None
    if number not in (0, 1):
        raise ValueError(value)
    return bool(number)


def read_bool(text: str) -> bool:
    """Read any integer: zero is False, all others are True."""
    return read_int(text) != 0


def check_str(value: Any) -> str:
    r"""Return text that UTF-8 can encode, without ``\r``, ``\n`` or NUL: the protocol has no escape."""
    if not isinstance(value, str) or _FORBIDDEN_IN_TEXT.search(value):
        raise ValueError(value)
    if not value.isascii():
        value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    return str.__str__(value)  # the text that was checked: a subclass may override `__str__`


def check_timestamp(value: Any) -> datetime:
    """Return an aware `datetime`, or the wire's text for one, as a `datetime` in UTC."""
    if isinstance(value, str):
        return read_timestamp(value)
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError(value)
    if value.tzinfo is UTC:
        return value
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(value) from None


def read_timestamp(text: str) -> datetime:
    """Read ``2020-02-27T14:48:27.469``, UTC, with any number of decimals; keep microseconds.

    Like the observatory's code, this function also accepts a space in place of the ``T``, a ``Z`` at the end,
    and a date alone, which means its midnight.

    A leap second, ``23:59:60.5``, becomes 23:59:59.5 with ``fold=1``: the second time that the clock shows
    that second. Linux counts it in the same way. `write_timestamp` writes it as ``23:59:60.5`` again.
    """
    found = _TIMESTAMP.fullmatch(text)  # `fromisoformat` alone accepts more
    if found is None:
        raise ValueError(text)
    date, time_of_day, decimals = found[1], found[2] or "00:00:00", (found[3] or "")[:7]
    if time_of_day == "23:59:60":
        return datetime.fromisoformat(f"{date}T23:59:59{decimals}+00:00").replace(fold=1)
    return datetime.fromisoformat(f"{date}T{time_of_day}{decimals}+00:00")


def write_timestamp(value: datetime) -> str:
    """Return ISO 8601 text with three decimals and no zone; finer decimals are cut off."""
    # Three times as fast as `isoformat`; this is most of the cost of encoding a message.
    second = value.second
    if value.fold and second == 59 and value.minute == 59 and value.hour == 23:
        second = 60
    return (
        f"{value.year:04}-{_TWO_DIGITS[value.month]}-{_TWO_DIGITS[value.day]}"
        f"T{_TWO_DIGITS[value.hour]}:{_TWO_DIGITS[value.minute]}:{_TWO_DIGITS[second]}"
        f".{_THREE_DIGITS[value.microsecond // 1000]}"
    )


def utc_now() -> datetime:
    """Return the current time in UTC, cut to the millisecond, the resolution of the wire."""
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


INT = Kind("int", int, "an integer", check_int, read_int, str)
FLOAT = Kind("float", float, "a finite number", check_float, read_float, str)
STR = Kind("str", str, r"text without \r, \n or NUL that UTF-8 can encode", check_str, check_str, str)
TIMESTAMP = Kind(
    "timestamp",
    datetime,
    "an aware datetime, or UTC as 2020-02-27T14:48:27.469",
    check_timestamp,
    read_timestamp,
    write_timestamp,
)


def one_of(
    name: str,
    dtype: type,
    expected: str,
    check: Callable[[Any], Any],
    read: Callable[[str], Any],
    by_text: dict[str, Any],
) -> Kind:
    """Return a kind with few values. `by_text` has their usual texts; `read` reads unusual ones."""
    text_of = {value: text for text, value in by_text.items()}

    def read_usual(text: str) -> Any:
        return by_text[text] if text in by_text else read(text)

    return Kind(name, dtype, expected, check, read_usual, text_of.__getitem__, by_text, text_of)


BOOL = one_of("bool", bool, "a bool, 0 or 1", check_bool, read_bool, {"0": False, "1": True})
_PLAIN_KINDS = {kind.dtype: kind for kind in (INT, FLOAT, BOOL, STR, TIMESTAMP)}


@cache
def kind_of(dtype: type) -> Kind:
    """Return the kind for a Python type: a plain type or an `IntEnum`.

    :raises TypeError: if the protocol has no such type.
    """
    if issubclass(dtype, IntEnum):
        return _enum_kind(dtype)
    try:
        return _PLAIN_KINDS[dtype]
    except KeyError:
        raise TypeError(f"a field can't be a {dtype.__name__}") from None


def _enum_kind(enum: type[IntEnum]) -> Kind:
    def check(value: Any) -> IntEnum:
        return value if isinstance(value, enum) else enum(check_int(value))

    def read(text: str) -> IntEnum:
        return enum(read_int(text))

    by_text = {str(int(member)): member for member in enum}
    members = ", ".join(f"{int(member)} {member.name}" for member in enum) if len(enum) < 20 else "its codes"
    return one_of("enum", enum, f"a {enum.__name__} ({members})", check, read, by_text)
