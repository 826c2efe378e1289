"""`document`: the stream of events as AsyncAPI 3.0, generated from its route and the shapes of its events.

OpenAPI can say only that ``/api/v1/events`` is a stream. This document has each event with its schema. No
I/O. Next to read: `openapi`, the rest of the API; `events.shapes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from mtmount_twisted.frontends.web.events.shapes import Change, Gone, Hello, Message, Step
from mtmount_twisted.frontends.web.events.signals import SignalValues
from mtmount_twisted.frontends.web.http.answers import (
    JsonObject,
    LeaseRequest,
    Schema,
    reference,
    schemas_of,
)
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.frontends.web.http.encoding import as_body, gzip

from .telemetry import TelemetryNow

STREAM = "stream_events"
"""The id of the route that this document describes."""


class Request(LeaseRequest, frozen=True, kw_only=True):
    """A commander asks the holder for command."""


class Event(NamedTuple):
    """An event of the stream.

    :ivar shape: the class of its data.
    :ivar doc: when it comes, one sentence.
    """

    shape: type[Struct]
    doc: str


EVENTS = {
    "hello": Event(Hello, "The first event of each stream."),
    "message": Event(Message, "A line came from a peer, or went to one."),
    "step": Event(Step, "A command took a step."),
    "change": Event(Change, "A connection, a lease or a link changed."),
    "request": Event(Request, "A commander asks the holder for command."),
    "gone": Event(Gone, "The stream omits entries, which the history has."),
    "signals": Event(SignalValues, "The latest values of the signals that the parameter signals names."),
    "summary": Event(TelemetryNow, "The motion of the mount, once a second, if signals names summary."),
}
"""The events by their names."""

DESCRIPTION = (
    "Server-sent events. The field event is the name of the message, and data is its payload. Entries "
    "(message, step, change) that the journal has also have a field id, with which a client resumes the "
    "stream: it sends the last one as the header Last-Event-ID."
)


def document(route: Route, version: str, prefix: str = "") -> JsonObject:
    """Return the AsyncAPI document of the stream.

    :param route: the route of the stream.
    :param version: the package's version.
    :param prefix: the prefix of each path, such as ``/mount``.
    """
    query: dict[str, Schema] = {
        parameter.name: {**msgspec.json.schema(parameter.type), "description": parameter.doc}
        for parameter in route.parameters
        if parameter.place == "query"
    }
    binding: Schema = {
        "method": route.method,
        "query": {"type": "object", "properties": query},
        "bindingVersion": "0.3.0",
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "mtmount-bridge: the stream of events",
            "version": version,
            "description": "The messages, steps of commands, changes and signals of a telescope mount, live.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "daemon": {
                "host": "127.0.0.1:8080",
                "pathname": prefix or "/",
                "protocol": "http",
                "description": "The default address. If the daemon has tokens, the stream needs one.",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": {
            "events": {
                "address": route.path,
                "description": DESCRIPTION,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in EVENTS},
            }
        },
        "operations": {
            "sendEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": route.doc,
                "bindings": {"http": binding},
                "messages": [{"$ref": f"#/channels/events/messages/{name}"} for name in EVENTS],
            }
        },
        "components": {
            "messages": {name: _message(name, event) for name, event in EVENTS.items()},
            "schemas": schemas_of([event.shape for event in EVENTS.values()]),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _message(name: str, event: Event) -> Schema:
    return {
        "name": name,
        "summary": event.doc,
        "contentType": "application/json",
        "payload": reference(event.shape.__name__),
    }


def routes(every: Sequence[Route], version: str, prefix: str = "") -> list[Route]:
    """Return the route of the document.

    :param every: all routes; see `document`.
    """
    made: list[Answer] = []

    async def respond(call: Call) -> Answer:
        if not made:
            (stream,) = (route for route in every if route.id == STREAM)
            text = as_body(document(stream, version, prefix))
            made.append(Answer(text, headers={"Content-Type": "application/json"}, gzipped=gzip(text)))
        return made[0]

    return [
        Route(
            "GET",
            "/api/v1/asyncapi.json",
            respond,
            None,
            "The stream of events, as an AsyncAPI 3.0 document.",
            id="get_asyncapi",
            tag="description",
            answers={200: "application/json"},
        )
    ]
