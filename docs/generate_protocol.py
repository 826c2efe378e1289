"""Write the tables of the two protocol pages from the message classes; `generate` calls it.

Each page of ``docs/reference/protocol-*.rst`` has its prose by hand above the line `MARK`, and below it the
tables of messages that this script writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2020 import commands, enums, replies
from mtmount_twisted.wire.messages import FieldInfo

REFERENCE = Path(__file__).resolve().parent / "reference"

MARK = (
    ".. What follows is written by docs/generate_protocol.py from the message classes: make changes there.\n"
)

ENUMS_TMA2020 = (enums.Source, enums.Commander, enums.SubsystemId)
ENUMS_TMA2022 = (
    *(tma2022.enums.Source, tma2022.enums.System, tma2022.enums.PowerState, tma2022.enums.AxisMotionState),
    *(tma2022.enums.DeployableMotionState, tma2022.enums.ElevationLockingPinMotionState),
    *(
        tma2022.enums.ThermalMode,
        tma2022.enums.ChillerMode,
        tma2022.enums.LimitsMask,
        tma2022.enums.SubsystemId,
    ),
)


def section(title: str, text: str) -> str:
    """Return a section of a page."""
    return f"{title}\n{'-' * len(title)}\n\n{text}\n"


def table(headings: Iterable[str], widths: str, rows: Iterable[Iterable[str]]) -> str:
    """Return a ``list-table``; a cell of several lines is a list."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in (headings, *rows):
        for number, cell in enumerate(row):
            first, *others = cell.split("\n")
            lines.append(f"   {'* -' if number == 0 else '  -'} {first}".rstrip())
            lines += [f"       {each}".rstrip() for each in others]
    return "\n".join(lines) + "\n"


def type_name(dtype: Any) -> str:
    """Return the name of a type, as the pages write it."""
    if dtype is datetime:
        return "timestamp"
    members = [each for each in get_args(dtype) if each is not type(None) and each is not Ellipsis]
    if not members:
        return str(dtype.__name__)
    if str(dtype).startswith("tuple"):
        return f"list of {type_name(members[0])}"
    if str(dtype).startswith("dict"):
        return "object"
    return " or ".join(dict.fromkeys(map(type_name, members)))


def field_text(info: FieldInfo) -> str:
    """Return a field of a text message: its name, type, unit and default."""
    text = f"``{info.name}``: {type_name(info.dtype)}"
    if info.unit:
        text += f", {info.unit}"
    if info.default is not None and info.factory is None and info.default != ():
        default = info.default.name if isinstance(info.default, IntEnum) else f"{info.default:g}"
        text += f", default {default}"
    return text


def items(texts: Iterable[str]) -> str:
    """Return texts as a list in a cell."""
    given = list(texts)
    return "none" if not given else given[0] if len(given) == 1 else "\n".join(f"* {each}" for each in given)


def command_rows(module: ModuleType) -> Iterator[tuple[str, ...]]:
    """Return a row for each command class of a dialect."""
    for command in module.Commands:
        parameters = command.field_infos[module.NUM_HEADER_FIELDS :]
        answer = (
            "none"
            if command.__name__ == "Heartbeat"
            else "Ack only"
            if command.ack_only
            else "Ack, then an end"
        )
        yield (
            f"{command.command_code:d}",
            f"``{command.__name__}``",
            items(field_text(info) for info in parameters),
            answer,
        )


def reply_rows_tma2020() -> Iterator[tuple[str, ...]]:
    """Return a row for each reply of tma2020."""
    for reply in replies.Replies:
        texts = [field_text(info) for info in reply.field_infos if not info.constant]
        if "extra_data" in reply.__annotations__:
            texts.append("``extra_data``: any number of str fields")
        yield f"{reply.reply_code:d}", f"``{reply.__name__}``", items(texts)


def reply_rows_tma2022() -> Iterator[tuple[str, ...]]:
    """Return a row for each reply of tma2022."""
    for reply in tma2022.replies.Replies:
        texts = []
        for info in reply.field_infos[2:]:  # behind the time stamp and the commander, which each one may have
            unit = f", {info.unit}" if info.unit else ""
            optional = "" if info.required else ", may be left out"
            texts.append(f"``{info.wire_name}``: {type_name(info.dtype)}{unit}{optional}")
        yield f"{reply.reply_id:d}", f"``{reply.__name__}``", items(texts)


def topic_rows() -> Iterator[tuple[str, ...]]:
    """Return a row for each telemetry topic."""
    for topic in tma2022.telemetry.Topics:
        texts: dict[str, list[str]] = {}
        for info in topic.field_infos:
            if not info.measured:
                name = f"``{info.wire_name}``" + (f" ({info.count})" if info.count > 1 else "")
                texts.setdefault(info.unit or type_name(info.dtype), []).append(name)
        period = f"{topic.period:g}" if topic.period else "unknown"
        quantities = items(f"{unit}: {', '.join(names)}" for unit, names in texts.items())
        yield f"{topic.topic_id:d}", f"``{topic.topic}``", period, quantities


def enum_rows(chosen: Iterable[type[Any]]) -> Iterator[tuple[str, ...]]:
    """Return a row for each enumeration."""
    for enum in chosen:
        yield f"``{enum.__name__}``", ", ".join(f"{member.value} ``{member.name}``" for member in enum)


def tables_tma2020() -> str:
    """Return the tables of the protocol tma2020."""
    return "\n".join(
        (
            section(
                "The commands",
                table(("code", "class", "parameters", "replies"), "8 27 50 15", command_rows(commands)),
            ),
            section(
                "The replies",
                table(("code", "class", "fields behind the code"), "8 27 65", reply_rows_tma2020()),
            ),
            section("The enumerations", table(("name", "values"), "20 80", enum_rows(ENUMS_TMA2020))),
        )
    )


def tables_tma2022() -> str:
    """Return the tables of the protocol tma2022."""
    return "\n".join(
        (
            section(
                "The commands",
                table(
                    ("code", "class", "parameters", "replies"), "8 27 50 15", command_rows(tma2022.commands)
                ),
            ),
            section(
                "The replies and events",
                table(("id", "class", "parameters"), "8 27 65", reply_rows_tma2022()),
            ),
            section(
                "The telemetry topics",
                table(
                    ("topicID", "topic", "period (s)", "quantities by unit; (n): an array of n"),
                    "8 22 10 60",
                    topic_rows(),
                ),
            ),
            section("The enumerations", table(("name", "values"), "20 80", enum_rows(ENUMS_TMA2022))),
        )
    )


def page(path: Path, tables: str) -> str:
    """Return the text of a page with its tables made anew; all above `MARK` stays."""
    by_hand, mark, _ = path.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{path.name}: expected this line above the tables:\n{MARK}")
    return f"{by_hand}{mark}\n{tables}"


def generated() -> Iterator[tuple[Path, str]]:
    """Return each page with the text that belongs in it."""
    for name, tables in (
        ("protocol-tma2020.rst", tables_tma2020()),
        ("protocol-tma2022.rst", tables_tma2022()),
    ):
        yield REFERENCE / name, page(REFERENCE / name, tables)


if __name__ == "__main__":
    for path, text in generated():
        path.write_text(text, encoding="utf-8")
