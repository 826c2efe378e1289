"""`compiled`: the code made for a class does what the loops of `BaseMessage` do, errors included."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import ANY

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2020.framing import split
from mtmount_twisted.replies import AckReply, OnStateInfoReply
from mtmount_twisted.wire import compiled
from mtmount_twisted.wire.fields import utc_now, write_timestamp
from mtmount_twisted.wire.lines import TextLayout
from mtmount_twisted.wire.messages import BaseMessage
from tests.support import strategies


def made_by_loop(cls: type[BaseMessage], values: dict[str, Any]) -> BaseMessage:
    """The message that the specification makes of these parameters."""
    message = object.__new__(cls)
    BaseMessage.__init__(message, **values)
    return message


def read_by_loop(cls: type[BaseMessage], fields: list[str]) -> BaseMessage:
    """The message that the specification reads from these fields."""
    loop = BaseMessage.from_str_fields.__func__  # type: ignore[attr-defined]
    message: BaseMessage = loop(cls, fields)
    return message


def outcome(make: Callable[..., BaseMessage], *arguments: Any, **values: Any) -> tuple[Any, ...]:
    """All that a user can see of an attempt to make or read a message."""
    try:
        message = make(*arguments, **values)
    except Exception as error:
        return type(error), str(error), error.args
    kept = [*(getattr(message, info.name) for info in message.field_infos), message.extra_data]
    return type(message), [(type(value), value) for value in kept], message.str_fields()


def given_values(cls: type[BaseMessage]) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters of this class, most of them right, some wrong, some left out, some unknown."""
    of_fields = {
        info.name: st.one_of(strategies.values(info), strategies.values(info), strategies.bad_values(info))
        for info in cls.field_infos
        if not info.constant
    }
    # With no counter and no clock, two attempts have the same outcome.
    always = {
        name: of_fields.pop(name)
        for info in cls.field_infos
        if (name := info.name) in of_fields and info.factory is not None
    }
    others = {"nonsense": st.integers(), "extra_data": st.lists(strategies.texts() | st.integers())}
    others |= {
        info.name: st.integers() | st.sampled_from(info.dtype) for info in cls.field_infos if info.constant
    }  # type: ignore[type-var]
    return st.fixed_dictionaries(always, optional=of_fields | others)


