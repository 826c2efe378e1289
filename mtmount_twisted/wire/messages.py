"""Declaration of messages: a class body declares a message, and its constructor checks the values.

A message class is a list of `parameter` lines. `MessageType`, its metaclass, turns them into
slots and `FieldInfo` objects. Everything else (construction, reading, writing, ``repr``, equality)
is a plain loop over these objects. The message classes are in the `commands` and `replies` of each dialect.

No I/O. Next to read: `fields`, the conversions of the values; `compiled`, the same functions made fast.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, dataclass_transform, get_args, get_origin

from msgspec import Struct

from mtmount_twisted.errors import (
    FieldCountError,
    FieldError,
    PositionalFieldError,
    UnknownCodeError,
    UnknownFieldError,
)

from . import compiled
from .fields import INT, STR, Kind, kind_of
from .lines import TextLayout

MAX_SEQUENCE_ID = 2147483647
"""The largest `sequence_id`; the id after it is 1."""

Self = TypeVar("Self", bound="BaseMessage")
M = TypeVar("M", bound="BaseMessage")


def sequence_ids(start: int = 1) -> Iterator[int]:
    """Return an endless iterator of sequence ids: `start`, `start` + 1, ... `MAX_SEQUENCE_ID`, 1, 2, ...

    Several threads may call ``next`` on it: it is a `map` over a `count`, not a generator.
    """
    return map(lambda count: count % MAX_SEQUENCE_ID + 1, itertools.count(start - 1))


next_sequence_id: Callable[[], int] = sequence_ids().__next__
"""Return the sequence id of the next command that is made without one."""


class FieldInfo(Struct, frozen=True):
    """Description of one field of a message class.

    :ivar name: name of the field and of the attribute.
    :ivar doc: meaning of the field, one sentence.
    :ivar dtype: Python type of its values.
    :ivar default: value if none is given; None if a value is required or `factory` makes one.
    :ivar unit: unit, such as ``deg/s``; empty if there is none.
    :ivar factory: function that makes the default of each new message, or None.
    :ivar empty: value of an empty field on the wire; None if an empty field is an error.
    :ivar constant: True for the code, which is the same in all messages of the class.
    :ivar kind: functions that check, read and write its values.
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
        """True if the constructor requires a value for this field."""
        return self.default is None and self.factory is None

    @property
    def expected(self) -> str:
        """Description of a valid value, for error messages."""
        return f"{self.kind.expected} in {self.unit}" if self.unit else self.kind.expected

    @property
    def described(self) -> str:
        """Name, type, unit, default and meaning in one line, for a person."""
        parts = [self.dtype.__name__, self.unit] if self.unit else [self.dtype.__name__]
        if self.factory is not None:
            parts.append("filled in if left out")
        elif self.default is not None:
            parts.append(f"default {_repr_value(self.default, self)}")
        return f"{self.name} ({', '.join(parts)}): {self.doc}"

    def check(self, message_name: str, value: Any) -> Any:
        """Return the value to keep for a program's value.

        :raises FieldError: if the value is not of the field's type.
        """
        try:
            return self.kind.check(value)
        except ValueError:
            raise FieldError(message_name, self.name, value, self.expected) from None

    def read(self, message_name: str, text: str) -> Any:
        """Return the value of a wire text.

        :raises FieldError: if the text is not of the field's type.
        """
        if self.empty is not None and not text:
            return self.empty
        try:
            return self.kind.read(text)
        except ValueError:
            raise FieldError(message_name, self.name, text, self.expected) from None


class _Parameter(Struct, frozen=True):
    """Placeholder that `parameter` puts into a class body; `MessageType` replaces it."""

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
    """Declare one field of a message. The annotation gives its type; see `FieldInfo` for the parameters."""
    return _Parameter(doc, unit, default, factory, empty, "parameter")


def code(doc: str) -> Any:
    """Declare the field that holds the class's own code. Annotate it as a `ClassVar`."""
    return _Parameter(doc, "", None, None, None, "constant")


def extra(doc: str, *, default: tuple[str, ...]) -> Any:
    """Declare that further text fields may follow, as a tuple of str.

    The caller must pass `default`, because type checkers look for it in the call.
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
    """Metaclass that turns the `parameter` lines of a class body into slots and `field_infos`."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> MessageType:
        declared = {key: value for key, value in namespace.items() if isinstance(value, _Parameter)}
        for key in declared:
            del namespace[key]
        # A dict of docstrings, so that `help` shows the meaning of each attribute.
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
        """Signature of the constructor, for `help` and `inspect.signature`."""
        parameters = [_signature_of(info) for info in _in_reading_order(cls)]
        if getattr(cls, "has_extra_data"):
            parameters.append(
                inspect.Parameter(
                    "extra_data", inspect.Parameter.KEYWORD_ONLY, default=(), annotation=tuple[str, ...]
                )
            )
        # Required parameters first, for the reader: the order of keyword parameters is free.
        parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
        return inspect.Signature(parameters)


