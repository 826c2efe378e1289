"""The reply classes against the facts of ``protocol-tma2020.rst``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import replies
from mtmount_twisted.enums import ReplyCode, Source
from mtmount_twisted.errors import FieldCountError, FieldError, UnknownCodeError
from mtmount_twisted.replies import Reply, parse_reply
from mtmount_twisted.wire.messages import BaseMessage

WHEN = "2020-02-27T14:48:27.469"
ANSWER = [("reply_code", ReplyCode), ("sequence_id", int), ("source", Source), ("timestamp", datetime)]
FACTS: dict[int, tuple[str, str, list[tuple[str, type]], bool]] = {
    0: ("ACK", "AckReply", [*ANSWER, ("timeout_ms", int)], False),
    1: ("NOACK", "NoAckReply", [*ANSWER, ("explanation", str)], False),
    2: ("DONE", "DoneReply", ANSWER, False),
    3: (
        "ERROR",
        "ErrorReply",
        [
            ("reply_code", ReplyCode),
            ("on", bool),
            ("active", bool),
            ("code", int),
            ("subsystem", str),
            ("timestamp", datetime),
        ],
        True,
    ),
    4: (
        "WARNING",
        "WarningReply",
        [
            ("reply_code", ReplyCode),
            ("active", bool),
            ("code", int),
            ("subsystem", str),
            ("timestamp", datetime),
        ],
        True,
    ),
    5: (
        "ON_STATE_INFO",
        "OnStateInfoReply",
        [("reply_code", ReplyCode), ("timestamp", datetime), ("description", str)],
        False,
    ),
    6: (
        "IN_POSITION",
        "InPositionReply",
        [("reply_code", ReplyCode), ("timestamp", datetime), ("what", int), ("in_position", bool)],
        False,
    ),
}


class Facts(SynchronousTestCase):
    """Codes, names, fields."""

    def test_classes(self) -> None:
        """Each reply has its code, its name and its class, and there are no others."""
        self.assertEqual([row[1] for row in FACTS.values()], [cls.__name__ for cls in replies.Replies])
        self.assertEqual(
            {int(code): code.name for code in ReplyCode}, {key: row[0] for key, row in FACTS.items()}
        )
        for number, (_, class_name, fields, has_extra) in FACTS.items():
            cls = replies.ReplyDict[ReplyCode(number)]
            self.assertIs(cls, getattr(replies, class_name))
            self.assertTrue(issubclass(cls, Reply) and issubclass(cls, BaseMessage))
            self.assertEqual([(info.name, info.dtype) for info in cls.field_infos], fields)
            self.assertEqual(cls.has_extra_data, has_extra)
            self.assertEqual(cls.reply_code, number)

    def test_answers(self) -> None:
        """What answers a command is an `Answer`, which has no code and can't be made itself."""
        answers = [cls.__name__ for cls in replies.Replies if issubclass(cls, replies.Answer)]
        self.assertEqual(answers, ["AckReply", "NoAckReply", "DoneReply"])
        self.assertRaises(ValueError, replies.Answer, sequence_id=1)

    def test_timeout(self) -> None:
        """An Ack's time-out is in ms, 0 if none is given."""
        self.assertEqual(replies.AckReply.field_infos[-1].unit, "ms")
        self.assertEqual(replies.AckReply(sequence_id=1).timeout_ms, 0)


class Parsing(SynchronousTestCase):
    """`parse_reply`."""

    def test_empty_timeout(self) -> None:
        """An empty time-out means 0, and is the only empty number that is read."""
        reply = parse_reply(["0", "7", "1", WHEN, ""])
        self.assertEqual(reply, replies.AckReply(sequence_id=7, timestamp=WHEN, timeout_ms=0))  # type: ignore[arg-type]
        self.assertRaises(ValueError, parse_reply, ["0", "7", "1", WHEN])
        self.assertRaises(ValueError, parse_reply, ["0", "7", "1", WHEN, " "])
        self.assertRaises(ValueError, parse_reply, ["0", "", "1", WHEN, "1"])

    def test_extra_data(self) -> None:
        """Whatever follows a warning is its extra data, empty fields too, and is written back."""
        head = ["4", "1", "900", "900. MyTopVI/MyNextVI", WHEN]
        for extra in ([], ["a"], ["", ""], ["a b", "\u00b0", "1"]):
            reply: Any = parse_reply(head + extra)
            self.assertEqual(reply.extra_data, tuple(extra))
            self.assertEqual(reply.str_fields(), head + extra)
        self.assertEqual(reply.subsystem, "900. MyTopVI/MyNextVI")

    def test_extra_data_from_a_program(self) -> None:
        """Extra data may be any sequence of texts; text itself, or anything that is no text, is refused."""
        given: dict[str, Any] = {"active": True, "code": 900, "subsystem": "900. X"}
        for extra in (["a", "b"], ("a", "b"), iter(["a", "b"])):
            self.assertEqual(replies.WarningReply(**given, extra_data=extra).extra_data, ("a", "b"))
        for bad in ("ab", b"ab", ["a", 1], ["a\n"], ["a\r"], ["\0"], ["\ud800"], 3, bytearray(b"a")):
            error = self.assertRaises(
                FieldError, lambda bad=bad: replies.WarningReply(**given, extra_data=bad)
            )
            self.assertEqual((error.message_name, error.field), ("WarningReply", "extra_data"))
            self.assertIs(error.value, bad)

    def test_bad_extra_data_on_the_wire(self) -> None:
        """Extra data that could not be sent on is refused when it is read."""
        error = self.assertRaises(FieldError, parse_reply, ["4", "1", "900", "900. X", WHEN, "a", "b\0"])
        self.assertEqual((error.message_name, error.field), ("WarningReply", "extra_data"))

    def test_unknown_code(self) -> None:
        """A code that is not known, or is no number, is a ValueError that names it."""
        for text in ("7", "-1", "9999"):
            error = self.assertRaises(UnknownCodeError, parse_reply, [text, WHEN, "x"])
            self.assertEqual((error.field, error.value), ("reply_code", int(text)))
        for text in ("x", "", "0_0", "\u0660"):
            error = self.assertRaises(FieldError, parse_reply, [text, WHEN, "x"])
            self.assertEqual((error.field, error.value), ("reply_code", text))
        self.assertRaises(FieldCountError, parse_reply, [])

    def test_class_by_code(self) -> None:
        """The code decides the class, however the wire writes the number."""
        for text in ("2", " 2 ", "+2", "02"):
            self.assertIsInstance(parse_reply([text, "7", "1", WHEN]), replies.DoneReply)
