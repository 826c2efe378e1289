"""Who has command, at the prompt: read from the daemon's page, told as it changes, and shown in the label."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import mtmount_twisted
from mtmount_twisted.cli.commander import report
from mtmount_twisted.cli.commander.watch import Standing, Watch, changes, read_standing
from mtmount_twisted.dialects.tma2020.dialect import DIALECT as TMA2020
from mtmount_twisted.dialects.tma2022.dialect import DIALECT as TMA2022
from mtmount_twisted.enums import Commander
from mtmount_twisted.errors import WebError

WHERE = "http://127.0.0.1:8080"
ADDRESS = "127.0.0.1:30005"
SINCE = "2026-11-26T16:55:29.180Z"


def lease(holder: str | None = None, number: int = 0, gone: bool = False, *requests: str) -> dict[str, Any]:
    """The answer to ``/api/v1/lease``."""
    return {
        "holder": holder,
        "source": None if holder is None else "CSC",
        "number": number,
        "since": None if holder is None else SINCE,
        "holder_gone": gone,
        "requests": [{"by": name, "time": SINCE} for name in requests],
    }


def commander(name: str, address: str = "", may_command: bool = True) -> dict[str, Any]:
    """One of the state's commanders."""
    return {"name": name, "source": "CSC", "address": address, "may_command": may_command}


class Daemon:
    """A daemon that answers as the test says, and counts what it is asked.

    :ivar problem: why it can't be asked; empty while it can.
    :ivar fault: an error of another kind with which a question fails; None for none.
    """

    def __init__(self) -> None:
        self.lease = lease()
        self.commanders = [commander("csc", ADDRESS), commander("web/night")]
        self.version = mtmount_twisted.__version__
        self.problem = ""
        self.fault: Exception | None = None
        self.asked: list[str] = []

    @property
    def state(self) -> dict[str, Any]:
        """The answer to ``/api/v1/state``."""
        return {"version": self.version, "lease": self.lease, "commanders": self.commanders}

    def ask(self, path: str) -> Deferred[dict[str, Any]]:
        """As `WebClient.get`."""
        self.asked.append(path)
        if self.fault is not None:
            return fail(self.fault)
        if self.problem:
            return fail(WebError(self.problem))
        return succeed({"/api/v1/lease": self.lease, "/api/v1/state": self.state}[path])


