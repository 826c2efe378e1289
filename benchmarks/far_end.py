"""The program of the second process: ``python -m benchmarks.far_end KIND PORT COUNT``.

It connects to PORT, prints where it listens itself, and sends COUNT Acks for each message that
comes. With COUNT 1 each Ack is made anew and answers that message, as a mount's does. The kinds
``mount`` and ``raw mount`` also send Done to a commander that asks for command, as the bridge does.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, task
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.protocols.basic import LineReceiver

from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.replies import AckReply, DoneReply
from mtmount_twisted.testing import HOST

from .simple_stack import encode
from .stacks import ACK, ACK_LINE, pair_of, raw_socket


async def ours(kind: str, port: int, count: int) -> None:
    pair = pair_of(kind, "mount", False)
    print(await pair.wait_server_port(), flush=True)
    await pair.connect(port)
    line = ACK_LINE.removesuffix(TERMINATOR)
    async for command in pair:
        if kind.startswith("lines"):
            await pair.write(line)
        elif count == 1:
            await pair.write(AckReply(sequence_id=command.sequence_id, timeout_ms=5000))
        else:
            for _ in range(count):
                await pair.write(ACK)


async def mount(kind: str, port: int, count: int) -> None:
    pair = pair_of("ours", kind, False)
    print(await pair.wait_server_port(), flush=True)
    await pair.connect(port)
    async for command in pair:
        await pair.write(AckReply(sequence_id=command.sequence_id, timeout_ms=5000))
        if command.command_code == CommandCode.ASK_FOR_COMMAND:
            await pair.write(DoneReply(sequence_id=command.sequence_id))


def raw_mount(port: int) -> None:
    """As quick as can be: Acks are ready but for the id, and each chunk is whole lines."""
    _, ack = ACK_LINE.split(b"\n12345\n")
    listening, own_port = raw_socket()
    with listening, socket.create_connection((HOST, port)) as replies:
        replies.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(own_port, flush=True)
        with listening.accept()[0] as commands:
            while data := commands.recv(65536):
                for line in data.split(TERMINATOR)[:-1]:
                    sequence_id, code, _ = line.split(b"\n", 2)
                    replies.sendall(b"0\n%b\n%b" % (sequence_id, ack))
                    if int(code) == CommandCode.ASK_FOR_COMMAND:
                        replies.sendall(DoneReply(sequence_id=int(sequence_id)).encode())


class Simple(LineReceiver):
    delimiter = TERMINATOR
    count: int

    def lineReceived(self, line: bytes) -> None:
        for _ in range(self.count):
            self.transport.write(encode(ACK))


async def connect(reactor: Any, protocol: Callable[[], Protocol], port: int) -> None:
    factory: Any = ClientFactory.forProtocol(protocol)
    factory.noisy = False
    reactor.connectTCP(HOST, port, factory)
    print(0, flush=True)
    await defer.Deferred()


class Bare(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(ACK_LINE)


def raw(port: int) -> None:
    with socket.create_connection((HOST, port)) as connection:
        print(0, flush=True)
        while connection.recv(65536):
            connection.sendall(ACK_LINE)


def main() -> None:
    kind, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    logging.disable()
    blocking = {"raw": raw, "raw mount": raw_mount}
    if kind in blocking:
        blocking[kind](port)
        return
    Simple.count = count
    protocols: dict[str, Callable[[], Protocol]] = {"simple": Simple, "bare": Bare}

    async def run(reactor: Any) -> None:
        if kind in protocols:
            await connect(reactor, protocols[kind], port)
        else:
            await (mount if kind == "mount" else ours)(kind, port, count)

    task.react(lambda reactor: defer.Deferred.fromCoroutine(run(reactor)))


if __name__ == "__main__":
    main()
