"""``GET /api/v1/state``: the links, the lease, the mount's last values and the commands in flight.

A line of the mount is decoded when a user first requests the state, not when it arrives, and only once.
Next to read: `bridge.last_values`, which keeps these lines; `leases`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, cast

from msgspec import Meta
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.tma2020.codec import decode_to_show
from mtmount_twisted.dialects.tma2020.enums import SubsystemId
from mtmount_twisted.dialects.tma2020.replies import (
    ErrorReply,
    InPositionReply,
    OnStateInfoReply,
    Reply,
    WarningReply,
)
from mtmount_twisted.errors import LineError
from mtmount_twisted.frontends.web.events.shapes import command_name
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.answers import (
    Count,
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
from mtmount_twisted.interfaces import IEventBus
from mtmount_twisted.records import ChangeRecord
from mtmount_twisted.version import __version__

from .leases import Leases

AXES = {0: "azimuth", 1: "elevation"}
"""The name of each axis, by its number in `InPositionReply`."""

_SUBSYSTEMS = {str(int(subsystem)): subsystem.name for subsystem in SubsystemId}
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


class Axis(Part, frozen=True, kw_only=True):
    """The state of an axis that the mount reported last."""

    in_position: bool
    stale: bool
    time: Time


class Mount(Part, frozen=True, kw_only=True):
    """The state that the mount reported last; a member is null until the mount reports it."""

    description: str | None
    stale: bool
    time: Time | None


class MountWarning(Part, frozen=True, kw_only=True):
    """An active warning of the mount."""

    code: int
    subsystem: str | None
    what: str
    description: str
    active: bool
    stale: bool
    time: Time


class MountError(Part, frozen=True, kw_only=True):
    """An active error of the mount."""

    code: int
    subsystem: str | None
    what: str
    description: str
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


class State(Shape, frozen=True, kw_only=True):
    """The present state; a stale value is from before the link was lost."""

    time: Time
    version: str
    controller: Controller
    lease: Lease
    you: You
    commanders: list[Commander]
    axes: dict[str, Axis]
    mount: Mount
    warnings: list[MountWarning]
    errors: list[MountError]
    in_flight: list[InFlight]
    journal: JournalState
    counts: dict[str, Count]


Shown = tuple[str, Axis | Mount | MountWarning | MountError]
"""The name of the axis, if the line has one, and the decoded value of the line without its time."""

NOTHING_SAID = Mount(description=None, stale=False, time=None)


class StateRoutes:
    """The route of the state.

    :param bridge: an `IBridge`.
    :param bus: the source of changes, until `close`.
    :param link: a `upstream.link.ControllerLink`.
    :param journal: a `journal.recorder.Journal` or ``JournalOff``.
    :param clock: the ``IReactorTime`` of the bridge.
    :param stamps: converts the clock to the time of day.
    """

    def __init__(
        self,
        bridge: Any,
        bus: IEventBus,
        link: Any,
        journal: Any,
        leases: Leases,
        clock: IReactorTime,
        stamps: Stamps,
    ) -> None:
        self._bridge = bridge
        self._bus = bus
        self._link = link
        self._journal = journal
        self._leases = leases
        self._clock = clock
        self._stamps = stamps
        self._said = Said(stamps)
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
            controller=self._controller(),
            lease=self._leases.shape(),
            you=self._you(user),
            commanders=[_commander(client) for client in bridge.clients.values()],
            axes=said.axes,
            mount=said.mount,
            warnings=said.warnings,
            errors=said.errors,
            in_flight=[self._in_flight(command) for command in bridge.pending],
            journal=self._journal_state(),
            counts=dict(bridge.counts),
        )

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

    def _you(self, user: User) -> You:
        holder = self._bridge.lease.holder
        return You(
            name=user.name,
            commander=user.commander,
            roles=sorted(user.roles),
            source=user.source.name,
            has_command=holder is not None and holder.name == user.commander,
        )

    def _in_flight(self, command: Any) -> InFlight:
        return InFlight(
            commander=command.client.name,
            command=command_name(command.header.code),
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


def _commander(client: Any) -> Commander:
    return Commander(
        name=client.name,
        source=client.source.name,
        address=client.address,
        may_command=client.may_command,
        in_flight=client.in_flight,
        behind_bytes=client.behind,
    )


# The mount's last values


class MountSaid(NamedTuple):
    """The members of the state that come from the mount's replies."""

    axes: dict[str, Axis]
    mount: Mount
    warnings: list[MountWarning]
    errors: list[MountError]


class Said:
    """The mount's last values, decoded. A line that can't be decoded is skipped.

    :param stamps: converts the clock to the time of day.
    """

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps
        self._shown: dict[Any, Shown | None] = {}

    def shape(self, entries: list[Any]) -> MountSaid:
        """Return the decoded values of some entries.

        :param entries: the entries of a `bridge.last_values.LastValueCache`: each has a line, its time
            (clock, s), and True if it is stale.
        """
        before = self._shown
        self._shown = {
            entry: before[entry] if entry in before else _show(entry.line, entry.stale) for entry in entries
        }
        axes: dict[str, Axis] = {}
        mount = NOTHING_SAID
        warnings: list[MountWarning] = []
        errors: list[MountError] = []
        for entry, shown in self._shown.items():
            if shown is None:
                continue
            name, untimed = shown
            said = replace(untimed, time=self._stamps.of(entry.time))
            match said:
                case Axis():
                    axes[name] = said
                case Mount():
                    mount = said
                case MountWarning():
                    warnings.append(said)
                case MountError():
                    errors.append(said)
        return MountSaid(axes, mount, warnings, errors)


def _show(line: bytes, stale: bool) -> Shown | None:
    try:
        reply = cast(Reply, decode_to_show(line, False))
    except LineError:
        return None
    return _KINDS[type(reply)](reply, stale)


def _axis(reply: InPositionReply, stale: bool) -> Shown:
    name = AXES.get(reply.what, f"axis {reply.what}")
    return name, Axis(in_position=reply.in_position, stale=stale, time="")


def _mount(reply: OnStateInfoReply, stale: bool) -> Shown:
    return "", Mount(description=reply.description, stale=stale, time="")


def _warning(reply: WarningReply, stale: bool) -> Shown:
    return "", MountWarning(
        code=reply.code,
        subsystem=_subsystem(reply),
        what=reply.subsystem,
        description="; ".join(reply.extra_data),
        active=reply.active,
        stale=stale,
        time="",
    )


def _error(reply: ErrorReply, stale: bool) -> Shown:
    return "", MountError(
        code=reply.code,
        subsystem=_subsystem(reply),
        what=reply.subsystem,
        description="; ".join(reply.extra_data),
        active=reply.active,
        latched=reply.on,
        stale=stale,
        time="",
    )


def _subsystem(alarm: WarningReply | ErrorReply) -> str | None:
    return _SUBSYSTEMS.get(alarm.subsystem.partition(".")[0])


_KINDS: dict[type[Reply], Callable[[Any, bool], Shown]] = {
    InPositionReply: _axis,
    OnStateInfoReply: _mount,
    WarningReply: _warning,
    ErrorReply: _error,
}
