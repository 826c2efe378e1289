"""What the tests of programs that use this package need: a network in memory, a far end, a bad network.

`MemoryReactor` is a ``Clock`` with TCP inside it: whatever takes a ``reactor`` runs on it with
no sockets and no waiting. `connected_pair` gives a real `Communicator` on such a reactor, and
the `FarEnd` that it is connected to, which says what the test tells it to::

    communicator, far_end = connected_pair()
    sent = Mount(communicator).send(AzimuthAxisMove(position=10))
    [command] = far_end.written()
    far_end.feed(AckReply(sequence_id=command.sequence_id, timeout_ms=5000))

Only the network is pretended, so the double can't drift from the real thing; the tests of this
package run one set of test bodies on both.

`ChaosProxy` stands between two ends of any connection, in memory or on 127.0.0.1, and does to it what
networks do: see `Conditions`. `ChaosPair` is one for each connection of a pair.

Next to read: ``docs/howto/testing.rst``; `memory`, `far_end`, `chaos`, `flow`.
"""

from __future__ import annotations

from .chaos import ChaosPair, ChaosProxy
from .far_end import FarEnd, FarProtocol, connected_pair
from .flow import Conditions, Lane
from .memory import BUFFER_SIZE, HOST, MemoryConnector, MemoryPort, MemoryReactor, MemoryTransport

__all__ = [
    "BUFFER_SIZE",
    "HOST",
    "ChaosPair",
    "ChaosProxy",
    "Conditions",
    "FarEnd",
    "FarProtocol",
    "Lane",
    "MemoryConnector",
    "MemoryPort",
    "MemoryReactor",
    "MemoryTransport",
    "connected_pair",
]