class WatchTests(SynchronousTestCase):
    """A prompt whose daemon does what the test says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.daemon = Daemon()
        self.shown: list[tuple[str, str]] = []
        self.address: str | None = ADDRESS

    def start(self, *, is_guess: bool = False) -> Watch:
        """Begin to watch."""
        self.watch = Watch(
            self.daemon.ask, WHERE, self.show, self.clock, lambda: self.address, is_guess=is_guess
        )
        self.watch.start()
        self.addCleanup(self.watch.stop)
        return self.watch

    def show(self, label: str, text: str) -> None:
        """Note a line."""
        self.shown.append((label, text))

    def pass_time(self, seconds: float = 1.0) -> list[tuple[str, str]]:
        """What is shown in this time, and since the last look."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
        shown, self.shown = self.shown, []
        return shown

    def test_nobody(self) -> None:
        """The first answer is told, and the label shows that nobody has command."""
        self.start()
        self.assertEqual(self.pass_time(), [("holder", "nobody has command")])
        self.assertEqual(self.watch.label, "nobody has command")
        self.assertEqual(self.pass_time(60), [])

    def test_holder(self) -> None:
        """The prompt knows itself by its port: while it has command the label is as short as can be."""
        self.start()
        self.pass_time()
        self.daemon.lease = lease("csc", 1)
        self.assertEqual(self.pass_time(), [("holder", "this prompt (csc) has command")])
        self.assertEqual(self.watch.label, "")

    def test_loss(self) -> None:
        """The loss of command is told in capitals within a second or so, whoever has it then, or nobody."""
        for holder, name in (("web/night", "web/night"), (None, "nobody")):
            self.daemon.lease = lease("csc", 1)
            self.start()
            self.pass_time()
            self.daemon.lease = lease(holder, 2)
            expected = ("NO COMMAND", f"{name} has command; this prompt had it until now")
            self.assertEqual(self.pass_time(1.1), [expected])
            self.assertEqual(self.watch.label, f"{name} has command")
            self.watch.stop()

    def test_given_up(self) -> None:
        """A loss that the prompt itself asked for is told plainly: to give command up, or to hand it over."""
        for commander, holder, name in ((Commander.NONE, None, "nobody"), (Commander.EUI, "eui", "eui")):
            self.daemon.lease = lease("csc", 1)
            self.start()
            self.pass_time()
            self.watch.note_ask(commander)
            self.assertEqual(self.pass_time(), [])
            self.daemon.lease = lease(holder, 2)
            self.assertEqual(self.pass_time(1.1), [("holder", f"{name} has command; this prompt gave it up")])
            self.watch.stop()

    def test_not_given_up(self) -> None:
        """A loss is a surprise if the ask failed, was for this prompt, or was made for a time before."""

        def gave_it_up_before() -> None:
            self.watch.note_ask(Commander.NONE)
            self.daemon.lease = lease("csc", 2)
            self.pass_time()

        def failed() -> None:
            self.watch.note_ask(Commander.NONE)
            self.watch.note_ask(None)

        for asks in (gave_it_up_before, failed, lambda: self.watch.note_ask(Commander.CSC)):
            self.daemon.lease = lease("csc", 1)
            self.start()
            self.pass_time()
            asks()
            self.daemon.lease = lease("eui", 3)
            self.assertEqual([label for label, _ in self.pass_time(1.1)], ["NO COMMAND"])
            self.watch.stop()
        self.daemon.lease = lease("eui", 1)
        self.start()
        self.pass_time()
        self.watch.note_ask(Commander.NONE)  # while another has command
        self.daemon.lease = lease("csc", 2)
        self.pass_time()
        self.daemon.lease = lease("eui", 3)
        self.assertEqual([label for label, _ in self.pass_time(1.1)], ["NO COMMAND"])

    def test_request(self) -> None:
        """A request for command is told once; to the holder with what to do, to others with whom it asks."""
        self.daemon.lease = lease("csc", 1)
        self.start()
        self.pass_time()
        self.daemon.lease = lease("csc", 1, False, "web/night")
        text = "web/night asks this prompt for command; ask_for_command NONE gives it up"
        self.assertEqual(self.pass_time(5), [("REQUEST", text)])
        self.daemon.lease = lease("eui", 2)
        self.pass_time()
        self.daemon.lease = lease("eui", 2, False, "web/night")
        self.assertEqual(self.pass_time(5), [("request", "web/night asks eui for command")])

    def test_holder_gone(self) -> None:
        """A holder that is gone is told."""
        self.daemon.lease = lease("eui", 1)
        self.start()
        self.pass_time()
        self.daemon.lease = lease("eui", 1, True)
        [(label, text)] = self.pass_time()
        self.assertEqual(label, "holder")
        self.assertIn("eui is gone: if it does not return", text)

    def test_short_questions(self) -> None:
        """While nothing changes only the lease is asked for, once a second."""
        self.start()
        self.pass_time()
        self.daemon.asked.clear()
        self.pass_time(10)
        self.assertEqual(self.daemon.asked, ["/api/v1/lease"] * 10)

    def test_no_daemon(self) -> None:
        """If it can't be asked, that is told once, the label is as without it, and it is asked again."""
        self.daemon.problem = f"nothing answers at {WHERE}"
        self.start()
        self.assertEqual(
            self.pass_time(30), [("link", f"who has command is not known: nothing answers at {WHERE}")]
        )
        self.assertEqual(self.watch.label, "")
        self.daemon.problem = ""
        self.assertEqual(self.pass_time(2), [("holder", "nobody has command")])

    def test_daemon_lost(self) -> None:
        """If it can't be asked any more the label says so, and what held is told again when it can."""
        self.daemon.lease = lease("csc", 1)
        self.start()
        self.pass_time()
        self.daemon.problem = "no answer"
        self.assertEqual(self.pass_time(3), [("link", "who has command is not known: no answer")])
        self.assertEqual(self.watch.label, "who has command is not known")
        self.daemon.problem = ""
        self.assertEqual(self.pass_time(3), [("holder", "this prompt (csc) has command")])
        self.daemon.problem = "no answer"
        self.pass_time(3)
        self.daemon.problem, self.daemon.lease = "", lease("eui", 2)
        self.assertEqual(self.pass_time(3)[-1][0], "NO COMMAND")

    def test_fault(self) -> None:
        """A fault of the prompt itself ends neither the label's truth nor the questions."""
        self.daemon.lease = lease("csc", 1)
        self.start()
        self.pass_time()
        self.daemon.fault = KeyError("an error that the prompt does not expect")
        [(label, text)] = self.pass_time(10)
        self.assertEqual(label, "link")
        self.assertIn("who has command is not known: a fault in the commander: Traceback", text)
        self.assertIn("an error that the prompt does not expect", text)
        self.assertEqual(self.watch.label, "who has command is not known")
        self.daemon.fault, self.daemon.lease = None, lease("eui", 2)
        self.assertEqual([label for label, _ in self.pass_time(3)], ["NO COMMAND"])
        self.assertEqual(self.watch.label, "eui has command")

    def test_not_connected(self) -> None:
        """A prompt whose connection is lost is still the commander that it was: it may come back in time."""
        self.daemon.lease = lease("csc", 1)
        self.start()
        self.pass_time()
        self.address, self.daemon.commanders, self.daemon.lease = None, [], lease("csc", 1, True)
        self.assertEqual([label for label, _ in self.pass_time()], ["holder"])
        self.daemon.lease = lease(None, 1)
        self.assertEqual([label for label, _ in self.pass_time()], ["NO COMMAND"])

    def test_another_bridge(self) -> None:
        """A bridge that does not list this prompt is another mount's: left alone if nobody has named it."""
        self.daemon.commanders = [commander("csc", "127.0.0.1:40005")]
        strange = (
            f"{WHERE} does not list this prompt among its commanders: it is the page of another bridge (give "
            "the right one with --web), or the prompt's port does not accept it as a commander"
        )
        self.start(is_guess=True)
        [*_, last] = self.pass_time(3)
        self.assertEqual(
            last,
            (
                "link",
                f"who has command is not known: {strange}",
            ),
        )
        self.assertEqual(self.pass_time(30), [])
        self.watch.stop()
        self.start()
        [*_, last] = self.pass_time(3)
        self.assertEqual(last, ("link", strange))
        self.assertEqual(self.pass_time(30), [])

    def test_known_later(self) -> None:
        """A bridge that lists the prompt a moment after it is connected is its own."""
        self.daemon.commanders = []
        self.start(is_guess=True)
        self.pass_time(1.5)
        self.daemon.commanders = [commander("csc", ADDRESS)]
        self.assertEqual(self.pass_time(10), [])

    def test_other_version(self) -> None:
        """Another version is told; one whose answers can't be read is told with both."""
        self.daemon.version = "99.0"
        self.start()
        mine = mtmount_twisted.__version__
        told = ("link", f"{WHERE} runs mtmount_twisted 99.0, this prompt is {mine}")
        self.assertIn(told, self.pass_time())
        self.assertEqual(self.pass_time(10), [])
        self.daemon.commanders = [{"name": "csc"}]
        self.daemon.lease = lease("csc", 1)
        [(_, text)] = self.pass_time(10)
        self.assertIn(f"mtmount_twisted {mine} can't read the answers of version 99.0", text)

    def test_stop(self) -> None:
        """Nothing is asked after the end, and no timer is left."""
        self.start()
        self.pass_time()
        self.watch.stop()
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.shown, [])


