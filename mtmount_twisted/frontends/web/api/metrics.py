"""`Metrics`: figures of the bridge for a monitoring system, in Prometheus' exposition format.

`Metrics` counts records in plain dicts as the event bus hands them out; `FIGURES` declares each figure and
the reading of its value at a scrape. The number of label values is bounded. A kind of message without a name
is ``other``. The label of a commander is its name in the configuration: ``desk`` for ``desk/3``.

Every series exists from the first scrape, with 0. If a series appeared with its first event, an alarm on it
could not fire, since ``increase()`` and ``sum() == 0`` would have no earlier value to compare with.

Only this module needs ``prometheus_client``. It reads the system's figures of this process, and does no other
I/O. Next to read: `health`, ``docs/reference/web_metrics.rst``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from platform import python_version
from typing import Literal

import twisted
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mtmount_twisted.dialects.dialect import Dialect, dialect_translated_to
from mtmount_twisted.frontends.web.events.streams import Streams
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Route
from mtmount_twisted.interfaces import (
    IBridge,
    IBrokerState,
    IEventBus,
    IJournalState,
    ILeadership,
    IMotion,
    IOtherBridges,
    IRecorderState,
    ITelemetry,
    ITelemetryPort,
)
from mtmount_twisted.journal.reading import OUTCOMES
from mtmount_twisted.journal.recording.recorder import RecorderOff
from mtmount_twisted.journal.schema import CONTROLLER, EVERYONE, OBSERVERS, is_end
from mtmount_twisted.motion.limits import AHEAD
from mtmount_twisted.motion.present import AxisPresent
from mtmount_twisted.records import ChangeRecord, CommandRecord, LineRecord

from .acks import AckTimes
from .health import TENURE_STATES, LoopWatch, Spread
from .state import STALE_AFTER, LinkState

PREFIX = "mtmount_bridge_"

WEB = "web"
"""The label of all users of the web."""

OTHER = "other"
"""The kind of a message with an unknown code or an unreadable header."""

KEPT_TIME = 1.0
"""The time for which a response is reused, in seconds: a new response takes some 5 ms of the reactor."""

OPEN_METRICS = "application/openmetrics-text"

TEXT = ""
"""The ``Accept`` header that gets Prometheus' text format."""

_PEERS = frozenset([CONTROLLER, EVERYONE, OBSERVERS])
_ENDS = tuple(outcome for outcome in OUTCOMES if outcome != "open")

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of one figure by the values of its labels."""


def message_labels(dialect: Dialect) -> Iterator[tuple[str, str, str]]:
    """Yield the labels of every series of messages: peer, direction and kind."""
    commands, replies = (*dialect.command_names.values(), OTHER), (*dialect.reply_names.values(), OTHER)
    for peer, direction, kinds in (
        *((CONTROLLER, "to", commands), (CONTROLLER, "from", replies)),
        *(("commander", "from", commands), ("commander", "to", replies)),
        *((EVERYONE, "to", replies), (OBSERVERS, "to", replies)),
    ):
        for kind in kinds:
            yield peer, direction, kind


def label_of(client: str) -> str:
    """Return the label of a client: for a client of a port, the port's name."""
    return client.partition("/")[0]


def format_of(accept: str) -> str:
    """Return the format for an ``Accept`` header, as the header that asks for this format only.

    There are only two formats, and all versions and escapings of a format share one response: a scraper
    can't force a new response with an invented name.

    :returns: `OPEN_METRICS`; `TEXT` if the header does not ask for it, or only for a version before 1.
    """
    for each in accept.split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind == OPEN_METRICS and not any(part.startswith("version=0") for part in parameters):
            return OPEN_METRICS
    return TEXT


