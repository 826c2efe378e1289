"""A first try that goes wrong: no daemon, a port that is taken. Each is told in a line."""

from __future__ import annotations

import os
import socket
import sys

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.errors import ConnectTimeoutError, ListenError, PairClosedError
from mtmount_twisted.testing import MemoryReactor
from tests.support.pages import README, marked
from tests.support.pairs import LOG, PairCase
from tests.support.ports import free_port

from .test_readme import ROOT, example


class WaitConnectedTests(PairCase):
    """`ClientServerPair.wait_connected` with a time-out says what is missing."""

    def late(self, waiting: Deferred[None]) -> str:
        """What it says 1.5 s later."""
        for _ in range(14):
            self.reactor.advance(0.1)
        self.assertNoResult(waiting)
        self.reactor.advance(0.11)
        error = self.failureResultOf(waiting, ConnectTimeoutError).value
        self.assertEqual((error.seconds, str(error)), (1.5, f"not connected within 1.5 s: {error.reason}"))
        return str(error.reason)

    def test_nothing_there(self) -> None:
        """Where nothing listens, the text has the address, the system's reason, and what to do."""
        self.start(connect=False)
        communicator = self.communicator
        communicator.connect(9).addErrback(lambda reason: reason.trap(PairClosedError))
        why = self.late(communicator.wait_connected(1.5))
        self.assertIn("nothing takes commands on 127.0.0.1:9 (Connection was refused", why)
        self.assertIn("start the mount or the bridge", why)
        self.closed()

    def test_sent_away(self) -> None:
        """A far end that closes each connection serves somebody else."""
        self.start(connect=False)
        self.connect()
        waiting = self.communicator.wait_connected(1.5)
        for _ in range(14):
            self.reactor.advance(0.1)
            if self.communicator.client_connected:
                self.far_end.drop_client()
        self.reactor.advance(0.11)
        reason = str(self.failureResultOf(waiting, ConnectTimeoutError).value)
        self.assertIn(f"127.0.0.1:{self.communicator.client_port} closes each connection", reason)
        self.connects[0].addErrback(lambda reason: reason.trap(PairClosedError))
        self.closed()

    def test_no_reply(self) -> None:
        """A far end that takes the connection, and does not connect back, is told by both addresses."""
        self.start(connect=False)
        self.connect()
        why = self.late(self.communicator.wait_connected(1.5))
        self.assertIn(f"did not connect to 127.0.0.1:{self.communicator.server_port} to reply", why)
        self.connects[0].addErrback(lambda reason: reason.trap(PairClosedError))
        self.closed()

    def test_in_time(self) -> None:
        """A pair that is connected, or becomes so in time, is no error, and no timer is left."""
        self.start()
        self.assertIsNone(self.successResultOf(self.communicator.wait_connected(1.5)))
        self.closed()

    def test_closed_or_cancelled(self) -> None:
        """Closing ends the wait as ever, and so does cancelling; neither is told as a time-out of 1.5 s."""
        self.start(connect=False)
        waiting = self.communicator.wait_connected(1.5)
        self.closed()
        self.failureResultOf(waiting, PairClosedError)

    def test_one_connection(self) -> None:
        """For one connection both ways it is the same."""
        self.reactor = MemoryReactor()
        communicator = DuplexCommunicator("c", "127.0.0.1", 9, LOG, reactor=self.reactor)
        self.assertIn("nothing takes commands on 127.0.0.1:9", self.late(communicator.wait_connected(1.5)))
        communicator.close()
        self.reactor.advance(2)


class ExampleTests(TestCase):
    """What the README and ``examples/`` say when they can't do what they show."""

    timeout = 60

    def run_all(
        self, command_port: int, reply_port: int, web_port: int
    ) -> Deferred[list[tuple[str, str, int]]]:
        """The output, the error output and the exit status of each, in the same order."""
        scripts = [
            marked(README, "readme-library"),
            *map(example, ("await_replies.py", "watch_replies.py", "web_command.py")),
        ]
        running = []
        for script in scripts:
            for old, new in (
                ("30005", str(command_port)),
                ("30006", str(reply_port)),
                ("8080", str(web_port)),
                ("timeout=1.5", "timeout=0.2"),
            ):
                script = script.replace(old, new)
            running.append(
                getProcessOutputAndValue(
                    sys.executable, ["-c", script], env=os.environ | {"PYTHONPATH": ROOT}
                ).addCallback(lambda result: (result[0].decode(), result[1].decode(), result[2]))
            )
        return gatherResults(running)

    async def test_no_daemon(self) -> None:
        """Without a daemon each ends with one line that says where it looked, and no traceback."""
        port = free_port(self)
        *library, web = await self.run_all(port, 0, port)
        for out, err, status in library:
            self.assertEqual((out, status), ("", 1))
            self.assertIn(f"not connected within 0.2 s: nothing takes commands on 127.0.0.1:{port} (", err)
            self.assertEqual(err.count("\n"), 1, err)
        self.assertEqual((web[0], web[2]), ("", 1))
        self.assertIn(f"GET http://127.0.0.1:{port}/api/v1/state: no answer of a daemon's: [Errno", web[1])
        self.assertEqual(web[1].count("\n"), 1)

    async def test_beside_a_prompt(self) -> None:
        """Where another program has the port for replies, it says so at once, and what to do."""
        with socket.create_server(("127.0.0.1", 0)) as prompt, socket.create_server(("127.0.0.1", 0)) as mute:
            taken, no_page = prompt.getsockname()[1], mute.getsockname()[1]
            *library, web = await self.run_all(no_page, taken, no_page)
        for out, err, status in library:
            self.assertEqual((out, status), ("", 1))
            last = err.splitlines()[-1]
            self.assertEqual(last, str(ListenError("127.0.0.1", taken, os.strerror(98))))
            self.assertIn("end that one, or use another port", last)
            self.assertNotIn("Traceback", err)
        self.assertEqual((web[0], web[2]), ("", 1))
        self.assertIn("timed out", web[1])
