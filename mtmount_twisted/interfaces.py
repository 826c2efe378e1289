"""The contracts between the folders: the methods and attributes that one part needs of another.

A folder imports only from the folders above it (see ``docs/explanation/architecture.rst``). If a folder must
notify a folder below it, it calls an object that it was given. This module defines the interfaces of such
objects. Pure. Next to read: ``docs/explanation/architecture.rst``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from mtmount_twisted.dialects.facts import Event
    from mtmount_twisted.motion.limits import AxisLimits
    from mtmount_twisted.motion.present import Present, Rules
    from mtmount_twisted.motion.rows import KeptRows, Row, SignalRows
    from mtmount_twisted.motion.slews import Slew


class IHostNames(Interface):
    """Resolver of host names. A reactor in memory provides it; for other reactors see `resolving`."""

    def addresses(host: str) -> Any:
        """Return a Deferred of a tuple of addresses, IPv4 before IPv6. For an address, the result is the
        address itself. The Deferred fails with ``DNSLookupError`` (an `OSError`) if the name has no address,
        or if the name server does not answer in time.
        """


class ILineWriterOwner(Interface):
    """The object to which a `protocol.LineWriter` reports."""

    def writer_connected(writer: Any) -> None:
        """Note that `writer` can write now."""

    def writer_lost(writer: Any, reason: Failure) -> None:
        """Note that `writer` is disconnected for good; `reason` is a `Failure`."""

    def writer_heard(writer: Any, data: bytes) -> bool:
        """Handle unexpected data from the peer. Return True if the data is explained, so that nobody need log
        it."""


class ILineReaderOwner(Interface):
    """The object to which a `protocol.LineReader` reports."""

    def reader_connected(reader: Any) -> None:
        """Note that `reader` can receive lines now."""

    def lines_received(lines: list[bytes]) -> None:
        """Handle received lines, in order: a list of bytes without terminators."""

    def reader_lost(reader: Any, reason: Failure) -> None:
        """Note that `reader` is disconnected for good; `reason` is a `Failure`."""


class IPairOwner(Interface):
    """The object to which the two halves of a connection pair (`halves`) report."""

    def client_changed(reason: Failure | None) -> None:
        """Note that the client connected (`reason` is None) or was lost (`reason` is a `Failure`)."""

    def server_changed(reason: Failure | None) -> None:
        """Note that a peer connected to the server (`reason` is None) or was lost (a `Failure`)."""

    def lines_received(lines: list[bytes]) -> None:
        """Handle lines received on the server connection: a list of bytes without terminators."""

    def refusal_of(peer: Any) -> str:
        """Return the reason why a peer at this ``IAddress`` may not connect; empty if the peer may
        connect."""

    def explain_heard(data: bytes) -> str:
        """Return the reason why the far end of the client connection sends data, and the remedy.

        :param data: the beginning of the received data.
        :returns: empty if the data gives no clue.
        """

    def note_wrong_port(why: str) -> None:
        """Log the result of `explain_heard`."""


class IClient(Interface):
    """A client of the bridge: a commander or an observer."""

    name: str = Attribute("Name in the log and the journal; no other client has the same.")
    source: IntEnum = Attribute("The `Source` whose rules apply to the client.")
    translator: Any = Attribute(
        "The `dialects.dialect.Translator` of a client that speaks another dialect than the controller; else "
        "None."
    )
    may_command: bool = Attribute("False for an observer.")
    name_lasts: bool = Attribute("True if a later client with this name is the same commander.")
    may_have_password: bool = Attribute(
        "True for a commander whose identity is certain: it may read a password that the mount sends, if the "
        "site passes passwords on."
    )
    may_have_command: bool = Attribute("False if the client may send stops, but may not have command.")
    in_flight: int = Attribute("Number of its commands that have not ended; the bridge counts.")
    address: str = Attribute(
        "Address of the client's own port as HOST:PORT: for a pair, its port for commands; for the client "
        "of a port, the client's end. Empty if there is none."
    )
    behind: int = Attribute("Backlog in bytes, without the bytes that the connection buffers.")

    def send(data: bytes) -> None:
        """Send whole lines in the client's dialect, terminators included.

        If the connection is lost or cut off, drop these lines.
        """

    def dismiss(why: str) -> None:
        """Close the client's connection because of an offence."""


class IControllerLink(Interface):
    """The link to the controller, as the bridge uses it while the link is up."""

    room: int = Attribute("Number of commands that the link accepts now.")

    def send(data: bytes) -> None:
        """Send a command, terminator included. Call this only while `room` is not 0."""


