r"""Faults injected between the simulator's replies and the wire: values in, bytes and delays out.

A `Fault` describes a fault and the commands that it affects. `Faults` holds the faults in force. It turns
each reply into a list of `Piece`: the bytes to send, their delay, and an action behind them. The mount does
not know of the faults: it executes a command as always, and only the replies differ.

Pure: no clock, no socket. Next to read: `output`, which sends the pieces; ``docs/reference/simulator.rst``,
which explains the use of each kind.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from mtmount_twisted.dialects.dialect import Dialect, EventEnvelope
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2020.enums import CommandCode
from mtmount_twisted.dialects.tma2020.replies import (
    AckReply,
    Answer,
    DoneReply,
    NoAckReply,
    OnStateInfoReply,
)
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.fields import FLOAT, INT
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID, CommandMessage

GARBAGE = b"\x00\xff\xfe no\nreply" + DIALECT.terminator
"""A malformed line in each dialect, which is not UTF-8 either."""

TICK = 0.02
"""Interval in seconds between the bursts of a flood. At less than one event per interval, each comes
alone."""

MAX_FLOOD = 200_000
"""Largest number of events in a flood."""


class Encodable(Protocol):
    """A reply of any generation."""

    def encode(self) -> bytes:
        """Return the reply as bytes, terminator included."""


Key = tuple[int, int]
"""Source and sequence id of a command."""


class Close(Struct, frozen=True):
    """Action: close the reply connection behind these bytes."""


class Alarm(NamedTuple):
    """Action: if the command is not done when this action is due, its device raises an alarm or a warning.

    :ivar key: the command.
    :ivar command: name of the command's class.
    :ivar is_warning: True for a warning, after which the device continues to work.
    """

    key: Key
    command: str
    is_warning: bool


class Trouble(NamedTuple):
    """Action: the mount itself has a trouble: an alarm of the catalogue, an interlock, or a lost PXI."""

    fault: Fault


class Piece(NamedTuple):
    """A piece of output.

    :ivar delay: delay in s.
    :ivar data: the bytes, whole lines or not.
    :ivar then: action behind the bytes.
    """

    delay: float
    data: bytes = b""
    then: Close | Alarm | Trouble | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in the simulator's replies.

    :ivar kind: kind of the fault: a key of `KINDS`.
    :ivar reply: the replies that it affects: "ack", "done", "noack" or "any".
    :ivar code: a `CommandCode` or its number: only such commands are affected; None for all.
    :ivar count: number of commands that are affected, 1 or more; None for no end.
    :ivar probability: the fraction of these commands that is affected, by chance: more than 0, at most 1.
    :ivar seconds: the delay, the time into the move, or the duration, 0 to 86400 s.
    :ivar times: number of repetitions of a reply, 1 to 1000.
    :ivar offset: number added to the sequence id: at most 2147483647 in either direction, not 0.
    :ivar size: length of the long line in bytes, without its terminator: 60 to 2**24.
    :ivar rate: events of a flood per second, 1 to 100,000.
    :ivar subsystem: the subsystem of an alarm or a warning of the vendor's catalogue, such as 400; None to
        let the simulator choose. Only the tma2022 mount has a catalogue.
    :ivar number: the number of this alarm or warning in the catalogue, such as 409.
    :ivar name: the name of this alarm or warning, if several have its number; else empty.
    :ivar mask: the safety mask of an interlock, such as "causes".
    :ivar bit: the bit of the interlock in this mask.
    :ivar lasts: the duration of the condition that such a fault begins, 0 to 86400 s.
    :raises ValueError: if a value has the wrong type or is out of range, or if faults of this kind do not use
        it.
    """

    kind: str
    reply: str = "any"
    code: int | None = None
    count: int | None = None
    probability: float = 1.0
    seconds: float = 1.0
    times: int = 1
    offset: int = 1000
    size: int = MAX_LINE_LENGTH + 1
    rate: float = 1000.0
    subsystem: int | None = None
    number: int | None = None
    name: str = ""
    mask: str = "causes"
    bit: int = 0
    lasts: float = 0.0

    @property
    def is_trouble(self) -> bool:
        """True if the fault is in the mount itself, and not only in a reply."""
        return self.kind in TROUBLES or self.subsystem is not None

    @property
    def selects(self) -> bool:
        """True if the fault affects only some of the commands."""
        return self.code is not None or self.count is not None or self.probability < 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        for declared in fields(self):
            name, value = declared.name, getattr(self, declared.name)
            if name not in ALWAYS | KINDS[self.kind].takes and value != declared.default:
                allowed = ", ".join(sorted(ALWAYS | KINDS[self.kind].takes))
                raise ValueError(f"{name}: {self.kind} does not take it; it takes {allowed}")
            if name in _RANGES and not _RANGES[name].allows(value):
                raise ValueError(f"{name}: expected {_RANGES[name].expected}, got {value!r:.100}")
        if self.kind == "flood" and self.rate * self.seconds > MAX_FLOOD:
            raise ValueError(
                f"rate: expected at most {MAX_FLOOD} events in all, got {self.rate * self.seconds:g}"
            )
        if (self.subsystem is None) != (self.number is None):
            raise ValueError("number: expected a number of the catalogue with its subsystem, or neither")
        if self.subsystem is None and self.kind in ("alarm", "warning"):
            for name in ("name", "lasts"):
                if getattr(self, name):
                    raise ValueError(f"{name}: expected subsystem and number with it, got {name} alone")


