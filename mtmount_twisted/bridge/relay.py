"""Passes lines between a commander's pair and the controller's, by header alone.

Parameters are never decoded, so that a code that we do not know goes through byte for byte.
A command that can't be passed on, or whose answers could not come back, is refused with a NoAck of
the bridge, whose explanation begins with ``not sent`` or ``outcome unknown``. One that comes before
there is a way to reply waits for that, for as long as its commander stays; none is kept for a later
commander, who would not expect it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..codec import read_command_header, read_reply_header, refusal
from ..communicator import ClientServerPair
from ..errors import ConnectionLostError, LineError, ListenError, NotConnectedError, PairClosedError

LinePair = ClientServerPair[bytes]
PassOn = Callable[[bytes], Awaitable[None]]


async def relay_commands(
    commander: LinePair, controller: LinePair, deliver: PassOn, log: logging.Logger
) -> None:
    """Pass on what the commander sends, until its pair is closed; `deliver` takes refusals to it."""

    async def pass_on(line: bytes) -> None:
        header = read_command_header(line)
        log.debug("command %s", header)
        if not controller.connected:
            await deliver(refusal(header, "not sent: the bridge is not connected to the controller"))
            return
        try:
            await controller.write(line)
        except (ConnectionLostError, PairClosedError):
            await deliver(refusal(header, "outcome unknown: the link to the controller was lost"))

    await _for_each_line(commander, pass_on, log, answering=True)


async def relay_replies(controller: LinePair, deliver: PassOn, log: logging.Logger) -> None:
    """Give `deliver` what the controller sends, until its pair is closed."""

    async def pass_on(line: bytes) -> None:
        log.debug("reply %s", read_reply_header(line))
        await deliver(line)

    await _for_each_line(controller, pass_on, log)


def delivery(commander: LinePair, log: logging.Logger) -> PassOn:
    """What gives lines to the commander, and tells once each time that it begins to drop them."""
    dropped = 0

    async def deliver(line: bytes) -> None:
        nonlocal dropped
        try:
            await commander.write(line)
        except NotConnectedError:
            dropped += 1
            if dropped == 1:
                log.info("no commander is connected: replies and events are dropped")
        else:
            if dropped:
                log.info("%d replies and events were dropped while no commander was connected", dropped)
            dropped = 0

    return deliver


async def _for_each_line(
    pair: LinePair, pass_on: PassOn, log: logging.Logger, answering: bool = False
) -> None:
    """Await `pass_on` for each line, through losses of the connection, until `pair` is closed."""

    async def guarded(line: bytes) -> None:
        try:
            await pass_on(line)
        except LineError as error:
            log.warning("dropped a line that has no header: %s", error)
        except (ConnectionLostError, PairClosedError) as error:
            log.info("not delivered: %s: %r", error, line[:100])

    with suppress(ListenError):  # the pair logged it, and will not listen again
        await pair.each(guarded, lambda error: None, answering=answering)
