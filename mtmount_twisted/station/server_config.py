"""The configuration of ``nats-server`` for a mount: accounts, rights and streams, as text.

No I/O. Next to read: `streams`; ``docs/howto/events-by-nats.rst``.
"""

from __future__ import annotations

import json

from .streams import EVENTS, StreamSettings, events_stream, telemetry_stream

READER = "reader"
"""The name of the consumer of the reader in the text."""


def bridge_rights(mount: str) -> dict[str, dict[str, list[str]]]:
    """Return the rights of the bridges of a mount."""
    return {
        "publish": {"allow": [f"mt.{mount}.>", "$JS.API.>"]},
        "subscribe": {"allow": [f"mt.{mount}.>", "_INBOX.>"]},
    }


def reader_rights(consumer: str) -> dict[str, dict[str, list[str]]]:
    """Return the rights of a reader with a pull consumer that an administrator has made.

    A reader that may make push consumers can let the server write to subjects where the reader may not
    (nats-server, issue 8274).
    """
    return {"publish": {"allow": list(_questions(consumer))}, "subscribe": {"allow": ["_INBOX.>"]}}


def _questions(consumer: str) -> tuple[str, str]:
    """Return the subjects on which a reader asks for messages, and acknowledges them."""
    return f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{consumer}", f"$JS.ACK.{EVENTS}.{consumer}.>"


def _stream_line(stream: StreamSettings) -> str:
    return f"# {json.dumps(stream.as_json())}"


def server_config(mount: str, replicas: int) -> str:
    """Return the text of a configuration.

    The public keys of the users come from the environment of the server, so that the text has no key.
    """
    streams = "\n".join(map(_stream_line, (events_stream(replicas), telemetry_stream())))
    asking, confirming = _questions(READER)
    return f"""\
# A configuration of nats-server (2.9 or newer, not 2.10.20 to 2.10.22) for the mount {mount}.
# Set ADMIN_NKEY, BRIDGE_NKEY and READER_NKEY in the environment of the server: the public keys of the users,
# which begin with U. The seed of the bridge's key is the file `credentials` of [station.broker].

listen: "127.0.0.1:4222"        # beyond this machine: another address, and a section tls
max_payload: 1MB

jetstream {{
  store_dir: "/var/lib/nats"
  max_file_store: 40GB          # less than the disk has: a server whose disk is full does not answer
  # sync_interval: "1s"         # 2.10 and newer: what a loss of power may take, in place of 2 minutes
}}

accounts {{
  MOUNT: {{
    jetstream: enabled
    users: [
      {{ nkey: $ADMIN_NKEY }}
      {{ nkey: $BRIDGE_NKEY, permissions: {json.dumps(bridge_rights(mount))} }}
    ]
    exports: [
      {{ service: "{asking}", response: "stream", accounts: [READERS] }}
      {{ service: "{confirming}", accounts: [READERS] }}
    ]
  }}
  # Readers have an account of their own. The server sends messages to any subject that a reader names, and
  # does not look at the reader's rights: in the account MOUNT, copies of events would fill the stream.
  READERS: {{
    users: [
      # A reader for each program: the administrator makes its pull consumer, here of the name {READER}.
      {{ nkey: $READER_NKEY, permissions: {json.dumps(reader_rights(READER))} }}
    ]
    imports: [
      {{ service: {{ account: MOUNT, subject: "{asking}" }} }}
      {{ service: {{ account: MOUNT, subject: "{confirming}" }} }}
    ]
  }}
}}

# The bridge makes these streams if they are missing; `nats stream add --config FILE` makes them by hand:
{streams}
"""
