"""Build the site of the documentation, and check that its API reference has every public name.

    .venv/bin/python .ci/site.py [FOLDER]

Without a folder nothing is kept. A link that leads nowhere, a page in no table of contents and a type without
an entry are warnings of Sphinx, and each warning is an error. It needs the extra ``docs``, and no network.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MODULES = (
    *("mtmount_twisted", "mtmount_twisted.testing", "mtmount_twisted.errors"),
    *(f"mtmount_twisted.{name}" for name in ("commands", "replies", "enums")),
    *("mtmount_twisted.dialects.tma2022",),
    *(f"mtmount_twisted.dialects.tma2022.{name}" for name in ("commands", "replies", "telemetry", "enums")),
    "mtmount_twisted.dialects.tma2022.envelope",
)
"""The public modules. In a module without ``__all__`` the classes that it defines are public."""


def public_names(module: str) -> Iterator[tuple[str, set[str]]]:
    """Return the public names of a module, each with the names under which the reference may have it."""
    loaded = importlib.import_module(module)
    own = {module, module.replace("mtmount_twisted.", "mtmount_twisted.dialects.tma2020.")}
    for name in getattr(loaded, "__all__", None) or vars(loaded):
        value = getattr(loaded, name)
        home = getattr(value, "__module__", None)
        if hasattr(loaded, "__all__"):
            yield name, {f"{module}.{name}", f"mtmount_twisted.enums.{name}", f"{home}.{name}"}
        elif home in own and not name.startswith("_") and isinstance(value, type):
            yield name, {f"{module}.{name}"}


def main(folder: Path) -> int:
    """Build, then compare."""
    began = time.monotonic()
    sphinx = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html")
    status = subprocess.run((*sphinx, ROOT / "docs", folder), check=False).returncode
    if status:
        return status
    inventory = InventoryFile.loads((folder / "objects.inv").read_bytes(), uri="")
    listed = {name for kind in inventory.data for name in inventory.data[kind]}
    names = [(module, name, wanted) for module in MODULES for name, wanted in public_names(module)]
    lacking = [f"{module}.{name}" for module, name, wanted in names if not wanted & listed]
    for name in lacking:
        print(f"site: {name} is public, and has no entry in docs/reference/api")
    pages = len(list(folder.rglob("*.html")))
    print(f"site: {pages} pages, {len(names)} public names in {time.monotonic() - began:.1f} s")
    return bool(lacking)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory(prefix="mtmount-site-") as temporary:
        sys.exit(main(Path(temporary)))