class IBridge(Interface):
    """The bridge, as the web interface uses it."""

    dialect: Any = Attribute("The `dialects.dialect.Dialect` of the controller.")
    clients: dict[str, IClient] = Attribute("The connected clients, by name.")
    lease: Any = Attribute("The lease: `holder`, an `IClient` or None, and `number`, an int.")
    grace: bool = Attribute("True while the connection of the holder is lost and the bridge waits for it.")
    known: Any = Attribute(
        "The last values: `entries()` returns them, each with `line`, `time` and `stale`; "
        "`count(code)` returns the number of current ones with this `ReplyCode`."
    )
    pending: Any = Attribute("The pending commands, an iterable of `bridge.pending.PendingCommand`.")
    epoch: int = Attribute("Number of the latest connection to the controller; 0 before the first.")
    link: IControllerLink | None = Attribute("The link to the controller; None while it is down.")
    counts: Counter[str] = Attribute("Number of occurrences by kind.")
    untranslated: Counter[str] = Attribute(
        "Number of events that were dropped for clients of another dialect, by the kind of event."
    )

    def commanded(client: IClient, line: bytes, header: Any = None) -> None:
        """Handle a command from a client: its line without the terminator.

        `header` is its ``CommandEnvelope``, if the front end has read the line.
        """

    stops: int = Attribute("The number of accepted stops.")

    def commanded_late(client: IClient, line: bytes, header: Any = None) -> None:
        """Process a command like `commanded`, but refuse it if a stop overtakes it: the bridge has accepted a
        stop since the command came."""

    def why_not(client: IClient, header: Any) -> str:
        """Return the reason why a command of a client would be refused now; empty if it would be accepted."""

    def client_connected(client: IClient) -> None:
        """Add a connected client."""

    def client_lost(client: IClient, why: str) -> None:
        """Remove a client after the loss of its connection."""

    def hand_command(holder: IClient, grantee_name: str) -> str:
        """Transfer command from the holder to the client of this name. Return the reason for a refusal, or an
        empty text."""


class IJournal(Interface):
    """Recorder of the published records."""

    def keep(record: Any) -> int:
        """Keep a `records.Record`, without blocking and without an exception.

        :returns: the number of the record's row: one more than the last number; 0 if the record is not kept.
        """


class IJournalState(Interface):
    """State of the journal, as the web interface uses it. Nothing here blocks."""

    path: Path | None = Attribute("Path of the file; None without a journal.")
    run: int = Attribute("Number of this run in the file; 0 until the file is open.")
    base: int | None = Attribute(
        "Offset from a row's number to its id in the file; None until the file is open."
    )
    fault: str = Attribute("Reason why the file is not written, or empty.")
    lag: float = Attribute("Time by which the file is behind the bridge, in seconds.")
    lost: int = Attribute("Number of rows that will never be in the file; it never falls.")
    lost_unprivileged: int = Attribute("The part of `lost` that clients without rights caused.")
    losing: bool = Attribute("True while rows are lost that clients with rights caused.")
    left_unknown: int = Attribute("Number of commands left without an end when the run before was killed.")
    pending: int = Attribute("Number of rows that are not yet in the file.")
    written: int = Attribute("Number of rows in the file; it changes once they can be read there.")


class IRecorderState(Interface):
    """State of the recorder of telemetry. Nothing here blocks."""

    enabled: bool = Attribute("True if the configuration has a recorder.")
    folder: Path | None = Attribute("Folder of the recordings; None without a recorder.")
    fault: str = Attribute("Reason why nothing is recorded, or empty.")
    written: int = Attribute("Number of messages on the disk. It never falls.")
    lost: int = Attribute("Number of messages that will never be in a recording. It never falls.")
    oldest: float | None = Attribute("Start of the oldest recording (s, Unix time); None if it is unknown.")


class IBrokerState(Interface):
    """State of the publication to a message broker. Nothing here blocks."""

    connected: bool = Attribute("True while the broker is connected.")
    problem: str = Attribute("Reason why it is not connected, or is lost again and again; or empty.")
    losses: int = Attribute("Number of connections to the broker that were lost. It never falls.")
    ignored: int = Attribute("Number of requests that got no outcome since that process started.")
    full: list[str] = Attribute("Names of the broker's streams that have no room for further commands.")
    rows: int = Attribute("Number of rows in the journal's file that the broker has not confirmed.")
    seconds: float = Attribute("Age of the oldest of these rows in seconds; 0 if there is none.")
    published: int = Attribute("Number of rows that the broker confirmed since the process for it started.")
    telemetry: int = Attribute("Number of lines of telemetry that the broker confirmed since then.")
    restarts: int = Attribute("Number of restarts of the process for the broker. It never falls.")


