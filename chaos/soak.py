"""``python -m chaos.soak``: three days of tracking in memory, with faults at random.

A bridge, a simulated mount and commanders run on a `MemoryReactor`, with proxies between them: no sockets,
and no time but that of its clock. One commander tracks; others come, send valid and malformed commands, and
go. `FAULTS` has the faults of the network and the mount. At calm moments the rest is counted: entries of
tables, delayed calls, connections, objects.

``tests/project/test_soak.py`` runs it with few commands; ``--interval 0.05`` is the rate of a real telescope,
and takes an hour.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory

from mtmount_twisted import commands as tma2020
from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, PairCommander, PortCommanders
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022.enums import Source as Source2022
from mtmount_twisted.journal.schema import is_end
from mtmount_twisted.records import CommandRecord
from mtmount_twisted.simulator.faults import Fault
from mtmount_twisted.simulator.tma2022.catalogue import entries
from mtmount_twisted.testing import HOST, ChaosPair, ChaosProxy, MemoryReactor
from mtmount_twisted.upstream import motion_watch

from .clients import Csc, Desk, Observer
from .ledger import Ledger
from .mounts import TodaysMount, make_mount
from .setting import TMA2020, TMA2022, TRANSLATED, Setting

LOG = logging.getLogger("chaos.soak")
HOUR = 3600.0
TAI0 = 1_800_000_037.0
"""The time of the mount's clock at the beginning, in seconds of TAI."""

CALM = 120.0
"""Time without faults before the rest is counted, in seconds."""

MORE_OBJECTS = 500
"""How many objects more there may be after three days: caches fill up."""

HHD_ID = 2_000_000_000
"""The sequence id of a command of the HHD."""


@dataclass(frozen=True)
class Script:
    """The commands of a soak.

    :ivar set_up: the commands that make the axes ready to track, after any fault.
    :ivar track: the class of the tracking command.
    :ivar moves: the classes of commands that move one axis.
    :ivar interval: the time between two tracking commands, in seconds.
    """

    set_up: tuple[tuple[Any, dict[str, Any]], ...]
    track: Any
    moves: tuple[Any, Any]
    interval: float


_ON = {"on": True}

_SCRIPT_2020 = Script(
    set_up=(
        (tma2020.AzimuthAxisResetAlarm, {}),
        (tma2020.ElevationAxisResetAlarm, {}),
        (tma2020.AzimuthAxisPower, _ON),
        (tma2020.ElevationAxisPower, _ON),
        (tma2020.AzimuthAxisEnableTracking, _ON),
        (tma2020.ElevationAxisEnableTracking, _ON),
    ),
    track=tma2020.BothAxesTrack,
    moves=(tma2020.AzimuthAxisMove, tma2020.ElevationAxisMove),
    interval=20.0,
)

_TODAY = 4.0
"""The time between two tracking commands for a tma2022 mount, which stops after 5 s without, in seconds."""

SCRIPTS = {
    TMA2020: _SCRIPT_2020,
    TMA2022: Script(
        set_up=(
            (tma2022.commands.BothAxesResetAlarm, {}),
            (tma2022.commands.BothAxesPower, _ON),
            (tma2022.commands.BothAxesEnableTracking, {}),
        ),
        track=tma2022.commands.BothAxesTrackTarget,
        moves=(tma2022.commands.AzimuthMove, tma2022.commands.ElevationMove),
        interval=_TODAY,
    ),
    TRANSLATED: replace(_SCRIPT_2020, interval=_TODAY),
}
"""The commands, by the protocols."""

SETTINGS = {(setting.mount.name, setting.commanders.name): setting for setting in SCRIPTS}
"""The protocols, by the names of the mount's and of the commanders'."""


class Tally:
    """The ends of commands: each command that was received has exactly one.

    :ivar open: the commands in flight, by the bridge's number.
    :ivar wrong: number of commands without a beginning, or with two ends.
    """

    def __init__(self, bus: EventBus, setting: Setting) -> None:
        self._dialect = setting.mount
        self.open: set[int] = set()
        self.wrong = 0
        self.ends: Counter[str] = Counter()
        bus.subscribe(self._step, CommandRecord)

    def _step(self, record: CommandRecord, number: int) -> None:
        key, step = record.key, record.step
        ends = is_end(step, record.code, self._dialect)
        if ends:
            self.ends[step] += 1
        if key and step == "received":
            self.wrong += key in self.open
            self.open.add(key)
        elif key and ends:
            self.wrong += key not in self.open
            self.open.discard(key)


