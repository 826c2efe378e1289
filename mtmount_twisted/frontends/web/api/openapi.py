"""`document`: the whole API as OpenAPI 3.1, generated from the routes.

A test generates requests from the document and sends them to a daemon. No I/O. Next to read: `calls.Route`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from mtmount_twisted.frontends.web.http.answers import JsonObject, Problem, Schema, reference, schemas_of
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Content, Parameter, Route
from mtmount_twisted.frontends.web.http.encoding import as_body, as_json, gzip

from .examples import EXAMPLES

TAGS = {
    "commands": "Send commands, and read their states and steps.",
    "lease": "Command of the mount: its holder, and requests for it.",
    "state": "The present state of the mount and the bridge.",
    "telemetry": "The motion of the mount, its signals, slews and limits.",
    "events": "Messages, steps of commands and changes, live and from the journal.",
    "description": "The commands and replies, and this document.",
    "monitoring": "Health and metrics, for monitoring systems.",
    "page": "The page for people.",
}
"""The groups of operations."""

_EVERYWHERE = (400, 403, 414, 421)
_REASONS = {
    200: "Success.",
    202: "Accepted; it goes on.",
    304: "Unchanged since the reader's copy.",
    400: "The request can't be read.",
    401: "No token, or an unknown one.",
    403: "Not allowed to this token, or to this origin.",
    404: "Not found.",
    409: "Rejected: another commander has command, for example.",
    413: "The body is too long.",
    414: "The URL is too long.",
    415: "The body is not application/json.",
    421: "The daemon does not serve this host name.",
    422: "The request has faults; the answer lists them.",
    429: "Too many at once.",
    503: "The daemon or the controller is not ready.",
    504: "The controller did not answer in time.",
}


def document(routes: Sequence[Route], version: str, prefix: str = "") -> JsonObject:
    """Return the OpenAPI document of these routes.

    :param version: the package's version.
    :param prefix: the prefix of each path, such as ``/mount``.
    :raises ValueError: for a route without the name or the tag of its operation.
    """
    paths: dict[str, JsonObject] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    bearer = {"type": "http", "scheme": "bearer", "description": "Needed where the daemon has tokens."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mtmount-bridge",
            "version": version,
            "description": "Commands to the mount, its replies, and the right to command it.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": prefix or "/"}],
        "paths": paths,
        "tags": [{"name": name, "description": doc} for name, doc in TAGS.items()],
        "components": {"schemas": _schemas(routes), "securitySchemes": {"bearer": bearer}},
    }


def _schemas(routes: Iterable[Route]) -> dict[str, Schema]:
    """Return the schemas of all answers and bodies."""
    kinds = [kind for route in routes for kind in (*route.answers.values(), route.body)]
    schemas = schemas_of([Problem, *{kind: None for kind in kinds if isinstance(kind, type)}])
    for kind in kinds:
        if isinstance(kind, Content):
            schemas |= kind.schemas()
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
    if route.id in EXAMPLES:
        operation["responses"]["200"]["content"]["application/json"]["examples"] = {
            name: {"value": msgspec.json.decode(as_json(make()))} for name, make in EXAMPLES[route.id].items()
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


def _answer(status: int, kind: type[Struct] | Content | str) -> Schema:
    answer: Schema = {"description": _REASONS[status]}
    if isinstance(kind, str):
        return answer | ({"content": {media: {} for media in kind.split(", ")}} if kind else {})
    name = kind.name if isinstance(kind, Content) else kind.__name__
    return answer | {"content": {"application/json": {"schema": reference(name)}}}


def routes(every: Sequence[Route], version: str, prefix: str = "") -> list[Route]:
    """Return the route of the document itself.

    :param every: all routes, which include this one when the document is requested; see `document`.
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
