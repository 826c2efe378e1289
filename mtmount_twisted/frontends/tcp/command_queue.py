"""`CommandQueue`: the commands of one commander in the order of arrival; those to refuse take turns.

The bridge refuses the commands of a commander that does not have command. A refusal takes the bridge as long
as a command, so that a commander that sends moves without end would delay the holder. Such commands are
therefore dispatched in turns (`net.turns`). Two kinds of command never wait: the commands of the holder, and
stops. Next to read: `commanders` and `ports`, whose clients have a queue each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from twisted.logger import Logger

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.dialects.dialect import CommandEnvelope
from mtmount_twisted.errors import LineError
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.net.turns import LEAST, Turns

_log = Logger()


class _Waiting(NamedTuple):
    """A command that waits.

    :ivar stops: the bridge's number of stops when the command came.
    :ivar header: its envelope once it is read, so that a line is read once; else None.
    """

    line: bytes
    stops: int
    header: CommandEnvelope | None = None


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
        self._waiting: deque[_Waiting] = deque()

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
            self._bridge.all_read(self._client, ((lines[0], None),))  # the usual case, 1 us sooner than below
            return
        stops = self._bridge.stops
        self._waiting += [_Waiting(line, stops) for line in lines]
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
            line, stops, header = self._waiting[0]
            if stops == self._bridge.stops:
                self._bridge.all_read(self._client, self._on_time(most))
            else:
                self._waiting.popleft()
                self._bridge.commanded_late(self._client, line, header)
                self._refused += max(LEAST, len(line))

    def _may_go_on(self, most: int) -> bool:
        return self._has_command or self._refused < most

    def _on_time(self, most: int) -> Iterator[tuple[bytes, CommandEnvelope | None]]:
        """Yield the commands of a slice that no stop has overtaken, and count those that are refused."""
        client, bridge, waiting = self._client, self._bridge, self._waiting
        while waiting and self._may_go_on(most) and waiting[0].stops == bridge.stops:
            line, _, header = waiting.popleft()
            in_flight = client.in_flight
            yield line, header
            if not self._has_command and (client.in_flight <= in_flight or self._is_ask(line, header)):
                self._refused += max(LEAST, len(line))

    def _is_ask(self, line: bytes, header: CommandEnvelope | None) -> bool:
        if header is None:
            with suppress(LineError):
                header = self._bridge.dialect.read_command(line)
        return header is not None and header.kind.is_ask

    def _dispatch_stops(self) -> None:
        """Dispatch the stops that wait, except behind an ask, which may decide on them, or bad lines."""
        kept: deque[_Waiting] = deque()
        while self._waiting:
            line, stops, header = self._waiting.popleft()
            if header is None:
                with suppress(LineError):
                    header = self._bridge.dialect.read_command(line)
            if header is not None and header.kind.is_stop:
                self._bridge.commanded(self._client, line, header)
                continue
            kept.append(_Waiting(line, stops, header))
            if header is None or header.kind.is_ask:
                break
        if self._reader is not None:  # else a stop has ended the session
            self._waiting.extendleft(reversed(kept))
