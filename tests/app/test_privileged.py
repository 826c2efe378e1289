"""Ports below 1024 with ``twistd --uid``."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SkipTest, TestCase

from mtmount_twisted.app import privileged
from mtmount_twisted.app.privileged import PrivilegedPorts
from tests.support.ports import free_port
from tests.support.programs import HOST, ProgramCase


class PrivilegedPortsTests(TestCase):
    """`PrivilegedPorts`, for which any port is one of root's."""

    def setUp(self) -> None:
        self.patch(privileged, "FIRST_UNPRIVILEGED", 2**16)

    def bound(self, *hosts: str) -> tuple[PrivilegedPorts, list[int]]:
        """One that has bound a port at each host; what is left of them is closed after the test."""
        free = [free_port(self, host) for host in hosts]
        ports = PrivilegedPorts(reactor, zip(hosts, free, strict=True))
        self.addCleanup(ports.close)
        ports.bind()
        return ports, free

    async def test_listens(self) -> None:
        """What was bound is listened on, IPv4 and IPv6, and serves; a port that was not is the reactor's."""
        ports, [four, six] = self.bound(HOST, "::1")
        self.assertTrue(IReactorTime.providedBy(ports))
        for host, port, endpoint in (
            (HOST, four, TCP4ClientEndpoint),
            ("::1", six, TCP6ClientEndpoint),
            (HOST, 0, TCP4ClientEndpoint),
        ):
            listening = ports.listenTCP(port, Factory.forProtocol(Protocol), interface=host)
            self.addCleanup(listening.stopListening)
            at = listening.getHost()
            self.assertEqual((at.host, at.port), (host, port or at.port))
            client = await endpoint(reactor, host, at.port).connect(Factory.forProtocol(Protocol))
            client.transport.abortConnection()

    async def test_once(self) -> None:
        """After its end a port is the reactor's to listen on again."""
        ports, [port] = self.bound(HOST)
        for _ in range(2):
            listening = ports.listenTCP(port, Factory.forProtocol(Protocol), interface=HOST)
            await listening.stopListening()

    def test_unused(self) -> None:
        """A socket that nobody listened on is closed in the end."""
        ports, [port] = self.bound(HOST)
        ports.close()
        socket.create_server((HOST, port)).close()

    def test_taken(self) -> None:
        """A port that another program has is an error."""
        with socket.create_server((HOST, 0)) as other:
            ports = PrivilegedPorts(reactor, [(HOST, other.getsockname()[1])])
            self.addCleanup(ports.close)
            self.assertRaises(OSError, ports.bind)

    def test_every_users(self) -> None:
        """A port that any user may have is left to the reactor."""
        self.patch(privileged, "FIRST_UNPRIVILEGED", 1024)
        with socket.create_server((HOST, 0)) as other:
            PrivilegedPorts(reactor, [(HOST, other.getsockname()[1]), (HOST, 0)]).bind()


class ProgramTests(ProgramCase):
    """A daemon that root starts for another user."""

    async def test_as_another_user(self) -> None:
        """It listens on a port below 1024, and serves there as that user."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give up root's rights")
        user = pwd.getpwnam("nobody")
        port = self.low_port()
        program = self.twistd(
            *("-n", "--pidfile=", f"--uid={user.pw_uid}", f"--gid={user.pw_gid}", "mtmount-simulator"),
            *("--command-port", str(port), "--reply-port", "1"),
            before="import automat, mtmount_twisted.net.halves",  # that user may not see this folder
        )
        await program.line(f"serving a commander on {HOST}:{port}")
        status = Path(f"/proc/{program.transport.pid}/status").read_text(encoding="utf-8")
        self.assertIn("\nUid:" + f"\t{user.pw_uid}" * 4 + "\n", status)
        client = await TCP4ClientEndpoint(reactor, HOST, port).connect(Factory.forProtocol(Protocol))
        client.transport.abortConnection()
        await self.assert_ends(program)

    def low_port(self) -> int:
        """A port below 1024 that was free just now."""
        for port in range(1023, 900, -1):
            try:
                socket.create_server((HOST, port)).close()
            except OSError:
                continue
            return port
        raise SkipTest("there is no free port below 1024 for root here")
