"""The files around the code that a stranger expects: each says the same as the code and the other files."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType

import yaml
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.version import __version__
from tests.support.folders import scratch_folder
from tests.support.pages import README, ROOT, blocks


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

    def test_citation(self) -> None:
        """``CITATION.cff`` cites this version under this licence."""
        cited = yaml.safe_load(read("CITATION.cff"))
        self.assertEqual(
            (cited["title"], cited["version"], cited["license"]), ("mtmount_twisted", __version__, "MIT")
        )


class WorkflowTests(SynchronousTestCase):
    """``.github/workflows`` and ``.pre-commit-config.yaml``: they call the tools of ``.ci/run``."""

    def steps(self) -> dict[str, str]:
        """Return the body of each step of ``.ci/run``."""
        return dict(re.findall(r"^step_(\w+)\(\) \{\n(.*?)^\}", read(".ci/run"), re.M | re.S))

    def test_each_python(self) -> None:
        """CI runs every Python that the metadata names, and all steps on one of them."""
        named = re.findall(r"Python :: (3\.\d+)", setup_cfg()["metadata"]["classifiers"])
        job = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["run"]
        matrix = {each["python"]: each["steps"] for each in job["strategy"]["matrix"]["include"]}
        self.assertEqual(list(matrix), named)
        self.assertIn("", matrix.values())
        self.assertLessEqual({step for steps in matrix.values() for step in steps.split()}, set(self.steps()))
        self.assertEqual(job["steps"][-1]["run"], "bash .ci/run ${{ matrix.steps }}")

    def test_release(self) -> None:
        """A tag is built and checked by a step of ``.ci/run``; the next job publishes, without a token."""
        jobs = yaml.safe_load(read(".github/workflows/release.yml"))["jobs"]
        self.assertIn("bash .ci/run release", [step.get("run") for step in jobs["build"]["steps"]])
        self.assertIn(".ci/release.py", self.steps()["release"])
        self.assertNotIn("permissions", jobs["build"])
        self.assertEqual(
            (jobs["publish"]["needs"], jobs["publish"]["permissions"]), ("build", {"id-token": "write"})
        )

    def test_hooks(self) -> None:
        """Each hook runs a command of the steps `lint` and `types`, and each such command has a hook."""
        (local,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
        hooks = [hook["entry"].removeprefix(".venv/bin/python ") for hook in local["hooks"]]
        steps = self.steps()
        commands = re.findall(r'"\$PYTHON" (.*)', steps["lint"] + steps["types"])
        self.assertEqual(sorted(hooks), sorted(command.removesuffix(" .") for command in commands))


class ContributingTests(SynchronousTestCase):
    """``CONTRIBUTING.rst``."""

    def test_places(self) -> None:
        """Each file and folder that the page names is there, and so is each step of ``.ci/run``."""
        text = read("CONTRIBUTING.rst")
        named = re.findall(r"``((?:mtmount_twisted|tests|docs|prometheus|\.ci)/[\w./-]+)``", text)
        commands = "\n".join(block.text for block in blocks(ROOT / "CONTRIBUTING.rst"))
        named += re.findall(r"tests/[\w/]+\.py", commands)
        self.assertGreater(len(named), 15)
        self.assertEqual([name for name in named if "NAME" not in name and not (ROOT / name).exists()], [])
        (steps,) = re.findall(r"bash \.ci/run ([\w ]+)\n", commands)
        ours = re.findall(r"^step_(\w+)", read(".ci/run"), re.M)
        self.assertEqual(set(steps.split()) - set(ours), set())


def release() -> ModuleType:
    """Return ``.ci/release.py``."""
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ReleaseTests(SynchronousTestCase):
    """The checks of a tag."""

    METADATA = "Name: mtmount_twisted\nVersion: 0.2.0\nHome-page: https://mount.org/\n\na mount.example"
    CITED = "title: x\nversion: 0.2.0\nlicense: MIT\n"
    NEWS = "mtmount_twisted 0.2.0 (2026-12-01)\n====\n"

    def test_right(self) -> None:
        """A tag of the version that is cited, with its news, is published; the README may have examples."""
        self.assertEqual(release().faults("v0.2.0", self.METADATA, self.CITED, self.NEWS, []), [])

    def test_news(self) -> None:
        """A file of news that is not collected is named; the page that explains them is not news."""
        folder = scratch_folder(self)
        for name in ("README.rst", "17.doc.rst", "notes.txt"):
            (folder / name).write_text("A line.\n", encoding="utf-8")
        self.assertEqual(release().uncollected(folder), ["17.doc.rst"])

    def test_each_fault(self) -> None:
        """Each disagreement is one line that says what to correct."""
        metadata = self.METADATA.replace("mount.org", "mount.example")
        found = release().faults("v0.3.0", metadata, "version: 0.1.0\n", "", ["17.doc.rst"])
        self.assertEqual(
            found,
            [
                "the tag is v0.3.0, the version 0.2.0: correct one of them",
                "CITATION.cff: expected the line 'version: 0.2.0'",
                "NEWS.rst: no section for 0.2.0: run .venv/bin/towncrier build --version 0.2.0",
                "newsfragments: 1 files are not in NEWS.rst, such as 17.doc.rst",
                "setup.cfg: replace the placeholders https://mount.example/",
            ],
        )
