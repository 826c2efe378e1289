"""Test doubles around the bridge, without sockets: clients, a link and a journal that record."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import Translator
from mtmount_twisted.dialects.tma2020.codec import read_command_header
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.enums import CommandCode, ReplyCode, Source
from mtmount_twisted.interfaces import IClient, IControllerLink, IJournal
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

from . import strategies  # noqa: F401 - it sets Hypothesis's profile

LOG = logging.getLogger("tests.bridge")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False

STAMP = b"2020-02-27T14:48:27.469"

ASK = int(CommandCode.ASK_FOR_COMMAND)
MOVE = int(CommandCode.BOTH_AXES_MOVE)
STOP = int(CommandCode.BOTH_AXES_STOP)
TRACK = int(CommandCode.BOTH_AXES_TRACK)

STATE = b"5\n" + STAMP + b"\nEnabled"
"""An event."""


def command(sequence_id: int, code: int, source: int, *parameters: bytes) -> bytes:
    """The line of a command."""
    return b"\n".join([b"%d\n%d\n%d" % (sequence_id, code, source), STAMP, *parameters])


def ask(sequence_id: int, source: int, wanted: int) -> bytes:
    """The line of an AskForCommand."""
    return command(sequence_id, ASK, source, b"%d" % wanted)


class Told(NamedTuple):
    """An answer as its commander reads it."""

    code: int
    sequence_id: int
    source: int
    text: str


def told(line: bytes) -> Told:
    """Read an answer."""
    code, sequence_id, source, _, *rest = line.decode("latin-1").split("\n")
    return Told(int(code), int(sequence_id), int(source), "\n".join(rest))


@implementer(IClient)
class RecordingClient:
    """A client of the bridge's, and the test's way to be it."""

    behind = 0
    address = ""
    translator: Translator | None = None

    def __init__(self, bridge: Bridge, name: str, source: Source, may_command: bool = True) -> None:
        self.name = name
        self.source = source
        self.may_command = self.may_have_command = may_command
        self.may_have_password = False
        self.name_lasts = True
        self.in_flight = 0
        self.lines: list[bytes] = []
        self.pieces: list[bytes] = []
        self.dismissals: list[str] = []
        self._bridge = bridge
        self._ids = iter(range(1, 100_000))

    def send(self, data: bytes) -> None:
        """Note each line."""
        assert data.endswith(TERMINATOR)
        self.lines += data.split(TERMINATOR)[:-1]
        self.pieces.append(data)

    def dismiss(self, why: str) -> None:
        """Note the reason; the test reports the loss of the connection."""
        self.dismissals.append(why)

    def come(self) -> RecordingClient:
        """Connect."""
        self._bridge.client_connected(self)
        return self

    def go(self) -> None:
        """Be lost."""
        self._bridge.client_lost(self, "gone")

    def finish(self) -> None:
        """Say no more, and still listen."""
        self._bridge.client_finished(self)

    def say(self, line: bytes) -> None:
        """Send a line."""
        self._bridge.commanded(self, line)

    def command(self, code: int, *parameters: bytes, sequence_id: int | None = None) -> int:
        """Send a command, and tell its sequence id."""
        number = next(self._ids) if sequence_id is None else sequence_id
        self.say(command(number, code, self.source, *parameters))
        return number

    def ask(self, wanted: int | None = None) -> int:
        """Ask for command, for itself if not for another."""
        return self.command(ASK, b"%d" % (self.source if wanted is None else wanted))

    def read(self) -> list[bytes]:
        """Return the lines since the last call."""
        lines, self.lines = self.lines, []
        return lines

    def answers(self) -> list[Told]:
        """The answers that came since the last look; events are dropped."""
        return [told(line) for line in self.read() if line.split(b"\n")[0] in (b"0", b"1", b"2")]

    def explanations(self) -> list[str]:
        """The explanations of the NoAcks that came since the last look."""
        return [answer.text for answer in self.answers() if answer.code == ReplyCode.NOACK]


class LeavingClient(RecordingClient):
    """A client that is cut off by the first thing that it is sent."""

    is_gone = False

    def send(self, data: bytes) -> None:
        """Be cut off, and be lost; as a client with a connection, drop what comes after that."""
        if not self.is_gone:
            super().send(data)
            self.is_gone = True
            self._bridge.cut_off(self, "slow")
            self.go()


PLENTY = 1_000_000


@implementer(IControllerLink)
class RecordingLink:
    """The controller's link, and the test's way to be the controller.

    :ivar room: the number of commands that it accepts.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.lines: list[bytes] = []
        self.room = PLENTY
        self._bridge = bridge

    def send(self, data: bytes) -> None:
        """Note a command."""
        assert self.room and data.endswith(TERMINATOR)
        self.lines += data.split(TERMINATOR)[:-1]
        self.room -= 1

    def give_room(self, room: int = PLENTY) -> None:
        """Take so many commands from now on."""
        self.room = room
        self._bridge.hand_over()

    def read(self) -> list[bytes]:
        """The commands that came since the last look."""
        lines, self.lines = self.lines, []
        return lines

    def codes(self) -> list[int]:
        """The codes of the commands that came since the last look."""
        return [read_command_header(line).code for line in self.read()]

    def say(self, *lines: bytes) -> None:
        """Say something."""
        self._bridge.process_replies(list(lines))

    def answer(self, code: ReplyCode, line: bytes, *fields: bytes) -> None:
        """Answer a command that came."""
        header = read_command_header(line)
        self.say(b"\n".join([b"%d\n%d\n%d" % (code, header.sequence_id, header.source), STAMP, *fields]))

    def ack(self, line: bytes, timeout: bytes = b"1000") -> None:
        """Acknowledge a command."""
        self.answer(ReplyCode.ACK, line, timeout)

    def refuse(self, line: bytes, why: bytes) -> None:
        """Refuse a command."""
        self.answer(ReplyCode.NOACK, line, why)

    def finish(self, line: bytes) -> None:
        """Acknowledge a command, and be done."""
        self.ack(line)
        self.answer(ReplyCode.DONE, line)

    def finish_all(self) -> list[bytes]:
        """Finish all commands since the last call, and those that follow from them."""
        lines: list[bytes] = []
        while self.lines:
            for line in self.read():
                lines.append(line)
                self.finish(line)
        return lines


