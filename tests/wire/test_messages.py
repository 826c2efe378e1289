"""What every message class promises, whichever it is."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
import threading
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import commands, enums, replies
from mtmount_twisted.errors import FieldCountError, FieldError, PositionalFieldError, UnknownFieldError
from mtmount_twisted.wire.fields import INT, STR
from mtmount_twisted.wire.lines import TextLayout
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID, BaseMessage, parameter, sequence_ids
from tests.support import strategies

NAMESPACE = {**vars(commands), **vars(replies), **vars(enums)}
WHEN = datetime(2020, 2, 27, 14, 48, 27, 469000, tzinfo=UTC)


def parse(message: BaseMessage, fields: list[str]) -> BaseMessage:
    """These fields, read as the branch of messages that this one is of."""
    return commands.parse_command(fields) if strategies.is_command(message) else replies.parse_reply(fields)


class Vectors(SynchronousTestCase):
    """The lines that the original wrote and refused."""

    def test_every_class_has_a_vector(self) -> None:
        """The vectors show every message class."""
        named = {row["message"] for row in strategies.rows("messages.jsonl")}
        self.assertEqual(named, {cls.__name__ for cls in strategies.MESSAGE_CLASSES})

    def test_making_and_encoding(self) -> None:
        """Each row's message, made by keyword, encodes to exactly the row's bytes."""
        for row in strategies.rows("messages.jsonl"):
            message = NAMESPACE[row["message"]](**row["fields"])
            self.assertEqual(message.encode(), row["wire"].encode(), row)

    def test_parsing(self) -> None:
        """Each row's line reads as the row's message, field by field, and writes the same line."""
        for row in strategies.rows("messages.jsonl"):
            made = NAMESPACE[row["message"]](**row["fields"])
            fields = row["wire"].removesuffix("\r\n").split("\n")
            for read in (parse(made, fields), type(made).from_str_fields(fields)):
                self.assertIs(type(read), type(made))
                self.assertEqual(read, made)
                self.assertEqual(read.str_fields(), fields)
                for name, value in row["fields"].items():
                    self.assertEqual(_as_json(getattr(read, name)), value, row)

    def test_malformed(self) -> None:
        """Each malformed row is a ValueError that says which message, and what is wrong."""
        parsers = {"command": commands.parse_command, "reply": replies.parse_reply}
        for row in strategies.rows("malformed.jsonl"):
            fields = row["wire"].removesuffix("\r\n").split("\n")
            error = self.assertRaises(ValueError, parsers[row["kind"]], fields)
            self.assertIn("expected", str(error))


class Making(SynchronousTestCase):
    """Keyword construction."""

    def test_defaults(self) -> None:
        """A command made without a header is from the CSC, now, in UTC."""
        before = datetime.now(UTC).replace(microsecond=0)
        command = commands.AzimuthAxisMove(position=10)
        self.assertIs(command.source, enums.Source.CSC)
        self.assertTrue(before <= command.timestamp <= datetime.now(UTC))
        self.assertEqual(
            (command.position, command.velocity, command.acceleration, command.jerk), (10.0, 0.0, 0.0, 0.0)
        )
        self.assertEqual(command.str_fields()[4:], ["10.0", "0.0", "0.0", "0.0"])

    def test_none_is_the_default(self) -> None:
        """A parameter that is None takes its default; where there is none, the value is missing."""
        for cls in strategies.MESSAGE_CLASSES:
            required = {info.name: _sample(info) for info in cls.field_infos if info.required}
            others = [info for info in cls.field_infos if not info.required]
            none: dict[str, Any] = {info.name: None for info in others}
            message = cls(**required, **none, **({"extra_data": None} if cls.has_extra_data else {}))
            self.assertEqual(message.extra_data, ())
            for info in others:
                if info.default is not None:
                    self.assertEqual(getattr(message, info.name), info.default, info.name)
        given: dict[str, Any] = {"position": 1, "sequence_id": None, "timestamp": None}
        first, second = commands.AzimuthAxisMove(**given), commands.AzimuthAxisMove(**given)
        self.assertEqual(second.sequence_id, first.sequence_id % MAX_SEQUENCE_ID + 1)
        self.assertIs(first.timestamp.tzinfo, UTC)
        with self.assertRaisesRegex(FieldError, r"AzimuthAxisMove.position: expected .*required.*got None"):
            commands.AzimuthAxisMove(**given | {"position": None})

    def test_sequence_ids_count_up(self) -> None:
        """Commands made one after the other have one sequence id after the other."""
        first = commands.Enable().sequence_id
        self.assertEqual(
            [commands.Disable().sequence_id for _ in range(3)], [first + 1, first + 2, first + 3]
        )

    def test_sequence_id_wraps(self) -> None:
        """After 2147483647 comes 1, and counting goes on."""
        self.assertEqual(MAX_SEQUENCE_ID, 2147483647)
        ids = sequence_ids(MAX_SEQUENCE_ID - 1)
        self.assertEqual([next(ids) for _ in range(4)], [MAX_SEQUENCE_ID - 1, MAX_SEQUENCE_ID, 1, 2])
        self.assertEqual(next(sequence_ids()), 1)

    def test_sequence_ids_of_several_threads(self) -> None:
        """Threads that make commands at the same time never get the same id, nor an error."""
        ids = sequence_ids()
        drawn: list[int] = []
        threads = [
            threading.Thread(target=lambda: drawn.extend([next(ids) for _ in range(2000)])) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(drawn), list(range(1, 8001)))

    def test_missing_required(self) -> None:
        """Each parameter without a default is required: without it, a ValueError names it and its message."""
        for cls in strategies.MESSAGE_CLASSES:
            for info in cls.field_infos:
                given = {other.name: _sample(other) for other in cls.field_infos if other is not info}
                if not info.required:
                    cls(**given)
                    continue
                error = self.assertRaises(FieldError, lambda cls=cls, given=given: cls(**given))
                self.assertEqual(
                    (error.message_name, error.field, error.value), (cls.__name__, info.name, None)
                )
                for part in (cls.__name__, info.name, "required"):
                    self.assertIn(part, str(error))

    def test_unknown_name(self) -> None:
        """A name that the message does not have is a TypeError with the message, the name and its value."""
        for cls in strategies.MESSAGE_CLASSES:
            given = {info.name: _sample(info) for info in cls.field_infos}
            error = self.assertRaises(TypeError, lambda cls=cls, given=given: cls(**given, nonesuch=17))
            self.assertIsInstance(error, UnknownFieldError)
            self.assertEqual((error.message_name, error.field, error.value), (cls.__name__, "nonesuch", 17))
            for part in (cls.__name__, "nonesuch", "17"):
                self.assertIn(part, str(error))

    def test_no_positional_arguments(self) -> None:
        """A value without a name is a TypeError that shows the right call."""
        cases: list[tuple[Any, tuple[Any, ...], str]] = [
            (commands.AzimuthAxisMove, (10,), "AzimuthAxisMove(position=10)"),
            (commands.BothAxesMove, (1, 2.5), "BothAxesMove(azimuth=1, elevation=2.5)"),
            (commands.AskForCommand, ("CSC",), "AskForCommand(commander='CSC')"),
            (replies.NoAckReply, ("no",), "NoAckReply(explanation='no')"),
            (commands.BothAxesStop, (1,), "BothAxesStop(); got 1 values, its own parameters are: none"),
            (commands.MirrorCoversStop, (1, 2), "MirrorCoversStop(drive=1); got 2 values"),
        ]
        for _ in range(2):  # before and after the class is compiled
            for cls, values, call in cases:
                error = self.assertRaises(PositionalFieldError, lambda cls=cls, values=values: cls(*values))
                self.assertIsInstance(error, TypeError)
                self.assertIn(f"{cls.__name__} takes its parameters by name: {call}", str(error))

    def test_help(self) -> None:
        """``help`` and ``inspect.signature`` show the names, types, units and defaults."""
        signature = str(inspect.signature(commands.AzimuthAxisMove))
        for part in (
            "position: ",
            "float, 'deg'], ",
            "velocity: ",
            "'deg/s'] = 0.0",
            "sequence_id: int | None = None",
        ):
            self.assertIn(part, signature)
        self.assertIn("source: mtmount_twisted.dialects.sources.Source = <Source.CSC: 1>", signature)
        self.assertIn("extra_data: tuple[str, ...] = ()", str(inspect.signature(replies.ErrorReply)))
        text = pydoc.render_doc(commands.AzimuthAxisMove, renderer=pydoc.plaintext)
        for part in (
            "Move the azimuth axis to a position",
            "position (float, deg): Position to move to.",
            "velocity (float, deg/s, default 0.0): Largest velocity on the way",
            "source (Source, default Source.CSC): ",
            "sequence_id (int, filled in if left out): ",
        ):
            self.assertIn(part, text)
        for cls in strategies.MESSAGE_CLASSES:
            parameters = inspect.signature(cls).parameters
            self.assertEqual(
                {name for name, each in parameters.items() if each.default is inspect.Parameter.empty},
                {info.name for info in cls.field_infos if info.required},
            )
            self.assertLessEqual(
                {info.name for info in cls.field_infos if not info.constant}, set(parameters)
            )

    def test_own_code(self) -> None:
        """A message's own code may be given; any other code is a ValueError."""
        given: dict[str, Any] = {"command_code": 10}
        self.assertIs(commands.Enable(**given).command_code, enums.CommandCode.ENABLE)
        error = self.assertRaises(FieldError, lambda: commands.Disable(**given))
        self.assertEqual(error.field, "command_code")

    def test_roots_are_not_messages(self) -> None:
        """`Command` and `Reply` themselves have no code and can't be made or read."""
        given: dict[str, Any] = {"command_code": 10}
        self.assertRaises(ValueError, commands.Command)
        self.assertRaises(ValueError, lambda: commands.Command(**given))
        self.assertRaises(ValueError, replies.Reply)
        self.assertRaises(ValueError, commands.Command.from_str_fields, commands.Enable().str_fields())

    @given(st.data())
    def test_bad_values(self, data: st.DataObject) -> None:
        """A value that a field can't have is a ValueError that names message, field and value."""
        cls = data.draw(st.sampled_from(strategies.MESSAGE_CLASSES))
        info = data.draw(st.sampled_from([info for info in cls.field_infos]))
        value = data.draw(strategies.bad_values(info))
        given = {other.name: _sample(other) for other in cls.field_infos}
        error = self.assertRaises(FieldError, lambda: cls(**{**given, info.name: value}))
        self.assertEqual((error.message_name, error.field), (cls.__name__, info.name))
        self.assertIs(error.value, value)
        self.assertIn(f"{cls.__name__}.{info.name}", str(error))

    def test_huge_value_can_be_told(self) -> None:
        """The error for a value that Python refuses to print still prints."""
        error = self.assertRaises(ValueError, lambda: commands.MirrorCoversStop(drive=10**5000))
        self.assertIn("MirrorCoversStop.drive", str(error))
        self.assertIn("int", str(error))


