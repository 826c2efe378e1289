"""`parse_time`: a time that a person writes -> Unix time. A time without a zone is in UTC.

Pure. Next to read: `reading`, whose conditions have such times.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
UNITS |= {"d": 86400, "day": 86400, "week": 604800}

FIRST = datetime(1, 1, 1, tzinfo=UTC).timestamp()
"""The first time that a date can have (s, Unix time)."""

LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
"""The last one."""

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+?)s?(?:\s+ago)?", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?", re.ASCII)


def parse_time(text: str, now: float) -> float:
    """Return the time that a text names.

    :param text: ISO 8601 (``2026-11-22T16:14``, ``2026-11-22``), a time of the day that has passed last
        (``16:14``), a time before now (``10 min ago``, ``2h``), or ``now``.
    :param now: the current time (s, Unix time).
    :returns: seconds, Unix time; from `FIRST` to `LAST`, so that `iso` can write it.
    :raises ValueError: if the text has none of these forms; the error shows the expected forms.
    """
    return min(LAST, max(FIRST, _time_of(text, now)))


def _time_of(text: str, now: float) -> float:
    word = text.strip().lower()
    ago = _AGO.fullmatch(word)
    if word == "now":
        return now
    if ago is not None and (ago[2] in UNITS or ago[2] + "s" in UNITS):
        return now - float(ago[1]) * UNITS.get(ago[2], 1)
    try:
        if _CLOCK.fullmatch(word):
            return _last_time_of_day(word, now)
        when = datetime.fromisoformat(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected a time such as 2026-11-22T16:14, 16:14 or '10 min ago' (UTC), got {text!r}"
        ) from None


def _last_time_of_day(word: str, now: float) -> float:
    today = datetime.fromtimestamp(now, UTC)
    hour, _, rest = word.partition(":")
    time_of_day = datetime.fromisoformat(f"{today:%Y-%m-%d}T{hour:0>2}:{rest}").replace(tzinfo=UTC)
    return (time_of_day - timedelta(days=time_of_day > today)).timestamp()


def iso(when: float) -> str:
    """Return a Unix time in ISO 8601, in UTC, with milliseconds and a Z."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
