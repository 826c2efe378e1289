"""Faults in the middle of a command of 2020 that becomes two commands of today's mount."""

from __future__ import annotations

from mtmount_twisted.dialects.tma2022.enums import CommandCode
from mtmount_twisted.simulator.faults import Fault

from .house import House
from .ledger import Entry
from .stage import Stage
from .waits import SETTLED, pause, rises

MODE, POWER = int(CommandCode.OIL_SUPPLY_SYSTEM_SET_MODE), int(CommandCode.OIL_SUPPLY_SYSTEM_POWER)
"""The two commands, in their order."""

CASES = (
    (MODE, ("ack", "done"), False),
    (MODE, ("done",), False),
    (POWER, ("ack", "done"), True),
    (POWER, ("done",), True),
)
"""The command in which the fault comes, its answers that are missing, and whether the second one was sent."""


async def _arrives(house: House, entry: Entry, code: int) -> None:
    await rises(house.reactor, lambda: entry.came[code], 1, "the mount gets it")


async def halves(stage: Stage, times: int) -> None:
    """The link is lost in the midst of each half, in turn; the second is not sent if the first has no end."""
    house = await stage.house()
    outcome = house.outcome
    for _ in range(times):
        for code, missing, was_sent in CASES:
            for reply in missing:
                house.simulator.faults.add(Fault("missing", code=code, reply=reply))
            entry = house.desk.send(house.setting.commands.OilSupplySystemPower, on=True)
            await _arrives(house, entry, code)
            await pause(house.reactor, SETTLED)
            house.simulator.faults.clear()
            outcome.inject()
            house.mount.reset()
            await house.ends([entry])
            outcome.see("outcome unknown", entry.ended("outcome unknown"))
            await house.linked()
            outcome.figures["reconnections"] += 1
            outcome.see("goes on", await house.answers())
            await pause(house.reactor, SETTLED)
            sent = {MODE: 1, POWER: 1} if was_sent else {MODE: 1}
            outcome.see("no half is sent behind it", dict(entry.came) == sent)
            await house.calm()
