"""`DIALECT`: the protocol of 2020 as a value."""

from __future__ import annotations

from mtmount_twisted.dialects.dialect import Dialect, Header, Topology
from mtmount_twisted.dialects.sources import Commander

from .codec import decode_command, decode_reply, decode_to_show, read_command_header, read_reply_header
from .command_names import short_name
from .commands import (
    AskForCommand,
    BothAxesStop,
    CameraCableWrapStop,
    Command,
    CommandDict,
    MirrorCoverLocksStop,
    MirrorCoversStop,
)
from .enums import ReplyCode
from .envelope import (
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
from .framing import TERMINATOR
from .replies import ReplyDict

_REPLY_NAMES = {int(code): code.name for code in ReplyCode}


def _ask(commander: Commander) -> AskForCommand:
    return AskForCommand(commander=commander)


def _stops() -> tuple[Command, ...]:
    return BothAxesStop(), CameraCableWrapStop(), MirrorCoversStop(), MirrorCoverLocksStop()


def _read_header(line: bytes, is_command: bool) -> Header:
    if is_command:
        command = read_command_header(line)
        return Header(command.code, kind_of_command(command.code).code_name, command.sequence_id)
    reply = read_reply_header(line)
    return Header(reply.code, _REPLY_NAMES.get(reply.code) or f"code {reply.code}", reply.sequence_id)


DIALECT = Dialect(
    name="tma2020",
    topology=Topology.PAIR,
    terminator=TERMINATOR,
    kind_of=kind_of_command,
    commands=CommandDict,
    replies=ReplyDict,
    short_name=short_name,
    read_command=read_command,
    read_to_refuse=read_to_refuse,
    read_wanted=read_wanted,
    read_reply=read_reply,
    subject_of=subject_of,
    ask=_ask,
    stops=_stops,
    acknowledged=new_acknowledgement,
    succeeded=new_end,
    refused=new_refusal,
    decode_command=decode_command,
    decode_reply=decode_reply,
    decode_to_show=decode_to_show,
    read_header=_read_header,
    reply_names=_REPLY_NAMES,
)
"""The protocol of 2020: text lines of fields, over two one-way connections."""
