"""``python -m mutation [NAME...]``: mutate modules of ``targets.toml``, and show each mutant that survives.

cosmic-ray mutates a copy of what git knows of this folder, one change at a time, and runs the module's tests
against it. A survivor is a change that no test notices: either a test is missing, or the change makes no
difference, which ``explained.toml`` then says. It ends with 1 if a survivor is not explained, or if what is
explained survives no longer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
HERE = Path("mutation")

TIMEOUT = 15.0
"""How long the tests may take on one mutant, in seconds; one that loops for ever counts as noticed."""

OPERATORS = (
    "NumberReplacer",
    "AddNot",
    "Replace(True|False|And|Or)With.*",
    "Replace(Continue|Break)With.*",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceComparisonOperator_(Is_IsNot|IsNot_Is|Eq_NotEq|NotEq_Eq)",
    "ReplaceComparisonOperator_(Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt)",
    "ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|Div_FloorDiv|FloorDiv_Mul|FloorDiv_Div)",
    "ReplaceBinaryOperator_(Mod_FloorDiv|Pow_Mul)",
    "ZeroIterationForLoop",
    "ExceptionReplacer",
)
"""Which of cosmic-ray's operators are used: those that change a decision as a slip would. The others put any
operator in the place of any other, or change annotations, which nothing evaluates."""


CONFIG = (
    """
[cosmic-ray]
module-path = "{}"
timeout = {}
excluded-modules = []
test-command = """
    + "'''{}'''"
    + """
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = ['core/(?!({})$)']
"""
)
"""What cosmic-ray is told; its filter knows only what it leaves out."""


BOUND = re.compile(r"_?[A-Z][A-Z_]* = [\w.*+ -]+")
"""The line of a bound, such as ``MAX_KNOWN = 1000``. One more or less is as good, and tests take it from its
module: such a survivor needs no explanation."""


class Target(NamedTuple):
    """A module and its tests, as ``targets.toml`` has them."""

    name: str
    module: str
    tests: tuple[str, ...]


class Survivor(NamedTuple):
    """A change that no test noticed, by what it replaces: an explanation outlives a move of the module."""

    target: str
    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.target}: {self.function}\n    - {self.before}\n    + {self.after}"


def targets(names: Sequence[str] = ()) -> list[Target]:
    """The targets with these names, or all."""
    content = tomllib.loads((ROOT / HERE / "targets.toml").read_text(encoding="utf-8"))
    found = {name: Target(name, each["module"], tuple(each["tests"])) for name, each in content.items()}
    return [found[name] for name in names or found]


def explained() -> Counter[Survivor]:
    """The survivors that ``explained.toml`` explains."""
    content = tomllib.loads((ROOT / HERE / "explained.toml").read_text(encoding="utf-8"))
    return Counter(
        Survivor(each["target"], each["function"], each["before"], each["after"])
        for each in content["survivor"]
        for _ in range(each.get("times", 1))
    )


def copy_to(folder: Path) -> None:
    """Copy what git does not ignore, and compile it: no mutant ever stands in the tree itself.

    What is compiled is checked by content, because two mutants of one length may come in the same second.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0"):
        source = ROOT / os.fsdecode(name)
        if name and source.is_file():
            copy = folder / os.fsdecode(name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    compiled = ["compileall", "-q", "--invalidation-mode", "checked-hash", "mtmount_twisted", "tests"]
    subprocess.run([sys.executable, "-m", *compiled], cwd=folder, check=True)


def mutate(target: Target, folder: Path) -> tuple[int, Counter[Survivor]]:
    """Run the tests of a target on each of its mutants; return how many there were, and which survived."""
    tests = ["tests." + name.replace("/", ".") for name in target.tests]
    command = [sys.executable, "-m", "unittest", "-q", "-f", *tests]
    unchanged = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    if unchanged.returncode:
        sys.exit(f"{unchanged.stderr}\nmutation: the tests of {target.name} fail without a mutation")
    config, session = folder / f"{target.name}.toml", folder / f"{target.name}.sqlite"
    config.write_text(CONFIG.format(target.module, TIMEOUT, shlex.join(command), "|".join(OPERATORS)))
    for step in (
        ["cosmic_ray.cli", "init", config, session],
        ["cosmic_ray.tools.filters.operators_filter", session, config],
        ["cosmic_ray.cli", "exec", config, session],
    ):
        subprocess.run([sys.executable, "-m", *map(str, step)], cwd=folder, check=True)
    dump = [sys.executable, "-m", "cosmic_ray.cli", "dump", str(session)]
    return judge(target.name, subprocess.run(dump, capture_output=True, check=True).stdout.splitlines())


def judge(target: str, lines: Sequence[bytes]) -> tuple[int, Counter[Survivor]]:
    """What ``cosmic-ray dump`` printed: how many mutants were tried, and which survived."""
    tried, survivors = 0, Counter[Survivor]()
    for work, result in map(json.loads, lines):
        if result is None or result["worker_outcome"] != "normal":
            continue
        tried += 1
        if result["test_outcome"] == "survived":
            (mutation,) = work["mutations"]
            changed = result["diff"].splitlines()[3:]
            before, after = (
                " ".join(line[1:].strip() for line in changed if line.startswith(sign)) for sign in "-+"
            )
            function = mutation["definition_name"] or ""
            other_number = mutation["operator_name"] == "core/NumberReplacer"
            if function or not (other_number and BOUND.fullmatch(before)):
                survivors[Survivor(target, function, before, after)] += 1
    return tried, survivors


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description="Mutate the decisions.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="some names of targets.toml [default: all]")
    names = parser.parse_args(words).names
    known = [target.name for target in targets()]
    if unknown := set(names) - set(known):
        parser.error(f"expected some of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    if find_spec("cosmic_ray") is None:
        parser.exit(2, "mutation: cosmic-ray is not installed: pip install '.[mutation]'\n")
    reasons, bad = explained(), False
    with tempfile.TemporaryDirectory() as folder:
        copy_to(Path(folder))
        for target in targets(names):
            began = time.monotonic()
            tried, survivors = mutate(target, Path(folder))
            expected = Counter({each: n for each, n in reasons.items() if each.target == target.name})
            for text, found in (
                ("not noticed", survivors - expected),
                ("is noticed now", expected - survivors),
            ):
                for survivor in found.elements():
                    bad = True
                    print(f"{text}: {survivor}")
            seconds = time.monotonic() - began
            survived = survivors.total()
            print(f"{target.name}: {tried} mutants, {survived} survived, {seconds:.0f} s", flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
