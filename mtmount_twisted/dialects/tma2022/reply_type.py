"""Declaration of replies: a class body declares a reply, and `msgspec` reads it.

A reply class is a list of `parameter` lines, as in `wire.messages`. `ReplyType`, its metaclass, turns them
into a `msgspec.Struct`. The Struct has the two members of every reply on the wire, ``timestamp`` and
``parameters``, and the class has an attribute for each parameter.

Values only: no Twisted, no I/O. Next to read: `replies`, the classes; `topic_type`, the same for telemetry.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, dataclass_transform

import msgspec
from msgspec import UNSET, StructMeta, UnsetType

from mtmount_twisted.errors import FieldError, PositionalFieldError, UnknownFieldError
from mtmount_twisted.wire.fields import plain

from .enums import LimitsMask
from .json_lines import BIT, camel


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """Description of one parameter of a reply class.

    :ivar name: name of the parameter and of the attribute.
    :ivar wire_name: name on the wire.
    :ivar doc: meaning, one sentence.
    :ivar unit: unit, such as ``deg``; empty if there is none.
    :ivar dtype: type of the attribute.
    :ivar wire_type: type that `msgspec` reads.
    :ivar required: True if a program must give a value.
    :ivar default: value if a program gives none.
    :ivar null: True if None is written as ``null``; False if None is omitted.
    """

    name: str
    wire_name: str
    doc: str
    unit: str
    dtype: Any
    wire_type: Any
    required: bool
    default: Any
    null: bool

    @property
    def expected(self) -> str:
        """Description of a valid value, for error messages."""
        name = self.dtype.__name__ if isinstance(self.dtype, type) else str(self.dtype)
        name = re.sub(r"[a-z_0-9]+\.(?=\w)", "", name)  # without the modules
        return f"{name} in {self.unit}" if self.unit else name

    @property
    def described(self) -> str:
        """Name, type, unit and meaning in one line, for a person."""
        return f"{self.name} ({self.expected}): {self.doc}"

    def check(self, message_name: str, value: Any) -> Any:
        """Return the value to keep for a program's value.

        :raises FieldError: if the value is not of the parameter's type.
        """
        if value is None and not self.required:
            return self.default if self.default is not None or self.null else UNSET
        try:
            if isinstance(value, str):
                value.encode()  # a lone surrogate can't be written
            return msgspec.convert(plain(value), self.wire_type)
        except (ValueError, OverflowError):
            expected = self.expected if value is not None else f"{self.expected} (it is required)"
            raise FieldError(message_name, self.name, value, expected) from None


@dataclass(frozen=True, slots=True)
class _Declared:
    """Placeholder that `parameter` puts into a class body; `ReplyType` replaces it."""

    doc: str
    unit: str
    default: Any
    null: bool
    wire_name: str


_REQUIRED: Any = object()


def parameter(
    doc: str, *, unit: str = "", default: Any = _REQUIRED, null: bool = False, wire_name: str = ""
) -> Any:
    """Declare one parameter of a reply. The annotation gives its type.

    :param doc: meaning, one sentence.
    :param unit: unit.
    :param default: value if a program gives none. If it is None, a line may also omit the parameter.
    :param null: True to write None as ``null`` instead of omitting it.
    :param wire_name: name on the wire, if it is not the attribute's name in camel case.
    """
    return _Declared(doc, unit, default, null, wire_name)


_ALL_LIMITS = sum(LimitsMask)


def _limits(mask: int) -> LimitsMask:
    """Return the limits in a mask, without the bits of no limit: Python keeps each mask for ever."""
    return LimitsMask(mask & _ALL_LIMITS)


_READINGS: dict[Any, tuple[Any, Callable[[Any], Any]]] = {
    bool: (BIT, bool),
    tuple[bool, ...]: (tuple[BIT, ...], lambda values: tuple(map(bool, values))),
    tuple[LimitsMask, ...]: (tuple[int, ...], lambda values: tuple(map(_limits, values))),
}
"""For a type that the wire does not have: the type that `msgspec` reads, and a function that converts it."""


def _reading(dtype: Any) -> tuple[Any, Callable[[Any], Any] | None]:
    for wanted, (wire_type, convert) in _READINGS.items():
        if dtype == wanted:
            return wire_type, convert
        if dtype == wanted | None:
            return wire_type | None, convert
    return dtype, None


def _attribute(info: ParameterInfo) -> property:
    """Return the property for a parameter, which is stored in ``parameters``."""
    get: Callable[[Any], Any] = attrgetter(f"parameters.{info.name}")
    convert = _reading(info.dtype)[1]

    def get_converted(reply: Any) -> Any:
        value = get(reply)
        if value is UNSET or value is None:
            return None
        return convert(value) if convert else value

    is_plain = info.default is not None and convert is None
    return property(get if is_plain else get_converted, doc=info.doc)


def evaluated(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class body as objects. The metaclass needs them before the class exists."""
    known = vars(sys.modules[namespace["__module__"]])
    return {name: eval(text, dict(known)) for name, text in namespace.get("__annotations__", {}).items()}


