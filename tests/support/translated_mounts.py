"""The same commands of tma2020 to two simulated mounts: one of tma2020, and one of tma2022 by translation.

Both have a clock of their own, which `Both` advances together. Each line passes through its bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from twisted.internet.task import Clock

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.dialect import CommandEnvelope, EventEnvelope, ReplyEnvelope
from mtmount_twisted.dialects.tma2020 import commands as old
from mtmount_twisted.dialects.tma2020 import replies
from mtmount_twisted.dialects.tma2020.codec import decode_command, decode_reply
from mtmount_twisted.dialects.tma2020.enums import Commander, Source
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import Source as NewSource
from mtmount_twisted.dialects.translate import TABLE
from mtmount_twisted.dialects.translated import TRANSLATOR
from mtmount_twisted.simulator.mount import SimulatedMount as OldMount
from mtmount_twisted.simulator.tma2022.mount import SimulatedMount as NewMount

from .simulated_tma2022 import QUIET, START, TAI

REFUSED, DONE, FAILED, ACKED, OPEN = "refused", "done", "failed", "acked", "open"
"""The outcomes of a command: a NoAck; Ack and Done; Ack and NoAck; an Ack alone; no answer, or no end."""

ACCEPTED = "accepted"
"""The outcome of a command that was not refused, before its end."""


class Result(NamedTuple):
    """The outcome of a command, and the explanation of its NoAck."""

    outcome: str
    explanation: str = ""


def result_of(command: old.Command, answers: list[replies.Answer]) -> Result:
    """The result that some answers report. They must be those of one command that ends once."""
    kinds = [type(answer) for answer in answers]
    if not kinds or (kinds == [replies.AckReply] and not command.ack_only):
        return Result(OPEN)
    if kinds == [replies.AckReply]:
        return Result(ACKED)
    last: Any = answers[-1]
    if kinds == [replies.NoAckReply]:
        return Result(REFUSED, last.explanation)
    if kinds == [replies.AckReply, replies.DoneReply]:
        return Result(DONE)
    assert kinds == [replies.AckReply, replies.NoAckReply], (command, answers)
    return Result(FAILED, last.explanation)


class Seen:
    """A mount on a clock, and the replies of tma2020 that its commander has received.

    :ivar answers: the answers to each command, by its sequence id.
    :ivar events: the events.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.answers: dict[int, list[replies.Answer]] = {}
        self.events: list[replies.Reply] = []
        self._sent: dict[int, old.Command] = {}

    def tai(self) -> float:
        """TAI on the clock of the mount."""
        return TAI + self.clock.seconds()

    def send(self, command: old.Command) -> None:
        """Send the mount a command."""
        self._sent[command.sequence_id] = command
        self.answers[command.sequence_id] = []
        self._receive(command.encode().removesuffix(b"\r\n"))
        self.clock.advance(0)

    def _receive(self, line: bytes) -> None:
        raise NotImplementedError

    def said(self, reply: replies.Reply) -> None:
        """Keep a reply as its commander reads it."""
        read = decode_reply(reply.encode().removesuffix(b"\r\n"))
        if isinstance(read, replies.Answer):
            self.answers[read.sequence_id].append(read)
        else:
            self.events.append(read)

    def result(self, command: old.Command) -> Result:
        """The result of a command until now."""
        return result_of(command, self.answers[command.sequence_id])

    @property
    def is_quiet(self) -> bool:
        """True if every command has ended."""
        return all(self.result(command).outcome is not OPEN for command in self._sent.values())

    def settle(self) -> None:
        """Let time pass until every command has ended."""
        while not self.is_quiet:
            calls = self.clock.getDelayedCalls()
            assert calls, "a command has no end, and nothing is about to happen"
            self.advance_to(min(call.getTime() for call in calls))

    def advance_to(self, time: float) -> None:
        """Let time pass."""
        while due := [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= time]:
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
        self.clock.advance(max(0.0, time - self.clock.seconds()))


class Plain(Seen):
    """The mount of tma2020."""

    def __init__(self) -> None:
        super().__init__()
        self.mount = OldMount(self.clock, self.said, tai=self.tai, initial_commander=Commander.CSC)

    def _receive(self, line: bytes) -> None:
        self.mount.receive(decode_command(line))


