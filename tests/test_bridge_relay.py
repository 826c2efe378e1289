"""`mtmount_twisted.bridge.relay`: what a commander and a controller see of the bridge between them."""

from __future__ import annotations

import logging
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mtmount_twisted.bridge.service import BridgeService
from mtmount_twisted.communicator import ClientServerPair
from mtmount_twisted.testing import HOST

from .bridges import LOG, STAMP, BridgeCase, command, done


class Producer:
    """Notes whether it may write."""

    paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


class PassingOnTests(BridgeCase):
    """Lines that are passed on."""

    def test_byte_for_byte(self) -> None:
        """Unknown codes, codes without a class, more fields and any bytes go through as they are."""
        self.start()
        commands = [
            command(1, 103, 1, b"1.50", b"", b"more", b""),
            command(2, 9999),
            command(3, 104, 77, b"\xff\xfe\x00"),
            b" +4\n010\n1\nno time at all\n\xc3",
            command(-5, -100, -1, b"a\rb", b" "),
        ]
        replies = [
            b"0\n1\n1\n%s\n" % STAMP,
            b"77\nanything\xff",
            b" 5",
            b"3",
            done(9),
            b"1\n2\n55\n\xe9\n\x00\r",
        ]
        self.send(*commands)
        self.assertEqual(self.controller.written_lines(), commands)
        self.reply(*replies)
        self.assertEqual(self.commander.written_lines(), replies)

    def test_byte_by_byte(self) -> None:
        """How the bytes are cut on their way makes no difference."""
        self.start()
        for byte in command(1, 9999, 1, b"\xff") + b"\r\n" + command(2) + b"\r\n":
            self.commander.feed(bytes([byte]))
        self.assertEqual(self.controller.written_lines(), [command(1, 9999, 1, b"\xff"), command(2)])

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(), st.integers(), st.integers(), st.binary(max_size=50)), max_size=5)
    )
    def test_any_header(self, rows: list[tuple[int, int, int, bytes]]) -> None:
        """Whatever integers a header has, and whatever bytes follow, the line is passed on."""
        self.setUp()
        self.start()
        lines = [command(*row[:3], row[3]) for row in rows if b"\r\n" not in row[3]]
        self.send(*lines)
        self.assertEqual(self.controller.written_lines(), lines)
        self.stop()

    def test_line_without_header(self) -> None:
        """Lines without a header are logged and dropped, and the next is passed on, either way."""
        self.start()
        with self.assertLogs(LOG, logging.WARNING) as logged:
            self.send(b"rubbish", b"", b"1\n1_0\n1\nx", b"9" * 6000 + b"\n1\n1\nx", command(1))
            self.reply(b"\xff", b"", b"0\n1", b"2\nx\n1\n" + STAMP, done(1))
        self.assertEqual(self.controller.written_lines(), [command(1)])
        self.assertEqual(self.commander.written_lines(), [done(1)])
        self.assertEqual(len(logged.records), 8)
        self.assertIn("rubbish", logged.output[0])

    def test_a_fault_does_not_stop_the_relay(self) -> None:
        """Whatever goes wrong with one line is logged with its traceback, and the next is passed on."""
        self.start()
        faults = iter([ZeroDivisionError("once"), ZeroDivisionError("twice")])
        write = ClientServerPair.write

        def faulty_write(pair: ClientServerPair[bytes], line: bytes) -> Deferred[None]:
            for fault in faults:
                raise fault
            return write(pair, line)

        self.patch(ClientServerPair, "write", faulty_write)
        with self.assertLogs(LOG, logging.ERROR) as logged:
            self.send(command(1))
            self.reply(done(1))
            self.send(command(2))
            self.reply(done(2))
        self.assertEqual(self.controller.written_lines(), [command(2)])
        self.assertEqual(self.commander.written_lines(), [done(2)])
        self.assertEqual(len(logged.records), 2)
        self.assertIn("ZeroDivisionError: once", logged.output[0])


