"""The floor: code written out for six messages, one at a time, with the checks of the package.

Each pair of functions knows one class only. It rejects the values that the package rejects, with other words,
so tests can compare both.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

from mtmount_twisted.commands import AzimuthAxisTrack, BothAxesTrack, MirrorCoversPower
from mtmount_twisted.enums import Source
from mtmount_twisted.replies import AckReply, DoneReply, ErrorReply
from mtmount_twisted.wire.fields import NUMERIC_CHARACTERS

INFINITY = float("inf")
SOURCES = {"1": Source.CSC, "2": Source.EUI, "3": Source.HHD, "100": Source.PXI}
SOURCE_TEXTS = {source: text for text, source in SOURCES.items()}
BOOLS = {"0": False, "1": True}
TWO = tuple(f"{number:02}" for number in range(61))
THREE = tuple(f"{number:03}" for number in range(1000))
fromisoformat = datetime.fromisoformat
new = object.__new__


def setters(cls: type, *names: str) -> list[Callable[[Any, Any], None]]:
    """Return the functions that fill the slots of a class with frozen objects."""
    return [getattr(cls, name).__set__ for name in names]


def refuse(line: bytes) -> NoReturn:
    """Reject a line that these functions do not read, such as one with an unusual spelling of a number."""
    raise ValueError(line)


ack_id, ack_source, ack_time, ack_timeout = setters(
    AckReply, "sequence_id", "source", "timestamp", "timeout_ms"
)


def decode_ack(line: bytes) -> AckReply:
    code, sequence_id, source, timestamp, timeout_ms = line.decode("utf-8", "backslashreplace").split("\n")
    if (
        code != "0"
        or f"{sequence_id}{timeout_ms}".strip(NUMERIC_CHARACTERS)
        or len(timestamp) != 23
        or timestamp[4:22:3] != "--T::."
        or timestamp[11:13] == "24"
    ):
        refuse(line)
    message = new(AckReply)
    ack_id(message, int(sequence_id))
    ack_source(message, SOURCES[source])
    ack_time(message, fromisoformat(timestamp + "+00:00"))
    ack_timeout(message, int(timeout_ms))
    return message


def encode_ack(message: AckReply) -> bytes:
    time = message.timestamp
    second = time.second
    if time.fold and second == 59 and time.minute == 59 and time.hour == 23:
        second = 60
    return (
        f"0\n{message.sequence_id}\n{SOURCE_TEXTS[message.source]}\n"
        f"{time.year:04}-{TWO[time.month]}-{TWO[time.day]}T{TWO[time.hour]}:{TWO[time.minute]}"
        f":{TWO[second]}.{THREE[time.microsecond // 1000]}\n{message.timeout_ms}\r\n"
    ).encode()


done_id, done_source, done_time = setters(DoneReply, "sequence_id", "source", "timestamp")


def decode_done(line: bytes) -> DoneReply:
    code, sequence_id, source, timestamp = line.decode("utf-8", "backslashreplace").split("\n")
    if (
        code != "2"
        or sequence_id.strip(NUMERIC_CHARACTERS)
        or len(timestamp) != 23
        or timestamp[4:22:3] != "--T::."
        or timestamp[11:13] == "24"
    ):
        refuse(line)
    message = new(DoneReply)
    done_id(message, int(sequence_id))
    done_source(message, SOURCES[source])
    done_time(message, fromisoformat(timestamp + "+00:00"))
    return message


def encode_done(message: DoneReply) -> bytes:
    time = message.timestamp
    second = time.second
    if time.fold and second == 59 and time.minute == 59 and time.hour == 23:
        second = 60
    return (
        f"2\n{message.sequence_id}\n{SOURCE_TEXTS[message.source]}\n"
        f"{time.year:04}-{TWO[time.month]}-{TWO[time.day]}T{TWO[time.hour]}:{TWO[time.minute]}"
        f":{TWO[second]}.{THREE[time.microsecond // 1000]}\r\n"
    ).encode()


error_on, error_active, error_code, error_subsystem, error_time, error_extra = setters(
    ErrorReply, "on", "active", "code", "subsystem", "timestamp", "extra_data"
)


def decode_error(line: bytes) -> ErrorReply:
    reply_code, on, active, code, subsystem, timestamp, *extra = line.decode(
        "utf-8", "backslashreplace"
    ).split("\n")
    if (
        reply_code != "3"
        or code.strip(NUMERIC_CHARACTERS)
        or not subsystem.isprintable()
        or len(timestamp) != 23
        or timestamp[4:22:3] != "--T::."
        or timestamp[11:13] == "24"
        or not "".join(extra).isprintable()
    ):
        refuse(line)
    message = new(ErrorReply)
    error_on(message, BOOLS[on])
    error_active(message, BOOLS[active])
    error_code(message, int(code))
    error_subsystem(message, subsystem)
    error_time(message, fromisoformat(timestamp + "+00:00"))
    error_extra(message, tuple(extra))
    return message


def encode_error(message: ErrorReply) -> bytes:
    time = message.timestamp
    second = time.second
    if time.fold and second == 59 and time.minute == 59 and time.hour == 23:
        second = 60
    extra = "".join(["\n" + text for text in message.extra_data])
    return (
        f"3\n{'1' if message.on else '0'}\n{'1' if message.active else '0'}\n{message.code}\n"
        f"{message.subsystem}\n"
        f"{time.year:04}-{TWO[time.month]}-{TWO[time.day]}T{TWO[time.hour]}:{TWO[time.minute]}"
        f":{TWO[second]}.{THREE[time.microsecond // 1000]}"
        f"{extra}\r\n"
    ).encode()


azimuth_id, azimuth_source, azimuth_time, azimuth_position, azimuth_velocity, azimuth_tai = setters(
    AzimuthAxisTrack, "sequence_id", "source", "timestamp", "position", "velocity", "tai"
)


def decode_azimuth(line: bytes) -> AzimuthAxisTrack:
    sequence_id, code, source, timestamp, position, velocity, tai = line.decode(
        "utf-8", "backslashreplace"
    ).split("\n")
    if (
        code != "105"
        or f"{sequence_id}{position}{velocity}{tai}".strip(NUMERIC_CHARACTERS)
        or len(timestamp) != 23
        or timestamp[4:22:3] != "--T::."
        or timestamp[11:13] == "24"
    ):
        refuse(line)
    p, v, t = float(position), float(velocity), float(tai)
    if not -INFINITY < p + v + t < INFINITY:
        refuse(line)
    message = new(AzimuthAxisTrack)
    azimuth_id(message, int(sequence_id))
    azimuth_source(message, SOURCES[source])
    azimuth_time(message, fromisoformat(timestamp + "+00:00"))
    azimuth_position(message, p)
    azimuth_velocity(message, v)
    azimuth_tai(message, t)
    return message


def encode_azimuth(message: AzimuthAxisTrack) -> bytes:
    time = message.timestamp
    second = time.second
    if time.fold and second == 59 and time.minute == 59 and time.hour == 23:
        second = 60
    return (
        f"{message.sequence_id}\n105\n{SOURCE_TEXTS[message.source]}\n"
        f"{time.year:04}-{TWO[time.month]}-{TWO[time.day]}T{TWO[time.hour]}:{TWO[time.minute]}"
        f":{TWO[second]}.{THREE[time.microsecond // 1000]}\n"
        f"{message.position!r}\n{message.velocity!r}\n{message.tai!r}\r\n"
    ).encode()


both_id, both_source, both_time, both_azimuth, both_elevation = setters(
    BothAxesTrack, "sequence_id", "source", "timestamp", "azimuth", "elevation"
)
both_azimuth_velocity, both_elevation_velocity, both_negate, both_tai = setters(
    BothAxesTrack, "azimuth_velocity", "elevation_velocity", "negate_azimuth", "tai"
)


def decode_both(line: bytes) -> BothAxesTrack:
    sequence_id, code, source, timestamp, azimuth, elevation, azimuth_v, elevation_v, negate, tai = (
        line.decode("utf-8", "backslashreplace").split("\n")
    )
    if (
        code != "31"
        or f"{sequence_id}{azimuth}{elevation}{azimuth_v}{elevation_v}{negate}{tai}".strip(NUMERIC_CHARACTERS)
        or len(timestamp) != 23
        or timestamp[4:22:3] != "--T::."
        or timestamp[11:13] == "24"
    ):
        refuse(line)
    a, e, av, ev, t = float(azimuth), float(elevation), float(azimuth_v), float(elevation_v), float(tai)
    if not -INFINITY < a + e + av + ev + t < INFINITY:
        refuse(line)
    message = new(BothAxesTrack)
    both_id(message, int(sequence_id))
    both_source(message, SOURCES[source])
    both_time(message, fromisoformat(timestamp + "+00:00"))
    both_azimuth(message, a)
    both_elevation(message, e)
    both_azimuth_velocity(message, av)
    both_elevation_velocity(message, ev)
    both_negate(message, int(negate))
    both_tai(message, t)
    return message


def encode_both(message: BothAxesTrack) -> bytes:
    time = message.timestamp
    second = time.second
    if time.fold and second == 59 and time.minute == 59 and time.hour == 23:
        second = 60
    return (
        f"{message.sequence_id}\n31\n{SOURCE_TEXTS[message.source]}\n"
        f"{time.year:04}-{TWO[time.month]}-{TWO[time.day]}T{TWO[time.hour]}:{TWO[time.minute]}"
        f":{TWO[second]}.{THREE[time.microsecond // 1000]}\n"
        f"{message.azimuth!r}\n{message.elevation!r}\n{message.azimuth_velocity!r}\n"
        f"{message.elevation_velocity!r}\n{message.negate_azimuth}\n{message.tai!r}\r\n"
    ).encode()


covers_id, covers_source, covers_time, covers_drive, covers_on = setters(
    MirrorCoversPower, "sequence_id", "source", "timestamp", "drive", "on"
)


def decode_covers(line: bytes) -> MirrorCoversPower:
    sequence_id, code, source, timestamp, drive, on = line.decode("utf-8", "backslashreplace").split("\n")
    if (
        code != "901"
        or f"{sequence_id}{drive}".strip(NUMERIC_CHARACTERS)
        or len(timestamp) != 23
        or timestamp[4:22:3] != "--T::."
        or timestamp[11:13] == "24"
    ):
        refuse(line)
    message = new(MirrorCoversPower)
    covers_id(message, int(sequence_id))
    covers_source(message, SOURCES[source])
    covers_time(message, fromisoformat(timestamp + "+00:00"))
    covers_drive(message, int(drive))
    covers_on(message, BOOLS[on])
    return message


def encode_covers(message: MirrorCoversPower) -> bytes:
    time = message.timestamp
    second = time.second
    if time.fold and second == 59 and time.minute == 59 and time.hour == 23:
        second = 60
    return (
        f"{message.sequence_id}\n901\n{SOURCE_TEXTS[message.source]}\n"
        f"{time.year:04}-{TWO[time.month]}-{TWO[time.day]}T{TWO[time.hour]}:{TWO[time.minute]}"
        f":{TWO[second]}.{THREE[time.microsecond // 1000]}\n"
        f"{message.drive}\n{'1' if message.on else '0'}\r\n"
    ).encode()


SENT = datetime(2020, 2, 27, 14, 48, 27, 469000, UTC)

MESSAGES: list[tuple[Any, Callable[[bytes], Any], Callable[[Any], bytes]]] = [
    (AckReply(sequence_id=12345, timestamp=SENT, timeout_ms=5000), decode_ack, encode_ack),
    (DoneReply(sequence_id=12345, timestamp=SENT), decode_done, encode_done),
    (
        ErrorReply(
            on=True,
            active=False,
            code=907,
            subsystem="900. MyTopVI/MyNextVI",
            timestamp=SENT,
            extra_data=("drive 3", "over current"),
        ),
        decode_error,
        encode_error,
    ),
    (
        AzimuthAxisTrack(
            sequence_id=12345, timestamp=SENT, position=123.456789, velocity=0.0041, tai=1582814944.469
        ),
        decode_azimuth,
        encode_azimuth,
    ),
    (
        BothAxesTrack(
            sequence_id=12345,
            timestamp=SENT,
            azimuth=123.456789,
            elevation=45.678912,
            azimuth_velocity=0.0041,
            elevation_velocity=-0.0023,
            tai=1582814944.469,
        ),
        decode_both,
        encode_both,
    ),
    (MirrorCoversPower(sequence_id=12345, timestamp=SENT, drive=3, on=True), decode_covers, encode_covers),
]
"""A message of each class, and its code by hand."""
