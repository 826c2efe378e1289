"""One value <-> one wire string: the types that a field of a message may have.

A `Kind` is a type of the protocol as plain data: how a value is checked when a message is
made, how it is read from the wire, and how it is written. Nothing here knows of messages;
a wrong value is a bare `ValueError`, and `messages` says which field of which message it was.

Next to read: `framing` (fields <-> bytes), `messages` (fields with names).
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
"""All that a number on the wire may be made of; `int` and `float` alone take more."""
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

    :ivar name: what the protocol calls it: ``int``, ``float``, ``bool``, ``enum``, ``str``
        or ``timestamp``.
    :ivar dtype: the Python type of its values.
    :ivar expected: what a right value is, in words, for error messages.
    :ivar check: a value that a program gave -> the value to keep; `ValueError` if it is bad.
    :ivar read: wire text -> value; `ValueError` if it is bad.
    :ivar write: value -> wire text.
    :ivar by_text: the wire's usual text -> value, where a value is one of a few; else empty.
    :ivar text_of: the same the other way.
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
    """Python's own value for a scalar of numpy, told without importing numpy; else as it is."""
    return value.item() if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0 else value


def check_int(value: Any) -> int:
    """An int, or what Python takes as one (such as numpy's), but no bool."""
    value = plain(value)
    if isinstance(value, bool):
        raise ValueError(value)
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(value) from None
    str(number)  # a number too long to write is a ValueError now and not when it is sent
    return number


def read_int(text: str) -> int:
    """ASCII decimal with an optional sign and surrounding spaces; `int` alone takes more."""
    if text.strip(_INT_CHARACTERS):
        raise ValueError(text)
    return int(text)


def check_float(value: Any) -> float:
    """A finite float, or a number that converts to one, but no bool and no text."""
    return _finite(check_any_float(value))


def check_any_float(value: Any) -> float:
    """Return a number as a float, infinite or not a number included, but no bool and no text."""
    value = plain(value)
    if isinstance(value, (bool, str)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise ValueError(value)  # `float` alone would also read text out of any buffer
    try:
        return float(value)
    except (TypeError, OverflowError):
        raise ValueError(value) from None


def read_float(text: str) -> float:
    """ASCII decimal with an optional sign, exponent and surrounding spaces; must be finite."""
    if text.strip(NUMERIC_CHARACTERS):
        raise ValueError(text)
    return _finite(float(text))


def _finite(number: float) -> float:
    if -_INFINITY < number < _INFINITY:
        return number
    raise ValueError(number)


def check_bool(value: Any) -> bool:
    """True or False, or the integers 1 or 0."""
    try:
        number = operator.index(plain(value))
    except TypeError:
        raise ValueError(value) from None
    if number not in (0, 1):
        raise ValueError(value)
    return bool(number)


def read_bool(text: str) -> bool:
    """Any integer: zero is False, all others are True."""
    return read_int(text) != 0


def check_str(value: Any) -> str:
    r"""Text without ``\r``, ``\n`` or NUL, since the protocol has no escape, and encodable."""
    if not isinstance(value, str) or _FORBIDDEN_IN_TEXT.search(value):
        raise ValueError(value)
    if not value.isascii():
        value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    return str.__str__(value)  # the text that was checked, whatever a subclass makes of `str`


def check_timestamp(value: Any) -> datetime:
    """An aware `datetime`, taken to UTC, or the wire's text for one."""
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
    """``2020-02-27T14:48:27.469``, UTC, with any number of decimals, kept to the microsecond.

    As the original reads them, too: a space in place of the ``T``, a ``Z`` at the end, and a date alone,
    which is its midnight.

    A leap second, ``23:59:60.5``, is 23:59:59.5 with ``fold=1``: the second time that the
    clock shows that second, which is also how Linux counts it. It is written back as it came.
    """
    found = _TIMESTAMP.fullmatch(text)  # `fromisoformat` alone takes more
    if found is None:
        raise ValueError(text)
    date, time_of_day, decimals = found[1], found[2] or "00:00:00", (found[3] or "")[:7]
    if time_of_day == "23:59:60":
        return datetime.fromisoformat(f"{date}T23:59:59{decimals}+00:00").replace(fold=1)
    return datetime.fromisoformat(f"{date}T{time_of_day}{decimals}+00:00")


def write_timestamp(value: datetime) -> str:
    """ISO 8601 with three decimals and no zone; finer decimals are cut off."""
    # Thrice as fast as `isoformat`, and most of what encoding a message costs.
    second = value.second
    if value.fold and second == 59 and value.minute == 59 and value.hour == 23:
        second = 60
    return (
        f"{value.year:04}-{_TWO_DIGITS[value.month]}-{_TWO_DIGITS[value.day]}"
        f"T{_TWO_DIGITS[value.hour]}:{_TWO_DIGITS[value.minute]}:{_TWO_DIGITS[second]}"
        f".{_THREE_DIGITS[value.microsecond // 1000]}"
    )


def utc_now() -> datetime:
    """The current time in UTC, cut to the millisecond, which is what the wire can carry."""
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
    """A kind with few values, each of them in `by_text`; `read` is for their unusual texts."""
    text_of = {value: text for text, value in by_text.items()}

    def read_usual(text: str) -> Any:
        return by_text[text] if text in by_text else read(text)

    return Kind(name, dtype, expected, check, read_usual, text_of.__getitem__, by_text, text_of)


BOOL = one_of("bool", bool, "a bool, 0 or 1", check_bool, read_bool, {"0": False, "1": True})
_PLAIN_KINDS = {kind.dtype: kind for kind in (INT, FLOAT, BOOL, STR, TIMESTAMP)}


@cache
def kind_of(dtype: type) -> Kind:
    """The kind whose values are of this Python type: a plain type or an `IntEnum`.

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
