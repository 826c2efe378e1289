"""Decode and encode of the protocol tma2022: against `msgspec` for one message, and against tma2020."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from mtmount_twisted import commands as tma2020
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2020.dialect import DIALECT as OLD_DIALECT
from mtmount_twisted.dialects.tma2022.dialect import DIALECT

from .codec import cost
from .runner import Case, Goal, Run

STRUCT = Goal("msgspec, one Struct", "at most", 1.5)
SAME = Goal("tma2020", "at most", 1.1)
NOTHING_ELSE = Goal("decode")


class AckParameters(msgspec.Struct):
    """Read an acknowledgement by hand."""

    sequenceId: int
    timeout: float
    commander: int


class Ack(msgspec.Struct):
    """By hand: an acknowledgement."""

    id: int
    timestamp: float
    parameters: AckParameters


class Azimuth(msgspec.Struct):
    """By hand: the azimuth topic."""

    topicID: int
    timestamp: float
    actualPosition: float
    actualPositionTimestamp: float
    demandPosition: float
    demandPositionTimestamp: float
    actualVelocity: float
    actualVelocityTimestamp: float
    demandVelocity: float
    demandVelocityTimestamp: float
    actualAcceleration: float
    actualAccelerationTimestamp: float
    actualJerk: float
    actualJerkTimestamp: float
    actualTorque: float
    actualTorqueTimestamp: float


SENT = 1758006630.0012703

ACK = (
    b'{"id": 1, "timestamp": 1758006630.0012703, '
    b'"parameters": {"commander": 1, "sequenceId": 1, "timeout": 0.1}}'
)

AZIMUTH = tma2022.telemetry.Azimuth(
    timestamp=SENT,
    **{
        info.name: SENT if info.measured else 12.3456789
        for info in tma2022.telemetry.Azimuth.field_infos  # type: ignore[attr-defined]
    },
).encode()[:-2]

OLD_ACK = b"0\n1\n1\n2020-02-27T14:48:27.469\n100"


def pass_on(line: bytes) -> bytes:
    """Rewrite an answer, as the bridge does."""
    answer: Any = DIALECT.read_reply(line)
    rewritten: bytes = answer.rewritten(7, 2)
    return rewritten


def pass_on_tma2020(line: bytes) -> bytes:
    """The same in the protocol tma2020."""
    answer: Any = OLD_DIALECT.read_reply(line)
    rewritten: bytes = answer.rewritten(7, 2)
    return rewritten


COMMANDS: list[tuple[Any, Any]] = [
    (
        tma2022.commands.AzimuthTrackTarget(
            sequence_id=12345, timestamp=SENT, position=123.456789, velocity=0.0041, tai=1582814944.469
        ),
        tma2020.AzimuthAxisTrack(
            sequence_id=12345,
            timestamp=datetime(2020, 2, 27, 14, 48, 27, 469000, UTC),
            position=123.456789,
            velocity=0.0041,
            tai=1582814944.469,
        ),
    ),
    (
        tma2022.commands.MirrorCoversPower(sequence_id=12345, timestamp=SENT, drive=3, on=True),
        tma2020.MirrorCoversPower(
            sequence_id=12345, timestamp=datetime(2020, 2, 27, 14, 48, 27, 469000, UTC), drive=3, on=True
        ),
    ),
]
"""The same command in both protocols."""


def decoding(name: str, line: bytes, by_hand: type[Any], decode: Any, read_header: Any) -> Case:
    """The case of one line."""
    subjects = {
        "ours": partial(cost, decode, line),
        "msgspec, one Struct": partial(cost, partial(msgspec.json.decode, type=by_hand), line),
        "header alone": partial(cost, read_header, line),
    }
    return Case("codec of tma2022", f"decode {name}", "µs", subjects, (STRUCT, Goal("header alone")), 21)


async def measure(run: Run, reactor: Any) -> None:
    """Measure an acknowledgement, the azimuth topic, the rewriting of a reply, and commands."""
    replies = tma2022.decode_reply, tma2022.envelope.read_reply_header
    topics = tma2022.decode_telemetry, tma2022.envelope.read_telemetry_header
    await run.measure(decoding("acknowledgement", ACK, Ack, *replies))
    await run.measure(decoding("azimuth topic", AZIMUTH, Azimuth, *topics))
    rewrite = partial(tma2022.envelope.rewrite_reply, sequence_id=7, commander=2)
    subjects = {"ours": partial(cost, rewrite, ACK), "decode": partial(cost, tma2022.decode_reply, ACK)}
    await run.measure(
        Case("codec of tma2022", "rewrite acknowledgement", "µs", subjects, (NOTHING_ELSE,), 21)
    )
    subjects = {
        "ours": partial(cost, pass_on, ACK),
        "tma2020": partial(cost, pass_on_tma2020, OLD_ACK),
        "decode": partial(cost, tma2022.decode_reply, ACK),
    }
    both = Goal("tma2020"), NOTHING_ELSE
    await run.measure(Case("codec of tma2022", "pass on acknowledgement", "µs", subjects, both, 21))
    for ours, old in COMMANDS:
        subjects = {
            "ours": partial(cost, type(ours).encode, ours),
            "tma2020": partial(cost, type(old).encode, old),
        }
        await run.measure(
            Case("codec of tma2022", f"encode {type(ours).__name__}", "µs", subjects, (SAME,), 21)
        )
