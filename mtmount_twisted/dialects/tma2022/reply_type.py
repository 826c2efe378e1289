"""What a reply is: declared once, in a class body, as `messages` does it for text; read by `msgspec`.

A reply class is a list of `parameter` lines. `ReplyType`, its metaclass, makes of them a `msgspec.Struct`
with the two members that every reply has on the wire, ``timestamp`` and ``parameters``, and an attribute for
each parameter.
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
    """What is known of one parameter of a reply class.

    :ivar name: its name, which is also the attribute's.
    :ivar wire_name: its name on the wire.
    :ivar doc: what it means, one sentence.
    :ivar unit: its unit, such as ``deg``; empty where it has none.
    :ivar dtype: the type of the attribute.
    :ivar wire_type: the type that `msgspec` reads.
    :ivar required: True if a program has to give it.
    :ivar default: the value when a program gives none.
    :ivar null: True if None is written as ``null``, and not left out.
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
        """What a right value is, in words."""
        name = self.dtype.__name__ if isinstance(self.dtype, type) else str(self.dtype)
        name = re.sub(r"[a-z_0-9]+\.(?=\w)", "", name)  # without the modules
        return f"{name} in {self.unit}" if self.unit else name

    @property
    def described(self) -> str:
        """Name, type, unit and meaning, in one line for a person."""
        return f"{self.name} ({self.expected}): {self.doc}"

    def check(self, message_name: str, value: Any) -> Any:
        """Return the value to keep for one that a program gave.

        :raises FieldError: if it is not of the parameter's type.
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
    """What `parameter` leaves in a class body for `ReplyType` to find."""

    doc: str
    unit: str
    default: Any
    null: bool
    wire_name: str


_REQUIRED: Any = object()


def parameter(
    doc: str, *, unit: str = "", default: Any = _REQUIRED, null: bool = False, wire_name: str = ""
) -> Any:
    """Declare one parameter of a reply; its type is the annotation.

    :param doc: what it means, one sentence.
    :param unit: its unit.
    :param default: the value when a program gives none. With None the wire may leave it out, too.
    :param null: write None as ``null``, instead of leaving it out.
    :param wire_name: its name on the wire, where that is not the attribute's in camel case.
    """
    return _Declared(doc, unit, default, null, wire_name)


_READINGS: dict[Any, tuple[Any, Callable[[Any], Any]]] = {
    bool: (BIT, bool),
    tuple[bool, ...]: (tuple[BIT, ...], lambda values: tuple(map(bool, values))),
    tuple[LimitsMask, ...]: (tuple[int, ...], lambda values: tuple(map(LimitsMask, values))),
}
"""The types that an attribute has and the wire has not: what `msgspec` reads, and a function."""


def _reading(dtype: Any) -> tuple[Any, Callable[[Any], Any] | None]:
    for wanted, (wire_type, convert) in _READINGS.items():
        if dtype == wanted:
            return wire_type, convert
        if dtype == wanted | None:
            return wire_type | None, convert
    return dtype, None


def _attribute(info: ParameterInfo) -> property:
    """Return the attribute of a parameter, which is kept in ``parameters``."""
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
    """Return the annotations of a class body as objects: a metaclass needs them before the class is there."""
    known = vars(sys.modules[namespace["__module__"]])
    return {name: eval(text, dict(known)) for name, text in namespace.get("__annotations__", {}).items()}


def documented(namespace: dict[str, Any], infos: Iterable[Any]) -> str:
    """Return the docstring of a class body and, behind it, a line for each field."""
    return "\n".join(
        [inspect.cleandoc(namespace.get("__doc__") or ""), "", *(f"* {info.described}" for info in infos)]
    )


def signature(fields: Iterable[tuple[str, Any, Any]]) -> inspect.Signature:
    """Return the signature of a class that is made by keyword, of names, types and defaults."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=dtype)
        for name, dtype, default in fields
    ]
    return inspect.Signature(parameters)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(parameter,))
class ReplyType(StructMeta):
    """Makes of the `parameter` lines of a class body a Struct as the wire has it."""

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
        """How a reply of this class is made, for `help` and `inspect.signature`."""
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
