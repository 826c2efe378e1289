"""Detection of a dead TCP peer: a cut cable produces no FIN.

There are two mechanisms. `keep_alive` makes the kernel probe an idle peer; this suffices for a connection
that is only read. `watch_window` is for a connection that is written, because keep-alives stop while data is
outstanding.

The rule of `watch_window`: a peer is gone if data is outstanding and nothing at all has come from it for
`SILENCE` seconds, while the kernel kept probing. A peer that answers but does not read is alive: this is
back-pressure, which may last for any time. The kernel's probe is a retransmission or, if the peer's window is
closed, a window probe; the times between probes grow to two minutes. ``TCP_USER_TIMEOUT`` alone can't replace
the watch, as experiments on Linux 6.18 show:

* It kills a live peer that does not read: it counts from the closing of the window, whether the peer answers
  or not. But the kernel also sends the next probe before the time-out ends. So the watch keeps the time-out
  `PROBE` seconds ahead of the count: the kernel sends a probe about every two seconds and never kills. The
  watch sets the time-out only while the window is closed.
* It counts from the first retransmission. If a peer went before we wrote, the silence before and the time-out
  after would together take nearly eight seconds.

The watch also ends a connection that the kernel has closed, because the peer reset it. If the peer had closed
its sending side before, the reactor reads no more, and would find that out only when it writes. The watch
ends the connection at its second look: meanwhile the reactor ends those that it reads, a few in a turn. All
ends by the watch take turns (`endings`).

If the reactor is held up for more than about a second, a live peer with a closed window can be lost.

If a platform lacks the options, or if the kernel's ``struct tcp_info`` ends before ``snd_wnd`` (Linux before
5.4, or not Linux), only the system's own time-outs apply, and they kill no live peer. This module touches
only a transport's socket. Next to read: `protocol`: its connections are watched.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport

from .endings import end_in_turn

SILENCE = 4.25
"""Seconds without a sign from a peer that owes one. With `PERIOD` the sum is less than 5."""

PERIOD, LONG_PERIOD = 0.5, 2.0
"""Seconds between two looks at a socket. With its timer, a look takes 50 us, and a daemon may have a thousand
connections. So an open connection with an open window has the long period, up to the end of `SILENCE`."""

PROBE = 1.8
"""Seconds of lead of the time-out: the kernel probes a peer with a closed window twice within `SILENCE`, and
the watch extends the time-out three times between two probes. If a window closes during a loss recovery
between two looks, the lead may be `LONG_PERIOD` longer."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 2}
"""Probe after 2 s and after 3 s, give up after 4 s. The names are those in `socket`."""

CLOSE_WAIT = 8
"""The state of a connection whose peer has ended its side (linux/tcp_states.h)."""

_TCP_ESTABLISHED = 1
_TCP_CLOSE = 7
_TCP_CA_RECOVERY = 3


class _Info(NamedTuple):
    """The used part of ``struct tcp_info`` (linux/tcp.h): times in ms, `busy` in microseconds."""

    state: int
    ca_state: int
    unacked: int
    last_data_sent: int
    last_data_recv: int
    last_ack_recv: int
    notsent: int
    busy: int
    snd_wnd: int


_INFO = struct.Struct("=BB22xI16xI4xII84xI20xQ52xI")


def keep_alive(transport: object, times: Mapping[str, int] = KEEP_ALIVE) -> None:
    """Make the kernel probe an idle peer, and send small writes at once.

    :param transport: a connected transport. One without a TCP socket stays unchanged.
    :param times: the options of the socket, as in `KEEP_ALIVE`.
    """
    if (sock := _tcp_socket(transport)) is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in times.items():
        if (option := getattr(socket, name, None)) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def watch_window(transport: ITCPTransport, clock: IReactorTime) -> Callable[[], None]:
    """Abort a connection that we write on if its peer is gone, but not if the peer just does not read.

    :param transport: a connected transport, with `keep_alive` set. One without a TCP socket is not watched.
    :param clock: clock for the `PERIOD`; the durations come from the kernel.
    :return: a function that ends the watch, for ``connectionLost``. It may be called again.
    """
    sock = _tcp_socket(transport)
    if sock is None or not hasattr(socket, "TCP_USER_TIMEOUT") or _info(sock) is None:
        return lambda: None
    watch = _Watch(sock, clock, transport.abortConnection)
    watch.look()
    return watch.stop


def handle_of(transport: object) -> Any:
    """Return the socket of a transport, also below TLS; None if it has none.

    A connection that is lost has no socket any more. The end of a TLS handshake may be read after the loss.
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    if not getattr(transport, "connected", True):
        return None
    return getattr(transport, "getHandle", lambda: None)()


def _tcp_socket(transport: object) -> socket.socket | None:
    handle = handle_of(transport)
    is_tcp = getattr(handle, "family", None) in (socket.AF_INET, socket.AF_INET6)
    return handle if is_tcp else None


def state_of(sock: socket.socket) -> int:
    """Return the state of a TCP connection, as linux/tcp_states.h numbers it; 0 if the system tells none."""
    info = _info(sock)
    return 0 if info is None else info.state


def _info(sock: socket.socket) -> _Info | None:
    if not hasattr(socket, "TCP_INFO"):
        return None
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:
        return None
    return _Info._make(_INFO.unpack(raw)) if len(raw) == _INFO.size else None


class _Watch:
    """The watch of one connection: its timer, and the start of the kernel's count."""

    def __init__(self, sock: socket.socket, clock: IReactorTime, abort: Callable[[], object]) -> None:
        self._sock = sock
        self._clock = clock
        self._abort = abort
        self._next: IDelayedCall | None = None
        self._began = 0
        self._timeout = 0
        self._is_closed = False  # at the last look
        self._is_new = True  # until the first look
        self._withdraw: Callable[[], object] = lambda: None

    def stop(self) -> None:
        self._withdraw()
        # The functions of the transport would keep it until a full garbage collection.
        self._withdraw = self._abort = lambda: None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def look(self) -> None:
        self._next = None
        if (info := _info(self._sock)) is None:
            return
        if info.state == _TCP_CLOSE and self._is_closed:
            self._withdraw = end_in_turn(self._clock, self._abort)
            return
        self._is_closed = info.state == _TCP_CLOSE
        silent = min(info.last_ack_recv, info.last_data_recv)
        if (info.unacked or info.notsent) and silent >= SILENCE * 1000:
            self._withdraw = end_in_turn(self._clock, self._abort, first=True)
            return
        self._set_timeout(info)
        self._next = self._clock.callLater(self._pause(info, silent / 1000), self.look)

    def _pause(self, info: _Info, silent: float) -> float:
        """Return the time until the next look."""
        was_new, self._is_new = self._is_new, False
        if was_new or self._timeout or info.state != _TCP_ESTABLISHED:
            return PERIOD
        return min(LONG_PERIOD, max(PERIOD, SILENCE - silent))

    def _set_timeout(self, info: _Info) -> None:
        """Keep the time-out ahead of the kernel's count. The kernel does not report the start of its count.

        Without data in flight, the count starts after the last data was sent; it does not run while there is
        nothing to send. With data in flight (a receiver without memory closes its window on it), the count
        starts with a loss recovery and continues across the ACKs that are part of the recovery. `busy` is the
        total time with data to send.
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
