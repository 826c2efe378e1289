"""`DIALECT`: the protocol tma2020 as a value.

It only puts the functions of this folder together, and does no I/O. The bridge uses nothing else of the
folder. Next to read: ``dialects.dialect``, which explains each member; `envelope`, the headers of the lines
that the bridge passes on; `commands`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from mtmount_twisted.dialects.command_names import short_name
from mtmount_twisted.dialects.dialect import (
    REPLY_STARTS,
    Deadlines,
    Dialect,
    FieldDescription,
    Header,
    Topology,
)
from mtmount_twisted.dialects.recorded import renewing, undecoded
from mtmount_twisted.dialects.refusals import says_off
from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.fields import utc_now, write_timestamp
from mtmount_twisted.wire.messages import BaseMessage, CommandMessage, FieldInfo, next_sequence_id

from .codec import (
    decode_command,
    decode_reply,
    decode_to_show,
    read_command_header,
    read_end,
    read_reply_header,
)
from .commands import (
    NUM_HEADER_FIELDS,
    AskForCommand,
    BothAxesStop,
    CameraCableWrapStop,
    Command,
    CommandDict,
    MirrorCoverLocksStop,
    MirrorCoversStop,
)
from .enums import CommandCode, ReplyCode, SubsystemId
from .envelope import (
    commander_in,
    kind_of_command,
    new_acknowledgement,
    new_end,
    new_refusal,
    read_command,
    read_reply,
    read_to_refuse,
    read_wanted,
    subject_of,
)
from .facts import facts_of
from .framing import TERMINATOR
from .outcomes import actual_commander, outcome_of
from .replies import Reply, ReplyDict

_COMMAND_NAMES = {int(code): code.name for code in CommandCode}
_REPLY_NAMES = {int(code): code.name for code in ReplyCode}


def _parameters_of(command: type[CommandMessage]) -> tuple[FieldInfo, ...]:
    return command.field_infos[NUM_HEADER_FIELDS:]


def _completed(command: Command) -> Command:
    """Return the command unchanged: its constructor has given it an id and a timestamp."""
    return command


class ExtraData(NamedTuple):
    """Description of the texts behind the fields of a reply; see `BaseMessage.has_extra_data`."""

    name: str = "extra_data"
    doc: str = "Further texts of the mount."
    dtype: Any = tuple[str, ...]
    default: tuple[str, ...] = ()
    unit: str = ""
    required: bool = False


def _reply_fields(reply: type[Reply]) -> list[FieldDescription]:
    fields: list[FieldDescription] = [info for info in reply.field_infos if not info.constant]
    return [*fields, ExtraData()] if reply.has_extra_data else fields


def _new_command(
    command: type[CommandMessage], parameters: Mapping[str, Any], source: Source, sequence_id: int
) -> CommandMessage:
    return command(**parameters, source=source, sequence_id=sequence_id)


@cache
def _names(cls: type[BaseMessage]) -> tuple[str, ...]:
    names = tuple(info.name for info in cls.field_infos if not info.constant)
    return (*names, "extra_data") if cls.has_extra_data else names


def _fields_of(message: BaseMessage) -> dict[str, Any]:
    return {name: getattr(message, name) for name in _names(type(message))}


def _ask(commander: Commander, sequence_id: int | None = None, source: Source | None = None) -> AskForCommand:
    return AskForCommand(
        sequence_id=sequence_id or next_sequence_id(), source=source or Source.CSC, commander=commander
    )


def _stops() -> tuple[Command, ...]:
    return BothAxesStop(), CameraCableWrapStop(), MirrorCoversStop(), MirrorCoverLocksStop()


def _read_header(line: bytes, is_command: bool) -> Header:
    if is_command:
        command = read_command_header(line)
        return Header(command.code, kind_of_command(command.code).code_name, command.sequence_id)
    reply = read_reply_header(line)
    return Header(reply.code, _REPLY_NAMES.get(reply.code) or f"code {reply.code}", reply.sequence_id)


def _is_reply(line: bytes) -> bool:
    try:
        decode_to_show(line, is_command=False)
    except LineError:
        return False
    return True


_ABBREVIATIONS = {
    "azimuth_axis_": "az_",
    "elevation_axis_": "el_",
    "both_axes_": "both_",
    "camera_cable_wrap_": "ccw_",
    "mirror_covers_": "covers_",
    "mirror_cover_locks_": "locks_",
    "main_power_supply_": "main_",
    "oil_supply_system_": "oil_",
    "top_end_chiller_": "chiller_",
}
"""The usual abbreviation of the name of a device, for the short names of its commands."""

DIALECT = Dialect(
    name="tma2020",
    topology=Topology.PAIR,
    terminator=TERMINATOR,
    messages=(Command, Reply),
    # The protocol has no bound on the time to an Ack. A client adds 2 s to the time-out in an Ack.
    deadlines=Deadlines(ack=5.0, done_margin=2.0),
    kind_of=kind_of_command,
    commands=CommandDict,
    replies=ReplyDict,
    short_name=partial(short_name, _ABBREVIATIONS),
    parameters_of=_parameters_of,
    reply_fields=_reply_fields,
    text_pattern="^[^\\r\\n\\u0000]*$",
    command_names=_COMMAND_NAMES,
    reply_names=_REPLY_NAMES,
    example=int(CommandCode.AZIMUTH_AXIS_MOVE),
    read_command=read_command,
    read_to_refuse=read_to_refuse,
    read_wanted=read_wanted,
    read_reply=read_reply,
    reply_starts=REPLY_STARTS["tma2020"],
    masked=bytes,  # this protocol has no passwords
    is_reply=_is_reply,
    subject_of=subject_of,
    commander_in=commander_in,
    commander_event=None,
    completed=_completed,
    heartbeat=None,
    ask=_ask,
    questions=tuple,
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
    read_end=read_end,
    actual_commander=actual_commander,
    decode_to_show=decode_to_show,
    read_header=_read_header,
    undecoded=undecoded,
    renewed=renewing(CommandDict, lambda: write_timestamp(utc_now())),
    facts_of=facts_of,
    preview=None,
    devices=(),
    alarm_codes={"warning": int(ReplyCode.WARNING), "error": int(ReplyCode.ERROR)},
    subsystems={int(number): number.name for number in SubsystemId},
    telemetry=None,
)
"""The protocol tma2020: text lines of fields, over two one-way connections."""
