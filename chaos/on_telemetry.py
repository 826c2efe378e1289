"""Faults of the telemetry of a tma2022 mount, and of those who read it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from mtmount_twisted.frontends.web.events.signals import MAX_SIGNALS, MOST_RATE
from mtmount_twisted.simulator.faults import Fault
from mtmount_twisted.testing import HOST
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

from . import cable, on_controller
from .clients import TERMINATOR
from .house import House
from .on_flood import LOG_LINES, MEMORY_ROOM, STOPS, Probe, lost_rows, note, settle
from .stage import Stage
from .waits import rises, until
from .web import Stream

LATE = 1.5
"""How late the mount finishes the commands during which the telemetry is lost, in seconds."""

TOPIC = 90
"""The topic of the lines that these faults make; the mount has none with this number."""

ROUND = 500
"""How many lines the mount sends together to a reader that does not read."""

ROUNDS = 12
"""How often. All of it is ten times as much as the systems at both ends keep for that reader."""

UNREAD = 50
"""How many readers of signals in the event stream do not read."""

GOES_ON = MOST_RATE / 4
"""The least rate of a reader that reads beside them, in Hz: the page's is 4."""

CUT_OFF = "clients_cut_off_total"

BOUNDS = 110.0
"""The longest time until all of them are cut off, in seconds: the system first keeps some 2.4 MB for each."""

URL_BYTES = 1900
"""The longest list of signals in a request, in bytes: a URL has 2,048."""

EVENTS = b"GET /api/v1/events?signals=%b&rate=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""The request of a reader of signals."""

DROPPED = "dropped a line from"
"""The log's line about telemetry that is none."""


def line(number: int, **more: Any) -> bytes:
    """A line of telemetry, with a number for its time."""
    return json.dumps({"topicID": TOPIC, "timestamp": number, **more}).encode() + TERMINATOR


KINDS: dict[str, tuple[bytes, ...]] = {
    "garbage": (
        b"\0\xff\xfe" + TERMINATOR,
        b"not JSON" + TERMINATOR,
        b"{}" + TERMINATOR,
        b"[1, 2]" + TERMINATOR,
        b'{"topicID": "six", "timestamp": 1}' + TERMINATOR,
        b'{"topicID": 6, "timest' + TERMINATOR,
        TERMINATOR,
    ),
    "a line over the limit": (line(1, x="x" * MAX_LINE_LENGTH),),
}
"""Bytes among the telemetry that no reader gets."""


async def _is_silent(house: House, silent: bool, seconds: float = 10.0) -> None:
    """Wait until the daemon says that the mount is silent, or is not."""
    until_then = house.reactor.seconds() + seconds
    while (await house.web.state())["telemetry"]["silent"] is not silent:
        if house.reactor.seconds() > until_then:
            house.outcome.problems.append(f"telemetry: not within {seconds:g} s: silent is {silent}")
            break


async def _lose(house: House, cut: Callable[[], object], restore: Callable[[], object]) -> None:
    """Lose the telemetry while commands are in flight, and see that nothing else changes."""
    outcome, epoch = house.outcome, await house.epoch()
    house.simulator.faults.add(Fault("late", seconds=LATE, count=10))
    entries = [house.desk.send(house.setting.simple) for _ in range(10)]
    await house.arrive(entries)
    outcome.inject()
    cut()
    await _is_silent(house, True)
    await house.ends(entries)
    done = all(entry.ended("done") for entry in entries)
    outcome.see("commands go on", done and await house.answers() and await house.epoch() == epoch)
    restore()
    await _is_silent(house, False)
    before = house.reader.lines
    await rises(house.reactor, lambda: house.reader.lines, before + 50, "readers receive again")
    outcome.see("readers stay, and receive again", house.reader.is_open)
    await house.calm()


async def silent(stage: Stage, times: int) -> None:
    """The connection stays, and nothing comes."""
    house = await stage.house()
    telemetry = house.todays_mount.telemetry
    for _ in range(times):
        await _lose(house, lambda: telemetry.set(hang=True), telemetry.clear)


async def refused(stage: Stage, times: int) -> None:
    """The connection is reset, and the next ones are, until the server is back."""
    house = await stage.house()
    telemetry = house.todays_mount.telemetry
    port = telemetry.target_port

    def refuse() -> None:
        telemetry.target_port = 0
        telemetry.reset()

    for _ in range(times):
        await _lose(house, refuse, lambda: setattr(telemetry, "target_port", port))
        house.outcome.figures["reconnections"] += 1


async def cut_cable(stage: Stage, times: int) -> None:
    """The cable is cut: no packet comes any more. The next connection is another one."""
    house = await stage.house()
    telemetry = house.todays_mount.telemetry
    for _ in range(times):
        await _lose(house, lambda: cable.cut(telemetry), lambda: None)
        house.outcome.figures["reconnections"] += 1


async def link_lost(stage: Stage, times: int) -> None:
    """The connection for commands is reset; telemetry has one of its own."""
    house = await stage.house()
    telemetry = house.todays_mount.telemetry
    for _ in range(times):
        accepted, before = telemetry.accepted, house.reader.lines
        await on_controller.lose(house, house.mount.reset)
        lives = telemetry.accepted == accepted and house.reader.lines > before
        house.outcome.see("telemetry goes on", lives and house.reader.is_open)


