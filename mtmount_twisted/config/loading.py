"""The configuration of the bridge: TOML in, frozen and checked values out.

`load` reads a text and `load_file` a file; `check` checks values that a program made or changed. One
`ConfigError` reports all errors at once. Only `load_file` does I/O. `default_config` is the configuration
without a file.

Next to read: `settings`, which declares every key; `tables`, which reads the parsed file; ``net.addresses``,
which compares addresses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, get_args

from attrs import evolve, field, frozen

from mtmount_twisted.dialects.dialect import TRANSLATION, Dialect, DialectName, Topology, dialect_named
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.files import MOST_TOML, TOMLError, decode_toml, read_file, read_toml
from mtmount_twisted.hosts import canonical
from mtmount_twisted.net.addresses import SocketAddress, clashes, replies_by_default
from mtmount_twisted.net.endpoints import Endpoint

from .settings import (
    BrokerSettings,
    ClientLimits,
    CommandRules,
    Controller,
    JournalSettings,
    ManyClients,
    MotionSettings,
    PairCommander,
    PortCommanders,
    RecorderSettings,
    SimulatorSettings,
    SiteSettings,
    StationSettings,
    StationUserSettings,
    TelemetryReaders,
    WebSettings,
)
from .tables import Entry, as_tables, build, read

MOST_USERS = 32
"""The largest number of users of the broker: the broker process keeps some requests of each user in
memory."""

MOST_PROBLEMS = 100
"""The largest number of problems of a configuration that an error lists."""


@frozen(kw_only=True)
class Config:
    """The configuration of the bridge; a field for each section.

    :param controller: the mount's controller, or None for the built-in simulator.
    :param simulator: the built-in simulator, if there is no controller.
    :param pairs: the commanders with a pair of connections each.
    :param ports: the ports for any number of clients.
    :param telemetry: the ports that serve the mount's telemetry.
    :param command: the rules for commands and for command authority.
    :param clients: the limits of a slow client's backlog.
    :param journal: the journal's file and its limits.
    :param recorder: the recordings of telemetry and their limits.
    :param station: the bridge's place among several machines; None for one machine.
    :param broker: the message broker of the station; None for the defaults.
    :param users: the users who may send commands by the broker.
    :param web: the page, the API and the metrics.
    :param site: the place of the telescope.
    :param motion: the rules for slews, and the limits of the axes.
    """

    controller: Controller | None = field(default=None, metadata={"section": "controller"})
    simulator: SimulatorSettings = field(factory=SimulatorSettings, metadata={"section": "simulator"})
    pairs: tuple[PairCommander, ...] = field(default=(), metadata={"section": "pair"})
    ports: tuple[PortCommanders, ...] = field(default=(), metadata={"section": "port"})
    telemetry: tuple[TelemetryReaders, ...] = field(default=(), metadata={"section": "telemetry"})
    command: CommandRules = field(factory=CommandRules, metadata={"section": "command"})
    clients: ClientLimits = field(factory=ClientLimits, metadata={"section": "clients"})
    journal: JournalSettings = field(factory=JournalSettings, metadata={"section": "journal"})
    recorder: RecorderSettings = field(factory=RecorderSettings, metadata={"section": "recorder"})
    station: StationSettings | None = field(default=None, metadata={"section": "station"})
    broker: BrokerSettings | None = field(default=None, metadata={"section": "station.broker"})
    users: tuple[StationUserSettings, ...] = field(default=(), metadata={"section": "station.user"})
    web: WebSettings = field(factory=WebSettings, metadata={"section": "web"})
    site: SiteSettings = field(factory=SiteSettings, metadata={"section": "site"})
    motion: MotionSettings = field(factory=MotionSettings, metadata={"section": "motion"})

    @property
    def dialect(self) -> DialectName:
        """The name of the dialect of the controller, or of the built-in simulator."""
        return (self.controller or self.simulator).dialect

    @property
    def client_ports(self) -> dict[str, ManyClients]:
        """The ports for any number of clients, by their sections: ``port[1]``, ``telemetry[1]``."""
        ports = {f"port[{number}]": port for number, port in enumerate(self.ports, 1)}
        return {**ports, **{f"telemetry[{number}]": port for number, port in enumerate(self.telemetry, 1)}}

    def with_client_ports(self, changes: Mapping[str, Mapping[str, Any]]) -> Config:
        """Return a copy with other values in `client_ports`.

        :param changes: for each section, the new values by their keys.
        """
        ports = [evolve(port, **changes[section]) for section, port in self.client_ports.items()]
        return evolve(
            self,
            ports=tuple(port for port in ports if isinstance(port, PortCommanders)),
            telemetry=tuple(port for port in ports if isinstance(port, TelemetryReaders)),
        )

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """The endpoints to listen on, by their sections: ``port[1]``, ``telemetry[1]``, ``web``."""
        texts = {section: port.endpoint for section, port in self.client_ports.items()}
        if self.web.endpoint is not None and self.web.enabled is not False:
            texts["web"] = self.web.endpoint
        return {section: Endpoint.parse(text) for section, text in texts.items()}


def default_config() -> Config:
    """Return the configuration without a file.

    It has the simulator of today's mount, and a CSC that speaks tma2020 on ports 30005 and 30006.
    """
    csc = PairCommander(name="csc", command_port=30005, dialect="tma2020")
    return Config(simulator=SimulatorSettings(dialect="tma2022"), pairs=(csc,))


def load(text: str, where: str = "<config>") -> Config:
    """Read a configuration.

    :param text: the configuration, in TOML.
    :param where: the name of the configuration in an error.
    :raises ConfigError: if the text is not TOML, or with every error in it.
    """
    try:
        tables = read_toml(text)
    except TOMLError as error:
        raise ConfigError(where, (str(error),)) from None
    return _config(tables, where)


def load_file(path: str | os.PathLike[str]) -> Config:
    """Read a configuration from a file.

    :raises ConfigError: if the file can't be read or is not TOML in UTF-8, or with every error in it.
    """
    where = os.fspath(path)
    try:
        text = decode_toml(read_file(path, MOST_TOML).data)
    except OSError as error:
        raise ConfigError(where, (f"can't be read: {error.strerror}",)) from None
    except TOMLError as error:
        raise ConfigError(where, (str(error),)) from None
    return load(text, where)


def check(config: Config, where: str = "<config>") -> Config:
    """Check values that a program made or changed, as if they came from a file.

    :raises ConfigError: with every error in them.
    """
    return _config(as_tables(config), where)


def _config(tables: Mapping[str, Any], where: str) -> Config:
    """Return the configuration in a parsed file. Collect every error, then raise one `ConfigError`."""
    problems: list[str] = []
    entries = read(Config, tables, problems)
    if not tables.get("pair") and not tables.get("port"):
        problems.append("nothing to listen on: expected at least one [[pair]] or [[port]]")
    problems += _same_names(entries)
    mount = "controller" if "controller" in tables else "simulator"
    dialect = dialect_named(_dialect(tables.get(mount)))
    problems += _reply_places(dialect, entries)
    if mount not in tables or any("dialect" in each.values for each in entries if each.section == mount):
        problems += _no_translation(dialect, f"{mount}.dialect", entries)
        problems += _no_telemetry(dialect, f"{mount}.dialect", entries)
    problems += islice(
        clashes([place for entry in entries for place in _places(entry, dialect)]), MOST_PROBLEMS
    )
    problems += _no_journal(entries)
    problems += _commands(entries)
    problems += _no_election(mount, entries)
    for entry in entries:
        problems += _open_web(entry.section, entry.values)
        problems += _open_port(entry)
        problems += _only_streams(entry)
        problems += _in_order(entry)
    if problems:
        raise ConfigError(where, _first(problems))
    config: Config = build(Config, entries)
    return config


def _first(problems: list[str]) -> tuple[str, ...]:
    """Return the first problems, and one line with the number of the others."""
    more = len(problems) - MOST_PROBLEMS
    return (*problems[:MOST_PROBLEMS], *([f"{more} more problems"] if more > 0 else []))


def _same_names(entries: list[Entry]) -> Iterator[str]:
    first: dict[tuple[bool, str], str] = {}
    for entry in entries:
        name = entry.values.get("name")
        if name is None:
            continue
        key = entry.section == "station.user", name  # users may share names with pairs and ports
        if first.setdefault(key, entry.path) != entry.path:
            yield f"{entry.path}.name: {name!r} is the name of {first[key]} already"


def _dialect(mount: object) -> DialectName:
    """Return the dialect in the parsed section of the mount; tma2020 if the section has no dialect, or an
    unknown one."""
    given = mount.get("dialect") if isinstance(mount, dict) else None
    names: tuple[DialectName, ...] = get_args(DialectName)
    return next((name for name in names if name == given), "tma2020")


def _reply_places(dialect: Dialect, entries: list[Entry]) -> Iterator[str]:
    """Report a missing port for replies; or a place for replies in a dialect whose replies have no connection
    of their own.

    In the latter case, remove the port from the values, so that no check compares it with another one.
    """
    for entry in entries:
        if entry.section not in _REPLY_KEYS:
            continue
        spoken = dialect
        if entry.section == "pair" and entry.values.get("dialect") is not None:
            spoken = dialect_named(entry.values["dialect"])
        if spoken.topology is not Topology.PAIR:
            entry.values["reply_port"] = None
            yield from (
                f"{entry.path}.{key}: replies of {spoken.name} come on the connection of the commands: "
                "remove this key"
                for key in _REPLY_KEYS[entry.section]
                if key in entry.given
            )
        elif entry.values.get("reply_port", 0) is None:
            port = entry.values["command_port"]
            yield f"{entry.path}.reply_port: there is no port one above {port}; name one"


def _no_translation(dialect: Dialect, key: str, entries: list[Entry]) -> Iterator[str]:
    """Report a dialect of clients that the bridge can't translate to the mount's dialect, which `key`
    sets."""
    for entry in entries:
        spoken = entry.values.get("dialect") if entry.section in ("pair", "port") else None
        if spoken not in (None, dialect.name) and (spoken, dialect.name) != TRANSLATION:
            yield (
                f"{entry.path}.dialect: {spoken!r} can't be translated for a mount that speaks "
                f"{dialect.name}: leave this key out, or set {key} to {spoken!r}"
            )


def _no_telemetry(dialect: Dialect, key: str, entries: list[Entry]) -> Iterator[str]:
    """Report places for telemetry that the mount's dialect, which `key` sets, does not have."""
    if dialect.telemetry is not None:
        return
    places = [entry.path for entry in entries if entry.section == "telemetry"]
    places += [
        f"{entry.path}.{name}"
        for entry in entries
        if entry.section == "controller"
        for name in entry.given
        if name.startswith("telemetry_") and name in entry.values
    ]
    places += [
        f"{entry.path}.{key}"
        for entry in entries
        for section, key in (("recorder", "enabled"), ("station.broker", "telemetry"))
        if entry.section == section and entry.values.get(key)
    ]
    for place in places:
        yield f"{place}: a mount that speaks {dialect.name} has no telemetry: leave this out, or set {key}"


