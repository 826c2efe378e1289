"""`document`: the whole API as OpenAPI 3.1, made from the table of routes, `ROWS` and the catalogue.

`ROWS` says of each route what the table of routes does not: parameters, body and answers. A test fails when
a route has no row or a row no route, and another sends requests that it makes from the document to a daemon.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mtmount_twisted.dialects.tma2020.enums import Source
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.encoding import as_body, gzip
from mtmount_twisted.frontends.web.http.pages import TYPES
from mtmount_twisted.journal.reading import OUTCOMES

from .catalogue import catalogue

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "number", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
EVENT_ID: Schema = {"type": "string", "pattern": "^[0-9]+\\.[0-9]+$"}


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


ROLE = _one_of("observe", "command", "stop")
SOURCE = _one_of(*(source.name for source in Source))


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _such_as(*examples: str) -> Schema:
    return {"type": "string", "examples": list(examples)}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _map(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def _object(optional: Iterable[str] = (), /, **members: Schema) -> Schema:
    """An object with these members and no others."""
    required = [name for name in members if name not in set(optional)]
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


def _entry(entry_type: str, /, **members: Schema) -> Schema:
    common = {
        "id": _or_null(EVENT_ID),
        "time": TIME,
        "type": {"type": "string", "const": entry_type},
        "peer": TEXT,
        "epoch": COUNT,
    }
    return _object(**common, **members)


_SAID = {"time": TIME, "stale": FLAG}
_ALARM = {
    "code": WHOLE,
    "subsystem": _or_null(TEXT),
    "what": TEXT,
    "description": TEXT,
    "active": FLAG,
    **_SAID,
}
_STATES = ["open", "acked", *(outcome for outcome in OUTCOMES if outcome not in ("open", "local"))]

SCHEMAS: dict[str, Schema] = {
    "Problem": {
        "description": "What is wrong, in a line; and each fault in the request.",
        "type": "object",
        "properties": {
            "error": TEXT,
            "faults": _list(_object(where=TEXT, why=TEXT)),
            "command": _ref("Life"),
            "lease": _ref("Lease"),
        },
        "required": ["error"],
    },
    "Life": {
        "description": "A command, and what became of it.",
        **_object(
            id=NAME,
            command=NAME,
            parameters=_map({}),
            commander=NAME,
            sequence_id={"type": "integer", "minimum": 1},
            state=_one_of(*_STATES),
            explanation=TEXT,
            steps=_list(_object(step=NAME, time=TIME)),
            ack_timeout=_or_null(SECONDS),
        ),
    },
    "Lease": {
        "description": "Who has command, and who asks for it.",
        **_object(
            holder=_or_null(NAME),
            source=_or_null(SOURCE),
            number=COUNT,
            since=_or_null(TIME),
            holder_gone=FLAG,
            requests=_list(_object(by=NAME, time=TIME)),
        ),
    },
    "Ask": {
        "description": "{} takes command if nobody has it, and else asks its holder; or take it, or give it.",
        "oneOf": [_ref("AskForLease"), _ref("TakeLease"), _ref("GrantLease")],
    },
    "AskForLease": _object(),
    "TakeLease": _object(take={"type": "boolean", "const": True}),
    "GrantLease": _object(grant={"type": "string", "minLength": 1, "maxLength": 100}),
    "Message": {
        "description": "A line that came from a peer or went to one.",
        **_entry(
            "message",
            direction=_one_of("from", "to"),
            kind=TEXT,
            is_command=FLAG,
            sequence_id=_or_null(WHOLE),
            fields=_or_null(_map({})),
            text=TEXT,
            truncated=FLAG,
        ),
    },
    "Step": {
        "description": "A step in the life of a command.",
        **_entry(
            "step",
            command=TEXT,
            code=WHOLE,
            key=COUNT,
            sequence_id=WHOLE,
            step=TEXT,
            lease=COUNT,
            explanation=TEXT,
        ),
    },
    "Change": {
        "description": "A connection, a lease or a link changed.",
        **_entry("change", kind=TEXT, detail=TEXT),
    },
    "Entry": {"oneOf": [_ref("Message"), _ref("Step"), _ref("Change")]},
    "Page": _object(entries=_list(_ref("Entry")), next=_or_null(EVENT_ID)),
    "State": {
        "description": "All that is known now; what is stale was said before the link was lost.",
        **_object(
            time=TIME,
            version=TEXT,
            controller=_object(
                connected=FLAG,
                epoch=COUNT,
                since=_or_null(TIME),
                command_connection=FLAG,
                reply_connection=FLAG,
                address=TEXT,
            ),
            lease=_ref("Lease"),
            you=_object(name=NAME, commander=NAME, roles=_list(ROLE), source=SOURCE, has_command=FLAG),
            commanders=_list(
                _object(
                    name=NAME,
                    source=SOURCE,
                    address=TEXT,
                    may_command=FLAG,
                    in_flight=COUNT,
                    behind_bytes=COUNT,
                )
            ),
            axes=_map(_object(in_position=FLAG, **_SAID)),
            mount=_object(description=_or_null(TEXT), time=_or_null(TIME), stale=FLAG),
            warnings=_list(_object(**_ALARM)),
            errors=_list(_object(**_ALARM, latched=FLAG)),
            in_flight=_list(
                _object(
                    commander=NAME,
                    command=TEXT,
                    code=WHOLE,
                    sequence_id=WHOLE,
                    since=TIME,
                    sent=FLAG,
                    acked=FLAG,
                    deadline=TIME,
                )
            ),
            journal=_object(path=_or_null(TEXT), lag=SECONDS, lost=COUNT, fault=TEXT),
            counts=_map(COUNT),
        ),
    },
    "Acks": {
        "description": "How fast the mount answered in the last ten minutes, and what it refused last.",
        **_object(
            time=TIME,
            since=TIME,
            column={"description": "The width of a column, in s.", **SECONDS},
            bounds={"description": "The bounds between the bins of `counts`, in s.", **_list(SECONDS)},
            columns=_list(
                _object(time=TIME, counts=_list(COUNT), slowest=SECONDS, refused=COUNT, unanswered=COUNT)
            ),
            last=_or_null(_object(time=TIME, seconds=SECONDS, step=_one_of("ack", "noack", "timed_out"))),
            refusals=_list(_object(time=TIME, command=TEXT, commander=TEXT, explanation=TEXT)),
        ),
    },
    "Described": {
        "type": "object",
        "properties": {
            "code": WHOLE,
            "code_name": NAME,
            "short_name": NAME,
            "doc": TEXT,
            "stop": FLAG,
            "ack_only": FLAG,
            "parameters": _map({}),
            "fields": _map({}),
        },
        "required": ["code", "code_name", "doc"],
        "additionalProperties": False,
    },
    "Catalogue": _object(commands=_map(_ref("Described")), replies=_map(_ref("Described")), request=_map({})),
    "Alive": _object(ok={"type": "boolean", "const": True}),
    "Ready": _object(
        ready={"type": "boolean", "const": True},
        lacks=_list(TEXT),
        lost_rows=_object(with_rights=COUNT, without_rights=COUNT),
    ),
}
"""The document's components, without those that `_commands` makes from the catalogue."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request: where it is, what it may be, and what it is for."""

    name: str
    place: str
    schema: Schema
    doc: str

    def shape(self) -> Schema:
        """As OpenAPI has it."""
        return {
            "name": self.name,
            "in": self.place,
            "required": self.place == "path",
            "schema": self.schema,
            "description": self.doc,
        }


