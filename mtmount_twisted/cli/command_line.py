"""Common parts of the programs' command lines. No Twisted; only ``argparse`` prints here. Next to read:
`commander.options`, which uses it."""

from __future__ import annotations

import argparse
from typing import NoReturn

from mtmount_twisted.visible import visible

MISUSED = 2
"""Exit status for bad usage, and for an input that a program can't read or an address that it can't reach."""


class OneLineParser(argparse.ArgumentParser):
    """A parser that reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End the program with `MISUSED` after one line on standard error."""
        self.exit(MISUSED, visible(f"{self.prog}: {message} (--help explains)") + "\n")