@dataclass(frozen=True)
class Left:
    """The rest at a calm moment.

    :ivar calls: the delayed calls, by the function that they call.
    :ivar objects: how many objects the garbage collector tracks, by type.
    """

    in_flight: int
    clients: int
    calls: Counter[str]
    connections: int
    objects: Counter[str]

    @property
    def total(self) -> int:
        """All objects."""
        return sum(self.objects.values())


class Soak:
    """All of it.

    :param interval: how often a tracking command is sent, in seconds.
    :param seed: of the faults.
    :param every: how long it is from one fault to the next, about, in seconds.
    :param setting: the protocols.
    :ivar mount: the simulated mount, and the proxies between it and the bridge.
    :ivar faults: the faults, by name.
    """

    def __init__(
        self, interval: float, seed: int = 6, every: float = 600.0, setting: Setting = TMA2020
    ) -> None:
        self.setting = setting
        self.script = SCRIPTS[setting]
        self.faults = FAULTS if setting.mount.telemetry is None else FAULTS | FAULTS_2022
        self.interval = interval
        self.every = every
        self.chance = random.Random(seed)
        self.reactor = MemoryReactor()
        self.ledger = Ledger(setting)
        self.bus = EventBus(self.reactor)
        self.tally = Tally(self.bus, setting)
        self.lost: list[str] = []
        self.injected: Counter[str] = Counter()
        self.sent = 0
        self._visitors: list[Desk | Observer] = []
        self._start_mount()
        self._start_bridge()
        self.run(10.0)
        self.set_up()

    def _start_mount(self) -> None:
        self.mount = make_mount(self.reactor, self.ledger, tai=lambda: TAI0 + self.reactor.seconds())
        Deferred.fromCoroutine(self.mount.start())
        self.simulator = self.mount.simulator
        if isinstance(self.mount, TodaysMount):
            entries()  # the alarms are read at the first one, and must not count as left over
            self._telemetry_port = self.mount.telemetry.target_port
            self.show_telemetry(False)

    def show_telemetry(self, on: bool) -> None:
        """Let the telemetry be reached or not. It is seldom: 200 lines a second are all alike."""
        if isinstance(self.mount, TodaysMount):
            self.mount.telemetry.target_port = self._telemetry_port if on else 0
            if not on:
                self.mount.telemetry.reset()

    def _start_bridge(self) -> None:
        self.csc = Csc(self.reactor, self.ledger, 0)
        self.reactor.advance(0)
        Deferred.fromCoroutine(self.csc.listen())
        given: dict[str, Any] = (
            {"dialect": self.setting.commanders.name} if self.setting.is_translated else {}
        )
        is_pair = isinstance(self.csc.network, ChaosPair)
        replies: dict[str, Any] = {"reply_port": self.csc.replies.port} if is_pair else {}
        config = Config(
            controller=Controller(**self.mount.settings(0)),
            pairs=(PairCommander(name="csc", command_port=0, **replies, **given),),
            ports=(
                PortCommanders(
                    name="desk", endpoint=f"tcp:0:interface={HOST}", source="EUI", role="commander", **given
                ),
                PortCommanders(name="hall", endpoint=f"tcp:0:interface={HOST}", **given),
            ),
        )
        self.service = BridgeService(config, LOG, self.bus, self.reactor)
        self.service.startService()
        self.mount.takes_replies(self.service.link.server_port)
        self.csc.commands.target_port = self.service.pairs[0].server_port
        desk, hall = (port.getHost().port for port in cast(Any, self.service.ports))
        self.desk = ChaosProxy(self.reactor, desk)
        self.hall = ChaosProxy(self.reactor, hall)

    # Time

    def run(self, seconds: float) -> None:
        """Let time pass, from one call that is due to the next."""
        reactor, end = self.reactor, self.reactor.seconds() + seconds
        while reactor.calls and (due := min(call.getTime() for call in reactor.calls)) <= end:
            reactor.rightNow = max(due, reactor.rightNow)  # exactly: a sum may fall short of it for ever
            reactor.advance(0)
        reactor.rightNow = end

    # What the commanders do

    def set_up(self) -> None:
        """Take command for the CSC, and make the axes ready to track, after any fault."""
        if self.csc.pair.connected:
            self.csc.send(self.setting.ask, commander=1)
            for kind, parameters in self.script.set_up:
                self.csc.send(kind, **parameters)

    def track(self) -> None:
        """One tracking command."""
        now = self.reactor.seconds()
        if self.csc.pair.connected:
            self.csc.send(
                self.script.track,
                azimuth=now % 20_000 / 100 - 100,
                elevation=45 + now % 20_000 / 1000,
                azimuth_velocity=0.01,
                elevation_velocity=0.001,
                tai=TAI0 + now,
            )

    def connect(self, proxy: ChaosProxy, client: Observer) -> Any:
        """A client of a port, which is there in a moment."""
        factory: Any = ClientFactory.forProtocol(lambda: client)
        factory.noisy = False  # else Twisted's log keeps the last thousands, and all that they hold
        self.reactor.connectTCP(HOST, proxy.port, factory)
        self.run(0.1)
        self._visitors.append(client)
        return client

    # The run

    def hours(self, hours: float) -> None:
        """Track for so many hours, with faults."""
        end = self.reactor.seconds() + hours * HOUR
        while self.reactor.seconds() < end:
            name = self.chance.choice(list(self.faults))
            self.injected[name] += 1
            self.run(self.chance.random() * self.interval)
            azimuth, elevation = self.script.moves
            self._send_amid(azimuth, self.setting.stop, elevation)
            self.faults[name](self)
            self._send_amid(self.setting.stop, azimuth)
            self.track()
            self.tracking(self.chance.uniform(1.0, 60.0))
            self.heal()
            self.tracking(min(self.chance.expovariate(1 / self.every), end - self.reactor.seconds()))

    def _send_amid(self, *kinds: Any) -> None:
        """More commands, while something goes wrong."""
        for kind in kinds if self.csc.pair.connected else ():
            position = {} if kind is self.setting.stop else {"position": self.chance.uniform(30, 80)}
            self.csc.send(kind, **position)
            self.run(self.chance.random())

    def tracking(self, seconds: float) -> None:
        """Track for so long."""
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() + self.interval < end:
            self.track()
            self.run(self.interval)
        self.run(max(0.0, end - self.reactor.seconds()))

    def heal(self) -> None:
        """End all faults and visits, and let the CSC track again."""
        for proxy in (self.desk, self.hall):
            proxy.clear()
        for network in (self.mount.network, self.csc.network):
            network.clear()
        self.show_telemetry(False)
        self.simulator.faults.clear()
        for visitor in self._visitors:
            if visitor.is_open:
                visitor.transport.abortConnection()
        self._visitors.clear()
        self.run(20.0)
        self.set_up()
        self.run(2.0)
        self._book()

    def _book(self) -> None:
        """Check the ended commands, and forget them: a ledger of three days would hide the use of memory."""
        self.lost += self.ledger.lost()
        kept = [entry for entry in self.ledger.entries.values() if not entry.ends and not entry.orphan]
        for entry in list(self.ledger.entries.values()):
            if entry not in kept:
                self.sent += 1
                del self.ledger.entries[entry.id]
                self.ledger.arrived.pop(entry.id, None)
        self.csc.forget()

    def left(self) -> Left:
        """Count the rest after a time without faults and without motion."""
        self.heal()
        self.csc.send(self.setting.stop)
        self.run(CALM)
        self._book()
        self.reactor.attempts.clear()
        calls = Counter(getattr(call.func, "__qualname__", repr(call.func)) for call in self.reactor.calls)
        bridge = self.service.bridge
        proxies = {self.desk, self.hall, *self.mount.proxies, self.csc.commands, self.csc.replies}
        gc.collect()
        return Left(
            in_flight=len(bridge.pending) + len(self.tally.open),
            clients=len(bridge.clients),
            calls=calls,
            connections=sum(proxy.open for proxy in proxies),
            objects=Counter(type(each).__name__ for each in gc.get_objects()),
        )


