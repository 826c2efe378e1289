"""Questions to the daemon over HTTP: its state, and the holder of command.

`WebClient` asks. Each failure is a `WebError` with one line that contains a remedy. Nothing here blocks:
names are looked up in a thread, and each question has a deadline.

This module is imported only for a question, because it loads ``twisted.web``. Next to read: `watch`, which
repeats the question for the holder of command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from mtmount_twisted.errors import WebError
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.http_headers import PRESENCE
from mtmount_twisted.net.resolving import NamedEndpoint
from mtmount_twisted.net.tls import why_refused

from .connecting import PAGE_ADVICE
from .options import WebAddress

ANSWER_TIME = 3.0
"""Time in seconds in which the daemon must answer, including the look-up of its name."""

LONGEST_ANSWER = 2**19
"""Longest answer in bytes."""

LONGEST_TOLD = 200
"""Largest number of characters of the daemon's own error text to show."""


class WebClient:
    """HTTP client of one daemon.

    :param address: address of the daemon's page.
    :param token: token of the user; empty if none is required.
    :param tls: the result of `tls.client_options` for an ``https`` address; else None.
    """

    def __init__(self, reactor: Any, address: WebAddress, token: str = "", tls: Any = None) -> None:
        self._reactor = reactor
        self._address = address
        self._pool = HTTPConnectionPool(reactor)
        self._agent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, address, tls), self._pool)
        self._headers = Headers({PRESENCE: ["none"]})
        if token:
            self._headers.addRawHeader("Authorization", f"Bearer {token}")

    def get(self, path: str) -> Deferred[dict[str, Any]]:
        """Request a JSON object.

        :param path: such as ``/api/v1/lease``.
        :returns: a Deferred of the object. It fails with `WebError`.
        """
        return self._ask(b"GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Send a JSON object, and return a Deferred as `get` does."""
        return self._ask(b"POST", path, json.dumps(body).encode())

    def _ask(self, method: bytes, path: str, body: bytes | None = None) -> Deferred[dict[str, Any]]:
        asking = Deferred.fromCoroutine(self._request(method, path, body))
        return asking.addTimeout(ANSWER_TIME, FairClock(self._reactor), self._no_answer)

    def close(self) -> Deferred[Any]:
        """Close the connections that were kept open. The Deferred fires when they are closed."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    def _no_answer(self, result: Any, timeout: float) -> Any:
        if isinstance(result, Failure):
            hint = "; if it uses http, give http://" if self._address.secure else ""
            raise WebError(f"no answer from {self._address} within {timeout:g} s{hint}")
        return result

    async def _request(self, method: bytes, path: str, sent: bytes | None) -> dict[str, Any]:
        url = f"{self._address}{path}".encode()
        try:
            headers = self._headers.copy()
            if sent is not None:
                headers.addRawHeader("Content-Type", "application/json")
            response: IResponse = await self._agent.request(
                method, url, headers, None if sent is None else _Sent(sent)
            )
            finished: Deferred[bytes] = Deferred(lambda _: body.transport.loseConnection())
            body = _Body(finished)
            response.deliverBody(body)
            data = await finished
        except (OSError, ConnectError, DNSLookupError, ResponseFailed) as error:
            raise WebError(self._why_lost(error)) from None
        value = _json_object(data)
        if response.code == 200 and value is not None:
            return value
        raise WebError(self._why_not(response, value, _ADVICE if sent is None else _ADVICE_TO_SEND))

    def _why_lost(self, error: Exception) -> str:
        """Return the reason why there is no answer."""
        cause = error.reasons[0].value if isinstance(error, ResponseFailed) and error.reasons else error
        if self._address.secure and (refused := why_refused(cause)) is not None:
            reason, kind = refused
            return f"{self._address}: {reason}; {PAGE_ADVICE.get(kind, 'its log says more')}"
        if isinstance(error, ResponseFailed):
            other = "http" if self._address.secure else "https"
            return f"{self._address} did not answer as a web server; if it uses {other}, give {other}://"
        if isinstance(cause, DNSLookupError):
            return f"{self._address}: {str(cause).rstrip('.')}; give another --web"
        why = str(cause).rstrip(".") or type(cause).__name__
        return (
            f"nothing answers at {self._address} ({why}); start the bridge with its page, or give --web URL"
        )

    def _why_not(self, response: IResponse, value: dict[str, Any] | None, advices: Mapping[int, str]) -> str:
        """Return the reason why an answer is not the expected one."""
        said = "" if value is None else value.get("error")
        if isinstance(said, str) and said:
            advice = f"; {advices[response.code]}" if response.code in advices else ""
            return f"{self._address} answers {response.code}: {said[:LONGEST_TOLD]}{advice}"
        places = response.headers.getRawHeaders(b"location", [])
        if 300 <= response.code < 400 and places:
            place = places[0].decode(errors="replace")[:LONGEST_TOLD]
            return f"{self._address} redirects to {place}; give that in --web"
        return (
            f"{self._address} answers {response.code}, and is not a bridge's page; give --web URL, with the "
            "path if a proxy serves the page below one (web.path_prefix)"
        )


_ADVICE = {
    401: "give the file of your token with --token-file",
    403: "the token requires the role observe",
    404: "if a proxy serves the page below a path, give the path in --web (web.path_prefix)",
    421: "give another host in --web, or add this one to web.allowed_hosts",
}
"""Remedy for a status, in addition to the daemon's own text."""

_ADVICE_TO_SEND = {**_ADVICE, 403: "the token requires the role command"}
"""The remedy for a status of an answer to a question with a body."""


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@implementer(IBodyProducer)
class _Sent:
    """The body of a question. It writes all its bytes at once."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: all bytes are written."""

    resumeProducing = stopProducing = pauseProducing


class _Body(Protocol):
    """Collector of a body, up to `LONGEST_ANSWER`."""

    transport: Any

    def __init__(self, finished: Deferred[bytes]) -> None:
        self._finished = finished
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        self._size += len(data)
        if self._size > LONGEST_ANSWER:
            self._pieces.clear()  # the empty rest is not JSON, so it gives the error for a strange answer
            self.transport.loseConnection()
        else:
            self._pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fire the Deferred with the body, or fail it if the body was cut short."""
        if self._finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self._finished.callback(b"".join(self._pieces))
        else:
            self._finished.errback(
                reason if reason.check(ResponseFailed) else Failure(ResponseFailed([reason]))
            )


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Endpoint factory that sends every request to the same address."""

    def __init__(self, reactor: Any, address: WebAddress, tls: Any) -> None:
        named = NamedEndpoint(reactor, address.host, address.port, _patience)
        self._endpoint: IStreamClientEndpoint = named if tls is None else wrapClientTLS(tls, named)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See ``IAgentEndpointFactory``."""
        return self._endpoint


def _patience(count: int) -> float:
    """Return the time limit for one of `count` addresses, in seconds. All addresses share `ANSWER_TIME`. A
    single address gets more time, so that the deadline of the question comes first, with a better error.
    """
    return ANSWER_TIME / count if count > 1 else 2 * ANSWER_TIME