class IOtherBridges(Interface):
    """The events of the other bridges of the mount, which the message broker has."""

    follows: bool = Attribute("True while this bridge stands by, and shows the events of the other ones.")
    malformed: int = Attribute(
        "Number of events of the broker that were left out, because they are malformed."
    )

    def subscribe(receiver: Any) -> None:
        """Give a `frontends.web.events.others.Receiver` the events from now on, until `unsubscribe`."""

    def unsubscribe(receiver: Any) -> None:
        """Give a receiver no more events. If it is not subscribed, do nothing."""

    def search(query: Any, share: str, observes: bool = False) -> Any:
        """Search for a page of the events of all bridges. A search can be cancelled.

        :param query: a `frontends.web.events.others.StreamQuery`.
        :param share: the owner of the search. An owner has one search at a time, and the owners take turns.
        :param observes: True if the owner is an observer.
        :returns: fires with a `frontends.web.events.others.StreamPage`; it fails with a
            `frontends.web.http.calls.RequestError` that has the reason.
        """


class ILeadership(Interface):
    """Place of this bridge among the bridges of a mount. Nothing here blocks."""

    state: str = Attribute("One of standby, candidate, active, alone, leaving.")
    node: str = Attribute("Name of this bridge.")
    holder: str = Attribute("Name of the bridge that has the lease, as far as it is known; empty for none.")
    commander: Any = Attribute(
        "Commander with command at the bridge with the lease, as far as it is known: an "
        "`upstream.leadership.register.Commander`, or None."
    )
    epoch: int = Attribute("Number of the last tenure of this bridge; 0 before the first.")


class IEventBus(Interface):
    """Distributor of records to its subscribers, without delay.

    A subscriber must neither block nor take long. After an exception it receives no more records.
    """

    epoch: int = Attribute("Number of the last connection to the controller; 0 before the first.")
    counts: Counter[str] = Attribute("Number of occurrences by kind.")

    def now() -> float:
        """Return the time for a record (s, Unix time)."""

    def publish(record: Any) -> None:
        """Pass a `records.Record` to the journal and to the subscribers of its type."""

    def subscribe(subscriber: Any, *kinds: Any, unbounded: bool = False) -> None:
        """Call a subscriber with each record of these types, and with the number of the record's row.

        The number is 0 for a record that the journal does not keep. If `unbounded` is True, the subscriber
        also receives the records that exceed the bounds on clients without rights or without command.
        """

    def unsubscribe(subscriber: Any) -> None:
        """Stop calling a subscriber."""


class ITelemetryValue(Interface):
    """The latest line of a telemetry topic. The line is decoded at most once, at the first call of
    `decoded`."""

    topic_id: int = Attribute("The number of the topic.")
    timestamp: float = Attribute("The time of sending by the mount's clock (TAI, s since the unix epoch).")
    came_at: float = Attribute("The time of its arrival, on the monotonic clock (s).")
    line: bytes = Attribute("The line, without its terminator.")
    age: float = Attribute("Seconds since its arrival, on the monotonic clock.")

    def decoded() -> Any:
        """Return the topic. A quantity that the line lacks is NaN or None.

        :raises errors.LineError: if a quantity has another type than the topic's class declares.
        """


class ITelemetry(Interface):
    """The mount's telemetry, as the bridge receives it."""

    connected: bool = Attribute("True while the connection to the telemetry server is up.")
    silent: bool = Attribute("True while no telemetry has come for a second, connected or not.")
    age: float | None = Attribute(
        "Seconds since the latest line, on the monotonic clock; None before the first."
    )
    clock_offset: float | None = Attribute(
        "The mount's clock minus this machine's, in seconds; None before it is measured."
    )
    lines: int = Attribute("Number of lines received so far. It never falls.")
    malformed: int = Attribute("Number of lines that were dropped, because they were no telemetry.")

    def latest(topic_id: int) -> ITelemetryValue | None:
        """Return the latest line of the topic with this number; None if there was none."""

    def since(number: int) -> list[bytes]:
        """Return the latest line of each topic, oldest first, without lines that are among the first `number`
        lines received.

        Leave out a line that is too old to describe the present state of the mount.
        """

    def subscribe(subscriber: Callable[[bytes], None]) -> None:
        """Call a subscriber with all lines that arrive together, terminators included; `lines` counts them.

        A subscriber must neither block nor take long.
        """

    def subscribe_values(subscriber: Callable[[Sequence[ITelemetryValue]], None]) -> None:
        """Call a subscriber with the value of each line that arrives, in order of arrival.

        A value is decoded only once for all subscribers. A subscriber must neither block nor take long.
        """


