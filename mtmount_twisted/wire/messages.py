"""What a message is: declared once, in a class body, and checked when it is made.

A message class is a list of `parameter` lines. `MessageType`, its metaclass, turns them into
slots and `FieldInfo` objects; everything else (making, reading, writing, ``repr``, equality)
is a plain loop over those. The classes themselves are in `commands` and `replies`.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform, get_args, get_origin

from mtmount_twisted.dialects.tma2020 import framing
from mtmount_twisted.errors import (
    FieldCountError,
    FieldError,
    PositionalFieldError,
    UnknownCodeError,
    UnknownFieldError,
)

from . import compiled
from .fields import INT, STR, Kind, kind_of

MAX_SEQUENCE_ID = 2147483647
"""The largest `sequence_id`; the next one is 1."""

Self = TypeVar("Self", bound="BaseMessage")
M = TypeVar("M", bound="BaseMessage")


def sequence_ids(start: int = 1) -> Iterator[int]:
    """Sequence ids for ever: `start`, `start` + 1, ... `MAX_SEQUENCE_ID`, 1, 2, ...

    Unlike a generator, a `map` over a `count` may be asked by several threads.
    """
    return map(lambda count: count % MAX_SEQUENCE_ID + 1, itertools.count(start - 1))


next_sequence_id: Callable[[], int] = sequence_ids().__next__
"""The sequence id for the next command that is made without one."""


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """What is known of one field of a message class.

    :ivar name: its name, which is also the attribute's.
    :ivar doc: what it means, one sentence.
    :ivar dtype: the Python type of its values.
    :ivar default: the value when none is given; None where one must be given, or where
        `factory` makes it.
    :ivar unit: its unit, such as ``deg/s``; empty where it has none.
    :ivar factory: called for the default of each new message, or None.
    :ivar empty: what an empty field on the wire means, or None where it is an error.
    :ivar constant: True for the code, which is the same in every message of the class.
    :ivar kind: how its values are checked, read and written.
    """

    name: str
    doc: str
    dtype: type
    default: Any
    unit: str
    factory: Callable[[], Any] | None
    empty: Any
    constant: bool
    kind: Kind

    @property
    def required(self) -> bool:
        """True if a message can't be made without a value for it."""
        return self.default is None and self.factory is None

    @property
    def expected(self) -> str:
        """What a right value is, in words."""
        return f"{self.kind.expected} in {self.unit}" if self.unit else self.kind.expected

    @property
    def described(self) -> str:
        """Name, type, unit, default and meaning, in one line for a person."""
        parts = [self.dtype.__name__, self.unit] if self.unit else [self.dtype.__name__]
        if self.factory is not None:
            parts.append("filled in if left out")
        elif self.default is not None:
            parts.append(f"default {_repr_value(self.default, self)}")
        return f"{self.name} ({', '.join(parts)}): {self.doc}"

    def check(self, message_name: str, value: Any) -> Any:
        """The value to keep for one that a program gave.

        :raises FieldError: if it is not of the field's type.
        """
        try:
            return self.kind.check(value)
        except ValueError:
            raise FieldError(message_name, self.name, value, self.expected) from None

    def read(self, message_name: str, text: str) -> Any:
        """The value of a field on the wire.

        :raises FieldError: if it is not of the field's type.
        """
        if self.empty is not None and not text:
            return self.empty
        try:
            return self.kind.read(text)
        except ValueError:
            raise FieldError(message_name, self.name, text, self.expected) from None


@dataclass(frozen=True, slots=True)
class _Parameter:
    """What `parameter` leaves in a class body for `MessageType` to find."""

    doc: str
    unit: str
    default: Any
    factory: Callable[[], Any] | None
    empty: Any
    role: str  # "parameter", "constant" or "extra"


def parameter(
    doc: str,
    *,
    unit: str = "",
    default: Any = None,
    factory: Callable[[], Any] | None = None,
    empty: Any = None,
) -> Any:
    """Declare one field of a message; its type is the annotation. See `FieldInfo`."""
    return _Parameter(doc, unit, default, factory, empty, "parameter")


