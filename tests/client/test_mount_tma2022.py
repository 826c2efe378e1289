"""`Mount` before a tma2022 mount, over one two-way connection: outcomes, deadlines, events, the heartbeat."""

from __future__ import annotations

from typing import Any

from mtmount_twisted.dialects.tma2022 import commands, replies
from mtmount_twisted.dialects.tma2022.enums import Source, System
from mtmount_twisted.errors import (
    CommandFailed,
    CommandNotSent,
    CommandOutcomeUnknown,
    CommandRefused,
    CommandSuperseded,
    CommandTimedOut,
)
from mtmount_twisted.net.duplex import SETTLE_TIME
from tests.support.mounts_tma2022 import MountCase
from tests.support.pairs import LOG


class OutcomeTests(MountCase):
    """How a command ends."""

    def test_success(self) -> None:
        """A command without an id and a time gets both; `acked` has the duration, and `done` fires."""
        sent = self.send()
        self.assertGreater(sent.command.sequence_id, 0)
        self.ack(sent, 2.5)
        self.assertEqual(self.successResultOf(sent.acked), 2.5)
        self.assertNoResult(sent.done)
        self.succeed(sent)
        self.successResultOf(sent.done)
        self.assertEqual(self.mount.in_flight, ())

    def test_own_numbers(self) -> None:
        """An id and a time that the program gives stay; an id in flight is not given twice."""
        command = commands.AzimuthMove(sequence_id=77, timestamp=5.0, position=1)
        self.assertEqual(self.send(command).command, command)
        with self.assertRaisesRegex(ValueError, "sequence_id: 77 is in flight"):
            self.mount.send(command)

    def test_errors(self) -> None:
        """Each kind of end has its error, with the mount's words."""
        number = 1000
        for acked, reply, error, words in (
            (False, replies.CmdRejectedReply, CommandRefused, {"explanation": "no"}),
            (True, replies.CmdFailedReply, CommandFailed, {"explanation": "broken"}),
            (False, replies.CmdFailedReply, CommandFailed, {"explanation": "broken"}),
            (
                True,
                replies.CmdSupersededReply,
                CommandSuperseded,
                {
                    "superseding_sequence_id": 9,
                    "superseding_commander": Source.EUI,
                    "superseding_command_code": 102,
                },
            ),
            (True, replies.CmdSupersededReply, CommandSuperseded, {}),
        ):
            number += 1
            sent = self.send(commands.AzimuthMove(sequence_id=number, position=1))
            done = sent.done
            if acked:
                self.ack(sent)
            message: Any = reply
            self.reply(message(sequence_id=number, **words))
            explanation = self.failureResultOf(done, error).value.explanation
            expected = words.get("explanation") or (
                "superseded by AzimuthStop (sequence id 9) of EUI" if words else "superseded"
            )
            self.assertEqual(explanation, expected)

    def test_malformed_end(self) -> None:
        """An end with malformed parameters ends its command all the same."""
        sent = self.send(commands.AzimuthMove(sequence_id=5, position=1))
        done = sent.done
        self.reply(b'{"id":4,"timestamp":1,"parameters":{"sequenceId":5}}\r\n')
        self.failureResultOf(done, CommandFailed)

    def test_track(self) -> None:
        """A track command is done with its Ack, which announces -1."""
        sent = self.send(commands.AzimuthTrackTarget(position=1, velocity=0, tai=5))
        self.ack(sent, -1.0)
        self.successResultOf(sent.done)

    def test_heartbeat_is_not_answered(self) -> None:
        """A heartbeat of a program is done when it is written; without a connection it is not sent."""
        sent = self.send(commands.Heartbeat())
        self.successResultOf(sent.done)
        self.assertEqual((sent.command.sequence_id, self.mount.in_flight), (0, ()))
        self.far.close()
        self.turn()
        self.failureResultOf(self.mount.send(commands.Heartbeat()).done, CommandNotSent)

    def test_loss(self) -> None:
        """After a loss the outcome is unknown."""
        done = self.send().done
        self.far.drop_connections()
        self.turn()
        self.failureResultOf(done, CommandOutcomeUnknown)

    def test_other_dialect(self) -> None:
        """A command or an event class of another dialect is a TypeError."""
        from mtmount_twisted import commands as old
        from mtmount_twisted import replies as old_replies

        with self.assertRaisesRegex(TypeError, "expected a command"):
            self.mount.send(old.Enable())
        with self.assertRaisesRegex(TypeError, "expected a class of replies"):
            self.mount.subscribe(old_replies.InPositionReply, lambda event: None)

    def test_events(self) -> None:
        """Events go to their subscribers, unknown ones to those of all events."""
        found: list[Any] = []
        self.mount.subscribe(replies.InPositionReply, found.append)
        everything: list[Any] = []
        self.mount.subscribe(everything.append)
        event = replies.InPositionReply(axis=System.AZIMUTH, in_position=True)
        self.reply(event, b'{"id":999,"timestamp":1,"parameters":{}}\r\n')
        self.assertEqual([each.encode() for each in found], [event.encode()])
        self.assertEqual([each.id for each in everything], [200, 999])


