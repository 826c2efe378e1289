"""Records as the bridge makes them, for tests of their consumers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from mtmount_twisted.dialects.tma2020.codec import read_command_header, read_reply_header
from mtmount_twisted.errors import LineError
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

Result = TypeVar("Result")


class RecordMaker(Generic[Result]):
    """Makes records, and hands them on: to a journal's ``keep``, or to a bus' ``publish``.

    :param hand_on: called with each record; the methods return its result.
    :param now: return the time of a record (s, Unix time).
    """

    def __init__(self, hand_on: Callable[[Record], Result], now: Callable[[], float]) -> None:
        self._hand_on = hand_on
        self._now = now

    def line(
        self, peer: str, direction: Literal["from", "to"], epoch: int, line: bytes, privileged: bool = True
    ) -> Result:
        """Record a line, with its header as it can be read."""
        read = read_command_header if (peer == CONTROLLER) == (direction == "to") else read_reply_header
        try:
            header = read(line)
        except LineError:
            code = sequence_id = None
        else:
            code, sequence_id = header.code, header.sequence_id
        record = LineRecord(self._now(), epoch, peer, direction, line, code, sequence_id, privileged)
        return self._hand_on(record)

    def step(
        self,
        key: int,
        step: str,
        peer: str,
        epoch: int,
        sequence_id: int,
        code: int,
        lease: int,
        explanation: str = "",
        privileged: bool = True,
    ) -> Result:
        """Record a step in the life of a command."""
        command = sequence_id, code, key, lease
        return self._hand_on(CommandRecord(self._now(), epoch, peer, step, *command, explanation, privileged))

    def change(self, kind: str, peer: str, epoch: int, detail: str = "", privileged: bool = True) -> Result:
        """Record another change."""
        return self._hand_on(ChangeRecord(self._now(), epoch, peer, kind, detail, privileged))
