"""The messages that a bridge publishes, as values: a row of the journal, or a line of telemetry.

A body is a CloudEvent 1.0 in structured JSON (``docs/reference/station.rst``). No I/O. Next to read:
`outbox`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import msgspec

from mtmount_twisted.frontends.web.events.shapes import Message, Row, row_of, shape
from mtmount_twisted.frontends.web.http.encoding import as_json
from mtmount_twisted.journal.reading import Entry

MAX_BODY = 2**16
"""The longest body of an event, in bytes. A longer body is published without its decoded fields."""

LONGEST_KIND = 64
"""The longest kind in a subject, in characters."""

_OTHER = re.compile(r"[^A-Za-z0-9_-]")


class Event(NamedTuple):
    """A message for the broker.

    :ivar id: the identity by which the broker refuses it a second time.
    """

    subject: str
    body: bytes
    id: str


class Source(NamedTuple):
    """The bridge that publishes."""

    mount: str
    node: str

    @property
    def uri(self) -> str:
        """The bridge in the attribute ``source`` of a CloudEvent."""
        return f"/mount/{self.mount}/node/{self.node}"

    @property
    def prefix(self) -> str:
        """The beginning of the subjects of its messages."""
        return f"mt.{self.mount}.{self.node}"

    @property
    def events(self) -> str:
        """The pattern of the subjects of its events."""
        return f"{self.prefix}.ev.>"


@lru_cache(maxsize=1024)
def kind_word(kind: str) -> str:
    """Return a kind as a word of a subject: ``code 1234`` becomes ``code_1234``."""
    return _OTHER.sub("_", kind[:LONGEST_KIND]) or "_"


@lru_cache(maxsize=16)
def _constants(source: Source) -> tuple[bytes, str, str]:
    """Return the beginnings of a body (up to its id), of a subject and of an identity."""
    head = b'{"specversion":"1.0","type":"mtmount.row","source":"%b","id":"' % source.uri.encode()
    return head, f"{source.prefix}.ev.", f"{source.uri}/"


@lru_cache(maxsize=256)
def _subject_attribute(peer: str) -> bytes:
    return b',"subject":%b' % as_json(peer) if peer else b""


def event_of(entry: Entry, source: Source) -> Event:
    """Return a row of the journal as a message."""
    row = row_of(entry)
    told = shape(row)
    data = as_json(told)
    kind = kind_word(_kind(row))
    if len(data) > MAX_BODY - 1024 and isinstance(told, Message):
        data = as_json(msgspec.structs.replace(told, fields=None, truncated=True))
    head, subject, identity = _constants(source)
    id, when = told.id or "", told.time
    body = b'%b%b","time":"%b"%b,"epoch":%d,"datacontenttype":"application/json","data":%b}' % (
        *(head, id.encode(), when.encode(), _subject_attribute(told.peer), told.epoch, data),
    )
    # A new journal uses the ids of the earlier one again, for other rows: the time makes the identity unique.
    return Event(f"{subject}{told.type}.{kind}", body, f"{identity}{id}/{when}")


def _kind(row: Row) -> str:
    return row.entry.what if row.entry.table == "event" else row.kind


class _Head(msgspec.Struct):
    source: str
    id: str
    time: str


_read_head = msgspec.json.Decoder(_Head).decode


def row_in(body: bytes, source: Source) -> tuple[int, str] | None:
    """Return the id of the row in a published message, and its time; None for a message of another bridge."""
    try:
        head = _read_head(body)
        row = int(head.id.rpartition(".")[2])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return (row, head.time) if head.source == source.uri else None


def telemetry_of(topic: str, number: int, line: bytes, time: str, source: Source) -> Event:
    """Return a line of telemetry as a message.

    :param topic: name of the topic, or its number.
    :param number: the number of earlier lines of this run, which makes each id unique.
    :param line: the line of the mount, which is a JSON object.
    :param time: the time of its arrival, in ISO 8601.
    """
    word = kind_word(topic)
    head = {
        "specversion": "1.0",
        "type": "mtmount.telemetry",
        "source": source.uri,
        "id": f"{word}.{time}.{number}",
        "time": time,
        "subject": topic,
        "datacontenttype": "application/json",
    }
    body = b'%b,"data":%b}' % (as_json(head)[:-1], line)
    return Event(f"{source.prefix}.tel.{word}", body, "")
