"""The rules of the bridge as a small model: the effects of each input, in their order.

It follows the rules with lists and names in place of tables and timers, so it is slow and easy to check.
``tests.bridge.test_model`` plays both, and compares.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

from .bridge_stage import (
    ACK,
    BEAT,
    COMMANDERS,
    COUNTED_EVERY,
    DONE,
    GRACE,
    LIMIT,
    NOACK,
    OBSERVERS,
    PATIENCE,
    SETTINGS,
    SILENCE,
    SUPERSEDED,
    SWEEP,
    UNKNOWN_TIMEOUT,
    Answer,
    Cmd,
    Event,
    Meaning,
    Stage,
)
from .translated_stage import Whole, observed, old_answer, old_event, old_meaning

Happening = tuple[object, ...]
"""An effect: ``send`` with a command's code; ``step`` of a command; ``tell`` a commander, or ``tell all`` of
them; ``dismiss``; ``set`` or ``cancel`` a timer; ``lease_granted``, ``lease_released``."""


@dataclass
class Question:
    """A question of the bridge in flight: who asked before it and after it, and whether it still holds."""

    askers: list[Cmd]
    holds: bool
    later: list[Cmd] = field(default_factory=list)
    again: bool = False


@dataclass
class Model:
    """The whole state.

    :ivar old: the clients that speak tma2020 before a tma2022 mount.
    :ivar effects: the effects since the last check, in their order.
    :ivar watched: the lines for each observer since the last check; they are sent at the end of each call.
    :ivar down: the commands of the effects ``send``.
    """

    stage: Stage
    sources: dict[str, int]
    anyone_may_stop: bool
    stops_on_loss: bool
    old: frozenset[str] = frozenset()
    effects: list[Happening] = field(default_factory=list)
    watched: dict[str, list[Answer]] = field(default_factory=dict)
    down: list[Cmd] = field(default_factory=list)
    now: float = 0.0
    up: bool = False
    room: int | None = None
    visits: dict[str, int] = field(default_factory=dict)  # of who is here
    comings: int = 0
    accepted: int = 0
    stops: int = 0  # of those
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
    beats: bool = False  # the bridge sends heartbeats
    must_beat: bool = False  # the holder has sent one, and must send more
    shown: dict[str, int] = field(default_factory=dict)  # the commander, as each client was told
    shown_holder: str = ""  # the holder at the last of these changes
    settings: bytes = b""  # the last event that is kept apart
    said: dict[object, bytes] = field(default_factory=dict)  # the last line about each part of the mount
    current: set[str] = field(default_factory=set)  # the words whose answer is remembered, and holds
    questions: dict[str, Question] = field(default_factory=dict)
    changes: int = 0  # the pending commands that change the settings
    closed: bool = False

    # Effects

    def happens(self, kind: str, *what: object) -> None:
        """Add an effect."""
        self.effects.append((kind, *what))

    def step(self, cmd: Cmd, step: str) -> None:
        """Publish a step of a command."""
        self.happens("step", cmd.who or "bridge", cmd.number if cmd.who else None, cmd.code, step)

    def tell(self, cmd: Cmd, meaning: Meaning, text: str) -> None:
        """Send a reply to the commander in the session that sent the command, and to observers."""
        answers = [(meaning, text)]
        if cmd.who in self.old:
            text_2020 = old_answer(meaning, text, cmd.ack_only)
            whole = cmd.whole
            answers = (
                [(old_meaning(meaning), text_2020)] if whole is None else whole.lines(meaning, text_2020)
            )
        if cmd.who and self.visits.get(cmd.who) == cmd.visit:
            for what, words in answers:
                self.deliver(cmd.who, (what, cmd.number, cmd.source, words))
        for who in OBSERVERS if cmd.who in COMMANDERS else ():
            if who in self.visits:
                self.watch(who, (meaning, cmd.number, cmd.source, text))

    def watch(self, who: str, answer: Answer) -> None:
        """Send an observer a line to all observers."""
        seen = observed(answer) if who in self.old else answer
        if seen is not None:
            self.watched.setdefault(who, []).append(seen)

    def read(self, who: str, answer: Answer) -> None:
        """Send an event to one client."""
        seen = old_event(answer) if who in self.old else answer
        if seen is not None:
            self.deliver(who, seen)

    def deliver(self, who: str, answer: Answer) -> None:
        """Send a line to one client, in its own dialect."""
        if who in COMMANDERS:
            self.happens("tell", who, answer)
        else:
            self.watched.setdefault(who, []).append(answer)

    def refuse(self, cmd: Cmd, word: str) -> None:
        """End a command with a NoAck of the bridge."""
        self.step(cmd, word.replace(" ", "_"))
        self.tell(cmd, NOACK, word)

    def events(self, events: list[Event]) -> None:
        """Send events to all clients."""
        lines: list[Answer] = []
        for about, line, lasts in events:
            if self.stage.counts_repeats and about is not None:
                if self.said.get(about) == line:
                    self.start_timer("repeats", COUNTED_EVERY)
                self.said[about] = line
            self.known.pop(about, None)
            if about == SETTINGS:
                self.settings = line
            elif about is not None and lasts:
                self.known[about] = line
            lines.append(("event", line))
        commanders = [who for who in self.visits if who in COMMANDERS]
        old_lines = [each for each in map(old_event, lines) if each is not None] if self.old else []
        for said, group in (
            (lines, tuple(who for who in commanders if who not in self.old)),
            (old_lines, tuple(who for who in commanders if who in self.old)),
        ):
            if said and group:
                self.happens("tell all", group, *said)
        for who in self.visits:
            for line in lines if who in OBSERVERS else ():
                self.watch(who, line)

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
        self.shown.pop(who, None)
        self.show(who)

    def go(self, who: str) -> None:
        """A client's connection is lost."""
        self.visits.pop(who, None)
        self.finished.discard(who)
        self.lose_questions(who)
        self.drop([ask for ask in self.asks if ask.heir == who])
        self.miss(who)

    def finish(self, who: str) -> None:
        """A client says no more, and listens."""
        self.finished.add(who)
        self.miss(who)

    def miss(self, who: str) -> None:
        """If it has command, it is waited for."""
        if self.holder == who and not self.in_grace:
            self.forget_beats()
            self.start_timer("grace", GRACE)

    def say(self, cmd: Cmd, wanted: int = 0) -> None:
        """A client that is here sends a command."""
        stops, asks_for = cmd.stops, self.stage.questions.get(cmd.code, "")
        free = (stops and self.anyone_may_stop) or bool(asks_for)
        behind = not (stops and (free or self.holder == cmd.who)) and self.waits(cmd.who)
        if cmd.code == self.stage.heartbeat and cmd.who in COMMANDERS:
            self.hear_beat(cmd.who)
        elif cmd.who in OBSERVERS:
            self.refuse(cmd, "refused")
            self.refusals[cmd.who] += 1
            if self.refusals[cmd.who] == PATIENCE:
                del self.visits[cmd.who]
                self.happens("dismiss", cmd.who)
        elif cmd.code == self.stage.ask and not cmd.refusal:
            self.ask(cmd, wanted)
        elif cmd.code == self.stage.ask:
            self.refuse(cmd, cmd.refusal)
        elif self.holder != cmd.who and not free and not behind:
            self.refuse(cmd, "refused")
        elif not self.up:
            self.refuse(cmd, "not sent")
        elif cmd.refusal:
            self.refuse(cmd, cmd.refusal)
        elif self.in_flight[cmd.who] >= LIMIT and not stops:
            self.refuse(cmd, "busy")
        elif asks_for:
            self.question(cmd, asks_for)
        elif behind:
            self.asks.append(cmd)
            self.in_flight[cmd.who] += 1
        else:
            self.take(cmd, self.judged + self.asks)

    def take(self, cmd: Cmd, ahead: list[Cmd]) -> None:
        """Accept a command. A stop also ends the earlier commands that wait behind asks."""
        cmd.lease = self.leases if self.holder == cmd.who else 0
        overtaken = [each for each in ahead if self.moves(each) and cmd.stops]
        for each in overtaken:
            (self.asks if each in self.asks else self.judged).remove(each)
            self.in_flight[each.who] -= 1
        if cmd.stops and self.up and not self.has:
            self.ask_upstream()
        self.begin(cmd)
        for each in overtaken:
            self.refuse(each, "not sent")

    def take_stops(self) -> None:
        """Accept the stops of the new holder. They end the commands before them."""
        for stop in [each for each in self.judged + self.asks if each.who == self.holder]:
            if stop.stops:
                waits = self.judged + self.asks
                (self.asks if stop in self.asks else self.judged).remove(stop)
                self.in_flight[stop.who] -= 1
                self.take(stop, waits[: waits.index(stop)])

    def moves(self, cmd: Cmd) -> bool:
        """Return True if a stop overtakes a command."""
        return not cmd.stops and cmd.code != self.stage.ask

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
        cmd.deadline = self.now + self.stage.ack_time_of(cmd.code)
        self.in_flight[cmd.who] += 1
        if cmd.code in self.stage.changes:
            self.changes += 1
            self.doubt(SETTINGS)
        self.accepted += 1
        cmd.place = self.accepted
        self.stops += cmd.stops
        if cmd.whole is not None and not cmd.whole.place:
            cmd.whole.stops = self.stops
        (self.urgent if cmd.urgent or cmd.stops else self.waiting).append(cmd)
        self.step(cmd, "received")
        overtaken = [each for each in self.waiting if self.moves(each) and cmd.stops]
        for each in overtaken:
            self.end(each)
        self.start_timer("sweep", SWEEP)
        self.hand_over()
        for each in overtaken:
            self.refuse(each, "not sent")
            self.changed(each)

    def hand_over(self) -> None:
        """Send commands while the controller has room, stops first."""
        while self.up and self.room != 0 and (self.urgent or self.waiting):
            cmd = (self.urgent or self.waiting).pop(0)
            cmd.deadline = self.now + self.stage.ack_time_of(cmd.code)
            self.written.append(cmd)
            self.happens("send", cmd.code)
            self.step(cmd, "sent")
            self.down.append(cmd)
            if self.room is not None:
                self.room -= 1

    # The way up, and other ends

    def answered(self, cmd: Cmd, meaning: Meaning, text: str, seconds: float | None) -> None:
        """The mount answers a command that it was sent."""
        if cmd not in self.written or (meaning is ACK and cmd.acked):
            return
        if meaning is ACK:
            timeout = UNKNOWN_TIMEOUT if seconds is None else seconds
            cmd.acked, cmd.deadline = True, self.now + timeout + self.stage.done_margin
        self.step(cmd, {ACK: "ack", DONE: "done"}.get(meaning, "noack"))
        self.tell(cmd, meaning, text)
        if meaning is not ACK or cmd.ack_only:
            self.end(cmd)
            self.changed(cmd)
            if cmd.then is not None:
                cmd.then(meaning, text)
            if cmd.whole is not None and meaning is DONE:
                self.go_on(cmd, cmd.whole)

    def go_on(self, cmd: Cmd, whole: Whole) -> None:
        """Accept the next part of a command that became two, if it has the same lease and no stop came."""
        if whole.place + 1 == len(whole.parts):
            return
        whole.place += 1
        part = whole.parts[whole.place]
        following = replace(cmd, code=part.code, rest=part.rest, acked=False)
        if self.holder != cmd.who or self.leases != cmd.lease:
            self.refuse(following, "refused")
        elif self.stops != whole.stops:
            self.refuse(following, "not sent")
        else:
            self.begin(following)

    def superseded(self, cmd: Cmd, by: Cmd | None, code: int) -> None:
        """The mount says which command took over: the commander knows only the ids of its own."""
        numbers = (0, 0) if by is None or by.who != cmd.who else (by.number, cmd.source)
        self.answered(cmd, SUPERSEDED, " ".join(map(str, (*numbers, code))), None)

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
            self.changed(cmd)
            if cmd.then is not None:
                cmd.then(None, word)

    def link_up(self) -> None:
        """The controller is connected."""
        self.up, self.room = True, None
        if self.holder:
            self.ask_upstream()
        elif self.owes_stop:
            self.stop_all()
        self.current.clear()
        for word in self.stage.questions.values():
            self.ask_for(word, [])

    def link_down(self) -> None:
        """The controller is lost."""
        self.up = False
        self.known.clear()
        self.settings = b""
        self.count_repeats_anew()
        self.lose()
        self.has = self.owes = False
        self.keep_beating()

    def pending(self) -> list[Cmd]:
        """Return the pending commands, in the order of their acceptance."""
        return sorted([*self.urgent, *self.waiting, *self.written], key=lambda cmd: cmd.place)

    def lose(self) -> None:
        """All that is in flight ends."""
        for cmd in self.pending():
            self.give_up(cmd, "outcome unknown" if cmd in self.written else "not sent")

    def close(self) -> None:
        """The bridge ends, and tells the controller that it gives command up."""
        self.closed = True
        self.lose()
        self.release()
        self.lose()
        self.happens("cancel", "sweep")
        self.count_repeats_anew()

    def count_repeats_anew(self) -> None:
        """The next line about each part of the mount is no repeat."""
        self.said.clear()
        self.stop_timer("repeats")

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
        self.lease_changed()
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
        self.tell(cmd, ACK, self.stage.own_timeout)
        self.tell(cmd, DONE, "")

    def lease_over(self, former: str) -> None:
        """Refuse the waiting commands of the last lease."""
        for cmd in self.urgent + self.waiting:
            if cmd.lease == self.leases and not (cmd.stops and self.anyone_may_stop):
                self.give_up(cmd, "refused")
        self.happens("lease_released", former)

    def release(self) -> None:
        """Take command from the holder."""
        self.stop_timer("grace")
        self.end_lease()
        self.release_upstream()

    def end_lease(self) -> None:
        """Nobody has command."""
        former, self.holder = self.holder, ""
        if former:
            self.lease_changed()
            self.lease_over(former)

    def lease_changed(self) -> None:
        """Another client has command, or none: the bridge's heartbeat, the holder's, and what clients see."""
        self.forget_beats()
        self.keep_beating()
        before, self.shown_holder = self.shown_holder, self.holder
        first = [who for who in (before, self.holder) if who in self.visits]
        for who in dict.fromkeys([*first, *self.visits]):
            self.show(who)

    def ask_upstream(self) -> None:
        """The controller is asked, once."""
        if not self.asking:
            self.asking = self.owes = True
            self.begin(self.stage.own(self.stage.ask, b"1", then=self.upstream_answered, urgent=True))

    def upstream_answered(self, meaning: Meaning | None, text: str) -> None:
        """Handle the controller's answer, for all asks that wait."""
        self.asking, self.has = False, meaning is DONE
        self.keep_beating()
        self.judged, self.asks = self.asks, []
        if meaning not in (DONE, None):
            self.owes = False
            self.release()
        while self.judged:
            ask = self.judged.pop(0)
            self.in_flight[ask.who] -= bool(ask.heir)
            if not ask.heir:
                self.decide(ask, "not sent" if meaning is None else "")
            elif self.has:
                self.grant(ask)
            else:
                self.refuse(ask, text if meaning is None else "refused")
        if not self.holder:
            self.release_upstream()

    def release_upstream(self) -> None:
        """Release command upstream, unless it was released before."""
        if self.owes and not self.asking and self.up:
            self.owes = self.has = False
            self.begin(self.stage.own(self.stage.ask, b"0", then=self.gave_back, urgent=True))

    def gave_back(self, meaning: Meaning | None, text: str) -> None:
        """Note that the release is still due if its outcome is unknown."""
        if meaning is None and not self.holder and not self.asking:
            self.owes = self.up

    def mount_names(self, number: int) -> None:
        """The mount says which source has command: if the bridge loses it, it neither asks nor stops."""
        if not self.has or number == self.sources["csc"]:
            return
        self.has, self.owes = False, self.asking
        self.keep_beating()
        self.stop_timer("grace")
        self.end_lease()

    # Heartbeats, and the event that names the commander

    def keep_beating(self) -> None:
        """Send heartbeats while a client has command, and the controller has granted that."""
        beats = self.stage.heartbeat is not None and bool(self.holder) and self.has
        if beats and not self.beats:
            self.beats = True
            self.beat()
        elif self.beats and not beats:
            self.beats = False
            self.stop_timer("heartbeat")

    def beat(self) -> None:
        """Send a heartbeat, if the controller has room, and the next one later."""
        if self.room != 0 and self.stage.heartbeat is not None:
            self.happens("send", self.stage.heartbeat)
            self.down.append(self.stage.own(self.stage.heartbeat))
            if self.room is not None:
                self.room -= 1
        self.start_timer("heartbeat", BEAT)

    def hear_beat(self, who: str) -> None:
        """A commander sends a heartbeat: from its first one on, the holder must send more."""
        if self.holder == who and not self.in_grace:
            self.forget_beats()
            self.must_beat = True
            self.start_timer("silence", SILENCE)

    def forget_beats(self) -> None:
        """Expect no more heartbeats of the holder."""
        if self.must_beat:
            self.must_beat = False
            self.timers = [timer for timer in self.timers if timer[1] != "silence"]
            self.happens("cancel", "silence")

    def silence_over(self) -> None:
        """The holder sent no heartbeat in time: it is lost, and has no time of grace."""
        self.forget_beats()
        self.grace_over()

    def named(self, who: str) -> int:
        """Return the source that a client is told to have command: its own only if it has command itself."""
        if not self.holder:
            return 0
        number = self.sources[self.holder]
        return 0 if who in COMMANDERS and who != self.holder and self.sources[who] == number else number

    def show(self, who: str) -> None:
        """Tell a client which source has command, unless it knows."""
        if self.stage.heartbeat is not None and self.shown.get(who) != self.named(who):
            self.shown[who] = self.named(who)
            self.read(who, ("commander", self.named(who)))

    # Questions

    def question(self, cmd: Cmd, word: str) -> None:
        """A commander asks: it is answered from memory, or waits for the end of the bridge's question."""
        is_known = word in self.current and (word != SETTINGS or self.settings != b"")
        self.tell(cmd, ACK, self.stage.own_timeout if is_known else self.stage.wait_timeout)
        if is_known:
            self.recall(cmd)
            return
        self.in_flight[cmd.who] += 1
        if word in self.questions:
            self.questions[word].later.append(cmd)
        else:
            self.ask_for(word, [cmd])

    def ask_for(self, word: str, askers: list[Cmd]) -> None:
        """The bridge asks the mount."""
        self.current.discard(word)
        [code] = [code for code, each in self.stage.questions.items() if each == word]
        self.questions[word] = Question(askers, holds=word != SETTINGS or not self.changes)
        self.begin(self.stage.own(code, then=partial(self.question_answered, word), urgent=True))

    def question_answered(self, word: str, meaning: Meaning | None, text: str) -> None:
        """The mount has told all that the bridge asked for, or refused to, or is gone."""
        question = self.questions.pop(word)
        served = question.askers + (question.later if question.holds or meaning is not DONE else [])
        if meaning is DONE and question.holds:
            self.current.add(word)
        told: set[int] = set()
        for cmd in sorted(served, key=lambda cmd: cmd.who != self.holder):
            self.in_flight[cmd.who] -= 1
            if meaning is DONE:
                self.recall(cmd, with_events=cmd.visit not in told)
                told.add(cmd.visit)
            else:
                self.refuse(cmd, "refused" if meaning is not None else text)
        waiting = [cmd for cmd in question.later if cmd not in served]
        if waiting or (question.again and self.up and not self.closed):
            self.ask_for(word, waiting)

    def lose_questions(self, who: str) -> None:
        """Refuse the questions of a client that is gone."""
        for question in self.questions.values():
            for askers in (question.askers, question.later):
                for cmd in [cmd for cmd in askers if cmd.who == who]:
                    askers.remove(cmd)
                    self.in_flight[who] -= 1
                    self.refuse(cmd, "not sent")

    def doubt(self, word: str) -> None:
        """What is known of something may not hold."""
        self.current.discard(word)
        if word in self.questions:
            self.questions[word].holds = False

    def changed(self, cmd: Cmd) -> None:
        """A command has ended. Behind the last that changes the settings the bridge asks once."""
        if cmd.code not in self.stage.changes:
            return
        self.changes -= 1
        if self.changes or not self.up or self.closed:
            return
        if SETTINGS in self.questions:
            self.questions[SETTINGS].again = True
        else:
            self.ask_for(SETTINGS, [])

    def recall(self, cmd: Cmd, with_events: bool = True) -> None:
        """Answer a question from memory, behind its Ack."""
        is_settings = self.stage.questions[cmd.code] == SETTINGS
        events: list[Answer] = [("event", line) for line in self.known.values()]
        if is_settings:
            events = [("event", self.settings)] if self.settings else []
        else:
            events = [("commander", self.named(cmd.who)), *events]
        self.step(cmd, "local")
        for event in events if with_events and self.visits.get(cmd.who) == cmd.visit else ():
            self.read(cmd.who, event)
        self.tell(cmd, DONE, "")

    # Time

    @property
    def in_grace(self) -> bool:
        """True while a lost holder is waited for."""
        return any(name == "grace" for _, name in self.timers)

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
            over = {"sweep": self.sweep, "heartbeat": self.beat, "silence": self.silence_over}
            over["grace"] = self.grace_over
            over.get(first[1], lambda: None)()

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
            for code in self.stage.all_stops:
                self.take(self.stage.own(code, then=self.stopped), self.asks)

    def stopped(self, meaning: Meaning | None, text: str) -> None:
        """Note that a stop of the bridge's own is still due if its outcome is unknown."""
        if meaning is None and not self.holder:
            self.owes_stop = True
