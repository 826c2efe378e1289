"""`DuplexCommunicator`: a `Communicator` over one connection, for commands and replies.

A program uses it to connect to a tma2022 mount, or to a ``[[port]]`` of the bridge, plain or with
TLS; or to be such a mount. Next to read: `net.duplex`, which implements it; `mount`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Unpack

from mtmount_twisted.dialects.content import lines_of
from mtmount_twisted.dialects.dialect import Dialect, Topology
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.net.duplex import DuplexConnection
from mtmount_twisted.net.pair import ConnectionPair

from .communicator import ClientServerPair, Communicator, Message, PairOptions


def connect_lines(
    dialect: Dialect,
    name: str,
    there: tuple[str, int],
    here: tuple[str, int],
    log: logging.Logger,
    **options: Unpack[PairOptions],
) -> ConnectionPair[bytes]:
    """Connect to a mount, to exchange lines, over as many connections as its dialect has.

    :param there: host and port that receive the commands.
    :param here: host and port on which to listen for replies. A dialect with one connection uses none.
    """
    carries = lines_of(dialect)
    if dialect.topology is Topology.DUPLEX:
        return DuplexConnection(name, *there, log, carries=carries, **options)
    return ClientServerPair(name, *there, *here, log, carries=carries, **options)


class DuplexCommunicator(DuplexConnection[Message], Communicator):
    """A `Communicator` over one connection.

    The parameters are those of `DuplexConnection`. As a client it is a commander's side: it reads replies. As
    a server, with ``listen=True``, it is the mount's side: it reads commands. Besides:

    :param dialect: the protocol; tma2020 by default, which a ``[[port]]`` of the bridge speaks if its
        mount does.
    :param options: ``max_unread``, ``max_line_length``, ``max_unsent`` and ``send_at_once`` of
        `ConnectionPair`.
    """

    def __init__(
        self,
        name: str,
        host: str | None,
        port: int,
        log: logging.Logger,
        *,
        listen: bool = False,
        tls: Any = None,
        connect_callback: Callable[[Any], Any] | None = None,
        dialect: Dialect = DIALECT,
        **options: Unpack[PairOptions],
    ) -> None:
        super().__init__(
            name,
            host,
            port,
            log,
            listen=listen,
            tls=tls,
            connect_callback=connect_callback,
            dialect=dialect,
            read_replies=not listen,
            **options,
        )

    @property
    def why_no_reply(self) -> str:
        """See `ConnectionPair`."""
        if self.dialect.topology is Topology.PAIR:
            return super().why_no_reply
        return f"is {self._there} a mount that speaks {self.dialect.name}, or a [[port]] of its bridge?"
