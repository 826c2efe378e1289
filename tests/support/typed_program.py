"""A program with right and wrong uses of the library, for the type checker.

mypy checks this module in ``.ci/run types``: each line that is wrong has a ``type: ignore`` with the error
that it must cause, and an ignore that is not needed is an error itself. Nothing here is ever called.
"""

from __future__ import annotations

from typing import assert_type

from twisted.internet.defer import Deferred

from mtmount_twisted import Communicator, DuplexCommunicator, Mount, TelemetryClient
from mtmount_twisted.commands import AzimuthAxisMove
from mtmount_twisted.dialects import tma2022
from mtmount_twisted.dialects.tma2022.enums import System
from mtmount_twisted.replies import ErrorReply, InPositionReply, Reply, WarningReply
from mtmount_twisted.testing import DuplexFarEnd, FarEnd, connected_duplex, connected_pair


def on_in_position(event: InPositionReply) -> None:
    """Take one kind of event."""
    assert_type(event.in_position, bool)


async def on_error(event: ErrorReply) -> None:
    """Take another kind, in a coroutine."""
    assert_type(event.extra_data, tuple[str, ...])


def on_any(event: Reply) -> None:
    """Take every kind of event."""


def subscribe(mount: Mount) -> None:
    """A subscriber's parameter is checked against the class of replies that it is subscribed to."""
    unsubscribe = mount.subscribe(InPositionReply, on_in_position)
    unsubscribe()
    mount.subscribe(ErrorReply, on_error)
    mount.subscribe(WarningReply, on_any)
    mount.subscribe(InPositionReply, lambda event: event.in_position)
    mount.subscribe(on_any)
    mount.subscribe(on_any, ErrorReply, WarningReply)
    mount.subscribe(ErrorReply, on_in_position)  # type: ignore[arg-type]
    mount.subscribe(InPositionReply, lambda event: event.description)  # type: ignore[attr-defined]
    mount.subscribe()  # type: ignore[call-overload]


async def send(mount: Mount) -> None:
    """A command is made by keyword, and a sent command is awaited through `acked` or `done`."""
    sent = mount.send(AzimuthAxisMove(position=10))
    assert_type(await sent.acked, float)
    await sent.done
    AzimuthAxisMove(10)  # type: ignore[call-arg]
    AzimuthAxisMove(position="ten")  # type: ignore[arg-type]
    await mount.send(AzimuthAxisMove(position=10))  # type: ignore[misc]


def connect(communicator: Communicator) -> None:
    """A communicator has a name, and hosts that may be None for this machine."""
    assert_type(communicator.connected, bool)
    Communicator("c", None, 30005, None, 30006, communicator.log, read_replies=True)
    Communicator("c", None, "30005", None, 30006, communicator.log, read_replies=True)  # type: ignore[arg-type]


def messages_of_tma2022() -> None:
    """Make messages of the protocol tma2022, and read their attributes."""
    homed = tma2022.replies.HomedReply(axis=System.AZIMUTH, homed=True)
    assert_type(homed.homed, bool)
    tma2022.replies.HomedReply(axis=System.AZIMUTH)  # type: ignore[call-arg]
    tma2022.replies.HomedReply(axis="azimuth", homed=True)  # type: ignore[arg-type]
    azimuth = tma2022.telemetry.Azimuth(timestamp=1.5, actual_position=10.5)
    assert_type(azimuth.actual_position_timestamp, float)
    assert azimuth.position  # type: ignore[attr-defined]
    assert_type(tma2022.commands.AzimuthMove(position=1).replaced(sequence_id=7).velocity, float)
    tma2022.commands.AzimuthMove(position="1")  # type: ignore[arg-type]


def telemetry_of_tma2022(communicator: Communicator) -> None:
    """A telemetry client reads topics, or lines."""
    log = communicator.log
    values = TelemetryClient("t", None, 50035, log, topics=[tma2022.telemetry.Azimuth, 15])
    assert_type(values.read(), Deferred[tma2022.telemetry.Topic])
    assert_type(TelemetryClient("t", None, 50035, log, raw=True).read(), Deferred[bytes])
    assert_type(values.clock_offset, float | None)
    TelemetryClient("t", None, "50035", log)  # type: ignore[call-overload]


async def mount_of_tma2022(communicator: DuplexCommunicator) -> None:
    """A tma2022 mount takes its commands, and passes its events on."""
    mount = Mount(communicator)
    await mount.send(tma2022.commands.AzimuthMove(position=1)).done
    mount.subscribe(tma2022.replies.HomedReply, lambda event: event.homed)
    mount.subscribe(tma2022.replies.HomedReply, lambda event: event.position)  # type: ignore[attr-defined]
    assert_type(mount.has_command, bool)


def doubles() -> None:
    """A test gets the communicator that its program uses, and a far end that takes messages and bytes."""
    communicator, far_end = connected_pair(max_unread=10)
    assert_type(communicator, Communicator)
    assert_type(far_end, FarEnd)
    duplex, mount = connected_duplex(max_unread=10)
    assert_type(duplex, DuplexCommunicator)
    assert_type(mount, DuplexFarEnd)
    sent = Mount(duplex).send(tma2022.commands.AzimuthMove(position=10))
    assert_type(mount.written_lines(), list[bytes])
    mount.feed(tma2022.replies.CmdSucceededReply(sequence_id=sent.command.sequence_id), b"{")
    assert_type(mount.accept_client(), bool)
    mount.feed(5)  # type: ignore[arg-type]
