"""Three days at once: a simulation in a process of its own."""

from __future__ import annotations

import json
import sys

from twisted.internet.utils import getProcessOutputAndValue

from .process import ROOT
from .stage import Stage


async def tracking(stage: Stage, times: int) -> None:
    """So many hours of tracking, with faults at random."""
    setting = stage.setting
    words = ["-m", "chaos.soak", "--hours", str(times), "--dialect", setting.mount.name]
    words += ["--commanders", setting.commanders.name]
    out, err, status = await getProcessOutputAndValue(sys.executable, words, None, str(ROOT), stage.reactor)
    if not out:
        raise RuntimeError(err.decode(errors="replace"))
    outcome, verdict = stage.outcome, json.loads(out)
    for _ in range(verdict["faults"]):
        outcome.inject()
        outcome.see("tables empty at the end", status == 0)
        outcome.see("nothing left over", not verdict["problems"])
    outcome.lost += verdict["lost"]
    outcome.problems += verdict["problems"]
    outcome.figures["hours"] += round(verdict["hours"])
    outcome.figures["commands"] += verdict["commands"]
