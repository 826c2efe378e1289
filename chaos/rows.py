"""The table of faults: each with the number of injections, and the effects of each injection."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from . import (
    on_commander,
    on_controller,
    on_flood,
    on_journal,
    on_lines,
    on_load,
    on_mix,
    on_process,
    on_recorder,
    on_simulator,
    on_soak,
    on_standby,
    on_start,
    on_station,
    on_telemetry,
    on_today,
    on_translated,
)
from .outcome import Row
from .setting import TMA2022, TRANSLATED

SOAKED = ("tables empty at the end", "nothing left over")

UNKNOWN = ("outcome unknown", "dropped in 5 s", "up again by itself")

THAT_ONE = ("the others go on", "one warning", "nothing executed")

DIED = ("one outcome", "sent once", "goes on")

FLOODED = ("commanding goes on", "stop of another user", "goes on")

COMPLETE = ("commanding goes on", "events complete", "goes on")

IN_TIME = ("goes on", "the other in time")

RETURNING = ("goes on", "commanding goes on", "lease comes back")

STAYING = ("goes on", "commanding goes on", "no take-over")

HOST_DEATHS = (
    ("none has command", (60, 15, 4), False, 125.0, 0, 0),
    ("none has command", (3, 1, 3), False, 10.0, 0, 1),
    ("a commander has command", (60, 15, 4), True, 1000.0, 0, 0),
)
"""The state of the mount, its keep-alive, whether a commander has command, the longest time to the first
command of the other bridge (s), and how many times; the last one takes 15 minutes: ``make chaos-hours``."""

FLOODS = (
    ("flood: an observer's lines of 64,000 fields, eight event streams", "long_lines"),
    ("flood: eight observers' short lines, disconnected, reconnected", "short_lines"),
    ("flood: eight observers connect and disconnect without pause", "visits"),
    ("flood: four commanders without command send moves without end", "moves"),
    ("flood: eight commanders connect, send moves, and are disconnected", "commanders"),
    ("flood: the controller's warnings of 60,000 fields", "warnings"),
    ("flood: strangers hold as many connections to the page as they can", "places"),
    ("flood: a stranger connects to a port and is refused", "refused"),
    ("flood: slow history queries of one observer", "queries"),
    ("flood: requests sent ahead, no answer read", "ahead"),
    ("flood: lines to the page's port that are not HTTP", "flood_lines"),
    ("flood: bodies in chunks of one byte, many headers", "flood_chunks"),
    ("flood: bodies of thousands of numbers", "long_bodies"),
    ("flood: commands that are rejected, sent ahead on eight connections", "posts"),
    ("flood: 300 sockets at once at a port, again and again", "hall_visits"),
    ("flood: eight commanders connect, send moves of 64 KiB, and reset", "desk_chunk"),
    ("flood: four commanders ask without end for the holder", "asks_many"),
    ("flood: 500 observers receive every line", "watchers"),
    ("flood: 300 sockets at once at a pair's port, again and again", "pair_visits"),
    ("flood: sockets that end slowly, sent over a unix: port", "files"),
)
"""The floods while a commander works: each has a row in the table of `chaos.tables.floods`."""

SEVERAL_FLOODS = "flood: seven of these kinds at once"
"""The row with all floods of `on_flood.TOGETHER`; commands and stops may take twice the time."""

_ROWS_2020: tuple[Row, ...] = (
    Row("controller resets, 20 commands in flight", on_controller.resets, 100, 3, UNKNOWN),
    Row("controller closes, 20 commands in flight", on_controller.closes, 100, 3, UNKNOWN),
    Row("controller's cable is cut", on_controller.cut_cable, 8, 1, UNKNOWN),
    Row("controller's program hangs", on_controller.silent, 5, 1, ("timed out", "goes on")),
    Row(
        "one socket of the controller's pair resets",
        on_controller.one_of_two,
        100,
        2,
        (*UNKNOWN, "both dropped"),
    ),
    Row("network is late, slow and in pieces", on_controller.slow, 10, 1, ("one end each",)),
    Row(
        "commander dies, its commands in flight",
        on_commander.dies,
        30,
        2,
        ("stopped after the grace", "command released", "next one commands"),
    ),
    Row(
        "commander's cable is cut",
        on_commander.cut_off,
        6,
        1,
        ("stopped after the grace", "command released", "next one commands"),
    ),
    Row(
        "commander's pair breaks, and is back in time",
        on_commander.comes_back,
        100,
        2,
        ("keeps command", "nothing stopped"),
    ),
    Row("commander half-closes", on_commander.half_closes, 50, 2, ("replies delivered", "then closed")),
    Row(
        "commander's program hangs while the mount sends many events",
        on_commander.hangs,
        5,
        1,
        ("cut off", "others received all", "others command"),
    ),
    Row(
        "event stream's reader hangs while the mount sends many events",
        on_commander.stream_hangs,
        5,
        1,
        ("cut off", "others received all", "others command"),
    ),
    *(
        Row(f"{kind} on a wire port", partial(on_lines.bad, kind=kind), 50, 2, THAT_ONE)
        for kind in on_lines.KINDS
    ),
    Row("a part of a line, then close", on_lines.part, 60, 3, THAT_ONE),
    Row(
        "10,000 commands in a burst",
        on_load.burst,
        5,
        1,
        ("another's stop passes", "100 or more done", "excess is busy"),
        alone=True,
    ),
    Row(
        "250 clients on the wire, 250 event streams",
        on_load.crowd,
        3,
        1,
        ("all answered", "all receive all events"),
        alone=True,
    ),
    Row(
        "reconnections at random points",
        on_load.reconnections,
        1000,
        100,
        ("accepted", "others are served"),
        alone=True,
    ),
    *(
        Row(
            fault,
            partial(on_flood.flood, kind=kind),
            3,
            0,
            (*on_flood.GOALS, on_flood.QUERIES, "each stop answered", "few log lines"),
            alone=True,
        )
        for fault, kind in FLOODS
    ),
    Row(
        SEVERAL_FLOODS,
        partial(on_flood.flood, kind="together"),
        3,
        0,
        (on_flood.GOALS[2], "each stop answered", "few log lines"),
        alone=True,
    ),
    Row(
        "every flood, for a moment",
        on_flood.each_shortly,
        0,
        1,
        ("each stop answered", "no row lost", "few log lines"),
        alone=True,
    ),
    Row(
        "controller's host does not resolve", on_start.unknown_host, 2, 1, ("one clear line", "exit status 1")
    ),
    Row("port taken", on_start.port_taken, 4, 1, ("one clear line", "exit status 1")),
    Row("controller is absent at the start", on_start.controller_late, 2, 1, ("connected once it starts",)),
    Row(
        "file descriptors exhausted, 30 clients connect",
        on_start.no_files,
        20,
        1,
        ("connections untouched", "logged", "accepts again"),
    ),
    Row("journal: disk full", on_journal.full, 10, 1, ("commanding goes on", "no row lost")),
    Row(
        "journal: disk full until memory is full, too",
        on_journal.full_for_long,
        1,
        0,
        ("commanding goes on", "gap marked"),
    ),
    Row(
        "journal: an observer floods it and reconnects, again and again",
        on_journal.observer_floods,
        5,
        1,
        ("commanding goes on", "ready", "no row lost", "few and short rows of the observer"),
        alone=True,
    ),
    Row("journal: locked for 30 s", on_journal.locked, 1, 0, ("commanding goes on", "no row lost")),
    Row("journal: locked for 4 s", on_journal.locked_shortly, 2, 1, ("commanding goes on", "no row lost")),
    Row("journal: corrupt", on_journal.corrupt, 2, 1, ("commanding goes on", "set aside", "gap marked")),
    Row(
        "journal: kill -9 while it is written",
        on_journal.killed,
        30,
        3,
        ("no committed row lost", "file is sound", "goes on"),
    ),
    Row(
        "kill -9, 20 commands in flight",
        on_journal.left_in_flight,
        20,
        1,
        ("journal has 20 unknown", "log warns of them", "not sent again"),
    ),
    Row(
        "clock steps by an hour",
        on_process.clock_steps,
        20,
        2,
        ("deadlines hold", "replies hold", "goes on"),
    ),
    Row(
        "SIGSTOP for 15 s, 20 commands in flight",
        on_process.paused,
        5,
        0,
        ("done, not timed out", "the others timed out", "goes on"),
    ),
    Row(
        "SIGTERM, 20 commands in flight",
        on_process.told_to_end,
        10,
        1,
        ("drained", "rest unknown", "ends in 6 s"),
    ),
    Row(
        "a second SIGTERM",
        on_process.told_twice,
        10,
        1,
        ("waits for them", "then ends at once", "outcome unknown"),
    ),
    Row(
        "SIGHUP",
        on_process.told_to_reload,
        20,
        1,
        ("one port closes, one opens", "bad file refused", "link untouched"),
    ),
    Row(
        "our code raises at a command",
        on_process.code_raises,
        50,
        2,
        ("that connection only", "traceback in the log", "not executed"),
    ),
    Row(
        "our code raises at a request",
        on_process.web_raises,
        20,
        1,
        ("500 without details", "traceback in the log", "the others go on"),
    ),
    *(
        Row(
            f"mount: {name}",
            partial(on_simulator.says, case=case),
            10,
            1,
            (on_simulator.word(case), "goes on"),
        )
        for name, case in on_simulator.CASES.items()
    ),
    Row(
        "mount: alarm in mid-move",
        on_simulator.alarm,
        30,
        1,
        ("refused by the mount", "all receive the alarm", "goes on"),
    ),
    Row(
        "mount: 10,000 events in a second",
        on_simulator.flood,
        5,
        1,
        ("done, once", "observers receive all"),
        alone=True,
    ),
    Row("mount: silence", on_simulator.silence, 10, 1, ("timed out", "goes on")),
    Row("mount: refuses to connect back", on_simulator.refusal, 20, 1, ("not sent", "goes on")),
    Row(
        "anything at random, in 72 simulated hours of tracking",
        on_soak.tracking,
        72,
        0,
        SOAKED,
    ),
    Row(
        "anything at random, in 12 simulated hours of tracking",
        on_soak.tracking,
        0,
        12,
        SOAKED,
    ),
)

LOST = ("commands go on", "readers stay, and receive again")

NEXT = "next one commands"

MID_MOVE = ("outcome unknown", "up again by itself", "stopped, once")

PAUSED = ("done, not timed out", "the others timed out", "all stay connected", NEXT)

_ROWS_2022 = (
    Row("telemetry: silent", on_telemetry.silent, 10, 1, LOST),
    Row("telemetry: connection refused for some seconds", on_telemetry.refused, 10, 1, LOST),
    Row("telemetry: cable is cut", on_telemetry.cut_cable, 5, 1, LOST),
    *(
        Row(
            f"telemetry: {kind}",
            partial(on_telemetry.bad, kind=kind),
            50,
            2,
            ("readers get none of it", "commands go on", "one warning"),
        )
        for kind in on_telemetry.KINDS
    ),
    Row(
        "telemetry: a reader stops reading",
        on_telemetry.deaf,
        5,
        1,
        ("others received all", "commands go on", "misses lines, then gets the latest"),
    ),
    Row(
        "telemetry: 50 readers of signals in the event stream do not read",
        on_telemetry.signals_unread,
        1,
        0,
        (
            *on_flood.GOALS,
            "each stop answered",
            "others go on",
            "cut off",
            "few log lines",
        ),
        alone=True,
    ),
    Row(
        "recorder: kill -9 while it writes",
        on_recorder.killed,
        3,
        1,
        ("at most the last second lost", "no recorded line lost", "finished at the next start", "goes on"),
    ),
    Row(
        "recorder: disk full", on_recorder.full, 2, 1, ("commanding goes on", "no line lost", "readers stay")
    ),
    Row("broker is killed, back after 2 s", on_station.broker_killed, 10, 1, COMPLETE),
    Row("broker is restarted without its last seconds", on_station.broker_loses_tail, 10, 1, COMPLETE),
    Row("broker hangs for 6 s", on_station.broker_hangs, 5, 0, COMPLETE),
    Row("station's process is killed", on_station.child_killed, 5, 1, COMPLETE),
    Row("station's process is stopped", on_station.child_stopped, 3, 0, COMPLETE),
    Row("station's process floods the daemon", on_station.child_floods, 3, 1, (*COMPLETE, "killed")),
    Row("desk of the broker dies at each point", on_station.desk_dies, 1, 0, DIED),
    Row("10,000 old requests by the broker", on_station.old_requests, 2, 1, FLOODED),
    Row("active bridge is killed", on_standby.active_killed, 1, 1, IN_TIME, alone=True),
    Row("active bridge is stopped by SIGTERM", on_standby.active_stopped, 1, 1, IN_TIME, alone=True),
    Row(
        "active bridge is paused for 8 s",
        on_standby.active_paused,
        1,
        1,
        (*IN_TIME, "not before it is gone", "nothing sent after the sleep", "stays a standby"),
        alone=True,
    ),
    Row(
        "active bridge is paused, and killed after 1 s",
        on_standby.active_paused_and_killed,
        1,
        1,
        IN_TIME,
        alone=True,
    ),
    *(
        Row(
            f"active host dies, {case}, the mount's keep-alive at {'/'.join(map(str, keep_alive))} s",
            partial(on_standby.host_dies, keep_alive=keep_alive, commanded=commanded, limit=limit),
            full,
            short,
            IN_TIME,
            seconds=limit + 60.0,
        )
        for case, keep_alive, commanded, limit, full, short in HOST_DEATHS
    ),
    Row(
        "standby is killed",
        on_standby.standby_killed,
        1,
        0,
        ("goes on", "commanding goes on", "stays active"),
    ),
    Row("active bridge is cut from the broker for 4 s", on_standby.active_cut_from_broker, 1, 1, RETURNING),
    Row(
        "active bridge is cut from the broker one way for 5 s",
        on_standby.one_way_from_broker,
        2,
        1,
        RETURNING,
    ),
    Row(
        "active bridge is cut from the mount",
        on_standby.cut_from_mount,
        1,
        0,
        IN_TIME,
    ),
    Row(
        "active bridge is cut from the mount one way for 8 s",
        on_standby.one_way_from_mount,
        2,
        0,
        ("goes on", "one end each", "goes on after it"),
    ),
    Row(
        "packets are lost, to the broker for 8 s, to the mount for 8 s",
        on_standby.lossy,
        1,
        0,
        STAYING,
    ),
    Row(
        "broker is away from two bridges for 4 s",
        on_standby.broker_away,
        1,
        0,
        ("goes on", "commanding goes on", "commanding goes on after it", "no take-over"),
    ),
    Row("station's process of the active bridge is killed", on_standby.child_killed, 1, 1, STAYING),
    Row(
        "two bridges: failures of all kinds at random, for so many minutes",
        on_mix.mix,
        10,
        1,
        ("goes on",),
        seconds=75.0,
    ),
    Row(
        "link for commands resets, telemetry lives",
        on_telemetry.link_lost,
        20,
        1,
        (*UNKNOWN, "telemetry goes on"),
    ),
    Row(
        "holder's heartbeats end in mid-move",
        on_today.holder_hangs,
        5,
        1,
        ("stopped after 5 s", "the move has one end", NEXT),
    ),
    Row(
        "bridge's heartbeats are lost on the way",
        on_today.bridge_unheard,
        5,
        1,
        ("done before", "refused, not sent", NEXT),
    ),
    Row(
        "HHD takes command in mid-move",
        on_today.taken,
        10,
        1,
        ("refused, not sent", "no stop, no ask, no heartbeat", "the move has the mount's end", NEXT),
    ),
    Row(
        "mount restarts, 20 commands in flight",
        on_today.restarts,
        30,
        1,
        ("outcome unknown", "up again by itself", "telemetry again"),
    ),
    *(
        Row(
            f"mount: {name}",
            partial(on_simulator.says, case=case),
            5,
            0,
            (on_simulator.word(case), "goes on"),
        )
        for name, case in on_simulator.CASES.items()
    ),
    Row("replies that are not JSON", on_today.not_json, 30, 1, ("done, once", "goes on")),
    Row(
        "mount: lines of 64 KB with thousands of passwords or names",
        on_today.long_lines,
        5,
        1,
        ("goes on", "no password in log or journal"),
    ),
    Row(
        "a commander without command asks for the settings without end",
        on_today.asked_without_end,
        10,
        1,
        ("commands go on", "3 questions to the mount, or less"),
    ),
    Row(
        "SIGSTOP for 3 s, 20 commands in flight",
        partial(on_today.paused, seconds=3.0),
        5,
        1,
        (*PAUSED, "keeps command"),
    ),
    Row(
        "SIGSTOP for 12 s, 20 commands in flight",
        partial(on_today.paused, seconds=12.0),
        3,
        1,
        (*PAUSED, "refused, not sent"),
    ),
)
"""Before today's mount, with commanders of today."""

