"""The rules of the bridge as a small model: the lines to each client, and those to the controller.

It follows the rules with lists and names in place of tables and timers, so it is slow and easy to check.
``tests.bridge.test_model`` plays both, and compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mtmount_twisted.commands import AckOnlyCommandCodes
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.enums import CommandCode, Source

from .commanders import ASK, MOVE, STAMP, STOP, TRACK

STOPS = {int(code) for code in CommandCode if "STOP" in code.name}
ALL_STOPS = (32, 1002, 902, 1502)
PATIENCE = 100
LIMIT, GRACE, ACK_TIME, MARGIN, SWEEP = 3, 4.125, 5.0, 2.0, 0.25
ACK, NOACK, DONE = 0, 1, 2
Answer = tuple[object, ...]

OBSERVERS = ("watch", "glass")
SOURCES = {
    "csc": Source.CSC,
    "csc2": Source.CSC,
    "eui": Source.EUI,
    "hhd": Source.HHD,
    "watch": Source.EUI,
    "glass": Source.HHD,
}
COMMANDERS = [name for name in SOURCES if name not in OBSERVERS]
CODES = [MOVE, MOVE, TRACK, 105, 9999, 104, STOP, 102, 902]
EVENTS: list[tuple[object, bytes, bool]] = [
    ("state", b"5\n" + STAMP + b"\nA", True),
    ("state", b"5\n" + STAMP + b"\nB", True),
    ("az", b"6\n" + STAMP + b"\n0\n1", True),
    ("az", b"6\n" + STAMP + b"\n0\n0", True),
    ("el", b"6\n" + STAMP + b"\n1\n0", True),
    ("w1", b"4\n1\n901\n900. a\n" + STAMP, True),
    ("w1", b"4\n0\n901\n900. a\n" + STAMP, False),
    ("w2", b"4\n1\n902\n900. a\n" + STAMP + b"\nextra", True),
    ("e1", b"3\n1\n1\n901\n900. a\n" + STAMP, True),
    ("e1", b"3\n1\n0\n901\n900. a\n" + STAMP, True),
    ("e1", b"3\n0\n0\n901\n900. a\n" + STAMP, False),
    (None, b"42\nwho knows", False),
]
GARBAGE = [b"", b"x", b"0\n1", b"1\nx\n1\nt\nwhy", b"\xff\xfe"]


def site_rules(anyone_may_stop: bool, stops_on_loss: bool) -> CommandRules:
    """Return the settings of the bridge."""
    return CommandRules(
        in_flight=LIMIT,
        lease_grace=GRACE,
        on_loss="stop" if stops_on_loss else "release",
        anyone_may_stop=anyone_may_stop,
        ack_timeout=ACK_TIME,
        done_margin=MARGIN,
    )


@dataclass(eq=False)
class Cmd:
    """A command; `who` is empty for the bridge's own."""

    who: str
    visit: int
    number: int
    source: int
    code: int
    rest: bytes | None = None  # None: the bridge's own stops, whose timestamp is not known
    lease: int = 0
    deadline: float = 0.0
    acked: bool = False
    then: Callable[[int | None, str], None] | None = None
    key: int = 0  # what the bridge called it on the wire
    heir: str = ""  # of an ask that waits; what waits behind one has none
    urgent: bool = False  # it goes with the stops
    after: int = -1  # of a stop of the bridge's own: the last token before it, where that was noted

    @property
    def moves(self) -> bool:
        """A stop overtakes it."""
        return self.code not in STOPS and self.code != ASK


