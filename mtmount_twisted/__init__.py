"""Talk to a telescope mount from Twisted.

* `Communicator` reads and writes messages over the mount's pair of connections.
* `Mount` sends commands and follows each to its Ack, its Done or its failure.
* The messages are in `commands` and `replies`, their enumerations in `enums`, all errors in
  `errors`.
* `current_tai` is the time that the track commands are told in; `tai_source` says where from.
* `testing` holds doubles for the tests of programs that use this package.

``docs/architecture.rst`` says what is where, and what may know of what.
"""

from .commanding import Mount, SentCommand
from .communicator import ClientServerPair, Communicator
from .messages import BaseMessage
from .tai import current_tai, tai_source

__all__ = [
    "BaseMessage",
    "ClientServerPair",
    "Communicator",
    "Mount",
    "SentCommand",
    "current_tai",
    "tai_source",
]
