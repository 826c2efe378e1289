"""Talk to a telescope mount from Twisted.

* `Communicator` reads and writes messages over the mount's pair of connections.
* `Mount` sends commands and follows each to its Ack, its Done or its failure.
* The messages are in `commands` and `replies`, all errors in `errors`. The enumerations and the ports are
  here and in `enums`.
* `current_tai` is the time that the track commands are told in; `tai_source` says where from.
* `testing` holds doubles for the tests of programs that use this package.

``docs/explanation/architecture.rst`` says what is where, and what may know of what;
``docs/howto/porting.rst`` is for programs that were written to ``lsst.ts.MTMount``.
"""

from .client.communicator import ClientServerPair, Communicator
from .client.mount import Mount, SentCommand
from .dialects.tma2020.enums import (
    CSC_COMMAND_PORT,
    CSC_REPLY_PORT,
    EUI_COMMAND_PORT,
    EUI_REPLY_PORT,
    HHD_COMMAND_PORT,
    HHD_REPLY_PORT,
    CommandCode,
    Commander,
    ReplyCode,
    Source,
    SubsystemId,
)
from .net.logs import send_to_twisted
from .version import __version__
from .wire.messages import MAX_SEQUENCE_ID, BaseMessage, FieldInfo
from .wire.tai import current_tai, tai_source

__all__ = [
    "CSC_COMMAND_PORT",
    "CSC_REPLY_PORT",
    "EUI_COMMAND_PORT",
    "EUI_REPLY_PORT",
    "HHD_COMMAND_PORT",
    "HHD_REPLY_PORT",
    "MAX_SEQUENCE_ID",
    "BaseMessage",
    "ClientServerPair",
    "CommandCode",
    "Commander",
    "Communicator",
    "FieldInfo",
    "Mount",
    "ReplyCode",
    "SentCommand",
    "Source",
    "SubsystemId",
    "__version__",
    "current_tai",
    "send_to_twisted",
    "tai_source",
]
