"""What is done with an input: each target takes bytes, and raises only if a parser is at fault.

A parser may refuse an input with the error that it says it raises, and with no other. What it takes is
looked at once more: what is read and written again must be the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qsl

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from mtmount_twisted.bridge.dispatcher import LONGEST_WHY
from mtmount_twisted.commands import AzimuthAxisTrack, Disable, OilSupplySystemPower
from mtmount_twisted.config.loading import check, load
from mtmount_twisted.config.settings import WebSettings
from mtmount_twisted.dialects import tma2022, translate
from mtmount_twisted.dialects.dialect import CommandEnvelope, Dialect, EventEnvelope, Meaning, Outcome
from mtmount_twisted.dialects.dialect import ReplyEnvelope as AnyReply
from mtmount_twisted.dialects.tma2020 import envelope as envelope_tma2020
from mtmount_twisted.dialects.tma2020.codec import (
    decode_command,
    decode_reply,
    read_command_header,
    read_explanation,
    read_reply_header,
)
from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.dialects.tma2022 import envelope, relay
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as DIALECT_2022
from mtmount_twisted.dialects.tma2022.outcomes import outcome_of
from mtmount_twisted.dialects.tma2022.relay import ReplyEnvelope
from mtmount_twisted.dialects.translated import TRANSLATOR
from mtmount_twisted.enums import Source
from mtmount_twisted.errors import ConfigError, LineError
from mtmount_twisted.frontends.web.api import signal_history, slews
from mtmount_twisted.frontends.web.api.command_body import judge, parameters_of
from mtmount_twisted.frontends.web.api.history import read_query
from mtmount_twisted.frontends.web.events.streams import read_call
from mtmount_twisted.frontends.web.http import tokens
from mtmount_twisted.frontends.web.http.calls import Answer, Call, RequestError, Route, User
from mtmount_twisted.frontends.web.http.encoding import payload
from mtmount_twisted.frontends.web.http.guard import Guard, HostPolicy
from mtmount_twisted.frontends.web.http.routing import parse_json
from mtmount_twisted.frontends.web.http.site import make_site
from mtmount_twisted.net.protocol import LineReader
from mtmount_twisted.wire.fields import check_str
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH

DIALECTS = DIALECT, DIALECT_2022
ANYONE = User("anyone", frozenset(("observe", "command", "stop")), Source.CSC)
ADDRESS = IPv4Address("TCP", "127.0.0.1", 8080)
NOW = 1.6e9


def line(data: bytes) -> None:
    """A line, as the library reads it: a message, which is written the same when it was read again."""
    for decode in (decode_command, decode_reply):
        with suppress(LineError):
            wire = decode(data).encode()
            assert decode(wire.removesuffix(TERMINATOR)).encode() == wire
    for read_header in (read_command_header, read_reply_header):
        with suppress(LineError):
            read_header(data)


def relayed(data: bytes) -> None:
    """A line, as the bridge reads it: one that it passes on fits in a line, and can be read there."""
    data = data.replace(TERMINATOR, b"")
    with suppress(LineError):
        command = envelope_tma2020.read_command(data)
        passed_on = command.rewritten(2**31 - 1, 100)
        assert len(passed_on) <= MAX_LINE_LENGTH
        received = envelope_tma2020.read_command(passed_on)
        assert (received.sequence_id, received.code, received.source) == (2**31 - 1, command.code, 100)
    refused = envelope_tma2020.read_to_refuse(data)
    if refused is not None:
        assert max(map(abs, (refused.sequence_id, refused.code, refused.source))) < 2**63
    with suppress(LineError):
        envelope_tma2020.read_wanted(data)
    with suppress(LineError):
        answer = envelope_tma2020.read_reply(data)
        if isinstance(answer, envelope_tma2020.ReplyEnvelope):
            assert answer.timeout >= 0
            check_str(read_explanation(answer.rest))
            read_reply_header(answer.rewritten(1, 1))


class Lines:
    """What a `LineReader` reports to; it keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def reader_connected(self, reader: Any) -> None:
        """As in `ILineReaderOwner`."""

    def lines_received(self, lines: list[bytes]) -> None:
        """As in `ILineReaderOwner`."""
        self.lines += lines

    def reader_lost(self, reader: Any, reason: Failure) -> None:
        """As in `ILineReaderOwner`."""


