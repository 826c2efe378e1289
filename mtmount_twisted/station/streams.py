"""The streams that a bridge uses, as values; and the differences of an existing stream from these values.
Pure.

Next to read: `nats_engine`, which makes a missing stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SECOND = 1_000_000_000
"""JetStream counts time in nanoseconds."""

DAY = 24 * 3600.0

EVENTS, TELEMETRY, LEASE = "MT_EV", "MT_TEL", "MT_LEASE"
"""The names of the streams with events, telemetry and the leases of the bridges. All mounts and nodes share
them."""

LONGEST_REQUEST = 2**13
"""The longest message of a stream for commands with its headers, in bytes: a command has half of it."""

MOST_OF_SUBJECT = 8
"""The largest number of messages on a subject for commands. A request is one message, a claim and its outcome
are two, and a user that repeats a keep-alive on one subject can't fill the stream."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """A stream.

    :ivar subjects: the subjects of its messages; ``*`` in a subject stands for one word, and ``>`` for the
        rest.
    :ivar max_age: the age at which a message is deleted, in seconds; 0 for no bound.
    :ivar max_bytes: the largest size, in bytes; -1 for no bound.
    :ivar discard: the messages that a full stream discards: ``old`` ones, or the ``new`` one, which it
        refuses.
    :ivar duplicate_window: the time for which a second message with the same id is not stored, in seconds.
    :ivar max_message: the longest message, in bytes; -1 for no bound.
    :ivar max_of_subject: the largest number of messages of one subject; -1 for no bound.
    :ivar direct: True if the last message of a subject can be read without a consumer, from any replica.
    """

    name: str
    subjects: tuple[str, ...]
    max_age: float = 0.0
    max_bytes: int = -1
    replicas: int = 1
    discard: str = "old"
    duplicate_window: float = 120.0
    max_message: int = -1
    max_of_subject: int = -1
    direct: bool = False

    def has(self, subject: str) -> bool:
        """Return True if the stream stores the messages of a subject."""
        return any(_covers(pattern, subject) for pattern in self.subjects)

    def as_json(self) -> dict[str, Any]:
        """Return the stream in the form of JetStream's API."""
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": "limits",
            "storage": "file",
            "max_age": int(self.max_age * SECOND),
            "max_bytes": self.max_bytes,
            "max_msgs": -1,
            "max_consumers": -1,
            "max_msg_size": self.max_message,
            "max_msgs_per_subject": self.max_of_subject,
            "allow_direct": self.direct,
            "num_replicas": self.replicas,
            "discard": self.discard,
            "duplicate_window": int(self.duplicate_window * SECOND),
        }


def events_stream(replicas: int) -> StreamSettings:
    """Return the stream with the events of all mounts."""
    return StreamSettings(EVENTS, ("mt.*.*.ev.>",), max_age=30 * DAY, max_bytes=20 * 2**30, replicas=replicas)


def commands_name(user: str) -> str:
    """Return the name of the stream with the commands of a user. All mounts and nodes share it."""
    return f"MT_CMD_{user}"


def commands_stream(user: str, replicas: int) -> StreamSettings:
    """Return the stream with the commands of a user, for all mounts.

    A full stream refuses requests: if it forgot them, one could be sent a second time. So each user has a
    stream of its own, and no user takes the room of another one's stop. No two streams may have a subject in
    common: the fourth word differs from that of events and telemetry.
    """
    return StreamSettings(
        commands_name(user),
        (f"mt.*.cmd.req.{user}.*", f"mt.*.cmd.life.{user}.*"),
        max_age=90 * DAY,
        max_bytes=2**30,
        replicas=replicas,
        discard="new",
        max_message=LONGEST_REQUEST,
        max_of_subject=MOST_OF_SUBJECT,
        direct=True,
    )


def telemetry_stream() -> StreamSettings:
    """Return the stream with the telemetry of all mounts. It has one replica: the next value comes soon."""
    return StreamSettings(TELEMETRY, ("mt.*.*.tel.*",), max_age=3 * DAY, max_bytes=4 * 2**30)


def lease_stream(replicas: int) -> StreamSettings:
    """Return the stream with the register of each mount, which names the bridge that has the lease.

    It has no direct reads, because the answer may come from a server that lags behind (nats-server, issue
    4162).
    """
    return StreamSettings(LEASE, ("mt.*.lease",), max_bytes=2**24, replicas=replicas, max_of_subject=64)


def _covers(pattern: str, subject: str) -> bool:
    """Return True if a pattern covers a subject, or every subject of another pattern."""
    wide, narrow = pattern.split("."), subject.split(".")
    for number, word in enumerate(wide):
        if word == ">":
            return len(narrow) > number
        if number >= len(narrow) or narrow[number] == ">" or (word != "*" and word != narrow[number]):
            return False
    return len(wide) == len(narrow)


def differences(wanted: StreamSettings, found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a phrase for each setting of a stream that breaks a promise of the bridge.

    An administrator may keep messages for a longer or shorter time, and in more replicas: this yields no
    phrase.

    :param found: the stream in the form of JetStream's API.
    """
    subjects = found.get("subjects", [])
    for subject in wanted.subjects:
        if not any(_covers(each, subject) for each in subjects):
            yield f"it has the subjects {', '.join(subjects)}; expected {subject}"
    if found.get("discard") != wanted.discard:
        yield f"discard is {found.get('discard')}; expected {wanted.discard}"
    if found.get("duplicate_window", 0) < wanted.duplicate_window * SECOND:
        seconds = found.get("duplicate_window", 0) / SECOND
        yield f"duplicate_window is {seconds:g} s; expected at least {wanted.duplicate_window:g} s"
    if found.get("num_replicas", 1) < wanted.replicas:
        yield f"it has {found.get('num_replicas', 1)} replicas; expected {wanted.replicas}"
    longest = found.get("max_msg_size", -1)
    if wanted.max_message > 0 and not 0 < longest <= wanted.max_message:
        yield f"max_msg_size is {longest}; expected {wanted.max_message}"
    if wanted.direct and not found.get("allow_direct"):
        yield "allow_direct is false; expected true: users read their outcomes by it"
    if found.get("storage", "file") != "file":
        yield f"storage is {found.get('storage')}; expected file"
