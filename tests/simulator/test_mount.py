"""`mtmount_twisted.simulator.mount` and its devices: each command as ``protocol-tma2020.rst`` says."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import commands as c
from mtmount_twisted.enums import CommandCode, Commander, Source
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply, OnStateInfoReply, Reply
from mtmount_twisted.simulator import mount
from mtmount_twisted.simulator.axis import AZIMUTH, ELEVATION, LONGEST, Axis
from mtmount_twisted.simulator.mount import SimulatedMount

START = 1_700_000_000.0
TAI_UTC = 37.0
AXES = {"AzimuthAxis": 30.0, "ElevationAxis": 50.0, "CameraCableWrap": 20.0}
"""The axes, each with a position that a test can move it to."""

STARTS_AT = {"AzimuthAxis": 0.0, "ElevationAxis": 80.0, "CameraCableWrap": 0.0}
END = (DoneReply, NoAckReply)


def make(name: str, **values: Any) -> c.Command:
    """A command by its class's name."""
    command: c.Command = getattr(c, name)(**values)
    return command


class Bench:
    """A mount with a clock that a test advances, and all that it has said."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.said: list[Reply] = []
        options.setdefault("initial_commander", Commander.CSC)
        options.setdefault("tai", self.tai)
        self.mount = SimulatedMount(self.clock, self.said.append, **options)

    def tai(self) -> float:
        return self.clock.seconds() + TAI_UTC

    def ask(self, command: c.Command) -> list[Reply]:
        """Everything that the mount says at once to a command."""
        before = len(self.said)
        self.mount.receive(command)
        return self.said[before:]

    def wait(self, seconds: float) -> list[Reply]:
        """Everything that the mount says in this time."""
        before = len(self.said)
        self.clock.advance(seconds)
        return self.said[before:]

    def answers(self, command: c.Command) -> list[Reply]:
        """All answers to a command so far."""
        return [r for r in self.said if getattr(r, "sequence_id", None) == command.sequence_id]

    def axis(self, prefix: str) -> Axis:
        device = self.mount.devices[prefix]
        assert isinstance(device, Axis)
        return device


class MountCase(SynchronousTestCase):
    """Assertions on what the mount says."""

    def assert_done(self, bench: Bench, command: c.Command) -> None:
        """The command is acknowledged and done at once."""
        bench.ask(command)
        self.assertEqual([type(r) for r in bench.answers(command)], [AckReply, DoneReply])

    def assert_refused(self, bench: Bench, command: c.Command, why: str) -> None:
        """The command gets a NoAck, and nothing else, that says why."""
        self.assertEqual([type(reply) for reply in bench.ask(command)], [NoAckReply])
        self.assertIn(why, bench.said[-1].explanation)
        self.assertEqual(bench.said[-1].source, command.source)

    def assert_ends(self, bench: Bench, command: c.Command, why: str) -> None:
        """The command was acknowledged and then got a NoAck that says why."""
        replies = bench.answers(command)
        self.assertEqual([type(r) for r in replies], [AckReply, NoAckReply])
        self.assertIn(why, replies[1].explanation)

    def assert_idle(self, bench: Bench) -> None:
        """No timer is left."""
        self.assertEqual(bench.clock.getDelayedCalls(), [])

    def assert_close(self, first: float, second: float, delta: float = 1e-5) -> None:
        """Two numbers are close."""
        self.assertLessEqual(abs(first - second), delta, f"{first!r} is not {second!r}")

    def powered(self, prefix: str, **options: Any) -> Bench:
        """A bench with one device turned on."""
        bench = Bench(**options)
        self.assert_done(bench, make(f"{prefix}Power", on=True))
        return bench

    def tracking(self, prefix: str, **options: Any) -> Bench:
        """A bench with one axis that waits for targets."""
        bench = self.powered(prefix, **options)
        self.assert_done(bench, make(f"{prefix}EnableTracking", on=True))
        return bench


class NewCommandTests(MountCase):
    """A command class that the mount has no method for."""

    def test_done_without_an_effect(self) -> None:
        """It is acknowledged and done at once, from the commander that has command."""
        for name in ("Dance", "MirrorCoversDance"):
            extra = type(
                name, (c.Command,), {"command_code": CommandCode.STOP_MOUNT, "__doc__": "A new command."}
            )
            self.patch(mount, "Commands", (*c.Commands, extra))
            self.assert_done(Bench(), extra())


class TestCommand(MountCase):
    """Who has command, and what every command has in common."""

    def test_every_command_has_a_method(self) -> None:
        """No command class is without a method."""
        self.assertEqual(set(Bench().mount.methods), set(c.Commands))

    def test_every_command_is_answered(self) -> None:
        """Every command from one who has command is answered within a minute, and once."""
        required = {int: 0, float: 0.0, bool: True}
        for command_class in c.Commands:
            bench = Bench()
            values = {
                info.name: required[info.dtype]
                for info in command_class.field_infos
                if info.required and not info.constant
            }
            command = command_class(**values)
            bench.ask(command)
            bench.wait(60)
            ends = [r for r in bench.answers(command) if isinstance(r, END)]
            self.assertEqual(len(ends), 1, command)
            self.assert_idle(bench)

    def test_nobody_at_first(self) -> None:
        """At first nobody has command, and every command but the one to ask for it is refused."""
        bench = Bench(initial_commander=Commander.NONE)
        self.assert_refused(bench, c.Enable(), "nobody has command")
        self.assert_done(bench, c.AskForCommand(commander=Commander.CSC))
        self.assert_done(bench, c.Enable())

    def test_another_has_command(self) -> None:
        """A command from one who does not have command is refused, with the name of who has."""
        bench = Bench(initial_commander=Commander.EUI)
        for source in (Source.CSC, Source.HHD, Source.PXI):
            self.assert_refused(bench, c.Enable(source=source), "EUI has it")
        self.assert_done(bench, c.Enable(source=Source.EUI))

    def test_command_can_be_taken_and_given_up(self) -> None:
        """Anyone may name who shall have command, or nobody, and the change is told to all."""
        bench = Bench()
        replies = bench.ask(c.AskForCommand(commander=Commander.EUI, source=Source.PXI))
        self.assertEqual([type(r) for r in replies], [AckReply, OnStateInfoReply, DoneReply])
        self.assertEqual(replies[1].description, "CommanderEUI")
        self.assert_done(bench, c.AskForCommand(commander=Commander.NONE))
        self.assert_refused(bench, c.Enable(), "nobody")

    def test_hand_held_device_keeps_command(self) -> None:
        """While the HHD has command nobody can take it; the HHD can give it up."""
        bench = Bench(initial_commander=Commander.HHD)
        for source, commander in (
            (Source.CSC, Commander.CSC),
            (Source.CSC, Commander.NONE),
            (Source.HHD, Commander.EUI),
        ):
            command = c.AskForCommand(commander=commander, source=source)
            self.assert_refused(bench, command, "HHD has command")
        self.assert_done(bench, c.AskForCommand(commander=Commander.HHD, source=Source.HHD))
        self.assert_done(bench, c.AskForCommand(commander=Commander.NONE, source=Source.HHD))
        self.assert_done(bench, c.AskForCommand(commander=Commander.EUI, source=Source.EUI))

    def test_enable_and_disable(self) -> None:
        """Enable and Disable are told to all when they change anything."""
        bench = Bench()
        self.assertEqual(bench.ask(c.Enable())[1].description, "Enabled")
        self.assertEqual(len(bench.ask(c.Enable())), 2)
        self.assertEqual(bench.ask(c.Disable())[1].description, "Disabled")

    def test_bad_speed(self) -> None:
        """A speed factor that is no sensible number is refused."""
        for speed in (0.0, -1.0, float("inf"), float("nan")):
            self.assertRaises(ValueError, Bench, speed=speed)

    def test_default_tai(self) -> None:
        """Without a source of TAI the mount uses this package's."""
        mount = SimulatedMount(Clock(), lambda reply: None)
        self.assertEqual(mount.commander, Commander.NONE)

    def test_close(self) -> None:
        """After close no timer is left and nothing more is said."""
        bench = self.tracking("AzimuthAxis")
        bench.ask(c.AzimuthAxisTrack(position=3, velocity=0, tai=bench.tai()))
        bench.ask(c.MirrorCoversPower(on=True))
        bench.ask(c.MirrorCoversRetract())
        bench.mount.close()
        self.assert_idle(bench)
        self.assertEqual(bench.ask(c.Enable()), [])


