"""``python -m mtmount_twisted.station``: the child process of a bridge, which only the bridge starts.

``python -m mtmount_twisted.station config MOUNT REPLICAS [USER...]`` prints the configuration of
``nats-server``, for ``mtmount-bridge --station-config``. ``python -m mtmount_twisted.station schemas`` prints
the JSON Schemas of the messages about commands.

It touches the standard streams, the limits of the process and its signals. Next to read: `child`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path

from mtmount_twisted.frontends.broker.words import DATA_FD

MOST_MEMORY = 256 * 2**20
"""The largest memory of the child, in bytes; it usually has 50 MiB. The bound is needed because a broker may
send messages of any length."""


def bound_memory() -> None:
    """Bound the memory, and let the system end this process first if the memory of the service is used up.
    The daemon shares its ``MemoryMax`` with this process. If the unit forbids one of the two measures, the
    other one remains.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


def main() -> int:
    """Run the child, and return its exit status."""
    match sys.argv[1:]:
        case ["config", mount, replicas, *users]:
            from .server_config import server_config

            sys.stdout.write(server_config(mount, int(replicas), users))
            return 0
        case ["schemas"]:
            import json

            from .requests import schemas

            sys.stdout.write(json.dumps(schemas(), indent=2) + "\n")
            return 0
    try:
        is_ours = stat.S_ISSOCK(os.fstat(DATA_FD).st_mode)
    except OSError:
        is_ours = False
    if not is_ours:
        sys.stderr.write("mtmount_twisted.station: only mtmount-bridge starts this program, by [station]\n")
        return 2
    # Ctrl-C in a terminal reaches the whole group of processes, but the daemon decides when this process
    # ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    bound_memory()
    from .child import serve

    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
