"""Queries of recordings."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.journal.recording import signals, writer
from mtmount_twisted.journal.recording.index import LONG_PIECE, PIECE
from tests.support.folders import scratch_path
from tests.support.recordings import START, TMA2022, Writing, event, item, topic_line

AZIMUTH = "azimuth.actualPosition"


class ReadTests(SynchronousTestCase):
    """`signals.read` and the other queries."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.writing = Writing(self.folder)

    def test_over_two_recordings(self) -> None:
        """A span over the end of an hour comes from both recordings, with the unit."""
        writing = Writing(self.folder, START + 2900)
        writing.record(200, every=10)
        writing.finish()
        self.assertEqual(len(writing.files), 2)
        columns = signals.read(self.folder, [AZIMUTH], START + 2900, START + 3100, 200)
        self.assertEqual(columns.signals[AZIMUTH].least, list(range(0, 400, 2)))
        self.assertEqual(columns.signals[AZIMUTH].unit, "deg")
        self.assertEqual((columns.times[0], columns.times[-1]), (START + 2900, START + 3099))

    def test_short_pieces(self) -> None:
        """A query, and the look at a moment, go on in pieces of 128 KiB, in a chunk as well as in a tail; one
        quantity of a topic comes in pieces of 1 MiB."""
        line = b'{"topicID":6,"timestamp":1.5,"actualPosition":1.0,"filling":"%b"}' % (b"x" * 2000)
        said: list[bytes] = []
        pieces: list[int] = []

        def proceed() -> None:
            pieces.append(0)

        for end in (lambda: None, self.writing.finish):
            self.writing.turn(*(item(START + 1 + number / 200, line) for number in range(200)))
            said += [line] * 200
            end()
            for names, size in (([AZIMUTH, "azimuth.topicID"], PIECE), ([AZIMUTH], LONG_PIECE)):
                pieces.clear()
                columns = signals.read(self.folder, names, START, START + 2, 1, proceed)
                self.assertEqual(columns.signals[AZIMUTH].mean, [1.0])
                self.assertGreater(len(pieces), len(line) * len(said) / size)
            pieces.clear()
            before = signals.Before(2.0, 2.0, ["azimuth"])
            found = signals.moment(self.folder, START + 2, before, proceed)
            self.assertEqual([each for _, each in found.lines], said)
            self.assertGreater(len(pieces), len(line) * len(said) / PIECE)

    def test_moment_after_a_flood(self) -> None:
        """Of a flood of events and of lines, a moment has the latest ones of each topic."""
        self.patch(signals, "MOST_EVENTS", 3)
        self.patch(signals, "MOST_LINES", 2)
        for second in range(1, 7):
            at = START + second
            lines = [topic_line(topic, at) for topic in ("azimuth", "elevation")]
            self.writing.turn(event(at, b"%d" % second), item(at, *lines))
            if second == 3:
                self.writing.finish()
                self.writing = Writing(self.folder, self.writing.now)
        self.writing.finish()
        before = signals.Before(10.0, 10.0, ["azimuth", "elevation"])
        found = signals.moment(self.folder, START + 6, before)
        self.assertEqual([line for _, line in found.events], [b"4", b"5", b"6"])
        self.assertEqual([time - START for time, _ in found.lines], [5, 5, 6, 6])
        self.patch(signals, "MOST_BYTES", 2)
        found = signals.moment(self.folder, START + 6, before)
        self.assertEqual([line for _, line in found.events], [b"5", b"6"])
        self.assertEqual(found.lines, [])

    def test_moment_after_long_lines(self) -> None:
        """Of long events and lines, a moment has the latest ones; they displace no short ones."""
        long = b"x" * 60_000
        self.writing.turn(event(START + 1, b"short"), *(event(START + 2, long) for _ in range(300)))
        self.writing.turn(event(START + 3, b"later"))
        self.writing.finish()
        found = signals.moment(self.folder, START + 6, signals.Before(10.0))
        lines = [line for _, line in found.events]
        self.assertEqual(lines, [b"short", *[long] * signals.MOST_LONG, b"later"])

    def test_part_of_a_span(self) -> None:
        """Only messages of the span count; bins without any have None."""
        self.writing.record(10)
        self.writing.finish()
        columns = signals.read(self.folder, [AZIMUTH], START + 8, START + 12, 4)
        self.assertEqual(columns.signals[AZIMUTH].greatest, [17, 19, None, None])

    def test_unknown_signal(self) -> None:
        """A signal that no recording has is a series without values."""
        self.writing.record(2)
        self.writing.finish()
        names = ["azimuth.nothing", "nothing.actualPosition", "nothing"]
        columns = signals.read(self.folder, names, START, START + 2, 2)
        self.assertEqual({tuple(each.mean) for each in columns.signals.values()}, {(None, None)})

    def test_no_folder(self) -> None:
        """Without recordings there is nothing, and no error."""
        columns = signals.read(self.folder / "none", [AZIMUTH], 0.0, 1.0, 1)
        self.assertEqual(columns.signals[AZIMUTH].least, [None])
        self.assertIsNone(signals.span(self.folder / "none"))
        self.assertEqual(signals.values_at(self.folder / "none", START), {})

    def test_values_that_are_no_numbers(self) -> None:
        """NaN, null, text and missing values are left out; a bool counts as 0 or 1."""
        values = ("NaN", "1.5", "null", '"x"', "true", "3")
        lines = [b'{"topicID":6,"timestamp":1.5,"actualPosition":%b}' % value.encode() for value in values]
        lines.append(b'{"topicID":6,"timestamp":1.5}')
        self.writing.turn(*(item(START + number, line) for number, line in enumerate(lines)))
        self.writing.finish()
        columns = signals.read(self.folder, [AZIMUTH], START, START + 7, 7)
        self.assertEqual(columns.signals[AZIMUTH].mean, [None, 1.5, None, None, 1.0, 3.0, None])

    def test_values_at(self) -> None:
        """Each topic has its last line at or before the time, if that is not older than 10 s."""
        self.writing.record(3, ("elevation",))
        self.writing.record(20)
        self.writing.turn(event(self.writing.now, b'{"id":2}'))
        found = signals.values_at(self.folder, START + 11.5)
        self.assertEqual({name: value.time for name, value in found.items()}, {
            "azimuth": START + 11.25, "elevation": START + 2.75,
        })  # fmt: skip
        self.assertIn(b'"actualPosition":16.0', found["azimuth"].line)
        self.assertNotIn("elevation", signals.values_at(self.folder, START + 13))
        self.writing.finish()
        self.assertEqual(signals.values_at(self.folder, START + 11.5), found)

    def test_span(self) -> None:
        """The span reaches from the first message of the first recording to the last of the last."""
        writing = Writing(self.folder, START + 2990)
        writing.record(20, every=5)
        self.assertEqual(len(writing.files), 2)
        self.assertEqual(signals.span(self.folder), (START + 2990.25, START + 3009.75))
        writing.finish()
        self.assertEqual(signals.span(self.folder), (START + 2990.25, START + 3009.75))

    def test_lines(self) -> None:
        """All lines come in the order of time, as they came."""
        self.writing.record(70, ("azimuth", "elevation"), every=7)
        from_tail = list(signals.lines(self.folder))
        self.writing.finish()
        found = list(signals.lines(self.folder))
        self.assertEqual(from_tail, found)
        self.assertEqual(len(found), 280)
        self.assertEqual([time for time, *_ in found], sorted(time for time, *_ in found))
        self.assertEqual(found[0][2], topic_line("azimuth", START + 37.25, actualPosition=0.0))
        some = list(signals.lines(self.folder, ["elevation"], START + 10, START + 20))
        self.assertEqual((len(some), {topic for _, topic, _ in some}), (20, {"elevation"}))

    def test_lines_of_one_moment(self) -> None:
        """Lines that came together stay in their order, also if they are in several chunks and the tail."""
        folder = scratch_path(self)
        writing = Writing(folder)
        self.patch(writer, "MOST_WRITTEN", 300)
        lines = [topic_line("azimuth", START + 38, actualPosition=float(number)) for number in range(12)]
        writing.turn(item(START + 1, *lines[:9]))
        writing.turn(seconds=120)
        writing.turn(item(START + 1, *lines[9:]))
        self.assertEqual([line for _, _, line in signals.lines(folder)], lines)
        writing.finish()
        self.assertEqual([line for _, _, line in signals.lines(folder)], lines)

    def test_long_values(self) -> None:
        """A line that is longer than any of the mount is the value of no topic: a file may have 1,000
        topics."""
        for length, topics in ((60_000, {"azimuth", "elevation"}), (70_000, {"elevation"})):
            filling = b',"more":"%b"}' % (b"x" * length)
            line = topic_line("azimuth", START, actualPosition=1.0)[:-1] + filling
            self.writing.turn(item(self.writing.now, line, topic_line("elevation", START)), seconds=20.0)
            self.assertEqual(signals.values_at(self.folder, self.writing.now - 19).keys(), topics)

    def test_message_of_another_century(self) -> None:
        """A recording that has a message far in the future takes no work for the years before it."""
        for name in (AZIMUTH, "motion.azimuth.error"):
            self.writing.turn(item(START + 0.5, topic_line("azimuth", START)))
            self.writing.turn(item(START + 7e9, topic_line("azimuth", START)))
            found = signals.read(self.folder, [name], START - 1e9, START + 8e9, 9)
            self.assertEqual(found.signals[name].mean, [None] * 9)
        self.assertEqual(
            signals.filled(self.folder, [AZIMUTH], START - 1e9, START + 8e9), [(START + 0.5,) * 2]
        )

    def test_derived_signals(self) -> None:
        """The error is demand minus actual in arcsec; on the sky it is smaller by the cosine of elevation."""
        items = []
        for tick in range(2400):
            at = START + tick / 20
            values = {"demandPosition": 10 + tick / 1000, "actualPosition": 10 + tick / 1000 - 1 / 3600}
            line = topic_line("azimuth", at + 37, **values)
            items.append(item(at, line, topic_line("elevation", at + 37, actualPosition=60.0)))
        for number in range(0, 2400, 300):
            self.writing.turn(*items[number : number + 300], seconds=15.0)
        self.writing.finish()
        names = ["motion.azimuth.error", "motion.azimuth.errorSky"]
        columns = signals.read(self.folder, names, START + 1, START + 119, 118)
        for name, expected in zip(names, (1.0, 0.5)):
            series = columns.signals[name]
            self.assertEqual(series.unit, "arcsec")
            for value in (*series.least, *series.greatest):
                self.assertAlmostEqual(math.nan if value is None else value, expected, places=5)

    def test_names(self) -> None:
        """Every quantity of every topic is a signal, and so are the errors."""
        assert TMA2022.telemetry is not None
        names = signals.signal_names(TMA2022.telemetry)
        self.assertEqual(len(names), 544 + 4)
        self.assertEqual(names["encoder.azimuthEncoderPosition3"].unit, "deg")
        self.assertEqual(names[AZIMUTH].period, 0.05)
        self.assertEqual(names["motion.azimuth.errorSky"].unit, "arcsec")

    def test_about(self) -> None:
        """The metadata is that of the first recording of a time span, also while it is written."""
        self.writing.record(2)
        for _ in range(2):
            self.assertEqual(signals.about(self.folder, START, START + 2)["dialect"], "tma2022")
            self.writing.finish()
        self.assertEqual(signals.about(self.folder, START + 10, START + 20), {})

    def test_a_query_can_be_ended(self) -> None:
        """An error of the caller's own ends the query between two chunks."""
        self.writing.record(200, every=10)
        self.writing.finish()
        calls = iter([None, None])

        def proceed() -> None:
            if next(calls, "late") == "late":
                raise TimeoutError("late")

        with self.assertRaises(TimeoutError):
            signals.read(self.folder, [AZIMUTH], START, START + 200, 100, proceed)
