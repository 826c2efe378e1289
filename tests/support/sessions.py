"""The recorded session with the mock controller, ``tests/data/tma2022/session.txt``, read and played again.

A `Session` replays the lines of the recording at the recorded times to a simulator in memory. While a
telemetry client was connected, the mock controller looked for changes every 0.2 s; the session looks at the
recorded moments, so that the order of replies and events can be compared line by line.
"""

from __future__ import annotations

import ast
import json
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from mtmount_twisted.simulator.tma2022.service import SimulatorService
from mtmount_twisted.testing import MemoryReactor

SESSION = Path(__file__).parent.parent / "data" / "tma2022" / "session.txt"

QUIET = logging.getLogger("mtmount_twisted.tests.session")
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())

_LINE = re.compile(r" *(?P<time>[\d.]+) (?P<what>###|---|CMD2?|MOCK) ?(?P<text>.*)")
_SENT = re.compile(r"-> (?P<data>'.*?(?<!\\)')(?:   #.*)?$")
_UNFINISHED = re.compile(r'\{"id": (?P<id>\d+), "timestamp": [\d.]+, "parameters": (?P<start>.*) \.\.\.\[')


class Entry(NamedTuple):
    """One line of the recording.

    :ivar kind: "section", "sent", "reply", "opened", "closing" or "ended".
    :ivar value: name of the section, bytes, the reply, or the name of the connection.
    """

    time: float
    kind: str
    value: Any


def entries() -> list[Entry]:
    """All entries of the recording that a replay needs."""
    found = []
    for line in SESSION.read_text(encoding="utf-8").splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        entry = _entry(float(match["time"]), match["what"], match["text"])
        if entry is not None:
            found.append(entry)
    return found


def _entry(time: float, what: str, text: str) -> Entry | None:
    if what == "###":
        return Entry(time, "section", text[0])
    if what == "---" and (found := re.match(r"(CMD2?|TEL2?): (connected|closing|end of file)", text)):
        kind = {"connected": "opened", "closing": "closing", "end of file": "ended"}[found[2]]
        return Entry(time, kind, found[1])
    if what == "CMD" and text.startswith("-> 70000 times"):
        return Entry(time, "sent", b"6" * 70000)
    if what == "CMD" and (found := _SENT.match(text)):
        return Entry(time, "sent", ast.literal_eval("b" + found["data"]))
    if what == "CMD" and text.startswith("<- "):
        return Entry(time, "reply", _reply(text[3:]))
    return None


def _reply(text: str) -> dict[str, Any]:
    """A reply without its timestamp. The settings, and a long explanation, are cut in the recording."""
    if found := _UNFINISHED.match(text):
        numbers = re.findall(r'"(commander|sequenceId)": (\d+)', found["start"])
        return {"id": int(found["id"]), "cut": {name: int(number) for name, number in numbers}}
    content: dict[str, Any] = json.loads(text)
    return {"id": content["id"], "parameters": content["parameters"]}


