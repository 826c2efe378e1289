"""The file of tokens, and what is said of one that is wrong."""

from __future__ import annotations

import os
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.enums import Source
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.frontends.web.http import tokens
from tests.support.folders import scratch_folder, scratch_path
from tests.support.pages import DOCS, blocks

SECRET = "0123456789abcdef"
RIGHT = f'[[token]]\nname = "night"\nsecret = "{SECRET}"\nroles = ["command"]\n'


def problems(text: str) -> list[str]:
    """What is wrong with a file of tokens, or nothing."""
    try:
        tokens.load(text.encode())
    except ConfigError as error:
        return list(error.problems)
    return []


class Loading(SynchronousTestCase):
    """What is right."""

    def test_users(self) -> None:
        """Each secret is one user's, with the roles and the source that are said; nobody's is no user."""
        other = SECRET[::-1]
        text = f'[[token]]\nname = "wall"\nsecret = "{other}"\nroles = ["observe"]\nsource = "EUI"\n'
        loaded = tokens.load((RIGHT + text).encode())
        night, wall = loaded.user(SECRET), loaded.user(other)
        assert night is not None and wall is not None
        self.assertEqual((night.commander, night.source), ("web/night", Source.CSC))
        self.assertEqual((wall.name, wall.roles, wall.source), ("wall", {"observe"}, Source.EUI))
        for secret in ("", SECRET[:-1], SECRET + "0", "\ud800"):
            self.assertIsNone(loaded.user(secret))

    def test_roles(self) -> None:
        """Who may command may do the rest, and who may stop may look."""
        for given, expected in (
            ('["command"]', {"observe", "command", "stop"}),
            ('["stop"]', {"observe", "stop"}),
            ('["observe"]', {"observe"}),
            ('["observe", "stop"]', {"observe", "stop"}),
        ):
            user = tokens.load(RIGHT.replace('["command"]', given).encode()).user(SECRET)
            self.assertEqual(user and user.roles, expected)

    def test_byte_order_mark(self) -> None:
        """A byte order mark, which some editors write before UTF-8, changes nothing."""
        path = scratch_path(self)
        path.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
        path.chmod(0o600)
        self.assertIsNotNone(tokens.load_file(path).user(SECRET))

    def test_file(self) -> None:
        """A file is read that only its owner may read; of another, the line says how to mend it."""
        path = scratch_path(self)
        path.write_text(RIGHT)
        path.chmod(0o600)
        self.assertIsNotNone(tokens.load_file(path).user(SECRET))
        for mode in (0o640, 0o604, 0o620, 0o677):
            path.chmod(mode)
            with self.assertRaises(ConfigError) as caught:
                tokens.load_file(path)
            [problem] = caught.exception.problems
            self.assertIn(f"mode {mode:o}", problem)
            self.assertIn(f"chmod 600 {path}", problem)

    def test_credential(self) -> None:
        """A file that systemd keeps for the daemon may look as if its group could read it."""
        path = scratch_path(self)
        path.write_text(RIGHT)
        path.chmod(0o640)
        with mock.patch.dict(os.environ, {"CREDENTIALS_DIRECTORY": str(path.parent)}):
            self.assertIsNotNone(tokens.load_file(path).user(SECRET))
        with mock.patch.dict(os.environ, {"CREDENTIALS_DIRECTORY": str(path.parent.parent)}):
            self.assertRaises(ConfigError, tokens.load_file, path)

    def test_mounted(self) -> None:
        """A secret that a container has mounted is read: for a group anywhere, for all only in its folder."""
        folder = scratch_folder(self)
        self.patch(tokens, "MOUNTED_SECRETS", str(folder / "secrets"))
        mounted, elsewhere = folder / "secrets" / "..data" / "tokens", folder / "secrets-of-others"
        mounted.parent.mkdir(parents=True)
        link = folder / "secrets" / "tokens"
        link.symlink_to(mounted)
        for path, right, wrong in (
            (mounted, (0o440, 0o444, 0o644), (0o460, 0o446, 0o445)),
            (elsewhere, (0o440,), (0o444, 0o460, 0o640)),
        ):
            path.write_text(RIGHT)
            for mode in right:
                path.chmod(mode)
                self.assertIsNotNone(tokens.load_file(path).user(SECRET), oct(mode))
            for mode in wrong:
                path.chmod(mode)
                self.assertRaises(ConfigError, tokens.load_file, path)
        mounted.chmod(0o444)
        self.assertIsNotNone(tokens.load_file(link).user(SECRET))
        link.unlink()
        link.symlink_to(elsewhere)
        elsewhere.chmod(0o444)
        self.assertRaises(ConfigError, tokens.load_file, link)

    def test_documentation(self) -> None:
        """The file that the documentation shows is right."""
        [example] = [
            block.text for block in blocks(DOCS / "reference" / "web.rst") if "[[token]]" in block.text
        ]
        self.assertEqual(problems(example), [])

    def test_no_file(self) -> None:
        """A file that is not there is one line."""
        with self.assertRaises(ConfigError) as caught:
            tokens.load_file(str(scratch_path(self)))
        self.assertEqual(caught.exception.problems, ("can't be read: No such file or directory",))


