"""Sum the reports of the test runners: ``tests: N passed, N failed, N skipped``.

    python .ci/summary.py FOLDER

FOLDER holds the reports, ``*.xml`` in JUnit's format as pytest writes them. An error in a test's set-up, or
in a module that can't be imported, counts as a failure, and so does a report that breaks off.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def summary(folder: Path) -> str:
    """Return the line for all reports of a folder."""
    passed = failed = skipped = 0
    for report in folder.glob("*.xml"):
        try:
            suites = list(ElementTree.parse(report).iter("testsuite"))
        except ElementTree.ParseError as error:
            print(f"{report}: {error}", file=sys.stderr)
            failed += 1
            continue
        for suite in suites:
            counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
            bad = counts["failures"] + counts["errors"]
            failed += bad
            skipped += counts["skipped"]
            passed += counts["tests"] - bad - counts["skipped"]
    return f"tests: {passed} passed, {failed} failed, {skipped} skipped"


if __name__ == "__main__":
    print(summary(Path(sys.argv[1])))
