"""In what form an answer is sent: `frontends.web.http.encoding`, and what a client gets of it."""

from __future__ import annotations

import gzip
import json
import math
import sys

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.dialects.tma2020.dialect import DIALECT
from mtmount_twisted.frontends.web.api.catalogue import CatalogueRoutes
from mtmount_twisted.frontends.web.http.calls import Answer, Call, Fault, RequestError, Route
from mtmount_twisted.frontends.web.http.encoding import AT_ONCE, LEAST, as_body, as_json, takes_gzip
from mtmount_twisted.frontends.web.http.pages import FOLDER, Pages
from tests.support.web import Got, Wire, ask, site_of

LONG = {"text": "mount " * LEAST}


def answering(body: object, kind: str = "") -> list[Route]:
    """A route that answers so."""

    async def respond(call: Call) -> Answer:
        return Answer(body, headers={"Content-Type": kind} if kind else {})

    async def fail(call: Call) -> Answer:
        raise RequestError(422, "x" * LEAST)

    return [Route("GET", "/", respond, "observe", "Tell."), Route("GET", "/no", fail, "observe", "Refuse.")]


class ValueTests(SynchronousTestCase):
    """Values as JSON."""

    def test_many_escapes_are_one_call(self) -> None:
        """The cost of an answer grows with its bytes, and not with the number of its escapes."""

        def calls(runs: int) -> int:
            seen: list[str] = []
            sys.setprofile(lambda frame, event, argument: seen.append(event))
            try:
                data = as_json({"texts": ["a\xfc\x7f" * runs]})
            finally:
                sys.setprofile(None)
            self.assertEqual(json.loads(data), {"texts": ["a\xfc\x7f" * runs]})
            return len(seen)

        self.assertEqual(calls(1000), calls(1))

    def test_same_as_always(self) -> None:
        """A value is one line of ASCII without spaces, in the order of its members, as programs know it."""
        value = {"b": 1, "a": [0.1, 5.0, None, True, 2**70], "deg/s³": '\u2028\x7f\n"\\/\U0001f52d'}
        text = json.dumps(value, separators=(",", ":"))
        self.assertEqual(as_json(value).decode(), text)
        self.assertEqual(as_body(value).decode(), f"{text}\n")

    def test_surrogates(self) -> None:
        """A path with bytes that are not UTF-8 is told as Python has it."""
        path = b"/tmp/\xff".decode(errors="surrogateescape")
        life = Fault("path", path)
        self.assertEqual(as_json(life), b'{"where":"path","why":"/tmp/\\udcff"}')

    def test_not_a_number(self) -> None:
        """What JSON has no number for is null, and what is no value at all is an error."""
        self.assertEqual(as_json([math.nan, math.inf, -math.inf]), b"[null,null,null]")
        self.assertRaises(TypeError, as_json, object())


class TakesTests(SynchronousTestCase):
    """What a client says that it takes."""

    def test_takes(self) -> None:
        """gzip is taken where it is named, or stands under ``*``, and nothing is liked better."""
        for accepted in (
            *("gzip", "GZIP", "x-gzip", "deflate, gzip;q=1.0, *;q=0.5", "*", "gzip ; q = 0.001", "br,gzip"),
            *("identity;q=0.5, gzip", "identity, gzip", "*;q=0.1", "gzip;q=1.000", "identity;q=0, *"),
        ):
            self.assertTrue(takes_gzip(accepted), accepted)

    def test_takes_not(self) -> None:
        """It is not where it is left out, at 0, liked less than the body as it is, or makes no sense."""
        for accepted in (
            *("", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "gzip;q=0, *", "br;q=1, *;q=0"),
            *(
                "gzip;q=0.5, identity",
                "gzip;q=2",
                "gzip;q=x",
                "gzip;q=-1",
                "gzip;level=9",
                ";q=1",
                ",,",
                "gzipx",
            ),
        ):
            self.assertFalse(takes_gzip(accepted), accepted)


