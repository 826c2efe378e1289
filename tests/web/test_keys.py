"""Idempotency keys: a command that is sent again under its key is done once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from tests.support.web_houses import WebCase, WebHouse, user

MOVE = "AzimuthAxisMove"


class KeyTests(WebCase):
    """To send a command again."""

    def setUp(self, **rules: Any) -> None:
        super().setUp(**rules)
        self.take()

    def test_same(self) -> None:
        """The same key and body is the same command: sent once, and the answer says so."""
        first = self.told(self.post(MOVE, key="a", position=10))
        again = self.told(self.post(MOVE, key="a", position=10))
        self.assertEqual((first.status, again.status), (202, 202))
        self.assertEqual(first.body["id"], again.body["id"])
        self.assertNotIn("idempotent-replay", first.headers)
        self.assertEqual(again.headers["idempotent-replay"], "true")
        self.assertEqual(len(self.house.link.read()), 1)

    def test_wait_again(self) -> None:
        """Who lost the first answer can wait for the end of the same command."""
        lost = self.post(MOVE, key="a", query="wait=done", position=10)
        lost.cancel()
        self.failureResultOf(lost, CancelledError)
        answering = self.post(MOVE, key="a", query="wait=done", position=10)
        self.house.link.finish_all()
        answer = self.told(answering)
        self.assertEqual((answer.status, answer.body["state"]), (200, "done"))

    def test_failed(self) -> None:
        """The repeat of what was refused is refused likewise, even if it would be taken by now."""
        other = user("other")
        first = self.told(self.post(MOVE, other, key="a", position=10))
        self.take(other)
        again = self.told(self.post(MOVE, other, key="a", position=10))
        self.assertEqual((first.status, again.status), (409, 409))
        self.assertEqual(again.headers["idempotent-replay"], "true")

    def test_other_body(self) -> None:
        """The same key with another body is a fault."""
        self.post(MOVE, key="a", position=10)
        answer = self.told(self.post(MOVE, key="a", position=11))
        self.assertEqual(answer.status, 422)
        self.assertEqual(answer.body["faults"][0]["where"], "headers.idempotency-key")

    def test_after_what_others_send(self) -> None:
        """However much is sent without a key, by whom it may be, the repeat moves nothing again."""
        self.house = WebHouse(most_lives=3)
        self.take()
        first = self.told(self.post(MOVE, key="a", position=10))
        self.house.link.finish_all()
        self.house.link.read()
        guard = user("guard", "stop")
        for number in range(5):
            self.post("BothAxesStop", guard, key=str(number))
            self.post("BothAxesStop")
            self.house.link.finish_all()
        self.house.link.read()
        again = self.told(self.post(MOVE, key="a", position=10))
        self.assertEqual((again.body["id"], again.body["state"]), (first.body["id"], "done"))
        self.assertEqual(self.house.link.read(), [])

    def test_too_many(self) -> None:
        """A key that there is no room for is refused, and nothing sent; what has none is, and a stop."""
        self.house = WebHouse(most_lives=2)
        self.take()
        for key in "ab":
            self.post(MOVE, key=key, position=10)
        self.house.link.finish_all()
        self.house.link.read()
        refused = self.told(self.post(MOVE, key="c", position=10))
        self.assertEqual((refused.status, refused.headers["Retry-After"]), (429, "3600"))
        self.assertIn("nothing was sent", refused.body["error"])
        self.assertEqual(self.house.link.read(), [])
        self.assertEqual(self.told(self.post(MOVE, key="a", position=10)).body["state"], "done")
        for command, key, more in ((MOVE, None, {"position": 10}), ("BothAxesStop", "d", {})):
            self.assertEqual(self.told(self.post(command, key=key, **more)).status, 202)

    def test_after_an_hour(self) -> None:
        """An hour after the end of its command, and no earlier, a key sends a new command."""
        first = self.told(self.post(MOVE, key="a", position=10))
        self.house.link.finish_all()
        self.house.link.read()
        self.house.clock.advance(3599)
        again = self.told(self.post(MOVE, key="a", position=10))
        self.assertEqual(again.body["id"], first.body["id"])
        self.assertEqual(self.house.link.read(), [])
        self.house.clock.advance(1)
        self.take()  # the user was gone for an hour
        self.house.link.read()
        new = self.told(self.post(MOVE, key="a", position=10))
        self.assertNotEqual(new.body["id"], first.body["id"])
        self.assertNotIn("idempotent-replay", new.headers)
        self.assertEqual(len(self.house.link.read()), 1)

    def test_refused_ones_use_up_no_keys(self) -> None:
        """A user whose commands were refused by the hundred still has every key for the next night."""
        self.house = WebHouse(most_lives=2)
        for number in range(5):
            self.assertEqual(self.told(self.post(MOVE, key=str(number), position=10)).status, 409)
        self.take()
        for key in "ab":
            self.assertEqual(self.told(self.post(MOVE, key=key, position=10)).status, 202)

    def test_faulty_body(self) -> None:
        """A body that was no command leaves its key free."""
        self.assertEqual(self.told(self.post(MOVE, key="a")).status, 422)
        self.assertEqual(self.told(self.post(MOVE, key="a", position=10)).status, 202)

    def test_keys_of_users(self) -> None:
        """A key is its user's own."""
        first = self.told(self.post("BothAxesStop", key="a"))
        other = self.told(self.post("BothAxesStop", user("other"), key="a"))
        self.assertNotEqual(first.body["id"], other.body["id"])
