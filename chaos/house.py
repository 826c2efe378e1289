"""One daemon, and all that stands around it: a simulated mount, commanders, observers, proxies, a journal.

::

    Csc -- its two proxies --\\                  /-- two proxies -- simulator
    Desk -------- proxy ------ daemon (process)
    Observer -----------------/                 (all but the daemon are in this process)
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.simulator.faults import Fault
from mtmount_twisted.testing import ChaosPair, ChaosProxy
from tests.support.ports import held_port, port_of

from . import records
from .clients import Csc, Desk, Observer, Reader, connect
from .ledger import Entry, Ledger
from .mounts import TodaysMount, make_mount
from .outcome import Outcome
from .process import Daemon
from .setting import Setting
from .waits import listening, pause, until
from .web import Web

CONFIG = """\
[controller]
{controller}

[[pair]]
name = "csc"
command_port = {csc}
{csc_replies}

[[port]]
name = "desk"
endpoint = "tcp:{desk}:interface=127.0.0.1"
role = "commander"
source = "EUI"
{dialect}

[[port]]
name = "lab"
endpoint = "tcp:{lab}:interface=127.0.0.1"
role = "commander"
source = "CSC"
{dialect}

[[port]]
name = "hall"
endpoint = "tcp:{hall}:interface=127.0.0.1"
{dialect}

[[port]]
name = "yard"
endpoint = "unix:{yard}"

[command]
ack_timeout = {ack_timeout}
done_margin = 0.5
lease_grace = {lease_grace}

[clients]
max_behind_seconds = 3.0

[web]
endpoint = "tcp:{web}:interface=127.0.0.1"
max_connections = {max_connections}
max_connections_per_address = {max_connections_per_address}
max_streams_per_user = {max_streams_per_user}
absent_after = {absent_after}
"""

TELEMETRY = """
[[telemetry]]
name = "telemetry"
endpoint = "tcp:{telemetry}:interface=127.0.0.1"
"""

RECORDER = """
[recorder]
enabled = true
path = {recordings}
min_free = 0
"""

STATION = """
[station]
mount = "t1"
node = "a"
[station.broker]
servers = [{broker}]
"""

COMMANDS = """
commands = true
[[station.user]]
name = "night"
role = "command"
expires = 60
[[station.user]]
name = "day"
source = "EUI"
role = "command"
"""

USUAL = {
    "ack_timeout": 5.0,
    "lease_grace": 5.0,
    "absent_after": 30.0,
    "max_connections": 1000,
    "max_connections_per_address": 1000,
    "max_streams_per_user": 500,
}
"""The settings that a row may change."""

MEMORY_ROOM = 24 * 2**20
"""How much more memory than at the beginning the daemon may have when a fault is over, in bytes."""

START_TIME = 30.0
"""How long a daemon may take to start, in seconds: on a busy machine the imports alone take some."""

LAG_LIMIT = 0.2
"""How late the daemon's event loop may be, in seconds."""


