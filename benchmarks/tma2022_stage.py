"""The processes around a bridge with a tma2022 mount: ``python -m benchmarks.tma2022_stage PART ...``.

``daemon KIND MOUNT_PORT TELEMETRY_PORT REPLY_PORT [PATH]``
    the bridge, or what it is compared with; see `KINDS`. It prints its ports as JSON (see `Ports`).
    REPLY_PORT is that of a commander of tma2020; 0 if there is none. The daemon writes a profile to PATH.
``mount``
    answers commands. It prints its port.
``source``
    sends all topics of telemetry at their periods, after the order ``on`` and until ``off``. It prints its
    port, and the number of bytes that it sends in a second.
``readers PORT``
    reads telemetry. The order ``read N`` opens so many more connections. After each order it prints the
    number of bytes that came since the last one; the order ``report`` has no other effect.
"""

from __future__ import annotations

import cProfile
import json
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.task import Clock

from mtmount_twisted.dialects.tma2022.commands import CommandDict
from mtmount_twisted.dialects.tma2022.enums import CommandCode, ReplyId
from mtmount_twisted.dialects.tma2022.framing import TERMINATOR
from mtmount_twisted.testing import HOST

from .bridge_daemon import BACKLOG, Copying, Ports
from .bridge_stage import Child, Daemon
from .stacks import one_core, raw_socket

KINDS = ("bridge", "relay")
"""The bridge; and a relay, which copies bytes between two connections."""

HEADER = b'{"id": %d, "timestamp": 1758006630.0012703, "parameters": {"commander": %b, "sequenceId": %b'
ACK = HEADER + b', "timeout": 0.1}}' + TERMINATOR
END = HEADER + b"}}" + TERMINATOR
ACK_ONLY = {int(code) for code, command in CommandDict.items() if command.ack_only}

TICK = 0.05


# The processes


class Relay:
    """Copy bytes between one commander and the mount."""

    def __init__(self, reactor: Any, mount_port: int) -> None:
        to_commander: set[Any] = set()
        to_mount: set[Any] = set()
        for factory, joins, others in (
            (ClientFactory(), to_mount, to_commander),
            (Factory(), to_commander, to_mount),
        ):
            made: Any = factory
            made.noisy = False
            made.buildProtocol = lambda address, joins=joins, others=others: Copying(joins, others)
            if isinstance(factory, ClientFactory):
                reactor.connectTCP(HOST, mount_port, factory)
            else:
                commands = reactor.listenTCP(0, factory, BACKLOG, HOST).getHost().port
        self.ports = Ports(commands=commands, replies=0, clients=0)


class Bridged:
    """The package's bridge, with a pair and a port for readers of telemetry."""

    def __init__(self, reactor: Any, mount_port: int, telemetry_port: int, reply_port: int) -> None:
        from mtmount_twisted.app.bridge_service import BridgeService
        from mtmount_twisted.config.loading import Config
        from mtmount_twisted.config.settings import Controller, PairCommander, TelemetryReaders

        controller = Controller(
            host=HOST, command_port=mount_port, dialect="tma2022", telemetry_port=telemetry_port
        )
        if reply_port:
            pair = PairCommander(name="csc", command_port=0, reply_port=reply_port, dialect="tma2020")
        else:
            pair = PairCommander(name="csc", command_port=0)
        readers = TelemetryReaders(name="readers", endpoint=f"tcp:0:interface={HOST}:backlog={BACKLOG}")
        config = Config(controller=controller, pairs=(pair,), telemetry=(readers,))
        service = BridgeService(config, logging.getLogger("benchmarks"), reactor=reactor)
        service.startService()
        clients = service.ports[0].getHost().port  # type: ignore[attr-defined]
        self.ports = Ports(commands=service.pairs[0].server_port, replies=0, clients=clients)


def daemon(kind: str, mount: str, telemetry: str, reply_port: str, path: str = "") -> None:
    """The process between the mount and its commander."""
    from twisted.internet import reactor

    between: Relay | Bridged
    if kind == "relay":
        between = Relay(reactor, int(mount))
    else:
        between = Bridged(reactor, int(mount), int(telemetry), int(reply_port))
    print(json.dumps(between.ports), flush=True)
    run: Any = reactor.run  # type: ignore[attr-defined]
    if not path:
        run()
        return
    profile = cProfile.Profile()
    profile.runcall(run)
    profile.dump_stats(path)


