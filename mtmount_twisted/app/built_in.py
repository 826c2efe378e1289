"""The built-in simulator, which the bridge uses if no controller is configured: one for each dialect.

The system chooses its ports. This module opens no socket itself. Next to read: `bridge`, which starts it;
`simulator`, the simulator as a program.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mtmount_twisted.config.settings import Controller
from mtmount_twisted.dialects.dialect import DialectName
from mtmount_twisted.errors import PairClosedError
from mtmount_twisted.net.pair import ConnectionPair
from mtmount_twisted.upstream.link import ControllerLink

from . import daemon

HOST = "127.0.0.1"


class BuiltIn(Struct, frozen=True, kw_only=True):
    """A built-in simulator.

    :param service: the simulator; the daemon starts it before the bridge.
    :param controller: return the place of the simulator, once it has started; None if `join` tells the bridge
        the place.
    :param join: connect the simulator and the bridge's link; the Deferred fires when they are connected. It
        fails with `PairClosedError` if the bridge stops before that.
    """

    service: Service
    controller: Callable[[], Controller | None]
    join: Callable[[ControllerLink], Deferred[None]]


def closed(reason: Failure) -> None:
    """Ignore the error of a pair that closed because the daemon stopped before it was ready."""
    reason.trap(PairClosedError)


def _with_pair(program: str, log: logging.Logger) -> BuiltIn:
    """Return a simulator with two connections: each side needs the port on which the other one listens."""
    # Imported here because only a bridge without a controller needs it.
    from mtmount_twisted.simulator.service import SimulatorService

    simulator = SimulatorService(host=HOST, command_port=0, reply_port=0, log=log)

    def join(link: ControllerLink) -> Deferred[None]:
        mount: ConnectionPair[Any] = simulator.communicator
        daemon.check_listening(program, [mount])
        mount.connect(link.server_port).addErrback(closed)
        return link.connect(mount.server_port)

    return BuiltIn(service=simulator, controller=lambda: None, join=join)


def _with_telemetry(program: str, log: logging.Logger) -> BuiltIn:
    """Return a simulator with one connection for commands and another one for telemetry."""
    # Imported here because it takes tens of milliseconds, which a bridge of the other dialect need not pay.
    from mtmount_twisted.simulator.tma2022.service import SimulatorService

    simulator = SimulatorService(host=HOST, command_port=0, telemetry_port=0, ready=True, log=log)

    def controller() -> Controller:
        command, telemetry = simulator.port_numbers()
        return Controller(host=HOST, command_port=command, dialect="tma2022", telemetry_port=telemetry)

    return BuiltIn(service=simulator, controller=controller, join=ControllerLink.wait_connected)


_SIMULATORS: dict[DialectName, Callable[[str, logging.Logger], BuiltIn]] = {
    "tma2020": _with_pair,
    "tma2022": _with_telemetry,
}


def built_in(dialect: DialectName, program: str, log: logging.Logger) -> BuiltIn:
    """Return the built-in simulator of a dialect, not started.

    :param program: the daemon's name in the line with which it ends if the simulator can't listen.
    """
    return _SIMULATORS[dialect](program, log)
