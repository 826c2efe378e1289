"""What the bridge and its model in `tests.bridge.test_model` are played with: settings, clients and lines.

`TMA2020` and `TMA2022` have the codes and lines of a dialect; a rule names a command by a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtmount_twisted.config.settings import CommandRules
from mtmount_twisted.dialects.dialect import Dialect, Meaning
from mtmount_twisted.dialects.tma2020.dialect import DIALECT as DIALECT_2020
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as DIALECT_2022
from mtmount_twisted.enums import Source

from .commanders import STAMP, told

if TYPE_CHECKING:
    from .translated_stage import Whole

ACK, NOACK, DONE = Meaning.ACKNOWLEDGED, Meaning.REJECTED, Meaning.SUCCEEDED
FAILED, SUPERSEDED = Meaning.FAILED, Meaning.SUPERSEDED

PATIENCE = 100
LIMIT, GRACE, SWEEP, UNKNOWN_TIMEOUT = 3, 4.125, 0.25, 12.0
BEAT, SILENCE, COUNTED_EVERY = 1.0, 5.0, 60.0

OBSERVERS = ("watch", "glass")
SOURCES = {
    "csc": Source.CSC,
    "csc2": Source.CSC,
    "eui": Source.EUI,
    "hhd": Source.HHD,
    "watch": Source.EUI,
    "glass": Source.HHD,
}
COMMANDERS = [name for name in SOURCES if name not in OBSERVERS]
WORDS = ["move", "move", "track", "azimuth track", "unknown", "no class"]
WORDS += ["stop", "azimuth stop", "covers stop"]
"""Commands, but for those that a dialect has rules of its own for."""

Answer = tuple[object, ...]
"""A line to a client: its meaning, the commander's id and source, and a text; or ``event`` and the line; or
``commander`` and the number of the source that has command."""

Event = tuple[object, bytes, bool]
"""The part of the mount that an event is about, or None; its line; and whether it lasts."""

SETTINGS = "settings"
"""The part of the mount that is kept apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """A dialect as the model sees it.

    :ivar codes: the code of each word.
    :ivar stops: the codes that stop something.
    :ivar all_stops: those of the bridge's own stops, in their order.
    :ivar ack_only: the codes that only get an Ack.
    :ivar ack_times: the time to the Ack for some codes (s).
    :ivar questions: the codes that only ask for something, each with the word for it.
    :ivar changes: the codes after which an answer about the settings holds no longer.
    :ivar timeouts: what an Ack may announce, and the time in seconds; None if it is not known.
    :ivar own_timeout: what the bridge's own Ack announces.
    :ivar wait_timeout: what it announces to a question that waits.
    :ivar counts_repeats: True if the journal counts the events that changed nothing.
    :ivar reply: return a reply with a meaning, an id, and its field.
    :ivar read: return a line to a client; see `Answer`.
    """

    dialect: Dialect
    stamp: bytes
    codes: Mapping[str, int]
    stops: frozenset[int]
    all_stops: Sequence[int]
    ack_only: frozenset[int]
    ack_time: float
    ack_times: Mapping[int, float]
    done_margin: float
    questions: Mapping[int, str]
    changes: frozenset[int]
    timeouts: Sequence[tuple[bytes, float | None]]
    own_timeout: str
    wait_timeout: str
    events: Sequence[Event]
    garbage: Sequence[bytes]
    ack_timeout: float | None
    counts_repeats: bool
    reply: Callable[[Meaning, int, bytes], bytes]
    read: Callable[[bytes], Answer]

    @property
    def ask(self) -> int:
        """The code of an ask for command."""
        return self.codes["ask"]

    @property
    def heartbeat(self) -> int | None:
        """The code of a heartbeat; None in a dialect without, which has no events that name the commander."""
        return self.codes.get("heartbeat")

    def own(
        self,
        code: int,
        rest: bytes | None = None,
        then: Callable[[Meaning | None, str], None] | None = None,
        urgent: bool = False,
    ) -> Cmd:
        """Return a command of the bridge's own."""
        return Cmd("", 0, 0, 0, code, rest, then=then, urgent=urgent, stops=code in self.stops)

    def ack_time_of(self, code: int) -> float:
        """Return the time to the Ack of a command (s)."""
        return self.ack_times.get(code, self.ack_time)

    def site_rules(self, anyone_may_stop: bool, stops_on_loss: bool) -> CommandRules:
        """Return the settings of the bridge."""
        return CommandRules(
            in_flight=LIMIT,
            lease_grace=GRACE,
            on_loss="stop" if stops_on_loss else "release",
            anyone_may_stop=anyone_may_stop,
            ack_timeout=self.ack_timeout,
            done_margin=self.done_margin,
            unknown_timeout=UNKNOWN_TIMEOUT,
        )


