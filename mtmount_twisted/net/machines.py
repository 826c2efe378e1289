"""State machines from tables: `machine` builds one with ``automat``, `next_state` checks one of an enum.

Values only. Next to read: `halves`, which has two machines from tables; `paired_session`, an enum's states.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, TypeVar

Core = TypeVar("Core")
State = TypeVar("State", bound=Enum)


def next_state(table: Mapping[State, Collection[State]], state: State, after: State) -> State:
    """Return `after`, if the table lets it follow `state`.

    :param table: for each state, the states that may follow it.
    :raises RuntimeError: if it does not: the caller has a bug.
    """
    if after not in table[state]:
        raise RuntimeError(f"{state} can't become {after}")
    return after


def machine(
    inputs: Any, core: type[Core], table: Sequence[tuple[str, Any, str, Callable[..., None] | None]]
) -> Callable[[Core], Any]:
    """Return a factory of state machines, made from rows of: state, input, next state, action of the core.

    The first row's state is the initial state. If a state has no row for an input, the input raises an error.
    The machine is built at its first use, so that importing this module costs next to nothing.
    """

    @cache
    def built() -> Callable[[Core], Any]:
        from automat import TypeMachineBuilder

        builder: TypeMachineBuilder[Any, Core] = TypeMachineBuilder(inputs, core)
        states = {name: builder.state(name) for name in dict.fromkeys(row[0] for row in table)}
        for state, given, after, action in table:
            transition = states[state].upon(given).to(states[after])
            transition(_output(f"{given.__name__} when {state}", action))
        return builder.build()

    return lambda half: built()(half)


def _output(name: str, action: Callable[..., None] | None) -> Callable[..., None]:
    def output(machine: Any, core: Any, *arguments: Any) -> None:
        if action is not None:
            action(core, *arguments)

    output.__name__ = name  # automat identifies outputs by name
    return output
