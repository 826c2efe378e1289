"""The facts about the mount's state in an event, for the page and the API; see `dialects.facts`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mtmount_twisted.dialects.facts import AlarmFact, AxisFact, Fact, MountFact, Severity
from mtmount_twisted.wire.lines import SHOWN_BYTES

from .codec import decode_reply
from .enums import SubsystemId
from .replies import ErrorReply, InPositionReply, Reply, StateInfoReply, WarningReply


def facts_of(line: bytes) -> tuple[Fact, ...]:
    """Return the facts in the line of an event; none for an event of another kind, or a longer line.

    :raises LineError: if the line is not a reply.
    """
    if len(line) > SHOWN_BYTES:
        return ()
    event: Any = decode_reply(line)
    read = _READERS.get(type(event))
    return () if read is None else (read(event),)


def _mount(event: StateInfoReply) -> MountFact:
    return MountFact(event.state)


def _axis(event: InPositionReply) -> AxisFact:
    return AxisFact(event.axis.name.lower(), event.in_position)


def _warning(event: WarningReply) -> AlarmFact:
    return _alarm("warning", event, event.active, False)


def _error(event: ErrorReply) -> AlarmFact:
    return _alarm("error", event, event.active, event.latched)


def _alarm(severity: Severity, event: Any, active: bool, latched: bool) -> AlarmFact:
    known = event.subsystem_id in SubsystemId.__members__.values()
    return AlarmFact(
        severity=severity,
        code=event.code,
        subsystem=SubsystemId(event.subsystem_id).name if known else None,
        what=": ".join(filter(None, (event.subsystem_instance, event.name))),
        description=event.description,
        active=active,
        latched=latched,
    )


_READERS: dict[type[Reply], Callable[[Any], Fact]] = {
    StateInfoReply: _mount,
    InPositionReply: _axis,
    WarningReply: _warning,
    ErrorReply: _error,
}
