"""Send a command by the message broker, and print its outcome.

``.venv/bin/python examples/station_command.py [SERVER [MOUNT [USER]]]``. The bridge has ``commands = true``
in ``[station.broker]``, and the user is one of its ``[[station.user]]``: see
``docs/howto/commands-by-nats.rst``.
"""

import asyncio
import sys

from mtmount_twisted.station.requester import Requester

SERVER, MOUNT, USER = (*sys.argv[1:], *("nats://127.0.0.1:4222", "t1", "night")[len(sys.argv) - 1 :])


async def main() -> int:
    """Take command, stop the azimuth axis, and give command up again."""
    states = []
    async with Requester([SERVER], MOUNT, USER) as requester:
        for command, parameters in (
            ("AskForCommand", {"commander": "CSC"}),
            ("AzimuthStop", {}),
            ("AskForCommand", {"commander": "NONE"}),
        ):
            outcome = await requester.command(command, parameters, timeout=60)
            print(command, outcome.state, outcome.explanation)
            states.append(outcome.state)
    return 0 if set(states) == {"done"} else 1


sys.exit(asyncio.run(main()))
