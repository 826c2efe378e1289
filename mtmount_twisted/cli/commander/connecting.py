"""Waiting for a connection, with an early report of the reason for a delay.

It waits on a connection, and opens none. Next to read: `program`, which calls it; ``net.pair``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mtmount_twisted.errors import ConnectTimeoutError
from mtmount_twisted.net.pair import ConnectionPair

SAY_AFTER = 1.5
"""Time without a connection after which the program reports the reason, in seconds."""

_GIVE_AUTHORITY = "give the authority of its certificate with --tls-ca"

PORT_ADVICE = {
    "untrusted": _GIVE_AUTHORITY,
    "other name": "connect to a name or an address that is in its certificate",
    "plain": "omit --tls-ca, or try another port",
    "encrypted": _GIVE_AUTHORITY,
    "no certificate": "give yours with --tls-certificate and --tls-key",
    "http": "connect to one of the bridge's [[port]]s",
    "certificate": "give one that the authority in its client_ca has signed, and that has not expired",
}
"""The remedy for an unusable connection, by `PeerRefusedError.cause`."""

PAGE_ADVICE = {
    "untrusted": _GIVE_AUTHORITY,
    "other name": "give a host in --web that is in its certificate",
    "plain": "give http:// in --web",
}
"""The remedy for an unusable connection to the page. For any other cause, see the daemon's log."""


async def wait_connected(pair: ConnectionPair[Any], timeout: float, say: Callable[[str], object]) -> None:
    """Wait until a pair is connected. After `SAY_AFTER`, call `say` with the missing part.

    :param timeout: longest wait in seconds.
    :raises ConnectTimeoutError: if the pair is not connected within `timeout`.
    :raises ListenError: if the pair can't listen for replies.
    :raises PeerRefusedError: if a longer wait can't succeed.
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
