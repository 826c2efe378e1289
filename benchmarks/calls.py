"""``python -m benchmarks.calls``: trace one command, its reply and one event through a bridge in memory.

The trace shows the way of each through the package; ``docs/explanation/architecture.rst`` has these ways. It
counts the files on the way, and how often the header of a line is read and a line is decoded.

The commander and the controller each have a pair, and one reader has an event stream. All objects between the
sockets are those of the daemon, except that no thread writes the journal's rows to its file.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, cast

import mtmount_twisted
from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.commands import AskForCommand, AzimuthAxisMove
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, PairCommander, WebSettings
from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.frontends.web.http.calls import User
from mtmount_twisted.frontends.web.http.guard import ANYONE, Guard, HostPolicy
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.frontends.web.service import Areas, Parts
from mtmount_twisted.journal.recorder import JournalOff, Waiting
from mtmount_twisted.replies import InPositionReply
from mtmount_twisted.testing import HOST, MemoryReactor
from mtmount_twisted.wire.messages import BaseMessage
from tests.support.bridges import PairEnd, reply
from tests.support.web import Wire

PACKAGE = Path(mtmount_twisted.__file__).parent
ENDS = PACKAGE / "testing"
"""The sockets in memory, which do not belong to the way."""

HEADERS = {
    *("read_command", "read_reply", "read_to_refuse", "read_wanted"),
    *("read_command_header", "read_reply_header", "read_end"),
}
"""The functions of a dialect that read the header of a line, or more of it."""

DECODERS = {"decode_command", "decode_reply", "decode_to_show"}
"""The functions of a dialect that decode a line."""

LOG = logging.getLogger(__name__)


class Step(NamedTuple):
    """A call of a function of the package."""

    file: str
    function: str


class Trace:
    """The calls of the package's functions, from the arrival of bytes to their delivery.

    :param name: the name of the traced message.
    :param target: a transport; the trace ends when something is written to it.
    :ivar calls: every call until then.
    :ivar ways: the functions that were running when the record of the line entered the event stream's memory,
        if it did, and at the end of the trace.
    :ivar header_reads: how often the header of a line was read, for any purpose.
    :ivar decoded: how often a line was decoded.
    """

    def __init__(self, name: str, target: object) -> None:
        self.name = name
        self.calls: list[Step] = []
        self.ways: list[list[Step]] = []
        self.header_reads = self.decoded = 0
        self.is_delivered = False
        self._target = target

    @property
    def files(self) -> list[str]:
        """The files of the calls, in the order of their first call."""
        return list(dict.fromkeys(step.file for step in self.calls))

    @property
    def changes_of_file(self) -> int:
        """How often a call is in another file than the call before it."""
        return sum(one.file != other.file for one, other in pairwise(self.calls))

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Record a call; see `sys.setprofile`."""
        if event != "call" or self.is_delivered:
            return
        if frame.f_code.co_name in ("write", "writeSequence") and frame.f_locals.get("self") is self._target:
            self.ways.append(_running(frame))
            self.is_delivered = True
            return
        step = _step(frame)
        if step is None or not (self.calls or step.function.endswith("dataReceived")):
            return
        self.calls.append(step)
        if step == Step("frontends/web/events/ring.py", "Feed._append") and not self.ways:
            self.ways.append(_running(frame))
        caller = None if frame.f_back is None else _step(frame.f_back)
        if caller is not None and not caller.file.startswith("dialects/"):
            self.header_reads += step.function in HEADERS
            self.decoded += step.function in DECODERS

    def report(self) -> list[str]:
        """Return the figures as a line, and each way."""
        return [
            f"{self.name}: {len(self.files)} files called, {self.changes_of_file} changes of file, "
            f"{self.header_reads} header reads, {self.decoded} decodes",
            *map(text_of, self.ways),
        ]


def text_of(way: list[Step]) -> str:
    """Return a way as lines: a file, and the functions in it."""
    parts = groupby(way, lambda step: step.file)
    lines = [f"    {file:32} {', '.join(step.function for step in steps)}" for file, steps in parts]
    return "\n".join(lines) + "\n"


