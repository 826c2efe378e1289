"""The motion of the mount at one moment, as values: for the page, the API and the metrics.

A number that is not known is None. Next to read: ``upstream.motion_watch``, which makes these values.
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

    :ivar bounds: the limits of axes about which the mount has not sent settings.
    """

    site: Site = Site()
    slews: SlewSettings = SlewSettings()
    limits: LimitSettings = LimitSettings()
    bounds: Mapping[AxisName, AxisLimits] = LIMITS


class AxisPresent(NamedTuple):
    """An axis. Times are those of the monotonic clock, in s.

    :ivar position, demand: deg.
    :ivar velocity: deg/s.
    :ivar torque: N m.
    :ivar came_at: when the latest line came; None before the first.
    :ivar error: demand minus actual, arcsec; `error_sky` the same on the sky.
    :ivar rms, greatest: of the error on the sky over the window that `following.WINDOW` names, arcsec.
    :ivar in_position: the mount's last report.
    :ivar on_target_since: since when the axis is in position; None if it is not.
    :ivar to_go: way to the demand, or to the goal of a move, deg.
    :ivar seconds_to_go: the time that it takes, s; an estimate.
    :ivar limits: deg.
    :ivar limits_are_mounts: True if the mount has sent its limits.
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
    """A slew that has not arrived.

    :ivar began_at: on the monotonic clock, s.
    :ivar to_go: the longer way of both axes, deg.
    :ivar seconds: the longer time of both axes, s.
    """

    began_at: float
    to_go: float | None
    seconds: float | None


class Present(NamedTuple):
    """The motion of the mount.

    :ivar word: the word for both axes, and `detail` those of each if they differ.
    :ivar since: when the word changed, on the monotonic clock; None if it never did.
    :ivar seconds: how long the motion still takes, s.
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
    braking = velocity * abs(velocity) / (2 * acceleration)  # the way until the axis stands
    if braking > distance or velocity < 0:  # it stands beyond the target, or goes away from it: it comes back
        back = abs(distance - braking)
        return abs(velocity) / acceleration + time_to_go(back, 0.0, fastest, acceleration)
    peak = math.sqrt(acceleration * distance + velocity**2 / 2)
    if peak <= max(fastest, velocity):
        return (2 * peak - velocity) / acceleration
    cruise = distance - (2 * fastest**2 - velocity**2) / (2 * acceleration)
    return (2 * fastest - velocity) / acceleration + cruise / fastest
