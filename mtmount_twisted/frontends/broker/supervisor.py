"""`Supervisor`: the child process that speaks to the broker: started, watched, killed, and started again.

Nothing that the child does can delay the mount's link. Lines that wait for the child are conflated: one
number, and the latest telemetry. The bytes that the child may send between two answers are bounded, and so
are the lines about events that the daemon has not taken. The supervisor kills a child that sends more, or
that does not answer for `ANSWER_TIME`. It starts a process and uses one socket pair. Next to read: `service`;
`words`, the lines.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast
from typing import Protocol as TypingProtocol

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import (
    IDelayedCall,
    IProcessTransport,
    IPushProducer,
    IReactorProcess,
    IReactorSocket,
    IReactorTime,
)
from twisted.internet.protocol import ProcessProtocol, Protocol, ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.event_order import Group, set_group
from mtmount_twisted.net.rate_limited_log import RateLimitedLog
from mtmount_twisted.visible import visible

from .window import Window
from .words import (
    DATA_FD,
    MAX_ANSWER,
    MAX_EVENT_LINE,
    Answer,
    FromChild,
    Log,
    OfDesk,
    OfStream,
    Ping,
    Pong,
    ToChild,
    Took,
    encode,
    read_from_child,
)

if TYPE_CHECKING:
    from twisted.internet.tcp import Connection

PING_INTERVAL = 1.0
"""The time between two questions for a sign of life, in seconds."""

ANSWER_TIME = 5.0
"""The longest time without an answer of the child, in seconds; then it is killed."""

START_TIME = 30.0
"""The longest time until the first answer, in seconds: a loaded machine starts Python slowly."""

MOST_BYTES = 2**16
"""The largest number of bytes of lines, and of text on its standard output and error, that a child may send
between two answers. An answer with a few lines for the log has less than 4 KiB. Commands count apart.
Events have a `Window`."""

MOST_COMMANDS = 2**23
"""The largest number of bytes of commands, and of words about them, that a child may send between two
answers. The open commands and stops of all users have half of it: what users send ends no child."""

LEAST_PAUSE, MOST_PAUSE = 0.5, 30.0
"""The time from the end of a child to the start of the next one, in seconds; it doubles each time."""

GOOD_LIFE = 60.0
"""The time after which a child counts as good, in seconds. The pause after its end is `LEAST_PAUSE` again."""

_LONG_LINES = (b'{"type":"other",', b'{"type":"found",')
"""The beginnings of the lines that may be as long as `MAX_EVENT_LINE`."""

KEPT_OUTPUT = 2000
"""The number of characters of a child's standard error that the log shows when it ends."""


class Reactor(IReactorTime, IReactorProcess, IReactorSocket):
    """What the supervisor needs of a reactor."""


class Owner(TypingProtocol):
    """The owner of a `Supervisor`."""

    def child_started(self) -> None:
        """Send the child its first lines."""

    def child_ready(self) -> None:
        """Send the child the lines that have waited: it reads again."""

    def child_answered(self, pong: Pong) -> None:
        """Note the state of the child."""

    def child_asked(self, line: OfDesk) -> None:
        """Process a line about commands of the broker."""

    def child_read(self, line: OfStream) -> None:
        """Process a line about the events of other bridges."""

    def child_replied(self, answer: Answer) -> None:
        """Process the answer to a question about the election."""

    def child_ended(self) -> None:
        """Note that there is no child now."""


@implementer(IPushProducer)
class _Link(Protocol):
    """The daemon's end of the socket pair."""

    transport: Connection

    def __init__(self, child: _Child) -> None:
        self._child = child
        self._rest = b""
        self.may_write = True

    def connectionMade(self) -> None:
        # Stops by the broker and the answers of the election wait for no crowd.
        set_group(self.transport, lambda: Group.FIRST)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._child.line_received(line)
        if len(self._rest) > (MAX_EVENT_LINE if self._rest.startswith(_LONG_LINES) else MAX_ANSWER):
            self._child.kill("it sends a line that is too long")

    def pauseProducing(self) -> None:
        self.may_write = False

    def resumeProducing(self) -> None:
        self.may_write = True
        self._child.link_ready()

    def stopProducing(self) -> None:
        self.may_write = False


