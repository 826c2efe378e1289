"""The events of the other bridges of the mount, as the web shows them. Values only.

While another bridge commands the mount, its events come from the stream of the message broker. An event has
the id of its row in that bridge's journal, and its place in the stream (`shapes.StreamId`), so that no two
bridges have an event of the same id. Next to read: `ring`; ``frontends.broker.reading``, which gets them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .selection import Selection
from .shapes import StreamId


class OtherEvent(NamedTuple):
    """An event of another bridge.

    :ivar type: ``message``, ``step``, ``change``; or ``gone`` for events that the stream does not have.
    :ivar kind: its kind, by which a reader selects.
    :ivar text: the event in the form of the API, as JSON in ASCII.
    :ivar id: None for ``gone``.
    """

    type: str
    kind: str
    peer: str
    text: str
    id: StreamId | None

    @property
    def size(self) -> int:
        """The length of the text, in characters."""
        return len(self.text)


class StreamQuery(NamedTuple):
    """A query for a page of the events of all bridges of the mount.

    :ivar selection: the events that are selected by kind and peer.
    :ivar limit: the most entries.
    :ivar before: the events before this one, the newest first; None for all.
    :ivar after: the events after this one, the oldest first; None for a query by `before`.
    :ivar since: the earliest time of an event, in ISO 8601; None for any, and so is `until`.
    """

    selection: Selection
    limit: int
    before: StreamId | None = None
    after: StreamId | None = None
    since: str | None = None
    until: str | None = None


class StreamPage(NamedTuple):
    """A page of events, each as JSON; and the id from which the next page continues, or None at the end."""

    entries: list[bytes]
    next: str | None


class Receiver(Protocol):
    """The receiver of the events of the other bridges."""

    follows: bool
    """True while this bridge stands by, and receives the events of the other ones."""

    def show(self, event: OtherEvent) -> None:
        """Process an event."""

    def note_missing(self) -> None:
        """Note that the broker does not have some events any more."""
