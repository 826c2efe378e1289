"""Bytes on a wire port that are no commands."""

from __future__ import annotations

from collections.abc import Callable

from mtmount_twisted.net.rate_limited_log import A_FEW
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

from .clients import TERMINATOR
from .house import House
from .stage import Stage

WARNING = r"#warn\] desk/"
"""The log's line about a client that sends such data."""

Bad = Callable[[bytes], bytes]
"""Function from the line of a command, which must not be executed, to the bytes to send."""

GARBAGE = b"\0\1\2 not a command"
NOT_UTF8 = b"\xc3\x28\xff\xfe\n\xff\n\xff\n\xff"
REQUEST = b"POST /api/v1/commands HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 40\r\n\r\n"

KINDS: dict[str, Bad] = {
    "garbage": lambda line: GARBAGE + TERMINATOR + line,
    "not UTF-8": lambda line: NOT_UTF8 + TERMINATOR + line,
    "a line over the limit": lambda line: b"x" * (MAX_LINE_LENGTH + 1) + TERMINATOR + line,
    "HTTP": lambda line: REQUEST + line,
}
"""Data that closes its connection. A command behind it is not executed."""


async def bad(stage: Stage, times: int, kind: str) -> None:
    """A client sends one of `KINDS`, and a command behind it."""
    house = await stage.house()
    for _ in range(times):
        visitor = await house.visit()
        entry, line = visitor.line(house.setting.stop)
        before = house.daemon.says(WARNING)
        house.outcome.inject()
        visitor.transport.write(KINDS[kind](line))
        await visitor.closed(house.reactor)
        await _after(house, entry.id, before)


async def part(stage: Stage, times: int) -> None:
    """A client sends a part of a line, and closes."""
    house = await stage.house()
    for number in range(times):
        visitor = await house.visit()
        entry, line = visitor.line(house.setting.stop)
        before = house.daemon.says(WARNING)
        house.outcome.inject()
        visitor.transport.write(line[: 1 + number % (len(line) - 2)])
        visitor.transport.loseConnection()
        await visitor.closed(house.reactor)
        await house.daemon.said(r"desk/\d+: closed: it sends no more", times=min(number + 1, A_FEW))
        await _after(house, entry.id, before)


async def _after(house: House, entry: int, before: int) -> None:
    """Check that no other client was affected, and nothing was executed."""
    outcome = house.outcome
    outcome.see("the others go on", await house.answers() and house.hall.is_open)
    await house.daemon.said(WARNING, times=min(before + 1, A_FEW))  # the log has a few in a minute
    more = house.daemon.says(WARNING) - before
    outcome.see("one warning", more == 1 or (more == 0 and before >= A_FEW))
    outcome.see("nothing executed", not house.ledger.arrived[entry])
    await house.calm()
