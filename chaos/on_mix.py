"""Failures of two bridges, of their network, and of the broker, in random order.

A commander and a user of the broker send commands all the time. At the end each of the user's requests is
compared: its outcome at the requester, its messages in the log, and the mount's own record.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.threads import deferToThread

from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.errors import EngineUnreachable
from mtmount_twisted.net.liveness import KEEP_ALIVE
from mtmount_twisted.station.contracts import Stored
from mtmount_twisted.station.nats_engine import NatsEngine
from mtmount_twisted.station.requester import Requester
from mtmount_twisted.station.requests import place_of
from mtmount_twisted.station.streams import commands_name
from mtmount_twisted.station.waits import pause as asleep

from .clients import Desk, connect
from .ledger import Entry, Ledger
from .on_standby import lose_packets
from .on_station import FLOOD, child_of
from .outcome import Impossible
from .process import ROOT
from .setting import Setting
from .stage import Stage
from .two_bridges import Bridge, TwoBridges, complaint_in
from .waits import TooLate, pause, until

NOTICED = dict(zip(KEEP_ALIVE, (2, 1, 2), strict=True))
"""The mount's keep-alive here: it notices a dead host after 4 s."""

AGAIN = 40.0
"""The longest time from the end of a failure until commands are done again, in seconds."""

ENDED = 60.0
"""The longest time from the last failure until all requests have an outcome, in seconds."""

OVERLAP = 0.25
"""The part of the failures that begin before the one before is over."""

PATIENCE = 20.0
"""The longest wait of the commander for the end of a command, in seconds; then it connects anew."""


def send(desk: Desk, setting: Setting, asks: bool) -> Entry:
    """Send a command of the commander.

    :param asks: True to ask for command in the same turn: else the user, who asks whenever a move of its own
        is refused, takes command in between.
    """
    if asks:
        desk.send(setting.ask, commander=Source.EUI)
    return desk.send(setting.simple)


