"""Examples of the answers about the motion of the mount, for the OpenAPI document.

The mount tracks a star after a slew of 3 deg. Values only. Next to read: `telemetry`, `signal_history` and
`slews`, which answer; `openapi`, the document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Raw, Struct

from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.motion.present import Rules

from .signal_history import SignalColumn, SignalHistory
from .slews import SlewDone, Slews
from .state import Reported
from .telemetry import (
    NO_RECORDER,
    AxesNow,
    AxisNow,
    CableWrapNow,
    LimitNow,
    Limits,
    MotionNow,
    RecorderNow,
    SignalInfo,
    Signals,
    SkyNow,
    TelemetryNow,
    TopicNow,
    rules_now,
)

_NOW, _SINCE = "2027-01-15T08:02:00.000Z", "2027-01-15T08:01:30.000Z"


def _axis(position: float, velocity: float, error: float, low: float, high: float) -> AxisNow:
    return AxisNow(
        position=position,
        demand=position + error / 3600,
        velocity=velocity,
        torque=1520.0,
        age=0.02,
        stale=False,
        time="2027-01-15T08:01:59.980Z",
        error=error,
        error_sky=error,
        rms=0.0051,
        greatest=0.0142,
        in_position=True,
        on_target_since=_SINCE,
        to_go=error / 3600,
        seconds_to_go=0.0,
        limit_low=low,
        limit_high=high,
        limits_from="mount",
    )


_LIMIT = LimitNow(
    name="azimuth +265",
    axis="azimuth",
    direction="+",
    kind="software",
    limit=265.0,
    distance=142.5,
    seconds=34_200.0,
    at="2027-01-15T17:32:00.000Z",
    level="calm",
    basis="tracking",
)

_TOPIC = TopicNow(
    age=0.05,
    stale=False,
    time="2027-01-15T08:01:59.950Z",
    values={"actualPosition": [1.0, 2.0, 3.0, 4.0]},
)


def telemetry() -> TelemetryNow:
    """Return an answer of ``/api/v1/telemetry``."""
    return TelemetryNow(
        time=_NOW,
        at=None,
        live=True,
        available=True,
        why="",
        connected=True,
        silent=False,
        age=0.02,
        clock_offset=0.0012,
        recorder=RecorderNow(enabled=False, oldest=None, why=NO_RECORDER),
        motion=MotionNow(word="Tracking", detail="", since=_SINCE, seconds=None),
        axes=AxesNow(
            azimuth=_axis(122.5, 0.0041, 0.004, -265.0, 265.0),
            elevation=_axis(61.25, -0.0012, -0.003, 15.1, 86.4),
            camera_cable_wrap=CableWrapNow(position=-12.5, velocity=0.0039, stale=False, age=0.06),
        ),
        sky=SkyNow(
            right_ascension=83.6331,
            declination=-22.0145,
            hour_angle=-14.2,
            sidereal_time=69.4,
            parallactic_angle=-97.1,
            airmass=1.14,
            ut1_stale=False,
        ),
        limits=[_LIMIT],
        slew=None,
        rules=rules_now(Rules()),
        topics={"balancing": _TOPIC},
    )


def past_telemetry() -> TelemetryNow:
    """Return an answer about a past moment, with ``at=``."""
    now = telemetry()
    power = Reported(value="ON", unit="", stale=False, age=3605.0, time="2027-01-15T07:01:55.000Z")
    return TelemetryNow(
        **{name: getattr(now, name) for name in now.__struct_fields__}
        | {
            "time": "2027-01-15T09:30:00.000Z",
            "at": _NOW,
            "live": False,
            "age": None,
            "clock_offset": None,
            "devices": {"azimuth": {"power": power}},
        }
    )


def signals() -> Signals:
    """Return an answer of ``/api/v1/telemetry/signals``."""
    return Signals(
        signals=[
            SignalInfo(name="azimuth.actualPosition", unit="deg", period=0.05),
            SignalInfo(name="motion.azimuth.errorSky", unit="arcsec", period=0.05),
        ]
    )


def history() -> SignalHistory:
    """Return an answer of ``/api/v1/telemetry/history`` with two points, of which the second has no value."""
    column = SignalColumn(unit="deg", least=[122.38, None], greatest=[122.5, None], mean=[122.44, None])
    return SignalHistory(
        from_="2027-01-15T08:01:00.000Z",
        to=_NOW,
        times=[1_800_000_060.0, 1_800_000_090.0],
        signals={"azimuth.actualPosition": Raw(as_json(column))},
    )


def slews() -> Slews:
    """Return an answer of ``/api/v1/slews``: a slew, and an earlier move that was stopped."""
    return Slews(
        slews=[
            SlewDone(
                kind="track",
                start="2027-01-15T08:01:27.000Z",
                azimuth=3.0,
                elevation=-1.2,
                seconds=2.8,
                settle=0.4,
                error_at_in_position=0.31,
                rms=0.0097,
                passed=True,
                failures=[],
            ),
            SlewDone(
                kind="move",
                start="2027-01-15T07:55:02.000Z",
                azimuth=119.5,
                elevation=0.0,
                seconds=None,
                settle=None,
                error_at_in_position=None,
                rms=None,
                passed=False,
                failures=["interrupted"],
            ),
        ]
    )


def limits() -> Limits:
    """Return an answer of ``/api/v1/limits``."""
    return Limits(limits=[_LIMIT])


EXAMPLES: Mapping[str, Mapping[str, Callable[[], Struct]]] = {
    "get_telemetry": {"now": telemetry, "past": past_telemetry},
    "list_signals": {"signals": signals},
    "get_telemetry_history": {"history": history},
    "list_slews": {"slews": slews},
    "list_limits": {"limits": limits},
}
"""The examples of answers with status 200, by the `Route.id` of the operation and by the name of the
example."""
