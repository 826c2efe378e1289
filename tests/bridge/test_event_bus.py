"""`mtmount_twisted.bridge.event_bus`: who receives what happens at the bridge."""

from __future__ import annotations

import logging

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.interfaces import IEventBus, IJournal, IJournalState
from mtmount_twisted.journal.limited import PORT_ROWS
from mtmount_twisted.journal.recorder import Journal, JournalOff, Waiting
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

LOG = logging.getLogger("tests.event_bus")

LINE = LineRecord(5.0, 1, "csc", "from", b"1\n32\n1\nt", 32, 1)
STEP = CommandRecord(6.0, 1, "csc", "sent", sequence_id=7, code=401, key=3, lease=2, explanation="why")
CHANGE = ChangeRecord(7.0, 1, "csc", "connected", "detail")
KINDS = LineRecord, CommandRecord, ChangeRecord


class EventBusTests(SynchronousTestCase):
    """A journal, and subscribers beside it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.journal = Waiting(lambda: None, lambda: 9.0)
        self.bus = EventBus(self.clock, self.journal, lambda: 9.0, LOG)
        self.received: list[tuple[int, Record]] = []

    def receive(self, record: Record, number: int) -> None:
        """Note a record."""
        self.received.append((number, record))

    def publish(self, bus: EventBus | None = None) -> None:
        """Publish one record of each type."""
        for record in (LINE, STEP, CHANGE):
            (bus or self.bus).publish(record)

    def test_contracts(self) -> None:
        """The bus is what the web expects, and so is the state of a journal, also of one that is off."""
        self.assertTrue(verifyObject(IEventBus, self.bus))
        journal = Journal("journal.sqlite", LOG)
        self.assertTrue(verifyObject(IJournal, journal))
        for state in (journal, JournalOff()):
            self.assertTrue(verifyObject(IJournalState, state))

    def test_numbers(self) -> None:
        """A subscriber receives each record with the number that it has in the journal."""
        self.bus.subscribe(self.receive, *KINDS)
        self.publish()
        self.assertEqual(self.received, [(1, LINE), (2, STEP), (3, CHANGE)])
        self.assertEqual(
            self.journal.take_batch(),
            (
                [(1, 5.0, "csc", "from", 1, b"1\n32\n1\nt")],
                [(2, 6.0, 3, "sent", "csc", 1, 7, 401, 2, "why")],
                [(3, 7.0, "connected", "csc", 1, "detail")],
            ),
        )

    def test_no_room_in_the_journal(self) -> None:
        """A record that the journal does not keep has the number 0; subscribers receive it all the same."""
        bus = EventBus(self.clock, Waiting(lambda: None, max_bytes=0), log=LOG)
        bus.subscribe(self.receive, *KINDS)
        self.publish(bus)
        self.assertEqual(self.received, [(1, LINE), (0, STEP), (0, CHANGE)])

    def test_without_a_journal(self) -> None:
        """Without a journal every number is 0."""
        bus = EventBus(self.clock, log=LOG)
        bus.subscribe(self.receive, *KINDS)
        self.publish(bus)
        self.assertEqual(self.received, [(0, LINE), (0, STEP), (0, CHANGE)])

    def test_types(self) -> None:
        """A subscriber receives the records of its types only."""
        self.bus.subscribe(self.receive, LineRecord)
        self.bus.subscribe(self.receive, ChangeRecord)
        self.publish()
        self.assertEqual([record for _, record in self.received], [LINE, CHANGE])

    def test_unbounded(self) -> None:
        """A subscriber that needs every record receives those beyond the bounds, and each only once."""
        bounded: list[Record] = []
        self.bus.subscribe(self.receive, CommandRecord, unbounded=True)
        self.bus.subscribe(lambda record, number: bounded.append(record), CommandRecord)
        refused = replace(STEP, privileged=False)
        for _ in range(2 * PORT_ROWS):
            self.bus.publish(refused)
        self.publish()
        self.assertEqual(len(bounded), PORT_ROWS + 1)
        self.assertEqual(len(self.received), 2 * PORT_ROWS + 1)
        self.bus.unsubscribe(self.receive)
        self.publish()
        self.assertEqual(len(self.received), 2 * PORT_ROWS + 1)

    def test_unsubscribe(self) -> None:
        """A subscriber that unsubscribes receives nothing more; it may do so twice, and in its own call."""

        def once(record: Record, number: int) -> None:
            self.receive(record, number)
            self.bus.unsubscribe(once)
            self.bus.unsubscribe(once)

        self.bus.subscribe(once, *KINDS)
        self.publish()
        self.assertEqual((self.received, self.bus.subscribers), ([(1, LINE)], []))

    def test_one_that_fails(self) -> None:
        """A subscriber that raises receives nothing more, and the log says why; the others receive all."""

        def fail(record: Record, number: int) -> None:
            raise RuntimeError("broken")

        self.bus.subscribe(fail, *KINDS)
        self.bus.subscribe(self.receive, *KINDS)
        with self.assertLogs(LOG, logging.ERROR) as logged:
            self.publish()
            self.publish()
        self.assertEqual(len(logged.output), 1)
        self.assertIn("RuntimeError: broken", logged.output[0])
        self.assertEqual(len(self.received), 6)

    def test_clients_without_rights(self) -> None:
        """Of the records of clients without rights, subscribers and journal receive as many as the bounds
        admit; the others are counted."""
        self.bus.subscribe(self.receive, *KINDS)
        self.bus.publish(replace(CHANGE, privileged=False))
        for _ in range(100):
            self.bus.publish(replace(LINE, privileged=False))
        self.assertEqual(len(self.received) + self.bus.counts["omitted"], 101)
        self.assertEqual(self.journal.pending, len(self.received))
        self.assertGreater(self.bus.counts["omitted"], 0)
        self.bus.close()
        number, record = self.received[-1]
        assert isinstance(record, ChangeRecord)
        self.assertEqual((number, record.time, record.kind), (len(self.received), 9.0, "omitted"))
