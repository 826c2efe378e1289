"""`benchmarks.calls`: the ways of a command, a reply and an event, as the page on architecture draws them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.calls import House, Trace, text_of

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "explanation" / "architecture.rst"


class CallsTests(SynchronousTestCase):
    """The traces in a daemon in memory."""

    def setUp(self) -> None:
        house = House()
        self.addCleanup(house.close)
        self.command, self.reply, self.event, self.shown = house.traces()

    def files_on(self, trace: Trace) -> int:
        """Return the number of files on the last way of a trace."""
        return len({step.file for step in trace.ways[-1]})

    def test_ways_are_short(self) -> None:
        """At most seven files lie between the socket of a command, a reply or an event and its target."""
        for trace in (self.command, self.reply, self.event):
            self.assertTrue(trace.is_delivered, trace.name)
            self.assertLessEqual(self.files_on(trace), 7, trace.name)

    def test_header_is_read_once(self) -> None:
        """The bridge reads the header of each line once, and decodes no line."""
        for trace in (self.command, self.reply, self.event):
            self.assertEqual((trace.header_reads, trace.decoded), (1, 0), trace.name)

    def test_event_to_a_page(self) -> None:
        """For a page, too, the header of an event is read once. Its line is decoded once, for all pages."""
        self.assertTrue(self.shown.is_delivered)
        self.assertEqual(len(self.shown.ways), 2, "into the memory of the event stream, and out of it")
        self.assertEqual((self.shown.header_reads, self.shown.decoded), (1, 1))

    def test_architecture_page_draws_ways(self) -> None:
        """The page on architecture has each way; ``python -m benchmarks.calls`` prints them."""
        page = PAGE.read_text(encoding="utf-8")
        for trace in (self.command, self.reply, self.event, self.shown):
            for way in trace.ways:
                self.assertIn(text_of(way), page, f"{trace.name}: see python -m benchmarks.calls")
