"""Print the shell command of the code block in README.rst that follows the comment ``.. NAME``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.pages import README, marked

if __name__ == "__main__":
    try:
        print(marked(README, sys.argv[1]), end="")
    except (LookupError, OSError) as error:
        sys.exit(f"readme_command: {error}")
