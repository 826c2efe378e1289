"""`Desk`: requests of users at the broker -> commands for the daemon, and one outcome for each request.

Each request gets at most one claim and one outcome: the desk writes both on the same subject, each on the
condition that the last message of the subject is still the one that the desk knows. A command goes to the
daemon after its claim is confirmed. A stop goes to the daemon first, and its claim follows. So no request
except a stop is ever sent twice. A new session gives ``outcome_unknown`` to each claim of another bridge that
has no outcome, asks the daemon about its own claims, and judges a request without a claim anew. A stop
overtakes the requests of its user that are before it in the log: a new session reads all that wait before it
claims one. A stop of another commander is in no log that the next bridge reads. So the desk at once ends the
requests that such a stop overtakes: the next bridge finds their outcomes.

Every user has a log, a reading and a queue of its own: the requests of one user never delay the requests
of another, and never take their room. Each claim and outcome has the position up to which all requests of its
user have ended, so that a new session does not read settled requests again.

The desk serves while the tenure is active. A command that was handed over before the end of the tenure keeps
its claim: the same desk writes its outcome later, on the condition that no other outcome was written
meanwhile.

`reached` marks the places where the process can die; tests and chaos end it there. Next to read: `requests`,
the messages; ``frontends.broker.desk``, the daemon's side.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from asyncio import Event, Future, Task
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.sources import Source as CommandSource
from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable
from mtmount_twisted.frontends.broker.words import (
    NO_STOP,
    Command,
    OfDesk,
    Outcome,
    Recall,
    Seen,
    StationUser,
    Stopped,
    Written,
    moment,
)
from mtmount_twisted.frontends.web.api.command_body import judge, spoken_in
from mtmount_twisted.frontends.web.http.answers import JsonObject
from mtmount_twisted.frontends.web.http.calls import RequestError

from .contracts import IEngine, ILog, IReading, Stored
from .events import Source
from .requests import (
    Place,
    Subjects,
    claim_body,
    is_word,
    outcome_body,
    place_of,
    read_life,
    read_request,
)
from .streams import LONGEST_REQUEST
from .waits import pause

MOST_OPEN = 16
"""The largest number of commands of one user that were handed over and have no outcome at the broker; the
same bound applies to stops."""

MOST_WAITING = 100
"""The largest number of requests of one user that wait for their claim; further requests are refused as
``busy``."""

MOST_ENDING = 64
"""The largest number of unconfirmed outcomes of one user, for requests that were not handed over."""

MOST_TAKEN = 64
"""The largest number of claims of earlier sessions of one user that are taken over at once; the desk takes
over the next one after an outcome."""

MOST_ENDED = 1000
"""The number of requests of one user that are known after their outcome in a session; the bridge ignores a
stop with the id of one of them."""

RETRY_AFTER = 0.5
"""The time to the next attempt if the broker does not answer or has no room, or if the daemon does not take a
question, in seconds."""

SEEN_INTERVAL = 1.0
"""The shortest time between two lines about the presence of a user, in seconds."""

ROOM_INTERVAL = 5.0
"""The time between two looks at the room of the logs, and at the broker's clock, in seconds."""

CLOCK_TIME = 1.0
"""The broker's clock is measured again before a request is too old, if that was so long ago, in seconds."""

LEAST_ROOM = 3 * LONGEST_REQUEST
"""A log with less room counts as full, in bytes: a request, its claim and its outcome need so much."""

LOOK_TIME = 30.0
"""The longest time without progress while the last claims and outcomes of a user are read, in seconds. After
the same time a session that waits for the last request asks again for it."""

NO_POSITION = 2**62
"""A position that no message has."""

ONLY_OBSERVES = "refused: this user only observes"
TRACKS = "refused: targets to track need a connection of their own: use a pair or a [[port]] of the bridge"
TOO_OLD = "not sent: too old"
OVERTAKEN = "not sent: overtaken by a stop"
NO_DAEMON = "not sent: the bridge does not read"
UNKNOWN = "outcome unknown: the bridge that claimed the command ended before it wrote the outcome"

Report = Callable[[int, str], None]


def reached(point: str) -> None:
    """Mark a place where the process can die; tests and chaos replace this function.

    :param point: ``requested``, ``claimed``, ``handed over``, ``ended`` or ``written``.
    """