def stream(data: bytes) -> None:
    """A stream in chunks, whose size the first byte says: the same lines as in one piece."""
    size, data = data[:1], data[1:]
    taken = []
    for step in (len(data) or 1, size[0] % 7 + 1 if size else 1):
        owner = Lines()
        reader: Any = LineReader(cast(Any, owner), TERMINATOR, 40)
        reader.makeConnection(StringTransport())
        for at in range(0, len(data), step):
            reader.dataReceived(data[at : at + step])
        taken.append(owner.lines)
    assert taken[0] == taken[1]
    assert all(len(each) <= 40 for each in taken[0])


def body(data: bytes) -> None:
    """The body of a request for a command of either dialect: it can be told in JSON, and is then the same."""
    with suppress(RequestError):
        value = parse_json(data)
        for dialect in DIALECTS:
            _body(value, dialect)


def _body(value: object, dialect: Dialect) -> None:
    try:
        command = judge(value, dialect, Source.CSC, 1)
    except RequestError as problem:
        payload(problem.answer())
    else:
        told = {"command": type(command).__name__, "parameters": parameters_of(command, dialect)}
        again = judge(parse_json(payload(Answer(told))), dialect, Source.CSC, 1)
        assert parameters_of(again, dialect) == parameters_of(command, dialect)


def query(data: bytes) -> None:
    """The parameters of a request for messages, and of one for events, before a mount of either dialect."""
    given = dict(parse_qsl(data.decode("latin-1"), keep_blank_values=True))
    for dialect in DIALECTS:
        with suppress(RequestError):
            read_query(given, NOW, dialect)
        with suppress(RequestError):
            call = Call(ANYONE, query=given, headers={"last-event-id": data.decode("latin-1")})
            read_call(call, dialect, None)
    for read in (signal_history.read_query, slews.read_query):
        with suppress(RequestError):
            read(given, NOW)


_FAULTS: list[BaseException] = []


class _Handler(logging.Handler):
    """Keeps what a fault is logged with."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            _FAULTS.append(record.exc_info[1])


def _observe(event: Mapping[str, Any]) -> None:
    if event.get("log_level") is LogLevel.critical and event.get("log_failure") is not None:
        _FAULTS.append(event["log_failure"].value)


async def _command(call: Call) -> Answer:
    return Answer(parameters_of(judge(call.body, DIALECT, call.user.source, 1), DIALECT))


async def _messages(call: Call) -> Answer:
    return Answer({"limit": read_query(call.query, NOW, DIALECT).limit})


_ROUTES = (
    Route("POST", "/api/v1/commands", _command, "command", "Sends a command."),
    Route("GET", "/api/v1/messages", _messages, "observe", "What passed."),
    Route("GET", "/api/v1/commands/{id}", _messages, None, "One command."),
)
_LOG = logging.getLogger("mtmount_twisted.fuzz")
_LOG.propagate = False
_LOG.addHandler(_Handler())


globalLogPublisher.addObserver(cast(Any, _observe))


def http(data: bytes) -> None:
    """What comes on a connection to the web, in chunks whose size the first byte says: no handler fails."""
    clock = Clock()
    site = make_site(_ROUTES, Guard(HostPolicy(), None, ANYONE), _LOG, clock, WebSettings())
    connection = site.buildProtocol(ADDRESS)
    connection.makeConnection(StringTransport(hostAddress=ADDRESS, peerAddress=ADDRESS))
    _FAULTS.clear()  # an error that another test logged is not of this input
    step, data = (data[0] + 1 if data else 1), data[1:]
    for at in range(0, len(data), step):
        clock.advance(0)  # what came before is answered, one request in a turn; what comes last, perhaps not
        connection.dataReceived(data[at : at + step])
    connection.connectionLost(Failure(ConnectionDone()))
    clock.advance(0)
    assert not site.connections and not clock.getDelayedCalls()
    if _FAULTS:
        fault = _FAULTS[0]
        _FAULTS.clear()
        raise fault


def config(data: bytes) -> None:
    """The bridge's configuration: one that was read is right as it is, too."""
    with suppress(ConfigError):
        read = load(data.decode("utf-8", "replace"))
        assert check(read) == read


def token_file(data: bytes) -> None:
    """The file of the web's tokens."""
    with suppress(ConfigError):
        tokens.load(data)


