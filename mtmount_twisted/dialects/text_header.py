"""`CommandEnvelope`: the header of a command as text, which both generations of the protocol share.

A command begins with its sequence id, code and source, one field each. Pure: no Twisted, no I/O.

Next to read: ``tma2020.envelope`` and ``tma2022.relay``, which read the header from a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from mtmount_twisted.errors import LineError

from .dialect import CommandKind, DialectName


class CommandEnvelope(Struct, frozen=True, gc=False):
    """Header of a command and the bytes behind it; see `dialect.CommandEnvelope`.

    :ivar code_text: the code as received.
    :ivar rest: the timestamp and all fields behind it, as received.
    """

    sequence_id: int
    code: int
    source: int
    kind: CommandKind
    code_text: bytes
    rest: bytes

    def rewritten(self, sequence_id: int, source: int) -> bytes:
        """Return the command's line with another id and source."""
        return b"%d\n%b\n%d\n%b" % (sequence_id, self.code_text, source, self.rest)


def header_to_refuse(
    fields: Sequence[bytes], read_int: Callable[[bytes], int], kind_of: Callable[[int], CommandKind]
) -> CommandEnvelope | None:
    """Return the header of a malformed command, as far as a refusal needs it; None if this part is
    unreadable.

    :param fields: the fields of the line, header first.
    :param read_int: function from a field to its number, which raises `ValueError` if the field is no number.
    """
    try:
        sequence_id, source = read_int(fields[0]), read_int(fields[2])
    except (IndexError, ValueError):
        return None
    try:
        code = read_int(fields[1])
    except ValueError:
        code = 0
    return CommandEnvelope(sequence_id, code, source, kind_of(code), b"", b"")


def other_generation(line: bytes, name: DialectName) -> LineError:
    """Return the error about a command of the other generation. Its timestamp shows the generation."""
    return LineError(
        line,
        f"timestamp: that of {name}: the client speaks {name}; connect it to a pair or port of that dialect",
        "timestamp",
    )
