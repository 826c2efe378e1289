"""``check COMMAND``: the expected answer to a command, which is not sent.

The daemon's page answers with all that the bridge knows. Without the page, `from_events` judges a command
by the events that this prompt received. Pure. Next to read: `dialects.preview`; `session`, which shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.preview import Told
from mtmount_twisted.errors import WebError
from mtmount_twisted.wire.messages import CommandMessage

Text = Annotated[str, Meta(max_length=500)]
Texts = Annotated[list[Text], Meta(max_length=50)]

UNSETTLED = 1.0
"""The time after a command of this prompt, in seconds, in which the latest events may be older than the
mount's state."""


class Target(Struct, frozen=True):
    """The goal of an axis (deg), the distance to it (deg) and the time to it (s). Distance and time are None
    if the position is unknown."""

    axis: Text
    position: float
    distance: float | None = None
    seconds: float | None = None


class Verdict(Struct, frozen=True):
    """The expected answer, as ``POST /api/v1/commands`` gives it."""

    verdict: Literal["would_be_refused", "nothing_known_against_it", "unknown"]
    reasons: Texts = []
    unknown: Texts = []
    targets: Annotated[list[Target], Meta(max_length=10)] = []
    limits: Texts = []

    @property
    def is_refusal(self) -> bool:
        """True if the command would be refused."""
        return self.verdict == "would_be_refused"


def read_verdict(answer: dict[str, Any]) -> Verdict:
    """Return the answer of the page.

    :raises WebError: if it is not the answer to a validation: the page may belong to another program.
    """
    try:
        return msgspec.convert(answer, Verdict)
    except msgspec.ValidationError as error:
        raise WebError(f"this prompt can't read the page's answer: {error!s:.200}") from None


def body_of(command: CommandMessage, dialect: Dialect) -> dict[str, Any]:
    """Return the body of the question to the page."""
    values = {info.name: getattr(command, info.name) for info in dialect.parameters_of(type(command))}
    parameters = {name: getattr(value, "name", value) for name, value in values.items()}
    return {"command": type(command).__name__, "parameters": parameters, "validate": True}


def from_events(
    command: CommandMessage, dialect: Dialect, told: Told, *, is_connected: bool, is_settled: bool
) -> Verdict:
    """Return the expected answer, as far as it follows from the mount's events.

    :param told: return the facts in these events.
    :param is_settled: False if a command of this prompt may change these facts at any moment.
    """
    reasons = [] if is_connected else ["not sent: there is no connection"]
    if dialect.preview is None:
        unknown = [f"the state of the mount: {dialect.name} tells too little of it"]
        return Verdict("would_be_refused" if reasons else "unknown", reasons, unknown)
    preview = dialect.preview(command, told)
    refusals, unknown = preview.judged(is_settled)
    reasons += refusals
    verdict: Any = "would_be_refused" if reasons else "unknown" if unknown else "nothing_known_against_it"
    targets = [Target(each.axis, each.position) for each in preview.targets]
    return Verdict(verdict, reasons, unknown, targets)


_VERDICTS = {
    "would_be_refused": "would be refused",
    "nothing_known_against_it": "nothing is known against it",
    "unknown": "unknown",
}


def lines_of(text: str, verdict: Verdict) -> Iterator[str]:
    """Yield the lines about a command for a person.

    :param text: the command.
    """
    yield f"{text}: {_VERDICTS[verdict.verdict]}; nothing was sent"
    yield from (f"reason: {reason}" for reason in verdict.reasons)
    for each in verdict.targets:
        way = "the way to it is unknown"
        if each.distance is not None:
            way = f"{abs(each.distance):.4g} deg to go"
            way += "" if each.seconds is None else f", {each.seconds:.1f} s"
        yield f"target: {each.axis} {each.position:g} deg; {way}"
    yield from (f"limit: {limit}" for limit in verdict.limits)
    yield from (f"unknown: {unknown}" for unknown in verdict.unknown)
