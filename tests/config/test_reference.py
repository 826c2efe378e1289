"""``docs/bridge.toml`` and ``docs/configuration.rst`` say what the classes of the configuration say."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config import loading
from mtmount_twisted.config.tables import Key, Section, keys, sections

from .test_loading import OFF, REFERENCE, ROOT, every_key, problems


def toml_doc(key: Key) -> str:
    """The comment above a key in the reference."""
    default = "" if not key.default_words else f" Default: {key.default_words}.".replace("`", "")
    words = f"{key.doc[0].upper()}{key.doc[1:]}. {key.expected[0].upper()}{key.expected[1:]}.{default}"
    return textwrap.fill(words, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def toml_value(value: Any) -> str:
    """A default as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(each) for each in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def table_row(name: str, key: Key) -> str:
    """A key's row in the documentation."""
    words = key.default_words.replace("`", "``")
    if key.default is attrs.NOTHING:
        words = "(required)"
    elif not words:
        words = f"``{toml_value(key.default)}``"
    expected = re.sub(r'("\w+")', r"``\1``", key.expected)
    return f"   * - ``{name}``\n     - {expected}\n     - {words}\n     - {key.doc}\n"


class Reference(SynchronousTestCase):
    """``docs/bridge.toml`` and ``docs/configuration.rst`` against the classes."""

    def parts(self) -> dict[str, str]:
        """The reference's text by section."""
        pieces = re.split(
            r"^#?\[{1,2}(\w+)\]{1,2}\n", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        return dict(zip(pieces[1::2], pieces[2::2]))

    def test_loads_to_the_default(self) -> None:
        """As it stands, the reference is what holds with no file."""
        self.assertEqual(loading.load_file(REFERENCE), loading.default_config())

    def test_examples_are_right(self) -> None:
        """With its examples turned on, the reference is right, and has every section."""
        loaded = loading.load(OFF.sub("", REFERENCE.read_text(encoding="utf-8")))
        self.assertIsNotNone(loaded.controller)
        self.assertEqual((len(loaded.pairs), len(loaded.ports)), (1, 1))

    def test_sections(self) -> None:
        """The reference has each section once, in the order of the classes."""
        self.assertEqual(list(self.parts()), list(sections(loading.Config)))

    def test_every_key(self) -> None:
        """Each key of the classes, and no other, is in the reference: its doc line, and its default."""
        for section, each in sections(loading.Config).items():
            part = self.parts()[section]
            self.assertEqual(re.findall(r"^#?(\w+) = ", part, re.MULTILINE), list(keys(each.cls)))
            for name, key in keys(each.cls).items():
                match = re.search(rf"^{re.escape(toml_doc(key))}\n#?{name} = (.+)$", part, re.MULTILINE)
                self.assertIsNotNone(match, f"{section}.{name}: {toml_doc(key)}")
                assert match is not None
                if key.default is not attrs.NOTHING and not key.default_words:
                    self.assertEqual(match[1], toml_value(key.default), name)

    def test_documentation(self) -> None:
        """Each section's table in the documentation has a row for each key, and no other row."""
        text = (ROOT / "docs" / "configuration.rst").read_text(encoding="utf-8")
        rows = re.findall(r"^   \* - ``\w+``\n(?:     - .+\n)+", text, re.MULTILINE)
        self.assertEqual(rows, [table_row(name, key) for _, name, key in every_key()])
        self.assertEqual(re.findall(r"^``\[+(\w+)\]+``$", text, re.MULTILINE), list(sections(loading.Config)))
        for section in sections(loading.Config).values():
            self.assertIn(first_words(section), text)

    def test_shown_example(self) -> None:
        """The documentation's example is right, and its problems are what is said of such a file."""
        text = (ROOT / "docs" / "configuration.rst").read_text(encoding="utf-8")
        example, told = re.findall(r"\.\. code-block:: \w+\n\n((?:    .*\n|\n)+)", text)[:2]
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


def first_words(section: Section) -> str:
    """What a section's class says it is."""
    return (section.cls.__doc__ or "").splitlines()[0]
