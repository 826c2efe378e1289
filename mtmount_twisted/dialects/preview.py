"""`Preview`: the expected answer of the mount to a command that is not sent.

Values only. `Dialect.preview` returns one; a dialect without this function knows too little of its mount.
Next to read: ``tma2022.preview``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from .facts import FactValue

Told: TypeAlias = Callable[[str, str], FactValue]
"""Return the value that the mount reported last, by the names of the device and of the quantity; None if it
is unknown or stale."""


class Target(Struct, frozen=True):
    """The goal of an axis.

    :ivar axis: the axis, such as ``azimuth``.
    :ivar position: the goal, in deg.
    :ivar velocity: the greatest velocity on the way, in deg/s; the mount's own default if it is known.
    :ivar acceleration: the greatest acceleration on the way, in deg/s².
    """

    axis: str
    position: float
    velocity: float
    acceleration: float


class Preview(Struct, frozen=True):
    """The expected answer of the mount.

    :ivar refusals: the reasons why the mount would refuse the command; empty if no reason is known.
    :ivar invalid: the refusals that hold in every state of the mount, for a value that it never accepts.
    :ivar unknown: the values that the mount has not reported, and that may be a reason.
    :ivar targets: the goals of a move.
    """

    refusals: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()

    def judged(self, is_settled: bool) -> tuple[list[str], list[str]]:
        """Return the reasons for a refusal, and the unknown values.

        :param is_settled: False while a command is in flight, and shortly after it: the mount's state may
            change at any moment.
        """
        passing = [each for each in self.refusals if each not in self.invalid]
        if is_settled or not passing:
            return list(self.refusals), list(self.unknown)
        text = f"a command in flight may change this: {'; '.join(passing)}"
        return list(self.invalid), [*self.unknown, text]
