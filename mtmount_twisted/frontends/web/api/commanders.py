"""The users of the web and of the broker as commanders, and the commands that they send.

To the bridge, a user is a connected commander from its first command until it is absent: no request for a
while, no waiting request, no open event stream. So the bridge's rule for a commander that is gone also
releases the command of a user that went away. It does no I/O.

Next to read: `command_tracker`, the states of the commands; `leases`, which asks for command.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from math import ceil
from typing import Annotated, NamedTuple, cast

from msgspec import Meta
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from mtmount_twisted.dialects.dialect import (
    CommandEnvelope,
    Dialect,
    EventEnvelope,
    Meaning,
    dialect_translated_to,
    translator_between,
)
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.errors import LineError
from mtmount_twisted.frontends.web.http.answers import Json, Life, Name, Schema, reference, schemas_of
from mtmount_twisted.frontends.web.http.calls import (
    Answer,
    Call,
    Content,
    Fault,
    Parameter,
    RequestError,
    Respond,
    Route,
    User,
    names_in,
)
from mtmount_twisted.interfaces import IBridge, IClient
from mtmount_twisted.net.deadlines import Deadline
from mtmount_twisted.net.http_headers import PRESENCE
from mtmount_twisted.wire.messages import MAX_SEQUENCE_ID, CommandMessage

from .catalogue import catalogue
from .command_body import judge, parameters_of, spoken_in
from .command_tracker import LASTING, MAX_LIVES, CommandTracker, Key, TrackedCommand, Until
from .validation import Validation, Validator

NO_MORE_KEYS = (
    f"the daemon remembers {MAX_LIVES:,} idempotency keys of yours, each for {LASTING / 3600:g} h, and"
    " forgets none before: nothing was sent; leave the key out where to send a command twice is harmless"
)

LONGEST_KEY = 255
DEFAULT_TIMEOUT = 30.0
LONGEST_TIMEOUT = 300.0
"""The longest wait of a request, in seconds."""

PARAMETERS = (
    Parameter(
        "wait",
        "query",
        Annotated[Until, Meta(extra_json_schema={"type": "string"})],
        "Answer when the command is acknowledged, or has ended.",
    ),
    Parameter(
        "timeout",
        "query",
        Annotated[
            float, Meta(ge=0, le=int(LONGEST_TIMEOUT), extra_json_schema={"default": int(DEFAULT_TIMEOUT)})
        ],
        "How long, in s.",
    ),
    Parameter(
        "commander",
        "query",
        Annotated[str, Meta(min_length=1, examples=["csc"])],
        "With validate: the name of the connected commander that would send the command, if not you.",
    ),
    Parameter(
        "Idempotency-Key",
        "header",
        Annotated[str, Meta(min_length=1, max_length=LONGEST_KEY, pattern="^[!-~]([ -~]*[!-~])?$")],
        f"Until {LASTING / 3600:g} h after the end of its command, a request with the same key and body sends"
        " nothing, and the answer is the life of that command.",
    ),
)
"""The parameters of a request that sends a command."""


LIFE_OR_VALIDATION = Content(
    "LifeOrValidation",
    lambda: {
        **schemas_of([Life, Validation]),
        "LifeOrValidation": {"anyOf": [reference("Life"), reference("Validation")]},
    },
)


def _bodies(dialect: Dialect) -> dict[str, Schema]:
    """Return the schema of the body of each command, by its name, and ``Command``, any of them.

    A program that is generated from the document then has a class for each body, and tells them apart by
    ``command``.
    """
    known = catalogue(dialect)
    bodies = {
        schema["title"]: {
            "description": known.commands[schema["title"]].doc,
            **schema,
            "properties": {**schema["properties"], "validate": _VALIDATE},
        }
        for schema in known.request["oneOf"]
    }
    mapping = {name: reference(name)["$ref"] for name in bodies}
    anyone = {
        "description": "A command and its parameters; see the catalogue.",
        "oneOf": [reference(name) for name in bodies],
        "discriminator": {"propertyName": "command", "mapping": mapping},
    }
    return {**bodies, "Command": anyone}


_VALIDATE: Schema = {
    "type": "boolean",
    "default": False,
    "description": "True to send nothing, and to receive the expected answer.",
}

_LONGEST = 2**53 / 1000
"""The longest time to Done that is shown, in seconds; in ms, a double holds it exactly."""

_STATUSES = {"refused": 409, "malformed": 409, "busy": 429, "not_sent": 503}
"""The status of the answer if the bridge did not send the command. Any other end is an outcome, with status
200."""


class Given(NamedTuple):
    """A command that a user gives.

    :ivar command: the command for the controller.
    :ivar header: its envelope, with the facts about the user's own command, if it was translated; else None.
    """

    command: CommandMessage
    header: CommandEnvelope | None = None


@implementer(IClient)
class WebCommander:
    """A user, as the bridge sees it. It receives nothing: users listen to the events instead.

    :param dialect: the protocol of the lines.
    :param dismissed: called with the reason when the bridge disconnects it.
    """

    translator = None
    may_command = name_lasts = True
    may_have_password = False
    address = ""
    behind = 0

    def __init__(
        self, user: User, dialect: Dialect, lives: CommandTracker, dismissed: Callable[[str], None]
    ) -> None:
        self.name: str = user.commander
        self.source: Source = user.source
        self.may_have_command: bool = "command" in user.roles
        self.in_flight = 0
        self.dismiss = dismissed
        self._dialect = dialect
        self._lives = lives
        self._last_id = 0

    def send(self, data: bytes) -> None:
        """Read the time that an Ack announces. Ignore all other replies, which are among the events, too."""
        for line in data.removesuffix(self._dialect.terminator).split(self._dialect.terminator):
            try:
                reply = self._dialect.read_reply(line)
                if isinstance(reply, EventEnvelope) or reply.meaning is not Meaning.ACKNOWLEDGED:
                    continue
                self._dialect.decode_to_show(line, False)
            except LineError:  # the tracker counts it as an Ack all the same; it announces nothing
                continue
            timeout = self._dialect.deadlines.announced(reply.timeout)
            self._lives.acknowledged(self.name, reply.sequence_id, min(timeout, _LONGEST))

    def next_id(self) -> int:
        """Return a sequence id that no command of this commander in flight has."""
        while True:
            self._last_id = self._last_id % MAX_SEQUENCE_ID + 1
            if not self._lives.goes_on(self.name, self._last_id):
                return self._last_id


@dataclass(slots=True, eq=False)
class _Presence:
    """The presence of a user.

    :ivar here: True while the bridge counts it as connected.
    :ivar holds: the number of its open requests and streams.
    :ivar leaving: the call that makes it absent; or None.
    """

    commander: WebCommander
    here: bool = False
    holds: int = 0
    leaving: IDelayedCall | None = None


class Commanders:
    """The users that command.

    :param absent_after: the time without a request after which a user is absent, in seconds.
    :ivar dialect: the protocol of the commands.
    """

    def __init__(
        self,
        bridge: IBridge,
        lives: CommandTracker,
        clock: IReactorTime,
        log: logging.Logger,
        absent_after: float = 30.0,
    ) -> None:
        self.lives = lives
        self.dialect: Dialect = bridge.dialect
        if (other := dialect_translated_to(self.dialect)) is not None:
            translator_between(other.name, self.dialect.name)  # its import must not delay a command
        self._bridge = bridge
        self._clock = clock
        self._log = log
        self._absent_after = absent_after
        self._closed = False
        self._presences: dict[str, _Presence] = {}

    def _presence(self, user: User) -> _Presence:
        """Return the presence of a user. It is kept, because the bridge knows a commander by its object."""
        presence = self._presences.get(user.name)
        if presence is None:
            dismissed = partial(self._dismissed, user.name)
            commander = WebCommander(user, self.dialect, self.lives, dismissed)
            presence = self._presences[user.name] = _Presence(commander)
        return presence

    # Presence

    def seen(self, user: User) -> None:
        """Note a request of a user. If the user is the lost holder of command, the request counts as its
        return. A user that had command at another bridge is known by its name only."""
        if self._closed:
            return
        holder = self._bridge.lease.holder
        if holder is not None and holder.name == user.commander and "command" in user.roles:
            self.enter(user)
        elif (presence := self._presences.get(user.name)) is not None:
            self._watch(presence)

    def noting(self, respond: Respond) -> Respond:
        """Return a function with the same answers, which counts each request as its user's presence."""

        async def noted(call: Call) -> Answer:
            if call.headers.get(PRESENCE) != "none":
                self.seen(call.user)
            return await respond(call)

        return noted

    def hold(self, user: User) -> Callable[[], None]:
        """Keep a user present until the returned function is called. A second call has no effect."""
        presence = self._presence(user)
        presence.holds += 1
        self.seen(user)
        held = [presence]

        def release() -> None:
            if held:
                held.pop().holds -= 1
                self._watch(presence)

        return release

    def enter(self, user: User) -> WebCommander:
        """Connect a user that is about to command to the bridge, unless it is connected.

        :raises RequestError: after `close`.
        """
        if self._closed:
            raise RequestError(503, "the daemon ends")
        presence = self._presence(user)
        presence.commander.source = user.source
        if not presence.here:
            presence.here = True
            self._log.info("%s: is here", user.commander)
            self._bridge.client_connected(presence.commander)
        self._watch(presence)
        return presence.commander

    def _watch(self, presence: _Presence) -> None:
        """Start the time until a user is absent anew, unless something holds it present."""
        if presence.leaving is not None:
            presence.leaving.cancel()
            presence.leaving = None
        if presence.here and not presence.holds:
            presence.leaving = Deadline(self._clock, self._absent_after, self._absent, presence)

    def _absent(self, presence: _Presence) -> None:
        presence.leaving = None
        self._lose(presence, f"no request for {self._absent_after:g} s")

    def _dismissed(self, name: str, why: str) -> None:
        presence = self._presences[name]
        self._log.warning("%s: dismissed by the bridge: %s", presence.commander.name, why)
        self._lose(presence, why)

    def _lose(self, presence: _Presence, why: str) -> None:
        if presence.here:
            presence.here = False
            self._watch(presence)
            self._log.info("%s: is gone: %s", presence.commander.name, why)
            self._bridge.client_lost(presence.commander, why)

    def close(self) -> None:
        """Disconnect all users, and connect no more. It can be called twice."""
        self._closed = True
        for presence in self._presences.values():
            self._lose(presence, "the daemon ends")

    # Commands

    def send(
        self, user: User, make: Callable[[int], Given], key: Key | None = None, stops: int | None = None
    ) -> TrackedCommand:
        """Send a command as a user's commander.

        :param make: makes the command, given its sequence id; an error in it is raised, and nothing is sent.
        :param stops: the bridge's number of stops when the command came: a later stop overtakes it; None if
            the command comes now.
        :raises RequestError: if as many of the user's idempotency keys are kept as is allowed.
        """
        command, header = make(self._presence(user).commander.next_id())
        seconds = self.lives.full_for(user.commander, command, key)
        if seconds is not None:
            raise RequestError(429, NO_MORE_KEYS, headers={"Retry-After": f"{ceil(seconds)}"})
        commander = self.enter(user)
        life = self.lives.begin_command(commander.name, command, key)
        is_late = stops is not None and stops != self._bridge.stops
        commanded = self._bridge.commanded_late if is_late else self._bridge.commanded
        commanded(commander, command.encode().removesuffix(self.dialect.terminator), header)
        return life

    def why_not(self, user: User, given: Given, name: str | None = None) -> str:
        """Return the reason why the bridge would refuse a command now; empty if it would accept the command.

        :param name: the connected commander that would send it; the user if None.
        :raises RequestError: if this commander is not connected.
        """
        command, header = given
        commander = self._presence(user).commander if name is None else self._bridge.clients.get(name)
        if commander is None:
            fault = Fault("query.commander", f"expected the name of a connected commander, got {name!a:.100}")
            raise RequestError(422, "the request has faults", (fault,))
        header = header or self.dialect.read_command(command.encode().removesuffix(self.dialect.terminator))
        return self._bridge.why_not(commander, header)

    async def wait(self, user: User, life: TrackedCommand, until: Until, seconds: float) -> bool:
        """Wait for a user, and keep the user present meanwhile; see `CommandTracker.wait`."""
        release = self.hold(user)
        try:
            return await self.lives.wait(life, until, seconds)
        finally:
            release()


