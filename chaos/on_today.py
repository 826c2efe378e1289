"""Faults that only a tma2022 mount has: of its heartbeat rule, its commander and its JSON."""

from __future__ import annotations

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.simulator.faults import Fault

from .clients import TERMINATOR, Observer, connect
from .house import House
from .on_controller import FAR, IN_FLIGHT, SLOW
from .stage import Stage
from .waits import SETTLED, pause, rises

RULE = 5.0
"""Time without a heartbeat after which the mount, and the bridge, take command away, in seconds."""

HHD_IDS = 2_000_000_000
"""Where the sequence ids of the HHD begin."""

NOT_JSON = (
    b"\0\xff\xfe not a reply",
    b"not JSON",
    b'{"id": 3, "timestamp": 1',
    b"[3]",
    b"{}",
    b'{"id": "three", "timestamp": 1, "parameters": {}}',
    b'{"id": 3, "timestamp": 1, "parameters": {"sequenceId": "one"}}',
    b'{"id": 3, "timestamp": 1, "parameters": 7}',
    b"",
)
"""Lines that are no replies."""

SECRET = b"hunter2"
PARAMETERS = b'{"id":999,"timestamp":1,"parameters":{'

LONG = (
    (PARAMETERS, b'"Password":"%b",' % SECRET),
    (PARAMETERS, b'"p\\u0061ssword":"%b",' % SECRET),
    (PARAMETERS + b'"Password":["x"', b',"%b"' % SECRET),
    (b'{"id":3,"timestamp":1,"parameters":{"sequenceId":1,', b'"commander":1,'),
)
"""Starts of lines, each with what is repeated behind it: some are replies, and some are not."""

LINES = 20
"""How many of each are sent at once."""

QUESTIONS = 80
"""How many questions a commander sends at once: fewer than it may have in flight."""


async def _ended(house: House) -> None:
    """Wait until nobody has command."""
    until_then = house.reactor.seconds() + 2 * RULE
    while await house.holder() is not None:
        if house.reactor.seconds() > until_then:
            house.outcome.problems.append(f"the lease did not end within {2 * RULE:g} s")
            break
        await pause(house.reactor, SETTLED)


async def _next_commands(house: House) -> None:
    """Take command again, and see that the mount obeys."""
    await house.take()
    house.outcome.see("next one commands", await house.answers() and await house.holder() is not None)
    await house.calm()


async def holder_hangs(stage: Stage, times: int) -> None:
    """The holder of command has sent heartbeats, and sends none any more; it stays connected."""
    house = await stage.house(speed=SLOW, lease_grace=60.0)
    outcome, ledger = house.outcome, house.ledger
    for number in range(times):
        move = house.desk.send(house.setting.move, position=-FAR if number % 2 else FAR)
        await house.arrive([move])
        stops = ledger.stops
        outcome.inject()
        house.desk.beat()
        took = await rises(house.reactor, lambda: ledger.stops, stops + 1, "the mount is stopped", 2 * RULE)
        outcome.see("stopped after 5 s", RULE - 0.5 < took < RULE + 1.0)
        await house.ends([move])
        outcome.see("the move has one end", len(move.ends) == 1 and not move.ended("done"))
        await _ended(house)
        await _next_commands(house)


async def bridge_unheard(stage: Stage, times: int) -> None:
    """Nothing of the bridge's arrives at the mount, which still is heard: it misses the heartbeat."""
    house = await stage.house()
    outcome, upstream = house.outcome, house.todays_mount.proxy.upstream
    for _ in range(times):
        house.simulator.faults.add(Fault("late", seconds=1.0, count=10))
        late = [house.desk.send(house.setting.simple) for _ in range(10)]
        await house.arrive(late)
        outcome.inject()
        upstream.set(hang=True)
        await _ended(house)
        outcome.see("done before", all(entry.ended("done") for entry in late))
        await _refuses(house)
        upstream.clear()
        await _next_commands(house)


async def _refuses(house: House) -> None:
    """See that a command behind the end of the lease is refused, and never sent."""
    entry = house.desk.send(house.setting.simple)
    await house.ends([entry])
    house.outcome.see("refused, not sent", entry.ended("refused") and not house.ledger.arrived[entry.id])


async def taken(stage: Stage, times: int) -> None:
    """The HHD takes command at the mount while the azimuth axis moves for the desk."""
    house = await stage.house(speed=SLOW)
    outcome, own = house.outcome, house.ledger.own
    for number in range(times):
        move = house.desk.send(house.setting.move, position=-FAR if number % 2 else FAR)
        await house.arrive([move])
        before = own["BothAxesStop"], own["AskForCommand"]
        outcome.inject()
        _hhd(house, 3 * number, tma2022.commands.AskForCommand(commander=Source.HHD))
        await _ended(house)
        await house.daemon.said("the mount gave command to HHD", times=number + 1)
        await _refuses(house)
        beats = own["Heartbeat"]
        await pause(house.reactor, 1.2)
        quiet = (own["BothAxesStop"], own["AskForCommand"]) == before and own["Heartbeat"] == beats
        outcome.see("no stop, no ask, no heartbeat", quiet)
        _hhd(house, 3 * number + 1, tma2022.commands.BothAxesStop())
        await house.ends([move])
        outcome.see("the move has the mount's end", move.ended("superseded"))
        _hhd(house, 3 * number + 2, tma2022.commands.AskForCommand(commander=Source.NONE))
        await _next_commands(house)


