"""Slews: a row for each jump of the demand, with what it took and how steady the mount was after it.

Next to read: `following`, where the errors come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from .following import Sample

Axis = Literal["azimuth", "elevation"]

Failure = Literal["time", "settle", "rms", "interrupted", "telemetry"]


@dataclass(frozen=True, slots=True)
class SlewSettings:
    """The rules of the table of slews.

    :ivar jump: a slew begins when the demand of an axis jumps by more, deg.
    :ivar rms_limit: the mount is settled while the RMS of the error on the sky over 15 s is below, arcsec.
    :ivar distance: a slew of at most this distance on both axes is judged by `time`, deg.
    :ivar time: longest time from the start to in-position, s.
    :ivar settle: longest settle time, s.
    """

    jump: float = 0.1
    rms_limit: float = 0.01
    distance: float = 3.5
    time: float = 4.0
    settle: float = 4.0


class Slew(NamedTuple):
    """One slew, of both axes.

    :ivar start: time of the first demand after the jump, of the axis that jumped first, TAI s.
    :ivar azimuth: way to go at the start: demand minus actual position, deg; 0 if the axis did not jump.
    :ivar elevation: the same.
    :ivar in_position_after: s from `start` until each axis has reported in-position; None if that never came.
    :ivar settle: s from in-position to the start of the first 15 s whose RMS is below the limit; None if
        there were none.
    :ivar error_at_in_position: error on the sky of both axes at in-position, arcsec, or None.
    :ivar rms: RMS of the error on the sky of both axes over the 15 s after in-position, arcsec, or None.
    :ivar settled_rms: RMS over the first 15 s whose RMS is below the limit: those at `settle`; or None.
    :ivar failures: why it did not pass: ``time`` (longer than allowed, or never in position), ``settle`` (the
        first 15 s below the RMS limit began too late), ``rms`` (no 15 s were below it), ``interrupted`` (a
        new jump or a stop came before the figures were complete), ``telemetry`` (it was missing for over 2
        s).
    """

    start: float
    azimuth: float
    elevation: float
    in_position_after: float | None
    settle: float | None
    error_at_in_position: float | None
    rms: float | None
    settled_rms: float | None
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        """True if nothing failed."""
        return not self.failures


class Running(NamedTuple):
    """The slew that is not finished.

    :ivar start: TAI s.
    :ivar azimuth, elevation: way to go at the start, deg.
    :ivar in_position_after: s, or None while the mount is on its way.
    """

    start: float
    azimuth: float
    elevation: float
    in_position_after: float | None


class SlewWatch:
    """Finder of slews in samples of both axes.

    Each call returns the slews that it finished, as a rule none.

    :ivar running: the slew in progress, or None.
    """

    def __init__(self, settings: SlewSettings) -> None:
        self.settings = settings
        self.running: Running | None = None

    def add(self, axis: Axis, sample: Sample) -> list[Slew]:
        """Add a sample of an axis, in order of time; the axes take turns in any way."""
        return []

    def in_position(self, axis: Axis, value: bool, at: float) -> list[Slew]:
        """Add a report of the mount that an axis is in position, or not any more.

        It may come somewhat before or after the samples of the same time.

        :param at: time stamp of the report, TAI s.
        """
        return []

    def clear(self) -> list[Slew]:
        """Forget the past, because the connection was lost; an unfinished slew ends with ``telemetry``."""
        return []
