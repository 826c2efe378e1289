"""Every error is the builtin that a caller expects, says what went wrong, and keeps what explains it."""

from __future__ import annotations

import pickle
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import errors
from mtmount_twisted.commands import AzimuthAxisMove

COMMAND = AzimuthAxisMove(position=10, sequence_id=17)
# Each error: how it is made, what it is besides, and what its text must hold.
SAMPLES: dict[str, tuple[Exception, type[Exception], list[str]]] = {
    "MTMountError": (errors.MTMountError("words"), Exception, ["words"]),
    "MessageError": (
        errors.MessageError("Enable", "x", "q", "an y"),
        ValueError,
        ["Enable.x", "'q'", "an y"],
    ),
    "FieldError": (errors.FieldError("Enable", "x", 3, "an y"), ValueError, ["Enable.x", "3", "an y"]),
    "FieldCountError": (
        errors.FieldCountError("Enable", None, ["a"], "4"),
        ValueError,
        ["Enable", "['a']", "4"],
    ),
    "UnknownCodeError": (
        errors.UnknownCodeError("command", "c", 7, "k"),
        ValueError,
        ["command.c", "7", "k"],
    ),
    "LineError": (errors.LineError(b"1\n2", "bad end", "x"), ValueError, ["bad end", r"1\n2"]),
    "HandshakeTooLongError": (errors.HandshakeTooLongError(16384), ValueError, ["16384 bytes"]),
    "TLSAnswersError": (errors.TLSAnswersError(4096), ValueError, ["4096 bytes"]),
    "UnfinishedLineError": (errors.UnfinishedLineError(b"abc", 10.0), TimeoutError, ["abc", "10 s"]),
    "LineTooLongError": (errors.LineTooLongError(b"abc", 99), ValueError, ["abc", "99"]),
    "UnknownFieldError": (
        errors.UnknownFieldError("Enable", "x", 3, ("a", "b")),
        TypeError,
        ["x", "3", "a, b"],
    ),
    "PositionalFieldError": (
        errors.PositionalFieldError("Move", (10, "x", 3), ("position", "velocity")),
        TypeError,
        ["by name: Move(position=10, velocity='x')", "got 3 values", "position, velocity"],
    ),
    "NotConnectedError": (errors.NotConnectedError("words"), RuntimeError, ["words"]),
    "ConnectionLostError": (errors.ConnectionLostError("words"), ConnectionResetError, ["words"]),
    "PairClosedError": (errors.PairClosedError("words"), ConnectionAbortedError, ["words"]),
    "PeerRefusedError": (
        errors.PeerRefusedError("out of date", "untrusted"),
        ConnectionRefusedError,
        ["out of date"],
    ),
    "WebError": (errors.WebError("words"), OSError, ["words"]),
    "EngineUnreachable": (errors.EngineUnreachable("words"), ConnectionError, ["words"]),
    "EngineFull": (errors.EngineFull("words"), OSError, ["words"]),
    "EngineRefused": (errors.EngineRefused("words"), PermissionError, ["words"]),
    "ConnectTimeoutError": (
        errors.ConnectTimeoutError(1.5, "nothing is there"),
        TimeoutError,
        ["within 1.5 s: nothing is there"],
    ),
    "ListenError": (errors.ListenError("::1", 30006, "in use"), OSError, ["::1", "30006", "in use"]),
    "BacklogError": (errors.BacklogError(1000), RuntimeError, ["1000"]),
    "TaiUnavailableError": (errors.TaiUnavailableError("words"), RuntimeError, ["words"]),
    "ConfigError": (
        errors.ConfigError("a.toml", ("x: one", "y: two")),
        ValueError,
        ["a.toml: x: one\na.toml: y: two"],
    ),
    "JournalError": (errors.JournalError("words"), OSError, ["words"]),
    "RecordingError": (errors.RecordingError("words"), OSError, ["words"]),
    "NotAJournalError": (errors.NotAJournalError("words"), errors.JournalError, ["words"]),
    "CommandError": (errors.CommandError(COMMAND, "words"), RuntimeError, ["AzimuthAxisMove", "17", "words"]),
    "CommandRefused": (errors.CommandRefused(COMMAND, "words"), RuntimeError, ["17", "words"]),
    "CommandFailed": (errors.CommandFailed(COMMAND, "words"), RuntimeError, ["17", "words"]),
    "CommandNotSent": (errors.CommandNotSent(COMMAND, "words"), RuntimeError, ["17", "words"]),
    "CommandSuperseded": (errors.CommandSuperseded(COMMAND, "words"), RuntimeError, ["17", "words"]),
    "CommandTimedOut": (errors.CommandTimedOut(COMMAND, "words"), TimeoutError, ["17", "words"]),
    "CommandOutcomeUnknown": (
        errors.CommandOutcomeUnknown(COMMAND, "words"),
        ConnectionResetError,
        ["AzimuthAxisMove", "17", "words"],
    ),
}


