"""What inputs look like at first: the lines of ``tests/data``, and what the documentation shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_CONTROLLER = (
    b'[controller]\nhost = "192.0.2.10"\ncommand_port = 60005\n\n'
    b'[[pair]]\nname = "csc"\ncommand_port = 30005\n\n'
    b'[[port]]\nname = "hall"\nendpoint = "tcp:30100:interface=127.0.0.1"\nrole = "observer"\n'
)

_QUERIES = (
    b"since=2020-02-27T14:48:27Z&until=2020-02-28T00:00:00Z&peer=csc,web/x&limit=10",
    b"kind=message,step,ACK&command=AzimuthAxisMove,103&outcome=done,noack&before=4.17",
    b"after=4.17&since=1h&kind=change",
    b"last_event_id=12.345&peer=controller",
)

_BODIES = (
    b'{"command": "AzimuthAxisMove", "parameters": {"position": 10, "velocity": 1.5e0}}',
    b'{"command": "AskForCommand", "parameters": {"commander": "EUI"}}',
    b'{"command": "MirrorCoversPower", "parameters": {"drive": -1, "on": true}}',
    b'{"command": "Enable"}',
    b'{"command": "AzimuthMove", "parameters": {"position": 10, "velocity": 1.5e0, "jerk": 0}}',
    b'{"command": "SafetyReset", "parameters": {"what": "0:1"}}',
    b'{"command": "AzimuthDrivesThermalControlMode", "parameters": {"mode": "SET_AUTOTUNE", "drive": 1}}',
    b'{"command": "BothAxesTrack", "parameters": {"azimuth": 1, "elevation": 2, "tai": 1e9, "position": []}}',
)

_TOKENS = (
    b'[[token]]\nname = "night"\nroles = ["observe", "command"]\nsource = "CSC"\n'
    b'secret = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"\n',
    b'[[token]]\nname = "day"\nroles = ["stop"]\nsecret = "short"\n[[token]]\nname = "day"\n',
)


def wires() -> list[bytes]:
    """The lines of the vectors, right ones and wrong ones, with their terminators."""
    found = []
    for name in ("messages.jsonl", "malformed.jsonl"):
        rows = (ROOT / "tests" / "data" / name).read_text(encoding="utf-8").splitlines()
        found += [json.loads(row)["wire"].encode() for row in rows]
    return found


def _lines() -> list[bytes]:
    return [wire.removesuffix(b"\r\n") for wire in wires()]


def _streams() -> list[bytes]:
    found = wires()
    return [bytes([at % 256]) + b"".join(found[at : at + 5]) for at in range(0, len(found), 5)]


def _requests() -> list[bytes]:
    heads = b"POST /api/v1/commands HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    requests = [b"\xff%bContent-Length: %d\r\n\r\n%b" % (heads, len(body), body) for body in _BODIES]
    chunked = b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + _BODIES[3] + b"\r\n0\r\n\r\n"
    requests.append(b"\xff" + heads + chunked)
    requests += [
        b"\x10GET /api/v1/messages?%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % each for each in _QUERIES
    ]
    requests.append(b"\x05GET /api/v1/commands/%37 HTTP/1.0\r\nHost: localhost:8080\r\n\r\n")
    return requests


def _configs() -> list[bytes]:
    """Each section of ``docs/bridge.toml`` with its examples on and no comments, and a whole file."""
    reference = (ROOT / "docs" / "bridge.toml").read_text(encoding="utf-8")
    turned_on = re.sub(r"(?m)^#(?! )", "", reference)
    bare = re.sub(r"(?m)^#.*\n|^\n", "", turned_on)
    sections = re.split(r"(?m)^(?=\[)", bare)
    return [section.encode() for section in sections if section] + [_CONTROLLER]


def _lines_tma2022(*names: str, json_lines: bool = True) -> list[bytes]:
    """The lines of the vectors of tma2022; short ones, since an input has 2048 bytes at most."""
    found = []
    for name in names:
        rows = (ROOT / "tests" / "data" / "tma2022" / name).read_text(encoding="utf-8").splitlines()
        found += [json.loads(row).get("wire", "").encode().removesuffix(b"\r\n") for row in rows]
    return [line for line in found if line.startswith(b"{") is json_lines and 0 < len(line) < 2048]


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "line": _lines,
    "relayed": _lines,
    "stream": _streams,
    "body": lambda: list(_BODIES),
    "query": lambda: list(_QUERIES),
    "http": _requests,
    "config": _configs,
    "tokens": lambda: list(_TOKENS),
    "command": lambda: _lines_tma2022("messages.jsonl", "malformed.jsonl", json_lines=False),
    "reply": lambda: _lines_tma2022("messages.jsonl", "malformed.jsonl"),
    "telemetry": lambda: _lines_tma2022("telemetry.jsonl"),
    "translated": lambda: [*filter(None, _lines()), *_lines_tma2022("messages.jsonl", "malformed.jsonl")],
}


def seeds(name: str) -> list[bytes]:
    """The first inputs of a target."""
    return _SEEDS[name]()


def words(name: str) -> list[bytes]:
    """What inputs of a target are made of: words and signs of its seeds, and what is hard to read."""
    found = {word for seed in seeds(name) for word in _WORD.findall(seed)}
    return sorted(found)[:MOST_WORDS] + [
        b"1e999",
        b"-0.0",
        b"9" * 30,
        b"9" * 400,
        b"NaN",
        b"\xd9\xa1",
        b"\r\n",
        b"\r",
    ]


_WORD = re.compile(rb'"[^"\n]{1,40}"|[A-Za-z_][A-Za-z_-]+|[-0-9:.T]{4,}|[][{}=,&%]')

MOST_WORDS = 400
"""How many words of the seeds are given to a target."""
