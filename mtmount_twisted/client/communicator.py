"""`Communicator`: a connection pair that carries messages. `ClientServerPair`: one that carries lines.

Here the library chooses its protocol: tma2020, unless a program gives another `Dialect`.

Both use the network only through their base class. Next to read: `net.pair`, which implements nearly all of
it; `mount`, which follows a command over a `Communicator`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, Unpack

from mtmount_twisted.dialects.content import Content, lines_of, messages_of
from mtmount_twisted.dialects.dialect import Dialect, other_dialect_of
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.errors import LineError
from mtmount_twisted.net.arguments import check_bool
from mtmount_twisted.net.pair import ConnectionPair
from mtmount_twisted.wire.messages import BaseMessage

if TYPE_CHECKING:
    from mtmount_twisted.dialects.tma2022.replies import Reply as ReplyOf2022

    Message: TypeAlias = BaseMessage | ReplyOf2022
    """What a communicator carries. The replies of tma2022 share no base class with the other messages."""
else:
    Message = BaseMessage  # the replies of tma2022 are imported only with that dialect

__all__ = ["ClientServerPair", "Communicator"]

LINES: Content[Any] = lines_of(DIALECT)

M = TypeVar("M")


class PairOptions(TypedDict, total=False):
    """The keyword arguments of `ConnectionPair` that its subclasses pass on unchanged."""

    reactor: Any
    max_unread: int
    max_line_length: int
    max_unsent: int
    send_at_once: bool


class ClientServerPair(ConnectionPair[M]):
    """A `ConnectionPair` that by default carries lines.

    The parameters are those of `ConnectionPair`, and:

    :param carries: encoder and decoder of the messages; by default a message is a line of the protocol of
        2020, as bytes without its terminator.
    """

    def __init__(
        self,
        name: str,
        client_host: str | None,
        client_port: int,
        server_host: str | None,
        server_port: int,
        log: logging.Logger,
        connect: bool = True,
        connect_callback: Callable[[Any], Any] | None = None,
        *,
        carries: Content[M] = LINES,
        **options: Unpack[PairOptions],
    ) -> None:
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


class Communicator(ClientServerPair[Message]):
    """A connection pair that carries commands one way and replies the other.

    The parameters are those of `ConnectionPair` except `carries`, and:

    :param read_replies: True to read replies (a commander's side); False to read commands (the mount's side).
    :param dialect: the protocol; tma2020 by default.
    :ivar dialect: the protocol.
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
        *,
        dialect: Dialect = DIALECT,
        **options: Unpack[PairOptions],
    ) -> None:
        check_bool("read_replies", read_replies)
        self.read_replies = read_replies
        self.dialect = dialect
        super().__init__(
            name,
            client_host,
            client_port,
            server_host,
            server_port,
            log,
            connect,
            connect_callback,
            carries=messages_of(dialect, read_replies=bool(read_replies)),
            **options,
        )

    def explain_heard(self, data: bytes) -> str:
        """See `IPairOwner`. A far end that replies on the command connection does not belong to a pair."""
        line, end, _ = data.partition(self.dialect.terminator)
        if not (self.read_replies and end):
            return super().explain_heard(data)
        try:
            self.dialect.decode_reply(line)
        except LineError:
            other = other_dialect_of(line.rstrip(), self.dialect)
            if other is None:
                return super().explain_heard(data)
            return (
                f"{self._there} speaks {other.name}, and this side {self.dialect.name}; use a "
                f"DuplexCommunicator of {other.name} (mtmount-commander --dialect {other.name}), or another "
                "port"
            )
        there = self._there
        return (
            f"{there} replies on the command connection: it is a [[port]] of the bridge and belongs to no "
            f"pair; use DuplexCommunicator (mtmount-commander --connect {there}), or the two ports of a pair"
        )
