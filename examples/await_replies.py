"""Take command, power the azimuth axis and move it: every Deferred can be awaited.

Run it beside ``.venv/bin/twistd -n mtmount-bridge``.
"""

import logging
import sys

from twisted.internet import task
from twisted.internet.defer import Deferred

from mtmount_twisted import Communicator, Mount
from mtmount_twisted.commands import AskForCommand, AzimuthAxisMove, AzimuthAxisPower
from mtmount_twisted.enums import Commander
from mtmount_twisted.errors import MTMountError


async def move(mount: Mount) -> None:
    """Each command in turn, each followed to its end."""
    for command in (
        AskForCommand(commander=Commander.CSC),
        AzimuthAxisPower(on=True),
        AzimuthAxisMove(position=1.5),
    ):
        sent = mount.send(command)
        print(f"{type(command).__name__}: acknowledged, {await sent.acked:.1f} s expected")
        await sent.done
        print(f"{type(command).__name__}: done")


async def main() -> None:
    log = logging.getLogger("example")
    communicator = Communicator("example", "127.0.0.1", 30005, "127.0.0.1", 30006, log, read_replies=True)
    mount = Mount(communicator)
    try:
        await communicator.wait_connected(timeout=1.5)
        await move(mount)
    except MTMountError as error:  # in words: what is wrong, and what to do
        sys.exit(str(error))
    await mount.close()


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main()))
