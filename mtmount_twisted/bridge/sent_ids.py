"""The ids of the commands that the bridge sent, for explanations of the mount that name a command by its id.

The mount knows each command by the bridge's sequence id, which commanders never see. `SentIds` replaces such
an id in the explanation of a NoAck with the command's name, the commander's own id, and the commander's name.

No I/O. Next to read: `dispatcher`, which adds each command that it sends.
"""

from __future__ import annotations

import re

from mtmount_twisted.dialects.dialect import CommandKind, ReplyEnvelope

from .pending import PendingCommand

MAX_SENT_IDS = 10_000
"""The largest number of commands that are kept by id. The id of an older command stays a number in an
explanation."""

_INTEGER = re.compile(rb"(?<![\w.+-])[1-9][0-9]{0,9}(?!\w|\.[0-9])")
"""A decimal integer that stands alone: no part of a word, of a fraction or of a signed number."""


class SentIds:
    """The latest commands that were sent to the controller in this epoch, by the bridge's id for each."""

    def __init__(self) -> None:
        # The bridge counts its ids up, so each id modulo the length has a place of its own, and the ring of
        # tuples costs one store for each command.
        self._sent: list[tuple[int, CommandKind, int, str] | None] = []
        self.forget()

    def forget(self) -> None:
        """Begin a new epoch: the connected controller does not know the ids of the last epoch."""
        self._sent = [None] * MAX_SENT_IDS

    def add(self, command: PendingCommand) -> None:
        """Add a command that the bridge sends."""
        header = command.header
        self._sent[command.key % MAX_SENT_IDS] = (
            command.key,
            header.kind,
            header.sequence_id,
            command.client.name,
        )

    def id_of(self, key: int, commander: str) -> int | None:
        """Return the commander's own id of a command; None if the command is unknown or another
        commander's."""
        sent = self._sent[key % MAX_SENT_IDS]
        return sent[2] if sent is not None and sent[0] == key and sent[3] == commander else None

    def explained(self, answer: ReplyEnvelope) -> ReplyEnvelope:
        """Return a refusal or failure of the controller, with each id of the bridge replaced."""
        return answer.explained(self._replaced)

    def _replaced(self, explanation: bytes) -> bytes:
        return _INTEGER.sub(self._name, explanation)

    def _name(self, found: re.Match[bytes]) -> bytes:
        """Return ``NAME #ID of COMMANDER``, without the part that already stands before the id."""
        key = int(found[0])
        sent = self._sent[key % MAX_SENT_IDS]
        if sent is None or sent[0] != key:
            return found[0]
        _, kind, sequence_id, commander = sent
        name = f"{name_of(kind)} #".encode()
        shown = max(0, found.start() - len(name))
        before = found.string[shown : found.start()]
        text = name + f"{sequence_id} of {commander}".encode()
        for there in (name, name[:-1]):
            if before.endswith(there):
                return text[len(there) :]
        return text


def name_of(kind: CommandKind) -> str:
    """Return the name of a command: of its class, or without a class the name of its code, or the code."""
    return kind.name if kind.is_known else f"command {kind.code}"
