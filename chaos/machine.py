"""The machine and the date of a measurement, for a file of results."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from shutil import which

from .process import ROOT


def machine(*packages: str) -> dict[str, str | int]:
    """This machine, and the versions of Python and of packages that are installed."""
    return {
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package.lower(): version(package) for package in packages},
    }


def commit() -> str:
    """The commit that is checked out, with a ``+`` if the package has changed since; or ``unknown``."""
    head = _git("rev-parse", "--short", "HEAD") if which("git") is not None else None
    if head is None or head.returncode:
        return "unknown"
    changed = _git("diff", "--quiet", "HEAD", "--", "mtmount_twisted").returncode
    return head.stdout.strip() + "+" * bool(changed)


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
