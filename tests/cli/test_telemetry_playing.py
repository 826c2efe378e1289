"""``mtmount-telemetry play``: a recorded night on a port."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from mtmount_twisted.cli.telemetry.playing import Player
from mtmount_twisted.cli.telemetry.program import play
from mtmount_twisted.errors import RecordingError
from tests.support.folders import scratch_path
from tests.support.recordings import START, TMA2022, Writing, topic_line
from tests.support.simulated_tma2022 import Lines


class ThreadlessClock(Clock):
    """A clock that lets threads report at once."""

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        """Call in the reactor's next turn."""
        reactor.callFromThread(call, *arguments)  # type: ignore[attr-defined]


class PaceTests(TestCase):
    """The times at which lines are played."""

    async def played(self, times: list[float], speed: float) -> list[tuple[float, bytes]]:
        """When each line was written, on a clock that only the player's waits advance."""
        clock = ThreadlessClock()
        found: list[tuple[float, bytes]] = []
        lines = iter([(time, "azimuth", f"{number}".encode()) for number, time in enumerate(times)])
        player = Player(
            clock,
            lines,
            speed,
            b"\n",
            lambda data: found.extend((clock.seconds(), one) for one in data.split()),
        )
        running = Deferred.fromCoroutine(player.run())
        while not running.called:
            waits = [call.getTime() - clock.seconds() for call in clock.getDelayedCalls()]
            if waits:
                clock.advance(min(waits))
            else:
                turn: Deferred[None] = Deferred()
                reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
                await turn
        self.assertEqual(await running, len(times))
        return found

    async def test_speed(self) -> None:
        """Lines come at their distances, divided by the speed."""
        for speed in (0.1, 1.0, 100.0):
            found = await self.played([START, START + 0.5, START + 3.0], speed)
            for (time, _), expected in zip(found, (0.0, 0.5, 3.0), strict=True):
                self.assertLessEqual(abs(time - expected / speed), 0.011)

    async def test_order(self) -> None:
        """All lines come once, in order, over many reads ahead."""
        found = await self.played([START + number * 0.3 for number in range(50)], 10.0)
        self.assertEqual([int(line) for _, line in found], list(range(50)))


class PlayTests(TestCase):
    """The program on a real port of 127.0.0.1."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.options = argparse.Namespace(folder=self.folder, port=0, speed=100.0)

    async def play(self, reader: Lines, span: tuple[float, float]) -> tuple[int, str]:
        """Play a span to a reader; the exit status and what was printed."""
        listening: Deferred[int] = Deferred()

        class Output(io.StringIO):
            def write(self, text: str) -> int:
                if "playing" in text:
                    listening.callback(int(text.partition("127.0.0.1:")[2].partition(",")[0]))
                return super().write(text)

        output = Output()
        playing = Deferred.fromCoroutine(play(reactor, self.options, span, output))
        port = await listening
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), reader)
        status = await playing
        await reader.ended
        return status, output.getvalue()

    async def test_original_lines(self) -> None:
        """A reader gets the lines of the span as they came, with the original time stamps."""
        writing = Writing(self.folder)
        writing.record(10)
        writing.finish()
        reader = Lines()
        status, printed = await self.play(reader, (START + 2, START + 4))
        expected = [
            topic_line("azimuth", START + 37 + 2.25 + 0.5 * number, actualPosition=4.0 + number)
            for number in range(4)
        ]
        self.assertEqual((status, reader.lines), (0, expected))
        self.assertIn("played 4 lines", printed)
        assert TMA2022.telemetry is not None
        for line in reader.lines:
            TMA2022.telemetry.decode(line)

    async def test_damaged(self) -> None:
        """A damaged recording ends the playing with the error, and closes the port."""

        def broken() -> Iterator[tuple[float, str, bytes]]:
            yield START, "azimuth", b"1"
            raise RecordingError("f: the record at byte 9 is damaged")

        player = Player(reactor, broken(), 1.0, b"\n", lambda data: None)
        with self.assertRaises(RecordingError):
            await player.run()
