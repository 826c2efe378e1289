"""A bridge and the web's commanding parts around it, in memory, for the tests of ``web``."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.api.acks import AckTimes
from mtmount_twisted.frontends.web.api.command_tracker import MAX_LIVES, CommandTracker
from mtmount_twisted.frontends.web.api.commanders import Commanders, CommandRoutes
from mtmount_twisted.frontends.web.api.leases import Leases
from mtmount_twisted.frontends.web.api.state import StateRoutes
from mtmount_twisted.frontends.web.api.validation import Validator
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.calls import Answer, Call, RequestError, Respond, Role, User
from mtmount_twisted.interfaces import ITelemetry
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.journal.recording.recorder import RecorderOff
from mtmount_twisted.motion.limits import AxisLimits

from .commanders import LOG, House, RecordingJournal
from .web import as_read

START = 1_800_000_000.0
"""When all begins: 2027-01-15T08:00:00Z."""


class Link:
    """The link to the controller, as the state shows it."""

    client_host, client_port = "127.0.0.1", 40005
    client_connected = server_connected = True


class WebHouse(House):
    """A bridge, the controller connected to it, and the web's commanding parts.

    :ivar wall_start: the wall clock when the reactor's clock is 0 (Unix s); a test sets the clock by it.
    """

    wall_start = START

    def __init__(
        self,
        clock: Any = None,
        most_lives: int = MAX_LIVES,
        dialect: Dialect = DIALECT,
        telemetry: ITelemetry | None = None,
        **rules: Any,
    ) -> None:
        self.dialect = dialect
        self.clock = clock or Clock()
        self.journal = RecordingJournal()
        self.bus = EventBus(self.clock, self.journal, self.wall_clock)
        self.bridge = Bridge(self.clock, LOG, self.bus, CommandRules(**rules), dialect)
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.stamps = Stamps(self.clock, self.wall_clock)
        self.lives = CommandTracker(self.bus, dialect, self.clock, self.stamps, most_lives)
        self.acks = AckTimes(self.bus, dialect, self.clock, self.stamps)
        self.commanders = Commanders(self.bridge, self.lives, self.clock, LOG)
        self.leases = Leases(
            self.bridge, self.bus, self.publish, self.commanders, self.clock, self.stamps, LOG
        )
        self.ways = Link()
        self.state = StateRoutes(
            self.bridge,
            self.bus,
            self.ways,
            JournalOff(),
            self.leases,
            self.clock,
            self.stamps,
            telemetry,
        )
        self.validator = Validator(
            self.bridge,
            self.bus,
            self.clock,
            self.state.devices,
            self.state.motion_of,
            {"azimuth": AxisLimits(-270, 270), "elevation": AxisLimits(15.1, 86.4)}.get,
        )
        self.commands = CommandRoutes(self.commanders, self.validator)
        self.link = self.connect()

    def wall_clock(self) -> float:
        """Unix time, which goes as the clock does."""
        return self.wall_start + self.clock.seconds()

    def served(self) -> Any:
        """The services of the daemon, as the web sees them; they receive no telemetry."""
        parts = {"bridge": self.bridge, "link": self.ways, "names": []}
        none = dict.fromkeys(("telemetry", "signals", "motion", "broker", "leadership", "others"))
        return SimpleNamespace(**parts, **none, recorder=RecorderOff())

    def publish(self, name: str, data: object) -> None:
        """Note an event for the event streams."""
        self.published.append((name, as_read(data)))

    def close(self) -> None:
        """End the web."""
        for part in (self.lives, self.acks, self.commanders, self.leases, self.state, self.validator):
            part.close()


def user(name: str = "night", *roles: Role, source: Source = Source.CSC) -> User:
    """Return a user with all roles, or with the given ones."""
    return User(name, frozenset(roles or ("observe", "command", "stop")), source)


class WebCase(SynchronousTestCase):
    """A web house, and requests to it."""

    def setUp(self, **rules: Any) -> None:
        self.house = WebHouse(**rules)
        self.night = user()

    def answering(self, respond: Respond, call: Call) -> Deferred[Answer]:
        """Begin to answer; the answer must be JSON."""
        noted: Any = self.house.commanders.noting(respond)
        return Deferred.fromCoroutine(noted(call)).addCallback(_checked)

    def told(self, answering: Deferred[Answer]) -> Answer:
        """Return the answer after one turn of the reactor; a problem counts as an answer."""
        self.house.clock.advance(0)
        return self.successResultOf(answering.addErrback(_problem))

    def post(
        self, command: str, by: User | None = None, query: str = "", key: str | None = None, **parameters: Any
    ) -> Deferred[Answer]:
        """Send a command."""
        body: dict[str, Any] = {"command": command, "parameters": parameters}
        headers = {} if key is None else {"idempotency-key": key}
        pairs = dict(pair.split("=") for pair in query.split("&") if pair)
        call = Call(by or self.night, query=pairs, body=body, headers=headers)
        return self.answering(self.house.commands.post, call)

    def life(self, id: str) -> dict[str, Any]:
        """Return the tracked state of a command."""
        call = Call(user("other", "observe"), parts={"id": id})
        body: dict[str, Any] = self.told(self.answering(self.house.commands.get, call)).body
        return body

    def lease(self, body: Any = None, by: User | None = None) -> Deferred[Answer]:
        """Request the lease, with the given body."""
        return self.answering(self.house.leases.post, Call(by or self.night, body=body))

    def give_up(self, by: User | None = None) -> Deferred[Answer]:
        """Give command up."""
        return self.answering(self.house.leases.delete, Call(by or self.night))

    def take(self, by: User | None = None) -> None:
        """A user takes command."""
        answering = self.lease({"take": True}, by)
        self.house.link.finish_all()
        self.assertEqual(self.told(answering).status, 200)

    def state(self, by: User | None = None) -> dict[str, Any]:
        """The state."""
        body: dict[str, Any] = self.told(self.answering(self.house.state.get, Call(by or self.night))).body
        return body

    @property
    def holder(self) -> str | None:
        """The name of the holder of command."""
        holder = self.house.bridge.lease.holder
        return None if holder is None else holder.name


def _checked(answer: Answer) -> Answer:
    """An answer with its body as a reader of the API has it."""
    return replace(answer, body=as_read(answer.body))


def _problem(reason: Failure) -> Answer:
    reason.trap(RequestError)
    problem = reason.value
    assert isinstance(problem, RequestError)
    return _checked(problem.answer())
