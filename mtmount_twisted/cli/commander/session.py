"""A session: it runs lines on a `Mount`, and shows replies and events when they come.

It uses neither the terminal nor the network: it gets a `Mount` and a function for the output. Next to read:
`line`, which parses; `report`, which makes the texts; `prompt` and `script`, which run a session.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mtmount_twisted.client.mount import Mount
from mtmount_twisted.dialects.dialect import Dialect
from mtmount_twisted.dialects.facts import DeviceFact, Fact, FactValue
from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.errors import CommandError, MTMountError, WebError
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.fields import utc_now
from mtmount_twisted.wire.messages import CommandMessage
from mtmount_twisted.wire.tai import current_tai

from . import report
from .checking import UNSETTLED, Verdict, from_events, lines_of
from .line import Check, Help, Quit, Status, Wait, Who, asks_for_itself, commands_for_mount, parse_line
from .manual import help_all, help_command
from .watch import Standing

MOST_SHOWN = 1000
"""Largest number of parts of the mount whose last event a session remembers, to show only changes."""

Look = Callable[[], Awaitable[tuple[dict[str, Any], Standing]]]
"""Function that asks the daemon for its state, and returns it with the `Standing` in it."""


Judge = Callable[[CommandMessage], Awaitable[Verdict]]
"""Function that asks the daemon for the expected answer to a command."""

_NO_PAGE = "no page of a bridge is known; give it with --web URL"


async def _no_judge(command: CommandMessage) -> Verdict:
    raise WebError(_NO_PAGE)


async def _no_web() -> tuple[dict[str, Any], Standing]:
    raise WebError(_NO_PAGE)


class Session:
    """Runner of lines, one or many at a time, until `quitting`.

    :param mount: receiver of the commands; its events are shown.
    :param output: called with each text to show, without a newline at its end.
    :param clock: clock for ``wait``, an ``IReactorTime``.
    :param source: source of the commands.
    :param own_commander: function that returns the commander as which the bridge treats this session, for an
        ``ask_for_command`` without a value. If it raises a `MTMountError`, the line is refused. If the
        function is None, the commander of `source` is used.
    :param on_ask: called with the commander in an ``ask_for_command`` when the command is sent, and with None
        if the command fails.
    :param look: function for ``who`` and ``status``. If it raises a `WebError`, the error is shown.
    :param judge: function for ``check``. If it raises a `WebError`, the command is judged by the events that
        the session received.
    :param monotonic: function that returns seconds on a clock that never jumps, for durations.
    :param now: function that returns the current time, UTC, for output.
    :param tai: function that returns TAI in seconds, for an omitted ``tai``.
    :ivar dialect: the protocol of the mount.
    :ivar quitting: True after a line that ends the session.
    """

    def __init__(
        self,
        mount: Mount,
        output: Callable[[str], Any],
        *,
        clock: IReactorTime,
        source: Source = Source.CSC,
        own_commander: Callable[[], Awaitable[Commander]] | None = None,
        on_ask: Callable[[Commander | None], object] = lambda commander: None,
        look: Look = _no_web,
        judge: Judge = _no_judge,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        tai: Callable[[], float] = current_tai,
    ) -> None:
        self.quitting: bool = False
        self.dialect: Dialect = mount.communicator.dialect
        self._shown: dict[object, str] = {}
        self._mount = mount
        self._output = output
        self._clock = clock
        self._source = source
        self._own_commander = own_commander
        self._on_ask = on_ask
        self._look = look
        self._judge = judge
        self._told: dict[tuple[str, str], FactValue] = {}
        self._last_step = -UNSETTLED
        self._monotonic = monotonic
        self._now = now
        self._tai = tai
        self._started: set[Deferred[Any]] = set()
        self._unsubscribe = mount.subscribe(self._show_event)

    @property
    def connected(self) -> bool:
        """True if commands can be sent and answered."""
        return self._mount.communicator.connected

    def show(self, label: str, text: str) -> None:
        """Show one line with the time."""
        self._output(report.stamped(self._now(), label, text))

    def run(self, line: str) -> Deferred[bool]:
        """Run a line to its end.

        :returns: a Deferred that fires with False if a command was not done, else with True. It fails with
            `MTMountError` if the line is invalid; then nothing was sent.
        """
        return Deferred.fromCoroutine(self._run(line))

    def start(self, line: str) -> None:
        """Run a line without waiting for its end, and show an error in it."""
        running = self.run(line)
        self._started.add(running)
        running.addErrback(self._show_problem).addBoth(lambda _: self._started.discard(running))

    def close(self) -> None:
        """Stop waiting for the lines that `start` runs, and show no more events; list unfinished commands."""
        self._unsubscribe()
        for sent in self._mount.in_flight:
            self.show("LEFT", f"{report.numbered(sent.command)} has not ended; the mount may continue it")
        for running in tuple(self._started):
            running.cancel()

    async def _run(self, line: str) -> bool:
        commander = None
        if self._own_commander is not None and asks_for_itself(line, self.dialect):
            commander = await self._own_commander()
        dialect = self.dialect
        request = parse_line(line, dialect=dialect, source=self._source, commander=commander, tai=self._tai)
        if isinstance(request, CommandMessage):
            for command in commands_for_mount(request, dialect):
                if not await self._send(command):
                    return False
            return True
        if isinstance(request, Check):
            checks = [await self._check(each) for each in commands_for_mount(request.command, dialect)]
            return all(checks)
        if isinstance(request, Help):
            self._output(help_command(request.command, dialect) if request.command else help_all(dialect))
        elif isinstance(request, Who | Status):
            state, standing = await self._look()
            is_who = isinstance(request, Who)
            self._output(
                report.who(state, standing) if is_who else report.status(state, standing, dialect.subsystems)
            )
        elif isinstance(request, Wait):
            await deferLater(self._clock, request.seconds)
        elif isinstance(request, Quit):
            self.quitting = True
        return True

    def forget_events(self) -> None:
        """Forget the values in the mount's events, because the connection was lost, and they may be wrong."""
        self._told.clear()

    async def _check(self, command: CommandMessage) -> bool:
        """Show the expected answer to a command. Return False if it is a refusal."""
        source = ""
        try:
            verdict = await self._judge(command)
        except WebError as error:
            verdict = self._judge_by_events(command)
            source = (
                "judged by the events that this prompt received; the lease and the commands of others are "
                f"not known: {error}"
            )
        for text in lines_of(report.command_text(command), verdict):
            self.show("check", visible(text))
        if source:
            self.show("check", visible(source))
        return not verdict.is_refusal

    def _judge_by_events(self, command: CommandMessage) -> Verdict:
        needs_command = [
            self.dialect.kind_of(sent.command.command_code).needs_command for sent in self._mount.in_flight
        ]
        is_settled = not any(needs_command) and self._monotonic() - self._last_step >= UNSETTLED
        return from_events(
            command,
            self.dialect,
            lambda device, name: self._told.get((device, name)),
            is_connected=self.connected,
            is_settled=is_settled,
        )

    async def _send(self, command: CommandMessage) -> bool:
        began = self._monotonic()
        is_ask = self.dialect.kind_of(command.command_code).is_ask
        self.show("command", f"#{command.sequence_id} {report.command_text(command)}")
        if is_ask:
            self._on_ask(Commander(int(getattr(command, "commander"))))
        sent = self._mount.send(command)
        try:
            expected = await sent.acked
            if not command.ack_only:
                self.show("ack", report.ack_text(command, expected, self._monotonic() - began))
            await sent.done
        except CommandError as error:
            if is_ask:
                self._on_ask(None)
            self.show(*report.ending(error, self._monotonic() - began))
            return False
        finally:
            self._last_step = self._monotonic()
        self.show("done", report.done_text(command, self._monotonic() - began))
        return True

    def _show_event(self, reply: Any) -> None:
        commander = self.dialect.actual_commander(reply)
        if commander is not None:
            names = {0: "nobody"} | {int(source): source.name for source in Source}
            name = names.get(commander, f"source {commander}")
            label, text = "holder", f"the mount says: {name} has command"
        else:
            line = reply.encode().removesuffix(self.dialect.terminator)
            facts = self.dialect.facts_of(line)
            self._note(facts)
            label, text = report.event(reply, facts, self.dialect.subsystems)
        if self._is_repeat(getattr(reply, "subject", None), f"{label} {text}"):
            return
        self.show(label, text)

    def _note(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, DeviceFact):
                if len(self._told) >= MOST_SHOWN:
                    self._told.clear()
                self._told[fact.device, fact.name] = fact.value

    def _is_repeat(self, subject: object, shown: str) -> bool:
        """Return True for an event that changed nothing. One known mount sends 35 such events a second."""
        if subject is None:
            return False
        if len(self._shown) >= MOST_SHOWN:
            self._shown.clear()
        before, self._shown[subject] = self._shown.get(subject), shown
        return before == shown

    def _show_problem(self, reason: Failure) -> None:
        if reason.check(MTMountError):
            self._output(f"error: {visible(reason.getErrorMessage())}")
        elif not reason.check(CancelledError):
            self._output(f"a fault in the commander:\n{reason.getTraceback()}")