# What goes wrong


def _reset(soak: Soak) -> None:
    soak.mount.reset()


def _drop_one(soak: Soak) -> None:
    soak.chance.choice(soak.mount.proxies).reset()


def _close(soak: Soak) -> None:
    soak.mount.proxies[0].close()


def _hang(soak: Soak) -> None:
    soak.mount.network.set(hang=True)


def _slow(soak: Soak) -> None:
    soak.mount.network.set(
        latency=soak.chance.random(), slices=soak.chance.randrange(1, 50), bandwidth=5000.0
    )


def _limited(soak: Soak) -> None:
    soak.mount.network.set(limit=soak.chance.randrange(2000))


def _lose_commander(soak: Soak) -> None:
    soak.chance.choice([soak.csc.commands, soak.csc.replies]).reset()


def _hang_commander(soak: Soak) -> None:
    soak.csc.network.set(hang=True)


def _visit(soak: Soak) -> None:
    for _ in range(soak.chance.randrange(1, 6)):
        visitor = soak.connect(soak.desk, Desk(soak.ledger))
        for _ in range(soak.chance.randrange(10)):
            visitor.send(soak.setting.stop)
        soak.run(soak.chance.random())


def _half_close(soak: Soak) -> None:
    visitor = soak.connect(soak.desk, Desk(soak.ledger))
    visitor.send(soak.setting.stop)
    visitor.transport.loseWriteConnection()