def code(doc: str) -> Any:
    """Declare the field that holds the message class's own code; annotate it as a `ClassVar`."""
    return _Parameter(doc, "", None, None, None, "constant")


def extra(doc: str, *, default: tuple[str, ...]) -> Any:
    """Declare that any number of further text fields may follow, as a tuple of str.

    Type checkers look for a `default` where it is called, so it has to stand there.
    """
    return _Parameter(doc, "", default, None, None, "extra")


def _field_info(name: str, kind: Kind, declared: _Parameter) -> FieldInfo:
    default = None if declared.default is None else kind.check(declared.default)
    return FieldInfo(
        name,
        declared.doc,
        kind.dtype,
        default,
        declared.unit,
        declared.factory,
        declared.empty,
        declared.role == "constant",
        kind,
    )


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(parameter, extra))
class MessageType(type):
    """Turns the `parameter` lines of a class body into slots and `field_infos`."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> MessageType:
        declared = {key: value for key, value in namespace.items() if isinstance(value, _Parameter)}
        for key in declared:
            del namespace[key]
        # As a dict, so that `help` says of each attribute what it means.
        namespace["__slots__"] = {
            key: declared[key].doc for key in declared if declared[key].role != "constant"
        }
        cls = super().__new__(mcs, name, bases, namespace)
        types = inspect.get_annotations(cls, eval_str=True)
        own = tuple(
            _field_info(key, getattr(cls, "kind_of")(_plain_type(types[key])), declared[key])
            for key in declared
            if declared[key].role != "extra"
        )
        inherited: tuple[FieldInfo, ...] = getattr(cls, "field_infos", ())
        setattr(cls, "field_infos", tuple(_with_code(info, namespace) for info in inherited) + own)
        names = tuple(info.name for info in getattr(cls, "field_infos"))
        if any(declared[key].role == "extra" for key in declared):
            setattr(cls, "has_extra_data", True)
            names += ("extra_data",)
        setattr(cls, "_names", names)
        cls.__doc__ = _documented(cls)
        if any(info.constant and info.default is not None for info in getattr(cls, "field_infos")):
            _compile_when_used(cls)
        return cls

    @property
    def __signature__(cls) -> inspect.Signature:
        """How a message of this class is made, for `help` and `inspect.signature`."""
        parameters = [_signature_of(info) for info in _in_reading_order(cls)]
        if getattr(cls, "has_extra_data"):
            parameters.append(
                inspect.Parameter(
                    "extra_data", inspect.Parameter.KEYWORD_ONLY, default=(), annotation=tuple[str, ...]
                )
            )
        # What has no default comes first: there is no order among parameters that have names.
        parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
        return inspect.Signature(parameters)


def _in_reading_order(cls: type) -> list[FieldInfo]:
    """The fields that can be given, the message's own before those that all of its kind have."""
    infos = [info for info in getattr(cls, "field_infos") if not info.constant]
    own: Mapping[str, str] = vars(cls)["__slots__"]
    return sorted(infos, key=lambda info: info.name not in own)