class NotPassedOnTests(BridgeCase):
    """Commands that can't be passed on."""

    def assert_noack(self, line: bytes, sequence_id: int, source: int, explanation: str) -> None:
        code, its_id, its_source, _, text = line.decode().split("\n")
        self.assertEqual((code, its_id, its_source), ("1", str(sequence_id), str(source)))
        self.assertTrue(text.startswith(explanation), text)

    def test_not_connected(self) -> None:
        """While the controller is away each command gets a NoAck, whatever its code and source."""
        self.start(controller=False)
        self.send(command(7), command(8, 9999, 77), command(-9, 104, -3))
        first, second, third = self.commander.written_lines()
        self.assert_noack(first, 7, 1, "not sent")
        self.assert_noack(second, 8, 77, "not sent")
        self.assert_noack(third, -9, -3, "not sent")

    def test_refused_commands_are_not_sent_later(self) -> None:
        """A command that was answered with 'not sent' does not reach the controller when it comes."""
        self.start(controller=False)
        self.send(command(1))
        self.controller.start_listening()
        self.pass_time(6)
        self.assertTrue(self.controller.connect_server())
        self.send(command(2))
        self.assertEqual(self.controller.written_lines(), [command(2)])

    def test_lost_during_write(self) -> None:
        """The command whose write is cut short gets 'outcome unknown', those behind it 'not sent'."""
        self.start()
        self.controller.stop_reading()
        self.send(command(1, 10, 1, b"x" * 60000), command(2, 10, 55, b"x" * 60000), command(3))
        self.assertEqual(self.commander.written_lines(), [])
        self.controller.drop_client()
        second, third = self.commander.written_lines()
        self.assert_noack(second, 2, 55, "outcome unknown")
        self.assert_noack(third, 3, 1, "not sent")

    def test_refusals_with_nobody_to_take_them(self) -> None:
        """Refusals and replies that nobody takes are dropped with one line in the log, not one each."""
        self.start()
        for far_end in (self.commander, self.controller):
            far_end.stop_listening()
            far_end.drop_client()
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.send(*(command(number) for number in range(1, 51)))
            self.reply(done(1))
        self.assertEqual(len(logged.records), 1, logged.output)


class NobodyConnectedTests(BridgeCase):
    """Replies that nobody takes."""

    def test_one_line_in_the_log(self) -> None:
        """Replies with nobody connected are dropped with one line, and in the end one that counts them."""
        self.start(commander=False)
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.reply(*(done(number) for number in range(1, 101)))
        self.assertEqual(len(logged.records), 1, logged.output)
        self.assertIn("no commander is connected", logged.output[0])
        self.commander.start_listening()
        self.pass_time(6)
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.reply(done(101))
        self.assertEqual(self.commander.written_lines(), [done(101)])
        self.assertEqual(len(logged.records), 1, logged.output)
        self.assertIn("100 ", logged.output[0])

    def test_again_after_the_next_loss(self) -> None:
        """Each time that the commander is away is told of anew."""
        self.start()
        self.reply(done(1))
        self.commander.stop_listening()
        self.commander.drop_client()
        with self.assertLogs(LOG, logging.INFO) as logged:
            self.reply(done(2), done(3))
        self.assertEqual(len(logged.records), 1)


