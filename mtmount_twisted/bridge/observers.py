"""`Observers`: the clients that only observe, and the lines that they have not received yet.

If few observers are connected, they receive a line in the turn of the reactor that brought it. For many, this
turn would take tens of milliseconds, under TLS three times as long, and commands and stops would wait. So the
lines for many observers are sent in rounds: each turn of the reactor serves a few observers, until each
observer had its turn. In its turn, an observer receives all lines that it lacks. After a round, lines are
gathered for up to `LONGEST_PAUSE`. Commanders never wait for observers.

Each observer receives all lines since its connection in their order, including the lines for it alone. If
the rounds can't keep up with the lines, memory holds `MAX_GATHERED` of them. An observer that lacks an older
line is a slow consumer: it receives no line behind the gap, and a later turn cuts it off.

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

BYTES_AT_ONCE, BYTES_OF_ONE = 2**21, 2**18
"""The number of bytes after which a turn serves no further observer, and the largest number that an observer
counts: of more data, the system takes some 256 KiB at once, and the send buffer keeps the rest."""

PAUSE_OF_ONE, LONGEST_PAUSE = 20e-6, 0.02
"""The shortest time in seconds from the end of a round to the next one, for each observer, and in all: about
half the time that the round takes. Lines that come meanwhile are gathered; a line that comes later begins a
round at once."""

MAX_GATHERED = 2**20
"""The largest number of bytes of lines in memory, in the controller's dialect, with `LINE_BYTES` for each. A
round of 2,000 observers takes up to a second, so only more lines than this in a second make an observer a
slow consumer."""

KEPT = 3 * MAX_GATHERED // 4
"""The number of bytes that remain in memory when there were too many: the search for the observers that lack
an older line is then seldom."""

LINE_BYTES = 64
"""The number of bytes that a line counts as, besides its own."""

SLOW = f"more than {KEPT} bytes behind"
"""The reason for which an observer is cut off."""


class Observers:
    """The connected observers.

    :param effects: receives the effects that set the timer.
    :param send: called with a translator, some observers that need it, and lines in their dialect.
    :param cut_off: called with an observer that is a slow consumer, and the reason; it removes the observer.
    :ivar clients: those that receive lines, by name.
    :ivar gathered: the number of bytes of lines in memory; see `MAX_GATHERED`.
    """

    def __init__(
        self,
        effects: list[Effect],
        send: Callable[[Translator | None, list[IClient], list[bytes]], None],
        cut_off: Callable[[IClient, str], None],
    ) -> None:
        self.clients: dict[str, IClient] = {}
        self.gathered: int = 0
        self._by_translator: dict[Translator | None, dict[str, IClient]] = {None: {}}
        self._effects = effects
        self._send = send
        self._cut_off = cut_off
        # The lines for the observers with each translator, in their dialect: each line is translated once.
        # None takes the place of a line without a counterpart.
        self._lines: dict[Translator | None, list[bytes | None]] = {None: []}
        self._first = self._end = 0  # numbers of the first line and of the next one, counted from the start
        self._next: dict[str, int] = {}  # number of the next line for each observer
        self._round: dict[str, IClient] = {}  # the observers that this round has not served
        self._slow: dict[str, IClient] = {}  # the observers to be cut off
        self._is_timed = False  # `Timer.OBSERVERS` runs
        self._is_closed = False

    def add(self, client: IClient) -> None:
        """Add an observer, which receives only later lines."""
        self.clients[client.name] = client
        if client.translator not in self._lines:
            self._lines[client.translator] = [None] * (self._end - self._first)
        self._by_translator.setdefault(client.translator, {})[client.name] = client
        self._next[client.name] = self._end

    def remove(self, client: IClient) -> None:
        """Remove a client. If it is no observer here, do nothing."""
        self._slow.pop(client.name, None)
        self._forget(client)

    def _forget(self, client: IClient) -> None:
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
        is_at_once = self._first == self._end and (len(self.clients) <= AT_ONCE or self._is_closed)
        for translator, clients in self._by_translator.items():
            spoken: list[bytes | None] = [*lines]
            if translator is not None:
                spoken = [translator.event(line).line if clients else None for line in lines]
            if not is_at_once:
                self._lines[translator] += spoken
            elif clients:
                self._send(translator, list(clients.values()), _without_none(spoken))
        if is_at_once:
            return
        self._end += len(lines)
        self.gathered += _bytes_of(lines)
        if self.gathered > MAX_GATHERED:
            self._shorten()
        if not self._is_timed:
            self._set_timer(0.0)

    def catch_up(self, client: IClient) -> bool:
        """Send an observer the lines that it has not received, because a line for it alone follows.

        A client that is no observer here receives nothing. Return False if the observer is a slow consumer,
        which is about to be cut off: that line would be behind a gap.
        """
        if client.name in self._slow:
            return False
        if client.name in self._next:
            self._serve([client])
        return True

    def serve_next(self) -> None:
        """Serve the next few observers, and cut off a few slow consumers: `Timer.OBSERVERS` has ended."""
        self._is_timed = False
        self._cut_off_slow(AT_ONCE)
        pause = None
        if self._first < self._end:  # else the pause after a round has passed
            self._round = self._round or dict(self.clients)
            self._serve(self._take_few())
            pause = 0.0
            if not self._round:
                self._drop(min(self._next.values(), default=self._end) - self._first)
                pause = min(PAUSE_OF_ONE * len(self.clients), LONGEST_PAUSE)
        if self._slow:
            pause = 0.0
        if pause is not None:
            self._set_timer(pause)

    def _take_few(self) -> list[IClient]:
        """Take the next few observers from the round."""
        few: list[IClient] = []
        left, of_one = BYTES_AT_ONCE, self.gathered / (self._end - self._first)
        for client in islice(self._round.values(), AT_ONCE):
            if left <= 0:
                break
            few.append(client)
            left -= min(BYTES_OF_ONE, int(of_one * (self._end - self._next[client.name])))
        for client in few:
            del self._round[client.name]
        return few

    def close(self) -> None:
        """Send all lines at once, from now on: the bridge ends."""
        self._is_closed = True
        self._serve(self.clients.values())
        self._round.clear()
        self._drop(self._end - self._first)
        self._cut_off_slow(len(self._slow))
        if self._is_timed:
            self._is_timed = False
            self._effects.append(CancelTimer(Timer.OBSERVERS))

    def _serve(self, clients: Iterable[IClient]) -> None:
        """Send observers the lines that they lack. Observers that lack the same lines share one effect."""
        groups: dict[tuple[Translator | None, int], list[IClient]] = {}
        for client in clients:
            begin = self._next[client.name]
            if begin < self._end:
                groups.setdefault((client.translator, begin), []).append(client)
                self._next[client.name] = self._end
        for (translator, begin), group in groups.items():
            self._send(translator, group, _without_none(self._lines[translator][begin - self._first :]))

    def _drop(self, count: int) -> None:
        """Drop the first lines, which all observers have, or which are too many."""
        self.gathered -= _bytes_of(self._lines[None][:count])
        for lines in self._lines.values():
            del lines[:count]
        self._first += count

    def _shorten(self) -> None:
        """Drop the oldest lines, and note the observers that lack one of them as slow consumers."""
        excess, count = self.gathered - KEPT, 0
        while excess > 0:
            excess -= _bytes_of(self._lines[None][count : count + 1])
            count += 1
        self._drop(count)
        for client in [self.clients[name] for name, number in self._next.items() if number < self._first]:
            self._slow[client.name] = client
            self._forget(client)

    def _cut_off_slow(self, most: int) -> None:
        for client in list(islice(self._slow.values(), most)):
            self._cut_off(client, SLOW)

    def _set_timer(self, seconds: float) -> None:
        self._is_timed = True
        self._effects.append(SetTimer(Timer.OBSERVERS, seconds))


def _without_none(lines: list[bytes | None]) -> list[bytes]:
    return [line for line in lines if line is not None]


def _bytes_of(lines: Iterable[bytes | None]) -> int:
    return sum(LINE_BYTES + len(line or b"") for line in lines)
