"""The ids under which the bridge sent commands, for explanations of the mount that name a command by one.

The mount knows each command by the bridge's sequence id, which no commander has ever seen. `SentIds`
replaces such an id in the explanation of a NoAck with the command's name, its commander's own id for it, and
the commander's name.

Next to read: `dispatcher`, which notes each command that it sends.
"""

from __future__ import annotations

import re

from mtmount_twisted.dialects.tma2020.commands import CommandDict
from mtmount_twisted.dialects.tma2020.enums import CommandCode
from mtmount_twisted.dialects.tma2020.framing import MAX_LINE_LENGTH, SHOWN_BYTES

from .pending import PendingCommand

MAX_SENT_IDS = 10_000
"""How many commands are remembered by id; the id of an older one stays a number in an explanation."""

LONGEST_EXPLANATION = MAX_LINE_LENGTH - 128
"""How long an explanation may become, in bytes; one that would be longer stays as the mount sent it."""

_INTEGER = re.compile(rb"(?<![\w.+-])[1-9][0-9]{0,9}(?!\w|\.[0-9])")
"""A decimal integer that stands alone: no part of a word, of a fraction or of a signed number."""


class SentIds:
    """The latest commands that were sent to the controller in this epoch, by the bridge's id for each."""

    def __init__(self) -> None:
        # The bridge counts its ids up, so that an id modulo the length is a place of its own, and a ring of
        # tuples costs a command no more than one store.
        self._sent: list[tuple[int, int, int, str] | None] = []
        self.forget()

    def forget(self) -> None:
        """Begin a new epoch: the ids of the last one mean nothing to the controller that is connected now."""
        self._sent = [None] * MAX_SENT_IDS

    def add(self, flight: PendingCommand) -> None:
        """Note a command that is sent."""
        header = flight.header
        self._sent[flight.key % MAX_SENT_IDS] = (
            flight.key,
            header.code,
            header.sequence_id,
            flight.client.name,
        )

    def explained(self, rest: bytes) -> bytes:
        """What comes behind the header of a NoAck, with each id of the bridge's replaced.

        An explanation that is longer than is shown stays as it came.

        :param rest: the timestamp, which stays, and the explanation.
        """
        timestamp, separator, explanation = rest.partition(b"\n")
        if len(explanation) > SHOWN_BYTES:  # what is not shown whole is not searched
            return rest
        replaced = _INTEGER.sub(self._name, explanation)
        if len(replaced) > LONGEST_EXPLANATION:
            return rest
        return timestamp + separator + replaced

    def _name(self, found: re.Match[bytes]) -> bytes:
        """``NAME #ID of COMMANDER``, without the part of it that stands before the id already."""
        key = int(found[0])
        sent = self._sent[key % MAX_SENT_IDS]
        if sent is None or sent[0] != key:
            return found[0]
        _, code, sequence_id, commander = sent
        name = f"{name_of(code)} #".encode()
        shown = max(0, found.start() - len(name))
        before = found.string[shown : found.start()]
        text = name + f"{sequence_id} of {commander}".encode()
        for there in (name, name[:-1]):
            if before.endswith(there):
                return text[len(there) :]
        return text


def name_of(code: int) -> str:
    """What a command is called: by its class, or, if it has none, by its code's name or its code."""
    try:
        known = CommandCode(code)
    except ValueError:
        return f"command {code}"
    return CommandDict[known].__name__ if known in CommandDict else known.name