def documented(namespace: dict[str, Any], infos: Iterable[Any]) -> str:
    """Return the docstring of a class body, followed by a line for each field."""
    return "\n".join(
        [inspect.cleandoc(namespace.get("__doc__") or ""), "", *(f"* {info.described}" for info in infos)]
    )


def signature(fields: Iterable[tuple[str, Any, Any]]) -> inspect.Signature:
    """Return the signature of a keyword-only constructor, from names, types and defaults."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=dtype)
        for name, dtype, default in fields
    ]
    return inspect.Signature(parameters)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(parameter,))
class ReplyType(StructMeta):
    """Metaclass that turns the `parameter` lines of a class body into a Struct with the wire's layout."""

    field_infos: tuple[ParameterInfo, ...]
    parameters_type: Any

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        types = evaluated(namespace)
        own = []
        for key, declared in [each for each in namespace.items() if isinstance(each[1], _Declared)]:
            del namespace[key]
            own.append(_info(key, types.pop(key), declared))
        inherited = getattr(bases[0], "field_infos", ())
        infos = (*inherited, *own)
        options: dict[str, Any] = {"frozen": True}
        parameters_type = None
        if "reply_id" in namespace:
            parameters = [info for info in infos if info.name != "timestamp"]
            parameters_type = msgspec.defstruct(
                f"{name}Parameters",
                [_struct_field(info) for info in parameters],
                rename={info.name: info.wire_name for info in parameters},
                frozen=True,
                kw_only=True,
                module=namespace["__module__"],
            )
            namespace |= {info.name: _attribute(info) for info in parameters}
            types |= {"timestamp": float, "parameters": parameters_type}
            namespace["__doc__"] = documented(namespace, infos)
            options |= {"tag_field": "id", "tag": int(namespace["reply_id"])}
        namespace["__annotations__"] = types
        cls = super().__new__(mcs, name, bases, namespace, **options)
        cls.field_infos, cls.parameters_type = infos, parameters_type
        return cls

    @property
    def __signature__(cls) -> inspect.Signature:
        """Signature of the constructor, for `help` and `inspect.signature`."""
        return signature(
            (info.name, info.dtype, inspect.Parameter.empty if info.required else info.default)
            for info in cls.field_infos
        )

    def __call__(cls, *positional: Any, **values: Any) -> Any:
        if cls.parameters_type is None:
            return super().__call__(*positional, **values)
        names = tuple(info.name for info in cls.field_infos)
        if positional:
            raise PositionalFieldError(cls.__name__, positional, names)
        for name in values:
            if name not in names:
                raise UnknownFieldError(cls.__name__, name, values[name], names)
        checked = {info.name: info.check(cls.__name__, values.get(info.name)) for info in cls.field_infos}
        timestamp = checked.pop("timestamp")
        return super().__call__(timestamp, cls.parameters_type(**checked))


def _info(name: str, dtype: Any, declared: _Declared) -> ParameterInfo:
    wire_type, _ = _reading(dtype)
    required = declared.default is _REQUIRED
    return ParameterInfo(
        name,
        declared.wire_name or camel(name),
        declared.doc,
        declared.unit,
        dtype,
        wire_type,
        required,
        declared.default,
        declared.null,
    )


def _struct_field(info: ParameterInfo) -> Any:
    if info.default is None:
        return info.name, info.wire_type | UnsetType, UNSET
    return info.name, info.wire_type
