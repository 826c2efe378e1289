"""``twistd mtmount-bridge`` before a tma2022 mount: a program, and the one that is built in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.request import urlopen

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.threads import deferToThread

from mtmount_twisted.client.duplex import DuplexCommunicator
from mtmount_twisted.client.mount import Mount
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022 import replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import Source, System
from mtmount_twisted.wire.tai import current_tai
from tests.support.commanders import LOG
from tests.support.programs import HOST, ROOT, Program, ProgramCase
from tests.web.test_service import Client

BUILT_IN = '[simulator]\ndialect = "tma2022"\n[[pair]]\nname = "csc"\ncommand_port = 0\n'


class Tma2022Case(ProgramCase):
    """A bridge that speaks tma2022, and a commander on its pair."""

    async def bridge(self, *words: str) -> tuple[Program, int]:
        """The daemon and the port of its pair ``csc``."""
        program = self.twistd("-n", "mtmount-bridge", *words)
        found = await program.line(rf"serving commander csc on {HOST}:(\d+)[;\n]")
        await program.line(r"the controller is connected \(epoch 1\)")
        return program, int(found.group(1))

    async def mount(self, port: int) -> Mount:
        """The mount as a commander of source CSC has it."""
        communicator = DuplexCommunicator("test", HOST, port, LOG, dialect=DIALECT, reactor=reactor)
        self.addCleanup(communicator.close)
        mount = Mount(communicator)
        self.addCleanup(mount.close)
        await communicator.wait_connected()
        return mount

    async def move(self, mount: Mount, position: float) -> None:
        """Take command, and move the azimuth axis."""
        await mount.send(c.AskForCommand(commander=Source.CSC)).done
        await mount.send(c.AzimuthMove(position=position)).done


class ControllerTests(Tma2022Case):
    """The mount is a program of its own."""

    async def simulator(self) -> int:
        """A simulated mount that is ready; its command port."""
        ports = ("--command-port", "0", "--telemetry-port", "0")
        program = self.twistd("-n", "mtmount-simulator", "--dialect", "tma2022", "--ready", *ports)
        found = await program.line(
            rf"serving a commander of tma2022 on {HOST}:(\d+), telemetry on {HOST}:(\d+)"
        )
        self.telemetry_port = int(found.group(2))
        return int(found.group(1))

    async def test_options(self) -> None:
        """The options name the mount; the first line of the log names its dialect; the axis moves."""
        controller = f"{HOST}:{await self.simulator()}"
        program, port = await self.bridge(
            *("--controller", controller, "--controller-dialect", "tma2022", "--command-port", "0"),
            *("--telemetry", f"{HOST}:{self.telemetry_port}"),
        )
        lines = [line for line in program.output.splitlines() if "mtmount_twisted#" in line]
        self.assertIn(f"the controller is at {controller}; its dialect is tma2022", lines[0])
        mount = await self.mount(port)
        states: list[replies.AxisMotionStateReply] = []
        mount.subscribe(replies.AxisMotionStateReply, states.append)
        await self.move(mount, 1)
        self.assertEqual(states[-1].position, 1)
        await self.assert_ends(program)

    async def test_file(self) -> None:
        """A file names the mount. Its port serves observers, and a change of its dialect needs a restart."""
        hall = f"{self.state}.hall"
        self.addCleanup(lambda: os.path.exists(hall) and os.unlink(hall))
        commanders = (
            f'[[port]]\nname = "hall"\nendpoint = "unix:{hall}"\n[[pair]]\nname = "csc"\ncommand_port = 0\n'
        )
        controller = f'[controller]\nhost = "{HOST}"\ncommand_port = {await self.simulator()}\n'
        today = f'dialect = "tma2022"\ntelemetry_port = {self.telemetry_port}\n'
        path = self.file(controller + today + commanders)
        program, port = await self.bridge("--config", path)
        observer = await self.observer(UNIXClientEndpoint(reactor, hall))
        mount = await self.mount(port)
        await self.move(mount, 0.5)
        event = json.loads(await observer.line(b'{"id":101'))
        self.assertEqual(event["parameters"]["axis"], 0)
        with open(path, "w", encoding="utf-8") as file:
            file.write(controller + commanders + "reply_port = 7\n")
        program.transport.signalProcess("HUP")
        await program.line(
            "configuration not reloaded: .*controller.dialect: a change from tma2022 to tma2020 needs a "
            "restart of the daemon"
        )
        await mount.send(c.AzimuthMove(position=0.6)).done
        await self.assert_ends(program)


class BuiltInTests(Tma2022Case):
    """The mount is the built-in simulator."""

    timeout = 90
    """Seconds: `test_slews` waits for four motions in real time, on a machine that may be loaded."""

    async def test_moves(self) -> None:
        """It is ready: the axis moves without more ado, and the journal tells it in the dialect's words."""
        program, port = await self.bridge("--config", self.file(BUILT_IN))
        lines = [line for line in program.output.splitlines() if "mtmount_twisted#" in line]
        self.assertIn("using the built-in simulator; its dialect is tma2022", lines[0])
        mount = await self.mount(port)
        await self.move(mount, 1)
        await self.assert_ends(program)
        shown = await deferToThread(self.journal)
        self.assertRegex(shown, r"csc -> bridge +command +#\d+ AzimuthMove position=1.0\n")
        self.assertRegex(shown, r"controller -> bridge +event +AxisMotionState axis=AZIMUTH state=STOPPED")
        self.assertNotIn("invalid", shown)

    def journal(self) -> str:
        """What ``mtmount-journal show`` writes."""
        words = (sys.executable, "-m", "mtmount_twisted.journal", "show", "--journal", self.default_journal)
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout

    async def test_slews(self) -> None:
        """A slew to a target, and a move, are rows of ``/api/v1/slews`` with their figures."""
        web = ("--web", f"tcp:0:interface={HOST}")
        program = self.twistd("-n", "mtmount-bridge", "--config", self.file(BUILT_IN), *web)
        page = int((await program.line(r"page on http://127\.0\.0\.1:(\d+)")).group(1))
        port = int((await program.line(rf"serving commander csc on {HOST}:(\d+)[;\n]")).group(1))
        await program.line(r"the controller is connected \(epoch 1\)")
        mount = await self.mount(port)
        await mount.send(c.AskForCommand(commander=Source.CSC)).done
        await mount.send(c.AzimuthEnableTracking(on=True)).done
        events = Client()
        await connectProtocol(TCP4ClientEndpoint(reactor, HOST, page), events)
        events.transport.write(
            b"GET /api/v1/events?signals=azimuth.actualPosition&rate=20 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        await events.until(b'"azimuth.actualPosition":0')
        # The next slew ends each row before the RMS of its 15 s is known.
        for position in (1.0, 3.0):
            target = c.AzimuthTrackTarget(position=position, velocity=0.0, tai=current_tai() + 0.1)
            there = self.in_position(mount)
            await mount.send(target).acked
            await there
            await self.measured(events)
        await mount.send(c.AzimuthStop()).done
        for position in (4.0, 5.0):
            await mount.send(c.AzimuthMove(position=position)).done
            await self.measured(events)
        answer = await deferToThread(urlopen, f"http://{HOST}:{page}/api/v1/slews", timeout=10)
        rows = json.loads(answer.read())["slews"]
        self.assertEqual([row["kind"] for row in rows], ["move", "track", "track"])
        for row, way in zip(rows, (1.0, 2.0, 1.0), strict=True):
            self.assertLess(abs(row["azimuth"] - way), 0.05)  # it moves until the next telemetry
            self.assertTrue(0.1 < row["seconds"] < 4.0, row)
            self.assertLess(row["error_at_in_position"], 36.0)  # 0.01 deg is in position
            self.assertEqual(
                (row["elevation"], row["passed"], row["failures"]), (0.0, False, ["interrupted"])
            )
        await self.assert_ends(program)

    async def measured(self, events: Client) -> None:
        """Wait for half a second of telemetry, after which the error at the arrival is known."""
        events.data = b""
        for _ in range(10):
            await events.until(b"event: signals")
            events.data = events.data.partition(b"event: signals")[2]

    def in_position(self, mount: Mount) -> Deferred[None]:
        """A Deferred that fires when azimuth comes into position."""
        found: Deferred[None] = Deferred()

        def hear(event: replies.InPositionReply) -> None:
            if event.axis is System.AZIMUTH and event.in_position:
                unsubscribe()
                found.callback(None)

        unsubscribe = mount.subscribe(replies.InPositionReply, hear)
        return found

    async def test_stop_at_once(self) -> None:
        """It can be stopped before the mount is connected."""
        program = self.twistd("-n", "mtmount-bridge", "--config", self.file(BUILT_IN))
        await program.line("controller: connected to")
        await self.assert_ends(program)

    def test_nothing_is_imported_for_the_first_stop(self) -> None:
        """What the first command of the bridge needs is there when the daemon is made, not when it serves."""
        script = (
            "import sys; from mtmount_twisted.app import bridge; options = bridge.Options(); "
            f"options.parseOptions(['--config', {self.file(BUILT_IN)!r}, '--web=none', "
            "'--journal=none']); service = bridge.makeService(options); before = set(sys.modules); "
            "from mtmount_twisted.dialects.tma2022.dialect import DIALECT; DIALECT.stops(); "
            "print(sorted(set(sys.modules) - before))"
        )
        words = (sys.executable, "-c", script)
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=25)
        self.assertEqual(done.stdout, "[]\n", done.stderr)
