"""Tests of `mtmount_twisted.client.mount`: every way in which a command can end."""

from __future__ import annotations

import gc
import logging
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.client.mount import Mount, SentCommand
from mtmount_twisted.commands import AzimuthAxisTrack, BothAxesTrack, Command, Enable
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.enums import Source
from mtmount_twisted.errors import (
    BacklogError,
    CommandError,
    CommandFailed,
    CommandNotSent,
    CommandOutcomeUnknown,
    CommandRefused,
    CommandSuperseded,
    CommandTimedOut,
)
from mtmount_twisted.replies import AckReply, DoneReply
from mtmount_twisted.testing import HOST
from mtmount_twisted.wire.lines import SHOWN_BYTES
from tests.support.mounts import MountCase
from tests.support.pairs import LOG


class OutcomeTests(MountCase):
    """How a command ends."""

    def test_ack_then_done(self) -> None:
        """`acked` has the duration in seconds, `done` comes with the Done, and late askers get the same."""
        sent = self.send()
        acked, done = sent.acked, sent.done
        self.assertNoResult(acked)
        self.ack(sent, 2500)
        self.assertEqual(self.successResultOf(acked), 2.5)
        self.assertNoResult(done)
        self.assertFalse(sent.ended)
        self.done(sent)
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual((self.successResultOf(sent.acked), self.successResultOf(sent.done)), (2.5, None))
        self.assert_nothing_left()

    def test_ack_only(self) -> None:
        """A track command is done when it is acknowledged."""
        tracks: list[Command] = [
            AzimuthAxisTrack(position=1, velocity=0, tai=0),
            BothAxesTrack(azimuth=1, elevation=30, azimuth_velocity=0, elevation_velocity=0, tai=0),
        ]
        for command in tracks:
            sent = self.send(command)
            self.ack(sent)
            self.assertEqual(self.successResultOf(sent.acked), 0)
            self.assertIsNone(self.successResultOf(sent.done))
            self.assert_nothing_left()

    def test_done_without_ack(self) -> None:
        """A Done that comes with no Ack before it ends the command well."""
        sent = self.send()
        acked = sent.acked
        self.done(sent)
        self.assertEqual(self.successResultOf(acked), 0)
        self.assertIsNone(self.successResultOf(sent.done))
        self.ack(sent)
        self.assert_nothing_left()

    def test_duplicate_ack(self) -> None:
        """A second Ack begins the time anew."""
        sent = self.send()
        self.ack(sent, 1000)
        self.clock.advance(2.9)
        self.ack(sent, 4000)
        self.clock.advance(5.9)
        self.assertFalse(sent.ended)
        self.assertEqual(self.successResultOf(sent.acked), 4)
        self.clock.advance(0.1)
        self.failureResultOf(sent.done, CommandTimedOut)

    def test_refused(self) -> None:
        """A NoAck instead of an Ack is a refusal, with the mount's explanation."""
        sent = self.send()
        explanation = self.assert_after(sent, lambda: self.refuse(sent, "EUI has command"), CommandRefused)
        self.assertEqual(explanation, "EUI has command")

    def assert_after(self, sent: SentCommand, event: Any, error: type[CommandError]) -> str:
        """What `assert_ended` says after an event."""
        acked, done = sent.acked, sent.done
        event()
        return self.assert_ended(sent, acked, done, error)

    def test_failed_or_superseded_after_ack(self) -> None:
        """A NoAck after the Ack is a failure, or says that the command was superseded."""
        for explanation, error in (
            ("drive fault", CommandFailed),
            ("Superseded by command 7", CommandSuperseded),
            ("the move was superseded", CommandSuperseded),
        ):
            sent = self.send()
            self.ack(sent, 100)
            done = sent.done
            self.refuse(sent, explanation)
            reason = self.failureResultOf(done, error).value
            self.assertEqual((reason.explanation, reason.command), (explanation, sent.command))
            self.assertEqual(self.successResultOf(sent.acked), 0.1)
            self.failureResultOf(sent.done, error)
            self.assert_nothing_left()

    def test_no_ack_in_time(self) -> None:
        """With no answer the command times out, at exactly the bound."""
        for timeout in (None, 0.5):
            if timeout:
                self.start(ack_timeout=timeout)
            sent = self.send()
            self.clock.advance((timeout or DIALECT.deadlines.ack) - 0.01)
            self.assertFalse(sent.ended)
            explanation = self.assert_after(sent, lambda: self.clock.advance(0.011), CommandTimedOut)
            self.assertIn(f"no Ack within {timeout or DIALECT.deadlines.ack:g} s", explanation)

    def test_no_done_in_time(self) -> None:
        """With an Ack and no Done it times out 2 s after the time that the Ack announced."""
        self.assertEqual(DIALECT.deadlines.done_margin, 2)
        sent = self.send()
        self.clock.advance(4)
        self.ack(sent, 30_000)
        self.clock.advance(31.9)
        done = sent.done
        self.assertNoResult(done)
        self.clock.advance(0.1)
        reason = self.failureResultOf(done, CommandTimedOut)
        self.assertIsInstance(reason.value, TimeoutError)
        self.assertIn("no Done within 30 s", str(reason.value))
        self.assert_nothing_left()

    def test_clock(self) -> None:
        """The answers may be timed by another clock than the communicator's."""
        from twisted.internet.task import Clock

        clock = Clock()
        self.start(clock=clock)
        sent = self.send()
        self.clock.advance(100)
        self.assertFalse(sent.ended)
        clock.advance(DIALECT.deadlines.ack)
        self.failureResultOf(sent.done, CommandTimedOut)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_not_connected(self) -> None:
        """A command with no connection to go out on is not sent, and says so."""
        self.start(connect=False)
        sent = self.mount.send(Enable())
        explanation = self.assert_ended(sent, sent.acked, sent.done, CommandNotSent)
        self.assertIn("not connected", explanation)

    def test_too_many_waiting(self) -> None:
        """A command that finds too many writes waiting is not sent."""
        self.far_end.stop_reading()
        waiting = 0
        while (write := self.communicator.write(Enable())) and not (write.called and waiting):
            waiting += not write.called
        self.failureResultOf(write, BacklogError)
        self.failureResultOf(self.mount.send(Enable()).done, CommandNotSent)

    def test_loss_of_either_connection(self) -> None:
        """When either connection is lost, what was sent has an unknown outcome."""
        for drop in ("drop_client", "drop_server"):
            self.start()
            sent, other = self.send(), self.mount.send(Enable())
            self.ack(other, 1000)
            acked, done = sent.acked, sent.done
            getattr(self.far_end, drop)()
            for deferred in (acked, done, other.done):
                reason = self.failureResultOf(deferred, CommandOutcomeUnknown)
                self.assertIsInstance(reason.value, ConnectionResetError)
            self.clock.advance(0.1)
            self.assert_nothing_left()

    def test_loss_of_the_client_before_a_peer_came(self) -> None:
        """A command that went out before the other connection was up is lost with its own."""
        self.start(connect=False)
        connect = self.communicator.connect()
        self.far_end.settle()
        sent = self.send()
        self.far_end.drop_client()
        self.failureResultOf(sent.done, CommandOutcomeUnknown)
        self.assertEqual(self.mount.in_flight, ())
        self.assertNoResult(connect)

    def test_works_again_after_a_loss(self) -> None:
        """After either loss, and with both connections back, the next command goes its way."""
        for drop in ("drop_client", "drop_server"):
            getattr(self.far_end, drop)()
            self.clock.advance(0.1)
            self.far_end.connect_server()
            sent = self.send()
            self.ack(sent)
            self.done(sent)
            self.assertIsNone(self.successResultOf(sent.done))

    def test_lost_while_waiting_to_be_written(self) -> None:
        """A command that waits for a peer that does not read, and is lost, has an unknown outcome."""
        self.far_end.stop_reading()
        sents = [self.mount.send(Enable()) for _ in range(3000)]
        self.far_end.client.transport.abortConnection()
        self.far_end.settle()
        for sent in sents:
            self.failureResultOf(sent.done, CommandOutcomeUnknown)
        self.assertEqual(self.mount.in_flight, ())

    def test_answer_to_another_source(self) -> None:
        """An answer to a command of another source with the same id ends nothing of ours."""
        sent = self.send()
        number = sent.command.sequence_id
        with self.assertLogs(LOG, logging.INFO):
            self.far_end.feed(DoneReply(sequence_id=number, source=Source.EUI))
        self.assertEqual(self.mount.in_flight, (sent,))
        self.done(sent)
        self.successResultOf(sent.done)

    def test_absurd_time_out(self) -> None:
        """An Ack that announces years is believed for a day, and then the command times out."""
        sent = self.send()
        self.ack(sent, 10**200)
        done = sent.done
        self.clock.advance(86_403)
        self.failureResultOf(done, CommandTimedOut)
        self.assert_nothing_left()

    def test_what_can_not_be_encoded(self) -> None:
        """A command that can't be written is not sent, and does not stay in flight."""

        def fail(command: Command) -> bytes:
            raise ValueError("no way to write it")

        self.patch(Enable, "encode", fail)
        sent = self.mount.send(Enable())
        error = self.failureResultOf(sent.done, CommandNotSent).value
        self.assertIn("no way to write it", error.explanation)
        self.assertEqual(self.mount.in_flight, ())

    def test_times_out_before_it_is_written(self) -> None:
        """A command that timed out while it waited for a peer to read stays timed out, whatever follows."""
        self.far_end.stop_reading()
        sents = [self.mount.send(Enable()) for _ in range(2000)]
        self.clock.advance(DIALECT.deadlines.ack)
        self.far_end.client.transport.abortConnection()
        self.far_end.settle()
        for sent in sents:
            self.failureResultOf(sent.done, CommandTimedOut)

    def test_close(self) -> None:
        """Closing ends the commands in flight, and leaves nothing; a later command is not sent."""
        sent = self.send()
        acked, done = sent.acked, sent.done
        closed = self.mount.close()
        self.far_end.settle()
        self.assertIsNone(self.successResultOf(closed))
        self.assert_ended(sent, acked, done, CommandOutcomeUnknown)
        self.failureResultOf(self.mount.send(Enable()).done, CommandNotSent)
        self.mount.close()
        self.assert_nothing_left()

    def test_communicator_closed(self) -> None:
        """It is the same if somebody else closes the communicator."""
        sent = self.send()
        acked, done = sent.acked, sent.done
        self.communicator.close()
        self.assert_ended(sent, acked, done, CommandOutcomeUnknown)

    def test_port_taken(self) -> None:
        """On a communicator that can't listen a command is not sent, and nothing is left waiting."""
        taken = self.communicator.server_port
        second = Communicator("second", HOST, 1, HOST, taken, LOG, True, False, reactor=self.clock)
        self.failureResultOf(Mount(second).send(Enable()).done, CommandNotSent)

    def test_duplicate_sequence_id(self) -> None:
        """A number that is in flight can't be sent again until it has ended."""
        sent = self.send(Enable(sequence_id=7))
        with self.assertRaisesRegex(ValueError, "sequence_id: 7 is in flight"):
            self.mount.send(Enable(sequence_id=7))
        self.done(sent)
        self.send(Enable(sequence_id=7))

    def test_answers_out_of_order(self) -> None:
        """Each answer ends its own command, in whatever order they come."""
        sents = [self.mount.send(Enable()) for _ in range(3)]
        self.done(sents[2])
        self.refuse(sents[0], "no")
        self.assertEqual(self.mount.in_flight, (sents[1],))
        self.successResultOf(sents[2].done)
        self.failureResultOf(sents[0].done, CommandRefused)

    def test_late_and_unknown_answers(self) -> None:
        """An answer to no command in flight is logged and dropped."""
        sent = self.send()
        self.done(sent)
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.done(sent)
            self.refuse(sent, "late")
            self.far_end.feed(AckReply(sequence_id=123456))
        self.assertEqual(len(logged.records), 3)
        self.assertIsNone(self.successResultOf(sent.done))

    def test_bad_lines(self) -> None:
        """A line that is no reply is logged, and what follows is read."""
        sent = self.send()
        with self.assertLogs(LOG, logging.WARNING):
            self.far_end.feed(b"no reply\r\n")
        self.done(sent)
        self.successResultOf(sent.done)

    def test_end_that_can_not_be_read(self) -> None:
        """A NoAck with a lone carriage return, or a Done without its time, ends its command all the same."""
        stamp = b"2020-02-27T14:48:27.469"
        for code, rest, explanation in (
            (1, stamp + b"\nnot\rnow \0", "not now"),
            (1, stamp + b"\nnot\nnow", "not now"),
            (1, b"noon\nnot now\x1b[2J", "not now [2J"),
            (1, stamp, ""),
            (1, stamp + b"\nnot\r" + b"x" * 60_000, ("not " + "x" * 60_000)[: SHOWN_BYTES - len(stamp) - 1]),
            (2, b"noon", None),
        ):
            sent = self.send()
            with self.assertLogs(LOG, logging.WARNING):
                self.far_end.feed(b"%d\n%d\n1\n%b\r\n" % (code, sent.command.sequence_id, rest))
            if explanation is None:
                self.successResultOf(sent.done)
            else:
                self.assertEqual(
                    self.failureResultOf(sent.done, CommandRefused).value.explanation, explanation
                )
            self.assert_nothing_left()

    def test_end_of_nothing_that_can_not_be_read(self) -> None:
        """An unreadable answer of another source, of an unknown one, or that is an Ack ends nothing."""
        sent = self.send()
        for code, source in ((1, 2), (1, 77), (0, 1), (6, 1)):
            with self.assertLogs(LOG, logging.WARNING):
                self.far_end.feed(b"%d\n%d\n%d\nnoon\nx\r\n" % (code, sent.command.sequence_id, source))
        self.assertFalse(sent.ended)
        self.done(sent)

    def test_awaited_itself(self) -> None:
        """Awaiting what `send` returns is a TypeError that shows what can be awaited."""

        async def wrong() -> None:
            await self.mount.send(Enable())  # type: ignore[misc]

        error = self.failureResultOf(Deferred.fromCoroutine(wrong()), TypeError).value
        self.assertIn("await mount.send(command).done", str(error))

    def test_absurd_ack(self) -> None:
        """An Ack whose time no clock can count stops neither this command's time-out nor the reading."""
        sent, other = self.send(), self.mount.send(Enable())
        with self.assertLogs(LOG, logging.ERROR):
            self.far_end.feed(
                b"0\n%d\n1\n2020-02-27T14:48:27\n1%s\r\n" % (sent.command.sequence_id, b"0" * 400)
            )
        self.done(other)
        self.successResultOf(other.done)
        self.clock.advance(DIALECT.deadlines.ack)
        self.failureResultOf(sent.done, CommandTimedOut)

    def test_failure_that_nobody_asked_for(self) -> None:
        """A command that fails with nobody looking is one line in the log; a success is none."""
        sent = self.send()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.refuse(sent, "not now")
        self.assertEqual(len(logged.records), 1)
        self.assertIn("CommandRefused: Enable", logged.output[0])
        self.assertIn("not now", logged.output[0])
        with self.assertNoLogs(LOG, logging.WARNING):
            sent = self.send()
            self.done(sent)

    def test_failure_at_once(self) -> None:
        """Who asks in the turn in which a command fails is told, and who does not finds it in the log."""
        self.start(connect=False)
        with self.assertNoLogs(LOG, logging.WARNING):
            self.failureResultOf(self.mount.send(Enable()).done, CommandNotSent)
            self.assert_nothing_left()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.mount.send(Enable())
            self.assert_nothing_left()
        self.assertIn("CommandNotSent", logged.output[0])
        self.assertEqual(len(logged.records), 1)

    def test_failures_are_told_to_each_on_its_own(self) -> None:
        """No two who are told of a failure get the same exception object, early or late."""
        sent = self.send()
        waits = [sent.acked, sent.done, sent.done]
        self.refuse(sent, "no")
        errors = [self.failureResultOf(wait).value for wait in [*waits, sent.acked, sent.done]]
        self.assertEqual(len({id(error) for error in errors}), 5)
        self.assertEqual({(type(error), str(error)) for error in errors}, {(CommandRefused, str(errors[0]))})

    def test_reading_that_breaks(self) -> None:
        """Should the reading itself end, the log says so at once, and commands in flight end."""

        async def broken(*arguments: Any) -> None:
            await trigger
            raise ZeroDivisionError

        trigger: Deferred[None] = Deferred()
        self.patch(Communicator, "each", broken)
        self.start()
        sent = self.send()
        done = sent.done
        with self.assertLogs(LOG, logging.ERROR) as logged:
            trigger.callback(None)
        self.failureResultOf(done, CommandOutcomeUnknown)
        self.assertIn("ZeroDivisionError", logged.output[0])

    def test_only_one_is_looked_at(self) -> None:
        """Who looks at one Deferred, or at none, finds no unhandled error in the log."""
        for name in ("acked", "done", None):
            sent = self.send()
            if name is not None:
                getattr(sent, name).addErrback(lambda reason: reason.trap(CommandRefused) and None)
            self.refuse(sent, "no")
            del sent
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancel(self) -> None:
        """Who cancels `acked` or `done` gives up waiting; the command goes on."""
        sent = self.send()
        for deferred in (sent.acked, sent.done):
            deferred.cancel()
            self.failureResultOf(deferred, CancelledError)
        self.done(sent)
        self.assertIsNone(self.successResultOf(sent.done))

    def test_send_from_a_callback(self) -> None:
        """What an answer leads to may be the next command, or the close."""
        first = self.send()
        later: list[SentCommand] = []
        first.done.addCallback(lambda result: later.append(self.mount.send(Enable())))
        self.done(first)
        self.assertEqual(self.mount.in_flight, tuple(later))
        later[0].acked.addCallback(lambda duration: self.mount.close())
        done = later[0].done
        self.ack(later[0], 5000)
        self.failureResultOf(done, CommandOutcomeUnknown)
        self.assert_nothing_left()

    def test_await(self) -> None:
        """Both can be awaited, one after the other, also when all came at once."""
        sent = self.send()

        async def follow() -> float:
            duration = await sent.acked
            await sent.done
            return duration

        following = Deferred.fromCoroutine(follow())
        number = sent.command.sequence_id
        self.far_end.feed(
            AckReply(sequence_id=number, timeout_ms=1500).encode() + DoneReply(sequence_id=number).encode()
        )
        self.assertEqual(self.successResultOf(following), 1.5)


class ArgumentTests(MountCase):
    """What a program gave that is of a wrong type."""

    def test_no_communicator(self) -> None:
        """A mount wants a communicator that reads replies, and says so."""
        reads_commands = Communicator("m", HOST, 1, HOST, 0, LOG, False, False, reactor=self.clock)
        for wrong in (None, "x", Communicator, reads_commands):
            with self.assertRaisesRegex(TypeError, "^communicator: expected a Communicator that reads"):
                Mount(wrong)  # type: ignore[arg-type]

    def test_no_command(self) -> None:
        """What is sent is a command; the error shows how to make one of a class."""
        for wrong, example in ((None, "AskForCommand"), ("x", "AskForCommand"), (Enable, "Enable")):
            with self.assertRaisesRegex(TypeError, rf"^command: .* such as {example}\(\.\.\.\), got "):
                self.mount.send(wrong)  # type: ignore[arg-type]
        self.assertEqual(self.mount.in_flight, ())
