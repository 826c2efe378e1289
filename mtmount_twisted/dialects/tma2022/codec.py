"""Conversion of a line to a whole message: no Twisted, no I/O.

A line is bytes without its terminator. `envelope` reads only the header, as a relay needs it.

Next to read: `commands` and `replies`, the messages.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mtmount_twisted.errors import LineError, MessageError

from . import json_lines
from .commands import Command, parse_command
from .enums import Source
from .envelope import mask_password
from .replies import AnyReply, Reply, ReplyDict, UnknownReply
from .telemetry import AnyTopic, Topic, TopicDict, UnknownTopic

_read_reply = msgspec.json.Decoder(AnyReply).decode
_read_topic = msgspec.json.Decoder(AnyTopic).decode


def decode_command(line: bytes) -> Command:
    """Return the command in a line.

    :raises LineError: (a `ValueError`) if the line is not a command. The error holds the line.
    """
    try:
        # The mount strips the line before it counts the fields (protocol-tma2022.rst, "Field types in
        # commands").
        return parse_command(line.decode().strip().split("\n"))
    except MessageError as error:
        raise LineError(line, str(error), error.field) from error
    except UnicodeDecodeError as error:
        raise LineError(line, f"expected UTF-8: {error.reason} at byte {error.start}") from None


def decode_reply(line: bytes) -> Reply:
    """Return the reply in a line.

    If the id is unknown, or the parameters do not fit the id, the reply is an `UnknownReply`. Unknown members
    and unknown parameters are ignored.

    :raises LineError: (a `ValueError`) if the line is not a reply. The error holds the line, with a ``*`` for
        each character of a password.
    """
    try:
        reply: Reply = _read_reply(line)
        if not line.isascii():
            json_lines.require_utf8(line)
    except LineError:
        return _decode_rare_reply(mask_password(line))  # it raises an error without the password
    except (ValueError, RecursionError):
        return _decode_or_mask(line)
    return reply


def _decode_or_mask(line: bytes) -> Reply:
    """Read a line that `msgspec` rejects. The error about a malformed line holds no password."""
    try:
        return _decode_rare_reply(line)
    except LineError:
        masked = mask_password(line)
        if masked == line:
            raise
    return _decode_rare_reply(masked)


def _decode_rare_reply(line: bytes) -> Reply:
    """Read a line that `msgspec` rejects: a reply with NaN or 3.0, an unknown id, or a malformed line."""
    content = json_lines.load(line)
    reply_id: int = json_lines.member(line, content, "id", int, "an integer")
    timestamp: float = json_lines.member(line, content, "timestamp", float, "a finite number")
    parameters: dict[str, Any] = json_lines.member(line, content, "parameters", dict, "an object")
    problem = ""
    for form in (_same, json_lines.whole) if reply_id in ReplyDict else ():
        try:
            content = {"id": reply_id, "timestamp": timestamp, "parameters": form(parameters)}
            reply: Reply = msgspec.convert(content, ReplyDict[reply_id])
            return reply
        except (ValueError, OverflowError, RecursionError) as error:
            problem = problem or str(error)
    to = parameters.get("commander")
    commander = Source(to) if type(to) is int and to in Source.__members__.values() else None
    return UnknownReply(
        id=reply_id, timestamp=timestamp, parameters=parameters, problem=problem, commander=commander
    )


def _same(value: Any) -> Any:
    return value


def decode_telemetry(line: bytes) -> Topic:
    """Return the topic in a line.

    If the number of the topic is unknown, the topic is an `UnknownTopic`. Unknown quantities are ignored.

    :raises LineError: (a `ValueError`) if the line is not telemetry, or if a quantity has another type. The
        error holds the line.
    """
    try:
        topic: Topic = _read_topic(line)
    except (ValueError, RecursionError):
        return _decode_rare_topic(line)
    if not line.isascii():
        json_lines.require_utf8(line)
    return topic


def _decode_rare_topic(line: bytes) -> Topic:
    """Read a line that `msgspec` rejects: a topic with NaN, null or 3.0, an unknown number, or malformed."""
    content = json_lines.load(line)
    topic_id: int = json_lines.member(line, content, "topicID", int, "an integer")
    timestamp: float = json_lines.member(line, content, "timestamp", float, "a finite number")
    if topic_id not in TopicDict:
        values = {name: each for name, each in content.items() if name not in ("topicID", "timestamp")}
        return UnknownTopic(topic_id=topic_id, timestamp=timestamp, values=values)
    # An unmeasurable quantity is NaN on this wire; most programs that write JSON send null instead.
    try:
        given = {name: each for name, each in json_lines.whole(content).items() if each is not None}
        topic: Topic = msgspec.convert(given, TopicDict[topic_id])
    except (ValueError, OverflowError, RecursionError) as error:
        field = str(error).rpartition("`$.")[2].rstrip("`") or None
        raise LineError(line, f"{TopicDict[topic_id].__name__}: {error}", field) from None
    return topic
