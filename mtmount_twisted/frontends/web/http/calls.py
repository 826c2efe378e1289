"""Requests, answers and problems as values, and the routes between them.

A route has a function ``async def respond(call: Call) -> Answer`` that may raise `RequestError`. The guard
has identified the user and accepted the request before the function receives the call. Values only. Next to
read: `answers`, the classes of the answers; `routing`, which calls the routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, Protocol

from msgspec import UNSET, Struct, UnsetType
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.web.http_headers import Headers

from mtmount_twisted.dialects.sources import Source

from . import answers
from .answers import Fault as Fault
from .answers import Json

Role = Literal["observe", "command", "stop"]
"""A right of a token: to read; to send any command, which includes the other two; to send stop commands."""


@dataclass(frozen=True, slots=True)
class User:
    """The user of a request: the owner of a token, or the only user if there are no tokens.

    :ivar name: the name of the token.
    :ivar roles: the user's rights.
    :ivar source: the user's commanding source; the protocol's rules for that source apply.
    :ivar front: the front end that the user comes by: ``web``, or ``broker``.
    """

    name: str
    roles: frozenset[Role]
    source: Source
    front: str = "web"

    @property
    def observes(self) -> bool:
        """True if the user may neither stop the mount nor command it."""
        return self.roles.isdisjoint(("stop", "command"))

    @property
    def commander(self) -> str:
        """The user's name as a commander in the bridge, the log and the journal: ``web/NAME``."""
        return f"{self.front}/{self.name}"


class Transport(Protocol):
    """The transport of a connection."""

    def abortConnection(self) -> None:
        """Close the connection at once."""


class Channel(Protocol):
    """The connection of a request."""

    @property
    def transport(self) -> Transport:
        """Its transport."""


class Request(Protocol):
    """Twisted's request, as the guard, the router and a stream use it."""

    method: bytes
    uri: bytes
    path: bytes
    requestHeaders: Headers
    stops: int

    @property
    def content(self) -> BinaryIO:
        """The body."""

    @property
    def channel(self) -> Channel:
        """The connection."""

    @property
    def startedWriting(self) -> bool | int:
        """True once a part of the answer was written."""

    def getHost(self) -> IAddress:
        """Return the address at which the request arrived."""

    def getClientAddress(self) -> IAddress:
        """Return the address of the peer."""

    def isSecure(self) -> bool:
        """Return True if the request came over TLS."""

    def accepted(self, known: bool, observes: bool) -> None:
        """Record that the request was accepted; see `site.WebRequest`."""

    def notifyFinish(self) -> Deferred[None]:
        """Return a Deferred that fires at the end of the answer, and fails if the connection is lost."""

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the status of the answer."""

    def setHeader(self, name: str, value: str) -> None:
        """Set a header of the answer."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Let the connection pause and resume a producer of the answer."""

    def unregisterProducer(self) -> None:
        """Undo `registerProducer`."""

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""

    def finish(self) -> None:
        """End the answer."""

    def loseConnection(self) -> None:
        """Close the connection once the data is sent."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request.

    :ivar user: the user, with the role that the route needs.
    :ivar parts: the parts of the path that match a name in braces in the route, by that name.
    :ivar query: the last value of each parameter.
    :ivar body: the JSON value of the body; None if there is none.
    :ivar headers: the last value of each header, by its name in lower case; of a header in `LISTS`, all
        values.
    :ivar request: Twisted's request, for a route that answers with a stream; None in a call by a program.
    :ivar only_headers: True for a HEAD request, which starts no stream.
    :ivar network: the peer's network if there are no tokens, because all peers are then one user; else empty.
    :ivar peer: the peer's network; empty if it has none, as at a Unix socket.
    :ivar stops: the number of stops of the bridge when the last bytes of the request came; None in a call by
        a program.
    """

    user: User
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    request: Request | None = None
    only_headers: bool = False
    network: str = ""
    peer: str = ""
    stops: int | None = None

    @property
    def share(self) -> str:
        """The owner of the share that bounds the request: its user, or its network."""
        return self.network or self.user.name


LISTS = ("accept-encoding", "if-none-match")
"""Headers that may be repeated; their values are joined by commas."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request.

    :ivar body: an answer of `answers` or of an area, sent as JSON; or bytes, sent as they are, of the kind
        that ``Content-Type`` in `headers` names.
    :ivar headers: by their names as RFC 9110 spells them. An ``ETag`` belongs to the plain body. A
        ``Location`` on this daemon begins with ``/``.
    :ivar streams: True if the route itself writes to the call's request, now and later.
    :ivar gzipped: the body in gzip, where it exists already; else None.
    """

    body: Struct | bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    streams: bool = False
    gzipped: bytes | None = None


MAX_BODY = 4096
"""The largest body of a route that names no other bound, in bytes. The body of the longest command has 500.
To parse and judge a body of 64 KiB takes ten milliseconds."""

Respond = Callable[[Call], Awaitable[Answer]]
"""The function that answers at a path."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request.

    :ivar type: its values, as a type of which `msgspec` makes a JSON Schema.
    :ivar doc: its purpose, in a line.
    """

    name: str
    place: Literal["path", "query", "header"]
    type: object
    doc: str


def names_in(place: str, parameters: Iterable[Parameter]) -> tuple[str, ...]:
    """Return the names of the parameters that stand in one place."""
    return tuple(parameter.name for parameter in parameters if parameter.place == place)


@dataclass(frozen=True, slots=True)
class Content:
    """JSON for which the API's document has more facts than one class has.

    :ivar name: the name of its schema.
    :ivar schemas: makes that schema, and the schemas that it refers to, by name.
    """

    name: str
    schemas: Callable[[], Mapping[str, answers.Schema]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path, the function that answers there, and its operation in the OpenAPI document.

    :ivar path: with names in braces: ``/api/v1/commands/{id}``.
    :ivar role: the role that a user needs; None if none is needed, not even a token.
    :ivar doc: its purpose, in a line.
    :ivar id: the name of the operation in programs that are generated from the document. It is unique and
        never changed, because a change breaks these programs.
    :ivar tag: the name of its group, one of `openapi.TAGS`.
    :ivar answers: the answers that are no `answers.Problem`, by status: the class of a JSON answer or its
        `Content`, or media types separated by commas; empty if there is no body.
    :ivar problems: the statuses of an `answers.Problem`, beyond the statuses of every route.
    :ivar body: the body that the route takes; None if it takes none.
    :ivar max_body: the length of the longest body, in bytes; the configuration may lower it.
    """

    method: str
    path: str
    respond: Respond
    role: Role | None
    doc: str
    id: str = ""
    tag: str = ""
    answers: Mapping[int, type[Struct] | Content | str] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Content | None = None
    max_body: int = MAX_BODY


class RequestError(Exception):
    """A request is rejected; `answer` makes the `answers.Problem` that the user receives.

    :param status: HTTP's status code, 400 to 599.
    :param title: the reason in a line, which the user receives.
    :param faults: each fault in the request.
    :param lease: the lease as it is, where that explains the problem.
    :param command: the life of the command that could not be carried out.
    """

    def __init__(
        self,
        status: int,
        title: str,
        faults: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
        *,
        lease: answers.Lease | UnsetType = UNSET,
        command: answers.Life | UnsetType = UNSET,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.faults = faults
        self.headers: dict[str, str] = dict(headers or {})
        self._lease = lease
        self._command = command

    def answer(self) -> Answer:
        """Return the answer that the user receives."""
        faults = self.faults or UNSET
        body = answers.Problem(error=self.title, lease=self._lease, command=self._command, faults=faults)
        return Answer(body, self.status, self.headers)
