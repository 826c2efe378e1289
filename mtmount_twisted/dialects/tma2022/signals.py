"""The signals of the mount: every number in its telemetry, by its name on the wire and with its unit.

A signal is ``TOPIC.quantity``, such as ``azimuth.actualPosition``; an element of an array ends with its
number, as on the wire: ``encoder.azimuthEncoderPosition3``. Next to read: `telemetry`, the topics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from mtmount_twisted.dialects.dialect import TopicSignals
from mtmount_twisted.dialects.facts import PositionFact

from .telemetry import Topic, TopicDict
from .topic_type import MISSING


@cache
def signals() -> dict[int, TopicSignals]:
    """Return the signals of each topic, by the number of the topic."""
    return {number: _signals_of(topic) for number, topic in TopicDict.items()}


def _signals_of(topic: type[Topic]) -> TopicSignals:
    infos = [info for info in topic.field_infos if not info.measured]
    members = [member for info in infos for member, _ in info.members]
    get: Any = attrgetter(*members)  # a tuple: each topic has two numbers at least

    def values_of(decoded: object) -> tuple[float, ...]:
        return tuple(MISSING if value is UNSET else float(value) for value in get(decoded))

    return TopicSignals(
        name=topic.topic,
        period=topic.period,
        quantities=tuple(wire_name for info in infos for _, wire_name in info.members),
        units=tuple(info.unit for info in infos for _ in info.members),
        docs=tuple(info.doc for info in infos for _ in info.members),
        parts=tuple((info.wire_name, info.count) for info in infos),
        values_of=get if all(info.dtype is float for info in infos) else values_of,
    )


def position_in(topic_id: int, values: Sequence[float]) -> PositionFact:
    """Return the motion of an axis from the signals of its topic (`facts.AXES`), without time stamps."""
    numbers = {
        name: value
        for name, value in zip(signals()[topic_id].quantities, values, strict=True)
        if math.isfinite(value)
    }
    return PositionFact(
        position=numbers.get("actualPosition"),
        demand_position=numbers.get("demandPosition"),
        velocity=numbers.get("actualVelocity"),
        demand_velocity=numbers.get("demandVelocity"),
        torque=numbers.get("actualTorque"),
    )
