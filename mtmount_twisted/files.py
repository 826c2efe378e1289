"""Reading of configuration files: whole, within bounds, and only regular files.

A FIFO or a device in the place of a file could block its reader, or react to being opened. `read_file` never
waits for such a file. `read_toml` bounds the cost of a hostile TOML file. No Twisted. Next to read:
`config.loading`, `frontends.web.http.tokens` and `net.tls`, which read their files with this module.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from typing import Any, NamedTuple

MOST_BYTES = 2**20
"""Largest size of a file in bytes. A bundle of all public certificate authorities has 0.25 MB."""

MOST_TOML = 2**17
"""Largest size of a TOML file in bytes. ``docs/bridge.toml``, which explains each key, has 0.01 MB."""

MOST_PARTS = 64
"""Largest number of parts of a dotted key: the time that `tomllib` takes grows with the square of this
number."""

_PART = r"""(?:[A-Za-z0-9_-]++|(?<!\\)"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}")

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class Content(NamedTuple):
    """The content of a file, and its status from the system, for the file that was actually read."""

    data: bytes
    status: os.stat_result


class TOMLError(ValueError):
    """A text is not TOML, or costs too much to read.

    :ivar position: position in the text, such as ``line 3, column 5``; "" for the text as a whole.
    :ivar reason: description of the fault. It may quote a key of the text.
    """

    def __init__(self, position: str, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.position}: {self.reason}" if self.position else self.reason


def kind_problem(status: os.stat_result) -> str:
    """Return an error text for a file of a wrong kind, such as a FIFO; "" for a regular file or a folder."""
    kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "")
    return f"it is {kind}; expected a regular file" if kind else ""


def read_file(path: str | os.PathLike[str], most: int = MOST_BYTES) -> Content:
    """Read a regular file.

    :param most: largest size of the file in bytes.
    :raises OSError: if the file can't be read, is not a regular file or is too large. `strerror` has the
        reason.
    """
    _check_kind(path, os.stat(path))  # before opening: a device may react to being opened
    # A FIFO may have taken its place by now: with O_NONBLOCK, open does not wait for a writer (fifo(7)).
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
    """Return the text of a TOML file, without the byte order mark that some editors write.

    :raises TOMLError: if the file is not UTF-8.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        raise TOMLError(_position(before), f"not UTF-8 (byte 0x{data[error.start]:02x})") from None


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text, in their order.

    :raises TOMLError: if the text is not TOML, is larger than `MOST_TOML`, or has a key of more than
        `MOST_PARTS` parts.
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
    except ValueError as error:  # TOMLDecodeError, or the error of int() about a number of 5000 digits
        position, reason = _syntax_problem(text, str(error))
        raise TOMLError(position, f"not TOML: {reason}") from None


def _syntax_problem(text: str, error: str) -> tuple[str, str]:
    """Return the position at which a text stops being TOML, and the reason."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", error, re.DOTALL)
    if found is None:
        return "", error
    return (f"line {found[2]}, column {found[3]}" if found[2] else _position(text)), found[1]


def _position(before: str) -> str:
    """Return the position of the character after a text."""
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
