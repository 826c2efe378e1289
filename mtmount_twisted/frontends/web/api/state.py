"""All that is known now, as one JSON object: links, who has command, what the mount said last, what goes on.

What the mount said is decoded when somebody asks, never while it comes in, and each line only once.
Next to read: `bridge.last_values`, what is kept of what the mount said; `leases`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

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
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route, User
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.version import __version__

from .leases import Leases

AXES = {0: "azimuth", 1: "elevation"}
"""What an axis is called, by the number that the mount has for it in `InPositionReply`."""

_SUBSYSTEMS = {str(int(subsystem)): subsystem.name for subsystem in SubsystemId}
_LINKS = ("link_up", "link_down")
_NOTHING_SAID = {"description": None, "time": None, "stale": False}

Shown = tuple[str, str, dict[str, Any]]
"""Where something that is known stands in the state: its member, its name in there, and it itself."""


class State:
    """The state of everything.

    :param bridge: an `IBridge`.
    :param tee: a `bridge.tee.Tee`: what happens is heard from it until `close`.
    :param link: a `upstream.link.ControllerLink`.
    :param journal: a `journal.recorder.Journal` or ``NoJournal``.
    :param clock: an ``IReactorTime``, the one that the bridge has.
    :param stamps: tells since when.
    """

    def __init__(
        self,
        bridge: Any,
        tee: Any,
        link: Any,
        journal: Any,
        leases: Leases,
        clock: IReactorTime,
        stamps: Stamps,
    ) -> None:
        self._bridge = bridge
        self._tee = tee
        self._link = link
        self._journal = journal
        self._leases = leases
        self._clock = clock
        self._stamps = stamps
        self._said = Said(stamps)
        self._link_since: tuple[float, float] | None = None  # by the clock, and as recorded; s
        tee.on_event.append(self._event)

    def close(self) -> None:
        """Hear no more. It can be called twice."""
        if self._event in self._tee.on_event:
            self._tee.on_event.remove(self._event)

    def _event(self, number: int, time: float, kind: str, peer: str, epoch: int, detail: str) -> None:
        if kind in _LINKS:
            self._link_since = self._clock.seconds(), time

    def routes(self) -> list[Route]:
        """To see the state."""
        return [
            Route(
                "GET",
                "/api/v1/state",
                self.get,
                "observe",
                "The state of everything, now.",
                id="get_state",
                tag="state",
                answers={200: "State"},
            )
        ]

    async def get(self, call: Call) -> Answer:
        """The state, as this user sees it."""
        return Answer(self.shape(call.user))

    def shape(self, user: User) -> dict[str, Any]:
        """The state as JSON."""
        bridge = self._bridge
        return {
            "time": self._stamps.now(),
            "version": __version__,
            "controller": self._controller(),
            "lease": self._leases.shape(),
            "you": self._you(user),
            "commanders": [_commander(client) for client in bridge.clients.values()],
            **self._said.shape(bridge.known.entries()),
            "in_flight": [self._flight(flight) for flight in bridge.flights],
            "journal": self._kept(),
            "counts": dict(bridge.counts),
        }

    def _controller(self) -> dict[str, Any]:
        link = self._link
        return {
            "connected": self._bridge.link is not None,
            "epoch": self._bridge.epoch,
            "since": None if self._link_since is None else self._stamps.of(*self._link_since),
            "command_connection": link.client_connected,
            "reply_connection": link.server_connected,
            "address": host_and_port(link.client_host, link.client_port),
        }

    def _you(self, user: User) -> dict[str, Any]:
        holder = self._bridge.lease.holder
        return {
            "name": user.name,
            "commander": user.commander,
            "roles": sorted(user.roles),
            "source": user.source.name,
            "has_command": holder is not None and holder.name == user.commander,
        }

    def _flight(self, flight: Any) -> dict[str, Any]:
        return {
            "commander": flight.client.name,
            "command": command_name(flight.header.code),
            "code": flight.header.code,
            "sequence_id": flight.header.sequence_id,
            "since": self._stamps.of(flight.since),
            "sent": flight.written,
            "acked": flight.acked,
            "deadline": self._stamps.of(flight.deadline),
        }

    def _kept(self) -> dict[str, Any]:
        journal = self._journal
        return {
            "path": None if journal.path is None else str(journal.path),
            "lag": journal.lag,
            "lost": journal.lost,
            "fault": journal.fault,
        }


def _commander(client: Any) -> dict[str, Any]:
    return {
        "name": client.name,
        "source": client.source.name,
        "address": client.address,
        "may_command": client.may_command,
        "in_flight": client.in_flight,
        "behind_bytes": client.behind,
    }


# What the mount said


class Said:
    """What the mount said last, by what it is about; what can't be decoded is left out.

    :param stamps: tells when it said so.
    """

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps
        self._shown: dict[Any, Shown | None] = {}

    def shape(self, entries: list[Any]) -> dict[str, Any]:
        """As members of the state.

        :param entries: the entries of a `bridge.last_values.LastValueCache`: tuples of line, time (clock, s),
            stale.
        """
        before = self._shown
        self._shown = {
            entry: before[entry] if entry in before else _show(entry.line, entry.stale) for entry in entries
        }
        state: dict[str, Any] = {"axes": {}, "mount": _NOTHING_SAID, "warnings": [], "errors": []}
        for entry, shown in self._shown.items():
            if shown is None:
                continue
            member, name, what = shown
            about = {**what, "time": self._stamps.of(entry.time)}
            if member == "axes":
                state["axes"][name] = about
            elif member == "mount":
                state["mount"] = about
            else:
                state[member].append(about)
        return state


def _show(line: bytes, stale: bool) -> Shown | None:
    try:
        reply = cast(Reply, decode_to_show(line, False))
    except LineError:
        return None
    member, name, about = _KINDS[type(reply)](reply)
    return member, name, {**about, "stale": stale}


def _axis(reply: InPositionReply) -> Shown:
    return "axes", AXES.get(reply.what, f"axis {reply.what}"), {"in_position": reply.in_position}


def _mount(reply: OnStateInfoReply) -> Shown:
    return "mount", "", {"description": reply.description}


def _warning(reply: WarningReply) -> Shown:
    return "warnings", "", _alarm(reply)


def _error(reply: ErrorReply) -> Shown:
    return "errors", "", {**_alarm(reply), "latched": reply.on}


def _alarm(alarm: WarningReply | ErrorReply) -> dict[str, Any]:
    return {
        "code": alarm.code,
        "subsystem": _SUBSYSTEMS.get(alarm.subsystem.partition(".")[0]),
        "what": alarm.subsystem,
        "description": "; ".join(alarm.extra_data),
        "active": alarm.active,
    }


_KINDS: dict[type[Reply], Callable[[Any], Shown]] = {
    InPositionReply: _axis,
    OnStateInfoReply: _mount,
    WarningReply: _warning,
    ErrorReply: _error,
}
