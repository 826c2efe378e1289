"""Two bridges in one process, with a broker in memory, before one simulated tma2022 mount."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from twisted.internet.protocol import ClientFactory
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, PairCommander, PortCommanders
from mtmount_twisted.frontends.broker.words import Answer, Question
from mtmount_twisted.simulator.tma2022.service import SimulatorService
from mtmount_twisted.station.keeper import Keeper
from mtmount_twisted.testing import HOST, MemoryReactor
from mtmount_twisted.testing.broker import MemoryBroker, MemoryEngine
from mtmount_twisted.upstream.leadership.service import Leadership
from mtmount_twisted.upstream.leadership.tenure import Rules, State

from .bridges_tma2022 import CommanderEnd
from .commanders import LOG, RecordingJournal
from .simulated_tma2022 import QUIET

T = 3.0
PORTS = {"a": (31001, 31002), "b": (32001, 32002), "c": (33001, 33002)}
"""The ports of the pair and of the desk of each bridge."""


async def _turn() -> None:
    """Let the other tasks of the loop run once."""
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    await turned.wait()


class MemoryStation:
    """The child process of a bridge, in memory: the questions of the election, and its `Keeper`.

    :ivar tenures: what the child was told.
    :ivar follows: True while it reads the events of the other bridges.
    :ivar is_cut: True while this bridge alone does not reach the broker.
    """

    def __init__(self, broker: MemoryBroker, loop: asyncio.AbstractEventLoop) -> None:
        self.tenures: list[tuple[int, bool]] = []
        self.is_cut = self.follows = False
        self.leadership: Any = None
        self._loop = loop
        self._answers: list[Answer] = []
        self.engine = MemoryEngine(broker)
        self.engine.start()
        self._keeper = Keeper(self.engine, "t1", self._answers.append)
        self._task = loop.create_task(self._keeper.run())

    def ask(
        self,
        number: int,
        what: Literal["get", "swap", "here", "leave", "gone"],
        value: str = "",
        revision: int = 0,
    ) -> bool:
        """See ``leadership.service.Broker``."""
        if self.is_cut:
            return False
        self._keeper.ask(Question(number=number, what=what, value=value, revision=revision))
        return True

    def announce(self, epoch: int, active: bool) -> None:
        """See ``leadership.service.Broker``."""
        self.tenures.append((epoch, active))

    def follow(self, is_standby: bool) -> None:
        """See ``leadership.service.Broker``."""
        self.follows = is_standby

    def turn(self) -> bool:
        """Let the child work; return True if it had an answer."""
        for _ in range(4):
            self._loop.run_until_complete(_turn())
        answers, self._answers[:] = list(self._answers), []
        for each in answers:
            self.leadership.answered(each.number, each.known, each.value, each.revision, each.gone)
        return bool(answers)

    def close(self) -> None:
        """End the child."""
        self._task.cancel()
        self._loop.run_until_complete(asyncio.wait([self._task]))
        self._loop.run_until_complete(self.engine.close())


class Bridge:
    """One bridge.

    :ivar slept: what the clock of the guard is ahead, in seconds.
    """

    def __init__(self, case: TwoBridgesCase, node: str, **rules: Any) -> None:
        self.case, self.node = case, node
        self.slept = 0.0
        self.journal = RecordingJournal()
        self.station = MemoryStation(case.broker, case.loop)
        pair, desk = PORTS[node]
        config = Config(
            controller=Controller(
                host=HOST,
                command_port=case.command_port,
                dialect="tma2022",
                telemetry_host=HOST,
                telemetry_port=case.telemetry_port,
            ),
            pairs=(PairCommander(name="csc", command_port=pair),),
            ports=(
                PortCommanders(
                    name="desk", endpoint=f"tcp:{desk}:interface={HOST}", source="EUI", role="commander"
                ),
            ),
        )
        self.bus = EventBus(case.reactor, self.journal)
        self.service = BridgeService(config, LOG, self.bus, case.reactor)
        self.leadership = Leadership(
            Rules(node, case.one_peer, **rules),
            self.service,
            self.station,
            LOG,
            reactor=case.reactor,
            clock=lambda: case.reactor.seconds() + self.slept,
        )
        self.station.leadership = self.service.leadership = self.leadership
        self.is_alive = True
        self.service.startService()
        self.leadership.startService()

    @property
    def state(self) -> State:
        """The state in the election."""
        return State(self.leadership.state)

    @property
    def sent(self) -> list[bytes]:
        """The lines that it sent to the mount."""
        return [line for peer, way, _, line in self.journal.messages if (peer, way) == ("controller", "to")]

    @property
    def codes(self) -> list[int]:
        """The codes of these commands."""
        return [int(line.split(b"\n")[1]) for line in self.sent]

    @property
    def keys(self) -> list[int]:
        """The sequence ids of these commands."""
        return [int(line.split(b"\n")[0]) for line in self.sent]

    def kill(self) -> None:
        """End, as by ``kill -9``: the system closes all connections, and the child ends."""
        self.is_alive = False
        self.leadership.stopService()
        self.station.close()
        self.service.close_link("killed")
        self.service.close_ports("killed")

    def stop(self) -> None:
        """End, as by SIGTERM, and see that it has ended."""
        self.leadership.begin_end()
        stopped = self.service.stopService()
        self.case.pass_time(1.5)
        self.case.successResultOf(stopped)
        finished = self.leadership.finish()
        self.case.pass_time(0.1)
        self.case.successResultOf(finished)
        self.leadership.stopService()
        self.is_alive = False
        self.station.close()


class TwoBridgesCase(SynchronousTestCase):
    """A broker, a mount, and a bridge `a` that is active; a test adds others."""

    one_peer = True

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.loop = asyncio.new_event_loop()
        self.broker = MemoryBroker(lambda: 1000.0)
        self.simulator = SimulatorService(
            host=HOST,
            command_port=0,
            telemetry_port=0,
            heartbeat_timeout=0.0,
            ready=True,
            log=QUIET,
            reactor=self.reactor,
        )
        self.simulator.startService()
        self.command_port, self.telemetry_port = self.simulator.port_numbers()
        self.bridges: list[Bridge] = []
        self.a = self.add("a")
        self.pass_time(1)

    def add(self, node: str, **rules: Any) -> Bridge:
        """Start a bridge."""
        bridge = Bridge(self, node, **rules)
        self.bridges.append(bridge)
        return bridge

    def tearDown(self) -> None:
        for bridge in self.bridges:
            if bridge.is_alive:
                bridge.stop()
            else:
                bridge.service.stopService()
        self.simulator.stopService()
        self.pass_time(2)
        self.loop.close()
        self.assertEqual((self.reactor.ports, self.reactor.getDelayedCalls()), ({}, []))

    def turn(self) -> None:
        """Let the broker answer, until no question is open."""
        self.reactor.advance(0)
        while any([bridge.station.turn() for bridge in self.bridges if bridge.is_alive]):
            self.reactor.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in steps short enough for all that repeats."""
        self.turn()
        for _ in range(round(seconds * 20)):
            self.reactor.advance(0.05)
            self.turn()

    def until_active(self, bridge: Bridge) -> float:
        """Wait until a bridge is active; how long that took (s)."""
        began = self.reactor.seconds()
        while bridge.state is not State.ACTIVE:
            self.assertLess(self.reactor.seconds() - began, 30, bridge.state)
            self.pass_time(0.05)
        return self.reactor.seconds() - began

    def join(self, bridge: Bridge, number: int = 0) -> CommanderEnd:
        """A new connection to the pair (0) or to the desk (1) of a bridge."""
        client = CommanderEnd()
        factory: Any = ClientFactory.forProtocol(lambda: client)
        self.reactor.connectTCP(HOST, PORTS[bridge.node][number], factory)
        self.turn()
        return client
