"""The import rule: a room imports only from the rooms that it is allowed to know.

`ROOMS` is ``docs/explanation/architecture.rst`` as data. A new folder is added to one of its rows; a new
arrow is a decision, and is made here.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, NamedTuple, get_args

import attrs
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import files
from mtmount_twisted.app import bridge as bridge_app
from mtmount_twisted.app import bridge_service
from mtmount_twisted.bridge import (
    announcements,
    core,
    last_values,
    observers,
    repeats,
    sent_ids,
    waiting_asks,
)
from mtmount_twisted.client import mount
from mtmount_twisted.config import loading, settings
from mtmount_twisted.dialects.dialect import DialectName, dialect_named
from mtmount_twisted.dialects.tma2022 import envelope
from mtmount_twisted.frontends.broker import desk as broker_desk
from mtmount_twisted.frontends.broker import supervisor, words
from mtmount_twisted.frontends.tcp import command_queue, commanders, tls
from mtmount_twisted.frontends.tcp import telemetry as tcp_telemetry
from mtmount_twisted.frontends.web.api import acks, command_tracker, fair_places, history, leases
from mtmount_twisted.frontends.web.api import commanders as web_commanders
from mtmount_twisted.frontends.web.events import ring
from mtmount_twisted.frontends.web.http import input_turns, routing, site
from mtmount_twisted.journal import limited, recorder, track_runs
from mtmount_twisted.net import (
    accepts,
    by_network,
    endings,
    event_order,
    halves,
    handshakes,
    known_addresses,
    liveness,
    output,
    pair,
    protocol,
    rate_limited_log,
    records,
    resolving,
    send_buffer,
    telemetry,
    turn_time,
    unix_sockets,
)
from mtmount_twisted.station import desk as station_desk
from mtmount_twisted.station import events, keeper, nats_connection, outbox, searching, streams
from mtmount_twisted.upstream import link, telemetry_link
from mtmount_twisted.upstream.leadership import hook, tenure
from mtmount_twisted.wire import lines

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "mtmount_twisted"
DIALECTS = get_args(DialectName)


class Room(NamedTuple):
    """Some folders or modules, and the rooms that they may import from besides their own."""

    modules: frozenset[str]
    imports: frozenset[str]


def room(modules: str, imports: str = "") -> Room:
    """A row of the table, from names with spaces between them."""
    return Room(frozenset(modules.split()), frozenset(imports.split()))


CORE = "version visible files hosts errors wire motion dialect layout dialects codec protocols records"
"""The rooms that can be used with no Twisted at all."""

# From left to right. A folder stands for all that is in it, unless a module of it has a row of its own.
ROOMS: dict[str, Room] = {
    "version": room("version"),
    "visible": room("visible"),
    "files": room("files"),
    "hosts": room("hosts"),
    "errors": room("errors", "hosts"),
    "wire": room("wire", "errors"),
    "motion": room("motion"),
    "dialect": room(
        "dialects.command_names dialects.dialect dialects.content dialects.facts dialects.joined "
        "dialects.preview dialects.sources",
        "wire",
    ),
    "interfaces": room("interfaces", "motion dialect"),
    "layout": room(  # separator, terminator, JSON: known to the messages and codecs only
        "dialects.tma2020.framing dialects.tma2022.framing dialects.tma2022.json_lines", "errors wire"
    ),
    "dialects": room(  # the messages
        "dialects dialects.tma2022.commands dialects.tma2022.enums "
        "dialects.tma2022.faults dialects.tma2022.fields dialects.tma2022.interlocks "
        "dialects.tma2022.replies dialects.tma2022.reply_type "
        "dialects.tma2022.telemetry "
        "dialects.tma2022.topic_type",
        "errors wire dialect layout",
    ),
    "codec": room(  # lines <-> messages, and the headers of lines
        "dialects.recorded dialects.text_header "
        "dialects.tma2020.codec dialects.tma2020.envelope dialects.tma2020.facts dialects.tma2020.outcomes "
        "dialects.tma2022.codec dialects.tma2022.envelope dialects.tma2022.facts dialects.tma2022.outcomes "
        "dialects.tma2022.relay dialects.tma2022.sending",
        "errors wire dialect layout dialects",
    ),
    # The value `Dialect` of each generation, and all of it under one name.
    "protocols": room(
        "dialects.tma2020.dialect dialects.tma2022 dialects.translate dialects.translated",
        "errors wire dialect layout dialects codec",
    ),
    "records": room("records"),
    "net": room("net", "visible files hosts errors interfaces wire dialect"),
    "client": room("client", "errors wire dialect dialects codec protocols net"),
    "package": room("__init__ commands replies enums", "version wire dialects net client"),
    "journal": room("journal", "version visible files errors interfaces dialect motion net records"),
    "config": room("config", "version files hosts errors dialect net journal"),
    "bridge": room("bridge", "errors interfaces wire dialect net journal config records"),
    "upstream": room("upstream", "errors interfaces dialect net journal bridge motion records"),
    "tcp": room("frontends.tcp", "hosts errors interfaces wire dialect net journal config bridge"),
    "http": room("frontends.web.http", "files hosts errors wire dialect net journal config"),
    "web": room(
        "frontends.web frontends",
        "version visible hosts errors interfaces wire dialect net journal config http motion records",
    ),
    "simulator": room("simulator", "errors wire dialect dialects protocols net client"),
    "cli": room("cli", "version visible files hosts errors wire dialect dialects net client journal"),
    "public": room("commander journal.__main__", "cli"),
    "broker": room(  # the daemon's side of the child process
        "frontends.broker", "visible interfaces dialect net http web records"
    ),
    "contracts": room("station.contracts"),
    "testing": room("testing", "hosts errors interfaces dialect net client contracts"),
    # The child process on asyncio: no room of the daemon may import it.
    "station": room("station", "visible errors wire dialect journal http web cli broker contracts"),
    "app": room(
        "app",
        "version visible hosts errors interfaces wire dialect dialects net journal config "
        "bridge motion records upstream tcp http web broker simulator cli",
    ),
}

HEAVY = ["twisted.internet.reactor", "twisted.web", "numpy", "erfa", "prompt_toolkit"]
"""What is imported when it is used, and not before."""


def sources() -> dict[str, ast.Module]:
    """Every module of the package, by its name below the package; the dict is the caller's own."""
    return dict(parsed_sources())


