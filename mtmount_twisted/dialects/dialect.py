"""`Dialect`: one value that holds all differences between the generations of the protocol.

The bridge, the journal, the front ends and the simulator receive a `Dialect`, and use its functions to read
and write lines. They know no byte layout, no terminator and no field position of their own.

`dialect_named` imports the folder of a dialect when it is first used. No I/O. Next to read:
``tma2020.dialect``, the value for the protocol tma2020.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

from msgspec import Struct

from mtmount_twisted.wire.messages import CommandMessage, FieldInfo

from .facts import Fact, PositionFact, Severity
from .preview import Preview, Told
from .sources import Commander, Source

DialectName = Literal["tma2020", "tma2022"]
"""The names of the dialects, as the settings and the journal have them."""


class Topology(Enum):
    """The connections between a commander and a mount."""

    PAIR = "pair"
    """Two one-way connections: commands on one, replies on the other."""
    DUPLEX = "duplex"
    """One connection in both directions."""


class Meaning(Enum):
    """The meaning of a reply for the command that it answers."""

    if not TYPE_CHECKING:  # a type checker would take it for another type than the base class has
        __hash__ = object.__hash__  # each member is one object; the hash of an Enum is Python code, and slow

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    EVENT = "event"
    """It answers no command."""


class Recall(Enum):
    """The subject of a command that only asks, so that the bridge can answer it from memory."""

    STATE = "state"
    """Every event that the mount has, except the settings."""
    SETTINGS = "settings"


class CommandKind(Struct, frozen=True, gc=False):
    """The facts about a command that follow from its code.

    :ivar code: the code.
    :ivar name: the name of its class; without a class the name of its code; else ``code 1234``.
    :ivar code_name: the name of its code, else ``code 1234``.
    :ivar is_known: True if the protocol has the code.
    :ivar is_stop: True if the command stops something.
    :ivar is_ask: True for ``AskForCommand``, which the bridge itself carries out.
    :ivar is_heartbeat: True for the sign of life of the holder of command, which gets no answer.
    :ivar ack_only: True if an Ack is the whole answer: no end follows.
    :ivar needs_command: True if the mount accepts the command from the holder of command only.
    :ivar refusal: the explanation, with one of the bridge's beginnings, why the command can't be translated
        for the controller; empty if it can.
    :ivar recalls: the subject of a command that only asks, which every commander may send; else None.
    :ivar changes: the subject that the command changes, so that an earlier answer is out of date; else None.
    """

    code: int
    name: str
    code_name: str
    is_known: bool = True
    is_stop: bool = False
    is_ask: bool = False
    is_heartbeat: bool = False
    ack_only: bool = False
    needs_command: bool = True
    refusal: str = ""
    recalls: Recall | None = None
    changes: Recall | None = None


class CommandEnvelope(Protocol):
    """Header of a command, and the bytes behind it, for passing the command on."""

    @property
    def sequence_id(self) -> int:
        """The sequence id, as the sender chose it."""

    @property
    def source(self) -> int:
        """The number of the sender's `Source`."""

    @property
    def code(self) -> int:
        """The code of the command."""

    @property
    def kind(self) -> CommandKind:
        """The facts that follow from the code."""

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the command's line with another id and source. All other bytes stay."""


class ReplyEnvelope(Protocol):
    """Header of a reply to a command, and the bytes behind it, for passing the reply on."""

    @property
    def code(self) -> int:
        """The code of the reply."""

    @property
    def meaning(self) -> Meaning:
        """The meaning of the reply for its command."""

    @property
    def sequence_id(self) -> int:
        """The sequence id of the command that the reply answers."""

    @property
    def masked(self) -> bytes | None:
        """The line to be recorded, with a ``*`` for each character of a password; None if it had none."""

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the reply's line to another commander: with the id and the source of its command."""

    @property
    def timeout(self) -> float | None:
        """The time in seconds that an acknowledgement announces, 0 or more; None if it is not known."""

    @property
    def explanation(self) -> str:
        """The reason of a refusal or failure on one line of printable text; empty if there is none."""

    def explained(self, name: Callable[[bytes], bytes]) -> ReplyEnvelope:
        """Return the reply with `name` applied to its explanation as bytes."""

    @property
    def superseding_id(self) -> int:
        """The sequence id of the command that took over, as the mount knows it; 0 if the reply has none."""

    def superseded_by(self, sequence_id: int, source: int) -> ReplyEnvelope:
        """Return the reply with the id and the source of the superseding command, for its receiver.

        Without this call `rewritten` writes 0 for both: the id of another commander's command means nothing
        to the receiver.
        """


