"""`DIALECT`: the protocol tma2022 as a value.

It only puts the functions of this folder together, and does no I/O. The bridge uses nothing else of the
folder. Next to read: ``dialects.dialect``, which explains each member; `relay`, the headers of the lines that
the bridge passes on; `commands`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mtmount_twisted.dialects.command_names import short_name
from mtmount_twisted.dialects.dialect import (
    REPLY_STARTS,
    Deadlines,
    Dialect,
    FieldDescription,
    Header,
    TelemetryFormat,
    Topology,
)
from mtmount_twisted.dialects.recorded import renewing, undecoded
from mtmount_twisted.dialects.refusals import says_off
from mtmount_twisted.dialects.sources import Commander
from mtmount_twisted.dialects.sources import Source as AnySource
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.lines import SHOWN_BYTES
from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

from .codec import decode_command, decode_reply, decode_telemetry
from .commands import (
    ACK_ONLY_CODES,
    NUM_HEADER_FIELDS,
    AskForCommand,
    BothAxesStop,
    CameraCableWrapStop,
    Command,
    CommandDict,
    GetActualSettings,
    Heartbeat,
    MirrorCoverLocksStop,
    MirrorCoversStop,
    StateInfo,
)
from .enums import TELEMETRY_PORT, CommandCode, ReplyId, Source, SubsystemId
from .envelope import mask_password, read_command_header, read_reply_header, read_telemetry_header
from .facts import AXES, DEVICES, MOTION_CODES, facts_of, position_in, position_of, read_event
from .framing import TERMINATOR
from .outcomes import outcome_of
from .preview import preview
from .relay import (
    commander_in,
    is_reply,
    kind_of_command,
    new_acknowledgement,
    new_commander_event,
    new_end,
    new_refusal,
    read_command,
    read_reply,
    read_to_refuse,
    read_wanted,
    subject_of,
)
from .replies import ANSWER_IDS, Reply, ReplyDict, UnknownReply, actual_commander
from .sending import completed, tai_now
from .telemetry import TIMED_TOPICS, TopicDict, topic_facts

TRACK_ACK_TIMEOUT = 1.0
RESET_ACK_TIMEOUT = 60.0
STATE_ACK_TIMEOUT = 70.0
"""Longest waits for the Ack of some commands in seconds (protocol-tma2022.rst, "The life of a command"):
track commands, the reset of both axes' alarms, and the first question for the state after a connection."""

_COMMAND_NAMES = {int(code): code.name for code in CommandCode}
_REPLY_NAMES = {int(code): code.name for code in ReplyId}

_DEADLINES = Deadlines(
    ack=10.0,
    done_margin=5.0,
    ack_of_code={
        **dict.fromkeys(map(int, ACK_ONLY_CODES), TRACK_ACK_TIMEOUT),
        int(CommandCode.BOTH_AXES_RESET_ALARM): RESET_ACK_TIMEOUT,
        int(CommandCode.STATE_INFO): STATE_ACK_TIMEOUT,
    },
)


def _parameters_of(command: type[CommandMessage]) -> tuple[FieldInfo, ...]:
    return command.field_infos[NUM_HEADER_FIELDS:]


def _reply_fields(reply: type[Reply]) -> tuple[FieldDescription, ...]:
    return reply.field_infos


def _new_command(
    command: type[CommandMessage], parameters: Mapping[str, Any], source: AnySource, sequence_id: int
) -> CommandMessage:
    made: Any = command(**parameters, source=Source(source), sequence_id=sequence_id)
    return completed(made)


def _fields_of(message: Command | Reply) -> dict[str, Any]:
    """Return the fields of a message by name. The fields of an `UnknownReply` have their names on the
    wire."""
    if isinstance(message, UnknownReply):
        return {"timestamp": message.timestamp, **message.parameters}
    if isinstance(message, Command):
        names = [info.name for info in message.field_infos if not info.constant]
    else:
        names = [info.name for info in type(message).field_infos]
    return {name: getattr(message, name) for name in names}


def _ask(commander: Commander, sequence_id: int | None = None, source: AnySource | None = None) -> Command:
    sender = Source.CSC if source is None else Source(source)
    ask = AskForCommand(sequence_id=sequence_id or 0, source=sender, commander=Source(commander))
    return completed(ask)


def _heartbeat(source: AnySource) -> Command:
    return completed(Heartbeat(source=Source(source)))


