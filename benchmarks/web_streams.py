"""Live events of the web beside commands: the cost of 200 streams for a command's round trip.

A bridge with its web and its journal, the mount and the commander share one core, and only one of them has
something to do at a time; the reader of the streams is on the others. The mount sends 100 events a second,
and each stream asks for those. The same daemon is measured with streams and without, in turn.

It also runs in the processes that this needs: ``python -m benchmarks.web_streams daemon|mount|readers ...``.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.replies import DoneReply
from mtmount_twisted.testing import HOST

from .bridge import RawCommander, Takes, Values
from .bridge_daemon import BACKLOG, Ports
from .bridge_event import event
from .bridge_stage import Child, Daemon, allow_many_sockets
from .round_trip import COMMAND_LINE, quantile
from .runner import Case, Goal, Run
from .stacks import ACK_LINE, one_core, raw_socket

STREAMS, RATE = 200, 100

TRIPS = 400

BETWEEN = 0.01
"""How long a commander pauses between two commands, at most, in seconds: as it comes, in no step with
anything that the daemon does."""

REQUEST = b"GET /api/v1/events?peer=controller&kind=ON_STATE_INFO HTTP/1.1\r\nHost: localhost\r\n\r\n"


# The processes


def daemon(kind: str, reply_port: str, path: str) -> None:
    """The bridge, with its web."""
    from twisted.internet import reactor

    from mtmount_twisted.app.bridge_service import BridgeService
    from mtmount_twisted.bridge.event_bus import EventBus
    from mtmount_twisted.config.loading import Config
    from mtmount_twisted.config.settings import PairCommander
    from mtmount_twisted.journal.recorder import Journal

    log = logging.getLogger("benchmarks")
    clock: Any = reactor
    journal = Journal(path, log, reactor=reactor)
    journal.start()
    bus = EventBus(clock, journal)
    config = Config(pairs=(PairCommander(name="csc", command_port=0, reply_port=int(reply_port)),))
    service = BridgeService(config, log, bus, reactor)
    service.startService()
    web = clock.listenTCP(0, site(clock, bus, journal, log), BACKLOG, HOST)
    commands = service.pairs[0].server_port
    ports = Ports(commands=commands, replies=service.link.server_port, clients=web.getHost().port)
    print(json.dumps(ports), flush=True)
    service.link.connect(int(sys.stdin.readline()))
    clock.run()


def site(clock: Any, bus: Any, journal: Any, log: logging.Logger) -> Any:
    """The web's streams, as its service puts them together, for as many as come."""
    from mtmount_twisted.config.settings import ClientLimits, WebSettings
    from mtmount_twisted.enums import Source
    from mtmount_twisted.frontends.web.events.ring import Feed, Turns
    from mtmount_twisted.frontends.web.events.signals import SignalStreams
    from mtmount_twisted.frontends.web.events.streams import Bounds, Streams
    from mtmount_twisted.frontends.web.http.calls import User
    from mtmount_twisted.frontends.web.http.routing import Router
    from mtmount_twisted.frontends.web.http.site import WebSite

    class Open:
        """A guard that accepts every request, as of one user with a token."""

        has_tokens = True

        def admit(self, request: object) -> None: ...

        def user(self, request: object, role: object) -> User:
            return User("anyone", frozenset(["observe"]), Source.CSC)

        def hold(self, user: User) -> Callable[[], None]:
            return lambda: None

    turns = Turns(clock)
    feed = Feed(bus, DIALECT, journal, clock, turns)
    settings = WebSettings(
        max_connections=10 * STREAMS,
        max_connections_per_address=10 * STREAMS,
        max_streams_per_user=STREAMS,
    )
    bounds = Bounds.of(settings, ClientLimits())
    live = SignalStreams(None, lambda: None, clock, turns, log)
    streams = Streams(feed, live, turns, Open(), bus, clock, bounds, log)
    limited_log = RateLimitedLog(clock, log, A_FEW)
    return WebSite(Router(streams.routes(), Open(), limited_log), settings, limited_log, clock)


def mount(reply_port: str) -> None:
    """Answers each command with an Ack, and says so many events a second."""
    _, ack = ACK_LINE.split(b"\n12345\n")
    listening, own_port = raw_socket()
    with listening, socket.create_connection((HOST, int(reply_port))) as replies:
        replies.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(own_port, flush=True)
        with listening.accept()[0] as commands:
            due = time.monotonic()
            while True:
                if select.select([commands], [], [], max(0.0, due - time.monotonic()))[0]:
                    data = commands.recv(65536)
                    if not data:
                        return
                    for line in data.split(TERMINATOR)[:-1]:
                        sequence_id, code, _ = line.split(b"\n", 2)
                        replies.sendall(b"0\n%b\n%b" % (sequence_id, ack))
                        if int(code) == CommandCode.ASK_FOR_COMMAND:
                            replies.sendall(DoneReply(sequence_id=int(sequence_id)).encode())
                if due <= time.monotonic():
                    replies.sendall(event())
                    due += 1 / RATE


