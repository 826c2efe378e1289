"""What ``twistd`` finds: the plugin, whose faults ``twistd`` itself does not report with an exit status."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent.parent
PLUGIN = "twisted.plugins.mtmount_twisted_plugin"


def python(script: str) -> str:
    """What a script prints in a fresh interpreter that starts at the top of the repository."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


class PluginTests(SynchronousTestCase):
    """``twisted/plugins``."""

    def test_services_are_listed(self) -> None:
        """``twistd`` lists both services, each with a one-line description."""
        printed = python(
            "from twisted.application.service import IServiceMaker\n"
            "from twisted.plugin import getPlugins\n"
            "ours = [p for p in getPlugins(IServiceMaker) if p.tapname.startswith('mtmount-')]\n"
            "print(sorted((p.tapname, len(p.description.splitlines())) for p in ours))"
        )
        self.assertEqual(printed, "[('mtmount-bridge', 1), ('mtmount-simulator', 1)]\n")

    def test_plugin_leaves_the_reactor_to_twistd(self) -> None:
        """Listing the services imports neither the reactor nor this package, so ``--reactor`` works."""
        printed = python(
            f"import sys, {PLUGIN}\n"
            "print([name for name in ('twisted.internet.reactor', 'mtmount_twisted') if name in sys.modules])"
        )
        self.assertEqual(printed, "[]\n")

    def test_services_can_be_loaded(self) -> None:
        """The module of each service has the `Options` and `makeService` that ``twistd`` asks for."""
        printed = python(
            f"from {PLUGIN} import mtmount_bridge, mtmount_simulator\n"
            "for maker in (mtmount_bridge, mtmount_simulator):\n"
            "    print(callable(maker.options), callable(maker.makeService))"
        )
        self.assertEqual(printed, "True True\nTrue True\n")

    def test_no_init_beside_twisteds_own(self) -> None:
        """There is no ``__init__.py`` under ``twisted/``: installed, it would overwrite Twisted's."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py*")), [])

    def test_plugin_holds_only_service_makers(self) -> None:
        """The plugin module imports `ServiceMaker` and nothing else, so it can't break ``twistd``."""
        path = ROOT.joinpath(*PLUGIN.split(".")).with_suffix(".py")
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        self.assertEqual([node for node in nodes if isinstance(node, ast.Import)], [])
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        self.assertEqual([node.module for node in froms], ["twisted.application.service"])
