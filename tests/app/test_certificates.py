"""What ``twistd mtmount-bridge`` says of certificates whose time is over."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support import certificates
from tests.support.folders import scratch_path
from tests.support.programs import HOST, ProgramCase

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]


class OnComplete(datetime.datetime):
    """A clock that stands, long ago."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime.datetime:  # type: ignore[override]
        return datetime.datetime(2020, 2, 27, 14, 48, 27, tzinfo=tz)


@skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
class ExpiredTests(ProgramCase):
    """A port whose own certificate, and whose authority's, have expired: each is a warning, no more."""

    def configured(self) -> str:
        """A configuration with such a port."""
        folder = scratch_path(self)
        folder.mkdir()
        with_clock = SimpleNamespace(datetime=OnComplete, UTC=datetime.UTC, timedelta=datetime.timedelta)
        self.patch(certificates, "datetime", with_clock)
        authority = certificates.Authority(folder)
        self.own, self.ca = authority.issue("bridge"), authority.ca
        return self.file(
            f'[[port]]\nname = "desk"\nendpoint = "tcp:0:interface={HOST}"\n'
            f'certificate = "{self.own}"\nclient_ca = "{self.ca}"\n'
        )

    def warnings(self) -> list[str]:
        """What is to be said of it."""
        return [
            f"port[1].{key}: {path}: CN={name} expired on 2021-02-26 14:48 UTC"
            for key, path, name in (
                ("certificate", self.own, "bridge"),
                ("client_ca", self.ca, "test authority"),
            )
        ]

    async def test_check_config(self) -> None:
        """``--check-config`` says so, and that the configuration is right."""
        program = self.twistd("mtmount-bridge", "--check-config", "--config", self.configured())
        self.assertEqual(await program.ended, 0)
        for warning in self.warnings():
            self.assertIn(f"mtmount-bridge: warning: {warning}\n", program.output)
        self.assertIn("the configuration is right", program.output)

    async def test_start(self) -> None:
        """The log says so at a start and at a reload, and the daemon serves."""
        program = self.twistd("-n", "mtmount-bridge", "--config", self.configured())
        for number in (1, 2):
            await program.line("serving ", number)
            for warning in self.warnings():
                self.assertEqual(program.output.count(f"#warn] certificate: {warning}"), number, warning)
            if number == 1:
                program.transport.signalProcess("HUP")
        await self.assert_ends(program)


@skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
class RenewedTests(ProgramCase):
    """Files that are written anew under their names, as a renewal does, and SIGHUP."""

    async def shown(self, port: int) -> tuple[bytes, Any]:
        """The certificate that is shown at a port, and the connection."""
        options = ssl.CertificateOptions()  # which checks nothing
        endpoint = wrapClientTLS(options, TCP4ClientEndpoint(reactor, HOST, port))
        protocol: Any = await connectProtocol(endpoint, Shown())
        self.addCleanup(protocol.leave)
        return await protocol.certificate, protocol

    async def test_reload(self) -> None:
        """The page and a port show the new certificate, and a connection from before goes on."""
        folder = scratch_path(self)
        folder.mkdir()
        authority = certificates.Authority(folder)
        own, ports = authority.issue("bridge"), (self.free_port(), self.free_port())
        path = self.file(
            f'[[port]]\nname = "desk"\nendpoint = "tcp:{ports[0]}:interface={HOST}"\ncertificate = "{own}"\n'
        )
        page = f"ssl:{ports[1]}:interface={HOST}:privateKey={own}"
        program = self.twistd("-n", "mtmount-bridge", "--config", path, "--web", page)
        await program.line("serving ")
        before = [await self.shown(port) for port in ports]
        authority.issue("bridge", path=own)
        program.transport.signalProcess("HUP")
        await program.line("desk: new connections use the renewed certificates")
        await program.line("web: new connections use the renewed certificate")
        after = [await self.shown(port) for port in ports]
        self.assertEqual(before[0][0], before[1][0])
        self.assertEqual(after[0][0], after[1][0])
        self.assertNotEqual(before[0][0], after[0][0])
        with open(path, "a") as file:
            file.write("[web]\nmax_body = 5000\n")
        authority.issue("bridge", path=own)
        program.transport.signalProcess("HUP")
        await program.line(r"\[web\] has changed: restart the daemon to apply it")
        await program.line("web: new connections use the renewed certificate", 2)
        latest = [await self.shown(port) for port in ports]
        self.assertEqual(latest[0][0], latest[1][0])
        self.assertNotEqual(after[0][0], latest[0][0])
        browser = before[1][1]
        browser.transport.write(f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await browser.answered

        own.write_bytes(own.read_bytes().split(b"-----BEGIN PRIVATE")[0])
        program.transport.signalProcess("HUP")
        await program.line("configuration not reloaded: ")
        self.assertEqual((await self.shown(ports[0]))[0], latest[0][0])
        await self.assert_ends(program)


@implementer(IHandshakeListener)
class Shown(Protocol):
    """Notes the certificate that a server shows, and when it says something."""

    transport: Any

    def __init__(self) -> None:
        self.certificate: Deferred[bytes] = Deferred()
        self.answered: Deferred[bytes] = Deferred()

    def handshakeCompleted(self) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding

        shown = self.transport.getPeerCertificate().to_cryptography()
        self.certificate.callback(shown.public_bytes(Encoding.DER))

    def leave(self) -> None:
        """Cut the connection, if it is there: under TLS to do it twice would raise."""
        if self.connected:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0

    def dataReceived(self, data: bytes) -> None:
        if not self.answered.called:
            self.answered.callback(data)