_ROWS_BOTH = (
    Row(
        "commander dies, its commands in flight",
        on_commander.dies,
        30,
        1,
        ("stopped after the grace", "command released", NEXT),
    ),
    Row("garbage on a wire port", partial(on_lines.bad, kind="garbage"), 50, 1, THAT_ONE),
    Row(
        "stop overtakes moves that wait",
        on_load.overtaking,
        30,
        1,
        ("the moves are overtaken", "the stop is done", "command is granted", "no move was sent"),
    ),
    Row(
        "kill -9, 20 commands in flight",
        on_journal.left_in_flight,
        5,
        1,
        ("journal has 20 unknown", "log warns of them", "not sent again"),
    ),
    Row(
        "SIGTERM, 20 commands in flight",
        on_process.told_to_end,
        5,
        1,
        ("drained", "rest unknown", "ends in 6 s"),
    ),
    Row("link resets in mid-move", on_controller.mid_move, 15, 1, MID_MOVE),
    Row("anything at random, in 6 simulated hours of tracking", on_soak.tracking, 6, 0, SOAKED),
)
"""Before today's mount, with commanders of either protocol. Those of today have them in the full run only."""

_ROWS_TRANSLATED = (
    *_ROWS_BOTH,
    Row(
        "link resets in the midst of a command that becomes two",
        on_translated.halves,
        5,
        1,
        ("outcome unknown", "goes on", "no half is sent behind it"),
    ),
)
"""Before today's mount, with commanders of 2020."""

ROWS = (
    *_ROWS_2020,
    *(replace(row, fault=f"tma2022: {row.fault}", setting=TMA2022) for row in _ROWS_2022),
    *(replace(row, fault=f"tma2022: {row.fault}", setting=TMA2022, short=0) for row in _ROWS_BOTH),
    *(
        replace(row, fault=f"tma2020 before tma2022: {row.fault}", setting=TRANSLATED)
        for row in _ROWS_TRANSLATED
    ),
)
"""Every row."""
