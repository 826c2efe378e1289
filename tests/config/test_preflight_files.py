"""The open files that a configuration can need, and the limit of the system."""

from __future__ import annotations

import os
import resource

import attrs
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from mtmount_twisted.config.loading import default_config, load
from mtmount_twisted.config.preflight import file_limit, files_needed, raise_file_limit
from mtmount_twisted.frontends.tcp.tls import MAX_UNPROVEN, MAX_UNPROVEN_KNOWN
from mtmount_twisted.net.accepts import MAX_WAITING
from tests.support.folders import scratch_path
from tests.support.programs import ProgramCase

PORT = '[[port]]\nname = "hall"\nendpoint = "tcp:0:interface=127.0.0.1"\nmax_clients = {}\n'
LOWERED = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, {}))"


class LimitTests(SynchronousTestCase):
    """The limit of this process: a soft one, which may be raised up to a hard one."""

    def setUp(self) -> None:
        before = _, self.hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)

    def limits(self) -> tuple[int, int]:
        """Return the soft and the hard limit."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    def lower(self, soft: int) -> None:
        """Lower the soft limit, as a shell may; no file that is open is closed by it."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, self.hard))

    def test_raised(self) -> None:
        """A limit that is too low is raised to the need, and not beyond it."""
        self.lower(600)
        self.assertEqual(raise_file_limit(700), 700)
        self.assertEqual(self.limits(), (700, self.hard))

    def test_high_enough(self) -> None:
        """A limit that suffices stays."""
        self.lower(600)
        self.assertEqual(raise_file_limit(500), 600)
        self.assertEqual(self.limits(), (600, self.hard))

    def test_need_counts_each_port(self) -> None:
        """Each port, and the page, needs a file for each client and each connection that waits to be one."""
        one = load(PORT.format(500))
        two = load(PORT.format(500) + PORT.format(700).replace("hall", "lab"))
        self.assertEqual(files_needed(two) - files_needed(one), 700 + MAX_WAITING)
        web = default_config().web.max_connections + MAX_WAITING
        without = load(PORT.format(500) + "[web]\nenabled = false\n")
        self.assertEqual(files_needed(one) - files_needed(without), web)

    def test_need_counts_handshakes(self) -> None:
        """A port with TLS needs a file for each handshake, too, however the file names its certificate."""
        plain = load(PORT.format(500))
        [port] = plain.ports
        encrypted = attrs.evolve(plain, ports=(attrs.evolve(port, certificate="bridge.pem"),))
        self.assertEqual(files_needed(encrypted) - files_needed(plain), MAX_UNPROVEN + MAX_UNPROVEN_KNOWN)

    def test_beyond_the_hard_limit(self) -> None:
        """A need beyond the hard limit is met as far as the system lets it."""
        self.patch(resource, "getrlimit", lambda which: (1024, 4096))
        self.assertEqual(file_limit(5000), 4096)
        self.assertEqual(file_limit(2000), 2000)

    def test_no_limit(self) -> None:
        """Where the system sets no limit, none is needed."""
        self.patch(resource, "getrlimit", lambda which: (1024, resource.RLIM_INFINITY))
        self.assertEqual(file_limit(100_000), 100_000)
        self.patch(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertEqual(file_limit(100_000), 100_000)


class DaemonTests(ProgramCase):
    """The daemon itself, where the system allows few files."""

    async def test_raises(self) -> None:
        """It raises its limit at the start."""
        config = self.file(PORT.format(1000))
        program = self.twistd("-n", "mtmount-bridge", "--config", config, before=LOWERED.format(4096))
        await program.line("serving ")
        with open(f"/proc/{program.transport.pid}/limits", encoding="ascii") as limits:
            [line] = [line for line in limits if line.startswith("Max open files")]
        self.assertGreater(int(line.split()[3]), 200)

    async def test_warns(self) -> None:
        """It says so if the system allows too few."""
        config = self.file(PORT.format(1000))
        program = self.twistd(
            "-n", "mtmount-bridge", "--config", config, "--web", "none", before=LOWERED.format(200)
        )
        await program.line(
            "this process may open 200 files, and this configuration can need 1[0-9]{3}: raise"
        )

    async def test_check_config(self) -> None:
        """So does ``--check-config``."""
        config = self.file(PORT.format(1000))
        words = ("-n", "mtmount-bridge", "--config", config, "--check-config")
        program = self.twistd(*words, before=LOWERED.format(200))
        await program.line("warning: this process may open 200 files")

    async def test_journal_of_another_user(self) -> None:
        """If root checks the configuration, a warning names the user that the daemon needs."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give a file away")
        folder = scratch_path(self)
        folder.mkdir()
        journal = folder / "journal.sqlite"
        journal.touch(0o600)
        os.chown(journal, 12345, 12345)
        config = self.file(PORT.format(10) + f'[journal]\npath = "{journal}"\n')
        program = self.twistd("-n", "mtmount-bridge", "--config", config, "--check-config")
        await program.line(r"warning: .*journal\.path: .* belongs to user 12345: .*--uid=12345")
