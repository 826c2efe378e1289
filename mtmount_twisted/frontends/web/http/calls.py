"""What a request is once it was let in, what answers it, and what is said of one that is wrong: values only.

What answers is ``async def respond(call: Call) -> Answer``; it raises `Problem`. Who made the request, and
that it may be made at all, is settled before it sees the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mtmount_twisted.dialects.tma2020.enums import Source

Role = Literal["observe", "command", "stop"]
"""What a token allows: to look; to command, which includes the other two; to send stop commands."""


@dataclass(frozen=True, slots=True)
class User:
    """Who made a request: the owner of a token, or anyone where there are no tokens.

    :ivar name: the token's name; it is the commander ``web/NAME`` of the log and the journal.
    :ivar roles: what it may do.
    :ivar source: which of the protocol's rules apply to it.
    """

    name: str
    roles: frozenset[Role]
    source: Source

    @property
    def commander(self) -> str:
        """What the bridge, the log and the journal call it."""
        return f"web/{self.name}"


@dataclass(frozen=True, slots=True)
class Call:
    """A request.

    :ivar parts: what stands in the path where its route has a name in braces.
    :ivar query: the last value of each parameter.
    :ivar body: the JSON value of the body; None if there is none.
    :ivar headers: the last value of each header, by its name in lower case; of those in `LISTS` all values.
    :ivar request: Twisted's request, for who answers with a stream.
    :ivar only_headers: True for a HEAD request: an answer that would be a stream is not begun.
    :ivar network: the peer's network where there are no tokens, so that all are one user; else empty.
    :ivar peer: the peer's network; empty for one that has none, as at a Unix socket.
    """

    user: User
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    request: Any = None
    only_headers: bool = False
    network: str = ""
    peer: str = ""

    @property
    def share(self) -> str:
        """The owner of the share that bounds the request: its user, or its network."""
        return self.network or self.user.name


LISTS = ("accept-encoding", "if-none-match")
"""Headers that may come more than once: all their values count, with commas between."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    :ivar body: a JSON value; or bytes, as they are, of the kind that ``Content-Type`` in `headers` names.
    :ivar headers: by their names as RFC 9110 spells them. An ``ETag`` is that of the body as it is; a
        ``Location`` on this daemon begins with ``/``.
    :ivar streams: True if what answers goes on doing so by itself, on the call's request.
    :ivar gzipped: the body in gzip, where that was made before; None if it was not.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    streams: bool = False
    gzipped: bytes | None = None


Respond = Callable[[Call], Awaitable[Answer]]
"""What answers at a path."""


@dataclass(frozen=True, slots=True)
class Route:
    """What answers at a path.

    :ivar path: with names in braces: ``/api/v1/commands/{id}``.
    :ivar role: which one a user needs; None if none is asked for, not even a token.
    :ivar doc: what it does, in a line; for the OpenAPI document.
    """

    method: str
    path: str
    respond: Respond
    role: Role | None
    doc: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request.

    :ivar where: which field, parameter or header: ``parameters.position``, ``query.limit``.
    :ivar why: the value, and what was expected.
    """

    where: str
    why: str


class Problem(Exception):
    """A request can't be answered as it was meant.

    :param status: HTTP's status code, 400 to 599.
    :param title: what is wrong, in a line; told to the user.
    :param faults: each thing that is wrong.
    :param more: further members of the answer's body.
    """

    def __init__(
        self,
        status: int,
        title: str,
        faults: tuple[Fault, ...] = (),
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.faults = faults
        self.more = dict(more or {})
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        """As ``{"error": title, "faults": [{"where": ..., "why": ...}]}``."""
        body: dict[str, Any] = {"error": self.title, **self.more}
        if self.faults:
            body["faults"] = [{"where": fault.where, "why": fault.why} for fault in self.faults]
        return Answer(body, self.status, self.headers)
