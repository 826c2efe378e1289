"""`Communicator`: a connection pair that carries messages.

It uses the network only through its base class. Next to read: `pair`, which implements nearly all of it;
`mount`, which follows a command over a `Communicator`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypedDict, Unpack

from mtmount_twisted.dialects.content import COMMANDS_IN, REPLIES_IN
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.errors import LineError
from mtmount_twisted.net.arguments import check_bool
from mtmount_twisted.net.pair import ClientServerPair
from mtmount_twisted.wire.messages import BaseMessage

__all__ = ["ClientServerPair", "Communicator"]


class PairOptions(TypedDict, total=False):
    """The keyword arguments of `ClientServerPair` that `Communicator` passes on unchanged."""

    reactor: Any
    max_unread: int
    max_line_length: int
    max_unsent: int
    send_at_once: bool


class Communicator(ClientServerPair[BaseMessage]):
    """A connection pair that carries commands one way and replies the other.

    The parameters are those of `ClientServerPair` except `carries`, and:

    :param read_replies: True to read replies (a commander's side); False to read commands (the mount's side).
    """

    def __init__(
        self,
        name: str,
        client_host: str | None,
        client_port: int,
        server_host: str | None,
        server_port: int,
        log: logging.Logger,
        read_replies: bool,
        connect: bool = True,
        connect_callback: Callable[[Any], Any] | None = None,
        **options: Unpack[PairOptions],
    ) -> None:
        check_bool("read_replies", read_replies)
        self.read_replies = read_replies
        carries = REPLIES_IN if read_replies else COMMANDS_IN
        super().__init__(
            name,
            client_host,
            client_port,
            server_host,
            server_port,
            log,
            connect,
            connect_callback,
            carries=carries,
            **options,
        )

    def explain_heard(self, data: bytes) -> str:
        """See `IPairOwner`. A port that replies on the command connection does not belong to a pair."""
        line, end, _ = data.partition(TERMINATOR)
        if not (self.read_replies and end):
            return super().explain_heard(data)
        try:
            REPLIES_IN.decode(line)
        except LineError:
            return super().explain_heard(data)
        there = self._there
        return (
            f"{there} replies on the command connection: it is a [[port]] of the bridge and belongs to no "
            f"pair; use DuplexCommunicator (mtmount-commander --connect {there}), or the two ports of a pair"
        )
