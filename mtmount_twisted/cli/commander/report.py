"""One line of text for each event, which an engineer can read in a second, at night.

Each line has the time (UTC), a label and the text. Capitals in the label mean a problem. Pure.

Next to read: `session`, which shows these lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import IntFlag
from functools import partial
from typing import Any

from mtmount_twisted.dialects.facts import AlarmFact, AxisFact, Fact, MountFact
from mtmount_twisted.errors import (
    CommandError,
    CommandFailed,
    CommandNotSent,
    CommandOutcomeUnknown,
    CommandRefused,
    CommandSuperseded,
    CommandTimedOut,
    WebError,
)
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.lines import brief
from mtmount_twisted.wire.messages import CommandMessage

from .manual import value_text
from .names import parameters
from .watch import Standing

ENDINGS: dict[type[CommandError], str] = {
    CommandRefused: "REFUSED",
    CommandFailed: "FAILED",
    CommandSuperseded: "SUPERSEDED",
    CommandTimedOut: "TIMED OUT",
    CommandNotSent: "NOT SENT",
    CommandOutcomeUnknown: "UNKNOWN",
}
"""Label for each kind of unsuccessful end of a command."""


def stamped(when: datetime, label: str, text: str) -> str:
    """Return one line of the report.

    :param when: time of the event, UTC.
    """
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03}  {label:<10}  {visible(text)}"


def command_text(command: CommandMessage) -> str:
    """Return a command as a line that makes the same command, without numbers that have their defaults."""
    given = [
        f"{info.name}={value_text(info, getattr(command, info.name))}"
        for info in parameters(type(command))
        if info.kind.name == "enum" or info.required or getattr(command, info.name) != info.default
    ]
    return " ".join([type(command).__name__, *given])


def numbered(command: CommandMessage) -> str:
    """Return the name of a command in the report: its sequence id and its class name."""
    return f"#{command.sequence_id} {type(command).__name__}"


def ack_text(command: CommandMessage, expected: float, after: float) -> str:
    """Return the text for an accepted command.

    :param expected: the duration that the mount expects, in seconds; 0 if its Ack has none.
    :param after: time since the command was sent, in seconds.
    """
    text = f"{numbered(command)} after {after:.3f} s"
    return f"{text}, expected to take {expected:g} s" if expected else text


def done_text(command: CommandMessage, after: float) -> str:
    """Return the text for a command that is done, `after` seconds after it was sent."""
    text = f"{numbered(command)} after {after:.3f} s"
    return f"{text} (a track command ends with its Ack)" if command.ack_only else text


def ending(error: CommandError, after: float) -> tuple[str, str]:
    """Return the label and the text for a command that ended without success."""
    return ENDINGS[type(error)], f"{numbered(error.command)} after {after:.3f} s: {error.explanation}"


def event(reply: Any, facts: Iterable[Fact], subsystems: Mapping[int, str]) -> tuple[str, str]:
    """Return the label and the text for a reply that answers no command.

    :param facts: the facts in the event; see `Dialect.facts_of`.
    :param subsystems: `Dialect.subsystems`.
    """
    for fact in facts:
        match fact:
            case AlarmFact():
                return _alarm_event(fact, subsystems)
            case AxisFact():
                return "position", f"{_words(fact.name)} is {'' if fact.in_position else 'NOT '}in position"
            case MountFact():
                return "state", fact.description
    return "event", brief(_described(reply))


def _alarm_event(alarm: AlarmFact, subsystems: Mapping[int, str]) -> tuple[str, str]:
    code = code_text(alarm.code, subsystems)
    fault = brief("; ".join(filter(None, [f"code {code}, {alarm.what}", alarm.description])))
    if alarm.severity == "warning":
        return ("WARNING" if alarm.active else "warn. over"), fault
    if not (alarm.latched or alarm.active):
        return "error over", fault
    now = "active now" if alarm.active else "no longer active"
    return "ERROR", f"{now}, {'latched until reset' if alarm.latched else 'not latched'}: {fault}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _described(reply: Any) -> str:
    """Return the parameters of an event; for an unknown event, return its `repr`. No text contains
    settings."""
    infos = getattr(type(reply), "field_infos", ())
    if not hasattr(type(reply), "reply_id"):
        return repr(reply)
    shown = [
        f"{info.name}={_value(getattr(reply, info.name))}"
        for info in infos
        if info.name != "timestamp" and getattr(reply, info.name) is not None
    ]
    return " ".join([type(reply).__name__.removesuffix("Reply"), *shown])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"<{len(value)} settings>"
    if isinstance(value, tuple | list):
        return ",".join(map(_value, value))
    if isinstance(value, IntFlag):
        return value.name or str(int(value))
    name = getattr(value, "name", None)  # a member of an enumeration, or a set of settings, has a name
    return name if isinstance(name, str) else str(value)


def code_text(code: int, subsystems: Mapping[int, str]) -> str:
    """Return a code of an error or a warning with the subsystem's name: ``903 (MIRROR_COVERS + 3)``.

    :param subsystems: `Dialect.subsystems`.
    """
    base = code // 100 * 100
    return f"{code} ({subsystems[base]} + {code - base})" if base in subsystems else str(code)


# The daemon's state, from its page: `who` and `status`


def who(state: dict[str, Any], standing: Standing) -> str:
    """Return the text of ``who``: the holder of command, the requests, and the connected commanders.

    :param state: the answer to ``/api/v1/state``.
    """
    return _told(_who, state, standing)


def status(state: dict[str, Any], standing: Standing, subsystems: Mapping[int, str]) -> str:
    """Return the text of ``status``: the state of the bridge and the mount, one line for each subject.

    :param state: the answer to ``/api/v1/state``.
    :param subsystems: `Dialect.subsystems`.
    """
    return _told(partial(_status, subsystems), state, standing)


def _told(
    tell: Callable[[dict[str, Any], Standing], Iterator[str]], state: dict[str, Any], standing: Standing
) -> str:
    try:
        return "\n".join(map(visible, tell(state, standing)))
    except (ArithmeticError, LookupError, TypeError, AttributeError, ValueError):
        raise WebError("the bridge's answer comes from another version of mtmount_twisted") from None


def _who(state: dict[str, Any], standing: Standing) -> Iterator[str]:
    yield _command_row(state, standing)
    for name, time in standing.requests:
        yield f"{name} asks for it, since {_clock(time)}"
    rows = [(each["name"], each["source"], each["may_command"]) for each in state["commanders"]]
    if not rows:
        yield "no commander is connected"
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, source, may_command in rows:
        notes = [] if may_command else ["observes"]
        notes += ["this prompt"] if name == standing.me else []
        yield f"  {name:<{width}}  {source}  {', '.join(notes)}".rstrip()


def _command_row(state: dict[str, Any], standing: Standing) -> str:
    since = state["lease"]["since"]
    text = standing.describe() + (f" since {_clock(since)}" if since else "")
    return f"{text}; its connection is lost, and the bridge waits for it" if standing.gone else text


def _status(subsystems: Mapping[int, str], state: dict[str, Any], standing: Standing) -> Iterator[str]:
    controller, journal, mount = state["controller"], state["journal"], state["mount"]
    for label, text in (
        ("bridge", f"mtmount_twisted {state['version']}; its clock says {_clock(state['time'])}"),
        ("controller", _link(controller, state.get("dialect", ""))),
        ("command", _command_row(state, standing)),
        ("mount", _said(mount["description"] or "has not reported its state", mount)),
        *((_words(name), _axis(axis)) for name, axis in state["axes"].items()),
        *((_words(name), _device(things)) for name, things in state.get("devices", {}).items() if things),
        *(("ERROR", _alarm(alarm, subsystems)) for alarm in state["errors"]),
        *(("WARNING", _alarm(alarm, subsystems)) for alarm in state["warnings"]),
        *(("in flight", _in_flight(flight)) for flight in state["in_flight"]),
        ("journal", _journal(journal)),
    ):
        yield f"{label:<10}  {text}"


def _clock(time: str) -> str:
    """Return the time of day in an ISO 8601 timestamp, UTC."""
    return datetime.fromisoformat(time).strftime("%H:%M:%S")


def _link(controller: dict[str, Any], dialect: str) -> str:
    state = "connected" if controller["connected"] else "NOT connected"
    since = f" since {_clock(controller['since'])}" if controller["since"] else ""
    return ", ".join(filter(None, (f"{state}{since}", controller["address"], dialect)))


def _axis(axis: dict[str, Any]) -> str:
    """Return the position from the latest telemetry, if there is any, and a word about whether the axis is in
    position."""
    motion, parts = axis.get("telemetry"), []
    if motion is not None and motion["position"] is not None:
        old = f", {motion['age']:g} s OLD" if motion["stale"] else ""
        parts.append(f"at {motion['position']:.4f} deg{old}")
    if axis["in_position"] is not None:
        parts.append(_said("in position" if axis["in_position"] else "NOT in position", axis))
    return "; ".join(parts) or "has not been reported"


_LISTED = ("causes", "effects")
"""Names of values whose list is no list of parts."""


def _device(things: dict[str, Any]) -> str:
    """Return all values of a device except the lists of one value for each part."""
    told = {
        name: thing
        for name, thing in things.items()
        if name in _LISTED or not isinstance(thing["value"], list)
    }
    parts = [f"{_words(name)} {_plain(thing)}" for name, thing in told.items()]
    stale = any(thing["stale"] for thing in told.values())
    text = ", ".join(parts) or "only its parts are reported"
    return f"{text}; reported before the connection was lost" if stale else text


def _plain(thing: dict[str, Any]) -> str:
    value = thing["value"]
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g} {thing['unit']}".rstrip() if isinstance(value, int | float) else str(value)


def _said(text: str, about: dict[str, Any]) -> str:
    when = f" ({_clock(about['time'])})" if about["time"] else ""
    return f"{text}{when}" + ("; reported before the connection was lost" if about["stale"] else "")


def _alarm(alarm: dict[str, Any], subsystems: Mapping[int, str]) -> str:
    now = "active" if alarm["active"] else "no longer active"
    code = code_text(alarm["code"], subsystems)
    text = "; ".join(filter(None, (f"code {code}", alarm["what"], alarm["description"])))
    return _said(f"{now}: {text}", alarm)


def _in_flight(flight: dict[str, Any]) -> str:
    how = "accepted" if flight["acked"] else "sent" if flight["sent"] else "waits to be sent"
    name = flight["command"] or f"code {flight['code']}"
    return f"#{flight['sequence_id']} {name} of {flight['commander']}, {how}, since {_clock(flight['since'])}"


def _journal(journal: dict[str, Any]) -> str:
    if journal["path"] is None:
        return "none is kept"
    lost = f"; {journal['lost']} rows lost" if journal["lost"] else ""
    return f"{journal['path']}{lost}" + (f"; {journal['fault']}" if journal["fault"] else "")
