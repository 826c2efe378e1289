"""The import rule: a room imports only from the rooms that it is allowed to know.

`ROOMS` is ``docs/architecture.rst`` as data. A new module is added to one of its rows; a new arrow is a
decision, and is made here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "mtmount_twisted"


class Room(NamedTuple):
    """Some modules, and the rooms that they may import from besides their own."""

    modules: frozenset[str]
    imports: frozenset[str]


def room(modules: str, imports: str = "") -> Room:
    """A row of the table, from names with spaces between them."""
    return Room(frozenset(modules.split()), frozenset(imports.split()))


CORE = "names lines secret values compiled messages codec"
"""The rooms that can be used with no Twisted at all."""

# From left to right. A package stands for all that is in it, unless a module of it has a row of its own.
ROOMS: dict[str, Room] = {
    "names": room("errors enums"),
    "lines": room("framing"),
    "secret": room("secret"),
    "values": room("fields tai", "names"),
    "compiled": room("compiled", "lines values"),
    "messages": room("messages commands replies", "names lines values compiled"),
    "codec": room("codec", "names lines values messages"),
    "waiting": room("waiting inbox", "names"),
    "machines": room("machines"),
    "interfaces": room("interfaces"),
    "liveness": room("liveness"),
    "protocol": room("protocol", "names lines waiting interfaces liveness"),
    "connections": room("connections", "names lines waiting machines interfaces protocol"),
    "carriage": room("carriage", "lines messages codec"),
    "communicator": room(
        "pair communicator",
        "names lines messages waiting interfaces protocol connections carriage",
    ),
    "commanding": room("commanding", "names messages waiting communicator"),
    "package": room("__init__", "values messages communicator commanding"),
    "logs": room("logs"),
    "simulator": room("simulator", "names lines values messages codec communicator"),
    "journal_file": room("journal.schema", "messages"),
    "bridge": room(
        "bridge",
        "names lines values messages codec waiting interfaces liveness protocol communicator journal_file",
    ),
    "commander": room("commander", "names lines values messages communicator commanding"),
    "journal": room("journal", "names lines values messages codec communicator journal_file commander"),
    "web": room("web", "names lines secret values messages codec interfaces journal_file journal"),
    "daemon": room("daemon", "values communicator logs"),
    "services": room("tap simulator.tap", "names values interfaces simulator bridge web daemon"),
    "testing": room("testing", "lines messages codec communicator"),
}

GROWING = frozenset(
    [
        "bridge",
        "journal",
        "services",
        "web",
        "testing",
    ]
)
"""The rooms that are worked on now: an arrow of theirs may be here before the import that needs it.

It is empty when nobody is at work.
"""

HEAVY = ["twisted.internet.reactor", "twisted.web", "numpy", "erfa", "prompt_toolkit"]
"""What is imported when it is used, and not before."""


def sources() -> dict[str, ast.Module]:
    """Every module of the package, by its name below the package."""
    folder = ROOT / PACKAGE
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room_of(module: str) -> str | None:
    """The name of the room where a module lives, or None if it is in no row."""
    while module:
        for name, row in ROOMS.items():
            if module in row.modules:
                return name
        module = module.rpartition(".")[0]
    return None


def absolute_imports(module: str, node: ast.AST) -> list[str]:
    """The absolute names that one statement of a module imports, if it is an import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    is_package = module == "__init__" or (ROOT / PACKAGE / Path(*module.split("."))).is_dir()
    name = PACKAGE if module == "__init__" else f"{PACKAGE}.{module}"
    parent = name if is_package else name.rpartition(".")[0]
    source = resolve_name("." * node.level + (node.module or ""), parent)
    return [f"{source}.{alias.name}" for alias in node.names]


def own_imports(module: str, tree: ast.Module, known: set[str]) -> Iterator[tuple[str, int]]:
    """The modules of ours that a module imports anywhere in its text, with the line."""
    for node in ast.walk(tree):
        for name in absolute_imports(module, node):
            if name.split(".")[0] != PACKAGE:
                continue
            target = name.partition(".")[2]
            while target and target not in known:
                target = target.rpartition(".")[0]
            yield target or "__init__", getattr(node, "lineno", 0)


