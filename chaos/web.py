"""Asking the daemon over HTTP: its state and its figures."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.web.client import Agent, FileBodyProducer, ResponseDone, readBody
from twisted.web.http_headers import Headers

from mtmount_twisted.frontends.web.api.metrics import KEPT_TIME
from mtmount_twisted.testing import HOST


class Web:
    """The daemon's web, on a port of this machine."""

    def __init__(self, reactor: Any, port: int) -> None:
        self._reactor = reactor
        self._agent = Agent(reactor, connectTimeout=5)
        self._base = f"http://{HOST}:{port}"

    async def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body."""
        headers = Headers({"Mtmount-Presence": ["none"]})
        response = await self._agent.request(b"GET", f"{self._base}{path}".encode(), headers)
        return int(response.code), await readBody(response)

    async def post(self, path: str, body: Any) -> tuple[int, bytes]:
        """The status and the body that a JSON body is answered with, on a connection of its own."""
        headers = Headers({"Content-Type": ["application/json"]})
        producer = FileBodyProducer(BytesIO(json.dumps(body).encode()))
        url = f"{self._base}{path}".encode()
        response = await self._agent.request(b"POST", url, headers, producer)
        return int(response.code), await readBody(response)

    async def state(self) -> dict[str, Any]:
        """Return the answer of ``/api/v1/state``."""
        state: dict[str, Any] = json.loads((await self.get("/api/v1/state"))[1])
        return state

    async def figure(self, name: str) -> float:
        """The sum of all samples of a figure of ``/metrics``, at most `KEPT_TIME` old."""
        text = (await self.get("/metrics"))[1].decode()
        wanted = f"mtmount_bridge_{name}"
        samples = [line for line in text.splitlines() if line.partition("{")[0].split(" ")[0] == wanted]
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    async def figure_now(self, name: str) -> float:
        """The sum as it is now: an answer of ``/metrics`` is given again for `KEPT_TIME`."""
        await deferLater(self._reactor, KEPT_TIME)
        return await self.figure(name)

    async def events(self, query: str = "") -> Stream:
        """A stream of all events, once its response has begun.

        :param query: what it asks for besides, such as ``?signals=azimuth.actualPosition``.
        """
        response = await self._agent.request(b"GET", f"{self._base}/api/v1/events{query}".encode())
        stream = Stream()
        response.deliverBody(stream)
        return stream


class Stream(Protocol):
    """A reader that counts events.

    :ivar events: how many came.
    """

    transport: Any

    def __init__(self) -> None:
        self.events = 0
        self.is_open = True
        self.gone: Deferred[bool] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.events += data.count(b"\ndata: ") + data.startswith(b"data: ")

    def connectionLost(self, reason: Any = None) -> None:
        self.is_open = False
        self.gone.callback(bool(reason.check(ResponseDone)))

    def close(self) -> None:
        """Go away."""
        self.transport.loseConnection()
