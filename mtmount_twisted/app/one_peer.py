"""``mtmount-bridge --check-one-peer``: tries on an idle mount whether it refuses a second peer.

It sends nothing, and waits on plain sockets: no reactor runs. Next to read: ``docs/explanation/standby.rst``.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack

from mtmount_twisted.hosts import host_and_port

CONNECT_TIME = 5.0
"""The longest time to connect, in seconds."""

SETTLE_TIME = 1.0
"""The time for which a connection must last to count as accepted, in seconds."""

AT_ONCE: int = 2**16
"""The largest number of bytes to read, and drop, at once."""


def one_peer_of(host: str, port: int, settle_time: float = SETTLE_TIME) -> tuple[bool, str]:
    """Return True if a mount refuses a second peer, else False; and a description of its behavior.

    :raises OSError: if the mount can't be reached, or if it does not keep the first connection.
    """
    place = host_and_port(host, port)
    with ExitStack() as connections:
        first = connections.enter_context(socket.create_connection((host, port), CONNECT_TIME))
        if not _lasts([first], settle_time)[0]:
            raise ConnectionError(
                f"{place} closes each connection: it has a peer already, or is no mount; try an idle mount"
            )
        try:
            second = connections.enter_context(socket.create_connection((host, port), CONNECT_TIME))
        except OSError:
            return True, f"{place} refuses a second peer"
        first_lasts, second_lasts = _lasts([first, second], settle_time)
    if not first_lasts:
        return False, f"{place} closes the connection of its first peer when a second one connects"
    return not second_lasts, f"{place} {'takes' if second_lasts else 'refuses'} a second peer"


def _lasts(connections: list[socket.socket], seconds: float) -> list[bool]:
    """Return a bool for each connection: True if it is still open after some seconds. Drop the received
    bytes."""
    is_open = dict.fromkeys(connections, True)
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        waiting = [each for each in connections if is_open[each]]
        if not waiting:
            break
        for each in select.select(waiting, [], [], rest)[0]:
            try:
                is_open[each] = bool(each.recv(AT_ONCE))
            except OSError:
                is_open[each] = False
    return [is_open[each] for each in connections]