class Kind(NamedTuple):
    """Definition of a kind of fault.

    :ivar change: function from the pieces of a reply so far to the changed pieces; None if `Faults` itself
        or the mount implements the kind.
    :ivar takes: its parameters, besides the parameters that select commands.
    """

    change: Callable[[Fault, list[Piece], Generation], list[Piece]] | None
    takes: frozenset[str]


def _late(fault: Fault, pieces: list[Piece], generation: Generation) -> list[Piece]:
    return [piece._replace(delay=piece.delay + fault.seconds) for piece in pieces]


def _repeated(fault: Fault, pieces: list[Piece], generation: Generation) -> list[Piece]:
    return pieces * (1 + fault.times)


def _missing(fault: Fault, pieces: list[Piece], generation: Generation) -> list[Piece]:
    return []


def _garbage(fault: Fault, pieces: list[Piece], generation: Generation) -> list[Piece]:
    return [Piece(0.0, GARBAGE), *pieces]


def _cut(fault: Fault, pieces: list[Piece], generation: Generation) -> list[Piece]:
    return [
        piece._replace(data=piece.data[: len(piece.data) // 2], then=Close()) if piece.data else piece
        for piece in pieces
    ]


def _long(fault: Fault, pieces: list[Piece], generation: Generation) -> list[Piece]:
    empty = len(generation.event("")) - len(generation.dialect.terminator)
    line = generation.event("x" * (fault.size - empty))
    return [Piece(0.0, line), *pieces]


def _flood(fault: Fault, pieces: list[Piece], generation: Generation) -> list[Piece]:
    """Append numbered events, so that a receiver can notice a missing one."""
    before, _, after = generation.event("Flood #").partition(b"#")
    total = int(fault.rate * fault.seconds)
    burst = max(1, int(fault.rate * TICK))
    ticks = [
        Piece(
            first / fault.rate,
            b"".join(
                b"%b%d%b" % (before, number, after) for number in range(first, min(first + burst, total))
            ),
        )
        for first in range(0, total, burst)
    ]
    return pieces + ticks


_REPLY = frozenset(["reply"])

CATALOGUED = ("subsystem", "number", "name", "lasts")
"""Parameters that name an alarm or a warning of the vendor's catalogue."""

KINDS: Mapping[str, Kind] = {
    "late": Kind(_late, _REPLY | {"seconds"}),
    "repeated": Kind(_repeated, _REPLY | {"times"}),
    "missing": Kind(_missing, _REPLY),
    "wrong_id": Kind(None, _REPLY | {"offset"}),
    "done_first": Kind(None, frozenset()),
    "swapped": Kind(None, _REPLY),
    "alarm": Kind(None, frozenset(["seconds", *CATALOGUED])),
    "warning": Kind(None, frozenset(["seconds", *CATALOGUED])),
    "garbage": Kind(_garbage, _REPLY),
    "cut": Kind(_cut, _REPLY),
    "long": Kind(_long, _REPLY | {"size"}),
    "flood": Kind(_flood, frozenset(["rate", "seconds"])),
    "silence": Kind(None, frozenset()),
    "refusal": Kind(None, frozenset()),
    "interlock": Kind(None, frozenset(["seconds", "mask", "bit", "lasts"])),
    "pxi_lost": Kind(None, frozenset(["seconds", "lasts"])),
}
"""All kinds of fault."""

TROUBLES = frozenset(["interlock", "pxi_lost"])
"""The kinds that only the tma2022 mount has: they change the mount itself, and leave its replies
unchanged."""

ALWAYS = frozenset(["kind", "code", "count", "probability"])
"""Parameters of every kind."""


class _Range(NamedTuple):
    """Valid values of a parameter: each value of one of `types` for which `holds` returns True. A bool is no
    number."""

    types: tuple[type, ...]
    holds: Callable[[Any], bool]
    expected: str

    def allows(self, value: object) -> bool:
        """Return True if the parameter may have this value."""
        return isinstance(value, self.types) and not isinstance(value, bool) and self.holds(value)


_REPLIES = ("ack", "done", "noack")

_CODES = frozenset(map(int, CommandCode))


def _is_code(value: int) -> bool:
    """Return True for a code of any generation; `Generation.check_fault` checks that its mount has the
    code."""
    if value in _CODES:
        return True
    from mtmount_twisted.dialects.tma2022.enums import CommandCode as CodeTma2022  # a bridge needs it seldom

    return value in frozenset(map(int, CodeTma2022))


_NUMBER = (int, float)
_NONE = type(None)

_RANGES: Mapping[str, _Range] = {
    "reply": _Range((str,), lambda value: value == "any" or value in _REPLIES, f"any, {', '.join(_REPLIES)}"),
    "code": _Range((int, _NONE), lambda value: value is None or _is_code(value), "a command's code"),
    "count": _Range((int, _NONE), lambda value: value is None or value >= 1, "1 or more"),
    "probability": _Range(_NUMBER, lambda value: 0 < value <= 1, "more than 0 and at most 1"),
    "seconds": _Range(_NUMBER, lambda value: 0 <= value <= 86400, "0 to 86400 seconds"),
    "times": _Range((int,), lambda value: 1 <= value <= 1000, "1 to 1000"),
    "offset": _Range(
        (int,),
        lambda value: value != 0 and abs(value) <= MAX_SEQUENCE_ID,
        f"-{MAX_SEQUENCE_ID} to {MAX_SEQUENCE_ID} but 0",
    ),
    "size": _Range((int,), lambda value: 60 <= value <= 2**24, f"60 to {2**24} bytes"),
    "rate": _Range(_NUMBER, lambda value: 1 <= value <= 100_000, "1 to 100000 events per second"),
    "subsystem": _Range((int, _NONE), lambda value: value is None or 0 <= value <= 9999, "0 to 9999"),
    "number": _Range((int, _NONE), lambda value: value is None or abs(value) < 100_000, "a number"),
    "name": _Range((str,), lambda value: len(value) <= 100, "text of at most 100 characters"),
    "mask": _Range((str,), lambda value: len(value) <= 100, "text of at most 100 characters"),
    "bit": _Range((int,), lambda value: 0 <= value <= 63, "0 to 63"),
    "lasts": _Range(_NUMBER, lambda value: 0 <= value <= 86400, "0 to 86400 seconds"),
}


_READ: Mapping[str, Callable[[str], Any]] = {
    "reply": str,
    "name": str,
    "mask": str,
    **dict.fromkeys(("probability", "seconds", "rate", "lasts"), FLOAT.read),
    **dict.fromkeys(("code", "count", "times", "offset", "size", "subsystem", "number", "bit"), INT.read),
}


def parse_fault(text: str, generation: Generation | None = None) -> Fault:
    """Parse the text of an option: ``KIND`` or ``KIND:NAME=VALUE,NAME=VALUE``.

    :param generation: the mount's generation, which names the codes of commands; by default tma2020.
    :raises ValueError: if the text is invalid. The error gives the invalid part and the valid values.
    """
    kind, _, rest = text.partition(":")
    values: dict[str, Any] = {}
    for word in filter(None, rest.split(",")):
        name, equals, value = word.partition("=")
        if not equals or name not in _READ:
            raise ValueError(
                f"{text[:100]!r}: expected NAME=VALUE with one of {', '.join(_READ)}, got {word!r}"
            )
        try:
            codes = (generation or TMA2020).codes
            is_name = name == "code" and value.upper() in codes
            values[name] = codes[value.upper()] if is_name else _READ[name](value)
        except ValueError:
            expected = "a number or a name of a command's code" if name == "code" else "a number"
            raise ValueError(f"{text[:100]!r}: {name}: expected {expected}, got {value!r}") from None
    try:
        fault = Fault(kind, **values)
        (generation or TMA2020).check_fault(fault)
        return fault
    except ValueError as error:
        raise ValueError(f"{text[:100]!r}: {error}") from None


class Generation(Struct, frozen=True):
    """The parts of a generation of the protocol that faults need.

    :ivar dialect: its dialect.
    :ivar codes: the codes of commands by name.
    :ivar key_of: return source and sequence id of a command, or of the command that an answer answers.
    :ivar kind_of: return "ack", "done" or "noack" for an answer, None for an event.
    :ivar event: return an event with this text, terminator included.
    :ivar check: check that the mount can have the fault, apart from `Fault.code`; it raises `ValueError`.
    """

    dialect: Dialect
    codes: Mapping[str, int]
    key_of: Callable[[Any], Key]
    kind_of: Callable[[Any], str | None]
    event: Callable[[str], bytes]
    check: Callable[[Fault], None]

    def check_fault(self, fault: Fault) -> None:
        """Check that the mount can have a fault.

        :raises ValueError: if it can't.
        """
        if fault.code is not None and fault.code not in self.codes.values():
            raise ValueError(f"code: expected a command's code, got {int(fault.code)}")
        self.check(fault)


def _kind_of(reply: Any) -> str | None:
    kinds = {AckReply: "ack", DoneReply: "done", NoAckReply: "noack"}
    return kinds[type(reply)] if isinstance(reply, Answer) else None


def _check(fault: Fault) -> None:
    if fault.is_trouble:
        what = fault.kind if fault.kind in TROUBLES else "an alarm of the catalogue"
        raise ValueError(f"kind: the mount of tma2020 has no {what}; use --dialect tma2022")


TMA2020 = Generation(
    DIALECT,
    {name: int(code) for name, code in CommandCode.__members__.items()},
    lambda message: (int(message.source), message.sequence_id),
    _kind_of,
    lambda text: OnStateInfoReply(description=text).encode(),
    _check,
)
"""The protocol tma2020."""


class Faults:
    """The faults in force: the control object of a running simulator.

    A fault that selects no commands affects all of them. Silence and refusal then begin at once; with `code`,
    `count` or `probability` they begin with the first selected command.

    :param faults: the initial faults.
    :param seed: seed of the random numbers for `Fault.probability`.
    :param generation: the generation of the mount.
    :ivar silent: True while no reply at all is sent.
    :ivar refusing: True while the reply connection is not made.
    :ivar injected: number of occurrences by kind; for a kind that changes replies, the number of replies.
    :ivar changed: called whenever `refusing` may have changed.
    :ivar began: called with each fault that begins at once and that the mount itself has.
    :ivar cleared: called after `clear`.
    """

    def __init__(
        self, faults: Iterable[Fault] = (), seed: int = 0, generation: Generation | None = None
    ) -> None:
        self._generation = generation or TMA2020
        self._random = random.Random(seed)
        self._left: dict[Fault, int | None] = {}
        self._struck: dict[Key, _Struck] = {}
        self._held: list[Piece] = []
        self.silent: bool = False
        self.refusing: bool = False
        self.injected: Counter[str] = Counter()
        self.changed: Callable[[], None] = lambda: None
        self.began: Callable[[Fault], None] = lambda fault: None
        self.cleared: Callable[[], None] = lambda: None
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Put a fault in force. An equal fault in force starts again.

        :raises ValueError: if the mount can't have it.
        """
        self._generation.check_fault(fault)
        self._left[fault] = fault.count
        if not fault.selects:
            self._begin(fault)
            if fault.is_trouble:
                self.began(fault)

    def clear(self) -> None:
        """Remove all faults. Delayed replies are still sent, and a flood continues to its end."""
        self._left.clear()
        self.forget()
        self.silent = self.refusing = False
        self.changed()
        self.cleared()

    def forget(self) -> None:
        """Forget the commands in progress, and drop the replies that are held back."""
        self._struck.clear()
        self._held.clear()

    @property
    def in_force(self) -> tuple[Fault, ...]:
        """The faults in force."""
        return tuple(self._left)

    @property
    def are_none(self) -> bool:
        """True if no reply is changed."""
        return not (self._struck or self._held or self.silent)

    def commanded(self, command: CommandMessage) -> None:
        """Select the faults for a command, before the mount executes it."""
        struck = [fault for fault in self.in_force if self._strikes(fault, command)]
        for fault in struck:
            self._begin(fault)
        if struck:
            key = self._generation.key_of(command)
            self._struck[key] = _Struck(command.ack_only, type(command).__name__, struck)

    def _strikes(self, fault: Fault, command: CommandMessage) -> bool:
        if fault.is_trouble and not fault.selects:
            return False  # it has begun at once
        if fault.code is not None and fault.code != command.command_code:
            return False
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        left = self._left[fault]
        if left == 1:
            del self._left[fault]
        elif left is not None:
            self._left[fault] = left - 1
        return True

    def _begin(self, fault: Fault) -> None:
        """Start silence or refusal, which do not belong to one reply."""
        if fault.kind == "silence" and not self.silent:
            self.silent = True
            self.injected["silence"] += 1
        elif fault.kind == "refusal" and not self.refusing:
            self.refusing = True
            self.injected["refusal"] += 1
            self.changed()

    def pieces_of(self, reply: Encodable) -> list[Piece]:
        """Return the output for a reply of the mount. The only fault that affects events is silence."""
        if self.silent:
            return []
        pieces = [Piece(0.0, reply.encode())]
        answer = self._generation.kind_of(reply)
        if answer is None:
            return pieces
        key = self._generation.key_of(reply)
        struck = self._struck.get(key)
        hold = False
        if struck is not None:
            fitting = [fault for fault in struck.faults if _fits(fault, answer, struck.is_new)]
            for fault in fitting:
                pieces = self._changed(fault, pieces, key, struck)
            hold = any(fault.kind == "swapped" for fault in fitting)
            struck.is_new = False
            if struck.ack_only or answer != "ack":
                pieces += struck.acks
                del self._struck[key]
        return self._swapped(pieces, hold)

    def _changed(self, fault: Fault, pieces: list[Piece], key: Key, struck: _Struck) -> list[Piece]:
        change = KINDS[fault.kind].change
        if change is not None:
            self.injected[fault.kind] += 1
            return change(fault, pieces, self._generation)
        if fault.kind == "wrong_id":
            self.injected[fault.kind] += 1
            return [
                piece._replace(data=self._with_other_id(piece.data, key, fault.offset)) for piece in pieces
            ]
        if fault.kind == "done_first" and not struck.ack_only:
            self.injected[fault.kind] += 1
            struck.acks += pieces
            return []
        if fault.is_trouble:
            return [*pieces, Piece(fault.seconds, then=Trouble(fault))]
        if fault.kind in ("alarm", "warning"):
            alarm = Alarm(key, struck.command, fault.kind == "warning")
            return [*pieces, Piece(fault.seconds, then=alarm)]
        return pieces

    def _with_other_id(self, data: bytes, key: Key, offset: int) -> bytes:
        """Return the answer to a command with another sequence id, and any other bytes unchanged."""
        source, _ = key
        dialect = self._generation.dialect
        line = data.removesuffix(dialect.terminator)
        try:
            reply = dialect.read_reply(line)
        except LineError:
            return data
        if isinstance(reply, EventEnvelope):
            return data
        return reply.rewritten(reply.sequence_id + offset, source) + data[len(line) :]

    def _swapped(self, pieces: list[Piece], hold: bool) -> list[Piece]:
        """Hold these pieces back until the next answer is sent. Append the pieces held back before."""
        held, self._held = self._held, []
        if held or not hold:
            return pieces + held
        self.injected["swapped"] += 1
        self._held = pieces
        return []

    def is_due(self, alarm: Alarm) -> bool:
        """Return True if the command of an alarm is not done yet, and count the alarm."""
        if alarm.key not in self._struck:
            return False
        self.injected["warning" if alarm.is_warning else "alarm"] += 1
        return True


class _Struck(Struct):
    """A command affected by faults, until it is done.

    :ivar is_new: True until its first answer.
    :ivar acks: the pieces held back until it is done.
    """

    ack_only: bool
    command: str
    faults: list[Fault]
    is_new: bool = True
    acks: list[Piece] = []


def _fits(fault: Fault, answer: str, is_first: bool) -> bool:
    """Return True if a fault affects this answer. Without `reply` it affects the first one, or the Ack."""
    if "reply" in KINDS[fault.kind].takes:
        return fault.reply in ("any", answer)
    return is_first and (fault.kind == "flood" or answer == "ack")
