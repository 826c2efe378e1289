"""The protocol of the mount since 2022, as ``protocol-tma2022.rst`` describes it.

::

    from mtmount_twisted.dialects import tma2022

    tma2022.commands.AzimuthMove(sequence_id=7, position=10).encode()
    tma2022.decode_reply(b'{"id":3,"timestamp":1758006630.0,"parameters":{"sequenceId":7}}')

* `commands`, `replies` (events included) and `telemetry` have one class for each message; `enums` has the
  enumerations.
* `decode_command`, `decode_reply` and `decode_telemetry` return the message in a line without its terminator.
* `envelope` reads and rewrites headers, for a program that passes lines on.

Pure: no Twisted, no I/O. Next to read: `dialect`.
"""

from . import commands, enums, envelope, replies, telemetry
from .codec import decode_command, decode_reply, decode_telemetry
from .replies import UnknownReply
from .telemetry import UnknownTopic

__all__ = [
    "UnknownReply",
    "UnknownTopic",
    "commands",
    "decode_command",
    "decode_reply",
    "decode_telemetry",
    "enums",
    "envelope",
    "replies",
    "telemetry",
]
