"""``python -m chaos.flooder KIND HALL WEB DESK``: a stranger that takes all it can get.

It goes on until its standard input is closed. HALL is a port of observers, WEB the page's,
DESK a port of commanders: for `asks_many`, of another source than the holder's. It works with
blocking sockets and threads, so that it is as fast as a stranger would be, and with less priority than the
daemon: a stranger is on another machine.
"""

from __future__ import annotations

import array
import itertools
import os
import selectors
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

HOST = "127.0.0.1"
FIELDS = 64_000
LINE = b"7\n103\n1\n2026-11-26T22:00:00.000" + b"\n" * FIELDS + b"\r\n"
"""A command of an observer: it is refused."""

SHORT = b"7\n103\n1\n2026-11-26T22:00:00.000\r\n"
"""The same, as short as it can be."""

MIDDLING = SHORT.removesuffix(b"\r\n") + b"\n" + b"x" * 600 + b"\r\n"
"""The same, longer than the part that the journal keeps, and so short that hundreds are read in a second."""

MOVE = SHORT.replace(b"7", b"2000000007", 1)
"""The same of a commander: no command of the ledger has this id."""

ASK = b"2000000007\n2101\n1\n2026-11-26T22:00:00.000\n2\r\n"
"""An ask that gives command to the commander with the source EUI, the holder."""