class Values(SynchronousTestCase):
    """Messages as values: frozen, slotted, equal, hashed, shown, copied."""

    def test_frozen(self) -> None:
        """No attribute can be set, added or deleted."""
        message: Any = commands.MirrorCoversStop(drive=3)
        for name in ("drive", "sequence_id", "command_code", "extra_data", "nonesuch"):
            self.assertRaises(AttributeError, setattr, message, name, 1)
            self.assertRaises(AttributeError, delattr, message, name)
        self.assertEqual(message.drive, 3)

    def test_slotted(self) -> None:
        """No message carries a dict."""
        for cls in strategies.MESSAGE_CLASSES:
            message = cls(**{info.name: _sample(info) for info in cls.field_infos})
            self.assertFalse(hasattr(message, "__dict__"), cls)

    @given(strategies.any_message())
    def test_repr_evaluates_back(self, message: BaseMessage) -> None:
        """`repr` is Python that makes the same message, and names every parameter."""
        self.assertEqual(eval(repr(message), dict(NAMESPACE)), message)
        for info in message.field_infos:
            self.assertEqual(f"{info.name}=" in repr(message), not info.constant)

    @given(st.datetimes(timezones=st.just(UTC)))
    def test_repr_keeps_the_microseconds(self, moment: datetime) -> None:
        """`repr` tells a timestamp as finely as the message has it, though the wire is coarser."""
        message = commands.Enable(timestamp=moment)
        again = eval(repr(message), dict(NAMESPACE))
        self.assertEqual(again, message)
        self.assertEqual(again.str_fields(), message.str_fields())

    @given(strategies.any_message())
    def test_copies(self, message: BaseMessage) -> None:
        """Pickled, copied and deep-copied messages are equal to the original, and hash the same."""
        versions = range(4, pickle.HIGHEST_PROTOCOL + 1)  # below 4 a datetime loses its `fold`: a leap second
        pickles = [pickle.loads(pickle.dumps(message, version)) for version in versions]
        for other in (copy.copy(message), copy.deepcopy(message), *pickles):
            self.assertEqual(other, message)
            self.assertEqual(hash(other), hash(message))
            self.assertEqual(other.encode(), message.encode())

    @given(st.data())
    def test_equality(self, data: st.DataObject) -> None:
        """Two messages are equal just when their class and every field are."""
        cls = data.draw(st.sampled_from(strategies.MESSAGE_CLASSES))
        given = data.draw(strategies.parameters(cls))
        message = cls(**given)
        self.assertEqual(message, cls(**given))
        self.assertEqual(len({message, cls(**given)}), 1)
        self.assertEqual(cls(**{name: getattr(message, name) for name in given}), message)
        name = data.draw(st.sampled_from(sorted(given)))
        info = {info.name: info for info in cls.field_infos}.get(name)
        other = data.draw(strategies.values(info) if info else st.just(("other", "data")))
        self.assertEqual(cls(**{**given, name: other}) == message, other == given[name])

    def test_extra_data_counts(self) -> None:
        """Messages that differ in their extra data alone, or in how much of it there is, are not equal."""
        given: dict[str, Any] = {"active": True, "code": 900, "subsystem": "900. X", "timestamp": WHEN}
        warnings = [
            replies.WarningReply(**given, extra_data=extra) for extra in ((), ("",), ("a",), ("a", ""))
        ]
        self.assertEqual(len(set(warnings)), 4)
        self.assertEqual([eval(repr(warning), dict(NAMESPACE)) for warning in warnings], warnings)

    def test_classes_differ(self) -> None:
        """Messages of two classes are never equal, nor is a message equal to its fields."""
        header: dict[str, Any] = {"sequence_id": 1, "timestamp": WHEN}
        enable, disable = commands.Enable(**header), commands.Disable(**header)
        self.assertNotEqual(enable, disable)
        self.assertNotEqual(enable, enable.str_fields())
        self.assertEqual(len({enable, disable, commands.Enable(**header)}), 2)


