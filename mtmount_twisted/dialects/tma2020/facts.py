"""`facts_of`: the facts about the mount's state in an event of tma2020.

Values only: no Twisted, no I/O. Next to read: ``dialects.facts``, the shapes; `replies`.
"""

from __future__ import annotations

from mtmount_twisted.dialects.facts import AlarmFact, AxisFact, Fact, MountFact

from .codec import decode_to_show
from .enums import SubsystemId
from .replies import ErrorReply, InPositionReply, OnStateInfoReply, WarningReply

AXES = {0: "azimuth", 1: "elevation"}
"""The name of each axis, by its number in `InPositionReply`."""

_SUBSYSTEMS = {str(int(subsystem)): subsystem.name for subsystem in SubsystemId}


def facts_of(line: bytes) -> tuple[Fact, ...]:
    """Return the facts in the line of an event; none for the reply to a command.

    :raises LineError: if the line is malformed.
    """
    reply = decode_to_show(line, False)
    match reply:
        case InPositionReply():
            return (AxisFact(AXES.get(reply.what, f"axis {reply.what}"), reply.in_position),)
        case OnStateInfoReply():
            return (MountFact(reply.description),)
        case WarningReply() | ErrorReply():
            return (_alarm(reply),)
    return ()


def _alarm(reply: WarningReply | ErrorReply) -> AlarmFact:
    return AlarmFact(
        severity="error" if isinstance(reply, ErrorReply) else "warning",
        code=reply.code,
        subsystem=_SUBSYSTEMS.get(reply.subsystem.partition(".")[0]),
        what=reply.subsystem,
        description="; ".join(reply.extra_data),
        active=reply.active,
        latched=isinstance(reply, ErrorReply) and reply.on,
    )