class EventEnvelope(NamedTuple):
    """An event, which answers no command.

    :ivar code: the code of the event.
    :ivar line: the event as it came, but with a ``*`` for each character of a password.
    :ivar unmasked: the event as it came, if it contains a password; else None. It may be sent to a commander
        that may have the password, and must not be stored, logged or shown.
    """

    code: int
    line: bytes
    sequence_id: None = None
    meaning: Meaning = Meaning.EVENT
    unmasked: bytes | None = None

    def __repr__(self) -> str:
        return f"EventEnvelope(code={self.code}, line={self.line!r})"


class Subject(NamedTuple):
    """The part of the mount that an event is about.

    :ivar key: equal for two events of one code that replace each other.
    :ivar lasts: False if the event only ends the one before, such as a warning that is over.
    :ivar is_alarm: True for a warning or an error.
    :ivar is_apart: True for an event that is kept beside the last values because of its size.
    :ivar content: equal for two events that differ only in their timestamps; None if each line is recorded.
    :ivar name: the part of the mount, for people; empty if the code alone names it.
    """

    key: Hashable
    lasts: bool
    is_alarm: bool = False
    is_apart: bool = False
    content: Hashable = None
    name: str = ""


class Outcome(NamedTuple):
    """The outcome of a command that a decoded reply reports.

    :ivar meaning: the meaning of the reply for its command.
    :ivar sequence_id: the sequence id of the command.
    :ivar source: the source of the command; None if the reply does not name it.
    :ivar explanation: the mount's own words; empty if there are none.
    :ivar timeout: the time in seconds that an acknowledgement announces; None if it is not known.
    :ivar after_ack: the meaning of the reply if the command was acknowledged before; None for `meaning`.
    """

    meaning: Meaning
    sequence_id: int
    source: int | None = None
    explanation: str = ""
    timeout: float | None = None
    after_ack: Meaning | None = None


class Header(NamedTuple):
    """Header of a line, for display and search.

    :ivar kind: the name of the code, else ``code 1234``.
    :ivar sequence_id: None for an event.
    """

    code: int
    kind: str
    sequence_id: int | None


class FieldDescription(Protocol):
    """Description of one field of a reply, for people and programs that read replies."""

    @property
    def name(self) -> str:
        """Name of the field and of the attribute."""

    @property
    def doc(self) -> str:
        """Meaning of the field, one sentence."""

    @property
    def dtype(self) -> Any:
        """Type of its values: a Python type, or an annotation such as ``tuple[float, ...] | None``."""

    @property
    def default(self) -> Any:
        """Value if a reply has none; None if there is no such value."""

    @property
    def unit(self) -> str:
        """Unit, such as ``deg/s``; empty if there is none."""

    @property
    def required(self) -> bool:
        """True if each reply has a value."""


class Ask(Protocol):
    """Maker of ``AskForCommand``."""

    def __call__(
        self, commander: Commander, sequence_id: int | None = None, source: Source | None = None
    ) -> CommandMessage:
        """Return an ``AskForCommand``.

        :param commander: the commander that shall have command.
        :param sequence_id: the sequence id; counted up if None.
        :param source: the sender; the CSC if None.
        """


class Deadlines(Struct, frozen=True, kw_only=True):
    """The times in which a command must be answered, in seconds.

    :ivar ack: from sending a command to its Ack.
    :ivar ack_of_code: this time for the codes with a time of their own.
    :ivar done_margin: added to the timeout in an Ack; the end must come within both.
    :ivar unknown_timeout: replaces the timeout of an Ack that announces none.
    """

    ack: float
    done_margin: float
    ack_of_code: Mapping[int, float] = {}
    unknown_timeout: float = 300.0

    def ack_of(self, code: int) -> float:
        """Return the time from sending a command with this code to its Ack."""
        return self.ack_of_code.get(code, self.ack)

    def overridden(self, ack: float | None, done_margin: float | None, unknown: float | None) -> Deadlines:
        """Return the deadlines with other times, where one is given.

        :param ack: the time to the Ack of every command.
        :param unknown: the `unknown_timeout`.
        """
        return Deadlines(
            ack=self.ack if ack is None else ack,
            done_margin=self.done_margin if done_margin is None else done_margin,
            ack_of_code=self.ack_of_code if ack is None else {},
            unknown_timeout=self.unknown_timeout if unknown is None else unknown,
        )

    def announced(self, timeout: float | None) -> float:
        """Return the timeout in an Ack; `unknown_timeout` if it is None."""
        return self.unknown_timeout if timeout is None else timeout


