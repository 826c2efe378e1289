"""``docs/howto/operations.rst``: each line of the log that should worry somebody is explained, and more."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import attrs
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.bridge import END_TIME, GIVE_UP_TIME, JOURNAL_TIME
from mtmount_twisted.app.bridge_service import DRAIN_TIME
from mtmount_twisted.app.twistd_log import LAST_WORDS
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import (
    BrokerSettings,
    ClientLimits,
    CommandRules,
    Controller,
    JournalSettings,
    MotionSettings,
    RecorderSettings,
    SimulatorSettings,
    SiteSettings,
    StationSettings,
    StationUserSettings,
    WebSettings,
)
from mtmount_twisted.frontends.web.http.site import CLOSE_TIME
from mtmount_twisted.net.protocol import CLOSE_TIMEOUT
from tests.support.bridges import LOG, BridgeCase
from tests.support.pages import DOCS, tables
from tests.support.programs import CLEAN_END

ROOT = DOCS.parent
PACKAGE = ROOT / "mtmount_twisted"
SOURCES = (
    *sorted(PACKAGE.glob("bridge/*.py")),
    *sorted(PACKAGE.glob("frontends/**/*.py")),
    *sorted(PACKAGE.glob("upstream/**/*.py")),
    *sorted(PACKAGE.glob("config/*.py")),
    *sorted(PACKAGE.glob("journal/**/*.py")),
    *sorted(PACKAGE.glob("app/*.py")),
    *(PACKAGE / "net" / name for name in ("protocol.py", "halves.py", "pair.py", "duplex.py")),
)
"""All that the daemon may log from."""

LEVELS = {"warning": "warning", "error": "error", "exception": "error", "critical": "critical"}
"""The methods of a logger for what should worry somebody, with the level that the log shows."""

WRAPPERS = {
    ("recorder.py", "text"),
    ("arbiter.py", "text"),
    ("tenure.py", "text"),
    ("effects.py", "effect.text"),
    ("service.py", "effect.text"),
}
"""Where what is logged is another's text, which is found there."""

SPELLED_OUT = {
    "core.py": "NAME: timestamp: that of DIALECT: the client speaks DIALECT; connect it to a pair or port of "
    "that dialect",
    "halves.py": "NAME: can't listen on PLACE: WHY",
    "link.py": "NAME: PLACE speaks DIALECT, and controller.dialect is DIALECT",
    "ports.py": "NAME: disconnected within a line, dropped: START",
}
"""What ``%s: %s`` stands for, in each module that logs just that."""


class Said(NamedTuple):
    """A line that may be logged: its level, "" where that depends, and text with ``*`` for what changes."""

    level: str
    text: str


def pattern(text: str) -> str:
    """A text with ``*`` for its changing parts: words in capitals in the page, ``%s`` in the program."""
    return " ".join(re.sub(r"%[-#0-9.]*[sdgrf]|\b[A-Z][A-Z_]+\b", "*", text).split())


def literal(node: ast.expr, scopes: list[ast.AST]) -> str | None:
    """The text of an expression, looked up in the scopes around it, the nearest first; None if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "%s" for part in node.values)
    for scope in scopes:
        made = [
            (each.lineno, text)
            for each in ast.walk(scope)
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == ast.unparse(node)
            if (text := literal(each.value, []))
        ]
        before = [text for line, text in sorted(made) if line < node.lineno]
        if before:
            return before[-1]
    return None


def level_of(call: ast.Call, tree: ast.Module) -> str | None:
    """The level that a call logs at; "" where that depends; None if it does not, or nobody need worry."""
    method = call.func
    if isinstance(method, ast.Name) and method.id == "Log":  # the bridge's effect
        first = ast.unparse(call.args[0])
        return LEVELS.get(first.partition(".")[2].lower()) if first.startswith("logging.") else ""
    if not isinstance(method, ast.Attribute):
        return None
    to = ast.unparse(method.value)
    if method.attr in LEVELS and to.endswith("log"):
        return LEVELS[method.attr]
    own = method.attr in ("_tell", "_log") and to == "self"
    if not own and not (method.attr == "log" and to.endswith("log")):
        return None
    first = ast.unparse(call.args[0])
    if first.startswith("logging."):
        return LEVELS.get(first.partition(".")[2].lower())
    return None if method.attr == "_tell" else ""


def said_in(path: Path) -> Iterator[Said]:
    """All lines of ``warning`` and above that a module may log."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        level = level_of(call, tree)
        if level is None:
            continue
        at = 0 if LEVELS.keys() & {getattr(call.func, "attr", "")} else 1
        around = [each for each in functions if call in ast.walk(each)]
        if ast.unparse(call.args[at]) == "'%s'":  # the text is the next argument
            at += 1
        name = ast.unparse(call.args[at])
        given = {argument.arg for each in around for argument in each.args.args}
        if name.partition(".")[0] in given and (path.name, name) in WRAPPERS:
            continue
        text = literal(call.args[at], [*reversed(around), tree])
        if text is None:
            raise AssertionError(f"{path.name}:{call.lineno}: can't tell what is logged")
        if not re.search("[a-z]", pattern(text)):
            text = SPELLED_OUT[path.name]
        yield Said(level, pattern(text))


