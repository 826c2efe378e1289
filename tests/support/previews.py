"""Random commands to the simulated tma2022 mount, each previewed from the events before it is sent."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mtmount_twisted.dialects.facts import DeviceFact, FactValue
from mtmount_twisted.dialects.preview import Preview
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.dialects.tma2022.facts import facts_of
from mtmount_twisted.dialects.tma2022.preview import preview
from mtmount_twisted.dialects.tma2022.replies import Answer, CmdAcknowledgedReply, CmdRejectedReply

from .simulated_tma2022 import Bench

ACTIONS = (
    *("Power", "Stop", "Move", "TrackTarget", "Home", "EnableTracking"),
    *("DriveReset", "DriveEnable", "ResetAlarm"),
)
NAMES = {
    prefix + each for prefix in ("BothAxes", "Azimuth", "Elevation", "CameraCableWrap") for each in ACTIONS
}
COMMANDS = [command for command in c.Commands if command.__name__ in NAMES]
NUMBERS = (0.0, 1.0, -1.0, 10.0, 45.0, 80.0, 90.0, 90.5, 100.0, -100.0, 269.0, 271.0, -271.0, 1e6)


class Previews:
    """A mount, and the commands that have not ended.

    :ivar wrong: commands that were to be refused and were not.
    :ivar counts: the number of commands, by the expected and the real answer.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._bench = Bench(ready=self._random.random() < 0.7)
        self._facts: dict[tuple[str, str], FactValue] = {}
        self._open: set[int] = set()
        self._heard = 0
        self.wrong: list[tuple[c.Command, Preview]] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def run(self, commands: int) -> None:
        """Preview and send so many commands; those that come while another is open are not judged."""
        self._bench.ask(c.StateInfo(source=Source.CSC))
        self._hear()
        for command in self._commands(commands):
            expected = preview(command, lambda device, name: self._facts.get((device, name)))
            judged = not self._open
            replies = self._bench.ask(command)
            refused = any(isinstance(reply, CmdRejectedReply) for reply in replies)
            self._hear()
            if judged:
                told = "refused" if expected.refusals else "unknown" if expected.unknown else "clear"
                self.counts[told, "refused" if refused else "accepted"] += 1
                if expected.refusals and not refused:
                    self.wrong.append((command, expected))
            if self._random.random() < 0.02:
                self._random.choice(self._bench.mount.axes).raise_alarm("for the test")
            self._bench.wait(self._random.choice((1.0, 3.0, 30.0, 120.0)))
            self._hear()

    def _commands(self, number: int) -> Iterator[c.Command]:
        for _ in range(number):
            cls = self._random.choice(COMMANDS)
            values = {info.name: self._value(info) for info in DIALECT.parameters_of(cls)}
            yield cls(source=Source.CSC, **values)

    def _value(self, info: Any) -> Any:
        if info.dtype is bool:
            return self._random.random() < 0.7
        if info.dtype is int:
            return self._random.choice((-1, 0, 1))
        if info.name == "tai":
            return self._bench.tai() + self._random.choice((0.05, 1.0))
        if "velocity" in info.name or "acceleration" in info.name or "jerk" in info.name:
            return self._random.choice((0.0, 0.01, 5.0, 8.0))
        return self._random.choice(NUMBERS)

    def _hear(self) -> None:
        """Note everything that the mount has said since the last look."""
        said = self._bench.said[self._heard :]
        self._heard += len(said)
        for reply in said:
            if isinstance(reply, CmdAcknowledgedReply):
                if reply.timeout is not None and not math.isclose(reply.timeout, -1):
                    self._open.add(reply.sequence_id)
            elif isinstance(reply, Answer):
                self._open.discard(reply.sequence_id)
            else:
                for fact in facts_of(reply.encode().removesuffix(b"\r\n")):
                    if isinstance(fact, DeviceFact):
                        self._facts[fact.device, fact.name] = fact.value
