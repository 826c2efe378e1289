"""`WaitingAsks`: the asks for command that wait for the controller's answer, and the commands behind them.

The number of both has a bound, because the bridge decides on all of them in the turn of the answer. The
bridge looks up the waiting commands of a client by the client: a search through all of them would take longer
with each further sender.

Values only: no Twisted. Next to read: `arbiter`, which decides on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from mtmount_twisted.dialects.dialect import CommandEnvelope
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.interfaces import IClient
from mtmount_twisted.net.machines import next_state

MOST_ASKS = 16
"""The largest number of asks that wait. If one more comes, the oldest is refused: the later asks would take
command from its sender in the same turn. The ask of an HHD stays, because command can't be taken from it."""

MOST_COMMANDS = 128
"""The largest number of commands of all clients that wait behind asks. Further stops wait all the same. It is
more than one client may have in flight by default. With `MOST_ASKS` asks, the bridge decides on them in some
15 ms."""


class Phase(Enum):
    """The states of an ask, or of a command behind one."""

    WAITING = "waiting"
    """The controller has not answered."""
    ANSWERED = "answered"
    """The controller has answered; the bridge decides on this ask or command in the same turn."""
    ENDED = "ended"
    """It was granted, sent or refused."""


_PHASES = {
    Phase.WAITING: (Phase.ANSWERED, Phase.ENDED),
    Phase.ANSWERED: (Phase.ENDED,),
    Phase.ENDED: (),
}


class Waiting(Struct, eq=False):
    """An ask that waits for the controller's answer, or a command behind such an ask.

    :ivar session_id: the number of the client's session; see `registry`.
    :ivar grantee: the client that the ask gives command; None for a command behind an ask.
    """

    client: IClient
    session_id: int
    header: CommandEnvelope
    grantee: IClient | None = None
    phase: Phase = Phase.WAITING

    @property
    def stops(self) -> bool:
        """True if the command stops a part of the mount."""
        return self.header.kind.is_stop

    def become(self, after: Phase) -> None:
        """Change the phase.

        :raises RuntimeError: if the phase cannot follow the present one.
        """
        self.phase = next_state(_PHASES, self.phase, after)


class WaitingAsks:
    """All that waits, in the order of arrival."""

    def __init__(self) -> None:
        self._all: dict[Waiting, None] = {}
        self._unanswered: dict[IClient, dict[Waiting, None]] = {}  # by sender, and by grantee
        self._asks: dict[Waiting, None] = {}

    def __iter__(self) -> Iterator[Waiting]:
        return iter(tuple(self._all))

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def is_full(self) -> bool:
        """True if no further command may wait."""
        return len(self._all) - len(self._asks) >= MOST_COMMANDS

    def add(self, each: Waiting) -> None:
        """Let an ask or a command wait."""
        self._all[each] = None
        if each.grantee is not None:
            self._asks[each] = None
        for client in _clients_of(each):
            self._unanswered.setdefault(client, {})[each] = None

    def take_out(self, each: Waiting) -> bool:
        """End the wait of an ask or command; return False if it has ended already."""
        if each.phase is Phase.ENDED:
            return False
        self._forget(each)
        each.become(Phase.ENDED)
        del self._all[each]
        self._asks.pop(each, None)
        return True

    def answer_all(self) -> list[Waiting]:
        """Note that the controller has answered, and return all that waited for the answer."""
        answered = [each for each in self._all if each.phase is Phase.WAITING]
        for each in answered:
            self._forget(each)
            each.become(Phase.ANSWERED)
        return answered

    def unanswered_of(self, client: IClient) -> tuple[Waiting, ...]:
        """Return the asks and commands that this client sent, and the asks that would give it command."""
        return tuple(self._unanswered.get(client, ()))

    def unanswered(self) -> list[Waiting]:
        """Return all that waits for the controller's answer."""
        return [each for each in self._all if each.phase is Phase.WAITING]

    def surplus(self) -> Waiting | None:
        """Return the ask that gives way to a further one; None while there is room for it."""
        if len(self._asks) < MOST_ASKS:
            return None
        others = (
            each for each in self._asks if each.grantee is not None and each.grantee.source != Source.HHD
        )
        return next(others, next(iter(self._asks)))

    def _forget(self, each: Waiting) -> None:
        for client in _clients_of(each):
            waiting = self._unanswered.get(client, {})
            waiting.pop(each, None)
            if not waiting:
                self._unanswered.pop(client, None)


def _clients_of(each: Waiting) -> tuple[IClient, ...]:
    if each.grantee is None or each.grantee is each.client:
        return (each.client,)
    return each.client, each.grantee
