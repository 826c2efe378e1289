"""The recorded session with the mock controller, played to the simulator: one test for each section.

The differences that a test allows are rows of "Deviations" in ``docs/reference/simulator-tma2022.rst``.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.sessions import Session

Reply = dict[str, Any]

LONGEST_DIFFERENCE = 0.003
"""Difference of an announced duration, s: the recorded one depends on when the mock got the command."""

TOPPLE_BLOCK = {"id": 304, "parameters": {"reverse": False, "forward": True}}


@cache
def session(at_once: bool) -> Session:
    """The session, played once for all tests."""
    return Session(at_once=at_once)


def events(replies: list[Reply]) -> list[Reply]:
    """The events without those of id 103, of which the recording left out all but the first."""
    return [reply for reply in replies if reply["id"] > 5 and reply["id"] != 103]


def answers(replies: list[Reply]) -> list[Reply]:
    """The answers to commands."""
    return [reply for reply in replies if reply["id"] <= 5]


def by_subject(replies: list[Reply]) -> dict[Any, list[Reply]]:
    """The events by their id and their device."""
    found: dict[Any, list[Reply]] = defaultdict(list)
    for reply in replies:
        parameters = reply.get("parameters", {})
        found[reply["id"], parameters.get("axis"), parameters.get("system")].append(reply)
    return dict(found)


def in_position(axis: int, value: bool) -> Reply:
    """An event 200."""
    return {"id": 200, "parameters": {"axis": axis, "inPosition": value}}


class ReplayTests(SynchronousTestCase):
    """The same lines at the same times, and a look for changes when the mock controller looked."""

    maxDiff = None

    def setUp(self) -> None:
        self.session = session(at_once=False)

    def sides(self, section: str, *, with_103: bool = False) -> tuple[list[Reply], list[Reply]]:
        """The recorded replies and ours."""
        both = self.session.expected.get(section, []), self.session.replies.get(section, [])
        if with_103:
            return both
        recorded, ours = ([reply for reply in replies if reply["id"] != 103] for replies in both)
        return recorded, ours

    def check_same(self, recorded: list[Reply], ours: list[Reply]) -> None:
        """Both sides are equal, except for what the recording has cut, and the last digits of a duration."""
        self.assertEqual([each["id"] for each in ours], [each["id"] for each in recorded])
        for one, other in zip(recorded, ours):
            if "cut" in one:
                parameters = other["parameters"]
                self.assertEqual({name: parameters[name] for name in one["cut"]}, one["cut"])
            elif one["id"] == 1 and one["parameters"]["timeout"] is not None:
                expected, got = dict(one["parameters"]), dict(other["parameters"])
                difference = abs(got.pop("timeout") - expected.pop("timeout"))
                self.assertLess(difference, LONGEST_DIFFERENCE, one)
                self.assertEqual(got, expected)
            else:
                self.assertEqual(other, one)

    def check_section(self, section: str) -> None:
        """Replies and events are the same in the same order."""
        recorded, ours = self.sides(section)
        self.check_same(recorded, ours)

    def check_apart(self, section: str, *without: Reply) -> None:
        """Replies are the same in the same order, and the events of each device are, too."""
        recorded, ours = self.sides(section)
        for reply in without:
            recorded.remove(reply)
        self.check_same(answers(recorded), answers(ours))
        self.assertEqual(by_subject(events(ours)), by_subject(events(recorded)))

    def test_a_nothing_comes_by_itself(self) -> None:
        """Without the Operation Manager's state, a client receives nothing before its first command."""
        self.assertEqual(self.sides("A"), ([], []))

    def test_b_state_and_settings(self) -> None:
        """2502 sends all events in the recorded order; 2402 sends the settings."""
        recorded, ours = self.sides("B", with_103=True)
        self.check_same(recorded, ours)

    def test_c_commands_without_command(self) -> None:
        """A command without command is rejected; an unknown code and a heartbeat get no answer."""
        self.check_section("C")

    def test_d_telemetry_joins(self) -> None:
        """No event comes when a reader of telemetry connects. The mock controller repeats its 103s."""
        self.assertEqual(self.sides("D", with_103=True)[1], [])

    def test_e_second_client(self) -> None:
        """A second command client is closed at once, and the first stays. A second reader stays."""
        self.assertEqual(self.session.ended["E"], {"CMD2"})
        self.check_section("E")

    def test_f_ask_for_command(self) -> None:
        """The event comes between the Ack and the end, and not if nothing changes."""
        self.check_section("F")

    def test_g_power(self) -> None:
        """Power needs the main power supply."""
        self.check_section("G")

    def test_h_homing(self) -> None:
        """Tracking needs homing, a move does not."""
        self.check_section("H")

    def test_i_moves(self) -> None:
        """A move is superseded, stopped, and rejected. After the rejected 33 the recording has an event of
        elevation, which did not move."""
        recorded, ours = self.sides("I")
        recorded.remove(in_position(1, True))
        self.check_same(recorded, ours)

    def test_j_tracking(self) -> None:
        """Each target gets one Ack; wrong ones are rejected. The moments of arrival may differ."""
        self.check_apart("J", in_position(1, False))

    def test_k_tracking_times_out(self) -> None:
        """Five seconds after the last target the axes are in alarm until a reset. Arrivals may differ."""
        self.check_apart("K")

    def test_l_camera_cable_wrap(self) -> None:
        """Tracking pauses and resumes."""
        self.check_section("L")

    def test_m_covers_and_locks(self) -> None:
        """Covers and locks move one after the other."""
        self.check_section("M")

    def test_n_settings_safety_thermal_chiller(self) -> None:
        """All further devices."""
        self.check_section("N")

    def test_o_bad_lines(self) -> None:
        """Malformed lines get no answer; two commands in one write overtake each other."""
        recorded, ours = self.sides("O")
        ours.remove(TOPPLE_BLOCK)
        self.check_same(recorded, ours)

    def test_p_hhd_keeps_command(self) -> None:
        """Only the HHD gives up what it has."""
        self.check_section("P")

    def test_q_move_goes_on_without_command(self) -> None:
        """The end of a move comes after command was given up."""
        self.check_section("Q")

    def test_r_events_without_telemetry(self) -> None:
        """The replies are the same; our events need no reader of telemetry."""
        recorded, ours = self.sides("R")
        self.check_same(recorded[:5], ours[:5])
        self.assertEqual({each["id"] for each in ours[5:]}, {200, 104, 100})
        self.assertEqual(len(recorded), 5)

    def test_s_state_is_kept(self) -> None:
        """A new client finds the state as it was, a move in progress included."""
        recorded, ours = self.sides("S", with_103=True)
        self.check_same(answers(recorded), answers(ours))
        start = next(index for index, each in enumerate(ours) if each["parameters"].get("sequenceId") == 137)
        state = ours[start:]
        state.remove(TOPPLE_BLOCK)
        self.check_same(recorded[-len(state) :], state)

    def test_t_not_utf8(self) -> None:
        """A byte that is not UTF-8 closes the connection, and later lines get no answer."""
        self.assertEqual((self.session.ended["T"], self.sides("T")), ({"CMD"}, ([], [])))

    def test_u_long_line(self) -> None:
        """So does a line of more than 64 KiB."""
        self.assertEqual((self.session.ended["U"], self.sides("U")), ({"CMD"}, ([], [])))

    def test_v_telemetry_alone(self) -> None:
        """A reader of telemetry needs no command client; the mock controller closes its connection."""
        self.assertNotIn("TEL", self.session.ended["V"])

    def test_w_end(self) -> None:
        """The end of the service closes all connections."""
        self.assertEqual(self.session.ended["W"], {"CMD", "TEL2"})


class AtOnceTests(SynchronousTestCase):
    """The same lines with events sent at once: a mount without the option for a period of events."""

    maxDiff = None

    def test_answers(self) -> None:
        """The answers of each section are the same in the same order."""
        replayed, now = session(at_once=False), session(at_once=True)
        for section, replies in replayed.replies.items():
            self.assertEqual(answers(now.replies.get(section, [])), answers(replies), section)

    def test_no_event_is_missing(self) -> None:
        """The events of each device have all changes that a look has found, in the same order."""
        replayed, now = session(at_once=False), session(at_once=True)
        for section, replies in replayed.replies.items():
            if section in "-KJ":
                continue
            ours = by_subject(events(now.replies[section]))
            for subject, found in by_subject(events(replies)).items():
                rest = iter(ours[subject])
                self.assertTrue(all(each in rest for each in found), (section, subject))
