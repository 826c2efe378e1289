"""Two daemons before one simulated mount, with a broker: the stage of the faults of a standby.

::

    Desk ---- daemon a (process) -- its proxies --\\
                                                   >-- simulator, broker (process)
    Desk ---- daemon b (process) -- its proxies --/
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectError

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.testing import ChaosProxy
from tests.support.broker import Broker

from .cable import cut
from .clients import Desk, connect
from .ledger import Ledger
from .mounts import make_mount
from .outcome import Outcome
from .process import Daemon
from .setting import TMA2022
from .stage import Stage
from .waits import SETTLED, pause, until
from .web import Web

T = 3.0
"""The time after which a lease counts as lost, in seconds."""

START_TIME = 60.0
"""How long a daemon may take to be a standby that takes over, in seconds."""

CONFIG = """\
[controller]
{controller}

[[port]]
name = "desk"
endpoint = "tcp:{desk}:interface=127.0.0.1"
role = "commander"
source = "EUI"

[web]
endpoint = "tcp:{web}:interface=127.0.0.1"

[station]
mount = "t1"
node = "{node}"
one_peer = true
take_over_after = {T}

[station.broker]
servers = ["nats://127.0.0.1:{broker}"]
"""

COMMANDS = """\
commands = true
[[station.user]]
name = "night"
source = "CSC"
role = "command"
expires = 10
"""

STATES = ("standby", "candidate", "active", "alone", "leaving")

NO_HEARTBEAT = "no heartbeat from the"
"""The simulator's log line when it takes command from a commander."""


def state_in(log: str) -> str:
    """Return the last state in the election that a daemon's log has; ``starting`` if it has none yet."""
    last, state = max((log.rfind(f"] {state}: "), state) for state in STATES)
    return "starting" if last < 0 else state


def complaint_in(log: str) -> str:
    """Return the last warning or error that a daemon's log has; empty if it has none."""
    found = re.findall(r"^\S+ \[\S+#(?:warn|error|critical)\] (.*)$", log, re.MULTILINE)
    return found[-1] if found else ""