def _nonsense(soak: Soak) -> None:
    visitor = soak.connect(soak.desk, Desk(soak.ledger))
    visitor.transport.write(soak.chance.choice(NONSENSE))
    soak.run(soak.chance.random() * 15)


def _deaf(soak: Soak) -> None:
    deaf = soak.connect(soak.hall, Observer())
    deaf.transport.pauseProducing()
    soak.simulator.faults.add(Fault("long", size=60_000, count=5))


def _takes_command(soak: Soak) -> None:
    visitor = soak.connect(soak.desk, Desk(soak.ledger))
    visitor.send(soak.setting.ask, commander=2)
    soak.run(1.0)


def _beats_end(soak: Soak) -> None:
    visitor = soak.connect(soak.desk, Desk(soak.ledger))
    visitor.send(soak.setting.ask, commander=2)
    if not soak.setting.is_translated:
        visitor.beat()


def _taken(soak: Soak) -> None:
    for commander in (Source2022.HHD, Source2022.NONE):
        ask = tma2022.commands.AskForCommand(commander=commander, source=Source2022.HHD, sequence_id=HHD_ID)
        soak.mount.receive(ask)
        soak.run(soak.chance.uniform(0.0, 10.0))


def _telemetry(soak: Soak) -> None:
    soak.show_telemetry(True)
    soak.run(3.0)


def _bad_telemetry(soak: Soak) -> None:
    _telemetry(soak)
    soak.simulator.telemetry.send([line[:-2] + b"\r\n" for line in NONSENSE])
    soak.run(2.0)


def _mount(*faults: Fault) -> Callable[[Soak], None]:
    def inject(soak: Soak) -> None:
        for fault in faults:
            soak.simulator.faults.add(fault)

    return inject


NONSENSE: Sequence[bytes] = (
    b"nonsense\r\n",
    b"\xff\xfe\r\n",
    b"1\n32\n2\n2020-01",
    b"x" * 70_000,
    b"GET / HTTP/1.1\r\n\r\n",
    b"1\n32\n2\n" + b"y" * 60_000,
)

