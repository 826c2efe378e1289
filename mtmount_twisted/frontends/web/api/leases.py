"""The lease over HTTP: take command, release it, request it from the holder, or grant it to a commander.

To take and to release command, the user's commander sends ``AskForCommand``, under the bridge's rules. A
request changes nothing: the holder receives it, and may grant it. It does no I/O. Next to read: `commanders`,
`bridge.arbiter`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.dialects.sources import Commander
from mtmount_twisted.frontends.web.events.stamps import Stamps
from mtmount_twisted.frontends.web.http.answers import Json, Lease, LeaseRequest, Schema, reference
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Content, Fault, RequestError, Route
from mtmount_twisted.interfaces import IBridge, IClient, IEventBus
from mtmount_twisted.net.rate_limited_log import A_FEW, RateLimitedLog
from mtmount_twisted.records import ChangeRecord

from .commanders import Commanders, Given

REQUEST_TIME = 60.0
"""The time for which a request for command is valid, in seconds."""

RENEW_TIME = 10.0
"""The time in which a commander's further requests are ignored, in seconds. Each request is an event for
every reader, and a row of the journal."""

ASK_TIME = 60.0
"""The longest time that an answer waits for the controller's decision, in seconds. The bridge usually times
out earlier, except after an Ack that announces a longer duration."""

_STATUSES = {"busy": 429, "not_sent": 503, "timed_out": 504, "outcome_unknown": 504}
"""The status of an answer for each end of an ``AskForCommand`` other than a rejection, which is 409."""


def _bodies() -> dict[str, Schema]:
    """Return the schemas of the bodies of a request for command."""
    kinds = {
        "AskForLease": _only(),
        "TakeLease": _only(take={"type": "boolean", "const": True}),
        "GrantLease": _only(grant={"type": "string", "minLength": 1, "maxLength": _LONGEST_NAME}),
    }
    doc = "{} takes command if no commander has it, and else requests it; or take it, or grant it."
    return {"Ask": {"description": doc, "oneOf": [reference(name) for name in kinds]}, **kinds}


def _only(**members: Schema) -> Schema:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


ASK = Content("Ask", _bodies)

_CHANGES = ("lease_granted", "lease_released")
_LONGEST_NAME = 100


class Leases:
    """The routes of the lease.

    :param bus: the source of changes of the lease, until `close`.
    :param publish: publishes each request: called with the event's name and its data.
    :param clock: an ``IReactorTime``.
    :param stamps: converts the clock to the time of day.
    """

    def __init__(
        self,
        bridge: IBridge,
        bus: IEventBus,
        publish: Callable[[str, LeaseRequest], object],
        commanders: Commanders,
        clock: IReactorTime,
        stamps: Stamps,
        log: logging.Logger,
    ) -> None:
        self._bridge = bridge
        self._bus = bus
        self._publish = publish
        self._commanders = commanders
        self._clock = clock
        self._stamps = stamps
        self._limited_log = RateLimitedLog(clock, log, A_FEW)
        self._since: tuple[float, float] | None = None  # by the clock, and as recorded; s
        self._requests: dict[str, float] = {}  # the time of each commander's request (clock, s)
        bus.subscribe(self._change, ChangeRecord)

    def close(self) -> None:
        """Unsubscribe from the bus. It can be called twice."""
        self._bus.unsubscribe(self._change)

    def _change(self, record: ChangeRecord, number: int) -> None:
        if record.kind in _CHANGES:
            self._since = self._clock.seconds(), record.time
            self._requests.clear()

    def shape(self) -> Lease:
        """Return the lease in the form of the API."""
        lease = self._bridge.lease
        holder = lease.holder
        now = self._clock.seconds()
        return Lease(
            holder=None if holder is None else holder.name,
            source=None if holder is None else holder.source.name,
            number=lease.number,
            since=None if self._since is None else self._stamps.of(*self._since),
            holder_gone=self._bridge.grace,
            requests=[
                LeaseRequest(by=name, time=self._stamps.of(moment))
                for name, moment in self._requests.items()
                if now < moment + REQUEST_TIME
            ],
        )

    # Over HTTP

    def routes(self) -> list[Route]:
        """Return the routes of the lease."""
        path = "/api/v1/lease"
        return [
            Route(
                "GET",
                path,
                self.get,
                "observe",
                "The holder of command, and the requests for it.",
                id="get_lease",
                tag="lease",
                answers={200: Lease},
            ),
            Route(
                "POST",
                path,
                self.post,
                "command",
                "Take command, request it from its holder, or grant it to another commander.",
                id="ask_lease",
                tag="lease",
                answers={200: Lease, 202: Lease},
                problems=(409, 422, 429, 503, 504),
                body=ASK,
            ),
            Route(
                "DELETE",
                path,
                self.delete,
                "command",
                "Release command.",
                id="release_lease",
                tag="lease",
                answers={200: Lease, 202: Lease},
                problems=(409, 429, 503, 504),
            ),
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with the lease."""
        return Answer(self.shape())

    async def delete(self, call: Call) -> Answer:
        """Release command."""
        return await self._ask(call, Commander.NONE)

    async def post(self, call: Call) -> Answer:
        """Take, request or grant command, as the body says."""
        wish, grantee = _read(call.body)
        if wish == "grant":
            return self._grant(call, grantee)
        holder = self._bridge.lease.holder
        if wish == "take" or holder is None or holder.name == call.user.commander:
            return await self._ask(call, Commander(int(call.user.source)))
        return self._request(call, holder)

    async def _ask(self, call: Call, wanted: Commander) -> Answer:
        """Send an ``AskForCommand``, and wait for its end."""
        ask = partial(self._bridge.dialect.ask, wanted, source=call.user.source)
        life = self._commanders.send(call.user, lambda sequence_id: Given(ask(sequence_id)))
        await self._commanders.wait(call.user, life, "done", ASK_TIME)
        if life.state in ("done", "open"):
            return Answer(self.shape(), 200 if life.ended else 202)
        status = _STATUSES.get(life.state, 409)
        raise RequestError(status, life.explanation, lease=self.shape(), command=life.shape())

    def _request(self, call: Call, holder: IClient) -> Answer:
        commander = self._commanders.enter(call.user)
        now = self._clock.seconds()
        if now - self._requests.get(commander.name, -RENEW_TIME) < RENEW_TIME:
            return Answer(self.shape(), 202)
        self._requests[commander.name] = now
        bus, why = self._bus, f"{holder.name} has command"
        text, about = "%s requests command, which %s has", {"peer": commander.name, "epoch": bus.epoch}
        self._limited_log.log(logging.INFO, text, commander.name, holder.name, extra=about)
        bus.publish(ChangeRecord(bus.now(), bus.epoch, commander.name, "lease_requested", why, False))
        self._publish("request", LeaseRequest(by=commander.name, time=self._stamps.of(now)))
        return Answer(self.shape(), 202)

    def _grant(self, call: Call, grantee: str) -> Answer:
        commander = self._commanders.enter(call.user)
        why = self._bridge.hand_command(commander, grantee)
        if why:
            raise self._refused(why)
        return Answer(self.shape())

    def _refused(self, why: str) -> RequestError:
        return RequestError(409, why, lease=self.shape())


def _read(body: Json) -> tuple[str, str]:
    """Return the wish of a body, ``""``, ``"take"`` or ``"grant"``, and the commander to grant command to.

    :raises RequestError: with the fault.
    """
    if body is None or body == {}:
        return "", ""
    if isinstance(body, dict) and body.keys() == {"take"} and body["take"] is True:
        return "take", ""
    grantee = body["grant"] if isinstance(body, dict) and body.keys() == {"grant"} else None
    if isinstance(grantee, str) and 0 < len(grantee) <= _LONGEST_NAME:
        return "grant", grantee
    expected = (
        '{} to take command or ask its holder for it, {"take": true} to take it from its holder, '
        '{"grant": "web/NAME"} to give it'
    )
    raise RequestError(422, "the request has faults", (Fault("body", f"expected {expected}"),))
