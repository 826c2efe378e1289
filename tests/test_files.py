"""Files that the programs are given: what is no file, what is too much, and whose it is."""

from __future__ import annotations

import io
import os
import socket
import stat
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import files
from mtmount_twisted.app import bridge
from mtmount_twisted.cli.commander.options import parse_options
from mtmount_twisted.config import loading, preflight
from mtmount_twisted.errors import ConfigError, JournalError, NotAJournalError
from mtmount_twisted.files import MOST_PARTS, MOST_TOML, TOMLError, read_file, read_toml
from mtmount_twisted.frontends.web.http import tokens
from mtmount_twisted.journal.file import Store
from mtmount_twisted.journal.reading import open_journal
from mtmount_twisted.net.tls import client_options, endpoint_credentials, load_credentials

from .support.certificates import Authority
from .support.folders import scratch_folder, scratch_path

try:
    from OpenSSL import SSL
except ImportError:  # the extra is not installed
    SSL = None  # type: ignore[assignment]

needs_tls = skipIf(SSL is None, "mtmount_twisted[tls] is not installed")

SECRET = "0123456789abcdef"
TOKEN = f'[[token]]\nname = "night"\nsecret = "{SECRET}"\nroles = ["command"]\n'


def problems(load: Callable[[str], object], text: str) -> list[str]:
    """What is wrong with a text, or nothing."""
    try:
        load(text)
    except ConfigError as error:
        return list(error.problems)
    return []


class KindTests(SynchronousTestCase):
    """A FIFO, a device or a socket in the place of a file: it is refused, and nobody waits for it."""

    def setUp(self) -> None:
        folder = scratch_folder(self)
        self.fifo = str(folder / "fifo")
        os.mkfifo(self.fifo)
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(folder / "socket"))
        self.odd = (
            (self.fifo, "it is a FIFO; expected a regular file"),
            ("/dev/zero", "it is a device; expected a regular file"),
            (str(folder / "socket"), "it is a socket; expected a regular file"),
        )

    def assert_refused(self, read: Callable[[str], object], error: type[Exception], before: str = "") -> None:
        """Each of them is refused, with the reason."""
        for path, why in self.odd:
            self.assertIn(f"{before}{why}", str(self.assertRaises(error, read, path)))

    def test_read(self) -> None:
        """The one function that reads such files says what each of them is; a folder is none either."""
        self.assert_refused(read_file, OSError)
        self.assertRaises(IsADirectoryError, read_file, os.path.dirname(self.fifo))
        self.assertRaises(FileNotFoundError, read_file, f"{self.fifo}2")

    def test_swapped(self) -> None:
        """A file that becomes a FIFO after it was looked at is refused, too."""
        path = scratch_path(self)
        path.write_bytes(b"x")
        was = os.stat(path)
        path.unlink()
        os.mkfifo(path)
        stand_in = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
        stand_in.stat = lambda path: was
        self.patch(files, "os", stand_in)
        self.assertIn("it is a FIFO", str(self.assertRaises(OSError, read_file, path)))

    def test_configuration(self) -> None:
        """The file of ``--config``."""
        self.assert_refused(loading.load_file, ConfigError, "can't be read: ")

    def test_tokens(self) -> None:
        """The file of tokens."""
        self.assert_refused(tokens.load_file, ConfigError, "can't be read: ")

    def test_token_of_the_prompt(self) -> None:
        """The file of ``mtmount-commander --token-file``, whose token is never told."""
        for path, why in self.odd:
            with redirect_stderr(io.StringIO()) as said:
                self.assertRaises(SystemExit, parse_options, ["--token-file", path])
            self.assertIn(f"--token-file: {path} can't be read: {why}", said.getvalue())
        path = str(scratch_path(self))
        for text in (f"{SECRET} {SECRET}", f"{SECRET}\u202e", ""):
            Path(path).write_text(text, encoding="utf-8")
            with redirect_stderr(io.StringIO()) as said:
                self.assertRaises(SystemExit, parse_options, ["--token-file", path])
            self.assertIn("expected a token", said.getvalue())
            self.assertNotIn(SECRET, said.getvalue())

    @needs_tls
    def test_certificates(self) -> None:
        """Certificates, keys and authorities, of a port and of the prompt."""
        own = str(Authority(scratch_folder(self)).issue("bridge"))
        for read in (
            lambda path: load_credentials(path, own),
            lambda path: load_credentials(own, path),
            lambda path: load_credentials(own, own, path),
            lambda path: client_options("h", path),
            lambda path: client_options("h", own, path),
            lambda path: client_options("h", own, own, path),
        ):
            self.assert_refused(read, ConfigError, "can't be read: ")

    @needs_tls
    def test_endpoint(self) -> None:
        """The files of an ``ssl:`` endpoint; to check the configuration's text alone reads none of them."""
        own = str(Authority(scratch_folder(self)).issue("bridge"))
        for text in (
            "ssl:1:privateKey={}",
            "ssl:1:{}:{own}",
            "ssl:certKey={}:port=1:privateKey={own}",
            "haproxy:ssl:1:privateKey={own}:dhParameters={}",
            "ssl:1:{own}:extraCertChain={}",
        ):
            for path, why in self.odd:
                endpoint = text.format(path, own=own)
                port = f"[[port]]\nname = 'p'\ninsecure = true\nendpoint = '{endpoint}'"
                self.assertEqual(problems(loading.load, port), [])
                error = self.assertRaises(ConfigError, endpoint_credentials, endpoint)
                self.assertEqual(str(error), f"{path}: can't be read: {why}")

    def test_journal(self) -> None:
        """A journal to be read or written, and what ``--check-config`` says of it."""
        self.assert_refused(lambda path: open_journal(Path(path)), JournalError, "can't be read: ")
        self.assert_refused(lambda path: Store(Path(path), None, lambda: 1), NotAJournalError)
        settings = "[[pair]]\nname = 'a'\ncommand_port = 0\nreply_port = 9\n[journal]\npath = '{}'"
        for path, why in self.odd:
            self.assertIn(
                f"journal.path: {path} can't be the journal: {why}",
                [*preflight.problems(loading.load(settings.format(path)))],
            )

    def test_too_large(self) -> None:
        """A file is not read beyond its bound."""
        path = scratch_path(self)
        path.write_bytes(b"#" * (MOST_TOML + 1))
        path.chmod(0o600)
        for load in (loading.load_file, tokens.load_file):
            [problem] = self.assertRaises(ConfigError, load, path).problems
            self.assertEqual(problem, f"can't be read: it is larger than {MOST_TOML} bytes")

    @needs_tls
    def test_many_beginnings(self) -> None:
        """Certificates that begin and never end are no certificate; it is found in one pass."""
        path = scratch_path(self)
        path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 30_000)
        [problem] = self.assertRaises(ConfigError, load_credentials, str(path), str(path)).problems
        self.assertEqual(problem, "expected a certificate, in PEM")


