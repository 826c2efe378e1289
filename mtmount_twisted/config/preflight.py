"""Checks that this machine can serve a configuration: the journal's file, sockets, the limit on open files.

It reads files, and connects to sockets to find out if they are in use. `problems` creates nothing, so that
``--check-config`` leaves nothing behind. Next to read: `loading`.
"""

from __future__ import annotations

import os
import resource
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from mtmount_twisted.files import MOST_TOML, read_file
from mtmount_twisted.journal.checking import side_problem, unfit
from mtmount_twisted.journal.schema import real_path
from mtmount_twisted.net.accepts import MAX_WAITING
from mtmount_twisted.net.endpoints import Endpoint
from mtmount_twisted.version import how_to_install

from .loading import Config
from .settings import PortCommanders

LONGEST_SOCKET = 107
"""The largest length of a socket's path, in bytes (``unix(7)``)."""

OWN_FILES = 100
"""The largest number of files that the daemon opens for itself: journal, log, listening sockets,
controller."""

FILES_PER_PAIR = 4
"""The largest number of open files of one pair: its two connections, and two more until the bridge refuses a
second peer."""

HANDSHAKES_PER_PORT = 140
"""The largest number of connections of a TLS port that are in their handshake, and so are no clients yet
(``frontends.tcp.tls``)."""

NO_HOME = (
    "there is no home directory for the default: "
    "give a path, set HOME or XDG_STATE_HOME, or disable the journal"
)


NO_HOME_FOR_RECORDINGS = (
    "there is no home directory for the default: "
    "give a path, set HOME or XDG_STATE_HOME, or disable the recorder"
)


def problems(config: Config) -> Iterator[str]:
    """Yield a line, which begins with the key, for each file or socket that can't be created."""
    if config.journal.enabled:
        file = config.journal.path
        yield from (
            f"journal.path: {why}" for why in ([NO_HOME] if file is None else _journal_problems(file))
        )
    yield from recorder_problems(config)
    yield from station_problems(config)
    for key, path in unix_sockets(config).items():
        yield from (f"{key}: {why}" for why in _socket_problems(path))


def owner_warnings(config: Config) -> Iterator[str]:
    """Yield a line, which begins with the key, if only another user can start this daemon.

    Root may run the check for a daemon that another user starts, so for root this is only a warning.
    """
    if os.geteuid() != 0 or not config.journal.enabled or config.journal.path is None:
        return
    path = real_path(Path(config.journal.path))
    if path.is_file() and (owner := path.stat().st_uid) != 0:
        user = f"start the daemon as that user, for example with twistd --uid={owner}"
        yield f"journal.path: {path} belongs to user {owner}: {user}"


def recorder_problems(config: Config) -> Iterator[str]:
    """Yield a line, which begins with the key, for each reason why telemetry can't be recorded."""
    settings = config.recorder
    if not settings.enabled:
        return
    if any(find_spec(package) is None for package in ("mcap", "zstandard")):
        yield f"recorder.enabled: mcap and zstandard are not installed: {how_to_install('recorder')}"
    if settings.path is None:
        yield f"recorder.path: {NO_HOME_FOR_RECORDINGS}"
    else:
        yield from (f"recorder.path: {why}" for why in _recordings_problems(settings.path))


def station_problems(config: Config) -> Iterator[str]:
    """Yield a line, which begins with the key, for each reason why the broker can't be used."""
    if config.station is None:
        return
    if find_spec("nats") is None:
        yield f"station.broker.servers: nats-py is not installed: {how_to_install('station')}"
    hook = config.station.hook
    if hook is not None and not (os.path.isfile(hook) and os.access(hook, os.X_OK)):
        yield f"station.hook: {hook} is not a program that this user may run; expected one, as a path"
    broker = config.broker
    if broker is None:
        return
    if broker.credentials is not None:
        if find_spec("nkeys") is None:
            yield f"station.broker.credentials: nkeys is not installed: {how_to_install('station')}"
        yield from (f"station.broker.credentials: {why}" for why in _secret_problems(broker.credentials))
    if broker.ca is not None:
        try:
            data = read_file(broker.ca).data
        except OSError as error:
            yield f"station.broker.ca: {broker.ca} can't be read: {error.strerror}"
        else:
            if b"-----BEGIN CERTIFICATE-----" not in data:
                yield f"station.broker.ca: {broker.ca} has no certificate; expected a file in PEM"


def _secret_problems(path: str) -> Iterator[str]:
    """Yield the reason if a file with a secret can't be read, or if others can read it."""
    try:
        content = read_file(path, MOST_TOML)
    except OSError as error:
        yield f"{path} can't be read: {error.strerror}"
        return
    if content.status.st_mode & 0o077:
        yield f"other users can read {path}: expected mode 600 (chmod 600 {path})"
    if not any(mark in content.data for mark in (b"SU", b"BEGIN NATS USER JWT")):
        yield f"{path} has no seed of an NKey, which begins with SU; expected it, or a .creds file"


