"""The contracts between the rooms: what a part must offer to be handed to another.

A room imports only from rooms to its left (see ``docs/explanation/architecture.rst``). Where a left room
must tell a right one that something happened, it calls an object that it was handed, and what
that object must offer is written down here.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from zope.interface import Attribute, Interface


class IHostNames(Interface):
    """Knows the addresses of hosts. A reactor in memory provides it; for others see `resolving`."""

    def addresses(host: str) -> Any:
        """A Deferred of a tuple of addresses, IPv4 before IPv6; of an address, that address alone.

        It fails with ``DNSLookupError`` (an `OSError`) if there is none, or nobody answers in time.
        """


class ILineWriterOwner(Interface):
    """Who a `protocol.LineWriter` reports to."""

    def writer_connected(writer: Any) -> None:
        """`writer` can write now."""

    def writer_lost(writer: Any, reason: Failure) -> None:
        """`writer` is disconnected for good; `reason` is a `Failure`."""

    def writer_heard(writer: Any, data: bytes) -> bool:
        """Data came in, though none is expected; return whether it is explained and need not be logged."""


class ILineReaderOwner(Interface):
    """Who a `protocol.LineReader` reports to."""

    def reader_connected(reader: Any) -> None:
        """`reader` can receive lines now."""

    def lines_received(lines: list[bytes]) -> None:
        """These lines came, in this order: a list of bytes without terminators."""

    def reader_lost(reader: Any, reason: Failure) -> None:
        """`reader` is disconnected for good; `reason` is a `Failure`."""


class IPairOwner(Interface):
    """Who the two halves of a connection pair (`halves`) report to."""

    def client_changed(reason: Failure | None) -> None:
        """The client connected (`reason` is None) or was lost (`reason` is a `Failure`)."""

    def server_changed(reason: Failure | None) -> None:
        """A peer connected to the server (`reason` is None) or was lost (a `Failure`)."""

    def lines_received(lines: list[bytes]) -> None:
        """These lines came on the server connection: a list of bytes without terminators."""

    def refusal_of(peer: Any) -> str:
        """Why a peer at this ``IAddress`` may not connect to the server; empty if it may."""

    def explain_heard(data: bytes) -> str:
        """Say why the far end of the client connection talks, and what to do about it.

        :param data: the beginning of what it said.
        :returns: empty if that tells nothing.
        """


class IClient(Interface):
    """A client of the bridge: a commander, or one that only observes."""

    name = Attribute("What the log and the journal call it: str, unlike any other's.")
    source = Attribute("The `enums.Source` whose rules apply to it.")
    may_command = Attribute("False if it only observes.")
    name_lasts = Attribute("True if whoever comes under its name is the same commander.")
    may_have_command = Attribute("False if it may send stops at the most.")
    in_flight = Attribute("How many of its commands have not ended; the bridge counts.")
    address = Attribute(
        "The port that is its alone, as HOST:PORT: of a pair the one where its commands come in, of a port's "
        "client its own; empty if there is none."
    )
    behind = Attribute("How many bytes wait for it to read, beyond what its connection buffers: int.")

    def send(data: bytes) -> None:
        """Send it whole lines, terminators included."""

    def dismiss(why: str) -> None:
        """Close its connection because of what it did."""


class IBridge(Interface):
    """The bridge as the web sees it."""

    clients = Attribute("Who is connected: `IClient` by name.")
    lease = Attribute("Who has command: `holder`, an `IClient` or None, and `number`, an int.")
    grace = Attribute("True while who has command is gone, and is waited for.")
    known = Attribute(
        "Its `entries()` are what the mount said last, each with `line`, `time` and `stale`; "
        "`count(code)` is how many current ones have this `ReplyCode`."
    )
    flights = Attribute("The commands in flight, an iterable of `bridge.pending.PendingCommand`.")
    epoch = Attribute("Number of the last connection to the controller; 0 before the first.")
    link = Attribute("The controller's link; None while it is down.")
    counts = Attribute("How often what happened: a `Counter` of str.")

    def commanded(client: Any, line: bytes) -> None:
        """A client sent a command: its line without the terminator."""

    def client_connected(client: Any) -> None:
        """A client, an `IClient`, is here."""

    def client_lost(client: Any, why: str) -> None:
        """A client is gone."""

    def hand_command(holder: Any, heir_name: str) -> str:
        """Who has command gives it to the connected client of this name; empty if done, else why not."""


class IJournal(Interface):
    """Where the bridge records what happens. No method blocks or raises.

    Each gives the number of what it records, which counts up by one; 0 if it is not kept. `privileged` is
    False for a row that a client without rights brought about: it gives way to the others.
    """

    def message(peer: str, direction: str, epoch: int, line: bytes, privileged: bool = True) -> int:
        """A line came ``"from"`` a peer, or went ``"to"`` one."""

    def step(
        key: int,
        step: str,
        peer: str,
        epoch: int,
        sequence_id: int,
        code: int,
        lease: int,
        explanation: str = "",
        privileged: bool = True,
    ) -> int:
        """A step in the life of a command."""

    def event(kind: str, peer: str, epoch: int, detail: str = "", privileged: bool = True) -> int:
        """Something happened that is neither."""


class IJournalState(Interface):
    """How the journal stands, as the web sees it. Nothing here blocks."""

    path = Attribute("The file, a `pathlib.Path`; None if none is kept.")
    run = Attribute("The number of this run in the file; 0 until the file is open.")
    base = Attribute("Added to a row's number it is the row's id in the file; None until the file is open.")
    fault = Attribute("Why the file is not written, or empty.")
    time = Attribute("When the last row was recorded, as it stands in the file: seconds, Unix time.")
    lag = Attribute("How far the file is behind: seconds, a float.")
    lost = Attribute("How many rows are not in the file and never will be: int, never falls.")
    lost_unprivileged = Attribute("How many of `lost` clients without rights brought about: int.")
    losing = Attribute("True while rows are lost that clients with rights brought about.")
    left_unknown = Attribute("How many commands the run before left without an end when it was killed: int.")
    pending = Attribute("How many rows are not yet in the file.")
    written = Attribute("How many rows were written to the file; it moves once they can be read there.")


class ITee(IJournal):
    """An `IJournal` that tells who watches, at once: with the row's number, the time, and what was recorded.

    Who watches must neither block nor take long, and is told nothing more once it raises.
    """

    journal = Attribute("Where all that is recorded goes: an `IJournal` and `IJournalState`.")
    on_message = Attribute("A list of who is called with each line.")
    on_step = Attribute("A list of who is called with each step in the life of a command.")
    on_event = Attribute("A list of who is called with what is neither.")


class IServed(Interface):
    """All that the daemon serves, once it was started, as the web sees it."""

    bridge = Attribute("The `IBridge`.")
    link = Attribute("The connection pair to the controller, and its address.")
    all_pairs = Attribute("The link and every commander's pair: a list of `pair.ClientServerPair`.")
    port_failures = Attribute("Why a port can't be listened on, a text for each that can't.")
    names = Attribute("The names of the configured commanders and ports: a list of str; a reload changes it.")
