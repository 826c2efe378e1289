"""The bridge's service between commanders that speak tma2020 and a simulated tma2022 mount."""

from __future__ import annotations

import io
import json
import os
from contextlib import closing, redirect_stdout
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint

from mtmount_twisted import commands as c
from mtmount_twisted.cli.journal import main
from mtmount_twisted.client.communicator import Communicator
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, PairCommander, PortCommanders
from mtmount_twisted.dialects.tma2020.codec import decode_reply
from mtmount_twisted.dialects.tma2022 import commands as new
from mtmount_twisted.dialects.tma2022.dialect import DIALECT
from mtmount_twisted.dialects.tma2022.enums import Source as NewSource
from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.frontends.web.api.history import read_page, read_query
from mtmount_twisted.frontends.web.events.ring import Feed, Turns
from mtmount_twisted.frontends.web.events.selection import read_selection
from mtmount_twisted.frontends.web.events.shapes import row_of, shape
from mtmount_twisted.journal.reading import Wanted, open_journal, rows
from mtmount_twisted.journal.recorder import JournalOff, Waiting, Writer
from mtmount_twisted.journal.schema import FileOptions
from mtmount_twisted.journal.writer import JournalWriter
from mtmount_twisted.replies import AckReply, DoneReply, InPositionReply, NoAckReply
from tests.support.bridges import TCP, PairEnd, PortEnd
from tests.support.bridges_tma2022 import BridgeTma2022Case, CommanderEnd
from tests.support.feeds import all_rows
from tests.support.folders import scratch_folder
from tests.support.programs import Program, ProgramCase
from tests.support.web import as_read

HHD: Any = {"source": Source.HHD}
ANSWERED = [AckReply, DoneReply]


class TranslatedCase(BridgeTma2022Case):
    """`hhd` is a pair and `desk` a port for commanders that speak tma2020; `eui` is a pair of tma2022."""

    def configured(self, controller: Controller) -> Config:
        """The configuration before this controller."""
        self.hhd = PairEnd(self.reactor)
        return Config(
            controller=controller,
            pairs=(
                PairCommander(
                    name="hhd", source="HHD", command_port=0, reply_port=self.hhd.port, dialect="tma2020"
                ),
                PairCommander(name="eui", source="EUI", command_port=0),
            ),
            ports=(
                PortCommanders(name="desk", endpoint=TCP, source="HHD", role="commander", dialect="tma2020"),
            ),
        )

    def start(self) -> None:
        """Start the service; the program with a pair connects to it."""
        super().start()
        hhd, _ = self.service.pairs
        self.hhd.communicator = cast(Any, hhd)
        self.assertTrue(self.hhd.connect_server())
        self.hhd.heard()

    def tearDown(self) -> None:
        self.hhd.stop_listening()
        super().tearDown()

    def desk(self) -> CommanderEnd:
        """A new client of the port."""
        listening: Any = self.service.ports[0].getHost()
        return self.join(listening.port)

    def carry_out(self, command: c.Command, end: PairEnd | PortEnd | None = None) -> list[Any]:
        """Send a command, and return the replies and events until its end."""
        end = end or self.hhd
        end.say(command.encode().removesuffix(b"\r\n"))
        told: list[Any] = []
        for _ in range(400):
            self.pass_time(0.2)
            told += map(decode_reply, end.heard())
            if any(isinstance(reply, DoneReply | NoAckReply) for reply in told):
                return told
        raise AssertionError(f"no end of {command}: {told}")

    def take(self, end: PairEnd | PortEnd | None = None) -> None:
        """Take command."""
        self.assertEqual(self.kinds(c.AskForCommand(**HHD, commander=Commander.HHD), end), ANSWERED)

    def kinds(self, command: c.Command, end: PairEnd | PortEnd | None = None) -> list[type]:
        """The kinds of the answers to a command."""
        answers = self.carry_out(command, end)
        return [type(reply) for reply in answers if getattr(reply, "sequence_id", 0) == command.sequence_id]


