"""`StreamReading`: the events of the other bridges, from the child process to the page of a standby.

The child hands over a few events at a time, and waits until the daemon has taken them: a flood of the broker
stays in the broker. The daemon takes at most a `Window` of events in each `PACE`, so that no turn of the
reactor is long. After the start of another child the reading goes on behind the last event. A search keeps
its place until the child has ended it, and the users take turns as with the journal's queries. Next to read:
``web.events.ring``, which shows the events; ``station.following`` and ``station.searching``, which get them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.frontends.web.api.fair_places import (
    GAVE_WAY,
    PER_USER,
    SHARED_TIME,
    TOO_MANY,
    FairPlaces,
)
from mtmount_twisted.frontends.web.events.others import OtherEvent, Receiver, StreamPage, StreamQuery
from mtmount_twisted.frontends.web.events.shapes import StreamId, read_any_id
from mtmount_twisted.frontends.web.http.calls import RequestError
from mtmount_twisted.interfaces import IOtherBridges
from mtmount_twisted.net.deadlines import Deadline, FairClock

from .words import Follow, Forget, Found, Missing, OfStream, Other, Search, Searched, ToChild, Took

T = TypeVar("T")

PACE = 0.025
"""The time between two words to the child that lines about events were taken, in seconds."""

SEARCH_TIME = 12.0
"""The longest time of a search that the child has, in seconds; the child ends it earlier."""

LONGEST_WAIT = 2 * SEARCH_TIME
"""The longest time of a search and of the wait for a place, in seconds."""


class _Search:
    """A search that the child has.

    :param limit: the largest number of entries.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.entries: list[bytes] = []
        self.page: Deferred[StreamPage] = Deferred()

    def add(self, entry: bytes) -> None:
        """Keep an entry, unless there are enough of them or the page is no longer needed."""
        if len(self.entries) < self._limit and not self.page.called:
            self.entries.append(entry)


