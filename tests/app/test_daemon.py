"""`mtmount_twisted.app.daemon`: options that explain themselves, and checks before the start."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted.app import daemon
from mtmount_twisted.client.communicator import ClientServerPair
from mtmount_twisted.errors import ListenError
from mtmount_twisted.hosts import parse_host_and_port
from mtmount_twisted.net.logs import ROOT
from mtmount_twisted.testing import HOST, MemoryReactor
from mtmount_twisted.wire.fields import FLOAT
from tests.support.ports import free_port


class DaemonCase(SynchronousTestCase):
    """Waits for the one line with which a daemon ends."""

    def line(self, function: Callable[..., Any], *arguments: Any) -> str:
        """The one line that ends the program."""
        exit = self.assertRaises(SystemExit, function, *arguments)
        self.assertIsInstance(exit.code, str, "which Python prints, with exit status 1")
        line = str(exit.code)
        self.assertEqual(len(line.splitlines()), 1, line)
        return line


class SomeOptions(daemon.OneLineOptions):
    """Options of a daemon that there is not."""

    program = "mtmount-test"
    optParameters = [["count", "c", 5, "how many"], ["peer", None, None, "where"]]  # noqa: RUF012
    optFlags = [["verbose", "v", "more"]]  # noqa: RUF012
    converters = {"count": daemon.number(1, 10), "peer": parse_host_and_port}  # noqa: RUF012


class OptionsTests(DaemonCase):
    """`OneLineOptions` and the converters."""

    def parse(self, *words: str) -> SomeOptions:
        options = SomeOptions()
        options.parseOptions(list(words))
        return options

    def test_converted(self) -> None:
        """Options and their defaults become values; one that is left out stays None."""
        self.assertEqual(self.parse()["count"], 5)
        self.assertIsNone(self.parse()["peer"])
        options = self.parse("--count", "7", "--peer", "mount:40005")
        self.assertEqual((options["count"], options["peer"]), (7, ("mount", 40005)))

    def test_bad_values(self) -> None:
        """One line names the option, what was given and what is expected."""
        for option, value in (
            ("count", "0"),
            ("count", "11"),
            ("count", "x"),
            ("count", ""),
            ("count", "1.5"),
            ("count", "1_0"),
            ("count", "\uff15"),
            ("count", "9" * 5000),
            ("peer", "mount"),
            ("peer", ":5"),
            ("peer", "mount:"),
            ("peer", "mount:x"),
            ("peer", "mount:0"),
            ("peer", "mount:65536"),
            ("peer", "[::1]"),
            ("peer", "::1"),
            ("peer", "2001:db8::1:5000"),
        ):
            line = self.line(self.parse, f"--{option}={value}")
            self.assertIn(f"--{option}: expected ", line)
            self.assertIn(f"got {value[:50]!r}"[:50], line)
            self.assertLess(len(line), 250)
            self.assertIn("twistd mtmount-test --help", line)

    def test_unknown(self) -> None:
        """An option that there is not, and a word that is none, are named."""
        self.assertIn("--nope", self.line(self.parse, "--nope"))
        self.assertIn("'word'", self.line(self.parse, "--count=3", "word"))
        self.assertIn("--count", self.line(self.parse, "--count"))

    def test_number(self) -> None:
        """Floats within their bounds, and not a number at all refused."""
        convert = daemon.number(0.5, 2, FLOAT)
        self.assertEqual((convert("0.5"), convert("2")), (0.5, 2.0))
        for text in ("nan", "inf", "0.49", "2.1", "-1", "1_0e-1", "\uff11"):
            self.assertRaises(ValueError, convert, text)

    def test_help(self) -> None:
        """The help is not one line: all of it is printed."""
        options = SomeOptions()
        self.assertIn("--count=", options.getUsage())
        self.assertRaises(SystemExit, options.parseOptions, ["--help"])


class ResolveTests(DaemonCase):
    """`check_resolves`."""

    def test_address(self) -> None:
        """An address is its own."""
        self.assertEqual(daemon.check_resolves("d", "--host", "127.0.0.1"), ("127.0.0.1",))
        self.assertEqual(daemon.check_resolves("d", "--host", "::1"), ("::1",))

    def test_name(self) -> None:
        """A name has an address."""
        self.assertIn(daemon.check_resolves("d", "--host", "localhost")[0], ("127.0.0.1", "::1"))

    def test_ipv4_first(self) -> None:
        """A name with addresses of both kinds has its IPv4 address first."""

        def both(*arguments: Any, **options: Any) -> list[Any]:
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 0)),
            ]

        self.patch(socket, "getaddrinfo", both)
        self.assertEqual(daemon.check_resolves("d", "--host", "both"), ("127.0.0.9", "::1"))

    def test_no_such_host(self) -> None:
        """A host that does not resolve, or can be no name at all, is one line that names it."""
        for host in ("no-such-host.invalid", "a..b", "x" * 64, "\udcff", ""):
            line = self.line(daemon.check_resolves, "d", "--host", host)
            self.assertIn(f"d: --host: host {host!r} does not resolve (", line)


class ListenTests(DaemonCase):
    """`check_can_listen` and `check_listening`."""

    def check(self, *ports: int, host: str = HOST) -> list[tuple[str, int]]:
        """Check ports of one address."""
        wanted = [daemon.Listen("--listen", host, f"--port-{n}", port) for n, port in enumerate(ports)]
        return daemon.check_can_listen("d", wanted)

    def taken_port(self) -> int:
        """A port on which something listens."""
        listening = socket.create_server((HOST, 0))
        self.addCleanup(listening.close)
        return int(listening.getsockname()[1])

    def test_free(self) -> None:
        """Free ports are what they were, and are free still; 0 stays 0."""
        self.assertEqual(self.check(0, 0), [(HOST, 0), (HOST, 0)])
        port = free_port(self)
        for _ in range(2):
            self.assertEqual(self.check(port), [(HOST, port)])

    def test_name(self) -> None:
        """A name becomes its address."""
        [(address, port)] = self.check(0, host="localhost")
        self.assertIn(address, ("127.0.0.1", "::1"))
        self.assertEqual(port, 0)

    def test_taken(self) -> None:
        """A port that is taken is one line that names the option and the port."""
        port = self.taken_port()
        line = self.line(self.check, 0, port)
        self.assertIn(f"d: --port-1: can't listen on {HOST}:{port}: Address already in use", line)
        self.assertIn("a daemon running already", line)

    def test_wanted_twice(self) -> None:
        """One port that is wanted for two things is found as well."""
        port = free_port(self)
        self.assertIn(f"--port-1: can't listen on {HOST}:{port}", self.line(self.check, port, port))

    def test_zone(self) -> None:
        """A link-local address is tried at the interface that it names, which may not be there."""
        line = self.line(lambda: self.check(0, host="fe80::1%no-such"))
        self.assertIn("d: --", line)
        self.assertIn("can't listen on [fe80::1%no-such]:0: no interface with this name", line)

    def test_not_ours(self) -> None:
        """An address of another machine is one line that names its option, and does not blame the port."""
        line = self.line(lambda: self.check(0, host="192.0.2.1"))
        self.assertIn("d: --listen: can't listen on 192.0.2.1:0", line)
        self.assertIn("address of this machine", line)
        self.assertNotIn("running", line)

    def test_no_such_host(self) -> None:
        """A host that does not resolve is told with its own option."""
        self.assertIn("d: --listen: host ", self.line(lambda: self.check(0, host="no-such-host.invalid")))

    def refuse(self, number: int) -> None:
        """Have the system refuse to bind."""

        class Refusing(socket.socket):
            def bind(self, address: Any) -> None:
                raise OSError(number, os.strerror(number))

        self.patch(socket, "socket", Refusing)

    def test_privileged(self) -> None:
        """A port that only the system's own services may have is told so."""
        self.refuse(errno.EACCES)
        line = self.line(self.check, 80)
        self.assertIn("d: --port-0: can't listen on 127.0.0.1:80: Permission denied", line)
        self.assertIn("1023", line)

    def test_other(self) -> None:
        """Whatever else the system says is passed on."""
        self.refuse(errno.ENOBUFS)
        self.assertIn(os.strerror(errno.ENOBUFS), self.line(self.check, 80))

    def test_no_such_family(self) -> None:
        """A machine without IPv6 says so in one line."""

        def no_socket(*arguments: Any) -> None:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

        self.patch(socket, "socket", no_socket)
        line = self.line(lambda: self.check(0, host="::1"))
        self.assertIn("can't listen on [::1]:0: Address family not supported", line)

    def pairs(self) -> list[ClientServerPair[bytes]]:
        """Two pairs that want one port."""
        reactor = MemoryReactor()
        log = logging.getLogger("tests.daemon")
        return [
            ClientServerPair(name, HOST, 0, HOST, 4000, log, connect=False, reactor=reactor) for name in "ab"
        ]

    def test_taken_since(self) -> None:
        """A port that was taken after the check ends the daemon with one line too."""
        first, second = self.pairs()
        daemon.check_listening("d", [first])
        line = self.line(daemon.check_listening, "d", [first, second])
        self.assertIn(f"d: can't listen on {HOST}:4000: Address already in use", line)

    def test_taken_since_in_the_background(self) -> None:
        """In the background it is an error that ``twistd`` tells the terminal; `SystemExit` would hang it."""
        pairs = self.pairs()
        self.patch(os, "getpid", lambda: 1)
        error = self.assertRaises(ListenError, daemon.check_listening, "d", pairs)
        self.assertIn("Address already in use", str(error))


