"""``prometheus/``: the alarms are those of the documentation, and name what the daemon exports."""

from __future__ import annotations

import configparser
import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.api.metrics import FIGURES, Figure
from tests.support.generator import load_generator
from tests.support.pages import DOCS, tables

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "prometheus"
ALARM = re.compile(r"``(\w+)`` \((\w+)\): ``([^`]+)``(?: for (\d+) (s|min))?")
SCRAPED = ("job", "instance")
"""The labels that Prometheus itself adds."""

PROCESS = (
    *("process_start_time_seconds", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"),
    *("process_resident_memory_bytes", "process_virtual_memory_bytes"),
)
NAME = re.compile(r"\b(?:mtmount_bridge|process)_\w+")


def loaded(name: str) -> Any:
    """A file of the folder."""
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def exported() -> dict[str, set[str]]:
    """The name of each series that is exported, with the names of its labels."""
    series = {"up": set(SCRAPED)} | {name: set(SCRAPED) for name in PROCESS}
    for figure in FIGURES:
        labels = {*SCRAPED, *figure.labels}
        if figure.kind == "histogram":
            series |= {f"{figure.exposed}_{end}": labels for end in ("sum", "count")}
            series[f"{figure.exposed}_bucket"] = {*labels, "le"}
        else:
            series[figure.exposed] = labels
    return series


class RuleTests(SynchronousTestCase):
    """``rules.yml``."""

    def setUp(self) -> None:
        [group] = loaded("rules.yml")["groups"]
        self.rules: list[dict[str, Any]] = group["rules"]

    def test_documented(self) -> None:
        """The page and the rules have the same alarms, in the same order, with the same words."""
        told = []
        for when, meaning, remedy in tables("howto/operations.rst"):
            if found := ALARM.fullmatch(when):
                name, severity, condition, number, unit = found.groups()
                lasting = f"{number}{unit[0]}" if number else None
                told.append((name, severity, condition, lasting, f"{meaning}.", remedy.replace("``", "")))
        rules = [
            (
                *(rule["alert"], rule["labels"]["severity"], rule["expr"], rule.get("for")),
                *(rule["annotations"]["summary"], rule["annotations"]["description"]),
            )
            for rule in self.rules
        ]
        self.assertEqual(rules, told)

    def test_nothing_else_is_documented(self) -> None:
        """Each condition on the page is that of an alarm."""
        self.assertEqual(
            [
                when
                for when, *_ in tables("howto/operations.rst")
                if NAME.search(when) and not ALARM.fullmatch(when)
            ],
            [],
        )

    def test_series(self) -> None:
        """Each alarm looks at what the daemon exports, by labels that it has."""
        series = exported()
        for rule in self.rules:
            for name in NAME.findall(rule["expr"]):
                self.assertIn(name, series)
            for name, labels in re.findall(r"\b(\w+)\{([^}]*)\}", rule["expr"]):
                self.assertLessEqual(set(re.findall(r"(\w+)=", labels)), series[name])


class RuleTestTests(SynchronousTestCase):
    """``rules.test.yml``, which ``promtool`` runs."""

    def setUp(self) -> None:
        self.cases: list[dict[str, Any]] = loaded("rules.test.yml")["tests"]

    def fired(self, case: dict[str, Any]) -> list[set[str]]:
        """The alarms that a case expects, each time that it looks."""
        return [
            set(re.findall(r'alertname="(\w+)"', str(looked["exp_samples"])))
            for looked in case["promql_expr_test"]
        ]

    def test_each_alarm_fires_and_is_silent(self) -> None:
        """For each alarm a case expects it and nothing else, and nothing at another time."""
        [group] = loaded("rules.yml")["groups"]
        fires = set()
        for case in self.cases:
            looked = self.fired(case)
            if set() in looked:
                fires |= {name for alarms in looked if len(alarms) == 1 for name in alarms}
        self.assertEqual(fires, {rule["alert"] for rule in group["rules"]})

    def test_a_quiet_night(self) -> None:
        """The first case has all series that alarms look at, and expects no alarm."""
        quiet = self.cases[0]
        self.assertEqual(set(chain(*self.fired(quiet))), set())
        there = {each["series"].partition("{")[0] for each in quiet["input_series"]}
        [group] = loaded("rules.yml")["groups"]
        self.assertLessEqual({name for rule in group["rules"] for name in NAME.findall(rule["expr"])}, there)

    def test_series(self) -> None:
        """What a case says of the daemon is what a daemon exports, with all its labels."""
        series = exported()
        for case in self.cases:
            for each in case["input_series"]:
                name, _, labels = each["series"].partition("{")
                self.assertLessEqual(set(re.findall(r"(\w+)=", labels)), series[name])
                if name != "up":
                    self.assertEqual(set(re.findall(r"(\w+)=", labels)), series[name], each["series"])


class DashboardTests(SynchronousTestCase):
    """``dashboard.json``."""

    def setUp(self) -> None:
        self.dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))

    def test_figures(self) -> None:
        """Each figure is shown, and each query is of figures that there are."""
        panels = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]
        shown = {
            name for panel in panels for target in panel["targets"] for name in NAME.findall(target["expr"])
        }
        self.assertLessEqual(shown, set(exported()))
        self.assertEqual(
            {re.sub("_bucket$", "", name) for name in shown}, {f.exposed for f in FIGURES} | set(PROCESS)
        )

    def test_new_figures(self) -> None:
        """``make docs-generated`` adds a panel for each figure that no panel shows, and moves no other."""
        new = [
            Figure("doors", "gauge", "Open doors.", lambda metrics: 0, ("door",)),
            Figure("knocks", "counter", "Knocks.", lambda metrics: 0),
            Figure("door_seconds", "histogram", "Times.", lambda metrics: 0),
            Figure("window_bytes", "gauge", "Sizes.", lambda metrics: 0),
        ]
        generator = load_generator().generate_dashboard
        panels = self.dashboard["panels"]
        by_hand = [panel for panel in panels if panel["id"] < generator.FIRST_ID]
        self.dashboard["panels"] = by_hand
        figures = [*(each for each in FIGURES if each.exposed in json.dumps(by_hand)), *new]
        text = generator.with_panels(json.dumps(self.dashboard), figures)
        self.assertEqual(generator.with_panels(text, figures), text)
        self.dashboard = json.loads(text)
        self.assertEqual(self.dashboard["panels"][: len(by_hand)], by_hand)
        added = self.dashboard["panels"][len(by_hand) + 1 :]
        self.assertEqual(
            [[target["expr"].split("{")[0] for target in panel["targets"]] for panel in added],
            [
                ["mtmount_bridge_doors"],
                ["increase(mtmount_bridge_knocks_total"],
                [
                    f"histogram_quantile({q}, sum by (instance, le) (rate(mtmount_bridge_door_seconds_bucket"
                    for q in (0.5, 0.99)
                ],
                ["mtmount_bridge_window_bytes"],
            ],
        )
        self.test_panels()

    def test_panels(self) -> None:
        """Each panel has an id of its own, asks the chosen Prometheus, and overlaps no other."""
        panels = self.dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        places: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            self.assertEqual(places & cells, set(), panel["title"])
            places |= cells
            for asked in (panel, *panel.get("targets", [])) if panel["type"] != "row" else ():
                self.assertEqual(asked["datasource"]["uid"], "${datasource}")


class ShippedTests(SynchronousTestCase):
    """What is installed."""

    def test_installed(self) -> None:
        """The alarms and the dashboard are installed where the page says."""
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg", encoding="utf-8")
        folder = "share/mtmount_twisted/prometheus"
        installed = setup["options.data_files"][folder].split()
        self.assertEqual(installed, ["prometheus/rules.yml", "prometheus/dashboard.json"])
        for page in ("howto/operations.rst", "reference/web_metrics.rst"):
            self.assertIn(f"``/opt/mtmount/{folder}/rules.yml``", (DOCS / page).read_text(encoding="utf-8"))
