"""The script that writes the reference from the declarations: ``docs/generate.py``."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from .programs import ROOT


def load_generator() -> ModuleType:
    """Load ``docs/generate.py``, which is in no package, as it finds its neighbour when it is run."""
    spec = importlib.util.spec_from_file_location("mtmount_docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return module
