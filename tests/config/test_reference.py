"""``docs/bridge.toml`` and ``docs/reference/configuration.rst`` agree with the settings."""

from __future__ import annotations

import re
import textwrap

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config import loading
from mtmount_twisted.config.tables import keys, sections
from tests.support.generator import load_generator

from .test_loading import REFERENCE, ROOT, all_examples, every_key, problems


class Reference(SynchronousTestCase):
    """``docs/bridge.toml`` and ``docs/reference/configuration.rst`` against the classes."""

    def parts(self) -> dict[str, str]:
        """The reference's text by section."""
        pieces = re.split(
            r"^#?\[{1,2}([\w.]+)\]{1,2}\n", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        return dict(zip(pieces[1::2], pieces[2::2]))

    def page(self) -> str:
        """Return the documentation's text."""
        return (ROOT / "docs" / "reference" / "configuration.rst").read_text(encoding="utf-8")

    def test_loads_to_the_default(self) -> None:
        """As it stands, the reference is what holds with no file."""
        self.assertEqual(loading.load_file(REFERENCE), loading.default_config())

    def test_examples_are_right(self) -> None:
        """With its examples turned on, the reference is right, and has every section."""
        loaded = loading.load(all_examples())
        self.assertIsNotNone(loaded.controller)
        self.assertEqual((len(loaded.pairs), len(loaded.ports)), (1, 1))

    def test_sections(self) -> None:
        """The reference has each section once, in the order of the classes."""
        self.assertEqual(list(self.parts()), list(sections(loading.Config)))

    def test_every_key(self) -> None:
        """Each key of the classes, and no other, is in the reference and has a row in the documentation."""
        for section, each in sections(loading.Config).items():
            names = re.findall(r"^#?(\w+) = ", self.parts()[section], re.MULTILINE)
            self.assertEqual(names, list(keys(each.cls)))
        rows = re.findall(r"^   \* - ``(\w+)``\n(?:     - .+\n){3}", self.page(), re.MULTILINE)
        self.assertEqual(rows, [name for _, name, _ in every_key()])
        titles = re.findall(r"^``\[+([\w.]+)\]+``$", self.page(), re.MULTILINE)
        self.assertEqual(titles, list(sections(loading.Config)))

    def test_generated(self) -> None:
        """Each generated file on disk is the output of ``make docs-generated``."""
        for path, text in load_generator().generated():
            self.assertEqual(path.read_text(encoding="utf-8"), text, f"{path.name}: run make docs-generated")

    def test_text_by_hand_stays(self) -> None:
        """What is written by hand stands before the line that the generator looks for, and stays."""
        generator = load_generator()
        text = generator.rst_file(f"By hand.\n\n{generator.MARK}\nOld.\n")
        self.assertTrue(text.startswith(f"By hand.\n\n{generator.MARK}\n``[controller]``\n"))
        self.assertNotIn("Old.", text)
        self.assertIn("--check-config", self.page().partition(generator.MARK)[0])
        error = self.assertRaises(SystemExit, generator.rst_file, "By hand.\n")
        self.assertIn(generator.MARK, str(error))

    def test_shown_example(self) -> None:
        """The documentation's example is right, and its problems are what is said of such a file."""
        example, told = re.findall(r"\.\. code-block:: \w+\n\n((?:    .*\n|\n)+)", self.page())[:2]
        example = textwrap.dedent(example)
        self.assertEqual(problems(example), [])
        wrong = example.replace("60005", "70000").replace("command_port = 4", "comand_port = 4")
        self.assertEqual(
            [f"bridge.toml: {line}" for line in problems(wrong)], textwrap.dedent(told).split("\n")[:3]
        )

    def test_every_key_is_explained(self) -> None:
        """Each key has words of its own, and each number its bounds."""
        for section, name, key in every_key():
            self.assertGreater(len(key.doc), 10, (section, name))
            if key.kind in (int, float):
                self.assertIsNotNone(key.least, (section, name))
