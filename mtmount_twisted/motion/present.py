"""The motion of the mount at one moment, as values for the page, the API and the metrics.

An unknown number is None. Pure. Next to read: ``upstream.motion_watch``, which makes these values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from .limits import LIMITS, AxisLimits, AxisName, Limit, LimitSettings
from .sky import Site, Sky
from .slews import SlewSettings
from .words import Word


class Rules(NamedTuple):
    """The settings of a site.

    :ivar bounds: the limits of the axes that hold until the mount sends its settings, which have limits.
    """

    site: Site = Site()
    slews: SlewSettings = SlewSettings()
    limits: LimitSettings = LimitSettings()
    bounds: Mapping[AxisName, AxisLimits] = LIMITS


class AxisPresent(NamedTuple):
    """An axis. Times are on the monotonic clock, in s.

    :ivar position, demand: deg.
    :ivar velocity: deg/s.
    :ivar torque: N m.
    :ivar came_at: the time of arrival of the latest line; None before the first line.
    :ivar error: demand minus actual, arcsec; `error_sky` is this error on the sky.
    :ivar rms, greatest: RMS and greatest value of the error on the sky over the last `following.WINDOW`,
        arcsec.
    :ivar in_position: True or False, as the mount reported last; None before the first report.
    :ivar on_target_since: the time since which the axis is in position; None if it is not in position.
    :ivar to_go: distance to the demand, or to the goal of a move, deg.
    :ivar seconds_to_go: the estimated time for this distance, s.
    :ivar limits: the limits in use, deg.
    :ivar limits_are_mounts: True if `limits` are from the mount's settings; False if they are from `Rules`.
    """

    position: float | None
    demand: float | None
    velocity: float | None
    torque: float | None
    came_at: float | None
    error: float | None
    error_sky: float | None
    rms: float | None
    greatest: float | None
    in_position: bool | None
    on_target_since: float | None
    to_go: float | None
    seconds_to_go: float | None
    limits: AxisLimits
    limits_are_mounts: bool


class RunningSlew(NamedTuple):
    """A slew that is not in position yet.

    :ivar began_at: on the monotonic clock, s.
    :ivar to_go: the larger of the distances of both axes, deg.
    :ivar seconds: the longer of the times of both axes, s.
    """

    began_at: float
    to_go: float | None
    seconds: float | None


class Present(NamedTuple):
    """The motion of the mount.

    :ivar word: the word for both axes; `detail` has the word of each axis if they differ.
    :ivar since: the time of the last change of the word, on the monotonic clock; None if it never changed.
    :ivar seconds: the time until the motion ends, s.
    :ivar axes: azimuth, elevation and the camera cable wrap.
    """

    word: Word
    detail: str
    since: float | None
    seconds: float | None
    axes: Mapping[AxisName, AxisPresent]
    sky: Sky | None
    limits: list[Limit]
    slew: RunningSlew | None


def time_to_go(distance: float, velocity: float, fastest: float, acceleration: float) -> float:
    """Return the time in which an axis comes to rest at a target, by the fastest way, in s.

    :param distance: target minus position, deg.
    :param velocity: the present velocity, deg/s.
    :param fastest: the highest velocity, deg/s, above 0.
    :param acceleration: the highest acceleration, deg/s², above 0.
    """
    if distance < 0:
        distance, velocity = -distance, -velocity
    braking = velocity * abs(velocity) / (2 * acceleration)  # the distance until the axis stands
    if braking > distance or velocity < 0:  # the axis overshoots, or moves away: it must come back
        back = abs(distance - braking)
        return abs(velocity) / acceleration + time_to_go(back, 0.0, fastest, acceleration)
    peak = math.sqrt(acceleration * distance + velocity * velocity / 2)
    if peak <= max(fastest, velocity):
        return (2 * peak - velocity) / acceleration
    cruise = distance - (2 * fastest * fastest - velocity * velocity) / (2 * acceleration)
    return (2 * fastest - velocity) / acceleration + cruise / fastest