def regaining(setting: Setting) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands after which the user can move the axis again, with their parameters.

    A mount that misses the heartbeats for 5 s takes command away, and puts its axes into alarm: an axis in
    alarm can't be turned on.
    """
    asks, resets, powers = setting.ask.__name__, setting.reset.__name__, setting.power.__name__
    return [(asks, {"commander": "CSC"}), (resets, {}), (powers, {"on": True})]


class Commander:
    """A commander that commands whichever bridge has its ports open.

    :ivar done: the number of commands that were done.
    :ivar stopped: True to end.
    """

    def __init__(self, two: TwoBridges, bridges: tuple[Bridge, Bridge], chance: random.Random) -> None:
        self.done = 0
        self.stopped = False
        self._two, self._bridges, self._chance = two, bridges, chance

    async def run(self) -> None:
        """Send commands, one after another, until `stopped`."""
        reactor, setting = self._two.reactor, self._two.ledger.setting
        desk: Desk | None = None
        while not self.stopped:
            if desk is None or not desk.is_open:
                desk = await self._connect()
                continue
            entry = send(desk, setting, self._chance.random() < 0.2)
            try:
                await until(reactor, lambda: entry.ends or entry.orphan, "an end", PATIENCE)  # noqa: B023
            except TooLate:
                desk.transport.abortConnection()
            self.done += entry.ends == ["done"]
            await pause(reactor, 0.05)
        if desk is not None and desk.is_open:
            desk.transport.abortConnection()

    async def _connect(self) -> Desk | None:
        for bridge in self._bridges:
            try:
                return await connect(self._two.reactor, bridge.desk_port, lambda: Desk(self._two.ledger))
            except ConnectError:
                await pause(self._two.reactor, 0.1)
        return None


@dataclass
class Sent:
    """A request of the user.

    :ivar position: the position of its move: no other has it.
    :ivar state: the state of its outcome; empty if the requester did not learn of one.
    """

    position: float
    state: str = ""


class User:
    """A user of the broker, who moves the azimuth axis from place to place. It has a thread of its own.

    :ivar sent: its requests, by their ids.
    :ivar done: the number of moves that were done.
    :ivar last: the last outcome, in words.
    """

    def __init__(self, url: str, setting: Setting) -> None:
        self.sent: dict[str, Sent] = {}
        self.done = 0
        self.last = ""
        self._url, self._move, self._regaining = url, setting.move.__name__, regaining(setting)
        self._stopped = threading.Event()
        self.over: Deferred[None] = deferToThread(lambda: asyncio.run(self._run()))

    def stop(self) -> Deferred[None]:
        """End; fires after the last outcome."""
        self._stopped.set()
        return self.over

    async def _run(self) -> None:
        async with Requester([self._url], "t1", "night") as requester:
            while not self._stopped.is_set():
                id = str(uuid.uuid4())
                sent = self.sent[id] = Sent(len(self.sent) / 1000 - 100)
                try:
                    outcome = await requester.command(
                        self._move, {"position": sent.position}, timeout=ENDED, id=id
                    )
                    sent.state = outcome.state
                    self.last = f"{self._move}: {outcome.explanation or outcome.state}"
                    self.done += outcome.state == "done"
                    if outcome.state != "done":
                        for command, parameters in self._regaining:
                            outcome = await requester.command(command, parameters, timeout=ENDED)
                            self.last = f"{command}: {outcome.explanation or outcome.state}"
                except EngineUnreachable as error:
                    self.last = str(error)
                    continue
                await asleep(0.02)


class Lives:
    """Reads all requests, claims and outcomes, up to a position.

    :ivar found: by id: ``request``, ``claim`` and the state of an outcome, in the order of the log.
    """

    def __init__(self, last: int) -> None:
        self.found: dict[str, list[str]] = defaultdict(list)
        self.done = asyncio.Event()
        self._last = last

    async def received(self, message: Stored) -> None:
        """Note a message; a keep-alive is none."""
        if message.body:
            data = json.loads(message.body)
            kind = data["type"].partition(".")[2]
            self.found[place_of(message.key).id].append(data["data"].get("state", kind))
        if message.position >= self._last:
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        """Do nothing: only older keep-alives are gone."""


def lives(url: str) -> dict[str, list[str]]:
    """Return the requests, claims and outcomes in the log: see `Lives`."""

    async def read() -> dict[str, list[str]]:
        engine = NatsEngine([url], [])
        engine.start()
        await engine.wait_connected()
        log = engine.log(commands_name("night"))
        last = await log.last("mt.t1.cmd.>")
        if last is None:
            return {}
        reader = Lives(last.position)
        await log.read("mt.t1.cmd.>", 1, reader)
        await reader.done.wait()
        await engine.close()
        return dict(reader.found)

    return asyncio.run(read())


def judged(sent: dict[str, Sent], found: dict[str, list[str]], ledger: Ledger) -> list[str]:
    """Describe each request whose outcome, messages and arrivals at the mount do not fit together."""
    problems = []
    for id, one in sent.items():
        words, arrived = found.get(id, []), ledger.positions[one.position]
        ends = [word for word in words if word not in ("request", "claim")]
        if words not in ([], ["request", *ends], ["request", "claim", *ends]) or len(ends) != bool(words):
            problems.append(f"request {id} has {words} in the log")
        if arrived > 1:
            problems.append(f"request {id} was sent {arrived} times")
        if one.state and ends != [one.state]:
            problems.append(f"request {id}: {one.state} at the requester, {words} in the log")
        if ends == ["done"] and not arrived:
            problems.append(f"request {id} was reported done, and not sent")
        if ends == ["not_sent"] and arrived:
            problems.append(f"request {id} was reported not sent, and was sent")
    return problems


# The failures. Each is over when it returns, but for the time that the bridges need afterwards.

Failure = Callable[["Mix"], Awaitable[None]]


class Mix:
    """The stage of a mix, and its random numbers."""

    def __init__(self, two: TwoBridges, bridges: tuple[Bridge, Bridge], flag: Path, seed: int) -> None:
        self.two = two
        self.bridges = bridges
        self.flag = flag
        self.chance = random.Random(seed)

    @property
    def bridge(self) -> Bridge:
        """One of the two, rather the active one; both run between two failures."""
        rather = self.chance.random() < 0.7
        active = [each for each in self.bridges if each.state in ("active", "alone")]
        return self.chance.choice(active if active and rather else self.bridges)

    async def wait(self, least: float, most: float) -> None:
        """Let a random time pass."""
        await pause(self.two.reactor, self.chance.uniform(least, most))

    async def heals(self) -> bool:
        """Wait until one bridge is active and the other one is a standby."""

        def is_healed() -> bool:
            return sorted(each.state for each in self.bridges) == ["active", "standby"]

        try:
            await until(self.two.reactor, is_healed, "one bridge is active", AGAIN)
        except TooLate:
            return False
        return True


def _ends(name: str) -> Failure:
    async def fail(mix: Mix) -> None:
        bridge = mix.bridge
        bridge.daemon.signal(name)
        await mix.wait(0.0, 5.0)
        await bridge.starts_again()

    return fail


async def _pauses(mix: Mix) -> None:
    bridge = mix.bridge
    bridge.daemon.signal("STOP")
    await mix.wait(0.2, 8.0)
    bridge.daemon.signal("CONT")


async def _pauses_and_dies(mix: Mix) -> None:
    bridge = mix.bridge
    bridge.daemon.signal("STOP")
    await mix.wait(0.2, 5.0)
    bridge.daemon.signal("KILL")
    await bridge.starts_again()


async def _host_dies(mix: Mix) -> None:
    bridge = mix.bridge
    bridge.vanish()
    await mix.wait(3.0, 10.0)
    await bridge.starts_again()


def _cut(where: str) -> Failure:
    async def fail(mix: Mix) -> None:
        bridge = mix.bridge
        proxy = getattr(bridge, where)
        proxy.target_port = 0
        proxy.reset()
        await mix.wait(0.2, 12.0)
        bridge.heal()

    return fail


def _one_way(where: str) -> Failure:
    async def fail(mix: Mix) -> None:
        proxy = getattr(mix.bridge, where)
        lane = mix.chance.choice((proxy.upstream, proxy.downstream))
        lane.set(hang=True)
        await mix.wait(0.2, 8.0)
        lane.clear()

    return fail


def _loses_packets(where: str) -> Failure:
    async def fail(mix: Mix) -> None:
        await lose_packets(mix.two, getattr(mix.bridge, where), mix.chance.uniform(1.0, 8.0), mix.chance)

    return fail


def _resets(where: str) -> Failure:
    async def fail(mix: Mix) -> None:
        getattr(mix.bridge, where).reset()

    return fail


async def _broker_dies(mix: Mix) -> None:
    mix.two.broker.kill()
    await mix.wait(0.0, 5.0)
    mix.two.broker.start()


async def _broker_pauses(mix: Mix) -> None:
    mix.two.broker.signal(signal.SIGSTOP)
    await mix.wait(0.2, 6.0)
    mix.two.broker.signal(signal.SIGCONT)


def _child(number: signal.Signals, floods: bool = False) -> Failure:
    async def fail(mix: Mix) -> None:
        with suppress(OSError):
            if pid := child_of(mix.bridge.daemon):
                if floods:
                    mix.flag.touch()  # the next child does
                os.kill(pid, number)

    return fail


FAILURES: dict[str, Failure] = {
    "daemon killed": _ends("KILL"),
    "daemon stopped": _ends("TERM"),
    "daemon paused": _pauses,
    "daemon paused and killed": _pauses_and_dies,
    "host dead": _host_dies,
    "cut from the broker": _cut("to_broker"),
    "cut from the broker one way": _one_way("to_broker"),
    "packets to the broker lost": _loses_packets("to_broker"),
    "connection to the broker reset": _resets("to_broker"),
    "cut from the mount": _cut("to_mount"),
    "cut from the mount one way": _one_way("to_mount"),
    "packets to the mount lost": _loses_packets("to_mount"),
    "link reset": _resets("to_mount"),
    "broker killed": _broker_dies,
    "broker paused": _broker_pauses,
    "child killed": _child(signal.SIGKILL),
    "child stopped": _child(signal.SIGSTOP),
    "child floods": _child(signal.SIGKILL, floods=True),
}


async def mix(stage: Stage, minutes: int) -> None:
    """Let everything fail, in random order, for so many minutes."""
    flag = stage.folder / "flood"
    (stage.folder / "sitecustomize.py").write_text(FLOOD.format(flag=str(flag)))
    path = {"PYTHONPATH": f"{stage.folder}:{ROOT}"}
    two = TwoBridges(stage, takes_commands=True, environment=path, keep_alive=NOTICED)
    outcome, setting = stage.outcome, two.ledger.setting
    try:
        await two.open()
        two.desk.transport.abortConnection()
        mixed = Mix(two, (two.active, two.standby), flag, stage.seed)
        user = User(two.broker.url, setting)
        commander = Commander(two, mixed.bridges, random.Random(stage.seed))
        commanding = Deferred.fromCoroutine(commander.run())
        try:
            await _fail_for(mixed, minutes * 60.0, commander, user)
        finally:
            commander.stopped = True
            await user.stop()
            await commanding
        await _judge(mixed, user)
    finally:
        await two.close()
        outcome.note = f"seed {stage.seed}, {outcome.figures['commands']:,} commands"


async def _fail_for(mix: Mix, seconds: float, commander: Commander, user: User) -> None:
    """Let one thing after another fail, and look after each whether both commanders go on."""
    reactor, outcome = mix.two.reactor, mix.two.outcome
    end = reactor.seconds() + seconds
    while reactor.seconds() < end:
        name = mix.chance.choice(sorted(FAILURES))
        outcome.inject()
        try:
            await FAILURES[name](mix)
        except Impossible:
            outcome.see("goes on")
            continue
        if mix.chance.random() < OVERLAP and reactor.seconds() < end:
            outcome.see("goes on")  # together with the next one
            continue
        done, moved = commander.done, user.done

        def goes_on(done: int = done, moved: int = moved) -> bool:
            return commander.done > done and user.done > moved

        try:
            healed = await mix.heals()
            await until(reactor, goes_on, "commands are done again", AGAIN)
        except TooLate as error:
            healed = False
            states = ", ".join(
                f"{each.node} {each.state} ({complaint_in(each.daemon.log)})" for each in mix.bridges
            )
            counts = f"{commander.done - done} of the commander, {user.done - moved} of the user"
            outcome.problems.append(f"after {name}: {error}: {counts} ({user.last}); {states}")
            return
        outcome.see("goes on", healed)


async def _judge(mix: Mix, user: User) -> None:
    """Compare the requests with the log and the mount's record, once each request has its outcome."""
    outcome, reactor, sent = mix.two.outcome, mix.two.reactor, user.sent
    end = reactor.seconds() + ENDED
    while True:
        found = await deferToThread(lives, mix.two.broker.url)
        if reactor.seconds() > end or all(words[-1] not in ("request", "claim") for words in found.values()):
            break
        await pause(reactor, 0.5)
    problems = judged(sent, found, mix.two.ledger)
    outcome.lost += len(problems)
    outcome.problems += problems[:3]
    outcome.figures["commands"] += len(sent)
