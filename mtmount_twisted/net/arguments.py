"""Type checks of the arguments of a connection pair, so that a wrong type is found at once.

Pure: a wrong type raises a `TypeError` that names the parameter. A value of the right type but out of range
is found where it is used. Next to read: `pair`, which calls these checks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

LOG_METHODS = ("debug", "info", "warning", "error", "log")
"""Required methods of a log: the methods of `logging.Logger` that this package calls."""

REACTOR_METHODS = ("connectTCP", "listenTCP", "callLater", "seconds")
"""Required methods of a reactor (`IReactorTCP`, `IReactorTime`)."""


def check_pair_arguments(
    *,
    name: Any,
    log: Any,
    connect_callback: Any,
    reactor: Any,
    hosts: dict[str, Any],
    integers: dict[str, Any],
) -> None:
    """Check the types of a pair's arguments.

    :param hosts: arguments that must be text or None, by parameter name.
    :param integers: arguments that must be an int, by parameter name.
    :raises TypeError: if a type is wrong. The error names the parameter, the expected type and the value.
    """
    check_type("name", name, "text", lambda value: isinstance(value, str))
    for parameter, host in hosts.items():
        check_type(
            parameter,
            host,
            "a host name or an address as text, or None",
            lambda value: value is None or isinstance(value, str),
        )
    for parameter, number in integers.items():
        check_type(parameter, number, "an int", _is_int)
    check_type("log", log, 'a logging.Logger, such as logging.getLogger("name")', _is_log)
    check_type(
        "connect_callback",
        connect_callback,
        "a function, or None",
        lambda value: value is None or callable(value),
    )
    check_type("reactor", reactor, "a reactor with TCP and timers, or None", _is_reactor)


def check_bool(parameter: str, value: Any) -> None:
    """Check that an argument is True or False, or 1 or 0.

    :raises TypeError: if it is not. The error names the parameter.
    """
    check_type(parameter, value, "a bool", lambda given: isinstance(given, int) and given in (0, 1))


def check_type(parameter: str, value: Any, expected: str, is_right: Callable[[Any], bool]) -> None:
    """Check the type of one argument.

    :param expected: description of the expected type.
    :raises TypeError: if it is wrong. The error names the parameter, the expected type and the value.
    """
    if not is_right(value):
        raise TypeError(f"{parameter}: expected {expected}, got {repr(value)[:100]}")


def _is_int(value: Any) -> bool:
    """Return True for an integer, numpy's included; a bool does not count."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _is_reactor(value: Any) -> bool:
    return all(callable(getattr(value, name, None)) for name in REACTOR_METHODS)


def _is_log(value: Any) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in LOG_METHODS)