class StandingTests(SynchronousTestCase):
    """What is read from the daemon's answer, and what of it is told."""

    def test_own_name(self) -> None:
        """The prompt is the one commander at its address; if none has this address, at its port. It is nobody
        if that is not clear. A client without rights takes this place from no commander."""
        state = Daemon().state
        other, behind_proxy = "[::1]:30005", "192.0.2.1:30005"
        for own, name in (
            (ADDRESS, "csc"),
            (behind_proxy, "csc"),
            ("127.0.0.1:3000", None),
            (None, None),
            ("127.0.0.1:5", None),
        ):
            self.assertEqual(read_standing(state, own).me, name)
        clients = state["commanders"]
        clients.append(commander("hall/1", other, may_command=False))
        clients.append(commander("hall/2", ADDRESS, may_command=False))  # connected to another port
        for own, name in ((ADDRESS, "csc"), (behind_proxy, "csc"), (other, "hall/1")):
            self.assertEqual(read_standing(state, own).me, name)
        clients.append(commander("desk/3", other))
        for own, name in ((ADDRESS, "csc"), (other, "desk/3"), (behind_proxy, None)):
            self.assertEqual(read_standing(state, own).me, name)
        clients.append(commander("desk/4", ADDRESS))
        self.assertIsNone(read_standing(state, ADDRESS).me)
        state["commanders"] = [commander("hall/1", ADDRESS, may_command=False)]
        for own in (ADDRESS, behind_proxy):
            self.assertEqual(read_standing(state, own).me, "hall/1")

    def test_values_that_no_bridge_sends(self) -> None:
        """A page that is another program's is told in a line, however long or strange its values are."""
        for wrong in (
            {"holder": "x" * 1000},
            {"holder": ["csc"]},
            {"number": "1"},
            {"holder_gone": "no"},
            {"requests": {"by": "csc"}},
            {"requests": [{"by": "x" * 1000, "time": SINCE}]},
            {"requests": [{"by": "csc", "time": 5}]},
        ):
            state = Daemon().state | {"lease": lease() | wrong, "version": "9" * 1000}
            with self.assertRaises(WebError) as caught:
                read_standing(state, ADDRESS)
            self.assertLess(len(str(caught.exception)), 300)
        state = Daemon().state
        state["commanders"][0]["name"] = "x" * 1000
        with self.assertRaises(WebError):
            read_standing(state, ADDRESS)

    def test_many_requests(self) -> None:
        """Of thousands of requests a few are told, and their number."""
        state = Daemon().state | {"lease": lease("eui", 1, False, *map(str, range(20_000)))}
        now = read_standing(state, ADDRESS)
        told = [text for label, text in changes(Standing("eui", 1, False, (), "csc"), now)]
        self.assertEqual(
            told, [*(f"{name} asks eui for command" for name in "012"), "and 17 more ask for command"]
        )
        self.assertEqual(list(changes(now, now)), [])

    def test_same_holder_again(self) -> None:
        """A lease that was given up and taken again between two looks is told."""
        before, now = (Standing("eui", number, False, (), "csc") for number in (1, 2))
        self.assertEqual(list(changes(before, now)), [("holder", "eui has command")])
        self.assertEqual(list(changes(now, now)), [])


