"""The page with made-up data: its parts in a browser, without a daemon, at a time that stands still.

`state` and `summary` give the shapes of ``GET /api/v1/state`` and of the event ``summary``. Next to read:
`tests.web.test_page_words`, `tests.web.test_page_layout`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mtmount_twisted.frontends.web.http.pages import FOLDER, TYPES
from mtmount_twisted.frontends.web.http.routing import HEADERS

ORIGIN = "http://localhost/"
NOW = 1_795_659_227.0
"""2026-11-26T02:13:47Z, the time of the pictures of the design."""


def ago(seconds: float) -> str:
    """The time so many seconds before now, as the API writes it."""
    return (
        datetime.fromtimestamp(NOW - seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def said(value: Any, seconds: float = 600.0, **more: Any) -> dict[str, Any]:
    """A fact about a device, reported so many seconds ago."""
    return {"value": value, "unit": "", "stale": False, "age": seconds, "time": ago(seconds), **more}


def state(**more: Any) -> dict[str, Any]:
    """The state of a tma2022 mount that tracks, and what differs from that."""
    on, axis = said("ON"), {"in_position": True, "stale": False, "time": ago(42), "telemetry": None}
    drives = {"azimuth": 16, "elevation": 12}
    found: dict[str, Any] = {
        "time": ago(0),
        "version": "1.0",
        "dialect": "tma2022",
        "controller": {
            "connected": True,
            "epoch": 3,
            "since": ago(22_920),
            "command_connection": True,
            "reply_connection": True,
            "address": "10.1.2.3:30005",
        },
        "lease": {
            "holder": "scheduler",
            "source": "CSC",
            "number": 4,
            "since": ago(7800),
            "holder_gone": False,
            "requests": [],
        },
        "you": {
            "name": "anna",
            "commander": "web/anna",
            "roles": ["command", "observe", "stop"],
            "source": "CSC",
            "has_command": False,
        },
        "commanders": [
            _commander("scheduler", "CSC", True),
            _commander("web/anna", "CSC", True),
            _commander("web/control-room", "CSC", False),
        ],
        "axes": {"azimuth": axis, "elevation": axis, "camera_cable_wrap": axis},
        "devices": {
            "safety_system": {"causes": said([])},
            "main_axes_power_supply": {"power": on},
            **{
                name: {
                    "power": on,
                    "homed": said(True),
                    "motion": said("TRACKING", 42),
                    "drives": said(["ON"] * count),
                    "limits": said([[]]),
                }
                for name, count in drives.items()
            },
            "azimuth_cable_wrap": {"power": on, "parts_power": said(["ON", "ON"])},
            "camera_cable_wrap": {"power": on, "motion": said("TRACKING", 42)},
            "mirror_covers": {"motion": said("RETRACTED"), "parts_motion": said(["RETRACTED"] * 4)},
            "mirror_cover_locks": {"motion": said("DEPLOYED"), "parts_motion": said(["DEPLOYED"] * 4)},
            "locking_pins": {"motion": said("UNLOCKED"), "parts_motion": said(["UNLOCKED"] * 2)},
            "deployable_platforms": {"motion": said("RETRACTED"), "parts_motion": said(["RETRACTED"] * 2)},
            "oil_supply_system": {"power": on},
            "top_end_chiller": {"power": on, "setpoints": said([8.0])},
            "main_cabinet_thermal": {"power": on},
        },
        "telemetry": {"connected": True, "silent": False, "clock_offset": 0.001},
        "mount": {"description": "Enable", "stale": False, "time": ago(22_896)},
        "warnings": [],
        "errors": [],
        "in_flight": [],
        "journal": {"path": "/var/lib/mtmount/journal.sqlite", "lag": 0, "lost": 0, "fault": ""},
        "counts": {},
    }
    return merged(found, more)


def _commander(name: str, source: str, may: bool) -> dict[str, Any]:
    return {
        "name": name,
        "source": source,
        "address": "",
        "may_command": may,
        "in_flight": 0,
        "behind_bytes": 0,
    }


def summary(**more: Any) -> dict[str, Any]:
    """The motion of a mount that tracks, and what differs from that."""
    found: dict[str, Any] = {
        "time": ago(0),
        "at": None,
        "live": True,
        "available": True,
        "why": "",
        "connected": True,
        "silent": False,
        "age": 0.05,
        "clock_offset": 0.001,
        "recorder": {"enabled": False, "oldest": None, "why": "the recorder is off"},
        "motion": {"word": "Tracking", "detail": "", "since": ago(42), "seconds": None},
        "axes": {
            "azimuth": axis(128.484, -270.0, 270.0, -0.003, 0.0020),
            "elevation": axis(61.320, 15.1, 86.4, 0.001, 0.0028),
            "cameraCableWrap": {"position": 17.6, "velocity": 0.001, "stale": False, "age": 0.05},
        },
        "sky": {
            "right_ascension": 59.3,
            "declination": -44.42,
            "hour_angle": -31.6,
            "sidereal_time": 27.725,
            "parallactic_angle": -71.0,
            "airmass": 1.14,
            "ut1_stale": False,
        },
        "limits": [
            limit("cameraCableWrap", "+", "wrap", 90.0, 72.4, 26_400.0),
            limit("elevation", "-", "sets", 15.1, 46.2, 31_140.0),
            limit("azimuth", "+", "unwrap", 270.0, 141.5, None),
            limit("azimuth", "-", "unwrap", -270.0, 398.5, None),
        ],
        "slew": None,
    }
    return merged(found, more)


def axis(position: float, low: float, high: float, error: float, velocity: float) -> dict[str, Any]:
    """An axis that tracks."""
    return {
        "position": position,
        "demand": position,
        "velocity": velocity,
        "torque": 100.0,
        "age": 0.05,
        "stale": False,
        "time": ago(0.05),
        "error": error,
        "error_sky": error,
        "rms": 0.005,
        "greatest": 0.012,
        "window": 15.0,
        "in_position": True,
        "on_target_since": ago(42),
        "to_go": 0.0,
        "seconds_to_go": 0.0,
        "limit_low": low,
        "limit_high": high,
        "limits_from": "settings",
    }


def limit(
    axis: str, direction: str, kind: str, at: float, distance: float, seconds: float | None
) -> dict[str, Any]:
    """The way to a limit."""
    level = "calm" if seconds is None or seconds >= 1800 else "caution" if seconds >= 300 else "alarm"
    return {
        "name": f"{axis} {direction}",
        "axis": axis,
        "direction": direction,
        "kind": kind,
        "limit": at,
        "distance": distance,
        "seconds": seconds,
        "at": None if seconds is None else ago(-seconds),
        "level": level,
        "basis": "tracking",
    }


def alarm(code: int, what: str, **more: Any) -> dict[str, Any]:
    """An error of azimuth that is active and latched, or what differs from that."""
    return {
        "code": code,
        "subsystem": "AZIMUTH",
        "what": what,
        "description": "",
        "active": True,
        "latched": True,
        "stale": False,
        "time": ago(49),
        "remedy": "",
        **more,
    }


def merged(found: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A copy of a shape with other members; those of a dict are merged."""
    result = copy.deepcopy(found)
    for name, value in more.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


