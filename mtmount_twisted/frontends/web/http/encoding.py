"""The form of an answer's body: plain, in gzip, or empty because the client already has it (304).

This module is pure, and handles complete answers only. A stream of events is never compressed, because a
compressor holds back bytes until more arrive. No answer contains a secret, so the length of compressed data
reveals none (BREACH; see ``docs/explanation/security.rst``). Next to read: `routing`, which sends the result
of `negotiated`.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from .calls import Answer

LEAST = 1024
"""The shortest body that is compressed, in bytes: a shorter one fits in one packet."""

AT_ONCE = 262_144
"""The longest body that is compressed when it is sent, in bytes: at most 2 ms in the reactor's thread. The
maker of a longer body may compress it (`Answer.gzipped`), in a thread or once for all requests."""

FASTEST, SMALLEST = 1, 9
"""Levels of compression."""

_DELETE = b"\x7f"
"""The one control character that `msgspec` does not escape."""

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", re.ASCII)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def as_json(value: object) -> bytes:
    """Return an answer, or another value, encoded in JSON as one line of printable ASCII.

    NaN and the infinities become ``null``, because JSON does not have them.

    :raises TypeError: for an object that JSON can't represent.
    """
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a path with bytes that are not UTF-8: Python represents them by surrogates
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()
    if data.isascii() and _DELETE not in data:
        return data
    # `json` escapes all characters in one call: a call for each one would hold the reactor for 20 ms.
    return json.dumps(msgspec.json.decode(data), separators=(",", ":")).encode()


def as_body(value: object) -> bytes:
    """Return an answer as a whole body, with a newline at the end for a shell that prints it."""
    return as_json(value) + b"\n"


def gzip(data: bytes, level: int = FASTEST) -> bytes:
    """Compress bytes. Equal bytes give equal results."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def takes_gzip(accepted: str) -> bool:
    """Return True if the client accepts gzip and prefers it to a plain body.

    :param accepted: the value of ``Accept-Encoding`` (RFC 9110, 12.5.3); empty if there is none.
    """
    liking: dict[str, float] = {}
    for each in accepted.lower().split(","):
        coding, _, parameter = each.partition(";")
        name, _, quality = parameter.partition("=")
        wanted = 1.0
        if parameter:
            is_quality = name.strip() == "q" and _QUALITY.fullmatch(quality.strip())
            wanted = float(quality) if is_quality else 0.0
        liking[coding.strip()] = wanted
    gzipped = liking.get("gzip", liking.get("x-gzip", liking.get("*", 0.0)))
    return gzipped > 0 and gzipped >= liking.get("identity", 0.0)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer in the form in which it is sent."""

    body: bytes
    status: int
    headers: Mapping[str, str]


def payload(answer: Answer) -> bytes:
    """Return an answer's body in plain form."""
    if isinstance(answer.body, bytes):
        return answer.body
    return b"" if answer.body is None else as_body(answer.body)


def negotiated(answer: Answer, accepted: str, if_none_match: str) -> Encoded:
    """Return the form of an answer for a client: plain, in gzip, or 304 if the client already has it.

    :param accepted: the value of ``Accept-Encoding``; empty if there is none.
    :param if_none_match: the value of ``If-None-Match``; empty if there is none.
    """
    body = payload(answer)
    headers = dict(answer.headers)
    if answer.body is not None and not isinstance(answer.body, bytes):
        headers.setdefault("Content-Type", "application/json")
    if answer.gzipped is None and headers.get("Content-Type") != "application/json":
        return Encoded(body, answer.status, headers)
    headers["Vary"] = "Accept-Encoding"
    if takes_gzip(accepted):
        gzipped = answer.gzipped
        if gzipped is None and LEAST <= len(body) <= AT_ONCE:
            gzipped = gzip(body)
        if gzipped is not None and len(gzipped) < len(body):
            body, headers["Content-Encoding"] = gzipped, "gzip"
            if "ETag" in headers:  # RFC 9110, 8.8.3.3: two forms have two tags
                headers["ETag"] = headers["ETag"][:-1] + '-gzip"'
    if "ETag" in headers and _has(headers["ETag"], if_none_match):
        kept = {name: value for name, value in headers.items() if not name.startswith("Content-")}
        return Encoded(b"", 304, kept)
    return Encoded(body, answer.status, headers)


def _has(tag: str, if_none_match: str) -> bool:
    """Return True if the client has the form with this tag. A proxy may have made the tag a weak one."""
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
