"""The alarms, warnings, interlocks and other faults of the simulated tma2022 mount."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022 import replies as r
from mtmount_twisted.dialects.tma2022.enums import CommandCode, PowerState, Source, System
from mtmount_twisted.errors import LineError
from mtmount_twisted.simulator.faults import KINDS, Fault, Faults, parse_fault
from mtmount_twisted.simulator.tma2022.catalogue import ALARM, WARNING, entries, find, first
from mtmount_twisted.simulator.tma2022.output import TMA2022
from mtmount_twisted.simulator.tma2022.safety import LASTING, MASKS, STORED
from mtmount_twisted.simulator.tma2022.service import SimulatorService
from mtmount_twisted.testing import MemoryReactor
from tests.support.sessions import Client, connect, run_until
from tests.support.simulated_tma2022 import QUIET, Bench, names

FAULT = find(ALARM, 400, 401)
LIMITS = "Positive Limit Switch", "Negative Limit Switch"


def of_type(replies: list[Any], cls: type[Any]) -> list[Any]:
    """The replies of one class."""
    return [reply for reply in replies if isinstance(reply, cls)]


class CatalogueTests(SynchronousTestCase):
    """The vendor's catalogue."""

    def test_all_entries(self) -> None:
        """It has 245 entries, and severity, subsystem, number and name find each of them."""
        self.assertEqual(len(entries()), 245)
        for entry in entries():
            self.assertEqual(find(entry.severity, entry.subsystem_id, entry.code, entry.name), entry)

    def test_what_is_not_there(self) -> None:
        """The error names the parameter, what there is, and the value."""
        for arguments, wrong in (
            ((ALARM, 5, 1), "subsystem: expected one of 100, .*2600 for the alarm, got 5"),
            ((ALARM, 400, 1), "number: expected one of .*401.*, got 1"),
            (
                (ALARM, 100, 112),
                "name: expected one of 'Positive Limit Switch', 'Negative Limit Switch' .*got ''",
            ),
            ((ALARM, 100, 112, "x"), "name: .*got 'x'"),
        ):
            with self.assertRaisesRegex(ValueError, wrong):
                find(*arguments)

    def test_same_number_by_name(self) -> None:
        """The name chooses among the entries of one number, in any case."""
        self.assertEqual([find(ALARM, 100, 112, name.upper()).name for name in LIMITS], list(LIMITS))

    def test_any(self) -> None:
        """A subsystem without a warning has one of another subsystem."""
        self.assertEqual(first(WARNING, 400).subsystem_id, 400)
        self.assertEqual(first(WARNING, 2200).severity, WARNING)


class AlarmTests(SynchronousTestCase):
    """Events 10 and 11, and what an alarm does to its device."""

    def test_alarm_latches(self) -> None:
        """An alarm fails a move, turns the axis off, and is reset only after its condition has ended."""
        bench = Bench()
        bench.ask(c.ElevationMove(position=10))
        before = len(bench.said)
        bench.mount.alarms.begin_alarm(FAULT)
        said = bench.said[before:]
        [error], [failed] = of_type(said, r.ErrorReply), of_type(said, r.CmdFailedReply)
        self.assertEqual(
            (error.active, error.latched, error.code, error.subsystem_id), (True, True, 401, 400)
        )
        self.assertEqual((error.name, error.description), (FAULT.name, FAULT.meaning))
        self.assertEqual(failed.explanation, FAULT.name)
        self.assertEqual(bench.mount.elevation.power_state, PowerState.FAULT)
        self.assertEqual(of_type(bench.ask(c.ElevationResetAlarm()), r.ErrorReply), [])
        self.assertIn("alarm", bench.refusal(c.ElevationPower(on=True)))
        before = len(bench.said)
        bench.mount.alarms.end(FAULT)
        [error] = of_type(bench.said[before:], r.ErrorReply)
        self.assertEqual((error.active, error.latched), (False, True))
        self.assertEqual(bench.mount.elevation.power_state, PowerState.FAULT)
        [error] = of_type(bench.ask(c.BothAxesResetAlarm()), r.ErrorReply)
        self.assertEqual((error.active, error.latched), (False, False))
        self.assertEqual(bench.refusal(c.ElevationPower(on=True)), "")

    def test_warning(self) -> None:
        """A warning begins and ends, and the device works on."""
        bench = Bench()
        entry = first(WARNING, 400)
        bench.mount.alarms.begin_alarm(entry)
        bench.mount.alarms.begin_alarm(entry)
        bench.mount.alarms.end(entry)
        self.assertEqual([reply.active for reply in of_type(bench.said, r.WarningReply)], [True, False])
        self.assertEqual(bench.mount.elevation.power_state, PowerState.ON)

    def test_state_has_alarms(self) -> None:
        """2502 repeats what is present or latched, before its end."""
        bench = Bench()
        bench.mount.alarms.begin_alarm(FAULT)
        said = bench.ask(c.StateInfo())
        self.assertEqual(names(said)[-2:], ["ErrorReply", "CmdSucceededReply"])

    def test_every_alarm(self) -> None:
        """Each alarm can be raised, ended, and forgotten or reset; then its device can be turned on."""
        for entry in entries():
            bench = Bench()
            bench.mount.alarms.begin_alarm(entry)
            bench.mount.alarms.forget()
            for command in (c.BothAxesResetAlarm, c.CameraCableWrapResetAlarm, c.OilSupplySystemResetAlarm):
                bench.ask(command())
            self.assertTrue(of_type(bench.said, (r.ErrorReply, r.WarningReply)))