class Wire(SynchronousTestCase):
    """str_fields, encode and from_str_fields."""

    @given(strategies.any_message())
    def test_round_trip(self, message: BaseMessage) -> None:
        """Every message is read back equal from its fields, and one line is one message."""
        fields = message.str_fields()
        self.assertTrue(all(type(field) is str for field in fields))
        self.assertEqual(parse(message, fields), message)
        self.assertEqual(message.encode(), "\n".join(fields).encode() + b"\r\n")
        self.assertEqual(message.encode().count(b"\r\n"), 1)

    @given(st.data())
    def test_malformed_field(self, data: st.DataObject) -> None:
        """A field that can't be read is a ValueError that names message, field and text."""
        message = data.draw(strategies.any_message())
        fields = message.str_fields()
        infos = [info for info in message.field_infos if info.kind is not STR and not info.constant]
        info = data.draw(st.sampled_from(infos))
        text = data.draw(strategies.bad_texts(info))
        fields[message.field_infos.index(info)] = text
        error = self.assertRaises(FieldError, parse, message, fields)
        self.assertEqual(
            (error.message_name, error.field, error.value), (type(message).__name__, info.name, text)
        )
        self.assertIn(repr(text), str(error))

    def test_count(self) -> None:
        """One field too few or too many is a ValueError that says how many there should be."""
        for cls in strategies.MESSAGE_CLASSES:
            fields = cls(**{info.name: _sample(info) for info in cls.field_infos}).str_fields()
            error = self.assertRaises(FieldCountError, cls.from_str_fields, fields[:-1])
            self.assertIn(str(len(fields)), str(error))
            self.assertEqual((error.message_name, error.field), (cls.__name__, cls.field_infos[-1].name))
            self.assertRaises(FieldCountError, cls.from_str_fields, [])
            if not cls.has_extra_data:
                error = self.assertRaises(FieldCountError, cls.from_str_fields, [*fields, "1"])
                self.assertEqual(error.value, [*fields, "1"])

    def test_other_code(self) -> None:
        """Fields with another class's code are not this class's message."""
        fields = commands.Enable().str_fields()
        error = self.assertRaises(FieldError, commands.Disable.from_str_fields, fields)
        self.assertEqual((error.message_name, error.field), ("Disable", "command_code"))

    def test_any_sequence_of_fields(self) -> None:
        """Fields may come as a tuple, and a list that is given is left as it is."""
        fields = ["4", "1", "900", "900. X", "2020-02-27T14:48:27.469", "a", "b"]
        self.assertEqual(replies.parse_reply(tuple(fields)), replies.parse_reply(fields))
        self.assertEqual(len(fields), 7)

    @given(st.lists(st.text(max_size=30), max_size=12))
    def test_any_fields(self, fields: list[str]) -> None:
        """Whatever the fields, a parser returns a message or raises ValueError."""
        for reader in (commands.parse_command, replies.parse_reply, commands.BothAxesTrack.from_str_fields):
            try:
                reader(fields)
            except ValueError as error:
                str(error)


