"""A bridge before a tma2022 mount in memory."""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT

from .commanders import LOG, RecordingClient, RecordingJournal, RecordingLink

CSC = tma2022.enums.Source.CSC
HEARTBEAT = 3000


class Tma2022Case(SynchronousTestCase):
    """A bridge before a tma2022 mount, with a CSC that has command and an EUI.

    :cvar rules: the section ``[command]`` of its configuration.
    :cvar clock_class: the class of its clock.
    """

    rules = CommandRules()
    clock_class: type[Clock] = Clock

    def setUp(self) -> None:
        self.clock = self.clock_class()
        self.journal = RecordingJournal()
        self.bridge = Bridge(self.clock, LOG, EventBus(self.clock, self.journal), self.rules, DIALECT)
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        self.questions = self.sent()
        self.csc = RecordingClient(self.bridge, "csc", Source.CSC).come()
        self.eui = RecordingClient(self.bridge, "eui", Source.EUI).come()
        self.send(self.csc, tma2022.commands.AskForCommand(sequence_id=1, commander=CSC))
        key = self.key()
        self.answer(replies.CmdAcknowledgedReply(sequence_id=key, commander=CSC, timeout=1.0))
        self.answer(replies.CmdSucceededReply(sequence_id=key, commander=CSC))
        self.csc.read()

    def send(self, client: RecordingClient, command: tma2022.commands.Command) -> None:
        """A commander sends a command."""
        client.say(command.encode()[:-2])

    def sent(self) -> list[bytes]:
        """The commands that the mount has received since the last look, without heartbeats."""
        return [line for line in self.link.read() if DIALECT.read_command(line).code != HEARTBEAT]

    def key(self) -> int:
        """The bridge's id for the one command that the mount has received since the last look."""
        (line,) = self.sent()
        return DIALECT.read_command(line).sequence_id

    def answer(self, reply: replies.Reply) -> None:
        """The mount replies."""
        self.link.say(reply.encode()[:-2])

    def commanders(self, client: RecordingClient) -> list[int]:
        """The sources that the events since the last look name as the commander; other lines are dropped."""
        told = map(json.loads, client.read())
        return [line["parameters"]["actualCommander"] for line in told if line["id"] == 20]

    def explanations(self, client: RecordingClient) -> list[str]:
        """The explanations of the refusals since the last look."""
        told = map(json.loads, client.read())
        return [line["parameters"]["explanation"] for line in told if line["id"] == 2]
