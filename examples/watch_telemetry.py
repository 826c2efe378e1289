"""Print the position of the azimuth axis and the clock offset of the mount, three times.

``python watch_telemetry.py HOST PORT``, with the telemetry server of the mount, or a ``[[telemetry]]`` of the
bridge. Without arguments it reads from 127.0.0.1, port 50035, which ``twistd -n mtmount-bridge`` serves.
"""

import logging
import sys
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred


async def main(reactor: Any) -> None:
    from mtmount_twisted import TelemetryClient
    from mtmount_twisted.dialects.tma2022 import telemetry
    from mtmount_twisted.errors import ConnectionLostError, LineError, MTMountError

    host, port = sys.argv[1:] or ("127.0.0.1", "50035")
    log = logging.getLogger("example")
    client = TelemetryClient(
        "telemetry", host, int(port), log, topics=[telemetry.Azimuth], conflate=True, reactor=reactor
    )
    try:
        await client.wait_connected(timeout=5)
    except MTMountError as error:  # in words: what is wrong, and what to do
        sys.exit(str(error))
    shown = 0
    while not client.closed:
        try:
            async for topic in client:
                assert isinstance(topic, telemetry.Azimuth)
                print(f"azimuth {topic.actual_position:.3f} deg, clock offset {client.clock_offset:+.3f} s")
                shown += 1
                if shown == 3:
                    await client.close()
        except LineError as error:  # one line that is not telemetry; the next ones are
            print(error)
        except ConnectionLostError:  # it connects again by itself
            await client.wait_connected()


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
