"""What comes from outside is visible text on the page, in a real Chromium."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from mtmount_twisted.replies import ErrorReply, OnStateInfoReply
from mtmount_twisted.visible import visible
from tests.support.dashboards import DashboardCase, on_reactor
from tests.test_visible import HOSTILE, hidden_in

from .test_dashboard import expect

WORDS = "over\u202elaretal\u200b \u2066x\ufeff\u00ad\U000e0041 \u2028 \x1b[2J \x85 end"


class TestVisible(DashboardCase):
    """Characters that turn the direction of a text, that nobody sees, or that are no text."""

    def test_hostile(self) -> Deferred[None]:
        """What the mount says is shown with escapes, wherever it is shown, and is nowhere raw."""

        def work(page: Any) -> None:
            alarm = ErrorReply(on=True, active=True, code=812, subsystem=WORDS, extra_data=(WORDS,))
            on_reactor(self.house.say, alarm, OnStateInfoReply(description=WORDS))
            for part in ("#word", "#alarms", "#axes", "#tail"):
                expect(page.locator(part)).to_contain_text("over\\u202elaretal\\u200b")
            shown = page.evaluate("document.body.textContent")
            assert hidden_in(shown, "\n") == set(), hidden_in(shown, "\n")

        return self.browse(work)

    def test_same_function(self) -> Deferred[None]:
        """The page's function and that of the programs write the same escapes."""

        def work(page: Any) -> None:
            texts = [text for text in HOSTILE if not "\ud800" <= text <= "\udfff"]
            texts += ["12.5\u00b0 \u4e2d \u05d0 \U0001f52d e\u0301", "a\tb\nc\r"]
            script = "texts => import('./static/visible.js').then(its => texts.map(its.visible))"
            assert page.evaluate(script, texts) == [visible(text) for text in texts]

        return self.browse(work)