class TelemetryHeader(NamedTuple):
    """Header of a telemetry line, as a relay needs it.

    :ivar topic_id: the number of the topic.
    :ivar timestamp: TAI seconds since the unix epoch.
    """

    topic_id: int
    timestamp: float


class QuantityFacts(Struct, frozen=True):
    """One value in the lines of a topic; each element of an array is one.

    :ivar name: name on the wire, such as ``azimuthEncoderPosition3``.
    :ivar unit: unit, such as ``deg/s``; empty if there is none.
    :ivar dtype: type of the value.
    :ivar doc: meaning.
    :ivar measured_at: name on the wire of the value's time stamp, TAI seconds since the unix epoch.
    """

    name: str
    unit: str
    dtype: Literal["number", "integer", "boolean"]
    doc: str
    measured_at: str


class TopicFacts(Struct, frozen=True):
    """One topic of telemetry. Each of its values is a signal, except the time stamps.

    :ivar number: number on the wire.
    :ivar name: name, such as ``azimuth``.
    :ivar period: interval between two lines in seconds; None if it is unknown.
    :ivar doc: meaning.
    :ivar quantities: its values.
    :ivar parts: the name of each quantity, an array once, and its number of values, in the order of the
        quantities.
    :ivar values_of: return the values in a decoded topic, in the order of the quantities; NaN for a missing
        value.
    """

    number: int
    name: str
    period: float | None
    doc: str
    quantities: tuple[QuantityFacts, ...]
    parts: tuple[tuple[str, int], ...]
    values_of: Callable[[object], tuple[float, ...]]


class TelemetryFormat(Struct, frozen=True, kw_only=True, eq=False):
    """The telemetry of a mount: lines of numbered topics, on a connection of their own.

    :ivar port: the port of the telemetry server, unless a setting names another.
    :ivar names: the name of each topic that has one, by its number.
    :ivar topics: return the facts about each topic that has a name, by its number, in the order of the
        numbers.
    :ivar read_header: return the header of a line; the rest is not decoded. It raises `errors.LineError` if
        the line is not telemetry.
    :ivar decode: return the topic in a line. It raises `errors.LineError`.
    :ivar timed_topics: the topics from which the clock offset is measured, because they are sent often.
    :ivar axes: the number of the topic with the motion of each axis, by the name of the axis.
    :ivar position_of: return the motion of an axis in its topic.
    :ivar position_in: return this motion from the number of the topic and its signals, without time stamps.
    :ivar tai: return the current TAI seconds since the unix epoch, for the clock offset.
    :ivar motion_codes: the codes of the events about the motion of an axis, or about its range.
    :ivar read_event: return the time stamp of an event (TAI seconds since the unix epoch) and its facts,
        including the facts in the settings. It raises `errors.LineError`.
    """

    port: int
    names: Mapping[int, str]
    topics: Callable[[], Mapping[int, TopicFacts]]
    read_header: Callable[[bytes], TelemetryHeader]
    decode: Callable[[bytes], Any]
    timed_topics: frozenset[int]
    axes: Mapping[str, int]
    position_of: Callable[[Any], PositionFact]
    position_in: Callable[[int, Sequence[float]], PositionFact]
    tai: Callable[[], float]
    motion_codes: frozenset[int]
    read_event: Callable[[bytes], tuple[float, Sequence[Fact]]]


