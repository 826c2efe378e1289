"""The replies of the mount.

Each class is one reply of ``protocol-tma2020.rst``; its body is its complete definition.
`AckReply`, `NoAckReply` and `DoneReply`, each an `Answer`, answer one command. All other replies are
events: the mount sends them unasked and to all commanders.

Values only: no Twisted, no I/O. Next to read: ``wire.messages``, which turns a class body into fields;
`codec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from mtmount_twisted.errors import FieldCountError
from mtmount_twisted.wire.fields import utc_now
from mtmount_twisted.wire.messages import BaseMessage, ClassOfCode, code, extra, leaves, parameter

from .enums import ReplyCode, Source
from .framing import LAYOUT


class Reply(BaseMessage):
    """Base class of all replies."""

    layout = LAYOUT

    reply_code: ClassVar[ReplyCode] = code("Which reply it is.")


class Answer(Reply):
    """Base class of the replies that answer one command; the subclasses add their parameters at the end."""

    sequence_id: int = parameter("The `sequence_id` of the command that it answers.")
    source: Source = parameter("The `source` of the command that it answers.", default=Source.CSC)
    timestamp: datetime = parameter("The time of sending, UTC.", factory=utc_now)


class AckReply(Answer):
    """The command was accepted."""

    reply_code = ReplyCode.ACK
    timeout_ms: int = parameter(
        "The command should be done within this time; a client adds 2 s of its own.",
        unit="ms",
        default=0,
        empty=0,
    )


class NoAckReply(Answer):
    """The command was refused, or, after an Ack, failed or was superseded by a later command."""

    reply_code = ReplyCode.NOACK
    explanation: str = parameter("Reason, in the mount's own words.")


class DoneReply(Answer):
    """The command is finished."""

    reply_code = ReplyCode.DONE


class ErrorReply(Reply):
    """An error began or ended."""

    reply_code = ReplyCode.ERROR
    on: bool = parameter("True if the error is latched: kept until it is reset.")
    active: bool = parameter("True if its condition is present now.")
    code: int = parameter("A `SubsystemId` plus a condition of that subsystem.")
    subsystem: str = parameter("Origin: ``<SubsystemId>. <component>``.")
    timestamp: datetime = parameter("The time of sending, UTC.", factory=utc_now)
    extra_data: tuple[str, ...] = extra("Further texts of the mount about the condition.", default=())


class WarningReply(Reply):
    """A warning began or ended."""

    reply_code = ReplyCode.WARNING
    active: bool = parameter("True if its condition is present now.")
    code: int = parameter("A `SubsystemId` plus a condition of that subsystem.")
    subsystem: str = parameter("Origin: ``<SubsystemId>. <component>``.")
    timestamp: datetime = parameter("The time of sending, UTC.", factory=utc_now)
    extra_data: tuple[str, ...] = extra("Further texts of the mount about the condition.", default=())


class OnStateInfoReply(Reply):
    """The mount's state changed."""

    reply_code = ReplyCode.ON_STATE_INFO
    timestamp: datetime = parameter("The time of sending, UTC.", factory=utc_now)
    description: str = parameter("The state, such as ``PublishOnlyWaitingForCommand``.")


class InPositionReply(Reply):
    """An axis came into position, or left it."""

    reply_code = ReplyCode.IN_POSITION
    timestamp: datetime = parameter("The time of sending, UTC.", factory=utc_now)
    what: int = parameter("Which axis: 0 azimuth, 1 elevation.")
    in_position: bool = parameter("True if it is in position.")


Replies: tuple[type[Reply], ...] = leaves(Reply)
"""Every reply class, in the order of their codes."""

ReplyDict: dict[ReplyCode, type[Reply]] = {reply.reply_code: reply for reply in Replies}
"""The reply class of each code."""

_CLASS_OF_CODE = ClassOfCode("reply", ReplyDict, lambda number: "a known ReplyCode")


def parse_reply(fields: Sequence[str]) -> Reply:
    """Return the reply made of these fields, the code first.

    :param fields: the fields as text, as `str_fields` returns them.
    :raises MessageError: (a `ValueError`) if they are not a reply.
    """
    if not fields:
        raise FieldCountError("reply", None, list(fields), "at least the reply_code")
    return _CLASS_OF_CODE[fields[0]].from_str_fields(fields)
