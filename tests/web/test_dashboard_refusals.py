"""How the page judges refusals and answers: in a tab without events, and after the daemon's clock was set."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.browsers import browser
from tests.support.dashboards import DashboardCase

TIMES = """
    const at = (seconds) => new Date(1.7e12 + seconds * 1000).toISOString();
    const refusal = (seconds) => ({time: at(seconds), command: "x", commander: "csc", explanation: ""});
    const counts = (time, refused, more = {}) => ({
        time: at(time), last: null, column: 5, refusals: [],
        columns: [{time: at(time - 7), refused}, {time: at(time - 2), refused: refused / 2}], ...more,
    });
    const tab = (events, time, counted) => {
        const known = new store.Store();
        known.setLive(true, 0, "", events);
        if (time !== null) clock.setDaemonTime(at(time));
        if (counted) known.setPastAnswers(counted, 1e6);
        return known;
    };
    const told = (known, later) => answers.refusing(known, 1e6 + later * 1000)?.rate ?? null;
"""


class TestRefusals(DashboardCase):
    """Functions of the page's modules."""

    def call(self, script: str, expected: Any) -> Deferred[None]:
        """Evaluate a script that has the page's modules; compare its result."""

        def work(page: Any) -> None:
            page.goto(f"{self.house.url}static/style.css")
            loads = "".join(
                f"const {name} = await import('/static/{name}.js');" for name in ("clock", "store", "answers")
            )
            result = page.evaluate(f"async () => {{ {loads} {TIMES} {script} }}")
            assert result == expected, result

        return browser().run(work)

    def test_tab_without_events(self) -> Deferred[None]:
        """The daemon's count of refusals holds until the next count, at the rate that it tells."""
        script = """
            const past = [-3.9, -2.9, -1.9, -0.9, -0.1].map(refusal);
            const slow = tab("none", 0, counts(0, 4.67, {refusals: past}));
            const fast = tab("none", 0, counts(0, 47, {refusals: past}));
            const rare = tab("none", 0, counts(0, 3, {refusals: [-9, -7, -5, -3, -1].map(refusal)}));
            return [slow, fast, rare].flatMap((known) => [0, 2, 4.9, 8].map((later) => told(known, later)));
        """
        slow, fast = [1] * 3 + [None], [10] * 3 + [None]
        return self.call(script, [*slow, *fast, None, None, None, None])

    def test_clock_that_is_set_back(self) -> Deferred[None]:
        """Refusals and an answer keep their ages when the daemon's clock is set back by 1 h."""
        script = """
            const known = tab("", 0, counts(0, 5, {
                refusals: [-4, -3, -2, -1, 0].map(refusal), last: {time: at(0), seconds: 0.001, step: "ack"},
            }));
            known.state = {controller: {connected: true}, in_flight: []};
            const before = told(known, 0);
            clock.setDaemonTime(at(-3600));
            const { name, figure, sub } = answers.answers(known, 1.7e12 - 3600e3 + 60e3, 1e6 + 60e3);
            return [before, told(known, 2), name, figure, sub];
        """
        return self.call(script, [1, None, "Mount answered", "in 1 ms", "1 min ago"])

    def test_times_in_the_future(self) -> Deferred[None]:
        """Refusals that carry a time in the future, from before the clock was set back, are not of now."""
        script = """
            const past = [3596, 3597, 3598, 3599, 3600].map(refusal);
            const judge = (events) => told(tab(events, 0, counts(0, 5, {refusals: past})), 0);
            const counted = ["none", ""].map(judge);
            const known = tab("", 0, null);
            const step = {type: "step", step: "noack", key: 1, command: "x", peer: "y"};
            past.forEach(({time}) => known.addEntry({...step, time}));
            return [...counted, answers.refusing(known, performance.now())];
        """
        return self.call(script, [None, None, None])