class CommandRoutes:
    """The routes of commands."""

    def __init__(self, commanders: Commanders, validator: Validator) -> None:
        self._commanders = commanders
        self._validator = validator
        self._lives = commanders.lives

    def routes(self) -> list[Route]:
        """Return the routes of commands."""
        path = "/api/v1/commands"
        command = Content("Command", partial(_bodies, self._commanders.dialect))
        return [
            Route(
                "POST",
                path,
                self.post,
                "stop",
                "Send a command, and wait for its Ack or end if asked to; or validate it, and send nothing.",
                id="send_command",
                tag="commands",
                answers={200: LIFE_OR_VALIDATION, 202: Life},
                problems=(409, 422, 429, 503),
                parameters=PARAMETERS,
                body=command,
            ),
            Route(
                "GET",
                f"{path}/{{id}}",
                self.get,
                "observe",
                "A command's state and its steps.",
                id="get_command",
                tag="commands",
                answers={200: Life},
                problems=(404,),
                parameters=(Parameter("id", "path", Name, "The id of a life."),),
            ),
        ]

    async def get(self, call: Call) -> Answer:
        """Answer with the life with an id."""
        life = self._lives.get(call.parts["id"])
        if life is None:
            raise RequestError(404, "no command has this id, or it ended too long ago")
        return Answer(life.shape())

    async def post(self, call: Call) -> Answer:
        """Send the command in the body, or only validate it."""
        call, validates = _without_validate(call)
        if validates:
            given = given_in(call.body, call.user, self._commanders.dialect, 1)
            why_not = self._commanders.why_not(call.user, given, call.query.get("commander"))
            return Answer(self._validator.validate(given.command, why_not))
        if "commander" in call.query:
            fault = Fault("query.commander", 'expected only with "validate": true: each user sends as itself')
            raise RequestError(422, "the request has faults", (fault,))
        until, seconds, key = _options(call)
        life = None if key is None else self._again(call.user, key)
        replay = life is not None
        if life is not None:
            self._commanders.enter(call.user)
        else:
            make = partial(given_in, call.body, call.user, self._commanders.dialect)
            life = self._commanders.send(call.user, make, key, call.stops)
        reached = until is not None and await self._commanders.wait(call.user, life, until, seconds)
        return _answer(life, reached, replay)

    def _again(self, user: User, key: Key) -> TrackedCommand | None:
        life = self._lives.keyed(user.commander, key.text)
        if life is not None and life.key != key:
            fault = Fault("headers.idempotency-key", f"{key.text!a} was sent before, with another body")
            raise RequestError(422, "the request has faults", (fault,))
        return life


