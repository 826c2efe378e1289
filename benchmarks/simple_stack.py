"""The simple stack: `LineReceiver` as it is, a `DeferredQueue`, and the codec that loops.

A first version would look like this. It is correct and has all checks. It has no bound and no
back-pressure.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredQueue
from twisted.protocols.basic import LineReceiver

from mtmount_twisted.commands import CommandDict
from mtmount_twisted.dialects.tma2020 import framing
from mtmount_twisted.replies import Reply, ReplyDict
from mtmount_twisted.wire.fields import INT
from mtmount_twisted.wire.messages import BaseMessage

_read_by_loop: Any = BaseMessage.from_str_fields.__func__  # type: ignore[attr-defined]


def decode_reply(line: bytes) -> BaseMessage:
    """The reply that a line is."""
    fields = framing.split(line)
    return _read_by_loop(ReplyDict[INT.read(fields[0])], fields)


def decode_command(line: bytes) -> BaseMessage:
    """The command that a line is."""
    fields = framing.split(line)
    return _read_by_loop(CommandDict[INT.read(fields[1])], fields)


encode = BaseMessage.encode


class SimpleStack(LineReceiver):
    """Reads replies into `queue`."""

    delimiter = framing.TERMINATOR

    def __init__(self) -> None:
        self.queue: DeferredQueue[BaseMessage] = DeferredQueue()

    def lineReceived(self, line: bytes) -> None:
        self.queue.put(decode_reply(line))

    def write(self, message: Reply) -> None:
        self.transport.write(encode(message))
