"""A Twisted library for talking to a telescope mount.

* `Communicator` reads and writes messages over the mount's pair of connections, and `DuplexCommunicator` over
  one two-way connection.
* `Mount` sends commands and follows each one to its Ack, its Done or its error.
* `TelemetryClient` reads the telemetry of a tma2022 mount.
* The messages are in `commands` and `replies`, and all errors in `errors`. The enumerations and the ports are
  here and in `enums`.
* `current_tai` returns the time for the track commands; `tai_source` returns the name of its source.
* `testing` has test doubles for programs that use this package.

``docs/explanation/architecture.rst`` describes the folders and their dependencies. ``docs/howto/porting.rst``
is for programs that were written for ``lsst.ts.MTMount``. Next to read: `mount`; ``client.mount``, the code
of `Mount`.
"""

from typing import TYPE_CHECKING, Any

from .client.communicator import ClientServerPair, Communicator
from .client.duplex import DuplexCommunicator
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

if TYPE_CHECKING:
    from .client.telemetry import TelemetryClient

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
    "DuplexCommunicator",
    "FieldInfo",
    "Mount",
    "ReplyCode",
    "SentCommand",
    "Source",
    "SubsystemId",
    "TelemetryClient",
    "__version__",
    "current_tai",
    "send_to_twisted",
    "tai_source",
]


def __getattr__(name: str) -> Any:
    """Import `TelemetryClient` at its first use: its topics take a tenth of a second."""
    if name != "TelemetryClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .client.telemetry import TelemetryClient

    return TelemetryClient
