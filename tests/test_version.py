"""The version that each part of the product shows is the package's own."""

from __future__ import annotations

import configparser
import contextlib
import io
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import mtmount_twisted
from mtmount_twisted.app import bridge
from mtmount_twisted.app import simulator as simulator_tap
from mtmount_twisted.cli.commander.options import parse_options as commander_options
from mtmount_twisted.cli.journal.options import parse_options as journal_options

from .support.pages import DOCS

PROGRAMS: dict[str, Callable[[list[str]], Any]] = {
    "mtmount-bridge": lambda words: bridge.Options().parseOptions(words),
    "mtmount-simulator": lambda words: simulator_tap.Options().parseOptions(words),
    "mtmount-commander": commander_options,
    "mtmount-journal": journal_options,
}


class VersionTests(SynchronousTestCase):
    """One version, everywhere."""

    def test_one_source(self) -> None:
        """The version of an installed package is read from the module that programs read it from."""
        setup = configparser.ConfigParser()
        setup.read(DOCS.parent / "setup.cfg", encoding="utf-8")
        self.assertEqual(setup["metadata"]["version"], "attr: mtmount_twisted.version.__version__")
        self.assertRegex(mtmount_twisted.__version__, r"^\d+\.\d+\.\d+$")

    def test_every_program(self) -> None:
        """``--version`` of every program shows its name and the package's version, with status 0."""
        for name, parse in PROGRAMS.items():
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                ended = self.assertRaises(SystemExit, parse, ["--version"])
            self.assertIn(ended.code, (0, None), name)
            self.assertEqual(output.getvalue(), f"{name} {mtmount_twisted.__version__}\n")
