"""What the command lines of the programs that people type have in common. Pure: no Twisted."""

from __future__ import annotations

import argparse
from typing import NoReturn

from mtmount_twisted.visible import visible

MISUSED = 2
"""The exit status for bad usage, and for what a program was told to read or to reach and can't."""


class OneLineParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End the program with `MISUSED`, after one line on standard error."""
        self.exit(MISUSED, visible(f"{self.prog}: {message} (--help explains)") + "\n")