def mount() -> None:
    """Answer each command: Acks are ready but for the header, and each chunk is whole lines."""
    listening, port = raw_socket()
    print(port, flush=True)
    with listening, listening.accept()[0] as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(65536):
            for line in data.split(TERMINATOR)[:-1]:
                sequence_id, code, source, _ = line.split(b"\n", 3)
                if int(code) == CommandCode.HEARTBEAT:
                    continue
                connection.sendall(ACK % (ReplyId.CMD_ACKNOWLEDGED, source, sequence_id))
                if int(code) not in ACK_ONLY:
                    connection.sendall(END % (ReplyId.CMD_SUCCEEDED, source, sequence_id))


def topics() -> dict[bytes, int]:
    """A line of each topic with its terminator, and the topic's period in ticks."""
    from mtmount_twisted.simulator.tma2022.mount import SimulatedMount
    from mtmount_twisted.simulator.tma2022.telemetry import TICKS, Telemetry

    simulated = SimulatedMount(Clock(), lambda reply: None, ready=True)
    telemetry = Telemetry(simulated, noise=1.0)
    return {telemetry.measure(topic).encode(): ticks for topic, ticks in TICKS.items()}


def source() -> None:
    """Send the topics to the one reader, the bridge."""
    lines = topics()
    listening, port = raw_socket()
    a_second = sum(len(line) / ticks for line, ticks in lines.items()) / TICK
    print(json.dumps({"port": port, "a_second": a_second}), flush=True)
    with listening, listening.accept()[0] as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tick, due, sends = 0, time.monotonic(), False
        while True:
            if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
                order = os.read(0, 100)
                if not order:
                    return
                sends = order == b"on\n"
            if due <= time.monotonic():
                tick, due = tick + 1, due + TICK
                if sends:
                    connection.sendall(b"".join(line for line, ticks in lines.items() if tick % ticks == 0))


def readers(port: str) -> None:
    """Read telemetry on many connections."""
    epoll = select.epoll()
    epoll.register(0, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    received = 0
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor:
                received += len(connections[descriptor].recv(2**16))
                continue
            order = os.read(0, 100).split()
            if not order:
                return
            if order[0] == b"read":
                for _ in range(int(order[1])):
                    connection = socket.create_connection((HOST, int(port)))
                    connections[connection.fileno()] = connection
                    epoll.register(connection.fileno(), select.EPOLLIN)
            print(received, flush=True)
            received = 0


# What starts them


class Tma2022Daemon(Daemon):
    """The process of `daemon`."""

    def __init__(self, kind: str, mount_port: int, telemetry_port: int, reply_port: int, path: str) -> None:
        Child.__init__(self, "tma2022_stage", "daemon", kind, mount_port, telemetry_port, reply_port, path)
        self.ports: Ports = self.answer()


class Stage(ExitStack):
    """A daemon and a mount on this process's core, and a source of telemetry and its readers elsewhere.

    :param kind: one of `KINDS`.
    :param reply_port: the port for replies of a commander of tma2020; 0 for a commander of tma2022.
    :param path: where ``cProfile`` writes; empty for no profile.
    """

    def __init__(self, kind: str, reply_port: int = 0, path: str = "") -> None:
        super().__init__()
        with one_core(others=True):
            self._source = self.enter_context(Child("tma2022_stage", "source"))
            told = self._source.answer()
        self._a_second: float = told["a_second"]
        with one_core():
            mount_port = self.enter_context(Child("tma2022_stage", "mount")).answer()
            self.daemon = self.enter_context(Tma2022Daemon(kind, mount_port, told["port"], reply_port, path))
        self._readers: Child | None = None
        self._count = 0

    def read(self, count: int) -> None:
        """Connect so many readers of telemetry."""
        with one_core(others=True):
            self._readers = self.enter_context(
                Child("tma2022_stage", "readers", self.daemon.ports["clients"])
            )
        self._readers.tell(f"read {count}")
        self._readers.answer()
        self._count = count

    def send(self, what: str) -> None:
        """Begin (``on``) or end (``off``) the telemetry. Return when the readers' data is counted anew."""
        self._source.tell(what)
        time.sleep(0.3)
        self.received()

    def received(self) -> int:
        """Return the number of bytes that all readers received since the last call."""
        assert self._readers is not None
        self._readers.tell("report")
        received: int = self._readers.answer()
        return received

    def share_received(self, received: int, seconds: float) -> float:
        """Return a number of received bytes in % of what the source sent to all readers in that time."""
        return received / (self._a_second * self._count * seconds) * 100


def main() -> None:
    logging.disable()
    parts: dict[str, Callable[..., None]] = {part.__name__: part for part in (daemon, mount, source, readers)}
    parts[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
