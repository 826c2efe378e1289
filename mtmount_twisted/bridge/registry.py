"""The connected clients, and the replies and events for each of them.

A client may connect and disconnect many times under one name. Each session has a number, its ``session_id``.
A reply is for the session that sent the command: a restarted program counts its commands from 1 again, and
never receives a reply to a command of its predecessor.

Observers receive every reply to a commander. A refusal of an observer's command goes to that observer alone,
because an observer must not be able to flood the others. The lines for observers are gathered until
`deliver_gathered`: there may be hundreds of observers, and a hundred separate replies to each of them would
delay other clients too long.

It touches no socket: it appends effects. Next to read: `effects`, which performs them; `observers`, which
serves many of them in slices; `dispatcher`, which sends the replies with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator
from itertools import chain, count

from msgspec import Struct

from mtmount_twisted.dialects.dialect import CommandEnvelope, EventEnvelope, ReplyEnvelope, Translator
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.journal.schema import EVERYONE, OBSERVERS
from mtmount_twisted.records import LineRecord

from .effects import Effect, SendToClient, SendToClients
from .event_bus import EventBus
from .observers import Observers

MAX_PIECE = 64 * 1024
"""The largest number of bytes in one piece for a client, unless a single line is longer. A chunk from a
socket may complete a much longer line. Memory holds each piece once for each client."""


class _Session(Struct, eq=False):
    """The session of a connected client.

    :ivar session_id: its number; no other session has the same.
    :ivar refusals: the number of its commands that were refused because it is an observer.
    :ivar sends_no_more: True once the client has closed its sending side.
    :ivar told_commander: the number of the source that has command, as the client last received it; None
        before that.
    """

    client: IClient
    session_id: int
    refusals: int = 0
    sends_no_more: bool = False
    told_commander: int | None = None


class ClientRegistry:
    """The clients that are connected.

    :param effects: receives the effects.
    :param terminator: the bytes at the end of each line.
    :param cut_off: called with an observer that is a slow consumer, and the reason.
    :ivar clients: by name.
    :ivar gathered: the lines for observers since the last `deliver_gathered`.
    :ivar observers: the clients that only observe.
    :ivar untranslated: the number of events without a counterpart in the dialect of some clients, by kind.
    """

    def __init__(
        self,
        effects: list[Effect],
        bus: EventBus,
        terminator: bytes,
        cut_off: Callable[[IClient, str], None],
    ) -> None:
        self.clients: dict[str, IClient] = {}
        self.gathered: list[bytes] = []
        self.untranslated: Counter[str] = Counter()
        self._effects = effects
        self._bus = bus
        self._terminator = terminator
        self.observers: Observers = Observers(effects, self._send_translated, cut_off)
        # The commanders that receive the same bytes, those of one dialect, by name.
        self._commanders: dict[Translator | None, dict[str, IClient]] = {None: {}}
        self._sessions: dict[str, _Session] = {}
        self._numbers = count(1)

    def enter(self, client: IClient) -> None:
        """Add a client, and begin its session."""
        self.deliver_gathered()  # a new client receives only later lines
        self.clients[client.name] = client
        self._sessions[client.name] = _Session(client, next(self._numbers))
        commanders = self._commanders.setdefault(client.translator, {})
        if client.may_command:
            commanders[client.name] = client
        else:
            self.observers.add(client)

    def leave(self, client: IClient) -> None:
        """Remove a client. If it is not registered, do nothing."""
        self.clients.pop(client.name, None)
        self._sessions.pop(client.name, None)
        for commanders in self._commanders.values():
            commanders.pop(client.name, None)
        self.observers.remove(client)

    def commanders(self) -> Iterator[IClient]:
        """Yield the connected clients that may command."""
        return chain.from_iterable(clients.values() for clients in self._commanders.values())

    def is_here(self, client: IClient) -> bool:
        """Return True if the client is connected, and was neither dismissed nor cut off."""
        return self.clients.get(client.name) is client

    def session_of(self, client: IClient) -> int:
        """Return the number of a client's session; 0 if the client is not registered."""
        session = self._sessions.get(client.name)
        return 0 if session is None else session.session_id

    def count_refusal(self, observer: IClient) -> int:
        """Count a refused command of a registered observer, and return their number in this session."""
        session = self._sessions[observer.name]
        session.refusals += 1
        return session.refusals

    def note_sends_no_more(self, client: IClient) -> None:
        """Note that a client has closed its sending side only."""
        session = self._sessions.get(client.name)
        if session is not None:
            session.sends_no_more = True

    def sends_no_more(self, client: IClient) -> bool:
        """Return True if a registered client has closed its sending side."""
        session = self._sessions.get(client.name)
        return session is not None and session.sends_no_more

    def learns_commander(self, client: IClient, number: int) -> bool:
        """Note that a registered client receives the number of the source with command. Return False if it
        knows that."""
        session = self._sessions[client.name]
        knew, session.told_commander = session.told_commander, number
        return knew != number

    def tell_observers(self, event: EventEnvelope) -> None:
        """Send all observers an event that is not recorded."""
        if self.observers.clients:
            self.gathered.append(event.line)

    def deliver_reply(
        self,
        client: IClient,
        header: CommandEnvelope,
        answer: ReplyEnvelope,
        session_id: int | None = None,
        privileged: bool | None = None,
    ) -> CommandEnvelope | None:
        """Send a reply to its client and, if the client may command, to observers.

        If the translation has made two commands of this one, return the second after the success of the
        first; else None.

        :param header: the header of the command, as the client sent it.
        :param session_id: the session of the command; None for the present one. If that session is over, the
            client does not receive the reply.
        :param privileged: True if the reply counts as one to a client with rights; None to decide by the
            client.
        """
        line = answer.rewritten(header.sequence_id, header.source)
        if privileged is None:
            privileged = client.may_command
        session = self._sessions.get(client.name)
        is_here = (
            session is not None
            and session.client is client
            and (session_id is None or session_id == session.session_id)
        )
        if is_here and not client.may_command:
            is_here = self.observers.catch_up(client)
        own_lines, then, terminator = (line,), None, self._terminator
        if client.translator is not None:
            own_lines, then = client.translator.answered(header, answer)
            terminator = client.translator.dialect.terminator
        for own_line in own_lines if is_here else ():
            self._effects.append(SendToClient(client, own_line + terminator))
            self._publish(client.name, own_line, answer.code, header.sequence_id, privileged)
        if self.observers.clients and client.may_command:
            self._publish(OBSERVERS, line, answer.code, header.sequence_id, privileged)
            self.gathered.append(line)
        return then

    def answer_unrecorded(self, client: IClient, header: CommandEnvelope, answer: ReplyEnvelope) -> None:
        """Send a reply to its client, and neither to observers nor to the journal."""
        if not self.is_here(client):
            return
        lines, terminator = (answer.rewritten(header.sequence_id, header.source),), self._terminator
        if client.translator is not None:
            lines, _ = client.translator.answered(header, answer)
            terminator = client.translator.dialect.terminator
        self._effects += [SendToClient(client, line + terminator) for line in lines]

    def _publish(
        self, peer: str, line: bytes, code: int, sequence_id: int | None, privileged: bool = True
    ) -> None:
        """Publish the record of a line to a peer."""
        bus = self._bus
        self._effects.append(
            LineRecord(bus.now(), bus.epoch, peer, "to", line, code, sequence_id, privileged)
        )

    def tell_one(self, client: IClient, events: list[EventEnvelope], recorded: bool) -> None:
        """Send events to one client only.

        :param recorded: True to record the events. Events to a client without command are not recorded,
            because each connection repeats them.
        """
        if not self.observers.catch_up(client):
            return
        for event in events if recorded else ():
            line = event.line if client.translator is None else client.translator.event(event.line).line
            if line is not None:
                self._publish(client.name, line, event.code, None)
        lines = _lines(events, with_passwords=client.may_have_password)
        for piece in self._pieces(client.translator, lines):
            self._effects.append(SendToClient(client, piece))

    def tell_all(self, events: list[EventEnvelope], unrecorded: Container[int] = ()) -> None:
        """Send events to all clients, in as few pieces as possible: sending is the main cost of an event.

        :param unrecorded: the indices in `events` of the events that are not recorded.
        """
        if self.clients:
            for place, event in enumerate(events):
                if place not in unrecorded:
                    self._publish(EVERYONE, event.line, event.code, None)
            lines = _lines(events)
            has_password = any(event.unmasked is not None for event in events)
            for translator, table in self._commanders.items():
                if translator is not None and (table or self.observers.include(translator)):
                    self.untranslated.update(_dropped(translator, lines))
                commanders = list(table.values())
                if has_password:
                    trusted = [client for client in commanders if client.may_have_password]
                    self._send_all(translator, trusted, _lines(events, with_passwords=True))
                    commanders = [client for client in commanders if not client.may_have_password]
                self._send_all(translator, commanders, lines)
            if self.observers.clients:
                self.gathered += lines

    def deliver_gathered(self) -> None:
        """Send observers the gathered lines, in as few pieces as possible; see `observers`."""
        if self.gathered:
            lines, self.gathered = self.gathered, []
            self.observers.tell(lines)

    def _send_all(self, translator: Translator | None, clients: list[IClient], lines: list[bytes]) -> None:
        for piece in self._pieces(translator, lines) if clients else ():
            self._effects.append(SendToClients(clients, piece))

    def _send_translated(
        self, translator: Translator | None, clients: list[IClient], lines: list[bytes]
    ) -> None:
        terminator = self._terminator if translator is None else translator.dialect.terminator
        for piece in _joined(lines, terminator):
            self._effects.append(SendToClients(clients, piece))

    def _pieces(self, translator: Translator | None, lines: list[bytes]) -> Iterator[bytes]:
        """Yield lines in the dialect of their receivers."""
        if translator is None:
            return _joined(lines, self._terminator)
        translated = (translator.event(line).line for line in lines)
        return _joined([line for line in translated if line is not None], translator.dialect.terminator)


def _lines(events: list[EventEnvelope], with_passwords: bool = False) -> list[bytes]:
    """Return the lines of events, with or without the passwords in them."""
    return [event.unmasked if with_passwords and event.unmasked else event.line for event in events]


def _dropped(translator: Translator, lines: list[bytes]) -> Iterator[str]:
    """Yield the kind of each line that has no counterpart in the receivers' dialect."""
    for line, kind in map(translator.event, lines):
        if line is None:
            yield kind


def _joined(lines: list[bytes], terminator: bytes) -> Iterator[bytes]:
    """Yield the lines with their terminators, joined up to `MAX_PIECE` bytes."""
    start = size = 0
    for index, line in enumerate(lines):
        if size and size + len(line) > MAX_PIECE:
            yield terminator.join(lines[start:index]) + terminator
            start, size = index, 0
        size += len(line) + len(terminator)
    if size:
        yield terminator.join(lines[start:]) + terminator
