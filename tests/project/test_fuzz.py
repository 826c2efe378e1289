"""The targets of ``make fuzz``, with inputs that Hypothesis makes of the same seeds, and the program."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fuzz.corpus import ROOT, seeds, wires
from fuzz.results import HEADINGS, NAMES, Outcome, keep, read, row, show
from fuzz.targets import TARGETS
from tests.support import strategies  # noqa: F401  # for the profile
from tests.support.folders import scratch_path

ODD = [
    b"",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b"null",
    b"NaN",
    b"1e999",
    b"3.0",
    b"-",
    b"9" * 30,
    b"9" * 400,
]
ODD += [b"\xff", b"\\ud800"]
"""Bytes that are hard to read in JSON."""


@st.composite
def inputs(draw: st.DrawFn, name: str) -> bytes:
    """A seed with some bytes changed, dropped, repeated or added; or bytes of any kind."""
    data = draw(st.sampled_from(seeds(name)) | st.binary(max_size=200))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        new = draw(
            st.binary(max_size=8) | st.sampled_from([b"\r\n", b"\n", b"1e999", b"\xff", b"9" * 30, b'"'])
        )
        data = data[:at] + new + data[at + draw(st.integers(0, 8)) :]
    return data


class TargetTests(SynchronousTestCase):
    """No input makes a parser raise what it does not say that it raises."""

    def check(self, name: str, count: int = 150) -> None:
        """Give some inputs to a target; its assertions are those of this test."""
        target = TARGETS[name]

        @settings(max_examples=count)
        @given(inputs(name))
        def each(data: bytes) -> None:
            target(data)

        for seed in seeds(name):
            target(seed)
        each()

    def test_line(self) -> None:
        """Lines, as the library reads them."""
        self.check("line")

    def test_relayed(self) -> None:
        """Lines, as the bridge reads them."""
        self.check("relayed")

    def test_stream(self) -> None:
        """Streams in chunks."""
        self.check("stream")

    def test_body(self) -> None:
        """Bodies of requests."""
        self.check("body")

    def test_query(self) -> None:
        """Parameters of requests."""
        self.check("query")

    def test_config(self) -> None:
        """Configurations."""
        self.check("config", 50)

    def test_tokens(self) -> None:
        """Files of tokens."""
        self.check("tokens")

    def check_many(self, name: str) -> None:
        """Give 5,000 inputs to a target: seeds with pieces of other seeds and odd bytes in them."""
        target, found = TARGETS[name], seeds(name)

        @settings(max_examples=5)
        @given(st.integers(0, 2**32))
        def each(seed: int) -> None:
            random = Random(seed)
            for _ in range(1000):
                data = random.choice(found)
                for _ in range(random.randrange(4)):
                    other, at = random.choice(found), random.randrange(len(data) + 1)
                    start = random.randrange(len(other))
                    piece = random.choice([other[start : start + random.randrange(20)], *ODD])
                    data = data[:at] + piece + data[at + random.choice([0, 1, len(piece)]) :]
                try:
                    target(data)
                except Exception as error:
                    raise AssertionError(data) from error

        each()

    def test_command(self) -> None:
        """Commands of tma2022, whole and as the bridge passes them on."""
        self.check("command")
        self.check_many("command")

    def test_reply(self) -> None:
        """Replies of tma2022, whole and by their headers."""
        self.check("reply")
        self.check_many("reply")

    def test_telemetry(self) -> None:
        """Telemetry lines of tma2022, whole and by their headers."""
        self.check("telemetry")
        self.check_many("telemetry")

    def test_translated(self) -> None:
        """Lines of either side of the translation."""
        self.check("translated")
        self.check_many("translated")

    def test_http(self) -> None:
        """Whole connections to the web."""
        self.check("http", 50)

    def test_seeds_are_taken(self) -> None:
        """Each target has seeds, and the table of targets is whole."""
        for name in NAMES:
            self.assertTrue(seeds(name), name)
        self.assertGreater(len(wires()), 300)
        self.assertEqual(set(NAMES), set(TARGETS))


class ProgramTests(SynchronousTestCase):
    """``python -m fuzz``."""

    def test_lines(self) -> None:
        """A line for each parser, with inputs, seconds and crashes; above it, how it crashed."""
        self.assertEqual(
            show(Outcome("line", 1_000_000, 61, False, "much")).split(), ["line", "1,000,000", "61", "0"]
        )
        crashed = show(Outcome("http", 192, 0, True, "Traceback"))
        self.assertEqual(crashed.split(), ["==", "http", "Traceback", "http", "192", "0", "1"])

    def test_read(self) -> None:
        """What was printed is read as what it was, but for how a target crashed."""
        outcomes = [Outcome("line", 1_000_000, 61, False, ""), Outcome("http", 192, 0, True, "Traceback")]
        table = row(*HEADINGS) + "".join(map(show, outcomes))
        self.assertEqual(read(table), [outcomes[0], Outcome("http", 192, 0, True, "")])

    def test_keep(self) -> None:
        """A run's figures replace those of the same parsers, and leave what the file has of the others."""
        path = scratch_path(self)
        keep(path, [Outcome("http", 10, 1, True, "Traceback"), Outcome("line", 20, 2, False, "")], "old", {})
        keep(path, [Outcome("http", 30, 3, False, "")], "new", {"cores": 2})
        self.assertEqual(
            json.loads(path.read_text(encoding="utf-8")),
            {
                "line": {"inputs": 20, "seconds": 2, "crashes": 0, "commit": "old", "machine": {}},
                "http": {"inputs": 30, "seconds": 3, "crashes": 0, "commit": "new", "machine": {"cores": 2}},
            },
        )

    def test_read_needs_a_commit(self) -> None:
        """A printed table does not tell what was fuzzed: who has it read says so, or it is not kept."""
        done = self.run_it("--read", "fuzz.log", "--json", "results.json")
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected --commit", done.stderr)

    def test_unknown_target(self) -> None:
        """A target that there is not is one line, and exit status 2."""
        done = self.run_it("lines")
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected some of line, relayed, ", done.stderr)

    def test_run(self) -> None:
        """A short run says how many inputs there were; without atheris it says what to install."""
        path = scratch_path(self)
        done = self.run_it("line", "--runs", "500", "--json", str(path))
        if find_spec("atheris") is None:
            self.assertEqual(done.returncode, 2)
            self.assertIn("pip install '.[fuzz]'", done.stderr)
        else:
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"line\s+\d+\s+\d+\s+0\n")
            self.assertGreaterEqual(json.loads(path.read_text(encoding="utf-8"))["line"]["inputs"], 500)

    def run_it(self, *words: str) -> Any:
        """Run it in a process of its own."""
        command = [sys.executable, "-m", "fuzz", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
