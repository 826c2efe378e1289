"""Faults of the journal: its disk, its file, other programs."""

from __future__ import annotations

import random
import re
import resource
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from mtmount_twisted.journal.limited import LONGEST, PORT_ROWS
from mtmount_twisted.simulator.faults import Fault

from . import records
from .house import House
from .ledger import Entry
from .on_flood import Flooder
from .stage import Stage
from .waits import pause, rises

LONG = 60_000
"""How long the events are that fill the journal's memory, in bytes."""

WRITTEN_AGAIN = "is written again after"


async def _kept(house: House) -> None:
    """Wait until no row waits for the file."""
    deadline = house.reactor.seconds() + 15.0
    while await house.web.figure_now("journal_pending_rows"):
        if house.reactor.seconds() > deadline:
            house.outcome.problems.append("rows wait for the journal's file")
            return
        await pause(house.reactor, 0.1)


async def _works_again(house: House, times: int) -> None:
    await house.daemon.said(WRITTEN_AGAIN, 15.0, times)
    await _kept(house)
    house.outcome.see("no row lost", not await house.web.figure_now("journal_lost_rows_total"))
    await house.calm()


async def locked(stage: Stage, times: int, seconds: float = 30.0) -> None:
    """Another process has the file locked."""
    house = await stage.house()
    for number in range(times):
        with closing(sqlite3.connect(house.journal, timeout=5, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            house.outcome.inject()
            house.outcome.see("commanding goes on", await house.goes_on(seconds))
            db.execute("ROLLBACK")
        await _works_again(house, number + 1)


async def locked_shortly(stage: Stage, times: int) -> None:
    """As `locked`, for 4 s."""
    await locked(stage, times, 4.0)


def _limit(house: House, size: int) -> None:
    """Let no file of the daemon's grow beyond so many bytes: as on a full disk, a write is cut short."""
    _, most = resource.prlimit(house.daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(house.daemon.pid, resource.RLIMIT_FSIZE, (most if size < 0 else size, most))


async def full(stage: Stage, times: int) -> None:
    """A write to the file fails in the middle, and so do all behind it, for 2 s."""
    house = await stage.house()
    chance = random.Random(6)
    for number in range(times):
        house.outcome.inject()
        _limit(house, Path(f"{house.journal}-wal").stat().st_size + chance.randrange(4096))
        house.outcome.see("commanding goes on", await house.goes_on(2.0))
        await house.daemon.said(r"can't be written", 10.0, number + 1)
        _limit(house, -1)
        await _works_again(house, number + 1)


async def full_for_long(stage: Stage, times: int) -> None:
    """Nothing can be written until the memory for rows is full, too."""
    house = await stage.house()
    house.whole = False
    for number in range(times):
        house.outcome.inject()
        _limit(house, 1)
        house.simulator.faults.add(Fault("long", reply="ack", size=LONG))
        entries: list[Entry] = []
        while not await house.web.figure("journal_lost_rows_total") or len(entries) < 50:
            entries += [house.desk.send(house.setting.simple) for _ in range(50)]
            await house.ends(entries)
            if len(entries) > 2000:
                break
        house.outcome.see("commanding goes on", all(entry.ended("done") for entry in entries))
        house.simulator.faults.clear()
        _limit(house, -1)
        await house.daemon.said(WRITTEN_AGAIN, 15.0, number + 1)
        await _kept(house)
        await house.answers()  # the gap is marked in front of the next row that has room
        await _kept(house)
        gaps = [detail for detail in records.details(house.journal, "gap") if "rows lost" in detail]
        house.outcome.see("gap marked", len(gaps) > number)


async def observer_floods(stage: Stage, times: int) -> None:
    """Eight observers send 100 commands of 600 bytes, are dismissed, and come again and again."""
    house = await stage.house()
    outcome = house.outcome
    for _ in range(times):
        outcome.inject()
        before = await house.web.figure("journal_omitted_rows_total")
        flooder = Flooder(house, "middling_lines")
        outcome.see("commanding goes on", await house.goes_on(1.5))
        while await house.web.figure("journal_omitted_rows_total") <= before + 1000:  # on a busy machine
            await pause(house.reactor, 0.1)
        status, _ = await house.web.get("/readyz")
        outcome.see("ready", status == 200)
        await flooder.end()
        await _kept(house)
        outcome.see("no row lost", not await house.web.figure_now("journal_lost_rows_total"))
        sql = "SELECT count(*) FROM message WHERE peer LIKE 'hall/%'"
        rows = records.count(house.journal, sql)
        long = records.count(house.journal, f"{sql} AND length(line) > {2 * LONGEST}")
        outcome.see("few and short rows of the observer", 0 < rows <= PORT_ROWS and not long)


async def corrupt(stage: Stage, times: int) -> None:
    """Overwrite all but the first bytes of the file between two runs of the daemon."""
    for _ in range(times):
        house = await stage.house()
        house.whole = False
        await house.answers()
        await house.daemon.end()
        house.outcome.inject()
        with closing(sqlite3.connect(house.journal, timeout=5)) as db:  # else a good copy is in the log
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with house.journal.open("r+b") as file:
            file.seek(100)
            file.write(b"\xa5" * (house.journal.stat().st_size - 100))
        await house.start()
        await house.join()
        house.outcome.see("commanding goes on", await house.goes_on(1.0))
        await house.daemon.said("is corrupt .*: set aside as", 20.0)
        await _kept(house)
        aside = list(house.journal.parent.glob("journal.corrupt-*.sqlite"))
        house.outcome.see("set aside", len(aside) == 1)
        gaps = [detail for detail in records.details(house.journal, "gap") if "corrupt" in detail]
        house.outcome.see("gap marked", len(gaps) == 1)


async def killed(stage: Stage, times: int) -> None:
    """``kill -9`` while the journal is written; the file is read before and after."""
    house = await stage.house()
    house.whole = False
    chance, outcome = random.Random(6), house.outcome
    for _ in range(times):
        sent = [house.desk.send(house.setting.simple) for _ in range(90)]
        until_then = house.reactor.seconds() + 0.1 + chance.random() * 0.3
        while house.reactor.seconds() < until_then:
            await house.ends(sent)
            sent = [house.desk.send(house.setting.simple) for _ in range(90)]
        before = records.rows(house.journal)
        outcome.inject()
        await house.daemon.end("KILL")
        gone = records.missing(house.journal, before)
        outcome.lost += gone
        outcome.see("no committed row lost", gone == 0)
        outcome.see("file is sound", records.is_sound(house.journal))
        outcome.figures["kill"] += 1
        await house.start()
        await house.join()
        outcome.see("goes on", await house.answers())


async def left_in_flight(stage: Stage, times: int) -> None:
    """``kill -9`` with 20 commands in flight; the daemon is started again."""
    house = await stage.house()
    outcome = house.outcome
    for number in range(times):
        entries = await house.in_flight(10)
        entries += await house.in_flight(10, reply="done")
        sql = f"SELECT count(*) FROM step WHERE step = 'sent' AND sequence_id >= {entries[0].id}"
        sent = partial(records.count, house.journal, sql)
        await rises(house.reactor, sent, 20, "they are in the journal")
        outcome.inject()
        await house.daemon.end("KILL")
        outcome.figures["kill"] += 1
        house.simulator.faults.clear()
        await house.start()
        await house.join()
        told = partial(records.count, house.journal, "SELECT count(*) FROM event WHERE kind = 'unknown'")
        await rises(house.reactor, told, number + 1, "the journal has the event")
        detail = records.details(house.journal, "unknown")[-1]
        outcome.see("journal has 20 unknown", re.search(r"\b20\b", detail) is not None)
        await house.daemon.said("outcome is unknown: 20")
        outcome.see("log warns of them")
        never = all(house.ledger.arrived[entry.id] == 1 for entry in entries)
        outcome.see("not sent again", never and await house.answers())