TELLING = """([now, state, summary, values, live]) => {
    const { store } = window.shownPage;
    window.shownPage.setDaemonTime(new Date(now * 1000).toISOString());
    if (values) store.setSignals({ at: now, values });
    store.setSummary(summary);
    store.setState(state);
    store.setLive(live.is, live.since ?? null, live.why ?? "", live.events ?? "");
}"""

STARTING = """async () => {
    const load = (name) => import(`./static/${name}.js`);
    const [{ Store }, { Shown }, { Commands }, { assemble }, { setDaemonTime }] =
        await Promise.all(["store", "shown", "commands", "page", "clock"].map(load));
    const store = new Store();
    const shown = new Shown(store);
    const nothing = () => {};
    assemble({ store, shown, commands: new Commands(store), hurry: nothing, refresh: nothing });
    window.shownPage = { store, shown, setDaemonTime };
}"""


Answers = Mapping[str, Callable[[Mapping[str, str]], Any]]
"""What the API answers to a path below ``api/v1/``, by the query's parameters."""


def serve(page: Any, answers: Answers | None = None) -> None:
    """Open the page's files, with its policy, and without the script that starts it.

    :param answers: of the API; nothing else of it is there.
    """
    known = answers or {}

    def answer(route: Any) -> None:
        url = urlsplit(route.request.url)
        name = url.path.removeprefix("/").removeprefix("static/") or "index.html"
        found = known.get(name.removeprefix("api/v1/"))
        path = FOLDER / name
        if name == "main.js":
            route.fulfill(body="", content_type=TYPES[".js"])
        elif found is not None:
            route.fulfill(json=found({key: value[0] for key, value in parse_qs(url.query).items()}))
        elif path.is_file():
            route.fulfill(body=path.read_bytes(), headers=HEADERS | {"Content-Type": TYPES[path.suffix]})
        else:
            route.fulfill(status=404, json={"error": "unknown path"})

    page.route(f"{ORIGIN}**", answer)
    page.goto(ORIGIN)
    page.evaluate(STARTING)


