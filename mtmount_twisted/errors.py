"""Every error that this package raises or fails a Deferred with.

::

    MTMountError
    +-- MessageError            (ValueError)  a message can't be made or read
    |   +-- FieldError                        one field is at fault
    |   +-- FieldCountError                   there are too few or too many fields
    |   +-- UnknownCodeError                  the code has no message class
    +-- LineError               (ValueError)  a received line is malformed: holds the line
    +-- LineTooLongError        (ValueError)  a peer sent a line over the limit
    +-- UnfinishedLineError     (TimeoutError)  a peer did not end a line in time
    +-- HandshakeTooLongError   (ValueError)  a peer sent too many bytes before the end of the TLS handshake
    +-- TLSAnswersError         (ValueError)  a peer requested too many answers of TLS itself
    +-- UnknownFieldError       (TypeError)   a message has no parameter of that name
    +-- PositionalFieldError    (TypeError)   a message parameter was given without its name
    +-- NotConnectedError       (RuntimeError)            there was no connection
    +-- ConnectionLostError     (ConnectionResetError)    the connection was lost during the wait
    +-- PairClosedError         (ConnectionAbortedError)  this side closed during the wait
    +-- PeerRefusedError        (ConnectionRefusedError)  one end refuses the other or its certificate
    +-- WebError                (OSError)     the daemon does not answer over HTTP
    +-- ConnectTimeoutError     (TimeoutError)            not connected in time: names the missing part
    +-- ListenError             (OSError)     the server can't listen
    +-- BacklogError            (RuntimeError)  too many bytes wait to be sent
    +-- TaiUnavailableError     (RuntimeError)  no source of leap seconds
    +-- ConfigError             (ValueError)  a configuration has problems: holds all of them
    +-- JournalError            (OSError)     the journal can't be read
    |   +-- NotAJournalError                  the file is another database, or too new
    +-- RecordingError          (OSError)     a recording of telemetry can't be read
    +-- EngineUnreachable       (ConnectionError)  the broker does not answer: nothing is known about the call
    +-- EngineFull              (OSError)     the broker has no room for a message
    +-- EngineRefused           (PermissionError)  the broker refuses a call: a right or a stream is missing
    +-- CommandError            (RuntimeError)  a command ended without success
        +-- CommandNotSent                    the command never left this side
        +-- CommandRefused                    the mount answered NoAck instead of Ack
        +-- CommandFailed                     the mount answered NoAck after Ack
        +-- CommandSuperseded                 a later command replaced this one
        +-- CommandTimedOut     (TimeoutError)            no Ack, or no Done, in time
        +-- CommandOutcomeUnknown (ConnectionResetError)  the connection was lost before the end

Each error is also the builtin error that a caller expects, so that ``except ValueError`` works. Pure. Next to
read: ``client.mount``, which raises most of them.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from .hosts import host_and_port


class MTMountError(Exception):
    """Base class of this package's errors."""


class MessageError(MTMountError, ValueError):
    """A message can't be made, or can't be read from its fields.

    :ivar message_name: name of the message class; ``"command"`` or ``"reply"`` if the class is unknown.
    :ivar field: name of the field at fault, or None.
    :ivar value: the given value.
    :ivar expected: description of a valid value.
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
    """A field has a value of the wrong type, or a required field has no value."""


class FieldCountError(MessageError):
    """A message has too few or too many fields; `value` is the list of its fields."""


class UnknownCodeError(MessageError):
    """A code is unknown, or has no message class."""


class UnknownFieldError(MTMountError, TypeError):
    """A message was given a parameter that its class does not have.

    :ivar message_name: name of the message class.
    :ivar field: the given name.
    :ivar value: the given value.
    :ivar expected: the names of the parameters of the class.
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
    """A message was given values without names. The error text shows the correct call.

    :ivar message_name: name of the message class.
    :ivar values: the values without names.
    :ivar names: the names of the message's own parameters, in order.
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
    """A received line is malformed. The original error is the ``__cause__``.

    :ivar line: the line as received, without its terminator (bytes).
    :ivar reason: description of the fault (str).
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
    """A peer sent more than `limit` bytes without an end of line.

    :ivar start: the first bytes of the line.
    :ivar limit: the longest line allowed, in bytes.
    """

    def __init__(self, start: bytes, limit: int) -> None:
        super().__init__(start, limit)
        self.start = start
        self.limit = limit

    def __str__(self) -> str:
        return f"a line of more than {self.limit} bytes; it begins with {_brief(self.start)}"


class HandshakeTooLongError(MTMountError, ValueError):
    """A peer sent `limit` bytes before the end of its TLS handshake.

    :ivar limit: the number of bytes that a handshake may take.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"it sent {self.limit} bytes, and it was not over: it may show too many certificates"


class TLSAnswersError(MTMountError, ValueError):
    """A peer requested more than `limit` bytes of TLS itself, after its handshake.

    These are the answers to renegotiations (RFC 5246, 7.4.1.1) and key updates (RFC 8446, 4.6.3).

    :ivar limit: the number of bytes that these answers may have on one connection.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"it requested more than {self.limit} bytes of TLS itself, by renegotiations or key updates"


class UnfinishedLineError(MTMountError, TimeoutError):
    """A peer began a line and did not end it in time.

    :ivar start: the first bytes of the line.
    :ivar seconds: the time allowed for a line.
    """

    def __init__(self, start: bytes, seconds: float) -> None:
        super().__init__(start)  # OSError takes the first of two arguments as errno
        self.start = start
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.start, self.seconds)

    def __str__(self) -> str:
        return f"a line was not ended within {self.seconds:g} s; it begins with {_brief(self.start)}"


