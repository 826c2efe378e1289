"""`CommandQueue`: the commands of one commander in the order of arrival; those to refuse take turns.

The bridge refuses the commands of a commander that does not have command. A refusal takes the bridge as long
as a command, so that a commander that sends moves without end would delay the holder. Such commands are
therefore dispatched in turns (`net.turns`). Two kinds of command never wait: the commands of the holder, and
stops. Next to read: `commanders` and `ports`, whose clients have a queue each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from twisted.logger import Logger

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.net.turns import LEAST, Turns

_log = Logger()


class CommandQueue:
    """The commands of one commander that the bridge has not processed yet.

    While a command waits, the connection receives no more, so that the queue holds the lines of one chunk.

    :param turns: the turns of all commanders that do not have command.
    """

    def __init__(self, client: IClient, bridge: Bridge, turns: Turns) -> None:
        self._client = client
        self._bridge = bridge
        self._turns = turns
        self._reader: LineReader | None = None
        self._refused = 0  # bytes of this slice that were refused
        self._waiting: deque[tuple[bytes, int]] = deque()  # each with the number of stops when it came

    def open(self, reader: LineReader) -> None:
        """Accept commands from now on, from this reader."""
        self._reader = reader

    def close(self) -> None:
        """Drop the commands that wait, and accept no more: the client is being disconnected."""
        self._waiting.clear()
        self._turns.discard(self)
        self._reader = None

    def add(self, lines: list[bytes]) -> None:
        """Dispatch commands, or let them wait for a turn."""
        if len(lines) == 1 and not self._waiting and self._has_command:
            self._bridge.all_commanded(self._client, lines)  # the usual case, 1 us sooner than below
            return
        stops = self._bridge.stops
        self._waiting += [(line, stops) for line in lines]
        if self._has_command:
            self._dispatch(0)
        if self._waiting:
            self._turns.add(self)
        if self._waiting:
            self._dispatch_stops()
        if self._waiting and self._reader is not None:
            self._reader.pause()

    def read_slice(self, most: int) -> int:
        """Dispatch commands in this commander's turn; see `turns.Reader`."""
        reader = self._reader
        try:
            self._dispatch(most)
        except Exception:  # it would end the connection that had its turn before
            _log.failure("failed to dispatch a command")
            self.close()
            if reader is not None:
                reader.read_no_more()
                reader.transport.abortConnection()
        if self._waiting:
            self._turns.add(self)
        elif self._reader is not None:
            self._reader.resume()
        return self._refused

    @property
    def _has_command(self) -> bool:
        return self._bridge.lease.holder is self._client

    def _dispatch(self, most: int) -> None:
        """Dispatch commands until refusals have used up a slice; those of the holder use up nothing.

        :param most: the size of the slice, in bytes; 0 to dispatch while the client has command.
        """
        self._refused = 0
        while self._waiting and self._may_go_on(most):
            line, stops = self._waiting[0]
            if stops == self._bridge.stops:
                self._bridge.all_commanded(self._client, self._on_time(most))
            else:
                self._waiting.popleft()
                self._bridge.commanded_late(self._client, line)
                self._refused += max(LEAST, len(line))

    def _may_go_on(self, most: int) -> bool:
        return self._has_command or self._refused < most

    def _on_time(self, most: int) -> Iterator[bytes]:
        """Yield the commands of a slice that no stop has overtaken, and count those that are refused."""
        client, bridge, waiting = self._client, self._bridge, self._waiting
        while waiting and self._may_go_on(most) and waiting[0][1] == bridge.stops:
            line, _ = waiting.popleft()
            in_flight = client.in_flight
            yield line
            if client.in_flight <= in_flight and not self._has_command:
                self._refused += max(LEAST, len(line))

    def _dispatch_stops(self) -> None:
        """Dispatch the stops that wait, except behind an ask, which may decide on them, or bad lines."""
        kept: deque[tuple[bytes, int]] = deque()
        while self._waiting:
            line, stops = self._waiting.popleft()
            try:
                kind = self._bridge.dialect.read_command(line).kind
            except LineError:
                kind = None
            if kind is None or kind.is_ask:
                kept.append((line, stops))
                break
            if kind.is_stop:
                self._bridge.commanded(self._client, line)
            else:
                kept.append((line, stops))
        if self._reader is not None:  # else a stop has ended the session
            self._waiting.extendleft(reversed(kept))
