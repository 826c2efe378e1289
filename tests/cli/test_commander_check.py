"""``check COMMAND``: the expected answer to a command at the prompt and in a script; nothing is sent."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

import mtmount_twisted
from mtmount_twisted.cli.commander.checking import UNSETTLED, read_verdict
from mtmount_twisted.cli.commander.completion import offers
from mtmount_twisted.cli.commander.line import Check, parse_line
from mtmount_twisted.cli.commander.manual import help_all
from mtmount_twisted.cli.commander.options import parse_options
from mtmount_twisted.cli.commander.program import Program
from mtmount_twisted.cli.commander.script import Lines
from mtmount_twisted.cli.commander.session import Session
from mtmount_twisted.dialects.tma2022 import commands, replies
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import AxisMotionState, PowerState, System
from mtmount_twisted.errors import MessageError, WebError
from mtmount_twisted.testing import HOST, FarEnd, MemoryReactor
from tests.support.mounts_tma2022 import MountCase

PAGE = 8080


class TextTests(SynchronousTestCase):
    """What a person types."""

    def test_lines(self) -> None:
        """``check`` takes any command for the mount, and no other word."""
        request = parse_line("Check az_move 10", dialect=DIALECT)
        assert isinstance(request, Check) and isinstance(request.command, commands.AzimuthMove)
        self.assertEqual(request.command.position, 10)
        for text in ("check", "check help", "check check az_stop", "check wait 1"):
            error = self.assertRaises(MessageError, parse_line, text, dialect=DIALECT)
            self.assertIn("a command for the mount, as in check az_stop", str(error))
        self.assertRaises(MessageError, parse_line, "check az_moove 1", dialect=DIALECT)

    def test_help_and_completion(self) -> None:
        """Help lists it; Tab completes the command after it, and the command's parameters."""
        self.assertIn("check COMMAND", help_all(DIALECT))
        self.assertIn("check", [offer.text for offer in offers("che", DIALECT)])
        self.assertEqual([offer.text for offer in offers("check az_sto", DIALECT)], ["az_stop"])
        self.assertIn("position=", [offer.text for offer in offers("check az_move ", DIALECT)])

    def test_strange_answer(self) -> None:
        """An answer that no bridge gives is an error that names the member."""
        error = self.assertRaises(WebError, read_verdict, {"verdict": "maybe"})
        self.assertIn("verdict", str(error))
        error = self.assertRaises(WebError, read_verdict, {"verdict": "x" * 500_000})
        self.assertLess(len(str(error)), 300)


class EventTests(MountCase):
    """A session without a page: it judges by the mount's events."""

    def setUp(self, **options: Any) -> None:
        super().setUp(**options)
        self.shown: list[str] = []
        self.session = Session(
            self.mount, self.shown.append, clock=self.reactor, monotonic=self.reactor.seconds
        )
        self.addCleanup(self.session.close)
        self.turn(UNSETTLED)

    def check(self, line: str) -> tuple[bool, str]:
        """Check a command: the result, and what was shown without the times."""
        self.shown.clear()
        result = self.successResultOf(self.session.run(f"check {line}"))
        self.assertEqual(self.received(), [], "nothing is sent")
        return result, "\n".join(" ".join(text.split()[1:]) for text in self.shown)

    def ready(self) -> None:
        """The mount tells that azimuth is on and stopped."""
        self.reply(
            replies.PowerStateReply(system=System.AZIMUTH, power_state=PowerState.ON),
            replies.AxisMotionStateReply(axis=System.AZIMUTH, state=AxisMotionState.STOPPED, position=0.0),
        )

    def test_verdicts(self) -> None:
        """What is unknown, what is known against a command, and its targets; and what this prompt lacks."""
        result, shown = self.check("az_move 10")
        self.assertTrue(result)
        self.assertIn("check AzimuthMove position=10.0: unknown; nothing was sent", shown)
        self.assertIn("check unknown: the power of azimuth", shown)
        self.assertIn("the lease and the commands of others are not known: no page of a bridge", shown)
        self.ready()
        result, shown = self.check("az_move 10")
        self.assertTrue(result)
        self.assertIn("AzimuthMove position=10.0: nothing is known against it", shown)
        self.assertIn("check target: azimuth 10 deg; the way to it is unknown", shown)
        result, shown = self.check("az_move 300")
        self.assertFalse(result)
        self.assertIn("AzimuthMove position=300.0: would be refused", shown)
        self.assertIn("check reason: azimuth: expected a position from -270 to 270 deg, got 300", shown)

    def test_command_of_2020(self) -> None:
        """A command that becomes two is checked as both."""
        _, shown = self.check("OilSupplySystemPowerOil on")
        self.assertIn("OilSupplySystemSetMode", shown)
        self.assertIn("OilSupplySystemPowerCirculationPump", shown)

    def test_unsettled(self) -> None:
        """While a command of this prompt is in flight, no reason of the mount is certain."""
        self.reply(replies.PowerStateReply(system=System.AZIMUTH, power_state=PowerState.OFF))
        self.session.start("az_power on")
        (command,) = self.received()
        for _ in range(2):
            result, shown = self.check("az_home")
            self.assertTrue(result)
            self.assertIn("unknown: a command in flight may change this: azimuth is off", shown)
            self.reply(
                replies.CmdAcknowledgedReply(sequence_id=command.sequence_id, timeout=1.0),
                replies.CmdSucceededReply(sequence_id=command.sequence_id),
            )
        self.turn(UNSETTLED)
        self.assertFalse(self.check("az_home")[0])

    def test_forgotten(self) -> None:
        """After a lost connection the events before it count no more."""
        self.ready()
        self.session.forget_events()
        self.assertIn("unknown: the power of azimuth", self.check("az_move 10")[1])