STATE: dict[str, Any] = {
    "time": "2026-11-26T16:55:36.000Z",
    "version": "1.2",
    "lease": lease("csc", 1, False, "web/night"),
    "commanders": [
        commander("csc", ADDRESS),
        commander("watch/1", "127.0.0.1:5", may_command=False),
    ],
    "controller": {"connected": True, "since": SINCE, "address": "mount:4000"},
    "mount": {"description": "Idle\x1b[2J", "time": SINCE, "stale": True},
    "axes": {"azimuth": {"in_position": False, "time": SINCE, "stale": False}},
    "errors": [
        {
            "code": 903,
            "what": "900. a/b",
            "description": "stuck",
            "active": True,
            "latched": True,
            "time": SINCE,
            "stale": False,
        }
    ],
    "warnings": [],
    "in_flight": [
        {
            "commander": "csc",
            "command": "AzimuthAxisMove",
            "code": 103,
            "sequence_id": 4,
            "since": SINCE,
            "sent": True,
            "acked": True,
        }
    ],
    "journal": {"path": "/j", "lag": 0.0, "lost": 2, "fault": ""},
}


class ReportTests(SynchronousTestCase):
    """The texts of ``who`` and ``status``."""

    def test_who(self) -> None:
        """Who has command, who asks for it, who is connected, and which of them this prompt is."""
        self.assertEqual(
            report.who(STATE, read_standing(STATE, ADDRESS)).splitlines(),
            [
                "this prompt (csc) has command since 16:55:29",
                "web/night asks for it, since 16:55:29",
                "  csc      CSC  this prompt",
                "  watch/1  CSC  observes",
            ],
        )

    def test_status(self) -> None:
        """Each thing is a line; nothing of it can do anything to a terminal."""
        self.assertEqual(
            report.status(STATE, read_standing(STATE, None), TMA2020.subsystems).splitlines(),
            [
                "bridge      mtmount_twisted 1.2; its clock says 16:55:36",
                "controller  connected since 16:55:29, mount:4000",
                "command     csc has command since 16:55:29",
                "mount       Idle\\x1b[2J (16:55:29); reported before the connection was lost",
                "azimuth     NOT in position (16:55:29)",
                "ERROR       active: code 903 (MIRROR_COVERS + 3); 900. a/b; stuck (16:55:29)",
                "in flight   #4 AzimuthAxisMove of csc, accepted, since 16:55:29",
                "journal     /j; 2 rows lost",
            ],
        )

    def test_status_of_tma2022(self) -> None:
        """The dialect, positions with their ages if they are old, and what is known of each device."""
        told = {"unit": "", "stale": False, "age": 1.0, "time": SINCE}
        motion = {"position": 12.5, "age": 0.1, "stale": False}
        silent = {"in_position": None, "time": None, "stale": False, "telemetry": None}
        state = {
            **STATE,
            "dialect": "tma2022",
            "errors": [],
            "in_flight": [],
            "axes": {
                "azimuth": {"in_position": True, "time": SINCE, "stale": False, "telemetry": motion},
                "elevation": {**silent, "telemetry": {"position": -1, "age": 7.5, "stale": True}},
                "camera_cable_wrap": silent,
            },
            "devices": {
                "azimuth": {"power": {"value": "ON", **told}, "homed": {"value": True, **told}},
                "balance": {"drives": {"value": ["ON"], **told}},
                "oil_supply_system": {"main_pump": {"value": "OFF", **told, "stale": True}},
                "safety_system": {
                    "causes": {"value": ["Azimuth overspeed", "Watchdog"], **told},
                    "subcauses_mirror_cover": {"value": [], **told},
                    "effects": {"value": [], **told},
                },
                "top_end_chiller": {},
            },
        }
        self.assertEqual(
            report.status(state, read_standing(state, None), TMA2022.subsystems).splitlines()[1:-1],
            [
                "controller  connected since 16:55:29, mount:4000, tma2022",
                "command     csc has command since 16:55:29",
                "mount       Idle\\x1b[2J (16:55:29); reported before the connection was lost",
                "azimuth     at 12.5000 deg; in position (16:55:29)",
                "elevation   at -1.0000 deg, 7.5 s OLD",
                "camera cable wrap  has not been reported",
                "azimuth     power ON, homed yes",
                "balance     only its parts are reported",
                "oil supply system  main pump OFF; reported before the connection was lost",
                "safety system  causes Azimuth overspeed; Watchdog, effects none",
            ],
        )

    def test_subsystem_of_tma2022(self) -> None:
        """A subsystem has the name that the mount's own protocol gives it."""
        state = {**STATE, "errors": [{**STATE["errors"][0], "code": 600}]}
        text = report.status(state, read_standing(state, None), TMA2022.subsystems)
        self.assertIn("code 600 (MAIN_AXES_POWER_SUPPLY + 0)", text)

    def test_other_shape(self) -> None:
        """An answer that lacks something is told as another version's."""
        lacking = {name: value for name, value in STATE.items() if name != "journal"}
        with self.assertRaisesRegex(WebError, "from another version"):
            report.status(lacking, read_standing(lacking, None), TMA2020.subsystems)

    def test_number_beyond_every_float(self) -> None:
        """An answer with a number of 400 digits is told as another version's."""
        value = {"value": 10**400, "unit": "", "stale": False, "time": SINCE}
        state = {**STATE, "devices": {"azimuth": {"target": value}}}
        with self.assertRaisesRegex(WebError, "from another version"):
            report.status(state, read_standing(state, None), TMA2022.subsystems)
