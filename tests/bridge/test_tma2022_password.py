"""The password in the settings of a tma2022 mount: `CommandRules.pass_settings_password`."""

from __future__ import annotations

from typing import Any

from mtmount_twisted.bridge.core import Bridge
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from tests.support.commanders import LOG, RecordingClient, RecordingLink
from tests.support.tma2022_bridge import CSC, Tma2022Case

SETTINGS = replies.DetailedSettingsAppliedReply(
    set_name="Default", all_settings_match_set=True, bosch_system={"Password": "hunter2"}
).encode()[:-2]
MASKED = SETTINGS.replace(b"hunter2", b"*******")
POSITION = replies.InPositionReply(axis=tma2022.enums.System.AZIMUTH, in_position=True).encode()[:-2]


class PasswordTests(Tma2022Case):
    """A commander with a certain identity, one without, and an observer that has a certificate."""

    passes = True

    def setUp(self) -> None:
        super().setUp()
        self.begin(pass_settings_password=self.passes)

    def begin(self, **rules: Any) -> None:
        """Start a bridge with these rules."""
        bus = EventBus(self.clock, self.journal)
        self.bridge = Bridge(self.clock, LOG, bus, CommandRules(**rules), DIALECT)
        self.link = RecordingLink(self.bridge)
        self.bridge.link_up(self.link)
        self.questions = self.sent()
        self.csc = self.client("csc", Source.CSC, knows=True)
        self.eui = self.client("eui", Source.EUI, knows=False)
        self.hall = self.client("hall", Source.CSC, knows=False, may_command=False)

    def client(self, name: str, source: Source, knows: bool, may_command: bool = True) -> RecordingClient:
        """A client that is connected."""
        client = RecordingClient(self.bridge, name, source, may_command)
        client.may_have_password = knows
        client.come()
        client.read()
        return client

    def read(self) -> list[list[bytes]]:
        """The lines that each client has read since the last look."""
        return [client.read() for client in (self.csc, self.eui, self.hall)]

    def written(self) -> str:
        """All that the journal has."""
        return repr((self.journal.messages, self.journal.steps, self.journal.events))

    def test_event(self) -> None:
        """Only a commander with a certain identity reads the password, in the order of the events."""
        self.link.say(POSITION, SETTINGS, POSITION)
        original, masked = [POSITION, SETTINGS, POSITION], [POSITION, MASKED, POSITION]
        self.assertEqual(self.read(), [original, masked, masked])
        self.assertNotIn("hunter2", self.written())
        self.assertIn("*******", self.written())

    def test_repeat(self) -> None:
        """A repeat, which the journal only counts, is read in the same way."""
        self.link.say(SETTINGS, SETTINGS)
        self.assertEqual(self.read(), [[SETTINGS] * 2, [MASKED] * 2, [MASKED] * 2])

    def test_from_memory(self) -> None:
        """So are the settings that the bridge has kept for a question, and nothing shows what it keeps."""
        self.link.say(SETTINGS)
        for question in self.questions:
            key = DIALECT.read_command(question).sequence_id
            self.answer(replies.CmdSucceededReply(sequence_id=key, commander=CSC))
        self.read()
        for client, line in ((self.csc, SETTINGS), (self.eui, MASKED)):
            source = tma2022.enums.Source(client.source)
            self.send(client, tma2022.commands.GetActualSettings(sequence_id=9, source=source))
            self.assertEqual(client.read()[1], line)
        self.assertNotIn(b"hunter2", b"".join(self.hall.read()))
        known = self.bridge.known
        self.assertNotIn("hunter2", repr((self.written(), known.current_apart)))

    def test_off(self) -> None:
        """Without the setting, which is the default, no client reads it, and the bridge does not keep it."""
        self.assertFalse(CommandRules().pass_settings_password)
        self.begin()
        self.link.say(SETTINGS)
        self.assertEqual(self.read(), [[MASKED]] * 3)
        [settings] = self.bridge.known.current_apart
        self.assertIsNone(settings.unmasked)