class ComingAndGoingTests(BridgeCase):
    """Either side leaves and comes back."""

    def test_commander(self) -> None:
        """After a commander has gone, the next one's commands are passed on and answered."""
        self.start()
        self.send(command(1))
        for _ in range(3):
            self.commander.drop_server()
            self.commander.drop_client()
            self.pass_time(1)
            self.assertTrue(self.commander.connect_server())
        self.send(command(2))
        self.assertEqual(self.controller.written_lines(), [command(1), command(2)])
        self.reply(done(2))
        self.assertEqual(self.commander.written_lines(), [done(2)])

    def test_controller(self) -> None:
        """After the controller has gone and come back, commands and replies pass again."""
        self.start()
        for _ in range(3):
            self.controller.drop_server()
            self.controller.drop_client()
            self.send(command(1))
            self.assertIn(b"not sent", self.commander.written_lines()[0])
            self.pass_time(1)
            self.assertTrue(self.controller.connect_server())
        self.send(command(2))
        self.assertEqual(self.controller.written_lines(), [command(2)])
        self.reply(done(2))
        self.assertEqual(self.commander.written_lines(), [done(2)])

    def test_commands_before_the_reply_side(self) -> None:
        """A command waits for the way to reply, and is dropped, not passed on later, if its sender leaves."""
        self.start(commander=False)
        self.assertTrue(self.commander.connect_server())
        self.send(command(1))
        self.pass_time(60)
        self.commander.drop_server()
        self.commander.start_listening()
        self.assertTrue(self.commander.connect_server())
        self.send(command(2))
        self.assertEqual(self.controller.written_lines(), [])
        self.pass_time(6)
        self.assertEqual(self.controller.written_lines(), [command(2)])

    def test_commands_before_the_controller_can_reply(self) -> None:
        """A command whose answers could not come back is refused, and not passed on later."""
        self.start()
        self.controller.drop_server()
        self.send(command(1))
        self.assertIn(b"not sent", self.commander.written_lines()[0])
        self.assertTrue(self.controller.connect_server())
        self.assertEqual(self.controller.written_lines(), [])

    def test_last_words(self) -> None:
        """What a side sent before it left is still passed on."""
        self.start()
        self.commander.server.transport.write(command(1) + b"\r\n")
        self.commander.drop_server()
        self.controller.server.transport.write(done(1) + b"\r\n" + b"2\n7")
        self.controller.drop_server()
        self.assertEqual(self.controller.written_lines(), [command(1)])
        self.assertEqual(self.commander.written_lines(), [done(1)])


class BackPressureTests(BridgeCase):
    """One side does not read."""

    def fill(self, sender: Any, line: bytes) -> int:
        """Send until the sender is told to wait; how many lines that took."""
        producer = Producer()
        sender.server.transport.registerProducer(producer, True)
        count = 0
        while not producer.paused:
            sender.feed(line + b"\r\n")
            count += 1
            self.assertLess(count, 3000)
        return count

    def test_controller(self) -> None:
        """While the controller does not read the commander has to wait; nothing is lost, replies pass."""
        self.start()
        self.controller.stop_reading()
        line = command(1, 10, 1, b"x" * 1000)
        count = self.fill(self.commander, line)
        self.reply(done(1))
        self.assertEqual(self.commander.written_lines(), [done(1)])
        self.controller.start_reading()
        self.assertEqual(self.controller.written_lines(), [line] * count)

    def test_commander(self) -> None:
        """While the commander does not read the controller has to wait; nothing is lost, commands pass."""
        self.start()
        self.commander.stop_reading()
        line = done(1) + b"\n" + b"x" * 1000
        count = self.fill(self.controller, line)
        self.send(command(1))
        self.assertEqual(self.controller.written_lines(), [command(1)])
        self.commander.start_reading()
        self.assertEqual(self.commander.written_lines(), [line] * count)

    def test_refusals(self) -> None:
        """A commander that does not read has to wait with commands that would only be refused."""
        self.start(controller=False)
        self.commander.stop_reading()
        count = self.fill(self.commander, command(1, 10, 1, b"x" * 100))
        self.commander.start_reading()
        self.assertEqual(len(self.commander.written_lines()), count)


class CantListenTests(BridgeCase):
    """A pair that can't listen."""

    def test_one_line(self) -> None:
        """A port that is taken is told in one line of the log, without a traceback."""
        taken = self.commander.port
        service = BridgeService(
            ((HOST, taken), (HOST, taken)), ((HOST, self.controller.port), (HOST, 0)), LOG, self.reactor
        )
        with self.assertLogs(LOG, logging.WARNING) as logged:
            service.startService()
            self.reactor.advance(0)
        self.assertEqual(len(logged.records), 1, logged.output)
        self.assertNotIn("Traceback", logged.output[0])
        stopped = service.stopService()
        self.reactor.advance(0)
        self.reactor.advance(1.5)
        self.successResultOf(stopped)