def _without_validate(call: Call) -> tuple[Call, bool]:
    """Return a request without the member ``validate``, and the value of this member."""
    body = call.body
    if not isinstance(body, dict) or "validate" not in body:
        return call, False
    validates = body["validate"]
    if not isinstance(validates, bool):
        fault = Fault("validate", f"expected true or false, got {json.dumps(validates)[:80]}")
        raise RequestError(422, "not a command", (fault,))
    rest = {name: value for name, value in body.items() if name != "validate"}
    return replace(call, body=rest), validates


def given_in(body: Json, user: User, controller: Dialect, sequence_id: int) -> Given:
    """Return the command in the body of a request.

    :param body: as in `command_body.judge`.
    :raises RequestError: if the body has faults, the user may not send the command, or the command can't be
        translated.
    """
    dialect = spoken_in(body, controller)
    command = judge(body, dialect, user.source, sequence_id)
    if "command" not in user.roles and not dialect.kind_of(command.command_code).is_stop:
        raise RequestError(
            403, f"{type(command).__name__}: this token may only send commands that stop something"
        )
    return Given(command) if dialect is controller else _translated(command, dialect, controller)


def _translated(command: CommandMessage, dialect: Dialect, controller: Dialect) -> Given:
    """Return a command of another dialect as the controller receives it.

    :raises RequestError: with status 409 and the reason if it does not become exactly one command.
    """
    translator = translator_between(dialect.name, controller.name)
    assert translator is not None
    commands, refusal = translator.translate(command)
    if refusal:
        raise RequestError(409, f"refused: {refusal}")
    if len(commands) > 1:
        names = ", then ".join(f"{type(one).__name__} {_written(one, controller)}" for one in commands)
        raise RequestError(
            409, f"refused: {type(command).__name__} becomes {len(commands)} commands: {names}"
        )
    line = command.encode().removesuffix(dialect.terminator)
    return Given(commands[0], translator.read_command(line))


