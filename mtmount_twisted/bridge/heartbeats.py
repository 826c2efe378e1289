"""The heartbeat: the sign of life of the holder of command, to the controller and to the bridge.

While a client has command and the controller has granted it, the bridge sends the controller a heartbeat
every second (protocol-tma2022.rst, "Command"), in the time of grace too. The bridge does not pass on the
heartbeats of commanders. After its first heartbeat in a lease, a holder that sends none for `LONGEST_SILENCE`
counts as gone. This module only appends effects.

Next to read: `arbiter`, which says when the heartbeat runs, and ends the lease of a silent holder.
"""

from __future__ import annotations

from mtmount_twisted.dialects.dialect import Dialect

from .dispatcher import CommandDispatcher
from .effects import CancelTimer, Effect, SetTimer, Timer

INTERVAL = 1.0
"""The time between two heartbeats to the controller, in seconds."""

LONGEST_SILENCE = 5.0
"""The time without a heartbeat after which a holder that sent one counts as gone, in seconds. The mount gives
the bridge the same time."""


class Heartbeats:
    """Sends heartbeats to the controller, and watches those of the holder.

    :ivar is_on: True while the bridge sends heartbeats.
    :ivar watches: True while the holder must send heartbeats.
    """

    def __init__(self, effects: list[Effect], dispatcher: CommandDispatcher, dialect: Dialect) -> None:
        self.is_on: bool = False
        self.watches: bool = False
        self._effects = effects
        self._dispatcher = dispatcher
        self._make = dialect.heartbeat

    def run(self, on: bool) -> None:
        """Begin with a heartbeat at once, or end. If the state stays the same, do nothing."""
        if self._make is None or on is self.is_on:
            return
        self.is_on = on
        if on:
            self.beat()
        else:
            self._effects.append(CancelTimer(Timer.HEARTBEAT))

    def beat(self) -> None:
        """Send a heartbeat, and the next one after a second: `Timer.HEARTBEAT` has ended."""
        if self._make is not None:
            self._dispatcher.send_unanswered(self._make(self._dispatcher.own.source))
            self._effects.append(SetTimer(Timer.HEARTBEAT, INTERVAL))

    def heard(self) -> None:
        """Note a heartbeat of the holder, and expect the next one."""
        self.forget()
        self.watches = True
        self._effects.append(SetTimer(Timer.SILENCE, LONGEST_SILENCE))

    def forget(self) -> None:
        """Expect no more heartbeats of the holder until the next one."""
        if self.watches:
            self.watches = False
            self._effects.append(CancelTimer(Timer.SILENCE))
