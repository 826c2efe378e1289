"""`UnixPeer`: a connection over a Unix socket that takes no open files, and ends none in the reactor's turn.

A program can send open files with its data (``unix(7)``, SCM_RIGHTS). The end of a file may take any time: a
TCP socket waits as long as its SO_LINGER says, and a file of FUSE waits for its server. The system ends the
file in the thread that reads the data without taking the file, or that closes the connection without reading.
So each read looks at the data first, and a connection that carries a file is closed in a thread of its own.
Linux 6.16 and newer can refuse files before they are sent; see `refuse_files`. Next to read: `accepts`, which
makes a `UnixPeer` of each connection.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from errno import ECONNABORTED
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from .threads import NoThreadError, start_thread

SO_PASSRIGHTS = 83
"""Option of a socket: its peers can send files (Linux 6.16, ``asm-generic/socket.h``)."""

MAX_CLOSING = 16
"""The largest number of connections of one listening socket that close in threads at once. A peer without
rights can make each take any time, and each uses a thread and an open file."""

CLOSE_AGAIN = 1.0
"""The time until the next attempt to start a thread that closes a connection, in seconds."""

USER = "uid "
"""Start of the text that stands for the address of a peer on a Unix socket."""

LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
"""Look at data, and leave it; or fail if there is none."""

_CREDENTIALS = struct.Struct("iII")
_MANY = 65536
"""The number of bytes that one call looks at."""


def refuse_files(listening: socket.socket) -> None:
    """Have the system refuse files from the peers of a listening socket, if it can."""
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)


def user_of(peer: socket.socket) -> str:
    """Return the user of a peer in place of an address, such as ``uid 1000`` (``unix(7)``, SO_PEERCRED)."""
    given = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return f"{USER}{_CREDENTIALS.unpack(given)[1]}"


def host_of(peer: IAddress | None) -> str:
    """Return a peer's address; on a Unix socket its user as in `user_of`; empty if it has neither."""
    if isinstance(peer, UNIXAddress):
        name = (peer.name or b"").decode(errors="replace")
        return name if name.startswith(USER) else ""
    return str(getattr(peer, "host", ""))


class UnixPeer(socket.socket):
    """A connection that a listening Unix socket has accepted.

    :param accepted: the connection; this object takes it over.
    :param close_elsewhere: closes a connection that carries files, outside the reactor's thread.
    """

    def __init__(self, accepted: socket.socket, close_elsewhere: Callable[[socket.socket], object]) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=accepted.detach())
        # Without this option a read can go beyond the data that was looked at: the system skips an urgent
        # byte.
        self.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self._close_elsewhere = close_elsewhere

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> Any:
        """Receive data, as `socket.socket.recvmsg` does. Twisted's transport reads by this method.

        :raises ConnectionAbortedError: if the data carries a file. The data is then left unread.
        """
        data, *_ = looked = self._look(bufsize)
        if not data:
            return looked
        return super().recvmsg(len(data))

    def close(self) -> None:
        """Close the connection; in a thread if unread data carries a file."""
        if self.fileno() >= 0 and self._carries_files():
            self._close_elsewhere(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=self.detach()))
        super().close()

    def _look(self, size: int) -> Any:
        """Return data without removing it from the system's queue."""
        # A look takes a second reference to the files of the data. To drop that reference ends no file.
        looked = super().recvmsg(size, 0, LOOK)
        if looked[2] & socket.MSG_CTRUNC:
            raise ConnectionAbortedError(ECONNABORTED, "the peer sent an open file")
        return looked

    def _carries_files(self) -> bool:
        """End both directions, and return True if unread data carries a file. Remove the data before it."""
        try:
            with suppress(OSError):  # the peer is gone
                self.shutdown(socket.SHUT_RDWR)  # from now on no data arrives
            while data := self._look(_MANY)[0]:
                super().recvmsg(len(data))
        except ConnectionAbortedError:
            return True
        except OSError:
            pass
        return False


class Closer:
    """Closes connections, each in a thread of its own; `MAX_CLOSING` at once.

    :param reactor: an ``IReactorTime`` and ``IReactorFromThreads``.
    :param note_full: called in the reactor's thread: with True once the closer is full, with False once it no
        longer is.
    """

    def __init__(self, reactor: Any, note_full: Callable[[bool], object]) -> None:
        self._reactor = reactor
        self._note_full = note_full
        self._count = 0

    @property
    def is_full(self) -> bool:
        """True while no more connections should be accepted, because each may have to be closed here."""
        return self._count >= MAX_CLOSING

    def close(self, connection: socket.socket) -> None:
        """Close a connection in a thread. It counts from now on, also while no thread can be started."""
        self._count += 1
        if self._count == MAX_CLOSING:
            self._note_full(True)
        self._start(connection)

    def _start(self, connection: socket.socket) -> None:
        def run() -> None:
            try:
                with suppress(OSError):  # the connection has ended all the same
                    connection.close()
            finally:
                self._reactor.callFromThread(self._closed)

        try:
            start_thread(run, "close")
        except NoThreadError:
            self._reactor.callLater(CLOSE_AGAIN, self._start, connection)

    def _closed(self) -> None:
        self._count -= 1
        if self._count == MAX_CLOSING - 1:
            self._note_full(False)