def _in_reading_order(cls: type) -> list[FieldInfo]:
    """Return the fields that a program can give: the message's own before the inherited ones."""
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
    """Return the class's docstring, followed by a line for each parameter."""
    lines = [inspect.cleandoc(cls.__doc__ or ""), ""]
    lines += [f"* {info.described}" for info in _in_reading_order(cls)]
    return "\n".join(lines).strip()


def _compile_when_used(cls: Any) -> None:
    """Install stubs that compile all functions of a class at the first call of one of them."""
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
    """Return the annotated type, without the `ClassVar` around it."""
    plain: type = get_args(annotation)[0] if get_origin(annotation) is ClassVar else annotation
    return plain


def _with_code(info: FieldInfo, namespace: dict[str, Any]) -> FieldInfo:
    """Return an inherited field; if the class declares its own code, that code is the default."""
    if not info.constant or info.name not in namespace:
        return info
    code = namespace[info.name]
    return FieldInfo(info.name, info.doc, info.dtype, code, "", None, None, True, info.kind)


class BaseMessage(metaclass=MessageType):
    """Base class of all messages: frozen, constructed by keyword, checked at construction.

    A parameter that is None gets its default, like an omitted one.

    Two messages are equal if they have the same class and all their fields are equal.

    :raises FieldError: (a `ValueError`) if a required parameter is missing, or if a value is not of its
        field's type.
    :raises UnknownFieldError: (a `TypeError`) if the message has no parameter of a given name.
    :raises PositionalFieldError: (a `TypeError`) if a value is given without a name.
    """

    field_infos: ClassVar[tuple[FieldInfo, ...]] = ()
    """The fields in wire order, header first, without `extra_data`."""

    kind_of: ClassVar[Callable[[type], Kind]] = staticmethod(kind_of)
    """Function from a Python type to its `Kind`. A dialect may have rules of its own."""

    layout: ClassVar[TextLayout]
    """The separator and the terminator of the message's line. The base classes of each dialect declare it."""

    has_extra_data: ClassVar[bool] = False
    """True if further text fields may follow the declared ones."""

    _names: ClassVar[tuple[str, ...]] = ()

    @property
    def extra_data(self) -> tuple[str, ...]:
        """The text fields after the declared ones. Empty unless `has_extra_data` is True."""
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
        """Return the fields as text in wire order, `extra_data` included."""
        texts = [info.kind.write(getattr(self, info.name)) for info in self.field_infos]
        return texts + list(self.extra_data)

    def encode(self) -> bytes:
        """Return the message as bytes for the wire, terminator included."""
        return self.layout.join(self.str_fields())

    @classmethod
    def from_str_fields(cls: type[Self], fields: Sequence[str]) -> Self:
        """Construct a message from its fields as text, header included.

        :raises FieldCountError: if there are too few or too many fields.
        :raises FieldError: if a field can't be read.
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


class CommandMessage(BaseMessage):
    """Base class of the commands of every dialect: the facts about a command that its class declares."""

    sequence_id: int
    """Identifies the command in its replies."""

    command_code: ClassVar[Any]
    """The code of the command: a member of the dialect's ``CommandCode``."""

    source: Any
    """The component that sends the command: a member of the dialect's ``Source``."""

    ack_only: ClassVar[bool] = False
    """True if an Ack is the whole answer: no end follows."""

    is_stop: ClassVar[bool] = False
    """True if the command stops something."""

    needs_command: ClassVar[bool] = True
    """True if the mount accepts the command only from the commander that has command."""


def _make(cls: type[BaseMessage], values: dict[str, Any]) -> BaseMessage:
    return cls(**values)


def _repr_value(value: Any, info: FieldInfo) -> str:
    """Return Python source for a value: an enum by name, a timestamp as its ISO text."""
    if info.kind.name == "enum":
        return f"{type(value).__name__}.{value.name}"
    if info.kind.name == "timestamp":
        finer = value.microsecond % 1000  # microseconds, which the wire can't carry
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
    """Return the message classes below a branch in the order of declaration, without intermediate classes."""
    below = branch.__subclasses__()
    return tuple(leaf for cls in below for leaf in leaves(cls)) or (branch,)


class ClassOfCode(dict[str, type[M]]):
    """The message class of each code, keyed by the code's text on the wire.

    It is a dict, so that a usual text costs one look-up. ``__missing__`` handles all other texts.

    :param branch: kind of the messages: ``"command"`` or ``"reply"``.
    :param classes: the classes by code.
    :param expected: function that describes a valid code, for the error about a code without a class.
    :param read: function that reads an unusual text as an integer; it raises `ValueError`.
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
        """Return the class for an unusual text, such as ``+10``.

        :raises FieldError: if the text is not an integer.
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
