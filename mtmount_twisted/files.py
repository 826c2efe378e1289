"""Files of a configuration: read whole, within bounds, and refused if they are no regular files.

A FIFO or a device in the place of a file would hang its reader, or do something when it is opened.
`read_file` never waits for one. `read_toml` bounds what a hostile TOML file can cost. No Twisted. Next to
read: `config.loading`, `frontends.web.http.tokens` and `tls`, whose files these are.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from typing import Any, NamedTuple

MOST_BYTES = 2**20
"""How large a file may be, in bytes: a bundle of all public authorities has 0.25 MB."""

MOST_TOML = 2**17
"""How large a TOML file may be, in bytes: ``docs/bridge.toml``, with each key explained, has 0.01 MB."""

MOST_PARTS = 64
"""How many parts a dotted key may have: `tomllib` takes time that grows with their square."""

_PART = r"""(?:[A-Za-z0-9_-]++|(?<!\\)"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}")

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class Content(NamedTuple):
    """What a file holds, and what the system says of the file that was read."""

    data: bytes
    status: os.stat_result


class TOMLError(ValueError):
    """A text is not TOML, or costs too much to read.

    :ivar position: where, as ``line 3, column 5``; "" if it is the text as a whole.
    :ivar reason: why. It may quote a key of the text.
    """

    def __init__(self, position: str, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.position}: {self.reason}" if self.position else self.reason


def kind_problem(status: os.stat_result) -> str:
    """Say what a file is that can't be read like one; "" for a regular file and for a folder."""
    kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "")
    return f"it is {kind}; expected a regular file" if kind else ""


def read_file(path: str | os.PathLike[str], most: int = MOST_BYTES) -> Content:
    """Read a regular file.

    :param most: how large it may be, in bytes.
    :raises OSError: if it can't be read, is no regular file or is larger; `strerror` says which.
    """
    _check_kind(path, os.stat(path))  # before it is opened: to open a device may do something
    # What came into its place meanwhile: O_NONBLOCK waits for no writer of a FIFO (fifo(7)).
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check_kind(path, status)
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", os.fspath(path))
    return Content(data, status)


def _check_kind(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if why := kind_problem(status):
        raise OSError(errno.EINVAL, why, os.fspath(path))
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))


def decode_toml(data: bytes) -> str:
    """Return the text of a TOML file, without the byte order mark that some editors put before it.

    :raises TOMLError: if it is not UTF-8.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        raise TOMLError(_position(before), f"not UTF-8 (byte 0x{data[error.start]:02x})") from None


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text, in the order in which they stand.

    :raises TOMLError: if it is not TOML, is larger than `MOST_TOML`, or has a key of more than `MOST_PARTS`
        parts.
    """
    import tomllib

    if len(text) > MOST_TOML:
        raise TOMLError("", f"not TOML that can be read: more than {MOST_TOML} characters")
    if found := _LONG_KEY.search(text):
        reason = f"not TOML that can be read: a key of more than {MOST_PARTS} parts"
        raise TOMLError(_position(text[: found.start()]), reason)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TOMLError("", "not TOML that can be read: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, or what int() says to a number of 5000 digits
        position, reason = _syntax_problem(text, str(error))
        raise TOMLError(position, f"not TOML: {reason}") from None


def _syntax_problem(text: str, error: str) -> tuple[str, str]:
    """Where a text stops being TOML, and why."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", error, re.DOTALL)
    if found is None:
        return "", error
    return (f"line {found[2]}, column {found[3]}" if found[2] else _position(text)), found[1]


def _position(before: str) -> str:
    """Where the character after a text is."""
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
