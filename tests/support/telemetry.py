"""A telemetry server in memory, as the test plays it, and lines of telemetry."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol

from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor

TAI = 1.8e9
"""TAI when a test begins."""

END = b"\r\n"


def topic_line(topic: int, number: float = 0, timestamp: float = TAI, size: int = 0) -> bytes:
    """A line of a topic, without its terminator.

    :param number: a quantity of its own, by which a test knows the line.
    :param size: length of a text that makes the line longer.
    """
    return b'{"topicID":%d,"timestamp":%r,"number":%g,"text":"%b"}' % (topic, timestamp, number, b"x" * size)


class TelemetryServer(Factory[Protocol]):
    """A telemetry server in memory, and the clients that have connected to it.

    :ivar port: the port on which it listens.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self.far_ends: list[FarProtocol] = []
        self.reactor = reactor
        self.listening: Any = reactor.listenTCP(0, self, interface=HOST)
        self.port: int = self.listening.getHost().port

    def buildProtocol(self, addr: Any) -> Protocol:
        """One more client."""
        self.far_ends.append(FarProtocol())
        return self.far_ends[-1]

    def send(self, *lines: bytes) -> None:
        """Send lines to the last client, in one piece."""
        self.send_bytes(b"".join(line + END for line in lines))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes to the last client."""
        self.far_ends[-1].transport.write(data)
        self.reactor.advance(0)
