"""A copy of the source tree as a fresh clone has it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def copy_sources(folder: Path) -> Path:
    """Copy what git has, or would add, to a new folder, and return it."""
    listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():  # and not deleted since the last commit
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # a program that runs beside this one removed it
                shutil.copy2(ROOT / name, folder / name)
    return folder