class Metrics(Collector):
    """Count records, and respond to scrapes.

    :param bridge: the bridge; see `interfaces.IBridge`.
    :param bus: the metrics receive every record from the bus until `close`.
    :param link: the connection pair to the controller.
    :param journal: the state of the journal, also of a journal that is turned off.
    :param times: the times to Ack and to Done.
    :param watch: measures the event loop's lag.
    :param streams: the event streams: their number is its length, their backlog its `behind` (bytes).
    :param refused: return the number of refused connections.
    :param configured: return the names of the configured commanders and ports.
    :param version: the version of this package.
    :param seconds: return the time, in seconds, monotonic.
    :param kept_time: the time for which a response is reused, in seconds.
    :param telemetry: the mount's telemetry; None if the bridge does not receive it.
    :param telemetry_ports: return the ports that serve telemetry.
    :param motion: the mount's motion; None if the bridge does not receive its telemetry.
    :param recorder: the state of the recorder of telemetry, also of one that is turned off.
    :param broker: the state of the publication to a message broker; None without a station.
    :param others: the events of the other bridges; None without an election.
    :param leadership: the role of this bridge in the election; None without an election.
    :ivar registry: holds these figures, and the figures of the process.
    """

    def __init__(
        self,
        bridge: IBridge,
        bus: IEventBus,
        link: LinkState,
        journal: IJournalState,
        times: AckTimes,
        watch: LoopWatch,
        streams: Streams,
        refused: Callable[[], int],
        configured: Callable[[], Iterable[str]],
        version: str,
        seconds: Callable[[], float],
        kept_time: float = KEPT_TIME,
        telemetry: ITelemetry | None = None,
        telemetry_ports: Callable[[], Iterable[ITelemetryPort]] = tuple,
        motion: IMotion | None = None,
        recorder: IRecorderState | None = None,
        broker: IBrokerState | None = None,
        others: IOtherBridges | None = None,
        leadership: ILeadership | None = None,
    ) -> None:
        self.bridge = bridge
        self.leadership = leadership
        self.recorder: IRecorderState | RecorderOff = recorder or RecorderOff()
        self.broker = broker
        self.others = others
        self._dialect: Dialect = bridge.dialect
        self.link = link
        self.journal = journal
        self.times = times
        self.watch = watch
        self.streams = streams
        self.refused = refused
        self.configured = configured
        self.version = version
        self.telemetry = telemetry
        self.motion = motion
        self.telemetry_ports = telemetry_ports
        self.messages: Counter[tuple[str, ...]] = Counter(dict.fromkeys(message_labels(bridge.dialect), 0))
        self.outcomes: Counter[str] = Counter()
        self.cut_off: Counter[str] = Counter()
        self.gaps: int = 0
        self._connected: Counter[str] = Counter()  # clients at the present scrape, by label
        self._behind: Counter[str] = Counter()  # their backlog, in bytes
        self.registry: CollectorRegistry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self._seconds = seconds
        self._kept_time = kept_time
        self._kept_answers: dict[str, tuple[float, Answer]] = {}  # by format, with the time of making
        self._in_gap = False
        self._bus = bus
        bus.subscribe(self._line, LineRecord, unbounded=True)
        bus.subscribe(self._step, CommandRecord, unbounded=True)
        bus.subscribe(self._change, ChangeRecord)

    def close(self) -> None:
        """Stop counting. A caller may call it twice."""
        for subscriber in (self._line, self._step, self._change):
            self._bus.unsubscribe(subscriber)

    def routes(self) -> list[Route]:
        """Return the route of ``/metrics``."""
        return [
            Route(
                "GET",
                "/metrics",
                self._respond,
                "observe",
                "Figures of the bridge in Prometheus' exposition format.",
                id="get_metrics",
                tag="monitoring",
                answers={200: "text/plain, application/openmetrics-text"},
            )
        ]

    async def _respond(self, call: Call) -> Answer:
        wanted = format_of(call.headers.get("accept", ""))
        now = self._seconds()
        made, answer = self._kept_answers.get(wanted, (now, None))
        if answer is None or now - made >= self._kept_time:
            encode, content_type = choose_encoder(wanted)
            answer = Answer(encode(self.registry), headers={"Content-Type": content_type})
            self._kept_answers[wanted] = now, answer
        return answer

    def collect(self) -> Iterator[Metric]:
        """Yield the present value of every figure."""
        self._look_at_clients()
        for figure in FIGURES:
            yield figure.family(self)

    # Records: each message waits for these methods, so they only count

    def _line(self, record: LineRecord, number: int) -> None:
        peer, direction, code = record.peer, record.direction, record.code
        is_command = (peer == CONTROLLER) == (direction == "to")
        names = self._dialect.command_names if is_command else self._dialect.reply_names
        kind = OTHER if code is None else names.get(code, OTHER)
        self.messages[peer if peer in _PEERS else "commander", direction, kind] += 1
        self._kept(number)

    def _step(self, record: CommandRecord, number: int) -> None:
        self._kept(number)
        if is_end(record.step, record.code, self._dialect):
            self.outcomes[record.step] += 1

    def _change(self, record: ChangeRecord, number: int) -> None:
        self._kept(number)
        if record.kind == "cut_off":
            self.cut_off[label_of(record.peer)] += 1

    def _kept(self, number: int) -> None:
        """Count the gaps: a gap begins where the journal begins to lose rows."""
        if number:
            self._in_gap = False
        elif not self._in_gap:
            self._in_gap = True
            self.gaps += 1

    # Values at a scrape

    def lost_rows(self) -> Samples:
        """Return the number of rows that the journal lost, by the rights of the clients that caused them."""
        unprivileged = self.journal.lost_unprivileged
        return [(("yes",), self.journal.lost - unprivileged), (("no",), unprivileged)]

    def alarms(self) -> Samples:
        """Return the number of current alarms, by severity."""
        codes = self._dialect.alarm_codes.items()
        return [((severity,), self.bridge.known.count(code)) for severity, code in codes]

    def untranslated(self) -> Samples:
        """Return the number of dropped events by kind; nothing before a controller that needs no
        translation."""
        if dialect_translated_to(self._dialect) is None:
            return []
        kinds = dict.fromkeys((*self._dialect.reply_names.values(), OTHER), 0)
        for kind, number in self.bridge.untranslated.items():
            kinds[kind if kind in kinds else OTHER] += number
        return [((kind,), number) for kind, number in kinds.items()]

    def commanders(self, *others: str) -> list[str]:
        """Return the label of each commander that has series now, in order: the configured commanders,
        ``web``, and a removed commander while it is connected or has command.

        :param others: further labels.
        """
        holder = self.bridge.lease.holder
        held_by = () if holder is None else (label_of(holder.name),)
        return sorted({*self.configured(), WEB, *self._connected, *held_by, *others})

    def of_clients(self, sums: Counter[str]) -> Samples:
        """Return a sum over clients, by commander; 0 for a commander without a connection."""
        return [((label,), sums[label]) for label in self.commanders()]

    def connected(self) -> Samples:
        """Return the number of connected clients, by commander."""
        return self.of_clients(self._connected)

    def behind(self) -> Samples:
        """Return the backlog of the clients in bytes, by commander."""
        return self.of_clients(self._behind)

    def _look_at_clients(self) -> None:
        """Sum up the clients, once in a scrape: there may be a thousand, and the event loop waits."""
        self._connected, self._behind = Counter(), Counter()
        for client in self.bridge.clients.values():
            label = label_of(client.name)
            self._connected[label] += 1
            self._behind[label] += client.behind

    def cut_offs(self) -> Samples:
        """Return the number of clients that were cut off, by commander; a commander keeps its count."""
        return [((name,), self.cut_off[name]) for name in self.commanders(*self.cut_off)]

    def has_command(self) -> Samples:
        """Return True for the holder, by commander; a disconnected holder that may return counts too."""
        holder = self.bridge.lease.holder
        held_by = None if holder is None else label_of(holder.name)
        return [((name,), name == held_by) for name in self.commanders()]

    def of_telemetry(self, value: Callable[[ITelemetry], float | None]) -> Samples:
        """Return a value of the telemetry; 0 without telemetry, and no sample while there is no value."""
        sample = 0 if self.telemetry is None else value(self.telemetry)
        return [] if sample is None else [((), sample)]

    def of_axes(self, value: Callable[[AxisPresent], float | None]) -> Samples:
        """Return a value of each axis, by its name. Leave out an axis while its value is unknown or stale."""
        if self.motion is None:
            return []
        now = self.motion.present()
        found: list[tuple[tuple[str], float]] = []
        for name, axis in now.axes.items():
            sample = value(axis)
            is_fresh = axis.came_at is not None and self._seconds() - axis.came_at <= STALE_AFTER
            if is_fresh and sample is not None:
                found.append(((name,), sample))
        return found

    def of_limits(self) -> Samples:
        """Return the time to each limit, at most 12 h, by the name of the limit."""
        if self.motion is None:
            return []
        now = self.motion.present()
        return [((each.name,), AHEAD if each.seconds is None else each.seconds) for each in now.limits]

    def of_telemetry_ports(self, value: Callable[[ITelemetryPort], float]) -> Samples:
        """Return a value of each port that serves telemetry, by its name."""
        return [((port.name,), value(port)) for port in self.telemetry_ports()]

    def in_flight(self) -> Samples:
        """Return the number of pending commands, by commander and state."""
        commands = list(self.bridge.pending)
        labels = self.commanders("bridge", *(label_of(command.client.name) for command in commands))
        states = ("waiting", "sent", "acked")
        sums = {(label, state): 0 for label in labels for state in states}
        for command in commands:
            sums[label_of(command.client.name), command.state.value] += 1
        return sums.items()


