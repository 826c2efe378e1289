"""`Keeper`: the daemon's questions about the election -> the register and the presence at the broker.

The child decides nothing: it asks the broker, and sends the daemon the answer. Next to read:
``upstream.leadership.tenure``, which decides; ``frontends.broker.words``, the questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable
from mtmount_twisted.frontends.broker.words import MAX_VALUE, Answer, Question

from .contracts import IEngine

MOST_QUESTIONS = 20
"""The most questions that wait; a further one is answered at once, as one that the broker did not answer."""

AT_ONCE = 8
"""The questions whether a process is present that are asked at the same time. A process that dies or hangs,
or a host that is gone, answers none of them: the next one must not wait for that."""


class Keeper:
    """Ask the broker for the daemon: one question after another about the register, beside them one after
    another that change this bridge's own presence, and beside both whether a process is present.

    :param reply: sends an answer to the daemon.
    """

    def __init__(self, engine: IEngine, mount: str, reply: Callable[[Answer], None]) -> None:
        self._register = engine.register(f"mt.{mount}.lease")
        self._presence = engine.presence(f"mt.{mount}.here")
        self._reply = reply
        self._about_register: asyncio.Queue[Question] = asyncio.Queue(MOST_QUESTIONS)
        self._about_us: asyncio.Queue[Question] = asyncio.Queue(MOST_QUESTIONS)
        self._about_others: asyncio.Queue[Question] = asyncio.Queue(MOST_QUESTIONS)

    def ask(self, question: Question) -> None:
        """Take a question of the daemon."""
        queue = self._about_register
        if question.what not in ("get", "swap"):
            queue = self._about_others if question.what == "gone" else self._about_us
        try:
            queue.put_nowait(question)
        except asyncio.QueueFull:
            self._reply(Answer(number=question.number, known=False))

    async def run(self) -> None:
        """Answer questions until the task is cancelled."""
        queues = self._about_register, self._about_us, *[self._about_others] * AT_ONCE
        await asyncio.gather(*map(self._serve, queues))

    async def _serve(self, questions: asyncio.Queue[Question]) -> None:
        while True:
            question = await questions.get()
            try:
                answer = await self._answer(question)
            except (EngineUnreachable, EngineFull, EngineRefused):
                # The daemon has no use for the difference: in each case it does not have the lease.
                answer = Answer(number=question.number, known=False)
            self._reply(answer)

    async def _answer(self, question: Question) -> Answer:
        number = question.number
        match question.what:
            case "get":
                value, revision = await self._register.get()
                if value is not None and len(value) > MAX_VALUE:
                    value = b""  # no bridge wrote that
                text = None if value is None else value.decode("utf-8", "replace")
                return Answer(number=number, known=True, value=text, revision=revision)
            case "swap":
                revision = await self._register.swap(question.value.encode(), question.revision)
                return Answer(number=number, known=True, revision=revision)
            case "here":
                await self._presence.here()
            case "leave":
                await self._presence.leave()
            case "gone":
                return Answer(number=number, known=True, gone=await self._presence.gone())
        return Answer(number=number, known=True)
