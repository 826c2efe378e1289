"""`SlowClock`: a clock with turns."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock


class SlowClock(Clock):
    """A clock that makes calls without a delay in the next turn, as a reactor does."""

    TURN = 0.001

    def callLater(self, when: float, what: Any, *a: Any, **kw: Any) -> IDelayedCall:  # type: ignore[override]
        return super().callLater(when or self.TURN, what, *a, **kw)
