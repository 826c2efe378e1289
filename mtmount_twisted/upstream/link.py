"""The bridge's link to the controller: one connection pair, up as a whole or not at all."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from mtmount_twisted.bridge.core import CONTROLLER, Bridge
from mtmount_twisted.net.admission import Network
from mtmount_twisted.net.paired_session import PairedSession

MAX_EARLY = 1000
"""How many lines that come before the link is up are kept; beyond it, the newest."""


class ControllerLink(PairedSession):
    """Tells a bridge when both connections are up, what the controller says, and of a loss.

    Reading from the controller never pauses while the link is up.

    :param commands_out: host and port where the controller takes commands; port 0 if `connect`
        gives it later.
    :param replies_in: address and port to listen on for its replies.
    :param allowed: from where else than there its replies may come.
    """

    def __init__(
        self,
        commands_out: tuple[str, int],
        replies_in: tuple[str, int],
        bridge: Bridge,
        log: logging.Logger,
        reactor: Any,
        allowed: tuple[Network, ...] = (),
    ) -> None:
        self._bridge = bridge
        self.allowed = allowed
        self._early: deque[bytes] = deque(maxlen=MAX_EARLY)
        super().__init__(
            CONTROLLER,
            *commands_out,
            *replies_in,
            log,
            connect=commands_out[1] != 0,
            reactor=reactor,
            send_at_once=True,
        )

    @property
    def has_room(self) -> bool:
        """True if a command can be handed over now."""
        return self.writer is not None and self.writer.has_room

    def send(self, data: bytes) -> None:
        """Hand over a command, terminator included, while `has_room`."""
        writer = self.writer
        if writer is not None:
            writer.send(data)
            if not writer.has_room:
                writer.waiting.wait().addCallbacks(lambda room: self._bridge.hand_over(), lambda lost: None)

    def lines_received(self, lines: list[bytes]) -> None:
        """Pass on what the controller says; what it says too early, when the link is up."""
        if self.up:
            self._bridge.said(lines)
        else:
            self._early.extend(lines)

    def came_up(self) -> None:
        """An epoch begins."""
        early = list(self._early)
        self._early.clear()
        self._bridge.link_up(self)
        self._bridge.said(early)

    def went_down(self, why: str) -> None:
        """The epoch ends, if there was one; what was said before it is forgotten."""
        self._early.clear()
        if self.up:
            self._bridge.link_down(why)