class NightTests(TranslatedCase):
    """A program of 2020 commands the mount."""

    def test_pair(self) -> None:
        """Each command has its Ack and its Done, and a move ends in position."""
        self.take()
        for command in (
            c.MainPowerSupplyPower(**HHD, on=True),
            c.OilSupplySystemPower(**HHD, on=True),
            c.AzimuthAxisPower(**HHD, on=True),
            c.ElevationAxisPower(**HHD, on=True),
            c.AzimuthAxisHome(**HHD),
            c.ElevationAxisHome(**HHD),
        ):
            self.assertEqual(self.kinds(command), ANSWERED, command)
        told = self.carry_out(c.BothAxesMove(**HHD, azimuth=1.0, elevation=50.0))
        positions = [(each.what, each.in_position) for each in told if isinstance(each, InPositionReply)]
        self.assertLessEqual({(0, False), (0, True), (1, False), (1, True)}, set(positions))
        [ack] = [each for each in told if isinstance(each, AckReply)]
        self.assertGreater(ack.timeout_ms, 1000)

    def test_port(self) -> None:
        """So it is for a client that speaks tma2020 on one connection."""
        desk = self.desk()
        self.take(desk)
        self.assertEqual(self.kinds(c.AzimuthAxisMove(**HHD, position=1.0), desk), ANSWERED)

    def test_stop(self) -> None:
        """A stop of a commander without command stops the move, which ends with a NoAck."""
        self.take()
        move = c.AzimuthAxisMove(**HHD, position=90.0)
        self.hhd.say(move.encode().removesuffix(b"\r\n"))
        self.pass_time(0.5)
        desk = self.desk()
        self.assertEqual(self.kinds(c.AzimuthAxisStop(**HHD), desk), ANSWERED)
        told = list(map(decode_reply, self.hhd.heard()))
        kinds = [type(each) for each in told if getattr(each, "sequence_id", 0) == move.sequence_id]
        self.assertEqual(kinds, [AckReply, NoAckReply])


