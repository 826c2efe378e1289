"""Folders for tests, removed when their test ends."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase


def scratch_folder(case: SynchronousTestCase) -> Path:
    """Make a folder that is removed after this test; a path below it is short enough for a socket."""
    folder = Path(tempfile.mkdtemp())
    case.addCleanup(shutil.rmtree, folder)
    return folder


def scratch_path(case: SynchronousTestCase) -> Path:
    """Return a path at which nothing exists; a file or folder made there is removed after the test."""
    return scratch_folder(case) / "scratch"
