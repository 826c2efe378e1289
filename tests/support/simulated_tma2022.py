"""A simulated tma2022 mount with a clock, and the end of a connection to one, for tests."""

from __future__ import annotations

import json
import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.dialects.tma2022.replies import Answer, CmdAcknowledgedReply, CmdRejectedReply, Reply
from mtmount_twisted.simulator.tma2022.mount import SimulatedMount

START = 1_000.0
TAI = 1.7e9
QUIET = logging.getLogger("mtmount_twisted.tests.simulated_tma2022")
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())


class Bench:
    """A mount with a clock that a test advances, and all that it has said."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.said: list[Reply] = []
        given = {
            "initial_commander": Source.CSC,
            "heartbeat_timeout": 0,
            "ready": True,
            "log": QUIET,
        } | options
        self.mount = SimulatedMount(self.clock, self.said.append, tai=self.tai, **given)
        self._ids = 0

    def tai(self) -> float:
        """TAI on the test's clock."""
        return TAI + self.clock.seconds()

    def ask(self, command: c.Command) -> list[Reply]:
        """Everything that the mount says at once to a command, which gets the next sequence id."""
        self._ids += 1
        before = len(self.said)
        self.mount.receive(command.replaced(sequence_id=self._ids))
        for _ in range(4):
            self.clock.advance(0)
        return self.said[before:]

    def wait(self, seconds: float) -> list[Reply]:
        """Everything that the mount says in this time."""
        before = len(self.said)
        end = self.clock.seconds() + seconds
        while due := [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= end]:
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))
        return self.said[before:]

    def answers(self, command: c.Command) -> list[str]:
        """The names of the answers that come at once, such as "CmdAcknowledgedReply"."""
        return [type(reply).__name__ for reply in self.ask(command) if isinstance(reply, Answer)]

    def refusal(self, command: c.Command) -> str:
        """The explanation of the rejection; empty if the command is accepted."""
        [answer, *_] = self.ask(command)
        return answer.explanation if isinstance(answer, CmdRejectedReply) else ""

    def timeout(self, command: c.Command) -> float | None:
        """The timeout in the Ack."""
        [answer, *_] = self.ask(command)
        assert isinstance(answer, CmdAcknowledgedReply), answer
        return answer.timeout


def names(replies: list[Reply]) -> list[str]:
    """The names of the classes of replies."""
    return [type(reply).__name__ for reply in replies]


class Lines(LineOnlyReceiver):
    """An end of a connection that a test reads line by line."""

    MAX_LENGTH = 2**20

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.wanted: Deferred[bytes] | None = None
        self.ended: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        if self.wanted is None:
            self.lines.append(line)
        else:
            wanted, self.wanted = self.wanted, None
            wanted.callback(line)

    async def line(self) -> bytes:
        """The next line."""
        if self.lines:
            return self.lines.pop(0)
        self.wanted = Deferred()
        return await self.wanted

    async def id(self) -> int:
        """The id of the next reply."""
        return int(json.loads(await self.line())["id"])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)