class DeadlineTests(MountCase):
    """The times of the observatory's own client."""

    def test_acks(self) -> None:
        """10 s to an Ack, 60 s for 37, 70 s for 2502, 1 s for track commands."""
        for command, seconds in (
            (commands.AzimuthMove(position=1), 10),
            (commands.BothAxesResetAlarm(), 60),
            (commands.StateInfo(), 70),
            (commands.CameraCableWrapTrackTarget(position=1, velocity=0, tai=5), 1),
        ):
            done = self.send(command).done
            self.turn(seconds - 0.01)
            self.assertNoResult(done)
            self.turn(0.02)
            error = self.failureResultOf(done, CommandTimedOut).value
            self.assertIn(f"no Ack within {seconds} s", error.explanation)

    def test_ends(self) -> None:
        """The end must come within the announced time and 5 s; an unknown time counts as 300 s."""
        for announced, seconds in ((2.0, 7), (0.0, 5), (None, 305), (-1.0, 305)):
            sent = self.send()
            done = sent.done
            self.ack(sent, announced)
            self.assertEqual(self.successResultOf(sent.acked), max(0.0, announced or 0.0))
            self.turn(seconds - 0.01)
            self.assertNoResult(done)
            self.turn(0.02)
            error = self.failureResultOf(done, CommandTimedOut).value
            self.assertEqual(error.explanation, f"no Done within {seconds - 5} s and 5 s more")


class OtherDeadlineTests(MountCase):
    """Times that a program chooses."""

    def setUp(self, **options: Any) -> None:
        super().setUp(ack_timeout=3, unknown_timeout=20)

    def test_times(self) -> None:
        """They are those of every command."""
        done = self.send(commands.StateInfo()).done
        self.turn(3.01)
        self.failureResultOf(done, CommandTimedOut)
        sent = self.send()
        done = sent.done
        self.ack(sent, None)
        self.turn(24.9)
        self.assertNoResult(done)
        self.turn(0.2)
        self.failureResultOf(done, CommandTimedOut)


class HeartbeatTests(MountCase):
    """The heartbeat while this commander has command."""

    def beats(self) -> list[int]:
        """The ids of the heartbeats that the mount has received since the last look; all else is dropped."""
        found = [command for command in self.received() if isinstance(command, commands.Heartbeat)]
        self.assertTrue(all(int(beat.source) == Source.CSC for beat in found))
        return [beat.sequence_id for beat in found]

    def test_while_it_has_command(self) -> None:
        """From the success of its ask on, one a second with the id 0, until it gives command up."""
        self.turn(3.0)
        self.assertEqual((self.beats(), self.mount.has_command), ([], False))
        self.ask()
        self.assertEqual((self.beats(), self.mount.has_command), ([0], True))
        for _ in range(3):
            self.turn(1.0)
            self.assertEqual(self.beats(), [0])
        self.mount.send(commands.AskForCommand(commander=Source.NONE)).done.addErrback(lambda reason: None)
        self.turn(3.0)
        self.assertEqual((self.beats(), self.mount.has_command), ([], False))

    def test_refused(self) -> None:
        """There is none after an ask that was refused, or one for another commander."""
        sent = self.mount.send(commands.AskForCommand(commander=Source.CSC))
        sent.done.addErrback(lambda reason: None)
        self.reply(replies.CmdRejectedReply(sequence_id=sent.command.sequence_id, explanation="no"))
        self.ask(Source.EUI)
        self.turn(3.0)
        self.assertEqual((self.beats(), self.mount.has_command), ([], False))

    def test_another_has_command(self) -> None:
        """It ends when the mount says that another commander has command, and the log tells."""
        self.ask()
        self.reply(replies.CommanderReply(actual_commander=Source.CSC))
        self.turn(1.0)
        self.assertEqual(len(self.beats()), 2)
        with self.assertLogs(LOG, "WARNING") as logged:
            self.reply(replies.CommanderReply(actual_commander=Source.HHD))
        self.assertIn("CSC no longer has command: the mount names HHD", logged.output[0])
        self.turn(3.0)
        self.assertEqual((self.beats(), self.mount.has_command), ([], False))
        self.ask()
        self.assertEqual(self.beats(), [0])

    def test_loss(self) -> None:
        """It pauses while the connection is lost: whoever has command keeps it over a short loss."""
        self.ask()
        self.beats()
        self.far.drop_connections()
        self.turn(1.5)
        self.turn(SETTLE_TIME)
        self.assertTrue(self.near.connected and self.mount.has_command)
        self.turn(1.0)
        self.assertEqual(self.beats(), [0])

    def test_peer_that_does_not_read(self) -> None:
        """Heartbeats do not pile up before a peer that does not read."""
        self.ask()
        self.beats()
        transport: Any = self.far.server_writer
        transport.pauseProducing()
        waits = [self.near.write(commands.AzimuthMove(position=1))]
        while waits[-1].called:
            waits.append(self.near.write_many([commands.AzimuthMove(position=1)] * 100))
            self.turn()
        for _ in range(10):
            self.turn(1.0)
        transport.resumeProducing()
        self.assertEqual(self.beats(), [0])
        self.turn(1.0)
        self.assertEqual(self.beats(), [0])

    def test_close(self) -> None:
        """It ends with the mount, whoever closes the connection."""
        self.ask()
        self.near.close()
        self.turn(1.0)
        self.assertFalse(self.mount.has_command)
