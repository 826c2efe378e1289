"""A complete client of the protocol tma2020 with plain sockets: it needs nothing but Python's own library.

It takes command, turns the azimuth axis on, moves it, and gives command up. It is written to be read, and to
be rewritten in another language. docs/reference/protocol-tma2020.rst explains each line.

``python3 examples/sockets_tma2020.py [COMMAND_PORT [REPLY_PORT [HOST]]]``, beside ``.venv/bin/twistd -n
mtmount-bridge``.
"""

import itertools
import socket
import sys
import time
from datetime import UTC, datetime

ASK_FOR_COMMAND, AZIMUTH_POWER, AZIMUTH_MOVE = 2101, 101, 103
ACK, NO_ACK, DONE = 0, 1, 2  # the replies to a command; all others are events
CSC, NONE = 1, 0  # commanders; the first is also the source of the commands here

CONNECTED_WITHIN = 10.0
ACK_WITHIN = 5.0
GRACE = 2.0  # beyond the time that an Ack announces
LONGEST_LINE = 65536


class MountError(Exception):
    """A command ended without success; the text says how."""


class Mount:
    """A pair of connections: commands go out on one, and replies come in on the other.

    :param command_port: where the mount takes commands.
    :param reply_port: where this program listens; the mount connects to it.
    :raises OSError: if the two connections are not made in time.
    """

    def __init__(self, host: str, command_port: int, reply_port: int) -> None:
        with socket.create_server(("127.0.0.1", reply_port), backlog=1) as server:
            self._commands = socket.create_connection((host, command_port), CONNECTED_WITHIN)
            server.settimeout(CONNECTED_WITHIN)
            self._replies, _ = server.accept()
        self._commands.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """Close both connections. Give command up before: else the bridge stops the mount 5 s later."""
        self._commands.close()
        self._replies.close()

    def do(self, code: int, *parameters: float) -> None:
        """Send a command, and wait for its end.

        :param parameters: numbers; a bool is 0 or 1, an enumeration its number.
        :raises MountError: if the mount rejects the command, or it fails, or its end does not come in time.
        :raises OSError: if a connection is lost: the mount may or may not have done the command.
        """
        number = next(self._numbers)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        line = "\n".join(str(field) for field in (number, code, CSC, now, *parameters))
        self._commands.sendall(line.encode("ascii") + b"\r\n")
        until = time.monotonic() + ACK_WITHIN
        while True:
            reply, *fields = self._read_line(until)
            if int(reply) not in (ACK, NO_ACK, DONE):
                print("event", reply, *fields)
                continue
            its_number, _source, _timestamp, *rest = fields
            if int(its_number) != number:
                continue  # it ends a command that nothing waits for any more
            if int(reply) == NO_ACK:
                raise MountError(f"command {number} (code {code}): {rest[0]}")
            if int(reply) == DONE:
                print(f"command {number} (code {code}): done")
                return
            print(f"command {number} (code {code}): acknowledged, takes up to {int(rest[0]) / 1000} s")
            until = time.monotonic() + int(rest[0]) / 1000 + GRACE

    def _read_line(self, until: float) -> list[str]:
        """Return the fields of the next line, which may have come in several pieces, or with others."""
        while b"\r\n" not in self._received:
            if len(self._received) > LONGEST_LINE:
                raise ConnectionError("the mount sends a line without an end")
            self._replies.settimeout(max(0.001, until - time.monotonic()))
            try:
                piece = self._replies.recv(65536)
            except TimeoutError:
                raise MountError("no reply in time") from None
            if not piece:
                raise ConnectionError("the reply connection was lost")
            self._received += piece
        line, self._received = self._received.split(b"\r\n", 1)
        return line.decode("utf-8", "backslashreplace").split("\n")


def main(command_port: int, reply_port: int, host: str) -> None:
    """Take command, move the azimuth axis, and give command up."""
    mount = Mount(host, command_port, reply_port)
    try:
        mount.do(ASK_FOR_COMMAND, CSC)
        try:
            mount.do(AZIMUTH_POWER, 1)
            mount.do(AZIMUTH_MOVE, 5.0, 0.0, 0.0, 0.0)  # position, velocity, acceleration, jerk
        finally:
            mount.do(ASK_FOR_COMMAND, NONE)
    finally:
        mount.close()


if __name__ == "__main__":
    try:
        given = [*sys.argv[1:], *("30005", "30006", "127.0.0.1")[len(sys.argv) - 1 :]]
        main(int(given[0]), int(given[1]), given[2])
    except (MountError, OSError) as error:
        sys.exit(str(error))