class InterlockTests(SynchronousTestCase):
    """The safety system."""

    def test_tables_fit_the_masks(self) -> None:
        """All causes and effects are bits of event 30."""
        causes = set(LASTING) | set(STORED)
        self.assertEqual(causes, set(range(MASKS["causes"])))
        effects = {bit for row in (*LASTING.values(), *STORED.values()) for bit in row}
        self.assertTrue(effects <= set(range(17)))

    def test_stored_effect(self) -> None:
        """The effect of an overspeed stays until its reset, and azimuth in alarm until its own."""
        bench = Bench()
        bench.mount.set_interlock("causes", 2, True)
        [event] = of_type(bench.said, r.SafetyInterlocksReply)
        self.assertEqual((event.causes, event.effects), (4, 1))
        self.assertEqual(bench.mount.azimuth.power_state, PowerState.FAULT)
        bench.ask(c.SafetyReset(what="2"))
        self.assertEqual(bench.mount.safety.effects, 1)
        bench.mount.set_interlock("causes", 2, False)
        bench.ask(c.AzimuthResetAlarm())
        self.assertEqual(bench.mount.azimuth.power_state, PowerState.FAULT)
        [event] = of_type(bench.ask(c.SafetyReset(what="1:2")), r.SafetyInterlocksReply)
        self.assertEqual((event.causes, event.effects), (0, 0))
        bench.ask(c.AzimuthResetAlarm())
        self.assertEqual(bench.mount.azimuth.power_state, PowerState.OFF)

    def test_lasting_effect(self) -> None:
        """The effect of inserted locking pins ends with them."""
        bench = Bench()
        bench.mount.set_interlock("causes", 14, True)
        bench.mount.set_interlock("causes", 14, False)
        self.assertEqual([event.effects for event in of_type(bench.said, r.SafetyInterlocksReply)], [2, 0])

    def test_subcause(self) -> None:
        """A subcause is shown in its own mask."""
        bench = Bench()
        bench.mount.set_interlock("subcauses_door_hatch_ladder", 3, True)
        [event] = of_type(bench.said, r.SafetyInterlocksReply)
        self.assertEqual((event.subcauses_door_hatch_ladder, event.causes, event.effects), (8, 0, 0))

    def test_no_such_bit(self) -> None:
        """A mask or bit that is not there is refused."""
        for mask, bit, wrong in (
            ("effects", 0, "mask: expected one of causes"),
            ("causes", 36, "bit: expected 0 to 35"),
        ):
            with self.assertRaisesRegex(ValueError, wrong):
                Bench().mount.set_interlock(mask, bit, True)


