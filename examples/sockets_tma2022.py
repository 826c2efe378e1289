"""A complete client of the protocol tma2022 with a plain socket: it needs nothing but Python's own library.

It takes command, turns the azimuth axis on, moves it, and gives command up. A thread sends the heartbeat. It
is written to be read, and to be rewritten in another language. docs/reference/protocol-tma2022.rst explains
each line.

``python3 examples/sockets_tma2022.py [PORT [HOST]]``, beside ``.venv/bin/twistd -n mtmount-bridge``. A mount
itself has port 30005.
"""

import itertools
import json
import socket
import sys
import threading
import time
from typing import Any

ASK_FOR_COMMAND, AZIMUTH_POWER, AZIMUTH_MOVE, HEARTBEAT = 2103, 101, 103, 3000
REJECTED, ACKNOWLEDGED, SUCCEEDED, FAILED, SUPERSEDED = 2, 1, 3, 4, 5  # answers; all others are events
CSC, NONE = 1, 0  # commanders; the first is also the source of the commands here

CONNECTED_WITHIN = 10.0
ACK_WITHIN = 10.0
GRACE = 5.0  # beyond the time that an acknowledgement announces
UNKNOWN_TIMEOUT = 300.0  # of a command whose acknowledgement announces none
LONGEST_LINE = 4 * 2**20  # the settings of the mount are one line
TAI_MINUS_UTC = 37.0


class MountError(Exception):
    """A command ended without success; the text says how."""


class Mount:
    """One connection for commands, replies and events.

    :raises OSError: if the connection is not made in time.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), CONNECTED_WITHIN)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._has_command = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def close(self) -> None:
        """Close the connection. Give command up before: else the mount stops 5 s after the last heartbeat."""
        self._closed.set()
        self._heart.join()
        self._socket.close()

    def take_command(self) -> None:
        """Ask for command. From now on the heartbeat goes out each second."""
        self.do(ASK_FOR_COMMAND, CSC)
        self._has_command.set()

    def give_up_command(self) -> None:
        """Give command up."""
        self._has_command.clear()
        self.do(ASK_FOR_COMMAND, NONE)

    def do(self, code: int, *parameters: float) -> None:
        """Send a command, and wait for its end.

        :param parameters: numbers; a bool is 0 or 1, an enumeration its number.
        :raises MountError: if the mount rejects the command, or it fails, or its end does not come in time.
        :raises OSError: if the connection is lost: the mount may or may not have done the command.
        """
        number = next(self._numbers)
        self._send(number, code, *parameters)
        until = time.monotonic() + ACK_WITHIN
        while True:
            message = self._read_line(until)
            kind, values = message["id"], message["parameters"]
            if kind not in (REJECTED, ACKNOWLEDGED, SUCCEEDED, FAILED, SUPERSEDED):
                print("event", kind, str(values)[:70])
            elif values["sequenceId"] != number:
                continue  # it answers a heartbeat, or a command that nothing waits for any more
            elif kind == ACKNOWLEDGED:
                timeout = values["timeout"] if values["timeout"] > 0 else UNKNOWN_TIMEOUT
                print(f"command {number} (code {code}): acknowledged, takes up to {timeout} s")
                until = time.monotonic() + timeout + GRACE
            elif kind == SUCCEEDED:
                print(f"command {number} (code {code}): done")
                return
            elif kind == SUPERSEDED:
                raise MountError(f"command {number} (code {code}): a later command replaced it")
            else:
                raise MountError(f"command {number} (code {code}): {values['explanation']}")

    def _beat(self) -> None:
        while not self._closed.wait(1.0):
            if self._has_command.is_set():
                try:
                    self._send(0, HEARTBEAT)
                except OSError:
                    return  # `do` reports the loss

    def _send(self, *fields: float) -> None:
        number, code, *parameters = fields
        line = "\n".join(map(str, (number, code, CSC, time.time() + TAI_MINUS_UTC, *parameters)))
        with self._writing:
            self._socket.sendall(line.encode("ascii") + b"\r\n")

    def _read_line(self, until: float) -> Any:
        """Return the next line, which may have come in several pieces, or with others."""
        while b"\r\n" not in self._received:
            if len(self._received) > LONGEST_LINE:
                raise ConnectionError("the mount sends a line without an end")
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                piece = self._socket.recv(65536)
            except TimeoutError:
                raise MountError("no reply in time") from None
            if not piece:
                raise ConnectionError("the connection was lost")
            self._received += piece
        line, self._received = self._received.split(b"\r\n", 1)
        return json.loads(line)


def main(port: int, host: str) -> None:
    """Take command, move the azimuth axis, and give command up."""
    mount = Mount(host, port)
    try:
        mount.take_command()
        try:
            mount.do(AZIMUTH_POWER, 1)
            mount.do(AZIMUTH_MOVE, 5.0, 0.0, 0.0, 0.0)  # position, velocity, acceleration, jerk
        finally:
            mount.give_up_command()
    finally:
        mount.close()


if __name__ == "__main__":
    try:
        given = [*sys.argv[1:], *("30015", "127.0.0.1")[len(sys.argv) - 1 :]]
        main(int(given[0]), given[1])
    except (MountError, OSError) as error:
        sys.exit(str(error))
