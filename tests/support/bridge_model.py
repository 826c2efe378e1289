"""The rules of the bridge as a small model: the effects of each input, in their order.

It follows the rules with lists and names in place of tables and timers, so it is slow and easy to check.
``tests.bridge.test_model`` plays both, and compares.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mtmount_twisted.commands import AckOnlyCommandCodes

from .bridge_stage import (
    ACK_TIME,
    ALL_STOPS,
    COMMANDERS,
    GRACE,
    LIMIT,
    MARGIN,
    OBSERVERS,
    PATIENCE,
    STOPS,
    SWEEP,
    Cmd,
)
from .commanders import ASK

ACK, NOACK, DONE = 0, 1, 2
Answer = tuple[object, ...]

Happening = tuple[object, ...]
"""An effect: ``send`` with a command's code; ``step`` of a command; ``tell`` a commander, or ``tell all`` of
them; ``dismiss``; ``set`` or ``cancel`` a timer; ``lease_granted``, ``lease_released``."""


@dataclass
class Model:
    """The whole state.

    :ivar effects: the effects since the last check, in their order.
    :ivar watched: the lines for each observer since the last check; they are sent at the end of each call.
    :ivar down: the commands of the effects ``send``.
    """

    sources: dict[str, int]
    anyone_may_stop: bool
    stops_on_loss: bool
    effects: list[Happening] = field(default_factory=list)
    watched: dict[str, list[Answer]] = field(default_factory=dict)
    down: list[Cmd] = field(default_factory=list)
    now: float = 0.0
    up: bool = False
    room: int | None = None
    visits: dict[str, int] = field(default_factory=dict)  # of who is here
    comings: int = 0
    accepted: int = 0
    holder: str = ""
    leases: int = 0
    has: bool = False
    owes: bool = False
    asking: bool = False
    owes_stop: bool = False
    asks: list[Cmd] = field(default_factory=list)
    judged: list[Cmd] = field(default_factory=list)  # asks, and the rest, that are being judged
    finished: set[str] = field(default_factory=set)  # who says no more, and listens
    refusals: Counter[str] = field(default_factory=Counter)  # of observers
    urgent: list[Cmd] = field(default_factory=list)
    waiting: list[Cmd] = field(default_factory=list)
    written: list[Cmd] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)
    known: dict[object, bytes] = field(default_factory=dict)
    timers: list[tuple[float, str]] = field(default_factory=list)  # in the order of their making

    # Effects

    def happens(self, kind: str, *what: object) -> None:
        """Add an effect."""
        self.effects.append((kind, *what))

    def step(self, cmd: Cmd, step: str) -> None:
        """Publish a step of a command."""
        self.happens("step", cmd.who or "bridge", cmd.number if cmd.who else None, cmd.code, step)

    def tell(self, cmd: Cmd, code: int, text: str) -> None:
        """Send a reply to the commander in the session that sent the command, and to observers."""
        answer = (code, cmd.number, cmd.source, text)
        if cmd.who and self.visits.get(cmd.who) == cmd.visit:
            self.read(cmd.who, answer)
        for who in OBSERVERS if cmd.who in COMMANDERS else ():
            if who in self.visits:
                self.watched.setdefault(who, []).append(answer)

    def read(self, who: str, answer: Answer) -> None:
        """Send a line to one client."""
        if who in COMMANDERS:
            self.happens("tell", who, answer)
        else:
            self.watched.setdefault(who, []).append(answer)

    def refuse(self, cmd: Cmd, word: str) -> None:
        """End a command with a NoAck of the bridge."""
        self.step(cmd, word.replace(" ", "_"))
        self.tell(cmd, NOACK, word)

    def events(self, events: list[tuple[object, bytes, bool]]) -> None:
        """Send events to all clients."""
        lines: list[Answer] = []
        for about, line, lasts in events:
            self.known.pop(about, None)
            if about is not None and lasts:
                self.known[about] = line
            lines.append(("event", line))
        commanders = tuple(who for who in self.visits if who in COMMANDERS)
        if commanders:
            self.happens("tell all", commanders, *lines)
        for who in self.visits:
            if who in OBSERVERS:
                self.watched.setdefault(who, []).extend(lines)

    # Commanders

    def come(self, who: str) -> None:
        """A client connects and receives the last values."""
        self.comings += 1
        self.visits[who] = self.comings
        self.refusals[who] = 0
        self.finished.discard(who)
        if self.holder == who:
            self.stop_timer("grace")
        for line in self.known.values():
            self.read(who, ("event", line))

    def go(self, who: str) -> None:
        """A client's connection is lost."""
        self.visits.pop(who, None)
        self.finished.discard(who)
        self.drop([ask for ask in self.asks if ask.heir == who])
        self.miss(who)

    def finish(self, who: str) -> None:
        """A client says no more, and listens."""
        self.finished.add(who)
        self.miss(who)

    def miss(self, who: str) -> None:
        """If it has command, it is waited for."""
        if self.holder == who:
            self.start_timer("grace", GRACE)

    def say(self, cmd: Cmd, wanted: int = 0) -> None:
        """A client that is here sends a command."""
        stops = cmd.code in STOPS
        free = stops and self.anyone_may_stop
        behind = not (stops and (free or self.holder == cmd.who)) and self.waits(cmd.who)
        if cmd.who in OBSERVERS:
            self.refuse(cmd, "refused")
            self.refusals[cmd.who] += 1
            if self.refusals[cmd.who] == PATIENCE:
                del self.visits[cmd.who]
                self.happens("dismiss", cmd.who)
        elif cmd.code == ASK:
            self.ask(cmd, wanted)
        elif self.holder != cmd.who and not free and not behind:
            self.refuse(cmd, "refused")
        elif not self.up:
            self.refuse(cmd, "not sent")
        elif self.in_flight[cmd.who] >= LIMIT and not stops:
            self.refuse(cmd, "busy")
        elif behind:
            self.asks.append(cmd)
            self.in_flight[cmd.who] += 1
        else:
            self.take(cmd, self.judged + self.asks)

    def take(self, cmd: Cmd, ahead: list[Cmd]) -> None:
        """Accept a command. A stop also ends the earlier commands that wait behind asks."""
        cmd.lease = self.leases if self.holder == cmd.who else 0
        overtaken = [each for each in ahead if each.moves and cmd.code in STOPS]
        for each in overtaken:
            (self.asks if each in self.asks else self.judged).remove(each)
            self.in_flight[each.who] -= 1
        if cmd.code in STOPS and self.up and not self.has:
            self.ask_upstream()
        self.begin(cmd)
        for each in overtaken:
            self.refuse(each, "not sent")

    def take_stops(self) -> None:
        """Accept the stops of the new holder. They end the commands before them."""
        for stop in [each for each in self.judged + self.asks if each.who == self.holder]:
            if stop.code in STOPS:
                waits = self.judged + self.asks
                (self.asks if stop in self.asks else self.judged).remove(stop)
                self.in_flight[stop.who] -= 1
                self.take(stop, waits[: waits.index(stop)])

    def waits(self, who: str) -> bool:
        """Return True if the commands of this client wait behind an ask that may give it command."""
        if any(cmd.who == who and not cmd.heir for cmd in self.asks):
            return True
        return self.holder != who and any(ask.heir == who for ask in self.asks)

    def decide(self, cmd: Cmd, word: str = "") -> None:
        """A command that waited behind an ask is taken or not."""
        self.in_flight[cmd.who] -= 1
        if word or self.holder != cmd.who:
            self.refuse(cmd, word or "refused")
        else:
            cmd.lease = self.leases
            self.begin(cmd)

    def malformed(self, cmd: Cmd | None, who: str) -> None:
        """Disconnect a client that sent a malformed command."""
        if cmd is not None:
            self.refuse(cmd, "malformed")
        del self.visits[who]
        self.happens("dismiss", who)

    # The way down

    def begin(self, cmd: Cmd) -> None:
        """Accept a command. A stop is sent before the NoAcks to the commands that it overtakes."""
        cmd.deadline = self.now + ACK_TIME
        self.in_flight[cmd.who] += 1
        self.accepted += 1
        cmd.place = self.accepted
        (self.urgent if cmd.urgent or cmd.code in STOPS else self.waiting).append(cmd)
        self.step(cmd, "received")
        overtaken = [each for each in self.waiting if each.moves and cmd.code in STOPS]
        for each in overtaken:
            self.end(each)
        self.start_timer("sweep", SWEEP)
        self.hand_over()
        for each in overtaken:
            self.refuse(each, "not sent")

    def hand_over(self) -> None:
        """Send commands while the controller has room, stops first."""
        while self.up and self.room != 0 and (self.urgent or self.waiting):
            cmd = (self.urgent or self.waiting).pop(0)
            cmd.deadline = self.now + ACK_TIME
            self.written.append(cmd)
            self.happens("send", cmd.code)
            self.step(cmd, "sent")
            self.down.append(cmd)
            if self.room is not None:
                self.room -= 1

    # The way up, and other ends

    def answered(self, cmd: Cmd, code: int, text: str, seconds: float) -> None:
        """The mount answers a command that it was sent."""
        if cmd not in self.written or (code == ACK and cmd.acked):
            return
        if code == ACK:
            cmd.acked, cmd.deadline = True, self.now + seconds + MARGIN
        self.step(cmd, {ACK: "ack", NOACK: "noack", DONE: "done"}[code])
        self.tell(cmd, code, text)
        if code != ACK or cmd.code in AckOnlyCommandCodes:
            self.end(cmd)
            if cmd.then is not None:
                cmd.then(code, text)

    def end(self, cmd: Cmd) -> None:
        """A command has ended."""
        for place in (self.urgent, self.waiting, self.written):
            if cmd in place:
                place.remove(cmd)
        self.in_flight[cmd.who] -= 1

    def give_up(self, cmd: Cmd, word: str) -> None:
        """The bridge ends a command."""
        if cmd in self.urgent + self.waiting + self.written:
            self.end(cmd)
            self.refuse(cmd, word)
            if cmd.then is not None:
                cmd.then(None, word)

    def link_up(self) -> None:
        """The controller is connected."""
        self.up, self.room = True, None
        if self.holder:
            self.ask_upstream()
        elif self.owes_stop:
            self.stop_all()

    def link_down(self) -> None:
        """The controller is lost."""
        self.up = False
        self.known.clear()
        self.lose()
        self.has = self.owes = False

    def pending(self) -> list[Cmd]:
        """Return the pending commands, in the order of their acceptance."""
        return sorted([*self.urgent, *self.waiting, *self.written], key=lambda cmd: cmd.place)

    def lose(self) -> None:
        """All that is in flight ends."""
        for cmd in self.pending():
            self.give_up(cmd, "outcome unknown" if cmd in self.written else "not sent")

    def close(self) -> None:
        """The bridge ends, and tells the controller that it gives command up."""
        self.lose()
        self.release()
        self.lose()
        self.happens("cancel", "sweep")

    # Command

    def ask(self, cmd: Cmd, wanted: int) -> None:
        """Handle an ask for command."""
        heirs = [who for who in self.visits if who in COMMANDERS and self.sources[who] == wanted]
        if wanted == self.sources[cmd.who]:
            heirs = [cmd.who]
        if wanted == 0:
            self.give_back(cmd)
        elif len(heirs) != 1 or (self.holder == "hhd" and heirs != ["hhd"]):
            self.refuse(cmd, "refused")
        elif not self.up:
            self.refuse(cmd, "not sent")
        else:
            cmd.heir = heirs[0]
            if self.has and self.holder != cmd.heir:
                self.grant(cmd)
            else:
                self.asks.append(cmd)
                self.in_flight[cmd.who] += 1
                self.ask_upstream()

    def give_back(self, cmd: Cmd) -> None:
        """Handle a client that gives up command, or its own ask."""
        mine = [ask for ask in self.asks if ask.heir and cmd.who in (ask.who, ask.heir)]
        self.drop(mine)
        if self.holder and self.holder != cmd.who and not mine:
            self.refuse(cmd, "refused")
            return
        self.accept(cmd)
        if self.holder in ("", cmd.who):
            self.release()

    def drop(self, asks: list[Cmd]) -> None:
        """Refuse asks that wait, and decide about each command that waits behind no other ask."""
        for ask in asks:
            self.asks.remove(ask)
            self.in_flight[ask.who] -= 1
            self.refuse(ask, "refused")
        heirs = {ask.heir for ask in self.asks}
        for cmd in [cmd for cmd in self.asks if not cmd.heir and cmd.who not in heirs]:
            self.asks.remove(cmd)
            self.decide(cmd)

    def grant(self, ask: Cmd) -> None:
        """Grant an ask, if the grantee is connected and the HHD does not have command."""
        if ask.heir not in self.visits or (self.holder == "hhd" and ask.heir != "hhd"):
            self.refuse(ask, "refused")
            return
        if self.holder != ask.heir:
            self.pass_to(ask.heir)
        self.accept(ask)

    def pass_to(self, heir: str) -> None:
        """Give command to a client."""
        former, self.holder = self.holder, heir
        self.owes_stop = False
        self.stop_timer("grace")
        if former:
            self.lease_over(former)
        self.leases += 1
        self.happens("lease_granted", heir)
        self.take_stops()
        if heir in self.finished:
            self.miss(heir)

    def hand(self, holder: str, heir: str) -> bool:
        """A client gives command to another by its name."""
        if self.holder != holder or not {holder, heir} <= set(self.visits) or heir in OBSERVERS:
            return False
        if not self.has or (holder == "hhd" and heir != "hhd"):
            return False
        if heir != holder:
            self.pass_to(heir)
        return True

    def accept(self, cmd: Cmd) -> None:
        """The bridge does it itself."""
        self.step(cmd, "local")
        self.tell(cmd, ACK, "1000")
        self.tell(cmd, DONE, "")

    def lease_over(self, former: str) -> None:
        """Refuse the waiting commands of the last lease."""
        for cmd in self.urgent + self.waiting:
            if cmd.lease == self.leases and not (cmd.code in STOPS and self.anyone_may_stop):
                self.give_up(cmd, "refused")
        self.happens("lease_released", former)

    def release(self) -> None:
        """Take command from the holder."""
        self.stop_timer("grace")
        former, self.holder = self.holder, ""
        if former:
            self.lease_over(former)
        self.release_upstream()

    def ask_upstream(self) -> None:
        """The controller is asked, once."""
        if not self.asking:
            self.asking = self.owes = True
            self.begin(Cmd("", 0, 0, 0, ASK, b"1", then=self.upstream_answered, urgent=True))

    def upstream_answered(self, code: int | None, text: str) -> None:
        """Handle the controller's answer, for all asks that wait."""
        self.asking, self.has = False, code == DONE
        self.judged, self.asks = self.asks, []
        if code == NOACK:
            self.owes = False
            self.release()
        while self.judged:
            ask = self.judged.pop(0)
            self.in_flight[ask.who] -= bool(ask.heir)
            if not ask.heir:
                self.decide(ask, "not sent" if code is None else "")
            elif self.has:
                self.grant(ask)
            else:
                self.refuse(ask, "refused" if code == NOACK else text)
        if not self.holder:
            self.release_upstream()

    def release_upstream(self) -> None:
        """Release command upstream, unless it was released before."""
        if self.owes and not self.asking and self.up:
            self.owes = self.has = False
            self.begin(Cmd("", 0, 0, 0, ASK, b"0", then=self.gave_back, urgent=True))

    def gave_back(self, code: int | None, text: str) -> None:
        """Note that the release is still due if its outcome is unknown."""
        if code is None and not self.holder and not self.asking:
            self.owes = self.up

    # Time

    def start_timer(self, name: str, seconds: float) -> None:
        """Set a timer, unless it runs."""
        if not any(timer[1] == name for timer in self.timers):
            self.timers.append((self.now + seconds, name))
            self.happens("set", name, seconds)

    def stop_timer(self, name: str) -> None:
        """Cancel a timer that runs."""
        timers = [timer for timer in self.timers if timer[1] != name]
        if timers != self.timers:
            self.timers = timers
            self.happens("cancel", name)

    def advance(self, seconds: float) -> None:
        """Time passes, in steps no longer than between two timers."""
        self.now += seconds
        while due := [timer for timer in self.timers if timer[0] <= self.now]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            (self.sweep if first[1] == "sweep" else self.grace_over)()

    def sweep(self) -> None:
        """End the overdue commands."""
        for cmd in [cmd for cmd in self.pending() if cmd.deadline <= self.now]:
            self.give_up(cmd, "timed out" if cmd in self.written else "not sent")
        if self.pending():
            self.start_timer("sweep", SWEEP)

    def grace_over(self) -> None:
        """The holder did not come back."""
        if self.stops_on_loss:
            self.stop_all()
        self.release()

    def stop_all(self) -> None:
        """All that moves is stopped: now, or when the controller is connected."""
        self.owes_stop = not self.up
        if self.up:
            for code in ALL_STOPS:
                self.take(Cmd("", 0, 0, 0, code, then=self.stopped), self.asks)

    def stopped(self, code: int | None, text: str) -> None:
        """Note that a stop of the bridge's own is still due if its outcome is unknown."""
        if code is None and not self.holder:
            self.owes_stop = True
