"""Build the release of a tag into dist/, and check all that can be checked before it is published.

    .venv/bin/python .ci/release.py [TAG]

Without a tag only the sdist, the wheel and their metadata are checked: that can be done at any time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def run(*words: str | Path) -> None:
    """Run a module of this Python, show it, and end if it fails."""
    print("+ python -m", *words, flush=True)
    status = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=False).returncode
    if status:
        sys.exit(f"release: exit status {status} of: python -m {' '.join(map(str, words))}")


def faults(tag: str, metadata: str, cited: str, news: str, fragments: list[str]) -> list[str]:
    """Return a line for each reason why a tag can't be published.

    :param tag: such as ``v0.2.0``.
    :param metadata: the text of ``METADATA`` in the wheel.
    :param cited: the text of ``CITATION.cff``.
    :param news: the text of ``NEWS.rst``; "" if there is none.
    :param fragments: the names of the files of news that towncrier has not collected.
    """
    head = metadata.partition("\n\n")[0]
    version = re.findall(r"^Version: (.*)$", head, re.M)[0]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, the version {version}: correct one of them")
    if f"\nversion: {version}\n" not in cited:
        found.append(f"CITATION.cff: expected the line 'version: {version}'")
    if f"mtmount_twisted {version} (" not in news:
        found.append(f"NEWS.rst: no section for {version}: run .venv/bin/towncrier build --version {version}")
    if fragments:
        found.append(f"newsfragments: {len(fragments)} files are not in NEWS.rst, such as {min(fragments)}")
    placeholders = sorted(set(re.findall(r"[\w@/:.-]*\.example\b[\w/-]*", head)))
    if placeholders:
        found.append(f"setup.cfg: replace the placeholders {', '.join(placeholders)}")
    return found


def uncollected(folder: Path) -> list[str]:
    """Return the names of the files of news; the page about them is none."""
    return [path.name for path in folder.glob("*.rst") if path.name != "README.rst"]


def main(tag: str) -> None:
    """Build, check, and print the files to publish."""
    shutil.rmtree(DIST, ignore_errors=True)
    run("reuse", "lint", "--lines")
    run("check_manifest")
    run("build", "--outdir", DIST)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run("twine", "check", "--strict", wheel, sdist)
    run("pyroma", "-n", "10", sdist)
    if tag:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
            metadata = archive.read(name).decode()
        news = ROOT / "NEWS.rst"
        wrong = faults(
            tag,
            metadata,
            (ROOT / "CITATION.cff").read_text(encoding="utf-8"),
            news.read_text(encoding="utf-8") if news.exists() else "",
            uncollected(ROOT / "newsfragments"),
        )
        if wrong:
            sys.exit("\n".join(f"release: {why}" for why in wrong))
    print(f"release: ready to publish: {wheel.name} {sdist.name}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