class PageProtocol(Protocol):
    """A page that lists the prompt, and answers a validation with what its factory says."""

    def dataReceived(self, data: bytes) -> None:
        """Answer a request."""
        factory: Any = self.factory
        factory.requests.append(data)
        body = json.dumps(factory.verdict if data.startswith(b"POST") else factory.state()).encode()
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class PageTests(SynchronousTestCase):
    """A script at a pair of a bridge with a page."""

    def test_script(self) -> None:
        """The page judges for this prompt's own commander; a refusal is status 1, and nothing is sent."""
        reactor = MemoryReactor()
        shown: list[str] = []
        page: Any = Factory.forProtocol(PageProtocol)
        page.requests = []
        page.state = lambda: {
            "version": mtmount_twisted.__version__,
            "lease": {"holder": "csc", "number": 1, "holder_gone": False, "requests": []},
            "commanders": [
                {"name": "csc 1", "source": "CSC", "address": f"{HOST}:{far_end.port}", "may_command": True}
            ],
        }
        page.verdict = {
            "command": "AzimuthAxisMove",
            "verdict": "nothing_known_against_it",
            "reasons": [],
            "unknown": [],
            "targets": [{"axis": "azimuth", "position": 10.0, "distance": -12.5, "seconds": 3.25}],
            "limits": ["azimuth: \x1b"],
        }
        reactor.listenTCP(PAGE, page, interface=HOST)
        program = Program(reactor, parse_options([]), shown.append, shown.append)
        rest = [b"check az_move 10\n", b""]
        lines = Lines(lambda: succeed(rest.pop(0)))
        running = Deferred.fromCoroutine(program.run(lambda: Deferred.fromCoroutine(program.run_pipe(lines))))
        far_end = FarEnd(program.link)
        program.link.connect(far_end.port)
        far_end.connect_server()
        for _ in range(60):
            reactor.advance(0.1)
        self.assertEqual(self.successResultOf(running), 0)
        text = "\n".join(" ".join(line.split()[1:]) for line in shown)
        self.assertIn("check AzimuthAxisMove position=10.0: nothing is known against it; nothing was", text)
        self.assertIn("check target: azimuth 10 deg; 12.5 deg to go, 3.2 s", text)
        self.assertIn("check limit: azimuth: \\x1b", text)
        self.assertNotIn("lease and the commands", text)
        (asked,) = [each for each in page.requests if each.startswith(b"POST")]
        self.assertIn(b"POST /api/v1/commands?commander=csc%201 ", asked)
        head, _, body = asked.partition(b"\r\n\r\n")
        self.assertIn(b"application/json", head)
        self.assertEqual(json.loads(body)["validate"], True)
        self.assertEqual(json.loads(body)["parameters"]["position"], 10)
