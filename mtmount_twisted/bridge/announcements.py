"""`Announcements`: the event that names the source with command, for each client that does not know it.

The client that gets command, and the one that had it, receive the event in the turn of the change. A few
other commanders do, too. For many, this turn would take tens of milliseconds, and a crowd may ask for command
a hundred times a second. So the event is sent in rounds: each turn of the reactor serves a few commanders.
In its turn, a commander receives only the newest event. Observers have rounds of their own (`observers`).

It touches no socket: it appends effects. Next to read: `arbiter`, which grants command; `registry`, which
sends.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from mtmount_twisted.dialects.dialect import EventEnvelope
from mtmount_twisted.interfaces import IClient

from .effects import CancelTimer, Effect, SetTimer, Timer
from .lease import Lease
from .registry import ClientRegistry

AT_ONCE = 16
"""The largest number of commanders that receive the event in one turn of the reactor."""


class Announcements:
    """Names the source with command to the clients.

    :param effects: receives the effects.
    :param make: return the event for a source's number, 0 for none; None if the dialect has no such event.
    """

    def __init__(
        self,
        effects: list[Effect],
        registry: ClientRegistry,
        lease: Lease,
        make: Callable[[int], EventEnvelope] | None,
    ) -> None:
        self._effects = effects
        self._registry = registry
        self._lease = lease
        self._make = make
        self._named: IClient | None = None  # the client that last received its own source
        self._told_observers = 0  # the number that all observers have received
        self._round: dict[str, IClient] = {}  # the commanders that this round has not served
        self._events: dict[int, EventEnvelope] = {}  # since the last change, by number
        self._again = False  # a change came after the round began: another round follows
        self._is_timed = False  # `Timer.COMMANDERS` runs

    def event_for(self, client: IClient) -> list[EventEnvelope]:
        """Return the event with the present source for a client; nothing if the dialect has no such event."""
        return [] if self._make is None else [self._make(self._number_for(client))]

    def greet(self, client: IClient) -> None:
        """Send a new client the event."""
        self._events.clear()  # their times are those of the last change
        self._tell(client, recorded=client is self._lease.holder)

    def announce(self) -> None:
        """Send each client the event, because another client has command, or none."""
        if self._make is None:
            return
        self._events.clear()
        holder, named = self._lease.holder, self._named
        self._named = holder
        for client in (named, holder):
            if client is not None and self._registry.is_here(client):
                self._tell(client, recorded=True)
        number = 0 if holder is None else int(holder.source)
        if number != self._told_observers:
            self._told_observers = number
            self._registry.tell_observers(self._event(number, self._make))
        self._again = True
        if not self._is_timed:
            self.serve_next()

    def serve_next(self) -> None:
        """Send the event to the next few commanders: `Timer.COMMANDERS` has ended, or a round begins."""
        self._is_timed = False
        if not self._round and self._again:
            self._again = False
            self._round = {client.name: client for client in self._registry.commanders()}
        for name, client in list(islice(self._round.items(), AT_ONCE)):
            del self._round[name]
            if self._registry.is_here(client):
                self._tell(client, recorded=False)
        if self._round or self._again:
            self._is_timed = True
            self._effects.append(SetTimer(Timer.COMMANDERS, 0.0))

    def close(self) -> None:
        """Send nothing more: the bridge ends."""
        self._round.clear()
        self._again = False
        if self._is_timed:
            self._is_timed = False
            self._effects.append(CancelTimer(Timer.COMMANDERS))

    def _tell(self, client: IClient, recorded: bool) -> None:
        """Send the event to a client that does not know it.

        :param recorded: True to record it. It is not recorded for the others, because the change of the lease
            is recorded.
        """
        if self._make is None:
            return
        number = self._number_for(client)
        if self._registry.learns_commander(client, number):
            self._registry.tell_one(client, [self._event(number, self._make)], recorded)

    def _event(self, number: int, make: Callable[[int], EventEnvelope]) -> EventEnvelope:
        """Return the event for a source's number, which is made once for all."""
        event = self._events.get(number)
        if event is None:
            event = self._events[number] = make(number)
        return event

    def _number_for(self, client: IClient) -> int:
        """Return the number of the source with command in the event to a client: 0 for none.

        A commander that reads its own source concludes that it has command. Another commander with the
        holder's source therefore reads 0.
        """
        holder = self._lease.holder
        if holder is None:
            return 0
        is_another = client.may_command and client is not holder and client.source == holder.source
        return 0 if is_another else int(holder.source)
