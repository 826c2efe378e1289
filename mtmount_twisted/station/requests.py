"""The messages of commands by the broker, as values: requests, claims and outcomes.

A request is on ``mt.MOUNT.cmd.req.USER.ID``; its claim, and then its outcome, on
``mt.MOUNT.cmd.life.USER.ID``. A body is a CloudEvent 1.0 in structured JSON (``docs/reference/station.rst``).
No I/O. Next to read: `desk`, which reads the requests; `requester`, which sends them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from mtmount_twisted.frontends.broker.words import LONGEST_COMMAND, MOST_NESTED, Outcome, is_deep
from mtmount_twisted.journal.times import iso

from .events import Source
from .streams import LONGEST_REQUEST

LONGEST_EXPLANATION = LONGEST_REQUEST // 2
"""The longest explanation of an outcome as JSON, in bytes: the stream refuses a longer outcome."""

MOST_STEPS = 32
"""The most steps that an outcome names; it has the last ones."""

Word = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
"""The id of a request, or the name of a user, which may have at most 32 characters."""

_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Place(NamedTuple):
    """The user and the id in a subject."""

    user: str
    id: str


class Subjects(NamedTuple):
    """The subjects of a mount's requests."""

    mount: str

    def request(self, user: str, id: str) -> str:
        """Return the subject of a request."""
        return f"mt.{self.mount}.cmd.req.{user}.{id}"

    def life(self, user: str, id: str) -> str:
        """Return the subject of a claim and an outcome."""
        return f"mt.{self.mount}.cmd.life.{user}.{id}"

    @property
    def requests(self) -> str:
        """The pattern of the requests of all users."""
        return self.request("*", "*")


def place_of(subject: str) -> Place:
    """Return the user and the id in the subject of a request, a claim or an outcome."""
    user, id = subject.split(".")[-2:]
    return Place(user, id)


def is_word(text: str) -> bool:
    """Return True for an id, or the name of a user, that a subject may have: see `Word`."""
    return _WORD.fullmatch(text) is not None


class Wanted(Struct, frozen=True):
    """The data of a request.

    :ivar command: the name of the command.
    :ivar parameters: its parameters, as in a request of the API.
    :ivar expires_s: the age in seconds at which the command is too old, if it is less than the setting of the
        user.
    """

    command: str
    parameters: dict[str, Any] = {}
    expires_s: Annotated[float, Meta(gt=0)] | UnsetType = UNSET


class Request(Struct, frozen=True, kw_only=True):
    """A request of a user; an empty body only keeps the user present."""

    specversion: Literal["1.0"]
    type: Literal["mtmount.request"]
    source: str
    id: Word
    data: Wanted


class Claimed(Struct, frozen=True):
    """The data of a claim.

    :ivar session: the bridge and its tenure, ``NODE.EPOCH``.
    :ivar settled: every request of the user before this position of the stream has an outcome.
    """

    session: str
    settled: Annotated[int, Meta(ge=0)]


class Claim(Struct, frozen=True, kw_only=True):
    """The statement of a bridge that it is about to send a command, or has sent a stop; one for each id."""

    specversion: Literal["1.0"]
    type: Literal["mtmount.claim"]
    source: str
    id: Word
    time: str
    epoch: int
    data: Claimed


class Step(Struct, frozen=True):
    """A step in the life of a command."""

    step: str
    time: str


class Ended(Struct, frozen=True, kw_only=True):
    """The data of an outcome.

    :ivar state: ``done``, or another state of a life that has ended, as in the API.
    :ivar explanation: the reason of an end that is not ``done``.
    :ivar steps: the steps of the command; none if the mount did not get it.
    :ivar session: the bridge that judged, and its tenure.
    :ivar settled: as in a claim.
    """

    state: str
    explanation: str
    steps: list[Step]
    session: str
    settled: Annotated[int, Meta(ge=0)]


class OutcomeEvent(Struct, frozen=True, kw_only=True):
    """The end of a request; one for each id."""

    specversion: Literal["1.0"]
    type: Literal["mtmount.outcome"]
    source: str
    id: Word
    time: str
    epoch: int
    data: Ended


class _Judged(Struct, frozen=True):
    session: str = ""
    settled: int = 0


