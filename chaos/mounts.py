"""The simulated mount of a house or of a soak, behind a proxy for each of its connections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredList

from mtmount_twisted.dialects.dialect import Topology
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.simulator.tma2022.service import SimulatorService as SimulatorService2022
from mtmount_twisted.testing import HOST, ChaosPair, ChaosProxy

from .ledger import Ledger

LOG = logging.getLogger("chaos.simulator")


class Mount:
    """A simulated mount of 2020. The ledger has the commands that it gets.

    :param options: as for the simulator.
    :ivar network: the proxies between the bridge and the mount, telemetry apart.
    :ivar proxies: the same, each by itself.
    :ivar receive: gives the mount a command that does not come from the bridge.
    """

    network: ChaosPair | ChaosProxy
    proxies: tuple[ChaosProxy, ...]
    simulator: Any
    receive: Callable[[Any], None]

    def __init__(self, reactor: Any, ledger: Ledger, **options: Any) -> None:
        self._reactor = reactor
        self._ledger = ledger
        self._options = options
        self._make_proxies()

    def _make_proxies(self) -> None:
        self.network = pair = ChaosPair(self._reactor)
        self.proxies = pair.commands, pair.replies

    async def start(self) -> None:
        """Start the simulator, and let the proxies lead to it."""
        self.simulator = self._make_simulator()
        self.simulator.startService()
        await self._direct()
        self.receive = receive = self.simulator.mount.receive

        def received(command: Any) -> None:
            self._ledger.came(command)
            receive(command)

        self.simulator.mount.receive = received

    def _make_simulator(self) -> Any:
        replies = self.proxies[1].port
        options = {"command_port": 0, "reply_port": replies, "log": LOG, "reactor": self._reactor}
        return SimulatorService(**(options | self._options))

    async def _direct(self) -> None:
        self.proxies[0].target_port = await self.simulator.wait_command_port()

    def takes_replies(self, port: int) -> None:
        """Let the replies go to a port of the bridge, if it has one for them."""
        self.proxies[1].target_port = port

    def settings(self, reply_port: int) -> dict[str, Any]:
        """Return the keys of the section ``[controller]``."""
        return {"host": HOST, "command_port": self.proxies[0].port, "reply_port": reply_port}

    def reset(self) -> None:
        """Reset the connections to the bridge, telemetry apart."""
        self.network.reset()

    def close(self) -> None:
        """Close them in order."""
        for proxy in self.proxies:
            proxy.close()

    async def stop(self) -> None:
        """Stop the simulator and the proxies."""
        await self.simulator.stopService()
        await self.network.stop()


class TodaysMount(Mount):
    """A simulated mount of tma2022, with power, oil and homing done.

    :ivar telemetry: the proxy between the bridge and the telemetry.
    """

    def _make_proxies(self) -> None:
        self.network = self.proxy = ChaosProxy(self._reactor)
        self.proxies = (self.proxy,)
        self.telemetry = ChaosProxy(self._reactor)

    def _make_simulator(self) -> Any:
        ports = {"command_port": 0, "telemetry_port": 0}
        options = {**ports, "ready": True, "log": LOG, "reactor": self._reactor}
        return SimulatorService2022(**(options | self._options))

    async def _direct(self) -> None:
        self.proxy.target_port, self.telemetry.target_port = self.simulator.port_numbers()

    def takes_replies(self, port: int) -> None:
        """See `Mount`: the replies come on the connection for commands."""

    def settings(self, reply_port: int) -> dict[str, Any]:
        """See `Mount`."""
        return {
            "host": HOST,
            "command_port": self.proxy.port,
            "dialect": self._ledger.setting.mount.name,
            "telemetry_port": self.telemetry.port,
        }

    async def restart(self) -> None:
        """Stop the simulator, and start one that knows nothing of the former."""
        await self.simulator.stopService()
        await self.start()

    async def stop(self) -> None:
        """See `Mount`."""
        await DeferredList([self.simulator.stopService(), self.telemetry.stop(), self.proxy.stop()])


def make_mount(reactor: Any, ledger: Ledger, **options: Any) -> Mount:
    """Make a mount of the ledger's setting, which starts later."""
    has_pair = ledger.setting.mount.topology is Topology.PAIR
    return (Mount if has_pair else TodaysMount)(reactor, ledger, **options)
