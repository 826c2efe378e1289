"""Hypothesis strategies for messages, made from their declarations: valid and malformed.

A new message class or field needs nothing here, only a new kind of field does.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mtmount_twisted.commands import Command, Commands
from mtmount_twisted.replies import Replies
from mtmount_twisted.wire.messages import BaseMessage, FieldInfo

# No timed tests: a busy machine must not make one fail.
settings.register_profile("mtmount", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mtmount")

MESSAGE_CLASSES: tuple[type[BaseMessage], ...] = (*Commands, *Replies)


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a file of vectors in ``tests/data``."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", name)
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def table(name: str) -> list[str]:
    """The lines of a table transcribed from ``protocol-tma2020.rst`` into ``tests/data``."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", name)
    with open(path, encoding="utf-8") as lines:
        return lines.read().splitlines()


def texts() -> st.SearchStrategy[str]:
    """Return the valid texts of a field."""
    return st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))


def timestamps() -> st.SearchStrategy[datetime]:
    """Moments that the wire can carry exactly: whole milliseconds."""
    return st.datetimes(timezones=st.just(UTC)).map(
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    )


def values(info: FieldInfo) -> st.SearchStrategy[Any]:
    """Every value that this field may have."""
    if info.kind.name == "enum":
        return st.sampled_from(list(info.dtype))  # type: ignore[call-overload]
    return {
        "int": st.integers(),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "bool": st.booleans(),
        "str": texts(),
        "timestamp": timestamps(),
    }[info.kind.name]


def bad_values(info: FieldInfo) -> st.SearchStrategy[Any]:
    """Values that this field must refuse from a program."""
    never = st.sampled_from([[], {}, object(), 1j, b"1"])
    if info.required:
        never |= st.none()
    if info.kind.name == "enum":
        members = {int(member) for member in info.dtype}  # type: ignore[attr-defined]
        return never | st.integers().filter(lambda number: number not in members) | st.text()
    forbidden = st.builds("{}{}{}".format, texts(), st.sampled_from(["\r", "\n", "\0", "\ud800"]), texts())
    return (
        never
        | {
            "int": st.floats() | st.text() | st.booleans(),
            "float": st.sampled_from([float("nan"), float("inf"), -float("inf"), 10**400]) | st.text(),
            "bool": st.integers().filter(lambda number: number not in (0, 1)) | st.floats() | st.text(),
            "str": st.integers() | st.binary() | forbidden,
            "timestamp": st.datetimes() | st.integers() | st.floats(),
        }[info.kind.name]
    )


def bad_texts(info: FieldInfo) -> st.SearchStrategy[str]:
    """Wire texts, without a separator, that this field must refuse; `nothing` for a text field."""
    if info.kind.name == "str":
        return st.nothing()
    common = st.sampled_from(
        ["x", "1_0", "\t1", "1\t", "\u0661", "1 2", "+-1", "--1", "1\u00a0", "None", "True"]
    )
    return (
        common
        | {
            "int": st.sampled_from(["1.0", "1e3", "0x1", "nan"]),
            "float": st.sampled_from(["nan", "inf", "-inf", "1e400", "1.2.3", "0x1p3", "infinity", "1e"]),
            "bool": st.sampled_from(["1.0", "yes", "false"]),
            "enum": st.sampled_from(["1.0", "-5555", "99999", "CSC"]),
            "timestamp": st.sampled_from(
                ["yesterday", "2020-13-45T99:00:00.000", "2020-02-27T14:48:27.469+00:00", "2020-02", "0"]
            ),
        }[info.kind.name]
    )


def parameters(cls: type[BaseMessage]) -> st.SearchStrategy[dict[str, Any]]:
    """Keyword arguments that make a message of this class, with all its fields."""
    every = {info.name: values(info) for info in cls.field_infos if not info.constant}
    if cls.has_extra_data:
        every["extra_data"] = st.lists(texts()).map(tuple)
    return st.fixed_dictionaries(every)


def messages(cls: type[BaseMessage]) -> st.SearchStrategy[BaseMessage]:
    """Messages of this class."""
    return parameters(cls).map(lambda given: cls(**given))


def any_message() -> st.SearchStrategy[BaseMessage]:
    """Messages of every class."""
    return st.sampled_from(MESSAGE_CLASSES).flatmap(messages)


def line_of(message: BaseMessage) -> bytes:
    """Return the line of a message: its bytes without the terminator."""
    return message.encode().removesuffix(b"\r\n")


def is_command(message: BaseMessage) -> bool:
    """True for a command, False for a reply."""
    return isinstance(message, Command)


@st.composite
def mutated_lines(draw: st.DrawFn) -> bytes:
    """Lines of real messages with a few bytes, or whole fields, changed, dropped or added."""
    line = line_of(draw(any_message()))
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            fields = line.split(b"\n")
            at = draw(st.integers(0, len(fields) - 1))
            fields[at : at + draw(st.integers(0, 1))] = draw(st.lists(st.binary(max_size=12), max_size=2))
            line = b"\n".join(fields)
        else:
            at = draw(st.integers(0, len(line)))
            line = line[:at] + draw(st.binary(max_size=4)) + line[at + draw(st.integers(0, 4)) :]
    return line
