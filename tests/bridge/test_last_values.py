"""`mtmount_twisted.bridge.last_values`: what a newcomer is told of the mount."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.last_values import MAX_KNOWN, MAX_KNOWN_BYTES, KnownEntry, LastValueCache
from mtmount_twisted.dialects.dialect import EventEnvelope
from mtmount_twisted.dialects.tma2020.envelope import read_reply, subject_of
from mtmount_twisted.enums import ReplyCode
from mtmount_twisted.errors import LineError
from mtmount_twisted.replies import ErrorReply, InPositionReply, OnStateInfoReply, WarningReply
from tests.support.commanders import STAMP


def warning(active: int, code: int, subsystem: bytes = b"900. a") -> bytes:
    """The line of a warning."""
    return b"4\n%d\n%d\n%b\n%b" % (active, code, subsystem, STAMP)


def error(latched: int, active: int, code: int) -> bytes:
    """The line of an error."""
    return b"3\n%d\n%d\n%d\n900. a\n%b\nextra\nmore" % (latched, active, code, STAMP)


def state(text: bytes) -> bytes:
    """The line of a state."""
    return b"5\n%b\n%b" % (STAMP, text)


def position(axis: int, is_in: int) -> bytes:
    """The line of an in-position."""
    return b"6\n%b\n%d\n%d" % (STAMP, axis, is_in)


def learn(known: LastValueCache, line: bytes) -> int:
    """Have a line of the mount learned, as the bridge does: one that is no event never gets so far."""
    try:
        event = read_reply(line)
    except LineError:
        return 0
    subject = subject_of(event) if isinstance(event, EventEnvelope) else None
    return 0 if subject is None else known.learn(cast(EventEnvelope, event), subject)


def current(known: LastValueCache) -> list[bytes]:
    """The lines that are current."""
    return [event.line for event in known.current]


class KnownTests(SynchronousTestCase):
    """What is kept of what the mount said."""

    def told(self, *lines: bytes) -> list[bytes]:
        """What is known after these lines."""
        known = LastValueCache()
        for line in lines:
            learn(known, line)
        return current(known)

    def test_last_state(self) -> None:
        """The last state replaces the one before."""
        self.assertEqual(self.told(state(b"a"), state(b"b")), [state(b"b")])

    def test_each_axis(self) -> None:
        """Of each axis the last is kept, be it in position or not."""
        self.assertEqual(
            self.told(position(0, 1), position(1, 1), position(0, 0)), [position(1, 1), position(0, 0)]
        )

    def test_active_warnings(self) -> None:
        """A warning is kept until it ends; one of another code or subsystem is another."""
        kept = [warning(1, 901), warning(1, 902), warning(1, 901, b"901. b")]
        self.assertEqual(self.told(*kept), kept)
        self.assertEqual(self.told(*kept, warning(0, 901)), kept[1:])
        self.assertEqual(self.told(warning(0, 901)), [])
        self.assertEqual(self.told(*kept, kept[0]), [*kept[1:], kept[0]])

    def test_active_errors(self) -> None:
        """An error is kept while it is latched or present."""
        for latched, active in ((1, 0), (0, 1), (1, 1)):
            line = error(latched, active, 901)
            self.assertEqual(self.told(error(1, 1, 901), line), [line])
            self.assertEqual(self.told(line, error(0, 0, 901)), [])

    def test_each_error(self) -> None:
        """An error of another code or subsystem is another; said again at another time it is the same."""
        first = b"3\n1\n1\n901\n900. a\nthen"
        others = [b"3\n1\n1\n902\n900. a\nthen", b"3\n1\n1\n901\n901. b\nthen"]
        self.assertEqual(self.told(first, *others), [first, *others])
        again = b"3\n1\n1\n901\n900. a\nnow"
        self.assertEqual(self.told(first, *others, again), [*others, again])

    def test_count(self) -> None:
        """The current ones of a kind are counted; those of a lost connection are not."""
        known = LastValueCache()
        for line in (state(b"a"), warning(1, 901), warning(1, 902), error(1, 1, 901)):
            learn(known, line)
        kinds = (ReplyCode.WARNING, ReplyCode.ERROR, ReplyCode.IN_POSITION)
        self.assertEqual([known.count(kind) for kind in kinds], [2, 1, 0])
        known.link_down()
        learn(known, warning(1, 902))
        self.assertEqual([known.count(kind) for kind in kinds], [1, 0, 0])

    def test_kinds_do_not_mix(self) -> None:
        """A warning and an error of one code are two."""
        self.assertEqual(self.told(warning(1, 901), error(1, 1, 901), warning(0, 901)), [error(1, 1, 901)])

    def test_any_spelling(self) -> None:
        """Numbers count as numbers, however they are written."""
        self.assertEqual(self.told(b" 4\n7\n+901\ns\nt", b"4\n-0\n0901\ns\nt"), [])
        self.assertEqual(self.told(b"04\n-1\n901\ns\nt"), [b"04\n-1\n901\ns\nt"])

    def test_unreadable(self) -> None:
        """What can't be read is not kept, and what was known before stays."""
        kept = [state(b"a"), position(0, 1), warning(1, 901), error(1, 1, 901)]
        unreadable = [
            b"5\nt",
            b"6\nt\n0",
            b"6\nt\n0\nx",
            b"6\nt\nx\n1",
            b"4\n\n901\n900. a\nt",
            b"4\n0\n901",
            b"4\n0\n901\n900. a",
            b"3\n0\n\n901\n900. a\nt",
            b"3\n0\n0\n901\n900. a",
            b"\xff\xff",
            b"",
            b"7\nt\nnew",
        ]
        self.assertEqual(self.told(*kept, *unreadable), kept)
        self.assertEqual([learn(LastValueCache(), line) for line in unreadable], [0] * len(unreadable))

    def test_bound(self) -> None:
        """However many warnings there are, the state and the axes are kept, and the newest warnings."""
        kept = [state(b"a"), position(0, 1), position(1, 0)]
        lines = self.told(*kept, *(warning(1, code) for code in range(MAX_KNOWN + 50)))
        self.assertEqual(len(lines), MAX_KNOWN)
        self.assertEqual(lines[:3], kept)
        self.assertEqual(lines[-1], warning(1, MAX_KNOWN + 49))

    def test_bound_of_bytes(self) -> None:
        """What a newcomer is told is shorter than what would cut it off; the state is kept longest."""
        known = state(b"Ready")
        lines = self.told(
            known, *(warning(1, code, b"x" * 20_000) for code in range(9)), warning(1, 9, b"y" * 60_000)
        )
        self.assertEqual(lines, [known, warning(1, 7, b"x" * 20_000), warning(1, 8, b"x" * 20_000)])

    def test_just_the_bound_of_bytes(self) -> None:
        """All that may be kept is kept: one event as long as all together, or two that are."""
        longest = warning(1, 1, b"x" * (MAX_KNOWN_BYTES - len(warning(1, 1, b""))))
        self.assertEqual(self.told(longest), [longest])
        half = [warning(1, code, b"x" * (MAX_KNOWN_BYTES // 2 - len(warning(1, 1, b"")))) for code in (1, 2)]
        self.assertEqual(self.told(*half), half)
        self.assertEqual(self.told(*half, warning(0, 1), half[0]), [half[1], half[0]])
        self.assertEqual(self.told(half[0], half[1] + b"x"), [half[1] + b"x"])

    def test_bound_of_axes(self) -> None:
        """A mount that invents axes without end does not fill the memory either."""
        self.assertEqual(len(self.told(*(position(axis, 1) for axis in range(MAX_KNOWN + 50)))), MAX_KNOWN)

    def test_stale(self) -> None:
        """What a lost connection said is kept as stale, and is current for nobody, until it is said anew."""
        times = iter((1.5, 2.5, 3.5, 4.5))
        known = LastValueCache(lambda: next(times))
        for line in (state(b"a"), warning(1, 901), position(0, 1)):
            learn(known, line)
        known.link_down()
        self.assertEqual(current(known), [])
        learn(known, warning(0, 901))
        learn(known, state(b"b"))
        self.assertEqual(
            known.entries(),
            [KnownEntry(position(0, 1), 6, 3.5, True), KnownEntry(state(b"b"), 5, 4.5, False)],
        )
        self.assertEqual(current(known), [state(b"b")])

    def test_stale_goes_first(self) -> None:
        """What is stale makes room for what is not, be it the state itself."""
        known = LastValueCache()
        for line in (state(b"a"), position(0, 1)):
            learn(known, line)
        known.link_down()
        lines = [warning(1, code) for code in range(MAX_KNOWN)]
        for line in lines:
            learn(known, line)
        self.assertEqual([entry.line for entry in known.entries()], lines)

    def test_how_many_are_forgotten(self) -> None:
        """Who tells the mount's news learns how many that are current were forgotten: for want of room, or
        because one is too long; what was stale is no loss to a newcomer."""
        known = LastValueCache()
        self.assertEqual(learn(known, state(b"a")), 0)
        known.link_down()
        self.assertEqual(sum(learn(known, warning(1, code)) for code in range(MAX_KNOWN)), 0)
        self.assertEqual(learn(known, warning(1, 7)), 0)
        self.assertEqual(learn(known, warning(0, 7)), 0)
        self.assertEqual(learn(known, warning(1, 7)), 0)
        self.assertEqual(learn(known, warning(1, MAX_KNOWN)), 1)
        self.assertEqual(learn(known, warning(1, MAX_KNOWN + 1, b"x" * 60_000)), 1)

    def test_as_the_library_writes(self) -> None:
        """Every kind of event that the library writes is understood."""
        for event in (
            OnStateInfoReply(description="a"),
            InPositionReply(what=1, in_position=False),
            WarningReply(active=True, code=1, subsystem="1. a", extra_data=("x",)),
            ErrorReply(on=False, active=True, code=1, subsystem="1. a"),
        ):
            line = event.encode()[:-2]
            self.assertEqual(self.told(line), [line])

    @given(st.lists(st.binary(max_size=30) | st.sampled_from([b"3\n", b"4\n1\n", b"5\n\n", b"6\n1\n"])))
    def test_any_bytes(self, lines: list[bytes]) -> None:
        """Whatever the mount says, each line kept is one that it said, and no two are the same."""
        kept = self.told(*lines)
        self.assertTrue(set(kept) <= set(lines))
        self.assertEqual(len(kept), len(set(kept)))
