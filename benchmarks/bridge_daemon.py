"""The daemon between commanders and mount: ``python -m benchmarks.bridge_daemon KIND PORT [PATH [URL]]``.

KIND is ``bridge``, with no journal; ``journal``, with one in the file PATH; ``station``, which also publishes
to the message broker at URL; ``desk``, which also takes commands from it; ``profile``, which writes the
result of ``cProfile`` to PATH when it is terminated; or ``relay``, which only copies bytes. PORT is the
port on which the one commander with a pair listens for replies, 0 for none. The daemon prints its ports as
JSON (see `Ports`), and reads the port of the mount's commands from standard input.
"""

from __future__ import annotations

import cProfile
import json
import logging
import sys
import time
from typing import Any, TypedDict

from twisted.internet.protocol import ClientFactory, Factory, Protocol

from mtmount_twisted.testing import HOST

BACKLOG = 1000
"""Large enough for a crowd that connects at once."""


class Ports(TypedDict):
    """Where a daemon listens.

    :ivar commands: for the commands of the commander with a pair; 0 if there is none.
    :ivar replies: for the replies of the mount.
    :ivar clients: for any number of clients that receive all.
    """

    commands: int
    replies: int
    clients: int


class Copying(Protocol):
    """Write all received data to several other connections.

    :param joins: the list to which this connection is added, so that data is written to it.
    :param others: the connections that it writes to.
    """

    def __init__(self, joins: set[Protocol], others: set[Protocol]) -> None:
        self.joins = joins
        self.others = others

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.joins.add(self)

    def dataReceived(self, data: bytes) -> None:
        for other in self.others:
            other.transport.write(data)

    def connectionLost(self, reason: object = None) -> None:
        self.joins.discard(self)


class Relay:
    """Copy the bytes of commanders to the mount, and the bytes of the mount to everyone."""

    def __init__(self, reactor: Any, reply_port: int) -> None:
        self._reactor = reactor
        self._mounts: set[Protocol] = set()
        self._hearers: set[Protocol] = set()
        nobody: set[Protocol] = set()
        self.ports = Ports(
            commands=self._listen(nobody, self._mounts),
            replies=self._listen(nobody, self._hearers),
            clients=self._listen(self._hearers, self._mounts),
        )
        if reply_port:
            self._connect(reply_port, self._hearers)

    def _listen(self, joins: set[Protocol], others: set[Protocol]) -> int:
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda address: Copying(joins, others)
        port: int = self._reactor.listenTCP(0, factory, BACKLOG, HOST).getHost().port
        return port

    def _connect(self, port: int, joins: set[Protocol]) -> None:
        factory: Any = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda address: Copying(joins, set())
        self._reactor.connectTCP(HOST, port, factory)

    def connect(self, port: int) -> None:
        """Connect to where the mount takes commands."""
        self._connect(port, self._mounts)


class Bridged:
    """The package's bridge, offered like the relay."""

    def __init__(self, reactor: Any, reply_port: int, path: str, broker: str, has_desk: bool) -> None:
        from mtmount_twisted.app.bridge_service import BridgeService
        from mtmount_twisted.bridge.event_bus import EventBus
        from mtmount_twisted.config.loading import Config
        from mtmount_twisted.config.settings import PairCommander, PortCommanders
        from mtmount_twisted.journal.recorder import Journal

        log = logging.getLogger("benchmarks")
        journal = Journal(path, log, reactor=reactor) if path else None
        if journal is not None:
            journal.start()
        pair = PairCommander(name="csc", command_port=0, reply_port=reply_port or 1)
        port = PortCommanders(name="port", endpoint=f"tcp:0:interface={HOST}:backlog={BACKLOG}")
        config = Config(pairs=(pair,) if reply_port else (), ports=(port,))
        bus = EventBus(reactor, journal)
        service = BridgeService(config, log, bus, reactor)
        service.startService()
        if journal is not None and broker:
            from mtmount_twisted.frontends.broker.desk import Desk
            from mtmount_twisted.frontends.broker.service import BrokerService
            from mtmount_twisted.frontends.broker.words import Begin, StationUser, Tenure

            users = [StationUser(name="night", source="CSC", role="command", expires=60.0)]
            begin = Begin(
                mount="t1",
                node="a",
                journal=str(journal.path),
                dialect=config.dialect,
                servers=[broker],
                credentials=None,
                ca=None,
                replicas=1,
                events=True,
                telemetry=False,
                window=256,
                users=users if has_desk else None,
            )

            def desk(send: Any) -> Desk:
                return Desk(service.bridge, bus, users, reactor, time.time, log, 30.0, send)

            station = BrokerService(begin, log, reactor=reactor, desk=desk if has_desk else None)
            if has_desk:
                station.settle_tenure(Tenure(1, True))
            journal.follow(station.settle)
            reactor.callWhenRunning(station.startService)
        commands = service.pairs[0].server_port if reply_port else 0
        clients = service.ports[0].getHost().port  # type: ignore[attr-defined]
        self.ports = Ports(commands=commands, replies=service.link.server_port, clients=clients)
        self.connect = service.link.connect


def main() -> None:
    kind, reply_port, path = sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:4])
    broker = "".join(sys.argv[4:])
    logging.disable()
    from twisted.internet import reactor

    between: Relay | Bridged
    if kind == "relay":
        between = Relay(reactor, reply_port)
    else:
        keeps = kind in ("journal", "station", "desk")
        between = Bridged(reactor, reply_port, path if keeps else "", broker, kind == "desk")
    print(json.dumps(between.ports), flush=True)
    between.connect(int(sys.stdin.readline()))
    run: Any = reactor.run  # type: ignore[attr-defined]
    if kind != "profile":
        run()
        return
    profile = cProfile.Profile()
    profile.runcall(run)
    profile.dump_stats(path)


if __name__ == "__main__":
    main()
