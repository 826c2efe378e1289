"""A cut cable: connections whose far end says nothing at all any more, not even that a packet came.

A socket filter that keeps nothing stands in for it: the kernel throws away what comes for that socket before
TCP sees it, so that nothing is acknowledged, and no probe answered. Most Linux systems let anyone do so. What
that side has sent before must have been acknowledged, for it would be sent again: a cable is cut both ways.
What this does not show is a route that is gone (``EHOSTUNREACH``), or what a switch does.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Any

from mtmount_twisted.testing import ChaosProxy

from .outcome import Impossible

_SO_ATTACH_FILTER = 26
_KEEP_NOTHING = struct.pack("=HBBI", 6, 0, 0, 0)
"""One instruction of the packet filter: return 0."""


def cut(proxy: ChaosProxy) -> int:
    """Cut what is between this proxy and both its sides.

    :returns: how many sockets hear nothing now.
    :raises Impossible: where the system does not let us.
    """
    ends = [end for each in proxy._connections for end in (each.client, each.target)]
    for end in ends:
        program = ctypes.create_string_buffer(_KEEP_NOTHING)
        handle: Any = end.transport.getHandle()
        told = struct.pack("@HP", 1, ctypes.addressof(program))
        try:
            handle.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)
        except OSError as error:
            raise Impossible(f"a socket filter is refused ({error.strerror})") from None
    return len(ends)