def command(data: bytes) -> None:
    """A command of tma2022: what is read is written the same, and the mount reads what the bridge passes on.

    A client reads all of it and the bridge the header, which must be the same.
    """
    data = data.replace(TERMINATOR, b"")
    whole = header = passed_on = None
    with suppress(LineError):
        whole = tma2022.decode_command(data)
        wire = whole.encode()
        assert tma2022.decode_command(wire.removesuffix(TERMINATOR)).encode() == wire
    with suppress(LineError):
        header = relay.read_command(data)
        passed_on = header.rewritten(2**31 - 1, 100)
        assert passed_on == b"2147483647\n%b\n100\n%b" % (header.code_text, header.rest)
        assert header.code_text + b"\n" in data and data.endswith(header.rest)
        assert len(passed_on) <= MAX_LINE_LENGTH
        assert envelope.read_command_header(data) == (header.sequence_id, header.code, header.source)
        received = relay.read_command(passed_on)
        assert (received.sequence_id, received.code, received.source) == (2**31 - 1, header.code, 100)
        assert received.rest == header.rest
    numbers = (0, 0, 0) if whole is None else (whole.sequence_id, whole.command_code, whole.source)
    # It refuses a code in more than 20 characters, and white space beyond ASCII around a line.
    may_refuse = _is_large(*numbers) or not data.isascii() or max(map(len, data.split(b"\n"))) > 20
    if whole is not None and not (header is None and may_refuse):
        assert header is not None and passed_on is not None
        assert (header.sequence_id, header.code, header.source) == numbers
        again = tma2022.decode_command(passed_on)
        assert again.str_fields()[3:] == whole.str_fields()[3:]
        wanted = getattr(whole, "commander", tma2022.enums.Source.PXI)
        if wanted is not tma2022.enums.Source.PXI:  # the bridge gives command to commanders only
            assert relay.read_wanted(data) == relay.read_wanted(passed_on) == wanted
    refused = relay.read_to_refuse(data)
    assert header is None or refused is not None
    if refused is not None:
        assert max(map(abs, (refused.sequence_id, refused.code, refused.source))) < 2**63
    with suppress(LineError):
        relay.read_wanted(data)


def _is_large(*numbers: int) -> bool:
    """Return True if one of these needs more than 64 bits."""
    return max(map(abs, numbers)) >= 2**63


_NUMBERS = 4444444444, 5555555555, 6666666666, 7777777777
"""Numbers for the header of a reply that hardly another line has."""


def _rewritten_there(line: bytes, written: bytes) -> bool:
    """Return True if lines differ only where one has `_NUMBERS`, and the other one value each."""
    places = re.split(b"|".join(b"%d" % number for number in _NUMBERS), written)
    value = rb"(?:\"(?:[^\"\\]|\\.)*\"|[-+.\w]+)"  # of any type where a name is repeated
    return re.fullmatch(value.join(map(re.escape, places)), line) is not None


def reply(data: bytes) -> None:
    """A reply of tma2022: what is read is written the same, and the bridge rewrites the header alone.

    A client reads all of it and the bridge the header, which must be the same.
    """
    masked = envelope.mask_password(data)
    assert envelope.mask_password(masked) == masked
    whole = answer = None
    with suppress(LineError):
        whole = tma2022.decode_reply(data)
        wire = whole.encode()
        assert tma2022.decode_reply(wire.removesuffix(TERMINATOR)).encode() == wire
    with suppress(LineError):
        header = envelope.read_reply_header(data)
        written = envelope.read_reply_header(envelope.rewrite_reply(data, sequence_id=7, commander=2))
        assert header.sequence_id is None or written.sequence_id == 7
        assert header.commander is None or written.commander == 2
        assert (written.id, written[3:]) == (header.id, header[3:])
    with suppress(LineError):
        answer = relay.read_reply(data)
    outcome = None if whole is None else outcome_of(whole)
    if isinstance(answer, EventEnvelope):
        assert whole is not None and (outcome, whole.id) == (None, answer.code)
        assert envelope.mask_password(answer.line) == answer.line
        relay.subject_of(answer)
        assert relay.commander_in(answer) == tma2022.replies.actual_commander(whole)
    elif answer is not None:
        assert whole is not None
        _answer(answer, whole, outcome)
    elif isinstance(whole, tma2022.replies.Answer):  # the bridge drops only one that no command can have
        names = "sequence_id", "superseding_sequence_id", "superseding_command_code"
        assert _is_large(*(getattr(whole, name, 0) for name in names)) or envelope.is_intricate(data)


