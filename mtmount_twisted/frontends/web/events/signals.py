"""The mount's signals in an event stream: the latest values, at the rate that each reader asks for.

`SignalStreams` sends each reader the latest values of its signals. Values are never queued. If the connection
of a reader has no room, the reader misses these values and gets later ones. Readers with the same signals
share one encoding. A summary of the mount's motion follows once a second, encoded once for all readers. No
I/O: the readers send. Next to read: `streams`, the streams themselves; ``upstream.signals``, the values.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from msgspec import Meta, Struct
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mtmount_twisted.frontends.web.http.calls import Fault, Parameter
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.interfaces import ISignals
from mtmount_twisted.net.rate_limited_log import RateLimitedLog

from .ring import STREAMS_PER_TURN, Turns, frame

SUMMARY = "summary"
"""The name that asks for the summary of the motion, once a second."""

MAX_SIGNALS = 64
"""The largest number of signals of one stream."""

LEAST_RATE, MOST_RATE, RATE = 0.1, 20.0, 4.0
"""The lowest and the highest rate of a stream's signals, and the default, in Hz. The mount measures its axes
20 times a second."""

TICK = 0.5 / MOST_RATE
"""The time between two checks of which readers are due, in seconds. A reader at the highest rate gets every
value of the axes, although the mount's telemetry and these checks do not keep step."""

SUMMARY_INTERVAL = 1.0
"""The time between two summaries, in seconds."""

SPREAD = 0.02
"""The time over which one sending is spread, in seconds; see `ring.SPREAD`."""

_NAME = re.compile(r"[A-Za-z0-9]+(\.[A-Za-z0-9]+)+", re.ASCII)

PARAMETERS = (
    Parameter(
        "signals",
        "query",
        Annotated[str, Meta(examples=["azimuth.actualPosition,motion.azimuth.errorSky", "summary"])],
        "Names of signals, with commas between: their latest values come as events signals. The name summary "
        "asks for the event summary, once a second.",
    ),
    Parameter(
        "rate",
        "query",
        Annotated[
            float, Meta(ge=LEAST_RATE, le=MOST_RATE, examples=[4], extra_json_schema={"default": RATE})
        ],
        "How often the signals come, in Hz.",
    ),
)
"""The parameters that `read_wanted` reads."""


