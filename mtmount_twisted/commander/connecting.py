"""Wait for a connection, and say soon what is missing, for the programs that people start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..communicator import ClientServerPair
from ..errors import ConnectTimeoutError

SAY_AFTER = 1.5
"""After how many seconds without a connection a person is told what is missing."""


async def wait_connected(pair: ClientServerPair[Any], timeout: float, say: Callable[[str], object]) -> None:
    """Wait until a pair is connected; call `say` with what is missing if that takes longer than `SAY_AFTER`.

    :param timeout: how long to wait at most, in seconds.
    :raises ConnectTimeoutError: if it is not connected by then.
    :raises ListenError: if it can't listen for replies.
    :raises PeerRefusedError: if to wait longer can't help.
    """
    soon = min(SAY_AFTER, timeout)
    try:
        await pair.wait_connected(soon)
    except ConnectTimeoutError as error:
        if soon == timeout:
            raise
        say(f"{error}; trying for {timeout - soon:g} s more")
    else:
        return
    try:
        await pair.wait_connected(timeout - soon)
    except ConnectTimeoutError as error:
        raise ConnectTimeoutError(timeout, error.reason) from None
