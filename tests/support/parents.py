"""Processes that end with the process that started them, also if that one is killed.

A test run that is killed closes nothing: without this, each server and each daemon of its tests stays. As a
program, ``python parents.py PID PROGRAM ...`` becomes PROGRAM, for the process PID that starts it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int | None = None) -> None:
    """Let the system kill this process when the thread that started it ends, which is to be the main one.

    Only Linux does so. It also holds for a program that this process becomes, and not for one that it starts.

    :param parent: the process that started this one; this one ends at once if that has ended meanwhile.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def bound(*words: str) -> list[str]:
    """Return the command line of a program that ends with this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *words]


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
