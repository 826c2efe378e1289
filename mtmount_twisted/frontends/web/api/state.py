"""``GET /api/v1/state``: the links, the lease, the mount's last values and the commands in flight.

A line of the mount is decoded when it is first needed, by a request for the state or by a validation, and
only once. The module only reads: the bridge, the link, the bus and the journal. Next to read:
`bridge.last_values`, which keeps these lines; `leases`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, NamedTuple, Protocol

from msgspec import Meta
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.dialect import CommandEnvelope, Dialect, TelemetryFormat
from mtmount_twisted.dialects.facts import AlarmFact, AxisFact, DeviceFact, Fact, MountFact
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.errors import LineError
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.answers import (
    Count,
    DialectKind,
    JsonValue,
    Lease,
    Name,
    Part,
    Seconds,
    Shape,
    SourceName,
    Time,
)
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Role, Route, User
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.interfaces import IBridge, IClient, IEventBus, IJournalState, ILeadership, ITelemetry
from mtmount_twisted.records import ChangeRecord
from mtmount_twisted.version import __version__

from .health import StationNow, station_now
from .leases import Leases

_LINKS = ("link_up", "link_down")


class Controller(Part, frozen=True, kw_only=True):
    """The link to the controller."""

    connected: bool
    epoch: Count
    since: Time | None
    command_connection: bool
    reply_connection: bool
    address: str


class You(Part, frozen=True, kw_only=True):
    """The user of the request."""

    name: Name
    commander: Name
    roles: list[Annotated[Role, Meta(extra_json_schema={"type": "string"})]]
    source: SourceName
    has_command: bool


class Commander(Part, frozen=True, kw_only=True):
    """A connected client of the bridge."""

    name: Name
    source: SourceName
    address: str
    may_command: bool
    in_flight: Count
    behind_bytes: Count


class AxisTelemetry(Part, frozen=True, kw_only=True):
    """The motion of an axis in the latest telemetry (deg, deg/s); a number is null if the mount sent none."""

    position: float | None
    demand_position: float | None
    velocity: float | None
    demand_velocity: float | None
    stale: bool
    age: Seconds
    time: Time


class Axis(Part, frozen=True, kw_only=True):
    """The latest reported state of an axis; a member is null until the mount reports it."""

    in_position: bool | None
    stale: bool
    time: Time | None
    telemetry: AxisTelemetry | None


class Reported(Part, frozen=True, kw_only=True):
    """The latest reported value of one quantity of a device; a list has a value for each part of the
    device."""

    value: Annotated[JsonValue, Meta(description="A name, a number, true or false, null, or a list.")]
    unit: str
    stale: bool
    age: Seconds
    time: Time


class Mount(Part, frozen=True, kw_only=True):
    """The state that the mount reported last; a member is null until the mount reports it."""

    description: str | None
    stale: bool
    time: Time | None


class MountWarning(Part, frozen=True, kw_only=True):
    """An active warning of the mount; `remedy` is the vendor's advice, empty if there is none."""

    code: int
    subsystem: str | None
    what: str
    description: str
    remedy: str
    active: bool
    stale: bool
    time: Time


class MountError(Part, frozen=True, kw_only=True):
    """An active error of the mount; `remedy` is the vendor's advice, empty if there is none."""

    code: int
    subsystem: str | None
    what: str
    description: str
    remedy: str
    active: bool
    latched: bool
    stale: bool
    time: Time


class InFlight(Part, frozen=True, kw_only=True):
    """A command that has not ended."""

    commander: Name
    command: str
    code: int
    sequence_id: int
    since: Time
    sent: bool
    acked: bool
    deadline: Time


class JournalState(Part, frozen=True, kw_only=True):
    """The journal: the age of its oldest unwritten row, in s, and the number of lost rows."""

    path: str | None
    lag: Seconds
    lost: Count
    fault: str


class TelemetryState(Part, frozen=True, kw_only=True):
    """The telemetry of the mount; the offset is the mount's clock minus this machine's, in s."""

    connected: bool
    silent: bool
    clock_offset: float | None


