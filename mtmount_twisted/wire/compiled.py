r"""Functions generated once per message class: a fast constructor, reader and writer.

The loops of `messages.BaseMessage` are the specification. For each message they look up each
field's name, type and checks again; the generated functions hold the results of these look-ups.
They handle only valid, ordinary values. The loops handle everything else, and so every error.
The functions of a class are generated when the class is first used. For `AckReply` they are::

    def __init__(self, *positional, sequence_id=ABSENT, source=default_source, timestamp=ABSENT,
                 timeout_ms=default_timeout_ms, **others):
        if (
            positional
            or others
            or not (type(sequence_id) is int and -BIG < sequence_id < BIG)
            or not (type(source) is Source)
            or not (timestamp is ABSENT or type(timestamp) is datetime and timestamp.tzinfo is UTC)
            or not (type(timeout_ms) is int and -BIG < timeout_ms < BIG)
        ):
            return make_all(self, positional, others, locals())
        set_sequence_id(self, sequence_id)
        set_source(self, source)
        set_timestamp(self, make_timestamp() if timestamp is ABSENT else timestamp)
        set_timeout_ms(self, timeout_ms)

    def from_str_fields(fields):
        try:
            reply_code, sequence_id, source, timestamp, timeout_ms = fields
            if (
                reply_code != '0'
                or f"{sequence_id}{timeout_ms}".strip(NUMERIC_CHARACTERS)
                or len(timestamp) != 23 or timestamp[4:22:3] != "--T::." or timestamp[11:13] == "24"
            ):
                return read_all(fields)
            self = new(cls)
            set_sequence_id(self, int(sequence_id))
            set_source(self, Source_of_text[source])
            set_timestamp(self, fromisoformat(timestamp + "+00:00"))
            set_timeout_ms(self, int(timeout_ms))
            return self
        except (ValueError, KeyError, TypeError):
            return read_all(fields)

    def encode(self):
        return (
            f"0\n"
            f"{self.sequence_id}\n"
            f"{text_of_Source[self.source]}\n"
            f"{write_timestamp(self.timestamp)}\n"
            f"{self.timeout_ms}\r\n"
        ).encode()

Tests compare this text with the generated code, and the generated code with the loops, errors included. No
I/O. Next to read: `messages`, which installs the functions; `fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from .fields import NUMERIC_CHARACTERS, write_timestamp


class _Recipe(Struct, frozen=True):
    """Templates for the values of one kind; NAME and TYPE are placeholders.

    :ivar right: condition on a program's value: true if the value can be kept unchanged.
    :ivar wrong: condition on a wire text: true if the loop must read it. Numbers have one common check.
    :ivar read: expression from the wire text to the value.
    :ivar write: part of an f-string, from the value to the wire text.
    """

    right: str
    wrong: str
    read: str
    write: str


_ONE_OF = _Recipe("type(NAME) is TYPE", "", "TYPE_of_text[NAME]", "{text_of_TYPE[self.NAME]}")
_RECIPES = {
    "int": _Recipe("type(NAME) is int and -BIG < NAME < BIG", "", "int(NAME)", "{self.NAME}"),
    "float": _Recipe("type(NAME) is float and -INFINITY < NAME < INFINITY", "", "NAME", "{self.NAME!r}"),
    "bool": _ONE_OF,
    "enum": _ONE_OF,
    "str": _Recipe(
        "type(NAME) is str and NAME.isprintable()", "not NAME.isprintable()", "NAME", "{self.NAME}"
    ),
    "stripped": _Recipe(
        "type(NAME) is str and NAME.isprintable() and NAME.strip() == NAME != ''",
        "not (NAME.isprintable() and NAME.strip() == NAME != '')",
        "NAME",
        "{self.NAME}",
    ),
    # The form that the mount writes, recognized by its punctuation. `fromisoformat` checks the digits, but it
    # also accepts a week date and, in some Pythons, hour 24. It rejects a leap second.
    "timestamp": _Recipe(
        "type(NAME) is datetime and NAME.tzinfo is UTC",
        'len(NAME) != 23 or NAME[4:22:3] != "--T::." or NAME[11:13] == "24"',
        'fromisoformat(NAME + "+00:00")',
        "{write_timestamp(self.NAME)}",
    ),
}

_NAMES: dict[str, Any] = {
    "ABSENT": object(),
    "BIG": 10**18,  # `str` can write each smaller int; the loop handles the others
    "INFINITY": float("inf"),
    "NUMERIC_CHARACTERS": NUMERIC_CHARACTERS,
    "UTC": UTC,
    "datetime": datetime,
    "fromisoformat": datetime.fromisoformat,
    "new": object.__new__,
    "write_timestamp": write_timestamp,
}


class _Class:
    """One message class, prepared for the templates."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self.code = next(info for info in cls.field_infos if info.constant)
        self.fields = [info for info in cls.field_infos if not info.constant]
        self.has_extra = cls.has_extra_data

    def fill(self, info: Any, template: str) -> str:
        return template.replace("NAME", info.name).replace("TYPE", info.dtype.__name__)


def source(cls: Any) -> str:
    """Return the generated code of a message class as text."""
    shape = _Class(cls)
    return "\n".join([*_init(shape), "", *_from_str_fields(shape), "", *_encode(shape)]) + "\n"


