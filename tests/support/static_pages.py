"""A page of the web's scripts alone, in a real browser: no daemon, no server and no network.

The browser asks ``http://localhost/``, and the test answers from the folder of the page.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

import mtmount_twisted.frontends.web
from mtmount_twisted.frontends.web.http.routing import HEADERS

from .browsers import browser, missing

STATIC = Path(mtmount_twisted.frontends.web.__file__).parent / "static"
ORIGIN = "http://localhost/"
"""A browser treats it as safe, so that the page may use the clipboard."""


def serve(page: Any, body: str) -> None:
    """Answer the page's requests from the folder, with the daemon's headers; at the root with ``body``."""
    head = "".join(
        f'<link rel="stylesheet" href="static/{name}">' for name in ("style.css", "instruments.css")
    )
    whole = (
        '<!doctype html><html lang="en" data-theme="day"><meta charset="utf-8">'
        f"<title>Test</title>{head}<body>{body}</body></html>"
    )
    headers = {name: value for name, value in HEADERS.items() if name != "Content-Type"}

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(ORIGIN).partition("?")[0].partition("#")[0]
        file = STATIC / name.removeprefix("static/")
        if not name:
            route.fulfill(body=whole, content_type="text/html", headers=headers)
        elif name.startswith("static/") and file.is_file():
            kind = mimetypes.guess_type(file.name)[0] or "text/plain"
            route.fulfill(body=file.read_bytes(), content_type=kind, headers=headers)
        else:
            route.fulfill(status=404)

    page.route(f"{ORIGIN}**", answer)
    page.goto(ORIGIN)


class StaticPageCase(TestCase):
    """A page for each test.

    :cvar body: the elements of the page, as HTML.
    """

    timeout = 60
    skip = missing() or None
    body = ""

    def look(self, work: Callable[[Any], None], **options: Any) -> Deferred[None]:
        """Open the page and do something with it, which also fails if a script of the page's did."""

        def whole(page: Any) -> None:
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
            serve(page, self.body)
            work(page)
            assert not errors, errors

        return browser().run(whole, **options)