class ISignals(Interface):
    """The last hour of every signal of the mount, in memory."""

    units: Mapping[str, str] = Attribute("The unit of each signal, by its name; empty if there is none.")
    periods: Mapping[str, float | None] = Attribute(
        "The time between two values of each signal in seconds, by its name; None if it is unknown."
    )

    def latest(names: Sequence[str]) -> tuple[float | None, list[float | None]]:
        """Return the latest values of some signals, and the time of the newest of these values (UTC, s). A
        value is None before the first row, and when it is stale. The time is None if all values are None.

        :raises KeyError: if there is no such signal.
        """

    def snapshot(names: Iterable[str]) -> Sequence[SignalRows]:
        """Return the rows of some signals in memory, for a thread.

        :raises KeyError: if there is no such signal.
        """

    def kept() -> Mapping[int, KeptRows]:
        """Return the rows of each topic in memory, by its number, for a thread."""

    def oldest(names: Iterable[str]) -> float | None:
        """Return the time from which memory has all of these signals (UTC, s); None if it does not have them
        all.

        :raises KeyError: if there is no such signal.
        """


class IMotion(Interface):
    """The motion of the mount."""

    rules: Rules = Attribute("The settings of the site.")
    slews: Sequence[tuple[float, Slew]] = Attribute(
        "The finished slews in memory, the latest last, each with the time of its start (UTC, s)."
    )

    def present() -> Present:
        """Return the present motion. Calls in quick succession share one answer."""

    def remembers_from() -> float:
        """Return the earliest time for which `present_in_memory` has the motion (UTC, s)."""

    def present_in_memory(time: float) -> Callable[[Mapping[int, Row], Callable[[], None]], Present]:
        """Return a function that returns the motion at a time since `remembers_from` (UTC, s).

        A thread may call the function, which takes a few milliseconds. Its arguments are the latest row of
        each topic at that time, by the topic's number, and a function to call between two pieces of work. The
        times in the result are UTC, s.
        """

    def limits_of(axis: str) -> AxisLimits | None:
        """Return the software limits of an axis: the limits that the mount has sent, or else the limits in
        the configuration.

        :param axis: the name of the axis in facts, such as ``camera_cable_wrap``.
        :returns: None if there is no such axis.
        """

    def present_at(
        time: float,
        events: Iterable[Event],
        lines: Iterable[tuple[float, bytes]],
        proceed: Callable[[], None] = lambda: None,
    ) -> Present:
        """Return the motion at a time in the past (UTC, s), from a recording; a thread may call it.

        :param events: the mount's events before that time, the oldest first.
        :param lines: the telemetry of the axes in the seconds before that time, the oldest first.
        :param proceed: called between two pieces of work.
        :returns: the motion, whose times are UTC, s.
        """


class ITelemetryPort(Interface):
    """A ``[[telemetry]]`` port: readers that receive the mount's telemetry."""

    name: str = Attribute("Its name in the configuration.")
    readers: int = Attribute("Number of connected readers.")
    missed: int = Attribute(
        "Number of lines that slow readers did not get, because a later line of the topic replaced them. "
        "It never falls."
    )


class IServed(Interface):
    """All services of the started daemon, as the web interface uses them."""

    bridge: IBridge = Attribute("The bridge.")
    link: Any = Attribute("The link to the controller, a `net.pair.ConnectionPair`.")
    all_pairs: Any = Attribute(
        "The link and the pair of each commander: a list of `net.pair.ConnectionPair`."
    )
    port_failures: Any = Attribute("For each port that can't listen, a text with the reason.")
    names: list[str] = Attribute("Names of the configured commanders and ports; a reload changes them.")
    telemetry: ITelemetry | None = Attribute("The mount's telemetry; None if the bridge does not receive it.")
    signals: ISignals | None = Attribute("The mount's signals; None if the bridge receives no telemetry.")
    motion: IMotion | None = Attribute("The mount's motion; None if the bridge receives no telemetry.")
    recorder: IRecorderState = Attribute("The state of the recorder of telemetry.")
    broker: IBrokerState | None = Attribute(
        "The state of the publication to a message broker; None without a station."
    )
    others: IOtherBridges | None = Attribute("Events of the other bridges; None without an election.")
    leadership: ILeadership | None = Attribute("Place among several bridges; None without an election.")
    telemetry_ports: Sequence[ITelemetryPort] = Attribute("The ports that serve telemetry.")
    handshakes: Any = Attribute("The turns in which TLS handshakes are computed: a `net.turns.Turns`.")
