"""Line <-> message, whole: no Twisted, no I/O.

A line is bytes without its terminator. `envelope` reads only as much as a relay needs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mtmount_twisted.errors import LineError, MessageError

from . import json_lines
from .commands import Command, parse_command
from .enums import Source
from .replies import AnyReply, Reply, ReplyDict, UnknownReply
from .telemetry import AnyTopic, Topic, TopicDict, UnknownTopic

_read_reply = msgspec.json.Decoder(AnyReply).decode
_read_topic = msgspec.json.Decoder(AnyTopic).decode


def decode_command(line: bytes) -> Command:
    """Return the command that a line is.

    :raises LineError: (a `ValueError`) if it is none; it holds the line.
    """
    try:
        # The mount's reader strips the line first, and counts the fields then ("Field types in commands").
        return parse_command(line.decode().strip().split("\n"))
    except MessageError as error:
        raise LineError(line, str(error), error.field) from error
    except UnicodeDecodeError as error:
        raise LineError(line, f"expected UTF-8: {error.reason} at byte {error.start}") from None


def decode_reply(line: bytes) -> Reply:
    """Return the reply that a line is.

    A reply of an unknown id, or whose parameters do not fit its id, is an `UnknownReply`. Unknown members
    and parameters are ignored.

    :raises LineError: (a `ValueError`) if it is none; it holds the line.
    """
    try:
        reply: Reply = _read_reply(line)
    except (ValueError, RecursionError):
        return _decode_rare_reply(line)
    if not line.isascii():
        json_lines.require_utf8(line)
    return reply


def _decode_rare_reply(line: bytes) -> Reply:
    """Read a reply that `msgspec` refuses: one with NaN or 3.0, of an unknown id, or none at all."""
    content = json_lines.load(line)
    reply_id: int = json_lines.member(line, content, "id", int, "an integer")
    timestamp: float = json_lines.member(line, content, "timestamp", float, "a finite number")
    parameters: dict[str, Any] = json_lines.member(line, content, "parameters", dict, "an object")
    problem = ""
    for members in (parameters, json_lines.whole(parameters)) if reply_id in ReplyDict else ():
        content = {"id": reply_id, "timestamp": timestamp, "parameters": members}
        try:
            reply: Reply = msgspec.convert(content, ReplyDict[reply_id])
            return reply
        except (ValueError, OverflowError) as error:
            problem = problem or str(error)
    to = parameters.get("commander")
    commander = Source(to) if type(to) is int and to in Source.__members__.values() else None
    return UnknownReply(
        id=reply_id, timestamp=timestamp, parameters=parameters, problem=problem, commander=commander
    )


def decode_telemetry(line: bytes) -> Topic:
    """Return the topic that a line is.

    A topic of an unknown number is an `UnknownTopic`. Unknown quantities are ignored.

    :raises LineError: (a `ValueError`) if it is none, or if a quantity is of another type; it holds the line.
    """
    try:
        topic: Topic = _read_topic(line)
    except (ValueError, RecursionError):
        return _decode_rare_topic(line)
    if not line.isascii():
        json_lines.require_utf8(line)
    return topic


def _decode_rare_topic(line: bytes) -> Topic:
    """Read a topic that `msgspec` refuses: with NaN, null or 3.0, of an unknown number, or none at all."""
    content = json_lines.load(line)
    topic_id: int = json_lines.member(line, content, "topicID", int, "an integer")
    timestamp: float = json_lines.member(line, content, "timestamp", float, "a finite number")
    if topic_id not in TopicDict:
        values = {name: each for name, each in content.items() if name not in ("topicID", "timestamp")}
        return UnknownTopic(topic_id=topic_id, timestamp=timestamp, values=values)
    # What can't be measured is NaN on this wire, and null to most programs that write JSON.
    given = {name: each for name, each in json_lines.whole(content).items() if each is not None}
    try:
        topic: Topic = msgspec.convert(given, TopicDict[topic_id])
    except (ValueError, OverflowError) as error:
        field = str(error).rpartition("`$.")[2].rstrip("`") or None
        raise LineError(line, f"{TopicDict[topic_id].__name__}: {error}", field) from None
    return topic
