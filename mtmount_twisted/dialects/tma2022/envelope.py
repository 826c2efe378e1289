"""Headers of lines, for a relay: this module reads and rewrites them, and leaves all other bytes of a line
unchanged. `mask_password` hides the password in the settings event.

All other bytes of a line stay unchanged. `mask_password` hides the password in the settings event.

Values only: no Twisted, no I/O. Next to read: `relay`, which uses the headers; `json_lines`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from mtmount_twisted.dialects.dialect import Meaning, TelemetryHeader
from mtmount_twisted.errors import LineError
from mtmount_twisted.wire.lines import SHOWN_BYTES

from . import json_lines
from .commands import NUM_HEADER_FIELDS
from .enums import ReplyId
from .replies import classify


class CommandHeader(NamedTuple):
    """Header of a command, as a relay needs it."""

    sequence_id: int
    code: int
    source: int


class ReplyHeader(NamedTuple):
    """Header of a reply, as a relay needs it. A parameter that the reply does not have is None."""

    id: int
    sequence_id: int | None
    commander: int | None
    superseding_sequence_id: int | None
    superseding_commander: int | None

    @property
    def classification(self) -> Meaning:
        """Meaning of the reply for the command that it answers."""
        return classify(self.id)


def read_command_header(line: bytes) -> CommandHeader:
    """Return the header of a command; its code and its parameters may be unknown.

    :raises LineError: if the line has no such header.
    """
    json_lines.require_utf8(line)
    fields = line.decode().strip().split("\n", NUM_HEADER_FIELDS - 1)
    if len(fields) < NUM_HEADER_FIELDS:
        raise LineError(line, f"a command has at least {NUM_HEADER_FIELDS} fields, not {len(fields)}")
    names = ("sequence_id", "command_code", "source")
    return CommandHeader(*(_int(line, name, text) for name, text in zip(names, fields)))


def _int(line: bytes, field: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise LineError(line, f"{field}: expected an integer, got {text[:100]!r}", field) from None
    if json_lines.too_large(number):
        raise LineError(line, f"{field}: expected an integer of 64 bits, got {text[:100]!r}", field)
    return number


class _Parameters(Struct, rename="camel"):
    sequence_id: json_lines.WHOLE | None = None
    commander: json_lines.WHOLE | None = None
    superseding_sequence_id: json_lines.WHOLE | None = None
    superseding_commander: json_lines.WHOLE | None = None


class _Reply(Struct):
    id: json_lines.WHOLE
    timestamp: float
    parameters: _Parameters


class _Topic(Struct, rename={"topic_id": "topicID"}):
    topic_id: json_lines.WHOLE
    timestamp: float


_read_reply = msgspec.json.Decoder(_Reply).decode
_read_topic = msgspec.json.Decoder(_Topic).decode


def read_reply_header(line: bytes) -> ReplyHeader:
    """Return the header of a reply; its id and its other parameters may be unknown.

    :raises LineError: if the line is not a reply, or if a number of the header is not an integer.
    """
    try:
        reply = _read_reply(line)
    except (ValueError, RecursionError):
        return _rare_reply_header(line)
    if not line.isascii():
        json_lines.require_utf8(line)
    known = reply.parameters
    return ReplyHeader(
        reply.id,
        known.sequence_id,
        known.commander,
        known.superseding_sequence_id,
        known.superseding_commander,
    )


def _rare_reply_header(line: bytes) -> ReplyHeader:
    """Read the header of a reply that `msgspec` rejects because of NaN or 3.0."""
    content = json_lines.load(line)
    reply_id: int = json_lines.member(line, content, "id", int, "an integer")
    json_lines.member(line, content, "timestamp", float, "a finite number")
    parameters: dict[str, Any] = json_lines.member(line, content, "parameters", dict, "an object")
    if reply_id != ReplyId.CMD_SUPERSEDED:  # elsewhere the last two are unknown, and may be anything
        known = {name: parameters[name] for name in _NAMES if name in parameters}
        parameters = {name: each for name, each in known.items() if name in _NAMES[:2] or _fits(each)}
    return ReplyHeader(reply_id, *(_parameter(line, parameters, name) for name in _NAMES))


def _parameter(line: bytes, parameters: dict[str, Any], name: str) -> int | None:
    if parameters.get(name) is None:
        return None
    number: int = json_lines.member(line, parameters, name, int, "an integer")
    return number


def _fits(value: Any) -> bool:
    number = json_lines.integer(value)
    return type(number) is int and not json_lines.too_large(number)


def read_telemetry_header(line: bytes) -> TelemetryHeader:
    """Return the header of a telemetry line: the number of its topic, and its time of sending.

    :raises LineError: if the line is not telemetry.
    """
    try:
        topic = _read_topic(line)
    except (ValueError, RecursionError):
        content = json_lines.load(line)
        topic_id: int = json_lines.member(line, content, "topicID", int, "an integer")
        return TelemetryHeader(
            topic_id, json_lines.member(line, content, "timestamp", float, "a finite number")
        )
    if not line.isascii():
        json_lines.require_utf8(line)
    return TelemetryHeader(topic.topic_id, topic.timestamp)


_NAMES = ("sequenceId", "commander", "supersedingSequenceId", "supersedingCommander")
_KEY = re.compile(rb'"(%b)"[ \t\r\n]*:[ \t\r\n]*([^,}\] \t\r\n"]+)' % "|".join(_NAMES).encode())
_PARAMETERS = re.compile(rb'"parameters"[ \t\r\n]*:')
# Possessive quantifiers, so that a broken string costs time linear in its length.
_STRING = rb'"(?:[^"\\]++|\\.)*+'
_TOKEN = re.compile(_STRING + rb'(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_BROKEN_OFF = re.compile(_STRING + rb"\\?", re.DOTALL)
_SIGNS = (b"{", b"}", b"[", b"]", b",", b":")


MOST_TOKENS = 2000
"""The largest number of names, values and signs in a long line with a reply whose header is rewritten.
Replies of a real mount have at most 28."""


def is_intricate(line: bytes) -> bool:
    """Return True for a long line with more than `MOST_TOKENS`, too many to find the header among them."""
    return len(line) > SHOWN_BYTES and any(True for _ in islice(_TOKEN.finditer(line), MOST_TOKENS, None))


def rewrite_reply(
    line: bytes,
    *,
    sequence_id: int | None = None,
    commander: int | None = None,
    superseding_sequence_id: int | None = None,
    superseding_commander: int | None = None,
) -> bytes:
    """Return a reply's line with other numbers in the parameters of its header.

    A parameter that is None, or that the reply does not have, stays unchanged. So do all other bytes.

    :param line: a line that `read_reply_header` accepts. The time grows with the number of its tokens: see
        `is_intricate`.
    """
    numbers = (sequence_id, commander, superseding_sequence_id, superseding_commander)
    wanted = {name.encode(): b"%d" % number for name, number in zip(_NAMES, numbers) if number is not None}
    pieces, end = [], 0
    for name, start, stop in _spans(line):
        if name in wanted:
            pieces += [line[end:start], wanted[name]]
            end = stop
    return b"".join([*pieces, line[end:]])


def span_of(line: bytes, name: str) -> tuple[int, int] | None:
    """Return the position of the value of one parameter of a reply; None if the reply does not have it.

    The value must be a number, a text, or one of the constants of JSON.
    """
    found = None
    for _, *span in _scanned_spans(line, (name,)):
        found = span[0], span[1]
    return found


def _spans(line: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name and the position of the value of each parameter of the header."""
    # A line without escapes, and with no braces but those of the reply and its parameters, is simple: each
    # name behind "parameters" and before the first closing brace is a parameter.
    if b"\\" not in line and line.count(b"{") == 2 and line.count(b"}") == 2:
        begin = _PARAMETERS.search(line)
        for found in _KEY.finditer(line, begin.end() if begin else len(line), line.index(b"}") + 1):
            yield found[1], *found.span(2)
    else:
        yield from _scanned_spans(line, _NAMES)


