"""Make a client of the API's OpenAPI document, and drive a command to done with it.

    python .ci/client.py FOLDER

Starts ``twistd mtmount-bridge`` (`api_daemon`), lets ``openapi-python-client``, which is installed into a
virtual environment in FOLDER, make a client of the document that the daemon serves, and runs `DRIVE` with it.
A part of the document that no client can be made of is an error. It needs the package installed with the
``web`` extra.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from api_daemon import serving

REQUIREMENT = "openapi-python-client>=0.29,<0.30"

MADE_WITHIN = 30.0
DRIVEN_WITHIN = 30.0

DRIVE = """
import sys

from mtmount_bridge_client import Client
from mtmount_bridge_client.api.commands import get_command, send_command
from mtmount_bridge_client.api.lease import ask_lease, release_lease
from mtmount_bridge_client.api.state import get_state
from mtmount_bridge_client.models import (
    AskForLease,
    AzimuthMove,
    AzimuthMoveParameters,
    AzimuthPower,
    AzimuthPowerParameters,
    Lease,
    Life,
    LifeState,
    Problem,
    SendCommandWait,
    State,
)

client = Client(base_url=sys.argv[1], timeout=30.0)


def run(body):
    life = send_command.sync(client=client, body=body, wait=SendCommandWait.DONE)
    assert isinstance(life, Life), life
    assert life.state is LifeState.DONE, life
    assert get_command.sync(life.id, client=client) == life
    print(f"client: {life.command} {life.parameters.to_dict()}: {life.state.value}")


power = AzimuthPower(command="AzimuthPower", parameters=AzimuthPowerParameters(on=True))
move = AzimuthMove(command="AzimuthMove", parameters=AzimuthMoveParameters(position=0.5))
refused = send_command.sync(client=client, body=move, idempotency_key="too early")
assert isinstance(refused, Problem) and refused.command.state is LifeState.REFUSED, refused
lease = ask_lease.sync(client=client, body=AskForLease())
assert isinstance(lease, Lease) and lease.holder == "web/anyone", lease
run(power)
run(move)
state = get_state.sync(client=client)
assert isinstance(state, State) and state.axes["azimuth"].in_position, state
lease = release_lease.sync(client=client)
assert isinstance(lease, Lease) and lease.holder is None, lease
"""
"""What a program does with the client; it runs where the client's own requirements are."""


def installed(folder: Path) -> Path:
    """Install the generator, unless it is, and tell where its Python is."""
    python = folder / "bin" / "python"
    if not (folder / "bin" / "openapi-python-client").exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = (sys.executable, "-m", "pip", "--python", python)
        subprocess.run([*pip, "install", "-q", REQUIREMENT], check=True)
    return python


def make(python: Path, address: str, folder: Path) -> None:
    """Make the client ``mtmount_bridge_client`` in a folder."""
    config = folder / "config.yml"
    config.write_text("post_hooks: []\n")  # nobody reads it, so it need not be formatted
    arguments = ["generate", "--url", f"{address}/api/v1/openapi.json", "--fail-on-warning", "--meta", "none"]
    output = folder / "mtmount_bridge_client"
    arguments += ["--config", str(config), "--output-path", str(output)]
    program = [python.with_name("openapi-python-client"), *arguments]
    subprocess.run(program, cwd=folder, timeout=MADE_WITHIN, check=True)


def main(folder: Path) -> None:
    """Install, start, make, drive, stop; whatever happens, leave nothing running.

    :param folder: where the virtual environment of the generator is, or is to be.
    """
    python = installed(folder.resolve())
    with tempfile.TemporaryDirectory(prefix="mtmount-client-") as work, serving(Path(work)) as address:
        try:
            make(python, address, Path(work))
            subprocess.run([python, "-c", DRIVE, address], cwd=work, timeout=DRIVEN_WITHIN, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failed:
            sys.exit(f"client: {str(failed)[-300:]}")
    print("client: a client made of the document drove a command to done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