def _init(shape: _Class) -> Iterator[str]:
    parameters, wrong, body = [], [], []
    for info in shape.fields:
        right, value = shape.fill(info, _RECIPES[info.kind.name].right), info.name
        if info.factory is not None:
            right = f"{info.name} is ABSENT or {right}"
            value = f"make_{info.name}() if {info.name} is ABSENT else {info.name}"
        default = "ABSENT" if info.default is None else f"default_{info.name}"
        parameters.append(f"{info.name}={default}")
        wrong.append(f"not ({right})")
        body.append(f"    set_{info.name}(self, {value})")
    if shape.has_extra:
        parameters.append("extra_data=()")
        wrong.append("type(extra_data) is not tuple or extra_data")
        body.append("    set_extra_data(self, ())")
    yield f"def __init__(self, *positional, {', '.join(parameters)}, **others):"
    yield from _if_any(
        ["positional", "others", *wrong], "    ", "make_all(self, positional, others, locals())"
    )
    yield from body


def _from_str_fields(shape: _Class) -> Iterator[str]:
    names = [info.name for info in shape.cls.field_infos]
    numbers = [info.name for info in shape.fields if info.kind.name in ("int", "float")]
    floats = [info.name for info in shape.fields if info.kind.name == "float"]
    wrong = [f"{shape.code.name} != {str(int(shape.code.default))!r}"]
    if numbers:
        wrong.append('f"' + "".join(f"{{{name}}}" for name in numbers) + '".strip(NUMERIC_CHARACTERS)')
    wrong += [shape.fill(info, text) for info in shape.fields if (text := _RECIPES[info.kind.name].wrong)]
    if shape.has_extra:
        names.append("*extra_data")
        wrong.append('not "".join(extra_data).isprintable()')
    yield "def from_str_fields(fields):"
    yield "    try:"
    yield f"        {', '.join(names)} = fields"
    yield from _if_any(wrong, "        ", "read_all(fields)")
    for name in floats:
        yield f"        {name} = float({name})"
    if floats:  # one check for all: the sum is finite only if each number is finite
        yield from _if_any(
            [f"not -INFINITY < {' + '.join(floats)} < INFINITY"], "        ", "read_all(fields)"
        )
    yield "        self = new(cls)"
    for info in shape.fields:
        yield f"        set_{info.name}(self, {shape.fill(info, _RECIPES[info.kind.name].read)})"
    if shape.has_extra:
        yield "        set_extra_data(self, tuple(extra_data))"
    yield "        return self"
    yield "    except (ValueError, KeyError, TypeError):"
    yield "        return read_all(fields)"


def _encode(shape: _Class) -> Iterator[str]:
    texts = [
        str(int(info.default)) if info.constant else shape.fill(info, _RECIPES[info.kind.name].write)
        for info in shape.cls.field_infos
    ]
    if shape.has_extra:
        texts[-1] += "{''.join([SEPARATOR + text for text in self.extra_data])}"
    layout = shape.cls.layout
    separator, terminator = repr(layout.separator)[1:-1], repr(layout.terminator.decode())[1:-1]
    yield "def encode(self):"
    yield "    return ("
    for text in texts[:-1]:
        yield f'        f"{text}{separator}"'
    yield f'        f"{texts[-1]}{terminator}"'
    yield "    ).encode()"


def _if_any(conditions: list[str], indent: str, result: str) -> Iterator[str]:
    yield f"{indent}if ("
    for index, condition in enumerate(conditions):
        yield f"{indent}    {'or ' if index else ''}{condition}"
    yield f"{indent}):"
    yield f"{indent}    return {result}"


def install(cls: Any, make: Callable[..., None], read: Callable[..., Any]) -> None:
    """Replace the loops of a message class by generated functions.

    :param make: the loop that constructs a message: ``make(self, *positional, **values)``.
    :param read: the loop that reads a message: ``read(fields)``.
    """
    names = _names(cls, make, read)
    exec(compile(source(cls), f"<compiled {cls.__name__}>", "exec"), names)
    cls.__init__ = names["__init__"]
    cls.from_str_fields = staticmethod(names["from_str_fields"])
    cls.encode = names["encode"]


def _names(cls: Any, make: Callable[..., None], read: Callable[..., Any]) -> dict[str, Any]:
    """Return the global names of the generated code of a message class."""
    absent = _NAMES["ABSENT"]

    def make_all(
        self: Any, positional: tuple[Any, ...], others: dict[str, Any], given: dict[str, Any]
    ) -> None:
        kept = {name: given[name] for name in cls._names if given.get(name, absent) is not absent}
        make(self, *positional, **kept, **others)

    names = dict(_NAMES, cls=cls, SEPARATOR=cls.layout.separator, make_all=make_all, read_all=read)
    for name in cls._names:
        if hasattr(getattr(cls, name), "__set__"):
            names[f"set_{name}"] = getattr(cls, name).__set__
    for info in cls.field_infos:
        names[f"default_{info.name}"] = info.default
        names[f"make_{info.name}"] = info.factory
        if info.kind.by_text:
            names[info.dtype.__name__] = info.dtype
            names[f"{info.dtype.__name__}_of_text"] = info.kind.by_text
            names[f"text_of_{info.dtype.__name__}"] = info.kind.text_of
    return names
