"""Records of events at the bridge, as values: a line, a step in a command's life, or another change.

A record is made once, at the place of the event, and is published on the event bus (`bridge.event_bus`). The
header of a line is read before the record is made, so that no subscriber need read it again. Pure.

A record takes 0.04 us to make as a ``msgspec.Struct``, 0.3 us as a named tuple and 0.8 us as a frozen
dataclass, and one command makes seven until its Ack has reached its commander. With ``gc=False``, which is
safe because records form no cycles, the garbage collector does not look at the thousands of records that wait
for the journal and for readers.

Next to read: ``bridge.event_bus``, which publishes them; ``journal.recorder``, which keeps them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class LineRecord(Struct, frozen=True, gc=False):
    """A line that came from a peer, or went to one.

    :ivar time: the time at which the record was made (s, Unix time).
    :ivar epoch: number of the last connection to the controller; 0 before the first.
    :ivar peer: the peer's name.
    :ivar direction: ``"from"`` the peer or ``"to"`` the peer.
    :ivar line: the bytes, without the terminator.
    :ivar code: the code in the line's header; None if the header cannot be read.
    :ivar sequence_id: the sequence id in the line's header; None for an event, and for a header that cannot
        be read.
    :ivar privileged: False if a client without rights caused the record.
    """

    time: float
    epoch: int
    peer: str
    direction: Literal["from", "to"]
    line: bytes
    code: int | None = None
    sequence_id: int | None = None
    privileged: bool = True

    @property
    def size(self) -> int:
        """The length of the line, in bytes."""
        return len(self.line)


class CommandRecord(Struct, frozen=True, gc=False):
    """A step in the life of a command.

    :ivar time: as in `LineRecord`; so are `epoch` and `privileged`.
    :ivar peer: the name of the commander.
    :ivar step: ``received``, ``sent``, ``ack``, or an end: ``done``, ``noack``, ``refused`` ...
    :ivar sequence_id: the command's own id, as the commander sent it.
    :ivar code: the command's code.
    :ivar key: the bridge's sequence id for the command, which is used again only after 2**31 other ids; 0 for
        a command that was never on its way to the controller.
    :ivar lease: number of the lease under which the command came; 0 for none.
    :ivar explanation: the reason of an end, or ``""``.
    """

    time: float
    epoch: int
    peer: str
    step: str
    sequence_id: int
    code: int
    key: int = 0
    lease: int = 0
    explanation: str = ""
    privileged: bool = True

    @property
    def size(self) -> int:
        """The length of the explanation, in characters."""
        return len(self.explanation)


class ChangeRecord(Struct, frozen=True, gc=False):
    """A change besides lines and steps of commands: ``connected``, ``lease_granted``, ``gap`` ...

    :ivar time: as in `LineRecord`; so are `epoch` and `privileged`.
    :ivar peer: the name of the peer that the change is about, or ``""``.
    :ivar kind: the kind of change, in the journal's words.
    :ivar detail: a description of the change, or ``""``.
    """

    time: float
    epoch: int
    peer: str
    kind: str
    detail: str = ""
    privileged: bool = True

    @property
    def size(self) -> int:
        """The length of the detail, in characters."""
        return len(self.detail)


Record = LineRecord | CommandRecord | ChangeRecord
