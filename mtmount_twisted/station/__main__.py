"""``python -m mtmount_twisted.station``: the child process of a bridge, which only the bridge starts."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys

from mtmount_twisted.frontends.broker.words import DATA_FD


def main() -> int:
    """Run the child, and return its exit status."""
    try:
        is_ours = stat.S_ISSOCK(os.fstat(DATA_FD).st_mode)
    except OSError:
        is_ours = False
    if not is_ours:
        sys.stderr.write("mtmount_twisted.station: only mtmount-bridge starts this program, by [station]\n")
        return 2
    # Ctrl-C in a terminal reaches the whole group of processes; the daemon says when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from .child import serve

    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
