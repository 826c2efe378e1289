"""The folder ``packaging``: what can be judged of it without building a package or running a container."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.config.loading import load_file
from tests.support.pages import ROOT

PACKAGING = ROOT / "packaging"
DEBIAN, DOCKER = PACKAGING / "debian", PACKAGING / "docker"


class DebianTests(SynchronousTestCase):
    """The Debian package."""

    def test_configuration(self) -> None:
        """The daemon accepts the installed configuration: a simulated mount and a commander."""
        config = load_file(str(DEBIAN / "bridge.toml"))
        self.assertIsNone(config.controller)
        self.assertEqual([(pair.name, pair.command_port) for pair in config.pairs], [("csc", 30005)])

    def test_programs(self) -> None:
        """Every program of the package is in ``/usr/bin``, and every file that its rules copy is shipped."""
        setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
        rules = (DEBIAN / "rules").read_text(encoding="utf-8")
        [programs] = re.findall(r"^PROGRAMS = (.*)$", rules, re.MULTILINE)
        self.assertEqual(sorted(programs.split()), sorted(re.findall(r"^    mtmount-(\w+) =", setup, re.M)))
        [extras] = re.findall(r"^EXTRAS = (.*)$", rules, re.MULTILINE)
        for extra in extras.split(","):
            self.assertRegex(setup, rf"(?m)^{extra} =$")

    def test_unit(self) -> None:
        """The unit's places in ``/opt`` are all replaced by those of the package."""
        unit = (ROOT / "systemd" / "mtmount-bridge.service").read_text(encoding="utf-8")
        rules = (DEBIAN / "rules").read_text(encoding="utf-8")
        replaced = re.findall(r"-e 's\|(.*?)\|(.*?)\|'", rules)
        self.assertEqual(len(replaced), 2)
        for old, new in replaced:
            self.assertIn(old, unit)
            unit = unit.replace(old, new)
        self.assertNotIn("/opt", unit)
        self.assertIn("ExecStart=/usr/bin/mtmount-bridge --config /etc/mtmount-bridge/bridge.toml\n", unit)

    def test_scripts(self) -> None:
        """Each shell script is well-formed."""
        shells = {path: "sh" for path in DEBIAN.glob("mtmount-bridge.p*")}
        shells |= dict.fromkeys((PACKAGING / "build-deb", PACKAGING / "try-deb"), "bash")
        self.assertEqual(len(shells), 5)
        for path, shell in shells.items():
            done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path)


class DockerTests(SynchronousTestCase):
    """The containers."""

    def compose(self) -> Any:
        """The services."""
        return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))

    def test_files(self) -> None:
        """Each file that a service mounts exists, and no port is open to other machines."""
        services = self.compose()["services"]
        self.assertEqual(sorted(services), ["bridge", "grafana", "prometheus", "simulator"])
        for service in services.values():
            for volume in service.get("volumes", ()):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((DOCKER / source).is_file(), source)
            for port in service.get("ports", ()):
                self.assertTrue(port.startswith("127.0.0.1:"), port)
        build = services["bridge"]["build"]
        self.assertEqual((DOCKER / build["context"]).resolve(), ROOT)
        self.assertTrue(Path(ROOT, build["dockerfile"]).is_file())

    def test_configuration(self) -> None:
        """The daemon accepts its configuration, which fits the names of the services."""
        services = self.compose()["services"]
        config = load_file(str(DOCKER / "bridge.toml"))
        assert config.controller is not None
        self.assertIn(config.controller.host, services)
        scrape = yaml.safe_load((DOCKER / "prometheus.yml").read_text(encoding="utf-8"))
        [[target]] = [each["static_configs"][0]["targets"] for each in scrape["scrape_configs"]]
        name, _, port = target.partition(":")
        self.assertIn(name, services)
        self.assertIn(name, config.web.allowed_hosts)
        self.assertEqual(config.web.endpoint, f"tcp:{port}")
        self.assertEqual([each["job_name"] for each in scrape["scrape_configs"]], ["mtmount-bridge"])
        rules = (ROOT / "prometheus" / "rules.yml").read_text(encoding="utf-8")
        self.assertIn('job="mtmount-bridge"', rules)

    def test_dashboard(self) -> None:
        """Grafana reads the dashboard from the folder that its provider names."""
        providers = yaml.safe_load((DOCKER / "dashboards.yaml").read_text(encoding="utf-8"))["providers"]
        folder = providers[0]["options"]["path"]
        mounts = self.compose()["services"]["grafana"]["volumes"]
        self.assertTrue(any(mount.split(":")[1].startswith(f"{folder}/") for mount in mounts))
        self.assertIn(
            "panels", json.loads((ROOT / "prometheus" / "dashboard.json").read_text(encoding="utf-8"))
        )
