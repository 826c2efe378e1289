"""A bridge and its model side by side, with the invariants of `tests.bridge.test_model`."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from hypothesis.stateful import RuleBasedStateMachine, invariant

from mtmount_twisted.bridge.core import REASONS, Bridge
from mtmount_twisted.bridge.effects import (
    CancelTimer,
    Dismiss,
    Effect,
    SendToClient,
    SendToClients,
    SendUpstream,
    SetTimer,
)
from mtmount_twisted.dialects.dialect import Meaning
from mtmount_twisted.enums import Source
from mtmount_twisted.records import ChangeRecord, CommandRecord

from .bridge_model import Happening, Model
from .bridge_stage import ACK, NOACK, OBSERVERS, Answer, Cmd, Stage, read_2020
from .commanders import Clock, RecordingClient, RecordingLink

FATES = re.compile(r" \(\w+ (succeeded|failed|was|has)\b.*\)$")
"""The end of an explanation that names the parts of a command."""


class WatchedBridge(RuleBasedStateMachine):
    """A bridge and its model. A subclass makes both and the clients, and gives both the same input.

    :ivar stage: the dialect of both.
    :ivar old: the clients that speak tma2020 before a tma2022 mount.
    :ivar performed: the effects of the bridge since the last check.
    """

    stage: Stage
    old: frozenset[str] = frozenset()
    clients: dict[str, RecordingClient]
    bridge: Bridge
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.tokens = itertools.count(1)
        self.last_token = 0
        self.last_stop = 0  # the token of the last stop that was sent
        self.performed: list[Effect] = []
        self.links: list[RecordingLink] = []
        self.sent: list[list[tuple[Cmd, bytes]]] = []  # of each link: what it was sent
        self.connected: set[str] = set()
        self.asked: Counter[tuple[str, int]] = Counter()  # commands, by client and visit
        self.ended: Counter[tuple[str, int]] = Counter()  # their final answers
        self.track_numbers: Counter[tuple[str, int]] = Counter()

    def watch(self) -> None:
        """Record each effect that is performed from now on."""
        table = self.bridge.performer.table
        for kind, perform in table.items():
            table[kind] = partial(self.note, perform)

    def note(self, perform: Callable[[Effect], None], effect: Effect) -> None:
        """Record an effect, and perform it."""
        self.performed.append(effect)
        perform(effect)

    @invariant()
    def check(self) -> None:
        """Compare the effects with the model's, in their order; clients receive the lines of the effects."""
        if not hasattr(self, "bridge"):
            return
        self.note_own_stops()
        performed, self.performed = self.performed, []
        lines: dict[str, list[bytes]] = {name: [] for name in self.clients}
        actual = [happening for effect in performed for happening in self.happenings(effect, lines)]
        expected, self.model.effects = self.model.effects, []
        assert actual == expected, "\n".join(
            [f"{one!s:60} {other}" for one, other in itertools.zip_longest(actual, expected)]
        )
        for name, client in self.clients.items():
            assert client.read() == lines[name], name
            if name in OBSERVERS:
                seen = [self.seen(name, line) for line in lines[name]]
                assert seen == self.model.watched.pop(name, []), (name, seen)
        self.check_sent()

    def happenings(self, effect: Effect, lines: dict[str, list[bytes]]) -> Iterator[Happening]:
        """Yield an effect in the form of the model, and add its lines to those of each client."""
        terminator = self.stage.dialect.terminator  # which both dialects have
        match effect:
            case SendUpstream(_, data):
                yield ("send", self.stage.dialect.read_command(data.removesuffix(terminator)).code)
            case SendToClient(client, data):
                for line in data.split(terminator)[:-1]:
                    lines[client.name].append(line)
                    if client.name not in OBSERVERS:
                        yield ("tell", client.name, self.seen(client.name, line))
            case SendToClients(clients, data):
                names = tuple(client.name for client in clients)
                for name in names:
                    lines[name] += data.split(terminator)[:-1]
                if not set(names) & set(OBSERVERS):
                    yield ("tell all", names, *[("event", line) for line in data.split(terminator)[:-1]])
            case Dismiss(client, _):
                yield ("dismiss", client.name)
            case SetTimer(timer, seconds):
                yield ("set", timer.value, seconds)
            case CancelTimer(timer):
                yield ("cancel", timer.value)
            case CommandRecord(peer=peer, step=step, sequence_id=number, code=code):
                yield ("step", peer, None if peer == "bridge" else number, code, step)
            case ChangeRecord(kind="lease_granted" | "lease_released" as kind, peer=peer):
                yield (kind, peer)

    def check_sent(self) -> None:
        """Compare the commands to the controller with those of the commanders, but for id and source."""
        expected_down, self.model.down = self.model.down, []
        actual_down = self.links[-1].read() if self.links else []
        assert len(actual_down) == len(expected_down), (actual_down, expected_down)
        for cmd, line in zip(expected_down, actual_down):
            header, rest = self.stage.dialect.read_command(line), line.split(b"\n", 3)[3]
            assert (header.code, header.source) == (cmd.code, Source.CSC)
            if cmd.code == self.stage.heartbeat and not cmd.who:
                assert header.sequence_id == 0 and b"\n" not in rest
                continue
            if cmd.who:
                assert rest == cmd.rest
            elif cmd.rest is not None:
                assert rest.split(b"\n")[1:] == [cmd.rest]
            cmd.key = header.sequence_id
            self.sent[-1].append((cmd, rest))
            self.follows(cmd)

    def follows(self, cmd: Cmd) -> None:
        """Behind a stop goes nothing that came before it, but asks and other stops."""
        if cmd.who and cmd.rest is not None and cmd.code != self.stage.ask:
            if cmd.stops:
                self.last_stop = max(self.last_stop, cmd.token)
            else:
                assert cmd.token > self.last_stop, cmd
        elif cmd.stops:  # the bridge's own
            self.last_stop = max(self.last_stop, cmd.after)

    def note_own_stops(self) -> None:
        """Note that the bridge's stops so far, sent or not, come before each command that is given later."""
        for cmd in self.model.urgent + self.model.down:
            if not cmd.who and cmd.stops and cmd.after < 0:
                cmd.after = self.last_token

    def seen(self, name: str, line: bytes) -> Answer:
        """A line that a client read, as the model says it; final answers are counted."""
        answer = read_2020(line) if name in self.old else self.stage.read(line)
        meaning, *_, text = answer
        if not isinstance(meaning, Meaning):
            return answer
        if meaning is NOACK and not str(text).startswith(("mount:", "superseded")):
            fates = FATES.search(str(text))
            text = str(text).split(":")[0]
            assert text in REASONS, answer
            text += fates[0] if fates else ""
        if meaning is not ACK and name in self.model.visits:
            self.ended[name, self.model.visits[name]] += 1
        return (*answer[:3], text)

    @invariant()
    def tables(self) -> None:
        """Check the holder, and that the tables have the commands in flight under unique ids."""
        if not hasattr(self, "bridge"):
            return
        holder = self.bridge.lease.holder
        assert (holder.name if holder else "") == self.model.holder
        assert self.bridge.lease.number == self.model.leases
        for name, client in self.clients.items():
            assert client.in_flight == self.model.in_flight[name], name
        in_flight = [*self.model.urgent, *self.model.waiting, *self.model.written]
        assert len(self.bridge.pending) == len(in_flight)
        assert set(self.bridge.clients) == set(self.model.visits)
        for old in self.links[: len(self.links) - self.model.up]:
            assert not old.lines  # nothing goes to a connection that is lost
        tokens = [(cmd.code, cmd.rest) for sent in self.sent for cmd, _ in sent if cmd.who]
        assert len(set(tokens)) == len(tokens)  # nothing is sent twice
        keys = [cmd.key for sent in self.sent for cmd, _ in sent]
        assert len(set(keys)) == len(keys)  # nor under an id that was another's