def _written(command: CommandMessage, dialect: Dialect) -> str:
    return json.dumps(parameters_of(command, dialect))


def _options(call: Call) -> tuple[Until | None, float, Key | None]:
    """Return the state to wait for, the longest wait in s, and the idempotency key."""
    faults: list[Fault] = []
    until, seconds = _read_wait(call.query, faults)
    text = call.headers.get("idempotency-key")
    if text is not None and not (0 < len(text) <= LONGEST_KEY and text.isascii() and text.isprintable()):
        why = f"expected 1 to {LONGEST_KEY} printable ASCII characters, got {text[:100]!a}"
        faults.append(Fault("headers.idempotency-key", why))
    if faults:
        raise RequestError(422, "the request has faults", tuple(faults))
    return until, seconds, None if text is None else Key(text, _digest(call.body))


def _read_wait(query: Mapping[str, str], faults: list[Fault]) -> tuple[Until | None, float]:
    wait, text = query.get("wait"), query.get("timeout", str(DEFAULT_TIMEOUT))
    if wait not in (None, "ack", "done"):
        faults.append(Fault("query.wait", f"expected ack or done, got {wait[:100]!a}"))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_TIMEOUT:
        why = f"expected a number of seconds from 0 to {LONGEST_TIMEOUT:g}, got {text[:100]!a}"
        faults.append(Fault("query.timeout", why))
    for name in query.keys() - set(names_in("query", PARAMETERS)):
        faults.append(Fault(f"query.{name[:100]}", "not known; expected wait or timeout"))
    return cast("Until | None", wait), seconds


def _digest(body: Json) -> bytes:
    return sha256(json.dumps(body, sort_keys=True).encode()).digest()


def _answer(life: TrackedCommand, reached: bool, replay: bool) -> Answer:
    headers = {"location": f"/api/v1/commands/{life.id}"}
    if replay:
        headers["idempotent-replay"] = "true"
    status = _STATUSES.get(life.state)
    if status is not None:
        raise RequestError(status, life.explanation, headers=headers, command=life.shape())
    return Answer(life.shape(), 200 if reached else 202, headers)
