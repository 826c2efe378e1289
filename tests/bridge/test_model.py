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
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.journal.limited import REPORT_EVERY
from tests.support.bridge_model import ACK, DONE, NOACK, Model
from tests.support.bridge_stage import (
    CODES,
    COMMANDERS,
    EVENTS,
    GARBAGE,
    GRACE,
    OBSERVERS,
    PATIENCE,
    SOURCES,
    Cmd,
    site_rules,
)
from tests.support.bridge_watch import WatchedBridge
from tests.support.commanders import (
    ASK,
    LOG,
    MOVE,
    PLENTY,
    STAMP,
    STOP,
    TRACK,
    RecordingClient,
    RecordingLink,
)

who = st.sampled_from(COMMANDERS)
numbers = st.sampled_from([1, 2, 2147483647, -3])
sources = st.sampled_from([1, 2, 3, 77])
picks = st.integers(0, 1000)
either = st.booleans()


class BridgeMachine(WatchedBridge):
    """A day with the bridge."""

    @initialize(anyone=either, stop=either, first=st.sampled_from(["", *COMMANDERS]), ends_linked=either)
    def begin(self, anyone: bool, stop: bool, first: str, ends_linked: bool) -> None:
        """Set the rules of the site; most days begin with all here, and one who has command."""
        self.ends_linked = ends_linked
        self.bridge = Bridge(self.clock, LOG, EventBus(self.clock), site_rules(anyone, stop), DIALECT)
        self.watch()
        self.model = Model({name: int(source) for name, source in SOURCES.items()}, anyone, stop)
        self.clients = {
            name: RecordingClient(self.bridge, name, source, name in COMMANDERS)
            for name, source in SOURCES.items()
        }
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
    @rule(code=st.sampled_from([MOVE, TRACK, STOP]), answer=st.sampled_from([ACK, DONE, NOACK]))
    def comes_back_and_repeats(self, code: int, answer: int) -> None:
        """A holder's program is started anew, counts from 1 again, and the mount answers what it was sent."""
        name = self.model.holder
        self.say(name, code, 1, 1)
        self.check()
        sent = [cmd for cmd in self.model.written if cmd.who == name]
        self.go(name, True)
        self.check()
        self.say(name, code, 1, 1)
        self.check()
        for cmd in sent:
            self.mount_says(cmd, answer, b"3000" if answer == ACK else b"mount: late")

    @precondition(lambda self: self.model.up)
    @rule(
        name=who,
        words=st.lists(st.sampled_from([*CODES, ASK, ASK]), min_size=1, max_size=6),
        wanted=st.sampled_from([0, 1, 2]),
        other=who,
        then=st.sampled_from(
            ["", "other", "hand", "back", "none", "go", "lose", "wait", "commands", "finish", "stop", "grace"]
        ),
        answer=st.sampled_from([DONE, DONE, NOACK]),
        anew=either,
    )
    def burst(
        self, name: str, words: list[int], wanted: int, other: str, then: str, answer: int, anew: bool
    ) -> None:
        """Somebody asks and commands in one breath, something happens, and the controller answers.

        All of it waits for that answer if the controller is asked anew.
        """
        if anew:
            self.disconnect(True)
        if then == "grace" and self.model.holder in self.connected:
            self.go(self.model.holder, False)
        self.say(name, ASK, 3, 4, int(SOURCES[name]))
        for number, code in enumerate(words):
            self.say(name, code, number, 4, wanted if code == ASK else None)
        if then == "other":
            self.say(other, ASK, 1, 1, int(SOURCES[other]))
            self.say(other, MOVE, 2, 1)
        elif then == "hand":
            self.take(other)
            self.say(name, MOVE, 2, 1)
            self.hand(other, name, 0)
            self.say(name, MOVE, 2, 1)
        elif then == "none":
            self.say(name, ASK, 9, 4, 0)
        elif then == "stop":
            self.say(other, STOP, 3, 1)
        elif then == "finish":
            self.finish(name)
        elif then in ("go", "back"):
            self.go(name, then == "back")
        elif then == "lose":
            self.disconnect(True)
        elif then in ("wait", "grace"):
            self.wait(5 if then == "wait" else GRACE + 0.125)
        self.check()
        for cmd in [cmd for cmd in self.model.written if cmd.code == ASK]:
            self.mount_says(cmd, answer, b"mount: no")
        if then == "commands":
            self.say(name, MOVE, 8, 4)

    @precondition(lambda self: self.model.up)
    @rule(
        asks=st.lists(st.tuples(who, st.sampled_from([0, 1, 1, 2, 2, 3, 3])), min_size=2, max_size=5),
        leaver=st.sampled_from(["", *COMMANDERS]),
        how=st.sampled_from(["go", "back", "cut", "finish"]),
        answer=st.sampled_from([DONE, DONE, NOACK]),
    )
    def rush(self, asks: list[tuple[str, int]], leaver: str, how: str, answer: int) -> None:
        """Several ask while the controller is asked anew, somebody leaves, and the controller answers."""
        self.disconnect(True)
        self.check()
        for name, wanted in asks:
            self.say(name, ASK, 4, 4, wanted)
        if leaver in self.connected:
            if how == "cut":
                self.cut_off(leaver, 0)
            elif how == "finish":
                self.finish(leaver)
            else:
                self.go(leaver, how == "back")
        self.check()
        for cmd in [cmd for cmd in self.model.written if cmd.code == ASK]:
            self.mount_says(cmd, answer, b"mount: no")

    @rule(name=st.sampled_from(list(SOURCES)), unlucky=st.integers(0, 3))
    def cut_off(self, name: str, unlucky: int) -> None:
        """A client does not keep up."""
        if name in self.model.visits and not unlucky:
            del self.model.visits[name]
            self.bridge.cut_off(self.clients[name], "slow")

    # Commanders

    def say(self, name: str, code: int, number: int, source: int, wanted: int | None = None) -> None:
        """A client says a command; its rest names it."""
        self.last_token = next(self.tokens)
        rest = STAMP + b"\n%d" % (self.last_token if wanted is None else wanted)
        if name in self.model.finished:
            self.go(name, True)
        elif name not in self.connected:
            self.come(name)
        if name in self.model.visits:
            visit = self.model.visits[name]
            self.asked[name, visit] += 1
            self.track_numbers[name, visit] += code in (TRACK, 105)
            cmd = Cmd(name, visit, number, source, code, rest)
            self.model.say(cmd, wanted or 0)
        self.clients[name].say(b"%d\n%d\n%d\n%b" % (number, code, source, rest))

    @rule(name=st.sampled_from(list(SOURCES)), code=st.sampled_from(CODES), number=numbers, source=sources)
    def command(self, name: str, code: int, number: int, source: int) -> None:
        """Anyone commands."""
        self.say(name, code, number, source)

    @rule(name=st.sampled_from(OBSERVERS), lines=st.sampled_from([1, PATIENCE - 1, PATIENCE + 2]))
    def observer_commands(self, name: str, lines: int) -> None:
        """Who only observes commands all the same, and perhaps goes on and on."""
        for _ in range(lines):
            self.say(name, STOP, 1, 1)

    @precondition(lambda self: self.model.holder in self.connected)
    @rule(codes=st.lists(st.sampled_from(CODES), min_size=1, max_size=5), number=numbers, source=sources)
    def holder_commands(self, codes: list[int], number: int, source: int) -> None:
        """Who has command commands."""
        for code in codes:
            self.say(self.model.holder, code, number, source)

    @rule(name=who, wanted=st.sampled_from([0, 1, 2, 3]), number=numbers, source=sources)
    def ask(self, name: str, wanted: int, number: int, source: int) -> None:
        """Anyone says who shall have command."""
        self.say(name, ASK, number, source, wanted)

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
        self.say(name, ASK, 5, 5, int(SOURCES[name]))
        self.check()
        for cmd, _ in list(self.sent[-1]):
            if cmd in self.model.written and cmd.code == ASK:
                self.mount_says(cmd, DONE, b"")

    @precondition(lambda self: self.model.up and self.model.holder in self.connected)
    @rule(
        room=st.integers(0, 2),
        codes=st.lists(st.sampled_from(CODES), min_size=1, max_size=5),
        stranger=who,
        then=st.sampled_from(["", "take", "ask", "release", "go", "lose", "wait", "leave"]),
    )
    def crowd(self, room: int, codes: list[int], stranger: str, then: str) -> None:
        """Much is sent while the controller reads little; something happens; then it reads on."""
        self.have_room(room)
        self.holder_commands(codes, 1, 2)
        self.say(stranger, STOP, 8, 8)
        if then == "take":
            self.take(stranger)
        elif then == "ask":
            self.say(stranger, ASK, 7, 7, int(SOURCES[stranger]))
        elif then == "release":
            self.say(self.model.holder, ASK, 7, 7, 0)
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
        self.say(self.model.holder, ASK, 6, 6, 0)

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

    def mount_says(self, cmd: Cmd, code: int, field: bytes) -> None:
        """The controller answers a command, now or once more, whatever became of it."""
        seconds = int(field) / 1000 if code == ACK and field.isdigit() else 0.0
        line = b"%d\n%d\n88\n%b" % (code, cmd.key, STAMP)
        if code != DONE:
            line += b"\n" + field
        self.model.answered(cmd, code, field.decode() if code != DONE else "", seconds)
        self.links[-1].say(line)

    @precondition(lambda self: self.model.up and self.model.written)
    @rule(
        pick=picks,
        code=st.sampled_from([ACK, ACK, DONE, NOACK]),
        field=st.sampled_from([b"0", b"3000", b"20000", b"", b"x"]),
    )
    def answer(self, pick: int, code: int, field: bytes) -> None:
        """The controller answers something in flight, more often a commander's than the bridge's own."""
        theirs = [cmd for cmd in self.model.written if cmd.who]
        some = theirs if theirs and pick % 4 else self.model.written
        self.mount_says(some[pick % len(some)], code, b"mount: no" if code == NOACK else field)

    @precondition(lambda self: self.model.up and self.model.written)
    @rule(
        answers=st.lists(st.tuples(picks, st.sampled_from([ACK, ACK, DONE, NOACK])), min_size=2, max_size=8)
    )
    def work(self, answers: list[tuple[int, int]]) -> None:
        """The controller answers much of what is in flight."""
        for pick, code in answers:
            if self.model.written:
                self.answer(pick, code, b"3000")
                self.check()

    @precondition(lambda self: self.model.up and any(self.sent))
    @rule(pick=picks, code=st.sampled_from([ACK, DONE, NOACK]))
    def answer_again(self, pick: int, code: int) -> None:
        """The controller answers whatever it was sent, on this connection or another, for a second time."""
        everything = [cmd for sent in self.sent for cmd, _ in sent]
        cmd = everything[pick % len(everything)]
        self.mount_says(cmd, code, b"mount: again" if code == NOACK else b"1000")

    @precondition(lambda self: self.model.up)
    @rule(pick=picks, code=st.sampled_from([ACK, DONE, NOACK]))
    def answer_what_waits(self, pick: int, code: int) -> None:
        """The controller answers ids that it was never sent, those of commands that wait among them."""
        used = {cmd.key for sent in self.sent for cmd, _ in sent}
        keys = [flight.key for flight in self.bridge.pending if flight.key not in used]
        key = [*keys, 0, -1, 10**25][pick % (len(keys) + 3)]
        self.links[-1].say(b"%d\n%d\n1\n%b\n1" % (code, key, STAMP))

    @precondition(lambda self: self.model.up)
    @rule(events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=6))
    def events(self, events: list[tuple[object, bytes, bool]]) -> None:
        """The mount tells everyone."""
        self.model.events(events)
        self.links[-1].say(*(line for _, line, _ in events))

    @precondition(lambda self: self.model.up)
    @rule(line=st.sampled_from(GARBAGE))
    def garbage(self, line: bytes) -> None:
        """The controller says what is nothing."""
        self.links[-1].say(line)

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


class ModelTests(SynchronousTestCase):
    """The machine, as a test."""

    def test_any_day(self) -> None:
        """Whatever happens, everybody is told and sent what the rules say, and nothing is left over."""
        days = settings(max_examples=300, stateful_step_count=60)
        run_state_machine_as_test(BridgeMachine, settings=days)  # type: ignore[no-untyped-call]

    def test_stops_that_wait(self) -> None:
        """A command that was given after stops of the bridge may follow them, also if they wait for room."""
        machine = BridgeMachine()
        machine.begin(anyone=False, stop=True, first="csc", ends_linked=False)
        machine.have_room(room=0)
        machine.holder_goes(back=False, seconds=5)
        machine.check()
        machine.all_come()
        machine.take(name="csc")
        machine.command(code=MOVE, name="csc", number=1, source=1)
        machine.check()
        machine.have_room(room=None)
        machine.check()
        machine.take(name="csc")
        machine.check()
        machine.teardown()
