"""A user without an entry in the password file and without ``HOME``, as containers have."""

from __future__ import annotations

import io
import os
import pwd
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NoReturn
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app import bridge, daemon
from mtmount_twisted.cli.journal.options import parse_options
from mtmount_twisted.config.preflight import NO_HOME
from mtmount_twisted.config.settings import JournalSettings
from tests.support.programs import LOG, ProgramCase


class NoHomeTests(SynchronousTestCase):
    """What needs no home directory does not ask for one."""

    def setUp(self) -> None:
        environment = mock.patch.dict(os.environ)
        environment.start()
        self.addCleanup(environment.stop)
        for name in ("HOME", "XDG_STATE_HOME"):
            os.environ.pop(name, None)

        def unknown(uid: int) -> NoReturn:
            raise KeyError(uid)

        self.patch(pwd, "getpwuid", unknown)

    def options(self, *words: str) -> Any:
        options = bridge.Options()
        options.parseOptions(("--web=none", "--command-port=0", "--reply-port=1", *words))
        return options

    def test_bridge(self) -> None:
        """Without a journal, or with a path for it, the bridge starts."""
        self.patch(daemon, "begin_log", lambda reactor, verbose: LOG)
        for words in (("--journal=none",), ("--journal=/tmp/mtmount-nowhere",)):
            bridge.makeService(self.options(*words))

    def test_default_path_is_needed(self) -> None:
        """With the default path it is one line that says what to do, at the start and for a check."""
        self.patch(daemon, "begin_log", lambda reactor, verbose: LOG)
        for check in (
            lambda: bridge.makeService(self.options()),
            lambda: self.options("--check-config"),
        ):
            error = self.assertRaises(SystemExit, check)
            self.assertEqual(str(error.code), f"{bridge.DAEMON}: --journal: {NO_HOME}")

    def test_settings(self) -> None:
        """The default of the library has no path then."""
        self.assertIsNone(JournalSettings().path)

    def test_journal_program(self) -> None:
        """``mtmount-journal`` reads a file that is named, shows its help, and asks for a name without."""
        self.assertEqual(str(parse_options(["show", "--journal", "/j"]).journal), "/j")
        said = io.StringIO()
        with redirect_stderr(said):
            self.assertEqual(self.assertRaises(SystemExit, parse_options, ["show"]).code, 2)
        self.assertEqual(
            said.getvalue(),
            "mtmount-journal: --journal: there is no home directory for the default; give the file"
            " (--help explains)\n",
        )
        with redirect_stdout(io.StringIO()) as said:
            self.assertEqual(self.assertRaises(SystemExit, parse_options, ["show", "--help"]).code, 0)
        self.assertIn("no default: there is no home directory", " ".join(said.getvalue().split()))


class UnknownUserTests(ProgramCase):
    """``twistd --uid`` with a user that is in no password file."""

    async def test_one_line(self) -> None:
        """It is one line that says what to do."""
        unknown = next(
            uid for uid in range(54321, 60000) if uid not in {each.pw_uid for each in pwd.getpwall()}
        )
        program = self.twistd("-n", f"--uid={unknown}", "mtmount-simulator", "--command-port", "0", "-r", "1")
        self.assertEqual(await program.ended, 1)
        [line] = program.output.splitlines()
        self.assertTrue(
            line.startswith(
                f"mtmount-simulator: --uid: user id {unknown} has no entry in the password file; "
            ),
            line,
        )
