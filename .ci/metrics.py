"""Try the shipped alarms and the shipped dashboard against a Prometheus that scrapes a running daemon.

    python .ci/metrics.py

``promtool`` checks ``prometheus/rules.yml`` and runs its tests. Beside that, a Prometheus on a free port
scrapes a ``twistd mtmount-bridge`` with its simulator. Before the first command each series that an alarm
looks at is there; after a few commands each query of ``prometheus/dashboard.json`` returns a number. It needs
``prometheus`` and ``promtool`` (Debian's package ``prometheus``) and the package installed with the ``web``
extra; it takes some 10 s.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from api_daemon import SERVING_WITHIN, Log, held_ports, running, start

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "prometheus" / "rules.yml"
RULE_TESTS = ROOT / "prometheus" / "rules.test.yml"
DASHBOARD = ROOT / "prometheus" / "dashboard.json"

CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: mtmount-bridge
    static_configs: [{{targets: ["{target}"]}}]
"""

SESSION = "AskForCommand commander=CSC\nAzimuthAxisPower on=1\nAzimuthAxisMove position=0.1\n"

VARIABLES = {"$__rate_interval": "20s", "$instance": ".*"}
"""What Grafana puts in place of its variables, for a scrape each second."""

FRESH = {"MountNobodyHasCommand"}
"""The alarms of a daemon that has just started."""

SELECTOR = re.compile(r"\b(?:mtmount_bridge_\w+|process_\w+|up)\b(?:\{[^}]*\})?")

FOUND_WITHIN = 20.0
SESSION_WITHIN = 20.0
POLL = 0.2


class Prometheus:
    """The HTTP API of a Prometheus.

    :param port: where it listens on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer; an `OSError` while nobody answers.

        :raises SystemExit: if the request is refused, for what it asks.
        """
        url = f"{self._address}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 400:
                sys.exit(f"metrics: {parameters}: {error.read().decode()}")
            raise

    def values(self, query: str) -> list[float]:
        """The values of an instant query, without those that are no number."""
        values = (float(series["value"][1]) for series in self.get("query", query=query)["result"])
        return [value for value in values if math.isfinite(value)]


def poll(amiss: Callable[[], Iterable[str]], what: str) -> None:
    """Wait until nothing is amiss.

    :param amiss: gives what is amiss.
    :raises SystemExit: with what is amiss after `FOUND_WITHIN`.
    """
    deadline = time.monotonic() + FOUND_WITHIN
    while True:
        try:
            found = list(amiss())
        except OSError as error:
            found = [str(error)]
        if not found:
            return
        if time.monotonic() > deadline:
            sys.exit("\n".join([f"metrics: {what}, after {FOUND_WITHIN:g} s still not:", *found]))
        time.sleep(POLL)


def scraping(folder: Path, port: int, target: str) -> subprocess.Popen[str]:
    """Start a Prometheus that scrapes the target."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=RULES, target=target), encoding="utf-8")
    words = [
        *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    return subprocess.Popen(words, text=True, stdin=subprocess.DEVNULL)


def check_rules() -> None:
    """Have ``promtool`` check and try the rules."""
    for words in (("check", "rules", RULES), ("test", "rules", RULE_TESTS)):
        print("+ promtool", *words, flush=True)
        if subprocess.run(["promtool", *words], check=False).returncode:
            sys.exit("metrics: promtool found a fault")


def alarms(server: Prometheus) -> list[dict[str, Any]]:
    """The alarms that Prometheus has loaded, each evaluated at least once.

    :raises SystemExit: if one can't be evaluated.
    """
    rules = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        if rule["health"] == "err":
            sys.exit(f"metrics: {rule['name']}: {rule['lastError']}")
    return rules


def raised(server: Prometheus) -> set[str]:
    """The names of the alarms whose conditions hold."""
    return {rule["name"] for rule in alarms(server) if rule["state"] != "inactive"}


def without_series(server: Prometheus) -> list[str]:
    """What the alarms look at and is not there."""
    rules = alarms(server)
    looked_at = {selector for rule in rules for selector in SELECTOR.findall(rule["query"])}
    waiting = [rule["name"] for rule in rules if rule["health"] != "ok"]
    return waiting + [selector for selector in sorted(looked_at) if not server.values(selector)]


def queries() -> dict[str, str]:
    """The queries of the dashboard, each with the name of its panel."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            found[query] = panel["title"]
    return found


def hold_session(commands: int, replies: int) -> None:
    """Have a few commands done."""
    commander = [sys.executable, "-m", "mtmount_twisted.commander"]
    ports = ["--command-port", str(commands), "--reply-port", str(replies)]
    done = subprocess.run(
        [*commander, *ports],
        input=SESSION,
        text=True,
        capture_output=True,
        timeout=SESSION_WITHIN,
        check=False,
    )
    if done.returncode:
        sys.exit(f"metrics: the commander's exit status is {done.returncode}\n{done.stdout}{done.stderr}")


def main(folder: Path) -> None:
    """Start both, check, stop; whatever happens, leave nothing running."""
    with ExitStack() as stack:
        commands, replies, port = stack.enter_context(held_ports(3))
        daemon = stack.enter_context(running(start(folder, commands, replies)))
        log = Log(daemon)
        if not log.serving.wait(SERVING_WITHIN) or not log.address:
            sys.exit(f"metrics: the daemon does not serve\n{''.join(log.lines)}")
        stack.enter_context(running(scraping(folder, port, log.address.removeprefix("http://"))))
        server = Prometheus(port)
        check_rules()
        poll(lambda: without_series(server), "each alarm has its series before anything happens")
        poll(lambda: raised(server) ^ FRESH, "a fresh daemon raises one alarm, that nobody has command")
        print(f"metrics: {len(alarms(server))} alarms have all their series before any command", flush=True)
        hold_session(commands, replies)
        poll(
            lambda: [f"{panel}: {query}" for query, panel in queries().items() if not server.values(query)],
            "each query of the dashboard returns a number",
        )
        print(f"metrics: {len(queries())} queries of the dashboard return numbers", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mtmount-metrics-") as work:
        main(Path(work))