class Dialect(Struct, frozen=True, kw_only=True, eq=False):
    """One generation of the protocol. A line is bytes without its terminator.

    Each dialect has one value, which can be a key. A ``Struct`` is declared in a tenth of a dataclass's time.

    :ivar name: the name in the settings and in the journal.
    :ivar topology: the connections between a commander and the mount.
    :ivar terminator: the bytes at the end of each line.
    :ivar messages: the base class of all commands, then the base class of all replies.
    :ivar deadlines: the times in which a command must be answered.
    :ivar kind_of: return the facts about a command, by its code; any code is allowed.
    :ivar commands: the class of each command that has one, by its code, in the order of the codes.
    :ivar replies: the class of each reply that has one, by its code, in the order of the codes.
    :ivar short_name: return the shortest name of a command class, such as ``az_move``.
    :ivar parameters_of: return the fields of a command class after its header; a commander chooses their
        values.
    :ivar reply_fields: return the fields of a reply class, without its code.
    :ivar text_pattern: the pattern of each text in a reply, a regular expression as in JSON Schema; empty if
        a text may have any characters.
    :ivar command_names: the name of each code of a command, in the order of the codes; also of a code without
        a class.
    :ivar reply_names: the name of each code of a reply or event, in the order of the codes.
    :ivar example: the code of the command that texts give as an example; it has a class.

    Lines that pass through:

    :ivar read_command: return the envelope of a command. It raises `errors.LineError` if the line has no
        header, or one that cannot be passed on.
    :ivar read_to_refuse: return the envelope of a malformed command, as far as a refusal needs it; None if
        this part is unreadable.
    :ivar read_wanted: return the commander that an ``AskForCommand`` names. It raises `errors.LineError`.
    :ivar read_reply: return the envelope of a reply or event. It raises `errors.LineError`.
    :ivar reply_starts: the bytes with which a reply can begin; see `REPLY_STARTS`.
    :ivar masked: return a line of a mount, or its beginning, with a ``*`` for each character of a password.
    :ivar is_reply: return True if a line can only come from a mount that speaks this dialect.
    :ivar subject_of: return the part of the mount that an event is about; None if its values are not kept.
    :ivar commander_in: return the number of the `Source` that has command, 0 for none, according to an event;
        None for an event about something else.

    Lines of the bridge's own:

    :ivar commander_event: return the event that the source with a number has command, 0 for none; None if the
        protocol has no such event.
    :ivar completed: return a command, with a sequence id and a timestamp if the program has left them out.
    :ivar heartbeat: return the sign of life of the commander that has command, to be sent every second; None
        if the protocol has none.
    :ivar ask: return an ``AskForCommand``; see `Ask`.
    :ivar questions: return the commands with which the bridge asks a newly connected mount; each `recalls`
        something.
    :ivar stops: return the commands that stop every part of the mount.
    :ivar says_off: return True if the explanation of a refusal says that a part of the mount is off.
    :ivar acknowledged: return an acknowledgement with a timeout in seconds, to be rewritten to its receiver.
    :ivar succeeded: return the end of a command that is done, to be rewritten to its receiver.
    :ivar refused: return a refusal with its explanation, to be rewritten to its receiver. It raises
        `ValueError` if a line cannot hold the explanation.

    Messages for people and programs:

    :ivar new_command: return a command of a class with these parameters, the source of its sender and its
        sequence id.
    :ivar fields_of: return the names and values of the fields of a message, without its code.
    :ivar decode_command: return the command in a line. It raises `errors.LineError`.
    :ivar decode_reply: return the reply or event in a line. It raises `errors.LineError`.
    :ivar outcome_of: return the outcome that a decoded reply reports; None for an event.
    :ivar read_end: return the end of a command that a malformed reply still reports; None if there is none.
    :ivar actual_commander: return the number of the `Source` that has command, 0 for none, according to a
        decoded event; None for an event about something else.
    :ivar decode_to_show: return the command (if the second argument is True) or the reply in a line, at a
        cost that does not grow with the line. It raises `errors.LineError`.
    :ivar read_header: return the header of a command (if the second argument is True) or of a reply. It
        raises `errors.LineError`.
    :ivar undecoded: return the parameters of a command that can't be decoded, as text for people, at a cost
        that does not grow with the line.
    :ivar renewed: return a recorded command to be sent again, with a sequence id, the present time as its
        timestamp, and its ``tai``, if it has one, advanced by some seconds. All other bytes stay.
    :ivar facts_of: return the facts about the mount's state in the line of an event, at a cost that does not
        grow with the line. It raises `errors.LineError`.
    :ivar devices: the names of the devices that events report about.
    :ivar alarm_codes: the code of the events of each severity.
    :ivar subsystems: the name of each subsystem, by its number: a multiple of 100 at which the codes of its
        alarms begin.
    :ivar preview: return the expected answer to a command that is not sent; None if the dialect knows too
        little of its mount.
    :ivar telemetry: the format of the telemetry; None if the mount sends none.
    """

    name: DialectName
    topology: Topology
    terminator: bytes
    messages: tuple[type[Any], ...]
    deadlines: Deadlines
    kind_of: Callable[[int], CommandKind]
    commands: Mapping[Any, type[CommandMessage]]
    replies: Mapping[Any, type[Any]]
    short_name: Callable[[Any], str]
    parameters_of: Callable[[type[CommandMessage]], Sequence[FieldInfo]]
    reply_fields: Callable[[type[Any]], Sequence[FieldDescription]]
    text_pattern: str
    command_names: Mapping[int, str]
    reply_names: Mapping[int, str]
    example: int

    read_command: Callable[[bytes], CommandEnvelope]
    read_to_refuse: Callable[[bytes], CommandEnvelope | None]
    read_wanted: Callable[[bytes], Commander]
    read_reply: Callable[[bytes], ReplyEnvelope | EventEnvelope]
    reply_starts: bytes
    masked: Callable[[bytes], bytes]
    is_reply: Callable[[bytes], bool]
    subject_of: Callable[[EventEnvelope], Subject | None]
    commander_in: Callable[[EventEnvelope], int | None]

    commander_event: Callable[[int], EventEnvelope] | None
    completed: Callable[[Any], CommandMessage]
    heartbeat: Callable[[Source], CommandMessage] | None
    ask: Ask
    questions: Callable[[], Sequence[CommandMessage]]
    stops: Callable[[], Sequence[CommandMessage]]
    says_off: Callable[[str], bool]
    acknowledged: Callable[[float], ReplyEnvelope]
    succeeded: Callable[[], ReplyEnvelope]
    refused: Callable[[str], ReplyEnvelope]

    new_command: Callable[[type[CommandMessage], Mapping[str, Any], Source, int], CommandMessage]
    fields_of: Callable[[Any], Mapping[str, Any]]
    decode_command: Callable[[bytes], CommandMessage]
    decode_reply: Callable[[bytes], Any]
    outcome_of: Callable[[Any], Outcome | None]
    read_end: Callable[[bytes], Any]
    actual_commander: Callable[[Any], int | None]
    decode_to_show: Callable[[bytes, bool], Any]
    read_header: Callable[[bytes, bool], Header]
    undecoded: Callable[[bytes], str]
    renewed: Callable[[bytes, int, float], bytes]
    facts_of: Callable[[bytes], Sequence[Fact]]
    devices: Sequence[str]
    alarm_codes: Mapping[Severity, int]
    subsystems: Mapping[int, str]
    preview: Callable[[CommandMessage, Told], Preview] | None
    telemetry: TelemetryFormat | None

    def __repr__(self) -> str:
        """Return the name: all parts would fill pages."""
        return f"<dialect {self.name}>"


