"""The parts for a mount that sends telemetry: its link, the readers' copies, the signals and the motion.

`bridge_service` imports this module only if the mount has telemetry: a daemon for another mount listens
sooner, and takes less memory. Next to read: `upstream.telemetry_link`, `upstream.motion_watch`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import MotionSettings, SiteSettings, TelemetryReaders
from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.frontends.tcp.telemetry import TelemetryFactory, TelemetryFanout
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.motion.limits import AxisLimits, LimitSettings
from mtmount_twisted.motion.present import Rules
from mtmount_twisted.motion.sky import Site
from mtmount_twisted.motion.slews import SlewSettings
from mtmount_twisted.net.turns import Turns
from mtmount_twisted.records import ChangeRecord
from mtmount_twisted.upstream.motion_watch import MotionWatch
from mtmount_twisted.upstream.signals import SignalMemory
from mtmount_twisted.upstream.telemetry_link import TelemetryLink


def rules_of(site: SiteSettings, motion: MotionSettings) -> Rules:
    """Return the rules for the motion of the mount in a configuration."""
    day = None if site.ut1_utc_date is None else date.fromisoformat(site.ut1_utc_date)
    return Rules(
        site=Site(site.latitude, site.longitude, site.height, site.ut1_utc, day),
        slews=SlewSettings(
            jump=motion.slew_jump,
            rms_limit=motion.rms_limit,
            distance=motion.slew_distance,
            time=motion.slew_time,
            settle=motion.settle_time,
        ),
        limits=LimitSettings(caution=motion.limit_caution, alarm=motion.limit_alarm),
        bounds={
            "azimuth": AxisLimits(motion.azimuth_low, motion.azimuth_high),
            "elevation": AxisLimits(motion.elevation_low, motion.elevation_high),
            "cameraCableWrap": AxisLimits(motion.cable_wrap_low, motion.cable_wrap_high),
        },
    )


class TelemetryParts(NamedTuple):
    """The parts of a bridge whose mount sends telemetry.

    :ivar link: the link to the mount's telemetry.
    :ivar fanout: copies the lines to the readers.
    :ivar signals: the mount's signals.
    :ivar motion: the mount's motion.
    :ivar make_factory: return the factory of a port that serves telemetry.
    """

    link: TelemetryLink
    fanout: TelemetryFanout
    signals: SignalMemory
    motion: MotionWatch
    make_factory: Callable[[TelemetryReaders, Turns], TelemetryFactory]


def make_parts(
    at: tuple[str, int],
    config: Config,
    dialect: Dialect,
    bus: EventBus,
    log: logging.Logger,
    reactor: Any,
    connect: bool,
) -> TelemetryParts:
    """Return the parts.

    :param at: host and port of the mount's telemetry.
    :param connect: False if the link waits for `TelemetryLink.open`.
    """
    format = dialect.telemetry
    assert format is not None  # there is a place of the telemetry

    def silence_changed(silent: bool, why: str) -> None:
        kind = "telemetry_silent" if silent else "telemetry_back"
        bus.publish(ChangeRecord(bus.now(), bus.epoch, CONTROLLER, kind, why))
        if silent:
            motion.lose_telemetry()

    def make_factory(port: TelemetryReaders, turns: Turns) -> TelemetryFactory:
        return TelemetryFactory(port, fanout, turns, dialect.terminator, log, reactor)

    link = TelemetryLink(*at, dialect, log, reactor, silence_changed, connect=connect)
    fanout = TelemetryFanout(link, reactor, log)
    signals = SignalMemory(link, format, reactor, bus.now)
    rules = rules_of(config.site, config.motion)
    motion = MotionWatch(link, signals, format, rules, bus, reactor)
    return TelemetryParts(link, fanout, signals, motion, make_factory)
