"""What this machine has for a configuration: whether files can be where they are to be.

It looks and makes nothing, so that ``--check-config`` leaves nothing behind. Next to read: `config`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from .config import Config
from .places import parse_endpoint

LONGEST_SOCKET = 107
"""How long the path of a socket may be, in bytes (``unix(7)``)."""


def problems(config: Config) -> Iterator[str]:
    """Why files can't be where a configuration wants them, a line each, with the key."""
    if config.journal.enabled:
        yield from (f"journal.path: {why}" for why in _file_problems(config.journal.path))
    sockets = [(f"port[{number}].endpoint", port.endpoint) for number, port in enumerate(config.ports, 1)]
    if config.web.endpoint is not None and config.web.enabled is not False:
        sockets.append(("web.endpoint", config.web.endpoint))
    for key, endpoint in sockets:
        host, path = parse_endpoint(endpoint)
        if host == "unix":
            yield from (f"{key}: {why}" for why in _socket_problems(str(path)))


def _file_problems(path: str) -> Iterator[str]:
    """A file can be written, or made with the folders above it."""
    if os.path.isdir(path):
        yield f"{path} is a folder; expected a file"
    elif os.path.exists(path):
        if not os.access(path, os.R_OK | os.W_OK):
            yield f"{path} can't be written"
    else:
        folder = os.path.dirname(path)
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        yield from _folder_problems(folder)


def _folder_problems(folder: str) -> Iterator[str]:
    if not os.path.isdir(folder):
        yield f"{folder} is not a folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"nothing can be made in the folder {folder}"


def _socket_problems(path: str) -> Iterator[str]:
    """A socket can be made; one that is there is another's, or was left behind."""
    if len(os.fsencode(path)) > LONGEST_SOCKET:
        yield f"{path} is too long for a socket: expected at most {LONGEST_SOCKET} bytes"
    elif os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        yield f"{path} is there, and no socket"
    elif not os.path.isdir(os.path.dirname(path)):
        yield f"there is no folder {os.path.dirname(path)}"
    else:
        yield from _folder_problems(os.path.dirname(path))
