"""Write the tables of ``docs/reference/translation.rst`` from the translation; `generate` calls it.

The page has its prose and the table of differences by hand above the line `MARK`. Everything below it is
written by this script.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import generate_protocol
from generate_protocol import section, table

from mtmount_twisted.dialects import translate
from mtmount_twisted.dialects.tma2020 import commands as old
from mtmount_twisted.dialects.tma2020.enums import CommandCode
from mtmount_twisted.dialects.tma2022 import commands as new

PAGE = generate_protocol.REFERENCE / "translation.rst"

MARK = (
    ".. What follows is written by docs/generate_translation.py from mtmount_twisted/dialects/translate.py: "
    "make changes there.\n"
)


def named(classes: tuple[type[old.Command] | type[new.Command], ...], join: str) -> str:
    """Return the codes and names of some classes."""
    return join.join(f"{each.command_code:d} ``{each.__name__}``" for each in classes) or "none"


def command_rows() -> Iterator[tuple[str, ...]]:
    """Return a row for each command class of tma2020."""
    for command in old.Commands:
        row = translate.row_of(command)
        yield named((command,), ""), named(row.becomes, " or "), row.how or "the same parameters"


def code_rows() -> Iterator[tuple[str, ...]]:
    """Return a row for each code of tma2020 that has no class."""
    for code in CommandCode:
        if code not in old.CommandDict:
            yield f"{code:d} ``{code.name}``", named(translate.nearest_to(code), " or ")


def backward_rows() -> Iterator[tuple[str, ...]]:
    """Return a row for each command class of tma2022."""
    for command in new.Commands:
        names = " and ".join(f"``{each.__name__}``" for each in translate.BACKWARDS.get(command, ()))
        yield named((command,), ""), names or "none"


def reply_rows() -> Iterator[tuple[str, ...]]:
    """Return a row for each reply that a commander receives."""
    for meaning, row in translate.ANSWERS.items():
        yield f"an answer: {meaning.value}", f"``{row.becomes.__name__}``", row.how
    for event, row in translate.EVENTS.items():
        name = f"{event.reply_id:d} ``{event.__name__}``"
        yield name, f"``{row.becomes.__name__}``", row.how


def tables() -> str:
    """Return everything below `MARK`."""
    return "\n".join(
        (
            section(
                "The commands of tma2020",
                table(("tma2020", "tma2022", "parameters"), "30 35 35", command_rows()),
            ),
            section(
                "The codes of tma2020 without a class",
                table(("tma2020", "nearest command of tma2022"), "50 50", code_rows()),
            ),
            section(
                "The commands of tma2022 for a program of tma2020",
                table(("tma2022", "tma2020"), "50 50", backward_rows()),
            ),
            section("The replies", table(("tma2022", "tma2020", "fields"), "30 20 50", reply_rows())),
        )
    )


def generated() -> Iterator[tuple[Path, str]]:
    """Return the page with its text."""
    by_hand, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE.name}: expected this line above the tables:\n{MARK}")
    yield PAGE, f"{by_hand}{mark}\n{tables()}"
