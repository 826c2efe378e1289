"""An event in the broker's stream -> the entry that a page shows. No I/O.

The body is not trusted: each program with the right to publish can have sent it. Next to read: `events`,
which makes the bodies; `following` and `searching`, which read them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.frontends.broker.words import MAX_ENTRY, MAX_NAMES, is_deep
from mtmount_twisted.frontends.web.events.shapes import Change, Message, Step, StreamId, read_event_id
from mtmount_twisted.frontends.web.http.encoding import as_json

from .contracts import Stored
from .events import MAX_BODY

_KEY = re.compile(r"mt\.([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]{1,32})\.ev\..+", re.ASCII)


class _Event(Struct):
    """The members of a CloudEvent that are read."""

    type: str
    source: str
    id: str
    time: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
    data: Raw


class _Data(Struct):
    type: str


_read_event = msgspec.json.Decoder(_Event).decode
_read_data = msgspec.json.Decoder(_Data).decode
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "message": msgspec.json.Decoder(Message),
    "step": msgspec.json.Decoder(Step),
    "change": msgspec.json.Decoder(Change),
}


class StreamEntry(NamedTuple):
    """An event of the stream, checked.

    :ivar time: its time, in ISO 8601.
    :ivar kind: its kind, by which a reader selects.
    :ivar json: the entry in the form of the API, with `id`, in ASCII.
    """

    id: StreamId
    time: str
    type: str
    kind: str
    peer: str
    json: bytes


def node_of(key: str) -> str:
    """Return the bridge that published an event; empty if the key is none of an event."""
    found = _KEY.fullmatch(key)
    return "" if found is None else found[2]


def entry_of(stored: Stored, mount: str, own: str, dialect: Dialect) -> StreamEntry:
    """Return an event of the stream as an entry.

    An event of this bridge has the id of its own journal.

    :param own: the name of this bridge.
    :param dialect: the mount's dialect, for the names of commands.
    :raises ValueError: if the event is malformed; the text is for a person.
    """
    if len(stored.body) > MAX_BODY:
        raise ValueError(f"it has {len(stored.body)} bytes; expected at most {MAX_BODY}")
    node = node_of(stored.key)
    event = _read_event(stored.body)
    if event.type != "mtmount.row" or event.source != f"/mount/{mount}/node/{node}":
        raise ValueError(f"it is {event.type[:80]!r} of {event.source[:80]!r}")
    run, row = read_event_id(event.id)
    decoder = _DECODERS.get(type := _read_data(event.data).type)
    if decoder is None:
        raise ValueError(f"its data has the type {type[:80]!r}")
    data: Message | Step | Change = decoder.decode(event.data)
    if (data.id, data.time) != (event.id, event.time):
        raise ValueError("its data is another row")
    id = StreamId(node, run, row, stored.position)
    if node != own:
        data = msgspec.structs.replace(data, id=str(id))
    json = as_json(data)
    if (len(json) > MAX_ENTRY or is_deep(json)) and isinstance(data, Message):
        json = as_json(msgspec.structs.replace(data, fields=None, truncated=True))
    if len(json) > MAX_ENTRY:
        raise ValueError(f"it has {len(json)} bytes as an entry; expected at most {MAX_ENTRY}")
    kind = dialect.kind_of(data.code).code_name if isinstance(data, Step) else data.kind
    if (size := len(as_json([kind, data.peer]))) > MAX_NAMES:
        raise ValueError(f"its kind and peer have {size} bytes; expected at most {MAX_NAMES}")
    return StreamEntry(id, event.time, type, kind, data.peer, json)