class RecordTests(TranslatedCase):
    """The readers of the records: the program ``mtmount-journal``, the events, the history."""

    def start(self) -> None:
        """Start the service with a journal that a test writes, and a feed of events."""
        self.path = scratch_folder(self) / "journal.sqlite"
        self.waiting = Waiting(lambda: None)
        self.journal = cast(Any, self.waiting)
        super().start()
        self.feed = Feed(self.bus, DIALECT, JournalOff(), self.reactor, Turns(self.reactor))
        self.addCleanup(self.feed.close)

    def write(self) -> None:
        """Write the journal's file."""
        keeper = JournalWriter(
            self.path,
            lambda *told: None,
            self.waiting.number,
            clock=self.reactor.seconds,
            options=FileOptions(dialect="tma2022"),
        )
        Writer(self.waiting, keeper).turn()
        keeper.close()

    def live(self) -> list[dict[str, Any]]:
        """All events since the start."""
        return [as_read(shape(row)) for row in all_rows(self.feed)]

    def program(self, *words: str) -> list[str]:
        """The lines that ``mtmount-journal`` writes about entries."""
        output = io.StringIO()
        with redirect_stdout(output):
            self.assertEqual(main([*words, "--journal", str(self.path)]), 0)
        return [line for line in output.getvalue().splitlines() if line != "run 1"]

    def test_journal(self) -> None:
        """Each line is shown in its own words, and the mount's names the commander's."""
        self.take()
        move = c.AzimuthAxisMove(**HHD, position=1.0)
        self.carry_out(move)
        self.write()
        (sent,) = [line for line in self.program("show") if "bridge -> controller" in line and "Move" in line]
        key = int(sent.partition("#")[2].split()[0])
        number = move.sequence_id
        shown = [" ".join(line.split()[2:]) for line in self.program("show", "--command", "AzimuthMove")]
        self.assertEqual(
            [line.partition(",")[0] for line in shown],
            [
                f"hhd -> bridge command #{number} AzimuthAxisMove position=1.0",
                f"received hhd's #{number} AzimuthMove (#{key} of the bridge)",
                f"bridge -> controller command #{key} AzimuthMove position=1.0 "
                f"(translated from hhd's #{number} AzimuthAxisMove)",
                f"sent hhd's #{number} AzimuthMove (#{key} of the bridge)",
                f"controller -> bridge ack #{key} AzimuthMove",
                f"ack hhd's #{number} AzimuthMove (#{key} of the bridge)",
                f"bridge -> hhd ack #{number} AzimuthAxisMove",
                f"controller -> bridge done #{key} AzimuthMove",
                f"done hhd's #{number} AzimuthMove (#{key} of the bridge)",
                f"bridge -> hhd done #{number} AzimuthAxisMove",
            ],
        )

    def test_command_of_2020(self) -> None:
        """The program and the page's history find a command by its commander's name as by the mount's."""
        self.take()
        self.carry_out(c.AzimuthAxisMove(**HHD, position=1.0))
        self.write()
        by_mounts = self.program("show", "--command", "AzimuthMove")
        self.assertEqual(len(by_mounts), 10)
        self.assertEqual(self.program("show", "--command", "AzimuthAxisMove"), by_mounts)
        for name in ("AzimuthMove", "AzimuthAxisMove", "AZIMUTH_AXIS_MOVE"):
            query = read_query({"command": name}, self.waiting.oldest or 0.0, DIALECT)
            with closing(open_journal(self.path)) as db:
                self.assertEqual(len(read_page(db, query).entries), 10, name)

    def test_two_parts(self) -> None:
        """Both commands that the mount received name the one of the commander."""
        self.take()
        oil = c.OilSupplySystemPower(**HHD, on=True)
        self.carry_out(oil)
        self.write()
        origin = f"(translated from hhd's #{oil.sequence_id} OilSupplySystemPower)"
        parts = [line.split()[7] for line in self.program("show") if line.endswith(origin)]
        self.assertEqual(parts, ["OilSupplySystemSetMode", "OilSupplySystemPower"])

    def test_untranslated(self) -> None:
        """The mount's command of a commander that speaks its dialect names no other."""
        (eui,) = [pair for pair in self.service.pairs if pair.name == "eui"]
        end = self.join(eui.server_port, NewSource.EUI)
        self.grant(end)
        end.send(7, new.AzimuthMove(position=1.0))
        self.pass_time(5)
        self.write()
        lines = self.program("show")
        self.assertTrue(any("bridge -> controller" in line and "AzimuthMove" in line for line in lines))
        self.assertEqual([line for line in lines if "translated" in line], [])

    def test_export(self) -> None:
        """The column ``dialect`` is that of the line."""
        self.take()
        self.write()
        entries = [json.loads(line) for line in self.program("export", "--only", "message")]
        dialects = {(entry["peer"], entry["dialect"]) for entry in entries}
        self.assertLessEqual({("hhd", "tma2020"), ("controller", "tma2022")}, dialects)
        self.assertNotIn(("hhd", "tma2022"), dialects)

    def test_events(self) -> None:
        """A live event and the history say the same of each line; a step links the two lines of a command."""
        self.take()
        move = c.AzimuthAxisMove(**HHD, position=1.0)
        self.carry_out(move)
        live = self.live()
        self.write()
        with closing(open_journal(self.path)) as db:
            past = [as_read(shape(row_of(entry))) for entry in rows(db, Wanted())]
        for entry in (*live, *past):
            del entry["id"]
        self.assertEqual(past[-len(live) :], live)
        (sent,) = [each for each in live if each.get("step") == "sent" and each["command"] == "AzimuthMove"]
        self.assertEqual((sent["peer"], sent["sequence_id"]), ("hhd", move.sequence_id))
        found = [
            (each["dialect"], each["kind"], each["fields"]["position"])
            for each in live
            if each["type"] == "message"
            and each["is_command"]
            and (each["peer"], each["sequence_id"])
            in (("hhd", sent["sequence_id"]), ("controller", sent["key"]))
        ]
        self.assertEqual(found, [("tma2020", "AZIMUTH_AXIS_MOVE", 1.0), ("tma2022", "AZIMUTH_MOVE", 1.0)])
        answers = [each["kind"] for each in live if each["peer"] == "hhd" and each.get("direction") == "to"]
        self.assertLessEqual({"ACK", "DONE"}, set(answers))

    def test_selection(self) -> None:
        """The events of a client are selected by the names of its dialect, too."""
        self.take()
        self.carry_out(c.AzimuthAxisMove(**HHD, position=1.0))
        faults: list[Any] = []
        wanted = read_selection({"kind": "AZIMUTH_AXIS_MOVE,AZIMUTH_MOVE"}, faults, DIALECT)
        self.assertEqual(faults, [])
        rows = [row for row in all_rows(self.feed) if wanted.takes(row)]
        self.assertEqual([row.entry.peer for row in rows if row.entry.line], ["hhd", "controller"])


