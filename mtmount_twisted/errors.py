"""Every error that this package raises or fails a Deferred with.

::

    MTMountError
    +-- MessageError            (ValueError)  a message can't be made or read
    |   +-- FieldError                        one of its fields is at fault
    |   +-- FieldCountError                   it has too few or too many fields
    |   +-- UnknownCodeError                  no message class has its code
    +-- LineError               (ValueError)  a received line is no message: holds the line
    +-- LineTooLongError        (ValueError)  a peer sent a line over the limit
    +-- UnfinishedLineError     (TimeoutError)  a peer began a line and did not end it
    +-- UnknownFieldError       (TypeError)   a message was given a name that it does not have
    +-- PositionalFieldError    (TypeError)   a message was given a value without its name
    +-- NotConnectedError       (RuntimeError)            not connected before starting
    +-- ConnectionLostError     (ConnectionResetError)    lost while waiting
    +-- PairClosedError         (ConnectionAbortedError)  we closed while it waited
    +-- PeerRefusedError        (ConnectionRefusedError)  the far end, or its certificate, is refused
    +-- WebError                (OSError)     the daemon can't be asked over HTTP
    +-- ConnectTimeoutError     (TimeoutError)            not connected in time: says what is missing
    +-- ListenError             (OSError)     the server can't listen
    +-- BacklogError            (RuntimeError)  too much is written and not sent
    +-- TaiUnavailableError     (RuntimeError)  no source of leap seconds
    +-- ConfigError             (ValueError)  a configuration has problems: holds all of them
    +-- JournalError            (OSError)     the journal's file can't be read
    |   +-- NotAJournalError                    it is something else, or a later version's
    +-- CommandError            (RuntimeError)  a command ended otherwise than done
        +-- CommandNotSent                    it never left this side
        +-- CommandRefused                    the mount said NoAck instead of Ack
        +-- CommandFailed                     the mount said NoAck after Ack
        +-- CommandSuperseded                 a later command replaced it
        +-- CommandTimedOut     (TimeoutError)            no Ack, or no Done, in time
        +-- CommandOutcomeUnknown (ConnectionResetError)  the connection was lost before its end

Each one is also the builtin that a caller expects, so that ``except ValueError`` works.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from .hosts import host_and_port


class MTMountError(Exception):
    """The root of this package's errors."""


class MessageError(MTMountError, ValueError):
    """A message can't be made, or can't be read from its fields.

    :ivar message_name: name of the message class, or ``"command"`` or ``"reply"``
        where the class is not known.
    :ivar field: name of the field at fault, or None.
    :ivar value: what was given.
    :ivar expected: what would have been right, in words.
    """

    def __init__(self, message_name: str, field: str | None, value: Any, expected: str) -> None:
        super().__init__(message_name, field, value, expected)
        self.message_name = message_name
        self.field = field
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        where = self.message_name if self.field is None else f"{self.message_name}.{self.field}"
        return f"{where}: expected {self.expected}, got {_brief(self.value)}"


class FieldError(MessageError):
    """A field has a value that its type does not allow, or none at all."""


class FieldCountError(MessageError):
    """A message has too few or too many fields; `value` is the list of them."""


class UnknownCodeError(MessageError):
    """A code that is not known, or that is known but has no message class."""


class UnknownFieldError(MTMountError, TypeError):
    """A message was given a parameter that it does not have.

    :ivar message_name: name of the message class.
    :ivar field: the name that it does not have.
    :ivar value: what was given for it.
    :ivar expected: the names that it has.
    """

    def __init__(self, message_name: str, field: str, value: Any, expected: tuple[str, ...]) -> None:
        super().__init__(message_name, field, value, expected)
        self.message_name = message_name
        self.field = field
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        names = ", ".join(self.expected) or "none"
        return (
            f"{self.message_name} has no parameter {self.field!r} (got {_brief(self.value)}); it has: {names}"
        )


class PositionalFieldError(MTMountError, TypeError):
    """A message was given values without names; the text shows the right call.

    :ivar message_name: name of the message class.
    :ivar values: the values that were given without names.
    :ivar names: the names of its own parameters, in order.
    """

    def __init__(self, message_name: str, values: tuple[Any, ...], names: tuple[str, ...]) -> None:
        super().__init__(message_name, values, names)
        self.message_name = message_name
        self.values = values
        self.names = names

    def __str__(self) -> str:
        named = ", ".join(f"{name}={_brief(value)}" for name, value in zip(self.names, self.values))
        text = f"{self.message_name} takes its parameters by name: {self.message_name}({named})"
        if len(self.values) > len(self.names):
            has = ", ".join(self.names) or "none"
            text += f"; got {len(self.values)} values, its own parameters are: {has}"
        return text


class LineError(MTMountError, ValueError):
    """A received line is not a message. The cause is its ``__cause__``.

    :ivar line: the line as received, without its terminator (bytes).
    :ivar reason: what is wrong with it (str).
    :ivar field: name of the field at fault, or None.
    """

    def __init__(self, line: bytes, reason: str, field: str | None = None) -> None:
        super().__init__(line, reason, field)
        self.line = line
        self.reason = reason
        self.field = field

    def __str__(self) -> str:
        return f"{self.reason}; the line is {_brief(self.line, 200)}"


