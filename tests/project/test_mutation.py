"""``python -m mutation``: its targets and explanations are about code and tests that there are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mutation.__main__ import Survivor, explained, judge, targets

ROOT = Path(__file__).resolve().parent.parent.parent

DIFF = """\
--- mutation diff ---
--- a/mtmount_twisted/bridge/lease.py
+++ b/mtmount_twisted/bridge/lease.py
@@ -20,3 +20,3 @@
     def of(self, client: Any) -> int:
-        return self.number if self.holder is client else 0
+        return self.number if self.holder is not client else 0
"""


def work(outcome: str, worker: str = "normal", diff: str = DIFF, function: str = "of") -> bytes:
    """A line of ``cosmic-ray dump``."""
    mutation = {"operator_name": "core/NumberReplacer", "definition_name": function}
    result = {"worker_outcome": worker, "test_outcome": outcome, "diff": diff, "output": ""}
    return json.dumps([{"job_id": "1", "mutations": [mutation]}, result]).encode()


class MutationTests(SynchronousTestCase):
    """What is mutated, and what is made of it."""

    def test_targets(self) -> None:
        """Each target names a module and tests that there are."""
        for target in targets():
            self.assertTrue((ROOT / target.module).is_file(), target.module)
            for name in target.tests:
                self.assertTrue((ROOT / "tests" / f"{name}.py").is_file(), name)

    def test_explanations(self) -> None:
        """What is explained to make no difference is a change of a line that a target has."""
        lines = {
            target.name: {
                line.strip() for line in (ROOT / target.module).read_text(encoding="utf-8").splitlines()
            }
            for target in targets()
        }
        for survivor in explained():
            self.assertIn(survivor.before, lines[survivor.target])
            self.assertNotEqual(survivor.before, survivor.after)

    def test_judge(self) -> None:
        """A mutant that survives is told by what it changes; what was left out does not count."""
        lines = [work("survived"), work("killed"), work("survived", "skipped"), b'[{"job_id": "2"}, null]']
        survivor = Survivor(
            "lease",
            "of",
            "return self.number if self.holder is client else 0",
            "return self.number if self.holder is not client else 0",
        )
        self.assertEqual(judge("lease", lines), (2, Counter([survivor])))

    def test_bound(self) -> None:
        """A bound that is one more needs no explanation."""
        diff = "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-MAX_KNOWN = 1000\n+MAX_KNOWN = 1001\n"
        self.assertEqual(judge("known", [work("survived", diff=diff, function="")]), (1, Counter()))

    def test_unknown_target(self) -> None:
        """A name that there is not is one line that says which there are, and exit status 2."""
        done = self.run_it("grants")
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected some of arbiter, dispatcher, ", done.stderr)

    def test_not_installed(self) -> None:
        """Without cosmic-ray it says what to install."""
        if find_spec("cosmic_ray") is None:
            done = self.run_it("lease")
            self.assertEqual(done.returncode, 2)
            self.assertIn("pip install '.[mutation]'", done.stderr)

    def run_it(self, *words: str) -> Any:
        """Run it in a process of its own."""
        command = [sys.executable, "-m", "mutation", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