class OptionTests(SynchronousTestCase):
    """Faults as texts of options."""

    def test_codes_of_tma2022(self) -> None:
        """A code is one of tma2022's, by number or name."""
        self.assertEqual(parse_fault("missing:code=azimuth_move", TMA2022), Fault("missing", code=103))
        self.assertEqual(parse_fault("missing:code=3000", TMA2022).code, CommandCode.HEARTBEAT)
        with self.assertRaisesRegex(
            ValueError, "expected a number or a name of a command's code, got 'azimuth_axis"
        ):
            parse_fault("missing:code=azimuth_axis_move", TMA2022)
        with self.assertRaisesRegex(ValueError, "code: expected a command's code, got 30$"):
            parse_fault("missing:code=30", TMA2022)

    def test_catalogue(self) -> None:
        """An alarm names an entry; what is not in the catalogue is refused."""
        text = "alarm:subsystem=100,number=112,name=Positive Limit Switch,lasts=2"
        fault = Fault("alarm", subsystem=100, number=112, name="Positive Limit Switch", lasts=2)
        self.assertEqual(parse_fault(text, TMA2022), fault)
        for wrong in (
            "alarm:subsystem=100,number=1",
            "alarm:subsystem=100",
            "alarm:number=112",
            "alarm:lasts=1",
            "warning:name=STO",
            "interlock:mask=x",
            "interlock:bit=36",
            "late:subsystem=100,number=104",
        ):
            with self.assertRaises(ValueError):
                parse_fault(wrong, TMA2022)

    def test_not_in_tma2020(self) -> None:
        """The tma2020 mount has no catalogue and no interlocks: the error names the option."""
        for text in ("alarm:subsystem=100,number=104", "interlock", "pxi_lost"):
            with self.assertRaisesRegex(ValueError, "--dialect tma2022"):
                parse_fault(text)