VISITS = ((0, 104.1, 49.6), (304, 107.3, 51.2), (388, 110.0, 53.6), (464, 113.4, 53.1), (549, 112.8, 56.5))
VISITS += ((638, 121.9, 60.4), (729, 124.6, 62.0), (797, 127.8, 60.9), (858, 128.4, 61.2))
"""The targets of the 900 s before the pictures: seconds, azimuth, elevation (deg)."""

RATES = {"azimuth": (7.0, 3.5, 21.0), "elevation": (3.5, 1.75, 9.0)}
"""The greatest velocity (deg/s), the acceleration (deg/s^2), and the torque of that (kN m)."""


def _noise(number: int) -> float:
    """A number from -1 to 1 that looks random and is always the same."""
    return math.sin(number * 12.9898) * 43758.5453 % 2 - 1


def _moved(distance: float, axis: str, passed: float) -> tuple[float, float, float]:
    """The way, the velocity and the acceleration of a slew after some seconds."""
    fastest, acceleration, _ = RATES[axis]
    way = abs(distance)
    peak = min(fastest, math.sqrt(way * acceleration))
    up = peak / acceleration
    flat = way / peak - up if peak else 0.0
    sign = math.copysign(1.0, distance)
    if passed >= 2 * up + flat:
        return distance, 0.0, 0.0
    if passed < up:
        return sign * acceleration * passed**2 / 2, sign * acceleration * passed, sign * acceleration
    if passed < up + flat:
        return sign * (peak * up / 2 + peak * (passed - up)), sign * peak, 0.0
    left = 2 * up + flat - passed
    return sign * (way - acceleration * left**2 / 2), sign * acceleration * left, -sign * acceleration