def arrows(modules: dict[str, ast.Module]) -> Iterator[tuple[str, str, str]]:
    """Each import of one room from another: the two rooms, and a line for a reader."""
    for module, tree in modules.items():
        home = room_of(module)
        for target, line in own_imports(module, tree, set(modules)):
            there = room_of(target)
            if home and there and there != home:
                yield home, there, f"{module}.py:{line} ({home}) imports {target} ({there})"


def wrong_arrows(modules: dict[str, ast.Module]) -> list[str]:
    """Each import that the table does not allow, as a line for a reader."""
    return [text for home, there, text in arrows(modules) if there not in ROOMS[home].imports]


def unused_arrows(modules: dict[str, ast.Module]) -> list[str]:
    """Each arrow of the table that no import needs, as a line for a reader."""
    used = {(home, there) for home, there, _ in arrows(modules)}
    return [
        f"{name} -> {there}"
        for name, row in ROOMS.items()
        for there in sorted(row.imports)
        if name not in GROWING and (name, there) not in used
    ]


def statements_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: everything but the inside of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from statements_at_import(child)


class RoomsTests(SynchronousTestCase):
    """The table, and the package against it."""

    def test_every_module_has_a_room(self) -> None:
        """A module that is in no row of `ROOMS` is added to one before it is used."""
        homeless = [module for module in sources() if room_of(module) is None]
        self.assertEqual(homeless, [], "add it to a row of ROOMS in tests/test_architecture.py")

    def test_table_points_left(self) -> None:
        """The table itself holds only arrows to rooms further left, so there can be no circle."""
        names = list(ROOMS)
        for position, (name, row) in enumerate(ROOMS.items()):
            self.assertEqual(row.imports - set(names[:position]), frozenset(), name)

    def test_arrows(self) -> None:
        """No module imports from a room that its own room may not know."""
        self.assertEqual(wrong_arrows(sources()), [])

    def test_arrows_are_used(self) -> None:
        """The table allows nothing that no module does; what it names is there."""
        modules = sources()
        self.assertEqual(unused_arrows(modules), [], "take it out of ROOMS")
        named = {module for row in ROOMS.values() for module in row.modules}
        self.assertEqual(named - set(modules), set())

    def test_unused_arrow_is_found(self) -> None:
        """Without the one import that needs it, an arrow is told."""
        modules = sources()
        modules["codec"] = ast.parse("from . import framing, fields, messages")
        self.assertIn("codec -> names", unused_arrows(modules))

    def test_wrong_arrow_is_found(self) -> None:
        """An arrow to the right is found however the import is written, and an allowed one is not."""
        for text in (
            "from . import commands",
            "from .commands import Enable",
            "import mtmount_twisted.commands",
            "def late():\n    from mtmount_twisted.commands import Enable",
        ):
            modules = {"fields": ast.parse(text), "commands": ast.parse("from .fields import INT")}
            self.assertEqual(len(wrong_arrows(modules)), 1, text)

    def test_wrong_arrow_from_inside_a_package_is_found(self) -> None:
        """The simulator does not know the bridge, nor its own service."""
        text = "from ..bridge import relay\nfrom .tap import Options\nfrom ..errors import LineError"
        modules = {
            "simulator.axis": ast.parse(text),
            "simulator.tap": ast.parse(""),
            "bridge.relay": ast.parse(""),
            "errors": ast.parse(""),
        }
        self.assertEqual(len(wrong_arrows(modules)), 2)


class ImportingTests(SynchronousTestCase):
    """What importing the package does to a program."""

    def test_core_is_pure(self) -> None:
        """The rooms of the core can be used with no Twisted at all."""
        tainted = [
            f"{module} imports {name}"
            for module, tree in sources().items()
            if room_of(module) in CORE.split()
            for node in ast.walk(tree)
            for name in absolute_imports(module, node)
            if name.split(".")[0] in ("twisted", "zope", "automat")
        ]
        self.assertEqual(tainted, [])

    def test_no_module_imports_the_reactor(self) -> None:
        """The default reactor is looked up inside a function, so that a program may still choose it."""
        early = [
            module
            for module, tree in sources().items()
            for node in statements_at_import(tree)
            if "twisted.internet.reactor" in absolute_imports(module, node)
        ]
        self.assertEqual(early, [])

    def test_import_is_light(self) -> None:
        """``import mtmount_twisted`` imports neither the reactor nor anything heavy."""
        script = f"import sys, mtmount_twisted; print([name for name in {HEAVY} if name in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout.strip(), done.stderr), ("[]", ""))