_CODES = {"unknown": 9999, "no class": 104, "azimuth track": 105}
_CODES |= {"stop": 32, "azimuth stop": 102, "covers stop": 902}
_STOPS = {"stops": frozenset((32, 102, 902, 1002, 1502)), "all_stops": (32, 1002, 902, 1502)}
_MEANINGS_2020 = {b"0": ACK, b"1": NOACK, b"2": DONE}


def _reply_2020(meaning: Meaning, key: int, text: bytes) -> bytes:
    code = next(code for code, each in _MEANINGS_2020.items() if each is meaning)
    line = b"%b\n%d\n88\n%b" % (code, key, STAMP)
    return line if meaning is DONE else line + b"\n" + text


def read_2020(line: bytes) -> Answer:
    """Return a line to a client that speaks tma2020."""
    meaning = _MEANINGS_2020.get(line.split(b"\n")[0])
    return ("event", line) if meaning is None else (meaning, *told(line)[1:])


TMA2020 = Stage(
    dialect=DIALECT_2020,
    stamp=STAMP,
    codes={**_CODES, "ask": 2101, "move": 30, "track": 31},
    **_STOPS,
    ack_only=frozenset((31, 105)),
    ack_timeout=5.0,
    ack_time=5.0,
    ack_times={},
    done_margin=2.0,
    questions={},
    changes=frozenset(),
    timeouts=[(b"0", 0), (b"3000", 3), (b"20000", 20), (b"", 0), (b"x", 0)],
    own_timeout="1000",
    wait_timeout="12000",
    counts_repeats=False,
    events=[
        ("state", b"5\n" + STAMP + b"\nA", True),
        ("state", b"5\n" + STAMP + b"\nB", True),
        ("az", b"6\n" + STAMP + b"\n0\n1", True),
        ("az", b"6\n" + STAMP + b"\n0\n0", True),
        ("el", b"6\n" + STAMP + b"\n1\n0", True),
        ("w1", b"4\n1\n901\n900. a\n" + STAMP, True),
        ("w1", b"4\n0\n901\n900. a\n" + STAMP, False),
        ("w2", b"4\n1\n902\n900. a\n" + STAMP + b"\nextra", True),
        ("e1", b"3\n1\n1\n901\n900. a\n" + STAMP, True),
        ("e1", b"3\n1\n0\n901\n900. a\n" + STAMP, True),
        ("e1", b"3\n0\n0\n901\n900. a\n" + STAMP, False),
        (None, b"42\nwho knows", False),
    ],
    garbage=[b"", b"x", b"0\n1", b"1\nx\n1\nt\nwhy", b"\xff\xfe"],
    reply=_reply_2020,
    read=read_2020,
)


def _json(reply_id: int, parameters: bytes) -> bytes:
    return b'{"id":%d,"timestamp":1758006630.5,"parameters":{%b}}' % (reply_id, parameters)


def _alarm(reply_id: int, code: int, parameters: bytes) -> bytes:
    start = b'"name":"n","subsystemId":900,"subsystemInstance":"a","code":%d,"description":"d",' % code
    return _json(reply_id, start + parameters)


_MEANINGS_2022 = {1: ACK, 2: NOACK, 3: DONE, 4: FAILED, 5: SUPERSEDED}
_FIELDS_2022 = {ACK: b',"timeout":%b', NOACK: b',"explanation":"%b"', FAILED: b',"explanation":"%b"'}
BY_2022 = ("supersedingSequenceId", "supersedingCommander", "supersedingCommandCode")
"""The fields of a superseded command; all other fields of a reply are one."""


