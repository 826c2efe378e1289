"""Decode and encode: ours, against code by hand for that one message, and against the plain loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from mtmount_twisted.dialects.tma2020.codec import decode_command, decode_reply
from mtmount_twisted.replies import Reply

from . import simple_stack
from .by_hand import MESSAGES
from .runner import Case, Goal, Run, each

CALLS = 3000

HAND = Goal("by hand", "at most", 1.3)
LOOP = Goal("plain loop", "times faster, at least", 2.5)


def case(verb: str, message: Any, calls: dict[str, Callable[[Any], object]], loop: Goal) -> Case:
    """The case of one class."""
    argument = message if verb == "encode" else message.encode().removesuffix(b"\r\n")
    subjects = {name: partial(cost, call, argument) for name, call in calls.items()}
    return Case("codec", f"{verb} {type(message).__name__}", "µs", subjects, (HAND, loop), 21)


def cost(call: Callable[[Any], object], argument: Any) -> float:
    return each(call, repeat(argument, CALLS), CALLS)


async def measure(run: Run, reactor: Any) -> None:
    """Each class both ways."""
    for message, by_hand, _ in MESSAGES:
        is_reply = isinstance(message, Reply)
        decode = decode_reply if is_reply else decode_command
        loop = simple_stack.decode_reply if is_reply else simple_stack.decode_command
        calls = {"ours": decode, "by hand": by_hand, "plain loop": loop}
        await run.measure(case("decode", message, calls, LOOP))
    for message, _, by_hand in MESSAGES:
        calls = {"ours": type(message).encode, "by hand": by_hand, "plain loop": simple_stack.encode}
        await run.measure(case("encode", message, calls, Goal("plain loop", LOOP.kind)))
