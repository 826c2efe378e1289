"""`mtmount_twisted.dialects.tma2022.facts`: what an event says of the state."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.facts import AlarmFact, AxisFact, Fact, MountFact
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.enums import Source, System
from mtmount_twisted.dialects.tma2022.facts import facts_of
from mtmount_twisted.errors import LineError


def facts(reply: replies.Reply) -> tuple[Fact, ...]:
    """The facts in a reply."""
    return facts_of(reply.encode()[:-2])


class FactsTests(SynchronousTestCase):
    """Each kind of event."""

    def test_axis(self) -> None:
        """An axis by its name."""
        event = replies.InPositionReply(axis=System.CAMERA_CABLE_WRAP, in_position=True)
        self.assertEqual(facts(event), (AxisFact("camera_cable_wrap", True),))

    def test_mount(self) -> None:
        """The Operation Manager's state, in its own words."""
        self.assertEqual(facts(replies.StateInfoReply(state="Enable")), (MountFact("Enable"),))

    def test_alarms(self) -> None:
        """A warning, and an error that may be latched, with the subsystem's name if it is known."""
        common: dict[str, Any] = {
            "name": "Overtemperature",
            "subsystem_instance": "900.A/B",
            "active": False,
            "code": 905,
            "description": "too hot",
        }
        warning = replies.WarningReply(subsystem_id=900, **common)
        error = replies.ErrorReply(subsystem_id=77, latched=True, **common)
        told = {"code": 905, "what": "900.A/B: Overtemperature", "description": "too hot", "active": False}
        self.assertEqual(
            (*facts(warning), *facts(error)),
            (
                AlarmFact(severity="warning", subsystem="MIRROR_COVERS", latched=False, **told),
                AlarmFact(severity="error", subsystem=None, latched=True, **told),
            ),
        )

    def test_none(self) -> None:
        """Other events and replies to commands report none; what is no reply is a LineError."""
        self.assertEqual(facts(replies.CommanderReply(actual_commander=Source.CSC)), ())
        self.assertEqual(facts(replies.CmdSucceededReply(sequence_id=5)), ())
        self.assertRaises(LineError, facts_of, b"x")