@dataclass(frozen=True, slots=True)
class Figure:
    """The declaration of one figure.

    :ivar name: the name without `PREFIX`, and without the ``_total`` of a counter.
    :ivar doc: the meaning; with the unit, if the name does not end with it.
    :ivar read: return the samples; for a histogram, the `Spread`.
    :ivar labels: the names of the labels.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    doc: str
    read: Callable[[Metrics], float | Samples | Spread]
    labels: tuple[str, ...] = ()

    @property
    def exposed(self) -> str:
        """The name in the scrape; a histogram's name gets its usual endings there."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")

    def family(self, metrics: Metrics) -> Metric:
        """Return the present values."""
        value = self.read(metrics)
        if isinstance(value, Spread):
            return self._histogram(value)
        make = GaugeMetricFamily if self.kind == "gauge" else CounterMetricFamily
        family = make(PREFIX + self.name, self.doc, labels=self.labels)
        for labels, sample in [((), value)] if isinstance(value, int | float) else value:
            family.add_metric(labels, sample)
        return family

    def _histogram(self, spread: Spread) -> HistogramMetricFamily:
        bounds = [*map(str, spread.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(spread.counts), strict=True))
        return HistogramMetricFamily(PREFIX + self.name, self.doc, buckets=buckets, sum_value=spread.total)


