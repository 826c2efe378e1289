"""`Observers`: the clients that only observe, and the lines that they have not received yet.

If few observers are connected, they receive a line in the turn of the reactor that brought it. For many, this
turn would take tens of milliseconds, under TLS three times as long, and commands and stops would wait. So the
lines for many observers are sent in rounds: each turn of the reactor serves a few observers, until each
observer has the lines. After a round, lines are gathered for up to `LONGEST_PAUSE`. Commanders never wait for
observers.

Each observer receives all lines since its connection in their order, including the lines for it alone.

It touches no socket: it appends effects. Next to read: `registry`, which gathers the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from mtmount_twisted.dialects.dialect import Translator
from mtmount_twisted.interfaces import IClient

from .effects import CancelTimer, Effect, SetTimer, Timer

AT_ONCE = 16
"""The largest number of observers that receive lines in one turn of the reactor."""

PAUSE_OF_ONE, LONGEST_PAUSE = 20e-6, 0.02
"""The shortest time in seconds from the end of a round to the next one, for each observer, and in all: about
half the time that the round takes. Lines that come meanwhile are gathered; a line that comes later begins a
round at once."""

MAX_GATHERED = 128 * 1024
"""The largest number of bytes that wait for a round. If more wait, all observers receive them at once, so
that no observer becomes a slow consumer because of the rounds."""


class Observers:
    """The connected observers.

    :param effects: receives the effects that set the timer.
    :param send: called with a translator, some observers that need it, and lines for them.
    :ivar clients: by name.
    """

    def __init__(
        self,
        effects: list[Effect],
        send: Callable[[Translator | None, list[IClient], list[bytes]], None],
    ) -> None:
        self.clients: dict[str, IClient] = {}
        self._by_translator: dict[Translator | None, dict[str, IClient]] = {None: {}}
        self._effects = effects
        self._send = send
        self._lines: list[bytes] = []
        self._first = 0  # number of the first of the lines; they are counted from the start
        self._bytes = 0
        self._next: dict[str, int] = {}  # number of the next line for each observer
        self._round: dict[str, IClient] = {}  # the observers that this round has not served
        self._end = 0  # number of the first line that this round does not send
        self._is_timed = False  # `Timer.OBSERVERS` runs
        self._is_closed = False

    def add(self, client: IClient) -> None:
        """Add an observer, which receives only later lines."""
        self.clients[client.name] = client
        self._by_translator.setdefault(client.translator, {})[client.name] = client
        self._next[client.name] = self._first + len(self._lines)

    def remove(self, client: IClient) -> None:
        """Remove a client. If it is no observer here, do nothing."""
        self.clients.pop(client.name, None)
        for clients in self._by_translator.values():
            clients.pop(client.name, None)
        self._next.pop(client.name, None)
        self._round.pop(client.name, None)

    def include(self, translator: Translator) -> bool:
        """Return True if an observer needs this translator."""
        return bool(self._by_translator.get(translator))

    def tell(self, lines: list[bytes]) -> None:
        """Send lines to all observers: now to a few, or soon to many."""
        if not self._lines and (len(self.clients) <= AT_ONCE or self._is_closed):
            for translator, clients in self._by_translator.items():
                self._send(translator, list(clients.values()), lines)
            return
        self._lines += lines
        self._bytes += sum(map(len, lines))
        if self._bytes > MAX_GATHERED or self._is_closed:
            self.flush()
        elif not self._is_timed:
            self._set_timer(0.0)

    def catch_up(self, client: IClient) -> None:
        """Send an observer the lines that it has not received, because a line for it alone follows.

        A client that is no observer here receives nothing.
        """
        if self._lines and client.name in self._next:
            self._serve([client], self._first + len(self._lines))

    def serve_next(self) -> None:
        """Serve the next few observers: `Timer.OBSERVERS` has ended."""
        self._is_timed = False
        if not self._lines:  # the pause after a round has passed
            return
        if not self._round:
            self._round, self._end = dict(self.clients), self._first + len(self._lines)
        few = list(islice(self._round.values(), AT_ONCE))
        for client in few:
            del self._round[client.name]
        self._serve(few, self._end)
        if self._round:
            self._set_timer(0.0)
            return
        self._forget(self._end)
        self._set_timer(min(PAUSE_OF_ONE * len(self.clients), LONGEST_PAUSE))

    def flush(self) -> None:
        """Send all observers all that they have not received."""
        end = self._first + len(self._lines)
        self._serve(self.clients.values(), end)
        self._round.clear()
        self._forget(end)
        if self._is_timed:
            self._is_timed = False
            self._effects.append(CancelTimer(Timer.OBSERVERS))

    def close(self) -> None:
        """Send all lines at once from now on: the bridge ends."""
        self._is_closed = True
        self.flush()

    def _serve(self, clients: Iterable[IClient], end: int) -> None:
        """Send observers the lines up to a number. Observers that lack the same lines share one effect."""
        groups: dict[tuple[Translator | None, int], list[IClient]] = {}
        for client in clients:
            begin = self._next[client.name]
            if begin < end:
                groups.setdefault((client.translator, begin), []).append(client)
                self._next[client.name] = end
        for (translator, begin), group in groups.items():
            self._send(translator, group, self._lines[begin - self._first : end - self._first])

    def _forget(self, end: int) -> None:
        count = end - self._first
        self._bytes -= sum(map(len, self._lines[:count]))
        del self._lines[:count]
        self._first = end

    def _set_timer(self, seconds: float) -> None:
        self._is_timed = True
        self._effects.append(SetTimer(Timer.OBSERVERS, seconds))
