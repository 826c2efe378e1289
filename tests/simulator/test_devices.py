"""`mtmount_twisted.simulator.devices`: covers, locks and switches, and the alarms of all devices."""

from __future__ import annotations

from mtmount_twisted import commands as c
from mtmount_twisted.replies import AckReply, DoneReply, ErrorReply

from .test_mount import AXES, Bench, MountCase, make

RESETS = {
    "AzimuthAxis": c.AzimuthAxisResetAlarm,
    "ElevationAxis": c.ElevationAxisResetAlarm,
    "CameraCableWrap": c.CameraCableWrapResetAlarm,
    "MirrorCovers": c.MirrorCoversResetAlarm,
    "MirrorCoverLocks": c.MirrorCoverLocksResetAlarm,
    "MainPowerSupply": c.MainPowerSupplyResetAlarm,
    "OilSupplySystem": c.OilSupplySystemResetAlarm,
    "TopEndChiller": c.TopEndChillerResetAlarm,
    "Safety": c.SafetyReset,
}


class TestCovers(MountCase):
    """Mirror covers and their locks."""

    def positions(self, prefix: str, bench: Bench) -> list[float]:
        return [drive.position for drive in bench.mount.devices[prefix].drives]

    def test_covers(self) -> None:
        """Covers begin deployed at 0 %, and retract to 100 % and deploy again in 2 s each."""
        bench = self.powered("MirrorCovers")
        (ack,) = bench.ask(retract := c.MirrorCoversRetract())
        self.assertEqual(ack.timeout_ms, 2000)
        bench.wait(1)
        self.assertEqual(self.positions("MirrorCovers", bench), [50] * 4)
        bench.wait(1.001)
        self.assertEqual(self.positions("MirrorCovers", bench), [100] * 4)
        self.assertEqual([type(r) for r in bench.answers(retract)], [AckReply, DoneReply])
        bench.ask(c.MirrorCoversDeploy())
        bench.wait(2)
        self.assertEqual(self.positions("MirrorCovers", bench), [0] * 4)

    def test_locks(self) -> None:
        """Locks begin deployed at 100 %, and retract to 0 % and deploy again in 1 s each."""
        bench = self.powered("MirrorCoverLocks")
        (ack,) = bench.ask(c.MirrorCoverLocksMoveAll(deploy=False))
        self.assertEqual(ack.timeout_ms, 1000)
        bench.wait(1)
        self.assertEqual(self.positions("MirrorCoverLocks", bench), [0] * 4)
        bench.ask(c.MirrorCoverLocksMoveAll(deploy=True))
        bench.wait(1)
        self.assertEqual(self.positions("MirrorCoverLocks", bench), [100] * 4)
        self.assert_done(bench, c.MirrorCoverLocksMoveAll(deploy=True))

    def test_one_drive(self) -> None:
        """A drive number moves that drive only."""
        bench = self.powered("MirrorCovers")
        bench.ask(c.MirrorCoversRetract(drive=2))
        bench.wait(3)
        self.assertEqual(self.positions("MirrorCovers", bench), [0, 0, 100, 0])

    def test_bad_drive(self) -> None:
        """A drive that does not exist is refused by every command that takes one."""
        bench = self.powered("MirrorCovers")
        for drive in (-2, 4):
            for name in ("Stop", "Deploy", "Retract", "ResetAlarm"):
                self.assert_refused(bench, make(f"MirrorCovers{name}", drive=drive), f"no drive {drive}")
            self.assert_refused(bench, c.MirrorCoversPower(drive=drive, on=True), f"no drive {drive}")

    def test_needs_power(self) -> None:
        """Each drive that a command is for needs power."""
        bench = Bench()
        self.assert_refused(bench, c.MirrorCoversRetract(), "drive 0, 1, 2, 3 is off")
        self.assert_done(bench, c.MirrorCoversPower(drive=1, on=True))
        self.assert_refused(bench, c.MirrorCoversStop(), "drive 0, 2, 3 is off")
        self.assert_done(bench, c.MirrorCoversStop(drive=1))

    def test_stop(self) -> None:
        """Stopping one drive supersedes the command for all; the other drives go on."""
        bench = self.powered("MirrorCovers")
        bench.ask(retract := c.MirrorCoversRetract())
        bench.wait(1)
        bench.ask(c.MirrorCoversStop(drive=3))
        self.assert_ends(bench, retract, "superseded by MirrorCoversStop")
        bench.wait(2)
        self.assertEqual(self.positions("MirrorCovers", bench), [100, 100, 100, 50])
        self.assert_idle(bench)

    def test_power_off(self) -> None:
        """Turning power off stops the drives where they are."""
        bench = self.powered("MirrorCoverLocks")
        bench.ask(move := c.MirrorCoverLocksMoveAll(deploy=False))
        bench.wait(0.25)
        self.assert_done(bench, c.MirrorCoverLocksPower(on=False))
        self.assert_ends(bench, move, "superseded by MirrorCoverLocksPower")
        bench.wait(1)
        self.assertEqual(self.positions("MirrorCoverLocks", bench), [75] * 4)

    def test_newer_move(self) -> None:
        """A newer move turns the drives round from where they are."""
        bench = self.powered("MirrorCovers")
        bench.ask(retract := c.MirrorCoversRetract())
        bench.wait(1)
        replies = bench.ask(c.MirrorCoversDeploy())
        self.assertEqual(replies[0].timeout_ms, 1000)
        self.assert_ends(bench, retract, "superseded by MirrorCoversDeploy")
        bench.wait(1)
        self.assertEqual(self.positions("MirrorCovers", bench), [0] * 4)


