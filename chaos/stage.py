"""The argument of a row's function: it opens houses, and checks and closes them at the end."""

from __future__ import annotations

import socket
import tempfile
import traceback
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError

from tests.support.ports import held_port, port_of

from .house import House
from .outcome import Impossible, Outcome, Row
from .setting import Setting
from .waits import TooLate

SEED = 16

ROW_TIME = 150.0
"""How long one row may take, in seconds."""


class Stage:
    """The houses of one row.

    :param seed: the seed of what is random in a row.
    :ivar outcome: the observations of the row.
    :ivar folder: a folder for all files of the row; removed afterwards.
    """

    def __init__(self, reactor: Any, folder: Path, setting: Setting, seed: int = SEED) -> None:
        self.reactor = reactor
        self.seed = seed
        self.setting = setting
        self.folder = folder
        self.outcome = Outcome()
        self.houses: list[House] = []
        self._held: list[socket.socket] = []

    def port(self) -> int:
        """A port that nothing takes before the row is over, but a daemon that listens there."""
        self._held.append(held_port())
        return port_of(self._held[-1])

    async def house(self, *, speed: float = 1000.0, **options: Any) -> House:
        """A house in which everything runs; see `House` and `House.open`."""
        folder = self.folder / str(len(self.houses))
        folder.mkdir()
        house = House(self.reactor, folder, self.outcome, self.setting, speed)
        self.houses.append(house)
        await house.open(**options)
        return house

    async def close(self) -> None:
        """Close all houses, and check the rest."""
        for house in self.houses:
            await house.close()
        for held in self._held:
            held.close()


async def play(reactor: Any, row: Row, times: int, seed: int = SEED) -> Outcome:
    """Inject a row's fault so many times. Each error is in the outcome."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        stage = Stage(reactor, Path(folder), row.setting, seed)

        async def run() -> None:
            try:
                await row.run(stage, times)
            finally:
                await stage.close()

        try:
            running = Deferred.fromCoroutine(run())
            running.addTimeout(ROW_TIME + times * row.seconds, reactor)
            await running
        except Impossible as error:
            stage.outcome.impossible = f"not possible here: {error}"
        except (TooLate, ConnectError) as error:
            stage.outcome.problems.append(str(error))
        except Exception as error:
            traceback.print_exc()
            stage.outcome.problems.append(f"{type(error).__name__}: {error}")
        return stage.outcome
