"""``mtmount-bridge --doctor`` and ``--example-config``."""

from __future__ import annotations

import select
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app import doctor
from mtmount_twisted.errors import TaiUnavailableError
from mtmount_twisted.journal.schema import SCHEMA
from tests.support.folders import scratch_folder
from tests.support.pages import DOCS
from tests.support.programs import HOST, ProgramCase


class ProgramTests(ProgramCase):
    """The options of the daemon."""

    async def report(self, text: str, status: int) -> list[str]:
        """Return the lines of the report about a file, after which the program ends with a status."""
        web = f"tcp:{self.free_port()}:interface={HOST}"
        program = self.twistd("-n", "mtmount-bridge", "--config", self.file(text), "--doctor", "--web", web)
        self.assertEqual(await program.ended, status, program.output)
        return program.output.splitlines()

    def listening(self) -> socket.socket:
        """Return a socket that listens, with a queue that the test can look into."""
        server = socket.create_server((HOST, 0))
        self.addCleanup(server.close)
        return server

    async def test_example(self) -> None:
        """``--example-config`` prints the reference of the documentation."""
        program = self.twistd("-n", "mtmount-bridge", "--example-config")
        self.assertEqual(await program.ended, 0, program.output)
        self.assertEqual(program.output, (DOCS / "bridge.toml").read_text(encoding="utf-8"))

    async def test_healthy(self) -> None:
        """A line for each thing, and nothing is left behind; neither mount nor telemetry is contacted."""
        mount, telemetry = self.listening(), self.listening()
        port, replies = self.free_port(), self.free_port()
        lines = await self.report(
            f'[controller]\nhost = "{HOST}"\ncommand_port = {mount.getsockname()[1]}\ndialect = "tma2022"\n'
            f"telemetry_port = {telemetry.getsockname()[1]}\n"
            f'[[pair]]\nname = "csc"\ndialect = "tma2020"\ncommand_port = {port}\nreply_port = {replies}\n',
            0,
        )
        about = [line.split()[1].rstrip(":") for line in lines[:-1]]
        for name in (
            "versions",
            "configuration",
            "ports",
            "journal",
            "certificates",
            "tokens",
            "clock",
            "TAI",
        ):
            self.assertIn(name, about)
        self.assertIn(f"ok       ports: {HOST}:{port} is free", lines)
        place = f"{HOST}:{telemetry.getsockname()[1]}"
        self.assertIn(f"ok       telemetry: from {place}, which was not contacted", lines)
        self.assertTrue(lines[-1].startswith("faults: 0, warnings: "), lines[-1])
        self.assertFalse(self.state.exists())
        self.assertEqual(select.select([mount, telemetry], [], [], 0)[0], [])

    async def test_faults(self) -> None:
        """A fault names the key and the remedy, and makes the status 1; a port in use is a warning."""
        taken = self.listening()
        port = taken.getsockname()[1]
        lines = await self.report(
            '[controller]\nhost = "no.invalid"\ncommand_port = 5\n'
            f'[[pair]]\nname = "csc"\ncommand_port = {port}\nreply_port = {self.free_port()}\n'
            '[journal]\npath = "/dev/null/journal"\n[web]\ntokens = "/no/such/file"\n',
            1,
        )
        report = "\n".join(lines)
        self.assertIn("fault    names: no.invalid does not resolve (", report)
        self.assertRegex(report, rf"warning  ports: \S+: pair\[1\]\.command_port: {HOST}:{port}: .*a daemon")
        self.assertRegex(report, r"fault    journal: \S+: journal\.path: /dev/null is not a folder")
        self.assertRegex(report, r"fault    tokens: .*/no/such/file")
        self.assertRegex(lines[-1], r"^faults: [3-9], warnings: [1-9]$")
        self.assertEqual(select.select([taken], [], [], 0)[0], [])

    async def test_damaged_journal(self) -> None:
        """A journal that is no database is a fault; the line says what the next start does."""
        path = Path(self.file("no database " * 1000))
        path.chmod(0o600)
        path = path.rename(path.with_suffix(".sqlite"))  # the next file has the same name
        before = path.read_bytes()
        pair = f'[[pair]]\nname = "csc"\ncommand_port = {self.free_port()}\nreply_port = {self.free_port()}\n'
        lines = await self.report(f'{pair}[journal]\npath = "{path}"\n', 1)
        [fault] = [line for line in lines if line.startswith("fault ")]
        self.assertIn(f"journal: {path} is damaged (file is not a database): the next start", fault)
        self.assertEqual(path.read_bytes(), before)

    async def test_journal_is_not_touched(self) -> None:
        """The examination of a journal makes no file beside it."""
        path = scratch_folder(self) / "journal.sqlite"
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            for statement in SCHEMA:
                db.execute(statement)
        path.chmod(0o600)
        pair = f'[[pair]]\nname = "csc"\ncommand_port = {self.free_port()}\nreply_port = {self.free_port()}\n'
        lines = await self.report(f'{pair}[journal]\npath = "{path}"\n', 0)
        self.assertIn(f"ok       journal: {path}", "\n".join(lines))
        self.assertEqual([each.name for each in path.parent.iterdir()], ["journal.sqlite"])


class JournalTests(SynchronousTestCase):
    """The finding about a journal that the daemon refuses or sets aside."""

    def finding(self, *statements: str) -> str:
        """The line about a file that SQL has made."""
        path = scratch_folder(self) / "journal.sqlite"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for statement in (*SCHEMA, "PRAGMA writable_schema = ON", *statements):
                db.execute(statement)
        [found] = doctor.journal_findings(path)
        return str(found)

    def test_other_program(self) -> None:
        """A database of another program, and one of a later version, are faults, as at the start."""
        self.assertIn("can't be the journal: it is a database of", self.finding("PRAGMA application_id = 1"))
        self.assertIn("it is of version 99, this program writes", self.finding("PRAGMA user_version = 99"))

    def test_too_many_objects(self) -> None:
        """A file with too many views is a fault, as at the start."""
        views = (f"CREATE VIEW v{number} AS SELECT 1" for number in range(1100))
        self.assertIn("it has more than 1000 tables, views and others", self.finding(*views))

    def test_hostile_names(self) -> None:
        """Names that are no UTF-8, or that have control characters, are shown in one line."""
        bad = "INSERT INTO sqlite_master VALUES ('view', CAST(x'61ff' AS TEXT), '', 0, 'CREATE VIEW')"
        self.assertIn("is damaged (malformed database schema", self.finding(bad))
        name = "a\x1b[2J\nok       tokens: fine"
        line = self.finding(f"INSERT INTO sqlite_master VALUES ('view', '{name}', '', 0, 'CREATE VIEW')")
        self.assertIn("malformed database schema", line)
        self.assertTrue(line.isprintable(), line)


class FindingTests(SynchronousTestCase):
    """The findings that a test can't bring about on this machine."""

    def test_clock(self) -> None:
        """A clock without a time daemon, and a system that does not tell, are warnings."""
        found = [doctor._clock(state).level for state in (0, doctor.NOT_SYNCHRONIZED, None)]
        self.assertEqual(found, [doctor.OK, doctor.WARNING, doctor.WARNING])

    def test_tai(self) -> None:
        """Without a source of TAI the report says how to get one."""

        def no_source() -> str:
            raise TaiUnavailableError("can't tell TAI: install pyerfa")

        self.assertEqual(str(doctor._tai(no_source)), "fault    TAI: can't tell TAI: install pyerfa")