class _Output(ProcessProtocol):
    """The child's standard output and error, and its end."""

    def __init__(self, child: _Child) -> None:
        self._child = child
        self.text = b""

    def outReceived(self, data: bytes) -> None:
        self._child.count(len(data))
        self.text = (self.text + data)[-KEPT_OUTPUT:]

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self._child.process_ended(reason)


class _Child:
    """One child process, from its start to its end."""

    def __init__(self, supervisor: Supervisor, reactor: Reactor) -> None:
        self._supervisor = supervisor
        self._reactor = reactor
        self.started: float = reactor.seconds()
        self.killed: str = ""  # the reason
        self._bytes = 0
        self._command_bytes = 0
        self._window = Window()  # the lines about events that the child does not know to be taken
        self._asked = 0
        self._link = _Link(self)
        self._output = _Output(self)
        self._deadline: Deadline | None = None
        self._asking: IDelayedCall | None = None
        ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, childs:
            ours.setblocking(False)
            # Python finds the module beside this one, and never in the folder in which the daemon was
            # started.
            package = str(Path(__file__).resolve().parents[3])
            paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process: IProcessTransport = reactor.spawnProcess(
                self._output,
                sys.executable,
                [sys.executable, "-P", "-m", "mtmount_twisted.station"],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                childFDs={0: "w", 1: "r", 2: "r", DATA_FD: childs.fileno()},
            )
            factory = ServerFactory.forProtocol(lambda: self._link)
            try:
                reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)  # type: ignore[arg-type]
            except OSError:  # no file is free
                self.kill("it has no link")
                raise
        self.pid: int = int(self._process.pid or 0)  # it has none once it has ended
        self._deadline = Deadline(reactor, START_TIME, self.kill, "it does not start")
        self._asking = reactor.callLater(PING_INTERVAL, self._ask)

    def send(self, line: ToChild) -> bool:
        """Send a line, unless the child has unread ones; return True if it was sent."""
        if not self._link.may_write:
            return False
        self._link.transport.write(encode(line) + b"\n")
        if isinstance(line, Took):
            self._window.take(line.lines)
        return True

    def _ask(self) -> None:
        self._asking = self._reactor.callLater(PING_INTERVAL, self._ask)
        self._asked += 1
        self.send(Ping(self._asked))

    def count(self, size: int) -> None:
        """Count bytes of the child; too many end it."""
        self._bytes += size
        if self._bytes > MOST_BYTES:
            self.kill("it floods the daemon")

    def line_received(self, line: bytes) -> None:
        """Process a line of the child."""
        if self.killed:
            return
        try:
            told: FromChild = read_from_child(line)
        except (msgspec.DecodeError, RecursionError) as error:
            self.kill(f"it sends a malformed line: {error}")
            return
        if isinstance(told, OfDesk):
            self._command_bytes += len(line)
            if self._command_bytes > MOST_COMMANDS:
                self.kill("it floods the daemon")
                return
        elif isinstance(told, OfStream):
            if not self._window.has_room(told, len(line)):
                self.kill("it floods the daemon")
                return
            self._window.add(told, len(line))
        else:
            self.count(len(line) + 1)
        if isinstance(told, Pong):
            self._bytes = self._command_bytes = 0
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = Deadline(self._reactor, ANSWER_TIME, self.kill, "it does not answer")
        self._supervisor.line_received(told)

    def link_ready(self) -> None:
        """Send the lines that have waited."""
        if not self.killed:
            self._supervisor.link_ready()

    def kill(self, why: str) -> None:
        """Kill the process."""
        if self.killed:
            return
        self.killed = why
        if self._link.transport is not None:
            self._link.transport.abortConnection()
        try:
            self._process.signalProcess("KILL")
        except ProcessExitedAlready:
            return

    def process_ended(self, reason: Failure) -> None:
        """Process the end of the process."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        if self._asking is not None and self._asking.active():
            self._asking.cancel()
        if self._link.transport is not None:
            self._link.transport.abortConnection()
        self.killed = self.killed or self._why(reason)
        self._supervisor.child_ended(self)

    def _why(self, reason: Failure) -> str:
        number = getattr(reason.value, "signal", None)
        status = getattr(reason.value, "exitCode", None)
        how = f"signal {signal.Signals(number).name}" if number else f"status {status}"
        return f"it ended with {how}"

    @property
    def output(self) -> str:
        """The last lines that it has written on its standard output and error."""
        lines = self._output.text.decode(errors="replace").strip().splitlines()
        return visible(" | ".join(line.strip() for line in lines[-4:]))


class Supervisor:
    """Start the child, and start another one after its end, until `stop`.

    :param owner: the owner; its methods must not block.
    :ivar restarts: the number of starts after the first one.
    """

    def __init__(self, owner: Owner, log: logging.Logger, reactor: object) -> None:
        self.restarts: int = 0
        self._owner = owner
        self._reactor = cast(Reactor, reactor)
        self._limited_log = RateLimitedLog(self._reactor, log)
        self._child_log = RateLimitedLog(self._reactor, log, burst=10)
        self._log = log
        self._child: _Child | None = None
        self._pause = LEAST_PAUSE
        self._next: IDelayedCall | None = None
        self._stopping = False
        self._stopped: list[Deferred[None]] = []

    @property
    def pid(self) -> int:
        """The number of the child's process; 0 without a child."""
        return 0 if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the child."""
        self._next = None
        try:
            self._child = _Child(self, self._reactor)
        except OSError as error:  # no process, or no file, is free
            self._limited_log.error("station: the process can't be started: %s", error)
            self._start_later()
            return
        self._owner.child_started()

    def _start_later(self) -> None:
        self.restarts += 1
        self._next = self._reactor.callLater(self._pause, self.start)
        self._pause = min(MOST_PAUSE, 2 * self._pause)

    def send(self, line: ToChild) -> bool:
        """Send the child a line.

        :returns: False if there is no child, or if it does not read: the caller keeps the latest state, and
            sends it at `Owner.child_ready`.
        """
        return self._child is not None and not self._child.killed and self._child.send(line)

    def line_received(self, told: FromChild) -> None:
        """Process a line of the child."""
        if isinstance(told, Log):
            self._child_log.log(told.level, "station: %s", visible(told.text))
        elif isinstance(told, Answer):
            self._owner.child_replied(told)
        elif isinstance(told, Pong):
            self._owner.child_answered(told)
        elif isinstance(told, OfStream):
            self._owner.child_read(told)
        else:
            self._owner.child_asked(told)

    def link_ready(self) -> None:
        """Tell the owner that the child reads again."""
        self._owner.child_ready()

    def child_ended(self, child: _Child) -> None:
        """Start another child a little later, or end."""
        if child is not self._child:  # it never had a link, and the next one has begun
            return
        self._child = None
        self._owner.child_ended()
        if self._stopping:
            self._end()
            return
        if self._reactor.seconds() - child.started >= GOOD_LIFE:
            self._pause = LEAST_PAUSE
        self._limited_log.error(
            "station: the process %d has ended: %s; the next one starts in %g s; its last words: %s",
            *(child.pid, child.killed, self._pause, child.output or "none"),
        )
        self._start_later()

    def stop(self, within: float, last: ToChild) -> Deferred[None]:
        """End the child. It may be called twice and at any time.

        :param within: the time that the child has to publish the rest, in seconds; then it is killed.
        :param last: its last line.
        :returns: fires when the process is gone.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._child is None:
            self._stopping = True
            return succeed(None)
        if not self._stopping:
            self._stopping = True
            child = self._child
            if not self.send(last) or within <= 0:
                child.kill("the daemon ends")
            else:
                killing = self._reactor.callLater(within, child.kill, "the daemon ends")
                self._stopped.append(Deferred())
                self._stopped[-1].addCallback(lambda _: killing.cancel() if killing.active() else None)
        self._stopped.append(Deferred())
        return self._stopped[-1]

    def _end(self) -> None:
        waiting, self._stopped = self._stopped, []
        for each in waiting:
            each.callback(None)
