"""The table of faults: what is injected, how often, and what must be seen each time."""

from __future__ import annotations

from functools import partial

from . import on_commander, on_controller, on_lines, on_load
from .outcome import Row

UNKNOWN = ("outcome unknown", "dropped in 5 s", "up again by itself")

THAT_ONE = ("the others go on", "one warning", "nothing executed")

ROWS: tuple[Row, ...] = (
    Row("controller resets, 20 commands in flight", on_controller.resets, 20, 3, UNKNOWN),
    Row("controller closes, 20 commands in flight", on_controller.closes, 20, 3, UNKNOWN),
    Row("controller's cable is cut", on_controller.cut_cable, 4, 1, UNKNOWN),
    Row("controller's program hangs", on_controller.silent, 5, 1, ("timed out", "goes on")),
    Row(
        "one socket of the controller's pair resets",
        on_controller.one_of_two,
        20,
        2,
        (*UNKNOWN, "both dropped"),
    ),
    Row(
        "commander dies, its commands in flight",
        on_commander.dies,
        10,
        2,
        ("stopped after the grace", "command released", "next one commands"),
    ),
    Row(
        "commander's cable is cut",
        on_commander.cut_off,
        3,
        1,
        ("stopped after the grace", "command released", "next one commands"),
    ),
    Row(
        "commander's pair breaks, and is back in time",
        on_commander.comes_back,
        20,
        2,
        ("keeps command", "nothing stopped"),
    ),
    Row("commander half-closes", on_commander.half_closes, 10, 2, ("replies delivered", "then closed")),
    Row(
        "commander's program hangs while the mount says much",
        on_commander.hangs,
        3,
        1,
        ("cut off", "others heard all", "others command"),
    ),
    *(
        Row(f"{kind} on a wire port", partial(on_lines.bad, kind=kind), 20, 2, THAT_ONE)
        for kind in on_lines.KINDS
    ),
    Row("a part of a line, then close", on_lines.part, 60, 3, THAT_ONE),
    Row(
        "10,000 commands in a burst",
        on_load.burst,
        3,
        1,
        ("another's stop passes", "100 or more done", "excess is busy"),
    ),
    Row("250 clients on the wire, 250 event streams", on_load.crowd, 2, 1, ("all answered", "all hear all")),
    Row("reconnections at random points", on_load.reconnections, 1000, 100, ("let in", "others are served")),
)
