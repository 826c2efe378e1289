"""The lines of clients that speak tma2020 before a tma2022 mount, for the model of the bridge.

All that is known here of the translation comes from the pure functions of ``dialects.translate``. The stage
before the mount is `bridge_stage.TMA2022`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mtmount_twisted import commands as old
from mtmount_twisted.dialects.dialect import Meaning, Outcome
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.codec import decode_reply
from mtmount_twisted.dialects.tma2022.outcomes import outcome_of
from mtmount_twisted.dialects.translate import (
    TABLE,
    Dropped,
    Refusal,
    nearest_to,
    translate_answer,
    translate_line,
    translate_reply,
)
from mtmount_twisted.enums import CommandCode
from mtmount_twisted.errors import LineError

from .bridge_stage import ACK, DONE, FAILED, NOACK, SUPERSEDED, TMA2022, Answer, read_2020

OLD_WORDS = ["oil", "oil", "pump", "end tracking", "state", "settings", "chiller", "wrong", "twice wrong"]
"""Commands that only a client which speaks tma2020 gives, beside those of `bridge_stage.WORDS`."""

_START = datetime(2020, 2, 27, 14, 48, 27, tzinfo=UTC)


@dataclass(frozen=True)
class Part:
    """A command for the mount: its code, what is behind its header, and the name of its class."""

    code: int
    rest: bytes
    name: str


@dataclass(eq=False)
class Whole:
    """A command that became two, and what its commander has been told.

    :ivar place: the part that is in flight.
    :ivar timeouts: in ms, of the Acks so far.
    :ivar stops: the number of accepted stops when it was accepted.
    """

    parts: tuple[Part, ...]
    place: int = 0
    timeouts: list[int] = field(default_factory=list)
    is_acked: bool = False
    stops: int = 0

    def lines(self, meaning: Meaning, text: str) -> list[tuple[Meaning, str]]:
        """Return what the commander is told of an answer to the part in flight."""
        is_last = self.place == len(self.parts) - 1
        if meaning not in (ACK, DONE):
            return [(NOACK, self._explained(meaning, text))]
        if meaning is ACK:
            self.timeouts.append(int(text))
        acks: list[tuple[Meaning, str]] = []
        if is_last and not self.is_acked:
            self.is_acked = True
            acks = [(ACK, str(max(self.timeouts, default=0)))]
        return [*acks, (DONE, "")] if is_last and meaning is DONE else acks

    def _explained(self, meaning: Meaning, text: str) -> str:
        fate = {FAILED: "failed", SUPERSEDED: "was superseded"}.get(meaning, "was rejected")
        if text in ("refused", "busy", "malformed", "not sent"):
            if not self.place:
                return text
            fate = "was not sent"
        elif text in ("timed out", "outcome unknown"):
            fate = "has an unknown outcome"
        fates = ["succeeded"] * self.place + [fate] + ["was not sent"] * len(self.parts)
        return f"{text} ({'; '.join(f'{part.name} {each}' for part, each in zip(self.parts, fates))})"


@dataclass(frozen=True)
class Translated:
    """What a line means: its parts for the mount, or the start of a refusal; and the rules of its class."""

    code: int
    stops: bool
    ack_only: bool
    parts: tuple[Part, ...] = ()
    refusal: str = ""


def old_line(word: str, number: int, source: int, token: int, wanted: int) -> bytes:
    """Return the line of a command; its timestamp has the token in ms."""
    sent = (_START + timedelta(milliseconds=token)).replace(tzinfo=None).isoformat(timespec="milliseconds")
    code, *parameters = _LINES[word].split("|")
    if word == "ask":
        parameters = [str(wanted)]
    return "\n".join([str(number), code, str(source), sent, *parameters]).encode()


_TARGET = "1|0|1600000000"
_LINES: Mapping[str, str] = {
    "ask": f"{CommandCode.ASK_FOR_COMMAND:d}",
    "move": "30|10|45|0|0|-1",
    "track": "31|1|0|45|0|0|1600000000",
    "azimuth track": f"105|{_TARGET}",
    "unknown": "9999|7",
    "no class": "104|7",
    "stop": "32",
    "azimuth stop": "102",
    "covers stop": "902",
    "heartbeat": "3000",
    "state": f"{CommandCode.STATE_INFO:d}",
    "settings": f"{CommandCode.ASK_FOR_SET_OF_SETTINGS:d}",
    "change settings": "2403|7",
    "reset": "106",
    "oil": f"{old.OilSupplySystemPower.command_code:d}|1",
    "pump": f"{old.OilSupplySystemPowerMainPump.command_code:d}|0",
    "end tracking": f"{old.AzimuthAxisEnableTracking.command_code:d}|0",
    "chiller": f"{old.TopEndChillerTrackAmbient.command_code:d}|0|5",
    "wrong": "30|ten|45|0|0|0",
    "twice wrong": "32|1",
}


def read_old(line: bytes) -> Translated:
    """Return what a client's line means to the mount."""
    header = read_command_header(line)
    own = DIALECT.kind_of(header.code)
    try:
        translation = translate_line(line)
    except LineError:
        return Translated(_near(header.code), own.is_stop, own.ack_only, refusal="malformed")
    if isinstance(translation, Refusal):
        return Translated(_near(header.code), own.is_stop, own.ack_only, refusal="refused")
    parts = tuple(
        Part(int(each.command_code), each.encode()[:-2].split(b"\n", 3)[3], type(each).__name__)
        for each in translation.commands
    )
    return Translated(parts[0].code, own.is_stop, own.ack_only, parts)


def _near(code: int) -> int:
    """Return the code of the nearest command of tma2022; 0 if none is near."""
    classes = {int(each.command_code): row.becomes for each, row in TABLE.items()}
    known = code in CommandCode.__members__.values()
    near = classes.get(code) or (nearest_to(CommandCode(code)) if known else ())
    return int(near[0].command_code) if near else 0


def old_answer(meaning: Meaning, text: str, ack_only: bool) -> str:
    """Return the text of an answer as its commander reads it; that of the mount is `text`."""
    made = translate_answer(_outcome(meaning, text), 1, Source.CSC, ack_only=ack_only)
    return str(read_2020(made.encode()[:-2])[3])


def _outcome(meaning: Meaning, text: str) -> Outcome:
    line = TMA2022.reply(meaning, 1, text.encode())
    reply = decode_reply(line.replace(b'"commander":88', b'"commander":1'))
    outcome = outcome_of(reply)
    assert outcome is not None
    return outcome


def old_event(answer: Answer) -> Answer | None:
    """Return a line to all as a client reads it; None if it is dropped."""
    if answer[0] != "event":
        return None
    assert isinstance(answer[1], bytes)
    made = translate_reply(decode_reply(answer[1]))
    return None if isinstance(made, Dropped) else ("event", made.encode()[:-2])


def observed(answer: Answer) -> Answer | None:
    """Return a line to observers as one that speaks tma2020 reads it; None if it is dropped."""
    meaning, *rest = answer
    if not isinstance(meaning, Meaning):
        return old_event(answer)
    number, source, text = rest
    if source not in list(Source):
        return None
    made = translate_answer(_outcome(meaning, str(text)), 1, Source.CSC)
    return (old_meaning(meaning), number, source, read_2020(made.encode()[:-2])[3])


def old_meaning(meaning: Meaning) -> Meaning:
    """Return the meaning of an answer to a client that speaks tma2020."""
    return meaning if meaning in (ACK, DONE) else NOACK
