"""A bare ``ask_for_command``: it is for the commander that the prompt is to the bridge, and for no other."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

import mtmount_twisted
from mtmount_twisted.cli.commander.options import parse_options
from mtmount_twisted.cli.commander.program import Program
from mtmount_twisted.cli.commander.script import Lines
from mtmount_twisted.commands import AskForCommand
from mtmount_twisted.dialects.tma2020.codec import decode_command
from mtmount_twisted.dialects.tma2020.framing import TERMINATOR
from mtmount_twisted.enums import Commander
from mtmount_twisted.testing import HOST, FarEnd, FarProtocol, MemoryReactor

PORT, PAGE = 30101, 8080


class Answers(Protocol):
    """A page: answers each question with what its factory says."""

    def dataReceived(self, data: bytes) -> None:
        """Answer each request in it."""
        self.factory.received.append(data)  # type: ignore[union-attr]
        body = json.dumps(self.factory.state()).encode()  # type: ignore[union-attr]
        for _ in range(data.count(b"\r\n\r\n")):
            assert self.transport is not None
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class BareAskTests(SynchronousTestCase):
    """What goes to the bridge for a bare ``ask_for_command``."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.complaints: list[str] = []
        self.commanders: list[tuple[str, str, int]] = [("csc", "CSC", 30005)]
        self.asked_states = 0
        self.received: list[bytes] = []

    def state(self) -> dict[str, Any]:
        """The answer to ``/api/v1/state``."""
        self.asked_states += 1
        return {
            "version": mtmount_twisted.__version__,
            "lease": {"holder": "eui", "number": 1, "holder_gone": False, "requests": []},
            "commanders": [
                {"name": name, "source": source, "address": f"{HOST}:{port}", "may_command": True}
                for name, source, port in self.commanders
            ],
        }

    def serve_page(self) -> None:
        """Serve a page where the bridge has it by default."""
        factory: Any = Factory.forProtocol(Answers)
        factory.state, factory.received = self.state, self.received
        self.reactor.listenTCP(PAGE, factory, interface=HOST)

    def start(self, *arguments: str, script: bytes = b"ask_for_command\n") -> Deferred[int]:
        """Run a script with these options."""
        program = Program(self.reactor, parse_options(arguments), lambda text: None, self.complaints.append)
        self.link = program.link
        rest = [script, b""]
        lines = Lines(lambda: succeed(rest.pop(0)))
        return Deferred.fromCoroutine(program.run(lambda: Deferred.fromCoroutine(program.run_pipe(lines))))

    def finish(self, running: Deferred[int]) -> int:
        """The exit status, once all is over."""
        for _ in range(120):
            self.reactor.advance(0.1)
        return self.successResultOf(running)

    def asked_at_port(
        self, *arguments: str, source: str = "", script: bytes = b"ask_for_command\n", unasked: int = 2
    ) -> list[Commander]:
        """Whom a prompt with ``--connect`` asks for.

        :param source: which commander the page says that it is; empty if the page does not list it.
        :param unasked: the exit status of a script that asks for nobody.
        """
        far_ends: list[FarProtocol] = []
        factory: Any = Factory()
        factory.buildProtocol = lambda address: far_ends.append(FarProtocol()) or far_ends[-1]
        listening = self.reactor.listenTCP(PORT, factory, interface=HOST)
        running = self.start("--connect", f"{HOST}:{PORT}", *arguments, script=script)
        for _ in range(2):
            self.reactor.advance(0.1)
        if source:
            self.commanders.append(("desk/1", source, far_ends[0].transport.getPeer().port))
        status = self.finish(running)
        listening.stopListening()
        sent = map(decode_command, far_ends[0].received.split(TERMINATOR)[:-1])
        asked = [each.commander for each in sent if isinstance(each, AskForCommand)]
        self.assertEqual(status, 1 if asked else unasked)  # nobody answers, so the command times out
        return asked

    def test_port_of_the_eui(self) -> None:
        """At a ``[[port]]`` of the EUI it asks for the EUI: the page says that the prompt is that."""
        self.serve_page()
        self.assertEqual(self.asked_at_port(source="EUI"), [Commander.EUI])

    def test_check(self) -> None:
        """``check ask_for_command`` is a question about the command that ``ask_for_command`` sends."""
        script = b"check ask_for_command\n"
        self.assertEqual(self.asked_at_port("--web", "none", script=script), [])
        [told] = self.complaints
        self.assertIn("line 1: ask_for_command: the commander of this prompt is unknown: ", told)
        self.serve_page()
        self.assertEqual(self.asked_at_port(source="EUI", script=script, unasked=0), [])
        [question] = [data for data in self.received if data.startswith(b"POST")]
        body = json.loads(question.partition(b"\r\n\r\n")[2])
        self.assertEqual(body["parameters"], {"commander": "EUI"})

    def test_page_knows_better_than_source(self) -> None:
        """A ``--source`` that is another's does not make it ask for that one."""
        self.serve_page()
        self.assertEqual(self.asked_at_port("--source", "CSC", source="HHD"), [Commander.HHD])

    def test_not_known(self) -> None:
        """Without a page that knows the prompt it asks for nobody, and says what to do."""
        for serve, arguments, why in (
            (False, (), "nothing answers at http://127.0.0.1:8080 ("),
            (False, ("--web", "none"), "the bridge's page is not used: omit --web none"),
            (True, (), "http://127.0.0.1:8080 does not list this prompt among its commanders"),
        ):
            if serve:
                self.serve_page()
            self.assertEqual(self.asked_at_port(*arguments), [])
            [told] = self.complaints
            self.assertIn(f"line 1: ask_for_command: the commander of this prompt is unknown: {why}", told)
            self.assertIn("; name it, as in ask_for_command EUI, or start with --source", told)
            self.complaints.clear()

    def test_source_without_a_page(self) -> None:
        """Without a page it goes by ``--source``, if that was given."""
        self.assertEqual(self.asked_at_port("--source", "EUI"), [Commander.EUI])
        self.assertEqual(self.asked_at_port("--source", "CSC", "--web", "none"), [Commander.CSC])

    def asked_at_pair(self, *arguments: str, script: bytes = b"ask_for_command\n") -> list[Commander]:
        """Whom a prompt at a pair asks for."""
        running = self.start(*arguments, script=script)
        far_end = FarEnd(self.link)
        self.link.connect(far_end.port)
        far_end.connect_server()
        self.reactor.advance(0.1)
        self.commanders = [(name, source, far_end.port) for name, source, _ in self.commanders]
        self.finish(running)
        return [each.commander for each in far_end.written() if isinstance(each, AskForCommand)]

    def test_pair_of_the_eui(self) -> None:
        """At the EUI's pair it asks for the EUI, also if nobody said ``--source EUI``."""
        self.serve_page()
        self.commanders = [("eui", "EUI", 60005)]
        self.assertEqual(self.asked_at_pair("--command-port", "60005"), [Commander.EUI])

    def test_pair_without_a_page(self) -> None:
        """At a pair without a page it goes by ``--source``, as the protocol has no more to say."""
        self.assertEqual(self.asked_at_pair(), [Commander.CSC])
        self.reactor = MemoryReactor()
        self.assertEqual(self.asked_at_pair("--source", "HHD"), [Commander.HHD])

    def test_named(self) -> None:
        """A commander that is named is asked for, and no page is asked about it."""
        self.serve_page()
        self.commanders = [("eui", "EUI", 60005)]
        self.assertEqual(self.asked_at_pair(script=b"ask_for_command CSC\n"), [Commander.CSC])
        self.assertEqual(self.asked_states, 0)