class NotConnectedError(MTMountError, RuntimeError):
    """There is no connection to read from or to write to."""


class ConnectionLostError(MTMountError, ConnectionResetError):
    """The connection was lost while a caller waited for it."""


class PairClosedError(MTMountError, ConnectionAbortedError):
    """This side closed the connection while a caller waited for it."""


class PeerRefusedError(MTMountError, ConnectionRefusedError):
    """A connection was made but is unusable. Another attempt would fail in the same way.

    :ivar reason: description of the fault.
    :ivar cause: kind of the fault: ``"untrusted"`` (the far end's certificate has expired, or its authority
        is not trusted here), ``"other name"`` (the certificate is for another host), ``"plain"`` (the far end
        does not speak TLS), ``"encrypted"`` (the far end speaks only TLS), ``"no certificate"`` (the far end
        requires a certificate), ``"certificate"`` (the far end refuses the certificate of this side) or
        ``"http"`` (the far end speaks HTTP).
    """

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(reason)  # OSError takes the first of two arguments as errno
        self.reason = reason
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.cause)

    def __str__(self) -> str:
        return self.reason


class WebError(MTMountError, OSError):
    """The daemon does not answer over HTTP. The error text gives the reason and the remedy."""


class ConnectTimeoutError(MTMountError, TimeoutError):
    """A pair was not connected in time.

    :ivar seconds: the time allowed.
    :ivar reason: the missing part and the remedy, in words.
    """

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)  # OSError takes the first of two arguments as errno
        self.seconds = seconds
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.seconds, self.reason)

    def __str__(self) -> str:
        return f"not connected within {self.seconds:g} s: {self.reason}"


class ListenError(MTMountError, OSError):
    """The server can't listen.

    :ivar host: host to listen on.
    :ivar port: port to listen on.
    :ivar reason: the system's reason.
    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(reason)  # OSError takes the first of two or three arguments as errno
        self.host = host
        self.port = port
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.host, self.port, self.reason)

    def __str__(self) -> str:
        text = f"can't listen on {host_and_port(self.host or '*', self.port)}: {self.reason}"
        return f"{text}; {TAKEN}" if self.reason == os.strerror(errno.EADDRINUSE) else text


TAKEN = "another program has this port, perhaps another commander: end that one, or use another port"
"""Part of an error text about a port in use: the cause and the remedy."""


class BacklogError(MTMountError, RuntimeError):
    """The peer reads too slowly: the backlog is full, and this write was not sent.

    :ivar limit: the largest backlog, in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"not sent: the peer does not read, and its backlog would exceed {self.limit} bytes"


class TaiUnavailableError(MTMountError, RuntimeError):
    """Neither the kernel nor a leap-second table provides TAI."""


class ConfigError(MTMountError, ValueError):
    """A configuration is invalid.

    :ivar where: source of the configuration, such as the file's name.
    :ivar problems: one line for each problem.
    """

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        super().__init__(where, problems)
        self.where = where
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(f"{self.where}: {problem}" for problem in self.problems)


class JournalError(MTMountError, OSError):
    """The journal can't be read, or its reading can't continue. The error text is for a person."""


class NotAJournalError(JournalError):
    """The file is an intact database, but not a journal that this version can use."""


class RecordingError(MTMountError, OSError):
    """A recording can't be read. The error text is one line that names the file and the damaged record."""


class EngineUnreachable(MTMountError, ConnectionError):
    """The broker does not answer, or the connection was lost before the answer. The outcome of the call is
    unknown: the broker may have stored a message or not.
    """


class EngineFull(MTMountError, OSError):
    """The broker has no room for a message, and did not store it. The error text has the broker's reason."""


class EngineRefused(MTMountError, PermissionError):
    """The broker refuses a call, and did nothing. The error text names the missing right or stream."""


class CommandError(MTMountError, RuntimeError):
    """A command ended without success.

    :ivar command: the command that was sent.
    :ivar explanation: the mount's explanation; this package's own words if the mount gave none.
    """

    def __init__(self, command: Any, explanation: str) -> None:
        super().__init__(command, explanation)
        self.command = command
        self.explanation = explanation

    def __str__(self) -> str:
        return f"{type(self.command).__name__} {self.command.sequence_id}: {self.explanation}"


class CommandNotSent(CommandError):
    """The command never left this side: there was no connection, or the backlog was full."""


class CommandRefused(CommandError):
    """The mount answered NoAck instead of Ack: it did not start the command."""


class CommandFailed(CommandError):
    """The mount answered NoAck after Ack: it started the command and could not finish it."""


class CommandSuperseded(CommandError):
    """The mount answered NoAck after Ack because a later command replaced this one."""


class CommandTimedOut(CommandError, TimeoutError):
    """No Ack came in time; or the command did not end within the time that the Ack announced, plus the
    protocol's margin."""


class CommandOutcomeUnknown(CommandError, ConnectionResetError):
    """The connection was lost before the command ended: the mount may have carried it out or not."""


def _brief(value: Any, longest: int = 100) -> str:
    if isinstance(value, list | tuple) and len(value) > longest:  # a line may have 64,000 fields
        return f"{repr(value[:longest])[:longest]}... ({len(value)} values)"
    try:
        text = repr(value)
    except Exception:  # for example an int of 5000 digits: the error must still have a text
        text = f"a value of type {type(value).__name__} that can't be shown"
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"
