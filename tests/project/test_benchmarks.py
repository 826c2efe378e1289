"""The benchmarks: comparators that do what the package does, and a page that says what was measured."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import codec_tma2022, tables, tma2022_stage, web_streams
from benchmarks.bridge import Takes
from benchmarks.bridge_daemon import Copying
from benchmarks.bridge_event import EVENT, event, sent_at
from benchmarks.by_hand import MESSAGES
from benchmarks.runner import RESULTS, Case, Goal, Run
from benchmarks.simple_stack import decode_command, decode_reply
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2020 import codec
from mtmount_twisted.dialects.tma2022.replies import CmdAcknowledgedReply, CmdSucceededReply
from mtmount_twisted.dialects.tma2022.telemetry import Topics
from mtmount_twisted.journal.recorder import JournalOff
from mtmount_twisted.replies import Reply
from tests.support.web import LOG, Wire
from tests.support.web_houses import WebHouse

BAD_TEXTS = ["", "x", "1_0", "٣", "nan", "1e999", "2020-02-27T24:00:00.000", "2020-02-30T14:48:27.469"]
BAD_TEXTS += ["2020-W09-4T14:48:27.469", "7\0"]


def ours(message: object) -> Callable[[bytes], Any]:
    """The package's decoder for the side that reads such messages."""
    return codec.decode_reply if isinstance(message, Reply) else codec.decode_command


class ComparatorTests(SynchronousTestCase):
    """A comparator that does less than the package would flatter nobody."""

    def test_by_hand_is_equal(self) -> None:
        """Code by hand and the simple stack make and write the very messages that the package does."""
        for message, decode, encode in MESSAGES:
            line = message.encode().removesuffix(b"\r\n")
            loop = decode_reply if isinstance(message, Reply) else decode_command
            self.assertEqual(encode(message), message.encode())
            self.assertEqual(decode(line), message)
            self.assertEqual(loop(line), message)

    def test_by_hand_refuses_as_much(self) -> None:
        """Whatever the package refuses in a field, or in their number, code by hand refuses too."""
        for message, decode, _ in MESSAGES:
            for line in damaged(message.str_fields()):
                with self.subTest(line=line):
                    try:
                        ours(message)(line)
                    except ValueError:
                        self.assertRaises((ValueError, KeyError), decode, line)


class ComparatorsOf2022Tests(SynchronousTestCase):
    """The same for the messages of tma2022."""

    def test_structs_by_hand(self) -> None:
        """A class by hand has all that the package reads of that line."""
        ack = msgspec.json.decode(codec_tma2022.ACK, type=codec_tma2022.Ack)
        self.assertEqual(msgspec.to_builtins(ack), tma2022.decode_reply(codec_tma2022.ACK).fields())
        azimuth = msgspec.json.decode(codec_tma2022.AZIMUTH, type=codec_tma2022.Azimuth)
        fields = tma2022.decode_telemetry(codec_tma2022.AZIMUTH).fields()
        self.assertEqual(msgspec.to_builtins(azimuth), {"topicID": 6, **fields})
        self.assertEqual(len(fields), 15)


class BridgeTests(SynchronousTestCase):
    """What the bridge is measured with."""

    def test_relay_copies(self) -> None:
        """The relay gives what comes to everyone who joined, as it came, and nothing to who left."""
        hearers: set[Protocol] = set()
        ends = [Copying(hearers, set()) for _ in range(3)]
        transports = [StringTransport() for _ in ends]
        for end, transport in zip(ends, transports):
            transport.setTcpNoDelay = lambda on: None  # type: ignore[attr-defined]
            end.makeConnection(transport)
        ends[2].connectionLost()
        Copying(set(), hearers).dataReceived(b"half a li")
        self.assertEqual([transport.value() for transport in transports], [b"half a li"] * 2 + [b""])

    def test_event_tells_when_it_was_sent(self) -> None:
        """Events are of one length, are replies that the package reads, and age by the machine's clock."""
        first, second = event(), event()
        self.assertEqual({len(first), len(second)}, {len(EVENT)})
        codec.decode_reply(first.removesuffix(b"\r\n"))
        self.assertLessEqual(sent_at(first + second), sent_at(second))

    def test_streams_begin(self) -> None:
        """The site whose streams are measured answers a reader with a stream."""
        house = WebHouse()
        wire = Wire(web_streams.site(house.clock, house.bus, JournalOff(), LOG))
        wire.send(web_streams.REQUEST)
        self.assertIn(b"\nevent: hello\n", wire.data)

    def test_one_measurement_gives_several_figures(self) -> None:
        """Figures that belong together come from the same measurements, in the same order."""
        measured = iter([{"a": 1.0, "b": 10.0}, {"a": 2.0, "b": 20.0}])
        takes = Takes(lambda: next(measured))
        order = ["a", "a", "b", "b"]
        got = [self.successResultOf(Deferred.fromCoroutine(takes(figure))) for figure in order]
        self.assertEqual(got, [1, 2, 10, 20])


