"""Display of each change of command, as the daemon reports it over HTTP.

The mount's protocol reports neither the holder of command nor requests for command; the daemon's page does.
`Watch` asks the page once a second through a function that it is given, and sends nothing to the mount.
`Standing` and `changes` are pure.

Next to read: `web`, which asks; `report`, which has the texts of ``who`` and ``status``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from mtmount_twisted.dialects.sources import Commander, Source
from mtmount_twisted.errors import WebError
from mtmount_twisted.version import __version__

LOOK_EVERY = 1.0
"""Time from an answer to the next question to the daemon, in seconds."""

RETRY_EVERY = 2.0
"""Time from a failure to the next question, in seconds."""

STRANGE_AFTER = 3
"""Number of successive answers without this prompt's connection after which the page counts as the page of
another bridge. The daemon may notice a connection a moment later than this side."""

LOOKS = 3
"""Largest number of questions for the prompt's own commander, if the daemon does not know it at once."""

LOOK_AGAIN_AFTER = 0.1
"""Time from one of these answers to the next question, in seconds."""

MAX_REQUESTS = 20
"""Largest number of requests for command to read from an answer. The page may belong to another program."""

MAX_SHOWN = 3
"""Largest number of new requests to report after one question, each in a line."""

LONGEST_TEXT = 100
"""Longest name, time or version in an answer, in characters; the longest name of the bridge has 68."""

_STRANGE = (
    "does not list this prompt among its commanders: it is the page of another bridge (give the right "
    "one with --web), or the prompt's port does not accept it as a commander"
)

