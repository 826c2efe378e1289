"""Ports for programs that a test starts: nothing else takes one before the program listens on it."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

HOST = "127.0.0.1"


def held_port(host: str = HOST) -> socket.socket:
    """Return a socket that is bound to a free port of a host and does not listen.

    While it is open, the system gives its port to no connection and to no socket that binds to any free port.
    A program that binds with ``SO_REUSEADDR``, as Twisted does, can listen there (``socket(7)``: it can bind
    unless a socket listens there). A connection to the port is refused until then.
    """
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((host, 0))
    return held


def port_of(held: socket.socket) -> int:
    """The port of a socket of `held_port`."""
    return int(held.getsockname()[1])


def free_port(case: SynchronousTestCase, host: str = HOST) -> int:
    """Return a port that nothing takes before the test ends, but a program that listens there."""
    held = held_port(host)
    case.addCleanup(held.close)
    return port_of(held)
