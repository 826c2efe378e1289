"""`mtmount_twisted.net.addresses`: what an endpoint's text says, and whether that is on this machine."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app import bridge
from mtmount_twisted.config import preflight
from mtmount_twisted.config.loading import load
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.net.endpoints import Endpoint
from mtmount_twisted.testing import MemoryReactor
from tests.support.folders import scratch_path

PAIR = "[[pair]]\nname = 'csc'\ncommand_port = 0\nreply_port = 9\n"


class EndpointTests(SynchronousTestCase):
    """Endpoints."""

    def problems(self, text: str) -> str:
        """What is wrong with a configuration."""
        try:
            load(text)
        except ConfigError as error:
            return "\n".join(error.problems)
        return ""

    def test_interface_of_a_telling_name(self) -> None:
        """An interface that is called ``unix`` is a host's name, which other machines may reach."""
        for endpoint in ("tcp:30100:interface=unix", "tcp:30100:unix", "tcp6:30100:interface=UNIX"):
            port = self.problems(f'[[port]]\nname = "p"\nendpoint = "{endpoint}"\n')
            self.assertIn("can be reached from other machines", port)
            web = self.problems(f'{PAIR}[web]\nendpoint = "{endpoint}"\n')
            self.assertIn("can be reached from other machines", web)
            config = load(
                f'[[port]]\nname = "p"\nendpoint = "{endpoint}"\ninsecure = true\n[journal]\nenabled=false'
            )
            self.assertEqual([*preflight.problems(config)], [], "there is no socket's file to be made")

    def test_socket(self) -> None:
        """A Unix socket is this machine's, and is known by its path."""
        bound = Endpoint.parse("unix:/run/a\\:b:mode=600")
        self.assertEqual((bound.host, bound.port, bound.is_unix, bound.is_near), ("", "/run/a:b", True, True))

    def test_names(self) -> None:
        """The interface is found wherever Twisted takes it from, and nothing else is taken for one."""
        for endpoint, expected in (
            ("tcp:1:mount.example", ["mount.example"]),
            ("tcp:1:backlog=5:mount.example", ["mount.example"]),
            ("tcp:interface=mount.example:1", ["mount.example"]),
            ("tcp:1:inter\\face=mount.example", ["mount.example"]),
            ("tcp6:1:50:mount.example", ["mount.example"]),
            ("tcp6:1:50", []),
            ("tcp:1:interface=\\:\\:1", []),
            ("tcp:1:127.0.0.1", []),
            ("ssl:1:key.pem:cert.pem", []),
            ("ssl:1:key.pem:cert.pem:interface=mount.example", ["mount.example"]),
            ("haproxy:tcp:1:mount.example", ["mount.example"]),
            ("unix:tcp:600", []),
        ):
            self.assertEqual(Endpoint.parse(endpoint).interface_names, expected, endpoint)
            text = Endpoint.parse(endpoint).at_addresses({"mount.example": "fd00::1"})
            self.assertEqual("fd00\\:\\:1" in text, bool(expected))
            self.assertNotIn("mount.example", text)

    def test_listens_there(self) -> None:
        """Twisted listens at the address that was put in the place of a name."""
        reactor: Any = MemoryReactor()
        listened: list[str] = []
        reactor.listenTCP = lambda *words, **options: listened.append(options.get("interface", words[-1]))
        for endpoint in ("tcp:1:mount.example", "tcp6:1:50:mount.example", "tcp:interface=mount.example:1"):
            text = Endpoint.parse(endpoint).at_addresses({"mount.example": "fd00::1"})
            serverFromString(reactor, text).listen(None)  # type: ignore[arg-type]
        self.assertEqual(listened, ["fd00::1"] * 3)

    def test_zone(self) -> None:
        """A link-local interface keeps its zone: the same address of another link is another place."""
        self.assertEqual(Endpoint.parse("tcp:1:interface=FE80\\:\\:1%eth0").host, "fe80::1%eth0")
        port = "[[port]]\nname = '{0}'\nallow = ['fd00::/8']\nendpoint = 'tcp:1:interface=fe80\\:\\:1%{0}'\n"
        self.assertEqual(self.problems(port.format("eth0") + port.format("eth1")), "")
        self.assertIn("is used by", self.problems(port.format("eth0") * 2))


class ElsewhereTests(SynchronousTestCase):
    """Names that mean this machine."""

    def test_localhost_that_is_elsewhere(self) -> None:
        """``localhost`` is this machine; if its hosts file says otherwise, the daemon does not start."""
        path = scratch_path(self)
        path.write_text("[[port]]\nname = 'p'\nendpoint = 'tcp:0:interface=localhost'\n")
        words = ["--config", str(path), "--journal=none", "--web=none"]
        for address, is_refused in (("192.0.2.7", True), ("127.0.0.1", False)):
            self.patch(bridge, "look_up", lambda hosts, address=address: dict.fromkeys(hosts, (address,)))
            options = bridge.Options()
            options.parseOptions(words)
            if is_refused:
                stopped = str(self.assertRaises(SystemExit, bridge.makeService, options).code)
                self.assertIn("port[1].endpoint: tcp:0:interface=localhost is at 192.0.2.7 here", stopped)
            else:
                bridge.makeService(options)