class Translating(Seen):
    """The mount of tma2022 behind the translation, as the bridge uses it.

    :ivar dropped: the number of dropped replies of each kind.
    :ivar lines: the mount's commands in the order of sending.
    """

    def __init__(self, *, ready: bool = True) -> None:
        super().__init__()
        self.dropped: Counter[str] = Counter()
        self.lines: list[tma2022.commands.Command] = []
        self._said: list[bytes] = []
        self._is_reading = False
        self._sent_headers: dict[int, CommandEnvelope] = {}
        self.mount = NewMount(
            self.clock,
            self._heard,
            tai=self.tai,
            initial_commander=NewSource.CSC,
            heartbeat_timeout=0,
            ready=ready,
            log=QUIET,
        )

    def _receive(self, line: bytes) -> None:
        header = TRANSLATOR.read_command(line)
        if header.kind.refusal:
            self._answered(header, DIALECT.refused(header.kind.refusal))
        else:
            self._send(header)

    def _send(self, header: CommandEnvelope) -> None:
        key = len(self.lines) + 1
        command = tma2022.decode_command(header.rewritten(key, header.source))
        self._sent_headers[key] = header
        self.lines.append(command)
        self.mount.receive(command)

    def _answered(self, header: CommandEnvelope, answer: ReplyEnvelope) -> None:
        lines, then = TRANSLATOR.answered(header, answer)
        for line in lines:
            self.said(decode_reply(line))
        if then is not None:
            self._send(then)

    def _heard(self, reply: tma2022.replies.Reply) -> None:
        self._said.append(reply.encode().removesuffix(b"\r\n"))
        if not self._is_reading:
            self._is_reading = True
            self.clock.callLater(0, self._read)

    def _read(self) -> None:
        self._is_reading = False
        said, self._said = self._said, []
        for line in said:
            reply = DIALECT.read_reply(line)
            if not isinstance(reply, EventEnvelope):
                self._answered(self._sent_headers[reply.sequence_id], reply)
                continue
            translated, dropped = TRANSLATOR.event(line)
            if translated is None:
                self.dropped[dropped] += 1
            else:
                self.said(decode_reply(translated))


def _at_first(result: Result) -> Result:
    return result if result.outcome is REFUSED else Result(ACCEPTED)


class Both:
    """The two mounts, whose clocks show the same time after each step.

    :param ready: True for two mounts whose power and oil are on, and whose axes are homed.
    :ivar has_waited: True after a wait that was no wait for the ends of all commands.
    :ivar has_been_apart: True after an axis had another position in one mount than in the other.
    :ivar has_lost_targets: True after an axis of tma2022 was in alarm.
    """

    def __init__(self, *, ready: bool = True) -> None:
        self.plain, self.translating = Plain(), Translating(ready=ready)
        self.has_waited = self.has_been_apart = self.has_lost_targets = False
        self._ids = 0
        if ready:
            for command in READY:
                self.plain.send(self.numbered(command))
            self.plain.settle()

    def numbered(self, command: old.Command) -> old.Command:
        """The same command with the next sequence id."""
        self._ids += 1
        names = [info.name for info in type(command).field_infos if not info.constant]
        values = {name: getattr(command, name) for name in names}
        return type(command)(**{**values, "sequence_id": self._ids})

    def send(self, command: old.Command) -> old.Command:
        """Send both mounts a command; return it with its sequence id."""
        numbered = self.numbered(command)
        self._compare()
        self.plain.send(numbered)
        self.translating.send(numbered)
        return numbered

    def _compare(self) -> None:
        one, other = self.plain.mount, self.translating.mount
        now = self.translating.clock.seconds()
        for old_axis, axis in zip((one.azimuth, one.elevation, one.camera_cable_wrap), other.axes):
            self.has_been_apart |= abs(old_axis.state.position - axis.at(now).position) > 0.001
            self.has_lost_targets |= axis.in_alarm

    def settle(self) -> None:
        """Let time pass until every command has ended in both."""
        self.plain.settle()
        self.translating.settle()
        self.wait(0)

    def wait(self, seconds: float) -> None:
        """Let time pass in both."""
        self.has_waited = self.has_waited or seconds > 0
        now = max(self.plain.clock.seconds(), self.translating.clock.seconds())
        for each in (self.plain, self.translating):
            each.advance_to(now + seconds)

    def may_differ_in_time(self, command: old.Command) -> bool:
        """True if a motion may have ended in one mount when the next command came, and not in the other."""
        ack = self.plain.answers[command.sequence_id][0]
        has_no_length = isinstance(ack, replies.AckReply) and ack.timeout_ms <= 1
        return self.has_waited or self.has_been_apart or has_no_length

    def accepted(self, command: old.Command) -> tuple[Result, Result]:
        """The same as `results` for a command that was just sent, but each accepted one is `ACCEPTED`."""
        old_result, new_result = self.results(command)
        return _at_first(old_result), _at_first(new_result)

    def results(self, command: old.Command) -> tuple[Result, Result]:
        """The result of a command in the mount of tma2020, and in that of tma2022."""
        return self.plain.result(command), self.translating.result(command)

    def close(self) -> None:
        """Stop all timers."""
        self.plain.mount.close()
        self.translating.mount.close()