class JsonTests(SynchronousTestCase):
    """Answers in JSON."""

    def ask(self, accepted: str | None, body: object = LONG, path: str = "/") -> Got:
        """The answer to a client that takes that."""
        return ask(
            answering(body), "GET", path, headers={} if accepted is None else {"Accept-Encoding": accepted}
        )

    def test_compressed(self) -> None:
        """A client that takes gzip gets it; what each gets depends on that, and caches are told so."""
        packed, plain = self.ask("gzip"), self.ask(None)
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertLess(len(packed.body), len(plain.body) / 10)
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(plain.json, LONG)
        self.assertEqual({got.headers["vary"] for got in (packed, plain)}, {"Accept-Encoding"})

    def test_refused(self) -> None:
        """What is wrong is told in the same form."""
        got = self.ask("gzip", path="/no")
        self.assertEqual((got.status, got.headers["content-encoding"]), (422, "gzip"))
        self.assertIn("x" * LEAST, json.loads(gzip.decompress(got.body))["error"])

    def test_two_lines(self) -> None:
        """Two lines of ``Accept-Encoding`` are one list."""
        wire = Wire(site_of(answering(LONG)))
        wire.send(b"GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nAccept-Encoding: br\r\n\r\n")
        got = wire.answer()
        self.assertEqual(got and got.headers["content-encoding"], "gzip")

    def test_long_list(self) -> None:
        """Only the beginning of a list of thousands of codings is read."""
        for accepted, coding in (("x," * 100 + "gzip", "gzip"), ("x," * 1000 + "gzip", None)):
            got = self.ask(accepted)
            self.assertEqual((got.status, got.headers.get("content-encoding")), (200, coding))

    def test_short_or_very_long(self) -> None:
        """What one packet holds is sent as it is, and so is what would hold up the mount's messages."""
        for body in ({"ok": True}, "x" * (AT_ONCE + 1)):
            got = self.ask("gzip", body)
            self.assertNotIn("content-encoding", got.headers)
            self.assertEqual((got.json, got.headers["vary"]), (body, "Accept-Encoding"))

    def test_made_before(self) -> None:
        """The catalogue is compressed once."""
        routes = CatalogueRoutes(DIALECT).routes()
        packed, plain = (
            ask(routes, "GET", "/api/v1/catalogue", headers={"Accept-Encoding": each})
            for each in ("gzip", "")
        )
        self.assertEqual(gzip.decompress(packed.body), plain.body)

    def test_other_kinds(self) -> None:
        """What is neither JSON nor a file of the page's is sent as it is."""
        got = ask(answering(b"a" * 9999, "text/plain"), "GET", "/", headers={"Accept-Encoding": "gzip"})
        self.assertEqual((got.body, "vary" in got.headers), (b"a" * 9999, False))


class FileTests(SynchronousTestCase):
    """The page's files."""

    def ask(self, accepted: str, if_none_match: str = "", method: str = "GET") -> Got:
        """The page, for a browser that takes that and has that."""
        headers = {"Accept-Encoding": accepted} | ({"If-None-Match": if_none_match} if if_none_match else {})
        if method == "GET":
            return ask(Pages().routes(), "GET", "/", headers=headers)
        wire = Wire(site_of(Pages().routes()))
        wire.ask(method, "/", headers=headers)
        return wire.stream()

    def test_each_form_has_its_tag(self) -> None:
        """A file in gzip has another tag than as it is, and each is had by who shows its own."""
        packed, plain = self.ask("gzip"), self.ask("")
        self.assertEqual(gzip.decompress(packed.body), (FOLDER / "index.html").read_bytes())
        tags = {"gzip": packed.headers["etag"], "": plain.headers["etag"]}
        self.assertEqual(len(set(tags.values())), 2)
        for accepted, tag in tags.items():
            for shown in (tag, f'"x", {tag}', f"W/{tag}", f'"x,y",{tag}', "*"):
                got = self.ask(accepted, shown)
                self.assertEqual((got.status, got.body, got.headers["etag"]), (304, b"", tag), shown)
                self.assertEqual(got.headers["vary"], "Accept-Encoding")
                self.assertNotIn("content-encoding", got.headers)
            for shown in ('"x"', tag.strip('"'), *(set(tags.values()) - {tag})):
                self.assertEqual(self.ask(accepted, shown).status, 200, shown)

    def test_head(self) -> None:
        """HEAD tells what GET would send, its form and its length."""
        for accepted in ("gzip", ""):
            head, whole = self.ask(accepted, method="HEAD"), self.ask(accepted)
            self.assertEqual((head.status, head.body, head.headers.keys()), (200, b"", whole.headers.keys()))
            for name in ("content-length", "etag", "content-type"):
                self.assertEqual(head.headers[name], whole.headers[name])