class Problems(SynchronousTestCase):
    """What is wrong, told without any secret."""

    def test_each(self) -> None:
        """Each fault is a line with its place."""
        for change, to, expected in (
            ('name = "night"', "", "token[1].name: expected letters"),
            ('"night"', '"a b"', "token[1].name: expected letters"),
            ('"night"', '"controller"', "token[1].name: expected none of bridge"),
            (f'"{SECRET}"', f'"{SECRET[1:]}"', "token[1].secret: expected at least 16"),
            (f'"{SECRET}"', "1234567890123456", "token[1].secret: expected at least 16"),
            (f'"{SECRET}"', '"0123456789ábcdef"', "token[1].secret: expected at least 16"),
            (f'"{SECRET}"', f'"{SECRET} x"', "token[1].secret: expected no spaces"),
            ('["command"]', '"command"', "token[1].roles: expected a list of observe, command, stop"),
            ('["command"]', "[]", "token[1].roles: expected a list"),
            ('["command"]', '["comand"]', "token[1].roles: expected a list"),
            ('["command"]', "[[]]", "token[1].roles: expected a list"),
            ("roles", 'source = "BRIDGE"\nroles', "token[1].source: expected CSC or EUI or HHD"),
            ("roles", "source = []\nroles", "token[1].source: expected CSC or EUI or HHD"),
            ("roles", "role = 1\nroles", "token[1], key 3 (line 4): unknown; expected one of name, secret"),
        ):
            found = problems(RIGHT.replace(change, to))
            self.assertEqual(len(found), 1, (to, found))
            self.assertTrue(found[0].startswith(expected), found)

    def test_twice(self) -> None:
        """Neither name nor secret may be another token's."""
        self.assertEqual(
            problems(RIGHT * 2),
            [
                "token[2].name: another token has the same name",
                "token[2].secret: another token has the same secret",
            ],
        )

    def test_shape(self) -> None:
        """A file without tokens, or with something else, is told."""
        for text in ("", "token = 5", "token = [5]", "token = []", '[token]\nname = "x"'):
            self.assertEqual(problems(text), ["expected one [[token]] section for each token"])
        expected = ["section 2 (line 5): unknown section; expected [[token]]"]
        self.assertEqual(problems(RIGHT + "[tokens]"), expected)

    def test_no_secret_is_told(self) -> None:
        """Whatever is wrong, no secret is in the error."""
        for text in (
            RIGHT.replace("secret = ", "secret "),
            RIGHT.replace('"0', "0"),
            RIGHT * 2,
            RIGHT.replace("secret", "secrets"),
            RIGHT.replace(SECRET, f"{SECRET} é"),
        ):
            found = problems(text)
            self.assertNotEqual(found, [])
            self.assertNotIn(SECRET[1:], "".join(found))
        with self.assertRaises(ConfigError) as caught:
            tokens.load(b"\xff" + RIGHT.encode())
        self.assertIsNone(caught.exception.__cause__)
        self.assertEqual(caught.exception.problems, ("line 1, column 1: not TOML in UTF-8 of a usual size",))
