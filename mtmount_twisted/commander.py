"""``python -m mtmount_twisted.commander`` is ``mtmount-commander``: the public name of `cli.commander`. Next
to read: `cli.commander`."""

from __future__ import annotations

import sys

from .cli.commander import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