class LogTests(SynchronousTestCase):
    """The tables of lines."""

    def setUp(self) -> None:
        self.explained = {
            pattern(line.strip("`")): levels
            for line, levels, _ in tables("howto/operations.rst")
            if re.fullmatch(r"(warning|error|critical)( or critical)?", levels)
        }

    def test_each_line_is_explained(self) -> None:
        """What the daemon may log at ``warning`` and above is in the page, with its level."""
        found = [said for path in SOURCES for said in said_in(path)]
        self.assertGreater(len(found), 40)
        missing = sorted({said.text for said in found} - set(self.explained))
        self.assertEqual(missing, [])
        for said in found:
            self.assertIn(said.level, self.explained[said.text])

    def test_each_explained_line_is_there(self) -> None:
        """The page explains nothing that is not said any more."""
        found = {said.text for path in SOURCES for said in said_in(path)}
        self.assertEqual(sorted(set(self.explained) - found), [])


class AlarmTests(SynchronousTestCase):
    """The table of alarms."""

    def test_metrics(self) -> None:
        """Each is of a metric that there is, and of an outcome that there is."""
        known = (DOCS / "reference" / "web_metrics.rst").read_text(encoding="utf-8")
        steps = (DOCS / "reference" / "journal.rst").read_text(encoding="utf-8")
        alarms = [row for row in tables("howto/operations.rst") if "mtmount_bridge" in row[0]]
        self.assertGreater(len(alarms), 10)
        for when, *_ in alarms:
            for name in re.findall(r"mtmount_bridge_\w+", when):
                self.assertIn(f"``{re.sub('_(bucket|count)$', '', name)}``", known)
            for outcome in re.findall(r'outcome="(\w+)"', when):
                self.assertIn(f"``{outcome}``", steps)


class ReloadTests(BridgeCase):
    """What the page says of a reload."""

    def setUp(self) -> None:
        super().setUp()
        self.start_all()

    def tearDown(self) -> None:
        self.stop()
        self.assert_nothing_left()

    def test_sections(self) -> None:
        """Each section that needs a new start is named in the page, and in the log if it has changed."""
        page = (DOCS / "howto" / "operations.rst").read_text(encoding="utf-8")
        changes: dict[str, Any] = {
            "controller": Controller(host="192.0.2.1", command_port=1),
            "command": CommandRules(in_flight=1),
            "clients": ClientLimits(max_behind_seconds=1.0),
            "journal": JournalSettings(keep_days=1.0),
            "web": WebSettings(max_body=2000),
            "simulator": SimulatorSettings(dialect="tma2022"),
            "site": SiteSettings(height=0.0),
            "motion": MotionSettings(slew_jump=1.0),
            "recorder": RecorderSettings(keep_days=1.0),
            "station": StationSettings(mount="t1", node="a"),
            "station.broker": BrokerSettings(window=1),
            "station.user": (StationUserSettings(name="night"),),
        }
        others = {field.metadata["section"] for field in attrs.fields(Config)} - {"pair", "port", "telemetry"}
        self.assertEqual(others, set(changes))
        fields = {field.metadata["section"]: field.name for field in attrs.fields(Config)}
        for section, changed in changes.items():
            config = attrs.evolve(self.config, **{fields[section]: changed})
            with self.assertLogs(LOG, "WARNING") as logged:
                reloaded = self.service.reload(config)
                self.pass_time(1.5)
            self.successResultOf(reloaded)
            self.assertEqual(len(logged.output), 1)
            self.assertIn(f"[{section}] has changed: restart the daemon to apply it", logged.output[0])
            self.assertIn(f"``[{section}]``", page)


class UnitTests(SynchronousTestCase):
    """What the page says of the unit."""

    def setUp(self) -> None:
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(ROOT / "systemd" / "mtmount-bridge.service", encoding="utf-8")
        self.unit = unit
        self.page = (DOCS / "howto" / "operations.rst").read_text(encoding="utf-8")

    def test_paths(self) -> None:
        """The places are those of the unit."""
        for place in ("/opt/mtmount/bin/mtmount-bridge", "/etc/mtmount-bridge/bridge.toml"):
            self.assertIn(place, self.unit["Service"]["ExecStart"])
            self.assertIn(place, self.page)
        self.assertIn(f"{self.unit['Service']['WorkingDirectory']}/journal.sqlite", self.page)

    def test_this_page_is_installed(self) -> None:
        """The page that the unit names is installed where it says, beside the unit."""
        name = self.unit["Unit"]["Documentation"].partition("file:///opt/mtmount/")[2]
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg", encoding="utf-8")
        folder, _, page = name.rpartition("/")
        installed = [Path(each) for each in setup["options.data_files"][folder].split()]
        self.assertIn(page, [each.name for each in installed])
        for each in installed:
            self.assertTrue((ROOT / each).is_file(), each)

    def test_time_to_stop(self) -> None:
        """Systemd gives the daemon longer than it takes."""
        self.assertIn(f"have {DRAIN_TIME:g} s to end", " ".join(self.page.split()))
        self.assertGreater(float(self.unit["Service"]["TimeoutStopSec"]), DRAIN_TIME + 5)

    def test_time_to_stop_has_a_margin(self) -> None:
        """Commands have 3 s; each part fits before the next, and the sum leaves 0.5 s of the promised 5 s."""
        self.assertEqual(DRAIN_TIME, 3.0)
        for closing in (CLOSE_TIMEOUT, CLOSE_TIME):
            self.assertLess(DRAIN_TIME + closing, END_TIME)
        self.assertLess(GIVE_UP_TIME, JOURNAL_TIME)
        self.assertLessEqual(END_TIME + JOURNAL_TIME + LAST_WORDS, CLEAN_END - 0.5)
