"""`Content`: the encoder and the decoder of the lines that a connection pair carries.

A pair knows lines only through its `Content`. A new dialect is a new value in this module; `communicator`
selects one, and nothing else changes.

This module uses the codec and no Twisted. Next to read: `tma2020.codec`, `communicator`.
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
    """Encoder and decoder of one kind of items: lines, commands or replies.

    The pair calls these functions directly, once per message: a wrapper around one would cost time per
    message.

    :ivar encode: function from an item to bytes, terminator included. It raises `TypeError` if the item is of
        another type, and `ValueError` if the item can't be written.
    :ivar encode_many: function from several items to the joined results of `encode`.
    :ivar decode: function from a line without terminator to an item. It raises `LineError` if the line is
        malformed.
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
    if not isinstance(message, BaseMessage):  # a str, for example, also has `encode`
        raise TypeError(f"message: expected a command or a reply, got {message!r}")
    return message.encode()


def _encode_messages(messages: Iterable[BaseMessage]) -> bytes:
    return b"".join([_encode_message(message) for message in messages])


def _same(line: bytes) -> bytes:
    return line


LINES: Content[bytes] = Content(_encode_line, _encode_lines, _same)
"""Lines as they are, without their terminators."""

COMMANDS_IN: Content[Any] = Content(_encode_message, _encode_messages, decode_command)
"""Messages on the mount's side: commands come in, replies go out."""

REPLIES_IN: Content[Any] = Content(_encode_message, _encode_messages, decode_reply)
"""Messages on a commander's side: replies come in, commands go out."""
