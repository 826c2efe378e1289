"""Take command over HTTP, move the azimuth axis, wait until it is there, and give command up again.

Python's own library is all that it needs.

``.venv/bin/python examples/web_command.py [URL]``; the token, where one is needed, is in the environment
variable MTMOUNT_TOKEN. Run it beside ``.venv/bin/twistd -n mtmount-bridge``.
"""

import http.client
import json
import os
import sys
import uuid
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
TOKEN = os.environ.get("MTMOUNT_TOKEN")


def call(method: str, path: str, body: Any = None, timeout: float = 90, key: str = "") -> Any:
    """The answer's JSON; if the daemon says no, the program ends with what it says."""
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    if key:  # to send it again under the same key is only to ask again
        headers["Idempotency-Key"] = key
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(URL + path, data, headers, method=method), timeout=timeout) as answer:
            return json.load(answer)
    except HTTPError as error:
        sys.exit(f"{method} {path}: {said_in(error)}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error or type(error).__name__
        sys.exit(f"{method} {URL}{path}: no answer of a daemon's: {why}; is this the address of its page?")


def said_in(answer: HTTPError) -> str:
    """What an answer that says no has to say; a daemon's is JSON."""
    try:
        return str(json.load(answer)["error"])
    except (OSError, ValueError, LookupError, TypeError):
        return f"{answer.code} {answer.reason}; is {URL} the address of a daemon's page?"


def command(name: str, **parameters: Any) -> None:
    """Send a command and wait for its end, however long that takes."""
    key = uuid.uuid4().hex
    body = {"command": name, "parameters": parameters}
    state = "open"
    while state in ("open", "acked"):
        life = call("POST", "/api/v1/commands?wait=done&timeout=60", body, key=key)
        state = life["state"]
    print(f"{name}: {state}", life["explanation"])
    if state not in ("done", "ack"):
        sys.exit(1)


call("GET", "/api/v1/state", timeout=1.5)  # is it there, and does it let us in?
print(call("POST", "/api/v1/lease", {})["holder"], "has command")
try:
    command("AzimuthAxisPower", on=True)
    command("AzimuthAxisMove", position=5)
finally:
    call("DELETE", "/api/v1/lease")