@cache  # reading and parsing all modules takes a second, and most tests here need them
def parsed_sources() -> dict[str, ast.Module]:
    """Every module of the package, by its name below the package."""
    folder = ROOT / PACKAGE
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room_of(module: str) -> str | None:
    """The name of the room where a module lives, or None if it is in no row."""
    while module:
        for name, row in ROOMS.items():
            if module in row.modules:
                return name
        module = module.rpartition(".")[0]
    return None


def absolute_imports(module: str, node: ast.AST) -> list[str]:
    """The absolute names that one statement of a module imports, if it is an import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    is_package = module == "__init__" or (ROOT / PACKAGE / Path(*module.split("."))).is_dir()
    name = PACKAGE if module == "__init__" else f"{PACKAGE}.{module}"
    parent = name if is_package else name.rpartition(".")[0]
    source = resolve_name("." * node.level + (node.module or ""), parent)
    return [f"{source}.{alias.name}" for alias in node.names]


def own_imports(module: str, tree: ast.Module, known: set[str]) -> Iterator[tuple[str, int]]:
    """The modules of ours that a module imports anywhere in its text, with the line."""
    for node in ast.walk(tree):
        for name in absolute_imports(module, node):
            if name.split(".")[0] != PACKAGE:
                continue
            target = name.partition(".")[2]
            while target and target not in known:
                target = target.rpartition(".")[0]
            yield target or "__init__", getattr(node, "lineno", 0)


def arrows(modules: dict[str, ast.Module]) -> Iterator[tuple[str, str, str]]:
    """Each import of one room from another: the two rooms, and a line for a reader."""
    for module, tree in modules.items():
        home = room_of(module)
        for target, line in own_imports(module, tree, set(modules)):
            there = room_of(target)
            if home and there and there != home:
                yield home, there, f"{module}.py:{line} ({home}) imports {target} ({there})"


def wrong_arrows(modules: dict[str, ast.Module]) -> list[str]:
    """Each import that the table does not allow, as a line for a reader."""
    return [text for home, there, text in arrows(modules) if there not in ROOMS[home].imports]


def unused_arrows(modules: dict[str, ast.Module]) -> list[str]:
    """Each arrow of the table that no import needs, as a line for a reader."""
    used = {(home, there) for home, there, _ in arrows(modules)}
    return [
        f"{name} -> {there}"
        for name, row in ROOMS.items()
        for there in sorted(row.imports)
        if (name, there) not in used
    ]


def statements_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: everything but the inside of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from statements_at_import(child)


class RoomsTests(SynchronousTestCase):
    """The table, and the package against it."""

    def test_every_module_has_a_room(self) -> None:
        """A module that is in no row of `ROOMS` is added to one before it is used."""
        homeless = [module for module in sources() if room_of(module) is None]
        self.assertEqual(homeless, [], "add it to a row of ROOMS in tests/test_architecture.py")

    def test_table_points_left(self) -> None:
        """The table itself holds only arrows to rooms further left, so there can be no circle."""
        names = list(ROOMS)
        for position, (name, row) in enumerate(ROOMS.items()):
            self.assertEqual(row.imports - set(names[:position]), frozenset(), name)

    def test_arrows(self) -> None:
        """No module imports from a room that its own room may not know."""
        self.assertEqual(wrong_arrows(sources()), [])

    def test_arrows_are_used(self) -> None:
        """The table allows nothing that no module does; what it names is there."""
        modules = sources()
        self.assertEqual(unused_arrows(modules), [], "take it out of ROOMS")
        named = {module for row in ROOMS.values() for module in row.modules}
        self.assertEqual(named - set(modules), set())

    def test_unused_arrow_is_found(self) -> None:
        """Without the one import that needs it, an arrow is told."""
        modules = sources()
        modules["upstream.link"] = ast.parse("from mtmount_twisted.net import pair")
        self.assertIn("upstream -> bridge", unused_arrows(modules))

    def test_wrong_arrow_is_found(self) -> None:
        """An arrow to the right is found however the import is written, and an allowed one is not."""
        for text in (
            "from mtmount_twisted.dialects.tma2020 import commands",
            "from ..dialects.tma2020.commands import Enable",
            "import mtmount_twisted.dialects.tma2020.commands",
            "def late():\n    from ..dialects.tma2020.commands import Enable",
        ):
            modules = {
                "wire.fields": ast.parse(text),
                "dialects.tma2020.commands": ast.parse("from mtmount_twisted.wire.fields import INT"),
            }
            self.assertEqual(len(wrong_arrows(modules)), 1, text)

    def test_wrong_arrow_from_inside_a_package_is_found(self) -> None:
        """The simulator does not know the bridge, nor its own service."""
        text = (
            "from ..bridge import relay\nfrom ..app.simulator import Options\nfrom ..errors import LineError"
        )
        modules = {
            "simulator.axis": ast.parse(text),
            "app.simulator": ast.parse(""),
            "bridge.relay": ast.parse(""),
            "errors": ast.parse(""),
        }
        self.assertEqual(len(wrong_arrows(modules)), 2)

    def test_layout_is_known_to_dialects_only(self) -> None:
        """The simulator may import the messages of a dialect, and not its framing, codec or envelope."""
        layouts = {
            f"dialects.{name}.{part}" for name in DIALECTS for part in ("framing", "codec", "envelope")
        }
        messages = {f"dialects.{name}.commands" for name in DIALECTS}
        modules = {module: ast.parse("") for module in layouts | messages}
        imports = "\n".join(f"import {PACKAGE}.{module}" for module in modules)
        modules["simulator.axis"] = ast.parse(imports)
        wrong = {line.partition(" imports ")[2].split()[0] for line in wrong_arrows(modules)}
        self.assertEqual(wrong, layouts)


def tables_of(page: str) -> dict[str, str]:
    """The tables of a page, by the package that a section *Inside ...* is about; all others by ``""``."""
    found: dict[str, str] = {}
    for section in re.split(r"\n(?=.+\n-{3,}\n)", page):
        inside = re.match(r"Inside (?:the )?([\w.]+)\n", section)
        rows = re.search(r"^=+ =[= ]*\n(.*)^=+ =[= ]*$", section, re.DOTALL | re.MULTILINE)
        package = inside[1] if inside else ""
        found[package] = found.get(package, "") + (rows[1] if rows else "")
    return found


def named_in(text: str) -> set[str]:
    """What stands in double backticks."""
    return set(re.findall(r"``([\w.]+)``", text))


def not_on_page(page: str, modules: Iterable[str]) -> list[str]:
    """The modules that no table of the page has: by their last name, where their package is described."""
    names = {package: named_in(rows) for package, rows in tables_of(page).items()}
    missing = []
    for module in modules:
        package, _, name = module.rpartition(".")
        if not name.startswith("__") and not {name, module} & names.get(package, names[""]):
            missing.append(module)
    return missing


class PageTests(SynchronousTestCase):
    """``docs/explanation/architecture.rst`` and the package."""

    def setUp(self) -> None:
        self.page = (ROOT / "docs" / "explanation" / "architecture.rst").read_text(encoding="utf-8")

    def test_every_module_is_on_the_page(self) -> None:
        """Each module is named in a row of the page: whoever looks for something finds where it is."""
        self.assertEqual(
            not_on_page(self.page, sources()), [], "name it in docs/explanation/architecture.rst"
        )

    def test_a_new_module_is_missed(self) -> None:
        """A module that is named nowhere is told, also one of a name that only another package's has."""
        new = [
            "telemetry",
            "bridge.telemetry",
            "web.telemetry",
            "web.granting",
            "bridge.feed",
            "simulator.core",
        ]
        self.assertEqual(not_on_page(self.page, new), new)

    def test_all_that_is_on_the_page_is_there(self) -> None:
        """Each name in the first column of a table of modules is one that the package has."""
        modules = {part for module in sources() for part in (module, module.rpartition(".")[2])}
        first = re.findall(r"^``.+?(?=  |$)", "\n".join(tables_of(self.page).values()), re.MULTILINE)
        self.assertEqual(named_in("\n".join(first)) - modules, set())


