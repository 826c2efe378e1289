"""A cut cable: connections whose far end sends nothing any more, not even an acknowledgement.

A socket filter that keeps nothing replaces the cut: the kernel drops each packet for that socket before TCP
sees it, so nothing is acknowledged and no probe is answered. Most Linux systems allow any user to do so. The
data sent before must be acknowledged, because TCP would send it again, and a cable is cut in both directions.
The filter shows neither a lost route (``EHOSTUNREACH``) nor the behaviour of a switch.
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
    """Cut the connections between this proxy and both its sides.

    :returns: the number of sockets that receive nothing from now on.
    :raises Impossible: if the system does not allow it.
    """
    ends = proxy.transports
    for transport in ends:
        program = ctypes.create_string_buffer(_KEEP_NOTHING)
        handle: Any = transport.getHandle()
        told = struct.pack("@HP", 1, ctypes.addressof(program))
        try:
            handle.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)
        except OSError as error:
            raise Impossible(f"a socket filter is refused ({error.strerror})") from None
    return len(ends)
