"""Take command over HTTP, move the azimuth axis, wait until it is there, and give command up again.

Python's own library is all that it needs.

``python web_command.py [URL]``; the token, where one is needed, is in the environment variable MTMOUNT_TOKEN.
Run it beside ``twistd -n mtmount-bridge``.
"""

import json
import os
import sys
import uuid
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
TOKEN = os.environ.get("MTMOUNT_TOKEN")


def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The answer's JSON; if the daemon says no, the program ends with what it says."""
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    data = None if body is None else json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    try:
        with urlopen(Request(URL + path, data, headers, method=method), timeout=90) as answer:
            return json.load(answer)
    except HTTPError as error:
        sys.exit(f"{method} {path}: {json.load(error)['error']}")


def command(name: str, **parameters: Any) -> None:
    """Send a command and wait for its end, however long that takes."""
    key = {"Idempotency-Key": uuid.uuid4().hex}  # to send it again under the same key is only to ask again
    body = {"command": name, "parameters": parameters}
    state = "open"
    while state in ("open", "acked"):
        life = call("POST", "/api/v1/commands?wait=done&timeout=60", body, **key)
        state = life["state"]
    print(f"{name}: {state}", life["explanation"])
    if state not in ("done", "ack"):
        sys.exit(1)


print(call("POST", "/api/v1/lease", {})["holder"], "has command")
try:
    command("AzimuthAxisPower", on=True)
    command("AzimuthAxisMove", position=5)
finally:
    call("DELETE", "/api/v1/lease")