class TestSwitches(MountCase):
    """Oil supply, main power and chiller."""

    def test_warm_up_is_announced(self) -> None:
        """Turning on announces the real warm-up time and is done at once; turning off is quick."""
        for name, timeout_ms in (
            ("OilSupplySystemPower", 900_000),
            ("OilSupplySystemPowerCooling", 900_000),
            ("OilSupplySystemPowerOil", 900_000),
            ("OilSupplySystemPowerMainPump", 900_000),
            ("MainPowerSupplyPower", 120_000),
            ("TopEndChillerPower", 1000),
        ):
            bench = Bench()
            for on, expected in ((True, timeout_ms), (True, 1000), (False, 1000)):
                ack, done = bench.ask(make(name, on=on))
                self.assertEqual((ack.timeout_ms, type(done)), (expected, DoneReply), name)
            self.assert_idle(bench)

    def test_realistic(self) -> None:
        """A realistic mount warms up for as long as it says, which a speed factor divides."""
        bench = Bench(realistic=True, speed=2)
        (ack,) = bench.ask(power := c.OilSupplySystemPower(on=True))
        self.assertEqual(ack.timeout_ms, 450_000)
        oil = bench.mount.oil_supply_system.switches
        bench.wait(449)
        self.assertEqual([switch.on for switch in oil.values()], [False] * 3)
        bench.wait(1.001)
        self.assertEqual([switch.on for switch in oil.values()], [True] * 3)
        self.assertEqual([type(r) for r in bench.answers(power)], [AckReply, DoneReply])

    def test_off_supersedes_warm_up(self) -> None:
        """Turning off while it warms up supersedes turning on."""
        bench = Bench(realistic=True)
        bench.ask(power := c.MainPowerSupplyPower(on=True))
        self.assert_done(bench, c.MainPowerSupplyPower(on=False))
        self.assert_ends(bench, power, "superseded by MainPowerSupplyPower")
        self.assertFalse(bench.mount.main_power_supply.switches["Power"].on)
        self.assert_idle(bench)

    def test_oil_parts(self) -> None:
        """Cooling, oil and main pump are switched separately."""
        bench = Bench()
        self.assert_done(bench, c.OilSupplySystemPowerOil(on=True))
        on = {name: s.on for name, s in bench.mount.oil_supply_system.switches.items()}
        self.assertEqual(on, {"PowerCooling": False, "PowerOil": True, "PowerMainPump": False})

    def test_chiller(self) -> None:
        """The chiller tracks ambient only with its power on, and stops when that is turned off."""
        bench = Bench()
        early = c.TopEndChillerTrackAmbient(on=True, temperature=-5)
        self.assert_refused(bench, early, "turn its power on")
        self.assert_done(bench, c.TopEndChillerTrackAmbient(on=False, temperature=0))
        self.assert_done(bench, c.TopEndChillerPower(on=True))
        self.assert_done(bench, c.TopEndChillerTrackAmbient(on=True, temperature=-5))
        chiller = bench.mount.top_end_chiller
        self.assertEqual((chiller.tracking_ambient, chiller.temperature), (True, -5))
        self.assert_done(bench, c.TopEndChillerPower(on=False))
        self.assertFalse(chiller.tracking_ambient)


