"""A desk for commands without a daemon: its mount does each command at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mtmount_twisted.dialects.dialect import DialectName, dialect_named
from mtmount_twisted.frontends.broker.words import Command, OfDesk, Outcome, Seen, StationUser
from mtmount_twisted.station.desk import Desk
from mtmount_twisted.station.events import Source
from mtmount_twisted.station.nats_connection import Login
from mtmount_twisted.station.nats_engine import NatsEngine
from mtmount_twisted.station.streams import commands_name, commands_stream
from mtmount_twisted.station.waits import pause

from .broker import Broker

USERS = ("night", "day")


class DeskAlone:
    """A desk with a connection of its own, and a mount that does each command at once.

    :param settings: other settings of the streams for commands.
    """

    def __init__(
        self, broker: Broker, login: Login | None = None, dialect: DialectName = "tma2020", **settings: Any
    ) -> None:
        self.commands: list[Command] = []
        self.seen: list[str] = []
        self.told: list[str] = []
        self.answers = True
        streams = [replace(commands_stream(name, 1), **settings) for name in USERS]
        self.engine = NatsEngine([broker.url], streams, login, lambda level, text: self.told.append(text))
        self.engine.start()
        users = [StationUser(name=name, source="CSC", role="command", expires=10.0) for name in USERS]
        self.desk = Desk(
            self.engine,
            {name: self.engine.log(commands_name(name)) for name in USERS},
            Source("t1", "a"),
            users,
            dialect_named(dialect),
            self.hand,
            lambda level, text: self.told.append(text),
        )
        self.desk.settle_tenure(1, True)
        self.task = asyncio.create_task(self.desk.run())

    def hand(self, line: OfDesk) -> bool:
        if isinstance(line, Seen):
            self.seen.append(line.user)
        if isinstance(line, Command):
            self.commands.append(line)
            if self.answers:
                outcome = Outcome(user=line.user, id=line.id, state="done")
                asyncio.get_running_loop().call_soon(self.desk.note_outcome, outcome)
        return True

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not is_so():
            await pause(0.001)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.engine.close()