class Readers:
    """The reader of the streams. It reads orders, one a line, and answers each with JSON.

    ``read N``: read so many streams from now on. ``report``: the data received since the last report.
    """

    def __init__(self, port: str) -> None:
        self._port = int(port)
        self._epoll = select.epoll()
        self._epoll.register(0, select.EPOLLIN)
        self._streams: dict[int, socket.socket] = {}
        self._clear()

    def _clear(self) -> None:
        self._events = self._lost = 0
        self._lags: list[float] = []

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == 0:
                    line = os.read(0, 100).split()
                    if not line:
                        return
                    print(json.dumps(self._told(*line)), flush=True)
                    self._clear()
                elif descriptor in self._streams:  # and was not closed a moment ago
                    self._receive(descriptor)

    def _receive(self, descriptor: int) -> None:
        data = self._streams[descriptor].recv(2**20)
        if not data:
            self._lost += 1
            self._epoll.unregister(descriptor)
        self._events += data.count(b"\nevent: message\n")
        start = data.find(b'"description":"')
        if descriptor % 10 == 0 and start > 0:
            stamp = data[start + 15 : start + 35]
            self._lags.append(time.monotonic() - int(stamp) / 1e9)

    def _told(self, what: bytes, number: bytes = b"") -> Any:
        if what == b"report":
            return {"events": self._events, "lost": self._lost, "lags": self._lags}
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        for _ in range(int(number)):
            stream = socket.create_connection((HOST, self._port))
            stream.sendall(REQUEST)
            data = stream.recv(65536)
            while b"event: hello" not in data:
                if not data or b"HTTP/1.1 200 " not in data:
                    raise ConnectionError(f"no stream begins: {data[-300:]!r}")
                data += stream.recv(65536)
            self._streams[stream.fileno()] = stream
            self._epoll.register(stream.fileno(), select.EPOLLIN)
        return len(self._streams)


# What is measured


class PacedCommander(RawCommander):
    """A commander that pauses between its commands, and hears events among its answers."""

    async def trip(self) -> list[float]:
        return [self._one() for _ in range(TRIPS)]

    def _one(self) -> float:
        time.sleep(random.uniform(0, BETWEEN))
        while select.select([self._replies], [], [], 0)[0]:
            self._replies.recv(2**20)
        start, got = time.perf_counter(), TERMINATOR
        self._commands.sendall(COMMAND_LINE)
        while TERMINATOR + b"0\n" not in got:
            if TERMINATOR + b"1\n" in got:
                raise RuntimeError(f"no Ack: {got[-300:]!r}")
            got += self._replies.recv(2**16)
        return time.perf_counter() - start


class Stage(ExitStack):
    """All processes, and a commander that has command."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.commander = PacedCommander()
        with one_core():
            path = str(Path(folder, "web.sqlite"))
            self.daemon = self.enter_context(WebDaemon(self.commander.port, path))
            mount = self.enter_context(Child("web_streams", "mount", self.daemon.ports["replies"]))
            self.daemon.tell(mount.answer())
        with one_core(others=True):
            self.readers = self.enter_context(Child("web_streams", "readers", self.daemon.ports["clients"]))

    async def begin(self) -> None:
        """Take command."""
        await self.commander.connect(self.daemon.ports["commands"])
        time.sleep(0.3)  # until the daemon is connected on both sides
        await self.commander.take_command()

    async def trips(self, streams: int) -> Values:
        """Measure the duration of a round trip beside so many streams in µs, and their events."""
        self.readers.tell(f"read {streams}")
        self.readers.answer()
        time.sleep(0.2)
        self.readers.tell("report")
        self.readers.answer()
        begun, busy = time.perf_counter(), self.daemon.busy()
        with one_core():
            times = await self.commander.trip()
        took, busy = time.perf_counter() - begun, self.daemon.busy() - busy
        self.readers.tell("report")
        report = self.readers.answer()
        lags = report["lags"] or [0.0]
        return {
            "p50": quantile(times, 0.5),
            "mean": sum(times) / TRIPS * 1e6,
            "p99": quantile(times, 0.99),
            "share": busy / took * 100,
            "untold": 100 - report["events"] / took / RATE / max(1, streams) * 100,
            "lost": report["lost"],
            "lag": quantile(lags, 0.5) / 1e3,
            "lag99": quantile(lags, 0.99) / 1e3,
        }


class WebDaemon(Daemon):
    """The process of `daemon`."""

    def __init__(self, reply_port: int, path: str) -> None:
        Child.__init__(self, "web_streams", "daemon", "web", reply_port, path)
        self.ports: Ports = self.answer()


async def measure(run: Run, reactor: Any) -> None:
    """Measure the round trip, and the events of the streams in that time."""
    allow_many_sockets()
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        await stage.begin()
        title, many = f"{RATE} events/s", f"{STREAMS} streams"
        takes = {"no streams": Takes(partial(stage.trips, 0)), many: Takes(partial(stage.trips, STREAMS))}
        most = (Goal("no streams", "at most", 1.2, many),)
        known = (Goal("no streams", subject=many),)
        alone = partial(Goal, "no streams", "by itself, at most", subject=many)
        wanted = [
            ("p50", f"{title}, round trip, p50", "µs", most),
            ("mean", f"{title}, round trip, mean", "µs", most),
            ("p99", f"{title}, round trip, p99", "µs", known),
            ("share", f"{title}, share of a core", "%", known),
            ("untold", f"{title}, not delivered in time", "%", (alone(5),)),
            ("lost", f"{title}, cut off", "streams", (alone(0),)),
            ("lag", f"{title}, delay, p50", "ms", (alone(60),)),
            ("lag99", f"{title}, delay, p99", "ms", (alone(),)),
        ]
        for key, name, unit, goals in wanted:
            subjects = {subject: partial(take, key) for subject, take in takes.items()}
            await run.measure(Case("web", name, unit, subjects, goals, 5))
        await stage.commander.close()


def main() -> None:
    logging.disable()
    parts: dict[str, Callable[..., None]] = {
        "daemon": daemon,
        "mount": mount,
        "readers": lambda port: Readers(port).run(),
    }
    parts[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