class State(Shape, frozen=True, kw_only=True):
    """The present state; a stale value is from before the link was lost, or is old telemetry.

    `commanders` has at most `MOST_LISTED` of the connected clients, those that may command first; `clients`
    is the number of all. `station` is the role of this bridge in the election; null without an election. At a
    standby the lease is that of the active bridge.
    """

    time: Time
    version: str
    dialect: DialectKind
    controller: Controller
    lease: Lease
    you: You
    commanders: list[Commander]
    clients: Count
    axes: dict[str, Axis]
    devices: dict[str, dict[str, Reported]]
    telemetry: TelemetryState | None
    mount: Mount
    warnings: list[MountWarning]
    errors: list[MountError]
    in_flight: list[InFlight]
    journal: JournalState
    counts: dict[str, Count]
    station: StationNow | None


NOTHING_SAID = Mount(description=None, stale=False, time=None)

MOST_LISTED = 128
"""The largest number of clients in the list of a state. Observers without rights may be thousands, and each
takes 10 microseconds of a turn of the reactor."""

SILENT_AXIS = Axis(in_position=None, stale=False, time=None, telemetry=None)

STALE_AFTER = 1.0
"""The age beyond which telemetry of an axis is stale, in seconds; the mount sends 10 or 20 lines a second."""


class LinkState(Protocol):
    """The connections to the controller, and the address of its command port."""

    @property
    def client_connected(self) -> bool: ...

    @property
    def server_connected(self) -> bool: ...

    @property
    def client_host(self) -> str: ...

    @property
    def client_port(self) -> int: ...


class Pending(Protocol):
    """A pending command; see `bridge.pending.PendingCommand`."""

    @property
    def client(self) -> IClient: ...

    @property
    def header(self) -> CommandEnvelope: ...

    @property
    def since(self) -> float: ...

    @property
    def deadline(self) -> float: ...

    @property
    def is_sent(self) -> bool: ...

    @property
    def is_acked(self) -> bool: ...


class Latest(NamedTuple):
    """The latest line of a topic.

    :ivar topic: the decoded line.
    :ivar age: s, to the millisecond.
    :ivar time: the time of its arrival.
    """

    topic: object
    age: float
    time: str
    connected: bool

    def is_stale(self, after: float = STALE_AFTER) -> bool:
        """Return True if the line is older than `after` (s), or the connection to the telemetry server is
        lost."""
        return self.age > after or not self.connected


def latest_line(
    telemetry: ITelemetry | None, number: int | None, clock: IReactorTime, stamps: Stamps
) -> Latest | None:
    """Return the latest line of a topic; None if there is none, or if it is malformed."""
    value = None if telemetry is None or number is None else telemetry.latest(number)
    if telemetry is None or value is None:
        return None
    try:
        topic = value.decoded()
    except LineError:
        return None
    age = max(0.0, value.age)
    return Latest(topic, round(age, 3), stamps.of(clock.seconds() - age), telemetry.connected)


