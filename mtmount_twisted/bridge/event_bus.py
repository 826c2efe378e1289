"""`EventBus`: the distribution of the bridge's records to the journal and to every subscriber.

The bus calls each subscriber at once, and the command waits for it: a subscriber must neither block nor take
long. If a subscriber raises, it receives nothing more, the log gives the error, and the command continues.

Next to read: `records`, and ``journal.limited``, which bounds the records of clients without rights.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from mtmount_twisted.interfaces import IEventBus, IJournal
from mtmount_twisted.journal.limited import RecordLimiter
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord, Record

R = TypeVar("R", bound=Record)

_KINDS: tuple[type[object], ...] = (LineRecord, CommandRecord, ChangeRecord)

Subscriber = Callable[[Record, int], None]
"""Receives a record, and the number of its row in the journal."""


@implementer(IEventBus)
class EventBus:
    """Number each record, and hand it to the subscribers.

    :param clock: an ``IReactorTime`` with monotonic `seconds`.
    :param journal: keeps each record, and returns its number; without a journal, every number is 0.
    :param wall_clock: return the time (s, Unix time).
    :param log: the log for subscribers that fail.
    :ivar epoch: number of the last connection to the controller; 0 before the first. The bridge counts it.
    :ivar counts: the number of occurrences of each kind of event; ``omitted`` counts the records that were
        not published because of the bounds on clients without rights.
    :ivar now: return the time for a record (s, Unix time).
    """

    def __init__(
        self,
        clock: IReactorTime,
        journal: IJournal | None = None,
        wall_clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        self.epoch = 0
        self.counts: Counter[str] = Counter()
        self.now = wall_clock
        self._log = log or logging.getLogger(__name__)
        self._journal = journal
        self._limiter = RecordLimiter(
            partial(self.publish, within_bounds=True), clock, self.counts, wall_clock
        )
        # By type of record: the subscribers to records within the bounds, those to all records, and both.
        self._bounded: dict[type[object], tuple[Subscriber, ...]] = dict.fromkeys(_KINDS, ())
        self._unbounded = dict(self._bounded)
        self._all = dict(self._bounded)

    @property
    def subscribers(self) -> list[Subscriber]:
        """Every subscriber, once for each type of record that it receives."""
        return [subscriber for of_kind in self._all.values() for subscriber in of_kind]

    def subscribe(
        self, subscriber: Callable[[R, int], None], *kinds: type[R], unbounded: bool = False
    ) -> None:
        """Call a subscriber with each record of some types from now on, and with the record's number.

        :param subscriber: called with the record, and the number of its row in the journal; 0 for a record
            that the journal does not keep.
        :param kinds: the types of record that it receives.
        :param unbounded: True for a subscriber that also needs the records beyond the bounds of
            ``journal.limited``. A record of a client without rights, or of a commander without command, has
            the number 0 for it.
        """
        subscribers = self._unbounded if unbounded else self._bounded
        for kind in kinds:
            subscribers[kind] += (cast(Subscriber, subscriber),)  # it receives only these kinds
        self._join()

    def unsubscribe(self, subscriber: object) -> None:
        """Remove a subscriber. If it is not subscribed, do nothing."""
        for table in (self._bounded, self._unbounded):
            for kind, subscribers in table.items():
                table[kind] = tuple(each for each in subscribers if each != subscriber)
        self._join()

    def _join(self) -> None:
        self._all = {kind: self._unbounded[kind] + self._bounded[kind] for kind in _KINDS}

    def publish(self, record: Record, within_bounds: bool = False) -> None:
        """Hand a record to the journal and to the subscribers of its type.

        :param within_bounds: True if ``journal.limited`` has let the record pass. If False, the bus hands a
            record of a client without rights to ``journal.limited``.
        """
        number = 0
        if record.privileged or within_bounds:
            table = self._all if record.privileged else self._bounded
            if self._journal is not None:
                number = self._journal.keep(record)
        else:
            table = self._unbounded
        for subscriber in table[type(record)]:
            try:
                subscriber(record, number)
            except Exception:
                self.unsubscribe(subscriber)
                text = "a subscriber of the bridge failed and receives nothing more: %r"
                self._log.exception(text, subscriber)
        if table is self._unbounded:
            self._limiter.publish(record)

    def leave_out(self, peer: str, rows: int, size: int) -> None:
        """Count rows of a client without rights, with so many bytes of lines, that are not published."""
        self._limiter.leave_out(peer, rows, size)

    def end_session(self, peer: str) -> None:
        """Publish the number of rows omitted of a client that is lost while it has command, and forget it.

        The client came without command, and its event ``disconnected`` is not within the bounds.
        """
        self._limiter.end_session(peer)

    def close(self) -> None:
        """Publish the remaining counts of omitted records, and stop the timer."""
        self._limiter.close()