@implementer(IJournal)
class RecordingJournal:
    """A journal in memory, with tuples in place of records: neither time nor rights are in them."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, int, bytes]] = []
        self.steps: list[tuple[Any, ...]] = []
        self.events: list[tuple[str, str, int, str]] = []

    def keep(self, record: Record) -> int:
        """Note a record."""
        match record:
            case LineRecord(_, epoch, peer, direction, line):
                self.messages.append((peer, direction, epoch, line))
            case CommandRecord(_, epoch, peer, step, sequence_id, code, key, lease, explanation):
                self.steps.append((key, step, peer, epoch, sequence_id, code, lease, explanation))
            case ChangeRecord(_, epoch, peer, kind, detail):
                self.events.append((kind, peer, epoch, detail))
        return 0


class House:
    """A bridge with everything around it, in memory. The controller is connected, and no client is."""

    def __init__(self, **rules: Any) -> None:
        self.clock = Clock()
        self.journal = RecordingJournal()
        self.bus = EventBus(self.clock, self.journal)
        self.bridge = Bridge(self.clock, LOG, self.bus, CommandRules(**rules), DIALECT)
        self.link = self.connect()

    def connect(self) -> RecordingLink:
        """The controller is connected, anew."""
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        return self.link

    def client(self, name: str, source: Source = Source.CSC, may_command: bool = True) -> RecordingClient:
        """A client that is connected."""
        return RecordingClient(self.bridge, name, source, may_command).come()

    def holder(self, name: str = "csc", source: Source = Source.CSC) -> RecordingClient:
        """A client that is connected and has command."""
        client = self.client(name, source)
        self.give(client)
        return client

    def give(self, client: RecordingClient) -> None:
        """A client asks for command and gets it."""
        client.ask()
        self.link.finish_all()
        client.read()

    def advance(self, seconds: float) -> None:
        """Let time pass in steps as small as the bridge's own."""
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)

    def leases(self) -> list[tuple[str, str]]:
        """Return the changes of the lease in the journal, each with its client."""
        return [(kind, peer) for kind, peer, _, _ in self.journal.events if kind.startswith("lease_")]


class CommandCase(SynchronousTestCase):
    """A house with a CSC, an EUI and an HHD, none of which has command."""

    def setUp(self, **rules: object) -> None:
        self.house = House(**rules)
        self.csc = self.house.client("csc")
        self.eui = self.house.client("eui", Source.EUI)
        self.hhd = self.house.client("hhd", Source.HHD)

    @property
    def holder(self) -> RecordingClient | None:
        """The holder of command."""
        return cast(RecordingClient | None, self.house.bridge.lease.holder)

    def granted(self, client: RecordingClient) -> None:
        """Assert that a client's ask is done, and that it has command."""
        self.assertEqual([answer.code for answer in client.answers()], [ReplyCode.ACK, ReplyCode.DONE])
        self.assertIs(self.holder, client)
