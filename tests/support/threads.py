"""A system that starts no thread, as at a limit on the number of threads, or without memory."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from unittest import mock


def no_threads() -> AbstractContextManager[object]:
    """Have each start of a thread fail inside this context."""
    return mock.patch.object(threading.Thread, "start", _no_thread)


def _no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
