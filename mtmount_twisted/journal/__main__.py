"""``python -m mtmount_twisted.journal`` is ``mtmount-journal``: the public name of `cli.journal`.

Next to read: `cli.journal.program`.
"""

from __future__ import annotations

import sys

from mtmount_twisted.cli.journal import main

if __name__ == "__main__":
    sys.exit(main())
