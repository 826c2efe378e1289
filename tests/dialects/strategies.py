"""Messages of the protocol tma2022, for Hypothesis, and their vectors."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022.replies import Reply, SettingsSet
from mtmount_twisted.dialects.tma2022.telemetry import Topic
from tests.support import strategies


def line_of(row: dict[str, Any]) -> bytes:
    """The line of a vector, without its terminator."""
    wire: bytes = row["wire"].encode()
    return wire.removesuffix(b"\r\n")


def stripped_texts() -> st.SearchStrategy[str]:
    """Text that the last field of a command may hold."""
    return strategies.texts().filter(lambda text: text == text.strip() != "")


def command_values(kind: Any) -> st.SearchStrategy[Any]:
    """Every value that a parameter of a command may have."""
    if kind.name == "enum":
        return st.sampled_from(list(kind.dtype))
    return {"int": st.integers(), "float": st.floats(), "bool": st.booleans(), "stripped": stripped_texts()}[
        kind.name
    ]


@st.composite
def commands(draw: st.DrawFn) -> tma2022.commands.Command:
    """Commands of every class."""
    cls = draw(st.sampled_from(tma2022.commands.Commands))
    fields = [info for info in cls.field_infos if not info.constant]
    return cls(**{info.name: draw(command_values(info.kind)) for info in fields})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
GROUPS = st.dictionaries(st.text(), JSON, max_size=3)

_SETS = st.builds(SettingsSet, st.text(), st.text(), st.text(), st.text())


def parameter_values(info: Any) -> st.SearchStrategy[Any]:
    """Every value that a parameter of a reply may have."""
    if info.dtype in (dict[str, Any], dict[str, Any] | None):
        found: st.SearchStrategy[Any] = GROUPS
    elif info.name == "sets":
        found = st.lists(_SETS, max_size=3).map(tuple)
    elif info.dtype is int:
        found = st.integers(0, 2**63 - 1)
    else:
        found = st.from_type(info.dtype)
        if "float" in str(info.dtype):  # NaN equals nothing
            found = found.filter(lambda value: "nan" not in repr(value))
    return found if info.required else st.none() | found


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Replies of every class, and unknown ones."""
    cls = draw(st.sampled_from([*tma2022.replies.Replies, tma2022.UnknownReply]))
    if cls is tma2022.UnknownReply:
        known = tma2022.replies.ReplyDict
        ids = st.integers(-(2**60), 2**60).filter(lambda number: number not in known)
        parameters = draw(GROUPS.filter(lambda it: "commander" not in it))
        return cls(id=draw(ids), timestamp=draw(finite), parameters=parameters)
    values = {info.name: draw(parameter_values(info)) for info in cls.field_infos if info.name != "timestamp"}
    return cls(timestamp=draw(finite), **values)


finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def topics(draw: st.DrawFn) -> Topic:
    """Topics of every class, some of whose quantities are missing, and unknown ones."""
    cls = draw(st.sampled_from([*tma2022.telemetry.Topics[:9], tma2022.UnknownTopic]))
    if cls is tma2022.UnknownTopic:
        values = draw(GROUPS.filter(lambda it: not {"topicID", "timestamp"} & set(it)))
        return cls(topic_id=draw(st.integers(28, 2**60)), timestamp=draw(finite), values=values)
    given = draw(st.lists(st.sampled_from(cls.field_infos), max_size=5))
    one = {float: finite, int: st.integers(0, 2**60), bool: st.booleans()}
    values = {}
    for info in given:
        kind, count = one[info.dtype], info.count
        values[info.name] = draw(kind if count == 1 else st.lists(kind, min_size=count, max_size=count))
    return cls(timestamp=draw(finite), **values)


_PIECES = [b"null", b"NaN", b"3.0", b"1e999", b'"', b"\\", b"{", b"]", b"9" * 30]


@st.composite
def damaged(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """Lines with a few bytes changed, dropped or added."""
    line = draw(lines)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(line)))
        new = draw(st.binary(max_size=4) | st.sampled_from(_PIECES))
        line = line[:at] + new + line[at + draw(st.integers(0, 4)) :]
    return line
