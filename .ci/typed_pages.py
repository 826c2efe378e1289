"""Check the Python of README and docs with mypy --strict and with pyright, as its reader would.

    .venv/bin/python .ci/typed_pages.py [PAGE...]

Each block of ``python`` is a module of its own, with the name of the file that it is saved as. So are the
examples (``>>>``) of a page, unless they use the names of a test. Two marks exempt a block: ``.. not typed:
WHY``, and ``.. not run: WHY``. Calls of functions without annotations are allowed, because Twisted has such.
pyright takes the Python on PATH, so PATH begins with ``.venv/bin``.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.pages import DOCS, README, blocks  # noqa: E402


def modules(page: Path) -> list[tuple[str, str]]:
    """Return the name and the text of each module of a page."""
    stem = re.sub(r"\W", "_", page.stem)
    found = [
        (Path(block.mark("save as") or f"{stem}_{block.line}.py").stem, block.text)
        for block in blocks(page)
        if block.language == "python" and not block.mark("not run") and not block.mark("not typed")
    ]
    text = page.read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_examples(text)
    if examples and ".. examples tested by:" not in text:
        # each line stands where it stands on the page
        lines = [""] * (text.count("\n") + 1)
        for example in examples:
            source = example.source.rstrip("\n").split("\n")
            lines[example.lineno : example.lineno + len(source)] = source
        found.append((stem, "\n".join(lines) + "\n"))
    return found


def main(names: list[str]) -> int:
    """Write the modules, then check them all at once."""
    pages = [README, *sorted(DOCS.rglob("*.rst"))]
    with tempfile.TemporaryDirectory(prefix="mtmount-typed-pages-") as temporary:
        folder = Path(temporary)
        count = 0
        for page in pages:
            for name, text in modules(page) if not names or page.name in names else ():
                with (folder / f"{name}.py").open("x", encoding="utf-8") as file:  # each name once
                    file.write(text)
                count += 1
        (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}', encoding="utf-8")
        settings = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache")
        files = sorted(folder.glob("*.py"))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "MYPYPATH": str(ROOT), "PATH": path, "PYTHONPATH": str(ROOT)}
        wrong = 0
        for command in (
            (sys.executable, "-m", "mypy", *settings, "--strict", "--allow-untyped-calls", *files),
            ("pyright", "--project", folder),
        ):
            done = subprocess.run(
                command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, check=False
            )
            if done.returncode:
                wrong = 1
                print(done.stdout.replace(f"{folder}/", ""))
        print(f"typed pages: {count} modules are {'wrong' if wrong else 'right'}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
