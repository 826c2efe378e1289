"""`Content`: the encoder and the decoder of the lines that a connection pair carries.

A pair knows lines only through its `Content`, which a function of this module makes from a `Dialect`.

Pure: no Twisted. Next to read: `dialect`; `net.pair`, which uses a `Content`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from .dialect import Dialect

M = TypeVar("M")


class Content(Struct, Generic[M], frozen=True):
    """Encoder and decoder of one kind of items: lines, commands or replies.

    The pair calls these functions directly, once per message, because a wrapper would cost time per message.

    :ivar terminator: the bytes at the end of each line.
    :ivar encode: function from an item to bytes, terminator included. It raises `TypeError` if the item is of
        another type, and `ValueError` if the item can't be written.
    :ivar encode_many: function from several items to the joined results of `encode`.
    :ivar decode: function from a line without terminator to an item. It raises `LineError` if the line is
        malformed.
    """

    terminator: bytes
    encode: Callable[[M], bytes]
    encode_many: Callable[[Iterable[M]], bytes]
    decode: Callable[[bytes], M]


def lines_of(dialect: Dialect) -> Content[bytes]:
    """Return the content of a pair that carries lines as they are, without their terminators."""
    terminator = dialect.terminator

    def encode(line: bytes) -> bytes:
        if terminator in line:
            raise ValueError(f"a line can't hold its own terminator: {line!r}")
        return line + terminator

    def encode_many(lines: Iterable[bytes]) -> bytes:
        lines = list(lines)
        data = terminator.join([*lines, b""])
        if data.count(terminator) != len(lines):
            raise ValueError(f"a line can't hold its own terminator: {lines!r}")
        return data

    return Content(terminator, encode, encode_many, _same)


def _same(line: bytes) -> bytes:
    return line


def messages_of(dialect: Dialect, *, read_replies: bool) -> Content[Any]:
    """Return the content of a pair that carries messages.

    :param read_replies: True on a commander's side: replies come in, commands go out. False on the mount's
        side: commands come in, replies go out.
    """
    # `isinstance` checks the first class first: commands if this side reads replies, else replies.
    messages = dialect.messages if read_replies else dialect.messages[::-1]

    def encode(message: Any) -> bytes:
        if not isinstance(message, messages):  # a str, for example, also has `encode`
            raise TypeError(f"message: expected a command or a reply, got {message!r}")
        data: bytes = message.encode()
        return data

    def encode_many(messages: Iterable[Any]) -> bytes:
        return b"".join([encode(message) for message in messages])

    decode = dialect.decode_reply if read_replies else dialect.decode_command
    return Content(dialect.terminator, encode, encode_many, decode)
