"""An entry as one line of text, which an engineer can read in a second, at night.

Values only: no Twisted, no I/O. Next to read: `program`, which prints the lines; ``journal.reading``, which
reads entries.
"""

from __future__ import annotations

from typing import Any, cast

from mtmount_twisted.cli.commander.report import command_text, event
from mtmount_twisted.dialects.dialect import CommandKind, Dialect, EventEnvelope, Meaning
from mtmount_twisted.errors import LineError
from mtmount_twisted.journal.reading import GOOD_OUTCOMES, OUTCOMES, Entry, is_command
from mtmount_twisted.journal.schema import CONTROLLER
from mtmount_twisted.journal.times import iso
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.lines import SHOWN_BYTES, brief

MOST_NAMES = 10_000
"""Largest number of commands to remember. With them, a line can show the name of the command with its answer,
and a commander's command with its translation for the mount."""

_QUIET = ("received", "sent", *GOOD_OUTCOMES)

_LABELS = {
    Meaning.ACKNOWLEDGED: "ack",
    Meaning.REJECTED: "NOACK",
    Meaning.SUCCEEDED: "done",
    Meaning.FAILED: "FAILED",
    Meaning.SUPERSEDED: "SUPERSEDED",
}
"""The label of a reply, by the outcome that the reply means for its command."""


class Teller:
    """Writer of lines. It remembers commands until their answers come, so it needs the entries in order."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str, int], tuple[str, Dialect]] = {}
        self._run: int | None = None
        self._senders: dict[tuple[int, int], tuple[str, int]] = {}  # peer and sequence id by run and key

    def heading(self, entry: Entry) -> str:
        """Return the line above the first entry of a run; empty for any other entry."""
        if entry.run == self._run:
            return ""
        self._run = entry.run
        return f"run {entry.run}"

    def line(self, entry: Entry) -> str:
        """Return the line of an entry: time (UTC), direction, label (capitals for a problem), text."""
        way, label, text = getattr(self, f"_{entry.table}")(entry)
        when = iso(entry.time).replace("T", " ").removesuffix("Z")
        return visible(f"{when}  {way:<22}  {label:<10}  {brief(text)}".rstrip())

    def _message(self, entry: Entry) -> tuple[str, str, str]:
        ways = {"from": f"{entry.peer} -> bridge", "to": f"bridge -> {entry.peer}"}
        way = ways.get(entry.what, f"{entry.peer} {entry.what}")
        line = entry.line or b""
        try:
            label, text = self._command(entry, line) if is_command(entry) else self._reply(entry, line)
        except LineError:
            label, text = "UNREADABLE", repr(line[: 2 * SHOWN_BYTES])[1:]
        return way, label, text

    def _command(self, entry: Entry, line: bytes) -> tuple[str, str]:
        dialect = entry.dialect
        header = dialect.read_header(line, True)
        name = code_name(dialect.kind_of(header.code))
        if len(self._names) >= MOST_NAMES:
            self._names.clear()
        self._names[entry.run, entry.peer, header.sequence_id or 0] = name, dialect
        try:
            text = command_text(cast(Any, dialect.decode_to_show(line, True)))
        except LineError:  # the bridge passes on lines with an unknown code or unknown parameters
            text = f"{name} {dialect.undecoded(line)}".rstrip()
        return "command", f"#{header.sequence_id} {text}{self._origin(entry, header.sequence_id or 0)}"

    def _origin(self, entry: Entry, key: int) -> str:
        """Return the commander's command that was translated to this command of the bridge; empty if none
        was."""
        if entry.peer != CONTROLLER or (sender := self._senders.get((entry.run, key))) is None:
            return ""
        name, dialect = self._names.get((entry.run, *sender), ("", entry.dialect))
        if dialect is entry.dialect:
            return ""
        return f" (translated from {sender[0]}'s #{sender[1]} {name})"

    def _reply(self, entry: Entry, line: bytes) -> tuple[str, str]:
        reply: Any = entry.dialect.decode_to_show(line, False)
        envelope = entry.dialect.read_reply(line)
        if isinstance(envelope, EventEnvelope):
            return event(reply, entry.dialect.facts_of(line), entry.dialect.subsystems)
        name, _ = self._names.get((entry.run, entry.peer, envelope.sequence_id), ("", entry.dialect))
        text = f"#{envelope.sequence_id} {name}".rstrip()
        if envelope.meaning is Meaning.ACKNOWLEDGED and envelope.timeout:
            text = f"{text}, to be done within {envelope.timeout:g} s"
        explanation = getattr(reply, "explanation", "")
        return _LABELS[envelope.meaning], f"{text}: {explanation}" if explanation else text

    def _step(self, entry: Entry) -> tuple[str, str, str]:
        quiet = entry.what in _QUIET or entry.what not in OUTCOMES
        label = (entry.what if quiet else entry.what.upper()).replace("_", " ")
        text = f"{entry.peer}'s #{entry.sequence_id} {code_name(entry.dialect.kind_of(entry.code))}"
        if entry.key:
            if len(self._senders) >= MOST_NAMES:
                self._senders.clear()
            self._senders[entry.run, entry.key] = entry.peer, entry.sequence_id
            text += f" (#{entry.key} of the bridge)"
        return "", label, f"{text}: {entry.text}" if entry.text else text

    def _event(self, entry: Entry) -> tuple[str, str, str]:
        label = entry.what if entry.what in _QUIET_EVENTS else entry.what.upper()
        about = f"epoch {entry.epoch}" if entry.epoch else ""
        return entry.peer, label.replace("_", " "), "; ".join(filter(None, [entry.text, about]))


_QUIET_EVENTS = (
    *("connected", "lease_granted", "lease_released", "link_up"),
    *("repeated", "started", "stopped", "tracked"),
)


def code_name(kind: CommandKind) -> str:
    """Return the name of a command's code in the style of a class name, whether or not the command has a
    class."""
    return "".join(map(str.capitalize, kind.code_name.split("_"))) if kind.is_known else kind.code_name