def _signature_of(info: FieldInfo) -> inspect.Parameter:
    annotation: Any = Annotated[info.dtype, info.unit] if info.unit else info.dtype
    default: Any = inspect.Parameter.empty if info.required else info.default
    if info.factory is not None:
        annotation, default = annotation | None, None
    return inspect.Parameter(
        info.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _documented(cls: type) -> str:
    """The class's docstring and, behind it, a line for each parameter."""
    lines = [inspect.cleandoc(cls.__doc__ or ""), ""]
    lines += [f"* {info.described}" for info in _in_reading_order(cls)]
    return "\n".join(lines).strip()


def _compile_when_used(cls: Any) -> None:
    """Give a class functions that put compiled ones in the place of all of them, when first called."""
    read = classmethod(BaseMessage.from_str_fields.__func__).__get__(None, cls)  # type: ignore[attr-defined]

    def first(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **values: Any) -> Any:
            compiled.install(cls, BaseMessage.__init__, read)
            return getattr(cls, name)(*arguments, **values)

        return call

    cls.__init__ = first("__init__")
    cls.from_str_fields = staticmethod(first("from_str_fields"))
    cls.encode = first("encode")


def _plain_type(annotation: Any) -> type:
    """The annotated type, out of its `ClassVar` if it is in one."""
    plain: type = get_args(annotation)[0] if get_origin(annotation) is ClassVar else annotation
    return plain


def _with_code(info: FieldInfo, namespace: dict[str, Any]) -> FieldInfo:
    """An inherited field, with the class's own code as its default if the class gives one."""
    if not info.constant or info.name not in namespace:
        return info
    code = namespace[info.name]
    return FieldInfo(info.name, info.doc, info.dtype, code, "", None, None, True, info.kind)


class BaseMessage(metaclass=MessageType):
    """The root of all messages: frozen, made by keyword, checked when made.

    A parameter that is None takes its default, as one that is left out.

    Two messages are equal if they are of one class and all their fields are equal.

    :raises FieldError: (a `ValueError`) for a required parameter that is missing, and for a
        value that is not of its field's type.
    :raises UnknownFieldError: (a `TypeError`) for a name that the message does not have.
    :raises PositionalFieldError: (a `TypeError`) for a value without a name.
    """

    field_infos: ClassVar[tuple[FieldInfo, ...]] = ()
    """The fields in the order of the wire, header first, without `extra_data`."""

    kind_of: ClassVar[Callable[[type], Kind]] = staticmethod(kind_of)
    """How the values of a Python type are checked, read and written; a dialect may have rules of its own."""

    has_extra_data: ClassVar[bool] = False
    """True if further text fields may follow the declared ones."""

    _names: ClassVar[tuple[str, ...]] = ()

    @property
    def extra_data(self) -> tuple[str, ...]:
        """The text fields after the declared ones; always empty unless `has_extra_data`."""
        return ()

    def __init__(self, *positional: Any, **values: Any) -> None:
        cls = type(self)
        if positional:
            own = tuple(info.name for info in _in_reading_order(cls) if info.name in vars(cls)["__slots__"])
            raise PositionalFieldError(cls.__name__, positional, own)
        for name in values:
            if name not in cls._names:
                raise UnknownFieldError(cls.__name__, name, values[name], cls._names)
        for info in cls.field_infos:
            if values.get(info.name) is not None:
                value = info.check(cls.__name__, values[info.name])
            elif info.factory is not None:
                value = info.factory()
            elif info.default is not None:
                value = info.default
            else:
                raise FieldError(cls.__name__, info.name, None, f"{info.expected} (it is required)")
            if not info.constant:
                object.__setattr__(self, info.name, value)
            elif value != info.default:
                raise _code_error(cls, info, value)
        if cls.has_extra_data:
            object.__setattr__(self, "extra_data", _check_extra(cls.__name__, values.get("extra_data")))

    def str_fields(self) -> list[str]:
        """The fields as text, in the order of the wire, `extra_data` included."""
        texts = [info.kind.write(getattr(self, info.name)) for info in self.field_infos]
        return texts + list(self.extra_data)

    def encode(self) -> bytes:
        """The message as it goes over the wire, terminator included."""
        return framing.join(self.str_fields())

    @classmethod
    def from_str_fields(cls: type[Self], fields: Sequence[str]) -> Self:
        """Make a message from its fields as text, header included.

        :raises FieldCountError: if there are too few or too many.
        :raises FieldError: if one can't be read.
        """
        infos = cls.field_infos
        count = len(infos)
        if len(fields) < count or (len(fields) > count and not cls.has_extra_data):
            raise _count_error(cls, fields)
        self = cls.__new__(cls)
        for info, text in zip(infos, fields):
            value = info.read(cls.__name__, text)
            if not info.constant:
                object.__setattr__(self, info.name, value)
            elif value != info.default:
                raise _code_error(cls, info, value)
        if cls.has_extra_data:
            object.__setattr__(self, "extra_data", _check_extra(cls.__name__, fields[count:]))
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a message can't be changed: {type(self).__name__}.{name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a message can't be changed: {type(self).__name__}.{name}")

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, info.name) for info in self.field_infos) + (self.extra_data,)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        parts = [
            f"{info.name}={_repr_value(getattr(self, info.name), info)}"
            for info in self.field_infos
            if not info.constant
        ]
        if self.has_extra_data:
            parts.append(f"extra_data={self.extra_data!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (type(self), {name: getattr(self, name) for name in self._names})


def _make(cls: type[BaseMessage], values: dict[str, Any]) -> BaseMessage:
    return cls(**values)


def _repr_value(value: Any, info: FieldInfo) -> str:
    """As Python that makes the value again: an enum by name, a timestamp as its ISO text."""
    if info.kind.name == "enum":
        return f"{type(value).__name__}.{value.name}"
    if info.kind.name == "timestamp":
        finer = value.microsecond % 1000  # than the wire can carry
        return repr(info.kind.write(value) + (f"{finer:03}" if finer else ""))
    return repr(value)


def _check_extra(message_name: str, values: Any) -> tuple[str, ...]:
    expected = f"a sequence of {STR.expected}"
    if values is None:
        return ()
    if isinstance(values, (str, bytes)):
        raise FieldError(message_name, "extra_data", values, expected)
    try:
        return tuple(STR.check(value) for value in values)
    except (TypeError, ValueError):
        raise FieldError(message_name, "extra_data", values, expected) from None


def _code_error(cls: type[BaseMessage], info: FieldInfo, value: Any) -> FieldError:
    root = f"one of its subclasses to be made: {cls.__name__} has no {info.name}"
    return FieldError(cls.__name__, info.name, value, root if info.default is None else repr(info.default))


def _count_error(cls: type[BaseMessage], fields: Sequence[str]) -> FieldCountError:
    names = [info.name for info in cls.field_infos]
    few = len(fields) < len(names)
    wanted = f"at least {len(names)}" if cls.has_extra_data else f"{len(names)}"
    expected = f"{wanted} fields ({', '.join(names)}) and not {len(fields)}"
    return FieldCountError(cls.__name__, names[len(fields)] if few else None, list(fields), expected)


def leaves(branch: type[M]) -> tuple[type[M], ...]:
    """The message classes of a branch in the order of their declaration, without those between."""
    below = branch.__subclasses__()
    return tuple(leaf for cls in below for leaf in leaves(cls)) or (branch,)


class ClassOfCode(dict[str, type[M]]):
    """The message class of each code, by the text of the code on the wire.

    A dict, so that the usual text costs one look-up; ``__missing__`` knows of all other texts.

    :param branch: what the messages are: ``"command"`` or ``"reply"``.
    :param classes: the classes by their codes.
    :param expected: what would have been right instead of a code without a class, in words.
    :param read: the integer that an unusual text is; `ValueError` if it is none.
    """

    def __init__(
        self,
        branch: str,
        classes: Mapping[Any, type[M]],
        expected: Callable[[int], str],
        read: Callable[[str], int] = INT.read,
    ) -> None:
        super().__init__((str(int(number)), cls) for number, cls in classes.items())
        self._read = read
        self._branch = branch
        self._classes = classes
        self._expected = expected

    def __missing__(self, text: str) -> type[M]:
        """The class for an unusual text, such as ``+10``.

        :raises FieldError: if it is not an integer.
        :raises UnknownCodeError: if no class has that code.
        """
        field = f"{self._branch}_code"
        try:
            number = self._read(text)
        except ValueError:
            raise FieldError(self._branch, field, text, INT.expected) from None
        if number not in self._classes:
            raise UnknownCodeError(self._branch, field, number, self._expected(number))
        return self._classes[number]
