"""A real Chromium for tests, on a thread of its own while the reactor runs in the test's.

Playwright's objects belong to the thread that made them, so all that is done with a page is done in there:
a test hands in a function of the page, and waits for its end. Where the browser is missing such tests are
skipped, or fail if ``MTMOUNT_BROWSER_TESTS`` is ``required``; all are skipped if it is ``none``.
"""

from __future__ import annotations

import atexit
import os
import shutil
import threading
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

MODE = os.environ.get("MTMOUNT_BROWSER_TESTS")
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first of these is used; the headless shell is the same engine without windows, for half the time."""
PATIENCE = 20_000.0
"""Longest wait of the browser for an expected state, in milliseconds."""


@cache
def program() -> str | None:
    """Where the browser is, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def missing() -> str:
    """Return the reason to skip browser tests; empty if there is none, or if they shall fail instead."""
    if MODE == "required":
        return ""
    if MODE == "none":
        return "MTMOUNT_BROWSER_TESTS is none"
    for package in ("playwright", "axe_playwright_python"):
        if find_spec(package) is None:
            return f"no {package}: .venv/bin/pip install -e '.[browser]'"
    return "" if program() else f"no browser: none of {', '.join(PROGRAMS)} is installed"


class Browser:
    """A Chromium without a window, which starts with the first work for it and ends with the process.

    Its thread is a daemon one, so that it still runs when the process ends and closes it.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._browser: Any = None
        self._playwright: Any = None
        threading.Thread(target=self._serve, name="browser", daemon=True).start()
        atexit.register(self.close)

    def _serve(self) -> None:
        while True:
            self._work.get()()

    def _open(self) -> None:
        from playwright.sync_api import expect, sync_playwright

        if program() is None:
            raise RuntimeError(f"no browser: none of {', '.join(PROGRAMS)} is installed")
        expect.set_options(timeout=PATIENCE)
        self._playwright = sync_playwright().start()
        # The sandbox is for who browses strangers' pages, and root can't have it.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._browser = self._playwright.chromium.launch(executable_path=program(), args=arguments)

    def close(self) -> None:
        """End it, if it has started."""
        closed = threading.Event()

        def end() -> None:
            try:
                for part, name in ((self._browser, "close"), (self._playwright, "stop")):
                    if part is not None:
                        getattr(part, name)()
            finally:
                closed.set()

        self._work.put(end)
        closed.wait(10)

    def run(self, work: Callable[[Any], None], **options: Any) -> Deferred[None]:
        """Open a page as of a new user, do something with it, and close it.

        :param options: of the browser's context: ``viewport``, ``color_scheme`` and so on.
        :return: fires with None when all is done; fails with the error of the work.
        """
        from twisted.internet import reactor

        done: Deferred[None] = Deferred()

        def whole() -> None:
            try:
                result: Any = self._run(work, options)
            except BaseException:
                result = Failure()
            reactor.callFromThread(done.callback, result)  # type: ignore[attr-defined]

        self._work.put(whole)
        return done

    def _run(self, work: Callable[[Any], None], options: dict[str, Any]) -> None:
        if self._browser is None:
            self._open()
        context = self._browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        try:
            work(context.new_page())
        finally:
            context.close()


@cache
def browser() -> Browser:
    """The one browser of this process."""
    return Browser()