def _answer(answer: ReplyEnvelope, whole: tma2022.replies.Reply, outcome: Outcome | None) -> None:
    if outcome is not None:
        assert (answer.meaning, answer.sequence_id) == (outcome.meaning, outcome.sequence_id)
        if isinstance(whole, tma2022.replies.CmdAcknowledgedReply):
            assert answer.timeout == outcome.timeout
    assert answer.timeout is None or answer.timeout >= 0
    sequence_id, commander, *by = _NUMBERS
    line = answer.superseded_by(*by).rewritten(sequence_id, commander)
    received = relay.read_reply(line)
    assert isinstance(received, ReplyEnvelope)
    assert (received.code, received.sequence_id, received.reason) == (
        answer.code,
        sequence_id,
        answer.reason,
    )
    if not any(b"%d" % number in answer.line for number in _NUMBERS):
        assert _rewritten_there(answer.line, line), (answer.line, line)
    if answer.meaning is not Meaning.SUPERSEDED:
        slowly = envelope.rewrite_reply(answer.line, sequence_id=sequence_id, commander=commander)
        assert line == slowly
    check_str(answer.explanation)
    named = answer.explained(lambda text: text.replace(b"1", b"one"))
    assert relay.read_reply(named.line)


def telemetry(data: bytes) -> None:
    """A telemetry line: what is read is written the same, and has the header that a relay reads."""
    with suppress(LineError):
        topic = tma2022.decode_telemetry(data)
        assert envelope.read_telemetry_header(data) == (topic.topic_id, topic.timestamp)
        wire = topic.encode()
        assert tma2022.decode_telemetry(wire.removesuffix(TERMINATOR)).encode() == wire


def translated(data: bytes) -> None:
    """A line of either side of the translation: what comes out can be read, and fits in a line."""
    with suppress(LineError):
        translation = translate.translate_line(data)
        for command in getattr(translation, "commands", ()):
            wire = command.encode().removesuffix(TERMINATOR)
            assert len(wire) <= MAX_LINE_LENGTH
            assert tma2022.decode_command(wire) == command
    with suppress(LineError):
        for answered in (None, _ANSWERED):
            made = translate.translate_reply(tma2022.decode_reply(data), answered)
            if not isinstance(made, translate.Dropped):
                _received(made.encode().removesuffix(TERMINATOR))
    header = _read_translated(data)
    if header is not None:
        if header.kind.refusal:
            _end(header, DIALECT_2022.refused(header.kind.refusal))
        else:
            tma2022.decode_command(header.rewritten(*_ID_AND_SOURCE))
    with suppress(LineError):
        event = TRANSLATOR.event(data)
        assert (event.line is None) == bool(event.dropped)
        if event.line is not None:
            _received(event.line)
        answer = DIALECT_2022.read_reply(data)
        if isinstance(answer, ReplyEnvelope):
            for text in _CLIENTS_LINES:
                _end(TRANSLATOR.read_command(text), answer)


def _read_translated(line: bytes) -> CommandEnvelope | None:
    """The envelope of a client's line, or as much of it as a refusal needs, as the bridge reads it."""
    try:
        header = TRANSLATOR.read_command(line)
        if header.kind.is_ask:
            TRANSLATOR.read_wanted(line)
        return header
    except LineError as error:
        to_refuse = TRANSLATOR.read_to_refuse(line)
        if to_refuse is not None:
            _end(to_refuse, DIALECT_2022.refused(f"malformed: {error.reason}"[:LONGEST_WHY]))
        return None


def _end(header: CommandEnvelope, answer: AnyReply) -> None:
    """Give an answer to a command and all that follows from it: the client's lines are of one command."""
    then: CommandEnvelope | None = header
    kinds: list[int] = []
    while then is not None:
        lines, then = TRANSLATOR.answered(then, answer)
        for line in lines:
            kinds.append(_received(line))
            read = read_reply_header(line)
            assert (read.sequence_id, read.source) == (header.sequence_id, header.source)
    assert kinds in ([], [0], [1], [2], [0, 2]), kinds


def _received(line: bytes) -> int:
    """Read a line for a client; return its code."""
    assert len(line) + len(TERMINATOR) <= MAX_LINE_LENGTH
    return DIALECT.read_reply(line).code


_ANSWERED = Disable(sequence_id=2**31 - 1, source=Source.HHD)
_ID_AND_SOURCE = 2**31 - 1, Source.CSC
_CLIENTS_LINES = [
    command.encode().removesuffix(TERMINATOR)
    for command in (_ANSWERED, OilSupplySystemPower(on=True), AzimuthAxisTrack(position=1, velocity=0, tai=0))
]
"""A command that becomes one, one that becomes two, and one that gets only an Ack."""


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "line": line,
    "relayed": relayed,
    "stream": stream,
    "body": body,
    "query": query,
    "http": http,
    "config": config,
    "tokens": token_file,
    "command": command,
    "reply": reply,
    "telemetry": telemetry,
    "translated": translated,
}
"""Every target by its name."""