class EqualToTheLoops(SynchronousTestCase):
    """Whatever goes in, compiled code and loops agree."""

    @given(st.data())
    def test_making(self, data: st.DataObject) -> None:
        """A message is made, or refused in the same words, as by the loop."""
        cls = data.draw(st.sampled_from(strategies.MESSAGE_CLASSES))
        values = data.draw(given_values(cls))
        self.assertEqual(outcome(cls, **values), outcome(made_by_loop, cls, values))

    @given(st.data())
    def test_reading(self, data: st.DataObject) -> None:
        """Fields are read, or refused in the same words, as by the loop: any field may be bad."""
        cls = data.draw(st.sampled_from(strategies.MESSAGE_CLASSES))
        fields = data.draw(strategies.messages(cls)).str_fields()
        changes = data.draw(st.lists(st.tuples(st.integers(0, len(fields) - 1), st.data()), max_size=2))
        for index, more in changes:
            info = cls.field_infos[min(index, len(cls.field_infos) - 1)]
            fields[index] = more.draw(strategies.bad_texts(info) | strategies.texts() | st.just(""))
        self.assertEqual(outcome(cls.from_str_fields, fields), outcome(read_by_loop, cls, fields))

    @given(strategies.mutated_lines(), st.sampled_from(strategies.MESSAGE_CLASSES))
    def test_reading_damaged_lines(self, line: bytes, cls: type[BaseMessage]) -> None:
        """A damaged line, or one of another class, has the outcome that it has in the loop."""
        fields = split(line)
        self.assertEqual(outcome(cls.from_str_fields, fields), outcome(read_by_loop, cls, fields))

    @given(strategies.any_message())
    def test_writing(self, message: BaseMessage) -> None:
        """A message is written as by the loop, to the byte."""
        self.assertEqual(message.encode(), BaseMessage.encode(message))

    def test_extra_data_that_claims_to_be_none(self) -> None:
        """Extra data is judged by its type: what only compares equal to nothing is refused."""
        cls = next(cls for cls in strategies.MESSAGE_CLASSES if cls.__name__ == "ErrorReply")
        moment = utc_now()
        values = {"on": True, "active": True, "code": 1, "subsystem": "900. a", "timestamp": moment}
        for odd in (ANY, (), [], ["a"], 3):
            given_values = values | {"extra_data": odd}
            self.assertEqual(outcome(cls, **given_values), outcome(made_by_loop, cls, given_values))

    def test_numbers_that_add_up_to_too_much(self) -> None:
        """Finite numbers are read, also where their sum is not finite."""
        cls = strategies.MESSAGE_CLASSES[2]
        fields = ["1", "30", "1", "2020-02-27T14:48:27.469", "1e308", "1e308", "0", "0", "0"]
        self.assertEqual(outcome(cls.from_str_fields, fields), outcome(read_by_loop, cls, fields))

    _near_misses = st.from_regex(
        r"[0-9]{4}-[0-9W]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}", fullmatch=True
    )
    _mangled = st.tuples(strategies.timestamps(), st.integers(0, 22), st.characters()).map(
        lambda drawn: (text := write_timestamp(drawn[0]))[: drawn[1]] + drawn[2] + text[drawn[1] + 1 :]
    )

    @given(
        _near_misses
        | _mangled
        | st.text(min_size=23, max_size=23)
        | st.text("0123456789-:.TWZ+ ", min_size=17)
    )
    @example("2020-W09-4T14:48:27.469")
    @example("2020-02-27T24:00:00.000")
    @example("2016-12-31T23:59:60.500")
    @example("2020-02-27T14:48:27.46Z")
    @example("2020-02-27T14:48:27+010")
    @example("2020-02-27T14+48+27.469")
    def test_reading_timestamps(self, text: str) -> None:
        """The short cut for the mount's own form takes, refuses and means what `read_timestamp` does."""
        fields = ["5", text, "x"]
        self.assertEqual(
            outcome(OnStateInfoReply.from_str_fields, fields), outcome(read_by_loop, OnStateInfoReply, fields)
        )


class Source(SynchronousTestCase):
    """The code itself."""

    def test_docstring_shows_what_is_made(self) -> None:
        """The example in the module's docstring is the code made for `AckReply`."""
        doc = compiled.__doc__ or ""
        start, end = doc.index("    def __init__"), doc.index("\n\nTests compare")
        shown = textwrap.dedent(doc[start:end])

        def folded(text: str) -> list[str]:
            return [
                line
                for line in text.replace(",\n             timeout_ms", ", timeout_ms").split("\n")
                if line
            ]

        self.assertEqual(folded(shown), folded(compiled.source(AckReply)))

    def test_layout_of_the_class(self) -> None:
        """The generated code writes the separator and the terminator that the class declares."""

        class OtherAck(AckReply):
            """An Ack of another protocol."""

            layout = TextLayout(separator=" | ", terminator=b"\0")

        message = OtherAck(sequence_id=2, timeout_ms=3, timestamp=datetime(2020, 2, 27, tzinfo=UTC))
        self.assertEqual(message.encode(), b"0 | 2 | 1 | 2020-02-27T00:00:00.000 | 3\0")
        self.assertEqual(message.encode(), BaseMessage.encode(message))

    def test_subclass_makes_itself(self) -> None:
        """A subclass of a message class makes and reads messages of its own class."""

        class OurAck(AckReply):
            """An Ack under another name."""

        AckReply(sequence_id=1)
        message = OurAck(sequence_id=2)
        self.assertIs(type(OurAck.from_str_fields(message.str_fields())), OurAck)
        self.assertNotEqual(message, AckReply(sequence_id=2, timestamp=message.timestamp))
