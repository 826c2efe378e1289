"""The file of tokens, which the daemon reads once at its start. A token has a name, a secret and roles.

.. code-block:: toml

    [[token]]
    name = "night"
    secret = "a-long-random-text"
    roles = ["command"]
    source = "EUI"

The daemon's user or root owns the file, and no other user may read it, unless systemd or a container provides
it. An error gives the position of a fault and never quotes the file, because the text may be a secret in the
wrong place. Only `load_file` reads the disk. Next to read: `guard`, which looks up the user of a secret in
`Tokens`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, NotRequired, TypedDict, cast, get_args

from mtmount_twisted.dialects.sources import CommandingSource, Source
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.files import MOST_TOML, TOMLError, decode_toml, read_file, read_toml
from mtmount_twisted.journal.schema import usable_name
from mtmount_twisted.wire.secret import Secret, digest_of

from .calls import Role, User

MOST_PROBLEMS = 20
"""The largest number of problems of a file that are listed."""

SHORTEST = 16
"""The smallest number of characters of a secret."""

ROLES: tuple[Role, ...] = get_args(Role)
INCLUDED: dict[Role, frozenset[Role]] = {
    "observe": frozenset(("observe",)),
    "stop": frozenset(("observe", "stop")),
    "command": frozenset(ROLES),
}
"""The roles that each role includes."""

SOURCES: tuple[str, ...] = get_args(CommandingSource)
KEYS = ("name", "secret", "roles", "source")

MOUNTED_SECRETS = "/run/secrets"
"""The folder in which a container finds its secrets."""

ROOT = 0
"""The id of the user root."""


class TokenTable(TypedDict):
    """A section ``[[token]]`` without problems."""

    name: str
    secret: str
    roles: list[Role]
    source: NotRequired[CommandingSource]


class Token(NamedTuple):
    """A user, and the secret that identifies the user."""

    user: User
    secret: Secret


class Tokens:
    """All tokens."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens

    def user(self, secret: str) -> User | None:
        """Return the user of a secret, or None. Compare every token, so that the time reveals nothing."""
        digest = digest_of(secret)
        fitting = [token.user for token in self._tokens if token.secret.has(digest)]
        return fitting[0] if fitting else None


def load_file(path: str | os.PathLike[str], users: Collection[int] = ()) -> Tokens:
    """Read a file of tokens.

    :param users: the ids of further users that may own the file, besides root and the user of this process.
    :raises ConfigError: if the file can't be read, if other users may read or change it, or with every
        problem in it. The error contains no secret.
    """
    where = os.fspath(path)
    try:
        data, status = read_file(path, MOST_TOML)
    except OSError as error:
        raise ConfigError(where, (f"can't be read: {error.strerror}",)) from None
    mode, owner = status.st_mode, status.st_uid
    if owner not in (ROOT, os.geteuid(), *users):  # an owner may read and change a file of any mode
        problem = f"it belongs to another user (id {owner}); expected the daemon's user or root: chown it"
        raise ConfigError(where, (problem,))
    if not _is_private(where, mode):
        problem = f"other users may read or change it (mode {stat.S_IMODE(mode):o}); run: chmod 600 {where}"
        raise ConfigError(where, (problem,))
    return load(data, where)


def _is_private(path: str, mode: int) -> bool:
    """Return True if a file of this mode may hold secrets.

    Orchestrators mount a secret with owner root and mode 0440, readable by a group that the daemon is in.
    Docker uses mode 0444, in a folder that exists only within the container.
    """
    if _is_credential(path) or not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return True
    if os.path.realpath(path).startswith(os.path.realpath(MOUNTED_SECRETS) + os.sep):
        return not mode & (stat.S_IWGRP | stat.S_IXGRP | stat.S_IWOTH | stat.S_IXOTH)
    return stat.S_IMODE(mode) == 0o440


def _is_credential(path: str) -> bool:
    """Return True if systemd provides the file to this daemon alone (``LoadCredential=``).

    Systemd gives access by an access list, and the mask of that list looks like a right of the group.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and os.path.dirname(os.path.abspath(path)) == os.path.abspath(str(folder))


def load(data: bytes, where: str = "<tokens>") -> Tokens:
    """Read tokens from the bytes of a file.

    :raises ConfigError: with every problem found.
    """
    try:
        text = decode_toml(data)
        tables = read_toml(text)
    except TOMLError as error:  # the reason may quote a key, and so a secret
        position = f"{error.position}: " if error.position else ""
        raise ConfigError(where, (f"{position}not TOML in UTF-8 of a usual size",)) from None
    problems = list(islice(_problems(tables, text), MOST_PROBLEMS))
    if problems:
        raise ConfigError(where, tuple(problems))
    return Tokens(tuple(_token(table) for table in cast("list[TokenTable]", tables["token"])))


def _token(table: TokenTable) -> Token:
    roles: frozenset[Role] = frozenset().union(*(INCLUDED[role] for role in table["roles"]))
    return Token(
        User(table["name"], roles, Source[table.get("source", "CSC")]),
        Secret(table["secret"]),
    )


def _problems(tables: Mapping[str, object], text: str) -> Iterator[str]:
    """Yield one line for each problem."""
    given = tables.get("token")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        yield "expected one [[token]] section for each token"
        return
    for number, name in enumerate(tables, 1):
        if name != "token":
            yield f"{_place(text, name, f'section {number}')}: unknown section; expected [[token]]"
    names: set[str] = set()
    secrets: set[str] = set()
    for number, table in enumerate(given, 1):
        path = f"token[{number}]"
        for count, key in enumerate(table, 1):
            if key not in KEYS:
                place = _place(text, key, f"{path}, key {count}")
                yield f"{place}: unknown; expected one of {', '.join(KEYS)}"
        yield from (f"{path}.{why}" for why in _name_problems(table.get("name"), names))
        yield from (f"{path}.{why}" for why in _secret_problems(table.get("secret"), secrets))
        yield from (f"{path}.{why}" for why in _right_problems(table))


def _place(text: str, name: str, count: str) -> str:
    """Return the position of a name, with the line number if the name begins exactly one line."""
    lines = [
        number
        for number, line in enumerate(text.split("\n"), 1)
        if re.match(rf"[\s\[]*[\"']?{re.escape(name)}(?![A-Za-z0-9_-])", line)
    ]
    return f"{count} (line {lines[0]})" if len(lines) == 1 else count


def _name_problems(name: object, others: set[str]) -> Iterator[str]:
    text = name if isinstance(name, str) else ""
    try:
        usable_name(text)
    except ValueError as error:
        yield f"name: expected {error}"
        return
    if text in others:
        yield "name: another token has the same name"
    others.add(text)


def _secret_problems(secret: object, others: set[str]) -> Iterator[str]:
    if (
        not isinstance(secret, str)
        or len(secret) < SHORTEST
        or not secret.isascii()
        or not secret.isprintable()
    ):
        yield f"secret: expected at least {SHORTEST} printable ASCII characters"
    elif secret != secret.strip() or " " in secret:
        yield "secret: expected no spaces"
    elif secret in others:
        yield "secret: another token has the same secret"
    else:
        others.add(secret)


def _right_problems(table: Mapping[str, object]) -> Iterator[str]:
    roles, source = table.get("roles"), table.get("source", "CSC")
    if not isinstance(roles, list) or not roles or not all(role in ROLES for role in roles):
        yield f"roles: expected a list of {', '.join(ROLES)}"
    if source not in SOURCES:
        yield f"source: expected {' or '.join(SOURCES)}"