class Client(Protocol):
    """An end of a connection to the simulator."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.is_open = False
        self.was_refused = False

    def connectionMade(self) -> None:
        self.is_open = True

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False

    def take_replies(self) -> list[dict[str, Any]]:
        """The replies since the last call, without their timestamps."""
        *lines, self.data = self.data.split(b"\r\n")
        contents = [json.loads(line) for line in lines]
        return [{"id": each["id"], "parameters": each["parameters"]} for each in contents]


def connect(reactor: MemoryReactor, port: int) -> Client:
    """A client that is connected to a port in memory, or was refused."""
    client = Client()
    factory = ClientFactory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: client  # type: ignore[method-assign]
    reactor.connectTCP("127.0.0.1", port, factory)
    reactor.advance(0)
    return client


def simulator(reactor: MemoryReactor, **options: Any) -> SimulatorService:
    """A simulator in memory that has started."""
    given = {"heartbeat_timeout": 0, "operation_manager": False, "log": QUIET} | options
    given.setdefault("tai", lambda: 1.7e9 + reactor.seconds())
    service = SimulatorService(reactor=reactor, **given)
    service.startService()
    return service


PERIOD = 0.2
"""Interval at which the mock controller looks for changes while a telemetry client is connected, s."""

BASE = 1795692868.9390774 - 2.9012
"""TAI at time 0 of the recording."""


HALF_REFUSED = b"24\n33\n"
"""The 33 that the mock controller rejects though its azimuth moves. Ours does not move it, so that the replay
sends `INSTEAD`: all later sections then start from the recorded position."""

INSTEAD_ID = 9000
INSTEAD = b"%d\n103\n1\n0.0\n0.0\n0\n0\n0\r\n" % INSTEAD_ID


def run_until(reactor: MemoryReactor, time: float) -> None:
    """Pass the time up to a moment, and call each timer at its own time."""
    while due := [call.getTime() for call in reactor.getDelayedCalls() if call.getTime() <= time]:
        reactor.advance(max(0.0, min(due) - reactor.seconds()))
    reactor.advance(max(0.0, time - reactor.seconds()))


def looks(recording: list[Entry]) -> list[float]:
    """The moments at which the mock controller looked for changes, from the events that it sent."""
    joined = next(entry.time for entry in recording if entry == (entry.time, "opened", "TEL"))
    left = next(entry.time for entry in recording if entry == (entry.time, "closing", "TEL"))
    seen = [joined]
    for entry in recording:
        is_event = entry.kind == "reply" and entry.value["id"] >= 100
        if (
            is_event
            and joined < entry.time < left
            and entry.time - seen[-1] > PERIOD / 2
            and not _in_state(entry)
        ):
            seen.append(entry.time)
    found = []
    for start, end in zip(seen, [*seen[1:], left]):
        count = max(1, round((end - start) / (PERIOD * 1.01)))
        found += [start + (end - start) * number / count for number in range(count)]
    return found


def _in_state(entry: Entry) -> bool:
    """True for the first half of the answer to the 2502 of section O, which no look has sent."""
    return 44.16 < entry.time < 44.2


class Session:
    """The recording played to a simulator.

    :param at_once: True to send events at once, False to look for them at the recorded moments.
    :ivar expected: the recorded replies of each section.
    :ivar replies: those of the simulator.
    :ivar ended: for each section, the connections that the simulator has closed.
    """

    def __init__(self, *, at_once: bool) -> None:
        self.recording = entries()
        self.reactor = MemoryReactor()
        self.service = simulator(self.reactor, tai=lambda: BASE + self.reactor.seconds())
        self.clients: dict[str, Client] = {}
        self.expected: dict[str, list[dict[str, Any]]] = {}
        self.replies: dict[str, list[dict[str, Any]]] = {}
        self.ended: dict[str, set[str]] = {}
        self._section = "-"
        self._left: set[str] = set()  # connections that are known to be closed
        self._play(at_once)
        self.service.stopService()
        self.reactor.advance(1)
        self._collect()

    def _play(self, at_once: bool) -> None:
        ticks = [] if at_once else [Entry(time, "look", None) for time in looks(self.recording)]
        moments = [entry for entry in self.recording if entry.kind != "reply"]
        for entry in sorted([*moments, *ticks], key=lambda entry: entry.time):
            run_until(self.reactor, entry.time)
            self._collect()
            self._act(entry, at_once)
            for _ in range(4):
                self.reactor.advance(0)
        self._collect()
        for entry in self.recording:
            if entry.kind == "section":
                self._section = entry.value
            elif entry.kind == "reply":
                self.expected.setdefault(self._section, []).append(entry.value)

    def _act(self, entry: Entry, at_once: bool) -> None:
        if entry.kind == "section":
            self._section = entry.value
        elif entry.kind == "look":
            self.service.mount.look()
        elif entry.kind == "opened":
            port = self.service.port_numbers()[entry.value.startswith("TEL")]
            self.clients[entry.value] = connect(self.reactor, port)
            self._left.discard(entry.value)
            if entry.value == "TEL":
                self.service.mount.at_once = at_once
        elif entry.kind == "closing":
            self.clients[entry.value].transport.loseConnection()
            self._left.add(entry.value)
            if entry.value == "TEL":
                self.service.mount.at_once = True
        elif entry.kind == "sent" and self.clients["CMD"].is_open:
            self.clients["CMD"].transport.write(entry.value)
            if entry.value.startswith(HALF_REFUSED):
                self.clients["CMD"].transport.write(INSTEAD)

    def _collect(self) -> None:
        closed = {name for name, client in self.clients.items() if not client.is_open} - self._left
        self.ended.setdefault(self._section, set()).update(closed)
        self._left |= closed
        if "CMD" in self.clients:
            replies = self.clients["CMD"].take_replies()
            own = [each for each in replies if each["parameters"].get("sequenceId") != INSTEAD_ID]
            self.replies.setdefault(self._section, []).extend(own)
