"""Clients that only receive, many in one process: ``python -m benchmarks.bridge_crowd PORT``.

It reads orders, one a line, from standard input, and answers each with a line of JSON:

``connect N``
    connect so many more clients;
``expect BYTES``
    say when so many bytes came to all of them together, since the start, or when for `PATIENCE`
    seconds none came; the answer is a `Report`.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import TypedDict

from mtmount_twisted.testing import HOST

from .bridge_event import EVENT, sent_at

PATIENCE = 2.0

ONE_IN = 25
"""One in so many clients measures the age of the events that it receives."""


class Report(TypedDict):
    """The data received so far.

    :ivar received: bytes, since the start.
    :ivar lost: how many clients were disconnected, since the start.
    :ivar lags: ages of the received events in seconds, since the last report, from some of the clients.
    """

    received: int
    lost: int
    lags: list[float]


class Crowd:
    """The clients, and the data that they have received."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._epoll.register(0, select.EPOLLIN)
        self._clients: dict[int, socket.socket] = {}
        self._report = Report(received=0, lost=0, lags=[])
        self._expected = -1

    def run(self) -> None:
        """Until standard input ends."""
        clients, report = self._clients, self._report
        while True:
            events = self._epoll.poll(PATIENCE if self._expected >= 0 else None)
            for descriptor, _ in events:
                client = clients.get(descriptor)
                if client is None:
                    if not self._told():
                        return
                    continue
                data = self._received(client, descriptor)
                report["received"] += len(data)
                if descriptor % ONE_IN == 0 and len(data) >= len(EVENT):
                    report["lags"].append(time.monotonic() - sent_at(data))
            if 0 <= self._expected <= report["received"] or (not events and self._expected >= 0):
                print(json.dumps(report), flush=True)
                report["lags"].clear()
                self._expected = -1

    def _received(self, client: socket.socket, descriptor: int) -> bytes:
        try:
            data = client.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._epoll.unregister(descriptor)
            self._clients.pop(descriptor).close()
            self._report["lost"] += 1
        return data

    def _told(self) -> bool:
        line = os.read(0, 100).decode()
        if not line:
            return False
        what, number = line.split()
        if what == "expect":
            self._expected = int(number)
            return True
        for _ in range(int(number)):
            client = socket.create_connection((HOST, self._port))
            self._clients[client.fileno()] = client
            self._epoll.register(client.fileno(), select.EPOLLIN)
        print(json.dumps(len(self._clients)), flush=True)
        return True


if __name__ == "__main__":
    Crowd(int(sys.argv[1])).run()