class _Stage(Enum):
    """The stage of a request on its way."""

    WAITING = "waiting"
    """It is judged, waits for its claim, or is being claimed. The end of the session ends that."""

    ENDING = "ending"
    """Its outcome is being written, without a claim; or another session has its claim or its outcome."""

    OPEN = "open"
    """It was handed over, or its claim was taken over."""


class _Item:
    """A request of a user.

    :ivar stage: its stage on its way.
    :ivar position: its position in the log; 0 if the position is not known.
    :ivar epoch: the epoch of the session that read it.
    :ivar is_overtaken: True if it must not be sent, because of a stop.
    :ivar read_at: the time when it was read (`moment`).
    :ivar stored_at: the time when the broker stored it (`moment`); never later than `read_at`.
    :ivar until: the time after which the request is too old (`moment`).
    :ivar claim: the position of its claim; 0 if there is none, or another session has it.
    :ivar outcome: fires with the outcome of the daemon.
    """

    __slots__ = (
        "body",
        "claim",
        "epoch",
        "id",
        "is_ask",
        "is_overtaken",
        "is_stop",
        "outcome",
        "position",
        "read_at",
        "stage",
        "stored_at",
        "until",
    )

    def __init__(self, id: str, position: int, epoch: int) -> None:
        self.id = id
        self.stage = _Stage.WAITING
        self.position = position
        self.epoch = epoch
        self.body: JsonObject = {}
        self.is_ask = self.is_stop = self.is_overtaken = False
        self.until = self.read_at = self.stored_at = 0.0
        self.claim = 0
        self.outcome: Future[Outcome] = asyncio.get_running_loop().create_future()


SPARE_POSITIONS = 64
"""The number of positions beyond twice the held ones after which the others are forgotten."""


class Positions:
    """Positions in the log, in any order, and the first of them."""

    def __init__(self, positions: Iterable[int] = ()) -> None:
        self._held = set(positions)
        self._heap = list(self._held)
        heapify(self._heap)

    def add(self, position: int) -> None:
        """Hold a position."""
        if position not in self._held:
            self._held.add(position)
            heappush(self._heap, position)

    def discard(self, position: int) -> None:
        """Hold a position no longer."""
        self._held.discard(position)
        if len(self._heap) > 2 * len(self._held) + SPARE_POSITIONS:  # behind a command of hours
            self._heap = list(self._held)
            heapify(self._heap)

    def before(self, position: int) -> Positions:
        """Return the positions before one."""
        return Positions(each for each in self._held if each < position)

    def first(self, default: int) -> int:
        """Return the first position; a default if there is none."""
        while self._heap and self._heap[0] not in self._held:
            heappop(self._heap)
        return self._heap[0] if self._heap else default


class FormerClaim(NamedTuple):
    """A claim of an earlier session, or of another bridge.

    :ivar position: its position in the log.
    :ivar request: the position of its request; 0 until that is read.
    """

    position: int
    session: str
    request: int = 0


class Lives:
    """Receives the last claims and outcomes of a user, up to a position.

    While a command of hours is in flight, the user can send a million of other requests. So only the hash of
    the id is kept of a request with an outcome.

    :ivar claims: the claims without an outcome, by the id of their request.
    :ivar ended: the positions of the claims or outcomes of the other requests, by the hash of their id.
    :ivar done: is set once the last message was received.
    :ivar progress: the number of messages received.
    """

    def __init__(self, last: int) -> None:
        self.claims: dict[str, FormerClaim] = {}
        self.ended: dict[int, int] = {}
        self.done: Event = Event()
        self.progress: int = 0
        self._last = last

    async def received(self, message: Stored) -> None:
        """Note a claim or an outcome."""
        self.progress += 1
        id, life = place_of(message.key).id, read_life(message.body)
        if life.claimed_by is not None:
            self.claims[id] = FormerClaim(message.position, life.claimed_by)
        else:
            self.claims.pop(id, None)
            self.ended[hash(id)] = message.position
        if message.position >= self._last:
            self.done.set()

    async def gap(self, first: int, last: int) -> None:
        """Note that messages are gone. If the last one is among them, the reading is done."""
        if last >= self._last:
            self.done.set()


class Desk:
    """Serve the users of the broker.

    :param engine: the connection to the broker, which the caller starts and closes.
    :param logs: the logs for commands, by the user.
    :param hand: send a line to the daemon; return False if this is not possible now.
    :param report: receives lines for the log.
    :param wall_clock: return the time (s, Unix time).
    :ivar ended: the number of outcomes that the broker has confirmed.
    :ivar full: the users whose logs have no room, as far as is known while the desk serves.
    :ivar ignored: the number of requests whose subject ends in no word: they have no outcome.
    :ivar stopped: the last stops that the daemon knows.
    """

    def __init__(
        self,
        engine: IEngine,
        logs: Mapping[str, ILog],
        source: Source,
        users: Sequence[StationUser],
        dialect: Dialect,
        hand: Callable[[OfDesk], bool],
        report: Report,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.engine: IEngine = engine
        self.source: Source = source
        self.dialect: Dialect = dialect
        self.hand: Callable[[OfDesk], bool] = hand
        self.report: Report = report
        self.wall_clock: Callable[[], float] = wall_clock
        self.subjects: Subjects = Subjects(source.mount)
        self.ended: int = 0
        self.ignored: int = 0
        self.stopped: Stopped = NO_STOP
        self.full: list[str] = []
        self.epoch: int = 0
        self.active: bool = False
        self._users = {user.name: _UserDesk(self, user, logs[user.name]) for user in users}
        self._changed = Event()
        self._error: BaseException | None = None
        self._offset: float | None = None
        self._measured_at = 0.0
        self._ahead = 0.0  # the broker's time minus `moment`
        self._told: set[str] = set()

    def settle_tenure(self, epoch: int, active: bool) -> None:
        """Begin to serve, in a new session, or stop serving."""
        if (epoch, active) != (self.epoch, self.active):
            self.epoch, self.active = epoch, active
            self._notify()

    def note_stops(self, stopped: Stopped) -> None:
        """End the requests that these stops overtake, also those that are read later.

        :param stopped: the last stops of any commander.
        """
        self.stopped = stopped
        for desk in self._users.values():
            desk.note_stops()

    def fail(self, error: BaseException) -> None:
        """End `run` with an unexpected error: a request would have no outcome before the next session."""
        self._error = self._error or error
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = Event()

    def note_outcome(self, outcome: Outcome) -> None:
        """Write the outcome of a command that was handed over."""
        desk = self._users.get(outcome.user)
        if desk is not None:
            desk.note_outcome(outcome)

    @property
    def is_done(self) -> bool:
        """True if all outcomes of the commands that were handed over have been written."""
        return not any(desk.writes for desk in self._users.values())

    async def run(self) -> None:
        """Serve until the task is cancelled, or until `fail`: then raise its error."""
        try:
            while True:
                if self._error is not None:
                    raise self._error
                changed = self._changed
                if self.active:
                    async with asyncio.TaskGroup() as serving:
                        tasks = [serving.create_task(self._serve(desk)) for desk in self._users.values()]
                        tasks.append(serving.create_task(self._watch_room()))
                        await changed.wait()
                        for task in tasks:
                            task.cancel()
                else:
                    await changed.wait()
        finally:
            for desk in self._users.values():
                desk.close()

    async def _watch_room(self) -> None:
        """Look again and again at the room of the logs: a user learns that there is none, and no one else."""
        while True:
            await self.engine.wait_connected()
            full = []
            for name, desk in self._users.items():
                with suppress(EngineUnreachable, EngineRefused):
                    if await desk.log.room() < LEAST_ROOM:
                        full.append(name)
                    self._measured_at = moment()
                    self.age_of(0.0)  # before this machine's clock is set
            self.full = full
            await pause(ROOM_INTERVAL)

    async def _serve(self, desk: _UserDesk) -> None:
        """Let the desk of a user serve, again after each fault of the broker."""
        while True:
            await self.engine.wait_connected()
            try:
                await desk.serve()
            except EngineUnreachable:
                pass
            except (EngineRefused, EngineFull) as error:
                self.tell(f"commands by the broker: {error}")
            await pause(RETRY_AFTER)

    def tell(self, text: str) -> None:
        """Report a fault once."""
        if text not in self._told and len(self._told) < 100:
            self._told.add(text)
            self.report(logging.ERROR, text)

    def ignore(self, key: str) -> None:
        """Count a request without an outcome: a server may end a connection that writes to its subject."""
        self.ignored += 1
        if self.ignored == 1:
            text = f"a request is ignored, and further ones are counted only: {key[:100]!a} ends in no word"
            self.report(logging.WARNING, text)

    # Time

    def age_of(self, stamp: float) -> float:
        """Return the age of a message in seconds, by the broker's clock; never negative.

        The broker's time is extrapolated by the monotonic clock, so that a jump of this machine's clock makes
        no request younger.

        :param stamp: the time at which the broker stored the message (s, Unix time).
        """
        offset = self.engine.offset or 0.0
        if offset != self._offset:
            self._offset = offset
            self._ahead = self.wall_clock() + offset - moment()
        return max(0.0, moment() + self._ahead - stamp)

    async def measure_clock(self, log: ILog) -> None:
        """Measure the broker's clock again, if that was some time ago: it may have been set meanwhile."""
        if moment() - self._measured_at > CLOCK_TIME:
            self._measured_at = moment()
            with suppress(EngineUnreachable, EngineRefused):
                await log.room()

    # Writing

    async def write(self, log: ILog, key: str, body: bytes, after: int) -> int:
        """Store a claim or an outcome, on a condition about the last message of its subject.

        If the outcome of an attempt is unknown, try again until it is known. If the condition does not hold,
        look: an earlier attempt may have stored the message. If the look shows that the condition holds, try
        again.

        :param after: the position that this last message must have; 0 if there must be none.
        :returns: the position; 0 if the condition does not hold.
        """
        while True:
            try:
                await self.engine.wait_connected()
                if position := await log.append(key, body, after=after):
                    return position
                last = await log.last(key)
                if last is not None and last.body == body:
                    return last.position
                if (0 if last is None else last.position) != after:
                    return 0
            except EngineUnreachable:
                pass
            except (EngineFull, EngineRefused) as error:
                self.tell(f"commands by the broker: an outcome can't be written: {error}")
            await pause(RETRY_AFTER)

    async def look(self, log: ILog, key: str) -> Stored | None:
        """Return the last message of a claim or an outcome, once the broker answers."""
        while True:
            try:
                await self.engine.wait_connected()
                return await log.last(key)
            except EngineUnreachable:
                pass
            except EngineRefused as error:
                self.tell(f"commands by the broker: an outcome can't be read: {error}")
            await pause(RETRY_AFTER)

    def outcome_body(self, outcome: Outcome, settled: int, epoch: int) -> bytes:
        """Return the body of an outcome."""
        return outcome_body(outcome, self.source, epoch, settled, self.wall_clock())


class _UserDesk:
    """The requests of one user."""

    def __init__(self, desk: Desk, user: StationUser, log: ILog) -> None:
        self.log = log
        self._desk = desk
        self._user = user
        self._items: dict[str, _Item] = {}  # the known requests without an outcome, by their id
        self._taken: set[_Item] = set()  # those of them whose claim was taken over
        self._unsettled = Positions()  # of requests without an outcome
        self._frontier = 0  # every request before this position was read
        self._judged = 0  # every request up to this position was judged
        self._backlog = NO_POSITION  # the last request that was there when the session began to read
        self._looked_at = 0.0  # the time when the broker told that (`moment`)
        self._stored_at = float("-inf")  # of the last request: its clock may go back, its log does not
        self._lives = Lives(0)
        self._knows_claims = False
        self._ended: dict[int, int] = {}  # as in `Lives`, of the last outcomes since those were read
        self._waiting: deque[_Item] = deque()
        self._claiming: _Item | None = None
        self._more = Event()
        self._ending: set[Task[None]] = set()
        self._tasks: set[Task[None]] = set()
        self._seen_at = -SEEN_INTERVAL
        self._epoch = 0

    @property
    def writes(self) -> bool:
        """True while outcomes are still to be written."""
        return bool(self._tasks or self._ending)

    def close(self) -> None:
        """End all work."""
        for task in (*self._tasks, *self._ending):
            task.cancel()

    def note_outcome(self, outcome: Outcome) -> None:
        """Note the outcome of a command that was handed over."""
        item = self._items.get(outcome.id)
        if item is not None and item.stage is _Stage.OPEN:
            if not item.outcome.done():
                item.outcome.set_result(outcome)
        elif item is None and self._knows_claims and outcome.id not in self._lives.claims:
            self._desk.hand(Written(outcome.user, outcome.id))
        # Else the daemon keeps it until the claim is taken over, and a `Recall` asks for it.

    # A session

    async def serve(self) -> None:
        """Serve in the present session until the task is cancelled.

        :raises EngineUnreachable: if the broker does not answer.
        """
        desk, name = self._desk, self._user.name
        self._epoch = desk.epoch
        # Before the first wait: until this session has read, an outcome of the former settles nothing more.
        self._frontier = self._settled
        self._unsettled = Positions(item.position for item in self._items.values() if item.position)
        # A condition that never holds: nothing is stored, and a missing right shows at once.
        await self.log.append(desk.subjects.life(name, "probe"), b"", after=NO_POSITION)
        last = await self.log.last(desk.subjects.life(name, "*"))
        start = 1
        self._lives, self._knows_claims = Lives(0), False
        self._ended.clear()
        if last is not None:
            start = max(1, read_life(last.body).settled)
            self._lives = await self._read_lives(start, last)
        self._knows_claims = True
        self._frontier, self._judged, self._backlog = start, start - 1, NO_POSITION
        self._stored_at = float("-inf")
        self._take_over_next()
        requests = desk.subjects.request(name, "*")
        reading: IReading = await self.log.read(requests, start, self)
        try:
            self._backlog = await self._last_request()
            await self._claim_in_turn()
        finally:
            try:
                await reading.stop()
            finally:
                self._leave()

    async def _last_request(self) -> int:
        """Return the position of the last request; 0 if there is none.

        :raises EngineUnreachable: if the broker does not answer.
        """
        last = await self.log.last(self._desk.subjects.request(self._user.name, "*"))
        self._looked_at = moment()
        return 0 if last is None else last.position

    def _leave(self) -> None:
        """Forget the state of the session, and end the overtaken requests that still wait. The positions of
        the requests stay unsettled."""
        for item in list(self._items.values()):  # also one that waits for room, or for its claim to be stored
            if item.is_overtaken and item.stage is _Stage.WAITING:
                self._write_end(item, OVERTAKEN)
        self._lives, self._knows_claims = Lives(0), False
        self._waiting.clear()
        self._claiming = None
        kept = {id: item for id, item in self._items.items() if item.stage is not _Stage.WAITING}
        self._items = kept

    async def _read_lives(self, start: int, last: Stored) -> Lives:
        """Return the claims and outcomes of the user's requests that are not settled.

        :raises EngineUnreachable: if the broker does not deliver them.
        """
        lives = Lives(last.position)
        reading = await self.log.read(self._desk.subjects.life(self._user.name, "*"), start, lives)
        try:
            while not lives.done.is_set():
                before = lives.progress
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_TIME):
                        await lives.done.wait()
                if lives.progress == before and not lives.done.is_set():
                    raise EngineUnreachable("the last outcomes of the broker can't be read")
        finally:
            await reading.stop()
        return lives

    def _take_over_next(self) -> None:
        """Take over the next claims of earlier sessions, as many as may be taken over at once."""
        claims = self._lives.claims
        while claims and len(self._taken) < MOST_TAKEN:
            id = next(iter(claims))
            claim = claims.pop(id)
            self._lives.ended[hash(id)] = claim.position
            known = self._items.get(id)
            if is_word(id) and (known is None or known.stage is _Stage.ENDING):
                self._take_over(id, claim)

    def _take_over(self, id: str, claim: FormerClaim) -> None:
        """Bring about an outcome for a claim without one, of another bridge or of an earlier process or
        session here.

        A daemon that does not know the command answers that its outcome is unknown.
        """
        item = _Item(id, claim.request, self._epoch)
        item.claim, item.stage = claim.position, _Stage.OPEN
        known = self._items.get(id)
        if known is not None:  # its own outcome comes too late
            item.position, known.position = known.position, 0
        self._items[id] = item
        self._taken.add(item)
        if claim.session.rpartition(".")[0] == self._desk.source.node:  # the daemon may know the outcome
            self._start(self._recall(item))
        else:
            item.outcome.set_result(self._outcome(id, UNKNOWN))
            self._start(self._finish(item))

    async def _recall(self, item: _Item) -> None:
        """Ask the daemon about a command until it takes the question, and write the outcome."""
        while not item.outcome.done() and not self._desk.hand(Recall(self._user.name, item.id)):
            await pause(RETRY_AFTER)
        await self._finish(item)

    # Requests

    async def received(self, message: Stored) -> None:
        """Judge a request as far as possible without a claim. Wait here while too many requests wait."""
        self._frontier = message.position + 1
        await self._judge(message)
        self._judged = message.position
        if self._judged >= self._backlog:
            self._more.set()
        await pause(0)  # the next request may be here already; other users have their turn first

    async def _judge(self, message: Stored) -> None:
        place = place_of(message.key)
        if not is_word(place.id):
            self._desk.ignore(message.key)
            return
        if message.body and self._is_known(place.id, message.position):
            if (self._waiting or self._claiming is not None) and self._is_stop(place.id, message):
                self._overtake()
            return
        item = _Item(place.id, message.position, self._epoch)
        if message.body:  # before the first wait: no outcome may settle the request meanwhile
            self._items[item.id] = item
            self._unsettled.add(message.position)
        age = self._desk.age_of(message.time)
        if age > self._user.expires:
            await self._desk.measure_clock(self.log)
            age = self._desk.age_of(message.time)
        if age <= self._user.expires:
            self._note_seen()
        if not message.body:
            return
        item.read_at = moment()
        item.stored_at = self._stored_at = max(item.read_at - age, self._stored_at)
        try:
            why = self._read(item, message, age)
        except ValueError as error:
            why = f"malformed: {error}"
        except Exception as error:  # or it would come again to each process after this one
            self._desk.tell(f"a request can't be read:\n{traceback.format_exc()}")
            why = f"malformed: the bridge can't read it ({type(error).__name__})"
        if not why and self._is_overtaken(item):
            item.is_overtaken, why = True, OVERTAKEN
        if item.is_stop:  # also one that is too old, or busy: the user wants no earlier move
            self._overtake()
        if why:
            await self._end(item, why)
        elif item.is_stop:
            await self._stop(item)
        elif len(self._waiting) >= MOST_WAITING:
            await self._end(item, f"busy: {MOST_WAITING} requests of {self._user.name} wait")
        else:
            self._waiting.append(item)
            self._more.set()

    def _is_known(self, id: str, position: int) -> bool:
        """Return True if a request is not to be judged, and note its position if its claim was taken over."""
        known, claim = self._items.get(id), self._lives.claims.get(id)
        if known is not None and not known.position:
            known.position = position
            self._unsettled.add(position)
        elif known is None and claim is not None and not claim.request:
            self._lives.claims[id] = claim._replace(request=position)
            self._unsettled.add(position)
        key = hash(id)
        return known is not None or claim is not None or key in self._lives.ended or key in self._ended

    def _is_stop(self, id: str, message: Stored) -> bool:
        """Return True if a request that is not judged is a stop."""
        item = _Item(id, message.position, self._epoch)
        with suppress(Exception):  # its judgement has reported that
            self._read(item, message, 0.0)
        return item.is_stop

    def _overtake(self) -> None:
        """End the requests before a stop of the user that were not handed over, except asks for command."""
        self._end_overtaken(lambda item: not item.is_ask)

    def note_stops(self) -> None:
        """End the requests that a stop of any commander has overtaken and that were not handed over."""
        self._end_overtaken(self._is_overtaken)

    def _is_overtaken(self, item: _Item) -> bool:
        """Return True if a stop that the daemon knows overtakes a request."""
        moves = not (item.is_ask or item.is_stop)
        return moves and self._desk.stopped.overtakes(item.read_at, item.stored_at)

    def _end_overtaken(self, is_overtaken: Callable[[_Item], bool]) -> None:
        """End overtaken requests that were not handed over: at once while there is room for their outcomes,
        so that the next bridge finds them. The others wait for their turn.

        :param is_overtaken: return True if a request is overtaken now.
        """
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            item.is_overtaken = item.is_overtaken or is_overtaken(item)
            if item.is_overtaken and len(self._ending) < MOST_ENDING:
                self._write_end(item, OVERTAKEN)
            else:
                self._waiting.append(item)
        if self._claiming is not None:
            self._claiming.is_overtaken = self._claiming.is_overtaken or is_overtaken(self._claiming)
        self._more.set()

    async def gap(self, first: int, last: int) -> None:
        """Note that requests are gone, because of their age, or because the broker has lost its last
        messages."""
        self._more.set()
        if first >= self._frontier:  # they were not read
            self._frontier, self._judged = last + 1, last
            return
        self._frontier = min(self._frontier, first)
        self._judged, self._backlog = min(self._judged, first - 1), min(self._backlog, first - 1)
        self._unsettled = self._unsettled.before(first)
        for id, claim in self._lives.claims.items():
            if claim.request >= first:
                self._lives.claims[id] = claim._replace(request=0)
        for ended in (self._lives.ended, self._ended):  # a request whose outcome is lost may come again
            for key in [key for key, position in ended.items() if position >= first]:
                del ended[key]
        for item in self._items.values():
            if item.position >= first:  # other requests will get these positions
                item.position = 0

    def _note_seen(self) -> None:
        if moment() - self._seen_at >= SEEN_INTERVAL:
            self._seen_at = moment()
            self._desk.hand(Seen(self._user.name))

    def _read(self, item: _Item, message: Stored, age: float) -> str:
        """Read a request, and return the reason why it is not sent; empty if it may be sent.

        :raises ValueError: if the request is malformed.
        """
        user, desk = self._user, self._desk
        wanted = read_request(message.body, Place(user.name, item.id))
        if user.role == "observer":
            return ONLY_OBSERVES
        item.body = {"command": wanted.command, "parameters": wanted.parameters}
        try:
            dialect = spoken_in(item.body, desk.dialect)
            command = judge(item.body, dialect, CommandSource[user.source], 1)
        except RequestError as error:
            faults = "; ".join(f"{fault.where}: {fault.why}" for fault in error.faults[:10])
            raise ValueError(faults or str(error)) from None
        kind = dialect.kind_of(command.command_code)
        if kind.ack_only:
            return TRACKS
        item.is_stop, item.is_ask = kind.is_stop, kind.is_ask
        expires = user.expires if not isinstance(wanted.expires_s, float | int) else wanted.expires_s
        item.until = item.read_at + min(expires, user.expires) - age
        return TOO_OLD if item.until < item.read_at else ""

    def _command(self, item: _Item) -> Command:
        return Command(
            user=self._user.name,
            id=item.id,
            body=item.body,
            read_at=item.read_at,
            stored_at=item.stored_at,
            until=item.until,
        )

    # Commands

    async def _claim_in_turn(self) -> None:
        """Claim the commands that wait, one after the other, and hand them over.

        No claim comes before the end of the requests that were there when the session began: a stop may be
        among them.
        """
        desk = self._desk
        while True:
            while not self._has_next():
                self._more.clear()
                await self._wait_for_next()
            item = self._waiting.popleft()
            if why := self._why_not(item):
                await self._end(item, why)
                continue
            reached("requested")
            self._claiming = item
            item.claim = await self._claim(item)
            self._claiming = None
            if not item.claim:
                item.stage = _Stage.ENDING
                self._start(self._give_way(item), self._ending)
                continue
            reached("claimed")
            item.stage = _Stage.OPEN
            if why := self._why_not(item):
                item.outcome.set_result(self._outcome(item.id, why))
            elif not desk.hand(self._command(item)):
                item.outcome.set_result(self._outcome(item.id, NO_DAEMON))
            reached("handed over")
            self._start(self._finish(item))

    async def _wait_for_next(self) -> None:
        """Wait until the next command may be there. The last request may be deleted before it is read: ask
        for it again after some time.

        :raises EngineUnreachable: if the broker does not answer.
        """
        if self._judged >= self._backlog:
            await self._more.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._looked_at + LOOK_TIME - moment()):
                await self._more.wait()
        if moment() - self._looked_at >= LOOK_TIME:
            last = await self._last_request()
            self._backlog = min(self._backlog, last)  # a gap may have lowered it meanwhile

    def _has_next(self) -> bool:
        """Return True if the next command may be claimed, or ended."""
        if not self._waiting or self._judged < self._backlog:
            return False
        return self._waiting[0].is_overtaken or self._open(stops=False) < MOST_OPEN

    def _why_not(self, item: _Item) -> str:
        """Return the reason why a command is not handed over; empty if it is."""
        if item.is_overtaken:
            return OVERTAKEN
        return TOO_OLD if moment() > item.until else ""

    async def _claim(self, item: _Item) -> int:
        """Write a claim. Return its position; 0 if another session has claimed the request or ended it."""
        desk = self._desk
        key = desk.subjects.life(self._user.name, item.id)
        body = claim_body(item.id, desk.source, item.epoch, self._settled, desk.wall_clock())
        return await desk.write(self.log, key, body, 0)

    async def _former_claim(self, item: _Item) -> FormerClaim | None:
        """Return the claim of an earlier session that was stored meanwhile, and now stands instead of ours.

        If the bridge that took over has claimed the request, it stays unsettled here: that bridge ends it.
        """
        last = await self._desk.look(self.log, self._desk.subjects.life(self._user.name, item.id))
        session = None if last is None else read_life(last.body).claimed_by
        if last is None or session is None:
            return None
        epoch = session.rpartition(".")[2]
        if epoch.isdecimal() and int(epoch) > self._epoch:
            item.position = 0
            return None
        return FormerClaim(last.position, session)

    async def _give_way(self, item: _Item) -> None:
        """Note that another session has claimed a request or ended it, and take over an earlier claim."""
        former = await self._former_claim(item)
        if former is not None and self._items.get(item.id) is item:
            self._take_over(item.id, former)
        else:
            self._drop(item)

    async def _stop(self, item: _Item) -> None:
        """Hand over a stop, then claim it."""
        if self._open(stops=True) >= MOST_OPEN:
            await self._end(item, f"busy: {MOST_OPEN} stops of {self._user.name} are in flight")
            return
        item.stage = _Stage.OPEN
        if not self._desk.hand(self._command(item)):
            item.outcome.set_result(self._outcome(item.id, NO_DAEMON))
        reached("handed over")

        async def claim() -> None:
            item.claim = await self._claim(item)
            if item.claim:
                reached("claimed")
            elif (former := await self._former_claim(item)) is not None:
                item.claim = former.position
            if item.claim:
                await self._finish(item)
            else:
                self._forget(item)

        self._start(claim())

    def _open(self, stops: bool) -> int:
        is_open = _Stage.OPEN
        return sum(item.stage is is_open and item.is_stop is stops for item in self._items.values())

    # Outcomes

    async def _finish(self, item: _Item) -> None:
        """Wait for the outcome of a command that was claimed, and write it."""
        desk = self._desk
        outcome = await item.outcome
        reached("ended")
        key = desk.subjects.life(self._user.name, item.id)
        position = await desk.write(self.log, key, self._body(outcome, item), item.claim)
        reached("written")
        if position:
            self._note_end(item, position)
        else:
            place, state = f"{self._user.name}'s request {item.id}", outcome.state
            text = (
                f"the outcome of {place} comes too late: here it is {state}, but another session has ended it"
            )
            desk.report(logging.WARNING, text)
        self._forget(item)

    def _forget(self, item: _Item) -> None:
        """Forget a command that was handed over, or taken over."""
        self._drop(item)
        self._desk.hand(Written(self._user.name, item.id))
        self._taken.discard(item)
        self._take_over_next()
        self._more.set()

    async def _end(self, item: _Item, why: str) -> None:
        """Write the outcome of a request that is not claimed. Wait only while many such outcomes are being
        written."""
        while len(self._ending) >= MOST_ENDING:
            await asyncio.wait(tuple(self._ending), return_when=asyncio.FIRST_COMPLETED)
        self._write_end(item, why)

    def _write_end(self, item: _Item, why: str) -> None:
        """Begin to write the outcome of a request that is not claimed."""

        async def write() -> None:
            desk = self._desk
            key = desk.subjects.life(self._user.name, item.id)
            outcome = self._outcome(item.id, why)
            if position := await desk.write(self.log, key, self._body(outcome, item), 0):
                self._note_end(item, position)
                self._drop(item)
            else:
                await self._give_way(item)

        item.stage = _Stage.ENDING
        self._start(write(), self._ending)

    def _outcome(self, id: str, why: str) -> Outcome:
        """Return the outcome of a request that the daemon does not have."""
        state = why.partition(":")[0].replace(" ", "_")
        return Outcome(user=self._user.name, id=id, state=state, explanation=why)

    def _body(self, outcome: Outcome, item: _Item) -> bytes:
        return self._desk.outcome_body(outcome, self._settled, item.epoch)

    @property
    def _settled(self) -> int:
        """The position before which every request of the user has an outcome."""
        return min(self._unsettled.first(self._frontier), self._frontier)

    def _note_end(self, item: _Item, position: int) -> None:
        """Note that the outcome of a request is stored at a position."""
        self._desk.ended += 1
        self._ended[hash(item.id)] = position
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _drop(self, item: _Item) -> None:
        """Note that a request has an outcome, or that another session cares for it."""
        if self._items.get(item.id) is item:
            del self._items[item.id]
        self._unsettled.discard(item.position)

    def _start(self, work: Coroutine[Any, Any, None], tasks: set[Task[None]] | None = None) -> None:
        """Run work that goes on beyond the session; an error in it ends the desk."""
        kept = self._tasks if tasks is None else tasks
        task = asyncio.create_task(work)
        kept.add(task)

        def ended(task: Task[None]) -> None:
            kept.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._desk.fail(error)

        task.add_done_callback(ended)
