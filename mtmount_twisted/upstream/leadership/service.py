"""`Leadership`: performs the decisions of `tenure`, and gives it what it needs to know.

It asks the broker by the child process, opens and closes link and ports by the bridge's service, runs the
hook, and looks after the guard. Next to read: `tenure`; ``app.bridge_service``, the `House`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from mtmount_twisted.interfaces import ILeadership
from mtmount_twisted.net.rate_limited_log import RateLimitedLog
from mtmount_twisted.net.waiting import Waiters

from .guard import SleepGuard, boot_time
from .hook import Hook
from .register import Commander, encode
from .tenure import (
    ASK_PRESENCE,
    FRESH,
    Announce,
    Ask,
    Became,
    BePresent,
    CloseLink,
    ClosePorts,
    Effect,
    EndMoves,
    Log,
    OpenLink,
    OpenPorts,
    Rules,
    RunHook,
    State,
    Tenure,
)

MOST_LINES = 10
"""The most log lines of decisions in a minute."""

PRESENCE: int = 2**40
"""The number below the first question of the service itself."""

RETRY_LINK = 0.3
"""The time between two attempts of a candidate to open the link, in seconds."""


class House(Protocol):
    """The bridge's service: opens and closes what a standby does not have."""

    def open_link(self, key: int | None) -> None:
        """Open the link to the controller and its telemetry.

        :param key: the first sequence id; None for any.
        """

    def retry_link(self) -> None:
        """Try to connect now, unless the link is up or an attempt is under way."""

    def close_link(self, why: str) -> None:
        """Abort the link at once, and close that to the telemetry."""

    def open_ports(self, inherited: Commander | None) -> None:
        """Open the ports; the inherited commander has its time of grace."""

    def close_ports(self, why: str) -> None:
        """Close the ports, and end the lease of command."""

    def end_moves(self, why: str) -> None:
        """End the commands that move the mount and were not sent yet."""

    def record_tenure(self, detail: str) -> None:
        """Publish a change of the state."""


class Broker(Protocol):
    """The broker, as the child process reaches it."""

    def ask(
        self,
        number: int,
        what: Literal["get", "swap", "here", "leave", "gone"],
        value: str = "",
        revision: int = 0,
    ) -> bool:
        """Send a question. Return False if it could not be sent."""

    def announce(self, epoch: int, active: bool) -> None:
        """Tell the child the tenure."""

    def follow(self, is_standby: bool) -> None:
        """Read the events of the other bridges while this one stands by."""