def _questions() -> tuple[Command, ...]:
    return completed(StateInfo()), completed(GetActualSettings())


def _stops() -> tuple[Command, ...]:
    stops = BothAxesStop(), CameraCableWrapStop(), MirrorCoversStop(), MirrorCoverLocksStop()
    return tuple(map(completed, stops))


def _read_end(line: bytes) -> None:
    """Return None: a reply with malformed parameters is an `UnknownReply`, from which `outcome_of` reads."""


def _decode_to_show(line: bytes, is_command: bool) -> Command | Reply:
    """Decode a line for display. Of a reply longer than `SHOWN_BYTES`, decode only the id."""
    if len(line) <= SHOWN_BYTES:
        return decode_command(line) if is_command else decode_reply(mask_password(line))
    if is_command:
        raise LineError(line[:SHOWN_BYTES], f"a command has {SHOWN_BYTES} bytes at most")
    code = read_reply_header(line).id
    return UnknownReply(id=code, timestamp=0.0, parameters={}, problem=f"not decoded: {len(line)} bytes")


def _read_header(line: bytes, is_command: bool) -> Header:
    if is_command:
        command = read_command_header(line)
        return Header(command.code, kind_of_command(command.code).code_name, command.sequence_id)
    reply = read_reply_header(line)
    sequence_id = reply.sequence_id if reply.id in ANSWER_IDS else None
    return Header(reply.id, _REPLY_NAMES.get(reply.id) or f"code {reply.id}", sequence_id)


_ABBREVIATIONS = {
    "azimuth_": "az_",
    "elevation_": "el_",
    "both_axes_": "both_",
    "camera_cable_wrap_": "ccw_",
    "mirror_covers_": "covers_",
    "mirror_cover_locks_": "locks_",
    "mirror_cover_system_": "cover_system_",
    "main_axes_power_supply_": "main_",
    "oil_supply_system_": "oil_",
    "top_end_chiller_": "chiller_",
}
"""The usual abbreviation of the name of a device, for the short names of its commands."""

DIALECT = Dialect(
    name="tma2022",
    topology=Topology.DUPLEX,
    terminator=TERMINATOR,
    messages=(Command, Reply),
    deadlines=_DEADLINES,
    kind_of=kind_of_command,
    commands=CommandDict,
    replies=ReplyDict,
    short_name=partial(short_name, _ABBREVIATIONS),
    parameters_of=_parameters_of,
    reply_fields=_reply_fields,
    text_pattern="",
    command_names=_COMMAND_NAMES,
    reply_names=_REPLY_NAMES,
    example=int(CommandCode.AZIMUTH_MOVE),
    read_command=read_command,
    read_to_refuse=read_to_refuse,
    read_wanted=read_wanted,
    read_reply=read_reply,
    reply_starts=REPLY_STARTS["tma2022"],
    masked=mask_password,
    is_reply=is_reply,
    subject_of=subject_of,
    commander_in=commander_in,
    commander_event=new_commander_event,
    completed=completed,
    heartbeat=_heartbeat,
    ask=_ask,
    questions=_questions,
    stops=_stops,
    says_off=says_off,
    acknowledged=new_acknowledgement,
    succeeded=new_end,
    refused=new_refusal,
    new_command=_new_command,
    fields_of=_fields_of,
    decode_command=decode_command,
    decode_reply=decode_reply,
    outcome_of=outcome_of,
    read_end=_read_end,
    actual_commander=actual_commander,
    decode_to_show=_decode_to_show,
    read_header=_read_header,
    undecoded=undecoded,
    renewed=renewing(CommandDict, lambda: str(tai_now())),
    facts_of=facts_of,
    preview=preview,
    devices=DEVICES,
    alarm_codes={"warning": int(ReplyId.WARNING), "error": int(ReplyId.ERROR)},
    subsystems={int(number): number.name for number in SubsystemId},
    telemetry=TelemetryFormat(
        port=TELEMETRY_PORT,
        names={number: topic.topic for number, topic in TopicDict.items()},
        topics=topic_facts,
        read_header=read_telemetry_header,
        decode=decode_telemetry,
        timed_topics=TIMED_TOPICS,
        axes={axis: topic.topic_id for axis, topic in AXES.items()},
        position_of=position_of,
        position_in=position_in,
        tai=tai_now,
        motion_codes=MOTION_CODES,
        read_event=read_event,
    ),
)
"""The protocol tma2022: commands as text, replies as JSON, over one two-way connection."""
