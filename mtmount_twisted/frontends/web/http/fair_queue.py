"""`FairQueue`: requests that wait for their turns. The users take turns, and so do the networks of one user.

So many requests of one user delay another user's request by one request only. A flood with a user's token
delays a request with the same token from another place by one request only, too. Values only: no Twisted.
Next to read: `site`, whose requests wait here.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items in the order of their turns; of one user's network, in the order in which they were added."""

    def __init__(self) -> None:
        self._users: dict[str, dict[str, deque[T]]] = {}  # the user with the next turn comes first

    def __bool__(self) -> bool:
        return bool(self._users)

    def add(self, user: str, network: str, item: T) -> None:
        """Add an item of a user, from a network."""
        self._users.setdefault(user, {}).setdefault(network, deque()).append(item)

    def pop(self) -> T:
        """Remove and return the item that has its turn; the queue must have one."""
        user = next(iter(self._users))
        networks = self._users.pop(user)
        network = next(iter(networks))
        items = networks.pop(network)
        item = items.popleft()
        if items:  # behind the other networks
            networks[network] = items
        if networks:  # behind the other users
            self._users[user] = networks
        return item

    def clear(self) -> None:
        """Remove all items."""
        self._users.clear()
