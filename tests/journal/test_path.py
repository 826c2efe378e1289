"""Where the journal is: symbolic links, and files that are not the daemon's own or not private."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.cli.journal.following import Follower
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.preflight import problems
from mtmount_twisted.config.settings import JournalSettings
from mtmount_twisted.errors import JournalError
from mtmount_twisted.journal.reading import Wanted, open_journal, rows
from mtmount_twisted.journal.recorder import Journal
from tests.support.commanders import LOG
from tests.support.folders import scratch_folder
from tests.support.journals import JournalCase


def mode(path: Path) -> int:
    """The rights of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


class LinkTests(JournalCase):
    """A journal's path that is a symbolic link."""

    def setUp(self) -> None:
        super().setUp()
        self.keeper.close()
        self.real = self.path.parent / "disk" / "real.sqlite"
        self.link = self.path
        self.link.parent.mkdir(exist_ok=True)
        self.link.symlink_to(self.real)

    def names(self) -> list[str]:
        """What is beside the link, and beside the file."""
        return sorted(
            path.name for folder in (self.link.parent, self.real.parent) for path in folder.iterdir()
        )

    def test_dangling(self) -> None:
        """Where a link points to nothing the file is made there, for its owner alone, and is written."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.open()
        for _ in range(2):
            self.record()
            self.writer.turn()
        self.assertEqual((self.told, self.count()), ([], 2))
        self.assertEqual(
            self.names(), ["disk", "journal.sqlite", "real.sqlite", "real.sqlite-shm", "real.sqlite-wal"]
        )
        self.assertEqual({mode(self.real), mode(Path(f"{self.real}-wal"))}, {0o600})
        self.assertEqual(mode(self.real.parent), 0o700)
        self.assertTrue(self.link.is_symlink())

    def test_corrupt(self) -> None:
        """A corrupt file is set aside beside the real one, and the link stays."""
        self.open()
        self.record()
        self.writer.turn()
        self.keeper.close()
        self.real.write_bytes(b"no database" * 500)
        self.record()
        self.writer.turn()
        self.assertEqual(self.count(), 1)
        aside = [name for name in self.names() if name.startswith("real.corrupt-")]
        self.assertEqual(len(aside), 1)
        self.assertTrue((self.real.parent / aside[0]).is_file())
        self.assertTrue(self.link.is_symlink())

    def test_file_behind_it_is_removed(self) -> None:
        """That the file to which it points was removed is noticed, as of any file."""
        self.open()
        self.record()
        self.writer.turn()
        self.real.unlink()
        self.record()
        self.writer.turn()
        self.assertIn("was removed", self.told[0])
        self.assertEqual(self.count(), 1)

    def test_reading(self) -> None:
        """It is read by the link, also when only reading is possible, and by the web at the real path."""
        self.open()
        self.record(3)
        self.writer.turn()
        for path in (self.link, self.real):
            db = open_journal(path)
            self.assertEqual(len(list(rows(db, Wanted()))), 3)
            db.close()
        follower = Follower(self.link, Wanted(), 0)
        self.addCleanup(follower.close)
        self.assertEqual((len(list(follower.look())), follower.is_in_place()), (3, True))
        self.assertEqual(Journal(self.link, LOG).path, self.real.resolve())

    def test_link_to_itself(self) -> None:
        """A link that leads nowhere is a fault that says so, and nothing is made."""
        self.link.unlink()
        self.link.symlink_to(self.link)
        self.open()
        self.record()
        self.writer.turn()
        self.assertIn("can't be written", self.told[0])
        self.assertEqual(self.names_beside_link(), ["journal.sqlite"])

    def names_beside_link(self) -> list[str]:
        """What is beside the link."""
        return sorted(path.name for path in self.link.parent.iterdir())


class OwnFileTests(JournalCase):
    """Whose file it is, and who may read it."""

    def setUp(self) -> None:
        super().setUp()
        self.record()
        self.writer.turn()
        self.keeper.close()

    def write(self) -> None:
        """The daemon is started anew, and records a row."""
        self.open()
        self.record()
        self.writer.turn()

    def test_others_could_read(self) -> None:
        """A file that others can read or write is made private, once, and the log says so."""
        self.path.chmod(0o664)
        self.write()
        text = f"the journal's file {self.path.resolve()} (0664) was open to other users"
        self.assertEqual(self.told, [f"{text}: now its owner alone can read and write it"])
        self.assertEqual((mode(self.path), self.count()), (0o600, 2))
        self.keeper.close()
        self.write()
        self.assertEqual(len(self.told), 1)

    def test_log_that_others_could_read(self) -> None:
        """So is a write-ahead log that a killed daemon left."""
        log = Path(f"{self.path}-wal")
        log.touch()
        log.chmod(0o644)
        self.write()
        self.assertIn("journal.sqlite-wal (0644)", self.told[0])
        self.assertEqual(mode(log), 0o600)

    def test_another_owner(self) -> None:
        """A file of another user is not written: its owner could change what is in it."""
        user = os.geteuid()
        self.patch(os, "geteuid", lambda: user + 1)
        self.write()
        self.assertIn(
            f"it belongs to user {user}, who can change it; expected the daemon's user {user + 1}",
            self.told[0],
        )
        self.assertEqual(self.count(), 1)

    def test_no_file(self) -> None:
        """What is no regular file is left alone, without a wait for somebody at its other end."""
        self.path.unlink()
        os.mkfifo(self.path)
        self.write()
        self.assertIn("it is a FIFO; expected a regular file", self.told[0])

    def test_beside_it(self) -> None:
        """A FIFO or a link in the place of what SQLite keeps beside the file is refused: by the daemon, by a
        reader and by ``--check-config``; and where a link points to stays as it was.
        """
        other = self.path.parent / "other"
        other.touch(mode=0o644)
        other.chmod(0o644)
        makers = (("a FIFO", os.mkfifo), ("a symbolic link", lambda name: os.symlink(other, name)))
        for end in ("-journal", "-wal", "-shm"):
            name = f"{self.path}{end}"
            for kind, make in makers:
                make(name)
                self.told.clear()
                self.write()
                expected = f"{name}: it is {kind}; expected a regular file of SQLite, or no file: remove it"
                self.assertIn(expected, self.told[0])
                error = self.assertRaises(JournalError, open_journal, self.path)
                self.assertIn(expected, str(error))
                settings = JournalSettings(path=str(self.path))
                [problem] = problems(Config(journal=settings))
                self.assertIn(expected, problem)
                self.keeper.close()
                os.unlink(name)
        self.assertEqual(mode(other), 0o644)

    def test_beside_no_file(self) -> None:
        """So it is where there is no journal yet."""
        self.path.unlink()
        os.mkfifo(f"{self.path}-journal")
        self.write()
        self.assertIn("-journal: it is a FIFO", self.told[0])
        [problem] = problems(Config(journal=JournalSettings(path=str(self.path))))
        self.assertIn("-journal: it is a FIFO", problem)

    def test_folder(self) -> None:
        """A folder is left alone, and stays as open to others as it was."""
        self.path.unlink()
        self.path.mkdir()
        self.path.chmod(0o755)
        self.write()
        self.assertIn("it is a folder; expected a regular file", self.told[0])
        self.assertEqual(mode(self.path), 0o755)

    def test_umask(self) -> None:
        """Whatever the umask, file and folders are made so that their owner alone can use them."""
        before = os.umask(0o777)
        self.addCleanup(os.umask, before)
        self.path = self.path.parent / "a" / "b" / "journal.sqlite"
        for umask in (0o777, 0):
            os.umask(umask)
            self.write()
            self.keeper.close()
            modes = [mode(path) for path in (self.path.parent.parent, self.path.parent, self.path)]
            self.assertEqual((modes, self.told), ([0o700, 0o700, 0o600], []))
            self.path = self.path.parent / "c" / "d" / "journal.sqlite"


class CheckTests(SynchronousTestCase):
    """What ``--check-config`` says of a journal's path."""

    def setUp(self) -> None:
        self.folder = scratch_folder(self)
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / "journal.sqlite"

    def problem(self) -> str:
        """What is wrong with it, without the path; or empty."""
        config = Config(journal=JournalSettings(path=str(self.path)))
        return "; ".join(problems(config)).replace(str(self.folder), "F")

    def test_links(self) -> None:
        """A link is judged by where it points."""
        self.path.symlink_to(self.folder / "real.sqlite")
        self.assertEqual(self.problem(), "")
        self.path.unlink()
        (self.folder / "file").touch()
        self.path.symlink_to(self.folder / "file" / "real.sqlite")
        points = "F/journal.sqlite points to F/file/real.sqlite"
        self.assertEqual(self.problem(), f"journal.path: {points}: F/file is not a folder")

    def test_link_to_a_folder(self) -> None:
        """A link to a folder is no file."""
        self.path.symlink_to(self.folder)
        self.assertEqual(
            self.problem(), "journal.path: F/journal.sqlite points to F: F is a folder; expected a file"
        )

    def test_link_to_itself(self) -> None:
        """A link that leads to itself is told."""
        self.path.symlink_to(self.path)
        self.assertEqual(
            self.problem(), "journal.path: F/journal.sqlite is a symbolic link that leads to itself"
        )

    def test_another_owner(self) -> None:
        """A file of another user is told, but to root, who may start the daemon as any."""
        self.path.touch()
        user = self.path.stat().st_uid
        self.patch(os, "geteuid", lambda: user + 1)
        self.assertIn(
            f"it belongs to user {user}, who can change it; expected the daemon's user {user + 1}",
            self.problem(),
        )
        self.patch(os, "geteuid", lambda: 0)
        self.assertEqual(self.problem(), "")

    def test_fifo(self) -> None:
        """What is no regular file is told."""
        os.mkfifo(self.path)
        self.assertEqual(
            self.problem(),
            "journal.path: F/journal.sqlite can't be the journal: it is a FIFO; expected a regular file",
        )