READY = (
    old.MainPowerSupplyPower(on=True),
    old.OilSupplySystemPower(on=True),
    old.AzimuthAxisPower(on=True),
    old.ElevationAxisPower(on=True),
    old.CameraCableWrapPower(on=True),
)
"""The commands after which the mount of tma2020 is as ready as one of tma2022 with the option ``ready``."""


def random_command(random: Random, tai: float) -> old.Command:
    """A valid command that has a translation, more often one to an axis; most values have a meaning."""
    command = random.choice(tuple(TABLE) if random.random() < 0.3 else MOVING)
    odd = random.random() < 0.15
    values = {
        info.name: _value(random, command, info, tai, odd)
        for info in command.field_infos[old.NUM_HEADER_FIELDS :]
    }
    source = random.choice(list(Source)) if random.random() < 0.01 else Source.CSC
    made: old.Command = command(**values, source=source)
    return made


MOVING = [
    command
    for command in TABLE
    if re.match("Azimuth|Elevation|BothAxes|CameraCableWrap|MirrorCovers|MainPower|AskFor", command.__name__)
]


def _value(random: Random, command: type[old.Command], info: Any, tai: float, odd: bool) -> Any:
    """A value of a parameter; if it is not `odd`, one that both mounts may accept."""
    if info.kind.name == "enum":
        return random.choice(list(Commander)) if odd else Commander.CSC
    if info.kind.name == "bool":
        return random.random() < 0.8
    if info.name == "drive":
        return random.choice((0, 1, 2, 3, 4, -2)) if odd else -1
    if info.name == "negate_azimuth":
        return random.choice((0, -1, 1)) if odd else random.choice((0, -1))
    if info.name == "tai":
        return tai + (random.choice((-10, 10, 1e5)) * random.random() if odd else random.uniform(0, 1))
    if info.unit == "deg" and odd:
        return random.uniform(-300, 300)
    if info.unit == "deg":
        is_elevation = info.name == "elevation" or command.__name__.startswith("Elevation")
        return random.choice((45.0, random.uniform(25, 85) if is_elevation else random.uniform(-80, 80)))
    if odd:
        return random.choice((0.0, random.uniform(-8, 8), random.uniform(0, 0.01)))
    return random.choice((0.0, random.uniform(0.01, 1)))


class Difference(NamedTuple):
    """A documented difference between the two mounts.

    :ivar outcomes: the outcomes in the mount of tma2020 and in that of tma2022.
    :ivar pattern: a part of the explanation of the mount that refuses the command or ends it with a failure.
    :ivar commands: the names of the commands, as a pattern.
    :ivar applies: return True if the state of the mounts allows the difference.
    """

    outcomes: tuple[str, str]
    pattern: str
    commands: str = ""
    applies: Callable[[Both, old.Command], bool] = lambda both, command: True

    def explains(self, command: old.Command, results: tuple[Result, Result], both: Both) -> bool:
        """True if two results of a command differ in this way."""
        explanation = "".join(result.explanation for result in results)
        return (
            tuple(result.outcome for result in results) == self.outcomes
            and re.search(self.pattern, explanation) is not None
            and re.match(self.commands, type(command).__name__) is not None
            and self.applies(both, command)
        )


def _allows(command_pattern: str = "", pattern: str = "") -> Difference:
    """A command that only today's mount accepts."""
    return Difference((REFUSED, ACCEPTED), pattern, command_pattern)


def _refuses(pattern: str, command_pattern: str = "") -> Difference:
    """A command that only the mount of tma2020 accepts."""
    return Difference((ACCEPTED, REFUSED), pattern, command_pattern)


