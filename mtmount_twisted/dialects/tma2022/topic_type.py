"""Declaration of telemetry topics: a class body declares a topic, and `msgspec` reads it.

On the wire a topic is flat: an array ``x`` of 2 is ``x1`` and ``x2``, with ``x1Timestamp`` and
``x2Timestamp``. `TopicType`, the metaclass, makes a `msgspec.Struct` with all these members, and one
attribute for the array.

Values only: no Twisted, no I/O. Next to read: `telemetry`, the classes; `reply_type`, the same for replies.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, dataclass_transform, get_args, get_origin

import msgspec
from msgspec import UNSET, StructMeta, UnsetType

from mtmount_twisted.errors import FieldError, PositionalFieldError, UnknownFieldError
from mtmount_twisted.wire.fields import plain

from .json_lines import BIT, WHOLE, camel
from .reply_type import documented, evaluated, signature

MISSING = float("nan")
"""Value of a number that a line lacks. The identity of this object distinguishes it from a received NaN."""


@dataclass(frozen=True, slots=True)
class QuantityInfo:
    """Description of one quantity of a topic, or of the time stamps of a quantity.

    :ivar name: name of the quantity and of the attribute.
    :ivar wire_name: name on the wire; the members of an array add a number to it.
    :ivar doc: meaning.
    :ivar unit: unit, such as ``deg/s``; empty if there is none.
    :ivar dtype: type of one value: float, int or bool.
    :ivar count: number of values; 1 if it is not an array.
    :ivar measured: for time stamps, the name of their quantity; empty for a quantity.
    """

    name: str
    wire_name: str
    doc: str
    unit: str
    dtype: type
    count: int
    measured: str

    @property
    def expected(self) -> str:
        """Description of a valid value, for error messages."""
        of = f"{self.dtype.__name__} in {self.unit}" if self.unit else self.dtype.__name__
        return of if self.count == 1 else f"a sequence of {self.count} {of}"

    @property
    def described(self) -> str:
        """Name, type, unit and meaning in one line, for a person."""
        return f"{self.name} ({self.expected}): {self.doc}"

    @property
    def members(self) -> list[tuple[str, str]]:
        """Return the attribute of the Struct and the name on the wire for each value."""
        if self.count == 1:
            return [(self.name, self.wire_name)]
        base, end = (
            (self.wire_name, "") if not self.measured else (self.wire_name[: -len("Timestamp")], "Timestamp")
        )
        return [(f"{self.name}__{number}", f"{base}{number}{end}") for number in range(1, self.count + 1)]

    def check(self, topic_name: str, value: Any) -> list[Any]:
        """Return the values to keep for a program's value.

        :raises FieldError: if a value is not of the quantity's type, or if there are too many or too few.
        """
        absent: Any = MISSING if self.dtype is float else UNSET
        dtype = WHOLE if self.dtype is int else self.dtype
        if value is None and self is _TIMESTAMP:
            raise FieldError(topic_name, self.name, value, f"{self.expected} (it is required)")
        if value is None:
            return [absent] * self.count
        values = [value] if self.count == 1 else value
        try:
            if isinstance(values, str) or (
                not isinstance(values, Sequence) and not hasattr(values, "__array__")
            ):
                raise ValueError(values)
            kept = [absent if one is None else msgspec.convert(plain(one), dtype) for one in values]
        except (ValueError, OverflowError):
            raise FieldError(topic_name, self.name, value, self.expected) from None
        if len(kept) != self.count:
            raise FieldError(topic_name, self.name, value, self.expected)
        return kept


@dataclass(frozen=True, slots=True)
class _Declared:
    """Placeholder that `measured` and `measured_at` put into a class body; `TopicType` replaces it."""

    doc: str
    unit: str
    count: int
    wire_name: str
    measured: str


def measured(doc: str, *, unit: str = "", count: int = 1, wire_name: str = "") -> Any:
    """Declare one quantity of a topic. The annotation gives its type; see `QuantityInfo`."""
    return _Declared(doc, unit, count, wire_name, "")


def measured_at(quantity: str) -> Any:
    """Declare the time stamps of a quantity that is declared above."""
    return _Declared(
        f"When `{quantity}` was measured: TAI seconds since the unix epoch.", "s", 0, "", quantity
    )


def _infos(namespace: dict[str, Any], types: dict[str, Any]) -> list[QuantityInfo]:
    """Remove the declarations from a class body and return them."""
    found: dict[str, QuantityInfo] = {}
    for name, declared in [each for each in namespace.items() if isinstance(each[1], _Declared)]:
        del namespace[name]
        dtype = types.pop(name)
        if declared.measured:
            of = found[declared.measured]
            wire_name, count = f"{of.wire_name}Timestamp", of.count
        else:
            wire_name, count = declared.wire_name or camel(name), declared.count
        one = get_args(dtype)[0] if get_origin(dtype) is tuple else dtype
        one = next(plain_type for plain_type in (float, int, bool) if one in (plain_type, plain_type | None))
        found[name] = QuantityInfo(
            name, wire_name, declared.doc, declared.unit, one, count, declared.measured
        )
    return list(found.values())


def _attribute(info: QuantityInfo) -> property:
    """Return the property for an array."""
    get: Callable[[Any], Any] = attrgetter(*(name for name, _ in info.members))
    dtype = info.dtype
    if dtype is float:
        return property(get, doc=info.doc)
    return property(
        lambda topic: tuple(None if value is UNSET else dtype(value) for value in get(topic)), doc=info.doc
    )


_WIRE_TYPES: dict[type, Any] = {float: float, bool: BIT | UnsetType, int: WHOLE | UnsetType}


# Without specifiers a type checker takes each declaration for a default, so any quantity may be omitted.
@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=())
class TopicType(StructMeta):
    """Metaclass that turns the declarations of a class body into a Struct with the wire's layout."""

    field_infos: tuple[QuantityInfo, ...]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        types = evaluated(namespace)
        infos = _infos(namespace, types)
        options: dict[str, Any] = {"frozen": True}
        if "topic_id" in namespace:
            rename = {}
            types["timestamp"] = float
            for info in infos:
                if info.count > 1:
                    namespace[info.name] = _attribute(info)
                for member, wire_name in info.members:
                    rename[member] = wire_name
                    types[member] = _WIRE_TYPES[info.dtype]
                    namespace[member] = MISSING if info.dtype is float else UNSET
            namespace["__doc__"] = documented(namespace, (info for info in infos if not info.measured))
            options |= {
                "tag_field": "topicID",
                "tag": namespace["topic_id"],
                "omit_defaults": True,
                "rename": rename,
            }
        namespace["__annotations__"] = types
        cls = super().__new__(mcs, name, bases, namespace, **options)
        cls.field_infos = tuple(infos)
        return cls

    @property
    def __signature__(cls) -> inspect.Signature:
        """Signature of the constructor, for `help` and `inspect.signature`."""
        names = [("timestamp", float, inspect.Parameter.empty)]
        return signature([*names, *((info.name, info.dtype, None) for info in cls.field_infos)])

    def __call__(cls, *positional: Any, **values: Any) -> Any:
        if not cls.field_infos:
            return super().__call__(*positional, **values)
        names = ("timestamp", *(info.name for info in cls.field_infos))
        if positional:
            raise PositionalFieldError(cls.__name__, positional, names)
        for name in values:
            if name not in names:
                raise UnknownFieldError(cls.__name__, name, values[name], names)
        timestamp = _TIMESTAMP.check(cls.__name__, values.get("timestamp"))
        kept = [one for info in cls.field_infos for one in info.check(cls.__name__, values.get(info.name))]
        return super().__call__(*timestamp, *kept)


_TIMESTAMP = QuantityInfo("timestamp", "timestamp", "", "s", float, 1, "")
