"""Conversion of one value to one text of a command, by ``protocol-tma2022.rst``, "Field types in commands".

The mount reads a command with Python's own `int` and `float`, so the readers here accept the same texts. The
checks of a program's values are stricter: a bool must be a bool, and an enum a member of its enum, as in the
original.

Values only: no Twisted, no I/O. Next to read: ``wire.fields``, the conversions that both protocols share.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from functools import cache
from typing import Any

from mtmount_twisted.wire.fields import FLOAT, INT, Kind, check_any_float, check_int, check_str, one_of, plain


def check_bool(value: Any) -> bool:
    """Return a bool as it is. An integer is not a bool here."""
    value = plain(value)
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def read_bool(text: str) -> bool:
    """Read any integer: zero is False, all others are True."""
    return int(text) != 0


def check_stripped(value: Any) -> str:
    """Return text that can be the last field of a command: without white space at its ends.

    The mount strips white space from both ends of the line before it counts the fields.
    """
    text = check_str(value)
    if not text or text != text.strip():
        raise ValueError(value)
    return text


PLAIN_KINDS: dict[Any, Kind] = {
    int: replace(INT, check=check_int, read=int),
    float: replace(FLOAT, expected="a number", check=check_any_float, read=float),
    bool: one_of("bool", bool, "a bool", check_bool, read_bool, {"0": False, "1": True}),
    str: Kind(
        "stripped",
        str,
        r"text without \r, \n or NUL and with no white space at its ends, not empty",
        check_stripped,
        check_stripped,
        str,
    ),
}
"""The `Kind` of each plain Python type."""


@cache
def kind_of(dtype: type) -> Kind:
    """Return the kind for a Python type: a plain type or an `IntEnum`.

    :raises KeyError: if the protocol has no such type.
    """
    return _enum_kind(dtype) if issubclass(dtype, IntEnum) else PLAIN_KINDS[dtype]


def _enum_kind(enum: type[IntEnum]) -> Kind:
    def check(value: Any) -> IntEnum:
        if not isinstance(value, enum):
            raise ValueError(value)
        return value

    def read(text: str) -> IntEnum:
        return enum(int(text))

    members = ", ".join(f"{int(member)} {member.name}" for member in enum) if len(enum) < 20 else "its codes"
    by_text = {str(int(member)): member for member in enum}
    return one_of("enum", enum, f"a member of {enum.__name__} ({members})", check, read, by_text)
