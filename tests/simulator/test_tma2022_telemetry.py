"""The telemetry of the simulated tma2022 mount."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022 import telemetry as t
from mtmount_twisted.dialects.tma2022.enums import ThermalMode
from mtmount_twisted.simulator.tma2022.service import SimulatorService
from mtmount_twisted.simulator.tma2022.telemetry import KNOWN, Telemetry, TelemetryClock
from mtmount_twisted.testing import MemoryReactor
from tests.support.sessions import Client, connect, run_until
from tests.support.simulated_tma2022 import QUIET, TAI, Bench


class MeasureTests(SynchronousTestCase):
    """The values of one moment."""

    def measure(self, bench: Bench, topic: type[Any], **options: Any) -> Any:
        """A topic as a reader gets it."""
        line = Telemetry(bench.mount, **options).measure(topic).encode()
        return tma2022.decode_telemetry(line.removesuffix(b"\r\n"))

    def test_every_value_has_its_time(self) -> None:
        """Each topic has all its quantities, and each value has the time of its measurement."""
        bench = Bench()
        for topic in t.Topics:
            measured = self.measure(bench, topic)
            self.assertEqual(measured.timestamp, bench.tai())
            for info in topic.field_infos:
                values = getattr(measured, info.name)
                values = values if info.count > 1 else (values,)
                self.assertEqual(len(values), info.count)
                for value in values:
                    self.assertEqual(value, value, info.name)  # not NaN
                    self.assertIsNotNone(value, info.name)
                    if info.measured:
                        self.assertEqual(value, bench.tai())

    def test_positions_are_exact(self) -> None:
        """Position and velocity are those of the path at the time stamp; azimuth speeds up at 7.7 deg/s²."""
        bench = Bench()
        bench.ask(c.AzimuthMove(position=100))
        for elapsed in (0.1, 0.35, 0.5):
            bench.wait(elapsed)
            seconds = bench.clock.seconds() - 1000
            azimuth = self.measure(bench, t.Azimuth)
            self.assertAlmostEqual(azimuth.actual_position, 7.7 * seconds**2 / 2, 9)
            self.assertAlmostEqual(azimuth.actual_velocity, 7.7 * seconds, 9)
            self.assertAlmostEqual(azimuth.actual_acceleration, 7.7, 9)
            self.assertEqual(azimuth.actual_position_timestamp, bench.tai())

    def test_demand_of_a_target(self) -> None:
        """While tracking, the demand is the target, and the position goes there."""
        bench = Bench()
        bench.ask(c.CameraCableWrapEnableTracking(on=True))
        bench.ask(c.CameraCableWrapTrackTarget(position=10, velocity=0.1, tai=bench.tai()))
        bench.wait(1)
        wrap = self.measure(bench, t.CameraCableWrap)
        self.assertAlmostEqual(wrap.demand_position, 10.1)
        self.assertAlmostEqual(wrap.demand_velocity, 0.1)
        self.assertLess(wrap.actual_position, 5)

    def test_other_devices(self) -> None:
        """Set points, covers, supply, brakes and encoders follow the mount."""
        bench = Bench()
        bench.ask(c.AuxiliaryCabinetsThermalSetpoint(cabinet=1, setpoint=7))
        bench.ask(c.MainCabinetThermalTrackAmbient(track_ambient=False, setpoint=6))
        bench.ask(c.Cabinet0101ThermalPower(on=True))
        bench.ask(c.Cabinet0101ThermalControlMode(mode=ThermalMode.TRACK_SETPOINT, setpoint=5))
        bench.ask(c.MirrorCoversPower(on=True))
        bench.ask(c.MirrorCoversRetract())
        bench.wait(0.5)
        cabinets = self.measure(bench, t.AuxiliaryCabinetsThermal)
        self.assertEqual(cabinets.setpoint_temperature_azimuth_power_distribution_cabinet_0001, 7)
        self.assertEqual(self.measure(bench, t.MainCabinetThermal).setpoint_temperature, 6)
        self.assertEqual(self.measure(bench, t.Cabinet0101Thermal).setpoint_temperature, 5)
        for angle in self.measure(bench, t.MirrorCover).actual_position:
            self.assertAlmostEqual(angle, 45)
        self.assertGreater(self.measure(bench, t.MainPowerSupply).power_supply_voltage, 0)
        self.assertEqual(self.measure(bench, t.Encoder).elevation_encoder_position, (80,) * 4)
        self.assertEqual(self.measure(bench, t.Encoder).encoder_head_read_reference_az, (1,) * 4)
        self.assertGreater(min(self.measure(bench, t.SafetySystem).brake_pressure_el), 0)
        self.assertGreater(self.measure(bench, t.OilSupplySystem).oil_pressure_azimuth_5001, 0)
        off = Bench(ready=False)
        self.assertEqual(self.measure(off, t.MainPowerSupply).power_supply_voltage, 0)
        self.assertEqual(self.measure(off, t.OilSupplySystem).oil_pressure_azimuth_5001, 0)
        self.assertEqual(self.measure(off, t.AzimuthDrives).current, (0,) * 16)

    def test_known_names(self) -> None:
        """Each value that the mount knows is a quantity of its topic."""
        bench = Bench()
        for topic, known in KNOWN.items():
            names = {info.name for info in topic.field_infos}
            self.assertEqual(set(known(bench.mount, 1000.0)) - names, set())

    def test_noise(self) -> None:
        """Noise changes measured values by a little, the same with the same seed, and no demand."""
        bench = Bench()
        first, again, other = (
            self.measure(bench, t.Azimuth, noise=1, seed=seed).actual_position for seed in (1, 1, 2)
        )
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
        self.assertTrue(0 < abs(first) < 1e-4)
        noisy = self.measure(bench, t.Azimuth, noise=1)
        self.assertEqual((noisy.demand_position, noisy.actual_position_timestamp), (0, bench.tai()))
        drives = self.measure(bench, t.AzimuthDrives, noise=10).current
        self.assertEqual(len(set(drives)), 16)

    def test_wrong_noise(self) -> None:
        """A factor out of range is refused."""
        with self.assertRaisesRegex(ValueError, "noise: expected 0 to 1000, got -1"):
            SimulatorService(noise=-1)


class ClockTests(SynchronousTestCase):
    """The times at which topics are due."""

    def test_multiples(self) -> None:
        """A topic is due at the multiples of its period, whenever the clock began."""
        clock = TelemetryClock(TAI + 0.07)
        self.assertEqual(clock.due(TAI + 0.09), [])
        self.assertIn(t.CameraCableWrap, clock.due(TAI + 0.1))
        self.assertNotIn(t.CameraCableWrap, clock.due(TAI + 0.15))
        self.assertAlmostEqual(clock.delay(TAI + 0.16), 0.04, 6)

    def test_after_a_pause(self) -> None:
        """After a pause each topic is due once."""
        clock = TelemetryClock(TAI)
        self.assertEqual(Counter(clock.due(TAI + 100)), Counter(t.Topics))

    def test_clock_that_goes_back(self) -> None:
        """After a TAI that goes back by an hour the topics go on at once; by a hair, none is due twice."""
        clock = TelemetryClock(TAI)
        clock.due(TAI + 4000)
        self.assertEqual(clock.due(TAI + 400), [])
        self.assertIn(t.Azimuth, clock.due(TAI + 400.05))
        self.assertEqual(clock.due(TAI + 400.03), [])
        self.assertEqual(clock.due(TAI + 400.05), [])
        self.assertLessEqual(clock.delay(TAI + 400.06), 0.05)


class WireTests(SynchronousTestCase):
    """Telemetry on its port, in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.service = SimulatorService(
            reactor=self.reactor, tai=lambda: TAI + self.reactor.seconds(), log=QUIET, heartbeat_timeout=0
        )
        self.service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Stop the service; no timer is left."""
        self.service.stopService()
        self.reactor.advance(1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def reader(self) -> Client:
        """A reader of telemetry."""
        return connect(self.reactor, self.service.port_numbers()[1])

    def topics(self, reader: Client) -> list[t.Topic]:
        """The topics that have come."""
        *lines, reader.data = reader.data.split(b"\r\n")
        return [tma2022.decode_telemetry(line) for line in lines]

    def test_periods(self) -> None:
        """All 26 topics come at their own periods; topic 18, of unknown period, each second."""
        reader = self.reader()
        run_until(self.reactor, 20.02)
        times = defaultdict(list)
        for topic in self.topics(reader):
            times[type(topic)].append(topic.timestamp)
        self.assertEqual(set(times), set(t.Topics))
        for cls, seen in times.items():
            period = cls.period or 1.0
            self.assertIn(len(seen), (round(20 / period), round(20 / period) + 1), cls)
            for before, after in pairwise(seen):
                self.assertAlmostEqual(after - before, period, 5)

    def test_many_readers(self) -> None:
        """All readers get the same lines; one that leaves disturbs none."""
        readers = [self.reader() for _ in range(30)]
        run_until(self.reactor, 1.02)
        readers.pop().transport.loseConnection()
        run_until(self.reactor, 2.02)
        self.assertEqual(len({reader.data for reader in readers[1:]}), 1)  # the first came before a line
        self.assertGreater(len(readers[0].data), 100_000)

    def test_no_reader_no_work(self) -> None:
        """Without a reader nothing is measured, and a later reader is served."""
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        reader = self.reader()
        run_until(self.reactor, 1)
        reader.transport.loseConnection()
        self.reactor.advance(0.1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        reader = self.reader()
        run_until(self.reactor, 2)
        self.assertGreater(len(self.topics(reader)), 100)

    def test_slow_reader(self) -> None:
        """A reader that does not read misses whole lines, and delays no other; then it is served again."""
        slow, fast = self.reader(), self.reader()
        slow.transport.pauseProducing()
        run_until(self.reactor, 10)
        self.assertGreater(self.service.telemetry.missed, 500)
        self.assertGreater(len(self.topics(fast)), 2000)
        slow.transport.resumeProducing()
        run_until(self.reactor, 11)
        self.topics(slow)  # whole lines
        run_until(self.reactor, 12)
        self.assertGreater(len(self.topics(slow)), 150)

    def test_input_is_ignored(self) -> None:
        """What a reader sends changes nothing."""
        reader = self.reader()
        reader.transport.write(b"x" * 100_000)
        run_until(self.reactor, 1)
        self.assertTrue(reader.is_open)
        self.assertGreater(len(self.topics(reader)), 100)