class _Life(Struct, frozen=True):
    type: str = ""
    data: _Judged = _Judged()


class Life(NamedTuple):
    """The last claim or outcome of a request.

    :ivar claimed_by: the session of a claim; None for an outcome.
    """

    claimed_by: str | None
    settled: int


_read_request = msgspec.json.Decoder(Request).decode
_read_life = msgspec.json.Decoder(_Life).decode
_read_outcome = msgspec.json.Decoder(OutcomeEvent).decode


def read_request(body: bytes, place: Place) -> Wanted:
    """Return the command in a request.

    :param place: the user and the id in its subject.
    :raises ValueError: with the fault in the body.
    """
    if len(body) > LONGEST_REQUEST:
        raise ValueError(f"the body has {len(body)} bytes; expected at most {LONGEST_REQUEST}")
    if not is_word(place.id):
        raise ValueError("the id in the subject is no word; expected 1 to 64 letters, digits, - and _")
    try:
        found = _read_request(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error) or "nested too deeply") from None
    if found.id != place.id:
        raise ValueError(f"the id is {found.id}; expected {place.id}, as in the subject")
    if found.source != f"/user/{place.user}":
        raise ValueError(f"the source is {found.source[:100]!a}; expected /user/{place.user}")
    try:
        size = len(command := msgspec.json.encode(found.data))
    except (ValueError, OverflowError, RecursionError) as error:  # such as half of a surrogate pair
        raise ValueError(f"the command can't be JSON in UTF-8 ({error})") from None
    if size > LONGEST_COMMAND:
        raise ValueError(f"the command is too long; expected at most {LONGEST_COMMAND} bytes of JSON")
    if is_deep(command):
        raise ValueError(f"the command is nested too deeply; expected at most {MOST_NESTED} levels")
    return found.data


def request_body(user: str, id: str, wanted: Wanted) -> bytes:
    """Return the body of a request."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "type": "mtmount.request",
            "source": f"/user/{user}",
            "id": id,
            "datacontenttype": "application/json",
            "data": wanted,
        }
    )


def _head(type: str, id: str, source: Source, epoch: int, now: float) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": type,
        "source": source.uri,
        "id": id,
        "time": iso(now),
        "epoch": epoch,
        "datacontenttype": "application/json",
    }


def claim_body(id: str, source: Source, epoch: int, settled: int, now: float) -> bytes:
    """Return the body of a claim.

    :param now: the time (s, Unix time).
    """
    data = Claimed(f"{source.node}.{epoch}", settled)
    return msgspec.json.encode({**_head("mtmount.claim", id, source, epoch, now), "data": data})


def outcome_body(outcome: Outcome, source: Source, epoch: int, settled: int, now: float) -> bytes:
    """Return the body of an outcome.

    :param now: the time (s, Unix time).
    """
    data = Ended(
        state=outcome.state,
        explanation=_bounded(outcome.explanation),
        steps=[Step(each["step"], each["time"]) for each in outcome.steps[-MOST_STEPS:]],
        session=f"{source.node}.{epoch}",
        settled=settled,
    )
    return msgspec.json.encode({**_head("mtmount.outcome", outcome.id, source, epoch, now), "data": data})


def _bounded(text: str) -> str:
    """Return the beginning of a text that is short enough for an outcome."""
    text = text[:LONGEST_EXPLANATION]
    while len(msgspec.json.encode(text)) > LONGEST_EXPLANATION:
        text = text[: len(text) * 7 // 8]
    return text


def read_life(body: bytes) -> Life:
    """Return the parts of a claim or an outcome that a bridge needs. A malformed body counts as an
    outcome."""
    try:
        found = _read_life(body)
    except (msgspec.DecodeError, RecursionError):
        return Life(None, 0)
    return Life(found.data.session if found.type == "mtmount.claim" else None, max(0, found.data.settled))


def read_outcome(body: bytes) -> OutcomeEvent | None:
    """Return an outcome; None for a claim, and for a malformed body."""
    try:
        return _read_outcome(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def schemas() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a request, a claim and an outcome, by the type of the event."""
    kinds = {"mtmount.request": Request, "mtmount.claim": Claim, "mtmount.outcome": OutcomeEvent}
    return {type: msgspec.json.schema(cls) for type, cls in kinds.items()}