def _step(frame: FrameType) -> Step | None:
    """Return the call that a frame runs; None if its function is not on the way."""
    path, function = Path(frame.f_code.co_filename), frame.f_code.co_qualname
    if not path.is_relative_to(PACKAGE) or path.is_relative_to(ENDS) or function.endswith(">"):
        return None
    return Step(str(path.relative_to(PACKAGE)), function)


def _running(frame: FrameType | None) -> list[Step]:
    """Return the calls of the package that are running, the outermost first."""
    steps: list[Step] = []
    while frame is not None:
        step = _step(frame)
        if step is not None:
            steps.append(step)
        frame = frame.f_back
    return steps[::-1]


class House:
    """A bridge between a commander and a controller, each on a pair, and a reader of events on demand."""

    def __init__(self) -> None:
        reactor = self.reactor = MemoryReactor()
        self.commander, self.controller = PairEnd(reactor), PairEnd(reactor)
        port = self.controller.port
        self.config = Config(
            controller=Controller(host=HOST, command_port=port, reply_host=HOST, reply_port=0),
            pairs=(PairCommander(name="csc", command_port=0, reply_port=self.commander.port),),
        )
        self.bus = EventBus(reactor, cast(Any, Waiting(lambda: None)))
        self.service = BridgeService(self.config, LOG, self.bus, reactor)
        self.service.startService()
        reactor.advance(0)
        for end, pair in zip((self.controller, self.commander), self.service.all_pairs, strict=True):
            end.communicator = cast(Any, pair)
            end.connect_server()
        self.commander.say(_line(AskForCommand(sequence_id=1, commander=Commander.CSC)))
        self.controller.serve()
        self.commander.heard()
        self._areas: Areas | None = None

    def open_page(self) -> Wire:
        """Start the page's server, and read the event stream from it."""
        parts, settings = Parts(self.service, self.bus, JournalOff(), self.config.clients), WebSettings()
        areas = self._areas = Areas(parts, settings, LOG, self.reactor, self.reactor.seconds, lambda: 0)
        guard = Guard(HostPolicy(), None, User(ANYONE, frozenset(("observe",)), Source.CSC))
        page = Wire(make_site(areas.routes, guard, LOG, self.reactor, settings))
        page.ask("GET", "/api/v1/events")
        self._pass_time(1)
        return page

    def _pass_time(self, seconds: float) -> None:
        for _ in range(round(20 * seconds)):
            self.reactor.advance(0.05)

    def trace(self, name: str, target: Any, act: Callable[[], object]) -> Trace:
        """Trace the calls of an act, until something is written to a target."""
        trace = Trace(name, target)
        with _profile(trace):
            act()
            self._pass_time(1)
        return trace

    def traces(self) -> list[Trace]:
        """Return the traces of a command, of the reply to it, and of an event on its two ways."""
        move = _line(AzimuthAxisMove(sequence_id=2, position=1, velocity=1, acceleration=1, jerk=1))
        event = _line(InPositionReply(what=0, in_position=True))
        to_controller, to_commander = (cast(Any, pair.writer).transport for pair in self.service.all_pairs)
        commander, controller = self.commander, self.controller
        found = [self.trace("A command", to_controller, lambda: commander.say(move))]
        [sent] = controller.heard()
        found.append(self.trace("A reply", to_commander, lambda: controller.say(reply(0, sent, b"1000"))))
        found.append(self.trace("An event to a commander", to_commander, lambda: controller.say(event)))
        page = self.open_page()
        found.append(self.trace("An event to a page", page.transport, lambda: controller.say(event)))
        page.lose()
        return found

    def close(self) -> None:
        """End everything."""
        if self._areas is not None:
            self._areas.close()
        self.service.stopService()
        self._pass_time(10)


@contextmanager
def _profile(trace: Trace) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        yield
    finally:
        sys.setprofile(before)


def _line(message: BaseMessage) -> bytes:
    return message.encode().removesuffix(b"\r\n")


def main() -> None:
    """Print the traces."""
    house = House()
    for trace in house.traces():
        print("\n".join(trace.report()))
    house.close()


if __name__ == "__main__":
    main()
