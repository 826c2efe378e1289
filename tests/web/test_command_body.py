"""Judging a body: which command it is, every fault in it, and that it is judged as the schema says."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.commands import AskForCommand, AzimuthAxisMove, Command, Commands, MirrorCoversPower
from mtmount_twisted.dialects.dialect import dialect_named
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.frontends.web.api import command_body
from mtmount_twisted.frontends.web.api.catalogue import LEAST, MOST, catalogue, offered
from mtmount_twisted.frontends.web.http.calls import MAX_BODY, RequestError
from mtmount_twisted.replies import ErrorReply
from mtmount_twisted.wire.messages import FieldInfo
from tests.support import strategies

SCHEMA = Draft202012Validator(catalogue(DIALECT).request)

JSON_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | JSON_NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)


NEAR_BOUNDS = [side * 2**31 + off for side in (-1, 1) for off in (-1, 0, 1, -1.0, 0.0, 1.0)]


def judged(body: Any) -> Command:
    """The command that a body is."""
    return command_body.judge(body, DIALECT, Source.CSC, 7)


def faults(body: Any) -> dict[str, str]:
    """What is wrong with a body: why, by where."""
    try:
        judged(body)
    except RequestError as problem:
        assert problem.status == 422, problem.status
        return {fault.where: fault.why for fault in problem.faults}
    raise AssertionError(f"it was taken: {body!r}")


def move(**parameters: Any) -> dict[str, Any]:
    """A body."""
    return {"command": "AzimuthAxisMove", "parameters": parameters}


def near_values(info: FieldInfo) -> st.SearchStrategy[Any]:
    """JSON values for a parameter: most of them right, or nearly."""
    usual: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers() | st.sampled_from(NEAR_BOUNDS) | st.integers(-9, 9).map(float),
        "float": JSON_NUMBERS,
        "bool": st.booleans() | st.integers(0, 1),
        "enum": st.sampled_from(["CSC", "NONE", "csc", 0, 3, 4, 1.0, True]),
    }
    return usual[info.kind.name] | JSON


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """Bodies that are a command, or nearly one."""
    cls = draw(st.sampled_from(Commands))
    infos = DIALECT.parameters_of(cls)
    given = {info.name: draw(near_values(info)) for info in infos if info.required or draw(st.booleans())}
    if given and draw(st.integers(0, 5)) == 0:
        del given[draw(st.sampled_from(sorted(given)))]
    if draw(st.integers(0, 9)) == 0:
        given[draw(st.sampled_from(["source", "sequence_id", "x", "position"]))] = draw(JSON)
    body: dict[str, Any] = {"command": cls.__name__, "parameters": given}
    if draw(st.integers(0, 9)) == 0:
        body[draw(st.sampled_from(["command", "parameters", "timestamp"]))] = draw(JSON)
    if not given and draw(st.booleans()):
        body.pop("parameters")
    return body


class JudgeTests(SynchronousTestCase):
    """Bodies, and what becomes of them."""

    def test_command(self) -> None:
        """A body is the command that it names, under the source and sequence id that it is given."""
        command = command_body.judge(move(position=10), DIALECT, Source.EUI, 5)
        expected = AzimuthAxisMove(
            position=10.0, source=Source.EUI, sequence_id=5, timestamp=command.timestamp
        )
        self.assertEqual(command, expected)

    def test_bounds_of_integers(self) -> None:
        """An integer is of 32 bits: one more or less is a fault that names the bounds."""
        for drive in (2**31 - 1, -(2**31), -(2.0**31)):
            command: Any = judged({"command": "MirrorCoversStop", "parameters": {"drive": drive}})
            self.assertEqual(command.drive, int(drive))
        for drive in (2**31, -(2**31) - 1, 2.0**31, 99999999999999999999):
            why = faults({"command": "MirrorCoversStop", "parameters": {"drive": drive}})["parameters.drive"]
            self.assertIn("expected an integer from -2147483648 to 2147483647, got", why)

    def test_no_parameters(self) -> None:
        """Where nothing is required the parameters can be left out, and not where something is."""
        self.assertIsInstance(judged({"command": "AskForCommand"}), AskForCommand)
        self.assertEqual(
            faults({"command": "AzimuthAxisPower"}), {"parameters.on": "missing, expected true or false"}
        )

    def test_every_fault_is_told(self) -> None:
        """All that is wrong is told at once, each with where it is, what it is and what was expected."""
        body = {**move(velocity="fast", jerk=None, positon=1), "sequence_id": 3}
        self.assertEqual(
            faults(body),
            {
                "sequence_id": "can't be given: the bridge writes a command's header",
                "parameters.positon": "no parameter of AzimuthAxisMove; did you mean position?",
                "parameters.position": "missing, expected a finite number in deg",
                "parameters.velocity": 'expected a finite number in deg/s, got "fast"',
                "parameters.jerk": "expected a finite number in deg/s³, got null",
            },
        )

    def test_unknown_command(self) -> None:
        """A command that is not known is told with the nearest, and with the faults beside it."""
        self.assertEqual(
            faults({"command": "bothaxesmov", "parameters": []}),
            {
                "command": 'there is no command "bothaxesmov"; '
                "did you mean BothAxesMove or BothAxesStop or BothAxesTrack?",
                "parameters": "expected an object, got an array",
            },
        )
        self.assertEqual(faults({"command": "?"}), {"command": 'there is no command "?"'})

    def test_no_command(self) -> None:
        """What is no object, or names no command, is told so."""
        expected = 'expected an object with "command" and "parameters", got null'
        self.assertEqual(faults(None), {"body": expected})
        self.assertEqual(faults({}), {"command": "missing, expected the name of a command"})
        self.assertEqual(faults({"command": 103}), {"command": "expected the name of a command, got 103"})

    def test_header_is_the_bridge_s(self) -> None:
        """Neither source nor sequence id nor timestamp nor code can be given as a parameter."""
        for name in ("source", "sequence_id", "timestamp", "command_code"):
            told = faults(move(position=1, **{name: 1}))
            self.assertEqual(list(told), [f"parameters.{name}"])
            self.assertIn("can't be given", told[f"parameters.{name}"])

    def test_bool(self) -> None:
        """A bool is true or false, and no number; a number is no bool."""
        body = {"command": "AzimuthAxisPower", "parameters": {"on": True}}
        self.assertEqual(getattr(judged(body), "on"), True)
        body["parameters"] = {"on": 1}
        self.assertEqual(faults(body), {"parameters.on": "expected true or false, got 1"})
        self.assertEqual(
            faults(move(position=True)), {"parameters.position": "expected a finite number in deg, got true"}
        )

    def test_numbers_that_are_none(self) -> None:
        """A number must be finite, and one that a double can hold."""
        for value in (float("nan"), float("inf"), -float("inf"), 10**400, 10**5000):
            told = faults(move(position=value))["parameters.position"]
            self.assertTrue(told.startswith("expected a finite number in deg, got "), told)
            self.assertLess(len(told), 200)

    def test_integer(self) -> None:
        """An integer has no fraction, however it is written, for JSON has one kind of number."""
        body: dict[str, Any] = {"command": "MirrorCoversPower", "parameters": {"drive": 2.0, "on": True}}
        command = judged(body)
        assert isinstance(command, MirrorCoversPower)
        self.assertEqual((command.drive, type(command.drive)), (2, int))
        for value in (2.5, "2", True, float("inf")):
            body["parameters"]["drive"] = value
            self.assertIn("expected an integer", faults(body)["parameters.drive"])

    def test_enumeration(self) -> None:
        """A member of an enumeration is given by name or by number."""
        for value in ("EUI", 2, 2.0):
            command = judged({"command": "AskForCommand", "parameters": {"commander": value}})
            assert isinstance(command, AskForCommand)
            self.assertIs(command.commander, Commander.EUI)
        expected = 'expected one of "NONE" (0), "CSC" (1), "EUI" (2), "HHD" (3), got '
        for value in ("eui", 7, True, None):
            told = faults({"command": "AskForCommand", "parameters": {"commander": value}})
            self.assertEqual(told, {"parameters.commander": expected + json.dumps(value)})

    def test_hostile_names_stay_short(self) -> None:
        """However long or odd a name or value is, what is told of it is short, and is plain ASCII."""
        told = faults({"command": "\x1b[31m" + "x" * 60_000})
        self.assertLess(len(told["command"]), 200)
        (where,) = faults(move(position=1, **{"\u202e" + "y" * 60_000: 1}))
        self.assertLess(len(where), 200)
        self.assertTrue(where.isascii() and where.isprintable(), where)

    def test_many_unknown_names(self) -> None:
        """Beyond the first unknown names the others are counted, so that judging takes little time."""
        told = faults(move(position=1, **{f"n{number}": 0 for number in range(5000)}))
        self.assertEqual(len(told), command_body.MOST_UNKNOWN + 1)
        self.assertIn("4980 more names are no parameter of AzimuthAxisMove", told["parameters"])
        self.assertIn("more names", faults({f"n{number}": 0 for number in range(99)})["body"])

    def test_no_parameter_to_expect(self) -> None:
        """Of a command without parameters it is told that there are none."""
        told = faults({"command": "Enable", "parameters": {"x": 1}})
        self.assertEqual(told, {"parameters.x": "no parameter of Enable; there are none"})

    @given(bodies() | JSON)
    def test_as_the_schema_says(self, body: Any) -> None:
        """A body that the catalogue's schema takes makes a command, and one that it refuses gives 422."""
        if SCHEMA.is_valid(body):
            judged(body).encode()
        else:
            self.assertTrue(faults(body))

    @given(st.sampled_from(Commands).flatmap(strategies.messages))
    def test_there_and_back(self, command: Command) -> None:
        """What is told of a command's parameters makes the same command again, by way of JSON."""
        parameters = json.loads(json.dumps(command_body.parameters_of(command, DIALECT)))
        assume(all(LEAST <= value <= MOST for value in parameters.values() if isinstance(value, int)))
        again = judged({"command": type(command).__name__, "parameters": parameters})
        self.assertEqual(
            command_body.parameters_of(again, DIALECT), command_body.parameters_of(command, DIALECT)
        )