def _query(name: str, schema: Schema, doc: str) -> Parameter:
    return Parameter(name, "query", schema, doc)


_WAIT = (
    _query("wait", _one_of("ack", "done"), "Answer when the command is acknowledged, or has ended."),
    _query("timeout", {"type": "number", "minimum": 0, "maximum": 300, "default": 30}, "How long, in s."),
    Parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        "Sent again with the same body, nothing is done anew, and the first one's life is answered.",
    ),
)
_SELECTION = (
    _query(
        "kind",
        _such_as("message,step", "ACK"),
        "Types of entry and names of codes, with commas between.",
    ),
    _query("peer", _such_as("controller"), "Names of peers, with commas between."),
)
_HISTORY = (
    _query("since", _such_as("10 min ago"), "A time: ISO 8601, 16:14, or '10 min ago'."),
    _query("until", _such_as("now"), "A time, as since."),
    *_SELECTION,
    _query("command", _such_as("AzimuthAxisMove,103"), "Names or codes of commands, with commas between."),
    _query("outcome", _such_as("failed", "done,ack"), f"failed, {', '.join(OUTCOMES)}, with commas between."),
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "Entries at most."),
    _query("before", EVENT_ID, "Only what came before this id, the last first."),
    _query("after", EVENT_ID, "Only what came after this id, the first first."),
)
_RESUME = (
    Parameter("Last-Event-ID", "header", EVENT_ID, "Begin with what came after this event."),
    _query("last_event_id", EVENT_ID, "The same, for who can't send the header."),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What the document says of a route beyond the route itself.

    :ivar id: what programs that are made from the document call it; no other's, and never changed, because
        to change it breaks them.
    :ivar tag: a name in `TAGS`: what it belongs to.
    :ivar answers: what is answered if all is well, by status: the name of a schema, or media types
        with commas between; empty if there is no body.
    :ivar problems: the statuses of a `Problem` beyond those that each route has.
    :ivar body: the name of the body's schema; empty if it takes none.
    """

    id: str
    tag: str
    answers: dict[int, str]
    problems: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: str = ""


TAGS = {
    "commands": "Send commands, and see what became of them.",
    "lease": "Who has command of the mount.",
    "state": "What is known now.",
    "events": "What happens, as it happens and from the journal.",
    "description": "What commands there are, and this document.",
    "monitoring": "Health and figures, for programs that watch.",
    "page": "The page for people.",
}
"""What operations belong to, each with what it is."""

ROWS: dict[tuple[str, str], Row] = {
    ("GET", "/"): Row("get_page", "page", {200: "text/html", 304: ""}),
    ("GET", "/static/{name}"): Row(
        "get_page_file",
        "page",
        {200: ", ".join(dict.fromkeys(kind.partition(";")[0] for kind in TYPES.values())), 304: ""},
        (404,),
        (Parameter("name", "path", _such_as("style.css"), "A file of the dashboard's."),),
    ),
    ("GET", "/healthz"): Row("get_health", "monitoring", {200: "Alive"}),
    ("GET", "/readyz"): Row("get_readiness", "monitoring", {200: "Ready"}, (503,)),
    ("GET", "/metrics"): Row("get_metrics", "monitoring", {200: "text/plain, application/openmetrics-text"}),
    ("GET", "/api/v1/state"): Row("get_state", "state", {200: "State"}),
    ("GET", "/api/v1/catalogue"): Row("get_catalogue", "description", {200: "Catalogue"}),
    ("GET", "/api/v1/openapi.json"): Row("get_openapi", "description", {200: "application/json"}),
    ("POST", "/api/v1/commands"): Row(
        "send_command",
        "commands",
        {200: "Life", 202: "Life"},
        (409, 422, 429, 503),
        _WAIT,
        body="Command",
    ),
    ("GET", "/api/v1/commands/{id}"): Row(
        "get_command",
        "commands",
        {200: "Life"},
        (404,),
        (Parameter("id", "path", NAME, "The id of a life."),),
    ),
    ("GET", "/api/v1/lease"): Row("get_lease", "lease", {200: "Lease"}),
    ("POST", "/api/v1/lease"): Row(
        "ask_lease", "lease", {200: "Lease", 202: "Lease"}, (409, 422, 429, 503, 504), body="Ask"
    ),
    ("DELETE", "/api/v1/lease"): Row(
        "release_lease", "lease", {200: "Lease", 202: "Lease"}, (409, 429, 503, 504)
    ),
    ("GET", "/api/v1/events"): Row(
        "stream_events", "events", {200: "text/event-stream"}, (422, 503), (*_SELECTION, *_RESUME)
    ),
    ("GET", "/api/v1/acks"): Row("get_acks", "state", {200: "Acks"}),
    ("GET", "/api/v1/messages"): Row("list_messages", "events", {200: "Page"}, (422, 429, 503), _HISTORY),
}
"""What there is at each method and path."""

_EVERYWHERE = (400, 403, 414, 421)
_REASONS = {
    200: "As asked.",
    202: "Begun; it goes on.",
    304: "As you have it.",
    400: "A request that can't be read.",
    401: "No token, or an unknown one.",
    403: "Not allowed to this token, or to this origin.",
    404: "There is no such thing.",
    409: "Refused: another has command, or the like.",
    413: "The body is too long.",
    414: "The URL is too long.",
    415: "The body is no application/json.",
    421: "Not a host that this daemon answers for.",
    422: "The request has faults: each is told.",
    429: "Too much of it at once.",
    503: "The daemon or the controller is not ready for it.",
    504: "The controller did not answer in time.",
}


def document(routes: Sequence[Route], version: str, prefix: str = "") -> dict[str, Any]:
    """The OpenAPI document of these routes.

    :param version: the package's.
    :param prefix: what stands before each path, such as ``/mount``.
    :raises KeyError: for a route that has no row in `ROWS`.
    """
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    bearer = {"type": "http", "scheme": "bearer", "description": "Needed where the daemon has tokens."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mtmount-bridge",
            "version": version,
            "description": "Who has command of the mount, what it says, and commands to it.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": prefix or "/"}],
        "paths": paths,
        "tags": [{"name": name, "description": doc} for name, doc in TAGS.items()],
        "components": {"schemas": {**SCHEMAS, **_commands()}, "securitySchemes": {"bearer": bearer}},
    }


def _commands() -> dict[str, Schema]:
    """A component for the body of each command, by its name, and ``Command``, any of them.

    A program that is made from the document then has a class for each, and knows by ``command`` which it is.
    """
    described = catalogue()["commands"]
    bodies = {
        schema["title"]: {"description": described[schema["title"]]["doc"], **schema}
        for schema in catalogue()["request"]["oneOf"]
    }
    mapping = {name: f"#/components/schemas/{name}" for name in bodies}
    anyone = {
        "description": "A command and its parameters; see the catalogue.",
        "oneOf": [_ref(name) for name in bodies],
        "discriminator": {"propertyName": "command", "mapping": mapping},
    }
    return {**bodies, "Command": anyone}


def _operation(route: Route) -> Schema:
    row = ROWS[route.method, route.path]
    problems = {*_EVERYWHERE, *row.problems, *([401] if route.role else [])}
    if row.body:
        problems |= {413, 415, 422}
    operation: Schema = {
        "summary": route.doc,
        "operationId": row.id,
        "tags": [row.tag],
        "x-role": route.role,
        "security": [{"bearer": []}, {}] if route.role else [{}],
        "responses": {str(status): _answer(status, kind) for status, kind in row.answers.items()},
    }
    operation["responses"] |= {str(status): _answer(status, "Problem") for status in sorted(problems)}
    if row.parameters:
        operation["parameters"] = [parameter.shape() for parameter in row.parameters]
    if row.body:
        content = {"application/json": {"schema": _ref(row.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(status: int, kind: str) -> Schema:
    answer: Schema = {"description": _REASONS[status]}
    if "/" in kind:
        answer["content"] = {media: {} for media in kind.split(", ")}
    elif kind:
        answer["content"] = {"application/json": {"schema": _ref(kind)}}
    return answer


def routes(every: Sequence[Route], version: str, prefix: str = "") -> list[Route]:
    """The document's own route.

    :param every: all routes, its own included by the time that it is asked; see `document`.
    """
    made: list[Answer] = []

    async def respond(call: Call) -> Answer:
        if not made:
            text = as_body(document(every, version, prefix))
            made.append(Answer(text, headers={"Content-Type": "application/json"}, gzipped=gzip(text)))
        return made[0]

    return [Route("GET", "/api/v1/openapi.json", respond, None, "This API, as an OpenAPI 3.1 document.")]