def size(number: int) -> str:
    """A number of bytes for people."""
    exponent = (number.bit_length() - 1) // 10
    return f"{number >> 10 * exponent} {['bytes', 'KiB', 'MiB', 'GiB'][exponent]}"


def default(section: type[Any], key: str) -> str:
    """The default of a key of the configuration, with its unit and the page's mark of a default."""
    field = getattr(attrs.fields(section), key)
    value = getattr(section(), key) if isinstance(field.default, attrs.Factory) else field.default
    unit = field.metadata.get("unit", "")
    number = (
        size(value) if unit == "bytes" else f"{value:,} {unit}" if value % 1 else f"{int(value):,} {unit}"
    )
    return f"{number.strip()} †"


TIMES, TMA2022 = (dialect_named(name).deadlines for name in ("tma2020", "tma2022"))
RULES, BEHIND, WEB = settings.CommandRules, settings.ClientLimits, settings.WebSettings
KEPT = settings.JournalSettings
TAKE_OVER = f"{settings.StationSettings(mount='t', node='a').take_over_after:g} s †"
A_CLIENT_BEHIND = f"{default(BEHIND, 'max_behind_bytes')} or {default(BEHIND, 'max_behind_seconds')}"

BOUNDS = {
    "a line": size(lines.MAX_LINE_LENGTH),
    "received messages, unread": f"{pair.MAX_UNREAD:,}",
    "sent data that the peer has not read": f"{size(pair.MAX_UNSENT)}, "
    f"with {pair.WRITE_OVERHEAD} bytes for each write",
    "an attempt to connect, per address": f"{halves.CONNECT_TIMEOUT:g} s",
    "looking up a host name": f"{resolving.LOOK_UP_TIME:g} s",
    "a file of a configuration": f"{size(files.MOST_BYTES)}; TOML {size(files.MOST_TOML)}, "
    f"{files.MOST_PARTS} parts in a key",
    "log lines not written yet": size(output.MAX_WAITING_BYTES),
    "closing a connection": f"{protocol.CLOSE_TIMEOUT:g} s",
    "a peer gone without closing": f"{round(liveness.SILENCE + liveness.PERIOD)} s",
    "a command until its Ack": f"{TIMES.ack:g} s †; ``tma2022`` {TMA2022.ack:g} s †, "
    + ", ".join(f"{seconds:g} s †" for seconds in sorted(set(TMA2022.ack_of_code.values()), reverse=True)),
    "a command from Ack to Done": f"the Ack's time-out, and {TIMES.done_margin:g} s †; ``tma2022`` "
    f"{TMA2022.done_margin:g} s †; an unknown time-out is {default(RULES, 'unknown_timeout')}",
    "commands in flight of one commander": default(RULES, "in_flight"),
    "a line that a client has begun": f"{commanders.LINE_TIME:g} s",
    "a command before its reply connection": f"{commanders.HOLD_TIME:g} s, {commanders.MAX_HELD} commands",
    "clients of one port": default(settings.PortCommanders, "max_clients"),
    "readers of one telemetry port": default(settings.TelemetryReaders, "max_readers"),
    "telemetry for a reader without room": f"one line of each topic, {telemetry_link.FRESH:g} s",
    "topics of telemetry": f"{telemetry_link.MAX_TOPICS}",
    "telemetry that waits for the readers": size(tcp_telemetry.MAX_WAITING),
    "readers that are written to at once": f"{tcp_telemetry.READERS_AT_ONCE}",
    "time between two rounds of telemetry": f"{tcp_telemetry.ROUND_INTERVAL:g} s",
    "the mount's telemetry is silent": f"{telemetry.SILENCE:g} s",
    "refused commands of an observer": f"{core.MAX_REFUSALS}",
    "bytes from clients without rights": f"{size(commanders.READ_WITHOUT_RIGHTS)} in "
    f"{commanders.READ_EVERY:g} s, {size(commanders.SLICE_WITHOUT_RIGHTS)} of one connection",
    "commands searched for stops": f"{size(commanders.LOOKED_IN_TURN)} in {commanders.LOOK_EVERY:g} s, "
    f"{commanders.LOOKED_AT_ONCE} bytes of one commander",
    "commands that wait for their refusal": f"{command_queue.MAX_LINES} of one commander, "
    f"{size(command_queue.MAX_BYTES)}",
    "commands that wait behind asks": f"{waiting_asks.MOST_COMMANDS} of all commanders, "
    f"{waiting_asks.MOST_ASKS} asks",
    "sockets from which a turn reads": f"{event_order.LEAST_EVENTS}, more for "
    f"{event_order.READ_TIME * 1000:g} ms, up to {event_order.MOST_EVENTS}, and those of the mount, the "
    "pairs and the holder",
    "connections that timers end": f"{endings.MOST_ENDS} in a turn",
    "work for clients without rights": f"{turn_time.LONGEST * 1000:g} ms of a turn",
    "silent connections to the page": f"{accepts.HELD_BACK} s",
    "a TLS handshake": f"{tls.HANDSHAKE_TIME:g} s, {tls.MAX_UNPROVEN - tls.KEPT_FREE} at once",
    "handshakes of known addresses": f"{tls.MAX_UNPROVEN_KNOWN - tls.KEPT_FREE_KNOWN} at once",
    "connections set up in a turn": f"{accepts.MOST_ACCEPTS}; in used-up turns for a sixteenth of the time, "
    f"{accepts.SETUP_TIME * 1000:g} ms for each",
    "addresses with a connection lately": f"{accepts.MOST_SEEN:,}, with neighbourhoods",
    "addresses with a use of a TLS server": f"{by_network.MOST_REMEMBERED:,}",
    "connections that wait to be set up": f"{accepts.MAX_WAITING} of each socket",
    "open files that a peer sends": "0",
    "connections that such a thread closes": f"{unix_sockets.MAX_CLOSING} of each socket",
    "known addresses": f"{known_addresses.MAX_KNOWN:,}, for an hour",
    "bytes of a TLS handshake": size(handshakes.MAX_HANDSHAKE),
    "steps of TLS handshakes": f"{handshakes.STEPS} in a turn, or the one that ends after "
    f"{handshakes.STEPS * records.STEP_TIME * 1000:g} ms",
    "controller's lines before the link is up": f"{link.MAX_EARLY:,}",
    "a controller of another dialect": f"{link.OTHER_DIALECT_PAUSE:g} s",
    "commands handed over in one decision": f"{link.ROOM}",
    "equal questions to a tma2022 mount": "1 in flight",
    "passwords in a line of the mount": f"{envelope.MOST_MASKED:,} names, and words and signs in "
    "their values",
    "names and values of a long reply": f"{envelope.MOST_TOKENS:,}, beyond {size(lines.SHOWN_BYTES)}",
    "observers that receive lines at once": f"{observers.AT_ONCE}; {size(observers.BYTES_AT_ONCE)}, "
    f"with {size(observers.BYTES_OF_ONE)} for each at most",
    "events about the holder in a turn": str(announcements.AT_ONCE),
    "lines that wait for observers": size(observers.MAX_GATHERED),
    "the last values of the mount": f"{last_values.MAX_KNOWN:,} events, {size(last_values.MAX_KNOWN_BYTES)}",
    "events that changed nothing": f"{repeats.MAX_SUBJECTS:,} parts of the mount, counted every "
    f"{repeats.REPORT_EVERY:g} s",
    "sequence ids of sent commands": f"{sent_ids.MAX_SENT_IDS:,} of an epoch",
    "the backlog of a client": A_CLIENT_BEHIND,
    "the system's buffer for a client": size(send_buffer.SYSTEM_BUFFER),
    "a holder that is gone": default(RULES, "lease_grace"),
    "commands in flight as the bridge ends": f"{bridge_service.DRAIN_TIME:g} s",
    "rows that wait for the journal": size(recorder.MAX_WAITING_BYTES),
    "rows of observers": f"{limited.SESSION_ROWS} of a session, {limited.PORT_ROWS} of a port, and "
    f"{limited.ROW_RATE * 60:g} a minute of each; at a port without rows, a session has what it saved: "
    f"{limited.ROW_RATE * 60:g} a minute, up to {limited.SESSION_ROWS}; {limited.LONGEST} bytes of a line",
    "waiting rows of observers": size(recorder.MAX_WAITING_BYTES // 2),
    "the journal's file": f"{default(KEPT, 'keep_days')}, {default(KEPT, 'keep_bytes')}",
    "records of track commands held back": f"{track_runs.HOLD:g} s, {track_runs.MOST_HELD:,} records",
    "a log line that strangers can cause": f"1 in {rate_limited_log.INTERVAL:g} s, "
    f"or {rate_limited_log.A_FEW}",
    "lines that wait for the child": f"1 number; 1 round of telemetry, {size(2 * words.MAX_TELEMETRY)}",
    "an answer of the child": f"{supervisor.ANSWER_TIME:g} s; {supervisor.START_TIME:g} s after its start",
    "bytes from the child between two answers": f"{size(supervisor.MOST_BYTES)}, and "
    f"{size(supervisor.MOST_COMMANDS)} of commands",
    "events of others on the way to the page": f"{words.EVENT_WINDOW}, and {size(words.WINDOW)}; one has "
    f"{size(words.MAX_ENTRY)}",
    "searches at the broker": f"{fair_places.MOST_AT_WORK}, {fair_places.FOR_OBSERVERS} of observers; "
    f"{searching.MAX_SCANNED:,} messages, "
    f"{size(words.MAX_PAGE)}, {searching.SEARCH_TIME:g} s",
    "users of the broker": f"{loading.MOST_USERS}",
    "a request of the broker": f"{size(streams.LONGEST_REQUEST)}; its command {size(words.LONGEST_COMMAND)}",
    "requests of a user that wait": f"{station_desk.MOST_WAITING}",
    "commands of a user by the broker": f"{station_desk.MOST_OPEN}, and {station_desk.MOST_OPEN} stops",
    "outcomes that the broker lacks": f"{broker_desk.MOST_KEPT} of a user",
    "outcomes of requests not handed over": f"{station_desk.MOST_ENDING} of a user at once",
    "claims of earlier sessions": f"{station_desk.MOST_TAKEN} of a user at once",
    "the age of a request": default(settings.StationUserSettings, "expires"),
    "the pause before the next child": f"{supervisor.LEAST_PAUSE:g} s to {supervisor.MOST_PAUSE:g} s",
    "events that are not confirmed": f"{default(settings.BrokerSettings, 'window')}, "
    f"{size(outbox.MAX_UNCONFIRMED)}",
    "a confirmation of the broker": f"{nats_connection.ANSWER_TIME:g} s",
    "a check of the broker's connection": f"{2 * nats_connection.PING_INTERVAL:g} s",
    "the body of an event": size(events.MAX_BODY),
    "the last events as the daemon ends": f"{bridge_app.LAST_EVENTS_TIME:g} s",
    "a question of the election": f"1/3 of T ({TAKE_OVER})",
    "questions of the election that wait": f"{keeper.MOST_QUESTIONS}",
    "a lease without a renewal": f"T ({TAKE_OVER})",
    "a lease for a command that moves": "2/3 of T",
    "a process that stands still": "2/3 of T",
    "a lease without a link": f"{tenure.WITHOUT_LINK:g} T",
    "a run of the hook": f"{hook.HOOK_TIME:g} s",
    "the end of a bridge with a lease": f"{bridge_app.GIVE_LEASE_TIME:g} s",
    "connections": f"{default(WEB, 'max_connections')}, from one address "
    f"{default(WEB, 'max_connections_per_address')}",
    "a request's line and headers": default(WEB, "deadline"),
    "a request's body": f"{default(WEB, 'deadline')}, {default(WEB, 'max_body')}, "
    f"{routing.DEEPEST} deep, {size(site.MAX_FRAMING)} around chunks",
    "bytes from clients": f"{size(input_turns.PER_TURN)} in a turn, "
    f"{size(input_turns.SLICE)} of one connection",
    "bytes that one client sends ahead": size(site.EAGER),
    "a request that waits for its command": f"{web_commanders.LONGEST_TIMEOUT:g} s, "
    f"{web_commanders.DEFAULT_TIMEOUT:g} s by default",
    "an ask for command that waits": f"{leases.ASK_TIME:g} s",
    "a request to the holder for command": f"{leases.REQUEST_TIME:g} s",
    "a user without a request or stream": default(WEB, "absent_after"),
    "tracked commands": f"{command_tracker.MAX_LIVES:,} of a user, and as many with keys",
    "one tracked command": f"{command_tracker.MAX_STEPS} steps, {lines.SHOWN_BYTES:,} characters",
    "times to Ack": f"{acks.WINDOW:g} s, {len(acks.BOUNDS) + 1} bins",
    "the ring of events": f"{ring.MAX_ROWS:,} rows, {size(ring.MAX_BYTES)}",
    "event streams of one user, of all": f"{default(WEB, 'max_streams_per_user')}, half of the "
    "connections; those of one address, too",
    "the backlog of an event stream": A_CLIENT_BEHIND,
    "history queries of one user": f"{fair_places.PER_USER}, one of them at work",
    "one history query": f"{history.PATIENCE:g} s; {history.MAX_LIMIT:,} entries, "
    f"{history.MAX_SCANNED:,} rows looked at, {size(history.MAX_PAGE_BYTES)} of text, "
    f"{size(history.MAX_BODY_BYTES)} of JSON",
}
"""What the page's tables of bounds say, as the code has it."""


def bounds_of(page: str) -> dict[str, str]:
    """The second column of the tables of bounds, by the first."""
    found: dict[str, str] = {}
    table, what, start, end = False, "", 0, 0
    for line in page[page.index("\nBounds\n---") :].splitlines():
        if bar := re.fullmatch(r"(=+) (=+) =+", line):
            start, end = bar.start(2), bar.end(2)
            table = True
        elif not line:
            table = False
        elif table:
            what = line[:start].strip() or what
            found[what] = f"{found.get(what, '')} {line[start:end]}".strip()
    return {what: " ".join(bound.split()) for what, bound in found.items() if what != "subject"}


class BoundsTests(SynchronousTestCase):
    """The page's bounds and the code's."""

    def test_figures(self) -> None:
        """Each figure of the page is the one that the code has, and none is there that the code has not."""
        page = (ROOT / "docs" / "explanation" / "architecture.rst").read_text(encoding="utf-8")
        self.assertEqual(bounds_of(page), BOUNDS)

    def test_further_figures(self) -> None:
        """So are those that stand in words: when a connection is tried again, what comes on top of busy."""
        self.assertEqual((halves.MAX_RETRY_INTERVAL, core.MAX_EXEMPT), (5, 1000))
        self.assertEqual((tenure.ANSWER, tenure.FRESH), (1 / 3, 2 / 3))
        self.assertEqual(mount.LONGEST_TIMEOUT, 24 * 3600)
        self.assertEqual(RULES().unknown_timeout, TMA2022.unknown_timeout)


class ImportingTests(SynchronousTestCase):
    """What importing the package does to a program."""

    def test_core_is_pure(self) -> None:
        """The rooms of the core can be used with no Twisted at all."""
        tainted = [
            f"{module} imports {name}"
            for module, tree in sources().items()
            if room_of(module) in CORE.split()
            for node in ast.walk(tree)
            for name in absolute_imports(module, node)
            if name.split(".")[0] in ("twisted", "zope", "automat")
        ]
        self.assertEqual(tainted, [])

    def test_no_module_imports_the_reactor(self) -> None:
        """The default reactor is looked up inside a function, so that a program may still choose it."""
        early = [
            module
            for module, tree in sources().items()
            for node in statements_at_import(tree)
            if "twisted.internet.reactor" in absolute_imports(module, node)
        ]
        self.assertEqual(early, [])

    def test_broker_is_known_to_the_child_only(self) -> None:
        """Only the child process imports the client of the broker, which is on asyncio."""
        knowing = {
            room_of(module)
            for module, tree in sources().items()
            for node in ast.walk(tree)
            for name in absolute_imports(module, node)
            if name.split(".")[0] == "nats"
        }
        self.assertEqual(knowing, {"station"})
        self.assertEqual([name for name, row in ROOMS.items() if "station" in row.imports], [])

    def test_daemon_without_a_part_is_lighter(self) -> None:
        """The modules of the daemon import nothing for ``[station]``, ``[[port]]`` and ``[[telemetry]]``."""
        names = ["mtmount_twisted.frontends.broker", "mtmount_twisted.station", "nats"]
        names += ["mtmount_twisted.app.open_port", "mtmount_twisted.frontends.tcp.client_factory"]
        script = f"import sys, mtmount_twisted.app.bridge; print([n for n in {names} if n in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout.strip(), done.stderr), ("[]", ""))

    def test_import_is_light(self) -> None:
        """``import mtmount_twisted`` imports neither the reactor nor anything heavy."""
        script = f"import sys, mtmount_twisted; print([name for name in {HEAVY} if name in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout.strip(), done.stderr), ("[]", ""))