class ReadTests(SynchronousTestCase):
    """Kinds of value that no command has now."""

    def read(self, field: str, value: Any) -> Any:
        """A JSON value as a field of an error."""
        (info,) = (info for info in ErrorReply.field_infos if info.name == field)
        return command_body.read_value(info, value)

    def test_every_kind_is_known(self) -> None:
        """A new kind of field can't be forgotten here."""
        for cls in strategies.MESSAGE_CLASSES:
            for info in cls.field_infos:
                self.assertTrue(command_body.expected_of(info))
                self.assertRaises(ValueError, command_body.read_value, info, [])

    def test_timestamp(self) -> None:
        """A timestamp is ISO 8601 with Z or an offset; a leap second can be told."""
        utc = self.read("timestamp", "2020-02-27T14:48:27.469Z")
        self.assertEqual(utc.isoformat(), "2020-02-27T14:48:27.469000+00:00")
        self.assertEqual(self.read("timestamp", "2020-02-27T15:48:27.469+01:00"), utc)
        self.assertEqual(self.read("timestamp", "2016-12-31T23:59:60Z").fold, 1)
        for value in ("2020-02-27T14:48:27", "yesterday", "Z", 0, "0001-01-01T00:00:00+10:00"):
            self.assertRaises(ValueError, self.read, "timestamp", value)

    def test_text(self) -> None:
        """A text has no line break."""
        self.assertEqual(self.read("subsystem", "900. é"), "900. é")
        error = self.assertRaises(ValueError, self.read, "subsystem", "a\nb")
        self.assertEqual(
            str(error), r"expected text without \r, \n or NUL that UTF-8 can encode, got " + r'"a\nb"'
        )


class LengthTests(SynchronousTestCase):
    """How long a body is."""

    def test_every_command_fits(self) -> None:
        """The body of each command in each dialect, written with room, is far below the bound of a body."""
        for name in ("tma2020", "tma2022"):
            dialect = dialect_named(name)
            for cls in offered(dialect).values():
                parameters = {info.name: "x" * 100 for info in dialect.parameters_of(cls)}
                body = json.dumps({"command": cls.__name__, "parameters": parameters}, indent=8)
                self.assertLess(len(body), MAX_BODY // 2)