class StateRoutes:
    """The route of the state.

    :param bus: the source of changes, until `close`.
    :param clock: the ``IReactorTime`` of the bridge.
    :param stamps: converts the clock to the time of day.
    :param telemetry: the mount's telemetry; None if the bridge does not receive it.
    """

    def __init__(
        self,
        bridge: IBridge,
        bus: IEventBus,
        link: LinkState,
        journal: IJournalState,
        leases: Leases,
        clock: IReactorTime,
        stamps: Stamps,
        telemetry: ITelemetry | None = None,
        leadership: ILeadership | None = None,
    ) -> None:
        self._bridge = bridge
        self._leadership = leadership
        self._bus = bus
        self._link = link
        self._journal = journal
        self._leases = leases
        self._clock = clock
        self._stamps = stamps
        self._said = Said(bridge.dialect, stamps, clock.seconds)
        self._telemetry = telemetry
        self._link_since: tuple[float, float] | None = None  # by the clock, and as recorded; s
        bus.subscribe(self._change, ChangeRecord)

    def close(self) -> None:
        """Unsubscribe from the bus. It can be called twice."""
        self._bus.unsubscribe(self._change)

    def _change(self, record: ChangeRecord, number: int) -> None:
        if record.kind in _LINKS:
            self._link_since = self._clock.seconds(), record.time

    def routes(self) -> list[Route]:
        """Return the route of the state."""
        return [
            Route(
                "GET",
                "/api/v1/state",
                self.get,
                "observe",
                "The present state of the mount and the bridge.",
                id="get_state",
                tag="state",
                answers={200: State},
            )
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with the state for the user of the request."""
        return Answer(self.shape(call.user))

    def shape(self, user: User) -> State:
        """Return the state for a user, in the form of the API."""
        bridge = self._bridge
        said = self._said.shape(bridge.known.entries())
        return State(
            time=self._stamps.now(),
            version=__version__,
            dialect=bridge.dialect.name,
            controller=self._controller(),
            lease=self._lease(),
            you=self._you(user),
            commanders=[_commander(client) for client in _listed(bridge.clients.values())],
            clients=len(bridge.clients),
            axes=self._axes(said.axes),
            devices=said.devices,
            telemetry=self._telemetry_state(),
            mount=said.mount,
            warnings=said.warnings,
            errors=said.errors,
            in_flight=[self._in_flight(command) for command in bridge.pending],
            journal=self._journal_state(),
            counts=dict(bridge.counts),
            station=station_now(self._leadership),
        )

    def _lease(self) -> Lease:
        """Return the lease of command; at a standby that of the bridge with the lease of the mount."""
        place = self._leadership
        if place is None or place.state != "standby" or place.commander is None:
            return self._leases.shape()
        holder = place.commander
        source = holder.source if holder.source in Source.__members__ else None
        return replace(self._leases.shape(), holder=holder.holder, source=source, number=holder.number)

    def _controller(self) -> Controller:
        link = self._link
        return Controller(
            connected=self._bridge.link is not None,
            epoch=self._bridge.epoch,
            since=None if self._link_since is None else self._stamps.of(*self._link_since),
            command_connection=link.client_connected,
            reply_connection=link.server_connected,
            address=host_and_port(link.client_host, link.client_port),
        )

    def devices(self) -> dict[str, dict[str, Reported]]:
        """Return the values that the mount reported about its devices, by device and name."""
        return self._said.shape(self._bridge.known.entries()).devices

    def motion_of(self, axis: str) -> AxisTelemetry | None:
        """Return the motion of an axis in the latest telemetry; None if there is none."""
        format = self._bridge.dialect.telemetry
        return None if format is None else self._motion(axis, format)

    def _axes(self, said: dict[str, Axis]) -> dict[str, Axis]:
        """Return all axes with their telemetry, also the axes about which no event has come."""
        format = self._bridge.dialect.telemetry
        if format is None:
            return said
        axes = dict.fromkeys(format.axes, SILENT_AXIS) | said
        return {name: replace(axis, telemetry=self._motion(name, format)) for name, axis in axes.items()}

    def _motion(self, axis: str, format: TelemetryFormat) -> AxisTelemetry | None:
        latest = latest_line(self._telemetry, format.axes.get(axis), self._clock, self._stamps)
        if latest is None:
            return None
        motion = format.position_of(latest.topic)
        return AxisTelemetry(
            position=motion.position,
            demand_position=motion.demand_position,
            velocity=motion.velocity,
            demand_velocity=motion.demand_velocity,
            stale=latest.is_stale(),
            age=latest.age,
            time=latest.time,
        )

    def _telemetry_state(self) -> TelemetryState | None:
        telemetry = self._telemetry
        if telemetry is None:
            return None
        return TelemetryState(
            connected=telemetry.connected, silent=telemetry.silent, clock_offset=telemetry.clock_offset
        )

    def _you(self, user: User) -> You:
        holder = self._bridge.lease.holder
        return You(
            name=user.name,
            commander=user.commander,
            roles=sorted(user.roles),
            source=user.source.name,
            has_command=holder is not None and holder.name == user.commander,
        )

    def _in_flight(self, command: Pending) -> InFlight:
        return InFlight(
            commander=command.client.name,
            command=command.header.kind.name,
            code=command.header.code,
            sequence_id=command.header.sequence_id,
            since=self._stamps.of(command.since),
            sent=command.is_sent,
            acked=command.is_acked,
            deadline=self._stamps.of(command.deadline),
        )

    def _journal_state(self) -> JournalState:
        journal = self._journal
        return JournalState(
            path=None if journal.path is None else str(journal.path),
            lag=journal.lag,
            lost=journal.lost,
            fault=journal.fault,
        )


def _listed(clients: Collection[IClient]) -> Iterator[IClient]:
    if len(clients) > MOST_LISTED:
        commanders = (client for client in clients if client.may_command)
        others = (client for client in clients if not client.may_command)
        return islice(chain(commanders, others), MOST_LISTED)
    return iter(clients)


def _commander(client: IClient) -> Commander:
    return Commander(
        name=client.name,
        source=client.source.name,
        address=client.address,
        may_command=client.may_command,
        in_flight=client.in_flight,
        behind_bytes=client.behind,
    )


# The mount's last values


class KnownValue(Protocol):
    """A last value of the mount, as the bridge keeps it. It is hashable: `Said` uses it as a key.

    :ivar line: the line as the mount sent it.
    :ivar time: the time of arrival (clock, s).
    :ivar stale: True if the connection that brought the line is lost.
    """

    @property
    def line(self) -> bytes: ...

    @property
    def time(self) -> float: ...

    @property
    def stale(self) -> bool: ...


class MountSaid(NamedTuple):
    """The members of the state that come from the mount's replies."""

    axes: dict[str, Axis]
    devices: dict[str, dict[str, Reported]]
    mount: Mount
    warnings: list[MountWarning]
    errors: list[MountError]


class Said:
    """The mount's last values, decoded. A line that can't be decoded is skipped.

    :param dialect: the protocol of the lines.
    :param stamps: converts the clock to the time of day.
    :param seconds: return the time by the monotonic clock.
    """

    def __init__(self, dialect: Dialect, stamps: Stamps, seconds: Callable[[], float]) -> None:
        self._dialect = dialect
        self._stamps = stamps
        self._seconds = seconds
        self._facts: dict[KnownValue, Sequence[Fact]] = {}

    def shape(self, entries: Iterable[KnownValue]) -> MountSaid:
        """Return the decoded values of some entries.

        :param entries: the entries of a `bridge.last_values.LastValueCache`.
        """
        before = self._facts
        self._facts = {
            entry: before[entry] if entry in before else self._facts_of(entry.line) for entry in entries
        }
        axes: dict[str, Axis] = {}
        devices: dict[str, dict[str, Reported]] = {device: {} for device in self._dialect.devices}
        now = self._seconds()
        mount = NOTHING_SAID
        warnings: list[MountWarning] = []
        errors: list[MountError] = []
        for entry, facts in self._facts.items():
            stale, time = entry.stale, self._stamps.of(entry.time)
            for fact in facts:
                match fact:
                    case AxisFact():
                        axes[fact.name] = Axis(
                            in_position=fact.in_position, stale=stale, time=time, telemetry=None
                        )
                    case DeviceFact():
                        devices.setdefault(fact.device, {})[fact.name] = Reported(
                            value=fact.value,
                            unit=fact.unit,
                            stale=stale,
                            age=round(max(0.0, now - entry.time), 3),
                            time=time,
                        )
                    case MountFact():
                        mount = Mount(description=fact.description, stale=stale, time=time)
                    case AlarmFact(severity="warning"):
                        warnings.append(warning_of(fact, stale, time))
                    case AlarmFact():
                        errors.append(error_of(fact, stale, time))
        return MountSaid(axes, devices, mount, warnings, errors)

    def _facts_of(self, line: bytes) -> Sequence[Fact]:
        try:
            return self._dialect.facts_of(line)
        except LineError:
            return ()


def warning_of(fact: AlarmFact, stale: bool, time: str) -> MountWarning:
    """Return a warning in the shape of the API."""
    return MountWarning(
        code=fact.code,
        subsystem=fact.subsystem,
        what=fact.what,
        description=fact.description,
        remedy=fact.remedy,
        active=fact.active,
        stale=stale,
        time=time,
    )


def error_of(fact: AlarmFact, stale: bool, time: str) -> MountError:
    """Return an error in the shape of the API."""
    return MountError(
        code=fact.code,
        subsystem=fact.subsystem,
        what=fact.what,
        description=fact.description,
        remedy=fact.remedy,
        active=fact.active,
        latched=fact.latched,
        stale=stale,
        time=time,
    )
