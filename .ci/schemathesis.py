"""Compare the HTTP API with its OpenAPI document: requests made from the document, sent to a daemon.

    python .ci/schemathesis.py FOLDER

Starts ``twistd mtmount-bridge`` (`api_daemon`), and lets ``schemathesis``, which is installed into a virtual
environment in FOLDER, send what the document allows and what it forbids. No
answer may be a server's error, or other than the document says. The stream of events never ends, and is
left out. It needs the package installed with the ``web`` extra, and takes less than 90 s.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from api_daemon import serving

REQUIREMENT = "schemathesis>=4.32,<5"

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)

EXAMPLES = 100
"""How many requests are made for an operation, beyond those that cover each constraint once."""

SEED = 20261122
"""So that two runs on one commit send the same."""

CHECKED_WITHIN = 240.0


def installed(folder: Path) -> Path:
    """Install schemathesis, unless it is, and tell where its program is."""
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
        subprocess.run([*pip, "install", "-q", REQUIREMENT], check=True)
    return program


def check(program: Path, address: str, folder: Path) -> int:
    """Run schemathesis, and tell its exit status."""
    document = f"{address}/api/v1/openapi.json"
    with urllib.request.urlopen(document, timeout=10) as answer:
        operations = sum(len(path) for path in json.load(answer)["paths"].values())
    print(f"+ schemathesis: {operations} operations at {address}", flush=True)
    arguments = [
        *("run", document, "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--continue-on-failure"),
        *("--exclude-path", "/api/v1/events", "--request-timeout", "20", "--no-color"),
        *("--suppress-health-check", "all"),
    ]
    done = subprocess.run([program, *arguments], cwd=folder, timeout=CHECKED_WITHIN, check=False)
    return done.returncode


def main(folder: Path) -> None:
    """Install, start, check, stop; whatever happens, leave nothing running.

    :param folder: where the virtual environment of schemathesis is, or is to be.
    """
    program = installed(folder.resolve())
    with tempfile.TemporaryDirectory(prefix="mtmount-schemathesis-") as work, serving(Path(work)) as address:
        try:
            status = check(program, address, Path(work))
        except subprocess.TimeoutExpired as late:
            sys.exit(f"schemathesis: {late}")
    if status:
        sys.exit("schemathesis: the API and its document differ")
    print("schemathesis: the API is as its document says", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
