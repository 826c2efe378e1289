"""Print the shell command of the code block in README.rst that follows the comment ``.. NAME``."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.rst"


def readme_command(text: str, name: str) -> str:
    """The code block directly after the marker `name`; `LookupError` if there is none."""
    found = re.search(
        rf"^\.\. {re.escape(name)}[ ]*\n\s*^\.\. code-block:: *sh\n+((?:[ \t]+\S.*\n|\n)+)",
        text + "\n",
        re.MULTILINE,
    )
    if found is None:
        raise LookupError(f"{README.name}: no '.. code-block:: sh' directly after '.. {name}'")
    return textwrap.dedent(found[1]).strip()


if __name__ == "__main__":
    try:
        print(readme_command(README.read_text(encoding="utf-8"), sys.argv[1]))
    except (LookupError, OSError) as error:
        sys.exit(f"readme_command: {error}")
