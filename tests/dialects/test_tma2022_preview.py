"""`mtmount_twisted.dialects.tma2022.preview`: the expected answer to a command, and the simulator's own."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.preview import Target
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022.preview import preview
from tests.support.previews import Previews

COMMANDS = int(os.environ.get("MTMOUNT_PREVIEWS", "2000"))
"""The number of random commands; 100,000 take some minutes."""

READY: dict[tuple[str, str], Any] = {
    (axis, name): value
    for axis in ("azimuth", "elevation", "camera_cable_wrap")
    for name, value in (("power", "ON"), ("motion", "STOPPED"), ("homed", True))
}


def expected(command: c.Command, **changes: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The refusals and the unknown things of a preview; a change is ``azimuth_power="OFF"``."""
    known = READY | {tuple(name.rsplit("_", 1)): value for name, value in changes.items()}
    found = preview(command, lambda device, name: known.get((device, name)))
    return found.refusals, found.unknown


class PreviewTests(SynchronousTestCase):
    """Commands to axes."""

    def test_clear(self) -> None:
        """Nothing is known against a move of a mount that is ready."""
        self.assertEqual(expected(c.AzimuthMove(position=10)), ((), ()))

    def test_reasons(self) -> None:
        """Each reason names the axis, and the expected value or what to do."""
        move = c.BothAxesMove(azimuth=271, elevation=45)
        self.assertEqual(
            expected(move, elevation_power="OFF"),
            (("azimuth: expected a position from -270 to 270 deg, got 271", "elevation is off"), ()),
        )
        fault = {"elevation_power": "FAULT"}
        cases: list[tuple[c.Command, dict[str, Any], str]] = [
            (c.AzimuthMove(position=1), {"azimuth_motion": "TRACKING"}, "azimuth is tracking: stop it first"),
            (c.AzimuthEnableTracking(on=True), {"azimuth_homed": False}, "azimuth is not homed"),
            (
                c.ElevationPower(on=True),
                {"elevation_power": "FAULT"},
                "elevation is in fault: reset its alarm first",
            ),
            (c.ElevationStop(), fault, "elevation is in fault"),
            (
                c.ElevationTrackTarget(position=45, velocity=4, tai=1.0),
                {},
                "elevation: expected a velocity of at most 3.5 deg/s, got 4",
            ),
        ]
        for command, changes, reason in cases:
            self.assertEqual(expected(command, **changes), ((reason,), ()))

    def test_unknown(self) -> None:
        """A thing that the mount has not told is named, and is no reason."""
        power = expected(c.AzimuthMove(position=1), azimuth_power=None)
        self.assertEqual(power, ((), ("the power of azimuth",)))
        homing = expected(c.AzimuthEnableTracking(on=True), azimuth_homed=None)
        self.assertEqual(homing, ((), ("the homing of azimuth",)))

    def test_stop_of_both(self) -> None:
        """A stop of both axes is refused only if neither can stop."""
        self.assertEqual(expected(c.BothAxesStop(), azimuth_power="OFF"), ((), ()))
        both = expected(c.BothAxesStop(), azimuth_power="OFF", elevation_power="OFF")
        self.assertEqual(both, (("azimuth is off", "elevation is off"), ()))

    def test_targets(self) -> None:
        """A move has a target for each axis, with the greatest velocity on the way."""
        found = preview(c.BothAxesMove(azimuth=10, elevation=45, azimuth_velocity=2), lambda *names: None)
        self.assertEqual(found.targets, (Target("azimuth", 10, 2, 7), Target("elevation", 45, 3.5, 3.5)))

    def test_no_refusal_is_wrong(self) -> None:
        """The simulated mount refuses each of many random commands for which a refusal was expected."""
        counts: Any = None
        for seed in range(max(1, COMMANDS // 500)):
            previews = Previews(seed)
            previews.run(500)
            self.assertEqual(previews.wrong, [])
            counts = previews.counts if counts is None else counts + previews.counts
        self.assertGreater(counts["refused", "refused"], 0.1 * COMMANDS)
        self.assertGreater(counts["clear", "accepted"], 0.05 * COMMANDS)
        if "MTMOUNT_PREVIEWS" in os.environ:
            sys.stderr.write(f"{sum(counts.values())} {dict(counts)}\n")