class Answered(NamedTuple):
    """The consequences of an answer to a translated command.

    :ivar lines: the lines for the commander, without terminators.
    :ivar then: the next command for the controller: the second part of a command that became two; or None.
    """

    lines: tuple[bytes, ...] = ()
    then: CommandEnvelope | None = None


class TranslatedEvent(NamedTuple):
    """A line of the controller to all clients, as a client of another dialect receives it.

    :ivar line: the line, without terminator; None if the line has no counterpart in the client's dialect.
    :ivar dropped: the kind of a line that is dropped, such as ``POWER_STATE``.
    """

    line: bytes | None
    dropped: str = ""


class TranslatedCommand(NamedTuple):
    """A client's command as the controller receives it.

    :ivar commands: one command, or two: the second needs the success of the first; none if there is no
        translation.
    :ivar refusal: the reason why there is no translation; empty if there is one.
    """

    commands: tuple[CommandMessage, ...] = ()
    refusal: str = ""


class Translator(Struct, frozen=True, kw_only=True, eq=False):
    """The translation between a client that speaks one dialect and a controller that speaks another.

    There is one value for each two dialects, which can be a key. Its functions take and return the client's
    lines, and the envelopes of the controller's dialect.

    :ivar dialect: the client's dialect.
    :ivar read_command: return the envelope of a client's command as the controller receives it. Its facts are
        whether the client's own command stops something, needs command, or gets only an Ack, and whether the
        translation is refused. It raises `errors.LineError` as `Dialect.read_command` does.
    :ivar read_to_refuse: as in `Dialect`.
    :ivar read_wanted: as in `Dialect`.
    :ivar answered: return the consequences of an answer of the controller, or of the bridge, to a command
        with this envelope.
    :ivar event: return a line of the controller to all clients as the client receives it.
    :ivar translate: return a command of the client's dialect as the controller receives it, with the same
        sequence id, source and time.
    """

    dialect: Dialect
    read_command: Callable[[bytes], CommandEnvelope]
    read_to_refuse: Callable[[bytes], CommandEnvelope | None]
    read_wanted: Callable[[bytes], Commander]
    answered: Callable[[CommandEnvelope, ReplyEnvelope], Answered]
    event: Callable[[bytes], TranslatedEvent]
    translate: Callable[[CommandMessage], TranslatedCommand]


