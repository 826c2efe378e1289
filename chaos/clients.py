"""Commanders and observers in this process. The ledger has their commands and the replies to them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.dialects.dialect import TelemetryFormat, Topology
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.errors import MTMountError
from mtmount_twisted.testing import HOST, ChaosPair, ChaosProxy

from .ledger import Entry, Ledger
from .waits import until

LOG = logging.getLogger("chaos")

TERMINATOR = b"\r\n"
"""The end of a line in each protocol, and of one of telemetry."""


class Observer(Protocol):
    """A client of a port that only counts the received data.

    :ivar received: bytes.
    :ivar lines: how many.
    :ivar is_open: True while it is connected.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = self.lines = 0
        self.is_open = False

    def connectionMade(self) -> None:
        self.is_open = True

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        self.lines += data.count(TERMINATOR)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False

    async def closed(self, reactor: Any) -> None:
        """Wait until its connection is gone."""
        await until(reactor, lambda: not self.is_open, "its connection is closed")


class Reader(Observer):
    """A reader of telemetry.

    :ivar last: the last line of each topic.
    :ivar others: the lines that are no telemetry.
    """

    def __init__(self, telemetry: TelemetryFormat) -> None:
        super().__init__()
        self.last: dict[int, bytes] = {}
        self.others: list[bytes] = []
        self._telemetry = telemetry
        self._unfinished = b""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        *lines, self._unfinished = (self._unfinished + data).split(TERMINATOR)
        for line in lines:
            try:
                self.last[self._telemetry.read_header(line).topic_id] = line
            except ValueError:
                self.others.append(line)


class Desk(Observer):
    """A commander with one connection to a port."""

    source = Source.EUI

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._mine: list[Entry] = []
        self._waiting: dict[int, Deferred[None]] = {}
        self._unfinished = b""

    def line(self, kind: type[Any], **parameters: Any) -> tuple[Entry, bytes]:
        """Enter a command in the ledger. Return its entry and its line, which the caller sends."""
        entry, command = self._ledger.enter(kind, source=self.source, **parameters)
        self._mine.append(entry)
        entry.orphan = not self.is_open
        return entry, command.encode()

    def send(self, kind: type[Any], **parameters: Any) -> Entry:
        """Send a command."""
        entry, line = self.line(kind, **parameters)
        self.transport.write(line)
        return entry

    def beat(self) -> None:
        """Send a heartbeat, which has no answer and is in no ledger."""
        setting = self._ledger.setting
        self.transport.write(setting.commands.Heartbeat(source=setting.source_type(self.source)).encode())

    def send_and_wait(self, kind: type[Any], **parameters: Any) -> Deferred[None]:
        """Send a command; fires at once when its end comes, however it ends."""
        entry = self.send(kind, **parameters)
        waiting = self._waiting[entry.id] = Deferred()
        return waiting

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        *lines, self._unfinished = (self._unfinished + data).split(TERMINATOR)
        for line in lines:
            reply = self._ledger.setting.commanders.decode_reply(line)
            self._ledger.heard(reply)
            number = getattr(reply, "sequence_id", 0)
            if number in self._waiting and self._ledger.entries[number].ends:
                self._waiting.pop(number).callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.errback(reason)
        for entry in self._mine:
            entry.orphan = not entry.ends
        super().connectionLost(reason)


class Csc:
    """A commander with a pair, as its protocol has it, behind a proxy for each connection.

    :ivar network: the proxies.
    :ivar pair: its end of the pair.
    """

    network: ChaosPair | ChaosProxy
    pair: Communicator

    def __init__(self, reactor: Any, ledger: Ledger, command_port: int) -> None:
        self._ledger = ledger
        self._mine: list[Entry] = []
        dialect = ledger.setting.commanders
        if dialect.topology is Topology.PAIR:
            self.network = both = ChaosPair(reactor, command_port)
            self.pair = Communicator("csc", HOST, both.commands.port, HOST, 0, LOG, True, reactor=reactor)
        else:
            self.network = one = ChaosProxy(reactor, command_port)
            self.pair = DuplexCommunicator("csc", HOST, one.port, LOG, dialect=dialect, reactor=reactor)
        self.pair.connect_callback = self._changed
        Deferred.fromCoroutine(self.pair.each(self._heard, lambda error: None)).addErrback(self._closed)

    async def listen(self) -> None:
        """Until the bridge can connect back, if it does so."""
        if isinstance(self.network, ChaosPair):
            self.network.replies.target_port = await self.pair.wait_server_port()

    @property
    def commands(self) -> ChaosProxy:
        """The proxy through which the commands go."""
        return self.network.commands if isinstance(self.network, ChaosPair) else self.network

    @property
    def replies(self) -> ChaosProxy:
        """The proxy through which the replies come; the same one if there is one connection."""
        return self.network.replies if isinstance(self.network, ChaosPair) else self.network

    async def break_off(self, reactor: Any, which: Literal["commands", "replies"]) -> None:
        """Reset one of its connections, and wait until both were made anew."""
        proxies = self.commands, self.replies
        before = [proxy.accepted for proxy in proxies]

        def is_back() -> bool:
            anew = all(proxy.accepted > count for proxy, count in zip(proxies, before, strict=True))
            return anew and self.pair.connected

        getattr(self, which).reset()
        await until(reactor, is_back, "the pair is back")

    def _heard(self, reply: Any) -> None:
        self._ledger.heard(reply)

    def _changed(self, pair: Any) -> None:
        if not pair.connected:
            for entry in self._mine:
                entry.orphan = entry.orphan or not entry.ends

    def _closed(self, reason: Failure) -> None:
        reason.trap(MTMountError, OSError)

    def send(self, kind: type[Any], **parameters: Any) -> Entry:
        """Send a command; one that can't go out is an orphan."""
        entry, command = self._ledger.enter(kind, source=Source.CSC, **parameters)
        self._mine.append(entry)
        entry.orphan = not self.pair.connected
        self.pair.write(command).addErrback(self._unsent, entry)
        return entry

    def _unsent(self, reason: Failure, entry: Entry) -> None:
        reason.trap(MTMountError, OSError)
        entry.orphan = not entry.ends

    def forget(self) -> None:
        """Forget the commands that have ended."""
        self._mine = [entry for entry in self._mine if not entry.ends and not entry.orphan]

    async def close(self) -> None:
        """Close everything."""
        await self.pair.close()
        await self.network.stop()


P = TypeVar("P", bound=Protocol)


async def connect(reactor: Any, port: int, make: Callable[[], P]) -> P:
    """A protocol that is connected to a port of this machine."""
    made: P = await connectProtocol(TCP4ClientEndpoint(reactor, HOST, port, timeout=5), make())
    return made
