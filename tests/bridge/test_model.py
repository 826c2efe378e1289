"""The bridge against a model of its rules: commanders, the controller, the network and time play anything.

`bridge_model` says what the effects of each step are, in their order: what each client is to be told, what
the controller is to be sent, which timers are set. Besides, what must never be otherwise is looked at with
no model at all.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.dialects.dialect import Meaning, translator_between
from mtmount_twisted.journal.limited import REPORT_EVERY
from tests.support.bridge_model import Model
from tests.support.bridge_stage import (
    ACK,
    COMMANDERS,
    DONE,
    FAILED,
    GRACE,
    NOACK,
    OBSERVERS,
    PATIENCE,
    SOURCES,
    SUPERSEDED,
    TMA2020,
    TMA2022,
    WORDS,
    Cmd,
    Stage,
)
from tests.support.bridge_watch import WatchedBridge
from tests.support.commanders import LOG, PLENTY, RecordingClient, RecordingLink
from tests.support.translated_stage import OLD_WORDS, Whole, old_line, read_old

who = st.sampled_from(COMMANDERS)
numbers = st.sampled_from([1, 2, 2147483647, -3])
sources = st.sampled_from([1, 2, 3, 77])
KNOWN_SOURCES = (1, 2, 3, 77)
picks = st.integers(0, 1000)
either = st.booleans()
clients = st.sampled_from(list(SOURCES))


class BridgeMachine(WatchedBridge):
    """A day with the bridge before a tma2020 mount, and what may happen before any."""

    stage: Stage = TMA2020

    @initialize(anyone=either, stop=either, first=st.sampled_from(["", *COMMANDERS]), ends_linked=either)
    def begin(self, anyone: bool, stop: bool, first: str, ends_linked: bool) -> None:
        """Set the rules of the site; most days begin with all here, and one who has command."""
        self.open(anyone, stop, first, ends_linked)

    def open(self, anyone: bool, stop: bool, first: str, ends_linked: bool) -> None:
        """Make the bridge, the model and the clients."""
        self.ends_linked = ends_linked
        self.bridge = Bridge(
            self.clock, LOG, EventBus(self.clock), self.stage.site_rules(anyone, stop), self.stage.dialect
        )
        self.watch()
        numbers = {name: int(source) for name, source in SOURCES.items()}
        self.model = Model(self.stage, numbers, anyone, stop, self.old)
        self.clients = {
            name: RecordingClient(self.bridge, name, source, name in COMMANDERS)
            for name, source in SOURCES.items()
        }
        for name in self.old:
            self.clients[name].translator = translator_between("tma2020", self.stage.dialect.name)
        if first:
            self.connect()
            self.all_come()
            self.take(first)

    # The controller comes and goes

    @precondition(lambda self: not self.model.up)
    @rule()
    def connect(self) -> None:
        """The controller is connected."""
        self.links.append(RecordingLink(self.bridge))
        self.sent.append([])
        self.model.link_up()
        self.note_own_stops()
        self.bridge.link_up(self.links[-1])

    @precondition(lambda self: self.model.up)
    @rule(back=st.booleans())
    def disconnect(self, back: bool) -> None:
        """The controller is lost, and perhaps back at once."""
        self.model.link_down()
        self.bridge.link_down("gone")
        if back:
            self.check()
            self.connect()

    @precondition(lambda self: self.model.up)
    @rule(room=st.sampled_from([0, 0, 1, 2, None]))
    def have_room(self, room: int | None) -> None:
        """The controller reads so many commands, and then none until it reads on."""
        self.model.room = room
        self.model.hand_over()
        self.links[-1].give_room(PLENTY if room is None else room)

    # Clients come and go

    def come(self, name: str) -> None:
        """A client connects."""
        self.connected.add(name)
        self.model.come(name)
        self.clients[name].come()

    @precondition(lambda self: len(self.connected) < len(SOURCES))
    @rule()
    def all_come(self) -> None:
        """Whoever is not here connects."""
        for name in SOURCES:
            if name not in self.connected:
                self.come(name)

    @rule(name=st.sampled_from(list(SOURCES)), back=st.booleans())
    def go(self, name: str, back: bool) -> None:
        """A client is lost, and perhaps back at once; or one that was lost is back."""
        if name in self.connected:
            self.connected.remove(name)
            self.model.go(name)
            self.clients[name].go()
        if back:
            self.check()
            self.come(name)

    @rule(name=who)
    def finish(self, name: str) -> None:
        """A commander says no more, and listens; it has to connect anew to say something."""
        if name in self.connected and name not in self.model.finished:
            self.model.finish(name)
            self.clients[name].finish()

    @precondition(lambda self: self.model.holder in self.connected)
    @rule(
        seconds=st.sampled_from([0, 3, 5]), back=st.booleans(), taker=st.sampled_from(["", "", *COMMANDERS])
    )
    def holder_goes(self, seconds: int, back: bool, taker: str = "") -> None:
        """Who has command is lost, for some time or longer; perhaps another asks for it meanwhile."""
        name = self.model.holder
        self.go(name, False)
        if taker and taker != name and self.model.up:
            self.take(taker)
        self.wait(seconds)
        if back and name not in self.connected:
            self.check()
            self.come(name)

    @precondition(lambda self: self.model.up and self.model.holder in self.connected)
    @rule(word=st.sampled_from(["move", "track", "stop"]), answer=st.sampled_from([ACK, DONE, NOACK]))
    def comes_back_and_repeats(self, word: str, answer: Meaning) -> None:
        """A holder's program is started anew, counts from 1 again, and the mount answers what it was sent."""
        name = self.model.holder
        self.say(name, word, 1, 1)
        self.check()
        sent = [cmd for cmd in self.model.written if cmd.who == name]
        self.go(name, True)
        self.check()
        self.say(name, word, 1, 1)
        self.check()
        for cmd in sent:
            self.mount_says(cmd, answer, 1, b"mount: late")

    @precondition(lambda self: self.model.up)
    @rule(
        name=who,
        words=st.lists(st.sampled_from([*WORDS, "ask", "ask"]), min_size=1, max_size=6),
        wanted=st.sampled_from([0, 1, 2]),
        other=who,
        then=st.sampled_from(
            ["", "other", "hand", "back", "none", "go", "lose", "wait", "commands", "finish", "stop", "grace"]
        ),
        answer=st.sampled_from([DONE, DONE, NOACK]),
        anew=either,
    )
    def burst(
        self, name: str, words: list[str], wanted: int, other: str, then: str, answer: Meaning, anew: bool
    ) -> None:
        """Somebody asks and commands in one breath, something happens, and the controller answers.

        All of it waits for that answer if the controller is asked anew.
        """
        if anew:
            self.disconnect(True)
        if then == "grace" and self.model.holder in self.connected:
            self.go(self.model.holder, False)
        self.say(name, "ask", 3, 4, int(SOURCES[name]))
        for number, word in enumerate(words):
            self.say(name, word, number, 4, wanted if word == "ask" else None)
        if then == "other":
            self.say(other, "ask", 1, 1, int(SOURCES[other]))
            self.say(other, "move", 2, 1)
        elif then == "hand":
            self.take(other)
            self.say(name, "move", 2, 1)
            self.hand(other, name, 0)
            self.say(name, "move", 2, 1)
        elif then == "none":
            self.say(name, "ask", 9, 4, 0)
        elif then == "stop":
            self.say(other, "stop", 3, 1)
        elif then == "finish":
            self.finish(name)
        elif then in ("go", "back"):
            self.go(name, then == "back")
        elif then == "lose":
            self.disconnect(True)
        elif then in ("wait", "grace"):
            self.wait(5 if then == "wait" else GRACE + 0.125)
        self.check()
        for cmd in [cmd for cmd in self.model.written if cmd.code == self.stage.ask]:
            self.mount_says(cmd, answer)
        if then == "commands":
            self.say(name, "move", 8, 4)

    @precondition(lambda self: self.model.up)
    @rule(
        asks=st.lists(st.tuples(who, st.sampled_from([0, 1, 1, 2, 2, 3, 3])), min_size=2, max_size=5),
        leaver=st.sampled_from(["", *COMMANDERS]),
        how=st.sampled_from(["go", "back", "cut", "finish"]),
        answer=st.sampled_from([DONE, DONE, NOACK]),
    )
    def rush(self, asks: list[tuple[str, int]], leaver: str, how: str, answer: Meaning) -> None:
        """Several ask while the controller is asked anew, somebody leaves, and the controller answers."""
        self.disconnect(True)
        self.check()
        for name, wanted in asks:
            self.say(name, "ask", 4, 4, wanted)
        if leaver in self.connected:
            if how == "cut":
                self.cut_off(leaver, 0)
            elif how == "finish":
                self.finish(leaver)
            else:
                self.go(leaver, how == "back")
        self.check()
        for cmd in [cmd for cmd in self.model.written if cmd.code == self.stage.ask]:
            self.mount_says(cmd, answer)

    @rule(name=st.sampled_from(list(SOURCES)), unlucky=st.integers(0, 3))
    def cut_off(self, name: str, unlucky: int) -> None:
        """A client does not keep up."""
        if name in self.model.visits and not unlucky:
            del self.model.visits[name]
            self.model.lose_questions(name)
            self.bridge.cut_off(self.clients[name], "slow")

    # Commanders

    def say(self, name: str, word: str, number: int, source: int, wanted: int | None = None) -> None:
        """A client says a command; its rest names it."""
        self.last_token = next(self.tokens)
        cmd, line = self.command_of(name, word, number, source, wanted)
        if name in self.model.finished:
            self.go(name, True)
        elif name not in self.connected:
            self.come(name)
        if name in self.model.visits:
            visit = self.model.visits[name]
            cmd.visit = visit
            self.asked[name, visit] += cmd.code != self.stage.heartbeat  # which gets no answer
            self.track_numbers[name, visit] += cmd.ack_only
            self.model.say(cmd, wanted or 0)
        self.clients[name].say(line)

    def command_of(
        self, name: str, word: str, number: int, source: int, wanted: int | None
    ) -> tuple[Cmd, bytes]:
        """Return a command for the model, and its line."""
        code = self.stage.codes[word]
        rest = self.stage.stamp + b"\n%d" % (self.last_token if wanted is None else wanted)
        cmd = Cmd(name, 0, number, source, code, rest, token=self.last_token)
        cmd.stops, cmd.ack_only = code in self.stage.stops, code in self.stage.ack_only
        return cmd, b"%d\n%d\n%d\n%b" % (number, code, source, rest)

    @rule(name=st.sampled_from(list(SOURCES)), word=st.sampled_from(WORDS), number=numbers, source=sources)
    def command(self, name: str, word: str, number: int, source: int) -> None:
        """Anyone commands."""
        self.say(name, word, number, source)

    @rule(name=st.sampled_from(OBSERVERS), lines=st.sampled_from([1, PATIENCE - 1, PATIENCE + 2]))
    def observer_commands(self, name: str, lines: int) -> None:
        """Who only observes commands all the same, and perhaps goes on and on."""
        for _ in range(lines):
            self.say(name, "stop", 1, 1)

    @precondition(lambda self: self.model.holder in self.connected)
    @rule(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), number=numbers, source=sources)
    def holder_commands(self, words: list[str], number: int, source: int) -> None:
        """Who has command commands."""
        for word in words:
            self.say(self.model.holder, word, number, source)

    @rule(name=who, wanted=st.sampled_from([0, 1, 2, 3]), number=numbers, source=sources)
    def ask(self, name: str, wanted: int, number: int, source: int) -> None:
        """Anyone says who shall have command."""
        self.say(name, "ask", number, source, wanted)

    @precondition(lambda self: self.model.holder)
    @rule(name=who, heir=st.sampled_from(list(SOURCES)), unlucky=st.integers(0, 3))
    def hand(self, name: str, heir: str, unlucky: int) -> None:
        """Who has command gives it to another by its name; or another tries to."""
        holder = name if not unlucky else self.model.holder
        why = self.bridge.hand_command(self.clients[holder], heir)
        assert (not why) == self.model.hand(holder, heir), why

    @precondition(lambda self: self.model.up)
    @rule(name=who)
    def take(self, name: str) -> None:
        """Someone asks for itself, and the controller agrees to whatever it is asked."""
        self.say(name, "ask", 5, 5, int(SOURCES[name]))
        self.check()
        for cmd, _ in list(self.sent[-1]):
            if cmd in self.model.written and cmd.code == self.stage.ask:
                self.mount_says(cmd, DONE)

    @precondition(lambda self: self.model.up and self.model.holder in self.connected)
    @rule(
        room=st.integers(0, 2),
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
        stranger=who,
        then=st.sampled_from(["", "take", "ask", "release", "go", "lose", "wait", "leave"]),
    )
    def crowd(self, room: int, words: list[str], stranger: str, then: str) -> None:
        """Much is sent while the controller reads little; something happens; then it reads on."""
        self.have_room(room)
        self.holder_commands(words, 1, 2)
        self.say(stranger, "stop", 8, 8)
        if then == "take":
            self.take(stranger)
        elif then == "ask":
            self.say(stranger, "ask", 7, 7, int(SOURCES[stranger]))
        elif then == "release":
            self.say(self.model.holder, "ask", 7, 7, 0)
        elif then == "go":
            self.holder_goes(5, True)
        elif then == "leave":
            self.go(self.model.holder, True)
        elif then == "lose":
            self.disconnect(True)
        elif then == "wait":
            self.wait(4)
        self.check()
        self.have_room(None)

    @precondition(lambda self: self.model.holder in self.connected)
    @rule()
    def give_up(self) -> None:
        """Who has command gives it up."""
        self.say(self.model.holder, "ask", 6, 6, 0)

    @rule(name=st.sampled_from(list(SOURCES)), readable=st.booleans(), unlucky=st.integers(0, 3))
    def malformed(self, name: str, readable: bool, unlucky: int) -> None:
        """A client says what is no command."""
        if name in self.connected and not unlucky:
            if name in self.model.visits:
                visit = self.model.visits[name]
                cmd = Cmd(name, visit, 9, 3, 0) if readable else None
                self.asked[name, visit] += readable
                self.model.malformed(cmd, name)
            self.clients[name].say(b"9\nx\n3\nt" if readable else b"garbage")

    # The controller says something

    def mount_says(self, cmd: Cmd, meaning: Meaning, timeout: int = 0, why: bytes = b"mount: no") -> None:
        """The controller answers a command, now or once more, whatever became of it.

        :param timeout: index of what an Ack announces.
        """
        text, seconds = self.stage.timeouts[timeout] if meaning is ACK else (why, 0.0)
        self.model.answered(cmd, meaning, "" if meaning is DONE else text.decode().strip('"'), seconds)
        self.links[-1].say(self.stage.reply(meaning, cmd.key, text))

    @precondition(lambda self: self.model.up and self.model.written)
    @rule(pick=picks, meaning=st.sampled_from([ACK, ACK, DONE, NOACK]), timeout=st.integers(0, 4))
    def answer(self, pick: int, meaning: Meaning, timeout: int) -> None:
        """The controller answers something in flight, more often a commander's than the bridge's own."""
        theirs = [cmd for cmd in self.model.written if cmd.who]
        some = theirs if theirs and pick % 4 else self.model.written
        self.mount_says(some[pick % len(some)], meaning, timeout)

    @precondition(lambda self: self.model.up and self.model.written)
    @rule(
        answers=st.lists(st.tuples(picks, st.sampled_from([ACK, ACK, DONE, NOACK])), min_size=2, max_size=8)
    )
    def work(self, answers: list[tuple[int, Meaning]]) -> None:
        """The controller answers much of what is in flight."""
        for pick, meaning in answers:
            if self.model.written:
                self.answer(pick, meaning, 1)
                self.check()

    @precondition(lambda self: self.model.up and any(self.sent))
    @rule(pick=picks, meaning=st.sampled_from([ACK, DONE, NOACK]))
    def answer_again(self, pick: int, meaning: Meaning) -> None:
        """The controller answers whatever it was sent, on this connection or another, for a second time."""
        everything = [cmd for sent in self.sent for cmd, _ in sent]
        self.mount_says(everything[pick % len(everything)], meaning, 1, b"mount: again")

    @precondition(lambda self: self.model.up)
    @rule(pick=picks, meaning=st.sampled_from([ACK, DONE, NOACK]))
    def answer_what_waits(self, pick: int, meaning: Meaning) -> None:
        """The controller answers ids that it was never sent, those of commands that wait among them."""
        used = {cmd.key for sent in self.sent for cmd, _ in sent}
        keys = [flight.key for flight in self.bridge.pending if flight.key not in used]
        key = [*keys, 0, -1, 10**25][pick % (len(keys) + 3)]
        self.links[-1].say(self.stage.reply(meaning, key, b"1"))

    @precondition(lambda self: self.model.up)
    @rule(kinds=st.lists(picks, min_size=1, max_size=6))
    def events(self, kinds: list[int]) -> None:
        """The mount tells everyone."""
        events = [self.stage.events[kind % len(self.stage.events)] for kind in kinds]
        self.model.events(events)
        self.links[-1].say(*(line for _, line, _ in events))

    @precondition(lambda self: self.model.up)
    @rule(kind=picks)
    def garbage(self, kind: int) -> None:
        """The controller says what is nothing."""
        self.links[-1].say(self.stage.garbage[kind % len(self.stage.garbage)])

    @rule(seconds=st.sampled_from([1, 2, 5, 8]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        for _ in range(int(seconds * 8)):
            self.model.advance(0.125)
            self.clock.advance(0.125)

    # The end

    def teardown(self) -> None:
        """When all has ended nothing is left, and each command got one final answer."""
        if not hasattr(self, "bridge"):
            return
        if self.model.up and self.ends_linked:
            self.model.close()
            self.bridge.close()
        else:
            if self.model.up:
                self.disconnect(False)
            self.wait(8)
        self.check()
        self.clock.advance(REPORT_EVERY)  # the journal may owe a count of omitted rows
        assert not self.clock.getDelayedCalls()
        assert not len(self.bridge.pending) and not self.bridge.pending.waiting()
        assert all(client.in_flight == 0 for client in self.clients.values())
        for (name, visit), number in self.asked.items():
            if name in COMMANDERS and self.model.visits.get(name) == visit:
                ends = self.ended[name, visit]
                # a track command that was done has an Ack for its end, or else a NoAck
                assert number - self.track_numbers[name, visit] <= ends <= number, (name, number, ends)
        self.bridge.close()
        assert not self.clock.getDelayedCalls()


class BridgeMachine2022(BridgeMachine):
    """A day with the bridge before a tma2022 mount."""

    stage = TMA2022

    @rule(name=st.sampled_from(list(SOURCES)), number=numbers, source=sources)
    def heartbeat(self, name: str, number: int, source: int) -> None:
        """Anyone sends a heartbeat."""
        self.say(name, "heartbeat", number, source)

    @precondition(lambda self: self.model.holder in self.connected)
    @rule(pauses=st.lists(st.sampled_from([1, 1, 4, 5, 6]), min_size=1, max_size=3), lost=either)
    def holder_beats(self, pauses: list[int], lost: bool) -> None:
        """Who has command sends heartbeats with pauses, and perhaps is lost before one ends."""
        for pause in pauses:
            if self.model.holder in self.connected:
                self.say(self.model.holder, "heartbeat", 0, 1)
                if lost:
                    self.go(self.model.holder, False)
                self.wait(pause)
                self.check()

    @precondition(lambda self: self.model.up)
    @rule(before=st.lists(picks, max_size=2), number=st.sampled_from([0, 1, 2, 3, 3, 77]))
    def mount_names(self, before: list[int], number: int) -> None:
        """The mount says which source has command, perhaps behind other events."""
        events = [self.stage.events[kind % len(self.stage.events)] for kind in before]
        if events:
            self.model.events(events)
        self.model.mount_names(number)
        line = b'{"id":20,"timestamp":1.5,"parameters":{"actualCommander":%d}}' % number
        self.links[-1].say(*(line for _, line, _ in events), line)

    @precondition(lambda self: self.model.up and self.model.holder in self.connected)
    @rule(
        room=st.integers(0, 2),
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
        number=st.sampled_from([0, 2, 3, 3]),
        then=st.sampled_from(["", "ask", "go", "wait", "lose", "stop"]),
    )
    def taken(self, room: int, words: list[str], number: int, then: str) -> None:
        """The mount gives command to another while much waits; the holder goes on, or others do."""
        name = self.model.holder
        self.have_room(room)
        self.holder_commands(words, 1, 2)
        if then == "ask":
            self.say(name, "ask", 3, 4, int(SOURCES[name]))
        elif then == "go":
            self.go(name, False)
        is_taken = self.model.has and all(cmd.who for cmd in self.model.urgent)
        self.mount_names([], number)
        self.check()
        before = len(self.sent[-1])
        self.wait(GRACE + 0.125)
        self.have_room(None)
        self.check()
        if is_taken and then in ("", "go"):  # the model says it too: no ask for command, and no stop
            harmless = {self.stage.heartbeat, *self.stage.questions}
            own = [cmd.code for cmd, _ in self.sent[-1][before:] if not cmd.who]
            assert set(own) <= harmless, own
        if then == "lose":
            self.disconnect(True)
        elif then == "stop":
            self.say(name, "stop", 5, 1)

    @rule(name=st.sampled_from(list(SOURCES)), word=st.sampled_from(["state", "settings"]), number=numbers)
    def question(self, name: str, word: str, number: int) -> None:
        """Anyone asks for the state or the settings."""
        self.say(name, word, number, 1)

    @precondition(lambda self: self.model.up)
    @rule(meaning=st.sampled_from([DONE, DONE, NOACK, FAILED]), name=who, apart=st.integers(13, 14))
    def questions_of_the_bridge(self, meaning: Meaning, name: str, apart: int) -> None:
        """The controller answers what the bridge asked it at the connection; a commander asks the same."""
        self.events([apart])
        for cmd in [cmd for cmd in self.model.written if not cmd.who and cmd.code in self.stage.questions]:
            self.mount_says(cmd, meaning)
        self.check()
        self.question(name, "state", 1)
        self.question(name, "settings", 2)

    @precondition(lambda self: self.model.holder in self.connected)
    @rule(word=st.sampled_from(["change settings", "reset"]))
    def slow_command(self, word: str) -> None:
        """Who has command changes the settings, or sends a command with a time of its own."""
        self.say(self.model.holder, word, 1, 1)

    @precondition(lambda self: self.model.up and self.model.written)
    @rule(pick=picks)
    def fails(self, pick: int) -> None:
        """Something in flight fails."""
        self.mount_says(self.model.written[pick % len(self.model.written)], FAILED)

    @precondition(lambda self: self.model.up and self.model.written)
    @rule(pick=picks, by=picks, known=either)
    def superseded(self, pick: int, by: int, known: bool) -> None:
        """Something in flight is superseded by a command of any connection, or by one that is not known."""
        cmd = self.model.written[pick % len(self.model.written)]
        everything = [each for sent in self.sent for each, _ in sent]
        other = everything[by % len(everything)]
        is_of_today = known and any(other is each for each, _ in self.sent[-1])
        self.model.superseded(cmd, other if is_of_today else None, 102)
        key = other.key if known else 0
        self.links[-1].say(self.stage.reply(SUPERSEDED, cmd.key, b"%d 1 102" % key))

    @rule(seconds=st.sampled_from([11, 20, 62]))
    def long_wait(self, seconds: int) -> None:
        """More time passes."""
        self.wait(seconds)


class BridgeMachineTranslated(BridgeMachine2022):
    """A day with the bridge before a tma2022 mount, and with some clients that speak tma2020."""

    @initialize(
        old=st.sets(st.sampled_from(list(SOURCES)), min_size=1),
        anyone=either,
        stop=either,
        first=st.sampled_from(["", *COMMANDERS]),
        ends_linked=either,
    )
    def begin(self, old: set[str], anyone: bool, stop: bool, first: str, ends_linked: bool) -> None:
        """Set the dialect of each client, and the rest as on any day."""
        self.old = frozenset(old)
        self.open(anyone, stop, first, ends_linked)

    def command_of(
        self, name: str, word: str, number: int, source: int, wanted: int | None
    ) -> tuple[Cmd, bytes]:
        """Return a command for the model, and its line in the dialect of the client."""
        if name not in self.old:
            return super().command_of(name, word, number, source, wanted)
        known = source if source in KNOWN_SOURCES else 3  # another one is malformed in tma2020
        line = old_line(word, number, known, self.last_token, wanted or 0)
        means = read_old(line)
        cmd = Cmd(name, 0, number, known, means.code, token=self.last_token)
        cmd.stops, cmd.ack_only, cmd.refusal = means.stops, means.ack_only, means.refusal
        if means.parts:
            cmd.rest = means.parts[0].rest
        if len(means.parts) > 1:
            cmd.whole = Whole(means.parts)
        return cmd, line

    @rule(
        name=st.sampled_from(list(SOURCES)), word=st.sampled_from(OLD_WORDS), number=numbers, source=sources
    )
    def old_command(self, name: str, word: str, number: int, source: int) -> None:
        """A client that speaks tma2020 commands."""
        if name in self.old:
            self.say(name, word, number, source)

    @precondition(lambda self: self.model.holder in self.connected & self.old)
    @rule(words=st.lists(st.sampled_from(OLD_WORDS), min_size=1, max_size=5), number=numbers)
    def old_holder_commands(self, words: list[str], number: int) -> None:
        """Who has command, and speaks tma2020, commands."""
        for word in words:
            self.say(self.model.holder, word, number, 1)

    @precondition(lambda self: self.model.up and self.model.holder in self.connected & self.old)
    @rule(
        words=st.lists(st.sampled_from(["oil", "pump", "move", "ask"]), min_size=1, max_size=4),
        answers=st.lists(st.sampled_from([ACK, DONE, DONE, DONE, NOACK, FAILED]), max_size=4),
        stranger=who,
        room=st.sampled_from([0, 1, None]),
        then=st.sampled_from(
            [
                "",
                "stop",
                "own stop",
                "take",
                "there and back",
                "release",
                "again",
                "go",
                "back",
                "lose",
                "wait",
            ]
        ),
        anew=either,
    )
    def between_two_parts(
        self,
        words: list[str],
        answers: list[Meaning],
        stranger: str,
        room: int | None,
        then: str,
        anew: bool,
    ) -> None:
        """A command becomes two; something happens before the second part; the controller answers."""
        name = self.model.holder
        self.say(name, "oil", 1, 1)
        for number, word in enumerate(words, 2):
            self.say(name, word, number, 1, int(SOURCES[name]) if word == "ask" else None)
        if then == "stop":
            self.say(stranger, "stop", 8, 2)
        elif then == "own stop":
            self.say(name, "azimuth stop", 8, 2)
        elif then in ("take", "there and back"):
            self.take(stranger)
            if then == "there and back":
                self.check()
                self.take(name)
        elif then in ("release", "again"):
            self.say(name, "ask", 9, 2, 0)
            if then == "again":
                self.check()
                self.take(name)
        elif then in ("go", "back"):
            self.go(name, then == "back")
            self.wait(GRACE + 0.125)
        elif then == "lose":
            self.disconnect(True)
        self.check()
        if self.model.up:
            self.have_room(room)
            self.check()
        for answer in answers:
            theirs = [cmd for cmd in self.model.written if cmd.whole is not None]
            if theirs:
                self.mount_says(theirs[-1 if anew else 0], answer, 2)
                self.check()
        if self.model.up:
            self.have_room(None)


MACHINES: dict[str, type[BridgeMachine]] = {"tma2020": BridgeMachine, "tma2022": BridgeMachine2022}
MACHINES["tma2020 at tma2022"] = BridgeMachineTranslated
"""The days before a mount of each dialect, and those with clients of both before a tma2022 mount."""

DAYS = settings(max_examples=70, stateful_step_count=60)
"""What each run of the tests plays, other days each time; ``make model`` plays 20,000 steps, nightly."""


class ModelTests(SynchronousTestCase):
    """The machines, as a test."""

    def test_any_day(self) -> None:
        """Whatever happens, everybody is told and sent what the rules say, and nothing is left over."""
        run_state_machine_as_test(MACHINES["tma2020"], settings=DAYS)  # type: ignore[no-untyped-call]

    def test_any_day_before_a_tma2022_mount(self) -> None:
        """The same holds with heartbeats, and with a mount that names the commander."""
        run_state_machine_as_test(MACHINES["tma2022"], settings=DAYS)  # type: ignore[no-untyped-call]

    def test_any_day_with_clients_that_speak_tma2020(self) -> None:
        """The same holds for clients of either dialect before one tma2022 mount; each reads its own."""
        run_state_machine_as_test(MACHINES["tma2020 at tma2022"], settings=DAYS)  # type: ignore[no-untyped-call]

    def test_stops_that_wait(self) -> None:
        """A command that was given after stops of the bridge may follow them, also if they wait for room."""
        machine = BridgeMachine()
        machine.begin(anyone=False, stop=True, first="csc", ends_linked=False)
        machine.have_room(room=0)
        machine.holder_goes(back=False, seconds=5)
        machine.check()
        machine.all_come()
        machine.take(name="csc")
        machine.command(word="move", name="csc", number=1, source=1)
        machine.check()
        machine.have_room(room=None)
        machine.check()
        machine.take(name="csc")
        machine.check()
        machine.teardown()

    def test_settings_are_asked_for_after_command_is_taken(self) -> None:
        """A change of the settings that was never sent still ends, and the bridge asks for them once."""
        machine = BridgeMachine2022()
        machine.begin(anyone=False, stop=False, first="csc", ends_linked=False)
        machine.rush(answer=DONE, asks=[("csc", 0), ("csc", 1)], how="go", leaver="eui")
        machine.check()
        machine.fails(pick=0)
        machine.have_room(room=0)
        machine.check()
        machine.fails(pick=0)
        machine.slow_command(word="change settings")
        machine.check()
        machine.taken(number=0, room=0, then="", words=["move"])
        asked = [cmd.code for cmd, _ in machine.sent[-1] if not cmd.who]
        settings_code = next(code for code, word in TMA2022.questions.items() if word == "settings")
        self.assertEqual(settings_code, asked[-1])
        machine.teardown()
