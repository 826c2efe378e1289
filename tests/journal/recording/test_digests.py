"""Digests: a query of a long time reads pieces of 5 s or 300 s, and loses no spike."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path
from unittest import mock

import numpy as np
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.errors import RecordingError
from mtmount_twisted.journal.recording import digests, signals, writer
from mtmount_twisted.journal.recording.digests import (
    LONG_PIECE,
    MOST_HEAD,
    PIECE,
    Digest,
    packed,
    parted,
    unpacked,
)
from mtmount_twisted.journal.recording.files import RecordingFile
from mtmount_twisted.journal.recording.index import digests_of
from mtmount_twisted.journal.recording.items import Item
from mtmount_twisted.journal.recording.layout import MOST_DIGEST, read_summary
from mtmount_twisted.journal.recording.thinning import Bins
from tests.support.folders import scratch_path
from tests.support.recordings import START, Writing, item, messages_of, topic_line

AZIMUTH = "azimuth.actualPosition"
ERRORS = ("motion.azimuth.error", "motion.azimuth.errorSky", "motion.elevation.error")


def without_chunks(path: Path) -> None:
    """Overwrite the data of all chunks of a recording."""
    with open(path, "r+b") as file:
        contents = read_summary(path, file.fileno())
        assert contents is not None
        for chunk in contents.chunks:
            file.seek(chunk.offset)
            file.write(bytes(chunk.length))


class SpikeTests(SynchronousTestCase):
    """Any samples, any span."""

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_no_spike_is_lost(self, data: st.DataObject) -> None:
        """Each sample lies between least and greatest of its bin or of a neighbour, and the extremes are
        samples; also without an end of the recording."""
        chance = random.Random(data.draw(st.integers(0, 2**32)))
        folder = scratch_path(self)
        writing = Writing(folder, START + data.draw(st.sampled_from([0, 2.3, 2950])))
        begin, samples = writing.now, []
        for _ in range(data.draw(st.integers(1, 20))):
            lines = []
            for _ in range(chance.randrange(30)):
                time = writing.now + 7 * chance.random()
                value = chance.choice([chance.gauss(0, 1), chance.gauss(0, 1e6), math.nan])
                lines.append(item(time, topic_line("azimuth", time + 37, actualPosition=value)))
                samples.append((time, value))
            writing.turn(*sorted(lines, key=lambda line: line.time), seconds=7.0)
        if data.draw(st.booleans()):
            writing.finish()
        width = data.draw(st.floats(PIECE, 40) | st.floats(LONG_PIECE, 700))
        start = begin + data.draw(st.floats(-400, 100))
        points = data.draw(st.integers(1, 20))
        end = start + width * points
        found = signals.read(folder, [AZIMUTH], start, end, points).signals[AZIMUTH]
        inside = [(time, value) for time, value in samples if start <= time < end and value == value]
        values = {value for _, value in inside}
        self.assertLessEqual({each for each in (*found.least, *found.greatest) if each is not None}, values)
        self.assertEqual(
            min(values, default=None), min(filter(lambda x: x is not None, found.least), default=None)
        )
        for time, value in inside:
            row = min(int((time - start) / width), points - 1)
            near = [at for at in (row - 1, row, row + 1) if 0 <= at < points and found.least[at] is not None]
            self.assertTrue(any(found.least[at] <= value <= found.greatest[at] for at in near))

    def test_whole_pieces(self) -> None:
        """If the bins are whole pieces, all values are those of the lines."""
        folder = scratch_path(self)
        writing = Writing(folder)
        chance = random.Random(3)
        samples = []
        for _ in range(20):
            lines = []
            for second in range(10):
                time, value = writing.now + second + chance.random(), chance.gauss(1e3, 1)
                samples.append((time, value))
                lines.append(item(time, topic_line("azimuth", time + 37, actualPosition=value)))
            writing.turn(*lines, seconds=10.0)
        writing.finish()
        bins = Bins(START, START + 200, 20)
        bins.add(*np.array(samples).T)
        found = signals.read(folder, [AZIMUTH], START, START + 200, 20).signals[AZIMUTH]
        least, greatest, mean = bins.columns()
        self.assertNotIn(None, mean)
        self.assertEqual((found.unit, found.least, found.greatest), ("deg", least, greatest))
        np.testing.assert_allclose(np.array(found.mean), np.array(mean), rtol=1e-14)


class DigestTests(SynchronousTestCase):
    """The attachments with digests."""

    def setUp(self) -> None:
        self.folder = scratch_path(self)
        self.writing = Writing(self.folder)

    def follow(self, seconds: int, end: bool = True) -> None:
        """Record both axes, of which azimuth has an error of 1 arcsec."""
        begin = self.writing.now
        for _ in range(seconds // 5):
            lines = []
            for number in range(50):
                at = self.writing.now + number / 10
                moved = 0.01 * (at - begin)
                for topic, error in (("azimuth", 1 / 3600), ("elevation", 0.0)):
                    values = {"demandPosition": 60 + moved, "actualPosition": 60 + moved - error}
                    lines.append(item(at, topic_line(topic, at + 37, **values)))
            self.writing.turn(*lines, seconds=5.0)
        if end:
            self.writing.finish()

    def test_no_line_is_read(self) -> None:
        """A long query reads no chunk; a short one does."""
        self.follow(130)
        without_chunks(self.writing.files[0])
        names = [AZIMUTH, *ERRORS]
        found = signals.read(self.folder, names, START, START + 130, 26).signals
        self.assertNotIn(None, found[AZIMUTH].mean)
        self.assertRaises(RecordingError, signals.read, self.folder, names, START, START + 130, 130)

    def test_long_pieces(self) -> None:
        """A query with bins of 300 s reads neither chunks nor the pieces of 5 s."""
        values = [[], [], []]  # type: list[list[float]]
        for number in range(60):
            at, value = self.writing.now, 60 + (number * 7 % 60)
            values[number // 20].append(value)
            lines = (topic_line(topic, at + 37, actualPosition=value) for topic in ("azimuth", "elevation"))
            self.writing.turn(item(at, *lines), seconds=15.0)
        self.writing.finish()
        [path] = self.writing.files
        without_chunks(path)
        with open(path, "r+b") as file:
            contents = read_summary(path, file.fileno())
            assert contents is not None
            for offset, length in contents.digests.values():
                file.seek(offset)
                file.write(bytes(length))
        found = signals.read(self.folder, [AZIMUTH], START, START + 900, 3).signals[AZIMUTH]
        self.assertEqual((found.unit, found.least), ("deg", list(map(min, values))))
        self.assertEqual(found.greatest, list(map(max, values)))
        for mean, some in zip(found.mean, values):
            self.assertAlmostEqual(math.nan if mean is None else mean, sum(some) / 20)
        self.assertRaises(RecordingError, signals.read, self.folder, [AZIMUTH], START, START + 900, 4)

    def test_recording_of_before(self) -> None:
        """A recording that has no pieces of 300 s, as the recorder wrote it at first, is read."""
        folder = Path(__file__).parents[2] / "data" / "previous_recording"
        for points in (90, 45, 3):
            found = signals.read(folder, [AZIMUTH, ERRORS[0]], START, START + 900, points).signals
            each = 90 // points
            last = [60 + number / 100 - 1 / 3600 for number in range(each - 1, 90, each)]
            self.assertEqual(found[AZIMUTH].greatest, last)
            self.assertEqual({round(value or 0, 6) for value in found[ERRORS[0]].mean}, {1.0})
        self.assertEqual(len(list(signals.lines(folder))), 181)

    def test_errors(self) -> None:
        """The derived signals are in the digests, over the end of an hour too."""
        self.writing = Writing(self.folder, START + 2900)
        self.follow(200)
        self.assertEqual(len(self.writing.files), 2)
        for path in self.writing.files:
            without_chunks(path)
        found = signals.read(self.folder, ERRORS, START + 2905, START + 3095, 38).signals
        self.assertEqual(found[ERRORS[0]].unit, "arcsec")
        for name, error in zip(ERRORS, (1.0, math.cos(math.radians(61)), 0.0)):
            for column in found[name][1:]:
                for value in column:
                    self.assertLess(abs(value - error), 0.03)

    def both(self, at: float, error: float = 0.0) -> Item:
        """A line of each axis; azimuth has a following error (arcsec)."""
        places = {"azimuth": (10.0, 10.0 + error / 3600), "elevation": (60.0, 60.0)}
        return item(
            at,
            *(
                topic_line(topic, at + 37, actualPosition=place, demandPosition=demand)
                for topic, (place, demand) in places.items()
            ),
        )

    def azimuth_errors(self, start: float, end: float) -> list[float | None]:
        """The greatest error of azimuth in each piece of the digests, rounded."""
        for path in self.writing.files:
            without_chunks(path)
        points = round((end - start) / PIECE)
        found = signals.read(self.folder, [ERRORS[0]], start, end, points).signals[ERRORS[0]]
        return [each if each is None else round(each, 3) for each in found.greatest]

    def test_clock_that_was_ahead(self) -> None:
        """After a wall clock that was ahead for some seconds, the errors are in the digests again."""
        for ahead in (3.0, 86_400.0, 30 * 365 * 86_400.0):
            self.folder = scratch_path(self)
            self.writing = Writing(self.folder)
            for second in range(400):
                self.writing.ahead = ahead if 130 <= second < 133 else 0.0
                at = self.writing.now + self.writing.ahead
                self.writing.turn(*(self.both(at + part / 4, 1.0) for part in range(4)))
            self.writing.finish()
            self.assertEqual(set(self.azimuth_errors(START + 140, START + 390)), {1.0}, ahead)

    def test_lines_that_come_between_two_chunks(self) -> None:
        """Lines that come while the chunks are written are in the digests of both axes, once each."""
        writing = self.writing
        late = iter([[self.both(START + 61 + part / 4, 5.0) for part in range(10)]])
        with mock.patch.object(writing.writer, "_more", lambda: next(late, [])):
            for second in range(120):
                if not 61 <= second < 64:
                    writing.turn(*(self.both(writing.now + part / 4, 1.0) for part in range(4)))
                else:
                    writing.turn()
        writing.finish()
        self.assertEqual(self.azimuth_errors(START + 50, START + 75), [1.0, 1.0, 5.0, 1.0, 1.0])
        [path] = writing.files
        count = dict(digests_of(path, [ERRORS[0]], PIECE))[ERRORS[0]].table[0].sum()
        self.assertEqual(count, 4 * 117 + 10)

    def test_any_reader(self) -> None:
        """The package's reader finds the messages and the attachments."""
        self.follow(70)
        [path] = self.writing.files
        self.assertEqual(len(list(messages_of(path))), 1400)
        with open(path, "rb") as file:
            reader = make_reader(file, validate_crcs=True)
            names = [each.name for each in reader.iter_attachments()]
            summary = reader.get_summary()
        self.assertIn("digest/azimuth", names)
        assert summary is not None and summary.statistics is not None
        self.assertEqual(summary.statistics.attachment_count, len(names))

    def test_end_that_fails(self) -> None:
        """If the disk refuses the end of a recording, the digests of its second end are whole."""
        self.follow(100, end=False)
        with mock.patch.object(RecordingFile, "_append", side_effect=OSError(28, "No space left on device")):
            self.writing.turn(seconds=3600)
        self.assertIn("No space left", self.writing.writer.fault)
        self.writing.turn()
        self.writing.finish()
        without_chunks(self.writing.files[0])
        found = signals.read(self.folder, [AZIMUTH], START, START + 100, 20).signals[AZIMUTH]
        self.assertNotIn(None, found.mean)

    def test_crash_at_the_end(self) -> None:
        """A recording that is cut within its digests is finished, and none of its messages is missing."""
        self.follow(70, end=False)
        [path] = self.writing.files
        tail = Path(f"{path}.tail").read_bytes()
        self.writing.finish()
        whole = path.read_bytes()
        contents = read_summary(path, os.open(path, os.O_RDONLY))
        assert contents is not None
        offset, length = contents.digests["elevation"]
        path.write_bytes(whole[: offset + length // 2])
        Path(f"{path}.tail").write_bytes(tail)
        writing = Writing(self.folder, START + 7200)
        writing.turn()
        writing.finish()
        self.assertEqual(len(list(messages_of(path))), 1400)
        found = signals.read(self.folder, [AZIMUTH], START, START + 70, 14).signals[AZIMUTH]
        self.assertNotIn(None, found.mean)

    def test_damaged(self) -> None:
        """A damaged digest is an error that names the file and the record."""
        self.follow(20)
        [path] = self.writing.files
        file = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, file)
        contents = read_summary(path, file)
        assert contents is not None
        offset, length = contents.digests["azimuth"]
        data = bytearray(path.read_bytes())
        data[offset + length - 10] ^= 1
        path.write_bytes(data)
        error = self.assertRaises(RecordingError, signals.read, self.folder, [AZIMUTH], START, START + 20, 4)
        self.assertIn(f"{path}: the record at byte {offset} is damaged", str(error))

    def test_nested(self) -> None:
        """A digest whose head is nested deeper than the stack is malformed."""
        head = b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}\n"
        self.assertRaises(ValueError, unpacked, zstandard.ZstdCompressor().compress(head))

    def test_without_end(self) -> None:
        """A digest that has more bytes decompressed, or a longer head, than one of an hour is malformed."""
        rows = MOST_DIGEST // 40
        compressor = zstandard.ZstdCompressor()
        for data, why in (
            (packed(Digest(["x"], np.ones(rows), np.ones((4, 1, rows))), ["deg"]), "expected at most"),
            (compressor.compress(b"x" * (MOST_HEAD + 1) + b"\n"), "the line at its beginning"),
            (compressor.compress(b"{}"), "the line at its beginning"),
        ):
            error = self.assertRaises(ValueError, unpacked, data)
            self.assertIn(why, str(error))
        error = self.assertRaises(ValueError, parted, b"x" * (MOST_HEAD + 1) + b"\n")
        self.assertIn("the line at its beginning", str(error))

    def test_pieces_without_end(self) -> None:
        """The pieces of a flood are joined where they have the same start, and many pieces are added to the
        bins in portions: a query of them has the same answer."""
        answers = []
        for most_pieces, most_gathered, start in ((2000, 2**24, 0), (3, 2**24, 3600), (2000, 1, 7200)):
            self.patch(digests, "MOST_PIECES", most_pieces)
            self.patch(signals, "MOST_GATHERED", most_gathered)
            self.patch(writer, "CHUNK_TIME", 3.0)
            writing = Writing(self.folder, START + start)
            writing.record(60, ("azimuth", "elevation"))
            writing.finish()
            names = [AZIMUTH, "elevation.actualPosition"]
            found = signals.read(self.folder, names, START + start, START + start + 60, 12)
            self.assertNotIn(None, found.signals[AZIMUTH].mean)
            answers.append(found.signals)
            [(_, digest)] = digests_of(writing.files[-1], ["azimuth"], PIECE)
            self.assertEqual(len(digest.starts) > 13, most_pieces > 3)
        self.assertEqual(answers, answers[:1] * 3)

    def test_signal_without_digest(self) -> None:
        """A quantity that the dialect does not know comes from the lines."""
        for _ in range(20):
            at = self.writing.now
            line = json.dumps({"topicID": 6, "timestamp": at, "unknown": 5.0}).encode()
            self.writing.turn(item(at, line))
        self.writing.finish()
        found = signals.read(self.folder, ["azimuth.unknown", AZIMUTH], START, START + 20, 4).signals
        self.assertEqual(found["azimuth.unknown"].mean, [5.0] * 4)
        self.assertEqual(found[AZIMUTH].mean, [None] * 4)