def _no_journal(entries: list[Entry]) -> Iterator[str]:
    """Report a station without a journal: the events wait in the journal until the broker has them."""
    is_off = any(entry.section == "journal" and entry.values.get("enabled") is False for entry in entries)
    if is_off and any(entry.section == "station" for entry in entries):
        yield (
            "station: the events for the broker come from the journal, which is turned off: "
            "set journal.enabled = true, or remove [station]"
        )


def _commands(entries: list[Entry]) -> Iterator[str]:
    """Report commands by the broker that no user may send, and too many users."""
    users = [entry for entry in entries if entry.section == "station.user"]
    takes = any(entry.section == "station.broker" and entry.values.get("commands") for entry in entries)
    states = any(entry.section == "station" and "one_peer" in entry.given for entry in entries)
    if len(users) > MOST_USERS:
        yield f"station.user: expected at most {MOST_USERS} users, got {len(users)}"
    first: dict[str, str] = {}
    for entry in users:
        name = entry.values.get("name", entry.path)
        same = first.setdefault(name.upper().replace("-", "_"), name)
        if same != name:  # both users would share the variable with their key
            yield f"{entry.path}.name: {name!r} differs from {same!r} only by case, or by - and _"
    if takes and not users:
        yield "station.broker.commands: there is no [[station.user]] that may send any"
    if takes and not states:
        yield (
            "station.broker.commands: state station.one_peer: true if the mount refuses a second connection, "
            "which mtmount-bridge --check-one-peer HOST:PORT tries"
        )


