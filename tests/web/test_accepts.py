"""How the page accepts connections that come at once, on a real Unix socket, where peers have no address."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route, User
from mtmount_twisted.frontends.web.http.guard import Guard, HostPolicy
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.net.accepts import accept_in_turns
from mtmount_twisted.net.endpoints import Endpoint
from tests.support.folders import scratch_folder

LOG = logging.getLogger("tests.accepts")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False

ANYONE = User("anyone", frozenset(["observe", "stop"]), Source.CSC)
STOP = (
    b"POST /stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Connection: close\r\n\r\n{}"
)


class Reader(Protocol):
    """Reads all until the end.

    :ivar ended: fires with what was read.
    """

    def __init__(self) -> None:
        self.read = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.read += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.read)


class UnixTests(TestCase):
    """The page on a Unix socket."""

    async def test_user_among_many_that_come_at_once(self) -> None:
        """A stop is answered though twice as many strangers connect before and behind it as have places."""

        async def stop(call: Call) -> Answer:
            return Answer({"stopped": True})

        path = scratch_folder(self) / "web"
        routes = [Route("POST", "/stop", stop, "stop", "Stop.")]
        site = make_site(routes, Guard(HostPolicy(), None, ANYONE), LOG, reactor, WebSettings())
        port = await Endpoint.parse(f"unix:{path}").listen(site, reactor)
        accept_in_turns(port, reactor, site.is_known, drops_ended=True)
        reader = Reader()
        with ExitStack() as open_sockets:

            def connect() -> socket.socket:
                peer = open_sockets.enter_context(socket.socket(socket.AF_UNIX))
                peer.connect(str(path))
                return peer

            for number in range(601):
                peer = connect()
                if number == 300:
                    peer.sendall(STOP)
                    peer.setblocking(False)
                    factory = Factory.forProtocol(lambda: reader)
                    reactor.adoptStreamConnection(peer.fileno(), socket.AF_UNIX, factory)  # type: ignore[attr-defined]
            answer = await reader.ended
        await port.stopListening()
        await site.close()
        self.assertIn(b'{"stopped":true}', answer)
