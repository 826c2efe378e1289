"""Two daemons before one simulated mount, with a broker: the stage of the faults of a standby.

::

    Desk ---- daemon a (process) ---\\
                 |                   >-- proxy -- simulator
    Desk ---- daemon b (process) ---/
                 |
              a proxy for each -- broker (process)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectError

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.testing import ChaosProxy
from tests.support.broker import Broker

from .clients import Desk, connect
from .ledger import Ledger
from .mounts import make_mount
from .outcome import Outcome
from .process import Daemon
from .setting import TMA2022
from .stage import Stage
from .waits import pause, until
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


class Bridge:
    """One daemon.

    :ivar to_broker: the proxy between its child and the broker.
    """

    daemon: Daemon

    def __init__(self, stage: TwoBridges, node: str) -> None:
        self.node = node
        self._stage = stage
        self.desk_port = stage.stage.port()
        web = stage.stage.port()
        self.web = Web(stage.reactor, web)
        self.to_broker = ChaosProxy(stage.reactor, stage.broker.port)
        self.folder: Path = stage.stage.folder / node
        self.folder.mkdir()
        given = stage.mount.settings(0)
        self._config = self.folder / "bridge.toml"
        self._config.write_text(
            CONFIG.format(
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
        self.daemon = Daemon(self._stage.reactor, self.folder, self._config, {})

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
        await self.to_broker.stop()


class TwoBridges:
    """The stage; see `open`.

    :ivar active: the bridge with the lease.
    :ivar standby: the other one.
    :ivar desk: the commander at the active bridge.
    """

    active: Bridge
    standby: Bridge
    desk: Desk

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.reactor: Any = stage.reactor
        self.outcome: Outcome = stage.outcome
        self.ledger = Ledger(TMA2022)
        self.broker = Broker()
        self.mount = make_mount(self.reactor, self.ledger, speed=1000.0)

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
        setting = self.ledger.setting
        entry = self.desk.send(setting.ask, commander=Source.EUI)
        await until(self.reactor, lambda: entry.ends or entry.orphan, "command is granted")

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
        began = self.reactor.seconds()
        await self.standby.becomes_active(times)
        self.active, self.standby = self.standby, self.active
        await self.join()
        done = await self.answers()
        took = self.reactor.seconds() - began
        return done and took <= limit

    async def restart(self) -> None:
        """Start the bridge that has ended: it stands by."""
        self.standby.start()
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
