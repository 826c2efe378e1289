"""``python -m mtmount_twisted.commander`` is ``mtmount-commander``. Next to read: `program`."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
