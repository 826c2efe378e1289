"""``make profile``: where decoding, a way from `write` to `read`, and the bridge spend their time."""

from __future__ import annotations

import cProfile
import pstats
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.internet import defer, task

from mtmount_twisted.dialects.tma2020.codec import decode_command, decode_reply
from mtmount_twisted.replies import Reply

from .bridge import TRIPS, RawCommander, joined
from .bridge_stage import Stage
from .by_hand import MESSAGES
from .one_way import COUNT, timed, write_all
from .receiving import iterate, read_all
from .stacks import in_one_process

LINES = 25


def decode() -> None:
    """Decode a message of each class."""
    calls = [
        (decode_reply if isinstance(message, Reply) else decode_command, message.encode()[:-2])
        for message, _, _ in MESSAGES
    ]
    for _ in range(COUNT):
        for call, line in calls:
            call(line)


async def bridge() -> None:
    """Profile a bridge that carries commands, and one that carries events to a crowd."""
    commander = RawCommander()
    with tempfile.TemporaryDirectory() as folder:
        with ExitStack() as stack:
            await joined(stack, "profile", "raw mount", commander, folder)
            for _ in range(5):
                await commander.trip()
        await commander.close()
        show(f"a bridge: {5 * TRIPS} round trips", str(Path(folder, "raw mount.sqlite")))
        with Stage("profile", 100, str(Path(folder, "crowd"))) as stage:
            for events in [1] * 100 + [100] * 10:
                stage.say(events)
                stage.wait()
        show("a bridge: 100 clients hear 100 events alone, then 1,000 in bursts", str(Path(folder, "crowd")))


def show(title: str, profile: cProfile.Profile | str) -> None:
    """Print where the time went."""
    print(f"\n{title}\n{'=' * len(title)}")
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(LINES)


async def main(reactor: Any) -> None:
    """Profile decoding, then one way with `read`, then with ``async for``, then the bridge."""
    decode()
    profile = cProfile.Profile()
    profile.runcall(decode)
    show(f"decoding {COUNT} messages of each of {len(MESSAGES)} classes", profile)
    commander, mount = await in_one_process()
    for name, take in (("read", read_all), ("async for", iterate)):
        profile = cProfile.Profile()
        profile.enable()
        await timed(take(commander, COUNT), write_all(mount))
        profile.disable()
        show(f"one way in one process: {COUNT} messages through write and {name}", profile)
    for pair in (commander, mount):
        await pair.close()
    await bridge()


if __name__ == "__main__":
    task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