def _no_election(mount: str, entries: list[Entry]) -> Iterator[str]:
    """Report keys of an election in a file without one, and an election for the built-in simulator.

    :param mount: the section of the mount.
    """
    for entry in entries:
        if entry.section != "station":
            continue
        one_peer = entry.values.get("one_peer")
        if one_peer is None:
            yield from (
                f"{entry.path}.{key}: has no effect without {entry.path}.one_peer: state whether the mount "
                "refuses a second peer (mtmount-bridge --check-one-peer HOST:PORT tries it)"
                for key in ("preferred", "take_over_after", "hook")
                if key in entry.given and key in entry.values
            )
        elif mount == "simulator":
            yield f"{entry.path}.one_peer: the built-in simulator serves this bridge alone: add [controller]"
        if one_peer is False and entry.values.get("preferred"):
            yield (
                f"{entry.path}.preferred: has no effect with one_peer = false: without the broker no bridge "
                "may move a mount that takes many peers"
            )


def _open_web(section: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Report a page that other machines reach without tokens, unless the file allows that."""
    endpoint = values.get("endpoint")
    if section != "web" or not endpoint or values.get("tokens") or values.get("enabled") is False:
        return
    if not values.get("insecure") and not Endpoint.parse(endpoint).is_near:
        yield (
            f"web.endpoint: {endpoint} can be reached from other machines: give a file of tokens "
            "(web.tokens), listen at interface=127.0.0.1, or let anyone command it (web.insecure = true)"
        )


def _open_port(entry: Entry) -> Iterator[str]:
    """Report an incomplete certificate, and a port that accepts any machine."""
    values, path = entry.values, entry.path
    if entry.section not in ("port", "telemetry"):
        return
    if values.get("client_ca") and not values.get("certificate"):
        yield f"{path}.client_ca: has no effect without {path}.certificate: give both or neither"
    if values.get("private_key") and not values.get("certificate"):
        yield f"{path}.private_key: has no effect without {path}.certificate: give both or neither"
    if not values.get("endpoint"):
        return
    endpoint = Endpoint.parse(values["endpoint"])
    if values.get("certificate") and endpoint.is_encrypted:
        yield f"{path}.certificate: the endpoint is encrypted already; expected tcp: in place of ssl:"
    if not endpoint.is_near and not any(values.get(key) for key in ("allow", "client_ca", "insecure")):
        yield (
            f"{path}.endpoint: {values['endpoint']} can be reached from other machines: say who may connect "
            f"({path}.allow or {path}.client_ca), listen at interface=127.0.0.1, or let in anyone "
            f"({path}.insecure = true)"
        )


def _only_streams(entry: Entry) -> Iterator[str]:
    """Report a limit by which one user's event streams may take all connections of an address."""
    streams = entry.values.get("max_streams_per_user")
    connections = entry.values.get("max_connections_per_address")
    if entry.section == "web" and streams and connections and streams >= connections:
        yield (
            f"{entry.path}.max_streams_per_user: {streams} event streams of one user can occupy all "
            f"{connections} connections of its address, and leave none for a stop: expected fewer than "
            f"{entry.path}.max_connections_per_address"
        )


_IN_ORDER = (
    ("azimuth_low", "azimuth_high", False),
    ("elevation_low", "elevation_high", False),
    ("cable_wrap_low", "cable_wrap_high", False),
    ("limit_alarm", "limit_caution", True),
)
"""Pairs of keys of ``[motion]``: the first value must be less than the second; True if they may be equal."""


def _in_order(entry: Entry) -> Iterator[str]:
    """Report limits of an axis, and times, that are in the wrong order."""
    if entry.section != "motion":
        return
    for first, second, may_be_equal in _IN_ORDER:
        low, high = entry.values.get(first), entry.values.get(second)
        if low is None or high is None or low < high or (may_be_equal and low == high):
            continue
        must_be = f"{'at most' if may_be_equal else 'less than'} {entry.path}.{second} ({high:g})"
        yield f"{entry.path}.{first}: {low:g} does not fit: expected {must_be}"


def _places(entry: Entry, dialect: Dialect) -> Iterator[SocketAddress]:
    values = entry.values
    if dialect.telemetry is not None and values.get("telemetry_port", 0) is None:
        values = {**values, "telemetry_port": dialect.telemetry.port}
    if values.get("endpoint") and values.get("enabled") is not False:
        bound = Endpoint.parse(values["endpoint"])
        host = "unix" if bound.is_unix else bound.host
        yield SocketAddress(f"{entry.path}.endpoint", host, bound.port, listens=True)
    for host_key, port_key, listens in _PLACES.get(entry.section, ()):
        if host_key in values and values.get(port_key) is not None:
            host = values[host_key] or _DEFAULT_HOSTS[host_key](values.get("host", "localhost"))
            yield SocketAddress(f"{entry.path}.{port_key}", canonical(host), values[port_key], listens)


_PLACES = {
    "controller": (
        ("host", "command_port", False),
        ("reply_host", "reply_port", True),
        ("telemetry_host", "telemetry_port", False),
    ),
    "pair": (("listen", "command_port", True), ("reply_host", "reply_port", False)),
}

_DEFAULT_HOSTS: dict[str, Callable[[str], str]] = {"reply_host": replies_by_default, "telemetry_host": str}
"""Functions that make the default of an omitted host from the controller's host."""

_REPLY_KEYS = {
    "controller": ("reply_host", "reply_port", "replies_from"),
    "pair": ("reply_host", "reply_port"),
}
"""The keys for the second connection of a controller or commander that has two connections."""