async def _comes(house: House, line: bytes) -> None:
    """Wait until the reader has this line."""
    wanted = line.removesuffix(TERMINATOR)
    await until(house.reactor, lambda: house.reader.last.get(TOPIC) == wanted, "the next line comes")


async def bad(stage: Stage, times: int, kind: str) -> None:
    """The mount sends one of `KINDS` among its telemetry."""
    house = await stage.house()
    outcome, telemetry = house.outcome, house.todays_mount.telemetry
    accepted = telemetry.accepted
    for number in range(times):
        outcome.inject()
        last = line(number)
        house.simulator.telemetry.send([*KINDS[kind], last])
        await _comes(house, last)
        outcome.see("readers get none of it", not house.reader.others and telemetry.accepted == accepted)
        outcome.see("commands go on", await house.answers())
        await house.daemon.said(DROPPED)
        outcome.see("one warning", house.daemon.says(DROPPED) == 1)
        await house.calm()


async def deaf(stage: Stage, times: int) -> None:
    """A reader reads no more while the mount sends much; another one reads; then it reads again."""
    house = await stage.house()
    outcome = house.outcome
    for number in range(times):
        outcome.inject()
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((HOST, house.ports["telemetry"]))
        first = number * ROUND * ROUNDS
        received, all_received, served = house.reader.lines, True, True
        for start in range(first, first + ROUND * ROUNDS, ROUND):
            before = house.reader.lines
            lines = [line(each, x="x" * 400) for each in range(start, start + ROUND)]
            house.simulator.telemetry.send(lines)
            await rises(house.reactor, lambda: house.reader.lines, before + ROUND, "a reader gets all")
            served = served and await house.answers()
        all_received = house.reader.lines - received >= ROUND * ROUNDS
        outcome.see("others received all", all_received and not house.reader.others)
        outcome.see("commands go on", served)
        last = line(first + ROUND * ROUNDS)
        house.simulator.telemetry.send([last])
        outcome.see("misses lines, then gets the latest", await _read_up_to(house, reader, last))
        reader.close()
        await house.calm()


async def _read_up_to(house: House, reader: socket.socket, last: bytes) -> bool:
    """Whether a reader that reads again gets this line, and much less than all before it."""
    reader.setblocking(False)
    data = bytearray()

    def has_come() -> bool:
        try:
            data.extend(reader.recv(2**16))
        except BlockingIOError:
            return False
        return last in data

    await until(house.reactor, has_come, "the latest line comes")
    return data.count(TERMINATOR) < ROUND * ROUNDS / 2


async def signals_unread(stage: Stage, times: int) -> None:
    """50 readers of signals in the event stream do not read, while a commander works and a user stops.

    Each asks for other signals, as many and as often as a reader may.
    """
    house = await stage.house(absent_after=1.0)
    signals = json.loads((await house.web.get("/api/v1/telemetry/signals"))[1])["signals"]
    names = sorted((each["name"] for each in signals), key=len)
    await house.note()
    house.memory += MEMORY_ROOM
    reader = await house.web.events(f"?kind=request&signals=azimuth.actualPosition&rate={MOST_RATE:g}")
    for _ in range(times):
        await _leave_unread(house, reader, names)
    reader.close()
    await house.calm()


async def _leave_unread(house: House, reader: Stream, names: list[str]) -> None:
    outcome, reactor = house.outcome, house.reactor
    outcome.inject()
    lines, entries = house.daemon.log.count("\n"), len(house.ledger.entries)
    all_cut = await house.web.figure_now(CUT_OFF) + UNREAD
    unread = [_ask_for_signals(house, names, number) for number in range(UNREAD)]
    probe, began, heard = Probe(house, STOPS, 1.0), reactor.seconds(), reader.events
    await probe.run()
    rate = (reader.events - heard) / (reactor.seconds() - began)
    outcome.see("others go on", rate >= GOES_ON)
    cut = await house.web.figure_now(CUT_OFF)
    while cut < all_cut and reactor.seconds() < began + BOUNDS:
        cut = await house.web.figure_now(CUT_OFF)
    outcome.see("cut off", cut == all_cut and reader.is_open)
    outcome.see("few log lines", house.daemon.log.count("\n") - lines <= LOG_LINES)
    for each in unread:
        each.close()
    await settle(house, entries)
    note(outcome, probe, lost_rows(house, entries), STOPS)


def _ask_for_signals(house: House, names: list[str], number: int) -> socket.socket:
    """Return the socket of a reader that asks for signals and does not read, from an address of its own."""
    wanted = names[number : number + MAX_SIGNALS]
    while len(",".join(wanted)) > URL_BYTES:
        wanted.pop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.bind((f"127.1.6.{number + 1}", 0))
    reader.connect((HOST, house.ports["web"]))
    reader.sendall(EVENTS % (",".join(wanted).encode(), MOST_RATE))
    return reader
