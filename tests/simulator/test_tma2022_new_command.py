"""A command class that the simulated mount of the protocol tma2022 has no handler for."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2022.commands import Command
from mtmount_twisted.dialects.tma2022.enums import CommandCode, Source
from mtmount_twisted.dialects.tma2022.replies import CmdAcknowledgedReply, CmdSucceededReply, Reply
from mtmount_twisted.simulator.tma2022.mount import SimulatedMount


class NewCommandTests(SynchronousTestCase):
    """One more command."""

    def test_done_without_an_effect(self) -> None:
        """It is acknowledged and done at once."""
        clock, said = Clock(), list[Reply]()
        mount = SimulatedMount(clock, said.append, tai=clock.seconds, initial_commander=Source.CSC)
        self.addCleanup(mount.close)
        extra = type("Dance", (Command,), {"command_code": CommandCode.HEARTBEAT, "__doc__": "Dance."})
        said.clear()
        mount.receive(extra(sequence_id=7))
        answers = [type(reply) for reply in said if getattr(reply, "sequence_id", None) == 7]
        self.assertEqual(answers, [CmdAcknowledgedReply, CmdSucceededReply])