LONG = ".".join("a" * 20_000)
"""A key of 40 KB: Python's parser takes 5 s for it."""

COSTLY = (
    f"{LONG} = 1",
    f"[{LONG}]",
    f"[[{LONG}]]",
    f"a = {{{LONG} = 1}}",
    " . ".join(["'a'"] * 10_000) + " = 1",
    ".".join(['"a"', "b"] * 5_000) + " = 1",
    f"x = 1\n# \"\n{LONG} = '''",
    "a = " + "[" * 40_000,
    "a = " + "{a = " * 8_000,
)


class TOMLTests(SynchronousTestCase):
    """What TOML may cost."""

    def test_costly(self) -> None:
        """A key of thousands of parts, and nesting without end, are refused in every TOML file."""
        for text in COSTLY:
            reason = self.assertRaises(TOMLError, read_toml, text).reason
            self.assertRegex(reason, f"more than {MOST_PARTS} parts|nested too deeply")
            [problem] = problems(loading.load, text)
            self.assertIn(reason, problem)
            self.assertLess(len(problem), 200)
            [problem] = problems(lambda text: tokens.load(text.encode()), text)
            self.assertIn("not TOML in UTF-8 of a usual size", problem)

    def test_many_strings(self) -> None:
        """Quotes and escapes in plenty, which hide no key, are looked through once."""
        for text in ('"' + '\\"' * 60_000, '"\\' * 60_000, '"a"' * 40_000, "'" * 120_000, "a " * 60_000):
            self.assertIn("not TOML: ", self.assertRaises(TOMLError, read_toml, text).reason)

    def test_usual(self) -> None:
        """Dots in strings, names and numbers are no keys, and a few parts are taken."""
        text = 'a.b."c.d".e = "' + "1.2.3.4.5." * 10 + '"\n[x.y]\nz = [1.5, "10.0.0.1", 2.5]\n'
        tables = read_toml(text)
        self.assertEqual(tables["a"]["b"]["c.d"]["e"], "1.2.3.4.5." * 10)
        self.assertEqual(tables["x"]["y"]["z"], [1.5, "10.0.0.1", 2.5])

    def test_many_problems(self) -> None:
        """Of thousands of faults the first are told, and how many more there are."""
        for text in ("".join(f"k{number} = 1\n" for number in range(3000)), "[[pair]]\nk = 1\n" * 90):
            found = problems(loading.load, text)
            self.assertEqual(len(found), loading.MOST_PROBLEMS + 1)
            self.assertRegex(found[-1], r"^\d+ more problems$")
        many = "".join(f"[[token]]\nk{number} = 1\n" for number in range(1000))
        self.assertEqual(len(problems(lambda text: tokens.load(text.encode()), many)), tokens.MOST_PROBLEMS)


