"""The page's files, from the folder ``static``. They are read once, when `Pages` is made. No other file of
the disk is served.

Next to read: ``static/index.html``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from .calls import Answer, Call, Parameter, RequestError, Route
from .encoding import SMALLEST, gzip

FOLDER = Path(__file__).parent.parent / "static"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""The media type of each suffix; a file with another suffix is not served."""

_MEDIA_TYPES = ", ".join(dict.fromkeys(kind.partition(";")[0] for kind in TYPES.values()))
_FILE = Parameter("name", "path", Annotated[str, Meta(examples=["style.css"])], "A file of the dashboard.")


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the page.

    :ivar tag: a hash of the content, for ``ETag``.
    :ivar gzipped: the content, compressed once at the highest level.
    """

    data: bytes
    content_type: str
    tag: str
    gzipped: bytes

    def answer(self) -> Answer:
        """Return the file. With ``no-cache``, a browser asks for changes each time and never shows an old
        page."""
        headers = {"Cache-Control": "no-cache", "ETag": self.tag, "Content-Type": self.content_type}
        return Answer(self.data, headers=headers, gzipped=self.gzipped)


class Pages:
    """All files of the page.

    :param folder: the folder with the files.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._pages = dict(_read(folder))

    def routes(self) -> list[Route]:
        """Return the routes of the page's files."""
        return [
            Route(
                "GET",
                "/",
                self._index,
                None,
                "The dashboard.",
                id="get_page",
                tag="page",
                answers={200: "text/html", 304: ""},
            ),
            Route(
                "GET",
                "/static/{name}",
                self._file,
                None,
                "A file of the dashboard.",
                id="get_page_file",
                tag="page",
                answers={200: _MEDIA_TYPES, 304: ""},
                problems=(404,),
                parameters=(_FILE,),
            ),
        ]

    async def _index(self, call: Call) -> Answer:
        return self._answer("index.html")

    async def _file(self, call: Call) -> Answer:
        return self._answer(call.parts["name"])

    def _answer(self, name: str) -> Answer:
        page = self._pages.get(name)
        if page is None:
            raise RequestError(404, "unknown path")
        return page.answer()


def _read(folder: Path) -> Iterator[tuple[str, Page]]:
    for path in folder.iterdir():
        if path.suffix in TYPES:
            data = path.read_bytes()
            tag = f'"{sha256(data).hexdigest()[:16]}"'
            yield path.name, Page(data, TYPES[path.suffix], tag, gzip(data, SMALLEST))