def signal(name: str, at: float) -> float | None:
    """The value of a signal of the plots at a time (UTC, s) of the night that the pictures show."""
    axis, quantity = name.removeprefix("motion.").split(".")
    column = 1 if axis == "azimuth" else 2
    passed = at - NOW + 900
    number = max(0, sum(1 for visit in VISITS if visit[0] <= passed) - 1)
    begun, there = VISITS[number][0], VISITS[number][column]
    distance = there - VISITS[max(0, number - 1)][column]
    way, velocity, acceleration = _moved(distance, axis, passed - begun)
    tick, slewing = int(at * 4), abs(velocity) > 0
    if quantity == "errorSky":
        settling = 0.03 * math.exp(-max(0.0, passed - begun - 4) / 2) * math.cos(4 * passed)
        return None if slewing else 0.005 * _noise(tick + column) + 0.003 * _noise(tick // 4) + settling
    drift = 0.0020 * (passed - 858)
    if quantity == "actualPosition":
        return there - distance + way + drift
    if quantity == "actualVelocity":
        return velocity + 0.0020
    return 1000 * (RATES[axis][2] * acceleration / RATES[axis][1] * 2 + 0.35 * _noise(tick + 99))


def history(query: Mapping[str, str]) -> dict[str, Any]:
    """What ``GET /api/v1/telemetry/history`` answers of that night: each bin from four values a second."""
    begin, end = (datetime.fromisoformat(query[name]).timestamp() for name in ("from", "to"))
    points = int(query["points"])
    width = (end - begin) / points
    times = [begin + number * width for number in range(points)]
    looks = max(1, min(8, round(width * 4)))
    columns: dict[str, Any] = {}
    for name in query["signals"].split(","):
        least, greatest, mean = [], [], []
        for time in times:
            found = [signal(name, time + look * width / looks) for look in range(looks) if time <= NOW]
            values = [value for value in found if value is not None]
            least.append(min(values, default=None))
            greatest.append(max(values, default=None))
            mean.append(sum(values) / len(values) if values else None)
        columns[name] = {"unit": "", "least": least, "greatest": greatest, "mean": mean}
    return {"from": query["from"], "to": query["to"], "times": times, "signals": columns}


def slews(query: Mapping[str, str]) -> dict[str, Any]:
    """What ``GET /api/v1/slews`` answers of that night: the latest first, one of which failed."""
    rows = []
    for before, (begun, azimuth, elevation) in pairwise(VISITS):
        failed = begun == 638
        rows.append(
            {
                "start": ago(900 - begun),
                "azimuth": azimuth - before[1],
                "elevation": elevation - before[2],
                "seconds": 1.2 + abs(azimuth - before[1]) / 4.5,
                "settle": 4.5 if failed else 0.9 + begun % 7 / 10,
                "error_at_in_position": 0.01,
                "rms": 0.005 + begun % 3 / 1000,
                "passed": not failed,
                "failures": ["settle"] if failed else [],
            }
        )
    return {"slews": rows[::-1][: int(query["limit"])]}


def moment(query: Mapping[str, str]) -> dict[str, Any]:
    """What ``GET /api/v1/telemetry?at=`` answers of that night: the mount tracks, and an alarm is latched."""
    at = datetime.fromisoformat(query["at"]).timestamp()
    azimuth, elevation = (signal(f"{name}.actualPosition", at) or 0.0 for name in ("azimuth", "elevation"))
    axes = {
        "azimuth": axis(azimuth, -270.0, 270.0, -0.002, 0.0020),
        "elevation": axis(elevation, 15.1, 86.4, 0.001, 0.0028),
    }
    motion = {"word": "Tracking", "detail": "", "since": ago(NOW - at + 36), "seconds": None}
    latched = alarm(120, "Azimuth: Critical AZCW Deviation Limit", active=False, time=ago(NOW - at + 95))
    known = {"devices": state()["devices"], "warnings": [], "errors": [latched], "topics": {}}
    return summary(at=query["at"], live=False, axes=axes, motion=motion, **known)


def messages(query: Mapping[str, str]) -> dict[str, Any]:
    """What ``GET /api/v1/messages`` answers of that night: two holders, an alarm, the mount's events."""
    if "lease_granted" in query.get("kind", ""):
        entries = [
            {"type": "change", "id": "1.2", "kind": "lease_granted", "time": ago(seconds), "peer": peer}
            for seconds, peer in ((120, "web/ben"), (9000, "scheduler"))
        ]
    elif query.get("kind") == "ERROR,WARNING":
        entries = [_told(395, "ERROR", {"code": 120, "active": True, "subsystem": "AZIMUTH"})]
    else:
        fields = {"axis": "AZIMUTH", "in_position": True}
        entries = [_told(900 - begun, "IN_POSITION", fields) for begun, _, _ in VISITS[::-1]]
    until = datetime.fromisoformat(query["until"]) if "until" in query else None
    told = [one for one in entries if until is None or datetime.fromisoformat(one["time"]) <= until]
    return {"entries": told, "next": None}


def _told(seconds: float, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    message = {"type": "message", "peer": "controller", "direction": "from", "id": "1.1"}
    return {**message, "kind": kind, "time": ago(seconds), "fields": fields}


NIGHT: Answers = {"telemetry/history": history, "slews": slews}
"""The answers about that night."""

PLAYED: Answers = {**NIGHT, "telemetry": moment, "messages": messages}
"""The answers about that night in playback."""


def tell(
    page: Any,
    state: dict[str, Any],
    summary: dict[str, Any] | None = None,
    values: dict[str, float] | None = None,
    **live: Any,
) -> None:
    """Give the parts their data, which they draw within a second.

    :param live: of the store: ``is_live`` (True unless given), ``since`` (ms), ``why``, ``events``.
    """
    told = {"is": live.pop("is_live", True), **live}
    page.evaluate(TELLING, [NOW, state, summary, values, told])