Ask = Callable[[str], Deferred[dict[str, Any]]]
Show = Callable[[str, str], object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of command at one moment.

    :ivar holder: name of the commander that has command; None if there is none.
    :ivar number: number of the lease of this commander. Another number means that command changed hands.
    :ivar gone: True while the holder's connection is lost and the bridge waits for it.
    :ivar requests: the commanders that ask the holder for command, with the times of the requests; at most
        `MAX_REQUESTS`.
    :ivar me: name of this prompt's commander; None if the daemon does not know it.
    :ivar source: source of this prompt's commander; None if the daemon does not know it.
    """

    holder: str | None
    number: int
    gone: bool
    requests: tuple[tuple[str, str], ...]
    me: str | None
    source: Source | None = None

    @property
    def is_mine(self) -> bool:
        """True if this prompt has command."""
        return self.holder is not None and self.holder == self.me

    def describe(self) -> str:
        """Return a text about the holder of command, for a person."""
        if self.is_mine:
            return f"this prompt ({self.holder}) has command"
        return f"{self.holder or 'nobody'} has command"


def read_standing(state: dict[str, Any], address: str | None) -> Standing:
    """Read the state of command from the answer to ``/api/v1/state``.

    :param address: the address of this prompt in the answer (``commanders[].address``); None if it has none.
    :raises WebError: if the answer comes from another version, or has values that no bridge sends.
    """
    try:
        lease = state["lease"]
        me = None if address is None else _find_own(state["commanders"], address)
        return Standing(
            holder=None if lease["holder"] is None else _text(lease["holder"]),
            number=_of_type(int, lease["number"]),
            gone=_of_type(bool, lease["holder_gone"]),
            requests=tuple(
                (_text(each["by"]), _text(each["time"])) for each in lease["requests"][:MAX_REQUESTS]
            ),
            me=None if me is None else _text(me["name"]),
            source=None if me is None else Source[me["source"]],
        )
    except (LookupError, TypeError, AttributeError):
        version = str(state.get("version") or "another version")[:LONGEST_TEXT]
        raise WebError(
            f"mtmount_twisted {__version__} can't read the answers of version {version}; install the same "
            "version on both sides"
        ) from None


def _find_own(clients: list[dict[str, Any]], address: str) -> dict[str, Any] | None:
    """Return the client at an address; if no client has the address, because it is translated on the way, the
    client at its port. Return None if that is not clear. The clients that may command come first: any other
    client could choose the same port.
    """
    port = address[address.rindex(":") :]
    for own, is_at in ((address, str.__eq__), (port, str.endswith)):
        for may_command in (True, False):
            found = [
                each for each in clients if each["may_command"] is may_command and is_at(each["address"], own)
            ]
            if found:
                return found[0] if len(found) == 1 else None
    return None


def _of_type(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r:.40}")
    return value


def _text(value: object) -> str:
    if len(text := _of_type(str, value)) > LONGEST_TEXT:
        raise TypeError(f"expected at most {LONGEST_TEXT} characters")
    return text


def changes(
    before: Standing | None, now: Standing, *, was_given_up: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield a label and a text for each change that a person must know of.

    :param before: the earlier state; None if it is unknown.
    :param was_given_up: True if this prompt itself asked for the loss of command.
    """
    if before is not None and before.is_mine and not now.is_mine and was_given_up:
        yield "holder", f"{now.describe()}; this prompt gave it up"
    elif before is not None and before.is_mine and not now.is_mine:
        yield "NO COMMAND", f"{now.describe()}; this prompt had it until now"
    elif before is None or (before.describe(), before.number) != (now.describe(), now.number):
        yield "holder", now.describe()
    if now.gone and not (before is not None and before.gone):
        yield (
            "holder",
            f"{now.holder} is gone: if it does not return in time, all is stopped and nobody has command",
        )
    new = [each for each in now.requests if before is None or each not in before.requests]
    label = "REQUEST" if now.is_mine else "request"
    for name, _ in new[:MAX_SHOWN]:
        if now.is_mine:
            yield label, f"{name} asks this prompt for command; ask_for_command NONE gives it up"
        else:
            yield label, f"{name} asks {now.holder} for command"
    if len(new) > MAX_SHOWN:
        yield label, f"and {len(new) - MAX_SHOWN} more ask for command"


class Watch:
    """Watcher that asks the daemon for its state, and reports changes.

    :param ask: function that asks for a path, such as `web.WebClient.get`.
    :param where: the daemon's address, for a person.
    :param show: called with a label and a text.
    :param clock: an ``IReactorTime``.
    :param own_address: function that returns the address of this prompt at the bridge, HOST:PORT; None while
        it is not connected.
    :param is_guess: True if the address is only a default. Then the page of another bridge is ignored.
    """

    def __init__(
        self,
        ask: Ask,
        where: str,
        show: Show,
        clock: IReactorTime,
        own_address: Callable[[], str | None],
        *,
        is_guess: bool = False,
    ) -> None:
        self._ask = ask
        self._where = where
        self._show = show
        self._clock = clock
        self._own_address = own_address
        self._is_guess = is_guess
        self._standing: Standing | None = None
        self._lease: Any = None  # the lease at the last reading of the whole state
        self._problem = ""  # the last reported reason why the state is unknown
        self._version = __version__
        self._strange = 0
        self._source: Source | None = None  # this prompt's source on the present connection
        self._given_up: int | None = None  # number of the lease that this prompt asked to end
        self._going: Deferred[None] | None = None

    @property
    def label(self) -> str:
        """Text for the prompt. Empty while this prompt has command, and before the first answer."""
        if self._standing is None:
            return ""
        if self._problem:
            return "who has command is not known"
        return "" if self._standing.is_mine else self._standing.describe()

    async def state(self) -> tuple[dict[str, Any], Standing]:
        """Ask for the daemon's whole state.

        :raises WebError: if the daemon does not answer, or if it belongs to another bridge.
        """
        state = await self._ask("/api/v1/state")
        standing = read_standing(state, self._own_address())
        self._source = standing.source
        return state, standing

    async def own_source(self) -> Source:
        """Return the source of this prompt at the bridge; ask the daemon if the source is not known yet.

        :raises WebError: if the daemon does not answer, or does not know this prompt.
        """
        if self._own_address() is None:
            raise WebError("it is not connected")
        for _ in range(LOOKS):
            if self._source is None:
                await self.state()
            if self._source is not None:
                return self._source
            await deferLater(self._clock, LOOK_AGAIN_AFTER)  # the daemon may notice a new connection late
        raise WebError(f"{self._where} {_STRANGE}")

    async def own_name(self) -> str:
        """Return the name of this prompt's commander at the bridge; ask the daemon for it.

        :raises WebError: as `own_source`.
        """
        await self.own_source()
        _, standing = await self.state()
        if standing.me is None:
            raise WebError(f"{self._where} {_STRANGE}")
        return standing.me

    def forget_source(self) -> None:
        """Forget the source, so that `own_source` asks again: on the next connection it may be another
        one."""
        self._source = None

    def note_ask(self, commander: Commander | None) -> None:
        """Note a request of this prompt, so that the report does not call the following loss of command a
        surprise.

        :param commander: the commander for which this prompt asks; None if its request failed.
        """
        now, self._given_up = self._standing, None
        if commander is None or now is None or not now.is_mine:
            return
        if now.source is None or commander != int(now.source):
            self._given_up = now.number

    def start(self) -> None:
        """Report changes from now on."""
        self._going = Deferred.fromCoroutine(self._go_on())
        self._going.addErrback(self._failed)

    def stop(self) -> None:
        """Stop reporting. A caller may call this twice."""
        going, self._going = self._going, None
        if going is not None:
            going.cancel()

    def _failed(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._show("ERROR", f"a fault in the commander: {reason.getTraceback()}")

    async def _go_on(self) -> None:
        while True:
            pause = LOOK_EVERY
            try:
                await self._look()
            except CancelledError:
                raise
            except WebError as error:
                self._lose(str(error))
                pause = RETRY_EVERY
            except Exception as error:  # without a next question, the label would show this holder for ever
                self._lose(repr(error), f"a fault in the commander: {Failure().getTraceback()}")
                pause = RETRY_EVERY
            await deferLater(self._clock, pause)

    async def _look(self) -> None:
        """Ask only for the lease, which is short. Ask for the whole state only if it may have changed."""
        address = self._own_address()
        standing = self._standing
        is_settled = address is None or (standing is not None and standing.me) or self._is_strange
        if standing is not None and not self._problem and is_settled:
            lease = await self._ask("/api/v1/lease")
            if lease == self._lease:
                return
        state, now = await self.state()
        if address is None and standing is not None:  # a commander keeps its name until the next connection
            now = replace(now, me=standing.me, source=standing.source)
        self._strange = self._strange + 1 if now.me is None and address is not None else 0
        if self._is_strange and self._is_guess:
            raise WebError(f"{self._where} {_STRANGE}")
        self._lease = state["lease"]
        self._know(now, str(state.get("version"))[:LONGEST_TEXT])

    @property
    def _is_strange(self) -> bool:
        return self._strange >= STRANGE_AFTER

    def _know(self, now: Standing, version: str) -> None:
        before = self._standing
        was_given_up = before is not None and before.number == self._given_up
        told = list(changes(before, now, was_given_up=was_given_up))
        if self._problem and not told:
            told = [("holder", now.describe())]
        self._standing, self._problem = now, ""
        for label, text in told:
            self._show(label, text)
        if self._strange == STRANGE_AFTER:
            self._show("link", f"{self._where} {_STRANGE}")
        if version != self._version:
            self._version = version
            self._show("link", f"{self._where} runs mtmount_twisted {version}, this prompt is {__version__}")

    def _lose(self, problem: str, text: str = "") -> None:
        """Note that the state is unknown. Show `text`, or else the problem, if the problem is a new one."""
        if problem != self._problem:
            self._problem = problem
            self._show("link", f"who has command is not known: {text or problem}")
