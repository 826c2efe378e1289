"""Ask the daemon over HTTP: who has command, and all that it knows.

`WebClient` asks; each way in which that can go wrong is a `WebError` with one line that says what to do.
Nothing here blocks: names are looked up in a thread, and each question has a deadline.

Imported only when something is to be asked, since it brings ``twisted.web``. Next to read: `watch`, which
asks who has command again and again.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from mtmount_twisted.errors import WebError
from mtmount_twisted.net.deadlines import FairClock
from mtmount_twisted.net.http_headers import PRESENCE
from mtmount_twisted.net.resolving import NamedEndpoint
from mtmount_twisted.net.tls import why_refused

from .connecting import PAGE_ADVICE
from .options import WebAddress

ANSWER_TIME = 3.0
"""How long the daemon has to answer, in seconds, from the look-up of its name on."""

LONGEST_ANSWER = 2**22
"""How long an answer may be, in bytes."""

LONGEST_TOLD = 200
"""How much of what it says of itself is told, in characters."""


class WebClient:
    """Asks one daemon.

    :param address: where its page is.
    :param token: what proves who asks; empty if none is needed.
    :param tls: from `tls.client_options`, for an ``https`` address; else None.
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
        """Ask for a JSON object.

        :param path: such as ``/api/v1/lease``.
        :returns: a Deferred of it; it fails with `WebError`.
        """
        asking = Deferred.fromCoroutine(self._get(path))
        return asking.addTimeout(ANSWER_TIME, FairClock(self._reactor), self._no_answer)

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept; fires when they are gone."""
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    def _no_answer(self, result: Any, timeout: float) -> Any:
        if isinstance(result, Failure):
            hint = "; if it speaks http, say http://" if self._address.secure else ""
            raise WebError(f"no answer from {self._address} within {timeout:g} s{hint}")
        return result

    async def _get(self, path: str) -> dict[str, Any]:
        url = f"{self._address}{path}".encode()
        try:
            response: IResponse = await self._agent.request(b"GET", url, self._headers)
            finished: Deferred[bytes] = Deferred(lambda _: body.transport.loseConnection())
            body = _Body(finished)
            response.deliverBody(body)
            data = await finished
        except (OSError, ConnectError, DNSLookupError, ResponseFailed) as error:
            raise WebError(self._why_lost(error)) from None
        value = _json_object(data)
        if response.code == 200 and value is not None:
            return value
        raise WebError(self._why_not(response, value))

    def _why_lost(self, error: Exception) -> str:
        """Say why there is no answer."""
        cause = error.reasons[0].value if isinstance(error, ResponseFailed) and error.reasons else error
        if self._address.secure and (refused := why_refused(cause)) is not None:
            reason, kind = refused
            return f"{self._address}: {reason}; {PAGE_ADVICE.get(kind, 'its log says more')}"
        if isinstance(error, ResponseFailed):
            other = "http" if self._address.secure else "https"
            return f"{self._address} gave no answer of a web server's; if it speaks {other}, say {other}://"
        if isinstance(cause, DNSLookupError):
            return f"{self._address}: {str(cause).rstrip('.')}; say another --web"
        why = str(cause).rstrip(".") or type(cause).__name__
        return f"nothing answers at {self._address} ({why}); start the bridge with its page, or say --web URL"

    def _why_not(self, response: IResponse, value: dict[str, Any] | None) -> str:
        """Say why an answer is not the one that was asked for."""
        said = "" if value is None else value.get("error")
        if isinstance(said, str) and said:
            advice = f"; {_ADVICE[response.code]}" if response.code in _ADVICE else ""
            return f"{self._address} answers {response.code}: {said[:LONGEST_TOLD]}{advice}"
        places = response.headers.getRawHeaders("location", [])
        if 300 <= response.code < 400 and places:
            return f"{self._address} leads to {places[0][:LONGEST_TOLD]}; name that in --web"
        return (
            f"{self._address} answers {response.code}, and is no page of a bridge's; say --web URL, with the "
            "path if a proxy has the page below one (web.path_prefix)"
        )


_ADVICE = {
    401: "--token-file names the file with yours",
    403: "the token needs the role observe",
    404: "if a proxy has the page below a path, name it in --web (web.path_prefix)",
    421: "name another host in --web, or add this one to web.allowed_hosts",
}
"""What to do about a status, besides what the daemon says of it."""


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _Body(Protocol):
    """Gathers a body, of `LONGEST_ANSWER` at most."""

    transport: Any

    def __init__(self, finished: Deferred[bytes]) -> None:
        self._finished = finished
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        self._size += len(data)
        if self._size > LONGEST_ANSWER:
            self._pieces.clear()  # what is left is no JSON, and so no answer
            self.transport.loseConnection()
        else:
            self._pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is at its end, or cut short."""
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
    """Leads every request to the one address."""

    def __init__(self, reactor: Any, address: WebAddress, tls: Any) -> None:
        named = NamedEndpoint(reactor, address.host, address.port, _patience)
        self._endpoint: IStreamClientEndpoint = named if tls is None else wrapClientTLS(tls, named)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """As in ``IAgentEndpointFactory``."""
        return self._endpoint


def _patience(count: int) -> float:
    """Return how long an attempt at one of so many addresses may take, in seconds; all have `ANSWER_TIME`.

    One that is alone has more than that: the deadline of the question comes first, and says so.
    """
    return ANSWER_TIME / count if count > 1 else 2 * ANSWER_TIME