class WireCase(SynchronousTestCase):
    """A simulator in memory with a client that has command."""

    def start(self, *faults: Fault, **options: Any) -> SimulatorService:
        """The simulator."""
        self.reactor = MemoryReactor()
        given = {"operation_manager": False, "heartbeat_timeout": 0} | options
        service = SimulatorService(
            reactor=self.reactor,
            tai=lambda: 1.7e9 + self.reactor.seconds(),
            initial_commander=Source.CSC,
            ready=True,
            log=QUIET,
            faults=faults,
            **given,
        )
        service.startService()
        self.addCleanup(self.stop, service)
        self.service = service
        self.client = self.connect()
        return service

    def stop(self, service: SimulatorService) -> None:
        """Stop it; no timer is left."""
        service.stopService()
        self.reactor.advance(1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def connect(self) -> Client:
        """A client of the command port."""
        return connect(self.reactor, self.service.port_numbers()[0])

    def wait(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """The replies in this time."""
        run_until(self.reactor, self.reactor.seconds() + seconds)
        for _ in range(4):
            self.reactor.advance(0)
        return self.client.take_replies()

    def ask(self, command: c.Command, sequence_id: int = 1) -> list[dict[str, Any]]:
        """The replies that come at once."""
        self.client.transport.write(command.replaced(sequence_id=sequence_id).encode())
        return self.wait()


class FaultTests(WireCase):
    """Faults on the wire, and faults of the mount."""

    def ids(self, replies: list[dict[str, Any]]) -> list[int]:
        """The ids of replies."""
        return [reply["id"] for reply in replies]

    def test_missing_end(self) -> None:
        """An Ack without an end, for one command only."""
        self.start(Fault("missing", reply="done", code=CommandCode.AZIMUTH_RESET_ALARM, count=1))
        self.assertEqual(self.ids(self.ask(c.AzimuthResetAlarm())), [1])
        self.assertEqual(self.ids(self.ask(c.AzimuthResetAlarm())), [1, 3])
        self.assertEqual(self.service.faults.injected, {"missing": 1})

    def test_missing_rejection(self) -> None:
        """ "noack" stands for a rejection, too."""
        self.start(Fault("missing", reply="noack"))
        self.assertEqual(self.ask(c.Enable()), [])

    def test_wrong_id(self) -> None:
        """The replies have another sequence id, and are whole lines."""
        self.start(Fault("wrong_id", offset=7))
        replies = self.ask(c.AzimuthResetAlarm(), sequence_id=5)
        self.assertEqual([reply["parameters"]["sequenceId"] for reply in replies], [12, 12])

    def test_late_and_repeated(self) -> None:
        """An end that comes late, and twice."""
        self.start(Fault("late", seconds=2, reply="done"), Fault("repeated", reply="ack"))
        self.assertEqual(self.ids(self.ask(c.AzimuthResetAlarm())), [1, 1])
        self.assertEqual(self.ids(self.wait(1.9)), [])
        self.assertEqual(self.ids(self.wait(0.2)), [3])

    def test_flood_and_long(self) -> None:
        """The events are states of the Operation Manager, numbered; the long line has the size."""
        self.start(
            Fault("flood", rate=100, seconds=1, count=1), Fault("long", size=200, reply="done", count=1)
        )
        self.ask(c.AzimuthResetAlarm())
        states = self.wait(2)
        texts = [reply["parameters"]["state"] for reply in states if reply["id"] == 50]
        self.assertEqual(texts, [f"Flood {number}" for number in range(2, 100)])

    def test_long_line_has_its_size(self) -> None:
        """So many bytes without the terminator."""
        faults = Faults([Fault("long", size=200)], generation=TMA2022)
        command = c.AzimuthStop(sequence_id=3)
        faults.commanded(command)
        long, _ = faults.pieces_of(r.CmdAcknowledgedReply(sequence_id=3, commander=Source.CSC, timeout=1))
        self.assertEqual(len(long.data), 202)
        self.assertIsInstance(tma2022.decode_reply(long.data[:-2]), r.StateInfoReply)

    def test_garbage_is_no_reply(self) -> None:
        """Garbage is a line that no client can read."""
        faults = Faults([Fault("garbage")], generation=TMA2022)
        command = c.AzimuthStop(sequence_id=3)
        faults.commanded(command)
        garbage, _ = faults.pieces_of(r.CmdAcknowledgedReply(sequence_id=3, commander=Source.CSC, timeout=1))
        with self.assertRaises(LineError):
            tma2022.decode_reply(garbage.data[:-2])

    def test_cut(self) -> None:
        """Half a line, and the end of the connection; the next client is served."""
        self.start(Fault("cut", reply="ack", count=1))
        self.client.transport.write(c.AzimuthResetAlarm(sequence_id=1).encode())
        self.reactor.advance(0.1)
        self.assertTrue(self.client.data.startswith(b'{"id":1'))
        self.assertNotIn(b"\r\n", self.client.data)
        self.assertFalse(self.client.is_open)
        self.client = self.connect()
        self.assertEqual(self.ids(self.ask(c.AzimuthResetAlarm())), [1, 3])

    def test_refusal(self) -> None:
        """The client is closed and new ones are refused, until the faults are cleared."""
        service = self.start()
        service.faults.add(Fault("refusal"))
        self.reactor.advance(0.1)
        self.assertFalse(self.client.is_open)
        self.assertFalse(self.connect().is_open)
        service.faults.clear()
        self.client = self.connect()
        self.assertEqual(self.ids(self.ask(c.AzimuthResetAlarm())), [1, 3])

    def test_silence(self) -> None:
        """Neither replies nor events come."""
        self.start(Fault("silence"))
        self.assertEqual(self.ask(c.AzimuthPower(on=False)), [])

    def test_alarm_of_the_command(self) -> None:
        """An alarm during a move is that of the move's device; a warning lets it go on."""
        self.start(Fault("alarm", seconds=1, code=CommandCode.ELEVATION_MOVE, count=1))
        self.ask(c.ElevationMove(position=10))
        replies = self.wait(1.1)
        self.assertEqual(
            [reply["parameters"]["subsystemId"] for reply in replies if reply["id"] == 11], [400, 400]
        )
        self.assertIn(4, self.ids(replies))

    def test_warning_of_the_command(self) -> None:
        """A warning begins and ends, and the move goes on; a command that is done raises none."""
        self.start(Fault("warning", seconds=1))
        self.ask(c.OilSupplySystemSetMode(auto=True), sequence_id=2)
        self.ask(c.ElevationMove(position=70))
        replies = self.wait(10)
        self.assertEqual(
            [each["parameters"]["active"] for each in replies if each["id"] == 10], [True, False]
        )
        self.assertIn(3, self.ids(replies))
        self.assertEqual(self.service.faults.injected, {"warning": 1})

    def test_alarm_of_the_catalogue_at_a_time(self) -> None:
        """Without a choice of commands it comes so long after the start, once, and lasts."""
        self.start(Fault("alarm", subsystem=400, number=401, seconds=3, lasts=2))
        self.ask(c.AzimuthMove(position=5))
        self.assertNotIn(11, self.ids(self.wait(2.9)))
        [begun] = [each for each in self.wait(0.2) if each["id"] == 11]
        self.assertEqual((begun["parameters"]["active"], begun["parameters"]["name"]), (True, FAULT.name))
        [ended] = [each for each in self.wait(2) if each["id"] == 11]
        self.assertEqual((ended["parameters"]["active"], ended["parameters"]["latched"]), (False, True))

    def test_alarm_of_the_catalogue_for_a_command(self) -> None:
        """With a choice it comes after the Ack of such a command."""
        service = self.start()
        service.faults.add(Fault("alarm", subsystem=100, number=104, seconds=0, code=103, count=1))
        self.assertNotIn(11, self.ids(self.wait(5)))
        self.assertIn(11, self.ids(self.ask(c.AzimuthMove(position=50))))
        self.assertEqual(service.mount.power_state(System.AZIMUTH), PowerState.FAULT)
        self.assertEqual(service.faults.injected, {"alarm": 1})
        self.assertEqual(self.wait(20), [])
        self.assertLess(abs(service.mount.azimuth.at(self.reactor.seconds()).position), 0.01)

    def test_cleared_conditions_end(self) -> None:
        """`clear` ends conditions, and unlatches alarms that no command resets."""
        service = self.start()
        balancing = first(ALARM, 1100)
        service.faults.add(
            Fault("alarm", subsystem=1100, number=balancing.code, name=balancing.name, seconds=0, lasts=99)
        )
        self.assertIn(11, self.ids(self.wait(1)))
        service.faults.clear()
        flags = [(each["parameters"]["active"], each["parameters"]["latched"]) for each in self.wait()]
        self.assertEqual(flags, [(False, True), (False, False)])

    def test_interlock(self) -> None:
        """An interlock at a time turns azimuth off, and stays stored."""
        self.start(Fault("interlock", bit=2, seconds=1, lasts=1))
        self.assertIn(30, self.ids(self.wait(1.5)))
        self.wait(1)
        self.assertEqual(self.service.mount.safety.values()[0], 4)

    def test_pxi_lost(self) -> None:
        """The Operation Manager's state comes at a connection and on change."""
        self.start(Fault("pxi_lost", seconds=1, lasts=1), operation_manager=True)
        states = [each["parameters"]["state"] for each in self.wait(3)]
        self.assertEqual(states, ["Enable", "Connecting to PXI", "Enable"])

    def test_every_kind_is_for_tma2022(self) -> None:
        """A simulator with each kind of fault runs and stops."""
        for kind in KINDS:
            self.start(Fault(kind))
            self.client.transport.write(c.BothAxesMove(azimuth=1, elevation=70, sequence_id=1).encode())
            run_until(self.reactor, 10)


class DeadlineTests(WireCase):
    """The heartbeat rule on the wire."""

    def test_late_timer_reads_first(self) -> None:
        """After a pause of the simulator, a heartbeat that lies in the socket counts."""
        self.start(heartbeat_timeout=5)
        self.wait(3)
        self.client.transport.write(c.Heartbeat().encode())
        self.reactor.advance(20)  # one turn for all this time: a process that was suspended
        self.assertNotIn(20, [each["id"] for each in self.wait(1)])
        self.assertIn(20, [each["id"] for each in self.wait(5)])