FIGURES = (
    Figure(
        "build_info",
        "gauge",
        "1; the labels are the versions of this package, of Python and of Twisted.",
        lambda metrics: [((metrics.version, python_version(), twisted.__version__), 1)],
        ("version", "python", "twisted"),
    ),
    Figure(
        "controller_up",
        "gauge",
        "1 while the link to the controller is up, else 0.",
        lambda metrics: metrics.bridge.link is not None,
    ),
    Figure(
        "connection_up",
        "gauge",
        "1 while the named connection to the controller, command or reply, is up, else 0.",
        lambda metrics: [
            (("command",), metrics.link.client_connected),
            (("reply",), metrics.link.server_connected),
        ],
        ("connection",),
    ),
    Figure(
        "epoch",
        "gauge",
        "Number of the latest connection to the controller; 0 before the first.",
        lambda metrics: metrics.bridge.epoch,
    ),
    Figure(
        "reconnections",
        "counter",
        "Number of reconnections to the controller.",
        lambda metrics: max(0, metrics.bridge.epoch - 1),
    ),
    Figure(
        "active_alarms",
        "gauge",
        "Active or latched warnings and errors of the mount; 0 while the controller is not connected.",
        lambda metrics: metrics.alarms(),
        ("severity",),
    ),
    Figure(
        "messages",
        "counter",
        "Messages from and to the controller, a commander, everyone at once or the observers; the"
        " kind is the code's name, or other.",
        lambda metrics: metrics.messages.items(),
        ("peer", "direction", "kind"),
    ),
    Figure(
        "repeated_events",
        "counter",
        "Events of the controller that changed nothing; they are passed on, and are not among the messages.",
        lambda metrics: metrics.bridge.counts["repeated"],
    ),
    Figure(
        "untranslated_events",
        "counter",
        "Events of the controller that clients of tma2020 do not receive, because tma2020 has no place for"
        " them; the kind is as for messages.",
        Metrics.untranslated,
        ("kind",),
    ),
    Figure(
        "unmatched_answers",
        "counter",
        "Answers of the controller that match no pending command.",
        lambda metrics: metrics.bridge.counts["unmatched"],
    ),
    Figure(
        "unreadable_replies",
        "counter",
        "Lines from the controller that could not be decoded as a reply.",
        lambda metrics: metrics.bridge.counts["unreadable"],
    ),
    Figure(
        "commands",
        "counter",
        "Commands that ended, by outcome; ack is the end of a track command, local is the end of a "
        "command that the bridge answered itself.",
        lambda metrics: [((outcome,), metrics.outcomes[outcome]) for outcome in _ENDS],
        ("outcome",),
    ),
    Figure(
        "commands_left_unknown",
        "gauge",
        "Commands whose outcome is unknown because the daemon was killed before this start; 0 "
        "without a journal.",
        lambda metrics: metrics.journal.left_unknown,
    ),
    Figure(
        "ack_seconds",
        "histogram",
        "Time from sending a command to the controller to its first Ack.",
        lambda metrics: metrics.times.to_ack,
    ),
    Figure(
        "done_seconds",
        "histogram",
        "Time from sending a command to the controller to its Done.",
        lambda metrics: metrics.times.to_done,
    ),
    Figure(
        "commands_in_flight",
        "gauge",
        "Pending commands by state: waiting to be sent, sent, or acked.",
        Metrics.in_flight,
        ("commander", "state"),
    ),
    Figure(
        "clients_connected",
        "gauge",
        "Connected clients.",
        Metrics.connected,
        ("commander",),
    ),
    Figure(
        "client_behind_bytes",
        "gauge",
        "Backlog of the clients.",
        Metrics.behind,
        ("commander",),
    ),
    Figure(
        "clients_cut_off",
        "counter",
        "Clients that were disconnected as slow consumers, for a newcomer to a full port, or because"
        " sending to them failed.",
        Metrics.cut_offs,
        ("commander",),
    ),
    Figure(
        "event_streams",
        "gauge",
        "Open event streams.",
        lambda metrics: len(metrics.streams),
    ),
    Figure(
        "event_streams_behind_bytes",
        "gauge",
        "Backlog of the event streams.",
        lambda metrics: metrics.streams.behind,
    ),
    Figure(
        "http_refused",
        "counter",
        "HTTP connections that were refused because there were too many.",
        lambda metrics: metrics.refused(),
    ),
    Figure(
        "has_command",
        "gauge",
        "1 for the commander that has command, 0 for the others.",
        Metrics.has_command,
        ("commander",),
    ),
    Figure(
        "lease_number",
        "gauge",
        "Number of the latest lease; 0 before the first.",
        lambda metrics: metrics.bridge.lease.number,
    ),
    Figure(
        "telemetry_silent",
        "gauge",
        "1 while no telemetry has come for a second, else 0; 0 if the mount sends none.",
        lambda metrics: metrics.of_telemetry(lambda telemetry: telemetry.silent),
    ),
    Figure(
        "telemetry_age_seconds",
        "gauge",
        "Time since the latest line of telemetry; absent before the first, 0 if the mount sends none.",
        lambda metrics: metrics.of_telemetry(lambda telemetry: telemetry.age),
    ),
    Figure(
        "telemetry_lines",
        "counter",
        "Lines of telemetry received.",
        lambda metrics: metrics.of_telemetry(lambda telemetry: telemetry.lines),
    ),
    Figure(
        "telemetry_malformed",
        "counter",
        "Lines from the telemetry server that were dropped because they are not telemetry.",
        lambda metrics: metrics.of_telemetry(lambda telemetry: telemetry.malformed),
    ),
    Figure(
        "telemetry_readers",
        "gauge",
        "Connected readers of telemetry, by telemetry port.",
        lambda metrics: metrics.of_telemetry_ports(lambda port: port.readers),
        ("port",),
    ),
    Figure(
        "telemetry_missed",
        "counter",
        "Lines of telemetry that slow readers did not get because a later line of the topic replaced them.",
        lambda metrics: metrics.of_telemetry_ports(lambda port: port.missed),
        ("port",),
    ),
    Figure(
        "recorder_up",
        "gauge",
        "1 while telemetry can be recorded or the recorder is turned off, else 0.",
        lambda metrics: not metrics.recorder.fault,
    ),
    Figure(
        "recorder_written_messages",
        "counter",
        "Lines of telemetry and events in the recordings.",
        lambda metrics: metrics.recorder.written,
    ),
    Figure(
        "recorder_lost_messages",
        "counter",
        "Lines of telemetry and events that the recorder could not keep.",
        lambda metrics: metrics.recorder.lost,
    ),
    Figure(
        "broker_up",
        "gauge",
        "1 while the message broker is connected, or without a station, else 0.",
        lambda metrics: metrics.broker is None or metrics.broker.connected,
    ),
    Figure(
        "broker_lag_events",
        "gauge",
        "Rows of the journal that the message broker has not confirmed.",
        lambda metrics: 0 if metrics.broker is None else metrics.broker.rows,
    ),
    Figure(
        "broker_lag_seconds",
        "gauge",
        "Age of the oldest of these rows.",
        lambda metrics: 0 if metrics.broker is None else metrics.broker.seconds,
    ),
    Figure(
        "broker_losses",
        "counter",
        "Connections to the message broker that were lost.",
        lambda metrics: 0 if metrics.broker is None else metrics.broker.losses,
    ),
    Figure(
        "broker_full_streams",
        "gauge",
        "Streams for commands that have no room: the message broker refuses the requests of their users.",
        lambda metrics: 0 if metrics.broker is None else len(metrics.broker.full),
    ),
    Figure(
        "station_ignored_requests",
        "counter",
        "Requests without an outcome, because their subject ends in no word.",
        lambda metrics: 0 if metrics.broker is None else metrics.broker.ignored,
    ),
    Figure(
        "station_restarts",
        "counter",
        "Restarts of the process that publishes to the message broker.",
        lambda metrics: 0 if metrics.broker is None else metrics.broker.restarts,
    ),
    Figure(
        "station_malformed_events",
        "counter",
        "Malformed events at the message broker, which a standby left out.",
        lambda metrics: 0 if metrics.others is None else metrics.others.malformed,
    ),
    Figure(
        "tenure",
        "gauge",
        "1 for the bridge's state among several bridges: standby, candidate, active, alone or leaving; 0 for"
        " each other state, and for all without an election.",
        lambda metrics: [
            ((state,), int(metrics.leadership is not None and metrics.leadership.state == state))
            for state in TENURE_STATES
        ],
        ("state",),
    ),
    Figure(
        "tenure_epoch",
        "gauge",
        "Number of the bridge's last tenure; 0 before the first, and without an election.",
        lambda metrics: 0 if metrics.leadership is None else metrics.leadership.epoch,
    ),
    Figure(
        "axis_position_degrees",
        "gauge",
        "Position of each axis; absent while it is not known or stale.",
        lambda metrics: metrics.of_axes(lambda axis: axis.position),
        ("axis",),
    ),
    Figure(
        "following_error_rms_arcseconds",
        "gauge",
        "RMS of the following error on the sky over 15 s, of each axis; absent while it is not known.",
        lambda metrics: metrics.of_axes(lambda axis: axis.rms),
        ("axis",),
    ),
    Figure(
        "time_to_limit_seconds",
        "gauge",
        "Time until each limit is reached by the present motion; 43,200 stands for 12 hours or more.",
        lambda metrics: metrics.of_limits(),
        ("limit",),
    ),
    Figure(
        "journal_up",
        "gauge",
        "1 while the journal can be written or is turned off, else 0.",
        lambda metrics: not metrics.journal.fault,
    ),
    Figure(
        "journal_lag_seconds",
        "gauge",
        "Age of the oldest row that is not yet in the journal's file.",
        lambda metrics: metrics.journal.lag,
    ),
    Figure(
        "journal_pending_rows",
        "gauge",
        "Rows that are not yet in the journal's file.",
        lambda metrics: metrics.journal.pending,
    ),
    Figure(
        "journal_written_rows",
        "counter",
        "Rows written to the journal's file.",
        lambda metrics: metrics.journal.written,
    ),
    Figure(
        "journal_lost_rows",
        "counter",
        "Rows that the journal could not keep, by the rights of the clients that caused them: "
        "yes, or no for clients without rights.",
        lambda metrics: metrics.lost_rows(),
        ("rights",),
    ),
    Figure(
        "journal_omitted_rows",
        "counter",
        "Rows that were not recorded because clients without rights exceeded their bound.",
        lambda metrics: metrics.bridge.counts["omitted"],
    ),
    Figure(
        "journal_gaps",
        "counter",
        "Number of times that the journal began to lose rows.",
        lambda metrics: metrics.gaps if metrics.journal.lost else 0,
    ),
    Figure(
        "event_loop_lag_seconds",
        "histogram",
        "Delay of due calls in the event loop.",
        lambda metrics: metrics.watch.lags,
    ),
)
"""The exposed figures, in this order."""
