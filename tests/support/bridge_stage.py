"""Clients, commands, events and settings for the bridge and its model in `tests.bridge.test_model`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.enums import CommandCode, Source

from .commanders import ASK, MOVE, STAMP, STOP, TRACK

STOPS = {int(code) for code in CommandCode if "STOP" in code.name}
ALL_STOPS = (32, 1002, 902, 1502)
PATIENCE = 100
LIMIT, GRACE, ACK_TIME, MARGIN, SWEEP = 3, 4.125, 5.0, 2.0, 0.25

OBSERVERS = ("watch", "glass")
SOURCES = {
    "csc": Source.CSC,
    "csc2": Source.CSC,
    "eui": Source.EUI,
    "hhd": Source.HHD,
    "watch": Source.EUI,
    "glass": Source.HHD,
}
COMMANDERS = [name for name in SOURCES if name not in OBSERVERS]
CODES = [MOVE, MOVE, TRACK, 105, 9999, 104, STOP, 102, 902]
EVENTS: list[tuple[object, bytes, bool]] = [
    ("state", b"5\n" + STAMP + b"\nA", True),
    ("state", b"5\n" + STAMP + b"\nB", True),
    ("az", b"6\n" + STAMP + b"\n0\n1", True),
    ("az", b"6\n" + STAMP + b"\n0\n0", True),
    ("el", b"6\n" + STAMP + b"\n1\n0", True),
    ("w1", b"4\n1\n901\n900. a\n" + STAMP, True),
    ("w1", b"4\n0\n901\n900. a\n" + STAMP, False),
    ("w2", b"4\n1\n902\n900. a\n" + STAMP + b"\nextra", True),
    ("e1", b"3\n1\n1\n901\n900. a\n" + STAMP, True),
    ("e1", b"3\n1\n0\n901\n900. a\n" + STAMP, True),
    ("e1", b"3\n0\n0\n901\n900. a\n" + STAMP, False),
    (None, b"42\nwho knows", False),
]
GARBAGE = [b"", b"x", b"0\n1", b"1\nx\n1\nt\nwhy", b"\xff\xfe"]


def site_rules(anyone_may_stop: bool, stops_on_loss: bool) -> CommandRules:
    """Return the settings of the bridge."""
    return CommandRules(
        in_flight=LIMIT,
        lease_grace=GRACE,
        on_loss="stop" if stops_on_loss else "release",
        anyone_may_stop=anyone_may_stop,
        ack_timeout=ACK_TIME,
        done_margin=MARGIN,
    )


@dataclass(eq=False)
class Cmd:
    """A command; `who` is empty for the bridge's own."""

    who: str
    visit: int
    number: int
    source: int
    code: int
    rest: bytes | None = None  # None: the bridge's own stops, whose timestamp is not known
    lease: int = 0
    deadline: float = 0.0
    acked: bool = False
    then: Callable[[int | None, str], None] | None = None
    key: int = 0  # what the bridge called it on the wire
    heir: str = ""  # of an ask that waits; what waits behind one has none
    urgent: bool = False  # it goes with the stops
    place: int = 0  # in the order of their acceptance
    after: int = -1  # of a stop of the bridge's own: the last token before it, where that was noted

    @property
    def moves(self) -> bool:
        """A stop overtakes it."""
        return self.code not in STOPS and self.code != ASK
