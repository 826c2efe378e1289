"""Print what the mount says, with ``async for``; for a mount that talks to port 30006.

Give ``--asyncio`` to run on asyncio's reactor, beside code that needs asyncio's loop.
Run it beside ``.venv/bin/twistd -n mtmount-bridge``.
"""

import logging
import sys

from twisted.internet.defer import Deferred


async def main() -> None:
    from mtmount_twisted import Communicator
    from mtmount_twisted.commands import AskForCommand
    from mtmount_twisted.errors import LineError, MTMountError

    log = logging.getLogger("example")
    communicator = Communicator("example", "127.0.0.1", 30005, "127.0.0.1", 30006, log, read_replies=True)
    try:
        await communicator.wait_connected(timeout=1.5)
        await communicator.write(AskForCommand())
    except MTMountError as error:  # in words: what is wrong, and what to do
        sys.exit(str(error))
    while not communicator.closed:
        try:
            async for message in communicator:
                print(message)
                if type(message).__name__ == "DoneReply":
                    await communicator.close()
        except LineError as error:  # one line that was no message; the next ones are
            print(error)


if __name__ == "__main__":
    if "--asyncio" in sys.argv:
        from twisted.internet import asyncioreactor

        asyncioreactor.install()
    from twisted.internet import task

    task.react(lambda reactor: Deferred.fromCoroutine(main()))
