"""The connected clients, and the delivery of replies and events to each of them.

A client may connect and disconnect many times under one name. Each session has a number, its ``session_id``.
A reply is for the session that sent the command: a restarted program counts its commands from 1 again, and
never receives a reply to a command of its predecessor.

Observers receive every reply to a commander. A refusal of an observer's command goes to that observer alone,
because an observer must not be able to flood the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count

from mtmount_twisted.dialects.dialect import CommandEnvelope, EventEnvelope, ReplyEnvelope
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.journal.schema import EVERYONE, OBSERVERS
from mtmount_twisted.records import LineRecord

from .event_bus import EventBus

MAX_PIECE = 64 * 1024
"""The most bytes in one piece for a client, unless one line is longer: a chunk from a socket may complete a
much longer line, and memory holds each piece once for each client."""


class ClientRegistry:
    """The clients that are connected.

    :param terminator: the bytes at the end of each line.
    :ivar clients: by name.
    """

    def __init__(self, bus: EventBus, terminator: bytes) -> None:
        self.clients: dict[str, IClient] = {}
        self._bus = bus
        self._terminator = terminator
        self._observers: dict[str, IClient] = {}
        self._sessions: dict[str, int] = {}
        self._refusals: Counter[str] = Counter()  # of each observer, in its session
        self._numbers = count(1)
        self._gathering = _Gathering(self._give)
        self._gathered: list[bytes] = []  # lines that observers have not received yet

    def gathering(self) -> AbstractContextManager[None]:
        """Collect the lines for observers during the context, and send them in as few pieces as possible.

        There may be hundreds of observers: a hundred separate replies to each observer would delay other
        clients too long.
        """
        return self._gathering

    def _give(self) -> None:
        if not self._gathered:
            return
        lines, self._gathered = self._gathered, []
        for piece in _pieces(lines, self._terminator):
            for observer in tuple(self._observers.values()):  # a send may cut an observer off
                observer.send(piece)

    def enter(self, client: IClient) -> None:
        """Add a client, and begin its session."""
        self._give()  # a new client receives only later lines
        self.clients[client.name] = client
        self._sessions[client.name] = next(self._numbers)
        if not client.may_command:
            self._observers[client.name] = client

    def leave(self, client: IClient) -> None:
        """Remove a client. If it is not registered, do nothing."""
        for table in (self.clients, self._sessions, self._observers, self._refusals):
            table.pop(client.name, None)

    def is_here(self, client: IClient) -> bool:
        """Return True if the client is connected, and was neither dismissed nor cut off."""
        return self.clients.get(client.name) is client

    def session_of(self, client: IClient) -> int:
        """Return the number of a client's session; 0 if the client is not registered."""
        return self._sessions.get(client.name, 0)

    def refusals_of(self, observer: IClient) -> int:
        """Count a command of a registered observer, and return the number of its commands in this session."""
        self._refusals[observer.name] += 1
        return self._refusals[observer.name]

    def tell(
        self,
        client: IClient,
        header: CommandEnvelope,
        answer: ReplyEnvelope,
        session_id: int | None = None,
        privileged: bool | None = None,
    ) -> None:
        """Send a reply to its client and, if the client may command, to observers.

        :param header: the header of the command, as the client sent it.
        :param session_id: the session of the command; None for the present one. If that session is over, the
            client does not receive the reply.
        :param privileged: True if the reply counts as one to a client with rights; None to decide by the
            client.
        """
        line = answer.rewritten(header.sequence_id, header.source)
        if privileged is None:
            privileged = client.may_command
        if self.is_here(client) and (session_id is None or session_id == self._sessions[client.name]):
            self._publish(client.name, line, answer.code, header.sequence_id, privileged)
            client.send(line + self._terminator)
        if self._observers and client.may_command:
            self._publish(OBSERVERS, line, answer.code, header.sequence_id, privileged)
            self._gathered.append(line)
            self._give_unless_gathering()

    def _give_unless_gathering(self) -> None:
        if not self._gathering.depth:
            self._give()

    def _publish(
        self, peer: str, line: bytes, code: int, sequence_id: int | None, privileged: bool = True
    ) -> None:
        """Publish the record of a line to a peer."""
        bus = self._bus
        bus.publish(LineRecord(bus.now(), bus.epoch, peer, "to", line, code, sequence_id, privileged))

    def tell_one(self, client: IClient, events: list[EventEnvelope]) -> None:
        """Send events to one client only.

        The events to a client without rights are not recorded, because each connection repeats them.
        """
        for event in events if client.may_command else ():
            self._publish(client.name, event.line, event.code, None)
        for piece in _pieces([event.line for event in events], self._terminator):
            client.send(piece)

    def tell_all(self, events: list[EventEnvelope]) -> None:
        """Send events to all clients, in as few pieces as possible: sending is the main cost of an event."""
        if self.clients:
            for event in events:
                self._publish(EVERYONE, event.line, event.code, None)
            lines = [event.line for event in events]
            for piece in _pieces(lines, self._terminator):
                for client in tuple(self.clients.values()):
                    if client.name not in self._observers:
                        client.send(piece)
            if self._observers:
                self._gathered += lines
                self._give_unless_gathering()


class _Gathering:
    """A reentrant context that calls a function at its outermost end.

    The bridge enters the context for each chunk: a generator instead would take five times as long.
    """

    __slots__ = ("_give", "depth")

    def __init__(self, give: Callable[[], None]) -> None:
        self._give = give
        self.depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *error: object) -> None:
        self.depth -= 1
        if not self.depth:
            self._give()


def _pieces(lines: list[bytes], terminator: bytes) -> Iterator[bytes]:
    """Yield the lines with their terminators, joined up to `MAX_PIECE` bytes."""
    start = size = 0
    for index, line in enumerate(lines):
        if size and size + len(line) > MAX_PIECE:
            yield terminator.join(lines[start:index]) + terminator
            start, size = index, 0
        size += len(line) + len(terminator)
    if size:
        yield terminator.join(lines[start:]) + terminator
