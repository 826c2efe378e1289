"""Tests of `mtmount_twisted.client.communicator`: what only real sockets and asyncio's reactor show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from select import select
from socket import MSG_PEEK, SO_SNDBUF, SOL_SOCKET
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.commands import AzimuthAxisMove, Enable
from mtmount_twisted.errors import TAKEN
from mtmount_twisted.replies import DoneReply
from mtmount_twisted.testing import HOST
from tests.support.pairs import LOG, done
from tests.support.wires import SocketWire


class SocketTests(TestCase):
    """What only real sockets show."""

    timeout = 20

    async def wire(self, **options: Any) -> SocketWire:
        """A communicator on sockets."""
        wire = SocketWire(**options)
        await wire.started()
        self.addCleanup(lambda: Deferred.fromCoroutine(wire.stop()))
        return wire

    async def test_half_closed_peer(self) -> None:
        """A peer that sends its last message and its end of file is read, and then is a loss."""
        wire = await self.wire()
        read, lost = wire.communicator.read(), wire.communicator.read()
        wire.feed(done(1))
        wire.peer.transport.loseWriteConnection()
        self.assertIsInstance(await read, DoneReply)
        await self.assertFailure(lost, ConnectionResetError)

    async def test_half_closed_far_end_of_the_client(self) -> None:
        """An end of file on the client connection means that it is gone."""
        wire = await self.wire()
        monitor = wire.communicator.monitor_client_reader()
        wire.client.loseWriteConnection()
        self.assertIsNone(await monitor)

    async def test_port_taken(self) -> None:
        """A port that is taken is a clear OSError from `wait_server_port` and from `connect`."""
        wire = await self.wire()
        port = wire.communicator.server_port
        second = Communicator("second", HOST, 1, HOST, port, LOG, True, False)
        for wait in (second.wait_server_port, second.connect):
            error = await self.assertFailure(wait(), OSError)
            self.assertEqual(str(error), f"can't listen on {HOST}:{port}: Address already in use; {TAKEN}")
        await second.close()

    async def test_host_name(self) -> None:
        """A server host may be a name, and so may the client's."""
        first = Communicator("first", "localhost", 1, "localhost", 0, LOG, True, False)
        second = Communicator("second", "localhost", 1, "localhost", 0, LOG, False, False)
        ports = [await first.wait_server_port(), await second.wait_server_port()]
        self.assertEqual(first.server_host, HOST)
        waits = [first.connect(ports[1]), second.connect(ports[0])]
        for wait in waits:
            await wait
        command = Enable()
        await first.write(command)
        self.assertEqual(await second.read(), command)
        await first.close()
        await second.close()

    async def test_unknown_host_name(self) -> None:
        """A host that nobody knows fails who waits."""
        communicator = Communicator("c", HOST, 1, "no such host", 0, LOG, True, False)
        await self.assertFailure(communicator.wait_server_port(), OSError)
        await communicator.close()

    async def test_close_at_once(self) -> None:
        """Closed in the moment in which it was made, it leaves nothing behind."""
        for host in (HOST, "localhost"):
            communicator = Communicator("c", HOST, 1, host, 0, LOG, True)
            connect = communicator.connect()
            await communicator.close()
            await self.assertFailure(connect, ConnectionAbortedError)

    async def test_close_in_callbacks(self) -> None:
        """Closed from within a read, or from within `connect_callback`, it is closed."""
        wire = await self.wire()
        read = wire.communicator.read().addCallback(lambda message: wire.communicator.close())
        wire.feed(done(1, 2))
        await read
        closing: DeferredQueue[Deferred[None]] = DeferredQueue()
        other = SocketWire(connect_callback=lambda communicator: closing.put(communicator.close()))
        await (await closing.get())
        await other.port.stopListening()
        other.client.abortConnection() if hasattr(other, "client") else None

    async def test_send_at_once(self) -> None:
        """With `send_at_once` a command is on its way before the reactor has its next turn."""
        for at_once in (True, False):
            wire = await self.wire(send_at_once=at_once)
            command = Enable()
            await wire.communicator.write(command)
            peer = wire.client.getHandle()
            arrived = peer.recv(1000, MSG_PEEK) if select([peer], [], [], 0)[0] else b""
            self.assertEqual(arrived, command.encode() if at_once else b"")
            self.assertEqual(await wire.written(), command)

    async def test_partial_writes(self) -> None:
        """Sent at once or not, what a small socket buffer takes in parts arrives whole and in order."""
        for at_once in (True, False):
            wire = await self.wire(send_at_once=at_once)
            wire.communicator.writer.transport.getHandle().setsockopt(SOL_SOCKET, SO_SNDBUF, 1)
            commands = [AzimuthAxisMove(position=number) for number in range(300)]
            wire.communicator.write_many(commands)
            for command in commands:
                last = wire.communicator.write(command)
            self.assertEqual([await wire.written() for _ in range(600)], commands * 2)
            self.assertIsNone(await last)

    async def test_drop_connections(self) -> None:
        """Both are broken off, nothing more comes from them, and both come back."""
        wire = await self.wire()
        communicator = wire.communicator
        lost, monitor = communicator.read(), communicator.monitor_client_reader()
        wire.feed(done(1))
        communicator.drop_connections()
        await self.assertFailure(lost, ConnectionResetError)
        await monitor
        await wire.peer.lost
        await wire.started()
        wire.feed(done(2))
        self.assertEqual((await communicator.read()).sequence_id, 2)

    async def test_port_is_free_after_close(self) -> None:
        """When close is done, the port can be had again at once."""
        wire = await self.wire()
        port = wire.communicator.server_port
        await wire.communicator.close()
        again = Communicator("again", HOST, 1, HOST, port, LOG, True, False)
        self.assertEqual(await again.wait_server_port(), port)
        await again.close()


ON_ASYNCIO = """
import asyncio, logging, sys
from twisted.internet import asyncioreactor
loop = asyncio.new_event_loop()
asyncioreactor.install(loop)
from twisted.internet.task import react
from twisted.internet.defer import Deferred
from mtmount_twisted.commands import Enable
from mtmount_twisted.client.communicator import Communicator

async def talk():
    log = logging.getLogger()
    at_once = "at once" in sys.argv
    one = Communicator("one", "127.0.0.1", 1, "127.0.0.1", 0, log, True, False, send_at_once=at_once)
    two = Communicator("two", "127.0.0.1", one.server_port, "127.0.0.1", 0, log, False)
    await one.connect(two.server_port).asFuture(loop)
    await two.wait_connected().asFuture(loop)
    await one.write(Enable(sequence_id=8)).asFuture(loop)
    print((await two.read().asFuture(loop)).sequence_id)
    await one.close().asFuture(loop)
    await two.close().asFuture(loop)

react(lambda reactor: Deferred.fromFuture(asyncio.ensure_future(talk(), loop=loop)))
"""


class AsyncioTests(SynchronousTestCase):
    """Use under asyncio's reactor."""

    def test_on_asyncio(self) -> None:
        """A program of asyncio's talks over a pair, awaiting its Deferreds as futures, also at once."""
        for arguments in ([], ["at once"]):
            ran = subprocess.run(
                [sys.executable, "-c", ON_ASYNCIO, *arguments],
                cwd=Path(__file__).parent.parent.parent,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            self.assertEqual((ran.stdout, ran.stderr, ran.returncode), ("8\n", "", 0))
