"""An error of our own while a daemon ends is in its log, and all that comes after it is done."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.support.programs import ProgramCase

FAULTS = """
from mtmount_twisted.frontends.tcp.certificates import CertificateWatch
from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.app.systemd import ServiceManager
def fail(name):
    def broken(*arguments):
        raise RuntimeError(f"fault in {name}")
    return broken
ServiceManager.stopping = fail("stopping")
CertificateWatch.stopService = fail("certificates")
BridgeService.wait_ended = fail("wait_ended")
"""


class EndTests(ProgramCase):
    """Each daemon in a process of its own."""

    async def test_bridge(self) -> None:
        """The bridge logs each error, closes its journal, and says that it ends."""
        program = self.twistd("-n", "mtmount-bridge", *self.ports(), before=FAULTS)
        await self.serving(program)
        program.transport.signalProcess("TERM")
        await program.ended
        for name in ("stopping", "certificates", "wait_ended"):
            self.assertIn(f"RuntimeError: fault in {name}", program.output)
        self.assertIn("the daemon ends", program.output)
        self.assertNotIn("Unhandled", program.output)
        with closing(sqlite3.connect(self.default_journal)) as journal:
            [[kind]] = journal.execute("SELECT kind FROM event ORDER BY rowid DESC LIMIT 1")
        self.assertEqual(kind, "stopped")

    async def test_simulator(self) -> None:
        """The simulator logs the error, and closes its connections."""
        program = self.twistd("-n", "mtmount-simulator", *self.ports(), before=FAULTS)
        await self.serving(program, "a commander")
        program.transport.signalProcess("TERM")
        await program.ended
        self.assertIn("RuntimeError: fault in stopping", program.output)
        self.assertRegex(program.output, r"(?s)fault in stopping.*TCP Port \d+ Closed")
        self.assertNotIn("Unhandled", program.output)

    def ports(self) -> tuple[str, ...]:
        """Options with ports of the system's choice."""
        return "--command-port", "0", "--reply-port", str(self.free_port())
