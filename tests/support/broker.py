"""A NATS server of its own for a class of tests, on 127.0.0.1, and coroutines in tests without a reactor."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mtmount_twisted.app.station_demo import server_program

from .parents import bound

HOST = "127.0.0.1"
PATIENCE = 60.0
"""Seconds in which what a test waits for must have come."""

T = TypeVar("T")


def program() -> str:
    """The path of nats-server: from ``MTMOUNT_NATS_SERVER``, of the wheel, or the system's."""
    found = os.environ.get("MTMOUNT_NATS_SERVER") or server_program()
    if found is None:
        raise FileNotFoundError("there is no nats-server: install the extra `test`")
    return found


def in_time(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; it fails if it takes too long."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE):
            return await work

    return asyncio.run(bounded())


class Closing(Protocol):
    """All that a test has, with its end."""

    async def close(self) -> None: ...


S = TypeVar("S", bound=Closing)


def on_stage(make: Callable[[], S], test: Callable[[S], Awaitable[None]]) -> None:
    """Run a test on a stage that is made for it, and close the stage."""

    async def run() -> None:
        stage = make()
        try:
            await test(stage)
        finally:
            await stage.close()

    in_time(run())


class Broker:
    """A server with JetStream.

    :param config: further lines for its configuration.
    :param syncs: True to write each message to the disk before it is confirmed.
    """

    def __init__(self, config: str = "", syncs: bool = False) -> None:
        self._sync = ", sync_interval: always" if syncs else ""
        self.folder = Path(tempfile.mkdtemp())
        self.store = self.folder / "store"
        self._config = self.folder / "nats.conf"
        self.config(config)
        self.port = -1
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def config(self, text: str) -> None:
        """Set further lines of the configuration, for the next start."""
        self._config.write_text(f'jetstream {{ store_dir: "{self.store}"{self._sync} }}\n{text}\n')

    @property
    def pid(self) -> int:
        """The number of its process, which runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it serves; again on the port of the first time. If it runs, do nothing."""
        if self._process is not None:
            return
        ports = self.folder / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        words = ["-c", str(self._config), "-a", HOST, "-p", str(self.port), "--ports_file_dir", str(ports)]
        self._process = subprocess.Popen(
            bound(program(), *words),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_ready()
        while not (found := list(ports.glob("*.ports"))) or not (text := found[0].read_text()):
            select.select([], [], [], 0.002)  # the line about the ports comes just before their file
        if self.port == -1:
            self.port = int(json.loads(text)["nats"][0].rpartition(":")[2])

    def _wait_ready(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        end, output = time.monotonic() + PATIENCE, b""
        pipe = self._process.stderr
        while b"Server is ready" not in output:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            more = os.read(pipe.fileno(), 65536) if ready else b""
            output += more
            if not more:
                raise AssertionError(f"nats-server does not start:\n{output.decode()}")

    def signal(self, number: int) -> None:
        """Send it a signal; return once SIGSTOP has stopped all threads: some go on to work until then."""
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """Kill it, as a loss of power does; `start` starts it again with what it has stored."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            process.stderr.close()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def keep(self) -> Path:
        """Copy what it has stored, for `restart_with`."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.store, copy)
        return copy

    def restart_with(self, copy: Path) -> None:
        """Kill it, and start it with what it had stored earlier: it has lost its tail."""
        self.kill()
        shutil.rmtree(self.store)
        shutil.copytree(copy, self.store)
        self.start()

    def close(self) -> None:
        """End it, and remove its files."""
        self.kill()
        shutil.rmtree(self.folder)


_brokers: dict[str, Broker] = {}


def broker_of(case: object, config: str = "") -> Broker:
    """The server of a class of tests, until the end of the process: trial knows no ``setUpClass``."""
    name = type(case).__qualname__
    if name not in _brokers:
        _brokers[name] = Broker(config)
        atexit.register(_brokers[name].close)
    return _brokers[name]