@dataclass
class Model:
    """The whole state.

    :ivar to: the expected lines to each client since the last check.
    :ivar down: the expected commands to the controller since the last check.
    """

    sources: dict[str, int]
    anyone_may_stop: bool
    stops_on_loss: bool
    to: dict[str, list[Answer]] = field(default_factory=dict)
    down: list[Cmd] = field(default_factory=list)
    now: float = 0.0
    up: bool = False
    room: int | None = None
    visits: dict[str, int] = field(default_factory=dict)  # of who is here
    comings: int = 0
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

    # Being told

    def tell(self, cmd: Cmd, code: int, text: str) -> None:
        """Its commander, if it is still the one that asked, and the observers read an answer."""
        answer = (code, cmd.number, cmd.source, text)
        if cmd.who and self.visits.get(cmd.who) == cmd.visit:
            self.to.setdefault(cmd.who, []).append(answer)
        for who in OBSERVERS if cmd.who in COMMANDERS else ():
            if who in self.visits:
                self.to.setdefault(who, []).append(answer)

    def event(self, about: object, line: bytes, lasts: bool) -> None:
        """The mount said something to everyone."""
        self.known.pop(about, None)
        if about is not None and lasts:
            self.known[about] = line
        for who in self.visits:
            self.to.setdefault(who, []).append(("event", line))

    # Commanders

    def come(self, who: str) -> None:
        """A client connects and receives the last values."""
        self.comings += 1
        self.visits[who] = self.comings
        self.refusals[who] = 0
        self.finished.discard(who)
        self.to.setdefault(who, []).extend(("event", line) for line in self.known.values())
        if self.holder == who:
            self.stop_timer("grace")

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
        if self.holder == who and not any(name == "grace" for _, name in self.timers):
            self.timers.append((self.now + GRACE, "grace"))

    def say(self, cmd: Cmd, wanted: int = 0) -> None:
        """A client that is here sends a command."""
        stops = cmd.code in STOPS
        free = stops and self.anyone_may_stop
        behind = not (stops and (free or self.holder == cmd.who)) and self.waits(cmd.who)
        if cmd.who in OBSERVERS:
            self.tell(cmd, NOACK, "refused")
            self.refusals[cmd.who] += 1
            if self.refusals[cmd.who] == PATIENCE:
                del self.visits[cmd.who]
        elif cmd.code == ASK:
            self.ask(cmd, wanted)
        elif self.holder != cmd.who and not free and not behind:
            self.tell(cmd, NOACK, "refused")
        elif not self.up:
            self.tell(cmd, NOACK, "not sent")
        elif self.in_flight[cmd.who] >= LIMIT and not stops:
            self.tell(cmd, NOACK, "busy")
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
            self.tell(each, NOACK, "not sent")

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
            self.tell(cmd, NOACK, word or "refused")
        else:
            cmd.lease = self.leases
            self.begin(cmd)

    def malformed(self, cmd: Cmd | None, who: str) -> None:
        """Disconnect a client that sent a malformed command."""
        if cmd is not None:
            self.tell(cmd, NOACK, "malformed")
        del self.visits[who]

    # The way down

    def begin(self, cmd: Cmd) -> None:
        """A command is taken."""
        cmd.deadline = self.now + ACK_TIME
        self.in_flight[cmd.who] += 1
        (self.urgent if cmd.urgent or cmd.code in STOPS else self.waiting).append(cmd)
        self.start_sweep()
        for each in [each for each in self.waiting if each.moves and cmd.code in STOPS]:
            self.give_up(each, "not sent")
        self.hand_over()

    def hand_over(self) -> None:
        """Send commands while the controller has room, stops first."""
        while self.up and self.room != 0 and (self.urgent or self.waiting):
            cmd = (self.urgent or self.waiting).pop(0)
            cmd.deadline = self.now + ACK_TIME
            self.written.append(cmd)
            self.down.append(cmd)
            if self.room is not None:
                self.room -= 1

    # The way up, and other ends

    def answered(self, cmd: Cmd, code: int, text: str, seconds: float) -> None:
        """The mount answers a command that it was sent."""
        if cmd not in self.written or (code == ACK and cmd.acked):
            return
        self.tell(cmd, code, text)
        if code == ACK:
            cmd.acked, cmd.deadline = True, self.now + seconds + MARGIN
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
            self.tell(cmd, NOACK, word)
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

    def lose(self) -> None:
        """All that is in flight ends."""
        for cmd in self.urgent + self.waiting:
            self.give_up(cmd, "not sent")
        for cmd in list(self.written):
            self.give_up(cmd, "outcome unknown")

    def close(self) -> None:
        """The bridge ends, and tells the controller that it gives command up."""
        self.lose()
        self.release()
        self.lose()

    # Command

    def ask(self, cmd: Cmd, wanted: int) -> None:
        """Handle an ask for command."""
        heirs = [who for who in self.visits if who in COMMANDERS and self.sources[who] == wanted]
        if wanted == self.sources[cmd.who]:
            heirs = [cmd.who]
        if wanted == 0:
            self.give_back(cmd)
        elif len(heirs) != 1 or (self.holder == "hhd" and heirs != ["hhd"]):
            self.tell(cmd, NOACK, "refused")
        elif not self.up:
            self.tell(cmd, NOACK, "not sent")
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
            self.tell(cmd, NOACK, "refused")
            return
        self.accept(cmd)
        if self.holder in ("", cmd.who):
            self.release()

    def drop(self, asks: list[Cmd]) -> None:
        """Refuse asks that wait, and decide about each command that waits behind no other ask."""
        for ask in asks:
            self.asks.remove(ask)
            self.in_flight[ask.who] -= 1
            self.tell(ask, NOACK, "refused")
        heirs = {ask.heir for ask in self.asks}
        for cmd in [cmd for cmd in self.asks if not cmd.heir and cmd.who not in heirs]:
            self.asks.remove(cmd)
            self.decide(cmd)

    def grant(self, ask: Cmd) -> None:
        """Grant an ask, if the grantee is connected and the HHD does not have command."""
        if ask.heir not in self.visits or (self.holder == "hhd" and ask.heir != "hhd"):
            self.tell(ask, NOACK, "refused")
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
            self.lease_over()
        self.leases += 1
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
        self.tell(cmd, ACK, "1000")
        self.tell(cmd, DONE, "")

    def lease_over(self) -> None:
        """Refuse the waiting commands of the last lease."""
        for cmd in self.urgent + self.waiting:
            if cmd.lease == self.leases and not (cmd.code in STOPS and self.anyone_may_stop):
                self.give_up(cmd, "refused")

    def release(self) -> None:
        """Take command from the holder."""
        self.stop_timer("grace")
        if self.holder:
            self.holder = ""
            self.lease_over()
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
                self.tell(ask, NOACK, "refused" if code == NOACK else text)
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

    def stop_timer(self, name: str) -> None:
        """A timer does not ring."""
        self.timers = [timer for timer in self.timers if timer[1] != name]

    def start_sweep(self) -> None:
        """Deadlines are looked at, now and then."""
        if not any(name == "sweep" for _, name in self.timers):
            self.timers.append((self.now + SWEEP, "sweep"))

    def advance(self, seconds: float) -> None:
        """Time passes, in steps no longer than between two timers."""
        self.now += seconds
        while due := [timer for timer in self.timers if timer[0] <= self.now]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            (self.sweep if first[1] == "sweep" else self.grace_over)()

    def sweep(self) -> None:
        """End the overdue commands."""
        for cmd in [cmd for cmd in self.urgent + self.waiting if cmd.deadline <= self.now]:
            self.give_up(cmd, "not sent")
        for cmd in [cmd for cmd in self.written if cmd.deadline <= self.now]:
            self.give_up(cmd, "timed out")
        if self.urgent or self.waiting or self.written:
            self.start_sweep()

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