class TestAlarm(MountCase):
    """Alarms: they stop a device until they are reset."""

    def test_raised_and_reset(self) -> None:
        """An alarm is told as an error, once, and again when its reset ends it."""
        self.assertEqual(set(RESETS), set(Bench().mount.devices))
        for prefix, reset in RESETS.items():
            bench = Bench()
            bench.mount.raise_alarm(prefix, "too hot")
            bench.mount.raise_alarm(prefix, "too cold")
            self.assertEqual(len(bench.said), 1)
            error = bench.said[0]
            self.assertIsInstance(error, ErrorReply)
            self.assertEqual((error.on, error.active, error.extra_data), (True, True, ("too hot",)))
            subsystem = bench.mount.devices[prefix].subsystem
            self.assertEqual(
                (error.code, error.subsystem[: len(str(subsystem))]), (subsystem + 1, str(subsystem))
            )
            ended = bench.ask(reset())[1]
            self.assertEqual((ended.on, ended.active, ended.code), (False, False, error.code))
            self.assert_done(bench, reset())
            self.assertEqual(len(bench.said), 6)

    def test_unknown_device(self) -> None:
        """An alarm of a device that does not exist is a `KeyError`."""
        self.assertRaises(KeyError, Bench().mount.raise_alarm, "Dome")

    def test_axis(self) -> None:
        """An alarm fails a move, which is not superseded, and brakes; then nothing moves until its reset."""
        for prefix, goal in AXES.items():
            bench = self.powered(prefix)
            bench.ask(move := make(f"{prefix}Move", position=goal))
            bench.wait(1)
            bench.mount.raise_alarm(prefix)
            self.assert_ends(bench, move, "in alarm: simulated fault")
            self.assertNotIn("superseded", bench.answers(move)[1].explanation)
            bench.wait(10)
            self.assertEqual(bench.axis(prefix).state.velocity, 0)
            refused = [
                make(f"{prefix}Move", position=goal),
                make(f"{prefix}Stop"),
                make(f"{prefix}EnableTracking", on=True),
                make(f"{prefix}DriveEnable", drive=-1, on=True),
                make(f"{prefix}Power", on=True),
            ]
            for command in refused:
                self.assert_refused(bench, command, "reset the alarm first")
            self.assert_done(bench, RESETS[prefix]())
            for command in refused:
                self.assertIsInstance(bench.ask(command)[0], AckReply)

    def test_covers(self) -> None:
        """An alarm stops all drives where they are."""
        bench = self.powered("MirrorCovers")
        bench.ask(move := c.MirrorCoversRetract())
        bench.wait(1)
        bench.mount.raise_alarm("MirrorCovers")
        bench.wait(5)
        self.assert_ends(bench, move, "in alarm")
        self.assertEqual([drive.position for drive in bench.mount.mirror_covers.drives], [50] * 4)
        self.assert_refused(bench, c.MirrorCoversDeploy(), "in alarm")
        self.assert_refused(bench, c.MirrorCoversPower(on=True), "in alarm")
        self.assert_done(bench, c.MirrorCoversPower(on=False))

    def test_switches(self) -> None:
        """An alarm turns off what can be turned on, and keeps it off until its reset."""
        bench = Bench(realistic=True)
        bench.ask(power := c.OilSupplySystemPower(on=True))
        bench.mount.raise_alarm("OilSupplySystem")
        self.assert_ends(bench, power, "in alarm")
        self.assert_refused(bench, c.OilSupplySystemPowerOil(on=True), "in alarm")
        self.assert_done(bench, c.OilSupplySystemPower(on=False))
        self.assert_done(bench, c.TopEndChillerPower(on=True))
        self.assert_done(bench, c.TopEndChillerTrackAmbient(on=True, temperature=1))
        bench.mount.raise_alarm("TopEndChiller")
        self.assertFalse(bench.mount.top_end_chiller.tracking_ambient)
        self.assert_refused(bench, c.TopEndChillerTrackAmbient(on=True, temperature=1), "in alarm")
        self.assert_idle(bench)
