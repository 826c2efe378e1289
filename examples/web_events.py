"""Print what happens at the mount, as it happens, and miss nothing when the connection is lost for a while.

Python's own library is all that it needs.

``.venv/bin/python examples/web_events.py [URL]``; the token, where one is needed, is in the environment
variable MTMOUNT_TOKEN. Run it beside ``.venv/bin/twistd -n mtmount-bridge``, and end it with Ctrl-C.
"""

import contextlib
import http.client
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
TOKEN = os.environ.get("MTMOUNT_TOKEN")
SILENCE = 35  # s: the daemon sends a comment every 15 s, so a stream that is silent for longer is lost
PAUSE = 1  # s until the next attempt to connect


class Reader:
    """Reads every entry once and in order: live, and from history where a stream leaves some out.

    :ivar last: the id of the last entry that was read, from which the next stream resumes.
    """

    last = ""

    def entries(self) -> Iterator[dict[str, Any]]:
        """One stream, until its connection is lost."""
        for event in self.stream():
            data = json.loads(event["data"])
            if event["event"] == "gone":
                yield from self.left_out(data)
            elif event["event"] in ("message", "step", "change"):
                yield data
            self.last = event.get("id", self.last)

    def stream(self) -> Iterator[dict[str, str]]:
        """The events of one stream: their lines, by the word before the colon."""
        with opened("/api/v1/events", {"Last-Event-ID": self.last} if self.last else {}) as stream:
            event: dict[str, str] = {}
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                elif "data" in event:
                    yield event
                    event = {}

    def left_out(self, gone: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The entries that a stream leaves out, from history."""
        after, before = gone["after"], gone["before"]
        if after is None:
            print(f"entries are missing: {gone['why']}", file=sys.stderr)
        while after is not None:
            try:
                with opened(f"/api/v1/messages?limit=1000&after={after}") as answer:
                    page = json.load(answer)
            except HTTPError as error:  # the journal is turned off, or can't be read
                print(f"entries are missing: {said_in(error)}", file=sys.stderr)
                return
            for entry in page["entries"]:
                if before is not None and row(entry["id"]) >= row(before):
                    return
                yield entry
                self.last = entry["id"]  # if the daemon cuts this slow reader off, it resumes here
            after = page["next"]


def row(number: str) -> int:
    """The row of an id, RUN.ROW, or the position of one of another bridge: both count up."""
    return int(number.rpartition(".")[2])


def opened(path: str, headers: dict[str, str] | None = None) -> Any:
    """An answer of the daemon."""
    headers = dict(headers or {}, **({"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}))
    return urlopen(Request(URL + path, headers=headers), timeout=SILENCE)


def said_in(error: HTTPError) -> str:
    """The reason in an answer that says no."""
    return f"{error.code} {error.read().decode(errors='replace').strip()}"


def show(entry: dict[str, Any]) -> None:
    """Print an entry in a line."""
    about = entry.get("text") or entry.get("detail") or entry.get("command", "")
    what = entry.get("step") or entry["kind"]
    print(entry["time"], entry["id"], entry["peer"], what, about, flush=True)


def main() -> None:
    """Read streams, one after another."""
    reader = Reader()
    while True:
        why = "the stream has ended"
        try:
            for entry in reader.entries():
                show(entry)
        except HTTPError as error:
            why = said_in(error)
            if error.code != 503:  # a token is needed, for one: later it will be no better
                sys.exit(f"{URL}: {why}")
        except (OSError, http.client.HTTPException) as error:
            why = str(getattr(error, "reason", None) or error or type(error).__name__)
        print(f"not connected to {URL}: {why}", file=sys.stderr, flush=True)
        time.sleep(PAUSE)  # noqa: TID251 - this program has no reactor


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
