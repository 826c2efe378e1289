"""`Keeper`: the daemon's questions about the election -> the register and the presence at the broker.

The child decides nothing: it asks the broker, and sends the daemon the answer. Next to read:
``upstream.leadership.tenure``, which decides; ``frontends.broker.words``, the questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mtmount_twisted.errors import EngineFull, EngineRefused, EngineUnreachable
from mtmount_twisted.frontends.broker.words import MAX_VALUE, Answer, Question, encode

from .contracts import IEngine

MOST_QUESTIONS = 20
"""The largest number of waiting questions. A further question gets at once the answer for a broker that does
not answer."""

AT_ONCE = 8
"""The questions whether a process is present that are asked at the same time. A process that dies or hangs,
or a host that is gone, answers none of them: the next one must not wait for that."""


class Keeper:
    """Ask the broker for the daemon, in three rows that never wait for each other: the questions about the
    register, one after another; the changes of this bridge's own presence, one after another; and the
    questions whether another process is present, up to `AT_ONCE` at a time.

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
                # To the daemon all these errors are the same: in each case it does not have the lease.
                answer = Answer(number=question.number, known=False)
            self._reply(answer)

    async def _answer(self, question: Question) -> Answer:
        number = question.number
        match question.what:
            case "get":
                value, revision = await self._register.get()
                text = None if value is None else value.decode("utf-8", "replace")
                if text is not None and len(encode(text)) > MAX_VALUE:
                    text = ""  # no bridge wrote this value
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
