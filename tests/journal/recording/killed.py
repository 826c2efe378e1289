"""A program that records until it is killed: it prints the number of messages that must not be lost."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.recordings import Writing


def main() -> None:
    """Record seconds without end."""
    writing = Writing(Path(sys.argv[1]))
    while True:
        writing.record(1, ("azimuth", "elevation"))
        sys.stdout.write(f"{writing.writer.written}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
