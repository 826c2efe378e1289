"""The section "Make certificates" of ``docs/explanation/security.rst`` works as printed, in its order."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import sys

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

from tests.support.folders import scratch_path
from tests.support.pages import DOCS, marked
from tests.support.programs import ROOT, Program, ProgramCase

SSLYZE = shutil.which("sslyze", path=f"{ROOT}/.venv/sslyze/bin:{os.environ['PATH']}")
"""It needs an older ``cryptography`` than the package, so it is in an environment of its own, if anywhere."""


class CertificatesTests(ProgramCase):
    """An authority, the bridge's certificate and a commander's, made with ``openssl``."""

    def setUp(self) -> None:
        super().setUp()
        if shutil.which("openssl") is None:
            raise SkipTest("openssl is not installed")
        try:
            import OpenSSL  # noqa: F401
        except ImportError:
            raise SkipTest("mtmount_twisted[tls] is not installed") from None
        self.folder = scratch_path(self)
        self.folder.mkdir()
        (self.folder / ".venv").symlink_to(sys.prefix)
        self.replaced = {"30100": str(self.free_port()), "8443": str(self.free_port())}
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "XDG_STATE_HOME": str(self.state),
        }

    def text(self, name: str) -> str:
        """A block with ports that nobody else has."""
        text = marked(DOCS / "explanation" / "security.rst", f"certificates-{name}")
        for printed, used in self.replaced.items():
            text = text.replace(printed, used)
        return text

    async def run_block(self, name: str) -> tuple[str, int]:
        """Run a block; its output, and its exit status."""
        arguments = ["-ec", self.text(name)]
        out, err, status = await getProcessOutputAndValue(
            "/bin/sh", arguments, self.environment, str(self.folder)
        )
        return (out + err).decode(), status

    async def serve(self) -> Program:
        """Make the certificates, and start the bridge with the file that is shown."""
        output, status = await self.run_block("make")
        self.assertEqual(status, 0, output)
        self.assertIn("tls/bridge.pem: OK\ntls/ann.pem: OK\n", output)
        (self.folder / "bridge.toml").write_text(self.text("configuration"), encoding="utf-8")
        program = Program()
        shell = ["/bin/sh", "-c", f"exec {self.text('bridge')}"]
        program.transport = reactor.spawnProcess(
            program, shell[0], shell, env=self.environment, path=str(self.folder)
        )
        self.addCleanup(lambda: program.ended if program.transport.pid is None else self.kill(program))
        await program.line("serving port desk on .*; page on https://")
        await program.line("the controller is connected")
        return program

    async def kill(self, program: Program) -> None:
        """End a bridge that a failed test has left."""
        program.transport.signalProcess("KILL")
        await program.ended

    async def test_lines(self) -> None:
        """They make what the bridge, a commander and a browser accept, and what can be renewed."""
        program = await self.serve()
        output, status = await self.run_block("commander")
        self.assertEqual(status, 0, output)
        self.assertIn("AskForCommand after", output)
        await program.line("desk/ann.lee@example.org: connected")
        first = await deferToThread(self.page)
        output, status = await self.run_block("renew")
        self.assertEqual(status, 0, output)
        program.transport.signalProcess("HUP")
        await program.line("web: new connections use the renewed certificate")
        self.assertNotEqual(await deferToThread(self.page), first)
        self.assertNotIn("#warn] certificate: ", program.output)
        await self.assert_ends(program)

    def page(self) -> bytes:
        """The certificate of the page, as a browser that trusts the authority takes it."""
        trust = ssl.create_default_context(cafile=str(self.folder / "tls" / "ca.pem"))
        trust.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer versions of Python have it
        where = "127.0.0.1", int(self.replaced["8443"])
        with (
            socket.create_connection(where) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            shown = encrypted.getpeercert(binary_form=True)
            assert shown is not None
            return shown

    async def test_sslyze(self) -> None:
        """``sslyze`` finds the page, and a port, to comply with Mozilla's "intermediate" profile."""
        if SSLYZE is None:
            raise SkipTest("sslyze is not installed: make sslyze")
        # With nothing to show, it would see no more of a port than that it requires a certificate.
        self.replaced['client_ca = "tls/ca.pem"'] = "insecure = true"
        program = await self.serve()
        options = ["--mozilla_config=intermediate", "--certinfo_ca_file", "tls/ca.pem"]
        for port in (self.replaced["8443"], self.replaced["30100"]):
            output, _, status = await getProcessOutputAndValue(
                SSLYZE, [*options, f"localhost:{port}"], self.environment, str(self.folder)
            )
            self.assertIn(f"localhost:{port}: OK - Compliant.", output.decode()[-1000:])
            self.assertEqual(status, 0)
        await self.assert_ends(program)
