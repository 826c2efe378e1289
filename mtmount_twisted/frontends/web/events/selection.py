"""The selection of events by kind and peer, and the faults of a malformed selection.

Values only. Next to read: `shapes`, which determines the kind of a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, TypeVar

from msgspec import Meta

from mtmount_twisted.dialects.dialect import Dialect, dialect_translated_to
from mtmount_twisted.frontends.web.http.calls import Fault, Parameter, RequestError, names_in
from mtmount_twisted.journal.schema import CHANGES

from .shapes import TYPES, UNREADABLE, Row

T = TypeVar("T")

NOTICE = "notice"
"""The table name of events for listeners that no table of the journal holds."""

GONE = "gone"
"""The notice that some events are missing: every selection takes it."""

REQUEST = "request"
"""The notice that a commander asks for command."""

MAX_NAMES = 100
"""The largest number of kinds, and of peers, that one selection may name."""

_CHANGES = frozenset(CHANGES)
_TYPES = frozenset((*TYPES.values(), REQUEST))
_CHANGE = "lease_granted"
_NUMBERED = re.compile(r"code -?\d{1,10}", re.ASCII)


def selection_parameters(dialect: Dialect) -> tuple[Parameter, ...]:
    """Return the parameters that `read_selection` reads."""
    first_reply = next(iter(dialect.reply_names.values()))
    return (
        Parameter(
            "kind",
            "query",
            Annotated[str, Meta(examples=["message,step", first_reply])],
            "Types of entry, names of codes and kinds of changes, with commas between.",
        ),
        Parameter(
            "peer",
            "query",
            Annotated[str, Meta(examples=["controller"])],
            "Names of peers, with commas between.",
        ),
    )


@cache
def _kinds(dialect: Dialect) -> frozenset[str]:
    """Return the kinds of changes and of messages. They include the messages of clients that speak another
    dialect than the controller."""
    spoken = filter(None, (dialect, dialect_translated_to(dialect)))
    names = (name for each in spoken for name in (*each.command_names.values(), *each.reply_names.values()))
    return frozenset((*names, UNREADABLE, *CHANGES))


def _expected(dialect: Dialect) -> str:
    replies = [*dialect.reply_names.values()]
    codes = f"{replies[0]}, {replies[-1]}, {dialect.command_names[dialect.example]} or 'code 1234'"
    return f"{', '.join(sorted(_TYPES))}, a change such as {_CHANGE}, or a code such as {codes}"


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a request selects; an empty set selects all.

    :ivar types: ``message``, ``step``, ``change``, ``request``.
    :ivar kinds: names of codes and of changes; the selection takes a row if it names the row's type or kind.
    """

    types: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()

    @property
    def selected_types(self) -> frozenset[str]:
        """The types of the rows that the selection can take; empty if it can take all."""
        if self.kinds - _CHANGES:
            return frozenset()
        return self.types | {"change"} if self.kinds else self.types

    def takes(self, row: Row) -> bool:
        """Return True if the selection takes a row."""
        entry = row.entry
        if row.kind == GONE and entry.table == NOTICE:
            return True
        return self.takes_kind(TYPES.get(entry.table, entry.what), row.kind, entry.peer)

    def takes_kind(self, type: str, kind: str, peer: str) -> bool:
        """Return True if the selection takes an entry of a type, a kind and a peer."""
        if self.peers and peer not in self.peers:
            return False
        if not (self.types or self.kinds):
            return True
        return type in self.types or kind in self.kinds


def read_selection(query: Mapping[str, str], faults: list[Fault], dialect: Dialect) -> Selection:
    """Return the selection of the parameters ``kind`` and ``peer``, lists with commas.

    :param faults: receives a fault for each unreadable list.
    """
    names = _names(query, "kind", faults)
    for name in names:
        if name not in _TYPES | _kinds(dialect) and _NUMBERED.fullmatch(name) is None:
            why = f"there is no kind {name[:80]!r}; expected {_expected(dialect)}"
            faults.append(Fault("query.kind", why))
    return Selection(names & _TYPES, names - _TYPES, _names(query, "peer", faults))


def _names(query: Mapping[str, str], parameter: str, faults: list[Fault]) -> frozenset[str]:
    if parameter not in query:
        return frozenset()
    names = [name.strip() for name in query[parameter].split(",")]
    if len(names) > MAX_NAMES:
        faults.append(Fault(f"query.{parameter}", f"expected at most {MAX_NAMES} names, got {len(names)}"))
        return frozenset()
    if "" in names:
        faults.append(
            Fault(f"query.{parameter}", f"expected names with commas between, got {query[parameter][:80]!r}")
        )
    return frozenset(names) - {""}


def read_value(
    query: Mapping[str, str], name: str, read: Callable[[str], T], otherwise: T, faults: list[Fault]
) -> T:
    """Return the value of a parameter of a query.

    :param read: reads the text; it raises `ValueError` with the expected text.
    :param otherwise: the value of a parameter that is missing or has a fault.
    :param faults: receives the fault.
    """
    try:
        return read(query[name]) if name in query else otherwise
    except ValueError as error:
        faults.append(Fault(f"query.{name}", str(error)))
        return otherwise


def unknown(query: Mapping[str, str], parameters: Sequence[Parameter]) -> list[Fault]:
    """Return a fault for each unknown parameter of a query."""
    known = names_in("query", parameters)
    why = f"there is no such parameter; expected {', '.join(known)}"
    return [Fault(f"query.{name[:80]}", why) for name in query if name not in known]


def refuse(faults: list[Fault]) -> None:
    """Raise `RequestError` if there are faults."""
    if faults:
        raise RequestError(422, "the query has faults", tuple(faults))
