"""Test doubles for programs that use this package: a network in memory, a far end, and a bad network.

`MemoryReactor` is a ``Clock`` with TCP in memory. Code with a ``reactor`` parameter runs on it without
sockets and without waiting. `connected_pair` returns a real `Communicator` on such a reactor, and the
`FarEnd` that it is connected to. The test tells the far end which messages to send::

    communicator, far_end = connected_pair()
    sent = Mount(communicator).send(AzimuthAxisMove(position=10))
    [command] = far_end.written()
    far_end.feed(AckReply(sequence_id=command.sequence_id, timeout_ms=5000))

`connected_duplex` returns the same for a tma2022 mount: a real `DuplexCommunicator` and its `DuplexFarEnd`.

Only the network is simulated, so the double behaves like the real thing. This package runs one set of tests
on both.

`ChaosProxy` stands between the two ends of a connection, in memory or on 127.0.0.1, and imposes network
faults on it: see `Conditions`. `ChaosPair` has one proxy for each connection of a pair.

Next to read: ``docs/howto/testing.rst``; `memory`, `far_end`, `chaos`, `flow`.
"""

from __future__ import annotations

from .chaos import ChaosPair, ChaosProxy
from .far_end import DuplexFarEnd, FarEnd, FarProtocol, connected_duplex, connected_pair
from .flow import Conditions, Lane
from .memory import BUFFER_SIZE, HOST, MemoryConnector, MemoryPort, MemoryReactor, MemoryTransport

__all__ = [
    "BUFFER_SIZE",
    "HOST",
    "ChaosPair",
    "ChaosProxy",
    "Conditions",
    "DuplexFarEnd",
    "FarEnd",
    "FarProtocol",
    "Lane",
    "MemoryConnector",
    "MemoryPort",
    "MemoryReactor",
    "MemoryTransport",
    "connected_duplex",
    "connected_pair",
]
