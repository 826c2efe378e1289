"""Any commands in any order to the simulated tma2022 mount: what always holds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022 import commands as c
from mtmount_twisted.dialects.tma2022 import replies as r
from mtmount_twisted.dialects.tma2022.enums import Source
from mtmount_twisted.simulator.tma2022.catalogue import entries
from mtmount_twisted.simulator.tma2022.safety import MASKS
from tests.dialects.strategies import commands
from tests.support import strategies  # noqa: F401  # for the profile
from tests.support.simulated_tma2022 import TAI, Bench

LIKELY = [
    c.BothAxesPower(on=True),
    c.BothAxesPower(on=False),
    c.BothAxesStop(),
    c.BothAxesMove(azimuth=30, elevation=40),
    c.BothAxesHome(),
    c.BothAxesResetAlarm(),
    c.BothAxesEnableTracking(),
    c.AzimuthMove(position=-100),
    c.ElevationMove(position=90),
    c.AzimuthEnableTracking(on=False),
    c.CameraCableWrapEnableTracking(on=True),
    c.CameraCableWrapStop(),
    c.MirrorCoversPower(on=True),
    c.MirrorCoverLocksPower(on=True),
    c.MirrorCoverSystemDeploy(),
    c.MirrorCoverSystemRetract(),
    c.MirrorCoversPower(on=False),
    c.MainAxesPowerSupplyPower(on=False),
    c.MainAxesPowerSupplyPower(on=True),
    c.OilSupplySystemSetMode(auto=False),
    c.OilSupplySystemPower(on=True),
    c.StateInfo(),
    c.GetActualSettings(),
    c.Heartbeat(),
]
"""Commands that do something in most states."""


@st.composite
def targets(draw: st.DrawFn) -> c.Command:
    """A target near the present, by the time at which it is drawn."""
    azimuth = draw(st.floats(-280, 280))
    elevation, velocity = draw(st.floats(-1, 91)), draw(st.floats(-4, 4))
    tai = TAI + 1000 + draw(st.floats(-10, 60))
    return c.BothAxesTrackTarget(
        azimuth=azimuth, elevation=elevation, azimuth_velocity=velocity, elevation_velocity=velocity, tai=tai
    )


troubles = st.one_of(
    st.sampled_from(entries()),
    st.tuples(st.sampled_from(sorted(MASKS)), st.integers(0, 1), st.booleans()),
)
steps = st.lists(
    st.one_of(
        st.sampled_from(LIKELY), st.sampled_from(LIKELY), commands(), targets(), st.floats(0, 8), troubles
    ),
    max_size=25,
)


class AnyCommandsTests(SynchronousTestCase):
    """The rules of ``protocol-tma2022.rst``, "The life of a command", for any sequence."""

    @settings(max_examples=150)
    @given(steps, st.sampled_from([0.01, 1.0, 1000.0]), st.booleans(), st.sampled_from([0, 5]))
    def test_each_command_ends_once(
        self, given_steps: list[Any], speed: float, realistic: bool, heartbeat_timeout: float
    ) -> None:
        """A command gets one rejection, or an Ack and then one end; a track command its Ack only; a heartbeat
        nothing. Each line can be read, and the axes stay within their limits."""
        bench = Bench(speed=speed, realistic=realistic, heartbeat_timeout=heartbeat_timeout)
        sent: list[c.Command] = []
        for step in given_steps:
            if isinstance(step, c.Command):
                source = step.source if isinstance(step, c.AskForCommand) else Source.CSC
                sent.append(step.replaced(source=source))
                bench.ask(sent[-1])
            elif isinstance(step, float):
                bench.wait(step)
            elif step in entries():
                bench.mount.alarms.begin_alarm(step)
            else:
                bench.mount.set_interlock(*step)
            self.check_axes(bench)
        bench.wait(200_000)
        self.check_answers(bench, sent)
        for reply in bench.said:
            self.assertEqual(tma2022.decode_reply(reply.encode()[:-2]).fields(), reply.fields())
        bench.mount.close()
        self.assertEqual(bench.clock.getDelayedCalls(), [])

    def check_axes(self, bench: Bench) -> None:
        """No axis is outside of its limits by more than it needs to brake."""
        for axis in bench.mount.axes:
            position = axis.at(bench.clock.seconds()).position
            self.assertTrue(axis.limits.low - 0.01 <= position <= axis.limits.high + 0.01, axis.system)

    def check_answers(self, bench: Bench, sent: list[c.Command]) -> None:
        """The answers to each command fit."""
        answers: dict[int, list[type[r.Reply]]] = defaultdict(list)
        for reply in bench.said:
            if isinstance(reply, r.Answer):
                answers[reply.sequence_id].append(type(reply))
        ends = (r.CmdSucceededReply, r.CmdFailedReply, r.CmdSupersededReply)
        for sequence_id, command in enumerate(sent, 1):
            got = answers.pop(sequence_id, [])
            if isinstance(command, c.Heartbeat):
                self.assertEqual(got, [], command)
            elif got != [r.CmdRejectedReply]:
                self.assertEqual(got[:1], [r.CmdAcknowledgedReply], command)
                self.assertEqual(len(got), 1 if command.ack_only else 2, command)
                self.assertTrue(all(end in ends for end in got[1:]), command)
        self.assertEqual(dict(answers), {})