def _scanned_spans(line: bytes, names: Sequence[str]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the names and positions like `_spans`, for any line and for other names, token by token."""
    path: list[str | None] = []
    key, previous = "", b""
    for token in _TOKEN.finditer(line):
        text = token[0]
        if text in (b"{", b"["):
            path.append(key if text == b"{" else None)
        elif text in (b"}", b"]"):
            if path:
                path.pop()
        elif text == b":":
            key = str(json.loads(previous))
        elif previous == b":" and path == ["", "parameters"] and key in names:
            yield key.encode(), *token.span()
        previous = text


MOST_MASKED = 1000
"""The largest number of names of passwords, and of words and signs in their values, that `mask_password`
looks at in a line. Each character after them becomes a ``*``, so that no line takes long and no password
passes. The settings event of a real mount has a few."""

# The words that mark the name of a password. The pattern begins with sets of letters, which `re` finds
# quickly.
_WORD = re.compile(
    rb"""(?x) [Pp] (?: (?i:assw|assphrase|asscode|wd) | (?: (?<=P) | (?<![^"_\s{}\[\],:]p) ) ass(?![a-z]) )
       | [Ss] (?i:ecret) | [Cc] (?i:ontrase)"""
)
_WHOLE_TEXTS = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_REST_OF_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+(?:"\s*+(:)?|\\?\Z)', re.DOTALL)
_REST_WITHOUT_QUOTES = re.compile(rb'[^\s{}\[\],:"]*+\s*+(:)?')
_ESCAPED_LETTER = re.compile(rb"\\u00(?i:[46][1-9a-f]|[57][0-9a]|5f)")
_KEPT = (b"true", b"false", b"null")


def mask_password(line: bytes) -> bytes:
    """Return a line with a ``*`` for each character of each password in it.

    The settings event, 40, contains the password of the motion controller in clear ("STATE_INFO and
    settings"). In any reply, a value is a password if its name contains such a word. The function also masks
    a line that is cut off, because rejected lines are logged. A number becomes a text of ``*``, one for each
    digit. If a line spells a letter as an escape and has a password, it is written anew; if it is malformed,
    all of it becomes ``*``. No known mount sends such a line.

    Its time is linear in the length of the line: regular expressions look for the names, and Python code
    runs only for each name and value, up to `MOST_MASKED`.
    """
    if not _may_hold_password(line):
        return line
    if _ESCAPED_LETTER.search(line) is None:
        return _mask(line)
    plain = _with_letters(line)
    if plain is None:
        return b"*" * len(line)
    masked = _mask(plain)
    return line if masked == plain else masked


def _may_hold_password(line: bytes) -> bool:
    """Return False for nearly every line, in half the time of a regular expression."""
    low = line.lower()
    return b"pass" in low or b"pwd" in low or b"secret" in low or b"contrase" in low or b"\\u00" in low


def _with_letters(line: bytes) -> bytes | None:
    """Return the same JSON with each letter written as itself; None if it is no JSON."""
    with suppress(ValueError, RecursionError):
        return msgspec.json.encode(msgspec.json.decode(line))
    with suppress(ValueError, RecursionError):  # NaN
        return json.dumps(json.loads(line)).encode()
    return None


def _mask(line: bytes) -> bytes:
    pieces: list[bytes] = []
    at = position = seen = 0  # seen: names, words and signs
    while seen < MOST_MASKED and (word := _WORD.search(line, position)):
        seen += 1
        before = _WHOLE_TEXTS.match(line, position, word.start())
        is_in_text = before is not None and before.end() < word.start()
        rest = (_REST_OF_TEXT if is_in_text else _REST_WITHOUT_QUOTES).match(line, word.end())
        position = word.end() if rest is None else rest.end()
        if rest is None or rest[1] is None:
            continue  # the word is in no name
        depth = 0
        for token in islice(_TOKEN.finditer(line, position), MOST_MASKED - seen):
            text = token[0]
            depth += (text in (b"{", b"[")) - (text in (b"}", b"]"))
            if depth < 0 or (depth == 0 and text == b","):
                break
            seen += 1
            if text not in _SIGNS:
                pieces += [line[at : token.start()], _masked(text)]
                at = token.end()
            position = token.end()
    if seen >= MOST_MASKED:
        return b"".join([*pieces, line[at:position], b"*" * (len(line) - position)])
    return b"".join([*pieces, line[at:]]) if pieces else line


def _text(token: bytes) -> str:
    """Return the text of a JSON string; the bytes as text if it is malformed."""
    try:
        return str(json.loads(token)) if token[:1] == b'"' else token.decode("ascii", "replace")
    except ValueError:
        return token.strip(b'"').decode("ascii", "replace")


def _masked(token: bytes) -> bytes:
    if token in _KEPT:
        return token
    ends = b"" if _BROKEN_OFF.fullmatch(token) else b'"'
    return b'"%b%b' % (b"*" * len(_text(token)), ends)
