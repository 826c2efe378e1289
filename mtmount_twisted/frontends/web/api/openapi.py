"""`document`: the whole API as OpenAPI 3.1, made from the routes.

A test sends requests that it makes from the document to a daemon. Next to read: `calls.Route`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mtmount_twisted.dialects.tma2020.enums import Source
from mtmount_twisted.frontends.web.http.answers import Problem, Schema, reference, schemas_of
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Parameter, Route
from mtmount_twisted.frontends.web.http.encoding import as_body, gzip

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


SCHEMAS: dict[str, Schema] = {
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
}
"""The document's components, without those that `_commands` makes from the catalogue."""


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
    :raises ValueError: for a route without the name or the tag of its operation.
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
        "components": {"schemas": _schemas(routes), "securitySchemes": {"bearer": bearer}},
    }


def _schemas(routes: Iterable[Route]) -> dict[str, Schema]:
    """Return the schemas of all answers and bodies."""
    answers = {kind: None for route in routes for kind in route.answers.values() if not isinstance(kind, str)}
    schemas = SCHEMAS | schemas_of([Problem, *answers])
    for route in routes:
        if route.body is not None:
            schemas |= route.body.schemas()
    return schemas


def _operation(route: Route) -> Schema:
    if not route.id or route.tag not in TAGS:
        raise ValueError(f"{route.method} {route.path}: expected an id, and a tag of {', '.join(TAGS)}")
    problems = {*_EVERYWHERE, *route.problems, *([401] if route.role else [])}
    if route.body is not None:
        problems |= {413, 415, 422}
    operation: Schema = {
        "summary": route.doc,
        "operationId": route.id,
        "tags": [route.tag],
        "x-role": route.role,
        "security": [{"bearer": []}, {}] if route.role else [{}],
        "responses": {str(status): _answer(status, kind) for status, kind in route.answers.items()},
    }
    operation["responses"] |= {str(status): _answer(status, Problem) for status in sorted(problems)}
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.body is not None:
        content = {"application/json": {"schema": reference(route.body.name)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "schema": msgspec.json.schema(parameter.type),
        "description": parameter.doc,
    }


def _answer(status: int, kind: type[Struct] | str) -> Schema:
    answer: Schema = {"description": _REASONS[status]}
    if not isinstance(kind, str):
        answer["content"] = {"application/json": {"schema": reference(kind.__name__)}}
    elif "/" in kind:
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

    return [
        Route(
            "GET",
            "/api/v1/openapi.json",
            respond,
            None,
            "This API, as an OpenAPI 3.1 document.",
            id="get_openapi",
            tag="description",
            answers={200: "application/json"},
        )
    ]
