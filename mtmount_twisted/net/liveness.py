"""Whether the far end of a TCP connection is still there: no FIN comes out of a cut cable.

Two halves. `keep_alive` makes the kernel ask an idle peer: enough for a connection that is only
read. `watch_window` is for one that is written, because keep-alives stop while data is outstanding.

The rule of `watch_window`: a peer is gone when data is outstanding and nothing at all has come
from it for `SILENCE` seconds, while the kernel went on asking. One that answers and does not read
is alive: that is back-pressure, for as long as it likes. What the kernel asks with is either a
retransmission or, into a closed window, a probe, and these back off to two minutes apart.
``TCP_USER_TIMEOUT`` alone can't replace the watch, as found by experiment on Linux 6.18:

* it kills a live peer that does not read, since it counts from when the window closed, answered
  or not. But the kernel also clamps the next probe to what remains of it. So the watch keeps it
  `PROBE` seconds ahead of that count: a probe every two seconds or so, and never a kill. It is
  set only while the window is closed;
* it counts from the first retransmission, so that a peer that went before we wrote would have
  the silence before and the time-out after, together nearly eight seconds.

A reactor that is held up for more than about a second can lose a live peer whose window is closed.

Where a platform lacks the options, or the kernel's ``struct tcp_info`` ends before ``snd_wnd``
(Linux before 5.4, or not Linux), the system's own time-outs hold: nothing live is ever killed.
Touches a transport's socket, and nothing else of ours.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

SILENCE = 4.25
"""Seconds without a sign from a peer that owes us one: with `PERIOD`, less than 5."""

PERIOD = 0.5
"""Seconds from one look at the socket to the next; one look takes some microseconds."""

PROBE = 1.8
"""Seconds: a peer with a closed window is asked twice within `SILENCE`, and the time-out is
pushed on three times between two probes."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 2}
"""Asked after 2 s and after 3 s, given up after 4 s; the names are `socket`'s."""

_TCP_CA_RECOVERY = 3


class _Info(NamedTuple):
    """What we read of ``struct tcp_info`` (linux/tcp.h): times in ms, `busy` in microseconds."""

    ca_state: int
    unacked: int
    last_data_sent: int
    last_data_recv: int
    last_ack_recv: int
    notsent: int
    busy: int
    snd_wnd: int


_INFO = struct.Struct("=xB22xI16xI4xII84xI20xQ52xI")


def keep_alive(transport: object) -> None:
    """Have the kernel ask an idle peer whether it is there, and send small writes at once.

    :param transport: a connected transport; one without a TCP socket is left as it is.
    """
    if (sock := _tcp_socket(transport)) is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def watch_window(transport: Any, clock: IReactorTime) -> Callable[[], None]:
    """Abort a connection that we write on when its peer is gone, but not when it just does not read.

    :param transport: a connected transport, with `keep_alive` set; one without a TCP socket is not watched.
    :param clock: what counts the `PERIOD`; durations come from the kernel.
    :return: a callable that ends the watch, for ``connectionLost``; it may be called again.
    """
    sock = _tcp_socket(transport)
    if sock is None or not hasattr(socket, "TCP_USER_TIMEOUT") or _info(sock) is None:
        return lambda: None
    watch = _Watch(sock, clock, transport.abortConnection)
    watch.look()
    return watch.stop


def _tcp_socket(transport: object) -> socket.socket | None:
    handle = getattr(transport, "getHandle", lambda: None)()
    is_tcp = getattr(handle, "family", None) in (socket.AF_INET, socket.AF_INET6)
    return handle if is_tcp else None


def _info(sock: socket.socket) -> _Info | None:
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:
        return None
    return _Info._make(_INFO.unpack(raw)) if len(raw) == _INFO.size else None


class _Watch:
    """One connection's watch: the timer, and where the kernel's count began."""

    def __init__(self, sock: socket.socket, clock: IReactorTime, abort: Callable[[], object]) -> None:
        self._sock = sock
        self._clock = clock
        self._abort = abort
        self._next: IDelayedCall | None = None
        self._began = 0
        self._timeout = 0

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def look(self) -> None:
        self._next = None
        if (info := _info(self._sock)) is None:
            return
        silent = min(info.last_ack_recv, info.last_data_recv)
        if (info.unacked or info.notsent) and silent >= SILENCE * 1000:
            self._abort()
            return
        self._set_timeout(info)
        self._next = self._clock.callLater(PERIOD, self.look)

    def _set_timeout(self, info: _Info) -> None:
        """Keep the time-out ahead of the kernel's count, whose beginning it does not tell.

        Without data in flight the count begins after the last data sent, and not while there is
        none to send. With data in flight, where a receiver without memory closes the window on
        it, the count begins with a loss recovery and goes on across the ACKs that are part of it.
        `busy` is the time for which there was data to send.
        """
        recovering = info.unacked and info.ca_state >= _TCP_CA_RECOVERY
        waiting = not info.unacked and info.notsent
        if not (recovering or waiting):
            self._began = info.busy
        count = (info.busy - self._began) // 1000
        if waiting:
            count = min(count, info.last_data_sent)
        closed = waiting or (info.unacked and not info.snd_wnd)
        timeout = count + int(PROBE * 1000) if closed else 0
        if timeout != self._timeout:
            self._timeout = timeout
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout)