def _hhd(house: House, number: int, command: tma2022.commands.Command) -> None:
    """Let the HHD command the mount; it has a connection of its own there."""
    house.mount.receive(command.replaced(source=Source.HHD, sequence_id=HHD_IDS + number))


async def restarts(stage: Stage, times: int) -> None:
    """The mount ends with commands in flight, and another one starts in its place."""
    house = await stage.house()
    outcome = house.outcome
    for _ in range(times):
        entries = await house.in_flight(IN_FLIGHT // 2)
        entries += await house.in_flight(IN_FLIGHT // 2, reply="done")
        epoch = await house.epoch()
        house.simulator.faults.clear()
        await pause(house.reactor, SETTLED)
        outcome.inject()
        await house.todays_mount.restart()
        await house.ends(entries)
        outcome.see("outcome unknown", all(entry.ended("outcome unknown") for entry in entries))
        await house.linked()
        is_next = await house.epoch() == epoch + 1
        outcome.see("up again by itself", is_next and await house.answers())
        before = house.reader.lines
        await rises(house.reactor, lambda: house.reader.lines, before + 50, "readers receive again")
        outcome.see("telemetry again", house.reader.is_open)
        outcome.figures["reconnections"] += 1
        await house.calm()


async def not_json(stage: Stage, times: int) -> None:
    """Lines among the replies that are none."""
    house = await stage.house()
    outcome, epoch = house.outcome, await house.epoch()
    for _ in range(times):
        outcome.inject()
        house.simulator.faults.add(Fault("late", seconds=0.2, count=len(NOT_JSON)))
        entries = [house.desk.send(house.setting.simple) for _ in NOT_JSON]
        await house.arrive(entries)
        for line in NOT_JSON:
            house.simulator.commands.send(line + TERMINATOR)
        await house.ends(entries)
        outcome.see("done, once", all(entry.ended("done") for entry in entries))
        outcome.see("goes on", await house.answers() and await house.epoch() == epoch)
        await house.calm()


async def long_lines(stage: Stage, times: int) -> None:
    """The mount sends lines of 64 KB that take long to read or to mask."""
    house = await stage.house()
    outcome, epoch = house.outcome, await house.epoch()
    for _ in range(times):
        outcome.inject()
        goes_on = True
        for start, member in LONG:
            line = start + member * (64_000 // len(member)) + b'"a":1}}' + TERMINATOR
            for _ in range(LINES):
                house.simulator.commands.send(line)
            goes_on = await house.goes_on(0.3) and goes_on
        outcome.see("goes on", goes_on and await house.epoch() == epoch)
        await house.calm()
        written = house.daemon.log.encode() + house.journal.read_bytes()
        outcome.see("no password in log or journal", SECRET not in written)


async def asked_without_end(stage: Stage, times: int) -> None:
    """After a change of the settings, a commander without command asks for them without end."""
    house = await stage.house()
    for _ in range(times):
        await _ask_without_end(house)
        await house.calm()


async def _ask_without_end(house: House) -> None:
    outcome, own = house.outcome, house.ledger.own
    asker = await connect(house.reactor, house.ports["lab"], Observer)
    question = house.setting.stamped(tma2022.commands.GetActualSettings, HHD_IDS, source=Source.CSC)
    outcome.inject()
    asked, lines = own["GetActualSettings"], asker.lines
    change = house.desk.send(tma2022.commands.RestoreDefaultSettings)
    asker.transport.write(question.encode() * QUESTIONS)
    outcome.see("commands go on", await house.goes_on(1.0))
    await house.ends([change])
    await rises(house.reactor, lambda: asker.lines, lines + 2 * QUESTIONS, "each question has its end")
    outcome.see("3 questions to the mount, or less", own["GetActualSettings"] - asked <= 3)
    asker.transport.loseConnection()
    await asker.closed(house.reactor)


async def paused(stage: Stage, times: int, seconds: float) -> None:
    """SIGSTOP for so long, while the mount finishes commands and never answers one."""
    house = await stage.house(ack_timeout=1.5, lease_grace=2.0)
    outcome, house.paused = house.outcome, True
    for number in range(times):
        never = await house.in_flight(1, count=1)
        house.simulator.faults.add(Fault("late", seconds=0.7, count=IN_FLIGHT))
        late = [house.desk.send(house.setting.simple) for _ in range(IN_FLIGHT)]
        await house.arrive(late)
        stops = house.ledger.stops
        outcome.inject()
        house.daemon.signal("STOP")
        await pause(house.reactor, seconds)
        house.daemon.signal("CONT")
        await house.ends(late + never)
        outcome.see("done, not timed out", all(entry.ended("done") for entry in late))
        outcome.see("the others timed out", all(entry.ended("timed out") for entry in never))
        if seconds > RULE:
            await _ended(house)
            await house.daemon.said("the mount gave command to nobody", times=number + 1)
            await _refuses(house)
        else:
            outcome.see("keeps command", await house.holder() == "desk/1")
        connected = house.desk.is_open and house.csc.pair.connected and house.reader.is_open
        outcome.see("all stay connected", connected and house.ledger.stops == stops)
        await _next_commands(house)
