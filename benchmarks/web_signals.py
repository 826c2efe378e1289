"""Signals in event streams beside commands: the cost of 100 readers at 20 Hz for a command's round trip.

A bridge of a tma2022 mount with its web, the mount and the commander share one core; the source of telemetry
and the readers are on the others. Each reader asks for the same 12 signals 20 times a second, and for the
summary. The same daemon is measured with readers and without, in turn.

An observer that asks for the hour in memory, or for a past moment, over and over, is measured the same way.

It also runs in the processes that this needs: ``python -m benchmarks.web_signals daemon|readers ...``.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from typing import Any

from mtmount_twisted.testing import HOST

from .bridge import Takes, Values, figures
from .bridge_daemon import Ports
from .bridge_stage import Child, Daemon, allow_many_sockets
from .bridge_tma2022 import BETWEEN, PACED, DuplexCommander
from .round_trip import quantile
from .runner import Goal, Run
from .stacks import one_core

GROUP = "web"

READERS, RATE = 100, 20

SIGNALS = (
    *("azimuth.actualPosition", "azimuth.demandPosition", "azimuth.actualVelocity", "azimuth.actualTorque"),
    *("elevation.actualPosition", "elevation.demandPosition", "elevation.actualVelocity"),
    *("elevation.actualTorque", "cameraCableWrap.actualPosition", "motion.azimuth.error"),
    *("motion.azimuth.errorSky", "motion.elevation.error"),
)

REQUEST = (
    f"GET /api/v1/events?kind=request&rate={RATE}&signals={','.join(SIGNALS)},summary HTTP/1.1\r\n"
    "Host: localhost\r\n\r\n"
).encode()

HISTORY = f"/api/v1/telemetry/history?signals={','.join(SIGNALS)}&from=1h&points=4000"
"""The hour in memory of twelve signals, at the most points."""

MOMENT = "/api/v1/telemetry?at=2s"
"""A moment in memory."""

HOUR = 3590.0
"""The time for which `fill` makes rows, in seconds."""


def fill(service: Any) -> None:
    """Give the memory of signals an hour of rows of the axes."""
    memory: Any = service.signals
    names = sorted({name.rpartition(".")[0] for name in SIGNALS})
    for topic in names:
        group = next(place.group for name, place in memory._places.items() if name.startswith(f"{topic}."))
        now = time.time()
        for number in range(round(HOUR / 0.05)):
            group.add(now - HOUR + number * 0.05, -HOUR, (number % 360.0,) * group.width)


# The processes


def daemon(mount: str, telemetry: str) -> None:
    """The bridge, with its web."""
    from twisted.internet import reactor

    from mtmount_twisted.app.bridge_service import BridgeService
    from mtmount_twisted.bridge.event_bus import EventBus
    from mtmount_twisted.config.loading import Config
    from mtmount_twisted.config.settings import ClientLimits, Controller, PairCommander, WebSettings
    from mtmount_twisted.frontends.web.service import Parts, WebService
    from mtmount_twisted.journal.recorder import JournalOff

    log = logging.getLogger("benchmarks")
    clock: Any = reactor
    bus = EventBus(clock)
    place = Controller(host=HOST, command_port=int(mount), dialect="tma2022", telemetry_port=int(telemetry))
    config = Config(controller=place, pairs=(PairCommander(name="csc", command_port=0),))
    service = BridgeService(config, log, bus, clock)
    service.startService()
    most = 10 * READERS
    settings = WebSettings(
        max_connections=most, max_connections_per_address=most, max_streams_per_user=READERS
    )
    parts = Parts(service, bus, JournalOff(), ClientLimits())
    web = WebService(settings, f"tcp:0:interface={HOST}", None, parts, log, clock)
    web.startService()
    clients = int(web.address.rpartition(":")[2])
    ports = Ports(commands=service.pairs[0].server_port, replies=0, clients=clients)
    fill(service)

    def begin() -> None:
        """Say the ports once the mount is connected: a command before that is refused."""
        if service.bridge.epoch:
            print(json.dumps(ports), flush=True)
        else:
            clock.callLater(0.05, begin)

    clock.callWhenRunning(service.load_numbers)
    clock.callWhenRunning(begin)
    clock.run()


def readers(port: str) -> None:
    """Read streams. ``read N``: so many from now on. ``report``: the events since the last report."""
    epoll = select.epoll()
    epoll.register(0, select.EPOLLIN)
    streams: dict[int, socket.socket] = {}
    events = lost = 0
    lags: list[float] = []
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor:
                data = streams[descriptor].recv(2**20)
                if not data:
                    lost += 1
                    epoll.unregister(descriptor)
                events += data.count(b"\nevent: signals\n") + data.startswith(b"event: signals\n")
                start = data.rfind(b'{"at":')
                if start >= 0 and b"," in data[start:]:
                    lags.append(time.time() - float(data[start + 6 : data.index(b",", start)]))
                continue
            order = os.read(0, 100).split()
            if not order:
                return
            if order[0] == b"read":
                for stream in streams.values():
                    stream.close()
                streams.clear()
                for _ in range(int(order[1])):
                    stream = socket.create_connection((HOST, int(port)))
                    stream.sendall(REQUEST)
                    data = stream.recv(65536)
                    while b"event: hello" not in data:
                        if not data or b"HTTP/1.1 200 " not in data:
                            raise ConnectionError(f"no stream begins: {data[-300:]!r}")
                        data += stream.recv(65536)
                    streams[stream.fileno()] = stream
                    epoll.register(stream.fileno(), select.EPOLLIN)
            print(json.dumps({"events": events, "lost": lost, "lags": lags}), flush=True)
            events = lost = 0
            lags = []


def asker(port: str) -> None:
    """Ask for a path over and over, one request at a time: each line is a path, or empty for none.

    The answer to a line is the number of requests since the line before.
    """
    connection = HTTPConnection(HOST, int(port))
    path, count = "", 0
    while True:
        while path and not select.select([0], [], [], 0)[0]:
            connection.request("GET", path)
            answer = connection.getresponse()
            if not answer.read() or answer.status != 200:
                raise ConnectionError(f"{path}: {answer.status}")
            count += 1
        line = os.read(0, 1000)
        if not line:
            return
        print(json.dumps(count), flush=True)
        path, count = line.decode().strip(), 0


# What is measured


class SignalDaemon(Daemon):
    """The process of `daemon`."""

    def __init__(self, mount_port: int, telemetry_port: int) -> None:
        Child.__init__(self, "web_signals", "daemon", mount_port, telemetry_port)
        self.ports: Ports = self.answer()


class Stage(ExitStack):
    """All processes, and a commander that has command."""

    def __init__(self) -> None:
        super().__init__()
        self.commander = DuplexCommander(PACED, BETWEEN)
        with one_core(others=True):
            source = self.enter_context(Child("tma2022_stage", "source"))
            telemetry_port = source.answer()["port"]
        with one_core():
            mount_port = self.enter_context(Child("tma2022_stage", "mount")).answer()
            self.daemon = self.enter_context(SignalDaemon(mount_port, telemetry_port))
        with one_core(others=True):
            self.readers = self.enter_context(Child("web_signals", "readers", self.daemon.ports["clients"]))
            self.asker = self.enter_context(Child("web_signals", "asker", self.daemon.ports["clients"]))
        source.tell("on")

    async def begin(self) -> None:
        """Take command."""
        time.sleep(0.3)  # until the daemon is connected
        await self.commander.connect(self.daemon.ports["commands"])
        time.sleep(0.3)
        await self.commander.take_command()

    def _told(self, order: str) -> Any:
        self.readers.tell(order)
        return self.readers.answer()

    def _ask(self, path: str) -> int:
        """Ask for a path from now on; return how often the path before was asked for."""
        self.asker.tell(path)
        count: int = self.asker.answer()
        return count

    async def trips(self, readers: int, path: str = "") -> Values:
        """Measure the duration of a round trip beside so many readers in µs, and their events.

        :param path: the path that an observer asks for at the same time, over and over.
        """
        self._told(f"read {readers}")
        time.sleep(1.0)
        self._ask(path)
        self._told("report")
        begun, busy = time.perf_counter(), self.daemon.busy()
        with one_core():
            times = await self.commander.trip()
        took, busy = time.perf_counter() - begun, self.daemon.busy() - busy
        report = self._told("report")
        asked = self._ask("")
        lags = report["lags"] or [0.0]
        return {
            "p50": quantile(times, 0.5),
            "p99": quantile(times, 0.99),
            "share": busy / took * 100,
            "asked": asked / took,
            "untold": 100 - report["events"] / took / RATE / max(1, readers) * 100,
            "lost": report["lost"],
            "lag": quantile(lags, 0.5) / 1e3,
            "lag99": quantile(lags, 0.99) / 1e3,
        }


async def measure(run: Run, reactor: Any) -> None:
    """Measure the round trip, and the signals of the readers in that time."""
    allow_many_sockets()
    with Stage() as stage:
        await stage.begin()
        many, hour, moment = f"{READERS} readers of signals", "an observer of the hour", "an observer of at="
        takes = {
            "no readers": Takes(partial(stage.trips, 0)),
            many: Takes(partial(stage.trips, READERS)),
            hour: Takes(partial(stage.trips, 0, HISTORY)),
            moment: Takes(partial(stage.trips, 0, MOMENT)),
        }
        title = f"signals at {RATE} Hz"
        known = (Goal("no readers", subject=many),)
        twice = Goal("no readers", limit=2.0, subject=many)
        alone = partial(Goal, "no readers", "by itself, at most", subject=many)
        others = [
            Goal("no readers", "by itself, at most", 20_000, subject=subject) for subject in (hour, moment)
        ]
        wanted = [
            ("p50", f"{title}, round trip, p50", "µs", known),
            ("p99", f"{title}, round trip, p99", "µs", (alone(20_000), twice, *others)),
            ("share", f"{title}, share of a core", "%", known),
            ("untold", f"{title}, not delivered in time", "%", (alone(10),)),
            ("lost", f"{title}, cut off", "streams", (alone(0),)),
            ("lag", f"{title}, delay, p50", "ms", (alone(100),)),
            ("lag99", f"{title}, delay, p99", "ms", (alone(200),)),
        ]
        await figures(run, takes, wanted, 5, GROUP)
        await stage.commander.close()


def main() -> None:
    logging.disable()
    parts: dict[str, Callable[..., None]] = {"daemon": daemon, "readers": readers, "asker": asker}
    parts[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
