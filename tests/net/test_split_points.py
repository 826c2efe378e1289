"""However a stream is cut into chunks, the same comes out of it.

A stream of 200 messages, with some lines that are none, is cut in two at every point, and into single bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mtmount_twisted.bridge.lease import Lease
from mtmount_twisted.config.settings import ClientLimits, PortCommanders
from mtmount_twisted.dialects.tma2020.codec import decode_command, decode_reply
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.errors import LineError
from mtmount_twisted.frontends.tcp.commanders import ReadTurns, Shared
from mtmount_twisted.frontends.tcp.ports import PortFactory
from mtmount_twisted.interfaces import ILineReaderOwner
from mtmount_twisted.net.protocol import LineReader
from tests.support.strategies import any_message, line_of, mutated_lines

MESSAGES = 200
PORT_MESSAGES = 20  # a client of a port takes longer, and each split point has all of them
EXAMPLES = 6
LOG = logging.getLogger("mtmount_twisted.tests.split_points")
LOG.propagate = False
LOG.addHandler(logging.NullHandler())


@st.composite
def streams(draw: st.DrawFn, messages: int = MESSAGES) -> bytes:
    """The bytes of so many lines: messages, some of them spoilt, and half terminators and empty lines."""
    texts = st.sampled_from([b"", b"\r", b"\n", b"x\rx", b"x\n", b"\r\r", b"\xff\xfe", b"1\n2101"])
    few = draw(st.lists(any_message().map(line_of) | mutated_lines() | texts, min_size=12, max_size=24))
    whole = [line for line in few if TERMINATOR not in line]
    lines = draw(st.lists(st.sampled_from(whole or [b""]), min_size=messages, max_size=messages))
    return b"".join(line[:300] + TERMINATOR for line in lines)


@implementer(ILineReaderOwner)
class Owner:
    """Notes what a reader tells it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.ends: list[str] = []

    def reader_connected(self, reader: Any) -> None:
        """As in `ILineReaderOwner`."""

    def lines_received(self, lines: list[bytes]) -> None:
        """As in `ILineReaderOwner`."""
        self.lines += lines

    def reader_lost(self, reader: Any, reason: Any) -> None:
        """As in `ILineReaderOwner`."""
        self.ends.append(reason.getErrorMessage())


def read(*chunks: bytes, max_length: int = 2**16) -> tuple[list[bytes], list[str], bool, bytes]:
    """The lines that a reader makes of some chunks, how it ended, if it closed, and what it has left."""
    owner, transport = Owner(), StringTransport()
    reader = LineReader(owner, TERMINATOR, max_length)
    reader.makeConnection(transport)
    for chunk in chunks:
        reader.dataReceived(chunk)
    if transport.disconnecting or transport.disconnected:
        reader.connectionLost()
    return owner.lines, owner.ends, transport.disconnecting, bytes(reader.unfinished)


class Bridge:
    """Notes what a client of the bridge tells it."""

    dialect = DIALECT
    stops = 0

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.lease = Lease()

    def spoken_by(self, client: Any) -> Any:
        """It speaks as the controller does."""
        return self.dialect

    def client_connected(self, client: Any) -> None:
        """It came, and has command."""
        self.lease.grant(client)

    def client_lost(self, client: Any, why: str) -> None:
        """It left."""

    def commanded(self, client: Any, line: bytes) -> None:
        """It sent a command."""
        self.commands.append(line)

    def all_commanded(self, client: Any, lines: list[bytes]) -> None:
        """It said something."""
        self.commands += lines

    def all_read(self, client: Any, commands: Iterable[tuple[bytes, Any]]) -> None:
        """It sent commands."""
        self.commands += [line for line, _ in commands]


def command(*chunks: bytes) -> list[bytes]:
    """What a client of a port tells the bridge of some chunks."""
    bridge: Any = Bridge()
    settings = PortCommanders(name="desk", endpoint="tcp:0", role="commander")
    clock: Any = Clock()
    factory = PortFactory(settings, Shared(bridge, ClientLimits(), ReadTurns(clock), LOG, clock))
    reader = factory.buildProtocol(None)
    reader.makeConnection(StringTransport())
    for chunk in chunks:
        reader.dataReceived(chunk)
    commands: list[bytes] = bridge.commands
    return commands


def single_bytes(stream: bytes) -> list[bytes]:
    """The bytes of a stream as chunks."""
    return [stream[at : at + 1] for at in range(len(stream))]


def meaning(line: bytes, decode: Any) -> Any:
    """What a line is: a message, or why it is none."""
    try:
        return decode(line)
    except LineError as error:
        return str(error)


class SplitPointTests(SynchronousTestCase):
    """The same results, whatever the chunks."""

    @settings(max_examples=EXAMPLES)
    @given(streams())
    def test_every_split_point(self, stream: bytes) -> None:
        """A stream that is cut in two anywhere gives the same lines as in one piece."""
        whole = read(stream)
        self.assertEqual(whole, (stream.split(TERMINATOR)[:-1], [], False, b""))
        self.assertEqual(len(whole[0]), MESSAGES)
        for at in range(len(stream) + 1):
            self.assertEqual(read(stream[:at], stream[at:]), whole, at)
        self.assertEqual(read(*single_bytes(stream)), whole)

    @settings(max_examples=EXAMPLES)
    @given(streams())
    def test_messages(self, stream: bytes) -> None:
        """Each line is the same message, or is refused for the same reason, when it came byte by byte."""
        lines, *_ = read(*single_bytes(stream))
        for line, expected in zip(lines, stream.split(TERMINATOR), strict=False):
            for decode in (decode_command, decode_reply):
                self.assertEqual(meaning(line, decode), meaning(expected, decode))

    @settings(max_examples=2 * EXAMPLES)
    @given(streams(PORT_MESSAGES))
    def test_bridge(self, stream: bytes) -> None:
        """A client of the bridge has the same commands taken, wherever its stream is cut."""
        whole = command(stream)
        self.assertEqual(len(whole), PORT_MESSAGES)
        for at in range(len(stream) + 1):
            self.assertEqual(command(stream[:at], stream[at:]), whole, at)
        self.assertEqual(command(*single_bytes(stream)), whole)

    @settings(max_examples=EXAMPLES)
    @given(streams(), st.integers(0, MESSAGES - 1), st.integers(1, 30))
    def test_overlong_line(self, stream: bytes, which: int, more: int) -> None:
        """A line over the limit ends it at the same line with the same words, wherever the stream is cut."""
        lines = stream.split(TERMINATOR)
        lines[which] = b"y" * (300 + more)
        stream = TERMINATOR.join(lines)
        taken, ends, closing, left = read(stream, max_length=300)
        self.assertEqual((taken, closing, left), (lines[:which], True, b""))
        start = sum(len(line) + 2 for line in lines[:which])
        for at in range(max(0, start - 5), start + 300 + more + 5):
            self.assertEqual(read(stream[:at], stream[at:], max_length=300), (taken, ends, closing, left), at)
        self.assertEqual(read(*single_bytes(stream), max_length=300), (taken, ends, closing, left))

    @settings(max_examples=50)
    @given(streams(), st.lists(st.integers(0, 2**16), max_size=50))
    def test_many_cuts(self, stream: bytes, cuts: list[int]) -> None:
        """So does any number of cuts."""
        points = sorted(cut % (len(stream) + 1) for cut in cuts)
        chunks = [stream[start:end] for start, end in zip([0, *points], [*points, None], strict=True)]
        self.assertEqual(read(*chunks), read(stream))
