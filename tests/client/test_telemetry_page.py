"""``docs/howto/telemetry.rst`` and ``examples/watch_telemetry.py``."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mtmount_twisted import TelemetryClient, current_tai
from mtmount_twisted.app.bridge import TELEMETRY_PORT
from mtmount_twisted.dialects.tma2022 import telemetry
from mtmount_twisted.net.duplex import SETTLE_TIME
from mtmount_twisted.testing import HOST, FarProtocol, MemoryReactor
from tests.support.pairs import LOG

ROOT = Path(__file__).resolve().parent.parent.parent


class PageTests(SynchronousTestCase):
    """The page."""

    def test_examples(self) -> None:
        """The examples of the page do what it says."""
        memory = MemoryReactor()
        far_ends: list[FarProtocol] = []

        def accept() -> FarProtocol:
            far_ends.append(FarProtocol())
            return far_ends[-1]

        listening: Any = memory.listenTCP(0, Factory.forProtocol(accept), interface=HOST)

        def connect(**options: Any) -> TelemetryClient[Any]:
            client: TelemetryClient[Any] = TelemetryClient(
                "telemetry", HOST, listening.getHost().port, LOG, reactor=memory, **options
            )
            for seconds in (0, 0, SETTLE_TIME, 0, 0):
                memory.advance(seconds)
            return client

        def send(message: Any) -> None:
            far_ends[-1].transport.write(message if isinstance(message, bytes) else message.encode())
            memory.advance(0)

        page = (ROOT / "docs" / "howto" / "telemetry.rst").read_text(encoding="utf-8")
        names = {
            "connect": connect,
            "send": send,
            "result": self.successResultOf,
            "reactor": memory,
            "telemetry": telemetry,
        }
        test = doctest.DocTestParser().get_doctest(page, names, "telemetry.rst", None, None)
        self.assertGreater(len(test.examples), 10)
        told: list[str] = []
        doctest.DocTestRunner().run(test, out=told.append)
        self.assertEqual("".join(told), "")


class Mount(Protocol):
    """A telemetry server whose azimuth turns."""

    def connectionMade(self) -> None:
        """Send the topic every 50 ms."""
        self.sending = LoopingCall(self.send)
        self.sending.start(0.05)

    def send(self) -> None:
        """Send it once."""
        topic = telemetry.Azimuth(timestamp=current_tai(), actual_position=12.5)
        self.transport.write(topic.encode())  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self.sending.stop()
        self.factory.gone.callback(None)  # type: ignore[union-attr]


def _run(*arguments: str) -> Any:
    """Run the example, and return its output, its errors and its status."""
    words = ["examples/watch_telemetry.py", *arguments]
    return getProcessOutputAndValue(
        sys.executable, words, env=os.environ | {"PYTHONPATH": str(ROOT)}, path=str(ROOT)
    )


class ExampleWithoutArgumentsTests(SynchronousTestCase):
    """The example without arguments, on a network in memory."""

    def test_default_place(self) -> None:
        """It reads from the port that the bridge serves without options."""
        memory: Any = MemoryReactor()
        far_ends: list[FarProtocol] = []

        def accept() -> FarProtocol:
            far_ends.append(FarProtocol())
            return far_ends[-1]

        memory.listenTCP(TELEMETRY_PORT, Factory.forProtocol(accept), interface=HOST)
        self.patch(sys, "argv", ["watch_telemetry.py"])
        main = runpy.run_path(str(ROOT / "examples" / "watch_telemetry.py"))["main"]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            done = Deferred.fromCoroutine(main(memory))
            for seconds in (0, 0, SETTLE_TIME, 0, 0):
                memory.advance(seconds)
            for _ in range(3):
                topic = telemetry.Azimuth(timestamp=current_tai(), actual_position=12.5)
                far_ends[-1].transport.write(topic.encode())  # type: ignore[union-attr]
                memory.advance(0)
            memory.advance(0)
        self.successResultOf(done)
        self.assertEqual(printed.getvalue().count("azimuth 12.500 deg"), 3)


class ExampleTests(TestCase):
    """The example, over a real socket."""

    timeout = 60

    async def test_example(self) -> None:
        """It prints three positions with the clock offset, and ends."""
        factory: Any = Factory.forProtocol(Mount)
        factory.gone = Deferred()
        reactor: Any = real_reactor
        listening = reactor.listenTCP(0, factory, interface=HOST)
        self.addCleanup(listening.stopListening)
        out, err, status = await _run(HOST, str(listening.getHost().port))
        await factory.gone
        self.assertEqual((err, status), (b"", 0))
        lines = out.decode().splitlines()
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertRegex(line, r"^azimuth 12\.500 deg, clock offset [+-]0\.\d\d\d s$")