class _Counter(logging.Handler):
    """Counts the log lines that begin with a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.count = 0
        self._text = text

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith(self._text)


class Bridge:
    """One daemon.

    :ivar to_broker: the proxy between its child and the broker.
    :ivar to_mount: the proxy between it and the mount, telemetry apart.
    :ivar to_telemetry: the proxy between it and the mount's telemetry.
    """

    daemon: Daemon

    def __init__(self, stage: TwoBridges, node: str) -> None:
        self.node = node
        self._stage = stage
        self.desk_port = stage.stage.port()
        web = stage.stage.port()
        self.web = Web(stage.reactor, web)
        self.to_broker = ChaosProxy(stage.reactor, stage.broker.port)
        command_port, telemetry_port = stage.mount.simulator.port_numbers()
        self.to_mount = ChaosProxy(stage.reactor, command_port)
        self.to_telemetry = ChaosProxy(stage.reactor, telemetry_port)
        self.folder: Path = stage.stage.folder / node
        self.folder.mkdir()
        ports = {"command_port": self.to_mount.port, "telemetry_port": self.to_telemetry.port}
        given = {**stage.mount.settings(0), **ports}
        self._config = self.folder / "bridge.toml"
        self._config.write_text(
            (CONFIG + COMMANDS if stage.takes_commands else CONFIG).format(
                controller="\n".join(f"{key} = {json.dumps(value)}" for key, value in given.items()),
                desk=self.desk_port,
                web=web,
                node=node,
                T=T,
                broker=self.to_broker.port,
            )
        )

    def start(self) -> None:
        """Start the daemon."""
        self.daemon = Daemon(self._stage.reactor, self.folder, self._config, self._stage.environment)

    @property
    def proxies(self) -> tuple[ChaosProxy, ...]:
        """All proxies."""
        return self.to_broker, self.to_mount, self.to_telemetry

    @property
    def state(self) -> str:
        """Its state in the election: see `state_in`; ``gone`` without a process."""
        return state_in(self.daemon.log) if self.daemon.exit is None else "gone"

    def vanish(self) -> None:
        """Let its host die: from now on its packets are dropped, and no connection of its ends.

        :raises Impossible: if the system does not allow that.
        """
        for proxy in self.proxies:
            cut(proxy)
            proxy.set(hang=True)
        self.daemon.signal("KILL")

    def heal(self) -> None:
        """Let the proxies pass everything again, on new connections if the old ones are cut."""
        for proxy in self.proxies:
            proxy.clear()
        self.to_broker.target_port = self._stage.broker.port
        self.to_mount.target_port, self.to_telemetry.target_port = self._stage.mount.simulator.port_numbers()

    async def starts_again(self) -> None:
        """Start the daemon after its end, with a network that is as it was."""
        await until(self._stage.reactor, lambda: self.daemon.exit is not None, f"{self.node} has ended")
        for proxy in self.proxies:
            proxy.reset()
        self.heal()
        self.start()

    @property
    def times_active(self) -> int:
        """How often it became active since its start."""
        return self.daemon.says("active: epoch")

    async def becomes_active(self, times: int = 1, seconds: float = 30.0) -> float:
        """Wait until it is active so often; how long that took, in seconds."""
        reactor = self._stage.reactor
        return await until(reactor, lambda: self.times_active >= times, f"{self.node} is active", seconds)

    async def stands_by(self) -> None:
        """Wait until it is a standby that trusts what the broker says."""
        await self.daemon.said("the broker is connected", START_TIME)
        await pause(self._stage.reactor, 1.5 * T)

    async def end(self) -> None:
        """End the daemon, if it runs."""
        if hasattr(self, "daemon") and self.daemon.exit is None:
            self.daemon.signal("CONT")
            await self.daemon.end()
        for proxy in self.proxies:
            await proxy.stop()


class TwoBridges:
    """The stage; see `open`.

    :param takes_commands: take commands from the broker, by a user ``night``.
    :param environment: added to that of the daemons.
    :param options: as for the simulator.
    :ivar active: the bridge with the lease.
    :ivar standby: the other one.
    :ivar desk: the commander at the active bridge.
    """

    active: Bridge
    standby: Bridge
    desk: Desk

    def __init__(
        self,
        stage: Stage,
        *,
        takes_commands: bool = False,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.stage = stage
        self.takes_commands = takes_commands
        self.environment = dict(environment or {})
        self.reactor: Any = stage.reactor
        self.outcome: Outcome = stage.outcome
        self.ledger = Ledger(TMA2022)
        self.broker = Broker()
        log, self._lost_heartbeats = logging.Logger("mount"), _Counter(NO_HEARTBEAT)
        log.addHandler(self._lost_heartbeats)
        self.mount = make_mount(self.reactor, self.ledger, **{"speed": 1000.0, "log": log} | options)

    @property
    def lost_heartbeats(self) -> int:
        """How often the mount took command from a commander because no heartbeat came."""
        return self._lost_heartbeats.count

    async def open(self) -> None:
        """Start everything, and take command for the desk."""
        await self.mount.start()
        self.active, self.standby = Bridge(self, "a"), Bridge(self, "b")
        self.active.start()
        await self.active.becomes_active(seconds=START_TIME)
        self.standby.start()
        await self.standby.stands_by()
        await self.join()

    async def join(self) -> None:
        """Connect the desk to the active bridge, and take command."""
        self.desk = await self._connect(self.active.desk_port)
        await self.take()

    async def take(self) -> None:
        """Take command for the desk."""
        entry = self.desk.send(self.ledger.setting.ask, commander=Source.EUI)
        await until(self.reactor, lambda: entry.ends or entry.orphan, "command is granted")

    async def release(self) -> None:
        """Let the desk give up command: the mount then expects no heartbeats.

        The desk has its answer before the bridge gives command back to the mount. Once this returns, the
        mount's answer to that is acknowledged, too: a mount with data on its way would send no probes.
        """
        nobody = self.ledger.setting.commander_type(0)
        entry = self.desk.send(self.ledger.setting.ask, commander=nobody)
        await until(self.reactor, lambda: entry.ends or entry.orphan, "command is given up")
        mount = self.mount.simulator.mount
        await until(self.reactor, lambda: mount.commander == nobody, "the mount has command back")
        await pause(self.reactor, SETTLED)

    async def _connect(self, port: int) -> Desk:
        """Connect a desk, as often as needed: a bridge opens its ports just after it is active."""
        end = self.reactor.seconds() + 10.0
        while True:
            try:
                return await connect(self.reactor, port, lambda: Desk(self.ledger))
            except ConnectError:
                if self.reactor.seconds() > end:
                    raise
                await pause(self.reactor, 0.02)

    async def answers(self) -> bool:
        """Whether a command of the desk is done."""
        entry = self.desk.send(self.ledger.setting.simple)
        await until(self.reactor, lambda: entry.ends or entry.orphan, "a command ends")
        return entry.ends == ["done"]

    async def goes_on(self, seconds: float) -> bool:
        """Whether commands are done, one after another, for so long."""
        until_then = self.reactor.seconds() + seconds
        all_done = True
        while self.reactor.seconds() < until_then:
            all_done = all_done and await self.answers()
            await pause(self.reactor, 0.05)
        return all_done

    async def changes(self, limit: float, times: int = 1) -> bool:
        """Wait until the standby is active, and command it; return True if its first command came in time.

        :param limit: the longest time from now to the end of the first command, in seconds.
        """
        return await self.takes_over(times) <= limit

    async def takes_over(self, times: int = 1, seconds: float = 30.0) -> float:
        """Wait until the standby is active, and command it.

        :param seconds: the longest wait.
        :returns: the time from now to the end of the first command, in seconds; infinite if it is not done.
        """
        began = self.reactor.seconds()
        await self.standby.becomes_active(times, seconds)
        self.active, self.standby = self.standby, self.active
        await self.join()
        done = await self.answers()
        return float(self.reactor.seconds() - began) if done else math.inf

    async def settle(self) -> None:
        """Wait until the standby trusts the broker again."""
        await pause(self.reactor, 1.5 * T)

    async def restart(self) -> None:
        """Start the bridge that has ended: it stands by."""
        await self.standby.starts_again()
        await self.standby.stands_by()

    async def close(self) -> None:
        """End everything, and judge by the mount's own record."""
        try:
            for bridge in (getattr(self, "standby", None), getattr(self, "active", None)):
                if bridge is not None:
                    await bridge.end()
            self._judge()
        finally:
            for bridge in (getattr(self, "standby", None), getattr(self, "active", None)):
                if bridge is not None and hasattr(bridge, "daemon") and bridge.daemon.exit is None:
                    bridge.daemon.signal("KILL")
            if hasattr(self, "desk") and self.desk.is_open:
                self.desk.transport.abortConnection()
            await self.mount.stop()
            self.broker.close()

    def _judge(self) -> None:
        ledger = self.ledger
        lost = ledger.lost()
        lost += [
            f"command {entry.id} was reported done, and not sent"
            for entry in ledger.entries.values()
            if entry.ends == ["done"] and not ledger.arrived[entry.id] and entry.code != int(ASK)
        ]
        self.outcome.lost += len(lost)
        self.outcome.problems += lost[:3]
        self.outcome.figures["commands"] += len(ledger.entries)


ASK = TMA2022.ask(commander=TMA2022.commander_type(int(Source.EUI))).command_code
"""The code of the command that asks for command: the bridge does it itself."""
