"""State machines from tables, by ``automat``: see `halves` for two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

Core = TypeVar("Core")


def machine(
    inputs: Any, core: type[Core], table: Sequence[tuple[str, Any, str, Callable[..., None] | None]]
) -> Callable[[Core], Any]:
    """Make a maker of state machines, from rows of: state, input, next state, what the core does.

    The first row's state is where it begins. An input that a state has no row for raises. What
    the rows say is built when it is first used, so that importing this costs next to nothing.
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

    output.__name__ = name  # automat tells outputs apart by it
    return output