def _reply_2022(meaning: Meaning, key: int, text: bytes) -> bytes:
    reply_id = next(reply_id for reply_id, each in _MEANINGS_2022.items() if each is meaning)
    field = b""
    if meaning is SUPERSEDED:
        field = b"".join(b',"%b":%b' % (name.encode(), each) for name, each in zip(BY_2022, text.split()))
    elif meaning in _FIELDS_2022:
        field = _FIELDS_2022[meaning] % text
    return _json(reply_id, b'"commander":88,"sequenceId":%d%b' % (key, field))


def _read_2022(line: bytes) -> Answer:
    content = json.loads(line)
    meaning, said = _MEANINGS_2022.get(content["id"]), content["parameters"]
    if content["id"] == 20:
        return ("commander", said["actualCommander"])
    if meaning is None:
        return ("event", line)
    number, source = said.pop("sequenceId"), said.pop("commander")
    if meaning is ACK:
        return (meaning, number, source, json.dumps(said["timeout"]))
    return (meaning, number, source, " ".join(map(str, said.values())))


TMA2022 = Stage(
    dialect=DIALECT_2022,
    stamp=b"1758006630.5",
    codes={
        **_CODES,
        "ask": 2103,
        "move": 33,
        "track": 35,
        "heartbeat": 3000,
        "state": 2502,
        "settings": 2402,
        "change settings": 2403,
        "reset": 37,
    },
    **_STOPS,
    ack_only=frozenset((35, 105)),
    ack_timeout=None,
    ack_time=10.0,
    ack_times={35: 1.0, 105: 1.0, 37: 60.0, 2502: 70.0},
    done_margin=5.0,
    questions={2502: "state", 2402: SETTINGS},
    changes=frozenset((2403,)),
    timeouts=[(b"0.0", 0), (b"3", 3), (b"20.0", 20), (b"-1", None), (b"null", None)],
    own_timeout="1.0",
    wait_timeout="12.0",
    counts_repeats=True,
    events=[
        ("state", _json(50, b'"state":"A"'), True),
        ("state", _json(50, b'"state":"B"'), True),
        ("az", _json(200, b'"axis":0,"inPosition":true'), True),
        ("az", _json(200, b'"inPosition":0,"axis":0'), True),
        ("el", _json(200, b'"axis":1,"inPosition":false'), True),
        ("w1", _alarm(10, 901, b'"active":true'), True),
        ("w1", _alarm(10, 901, b'"active":false'), False),
        ("w2", _alarm(10, 902, b'"active":1'), True),
        ("e1", _alarm(11, 901, b'"active":true,"latched":true'), True),
        ("e1", _alarm(11, 901, b'"active":false,"latched":true'), True),
        ("e1", _alarm(11, 901, b'"active":false,"latched":false'), False),
        (None, _json(999, b'"who":"knows"'), False),
        (None, _json(200, b'"axis":1,"inPosition":true,"commander":1'), False),
        (SETTINGS, _json(40, b'"setName":"A"'), True),
        (SETTINGS, _json(40, b'"setName":"B"'), True),
    ],
    garbage=[b"", b"x", b"{}", b'{"id":1}', _json(1, b'"sequenceId":"5"'), b"\xff\xfe", b"0\n1\n1\nt\n0"],
    reply=_reply_2022,
    read=_read_2022,
)


@dataclass(eq=False)
class Cmd:
    """A command; `who` is empty for the bridge's own."""

    who: str
    visit: int
    number: int
    source: int
    code: int
    rest: bytes | None = None  # None: the bridge's own without parameters, whose timestamp is not known
    lease: int = 0
    deadline: float = 0.0
    acked: bool = False
    then: Callable[[Meaning | None, str], None] | None = None
    key: int = 0  # what the bridge called it on the wire
    heir: str = ""  # of an ask that waits; what waits behind one has none
    urgent: bool = False  # it goes with the stops
    place: int = 0  # in the order of their acceptance
    after: int = -1  # of a stop of the bridge's own: the last token before it, where that was noted
    token: int = 0  # in the order of the commanders' lines
    stops: bool = False
    ack_only: bool = False
    refusal: str = ""  # the beginning of the reason why it can't be translated
    whole: Whole | None = None  # what it is a part of
