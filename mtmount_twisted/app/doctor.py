"""``twistd mtmount-bridge --doctor``: one line for each thing that a daemon needs of this machine.

The checks change nothing and connect to nothing. A port is bound for a moment and never listens, so that no
peer can connect to the check in place of a daemon. The checks only look up the names of the mount's hosts,
and do not contact the mount, not even for its telemetry. Next to read: `config.preflight`, which has the
checks of files and sockets.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import twisted

from mtmount_twisted.config import preflight
from mtmount_twisted.config.loading import Config
from mtmount_twisted.errors import NotAJournalError, TaiUnavailableError
from mtmount_twisted.hosts import host_and_port
from mtmount_twisted.journal.reading import damage_in
from mtmount_twisted.net.resolving import look_up
from mtmount_twisted.version import __version__
from mtmount_twisted.visible import visible
from mtmount_twisted.wire.tai import tai_source

from .daemon import Found, Listen

NOT_SYNCHRONIZED = 5
"""``TIME_ERROR``, the answer of ``adjtimex(2)`` while no time daemon keeps the clock."""


EXAMINED = 5.0
"""The longest time for the examination of a journal, in seconds. A start of the daemon examines the whole
journal."""


class Level(Enum):
    """The severity of a finding. With a `FAULT`, a daemon does not start or can't command the mount."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


OK, WARNING, FAULT = Level


class Finding(NamedTuple):
    """A line of the report.

    :ivar about: the thing that was checked, such as ``journal``.
    :ivar text: the result and, unless the level is `OK`, the remedy.
    """

    level: Level
    about: str
    text: str

    def __str__(self) -> str:
        return visible(f"{self.level.value:8} {self.about}: {self.text}")  # one line, whatever a file has


class Patient(NamedTuple):
    """The things to check.

    :ivar config: a configuration without errors of its own.
    :ivar file: the path of its file; None for the options alone.
    :ivar listens: every TCP address and port that the daemon will listen on.
    :ivar place: return the source of the value of a key: the file and the key, or the option.
    :ivar secrets: functions that read certificates and tokens, by the name for the report. Each function
        returns warnings, and raises `SystemExit` with one line for each fault.
    """

    config: Config
    file: str | None
    listens: tuple[Listen, ...]
    place: Callable[[str], str]
    secrets: dict[str, Callable[[], Iterable[str]]]


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield all findings, in the order of the report. This blocks, for 5 s at most: for the name servers."""
    yield from _versions()
    yield Finding(
        OK, "configuration", patient.file or "the options alone; give --config FILE to check a file"
    )
    found = look_up(_hosts(patient))
    yield from _names(found)
    yield from (_port(listen, found) for listen in patient.listens)
    yield from _files(patient)
    yield from _secrets(patient)
    yield _clock(kernel_clock_state())
    yield _tai(tai_source)
    yield _telemetry(patient.config)


def summary(findings: Iterable[Finding]) -> str:
    """Return the last line of the report."""
    levels = [finding.level for finding in findings]
    return f"faults: {levels.count(FAULT)}, warnings: {levels.count(WARNING)}"


def _versions() -> Iterator[Finding]:
    versions = f"mtmount_twisted {__version__}, Python {platform.python_version()}"
    yield Finding(OK, "versions", f"{versions}, Twisted {twisted.__version__}, {platform.system()}")


def _hosts(patient: Patient) -> list[str]:
    config = patient.config
    hosts = [pair.reply_host for pair in config.pairs] + [listen.host for listen in patient.listens]
    controller = config.controller
    if controller is None:
        return hosts
    telemetry = controller.telemetry
    return [*hosts, controller.host, *([] if telemetry is None else telemetry[:1])]


def _names(found: Found) -> Iterator[Finding]:
    for host, addresses in found.items():
        if isinstance(addresses, str):
            why = (
                f"{host} does not resolve ({addresses}); correct the name, the hosts file or the name server"
            )
            yield Finding(FAULT, "names", why)
        elif addresses != (host,):
            yield Finding(OK, "names", f"{host} is {', '.join(addresses)}")


def _port(listen: Listen, found: Found) -> Finding:
    """Bind a port for a moment, without listening."""
    place = host_and_port(listen.host, listen.port)
    addresses = found[listen.host]
    if isinstance(addresses, str):
        return Finding(FAULT, "ports", f"{listen.host_option}: {listen.host} does not resolve; see above")
    host, _, zone = addresses[0].partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, listen.port, 0, socket.if_nametoindex(zone)) if zone else (host, listen.port))
        except OSError as error:
            level = WARNING if error.errno == errno.EADDRINUSE else FAULT
            advice = _ADVICE.get(error.errno or 0, "give another")
            return Finding(level, "ports", f"{listen.port_option}: {place}: {error.strerror}; {advice}")
    return Finding(OK, "ports", f"{place} is free")


_ADVICE = {
    errno.EADDRINUSE: "is a daemon running already? 'ss -ltnp' names the program",
    errno.EACCES: "give a port above 1023, or the right to bind it (AmbientCapabilities= of systemd)",
    errno.EADDRNOTAVAIL: "give an address of this machine ('ip address' lists them)",
}


def _files(patient: Patient) -> Iterator[Finding]:
    config, place = patient.config, patient.place
    wrong = [problem.partition(": ") for problem in preflight.problems(config)]
    for key, _, why in wrong:
        yield Finding(FAULT, key.partition(".")[0], f"{place(key)}: {why}")
    faulty = {key.partition(".")[0] for key, _, _ in wrong}
    for name, settings in (("journal", config.journal), ("recorder", config.recorder)):
        if not settings.enabled:
            yield Finding(OK, name, "off")
        elif name not in faulty and settings.path is not None:
            path = Path(settings.path)
            if name == "journal" and path.exists():
                yield from journal_findings(path)
            yield _room(name, path, settings.keep_bytes)
    needed = preflight.files_needed(config)
    if (limit := preflight.file_limit(needed)) < needed:
        why = f"this process may open {limit}, and the configuration can need {needed}"
        yield Finding(WARNING, "open files", f"{why}; raise the limit (ulimit -n, LimitNOFILE=)")
    else:
        yield Finding(OK, "open files", f"{limit}, and the configuration can need {needed}")


def journal_findings(path: Path) -> Iterator[Finding]:
    """Yield a fault if the daemon can't use a journal, or sets it aside."""
    try:
        damage = damage_in(path, EXAMINED)
    except NotAJournalError as error:
        why = f"{path} can't be the journal: {error}"
        yield Finding(FAULT, "journal", f"{why}; move it away, or give another journal.path")
        return
    if damage:
        why = f"{path} is damaged ({damage}): the next start sets it aside, and begins a new one"
        yield Finding(FAULT, "journal", f"{why}; docs/howto/rescue-journal.rst saves its rows")


