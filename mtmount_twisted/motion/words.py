"""One word for the motion of the mount: the word of the worse axis (page-design.md, "Cells: states and
wording"). Pure.

Next to read: `limits`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Word = Literal[
    "Fault",
    "Not known",
    "Off",
    "Not homed",
    "Stopping",
    "Jogging",
    "Moving",
    "Slewing",
    "Stopped",
    "Paused",
    "Tracking",
]

WORDS: tuple[Word, ...] = (
    "Fault",
    "Not known",
    "Off",
    "Not homed",
    "Stopping",
    "Jogging",
    "Moving",
    "Slewing",
    "Stopped",
    "Paused",
    "Tracking",
)
"""The words, the worst first. If one axis stands and the other moves, the mount moves; if one stands and the
other tracks, the mount does not track."""

State = Literal["stopping", "stopped", "moving", "jogging", "tracking", "paused"]
"""The mount's own state of an axis (protocol-tma2022.rst, `AxisMotionState`, in that order from 0)."""

STATES: tuple[State, ...] = ("stopping", "stopped", "moving", "jogging", "tracking", "paused")
"""The states by their number."""


class AxisReport(NamedTuple):
    """The mount's reports about an axis; None where it has not reported.

    :ivar powered: True if the axis has power.
    :ivar fault: True if the axis is in alarm.
    :ivar homed: True if the axis is homed.
    :ivar state: the state of motion of the axis.
    :ivar to_go: demand minus actual position, deg.
    """

    powered: bool | None = None
    fault: bool | None = None
    homed: bool | None = None
    state: State | None = None
    to_go: float | None = None


class Motion(NamedTuple):
    """The word of the mount, and the word of each axis.

    :ivar word: the word of the mount: the worse of both words.
    """

    word: Word
    azimuth: Word
    elevation: Word


def axis_word(report: AxisReport, slew_jump: float = 0.1) -> Word:
    """Return the word of one axis.

    :param slew_jump: an axis that tracks is slewing if it has more than this distance to go (deg).
    """
    if report.fault:
        return "Fault"
    if report.powered is False:
        return "Off"
    if report.state is None:
        return "Not known"
    if report.homed is False and report.state == "stopped":
        return "Not homed"
    if report.state == "tracking" and report.to_go is not None and abs(report.to_go) > slew_jump:
        return "Slewing"
    return _WORD_OF_STATE[report.state]


_WORD_OF_STATE: dict[State, Word] = {
    "stopping": "Stopping",
    "stopped": "Stopped",
    "moving": "Moving",
    "jogging": "Jogging",
    "tracking": "Tracking",
    "paused": "Paused",
}


def motion(azimuth: AxisReport, elevation: AxisReport, slew_jump: float = 0.1) -> Motion:
    """Return the word of the mount: the worse of its axes' words."""
    words = axis_word(azimuth, slew_jump), axis_word(elevation, slew_jump)
    return Motion(min(words, key=WORDS.index), *words)