on_off = st.booleans()
az, el = st.floats(-270, 270), st.floats(20, 86.5)
rates = st.sampled_from([0, 0.3, 2])
sent = st.one_of(
    st.builds(c.AzimuthAxisMove, position=az, velocity=rates, acceleration=rates),
    st.builds(c.BothAxesMove, azimuth=az, elevation=el, azimuth_velocity=rates, elevation_velocity=rates),
    st.builds(c.AzimuthAxisHome),
    st.builds(c.AzimuthAxisStop),
    st.builds(c.BothAxesStop),
    st.builds(c.AzimuthAxisPower, on=on_off),
    st.builds(c.ElevationAxisPower, on=on_off),
    st.builds(c.AzimuthAxisEnableTracking, on=on_off),
    st.builds(c.AzimuthAxisDriveEnable, on=on_off),
    st.builds(c.AzimuthAxisDriveReset),
    st.builds(c.AzimuthAxisTrack, position=az, velocity=st.floats(-7, 7), tai=st.just(START + TAI_UTC)),
)
waits = st.one_of(st.floats(0, 5), st.floats(5, 60))


class TestAnySequence(MountCase):
    """What holds whatever is sent, and whenever."""

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(sent, waits), max_size=12))
    @example([(c.AzimuthAxisTrack(position=0.0, velocity=0.0625, tai=START + TAI_UTC), 0.0)])
    def test_invariants(self, sequence: list[tuple[c.Command, float]]) -> None:
        """The axes never leave their limits, never jump, and every command ends once."""
        bench = Bench()
        for command in (
            c.AzimuthAxisPower(on=True),
            c.ElevationAxisPower(on=True),
            c.AzimuthAxisEnableTracking(on=True),
        ):
            bench.ask(command)
        for command, seconds in sequence:
            bench.ask(command)
            self.advance(bench, seconds)
        self.advance(bench, 3000)
        for command, _ in sequence:
            kinds = [type(r) for r in bench.answers(command)]
            ends = [[AckReply]] if command.ack_only else [[AckReply, DoneReply], [AckReply, NoAckReply]]
            self.assertIn(kinds, [[NoAckReply], *ends])
        self.advance(bench, 3 * LONGEST)  # a slow target comes to the limit of its axis hours later
        self.assert_idle(bench)

    def advance(self, bench: Bench, seconds: float) -> None:
        """Let time pass and check the axes on the way."""
        axes = ((bench.mount.azimuth, AZIMUTH), (bench.mount.elevation, ELEVATION))
        for _ in range(20):
            before = [axis.state for axis, _ in axes]
            bench.wait(seconds / 20)
            for (axis, limits), last in zip(axes, before):
                position, velocity = axis.state
                self.assertTrue(limits.low - 1e-4 <= position <= limits.high + 1e-4, position)
                self.assertLessEqual(abs(velocity), limits.velocity + 1e-4)
                change = limits.acceleration * seconds / 20
                self.assertLessEqual(abs(velocity - last.velocity), change + 1e-4)
                self.assertLessEqual(abs(position - last.position), limits.velocity * seconds / 20 + 1e-4)
