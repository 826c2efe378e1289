"""Faults of the machine that the daemon runs on: names, ports, file descriptors."""

from __future__ import annotations

import os
import resource
import socket

from mtmount_twisted.commands import Enable
from mtmount_twisted.testing import HOST

from .process import Daemon
from .stage import Stage
from .waits import pause, until

CONFIG = """\
[controller]
host = "{host}"
command_port = {commands}
reply_port = {replies}
reply_host = "127.0.0.1"

[[port]]
name = "desk"
endpoint = "tcp:{desk}:interface=127.0.0.1"
role = "commander"

[web]
enabled = false
"""

NOWHERE = "no-such-host.invalid"

EXTRA = 30
"""How many connections are tried while there is no file descriptor left."""


async def _refused(stage: Stage, number: int, pattern: str, host: str, ports: dict[str, int]) -> None:
    """See that a daemon with this configuration says why it can't begin, in one line, and ends."""
    outcome = stage.outcome
    outcome.inject()
    folder = stage.folder / str(number)
    folder.mkdir()
    config = folder / "bridge.toml"
    config.write_text(CONFIG.format(host=host, **ports))
    daemon = Daemon(stage.reactor, folder, config, {})
    await until(stage.reactor, lambda: daemon.exit is not None, "it ends", 20.0)
    lines = daemon.log.strip().splitlines()
    outcome.see("one clear line", len(lines) == 1 and daemon.says(pattern) == 1)
    outcome.see("exit status 1", daemon.exit == 1)


async def unknown_host(stage: Stage, times: int) -> None:
    """The controller's host does not resolve."""
    for number in range(times):
        ports = {name: stage.port() for name in ("commands", "replies", "desk")}
        await _refused(stage, number, f"'{NOWHERE}' does not resolve", NOWHERE, ports)


async def port_taken(stage: Stage, times: int) -> None:
    """Another program listens on a port of the configuration, in turn the controller's and a client's."""
    for number in range(times):
        ports = {name: stage.port() for name in ("commands", "replies", "desk")}
        taken = ("replies", "desk")[number % 2]
        with socket.create_server((HOST, ports[taken])):
            pattern = rf"can't listen on {HOST}:{ports[taken]}: Address already in use"
            await _refused(stage, number, pattern, HOST, ports)


async def controller_late(stage: Stage, times: int) -> None:
    """The mount is not there when the daemon starts, and comes a second later."""
    for _ in range(times):
        house = await stage.house()
        await house.simulator.stopService()
        await house.daemon.end()
        stage.outcome.inject()
        await house.start()
        await pause(house.reactor, 1.0)
        await house.mount.start()
        await house.join()
        stage.outcome.see("connected once it starts", await house.answers())


async def no_files(stage: Stage, times: int) -> None:
    """The daemon has no file descriptor left, and 30 clients want in."""
    house = await stage.house()
    outcome, pid = house.outcome, house.daemon.pid
    for _ in range(times):
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        most = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        outcome.inject()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most + 1, before[1]))
        extra = [socket.create_connection((HOST, house.ports["desk"])) for _ in range(EXTRA)]
        await pause(house.reactor, 0.3)
        entries = [house.desk.send(Enable), house.csc.send(Enable)]
        await house.ends(entries)
        untouched = entries[0].ended("done") and entries[1].ended("refused") and house.hall.is_open
        outcome.see("connections untouched", untouched)
        outcome.see("logged", house.daemon.says("EMFILE|Too many open files") > 0)
        for each in extra:
            each.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        visitor = await house.visit()
        entry = visitor.send(Enable)
        await house.ends([entry])
        outcome.see("accepts again", entry.ended("refused"))
        visitor.transport.abortConnection()
        await house.calm()
