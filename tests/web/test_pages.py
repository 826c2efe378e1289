"""The page's files, as a browser gets them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.frontends.web.http.pages import FOLDER, TYPES, Pages
from tests.support.folders import scratch_path
from tests.support.web import ask


class PagesTests(SynchronousTestCase):
    """Files from a folder, and from nowhere else."""

    def test_each_file(self) -> None:
        """Each file of the page is served as what it is, and the page itself at the top."""
        routes = Pages().routes()
        names = [path.name for path in FOLDER.iterdir()]
        self.assertIn("index.html", names)
        for name in names:
            got = ask(routes, "GET", f"/static/{name}")
            self.assertEqual((got.status, got.body), (200, (FOLDER / name).read_bytes()), name)
            self.assertEqual(got.headers["content-type"], TYPES[Path(name).suffix])
        got = ask(routes, "GET", "/")
        self.assertEqual(got.body, (FOLDER / "index.html").read_bytes())
        for kind in ("script", "worker"):
            self.assertIn(f"{kind}-src 'self'", got.headers["content-security-policy"])

    def test_again(self) -> None:
        """A browser that has a file is told so, and always asks."""
        routes = Pages().routes()
        first = ask(routes, "GET", "/")
        self.assertEqual(first.headers["cache-control"], "no-cache")
        again = ask(routes, "GET", "/", headers={"If-None-Match": f'"x", {first.headers["etag"]}'})
        self.assertEqual((again.status, again.body, again.headers["etag"]), (304, b"", first.headers["etag"]))
        self.assertEqual(ask(routes, "GET", "/", headers={"If-None-Match": '"x"'}).status, 200)

    def test_nothing_else(self) -> None:
        """Nothing outside the folder is served, however the way is written; nor another kind of file."""
        folder = scratch_path(self)
        folder.mkdir()
        (folder / "a.css").write_text("a")
        (folder / "a.py").write_text("secret")
        (folder.parent / "b.css").write_text("secret")
        routes = Pages(folder).routes()
        self.assertEqual(ask(routes, "GET", "/static/a.css").body, b"a")
        for path in ("a.py", "../b.css", "..%2Fb.css", "%2e%2e/b.css", ".", "..", "", "a.css%00", "a.css/"):
            self.assertEqual(ask(routes, "GET", f"/static/{path}").status, 404, path)
        self.assertEqual(ask(routes, "GET", "/").status, 404)
