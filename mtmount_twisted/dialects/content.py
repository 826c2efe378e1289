"""What a connection pair carries, as a value: how to write it, and how to read it.

A pair knows lines only through its `Content`. A dialect is a new value here: `communicator`
picks one, and nothing else changes.

May touch the codec, and no Twisted. Next to read: `codec`, `communicator`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mtmount_twisted.wire.messages import BaseMessage

from .tma2020.codec import decode_command, decode_reply
from .tma2020.framing import TERMINATOR

M = TypeVar("M")


@dataclass(frozen=True)
class Content(Generic[M]):
    """The two directions of one kind of content.

    The functions are called as they are, once per message: a layer around one is paid for each time.

    :ivar encode: content -> bytes, terminator included. Raises `TypeError` for what is none, and
        `ValueError` for what can't be written.
    :ivar encode_many: the same for some at once: what `encode` gives for each, joined.
    :ivar decode: a line without terminator -> content. Raises `LineError` if it is none.
    """

    encode: Callable[[M], bytes]
    encode_many: Callable[[Iterable[M]], bytes]
    decode: Callable[[bytes], M]


def _encode_line(line: bytes) -> bytes:
    if TERMINATOR in line:
        raise ValueError(f"a line can't hold its own terminator: {line!r}")
    return line + TERMINATOR


def _encode_lines(lines: Iterable[bytes]) -> bytes:
    lines = list(lines)
    data = TERMINATOR.join([*lines, b""])
    if data.count(TERMINATOR) != len(lines):
        raise ValueError(f"a line can't hold its own terminator: {lines!r}")
    return data


def _encode_message(message: BaseMessage) -> bytes:
    if not isinstance(message, BaseMessage):  # a str, say, could be encoded but is no message
        raise TypeError(f"message: expected a command or a reply, got {message!r}")
    return message.encode()


def _encode_messages(messages: Iterable[BaseMessage]) -> bytes:
    return b"".join([_encode_message(message) for message in messages])


def _same(line: bytes) -> bytes:
    return line


LINES: Content[bytes] = Content(_encode_line, _encode_lines, _same)
"""Lines as they are, without their terminators."""

COMMANDS_IN: Content[Any] = Content(_encode_message, _encode_messages, decode_command)
"""Messages, as the mount's side has them: commands come in."""

REPLIES_IN: Content[Any] = Content(_encode_message, _encode_messages, decode_reply)
"""Messages, as a commander's side has them: replies come in."""