class Declarations(SynchronousTestCase):
    """field_infos, and what a class body may say."""

    def test_each_field_is_described(self) -> None:
        """Each field has a name, a sentence that says what it is, and a Python type; a float has a unit."""
        for cls in strategies.MESSAGE_CLASSES:
            self.assertTrue(cls.__doc__ and cls.__doc__ != BaseMessage.__doc__, cls)
            self.assertEqual(len({info.name for info in cls.field_infos}), len(cls.field_infos))
            for info in cls.field_infos:
                self.assertTrue(info.name.isidentifier())
                self.assertRegex(info.doc, r"^\S.+\.$")
                self.assertIsInstance(info.dtype, type)
                if info.dtype is float:
                    self.assertTrue(info.unit, (cls, info.name))
                    self.assertIn(info.unit, info.expected)

    def test_defaults_are_of_the_type(self) -> None:
        """A default is a value of the field's type, and is what a message made without it holds."""
        for cls in strategies.MESSAGE_CLASSES:
            given = {info.name: _sample(info) for info in cls.field_infos if info.required}
            message = cls(**given)
            for info in cls.field_infos:
                self.assertIsInstance(getattr(message, info.name), info.dtype)
                if info.default is not None:
                    self.assertIs(type(info.default), info.dtype)
                    self.assertEqual(getattr(message, info.name), info.default)
                else:
                    self.assertTrue(info.required or info.factory is not None)

    def test_extra_data(self) -> None:
        """`has_extra_data` says which messages may have further fields; `extra_data` is always a tuple."""
        with_extra = {cls.__name__ for cls in strategies.MESSAGE_CLASSES if cls.has_extra_data}
        self.assertEqual(with_extra, {"ErrorReply", "WarningReply"})
        for cls in strategies.MESSAGE_CLASSES:
            message = cls(**{info.name: _sample(info) for info in cls.field_infos})
            self.assertEqual(message.extra_data, ())
            if not cls.has_extra_data:
                given = {info.name: _sample(info) for info in cls.field_infos}
                self.assertRaises(TypeError, lambda cls=cls, given=given: cls(**given, extra_data=()))

    def test_a_new_message_is_a_few_lines(self) -> None:
        """A class body alone makes a message with slots, checks, defaults and field_infos."""

        class Greeting(BaseMessage):
            """Say something."""

            layout = TextLayout(separator="|", terminator=b";")
            words: str = parameter("What to say.")
            times: int = parameter("How often.", default=1)

        self.assertEqual([info.name for info in Greeting.field_infos], ["words", "times"])
        self.assertIs(Greeting.field_infos[1].kind, INT)
        self.assertEqual(Greeting(words="hello").encode(), b"hello|1;")
        self.assertEqual(Greeting.from_str_fields(["hello", " 2 "]), Greeting(words="hello", times=2))

    def test_a_bad_declaration_fails_at_once(self) -> None:
        """A field of a type that the protocol does not have can't be declared."""

        def declare() -> None:
            class Wrong(BaseMessage):
                data: bytes = parameter("No such type.")

        self.assertRaises(TypeError, declare)


def _sample(info: Any) -> Any:
    """One right value for a field."""
    if info.default is not None:
        return info.default
    return {"int": 1, "float": 1.5, "bool": True, "str": "text", "timestamp": WHEN}[info.kind.name]


def _as_json(value: Any) -> Any:
    """As the vectors write it."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")[:23]
    return list(value) if isinstance(value, tuple) else value
