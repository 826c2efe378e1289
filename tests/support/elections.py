"""Several `Tenure` machines, a register, and a mount, all in memory and on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mtmount_twisted.upstream.leadership.register import RegisterValue, encode
from mtmount_twisted.upstream.leadership.tenure import (
    Announce,
    Ask,
    Became,
    BePresent,
    CloseLink,
    ClosePorts,
    Effect,
    EndMoves,
    OpenLink,
    OpenPorts,
    Rules,
    RunHook,
    State,
    Tenure,
)

STEP = 0.05
"""Seconds of a step of `World.pass_time`."""


class Mount:
    """The mount.

    :ivar peers: the bridges that have the link; with `one_peer`, at most one.
    """

    def __init__(self, one_peer: bool) -> None:
        self.one_peer = one_peer
        self.peers: list[Machine] = []


class Machine:
    """A bridge: its machine, and all that performs the effects.

    :ivar history: the states that it had, in order.
    :ivar alive: False once it was killed.
    :ivar runs: False while it is stopped by SIGSTOP.
    :ivar reaches_broker: False while it is cut from the broker.
    :ivar reaches_mount: False while it is cut from the mount.
    :ivar loses: True to lose the answers of swaps that the broker has done.
    :ivar is_mute: True to give no answer to the questions about its presence.
    """

    def __init__(self, world: World, node: str, **rules: Any) -> None:
        self.world, self.node = world, node
        self.rules = Rules(node, world.mount.one_peer, **rules)
        self.effects: list[Effect] = []
        self.history: list[State] = [State.STANDBY]
        self.hooks: list[str] = []
        self.keys: list[int | None] = []
        self.inherited: list[Any] = []
        self.announced: list[tuple[int, bool]] = []
        self.ended_moves = 0
        self.alive = self.runs = self.reaches_broker = self.reaches_mount = True
        self.loses = self.is_mute = False
        self.hook_time = 0.0
        self.hooks_under_way: list[tuple[float, int]] = []
        self.wants_link = self.has_ports = False
        self.tenure = Tenure(self.rules, self.effects, world.now)

    @property
    def state(self) -> State:
        """The state of the machine."""
        return self.tenure.state

    @property
    def has_link(self) -> bool:
        """Whether the mount serves it."""
        return self in self.world.mount.peers

    def may_move(self) -> bool:
        """Whether a command that moves would go to the mount now."""
        return self.has_link and not self.tenure.why_withheld(self.world.now, True)

    def do(self, call: Callable[..., object], *arguments: Any) -> None:
        """Give the machine an input, and perform what follows."""
        call(*arguments, self.world.now)
        while self.effects:
            self.perform(self.effects.pop(0))

    def perform(self, effect: Effect) -> None:
        """Perform an effect."""
        match effect:
            case Ask():
                self.world.questions.append((self, effect))
            case BePresent(present):
                (self.world.present.add if present else self.world.present.discard)(self)
            case RunHook(number, word):
                self.hooks.append(word)
                self.hooks_under_way.append((self.world.now + self.hook_time, number))
            case OpenLink(key):
                self.keys.append(key)
                self.wants_link = True
            case CloseLink():
                self.wants_link = False
                self.lose_link(told=False)
            case OpenPorts(inherited):
                self.inherited.append(inherited)
                self.has_ports = True
            case ClosePorts():
                self.has_ports = False
            case EndMoves():
                self.ended_moves += 1
            case Announce(epoch, active):
                self.announced.append((epoch, active))
            case Became(state):
                self.history.append(state)

    def lose_link(self, told: bool = True) -> None:
        """Lose the link."""
        if self.has_link:
            self.world.mount.peers.remove(self)
            if told:
                self.do(self.tenure.link_down)

    def kill(self) -> None:
        """End, as by ``kill -9``: the system closes all connections."""
        self.alive = False
        self.world.present.discard(self)
        self.lose_link(told=False)

    def stop(self) -> None:
        """End, as by SIGTERM, with nothing in flight."""
        self.do(self.tenure.stop)
        self.wants_link = self.has_ports = False
        self.lose_link(told=False)
        self.do(self.tenure.closed)

    def wake(self, slept: float) -> None:
        """Go on after SIGSTOP, with the guard first."""
        self.runs = True
        self.do(self.tenure.slept, slept)

    def step(self) -> None:
        """Do what is due."""
        if not (self.alive and self.runs):
            return
        due = [number for when, number in self.hooks_under_way if when <= self.world.now]
        self.hooks_under_way = [each for each in self.hooks_under_way if each[1] not in due]
        for number in due:
            self.do(self.tenure.hook_ended, number)
        mount = self.world.mount
        is_free = not (mount.one_peer and mount.peers)
        if self.wants_link and not self.has_link and self.reaches_mount and is_free:
            mount.peers.append(self)
            self.do(self.tenure.link_up)
        self.do(self.tenure.time_passed)


class World:
    """The broker, the mount, and the bridges.

    :ivar up: False while the broker is away.
    :ivar moves: the bridges that could move the mount, of each step.
    """

    def __init__(self, one_peer: bool = True) -> None:
        self.now = 100.0
        self.mount = Mount(one_peer)
        self.value: RegisterValue | None = None
        self.revision = 0
        self.is_malformed = False
        self.present: set[Machine] = set()
        self.questions: list[tuple[Machine, Ask]] = []
        self.up = True
        self.machines: list[Machine] = []
        self.moves: list[list[str]] = []

    def add(self, node: str, **rules: Any) -> Machine:
        """Add a bridge, which has just started."""
        machine = Machine(self, node, **rules)
        self.machines.append(machine)
        return machine

    def set(self, value: RegisterValue | None) -> None:
        """Let the register have a value, as another bridge wrote it."""
        self.value, self.revision = value, self.revision + 1
        self.is_malformed = False

    def set_malformed(self) -> None:
        """Let the register have a text that is no value."""
        self.set(None)
        self.is_malformed = True

    def answer(self) -> None:
        """Answer all questions."""
        while self.questions:
            machine, ask = self.questions.pop(0)
            if not (self.up and machine.reaches_broker):
                if machine.alive and machine.runs:
                    machine.do(machine.tenure.unanswered, ask.number)
                continue
            revision = self.revision
            if ask.what == "swap":
                revision = 0
                if ask.revision == self.revision:
                    self.set(ask.value)
                    revision = self.revision
            if not (machine.alive and machine.runs):
                continue
            match ask.what:
                case "get":
                    text = "nonsense" if self.is_malformed else None
                    if self.value is not None:
                        text = encode(self.value)
                    machine.do(machine.tenure.answered_get, ask.number, text, self.revision)
                case "swap" if machine.loses:
                    machine.do(machine.tenure.unanswered, ask.number)
                case "swap":
                    machine.do(machine.tenure.answered_swap, ask.number, revision)
                case "gone" if any(each.is_mute for each in self.present):
                    pass
                case "gone":
                    gone = not any(each.reaches_broker for each in self.present)
                    machine.do(machine.tenure.answered_gone, ask.number, gone)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, step by step."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            for machine in self.machines:
                machine.step()
                self.answer()
            self.moves.append([each.node for each in self.machines if each.alive and each.may_move()])

    def until(self, is_so: Callable[[], bool], most: float = 60.0) -> float:
        """Let time pass until something is so; how long that took (s)."""
        began = self.now
        while not is_so():
            assert self.now - began < most, [each.state for each in self.machines]
            self.pass_time(STEP)
        return self.now - began