class House:
    """Everything around one daemon; see `open`.

    :param speed: how much faster than the real mount the simulator moves.
    :ivar mount: the simulated mount and the proxies between it and the daemon.
    :ivar csc: the commander with a pair.
    :ivar desk: the commander with a connection to a port, through `desk_proxy`.
    :ivar hall: the observer.
    :ivar reader: a reader of telemetry, if the mount has telemetry.
    :ivar yard: the Unix socket of a port for observers.
    :ivar whole: False once the journal can't have everything.
    :ivar paused: True once the daemon was paused: then the delays of its event loop are not its own.
    """

    desk: Desk
    hall: Observer
    reader: Reader
    csc: Csc
    daemon: Daemon

    def __init__(
        self, reactor: Any, folder: Path, outcome: Outcome, setting: Setting, speed: float = 1000.0
    ) -> None:
        self.reactor = reactor
        self.folder = folder
        self.outcome = outcome
        self.setting = setting
        self.ledger = Ledger(setting)
        self.whole = True
        self.paused = False
        self._held: list[socket.socket] = []
        names = ("replies", "csc", "desk", "lab", "hall", "web", "telemetry")
        self.ports = dict(zip(names, self.more_ports(len(names)), strict=True))
        self.mount = make_mount(reactor, self.ledger, speed=speed)
        self.mount.takes_replies(self.ports["replies"])
        self.desk_proxy = ChaosProxy(reactor, self.ports["desk"])
        self.web = Web(reactor, self.ports["web"])
        self.yard = folder / "yard"
        self.config = folder / "bridge.toml"
        self.journal = folder / "mtmount-bridge" / "journal.sqlite"
        self.recordings = folder / "recordings"
        self.has_recorder = False
        self.broker = ""
        self.takes_commands = False

    async def open(
        self,
        *,
        rows: int = 0,
        recorder: bool = False,
        broker: str = "",
        commands: bool = False,
        **options: Any,
    ) -> None:
        """Start everything, and wait until the mount can be commanded from the desk.

        :param rows: how many lines the journal has from earlier.
        :param recorder: record telemetry.
        :param broker: the URL of a message broker to publish to; empty for none.
        :param commands: take commands from it, by users ``night`` and ``day``.
        :param options: numbers for the configuration, in place of those in `USUAL`; texts for the daemon's
            environment.
        """
        numbers = {name: options.pop(name, usual) for name, usual in USUAL.items()}
        self.has_recorder, self.broker, self.takes_commands = recorder, broker, commands
        if rows:
            records.fill(self.journal, rows)
        await self.mount.start()
        self.csc = Csc(self.reactor, self.ledger, self.ports["csc"])
        await self.csc.listen()
        self.config.write_text(self.configured(**numbers))
        await self.start(**options)
        await self.join()
        await self.note()

    async def note(self) -> None:
        """Note the present resources of the daemon, once its journal is open."""
        log = Path(f"{self.journal}-shm")
        await until(self.reactor, log.exists, "the journal is open")
        await self.answers()
        await pause(self.reactor, 0.2)
        self.files, self.memory = self.daemon.files(), self.daemon.memory()

    def configured(self, **numbers: float) -> str:
        """The text of the configuration."""
        setting, given = self.setting, self.mount.settings(self.ports["replies"])
        dialect = f'dialect = "{setting.commanders.name}"' if setting.is_translated else ""
        proxied = isinstance(self.csc.network, ChaosPair)
        parts = {
            "controller": "\n".join(f"{key} = {json.dumps(value)}" for key, value in given.items()),
            "csc_replies": f"reply_port = {self.csc.replies.port}\n{dialect}" if proxied else dialect,
            "dialect": dialect,
            "yard": self.yard,
            "recordings": json.dumps(str(self.recordings)),
            "broker": json.dumps(self.broker),
        }
        text = CONFIG if setting.mount.telemetry is None else CONFIG + TELEMETRY
        text += RECORDER if self.has_recorder else ""
        station = STATION.replace('node = "a"', 'node = "a"\none_peer = true') + COMMANDS
        text += (station if self.takes_commands else STATION) if self.broker else ""
        return text.format(**(self.ports | parts | USUAL | numbers))

    @property
    def simulator(self) -> Any:
        """The service of the simulated mount."""
        return self.mount.simulator

    @property
    def todays_mount(self) -> TodaysMount:
        """The mount, which is one of tma2022."""
        assert isinstance(self.mount, TodaysMount)
        return self.mount

    async def start(self, **environment: str) -> None:
        """Start a daemon with this house's configuration and journal, and wait until it serves."""
        self.daemon = Daemon(self.reactor, self.folder, self.config, environment)
        await self.daemon.said("serving ", START_TIME)

    async def join(self) -> None:
        """Connect desk, observer and the pair, and take command for the desk."""
        reactor, ports = self.reactor, self.ports
        await listening(reactor, self.web.state)
        await self.linked()
        telemetry = self.setting.mount.telemetry
        if telemetry is not None:
            self.reader = await listening(
                reactor, lambda: connect(reactor, ports["telemetry"], lambda: Reader(telemetry))
            )
        self.desk = await listening(reactor, self.visit)
        self.hall = await listening(reactor, lambda: connect(reactor, ports["hall"], Observer))
        await until(self.reactor, lambda: self.csc.pair.connected, "the pair's commander is connected")
        await self.take()

    async def visit(self) -> Desk:
        """One more commander at the desk's port, through its proxy."""
        return await connect(self.reactor, self.desk_proxy.port, lambda: Desk(self.ledger))

    async def take(self) -> None:
        """Take command for the desk."""
        await self.ends([self.desk.send(self.setting.ask, commander=Source.EUI)])

    async def linked(self, seconds: float = 10.0) -> float:
        """Wait until the controller is connected; how long that took, in seconds."""
        began = self.reactor.seconds()
        while not (await self.web.state())["controller"]["connected"]:
            if self.reactor.seconds() - began > seconds:
                self.outcome.problems.append(f"the controller was not back within {seconds:g} s")
                break
            await pause(self.reactor, 0.02)
        return float(self.reactor.seconds() - began)

    # Commanding

    async def ends(self, entries: Iterable[Entry], seconds: float = 10.0) -> float:
        """Wait until these have ended; how long that took, in seconds."""
        wanted = list(entries)
        return await until(self.reactor, lambda: self.ledger.has_ended(wanted), "the commands end", seconds)

    async def in_flight(self, number: int, **fault: Any) -> list[Entry]:
        """Commands that the mount got and will not answer, or not as `fault` says."""
        self.simulator.faults.add(Fault("missing", **fault))
        entries = [self.desk.send(self.setting.simple) for _ in range(number)]
        await self.arrive(entries)
        return entries

    async def arrive(self, entries: Iterable[Entry]) -> None:
        """Wait until the mount got these."""
        wanted = [entry.id for entry in entries]
        await until(
            self.reactor, lambda: all(self.ledger.arrived[number] for number in wanted), "the mount gets them"
        )

    async def answers(self) -> bool:
        """Whether a command of the desk is done."""
        entry = self.desk.send(self.setting.simple)
        await self.ends([entry])
        return entry.ends == ["done"]

    async def ready(self) -> None:
        """Turn the azimuth axis on, after any alarm."""
        setting = self.setting
        await self.ends([self.desk.send(setting.reset), self.desk.send(setting.power, on=True)])

    async def goes_on(self, seconds: float) -> bool:
        """Whether commands are done, one after another, for so long."""
        until_then = self.reactor.seconds() + seconds
        all_done = True
        while self.reactor.seconds() < until_then:
            all_done = all_done and await self.answers()
            await pause(self.reactor, 0.05)
        return all_done

    async def holder(self) -> str | None:
        """The name of the client that has command, if one has it."""
        name: str | None = (await self.web.state())["lease"]["holder"]
        return name

    async def epoch(self) -> int:
        """The number of the connection to the mount."""
        return int((await self.web.state())["controller"]["epoch"])

    # The end of a fault

    async def calm(self) -> None:
        """Wait until the daemon is as it was before: nothing in flight, no more files, memory near."""
        problems = self.outcome.problems
        deadline = self.reactor.seconds() + 10.0
        while True:
            state = await self.web.state()
            await pause(self.reactor, 0.02)  # until the daemon has closed the question's connection
            files = self.daemon.files()
            is_calm = not state["in_flight"] and state["clients"] == 3 and files <= self.files
            if is_calm or self.reactor.seconds() > deadline:
                break
        if not is_calm:
            problems.append(
                f"not calm: {len(state['in_flight'])} in flight, {len(state['commanders'])} clients, "
                f"{files} files after {self.files}"
            )
        grown = self.daemon.memory() - self.memory
        if grown > MEMORY_ROOM:
            problems.append(f"{grown / 2**20:.0f} MiB more memory than before")

    def more_ports(self, count: int) -> list[int]:
        """Ports for this house's daemon: nothing else takes one before the house is closed."""
        held = [held_port() for _ in range(count)]
        self._held += held
        return [port_of(one) for one in held]

    async def close(self) -> None:
        """End the daemon, check the rest, and close everything."""
        try:
            await self.daemon.end()
            self._judge()
        finally:
            await self._clear()

    async def _clear(self) -> None:
        if self.daemon.exit is None:
            self.daemon.signal("KILL")
        for observer in (getattr(self, name, None) for name in ("desk", "hall", "reader")):
            if observer is not None and observer.is_open:
                observer.transport.abortConnection()
        await self.csc.close()
        await self.mount.stop()
        await self.desk_proxy.stop()
        for held in self._held:
            held.close()

    def _judge(self) -> None:
        outcome = self.outcome
        most, own = (0.0, 0.0) if self.paused else self.daemon.lag()
        outcome.figures["lag"] = max(outcome.figures["lag"], round(own * 1000))
        outcome.figures["lag_with_others"] = max(outcome.figures["lag_with_others"], round(most * 1000))
        if own > LAG_LIMIT:
            outcome.problems.append(f"the event loop was {own * 1000:.0f} ms late")
        lost = self.ledger.lost()
        if self.journal.exists():
            lost += records.lost(self.journal, self.ledger, self.whole)
        outcome.lost += len(lost)
        outcome.problems += lost[:3]
        outcome.figures["commands"] += len(self.ledger.entries)
