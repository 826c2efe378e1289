"""Pairs to measure: in memory, in one process over TCP, or with `far_end` in a second process."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, ServerFactory

from mtmount_twisted import ClientServerPair, Communicator
from mtmount_twisted.replies import AckReply
from mtmount_twisted.testing import HOST, FarEnd, MemoryReactor

from .by_hand import SENT
from .runner import ROOT

LOG = logging.getLogger("benchmarks")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False

ACK = AckReply(sequence_id=12345, timestamp=SENT, timeout_ms=5000)
"""The most frequent reply of a mount."""

ACK_LINE = ACK.encode()

UNBOUNDED = 10**9


def in_memory(kind: Callable[..., Any], *arguments: Any) -> Any:
    """A pair of a kind, connected, and the protocol to feed with bytes that shall have come for it."""
    pair = kind("ours", HOST, 0, HOST, 0, LOG, *arguments, connect=False, reactor=MemoryReactor(),
                max_unread=UNBOUNDED)  # fmt: skip
    far_end = FarEnd(pair)
    pair.client_port = far_end.port
    pair.connect()
    far_end.connect_server()
    return pair, pair.server_reader.dataReceived


async def in_one_process() -> tuple[Communicator, Communicator]:
    """A commander and a mount that are joined by TCP."""
    commander, mount = pair_of("ours", "commander", True), pair_of("ours", "mount", False)
    ports = [await pair.wait_server_port() for pair in (commander, mount)]
    connecting = [commander.connect(ports[1]), mount.connect(ports[0])]
    for connected in connecting:
        await connected
    return commander, mount


class Peer(AbstractContextManager["Peer"]):
    """A second process that runs `far_end`; it ends with this.

    :param kind: which stack it runs.
    :param port: where it connects to.
    :param count: how many messages it sends for each that comes.
    :ivar port: where it listens.
    """

    def __init__(self, kind: str, port: int, count: int) -> None:
        command = [sys.executable, "-m", "benchmarks.far_end", kind, str(port), str(count)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()


def pair_of(kind: str, name: str, read_replies: bool) -> Any:
    """A pair to be connected: kind "ours", or "lines" for no codec; "... at once" sends at once."""
    at_once = kind.endswith(" at once")
    if kind.startswith("ours"):
        return Communicator(name, HOST, 0, HOST, 0, LOG, read_replies, False, send_at_once=at_once)
    return ClientServerPair(name, HOST, 0, HOST, 0, LOG, False, send_at_once=at_once)


async def pair_with(kind: str, count: int) -> tuple[Any, Peer]:
    """A pair, and the other process that it is connected to."""
    pair = pair_of(kind, "commander", True)
    peer = Peer(kind, await pair.wait_server_port(), count)
    await pair.connect(peer.port)
    return pair, peer


async def accept(reactor: Any, protocol: Callable[[], Protocol], connect: Callable[[int], Any]) -> Any:
    """Listen, and connect a client. Return the listening port, the server's protocol and the client."""
    accepted: Deferred[Any] = Deferred()

    class Accepting(ServerFactory):
        noisy = False

        def buildProtocol(self, addr: object) -> Protocol:
            made = protocol()
            reactor.callLater(0, accepted.callback, made)
            return made

    port = reactor.listenTCP(0, Accepting(), interface=HOST)
    other = connect(port.getHost().port)
    return port, await accepted, other


class Sink(Protocol):
    """Protocol that drops all data."""


def quiet(protocol: Callable[[], Protocol]) -> Any:
    """A factory that logs nothing."""
    factory: Any = Factory.forProtocol(protocol)
    factory.noisy = False
    return factory


class one_core(AbstractContextManager[None]):
    """Keep this process, and each process that it starts from now on, on one core, if the system allows it.

    :param others: True for all cores but that one, if there are others.
    """

    def __init__(self, others: bool = False) -> None:
        self._others = others

    def __enter__(self) -> None:
        self._before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        if self._before:
            core = {max(self._before)}
            os.sched_setaffinity(0, (self._before - core or core) if self._others else core)

    def __exit__(self, *error: object) -> None:
        if self._before:
            os.sched_setaffinity(0, self._before)


async def drain(reactor: Any, turns: int = 3) -> None:
    """Run the reactor until the written data is sent and read."""
    for _ in range(turns):
        turn: Awaitable[None] = Deferred()
        reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
        await turn


def raw_socket() -> tuple[socket.socket, int]:
    """A plain socket that listens, and its port."""
    listening = socket.create_server((HOST, 0))
    return listening, listening.getsockname()[1]