@implementer(IOtherBridges)
class StreamReading:
    """The events of the other bridges.

    :param send: send the child a line; False if it does not read now.
    :param problem: return the reason why the broker is not connected; empty if it is.
    :param clock: return the clock, once the daemon has started.
    :ivar malformed: the number of malformed events of all children so far.
    """

    def __init__(
        self,
        send: Callable[[ToChild], bool],
        problem: Callable[[], str],
        clock: Callable[[], IReactorTime],
    ) -> None:
        self.follows: bool = False
        self.malformed: int = 0
        self._send = send
        self._problem = problem
        self._clock = clock
        self._receivers: list[Receiver] = []
        self._wanted = self._told = Follow(False)  # `_told` is what the child knows
        self._position = 0  # of the last event; 0 to begin with new ones
        self._taken = 0  # lines about which the child does not know yet that they were taken
        self._next_word: IDelayedCall | None = None
        self._malformed_of_child = 0
        self._searches: dict[int, _Search] = {}
        self._places = FairPlaces()
        self._number = 0
        self._closed = False

    # IOtherBridges

    def subscribe(self, receiver: Receiver) -> None:
        """See `IOtherBridges`."""
        self._receivers.append(receiver)
        receiver.follows = self.follows

    def unsubscribe(self, receiver: Receiver) -> None:
        """See `IOtherBridges`."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def follow(self, is_standby: bool) -> None:
        """Give the receivers the events of the other bridges from now on, or give them no more."""
        if is_standby == self.follows:
            return
        self.follows = is_standby
        self._position = 0
        for receiver in self._receivers:
            receiver.follows = is_standby
        self._wanted = Follow(is_standby)
        self._send_wanted()

    def search(self, query: StreamQuery, share: str, observes: bool = False) -> Deferred[StreamPage]:
        """See `IOtherBridges`."""
        if why := self._problem():
            return fail(_away(why))
        if self._places.count(share) >= PER_USER:
            return fail(RequestError(429, TOO_MANY, headers={"Retry-After": "1"}))
        self._number += 1
        number, clock = self._number, self._clock()
        looks: list[Deadline] = []

        def late(*result: object) -> Failure:
            return Failure(RequestError(503, f"the broker does not answer within {SEARCH_TIME:g} s"))

        def busy(*result: object) -> Failure:
            return Failure(
                RequestError(503, "the searches of others take long", headers={"Retry-After": "1"})
            )

        def look(found: Deferred[StreamPage]) -> None:
            if self._places.are_short:
                found.errback(_busy(GAVE_WAY))
            else:
                looks[:] = [Deadline(clock, SHARED_TIME, look, found)]

        def begins(found: Deferred[StreamPage]) -> None:
            found.addTimeout(SEARCH_TIME, FairClock(clock), late)
            if observes:
                looks.append(Deadline(clock, SHARED_TIME, look, found))

        def over(result: T) -> T:
            for each in looks:
                if each.active():
                    each.cancel()
            if number in self._searches:  # no caller waits; the search keeps its place until its end
                self._send(Forget(number))
            return result

        found = self._places.run(share, lambda: self._ask(number, query), begins, observes)
        return found.addTimeout(LONGEST_WAIT, FairClock(clock), busy).addBoth(over)

    def _ask(self, number: int, query: StreamQuery) -> Deferred[StreamPage]:
        """Ask the child for a page."""
        if why := self._problem():  # a search that has waited
            return fail(_away(why))
        selection = query.selection
        question = Search(
            number=number,
            limit=query.limit,
            types=sorted(selection.types),
            kinds=sorted(selection.kinds),
            peers=sorted(selection.peers),
            before="" if query.before is None else str(query.before),
            after="" if query.after is None else str(query.after),
            since=query.since or "",
            until=query.until or "",
        )
        if self._closed or not self._send(question):
            return fail(_busy("the process for the broker is busy"))
        search = self._searches[number] = _Search(query.limit)
        return search.page

    # The child

    def received(self, line: OfStream) -> None:
        """Process a line of the child."""
        if self._closed:
            return
        match line:
            case Other():
                self._take(line)
            case Missing(position):
                if self.follows:
                    self._position = position
                    for receiver in self._receivers:
                        receiver.note_missing()
                self._note_taken()
            case Found():
                if (search := self._searches.get(line.number)) is not None:
                    search.add(bytes(line.entry))
                self._note_taken()
            case Searched():
                self._note_taken()
                if (search := self._searches.pop(line.number, None)) is None:
                    return
                if line.status:
                    search.page.errback(RequestError(line.status, line.problem))
                else:
                    search.page.callback(StreamPage(search.entries, line.next))

    def _take(self, line: Other) -> None:
        id = read_any_id(line.id)
        if self.follows and self._told.follow and isinstance(id, StreamId):
            self._position = id.position
            event = OtherEvent(line.entry_type, line.kind, line.peer, bytes(line.entry).decode("ascii"), id)
            for receiver in self._receivers:
                receiver.show(event)
        self._note_taken()

    def _note_taken(self) -> None:
        self._taken += 1
        if self._next_word is None:
            self._next_word = self._clock().callLater(PACE, self._tell_taken)

    def _tell_taken(self) -> None:
        self._next_word = None
        if self._taken and self._send(Took(self._taken)):
            self._taken = 0

    def _send_wanted(self) -> None:
        """Tell the child whether to read, unless it knows."""
        if self._wanted != self._told and self._send(self._wanted):
            self._told = self._wanted

    def child_started(self) -> None:
        """Let a new child read, if its predecessor did."""
        self._told = Follow(False)
        self._taken = 0
        self._wanted = Follow(self.follows, self._position)
        self._send_wanted()

    def child_ready(self) -> None:
        """Tell the child what it did not read before."""
        self._send_wanted()
        if self._next_word is None:
            self._tell_taken()

    def note_malformed(self, number: int) -> None:
        """Note how many malformed events the child has left out."""
        self.malformed += max(0, number - self._malformed_of_child)
        self._malformed_of_child = number

    def child_ended(self) -> None:
        """End the searches: nothing more comes of them."""
        self._malformed_of_child = 0
        searches, self._searches = self._searches, {}
        for search in searches.values():
            search.page.errback(RequestError(503, "the process for the broker has ended: ask again"))

    def close(self) -> None:
        """End the searches, and tell the child nothing more. It may be called twice."""
        self._closed = True
        if self._next_word is not None:
            self._next_word.cancel()
            self._next_word = None
        self.child_ended()


def _away(why: str) -> RequestError:
    return RequestError(503, f"the broker is not connected: {why}")


def _busy(why: str) -> RequestError:
    return RequestError(503, why, headers={"Retry-After": "1"})
