"""The protocol of the mount of 2022 and later, as ``protocol-tma2022.rst`` has it.

::

    from mtmount_twisted.dialects import tma2022

    tma2022.commands.AzimuthMove(sequence_id=7, position=10).encode()
    tma2022.decode_reply(b'{"id":3,"timestamp":1758006630.0,"parameters":{"sequenceId":7}}')

* `commands`, `replies` (events included), `telemetry`: one class for each message; `enums`.
* `decode_command`, `decode_reply`, `decode_telemetry`: a line, without its terminator, -> a message.
* `envelope`: headers, for a program that passes lines on.
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
