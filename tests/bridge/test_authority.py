"""`mtmount_twisted.bridge.authority`: the states of command authority upstream, alone."""

from __future__ import annotations

from functools import reduce

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.authority import Authority, AuthorityInput, next_authority

WAYS: dict[Authority, tuple[AuthorityInput, ...]] = {
    Authority.RELEASED: (),
    Authority.ASKING: (AuthorityInput.ASK_SENT,),
    Authority.HELD: (AuthorityInput.ASK_SENT, AuthorityInput.GRANTED),
    Authority.RENEWING: (AuthorityInput.ASK_SENT, AuthorityInput.GRANTED, AuthorityInput.ASK_SENT),
    Authority.RELEASING: (AuthorityInput.ASK_SENT, AuthorityInput.GRANTED, AuthorityInput.RELEASE_SENT),
    Authority.UNSURE: (AuthorityInput.ASK_SENT, AuthorityInput.UNANSWERED),
}
"""For each state, inputs that lead there from the first."""


class AuthorityTests(SynchronousTestCase):
    """States and inputs."""

    def after(self, *inputs: AuthorityInput) -> Authority:
        """Return the state after these inputs, from `RELEASED`."""
        return reduce(next_authority, inputs, Authority.RELEASED)

    def test_each_state_is_reached(self) -> None:
        """Each state has a way from the first one."""
        self.assertEqual(
            {state: self.after(*way) for state, way in WAYS.items()}, {each: each for each in Authority}
        )

    def test_refusal(self) -> None:
        """After a refusal the bridge has nothing to give back, whether it had command before or not."""
        for state in (Authority.ASKING, Authority.RENEWING):
            self.assertIs(self.after(*WAYS[state], AuthorityInput.REFUSED), Authority.RELEASED)

    def test_ask_without_answer(self) -> None:
        """After an ask without an answer the bridge gives command back, because it may have it."""
        for state in (Authority.ASKING, Authority.RENEWING):
            after = self.after(*WAYS[state], AuthorityInput.UNANSWERED)
            self.assertEqual((after, after.needs_release, after.is_granted), (Authority.UNSURE, True, False))

    def test_release(self) -> None:
        """A release that is answered is complete; one without an answer is sent again."""
        releasing = WAYS[Authority.RELEASING]
        self.assertIs(self.after(*releasing, AuthorityInput.RELEASE_ANSWERED), Authority.RELEASED)
        unsure = self.after(*releasing, AuthorityInput.RELEASE_UNANSWERED)
        self.assertIs(unsure, Authority.UNSURE)
        self.assertIs(next_authority(unsure, AuthorityInput.RELEASE_SENT), Authority.RELEASING)

    def test_outcome_of_a_release_after_the_next_ask(self) -> None:
        """The outcome of a release does not change the state after a later ask."""
        for state in (Authority.ASKING, Authority.HELD, Authority.RENEWING, Authority.UNSURE):
            for outcome in (AuthorityInput.RELEASE_ANSWERED, AuthorityInput.RELEASE_UNANSWERED):
                self.assertIs(next_authority(state, outcome), state)

    def test_taken(self) -> None:
        """Command that another source has taken is not given back; the outcome of an open ask decides."""
        self.assertIs(self.after(*WAYS[Authority.HELD], AuthorityInput.TAKEN), Authority.RELEASED)
        self.assertIs(self.after(*WAYS[Authority.RENEWING], AuthorityInput.TAKEN), Authority.ASKING)

    def test_first_of_two_releases_is_not_answered(self) -> None:
        """A release without an answer is sent again, even if a later one was answered."""
        last = (AuthorityInput.RELEASE_ANSWERED, AuthorityInput.RELEASE_UNANSWERED)
        self.assertIs(self.after(*WAYS[Authority.RELEASING], *last), Authority.UNSURE)

    def test_link_lost(self) -> None:
        """A new connection starts without command."""
        for state in (Authority.RELEASED, Authority.HELD, Authority.UNSURE):
            self.assertIs(next_authority(state, AuthorityInput.LINK_LOST), Authority.RELEASED)

    def test_questions(self) -> None:
        """Each state says whether commands are accepted, an ask is open, and command must be given back."""
        answers = {state: (state.is_granted, state.is_asking, state.needs_release) for state in Authority}
        self.assertEqual(
            answers,
            {
                Authority.RELEASED: (False, False, False),
                Authority.ASKING: (False, True, False),
                Authority.HELD: (True, False, True),
                Authority.RENEWING: (True, True, False),
                Authority.RELEASING: (False, False, False),
                Authority.UNSURE: (False, False, True),
            },
        )

    def test_input_without_a_row(self) -> None:
        """An input that a state does not expect is an error that names both."""
        unexpected = {
            (Authority.RELEASED, AuthorityInput.GRANTED),
            (Authority.HELD, AuthorityInput.REFUSED),
            (Authority.UNSURE, AuthorityInput.UNANSWERED),
            (Authority.ASKING, AuthorityInput.ASK_SENT),
            (Authority.RENEWING, AuthorityInput.ASK_SENT),
            (Authority.RELEASED, AuthorityInput.RELEASE_SENT),
            (Authority.ASKING, AuthorityInput.RELEASE_SENT),
            (Authority.ASKING, AuthorityInput.LINK_LOST),
            (Authority.RELEASING, AuthorityInput.LINK_LOST),
        }
        for state, given in unexpected:
            error = self.assertRaises(RuntimeError, next_authority, state, given)
            self.assertIn(f"no row for '{given.value}' in state '{state.value}'", str(error))