class LineTooLongError(MTMountError, ValueError):
    """A peer sent more than `limit` bytes with no end of line.

    :ivar start: the first bytes of that line.
    :ivar limit: the most that a line may have, in bytes.
    """

    def __init__(self, start: bytes, limit: int) -> None:
        super().__init__(start, limit)
        self.start = start
        self.limit = limit

    def __str__(self) -> str:
        return f"a line of more than {self.limit} bytes; it begins with {_brief(self.start)}"


class UnfinishedLineError(MTMountError, TimeoutError):
    """A peer began a line and did not end it in time.

    :ivar start: the first bytes of that line.
    :ivar seconds: how long it was given.
    """

    def __init__(self, start: bytes, seconds: float) -> None:
        super().__init__(start)  # of two arguments OSError would make its errno
        self.start = start
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.start, self.seconds)

    def __str__(self) -> str:
        return f"a line was not ended within {self.seconds:g} s; it begins with {_brief(self.start)}"


class NotConnectedError(MTMountError, RuntimeError):
    """Nothing is connected to read from or write to."""


class ConnectionLostError(MTMountError, ConnectionResetError):
    """The connection was lost while something waited for it."""


class PairClosedError(MTMountError, ConnectionAbortedError):
    """This side closed the connection while something waited for it."""


class PeerRefusedError(MTMountError, ConnectionRefusedError):
    """A connection was made and can't be used: to try again would end the same way.

    :ivar reason: what is wrong, in words.
    :ivar cause: which of these it is: ``"untrusted"`` (the far end's certificate is of no authority that is
        trusted here, or out of date), ``"other name"`` (it is another host's), ``"plain"`` (the far end does
        not speak TLS), ``"encrypted"`` (it speaks nothing else), ``"no certificate"`` (it asks for one),
        ``"certificate"`` (it refused the one that it was shown) or ``"http"`` (it speaks HTTP).
    """

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(reason)  # of two arguments OSError would make its errno
        self.reason = reason
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.cause)

    def __str__(self) -> str:
        return self.reason


class WebError(MTMountError, OSError):
    """The daemon can't be asked over HTTP: it says why, and what to do about it."""


class ConnectTimeoutError(MTMountError, TimeoutError):
    """A pair was not connected in time.

    :ivar seconds: how long that was.
    :ivar reason: what was missing, and what to do about it, in words.
    """

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)  # of two arguments OSError would make its errno
        self.seconds = seconds
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.reason)

    def __str__(self) -> str:
        return f"not connected within {self.seconds:g} s: {self.reason}"


class ListenError(MTMountError, OSError):
    """The server can't listen.

    :ivar host: where it was to listen.
    :ivar port: the port that it was to have.
    :ivar reason: what the system said.
    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(reason)  # of two or three arguments OSError would make its errno
        self.host = host
        self.port = port
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.host, self.port, self.reason)

    def __str__(self) -> str:
        text = f"can't listen on {host_and_port(self.host or '*', self.port)}: {self.reason}"
        return f"{text}; {TAKEN}" if self.reason == os.strerror(errno.EADDRINUSE) else text


TAKEN = "another program has this port, perhaps another commander: end that one, or use another port"
"""What an error says of a port that is in use, and what to do about it."""


class BacklogError(MTMountError, RuntimeError):
    """Too much waits for the peer to read; this write was not sent.

    :ivar limit: how much may wait, in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the peer does not read, and more than {self.limit} bytes would wait for it: not sent"


class TaiUnavailableError(MTMountError, RuntimeError):
    """Neither the kernel nor a leap-second table can tell TAI."""


class ConfigError(MTMountError, ValueError):
    """A configuration can't be used.

    :ivar where: what it came from, such as the file's name.
    :ivar problems: what is wrong with it, a line each.
    """

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        super().__init__(where, problems)
        self.where = where
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(f"{self.where}: {problem}" for problem in self.problems)


class JournalError(MTMountError, OSError):
    """The journal can't be read, or not further; in words for a person."""


class NotAJournalError(JournalError):
    """The file is a sound database, and not a journal that this version can use."""


class CommandError(MTMountError, RuntimeError):
    """A command ended otherwise than done.

    :ivar command: the command that was sent.
    :ivar explanation: the mount's own words, or ours where the mount said nothing.
    """

    def __init__(self, command: Any, explanation: str) -> None:
        super().__init__(command, explanation)
        self.command = command
        self.explanation = explanation

    def __str__(self) -> str:
        return f"{type(self.command).__name__} {self.command.sequence_id}: {self.explanation}"


class CommandNotSent(CommandError):
    """The command never left this side: not connected, or too many writes wait."""


class CommandRefused(CommandError):
    """The mount answered NoAck: it did not begin the command."""


class CommandFailed(CommandError):
    """The mount answered NoAck after Ack: it began the command and could not finish it."""


class CommandSuperseded(CommandError):
    """The mount answered NoAck after Ack because a later command replaced this one."""


class CommandTimedOut(CommandError, TimeoutError):
    """No Ack came in time, or no Done within the time that the Ack announced plus 2 s."""


class CommandOutcomeUnknown(CommandError, ConnectionResetError):
    """The connection was lost before the command ended: it may or may not have been done."""


def _brief(value: Any, longest: int = 100) -> str:
    if isinstance(value, list | tuple) and len(value) > longest:  # a line may have 64,000 fields
        return f"{repr(value[:longest])[:longest]}... ({len(value)} values)"
    try:
        text = repr(value)
    except Exception:  # such as an int of 5000 digits: the error must still be able to speak
        text = f"a value of type {type(value).__name__} that can't be shown"
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"