class BeginTests(SynchronousTestCase):
    """`begin_log`."""

    def setUp(self) -> None:
        log = logging.getLogger(ROOT)
        self.addCleanup(log.setLevel, log.level)
        self.addCleanup(setattr, log, "propagate", log.propagate)
        self.addCleanup(setattr, log, "handlers", log.handlers[:])

    def test_log(self) -> None:
        """Its log is the package's, with debug only if it is asked for."""
        self.assertFalse(daemon.begin_log(Clock(), False).isEnabledFor(logging.DEBUG))
        log = daemon.begin_log(Clock(), True)
        self.assertTrue(log.isEnabledFor(logging.DEBUG))
        self.assertEqual(log.name, "mtmount_twisted")

    def test_monotonic(self) -> None:
        """Deadlines no longer follow the wall clock."""
        reactor = Clock()
        daemon.begin_log(reactor, False)
        before = time.monotonic()
        self.assertTrue(before <= reactor.seconds() <= time.monotonic())
        self.assertGreaterEqual(reactor.callLater(10, print).getTime(), before + 10)

    def test_not_under_running_timers(self) -> None:
        """A reactor that has timers already keeps its clock, by which they are due."""
        reactor = Clock()
        reactor.callLater(5, print)
        daemon.begin_log(reactor, False)
        self.assertEqual(reactor.seconds(), 0)


class SignalTests(TestCase):
    """`note_signal` and `on_signal`."""

    def setUp(self) -> None:
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))

    async def test_noted(self) -> None:
        """A signal that came too early, however often, is done once, when there is somebody to do it."""
        daemon.note_signal(signal.SIGHUP)
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
        done: list[Deferred[None]] = [Deferred(), Deferred()]
        waiting = iter(done)
        daemon.on_signal(signal.SIGHUP, lambda: next(waiting).callback(None))
        await done[0]
        self.assertFalse(done[1].called)
        signal.raise_signal(signal.SIGHUP)
        await done[1]