def tree() -> dict[str, type[Exception]]:
    """Every error class that the module has."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }


class Errors(SynchronousTestCase):
    """The tree in the module's docstring."""

    def test_every_error_has_a_sample(self) -> None:
        """The samples below are of every error that there is."""
        self.assertEqual(set(SAMPLES), set(tree()))

    def test_docstring_is_the_tree(self) -> None:
        """The docstring shows every error, under its parent, with the builtin that it is."""
        above: list[str] = []
        seen = set()
        for line in (errors.__doc__ or "").splitlines():
            match = re.match(
                r"    ((?:    |\|   )*)(?:\+-- )?(\w+Error|Command\w+|Engine\w+)(?:\s+\((\w+)\))?", line
            )
            if match is None or (not match[2].startswith("MTMount") and "+--" not in line):
                continue
            depth = 0 if "+--" not in line else len(match[1]) // 4 + 1
            above[depth:] = [match[2]]
            cls = tree()[match[2]]
            seen.add(match[2])
            if depth:
                self.assertIs(cls.__bases__[0], tree()[above[depth - 1]])
            if match[3]:
                self.assertIn(match[3], [base.__name__ for base in cls.__bases__])
        self.assertEqual(seen, set(tree()))

    def test_builtins(self) -> None:
        """Each error is one of ours and is the builtin that a caller expects."""
        for error, builtin, _ in SAMPLES.values():
            self.assertIsInstance(error, errors.MTMountError)
            self.assertIsInstance(error, builtin)

    def test_text(self) -> None:
        """Each error's text says what it was about."""
        for error, _, parts in SAMPLES.values():
            for part in parts:
                self.assertIn(part, str(error), type(error))

    def test_pickle(self) -> None:
        """Each error survives pickling with its text and its data."""
        for error, _, _ in SAMPLES.values():
            other = pickle.loads(pickle.dumps(error))
            self.assertIs(type(other), type(error))
            self.assertEqual(str(other), str(error))
            self.assertEqual(vars(other), vars(error))

    def test_system_errors_have_no_false_number(self) -> None:
        """An error that is an OSError has no `errno` but a real one: a host or a command is none."""
        for error, _, _ in SAMPLES.values():
            if isinstance(error, OSError):
                self.assertIsNone(error.errno, type(error))

    def test_long_values_are_cut(self) -> None:
        """A huge value is told by its beginning and its size, and is kept whole."""
        error = errors.FieldError("Enable", "x", "a" * 100000, "less")
        self.assertLess(len(str(error)), 300)
        self.assertIn("100002 characters", str(error))
        self.assertEqual(len(error.value), 100000)

    def test_values_that_cannot_be_shown(self) -> None:
        """A value whose repr fails does not make the error fail: its type is told."""

        class Mute:
            def __repr__(self) -> str:
                raise RuntimeError("no")

        values: list[Any] = [Mute(), 10**5000]
        for value in values:
            self.assertIn(type(value).__name__, str(errors.FieldError("Enable", "x", value, "less")))