class TokensTests(SynchronousTestCase):
    """The file of tokens: a token in a wrong place, and whose file it is."""

    def test_no_text_is_told(self) -> None:
        """A token where a key, a section or a name belongs is told by its position alone."""
        for text, place in (
            (f"{SECRET} = 1\n{TOKEN}", "section 1 (line 1): "),
            (f"{TOKEN}[{SECRET}]\n", "section 2 (line 5): "),
            (f'{TOKEN}["{SECRET}"]\n', "section 2 (line 5): "),
            (f"{TOKEN}[[{SECRET}]]\n[{SECRET}x]\n", "section 2 (line 5): "),
            (f"{TOKEN}{SECRET} = 1\n", "token[1], key 4 (line 5): "),
            (f"{TOKEN}'{SECRET}' = 1\n", "token[1], key 4 (line 5): "),
            (f"{TOKEN}{SECRET}.x = 1\n", "token[1], key 4 (line 5): "),
            (f"{TOKEN}{TOKEN}".replace("night", SECRET), "token[2].name: "),
            (f"{TOKEN}{SECRET} = 1\n{SECRET} = 1\n", "line 6, column "),
            (f"{TOKEN}{SECRET} {SECRET}\n", "line 5, column "),
            (f"{TOKEN}[{SECRET}]\n[{SECRET}]\n", "line 6, column "),
            (TOKEN.replace("command", SECRET), "token[1].roles: "),
            (f"{TOKEN}source = '{SECRET}'\n", "token[1].source: "),
        ):
            found = problems(lambda text: tokens.load(text.encode()), text)
            self.assertTrue(any(problem.startswith(place) for problem in found), (place, found))
            self.assertNotIn(SECRET, "".join(found))

    def owned(self, by: int, mode: int = 0o600) -> Path:
        """A file of tokens that seems to belong to a user."""
        path = scratch_path(self)
        path.write_text(TOKEN)
        status = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, by, 0, len(TOKEN), 0, 0, 0))
        self.patch(tokens, "read_file", lambda path, most: files.Content(TOKEN.encode(), status))
        return path

    def test_owner(self) -> None:
        """The file is the daemon's user's or root's; another user's is refused, whatever its mode."""
        me = os.geteuid()
        for owner in (me, 0):
            self.assertIsNotNone(tokens.load_file(self.owned(owner)).user(SECRET))
        for mode in (0o600, 0o400):
            [problem] = self.assertRaises(ConfigError, tokens.load_file, self.owned(me + 4711, mode)).problems
            self.assertIn(f"it belongs to another user (id {me + 4711})", problem)

    def test_owner_to_be(self) -> None:
        """With ``twistd --uid`` the file may be of that user, who the daemon is not yet."""
        owner = os.geteuid() + 4711
        self.assertIsNotNone(tokens.load_file(self.owned(owner), (owner,)).user(SECRET))
        self.assertRaises(ConfigError, tokens.load_file, self.owned(owner + 1), (owner,))
        for uid, is_right in ((owner, True), (owner + 1, False), (None, False)):
            options: Any = bridge.Options()
            options.parent = {"uid": uid}
            path = self.owned(owner)
            settings = scratch_path(self)
            settings.write_text(f"[[pair]]\nname='a'\ncommand_port=0\nreply_port=9\n[web]\ntokens='{path}'\n")
            words = ["--config", str(settings), "--journal=none", "--check-config"]
            said = str(self.assertRaises(SystemExit, options.parseOptions, words).code)
            self.assertEqual("belongs to another user" not in said, is_right, said)