def damaged(fields: list[str]) -> list[bytes]:
    """Lines with one field wrong, missing or too many."""
    changed = [
        [*fields[:index], text, *fields[index + 1 :]] for index in range(len(fields)) for text in BAD_TEXTS
    ]
    return ["\n".join(line).encode() for line in [*changed, fields[:-1], [*fields, "1"], fields[:2]]]


class Tma2022StageTests(SynchronousTestCase):
    """The processes around a bridge with a tma2022 mount."""

    def test_topics(self) -> None:
        """The source of telemetry has a line of each topic, and a mount's periods: 217 lines a second."""
        lines = tma2022_stage.topics()
        topics = {type(tma2022.decode_telemetry(line.removesuffix(b"\r\n"))) for line in lines}
        self.assertEqual(topics, set(Topics))
        self.assertEqual(round(sum(1 / ticks for ticks in lines.values()) / tma2022_stage.TICK), 217)

    def test_answers(self) -> None:
        """The mount's answers are those of a mount, to the command that they answer."""
        numbers = b"2", b"77"
        ack = tma2022.decode_reply((tma2022_stage.ACK % (1, *numbers)).removesuffix(b"\r\n"))
        end = tma2022.decode_reply((tma2022_stage.END % (3, *numbers)).removesuffix(b"\r\n"))
        self.assertEqual([type(ack), type(end)], [CmdAcknowledgedReply, CmdSucceededReply])
        for answer in (ack, end):
            self.assertEqual((answer.commander, answer.sequence_id), (2, 77))
        self.assertIn(int(tma2022.commands.AzimuthTrackTarget.command_code), tma2022_stage.ACK_ONLY)


class RunnerTests(SynchronousTestCase):
    """How figures are taken and judged."""

    def setUp(self) -> None:
        self.patch(gc, "collect", lambda: 0)  # a process with thousands of tests has millions of objects

    def measured(self, *goals: Goal) -> list[dict[str, Any]]:
        """The comparisons of a case in which ours costs 1, 2, 3 and theirs 2, 3, 10 in turn."""
        order: list[str] = []
        costs = {"ours": iter([99.0, 1, 2, 3]), "theirs": iter([99.0, 2, 3, 10])}

        def sample(name: str) -> Callable[[], float]:
            return lambda: order.append(name) or next(costs[name])  # type: ignore[func-returns-value]

        case = Case("a group", "a figure", "µs", {name: sample(name) for name in costs}, goals, 3)
        run = Run([].append)
        self.successResultOf(Deferred.fromCoroutine(run.measure(case)))
        self.assertEqual(order, ["ours", "theirs"] * 4)
        comparisons: list[dict[str, Any]] = run.results[0]["comparisons"]
        return comparisons

    def test_ratios(self) -> None:
        """Each kind of goal compares neighbouring turns, the first round apart, and takes the median."""
        kinds = [("at most", 0.5), ("times faster, at least", 2.0), ("more, at most", -1.0)]
        kinds.append(("by itself, at most", 2.0))
        found = self.measured(*(Goal("theirs", kind) for kind, _ in kinds))
        for (_, median), compared in zip(kinds, found):
            self.assertEqual((compared["result"]["median"], compared["met"]), (median, None))

    def test_goals(self) -> None:
        """A goal is met at its limit and not beyond it."""
        found = self.measured(
            Goal("theirs", "at most", 0.5),
            Goal("theirs", "at most", 0.49),
            Goal("theirs", "times faster, at least", 2),
            Goal("theirs", "times faster, at least", 2.1),
            Goal("theirs", "by itself, at most", 2),
            Goal("theirs", "by itself, at most", 1.9),
        )
        self.assertEqual([compared["met"] for compared in found], [True, False] * 3)


class PageTests(SynchronousTestCase):
    """``docs/explanation/performance.rst``."""

    def setUp(self) -> None:
        self.text = tables.PAGE.read_text(encoding="utf-8")
        self.content = json.loads(RESULTS.read_text(encoding="utf-8"))

    def test_tables_are_those_of_the_file(self) -> None:
        """The tables are what `benchmarks.tables` makes of the file of the run that is committed."""
        self.assertEqual(self.text, tables.page(self.text, self.content), "run: python -m benchmarks.tables")

    def test_every_figure_is_shown(self) -> None:
        """Each group of the file has its table, and each figure at least 5 repetitions."""
        named = tables.GENERATED.findall(self.text)
        for result in self.content["results"]:
            self.assertIn(result["group"], named)
            self.assertGreaterEqual(result["repetitions"], 5)

    def test_typed_figure_does_not_stay(self) -> None:
        """A figure that somebody typed into a table is gone when the page is made anew."""
        self.assertEqual(tables.page(self.text.replace(" yes\n", " yes!\n"), self.content), self.text)
