"""The translation between a commander that speaks tma2020 and a mount that speaks tma2022.

`translate_command` turns a command into one or two commands for the mount, or into a refusal.
`translate_reply` turns a reply or an event of the mount into the one for the commander. `TABLE` has a row for
each command class of tma2020 that has a counterpart, and other classes are refused.
``docs/reference/translation.rst`` is generated from it.

A command is translated by its class and never by its code: 31 is a target of a track in tma2020, and turns
the power on or off in tma2022. The commander's class decides whether the command is a stop, needs command, or
gets only an Ack. So `AzimuthAxisEnableTracking` remains a command that overtakes no other command, although
the mount receives an `AzimuthStop`.

A reply has only the facts of the mount's reply. Pure: no Twisted, no I/O, no clock.

Next to read: `joined`, which joins the answers of one command that became two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from mtmount_twisted.errors import LineError, UnknownCodeError
from mtmount_twisted.wire.fields import read_timestamp
from mtmount_twisted.wire.tai import TAI_AHEAD

from .dialect import Meaning, Outcome
from .sources import Source as OldSource
from .tma2020 import commands as old
from .tma2020 import replies as old_replies
from .tma2020.codec import decode_command, read_command_header
from .tma2020.enums import CommandCode as OldCode
from .tma2022 import commands as new
from .tma2022 import replies as new_replies
from .tma2022.enums import ReplyId, Source, System
from .tma2022.outcomes import outcome_of

UNKNOWN_TIMEOUT_MS = 300_000
"""Timeout in the Ack of a command if the mount does not know its duration, in ms."""

LONGEST_TIMEOUT_MS = 2**31 - 1
"""Longest timeout in an Ack, in ms: 24 days, the largest integer of 32 bits."""

ALL_CAUSES = ":".join(map(str, range(40)))
"""Every index that `SafetyReset` of tma2022 accepts. `SafetyReset` of tma2020 resets all causes."""


# Down: the commands


class Refusal(NamedTuple):
    """A command that has no counterpart.

    :ivar reason: the reason, which names the nearest command of tma2022 if there is one.
    """

    reason: str


class Translated(NamedTuple):
    """A command as the mount receives it.

    :ivar commands: one command, or two: the second needs the success of the first.
    """

    commands: tuple[new.Command, ...]


Translation = Translated | Refusal

C = TypeVar("C", bound=new.Command)


class Row(NamedTuple):
    """The translation of one command class.

    :ivar becomes: the classes of tma2022 that it may become; the first is its counterpart.
    :ivar make: function from a command of the class to its translation.
    :ivar how: the differences in words, for the reference; empty if the parameters are the same.
    """

    becomes: tuple[type[new.Command], ...]
    make: Callable[[Any], Translation]
    how: str = ""


def _header(command: old.Command) -> dict[str, Any]:
    """Return the header of the mount's command. No component acts on its timestamp (protocol-tma2022.rst,
    "The life of a command"), so the 37 s since 2017 stand for the leap seconds of earlier years, too."""
    return {
        "sequence_id": command.sequence_id,
        "source": Source(int(command.source)),
        "timestamp": command.timestamp.timestamp() + TAI_AHEAD,
    }


def _one(command: new.Command) -> Translated:
    return Translated((command,))


def _copier(becomes: type[C]) -> Callable[[old.Command], C]:
    """Return the function that makes a command of a class from a command with the same parameters."""
    names = [info.name for info in becomes.field_infos[new.NUM_HEADER_FIELDS :]]

    def copy(command: old.Command) -> C:
        return becomes(**_header(command), **{name: getattr(command, name) for name in names})

    return copy


def _same(becomes: type[new.Command]) -> Row:
    """Return the row of a command that has a counterpart with the same parameters."""
    copy = _copier(becomes)
    return Row((becomes,), lambda command: _one(copy(command)))


def _enable_tracking(becomes: type[new.Command], stop: type[new.Command]) -> Row:
    """Return the row of a command that enables or ends tracking. In tma2022 only a stop ends it."""
    enable = _copier(becomes)

    def make(command: Any) -> Translated:
        return _one(enable(command) if command.on else stop(**_header(command)))

    return Row((becomes, stop), make, f"``on`` = 0: ``{stop.__name__}``, because only a stop ends tracking")


def _oil(becomes: type[new.Command], *, auto: bool) -> Row:
    """Return the row of a command for which the oil supply system must be in one of its modes."""
    power = _copier(becomes)

    def make(command: old.Command) -> Translated:
        set_mode = new.OilSupplySystemSetMode(**_header(command), auto=auto)
        return Translated((set_mode, power(command)))

    how = f"``OilSupplySystemSetMode`` with ``auto`` = {auto:d} first, and this one after its success"
    return Row((becomes,), make, how)


def _move_both(command: old.BothAxesMove) -> Translation:
    sign = _sign(command.negate_azimuth)
    if sign is None:
        return _no_sign(command.negate_azimuth)
    return _one(
        new.BothAxesMove(
            **_header(command),
            azimuth=sign * command.azimuth + 0.0,
            elevation=command.elevation,
            azimuth_velocity=sign * command.azimuth_velocity + 0.0,
            elevation_velocity=command.elevation_velocity,
        )
    )


def _track_both(command: old.BothAxesTrack) -> Translation:
    sign = _sign(command.negate_azimuth)
    if sign is None:
        return _no_sign(command.negate_azimuth)
    return _one(
        new.BothAxesTrackTarget(
            **_header(command),
            azimuth=sign * command.azimuth + 0.0,
            elevation=command.elevation,
            azimuth_velocity=sign * command.azimuth_velocity + 0.0,
            elevation_velocity=command.elevation_velocity,
            tai=command.tai,
        )
    )


def _sign(negate_azimuth: int) -> int | None:
    """Return the factor for azimuth; None if the parameter has no meaning. ``+ 0.0`` makes 0 of -0."""
    return {0: 1, -1: -1}.get(negate_azimuth)


def _no_sign(negate_azimuth: int) -> Refusal:
    return Refusal(f"negate_azimuth is 0 or -1, not {str(negate_azimuth)[:40]}")


def _reset_safety(command: old.SafetyReset) -> Translation:
    return _one(new.SafetyReset(**_header(command), what=ALL_CAUSES))


def _power_chiller(command: old.TopEndChillerPower) -> Translation:
    becomes = new.TopEndChillerPowerOn if command.on else new.TopEndChillerPowerOff
    return _one(becomes(**_header(command)))


def _track_ambient(command: old.TopEndChillerTrackAmbient) -> Translation:
    if command.on:
        return _one(new.TopEndChillerThermalSetpoint(**_header(command), setpoint=command.temperature))
    return Refusal(
        "tma2022 can't turn the tracking of the top-end chiller off; the nearest commands are "
        "TopEndChillerThermalSetpoint, which sets another temperature, and TopEndChillerPowerOff"
    )


def _ask(command: old.AskForCommand) -> Translation:
    return _one(new.AskForCommand(**_header(command), commander=Source(int(command.commander))))


_NEGATED = "``negate_azimuth`` = -1: the azimuth and its velocity with the other sign"

TABLE: Mapping[type[old.Command], Row] = {
    old.Enable: _same(new.Enable),
    old.Disable: _same(new.Disable),
    old.BothAxesMove: Row(
        (new.BothAxesMove,), _move_both, f"{_NEGATED}; accelerations and jerks 0, the mount's own"
    ),
    old.BothAxesTrack: Row((new.BothAxesTrackTarget,), _track_both, _NEGATED),
    old.BothAxesStop: _same(new.BothAxesStop),
    old.AzimuthAxisPower: _same(new.AzimuthPower),
    old.AzimuthAxisStop: _same(new.AzimuthStop),
    old.AzimuthAxisMove: _same(new.AzimuthMove),
    old.AzimuthAxisTrack: _same(new.AzimuthTrackTarget),
    old.AzimuthAxisHome: _same(new.AzimuthHome),
    old.AzimuthAxisResetAlarm: _same(new.AzimuthResetAlarm),
    old.AzimuthAxisEnableTracking: _enable_tracking(new.AzimuthEnableTracking, new.AzimuthStop),
    old.AzimuthAxisDriveReset: _same(new.AzimuthDriveReset),
    old.AzimuthAxisDriveEnable: _same(new.AzimuthDriveEnable),
    old.ElevationAxisPower: _same(new.ElevationPower),
    old.ElevationAxisStop: _same(new.ElevationStop),
    old.ElevationAxisMove: _same(new.ElevationMove),
    old.ElevationAxisTrack: _same(new.ElevationTrackTarget),
    old.ElevationAxisHome: _same(new.ElevationHome),
    old.ElevationAxisResetAlarm: _same(new.ElevationResetAlarm),
    old.ElevationAxisEnableTracking: _enable_tracking(new.ElevationEnableTracking, new.ElevationStop),
    old.ElevationAxisDriveReset: _same(new.ElevationDriveReset),
    old.ElevationAxisDriveEnable: _same(new.ElevationDriveEnable),
    old.MainPowerSupplyPower: _same(new.MainAxesPowerSupplyPower),
    old.MainPowerSupplyResetAlarm: _same(new.MainAxesPowerSupplyResetAlarm),
    old.OilSupplySystemPower: _oil(new.OilSupplySystemPower, auto=True),
    old.OilSupplySystemPowerCooling: _oil(new.OilSupplySystemPowerCooling, auto=False),
    old.OilSupplySystemPowerOil: _oil(new.OilSupplySystemPowerCirculationPump, auto=False),
    old.OilSupplySystemPowerMainPump: _oil(new.OilSupplySystemPowerMainPump, auto=False),
    old.OilSupplySystemResetAlarm: _same(new.OilSupplySystemResetAlarm),
    old.MirrorCoversPower: _same(new.MirrorCoversPower),
    old.MirrorCoversStop: _same(new.MirrorCoversStop),
    old.MirrorCoversDeploy: _same(new.MirrorCoversDeploy),
    old.MirrorCoversRetract: _same(new.MirrorCoversRetract),
    old.MirrorCoversResetAlarm: _same(new.MirrorCoversResetAlarm),
    old.CameraCableWrapPower: _same(new.CameraCableWrapPower),
    old.CameraCableWrapStop: _same(new.CameraCableWrapStop),
    old.CameraCableWrapMove: _same(new.CameraCableWrapMove),
    old.CameraCableWrapTrack: _same(new.CameraCableWrapTrackTarget),
    old.CameraCableWrapResetAlarm: _same(new.CameraCableWrapResetAlarm),
    old.CameraCableWrapDriveEnable: _same(new.CameraCableWrapDriveEnable),
    old.CameraCableWrapDriveReset: _same(new.CameraCableWrapDriveReset),
    old.CameraCableWrapEnableTracking: _enable_tracking(
        new.CameraCableWrapEnableTracking, new.CameraCableWrapStop
    ),
    old.MirrorCoverLocksPower: _same(new.MirrorCoverLocksPower),
    old.MirrorCoverLocksStop: _same(new.MirrorCoverLocksStop),
    old.MirrorCoverLocksResetAlarm: _same(new.MirrorCoverLocksResetAlarm),
    old.MirrorCoverLocksMoveAll: _same(new.MirrorCoverLocksMoveAll),
    old.SafetyReset: Row((new.SafetyReset,), _reset_safety, "``what``: all indexes, 0 to 39"),
    old.AskForCommand: Row((new.AskForCommand,), _ask),
    old.TopEndChillerPower: Row(
        (new.TopEndChillerPowerOn, new.TopEndChillerPowerOff), _power_chiller, "one class for each ``on``"
    ),
    old.TopEndChillerTrackAmbient: Row(
        (new.TopEndChillerThermalSetpoint,),
        _track_ambient,
        "``setpoint`` is the ``temperature``; ``on`` = 0 is refused",
    ),
    old.TopEndChillerResetAlarm: _same(new.TopEndChillerResetAlarm),
}
"""The translation of the command classes of tma2020, in the order of their codes; see `row_of`."""


def row_of(command: type[old.Command]) -> Row:
    """Return the row of a command class; a class that `TABLE` does not have is refused."""
    return TABLE.get(command, _NO_COUNTERPART)


def _refuse(command: old.Command) -> Translation:
    return Refusal(f"tma2022 has no counterpart of {type(command).__name__}")


_NO_COUNTERPART = Row((), _refuse, "refused")


def translate_command(command: old.Command) -> Translation:
    """Return a command as the mount receives it, or the reason why the mount can't carry it out.

    Each command for the mount has the sequence id, the source and the time of the commander's command.
    """
    return row_of(type(command)).make(command)


_CODE_NEAREST: Mapping[OldCode, tuple[type[new.Command], ...]] = {
    OldCode.MOVE_TO_TARGET: (new.BothAxesMove,),
    OldCode.TRACK_TARGET: (new.BothAxesTrackTarget,),
    OldCode.ENABLE_CAMERA_WRAP: (new.CameraCableWrapEnableTracking,),
    OldCode.DISABLE_CAMERA_WRAP: (new.CameraCableWrapStop,),
    OldCode.OPEN_MIRROR_COVER: (new.MirrorCoversRetract,),
    OldCode.CLOSE_MIRROR_COVER: (new.MirrorCoversDeploy,),
    OldCode.STOP_MOUNT: (new.BothAxesStop,),
    OldCode.CLEAR_ERRORS: (new.BothAxesResetAlarm,),
    OldCode.ENTER_CONTROL: (new.AskForCommand,),
    OldCode.AZIMUTH_AXIS_MOVE_VELOCITY: (new.AzimuthMove,),
    OldCode.ELEVATION_AXIS_MOVE_VELOCITY: (new.ElevationMove,),
    OldCode.MIRROR_COVERS_MOVE: (new.MirrorCoversDeploy, new.MirrorCoversRetract),
    OldCode.MIRROR_COVERS_MOVE_VELOCITY: (new.MirrorCoversDeploy, new.MirrorCoversRetract),
    OldCode.CAMERA_CABLE_WRAP_MOVE_VELOCITY: (new.CameraCableWrapMove,),
    OldCode.CABINET_TRACK_AMBIENT: (new.MainCabinetThermalTrackAmbient,),
    OldCode.CABINET_RESET_ALARM: (new.MainCabinetThermalResetAlarm,),
    OldCode.MIRROR_COVER_LOCKS_MOVE: (new.MirrorCoverLocksLock, new.MirrorCoverLocksUnlock),
    OldCode.MIRROR_COVER_LOCKS_MOVE_VELOCITY: (new.MirrorCoverLocksLock, new.MirrorCoverLocksUnlock),
    OldCode.AZIMUTH_THERMAL_POWER: (new.AzimuthDrivesThermalPower,),
    OldCode.AZIMUTH_THERMAL_TRACK_AMBIENT: (new.AzimuthDrivesThermalControlMode,),
    OldCode.AZIMUTH_THERMAL_RESET_ALARM: (new.AzimuthDrivesThermalResetAlarm,),
    OldCode.ELEVATION_THERMAL_POWER: (new.ElevationDrivesThermalPower,),
    OldCode.ELEVATION_THERMAL_TRACK_AMBIENT: (new.ElevationDrivesThermalControlMode,),
    OldCode.ELEVATION_THERMAL_RESET_ALARM: (new.ElevationDrivesThermalResetAlarm,),
    OldCode.OVERRIDE_CAUSES: (new.SafetyReset,),
    OldCode.STATE_INFO: (new.StateInfo,),
    OldCode.ASK_FOR_SET_OF_SETTINGS: (new.GetActualSettings,),
}


def nearest_to(code: OldCode) -> tuple[type[new.Command], ...]:
    """Return the classes of tma2022 that are nearest to a code of tma2020 without a class, if any are."""
    return _CODE_NEAREST.get(code, ())


def refuse_code(code: int) -> Refusal:
    """Return the refusal of a command with a code that has no class in tma2020."""
    if code not in OldCode.__members__.values():
        return Refusal(f"tma2020 has no command {code}")
    known = OldCode(code)
    names = " or ".join(command.__name__ for command in nearest_to(known))
    nearest = f"the nearest command is {names}" if names else "no command is near to it"
    return Refusal(f"{known.name} has no known parameters to translate to tma2022; {nearest}")


def translate_line(line: bytes) -> Translation:
    """Return the translation of a command in a line, without its terminator.

    ``STATE_INFO``, a code without a class, becomes `StateInfo`. Other such codes are refused.

    :raises LineError: if the line is malformed.
    """
    try:
        return translate_command(decode_command(line))
    except LineError as error:
        if not isinstance(error.__cause__, UnknownCodeError):
            raise
    header = read_command_header(line)
    fields = line.split(b"\n")
    if header.code == OldCode.STATE_INFO and len(fields) == old.NUM_HEADER_FIELDS:
        try:
            sent = read_timestamp(fields[3].decode("ascii", "replace"))
            source = Source(int(OldSource(header.source)))
        except ValueError as error:
            raise LineError(line, f"expected the header of a command: {error}") from error
        timestamp = sent.timestamp() + TAI_AHEAD
        return _one(new.StateInfo(sequence_id=header.sequence_id, source=source, timestamp=timestamp))
    return refuse_code(header.code)


# The reverse look-up, by name

_ONLY_IN_TMA2022: Mapping[type[new.Command], tuple[type[old.Command], ...]] = {
    new.BothAxesPower: (old.AzimuthAxisPower, old.ElevationAxisPower),
    new.BothAxesHome: (old.AzimuthAxisHome, old.ElevationAxisHome),
    new.BothAxesResetAlarm: (old.AzimuthAxisResetAlarm, old.ElevationAxisResetAlarm),
    new.BothAxesEnableTracking: (old.AzimuthAxisEnableTracking, old.ElevationAxisEnableTracking),
    new.MirrorCoverSystemDeploy: (old.MirrorCoverLocksMoveAll, old.MirrorCoversDeploy),
    new.MirrorCoverSystemRetract: (old.MirrorCoverLocksMoveAll, old.MirrorCoversRetract),
    new.MirrorCoverLocksLock: (old.MirrorCoverLocksMoveAll,),
    new.MirrorCoverLocksUnlock: (old.MirrorCoverLocksMoveAll,),
}
"""The classes of tma2022 to which no command is translated, each with the commands that together have its
effect."""


def _backwards() -> dict[type[new.Command], tuple[type[old.Command], ...]]:
    """Return the classes of tma2020 for each class of tma2022. A class with this class as its counterpart
    goes before a class that may become it."""
    found: dict[type[new.Command], tuple[type[old.Command], ...]] = dict(_ONLY_IN_TMA2022)
    for place in (0, 1):
        for command, row in TABLE.items():
            if len(row.becomes) > place:
                found.setdefault(row.becomes[place], (command,))
    return found


BACKWARDS = _backwards()
"""The classes of tma2020 with the effect of a class of tma2022. A class that is missing has no
counterpart."""

_COUNTERPARTS: dict[str, tuple[str, ...]] = {
    command.__name__: tuple(each.__name__ for each in classes)
    for table in (BACKWARDS, {command: row.becomes for command, row in TABLE.items()})
    for command, classes in table.items()
}


def counterpart_of(name: str) -> tuple[str, ...]:
    """Return the names of the command classes in the other dialect with the effect of a class.

    A name that both dialects have is its own counterpart. There are two names if the class is divided there.

    :param name: the name of a command class of tma2020 or of tma2022.
    :returns: nothing if there is no such class, or if it has no counterpart.
    """
    return _COUNTERPARTS.get(name, ())


# Up: the replies


class Dropped(NamedTuple):
    """A reply without a counterpart in tma2020.

    :ivar kind: the kind of the reply, under which it is counted, such as ``POWER_STATE``.
    """

    kind: str


class ReplyRow(NamedTuple):
    """The translation of a reply.

    :ivar becomes: the class of tma2020.
    :ivar how: the origin of its fields, in words.
    """

    becomes: type[old_replies.Reply]
    how: str


ANSWERS: Mapping[Meaning, ReplyRow] = {
    Meaning.ACKNOWLEDGED: ReplyRow(
        old_replies.AckReply,
        f"``timeout_ms`` is the ``timeout`` times 1000; {UNKNOWN_TIMEOUT_MS} if it is unknown; 0 for a track "
        "command",
    ),
    Meaning.REJECTED: ReplyRow(old_replies.NoAckReply, "the ``explanation``"),
    Meaning.SUCCEEDED: ReplyRow(old_replies.DoneReply, ""),
    Meaning.FAILED: ReplyRow(old_replies.NoAckReply, "the ``explanation``"),
    Meaning.SUPERSEDED: ReplyRow(
        old_replies.NoAckReply, "the explanation names the later command as tma2020 does"
    ),
}
"""The translation of each answer to a command, by its meaning."""

EVENTS: Mapping[type[new_replies.Reply], ReplyRow] = {
    new_replies.WarningReply: ReplyRow(
        old_replies.WarningReply,
        "``subsystem`` is ``<subsystemId>. <subsystemInstance>``; ``extra_data`` has the ``description`` and "
        "the ``name``",
    ),
    new_replies.ErrorReply: ReplyRow(
        old_replies.ErrorReply, "``on`` is ``latched``; the others as in a warning"
    ),
    new_replies.StateInfoReply: ReplyRow(old_replies.OnStateInfoReply, "``description`` is the ``state``"),
    new_replies.InPositionReply: ReplyRow(
        old_replies.InPositionReply, "azimuth and elevation; that of the camera cable wrap is dropped"
    ),
}
"""The translation of each event with a counterpart in tma2020."""

_REPLY_NAMES = {int(known): known.name for known in ReplyId}
_AXES = (System.AZIMUTH, System.ELEVATION)
_NOT_IN_A_FIELD = re.compile("[\\r\\n\\0\\ud800-\\udfff]+")
_NAME = re.compile(r"\b[A-Z][A-Za-z0-9]+\b")


def translate_answer(
    answer: Outcome,
    sequence_id: int,
    source: OldSource,
    *,
    ack_only: bool = False,
    timestamp: datetime | None = None,
) -> old_replies.Answer:
    """Return the reply of tma2020 that tells the commander the outcome of a command.

    :param answer: the mount's answer, or the answer of a `joined.Joined`.
    :param sequence_id: the commander's id of the command.
    :param source: the source of the command.
    :param ack_only: True for a track command: nothing follows its Ack.
    :param timestamp: the time of the answer, UTC; now if None.
    """
    header: dict[str, Any] = {"sequence_id": sequence_id, "source": source, "timestamp": timestamp}
    if answer.meaning is Meaning.ACKNOWLEDGED:
        return old_replies.AckReply(**header, timeout_ms=milliseconds(answer.timeout, ack_only=ack_only))
    if answer.meaning is Meaning.SUCCEEDED:
        return old_replies.DoneReply(**header)
    return old_replies.NoAckReply(**header, explanation=explanation_of(answer))


def milliseconds(timeout: float | None, *, ack_only: bool) -> int:
    """Return the timeout for an Ack in ms.

    :param timeout: the mount's timeout (s, 0 or more); None if it is unknown.
    :param ack_only: True for a track command.
    """
    if ack_only:
        return 0
    return UNKNOWN_TIMEOUT_MS if timeout is None else round(min(timeout * 1000, LONGEST_TIMEOUT_MS))


def explanation_of(answer: Outcome) -> str:
    """Return the explanation for a NoAck. A superseded command names the later one as tma2020 does."""
    if answer.meaning is Meaning.SUPERSEDED:
        return _NAME.sub(_old_name, _text(answer.explanation))
    return _text(answer.explanation)


def _old_name(found: re.Match[str]) -> str:
    """Return the name of a command as its commander knows it; another word as it is."""
    return " or ".join(counterpart_of(found[0])) or found[0]


def translate_reply(
    reply: new_replies.Reply, command: old.Command | None = None
) -> old_replies.Reply | Dropped:
    """Return a reply or an event of the mount as the commander receives it.

    :param command: the commander's command that a reply answers. Without it, a reply is dropped.
    """
    outcome = outcome_of(reply)
    timestamp = utc_of(reply)
    if outcome is not None and command is not None:
        id_and_source = command.sequence_id, command.source
        return translate_answer(outcome, *id_and_source, ack_only=command.ack_only, timestamp=timestamp)
    match reply:
        case new_replies.WarningReply():
            return old_replies.WarningReply(**_alarm(reply), timestamp=timestamp)
        case new_replies.ErrorReply():
            return old_replies.ErrorReply(**_alarm(reply), on=reply.latched, timestamp=timestamp)
        case new_replies.StateInfoReply():
            return old_replies.OnStateInfoReply(description=_text(reply.state), timestamp=timestamp)
        case new_replies.InPositionReply() if reply.axis in _AXES:
            return old_replies.InPositionReply(
                what=int(reply.axis), in_position=reply.in_position, timestamp=timestamp
            )
    return Dropped(_REPLY_NAMES.get(reply.id) or "UNKNOWN")


def _alarm(reply: new_replies.WarningReply | new_replies.ErrorReply) -> dict[str, Any]:
    return {
        "active": reply.active,
        "code": reply.code,
        "subsystem": f"{reply.subsystem_id}. {_text(reply.subsystem_instance)}",
        "extra_data": tuple(_text(text) for text in (reply.description, reply.name) if text),
    }


def _text(text: str) -> str:
    """Return a text as a field may hold it."""
    return _NOT_IN_A_FIELD.sub(" ", text)


_EPOCH = datetime.fromtimestamp(0, UTC)
_OPERATION_MANAGER = (new_replies.StateInfoReply, new_replies.VersionInfoReply)


def utc_of(reply: new_replies.Reply) -> datetime:
    """Return the time of a reply; 1970 if a timestamp can't hold it.

    The Operation Manager's clock counts no leap seconds (protocol-tma2022.rst, "Replies, events and
    telemetry").
    """
    return _utc(reply.unix_timestamp) if isinstance(reply, _OPERATION_MANAGER) else utc_at(reply.timestamp)


def utc_at(timestamp: float) -> datetime:
    """Return the time of a timestamp of the mount (s); 1970 if there is no such time.

    The PXI's clock, which counts from 1904, counts no leap seconds.
    """
    seconds = new_replies.unix_time(timestamp)
    return _utc(seconds - TAI_AHEAD if seconds == timestamp else seconds)


def _utc(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH
