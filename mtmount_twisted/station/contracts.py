"""The contracts of a message broker: a register, a log, a presence, and the engine that provides them.

`nats_engine` implements them with NATS, and ``mtmount_twisted.testing.broker`` in memory; one suite of tests
runs on both (``tests/station/engine_contract.py``). The rules that each implementation keeps:

* The outcome of a write without a confirmation is unknown, and never "failed": the write raises
  `EngineUnreachable`.
* Nothing is buffered while the engine is not connected: a write then raises `EngineUnreachable` at once.
* A reading survives the loss of a connection: it continues after the last position that it delivered.
* A key is words with dots between them, such as ``mt.t1.a.ev.message.ACK``. In a pattern, ``*`` stands for
  one word, and ``>`` at the end for one word or more.

Every method that waits is a coroutine. No thread is involved.

Next to read: `nats_engine`; `outbox` and `desk`, which use the contracts.
"""

from __future__ import annotations

from asyncio import Future
from enum import Enum
from typing import Any, NamedTuple

from zope.interface import Attribute, Interface


class Start(Enum):
    """The places where a reading can begin besides a position."""

    NEW = "new"
    """After the last message that is stored now."""

    LAST_OF_EACH = "last of each"
    """With the last message of each key; older messages are left out."""


class Stored(NamedTuple):
    """A message in a log.

    :ivar position: its place in the log: 1 for the first message; later messages have larger positions.
    :ivar time: the time when the broker stored it, by the clock of the broker (s, Unix time).
    """

    key: str
    body: bytes
    position: int
    time: float


class IRegister(Interface):
    """A value that only one writer can change at a time: compare and swap."""

    async def get() -> tuple[bytes | None, int]:
        """Return the value and its revision; None and 0 if the value was never set.

        :raises EngineUnreachable: if the broker does not answer.
        """

    async def swap(value: bytes, revision: int) -> int:
        """Set the value if it has not changed since a revision.

        :param revision: the revision that the caller saw; 0 for a register that was never set.
        :returns: the new revision; 0 if another writer was first.
        :raises EngineUnreachable: if the outcome is unknown.
        """


class ILog(Interface):
    """Messages in the order in which the broker stored them."""

    async def append(key: str, body: bytes, id: str | None = None, after: int | None = None) -> int:
        """Store a message.

        :param id: the identity of the message. If a message with the same id was stored in the last two
            minutes, this one is not stored: the result is the position of the earlier one.
        :param after: store the message only if the last message with this key is at this position, or, for 0,
            if there is none; None for no condition.
        :returns: the position; 0 if the condition does not hold.
        :raises EngineUnreachable: if the outcome is unknown.
        :raises EngineFull: if there is no room.
        :raises EngineRefused: if a right or the stream is missing.
        """

    async def send(key: str, body: bytes, id: str | None = None, after: int | None = None) -> Future[int]:
        """Hand a message over to the connection; the future is the result of `append`.

        Messages are stored in the order of the calls, except that one that is not stored does not hold up the
        next ones.

        :raises EngineUnreachable: if the engine is not connected. The message is not stored then.
        """

    async def last(keys: str) -> Stored | None:
        """Return the last message whose key matches a pattern; None if there is none."""

    async def room() -> int:
        """Return the number of bytes for which the log has room, and measure `IEngine.offset`.

        :raises EngineUnreachable: if the broker does not answer.
        """

    async def first(keys: str, position: int = 1) -> Stored | None:
        """Return the first message at a position, or behind it, whose key matches a pattern.

        :returns: None if there is none.
        :raises EngineUnreachable: if the broker does not answer.
        :raises EngineRefused: if a right or the stream is missing.
        """

    async def read(keys: str, start: int | Start, receiver: Any) -> IReading:
        """Deliver the messages whose keys match a pattern to an `IReceiver`: stored ones, then new ones.

        :param start: the first position to deliver, or a `Start`.
        """


class IReceiver(Interface):
    """The receiver of a reading. The reading waits for each call to end before the next one.

    `EngineUnreachable` and `EngineRefused` in a call let the reading deliver again a little later. Any other
    error ends the reading, and `IEngine.wait_failed` raises it.
    """

    async def received(message: Stored) -> None:
        """Handle a message. The positions of the calls increase, unless `gap` says that the log went back."""

    async def gap(first: int, last: int) -> None:
        """Handle the loss of the messages between two positions, both included.

        Either they were deleted before they were read, or they were read and the broker has lost them since
        then. In the latter case the next messages have positions from `first` on.
        """


class IReading(Interface):
    """A reading of a log, which goes on until it is stopped."""

    def pause() -> None:
        """Deliver no further messages until `resume`; the log keeps them."""

    def resume() -> None:
        """Deliver messages again."""

    async def stop() -> None:
        """End the reading. A call of the receiver that is under way is cancelled."""


class IPresence(Interface):
    """A sign of life that others can ask for."""

    async def here() -> None:
        """Be present until `leave` or until the engine is closed, also after each reconnection."""

    async def leave() -> None:
        """Be present no longer. Without a connection, do nothing."""

    async def gone() -> bool:
        """Return True if no process is present. A process that is present and hangs is not gone.

        :raises EngineUnreachable: if the broker does not answer.
        """


class IEngine(Interface):
    """A connection to a broker, which is made again after each loss, until `close`."""

    connected: bool = Attribute("True while the broker answers.")
    problem: str = Attribute("Reason why the engine is not connected, for a person; empty while it is.")
    losses: int = Attribute("Number of connections that were lost since the start.")
    loss: str = Attribute("Reason of the last loss; empty before the first.")
    offset: float | None = Attribute(
        "The broker's clock minus this machine's, in seconds; None if the broker does not tell its time."
    )

    def start() -> None:
        """Connect, and connect again after each loss."""

    def register(name: str) -> IRegister:
        """Return the register with this key."""

    def log(name: str) -> ILog:
        """Return the log of this name."""

    def presence(name: str) -> IPresence:
        """Return the presence with this key."""

    async def wait_connected() -> None:
        """Wait until the engine is connected."""

    async def wait_lost() -> None:
        """Wait until the present connection is lost. If there is none, return at once."""

    async def wait_failed() -> None:
        """Wait until a reading ends by an unexpected error, and raise it. Without one it waits for ever."""

    async def close() -> None:
        """Close the connection, and stop all readings. A caller may call this twice."""