def _recordings_problems(path: str) -> Iterator[str]:
    """Yield the reason if the folder of the recordings can be neither used nor created."""
    folder = os.path.realpath(path)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        yield f"{path} is no folder; expected a folder for recordings"
        return
    user = os.geteuid()
    if os.path.isdir(folder) and user and os.stat(folder).st_uid != user:
        owner = os.stat(folder).st_uid
        yield f"{path} belongs to user {owner}, who can change it; expected the daemon's user {user}"
        return
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    yield from _folder_problems(folder)


def unix_sockets(config: Config) -> dict[str, str]:
    """Return the paths of the sockets that a configuration listens on, by their keys."""
    return {
        f"{section}.endpoint": str(endpoint.port)
        for section, endpoint in config.endpoints.items()
        if endpoint.is_unix
    }


class SocketUse(Enum):
    """The state of the path of a socket."""

    FREE = "nothing"
    LEFT_BEHIND = "a socket on which nobody accepts a connection"
    IN_USE = "a socket on which a program accepts connections: is a daemon running already?"
    LINK = "a symbolic link, on which no socket can be made"
    OTHER = "no socket, or a socket that refuses this user"


def socket_use(path: str) -> SocketUse:
    """Return the state of the path of a socket. Connect to it, without blocking."""
    if os.path.islink(path):  # connect() follows a link, and bind() does not
        return SocketUse.LINK
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return SocketUse.FREE
        except ConnectionRefusedError:  # also if the file is no socket (unix(7))
            left_behind = stat.S_ISSOCK(os.lstat(path).st_mode)
            return SocketUse.LEFT_BEHIND if left_behind else SocketUse.OTHER
        except BlockingIOError:  # the listener's queue of connections is full
            return SocketUse.IN_USE
        except OSError:
            return SocketUse.OTHER
    return SocketUse.IN_USE


def remove_left_behind(path: str) -> bool:
    """Remove the socket of a killed daemon, so that the next daemon can listen at its path.

    Twisted's lock file beside the socket is removed too. It holds the process id of the killed daemon, which
    another process may have by now: in each container the id is 1.

    :returns: True if there was such a socket.
    :raises OSError: if the socket can't be removed.
    """
    if socket_use(path) is not SocketUse.LEFT_BEHIND:
        return False
    os.unlink(path)
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.lock")
    return True


def _journal_problems(path: str) -> Iterator[str]:
    """Yield the reason if the journal's file can be neither written nor created; follow a symbolic link."""
    link, path = path, str(real_path(Path(path)))
    points = "" if link == path else f"{link} points to {path}: "
    if os.path.islink(path):
        yield f"{link} is a symbolic link that leads to itself"
    elif os.path.isdir(path):
        yield f"{points}{path} is a folder; expected a file"
    elif os.path.exists(path):
        user = os.geteuid()
        found = os.stat(path)
        # Root may run the check for a daemon that another user starts.
        if why := unfit(found, user or found.st_uid) or side_problem(path):
            yield f"{points}{path} can't be the journal: {why}"
        elif not os.access(path, os.R_OK | os.W_OK):
            yield f"{points}{path} can't be written"
    elif why := side_problem(path):
        yield f"{points}{path} can't be the journal: {why}"
    else:
        folder = os.path.dirname(path)
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        yield from (f"{points}{why}" for why in _folder_problems(folder))


def _folder_problems(folder: str) -> Iterator[str]:
    if not os.path.isdir(folder):
        yield f"{folder} is not a folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"can't create files in the folder {folder}"


def _socket_problems(path: str) -> Iterator[str]:
    """Yield the reason if no socket can be created; an existing socket is not a problem here."""
    if len(os.fsencode(path)) > LONGEST_SOCKET:
        yield f"{path} is too long for a socket: expected at most {LONGEST_SOCKET} bytes"
    elif os.path.islink(path):
        yield f"at {path} there is {SocketUse.LINK.value}; expected a path that is no link"
    elif os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        yield f"{path} exists and is no socket; give another path"
    elif not os.path.isdir(os.path.dirname(path)):
        yield f"there is no folder {os.path.dirname(path)}"
    else:
        yield from _folder_problems(os.path.dirname(path))


def files_needed(config: Config) -> int:
    """Return the largest number of open files that the configuration can need; a connection is a file
    (``getrlimit(2)``)."""
    files = OWN_FILES + FILES_PER_PAIR * len(config.pairs)
    for port in config.client_ports.values():
        encrypted = bool(port.certificate) or Endpoint.parse(port.endpoint).is_encrypted
        files += port.max_clients if isinstance(port, PortCommanders) else port.max_readers
        files += MAX_WAITING + (HANDSHAKES_PER_PORT if encrypted else 0)
    return files + (config.web.max_connections + MAX_WAITING if config.web.enabled is not False else 0)


def file_limit(needed: int) -> int:
    """Return the limit on open files that `raise_file_limit` would reach."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return needed
    return max(soft, needed if hard == resource.RLIM_INFINITY else min(hard, needed))


def raise_file_limit(needed: int) -> int:
    """Raise this process's limit on open files to the number needed, or as far as the system permits.

    A shell often sets the limit to 1,024. Without a higher limit, clients without rights can use up all
    files, and a client that wants to stop the mount can't connect.

    :returns: the new limit.
    """
    limit = file_limit(needed)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft not in (limit, resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
