"""``share``: the man pages and completions of the programs have their present options."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
from types import ModuleType
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from tests.support.pages import ROOT

SHARE = ROOT / "share"


def generator() -> ModuleType:
    """Return ``docs/generate_programs.py``, of which only `parsers` needs no generator."""
    spec = importlib.util.spec_from_file_location("generate_programs", ROOT / "docs" / "generate_programs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the long options of a parser and of its subcommands."""
    found = set()
    for action in parser._actions:
        found |= {option for option in action.option_strings if option.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                found |= options(each)
    return found


class ShareTests(SynchronousTestCase):
    """The files of ``make programs``."""

    def setUp(self) -> None:
        self.parsers = {parser.prog: parser for parser in generator().parsers()}

    def test_every_program(self) -> None:
        """Each console script has a man page and a completion for each shell, and no other program has."""
        scripts = set(re.findall(r"^    (mtmount-\w+) = ", (ROOT / "setup.cfg").read_text(), re.M))
        self.assertEqual(set(self.parsers), scripts)
        places = ["man/man1/{}.1", *generator().COMPLETIONS.values()]
        wanted = {SHARE / place.format(name) for place in places for name in scripts}
        self.assertEqual({path for path in SHARE.rglob("*") if path.is_file()}, wanted)

    def test_options(self) -> None:
        """Each page and each completion has all options of its program, and no other."""
        for name, parser in self.parsers.items():
            wanted = options(parser)
            page = (SHARE / "man" / "man1" / f"{name}.1").read_text(encoding="utf-8").replace("\\-", "-")
            named = set(re.findall(r"(?<!-)--\w[\w-]*", page)) | {"--help"}
            self.assertEqual(wanted - named, set(), f"{name}.1: run make programs")
            defined = set(re.findall(r"\\fB(--[\w-]+)\\fR", page))
            self.assertEqual(defined - wanted, set(), f"{name}.1: run make programs")
            for shell, place in generator().COMPLETIONS.items():
                text = (SHARE / place.format(name)).read_text(encoding="utf-8")
                pattern = r"-l ([\w-]+)" if shell == "fish" else r"--([a-z][\w-]*)"
                known = {f"--{each}" for each in re.findall(pattern, text)}
                self.assertEqual(wanted - known, set(), f"{shell}, {name}: run make programs")

    def test_name(self) -> None:
        """The first section of each page is the name and one phrase, which ``apropos`` shows."""
        for name in self.parsers:
            page = (SHARE / "man" / "man1" / f"{name}.1").read_text(encoding="utf-8").splitlines()
            self.assertEqual(page[1], ".SH NAME")
            printed, _, about = page[2].replace("\\-", "-").partition(" - ")
            self.assertEqual(printed, name)
            self.assertRegex(about, r"^[A-Z].+[^.]$")

    def test_no_line_is_lost(self) -> None:
        """No line of text begins as a request to troff, which would print nothing of it."""
        for name in self.parsers:
            page = (SHARE / "man" / "man1" / f"{name}.1").read_text(encoding="utf-8")
            self.assertEqual(re.findall(r"^'.*", page, re.MULTILINE), [], name)

    def test_no_home(self) -> None:
        """A default path is that of the reader, not that of the machine that wrote the page."""
        for path in SHARE.rglob("*"):
            if path.is_file():
                self.assertNotRegex(path.read_text(encoding="utf-8"), r"/root|/home", str(path))

    @skipIf(shutil.which("bash") is None, "there is no bash")
    def test_bash(self) -> None:
        """bash completes the begin of an option, of a dialect, and of a subcommand."""
        for words, expected in (
            (["mtmount-bridge", "--doc"], "--doctor"),
            (["mtmount-simulator", "--dialect", "tma202"], "tma2022"),
            (["mtmount-journal", "exp"], "export"),
        ):
            file = SHARE / "bash-completion" / "completions" / words[0]
            script = (
                f'source "{file}"; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; '
                f'call=$(complete -p {words[0]} | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$call"; '
                'printf "%s\\n" "${COMPREPLY[@]}"'
            )
            done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
            self.assertIn(expected, done.stdout.split(), done.stderr)