class ProgramTests(ProgramCase):
    """A program of 2020, unchanged, and the daemon as a process before its built-in tma2022 mount."""

    async def connected(self) -> tuple[Program, Communicator, str]:
        """The daemon, a commander that is connected to it, and the socket of a port for tma2020."""
        commander = await self.communicator()
        desk = f"{self.state}.desk"
        self.addCleanup(lambda: os.path.exists(desk) and os.unlink(desk))
        path = self.file(
            '[simulator]\ndialect = "tma2022"\n[[pair]]\nname = "csc"\ncommand_port = 0\n'
            f'reply_port = {commander.server_port}\ndialect = "tma2020"\n[[port]]\nname = "desk"\n'
            f'endpoint = "unix:{desk}"\nrole = "commander"\nsource = "HHD"\ndialect = "tma2020"\n'
        )
        program = self.twistd("-n", "mtmount-bridge", "--config", path)
        port = await self.serving(program)
        await program.line(r"the controller is connected \(epoch 1\)")
        await commander.connect(port)
        return program, commander, desk

    async def test_communicator(self) -> None:
        """It takes command, powers the mount, homes, moves, and reads Ack, Done and the position."""
        program, commander, _ = await self.connected()
        for command in (
            c.AskForCommand(),
            c.MainPowerSupplyPower(on=True),
            c.OilSupplySystemPower(on=True),
            c.AzimuthAxisPower(on=True),
            c.ElevationAxisPower(on=True),
            c.AzimuthAxisHome(),
        ):
            self.assertEqual(await self.ask(commander, command), ANSWERED, command)
        move = c.AzimuthAxisMove(position=1.0)
        await commander.write(move)
        places: list[bool] = []
        kinds: list[type] = []
        async for reply in commander:
            if isinstance(reply, InPositionReply) and reply.what == 0:
                places.append(reply.in_position)
            if getattr(reply, "sequence_id", 0) == move.sequence_id:
                kinds.append(type(reply))
            if DoneReply in kinds and places[-1:] == [True]:
                break
        self.assertEqual(kinds, ANSWERED)
        self.assertIn(False, places)
        self.assertEqual(await self.ask(commander, c.BothAxesStop()), ANSWERED)
        await self.assert_ends(program)

    async def test_raw_socket(self) -> None:
        """A client that writes lines of tma2020 on a socket reads its answers there, and stops the mount."""
        program, commander, desk = await self.connected()
        self.assertEqual(await self.ask(commander, c.AskForCommand()), ANSWERED)
        client = await self.observer(UNIXClientEndpoint(reactor, desk))
        client.sendLine(b"7\n102\n3\n2026-02-27T14:48:27.469")
        self.assertEqual((await client.line(b"0\n7\n3\n")).count(b"\n"), 4)
        await client.line(b"2\n7\n3\n")
        client.sendLine(b"8\n103\n3\n2026-02-27T14:48:27.469\n1.0\n0.0\n0.0\n0.0")
        self.assertIn(b"refused: csc has command", await client.line(b"1\n8\n3\n"))
        await self.assert_ends(program)
