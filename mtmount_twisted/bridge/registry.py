"""Who is connected, and what each of them is told.

A client may come and go under one name. Each time that it is here is a *visit* with a number: an
answer is for the visit that asked, so that a program that was started anew, and counts its
commands from 1 again, never gets an answer to what its predecessor sent.

Those who only observe are told every answer to a commander. What one of them is refused it is told
alone: it commands nothing, and must not be able to flood the others with that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from mtmount_twisted.dialects.tma2020.envelope import CommandEnvelope, EventEnvelope, ReplyEnvelope
from mtmount_twisted.dialects.tma2020.framing import MAX_LINE_LENGTH, TERMINATOR
from mtmount_twisted.journal.schema import EVERYONE, OBSERVERS
from mtmount_twisted.records import LineRecord

from .event_bus import EventBus

MAX_PIECE = MAX_LINE_LENGTH
"""How many bytes are given to a client at once, unless one line is longer: one chunk of a socket's may be
the end of a much longer one, and what is given at once is held once for each client."""


class ClientRegistry:
    """The clients that are connected.

    :ivar clients: by name.
    """

    def __init__(self, bus: EventBus) -> None:
        self.clients: dict[str, Any] = {}
        self._bus = bus
        self._observers: dict[str, Any] = {}
        self._visits: dict[str, int] = {}
        self._refusals: Counter[str] = Counter()  # of each observer, on its visit
        self._numbers = count(1)
        self._gathering = _Gathering(self._give)
        self._gathered: list[bytes] = []  # what observers are yet to be told

    def gathering(self) -> AbstractContextManager[None]:
        """What observers are told meanwhile they are given together, in as few pieces as may be.

        There may be hundreds of them: each of a hundred answers to each of them alone would take longer
        than anybody else can wait.
        """
        return self._gathering

    def _give(self) -> None:
        if not self._gathered:
            return
        lines, self._gathered = self._gathered, []
        for piece in _pieces(lines):
            for observer in tuple(self._observers.values()):  # to send may be to cut off
                observer.send(piece)

    def enter(self, client: Any) -> None:
        """A client is here from now on."""
        self._give()  # a newcomer is told what comes from now on
        self.clients[client.name] = client
        self._visits[client.name] = next(self._numbers)
        if not client.may_command:
            self._observers[client.name] = client

    def leave(self, client: Any) -> None:
        """A client is not here any longer, if it was."""
        for table in (self.clients, self._visits, self._observers, self._refusals):
            table.pop(client.name, None)

    def is_here(self, client: Any) -> bool:
        """True if this client is connected, and was neither dismissed nor cut off."""
        return self.clients.get(client.name) is client

    def visit_of(self, client: Any) -> int:
        """The number of the visit that a client is on; 0 if it is not here."""
        return self._visits.get(client.name, 0)

    def refusals_of(self, observer: Any) -> int:
        """Count one more command of an observer that is here, and tell how many it sent on this visit."""
        self._refusals[observer.name] += 1
        return self._refusals[observer.name]

    def tell(
        self,
        client: Any,
        header: CommandEnvelope,
        answer: ReplyEnvelope,
        visit: int | None = None,
        privileged: bool | None = None,
    ) -> None:
        """Give an answer to the client that it is for, and, if that may command, to those who only observe.

        :param header: of the command that is answered, as the client sent it.
        :param visit: when the command came; None for just now. If that visit is over, the client
            does not get the answer.
        :param privileged: whether it answers a client with rights; None if the client has them.
        """
        line = answer.rewritten(header.sequence_id, header.source)
        if privileged is None:
            privileged = client.may_command
        if self.is_here(client) and (visit is None or visit == self._visits[client.name]):
            self._publish(client.name, line, answer.code, header.sequence_id, privileged)
            client.send(line + TERMINATOR)
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
        """Publish a line that goes to a peer."""
        bus = self._bus
        bus.publish(LineRecord(bus.now(), bus.epoch, peer, "to", line, code, sequence_id, privileged))

    def tell_one(self, client: Any, events: list[EventEnvelope]) -> None:
        """Send events to one client only.

        For a client without rights they are not recorded: it can have them told as often as it connects.
        """
        for event in events if client.may_command else ():
            self._publish(client.name, event.line, event.code, None)
        for piece in _pieces([event.line for event in events]):
            client.send(piece)

    def tell_all(self, events: list[EventEnvelope]) -> None:
        """Give events to everyone, in as few pieces as may be: to send is the dearest part of an event."""
        if self.clients:
            for event in events:
                self._publish(EVERYONE, event.line, event.code, None)
            lines = [event.line for event in events]
            for piece in _pieces(lines):
                for client in tuple(self.clients.values()):
                    if client.name not in self._observers:
                        client.send(piece)
            if self._observers:
                self._gathered += lines
                self._give_unless_gathering()


class _Gathering:
    """A context that may be entered within itself; what it does comes at its outermost end.

    It is entered for each chunk that comes: a generator in its place would take five times as long.
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


def _pieces(lines: list[bytes]) -> Iterator[bytes]:
    """Lines with their terminators, joined up to `MAX_PIECE`."""
    start = size = 0
    for index, line in enumerate(lines):
        if size and size + len(line) > MAX_PIECE:
            yield TERMINATOR.join(lines[start:index]) + TERMINATOR
            start, size = index, 0
        size += len(line) + len(TERMINATOR)
    if size:
        yield TERMINATOR.join(lines[start:]) + TERMINATOR
