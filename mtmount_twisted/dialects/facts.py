"""Facts about the mount's state that an event reports, in one shape for each generation of the protocol.

`Dialect.facts_of` reads them from an event. A later generation reports more: a new kind of fact is a class
more here, and a fact that older mounts do not report is an attribute with None as its default.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Severity = Literal["warning", "error"]
"""The severity of an alarm."""


class AxisFact(Struct, frozen=True, gc=False):
    """The state of an axis.

    :ivar name: the axis: ``azimuth``, ``elevation``; ``axis 7`` for a number without a name.
    :ivar in_position: True if the axis is in position.
    """

    name: str
    in_position: bool


class MountFact(Struct, frozen=True, gc=False):
    """The state of the whole mount.

    :ivar description: the state in the mount's own words.
    """

    description: str


class AlarmFact(Struct, frozen=True, gc=False):
    """A warning or an error.

    :ivar code: the condition.
    :ivar subsystem: the name of the subsystem, such as ``MIRROR_COVERS``; None if it is unknown.
    :ivar what: the origin in the mount's own words.
    :ivar description: further words of the mount, or empty.
    :ivar active: True if the condition is present now.
    :ivar latched: True if the alarm lasts until its reset; always False for a warning.
    """

    severity: Severity
    code: int
    subsystem: str | None
    what: str
    description: str
    active: bool
    latched: bool = False


Fact = AxisFact | MountFact | AlarmFact
"""One fact; an event may report several."""