FAULTS: dict[str, Callable[[Soak], None]] = {
    "controller resets": _reset,
    "one socket drops": _drop_one,
    "controller closes": _close,
    "controller hangs": _hang,
    "slow network": _slow,
    "cut behind some bytes": _limited,
    "commander drops": _lose_commander,
    "commander hangs": _hang_commander,
    "visitors": _visit,
    "a half-closed one": _half_close,
    "nonsense": _nonsense,
    "one that never reads": _deaf,
    "command is taken": _takes_command,
    "late": _mount(Fault("late", seconds=3.0, probability=0.5)),
    "too late": _mount(Fault("late", seconds=20.0, count=3)),
    "repeated": _mount(Fault("repeated", times=2, count=5)),
    "missing": _mount(Fault("missing", count=3)),
    "wrong id": _mount(Fault("wrong_id", count=3)),
    "Done first": _mount(Fault("done_first", count=3)),
    "out of order": _mount(Fault("swapped", count=3)),
    "alarm": _mount(Fault("alarm", seconds=1.0, count=1)),
    "garbage": _mount(Fault("garbage", count=3)),
    "cut line": _mount(Fault("cut", count=1)),
    "64 KiB line": _mount(Fault("long", count=1)),
    "flood": _mount(Fault("flood", rate=1000.0, seconds=0.5, count=1)),
    "silence": _mount(Fault("silence")),
    "refusal": _mount(Fault("refusal")),
}
"""The faults, by name."""

FAULTS_2022: dict[str, Callable[[Soak], None]] = {
    "heartbeats end": _beats_end,
    "taken by the HHD": _taken,
    "telemetry for a while": _telemetry,
    "bad telemetry": _bad_telemetry,
    "interlock": _mount(Fault("interlock", lasts=5.0)),
    "PXI lost": _mount(Fault("pxi_lost", lasts=5.0)),
}
"""Those that only a tma2022 mount has."""


@dataclass(frozen=True)
class Verdict:
    """The result of a soak.

    :ivar problems: differences from the beginning, in words; empty if all is well.
    """

    hours: float
    commands: int
    faults: int
    lost: int
    problems: tuple[str, ...]


def soak(hours: float, interval: float, seed: int = 6, setting: Setting = TMA2020) -> Verdict:
    """Track for so many hours, after two in which everything is made that is made once.

    :param interval: between two commands, in seconds.
    :param setting: the protocols.
    """
    # The memory of the last hour holds as much as happened in it. Here it is full before the first count.
    with patch.object(motion_watch, "KEPT_REPORTS", 20), patch.object(motion_watch, "KEPT_SLEWS", 5):
        running = Soak(interval, seed, setting=setting)
    running.hours(2.0)
    before = running.left()
    running.hours(hours)
    after = running.left()
    return Verdict(
        hours,
        running.sent,
        sum(running.injected.values()),
        len(running.lost) + running.tally.wrong,
        tuple([*differences(before, after), *running.lost[:3]]),
    )


def differences(before: Left, after: Left) -> Iterator[str]:
    """Describe each difference from the beginning, and each command that should not be in flight."""
    if after.in_flight:
        yield f"{after.in_flight} commands in flight"
    for name in ("clients", "calls", "connections"):
        then, now = getattr(before, name), getattr(after, name)
        if then != now:
            yield f"{name}: {then} before, {now} after"
    if after.total - before.total > MORE_OBJECTS:
        more = (after.objects - before.objects).most_common(5)
        yield f"{after.total - before.total} more objects: {more}"


def main() -> None:
    """Run, and print the verdict as JSON; exit status 1 if anything is not as it was."""
    parser = argparse.ArgumentParser(prog="python -m chaos.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=72.0, help="how long, simulated [%(default)s]")
    parser.add_argument("--interval", type=float, help="between commands, in s [20 for tma2020, else 4]")
    parser.add_argument("--seed", type=int, default=6, help="of the faults [%(default)s]")
    names = sorted({mount for mount, _ in SETTINGS})
    parser.add_argument("--dialect", choices=names, default=names[0], help="of the mount [%(default)s]")
    parser.add_argument("--commanders", choices=names, help="dialect of the commanders [the mount's]")
    given = parser.parse_args()
    setting = SETTINGS.get((given.dialect, given.commanders or given.dialect))
    if setting is None:
        parser.error(f"no bridge serves commanders of {given.commanders} before a mount of {given.dialect}")
    chaos = logging.getLogger("chaos")
    chaos.addHandler(logging.NullHandler())
    chaos.propagate = False
    verdict = soak(given.hours, given.interval or SCRIPTS[setting].interval, given.seed, setting)
    print(json.dumps(asdict(verdict)))
    sys.exit(bool(verdict.lost or verdict.problems))


if __name__ == "__main__":
    main()