def _room(name: str, path: Path, wanted: int) -> Finding:
    """Compare the free space for a file, and its present size, with the size that it may reach."""
    folder, size = path, 0
    with suppress(OSError):
        size = sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else (path,)))
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{path}, {_mb(size)}; {_mb(free)} are free, and it may grow to {_mb(wanted)}"
    if free + size < wanted:
        return Finding(WARNING, name, f"{text}; free space, or lower {name}.keep_bytes")
    return Finding(OK, name, text)


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _secrets(patient: Patient) -> Iterator[Finding]:
    for name, read in patient.secrets.items():
        try:
            warnings = list(read())
        except SystemExit as fault:
            for why in str(fault.code).splitlines():
                yield Finding(FAULT, name, why.partition(": ")[2])
            continue
        yield from (Finding(WARNING, name, f"{why}; renew it") for why in warnings)
        if not warnings:
            yield Finding(OK, name, "all that the configuration names can be used")


def kernel_clock_state() -> int | None:
    """Return the state of the clock from ``adjtimex(2)``; None if the system does not report it."""
    try:
        # Zeros ask for no change. The structure has 208 bytes.
        state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))
    except (AttributeError, OSError):
        return None
    return None if state < 0 else state


def _clock(state: int | None) -> Finding:
    if state is None:
        return Finding(WARNING, "clock", "this system does not tell whether a time daemon keeps the clock")
    if state == NOT_SYNCHRONIZED:
        why = "no time daemon keeps it: track commands and the journal get wrong times"
        return Finding(WARNING, "clock", f"{why}; install chrony or systemd-timesyncd")
    return Finding(OK, "clock", "a time daemon keeps it")


def _tai(source: Callable[[], str]) -> Finding:
    try:
        return Finding(OK, "TAI", source())
    except TaiUnavailableError as error:
        return Finding(FAULT, "TAI", str(error))


def _telemetry(config: Config) -> Finding:
    if config.controller is None:
        return Finding(OK, "telemetry", "that of the built-in simulator, if its dialect has any")
    telemetry = config.controller.telemetry
    if telemetry is None:
        return Finding(OK, "telemetry", f"none in {config.dialect}")
    return Finding(OK, "telemetry", f"from {host_and_port(*telemetry)}, which was not contacted")