CHUNK = MOVE * (64 * 1024 // len(MOVE))
"""As much as one reading of a socket takes."""

VISITORS = 300
"""How many sockets connect at once."""

WATCHERS = 500
"""How many observers read every line."""

RESET = struct.pack("ii", 1, 0)
"""Close with a reset (socket(7), ``SO_LINGER``)."""

SLOWLY = struct.pack("ii", 1, 2)
"""Close, and wait for 2 s until the data is read."""

FILES = 50
"""How many files that were sent end slowly at the same time."""

PER_VISIT = 100
"""After so many an observer is dismissed."""

STREAMS = 8

REQUEST = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

AT_ONCE = 8
"""How many connections send at the same time."""

HEAD = b"POST /api/v1/commands HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"

SLOW = b"/api/v1/messages?kind=code%2012345&limit=1000"
"""A query that looks at as many rows as one may, and finds none."""


def connect(port: int, source: str = "") -> socket.socket:
    """A connection, from any address of this machine."""
    return socket.create_connection((HOST, port), timeout=5, source_address=(source, 0) if source else None)


def long_lines(hall: int, web: int, desk: int) -> None:
    """Send lines of many fields, be dismissed, and come again; while eight event streams are open."""
    for _ in range(STREAMS):
        threading.Thread(target=read_stream, args=(web,), daemon=True).start()
    while True:
        with suppress(OSError), connect(hall) as peer:
            for _ in range(PER_VISIT):
                peer.sendall(LINE)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass


def read_stream(web: int) -> None:
    """Read all events."""
    while True:
        with suppress(OSError), connect(web) as peer:
            peer.sendall(REQUEST % b"/api/v1/events")
            while peer.recv(65536):
                pass


def short_lines(hall: int, web: int, desk: int) -> None:
    """Send short lines in one piece, be dismissed, and come again, on eight connections."""
    visit_again(hall, SHORT * PER_VISIT)


def middling_lines(hall: int, web: int, desk: int) -> None:
    """Send lines of which the journal keeps the beginning, in the same way."""
    visit_again(hall, MIDDLING * PER_VISIT)


def visits(hall: int, web: int, desk: int) -> None:
    """Connect, say nothing, leave, and come again, on eight connections."""
    visit_again(hall, b"")


def visit_again(hall: int, said: bytes) -> None:
    """Connect, say this, read until the end, and come again, on eight connections."""
    threads = [threading.Thread(target=visit_on, args=(hall, said), daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def visit_on(hall: int, said: bytes) -> None:
    """Visit again and again."""
    while True:
        with suppress(OSError), connect(hall) as peer:
            if said:
                peer.sendall(said)
                while peer.recv(65536):
                    pass
            else:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def moves(hall: int, web: int, desk: int) -> None:
    """Send moves without having command, without end, as a commander, on four connections."""
    for _ in range(AT_ONCE // 2):
        threading.Thread(target=move_on, args=(desk,), daemon=True).start()
    threading.Event().wait()


def asks_many(hall: int, web: int, desk: int) -> None:
    """Ask without end that the holder shall have command, as a commander, on four connections."""
    for _ in range(AT_ONCE // 2):
        threading.Thread(target=move_on, args=(desk, ASK), daemon=True).start()
    threading.Event().wait()


def desk_chunk(hall: int, web: int, desk: int) -> None:
    """Connect to the commanders' port, send moves of 64 KiB, reset, and come again, on eight connections."""
    for _ in range(AT_ONCE):
        threading.Thread(target=chunk_on, args=(desk,), daemon=True).start()
    threading.Event().wait()


def chunk_on(desk: int) -> None:
    """Send a chunk again and again, each on a connection of its own."""
    while True:
        with suppress(OSError), connect(desk) as peer:
            peer.sendall(CHUNK)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def hall_visits(hall: int, web: int, desk: int) -> None:
    """Connect 300 sockets at once, each from an address of its own, reset all, and come again."""
    while True:
        visitors = []
        for number in range(VISITORS):
            visitor = socket.socket()
            visitors.append(visitor)
            visitor.setblocking(False)
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with suppress(OSError):
                visitor.bind((f"127.1.4.{number % 250 + 1}", 0))
                visitor.connect((HOST, hall))
        for visitor in visitors:
            visitor.close()


def watchers(hall: int, web: int, desk: int) -> None:
    """Connect 500 observers, and read all that each receives."""
    selector = selectors.DefaultSelector()
    for number in range(WATCHERS):
        with suppress(OSError):
            selector.register(connect(hall, f"127.1.5.{number % 250 + 1}"), selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if isinstance(key.fileobj, socket.socket) and not key.fileobj.recv(65536):
                selector.unregister(key.fileobj)


def pair_visits(hall: int, web: int, csc: int) -> None:
    """Do the same at the command port of a pair, whose commander is connected."""
    hall_visits(csc, web, csc)


def files(yard: str, web: int, desk: int) -> None:
    """Send open files over a Unix socket: TCP sockets whose data nobody reads, and whose end waits for it."""
    silent: deque[socket.socket] = deque(maxlen=FILES)
    with socket.create_server((HOST, 0)) as listening:
        while True:
            with connect(listening.getsockname()[1]) as file, socket.socket(socket.AF_UNIX) as peer:
                silent.append(listening.accept()[0])
                file.setblocking(False)
                with suppress(BlockingIOError):
                    while True:
                        file.send(CHUNK)
                file.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SLOWLY)
                rights = array.array("i", [file.fileno()])
                try:
                    peer.connect(yard)
                    peer.sendmsg([b"G"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                except OSError:  # the system refuses it: Linux 6.16 and newer
                    file.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def move_on(desk: int, line: bytes = MOVE) -> None:
    """Send moves without end, or another line, and read the answers."""
    while True:
        with suppress(OSError), connect(desk) as peer:
            threading.Thread(target=read_on, args=(peer,), daemon=True).start()
            while True:
                peer.sendall(line * PER_VISIT)


def read_on(peer: socket.socket) -> None:
    """Read until the end."""
    with suppress(OSError):
        while peer.recv(65536):
            pass


def commanders(hall: int, web: int, desk: int) -> None:
    """Connect to the commanders' port, send moves, leave, and come again, on eight connections."""
    visit_again(desk, MOVE * 10 + b"nonsense\r\n")


def places(hall: int, web: int, desk: int) -> None:
    """Hold as many connections to the page as there are, from 250 addresses, and come again and again."""
    held: list[socket.socket] = []
    for number in itertools.count():
        with suppress(OSError):
            held.append(connect(web, f"127.1.{number % 250}.{1 + number // 250 % 250}"))
        if len(held) > 1000:
            held.pop(0).close()


def refused(hall: int, web: int, desk: int) -> None:
    """Connect to a port, send a line that is not a command, and connect again at once."""
    while True:
        with suppress(OSError), connect(hall) as peer:
            peer.sendall(b"nonsense\r\n")
            while peer.recv(65536):
                pass


def queries(hall: int, web: int, desk: int) -> None:
    """Ask for slow history from one address, two queries at a time."""
    threading.Thread(target=ask_on, args=(web,), daemon=True).start()
    ask_on(web)


def ask_on(web: int) -> None:
    """Ask again and again."""
    while True:
        with suppress(OSError), connect(web, "127.1.1.1") as peer:
            peer.sendall(REQUEST % SLOW)
            peer.settimeout(30)
            peer.recv(65536)


def ahead(hall: int, web: int, desk: int) -> None:
    """Send requests ahead, and do not read their answers."""
    held = []
    for number in itertools.count():
        with suppress(OSError):
            peer = connect(web, f"127.1.2.{1 + number % 4}")
            peer.settimeout(0.05)
            held.append(peer)
            peer.sendall(REQUEST % b"/api/v1/schema" * 200)
        if len(held) > 20:
            held.pop(0).close()


def flood_lines(hall: int, web: int, desk: int) -> None:
    """Send the page's port lines that are no requests, eight connections at a time, and come again."""
    repeat([b"x\r\n" + b"y\r\n" * 300_000, b"\r\n" * 500_000, b"\r\n" * 500_000], web)


def flood_chunks(hall: int, web: int, desk: int) -> None:
    """Send chunks of one byte, lines behind the last chunk, and costly heads, on eight connections."""
    chunks = b"1\r\na\r\n" * 60_000
    bodies = [HEAD + chunks, HEAD + chunks, HEAD + b"0\r\n" + b"a: b\r\n" * 50_000]
    start = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    heads = [
        b"GET /" + start + b"a:b\r\n" * 60 + b"\r\n",  # as many headers as may be
        b"GET /" + start + b"Accept-Encoding: " + b"," * 8000 + b"\r\n\r\n",
        b"GET /" + b"%41/" * 500 + start + b"\r\n",
    ]
    repeat([*bodies, *(head * 30 for head in heads)], web)


def long_bodies(hall: int, web: int, desk: int) -> None:
    """Post bodies of thousands of numbers, as long as a body may be and longer, on eight connections."""
    head = b"POST /api/v1/commands HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    bodies = [b"[" + b"1," * count + b"1]" for count in (2000, 2000, 2000, 32_000)]
    repeat([(head + b"Content-Length: %d\r\n\r\n" % len(body) + body) * 30 for body in bodies], web)


def posts(hall: int, web: int, desk: int) -> None:
    """Send commands that are rejected, from one address, 16 of them ahead on each of eight connections."""
    head = b"POST /api/v1/commands HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
    threads = [threading.Thread(target=post_on, args=(head, web), daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def post_on(data: bytes, web: int) -> None:
    """Send further requests as soon as answers come."""
    while True:
        with suppress(OSError), connect(web, "127.1.4.1") as peer:
            peer.settimeout(2)
            peer.sendall(data * 16)
            while received := peer.recv(65536).count(b"HTTP/1.1 "):
                peer.sendall(data * received)


def repeat(sent: list[bytes], web: int) -> None:
    """Send these again and again to the page's port, on eight connections, and read the answers."""
    threads = [
        threading.Thread(target=send_on, args=(data, web, f"127.1.3.{number + 1}"), daemon=True)
        for number, data in zip(range(AT_ONCE), itertools.cycle(sent), strict=False)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def send_on(data: bytes, web: int, source: str) -> None:
    """Connect, send, read, and come again."""
    while True:
        with suppress(OSError), connect(web, source) as peer:
            peer.settimeout(2)
            peer.sendall(data)
            while peer.recv(65536):
                pass


KINDS: dict[str, Callable[[int, int, int], None]] = {
    each.__name__: each
    for each in (
        long_lines,
        short_lines,
        middling_lines,
        visits,
        moves,
        commanders,
        places,
        refused,
        queries,
        ahead,
        flood_lines,
        flood_chunks,
        long_bodies,
        posts,
        hall_visits,
        desk_chunk,
        asks_many,
        watchers,
        pair_visits,
        files,
    )
}


def main() -> None:
    """Run the flood that the command line names."""
    os.nice(10)
    kind, *ports = sys.argv[1:]
    at = [int(port) if port.isdigit() else port for port in ports]
    threading.Thread(target=KINDS[kind], args=at, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