class SignalValues(Struct, frozen=True, kw_only=True):
    """The event ``signals``.

    :ivar at: the time of the newest value (UTC, s since the unix epoch).
    :ivar values: the latest value of each signal; None if there is none, or if it is stale.
    """

    at: float
    values: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The signals that a reader asks for.

    :ivar names: the names, without ``summary``.
    :ivar rate: the rate at which the values come, in Hz.
    :ivar summary: True if the reader also wants summaries.
    """

    names: tuple[str, ...] = ()
    rate: float = RATE
    summary: bool = False

    def __bool__(self) -> bool:
        return bool(self.names) or self.summary


def read_wanted(query: Mapping[str, str], faults: list[Fault], signals: ISignals | None) -> Wanted:
    """Return the signals that the parameters ``signals`` and ``rate`` ask for.

    :param faults: receives a fault for each wrong name, and for a wrong rate.
    :param signals: the known signals; if None, the mount sends no telemetry, and any name is accepted, so
        that a reader need not know the mount's generation.
    """
    rate = _rate(query, faults)
    if "signals" not in query:
        return Wanted(rate=rate)
    names = read_names(query["signals"], "query.signals", faults, signals, MAX_SIGNALS, (SUMMARY,))
    return Wanted(tuple(name for name in names if name != SUMMARY), rate, SUMMARY in names)


def read_names(
    text: str,
    where: str,
    faults: list[Fault],
    signals: ISignals | None,
    most: int,
    also: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Return the names of signals in a list with commas, each once, in the order of the list.

    :param where: the parameter, for the faults.
    :param also: further names that are allowed.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if len(names) > most:
        faults.append(Fault(where, f"expected at most {most} signals, got {len(names)}"))
        return ()
    for name in names:
        known = _NAME.fullmatch(name) if signals is None else name in signals.units
        if not known and name not in also:
            text = f"there is no signal {name[:80]!r}; expected names such as azimuth.actualPosition"
            faults.append(Fault(where, f"{text}, which GET /api/v1/telemetry/signals lists"))
    return names


def _rate(query: Mapping[str, str], faults: list[Fault]) -> float:
    text = query.get("rate")
    if text is None:
        return RATE
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not LEAST_RATE <= rate <= MOST_RATE:
        faults.append(
            Fault("query.rate", f"expected a number from {LEAST_RATE:g} to {MOST_RATE:g}, got {text[:80]!r}")
        )
        return RATE
    return rate


class Reader(Protocol):
    """A stream that receives signals."""

    @property
    def has_room(self) -> bool:
        """True while the connection takes data."""

    def send(self, data: bytes, /) -> None:
        """Send whole server-sent events. The reader may be detached in the call."""


@dataclass(slots=True)
class _Group:
    """The readers of the same signals at the same rate.

    :ivar due: the time at which they get the next values (clock, s).
    :ivar sent_at: the time of the values that they got last.
    :ivar is_sending: True while values are on their way to them.
    """

    due: float
    readers: dict[Reader, None] = field(default_factory=dict)
    sent_at: float | None = None
    is_sending: bool = False


class SignalStreams:
    """The readers of signals.

    :param signals: the signals; None if the mount sends no telemetry.
    :param summary: return the summary of the motion, for the event ``summary``.
    :param turns: the turns of the reactor in which values are sent.
    :ivar missed: the number of values that readers did not get, because their connections had no room.
    """

    def __init__(
        self,
        signals: ISignals | None,
        summary: Callable[[], object],
        clock: IReactorTime,
        turns: Turns,
        log: logging.Logger,
    ) -> None:
        self.signals = signals
        self.missed: int = 0
        self._summary = summary
        self._clock = clock
        self._turns = turns
        self._log = RateLimitedLog(clock, log)
        self._groups: dict[tuple[tuple[str, ...], float], _Group] = {}
        self._call: IDelayedCall | None = None
        self._sending: set[Deferred[None]] = set()

    def attach(self, reader: Reader, wanted: Wanted) -> None:
        """Send a reader the signals that it wants, now and from now on."""
        keys = [(wanted.names, wanted.rate)] if wanted.names and self.signals is not None else []
        keys += [((SUMMARY,), 1 / SUMMARY_INTERVAL)] if wanted.summary else []
        now = self._clock.seconds()
        for key in keys:
            self._groups.setdefault(key, _Group(now + 1 / key[1])).readers[reader] = None
            if self._call is None:
                self._call = self._clock.callLater(TICK, self._tick)
            if data := self._new_frame(key[0], None)[1]:
                reader.send(data)

    def detach(self, reader: Reader) -> None:
        """Send a reader nothing more. If the reader is not attached, do nothing."""
        for key, group in tuple(self._groups.items()):
            group.readers.pop(reader, None)
            if not group.readers:
                del self._groups[key]
        if not self._groups and self._call is not None:
            self._call.cancel()
            self._call = None

    def _tick(self) -> None:
        """Begin to send to each group that is due. Values are encoded once for each set of signals."""
        now = self._clock.seconds()
        self._call = self._clock.callLater(TICK, self._tick)
        frames: dict[tuple[str, ...], tuple[float | None, bytes]] = {}
        for (names, rate), group in self._groups.items():
            if now < group.due - TICK / 10 or group.is_sending:  # a timer may fire a little early
                continue
            if names not in frames:
                frames[names] = self._new_frame(names, group.sent_at)
            at, data = frames[names]
            if at is None or at == group.sent_at:  # nothing new: the group stays due
                continue
            group.due = max(group.due + 1 / rate, now + 0.5 / rate)
            group.sent_at, group.is_sending = at, True
            sending = Deferred.fromCoroutine(self._send(group, data or self._frame(names)[1]))
            self._sending.add(sending)
            sending.addBoth(self._sent, group, sending)

    def _frame(self, names: tuple[str, ...], sent_at: float | None = None) -> tuple[float | None, bytes]:
        """Return the time of the newest value, and the event; no time if there is nothing to send.

        :param sent_at: the time of the values that were sent last. Values of this time are not encoded again.
        """
        if names == (SUMMARY,):
            return self._clock.seconds(), frame(SUMMARY, as_json(self._summary()))
        assert self.signals is not None  # `attach` makes no group without signals
        at, values = self.signals.latest(names)
        if at is None or at == sent_at:
            return at, b""
        event = SignalValues(at=round(at, 3), values=dict(zip(names, values, strict=True)))
        return at, frame("signals", as_json(event))

    def _new_frame(self, names: tuple[str, ...], sent_at: float | None) -> tuple[float | None, bytes]:
        """Return the result of `_frame`. Log an error, so that the readers of other signals get their
        values."""
        try:
            return self._frame(names, sent_at)
        except Exception:
            self._log.exception("web: signals could not be encoded")
            return None, b""

    async def _send(self, group: _Group, data: bytes) -> None:
        readers = tuple(group.readers)
        begun, pace = self._clock.seconds(), SPREAD / len(readers)
        for first in range(0, len(readers), STREAMS_PER_TURN):
            late = self._clock.seconds() - begun - first * pace
            if late < 0:
                await deferLater(self._clock, -late)
            await self._turns.turn()
            for reader in readers[first : first + STREAMS_PER_TURN]:
                if reader not in group.readers:
                    continue
                if reader.has_room:
                    reader.send(data)
                else:
                    self.missed += 1

    def _sent(self, result: object, group: _Group, sending: Deferred[None]) -> None:
        group.is_sending = False
        self._sending.discard(sending)
        if isinstance(result, Failure) and not result.check(CancelledError):
            self._log.log(logging.ERROR, "web: signals could not be sent", exc_info=result.value)

    def close(self) -> None:
        """End the sending."""
        self._groups.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for sending in tuple(self._sending):
            sending.cancel()