def translator_between(client: DialectName, controller: DialectName) -> Translator | None:
    """Return the translation between a client's dialect and the controller's; None if they are the same.

    :raises ValueError: if there is no translation.
    """
    if client == controller:
        return None
    if (client, controller) != TRANSLATION:
        raise ValueError(
            f"no translation between a client that speaks {client} and a {controller} controller"
        )
    translator: Translator = import_module(f"{__package__}.translated").TRANSLATOR
    return translator


TRANSLATION: tuple[DialectName, DialectName] = ("tma2020", "tma2022")
"""The dialects of the client and of the controller between which there is a translation. The other direction
has no use: no mount speaks tma2020 any more."""


def dialect_translated_to(controller: Dialect) -> Dialect | None:
    """Return the dialect that a client may speak besides the controller's; None if there is none."""
    client, translated_to = TRANSLATION
    return dialect_named(client) if controller.name == translated_to else None


def dialect_of_line(line: bytes, is_command: bool, controller: Dialect) -> Dialect:
    """Return the dialect of a line from or to a client: the controller's, or one that is translated to it.

    A reply of tma2022 begins with ``{``. The fourth field of a command is its time: text with a ``T`` in
    tma2020, a number in tma2022 (protocol-tma2022.rst, "The life of a command").

    :param is_command: True if the line is from the client.
    :param controller: the dialect of the controller at that time.
    :returns: the controller's dialect for a line of neither dialect.
    """
    if controller.name != TRANSLATION[1]:
        return controller
    if is_command:
        header = line.split(b"\n", 4)
        is_other = len(header) > 3 and b"T" in header[3]
    else:
        is_other = bool(line) and line[:1] in REPLY_STARTS[TRANSLATION[0]]
    return dialect_named(TRANSLATION[0]) if is_other else controller


def counterparts(name: str) -> tuple[str, ...]:
    """Return the names of the commands of the other dialect with the same effect as a command class.

    :param name: the name of a command class in either dialect.
    :returns: nothing if there is no such class, or if it has no counterpart.
    """
    found: tuple[str, ...] = import_module(f"{__package__}.translate").counterpart_of(name)
    return found


def codes_translated_to(command: type[CommandMessage], controller: Dialect) -> list[int]:
    """Return the codes of the controller's commands that a client's command of this class may become."""
    names = counterparts(command.__name__)
    return [int(code) for code, each in controller.commands.items() if each.__name__ in names]


def dialect_named(name: DialectName) -> Dialect:
    """Return the dialect with this name, and import its folder if that was not done before."""
    dialect: Dialect = import_module(f"{__package__}.{name}.dialect").DIALECT
    return dialect


REPLY_STARTS: dict[DialectName, bytes] = {"tma2020": b"0123456789+-", "tma2022": b"{"}
"""The bytes with which a reply of each dialect can begin, so that lines of another dialect are found at
little cost."""


def other_dialect_of(line: bytes, dialect: Dialect) -> Dialect | None:
    """Return the dialect of the mount that sent a line, if it is not this one; None if it may be this one."""
    names: tuple[DialectName, ...] = get_args(DialectName)
    for name in names:
        # An import takes tens of milliseconds, so a line of garbage must not cause one.
        if name != dialect.name and line[:1] in REPLY_STARTS[name] and dialect_named(name).is_reply(line):
            return dialect_named(name)
    return None
