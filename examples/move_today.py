"""Take command of today's mount, power the azimuth axis and move it.

``python move_today.py HOST PORT``, with the port of the mount, or a pair or port of the bridge in tma2022.
Without arguments it connects to 127.0.0.1, port 30015, which ``twistd -n mtmount-bridge`` serves.
"""

import logging
import sys
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred


async def main(reactor: Any) -> None:
    from mtmount_twisted import DuplexCommunicator, Mount
    from mtmount_twisted.dialects.tma2022.commands import AskForCommand, AzimuthMove, AzimuthPower
    from mtmount_twisted.dialects.tma2022.dialect import DIALECT
    from mtmount_twisted.dialects.tma2022.enums import Source
    from mtmount_twisted.errors import MTMountError

    host, port = sys.argv[1:] or ("127.0.0.1", "30015")
    log = logging.getLogger("example")
    communicator = DuplexCommunicator("example", host, int(port), log, dialect=DIALECT, reactor=reactor)
    mount = Mount(communicator)  # it sends the heartbeat while it has command
    try:
        await communicator.wait_connected(timeout=5)
        for command in AskForCommand(commander=Source.CSC), AzimuthPower(on=True), AzimuthMove(position=1.5):
            sent = mount.send(command)
            print(f"{type(command).__name__}: acknowledged, {await sent.acked:.1f} s expected")
            await sent.done
            print(f"{type(command).__name__}: done")
    except MTMountError as error:  # in words: what is wrong, and what to do
        sys.exit(str(error))
    await mount.close()


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