DIFFERENCES: dict[str, tuple[Difference, ...]] = {
    "main power first": (_refuses("Main power supply not powered on"),),
    "main power in use": (_refuses("Cannot turn on while an alarm is active", "MainPowerSupplyPower"),),
    "homing before tracking": (_refuses("Not homed"),),
    "homing": (
        _refuses("Not stopped", ".*Home"),
        Difference((DONE, FAILED), "superseded", ".*Home"),
    ),
    "end of tracking": (_refuses(r" off'|Not enabled", ".*EnableTracking"),),
    "targets in time": (_refuses("too late by|s ahead", ".*Track"),),
    "lost targets": (
        Difference(
            (ACCEPTED, REFUSED),
            " off'|alarm|[Nn]ot enabled",
            "Azimuth|Elevation|BothAxes|CameraCableWrap",
            lambda both, command: both.has_lost_targets,
        ),
    ),
    "tracking and drives": (
        _refuses("Tracking not disabled"),
        _allows(".*Track", "does not track"),
        Difference((FAILED, DONE), r"superseded by \w+DriveEnable"),
    ),
    "drives without power": (
        _refuses(" off'", ".*DriveEnable"),
        _allows(".*DriveReset", "is off: turn its power on first"),
    ),
    "limits": (
        _allows("Elevation|BothAxes", "outside the limits of ElevationAxis"),
        _allows("CameraCableWrapTrack", "is over the limit"),
        _allows(".*Track", "position now .* outside"),
    ),
    "velocity of a move": (_allows(".*Move", "over the limit|is neither 0 nor|it would take"),),
    "numbers of drives": (_allows(".*", "has no drive"),),
    "covers as one": (
        _allows("MirrorCover", "drive .* is off"),
        _refuses("MIRROR_COVER.* off'", "MirrorCover"),
    ),
    "oil in order": (_refuses("must be (on|off)'", "OilSupplySystem"),),
    "chiller": (_refuses("tracking of the top-end chiller off", "TopEndChillerTrackAmbient"),),
    "enable and disable": (_refuses("not yet supported", "Enable|Disable"),),
    "sender": (_allows(".*", "does not have command: CSC has it"),),
    "HHD": (_allows("AskForCommand", "HHD has command"),),
    "end of a stop": (Difference((FAILED, DONE), "superseded", ".*Stop"),),
    "durations": (
        Difference((FAILED, DONE), "superseded", applies=Both.may_differ_in_time),
        Difference((DONE, FAILED), "superseded", applies=Both.may_differ_in_time),
    ),
}
"""The differences by their names in ``docs/reference/translation.rst``, "Documented differences"."""


class Played(NamedTuple):
    """The commands of a session that were compared.

    :ivar count: the number of commands.
    :ivar explained: the names of the documented differences that ended the session or a command.
    :ivar problems: the differences that are not documented, in words.
    """

    count: int
    explained: list[str]
    problems: list[str]


def play(random: Random, count: int) -> Played:
    """Play a session of random commands; it is over at the first one that only one of the mounts accepts."""
    both = Both(ready=random.random() < 0.8)
    played = Played(count, [], [])
    sent: list[old.Command] = []
    for number in range(1, count + 1):
        command = both.send(random_command(random, both.plain.tai()))
        accepted = both.accepted(command)
        if accepted[0].outcome != accepted[1].outcome:
            _explain(both, command, accepted, played)
            both.settle()
            both.close()
            return played._replace(count=number)
        sent.append(command)
        pause = random.random()
        if pause < 0.6:
            both.settle()
        elif pause < 0.7:
            both.wait(random.uniform(0, 4))
    both.settle()
    for command in sent:
        results = both.results(command)
        if results[0].outcome != results[1].outcome:
            _explain(both, command, results, played)
    both.close()
    return played


def _explain(both: Both, command: old.Command, results: tuple[Result, Result], played: Played) -> None:
    name = name_of_difference(both, command, results)
    if name:
        played.explained.append(name)
    else:
        played.problems.append(f"{command}: {results[0]} in tma2020, {results[1]} in tma2022")


def name_of_difference(both: Both, command: old.Command, results: tuple[Result, Result]) -> str:
    """The name of the first documented difference that explains two results; empty if there is none."""
    for name, differences in DIFFERENCES.items():
        if any(each.explains(command, results, both) for each in differences):
            return name
    return ""
