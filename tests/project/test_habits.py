"""The files around the code that a stranger expects: each says the same as the code and the other files."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.pages import README, ROOT


def setup_cfg() -> ConfigParser:
    """Return the package's metadata."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def read(name: str | Path) -> str:
    """Return a file of the repository, as text."""
    return (ROOT / name).read_text(encoding="utf-8")


class MetadataTests(SynchronousTestCase):
    """The page of the package on PyPI, and its licence."""

    def test_readme_without_files(self) -> None:
        """PyPI shows the README alone: a picture or a link to a file here would be broken there."""
        text = README.read_text(encoding="utf-8")
        targets = re.findall(r"(?:image|figure):: *(\S+)|`[^`]*<([^>]+)>`_|^\.\. _[^:]+: *(\S+)", text, re.M)
        relative = [target for found in targets for target in found if target and "://" not in target]
        self.assertEqual(relative, [])

    def test_licence(self) -> None:
        """`LICENSE`, the metadata and ``REUSE.toml`` name one licence and one holder, for all files."""
        licence = setup_cfg()["metadata"]["license_expression"]
        self.assertEqual(read("LICENSE"), read(f"LICENSES/{licence}.txt"))
        (annotation,) = tomllib.loads(read("REUSE.toml"))["annotations"]
        self.assertEqual((annotation["path"], annotation["SPDX-License-Identifier"]), ("**", licence))
        self.assertIn(f"Copyright (c) {annotation['SPDX-FileCopyrightText']}", read("LICENSE"))
