"""How the page accepts connections that come at once, on a real Unix socket, where peers have no address."""

from __future__ import annotations

import array
import contextlib
import logging
import os
import socket
from contextlib import ExitStack
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.enums import Source
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route, User
from mtmount_twisted.frontends.web.http.guard import Guard, HostPolicy
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.frontends.web.http.tokens import Token, Tokens
from mtmount_twisted.net.accepts import accept_in_turns
from mtmount_twisted.net.endpoints import Endpoint
from mtmount_twisted.net.unix_sockets import SO_PASSRIGHTS
from mtmount_twisted.testing import HOST
from mtmount_twisted.wire.secret import Secret
from tests.support.folders import scratch_folder

LOG = logging.getLogger("tests.accepts")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False

ANYONE = User("anyone", frozenset(["observe", "stop"]), Source.CSC)
SECRET = "stop-secret-000000000001"
STOP = (
    b"POST /stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Connection: close\r\nAuthorization: Bearer %b\r\n\r\n{}" % SECRET.encode()
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

    async def test_peers_that_send_files(self) -> None:
        """A file that a peer sends is ended, the connection too, and nothing is logged for each."""
        path = scratch_folder(self) / "web"
        site = make_site([], Guard(HostPolicy(), None, ANYONE), LOG, reactor, WebSettings())
        port = await Endpoint.parse(f"unix:{path}").listen(site, reactor)
        accept_in_turns(port, reactor, site.is_known, clients_begin=True)
        with contextlib.suppress(OSError):  # a system that can't refuse files
            getattr(port, "socket").setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 1)
        logged: list[str] = []

        def note(event: LogEvent) -> None:
            logged.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            file, other_end = socket.socketpair()
            with file, other_end:
                readers = Reader(), Reader()
                for end, reader in zip((peer, other_end), readers, strict=True):
                    end.setblocking(False)
                    factory = Factory.forProtocol(lambda reader=reader: reader)
                    reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, factory)  # type: ignore[attr-defined]
                rights = array.array("i", [file.fileno()])
                peer.sendmsg([b"G"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                file.close()
                for reader in readers:
                    self.assertEqual(await reader.ended, b"")
        globalLogPublisher.removeObserver(note)
        await port.stopListening()
        await site.close()
        self.assertEqual([line for line in logged if "descriptor" in line], [])

    async def test_user_among_many_that_come_at_once(self) -> None:
        """A stop is answered though twice as many strangers connect before and behind it as have places.

        Its user is known from then on.
        """

        async def stop(call: Call) -> Answer:
            return Answer({"stopped": True})

        path = scratch_folder(self) / "web"
        routes = [Route("POST", "/stop", stop, "stop", "Stop.")]
        tokens = Tokens((Token(User("stopper", frozenset(["stop"]), Source.CSC), Secret(SECRET)),))
        site = make_site(routes, Guard(HostPolicy(), tokens, ANYONE), LOG, reactor, WebSettings())
        port = await Endpoint.parse(f"unix:{path}").listen(site, reactor)
        accept_in_turns(port, reactor, site.is_known, clients_begin=True)
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
        self.assertTrue(site.is_known(f"uid {os.getuid()}"))


class SilentTests(TestCase):
    """The page on a TCP port."""

    @skipIf(not hasattr(socket, "TCP_DEFER_ACCEPT"), "this system can't hold connections back")
    async def test_silent_connections(self) -> None:
        """A request is answered before the silent connections that came first are accepted."""

        async def stop(call: Call) -> Answer:
            return Answer({"stopped": True})

        routes = [Route("POST", "/stop", stop, "stop", "Stop.")]
        tokens = Tokens((Token(User("stopper", frozenset(["stop"]), Source.CSC), Secret(SECRET)),))
        site = make_site(routes, Guard(HostPolicy(), tokens, ANYONE), LOG, reactor, WebSettings())
        port = await Endpoint.parse(f"tcp:0:interface={HOST}").listen(site, reactor)
        accept_in_turns(port, reactor, site.is_known, clients_begin=True)
        address = HOST, getattr(port.getHost(), "port")
        reader = Reader()
        with ExitStack() as open_sockets:
            for _ in range(100):
                open_sockets.enter_context(socket.create_connection(address))
            peer = open_sockets.enter_context(socket.create_connection(address))
            peer.sendall(STOP)
            peer.setblocking(False)
            factory = Factory.forProtocol(lambda: reader)
            reactor.adoptStreamConnection(peer.fileno(), socket.AF_INET, factory)  # type: ignore[attr-defined]
            answer = await reader.ended
            silent = len(site.connections)
        await port.stopListening()
        await site.close()
        self.assertIn(b'{"stopped":true}', answer)
        self.assertEqual(silent, 0)
