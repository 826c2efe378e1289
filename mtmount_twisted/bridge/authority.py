"""Command authority upstream: the states of the bridge's command of the controller, and their table.

The controller accepts commands only from the source that has command there. So the bridge asks the
controller for command before it grants command to a client, and gives it back with ``AskForCommand(NONE)``
after the last lease. `arbiter` sends these two commands and reports their outcomes here; this module sends
nothing.

Next to read: `arbiter`.
"""

from __future__ import annotations

from enum import Enum


class Authority(Enum):
    """The bridge's command of the controller, as far as the bridge knows."""

    RELEASED = "released"
    """The bridge does not have command, and the controller knows that."""
    ASKING = "asking"
    """The bridge does not have command. It has asked, and the controller has not answered."""
    HELD = "held"
    """The controller has granted command."""
    RENEWING = "renewing"
    """The bridge has command and has asked again, because the holder has asked again."""
    RELEASING = "releasing"
    """The bridge has given command back, and the controller has not confirmed that."""
    UNSURE = "unsure"
    """The bridge does not know what the controller did: it may still consider the bridge as the holder."""

    @property
    def is_granted(self) -> bool:
        """True if the controller accepts commands of the bridge."""
        return self in (Authority.HELD, Authority.RENEWING)

    @property
    def is_asking(self) -> bool:
        """True from an ask until its outcome."""
        return self in (Authority.ASKING, Authority.RENEWING)

    @property
    def needs_release(self) -> bool:
        """True if the bridge must give command back when no client has it; an open ask ends first."""
        return self in (Authority.HELD, Authority.UNSURE)


class AuthorityInput(Enum):
    """The bridge's asks and releases, and their outcomes."""

    ASK_SENT = "ask sent"
    GRANTED = "ask granted"
    REFUSED = "ask refused"
    UNANSWERED = "ask unanswered"
    """The ask timed out, or the link was lost."""
    RELEASE_SENT = "release sent"
    RELEASE_ANSWERED = "release answered"
    RELEASE_UNANSWERED = "release unanswered"
    """The release timed out, or the link was lost."""
    TAKEN = "taken"
    """The controller says that another source has command, or none."""
    LINK_LOST = "link lost"
    """Follows the outcome of each ask and each release that the lost link left open."""


_TABLE = (
    (Authority.RELEASED, AuthorityInput.ASK_SENT, Authority.ASKING),
    (Authority.RELEASING, AuthorityInput.ASK_SENT, Authority.ASKING),
    (Authority.UNSURE, AuthorityInput.ASK_SENT, Authority.ASKING),
    (Authority.HELD, AuthorityInput.ASK_SENT, Authority.RENEWING),
    (Authority.ASKING, AuthorityInput.GRANTED, Authority.HELD),
    (Authority.RENEWING, AuthorityInput.GRANTED, Authority.HELD),
    (Authority.ASKING, AuthorityInput.REFUSED, Authority.RELEASED),
    (Authority.RENEWING, AuthorityInput.REFUSED, Authority.RELEASED),
    (Authority.ASKING, AuthorityInput.UNANSWERED, Authority.UNSURE),
    (Authority.RENEWING, AuthorityInput.UNANSWERED, Authority.UNSURE),
    (Authority.HELD, AuthorityInput.RELEASE_SENT, Authority.RELEASING),
    (Authority.UNSURE, AuthorityInput.RELEASE_SENT, Authority.RELEASING),
    (Authority.RELEASING, AuthorityInput.RELEASE_ANSWERED, Authority.RELEASED),
    (Authority.RELEASING, AuthorityInput.RELEASE_UNANSWERED, Authority.UNSURE),
    # The outcome of a release may come after the next ask: that ask decides.
    (Authority.ASKING, AuthorityInput.RELEASE_ANSWERED, Authority.ASKING),
    (Authority.HELD, AuthorityInput.RELEASE_ANSWERED, Authority.HELD),
    (Authority.RENEWING, AuthorityInput.RELEASE_ANSWERED, Authority.RENEWING),
    (Authority.UNSURE, AuthorityInput.RELEASE_ANSWERED, Authority.UNSURE),
    (Authority.ASKING, AuthorityInput.RELEASE_UNANSWERED, Authority.ASKING),
    (Authority.HELD, AuthorityInput.RELEASE_UNANSWERED, Authority.HELD),
    (Authority.RENEWING, AuthorityInput.RELEASE_UNANSWERED, Authority.RENEWING),
    (Authority.UNSURE, AuthorityInput.RELEASE_UNANSWERED, Authority.UNSURE),
    # After two releases the outcome of the first may come last, or after a refusal.
    (Authority.RELEASED, AuthorityInput.RELEASE_ANSWERED, Authority.RELEASED),
    (Authority.RELEASED, AuthorityInput.RELEASE_UNANSWERED, Authority.UNSURE),
    # An ask that is still open was sent for a client, and its outcome decides.
    (Authority.HELD, AuthorityInput.TAKEN, Authority.RELEASED),
    (Authority.RENEWING, AuthorityInput.TAKEN, Authority.ASKING),
    # A new connection starts without command. No ask or release is open by then.
    (Authority.RELEASED, AuthorityInput.LINK_LOST, Authority.RELEASED),
    (Authority.HELD, AuthorityInput.LINK_LOST, Authority.RELEASED),
    (Authority.UNSURE, AuthorityInput.LINK_LOST, Authority.RELEASED),
)

_NEXT = {(state, given): after for state, given, after in _TABLE}


def next_authority(state: Authority, given: AuthorityInput) -> Authority:
    """Return the state after an input.

    :raises RuntimeError: if the table has no row for this state and input: a bug of the caller.
    """
    after = _NEXT.get((state, given))
    if after is None:
        raise RuntimeError(f"command authority: no row for '{given.value}' in state '{state.value}'")
    return after