@implementer(ILeadership)
class Leadership(Service):
    """The election, as a service. Start it after the bridge's service and the child.

    :param hook: the path of the site's program; None for none.
    :param reactor: the reactor; the global one if None.
    :param clock: see `SleepGuard`.
    """

    name: str = "mtmount-leadership"

    def __init__(
        self,
        rules: Rules,
        house: House,
        broker: Broker,
        log: logging.Logger,
        hook: str | None = None,
        reactor: object = None,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._rules = rules
        self._house = house
        self._broker = broker
        self._log = log
        self._program = hook
        self._hook: Hook | None = None
        self._reactor = reactor
        self._boot_time = clock
        self._effects: list[Effect] = []
        self._is_performing = False
        self._tenure: Tenure | None = None
        self._time: IReactorTime
        self._limited_log: RateLimitedLog
        self.guard: SleepGuard | None = None
        self._is_present = False
        self._open: set[int] = set()  # numbers of the questions without an answer
        self._presence_question = PRESENCE  # the number of the last one; the machine's are lower
        self._is_presence_known = True
        self._turn: IDelayedCall | None = None
        self._attempt: IDelayedCall | None = None
        self._over: Waiters[None] = Waiters()

    # ILeadership

    @property
    def state(self) -> str:
        """See `ILeadership`."""
        return State.STANDBY.value if self._tenure is None else self._tenure.state.value

    @property
    def node(self) -> str:
        """See `ILeadership`."""
        return self._rules.node

    @property
    def holder(self) -> str:
        """See `ILeadership`."""
        return "" if self._tenure is None else self._tenure.holder

    @property
    def commander(self) -> Commander | None:
        """See `ILeadership`."""
        return None if self._tenure is None else self._tenure.holding_commander

    @property
    def epoch(self) -> int:
        """See `ILeadership`."""
        return 0 if self._tenure is None else self._tenure.epoch

    def why_withheld(self, moves: bool) -> str:
        """Return the reason why a command is not sent now; empty if it may be sent.

        :param moves: False for a command that moves nothing, such as a stop.
        """
        if self._tenure is None:
            return "not sent: standby"
        if self.guard is not None:
            self.guard.check()
        return self._tenure.why_withheld(self._time.seconds(), moves)

    # The service

    def startService(self) -> None:
        """Take part in the election."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        self._time = IReactorTime(self._reactor)
        self._limited_log = RateLimitedLog(self._time, self._log, MOST_LINES)
        self._hook = None if self._program is None else Hook(self._program, self._log, self._reactor)
        self._tenure = Tenure(self._rules, self._effects, self._time.seconds())
        self.guard = SleepGuard(FRESH * self._rules.take_over_after, self._slept, self._boot_time)
        self._broker.follow(True)
        self._log.info("standby: the link and the ports are closed until this bridge has the lease")
        self._next_turn()

    def begin_end(self) -> None:
        """Note that the daemon ends: the bridge's service closes the link next."""
        if self._tenure is not None:
            self._tenure.stop(self._time.seconds())
            self._perform()

    def finish(self) -> Deferred[None]:
        """Give up the address and the lease, after the link is closed.

        :returns: fires at the end; a caller may cancel it.
        """
        tenure = self._tenure
        if tenure is None or tenure.is_over:
            return succeed(None)
        over = self._over.wait()
        tenure.closed(self._time.seconds())
        self._perform()
        return over

    def stopService(self) -> None:
        """End all timers. A caller may call this twice."""
        super().stopService()  # type: ignore[no-untyped-call]
        for timer in (self._turn, self._attempt):
            if timer is not None and timer.active():
                timer.cancel()
        self.guard = None

    # Inputs

    def _next_turn(self) -> None:
        assert self._tenure is not None
        self._turn = self._time.callLater(ASK_PRESENCE * self._rules.take_over_after, self._next_turn)
        if self.guard is not None and self.guard.check():
            self._tenure.time_passed(self._time.seconds())
            self._perform()
        if not self._is_presence_known:
            self._ask_presence()

    def _slept(self, seconds: float) -> None:
        assert self._tenure is not None
        self._tenure.slept(seconds, self._time.seconds())
        self._perform()

    def link_changed(self, is_up: bool) -> None:
        """Note that the link to the controller is up, or down."""
        if self._tenure is not None:
            change = self._tenure.link_up if is_up else self._tenure.link_down
            change(self._time.seconds())
            self._perform()

    def command_changed(self, command: Commander | None) -> None:
        """Note which commander has command."""
        if self._tenure is not None:
            self._tenure.command_changed(command, self._time.seconds())
            self._perform()

    def answered(self, number: int, known: bool, value: str | None, revision: int, gone: bool) -> None:
        """Process an answer of the child."""
        if number == self._presence_question:
            self._is_presence_known = known
            return
        tenure, now = self._tenure, self._time.seconds()
        if tenure is None or number not in self._open:
            return
        self._open.discard(number)
        if self.guard is not None and not self.guard.check():
            return  # the answer is from before the sleep
        if not known:
            tenure.unanswered(number, now)
        else:
            tenure.answered(number, value, revision, gone, now)
        self._perform()

    def child_started(self) -> None:
        """Let a new child announce its presence, if its predecessor did."""
        self._forget_questions()
        if self._is_present:
            self._ask_presence()

    def child_ended(self) -> None:
        """Note that the open questions get no answer."""
        self._forget_questions()

    def _forget_questions(self) -> None:
        numbers, self._open = self._open, set()
        if self._tenure is not None:
            for number in numbers:
                self._tenure.unanswered(number, self._time.seconds())
            self._perform()

    # Effects

    def _perform(self) -> None:
        """Perform all effects, in order. Do nothing in a call from within this method."""
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while self._effects:
                try:
                    self._do(self._effects.pop(0))
                except Exception:
                    self._log.exception("the election failed to perform a decision")
        finally:
            self._is_performing = False
        if self._tenure is not None and self._tenure.is_over:
            self._over.fire(None)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Ask(number, what, value, revision):
                self._open.add(number)
                if not self._broker.ask(number, what, encode(value) if what == "swap" else "", revision):
                    self._time.callLater(0, self.answered, number, False, None, 0, False)
            case BePresent(present):
                if present != self._is_present:
                    self._is_present = present
                    self._ask_presence()
            case RunHook(number, word):
                self._run_hook(number, word)
            case OpenLink(key):
                self._house.open_link(key)
                self._retry_later()
            case CloseLink(why):
                self._house.close_link(why)
            case OpenPorts(inherited):
                self._house.open_ports(inherited)
            case ClosePorts(why):
                self._house.close_ports(why)
            case EndMoves(why):
                self._house.end_moves(why)
            case Announce(epoch, active):
                self._broker.announce(epoch, active)
            case Became(state, detail):
                self._broker.follow(state is State.STANDBY)
                self._log.info("%s", f"{state.value}: {detail}")  # a name in front would look like a peer
                self._house.record_tenure(f"{state.value}: {detail}")
            case Log():
                self._limited_log.log(effect.level, "%s", effect.text)

    def _ask_presence(self) -> None:
        self._presence_question += 1
        self._is_presence_known = self._broker.ask(
            self._presence_question, "here" if self._is_present else "leave"
        )

    def _run_hook(self, number: int, word: str) -> None:
        def ended() -> None:
            if self._tenure is not None:
                self._tenure.hook_ended(number, self._time.seconds())
                self._perform()

        if self._hook is None:
            self._time.callLater(0, ended)
        else:
            self._hook.run(word, ended)

    def _retry_later(self) -> None:
        """Try to connect again and again while this bridge is a candidate."""
        if self._attempt is None or not self._attempt.active():
            self._attempt = self._time.callLater(RETRY_LINK, self._retry)

    def _retry(self) -> None:
        if self._tenure is not None and self._tenure.state is State.CANDIDATE:
            self._house.retry_link()
            self._retry_later()
