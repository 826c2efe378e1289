"""`DaemonLink`: the child's end of the socket pair to the daemon, on asyncio.

The backlog of lines to the daemon is bounded: while the daemon does not read, this module drops and counts
further lines for its log. Next to read: ``frontends.broker.words``, the lines.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

import msgspec

from mtmount_twisted.frontends.broker.words import (
    MAX_ANSWER,
    MAX_LINE,
    MAX_TEXT,
    Answer,
    Log,
    OfDesk,
    Pong,
    ToChild,
    encode,
    read_to_child,
)

MAX_BACKLOG = 2**18
"""The largest number of bytes that wait for the daemon. Lines about events, one after the other, take at most
half of it: asyncio's bound of 64 KiB, and one line beyond it. So they displace no answer and no command."""

LONGEST_REASON = 1000
"""The longest text in the state of the child, in bytes of JSON. A control character has six bytes there, and
the names of full streams take up to 3 KiB of the state."""

LINES_AT_ONCE = 20
"""The largest number of lines for the log in `LOG_TIME`; further lines are dropped and counted."""

LOG_TIME = 60.0
"""The time to which `LINES_AT_ONCE` applies, in seconds."""


class DaemonLink:
    """The connection to the daemon."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._dropped = 0
        self._logged = 0
        self._since = 0.0

    @classmethod
    async def open(cls, fd: int) -> DaemonLink:
        """Return the link on an open file that the daemon handed over."""
        own = socket.socket(fileno=fd)
        own.setblocking(False)
        return cls(*(await asyncio.open_unix_connection(sock=own, limit=MAX_LINE)))

    async def line(self) -> ToChild | None:
        """Return the next line of the daemon; None if the daemon has closed the connection.

        :raises msgspec.DecodeError: if a line is malformed.
        """
        try:
            line = await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        told: ToChild = read_to_child(line)
        return told

    def answer(self, pong: Pong) -> None:
        """Send the state of the child."""
        texts = {"problem": _short(pong.problem), "loss": _short(pong.loss)}
        self._send(encode(msgspec.structs.replace(pong, **texts)))

    def reply(self, answer: Answer) -> None:
        """Send the answer to a question of the daemon."""
        self._send(encode(answer))

    def log(self, level: int, text: str) -> None:
        """Send a line for the daemon's log, or count it if there are too many."""
        now = asyncio.get_running_loop().time()
        if now - self._since > LOG_TIME:
            self._since, self._logged = now, 0
        if self._logged >= LINES_AT_ONCE or self._writer.transport.get_write_buffer_size() > MAX_BACKLOG:
            self._dropped += 1
            return
        self._logged += 1
        more = f" ({self._dropped} lines were dropped before)" if self._dropped else ""
        self._dropped = 0
        self._send(encode(Log(level, f"{_sendable(text[: MAX_TEXT - 100])}{more}")))

    def hand(self, line: OfDesk) -> bool:
        """Send a line about commands.

        :returns: False if the line is not sent, because the daemon does not read, or because the line is too
            long.
        """
        return self._send(encode(line))

    async def deliver(self, line: bytes) -> None:
        """Send a line about events, and wait until the daemon reads."""
        self._writer.write(line + b"\n")
        with suppress(ConnectionError):  # `line` notices the end of the daemon
            await self._writer.drain()

    def _send(self, line: bytes) -> bool:
        if len(line) >= MAX_ANSWER or self._writer.transport.get_write_buffer_size() > MAX_BACKLOG:
            return False
        self._writer.write(line + b"\n")
        return True

    async def close(self) -> None:
        """Send the waiting lines, then close the connection."""
        self._writer.close()


def _short(text: str) -> str:
    """Return a text that has at most `LONGEST_REASON` bytes in JSON: the answer must not be too long."""
    text = _sendable(text)
    while (size := len(encode(text))) > LONGEST_REASON:
        text = text[: len(text) * LONGEST_REASON // size]
    return text


def _sendable(text: str) -> str:
    """Return a text that can be encoded in UTF-8: the JSON of a broker may contain half of a surrogate
    pair."""
    return text.encode("utf-8", "replace").decode()
